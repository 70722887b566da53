"""The build hook of the panel: TypeScript becomes what JupyterLab loads, once, and the wheel carries it.

The wheel needs no node then. Where the package is installed from a clone and there is no node that can build the panel,
everything else is installed and one sentence says what is missing; the command line, the Python client and the magics
do not need it. ``MODEL_SERVICE_PANEL=required`` makes that an error (a release, CI), ``skip`` leaves the panel out. An
sdist always has it.

What was built is kept in ``jupyter_model_service/labextension`` with a hash of what it was made from, and is built
again only when that has changed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILDER = "jupyter-builder>=1.2,<2"
SHARED = "share/jupyter/labextensions/jupyter-model-service"
SECONDS = 1200  # a cold cache on a slow line; a registry that never answers must not hang an installation

#: What the output depends on, below ``labextension/``.
SOURCES = ("package.json", "yarn.lock", "tsconfig.json", "src", "schema", "style")

NO_NODE = (
    "The JupyterLab panel is not built, as there is no Node.js here that can build it (20.19 or newer of 20, or 22.12 "
    "or newer); everything else is installed."
)


class PanelHook(BuildHookInterface[Any]):
    """Hatch calls ``dependencies`` before it makes the build environment, and ``initialize`` in it."""

    @property
    def _sources(self) -> Path:
        return Path(self.root) / "labextension"

    @property
    def _output(self) -> Path:
        return Path(self.root) / "jupyter_model_service" / "labextension"

    def dependencies(self) -> list[str]:
        return [BUILDER] if self._wanted != "skip" and not self._is_current() and _has_node() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        problem = None
        if self._wanted != "skip" and not self._is_current():
            problem = self._build() if _has_node() else NO_NODE
        if problem is not None:
            if self._wanted == "required" or self.target_name == "sdist":
                raise RuntimeError(problem)
            self.app.display_warning(problem)
        if self.target_name == "wheel" and self._wanted != "skip" and self._is_there():
            build_data["shared_data"].update(
                {str(self._output / name): f"{SHARED}/{name}" for name in ("package.json", "schemas", "static")}
            )
            build_data["shared_data"][str(self._sources / "install.json")] = f"{SHARED}/install.json"

    @property
    def _wanted(self) -> str:
        return os.environ.get("MODEL_SERVICE_PANEL", "")

    def _is_there(self) -> bool:
        return (self._output / "package.json").exists() and (self._output / "static").is_dir()

    def _is_current(self) -> bool:
        if not self._is_there() or (self._output / "build_log.json").exists():  # a build for development has it
            return False
        # Without its sources (in an image that is made of a built tree) it is what it is.
        stamp = self._output / ".made-from"
        return not (self._sources / "src").is_dir() or (stamp.exists() and stamp.read_text() == self._hash())

    def _hash(self) -> str:
        found = hashlib.sha256()
        for name in SOURCES:
            top = self._sources / name
            for file in [top] if top.is_file() else sorted(top.rglob("*")):
                relative = file.relative_to(self._sources).as_posix()
                if file.is_file() and "__tests__" not in relative:
                    found.update(f"{relative}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
        return found.hexdigest()

    def _build(self) -> str | None:
        """Why it could not be built, in one sentence with the end of what was said."""
        if not (self._sources / "src").is_dir():
            return "The JupyterLab panel is not built, as its sources are not here; everything else is installed."
        made_from = self._hash()
        scripts = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
        environment = {**os.environ, "PATH": os.pathsep.join([*scripts, os.environ.get("PATH", os.defpath)])}
        jlpm = shutil.which("jlpm", path=environment["PATH"])
        if jlpm is None:
            return f"The JupyterLab panel is not built, as jlpm is not installed here: pip install '{BUILDER}'."
        for command in ([jlpm, "install", "--immutable"], [jlpm, "build:prod"]):
            self.app.display_info(f"panel: {' '.join(['jlpm', *command[1:]])}")
            try:
                done = subprocess.run(
                    command,
                    cwd=self._sources,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=SECONDS,
                )
            except subprocess.TimeoutExpired:
                return f"The JupyterLab panel is not built: {' '.join(command[1:])} took more than {SECONDS} s."
            if done.returncode:
                tail = "\n".join(done.stdout.splitlines()[-20:])
                return f"The JupyterLab panel is not built: jlpm {' '.join(command[1:])} failed.\n{tail}"
        (self._output / ".made-from").write_text(made_from)
        return None


def _has_node() -> bool:
    """Whether there is a node that the panel can be built with (rspack 2: ^20.19 or 22.12 and newer)."""
    node = shutil.which("node")
    if node is None:
        return False
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22
