"""The tour: JupyterLab with the extension, `examples/tiny-chat` deployed, called with a token, and shown.

Everything that it makes lives below `.demo/` (Jupyter's own folders included), and everything that it starts
ends with it. It uses what users have: the Jupyter server, its forwarded API, the command line, plain HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "tiny-chat"
QUESTION = "Hello! What can you do?"
ANSWER = ("Hello, and welcome!", "one word at a time.")  # it always answers the same: how that begins and ends


def say(text: str) -> None:
    print(text, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Demo:
    """Owns the Jupyter server process; ``close`` ends it, and with it (by the product's own rule) the gateway, and
    removes the token for the service, which stays in the folder for the next demo to replace."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.token_file = folder / "token"
        self.token = secrets.token_hex(24)
        self.url = f"http://127.0.0.1:{free_port()}/"
        self.environment = {
            **os.environ,
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "IPYTHONDIR": str(folder / "ipython"),
            # Not on the command line, where every user of the machine could read it.
            "JUPYTER_TOKEN": self.token,
        }
        self.server: subprocess.Popen[bytes] | None = None

    def start_jupyterlab(self) -> None:
        log = open(self.folder / "jupyterlab.log", "wb")  # noqa: SIM115 - the child's for its whole life
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
        command += [f"--ServerApp.port={self.url.rsplit(':', 1)[1].strip('/')}", "--ServerApp.port_retries=0"]
        command += [f"--ServerApp.root_dir={ROOT}"]
        if os.geteuid() == 0:
            command.append("--allow-root")
        self.server = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        log.close()
        self._wait_for_jupyterlab()

    def _wait_for_jupyterlab(self) -> None:
        began = time.monotonic()
        assert self.server is not None
        while time.monotonic() - began < 90:
            if self.server.poll() is not None:
                raise SystemExit(f"JupyterLab ended at once; its log is {self.folder / 'jupyterlab.log'}")
            request = urllib.request.Request(self.url + "api/status", headers={"Authorization": f"token {self.token}"})
            try:
                with urllib.request.urlopen(request, timeout=5):
                    say(f"  JupyterLab is up ({time.monotonic() - began:.1f} s)")
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise SystemExit(f"JupyterLab did not come up within 90 s; its log is {self.folder / 'jupyterlab.log'}")

    def cli(self, *arguments: str, capture: bool = False) -> str:
        """The command line as a user types it, through the Jupyter server's forwarded API."""
        environment = {
            **self.environment,
            "MODEL_SERVICE_URL": self.url + "model-service/",
            "MODEL_SERVICE_TOKEN": self.token,
        }
        command = [sys.executable, "-m", "jupyter_model_service.cli", *arguments]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE if capture else None, text=True)
        if done.returncode:
            raise SystemExit(done.returncode)
        return done.stdout or ""

    def close(self) -> None:
        self.token_file.unlink(missing_ok=True)  # of no use without the gateway, and a secret
        if self.server is None:
            return
        gateway = self._gateway_pid()
        self.server.send_signal(signal.SIGTERM)
        try:
            self.server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        deadline = time.monotonic() + 30
        while gateway is not None and _runs(gateway) and time.monotonic() < deadline:
            time.sleep(0.1)  # not our child: its end cannot be awaited, only seen
        if gateway is not None and _runs(gateway):
            raise SystemExit(f"The gateway (pid {gateway}) did not end with JupyterLab.")
        say("Stopped: JupyterLab, the gateway and the replicas.")

    def _gateway_pid(self) -> int | None:
        try:
            return int(json.loads((self.folder / "data" / "model-service" / "gateway.json").read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(endpoint: str, token_file: Path) -> str:
    """One streamed call with the token, printed as it comes; returns the whole answer."""
    answer = ""
    headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    with httpx.stream("POST", endpoint + "api/chat", json=body, headers=headers, timeout=30) as response:
        if response.status_code != 200:
            response.read()
            raise SystemExit(f"The endpoint answered {response.status_code}: {response.text}")
        for piece in response.iter_text():
            print(piece, end="", flush=True)
            answer += piece
    print()
    return answer


def tour(demo: Demo, *, once: bool) -> None:
    say("1. Starting JupyterLab with the extension …")
    demo.start_jupyterlab()
    say(f"2. Deploying examples/{SERVICE} …")
    existing = [s["name"] for s in json.loads(demo.cli("list", "--json", capture=True))["services"]]
    if SERVICE in existing:  # an earlier demo's: it is of that folder as it was then
        say(f"  Deleting the {SERVICE} of an earlier demo first.")
        demo.cli("delete", SERVICE, "--yes", capture=True)
    # Not shown: the lines that it proposes would look for the service in your own Jupyter data, not in the demo's.
    done = demo.cli("create", str(ROOT / "examples" / SERVICE), "-n", SERVICE, capture=True)
    say("  " + done.partition("\n")[0])
    endpoint = demo.cli("get-endpoint", SERVICE, capture=True).strip()
    token_file = demo.token_file
    demo.cli("generate-token", SERVICE, "--name", "demo", "--output", str(token_file), capture=True)
    say(f"3. Calling it: {QUESTION}")
    answer = ask(endpoint, token_file)
    if not (answer.startswith(ANSWER[0]) and answer.rstrip().endswith(ANSWER[1])):
        raise SystemExit(f"That is not what tiny-chat answers: {answer!r}")
    refused = httpx.post(endpoint + "api/chat", json={"messages": []}, timeout=30)
    if refused.status_code != 401:
        raise SystemExit(f"Without a token the endpoint answered {refused.status_code}, not 401.")
    say("   (and without a token it answers 401)\n")
    shown = token_file.relative_to(Path.cwd()) if token_file.is_relative_to(Path.cwd()) else token_file
    say(f"Endpoint    {endpoint}")
    say(
        f'Call it     curl -N {endpoint}api/chat -H "Authorization: Bearer $(cat {shown})" \\\n'
        "                 -H 'Content-Type: application/json' \\\n"
        f"                 -d '{json.dumps({'messages': [{'role': 'user', 'content': QUESTION}]})}'"
    )
    say(f"JupyterLab  {demo.url}lab?token={demo.token}")
    if (ROOT / "jupyter_model_service" / "labextension" / "package.json").exists():
        say("            with the panel of model services in the left sidebar")
    if not once:
        say("\nThis stays until Ctrl-C.")
        signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="end after the call; exit status 0 only if it was right")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where everything is kept")
    options = parser.parse_args()
    demo = Demo(options.folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whatever ends it, it takes along what it started
    try:
        tour(demo, once=options.once)
    except KeyboardInterrupt:
        say("")
    finally:
        demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
