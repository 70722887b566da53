"""The audit log of a real gateway: over ``kill -9`` in the midst of changes, and on a disk that is full."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import Gateways, RunningGateway

Entry = dict[str, Any]


def entries(gateway: RunningGateway) -> list[Entry]:
    found: list[Entry] = []
    while True:
        after = found[-1]["id"] if found else 0
        page = gateway.call("GET", f"api/v1/admin/audit?limit=1000&after={after}")["entries"]
        if not page:
            return found
        found += page


def tokens_in(state: Any) -> set[str]:
    return set(((state or {}).get("tokens") or {}).keys())


def changed_by(log: list[Any]) -> Counter[str]:
    """How many entries tell of each token that it was made or revoked."""
    deeds = [each for each in log if each["action"] in ("create_token", "revoke_token")]
    return Counter(token for each in deeds for token in tokens_in(each["before"]) ^ tokens_in(each["after"]))


def hammered(gateway: RunningGateway, where: str, until: int) -> dict[str, int]:
    """Tokens are made and revoked by four clients at once until so many were answered, and then the gateway is killed.
    What it answered: token id → how often something was done to it."""
    answered: Counter[str] = Counter()
    enough = threading.Event()

    def client() -> None:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(base_url=gateway.url, headers=headers, timeout=30, trust_env=False) as http,
        ):
            while True:
                made = http.post(f"{where}/tokens", json={"name": "x"}).json()["id"]
                answered[made] += 1
                if len(answered) >= until:
                    enough.set()
                http.delete(f"{where}/tokens/{made}").raise_for_status()
                answered[made] += 1

    clients = [threading.Thread(target=client) for _ in range(4)]
    for each in clients:
        each.start()
    assert enough.wait(60)
    gateway.process.kill()
    gateway.process.wait(30)
    for each in clients:
        each.join(60)
    return dict(answered)


def test_what_was_answered_is_in_the_log_after_a_kill_and_so_is_what_was_begun(gateways: Any, model: Path) -> None:
    """And in its copy, each once. What is there of what nobody was told is told of, too."""
    options = ("--keep", "--ModelService.audit_log=audit.jsonl")
    gateway = gateways.start(*options)
    view = gateway.call("POST", "api/v1/services", {"folder": str(model), "name": "echo", "replicas": 0})
    where = f"api/v1/services/{view['owner']}/echo"
    for life in range(3):
        answered = hammered(gateway, where, 10)
        gateway = gateways.start(*options)
        log = entries(gateway)
        started = next(n for n in range(len(log) - 1, -1, -1) if log[n]["action"] == "start_gateway")
        assert [each["status"] for each in log[:started] if each["action"] == "start_gateway"] == [200] * (life + 1)
        done, interrupted = [each for each in log if each["status"] < 400], [each for each in log if each["code"]]
        assert {each["code"] for each in interrupted} <= {"interrupted"}
        noted = changed_by(done)  # nothing that was answered is made up for by what is found afterwards
        assert not [token for token, times in answered.items() if noted[token] < times]
        listed = {token["id"] for token in gateway.call("GET", f"{where}/tokens")["tokens"]}
        assert listed <= set(noted + changed_by(interrupted))
        assert not list((gateways.data / "begun").iterdir())
    gateway.process.terminate()
    assert gateway.end() == 0
    lines = [json.loads(line) for line in (gateways.data / "audit.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["action"] for line in lines[-2:]] == ["start_gateway", "stop_gateway"]


def test_syslog_hears_of_the_gateways_start_and_health_says_whether_it_does(gateways: Any) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(f"{folder}/log")
        there.settimeout(40)
        gateway = gateways.start("--keep", f"--ModelService.audit_syslog={folder}/log")
        said = there.recv(1 << 16)
        assert said.startswith(b"<85>")
        assert json.loads(said[said.index(b"{") :])["action"] == "start_gateway"
        gateway.call("POST", "api/v1/validate", {"folder": folder}, status=422)
        said = there.recv(1 << 16)  # soon: nobody looks for what was not told for a minute
        assert said.startswith(b"<84>")
        assert json.loads(said[said.index(b"{") :])["action"] == "validate"
        assert gateway.control.get("health/ready").text == "ok\naudit log: copied\n"
        there.close()
        gateway.call("POST", "api/v1/validate", {"folder": folder}, status=422)
        gateways.until(lambda: gateway.control.get("health/ready").text == "ok\naudit log: cannot be copied\n")


SMALL = """
set -e
mkdir -p "$1"
mount -t tmpfs -o size=6m,mode=700 tmpfs "$1"
shift
exec "$@"
"""


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """A command prefix under which file systems can be mounted that vanish with the process."""
    for prefix in (["unshare", "-m"], ["unshare", "-rm"]):
        with contextlib.suppress(OSError):
            tried = subprocess.run([*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], timeout=20, capture_output=True)
            if tried.returncode == 0:
                return prefix
    pytest.skip("this machine lets nobody mount in a namespace of his own")


def test_on_a_full_disk_nothing_is_changed_and_calls_and_reading_go_on(
    gateways: Gateways, model: Path, namespace: list[str]
) -> None:
    """A disk of 6 MiB. What is refused is done by nobody, and when there is room again, everything goes on."""
    program = [sys.executable, "-m", "jupyter_model_service.app", f"--data-dir={gateways.data}", "--keep"]
    command = [*namespace, "sh", "-c", SMALL, "sh", str(gateways.data), *program]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    gateways.started.append(process)
    seen = Path(f"/proc/{process.pid}/root{gateways.data}")
    gateway = RunningGateway(seen, process)
    gateways.clients.append(gateway.control)
    view = gateway.deploy(model, name="echo", public=True)
    where = f"api/v1/services/{view['owner']}/echo"
    (model / "weights").write_bytes(bytes(1 << 20))
    gateway.call("POST", "api/v1/services", {"folder": str(model), "name": "large", "replicas": 0})
    ballast = seen / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass

    for _ in range(3):
        refused = gateway.control.put(f"{where}/scale", json={"replicas": 3})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store")
        assert "Nothing is changed" in refused.json()["error"]["message"]
        assert "disk is full" in refused.json()["error"]["message"]
    assert gateway.call("GET", where)["replicas"]["want"] == 1
    assert httpx.get(f"{view['endpoint']}x", trust_env=False, timeout=30).status_code == 200
    assert gateway.call("GET", "api/v1/admin/audit")["entries"]

    large = gateway.control.delete(f"api/v1/services/{view['owner']}/large")
    assert large.status_code == 202, "that makes room, and with that it can be written down"
    gateways.until(lambda: gateway.control.get(f"api/v1/services/{view['owner']}/large").status_code == 404)
    ballast.unlink()
    gateways.until(lambda: gateway.control.put(f"{where}/scale", json={"replicas": 0}).status_code == 202)
    done = [each for each in entries(gateway) if each["action"] == "scale_service" and each["status"] < 400]
    assert [each["after"]["replicas"] for each in done] == [0]
    assert [each["target"] for each in entries(gateway) if each["action"] == "delete_service"] == [
        f"{view['owner']}/large"
    ]
    process.terminate()
    assert process.wait(60) == 0
