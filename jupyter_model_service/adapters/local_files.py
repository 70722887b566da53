"""The files of one local replica: what its runner is told, and what is read back from them after a restart."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_model_service.core.command import RunPlan, resolve
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.sentences import in_bytes
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.ports import Placement, StartRequest

from .processes import DIRECTORY_MARK, numbering

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)  # below the ports that systems hand out to outgoing connections


def run_plan(revision: Revision, service: str, replica: str, port: int) -> RunPlan:
    return resolve(
        revision.definition,
        service=service,
        replica=replica,
        environment=revision.environment,
        port=port,
        folder=os.path.abspath(revision.served_folder),
        host=HOST,
    )


def write_spec(
    folder: Path, request: StartRequest, plan: RunPlan, port: int, gpus: Sequence[str], abandon_after: float | None
) -> None:
    """``spec.json``, 0600. The key ``launcher`` is for ourselves."""
    spec = {
        "protocol": 1,
        "replica": request.replica,
        "secret": request.secret,
        "control": {"host": HOST, "port": 0},
        "directory": str(folder),
        "cwd": plan.cwd,
        "environment": {**plan.environment, **_visible(gpus), DIRECTORY_MARK: str(folder.parent)},
        "unset": [],
        "overlay": str(folder / "env"),
        "actions": [{"action": a.kind, "args": dict(a.args), "ref": a.ref} for a in plan.actions],
        "command": list(plan.argv),
        "stop_grace": request.revision.definition.serving.stop_timeout,
        "abandon_after": abandon_after,
        "launcher": {
            "address": [HOST, port],
            "gpus": list(gpus),
            "cwd": os.path.realpath(plan.cwd),
            "numbering": numbering(),
        },
    }
    file = os.open(folder / "spec.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(file, "w", encoding="utf-8") as stream:
        json.dump(spec, stream)


def notes_of(folder: Path) -> Mapping[str, Any]:
    """What we wrote for ourselves: ``address``, ``gpus``, the ``cwd`` and the ``numbering`` of the processes."""
    notes = read(folder / "spec.json").get("launcher")
    return notes if isinstance(notes, dict) else {}


def read(path: Path) -> dict[str, Any]:
    """A JSON file that may be missing or half written: then it is empty."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def runner_in(folder: Path) -> dict[str, Any]:
    """``runner.json``; empty when its numbers are of another boot or another container, and mean nothing now."""
    return read(folder / "runner.json") if notes_of(folder).get("numbering") == numbering() else {}


def placement_in(folder: Path, runner: Mapping[str, Any]) -> Placement | None:
    """Where the files say that the replica is."""
    notes = notes_of(folder)
    try:
        handle: dict[str, Any] = {"directory": str(folder), "pid": runner["pid"], "started": runner["started"]}
        if notes["gpus"]:
            handle["gpus"] = notes["gpus"]
        host, port = notes["address"]
        return Placement(handle, (runner["control"]["host"], runner["control"]["port"]), (host, port))
    except (KeyError, TypeError, ValueError):
        return None


def not_enforced(revision: Revision) -> list[str]:
    resources = revision.resources
    said = [
        f"The mount {mount.source} at {mount.target} is not enforced: local processes see this machine's files as "
        "they are."
        for mount in revision.mounts
    ]
    if resources.cpus is not None:
        cpus = f"{resources.cpus:g} {'CPU' if resources.cpus == 1 else 'CPUs'}"
        said.append(f"The limit of {cpus} is not enforced for local processes.")
    if resources.memory is not None:
        said.append(f"The memory limit of {in_bytes(resources.memory)} is not enforced for local processes.")
    return said


def _visible(gpus: Sequence[str]) -> Mapping[str, str]:
    """Nobody who asked for none has anything hidden: on one's own machine that is as it always was."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if gpus else {}


def inheritable(environment: Mapping[str, str]) -> dict[str, str]:
    """What a model server may inherit: not the tokens of the Jupyter server or of the Hub that we run in. Where NVML is
    (on WSL, say, outside of the system's folders) is for the runner."""
    secret = ("JUPYTERHUB_", "JPY_", "MODEL_SERVICE_")
    return {
        k: v
        for k, v in environment.items()
        if k == "MODEL_SERVICE_NVML" or (not k.startswith(secret) and k != "JUPYTER_TOKEN")
    }


def free_port(taken: set[int]) -> int:
    for port in [*random.sample(PORTS, 200), 0]:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            chosen: int = probe.getsockname()[1]
            if chosen not in taken:
                return chosen
    raise LaunchError("There is no free port on this machine.", stage="port")


def last_line(path: Path) -> str:
    try:
        lines = path.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:500] if lines else "it said nothing"
