"""Who looks on while a deployment is used: another user of the machine, and one who may ask its engine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import docker

from jupyter_model_service.runner.runner import unpacked

from .deployment import Deployment

NOBODY = 65534
LABEL = "org.jupyter.model-service."
_LOOK = """
import json, os, select, sys
user = int(sys.argv[1])
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
seen = {"cmdline": set(), "environ": set()}
print("looking", flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name, found in seen.items():
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    found.add(file.read().decode("latin-1"))
            except OSError:
                pass
print(json.dumps({name: sorted(found) for name, found in seen.items()}))
"""


class Onlooker:
    """Reads the process table ten times a second as a user of the machine whom all this is no business of: command
    lines, and the environments that she may read. ``seen`` ends it."""

    def __init__(self) -> None:
        assert os.geteuid() == 0
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LOOK, str(NOBODY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "looking\n"

    def seen(self) -> dict[str, str]:
        said, _ = self._process.communicate("enough\n", timeout=60)
        return {name: "\n".join(found) for name, found in json.loads(said).items()}

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate(timeout=10)


@dataclass(frozen=True)
class Inspected:
    """What the engine tells of a container, its environment apart from the rest."""

    id: str
    kind: str  # notebook, replica or copier, of which the last two are ours
    environment: dict[str, str]
    rest: str

    def secret(self) -> str:
        """By which a replica proves to be itself."""
        return str(json.loads(unpacked(self.environment["MODEL_SERVICE_SPEC"]) or "{}")["secret"])


class Inspector(threading.Thread):
    """Looks at each container of a deployment when it is made: those that copy a folder are soon gone."""

    def __init__(self, hub: Deployment) -> None:
        super().__init__(name="inspector", daemon=True)
        self._hub, self._client = hub, docker.from_env(timeout=300)
        self._made = self._client.events(decode=True, filters={"type": "container", "event": "create"})
        self.missed: list[str] = []
        self._found: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        for event in self._made:
            told = event["Actor"]["Attributes"]
            if not (told["name"].startswith(self._hub.prefix) or told.get(f"{LABEL}hub") == self._hub.hub_label()):
                continue
            try:
                self._found[event["id"]] = self._client.api.inspect_container(event["id"])
            except docker.errors.NotFound:
                self.missed.append(told["name"])

    def found(self) -> list[Inspected]:
        """Those that are still there as they are by now."""
        for id in self._found:
            with contextlib.suppress(docker.errors.NotFound):
                self._found[id] = self._client.api.inspect_container(id)
        told = []
        for id, each in self._found.items():
            environment = dict(variable.partition("=")[::2] for variable in each["Config"].pop("Env") or ())
            kind = (each["Config"].get("Labels") or {}).get(f"{LABEL}kind", "notebook")
            told.append(Inspected(id, kind, environment, json.dumps(each)))
        return told

    def logs(self) -> str:
        """What the engine keeps of what containers of the deployment say."""
        told = []
        for container in self._hub.containers():
            with contextlib.suppress(docker.errors.APIError):  # of some it keeps nothing
                told.append(container.logs().decode(errors="replace"))
        return "\n".join(told)

    def close(self) -> None:
        self._made.close()
        self.join(10)
        self._client.close()
