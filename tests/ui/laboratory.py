"""A real JupyterLab with a real gateway, in folders of its own, authentication on."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from jupyter_model_service.client import Client
from jupyter_model_service.discovery import find_gateway
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PANEL = ROOT / "jupyter_model_service" / "labextension"
SERVER = ROOT / "tests" / "e2e" / "model_server.py"

DEFINITION = """\
models:
- name: "{name}"
  model_path: /models
  service:
    start_command: [python, /models/server.py, --port, "8000"]
    port: 8000
    health_check: {{path: /health, interval: 1, max_retries: 2, max_wait_time: 2, initial_delay: 60}}
"""

#: Nobody is told of news, and nothing is fetched from outside.
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not seen within {seconds} s: {what}; last look gave {seen!r}"
        time.sleep(0.05)
    return seen


class Laboratory:
    """``start`` and ``stop`` bracket the JupyterLab process; its gateway ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "files"  # what the file browser shows
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{free_port()}/"
        self.data_dir = folder / "jupyter" / "model-service"
        self.environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "JUPYTER_DATA_DIR": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_TOKEN": self.token,
            "LOGNAME": "ada",  # whose the services are, also in the pictures of the documents
        }
        self.environment.pop("JUPYTERHUB_USER", None)
        self.log = folder / "jupyterlab.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for each in ("home", "files", "labextensions", "app-settings", "workspaces", "settings"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        (self.folder / "app-settings" / "overrides.json").write_text(json.dumps(SETTINGS))
        # The panel as it stands in this tree, whatever is installed.
        (self.folder / "labextensions" / "jupyter-model-service").symlink_to(PANEL)
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.url.rsplit(":", 1)[1].strip("/"),
            "ServerApp.port_retries": "0",
            "ServerApp.root_dir": str(self.root),
            "ServerApp.jpserver_extensions": "{'jupyter_model_service': True}",
            "LabApp.extra_labextensions_path": str(self.folder / "labextensions"),
            "LabApp.app_settings_dir": str(self.folder / "app-settings"),
            "LabApp.workspaces_dir": str(self.folder / "workspaces"),
            "LabApp.user_settings_dir": str(self.folder / "settings"),
            "LabApp.extension_manager": "readonly",
            "LabApp.expose_app_in_browser": "True",
            # The pages of Notebook 7, where that is installed; it is served by the same process.
            "JupyterNotebookApp.extra_labextensions_path": str(self.folder / "labextensions"),
            "JupyterNotebookApp.expose_app_in_browser": "True",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--{name}={value}" for name, value in options.items()]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        eventually(self._answers, "JupyterLab answers", 90)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"JupyterLab ended: {self.log.read_text()[-3000:]}"
        request = urllib.request.Request(f"{self.url}api/status", headers={"Authorization": f"token {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        if self.process is None:
            return
        found = find_gateway(self.data_dir)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if found is not None:
            try:
                gateway = psutil.Process(found.pid)
                gateway.wait(30)
            except psutil.NoSuchProcess:
                pass
            except psutil.TimeoutExpired:
                gateway.kill()

    def client(self) -> Client:
        """Through the Jupyter server, as users' programs come."""
        return Client(f"{self.url}model-service/", self.token)

    def model_folder(self, name: str) -> Path:
        """A folder in the file browser that can be served: standard library only, ready at once."""
        folder = self.root / name
        folder.mkdir()
        shutil.copy(SERVER, folder / "server.py")
        (folder / "model-definition.yaml").write_text(DEFINITION.format(name=name))
        return folder

    def forget_all(self) -> None:
        """No service is left for the next test, no folder, and no layout of the last page."""
        with self.client() as client:
            for service in client.list():
                client.delete(service.name)
            eventually(lambda: not client.list(), "the services are gone", 30)
        for each in (self.root, self.folder / "workspaces"):
            for entry in each.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
