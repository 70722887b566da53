"""The whole gateway as a process: start, serve, end; and what must not be left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from jupyter_model_service._version import __version__


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def model_pid(view: dict[str, Any], token: str | None = None) -> int:
    """The process that answers at the endpoint."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    answer = httpx.get(view["endpoint"] + "who", headers=headers, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["pid"]
    return found


def test_from_a_folder_to_an_endpoint_and_back_to_nothing(gateways: Any, model: Path) -> None:
    """Created over HTTP, called with a token, counted, deleted; the gateway ends and leaves no process or socket."""
    gateway = gateways.start("--keep")
    view = gateway.deploy(model, name="echo", environment={"GREETING": "hello"})
    where = f"api/v1/services/{view['owner']}/echo"
    assert view["endpoint"].startswith(gateway.url)

    assert httpx.get(view["endpoint"], trust_env=False).status_code == 401
    token = gateway.call("POST", f"{where}/tokens", {"name": "test"})["token"]
    answer = httpx.get(
        view["endpoint"] + "a/b?c=d", headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    )
    assert answer.json()["path"] == "/a/b?c=d"
    assert answer.json()["greeting"] == "hello"
    assert httpx.get(f"{gateway.url}{where}", headers={"Authorization": f"Bearer {token}"}).status_code == 403

    counted = gateway.control.get("metrics").text
    series = f'service="{view["owner"]}/echo"'
    assert f'model_service_replicas{{phase="ready",{series}}} 1.0' in counted
    assert f'model_service_requests_total{{revision="1",{series},status="2xx"}} 1.0' in counted

    gateway.call("DELETE", where)
    assert httpx.get(view["endpoint"], headers={"Authorization": f"Bearer {token}"}).status_code in (401, 404)
    gateways.until(lambda: series not in gateway.control.get("metrics").text)  # its replica drains first

    stopped = subprocess.run(
        [sys.executable, "-m", "jupyter_model_service.app", "--stop", f"--data-dir={gateways.data}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert gateway.end() == 0
    assert gateways.leftovers() == []
    assert sorted(p.name for p in gateways.data.iterdir()) == [
        "begun",
        "gateway.lock",
        "gateway.port",
        "history",
        "replicas",
        "revisions",
        "state.db",
        "state.key",
    ]
    assert [each for name in ("begun", "replicas", "revisions") for each in (gateways.data / name).iterdir()] == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_every_file_has_its_own_mode_whatever_the_umask(gateways: Any, model: Path, umask: int) -> None:
    """0 would open all of them to everybody, 0777 leave even us without rights. What the umask says of others is the
    model server's, too."""
    gateway = gateways.start("--keep", umask=umask)
    view = gateway.deploy(model, name="echo")
    pid = view["replica_list"][0]["pid"]
    assert f"Umask:\t{umask & 0o077:04o}" in Path(f"/proc/{pid}/status").read_text()
    wrong = {}
    for folder, folders, files in os.walk(gateways.data):
        # Closed to others as a whole: pip's files and copies of the user's have modes of their own.
        if Path(folder).name in ("env", "revisions"):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
            folders.clear()
            continue
        for name in [*folders, *files]:
            path = Path(folder) / name
            if stat.S_IMODE(path.lstat().st_mode) != (0o700 if path.is_dir() else 0o600):
                wrong[str(path.relative_to(gateways.data))] = oct(path.lstat().st_mode)
    assert wrong == {}
    assert stat.S_IMODE(gateways.data.stat().st_mode) == 0o700
    assert (gateways.data / "replicas" / view["replica_list"][0]["id"] / "spec.json").exists()


def test_what_is_announced_is_private_and_right(gateways: Any) -> None:
    gateway = gateways.start("--keep")
    for name in ("gateway.json", "state.db", "web.sock", "gateway.lock"):
        assert stat.S_IMODE((gateways.data / name).stat().st_mode) == 0o600, name
    info = gateway.call("GET", "api/v1/")
    assert info["pid"] == gateway.process.pid
    assert (info["version"], info["mode"], info["launcher"], info["keep"]) == (__version__, "embedded", "local", True)
    listening = {c.laddr.ip for c in psutil.Process(info["pid"]).net_connections("inet") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_a_second_gateway_says_who_runs(gateways: Any) -> None:
    gateway = gateways.start("--keep")
    status, said = gateways.fails("--keep")
    assert status == 1
    assert len(said.splitlines()) == 1
    assert f"process {gateway.process.pid} at {gateway.url}" in said
    assert gateway.call("GET", "api/v1/")["pid"] == gateway.process.pid


def test_a_killed_gateway_leaves_replicas_that_the_next_one_adopts(gateways: Any, model: Path) -> None:
    """Same address, same token, same process."""
    first = gateways.start("--keep")
    view = first.deploy(model, name="echo")
    token = first.call("POST", f"api/v1/services/{view['owner']}/echo/tokens", {})["token"]
    before = model_pid(view, token)
    first.process.kill()
    first.process.wait()
    assert alive(before)
    second = gateways.start("--keep")
    assert second.url == first.url
    assert second.token != first.token
    again = second.ready("echo", view["owner"])
    assert again["endpoint"] == view["endpoint"]
    assert model_pid(again, token) == before
    assert httpx.get(f"{first.url}api/v1/", headers=dict(first.control.headers)).status_code == 401


def test_replicas_can_be_left_for_the_next_gateway(gateways: Any, model: Path) -> None:
    first = gateways.start("--keep")
    view = first.deploy(model, name="echo", public=True)
    before = model_pid(view)
    status, _ = gateways.fails("--stop", "--leave-replicas")
    assert status == 0
    assert first.end() == 0
    assert not (gateways.data / "gateway.json").exists()
    assert alive(before)
    second = gateways.start("--keep")
    assert model_pid(second.ready("echo", view["owner"])) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_gateway_and_replicas(gateways: Any, model: Path, number: signal.Signals) -> None:
    """In order: exit status 0, nothing left, and the service comes up again with the next gateway."""
    # What runs the tests may have had it ignored (nohup, a shell's background job), and that is inherited.
    gateway = gateways.start("--keep", preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    view = gateway.deploy(model, name="echo", public=True)
    before = model_pid(view)
    gateway.process.send_signal(number)
    assert gateway.end() == 0
    assert not alive(before)
    assert gateways.leftovers() == []
    assert not (gateways.data / "gateway.json").exists()
    again = gateways.start("--keep").ready("echo", view["owner"])
    assert model_pid(again) != before
    assert again["endpoint"] == view["endpoint"]


def test_an_open_event_stream_does_not_hold_up_the_end(gateways: Any) -> None:
    gateway = gateways.start("--keep")
    began, ended = threading.Event(), threading.Event()

    def listen() -> None:
        with gateway.control.stream("GET", "api/v1/events") as answer:
            for line in answer.iter_lines():
                if line == "event: hello":
                    began.set()
        ended.set()

    reader = threading.Thread(target=listen)
    reader.start()
    assert began.wait(30)
    gateway.process.terminate()
    assert gateway.end() == 0
    reader.join(30)
    assert ended.is_set()


def test_it_ends_with_the_last_jupyter_server(gateways: Any, model: Path) -> None:
    """A server that was killed without a word takes gateway and replicas along, unless they are kept."""
    gateway = gateways.start()
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        begun = psutil.Process(server.pid).create_time()
        info = gateway.call("POST", "api/v1/gateway/attach", {"pid": server.pid, "create_time": begun})
        assert info["attached"] == 1
        gateway.call("POST", "api/v1/gateway/attach", {"pid": server.pid, "create_time": begun - 99}, status=400)
        before = model_pid(gateway.deploy(model, name="echo", public=True))
    finally:
        server.kill()
        server.wait()
    assert gateway.end() == 0
    assert not alive(before)
    assert gateways.leftovers() == []


def test_it_ends_when_nobody_comes(gateways: Any) -> None:
    gateway = gateways.start("--ModelService.attach_timeout=1")
    assert gateway.end() == 0
    assert "--keep" in gateway.process.communicate()[1]


def test_a_log_file_takes_the_lines_of_a_detached_start(gateways: Any, model: Path) -> None:
    """One line for an action, and never a token."""
    gateways.data.mkdir(mode=0o700)
    with (gateways.data / "gateway.log").open("ab") as log:
        gateway = gateways.start("--keep", stdout=log, stderr=log)
    view = gateway.deploy(model, name="echo")
    where = f"api/v1/services/{view['owner']}/echo"
    token = gateway.call("POST", f"{where}/tokens", {"name": "x"})["token"]
    httpx.get(view["endpoint"], params={"token": token})
    gateway.control.get("api/v1/services", params={"token": gateway.token})
    gateway.process.terminate()
    assert gateway.end() == 0
    text = (gateways.data / "gateway.log").read_text()
    assert sum(f"POST /{where}/tokens 201" in line for line in text.splitlines()) == 1
    assert "request=" in text
    assert token not in text
    assert gateway.token not in text


def test_an_access_log_has_each_call_and_no_secret(gateways: Any, model: Path) -> None:
    """Of its own user alone; moved away, it is begun anew; where it cannot be written, calls go on and it is said."""
    gateway = gateways.start("--keep", "--ModelService.access_log=access.log", umask=0)
    path, moved = gateways.data / "access.log", gateways.data / "access.log.moved"
    view = gateway.deploy(model, name="echo")
    where = f"api/v1/services/{view['owner']}/echo"
    token = gateway.call("POST", f"{where}/tokens", {"name": "ci"})["token"]
    query = "jms_of-somewhere-else"  # of nobody here, so it is the model's own; a good one is refused in an address

    def call(name: str) -> None:
        address = f"{view['endpoint']}{name}?token={query}"
        assert httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False).is_success

    def lines(file: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []

    def of(name: str, file: Path = path) -> list[dict[str, Any]]:
        return [line for line in lines(file) if line["path"].endswith(f"/echo/{name}")]

    call("first")
    (found,) = gateways.until(lambda: of("first"))
    assert (found["service"], found["caller"], found["status"]) == (f"{view['owner']}/echo", "token:ci", 200)
    assert (found["replica"], found["revision"]) == (view["replica_list"][0]["id"], 1)
    assert [line["status"] for line in lines(path) if line["path"].endswith("/echo/tokens")] == [201]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert gateway.control.get("health/ready").text == "ok\naccess log: written\n"

    path.rename(moved)
    call("second")
    assert len(gateways.until(lambda: of("second"))) == 1
    assert not of("second", moved)

    path.rename(f"{path}.1")
    path.mkdir()
    call("third")
    gateways.until(lambda: gateway.control.get("health/ready").text == "ok\naccess log: cannot be written\n")
    assert "model_service_access_log_writable 0.0" in gateway.control.get("metrics").text
    call("fourth")
    path.rmdir()
    gateways.until(lambda: of("third") and of("fourth"))

    call("last")
    gateway.process.terminate()
    assert gateway.end() == 0
    assert len(of("last")) == 1, "what was there at the end is written"
    written = "".join(file.read_text() for file in gateways.data.glob("access.log*"))
    assert token not in written
    assert gateway.token not in written
    assert gateway.process.communicate()[1].count("cannot be written") == 1


def test_the_access_log_goes_to_standard_output(gateways: Any) -> None:
    gateway = gateways.start("--keep", "--ModelService.access_log=-")
    gateway.control.get("health/live")
    gateway.process.terminate()
    out, _ = gateway.process.communicate(timeout=30)
    assert "/health/live" in [json.loads(line)["path"] for line in out.splitlines()]


def damaged(path: Path) -> None:
    path.write_bytes(b"this is no database" * 500)


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9999")
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("spoil", [damaged, newer])
def test_a_database_that_cannot_be_used_is_left_as_it_is(gateways: Any, spoil: Any) -> None:
    """One sentence, status 1, no traceback, no runtime file, the same bytes."""
    gateways.data.mkdir(mode=0o700)
    database = gateways.data / "state.db"
    spoil(database)
    before = database.read_bytes()
    status, said = gateways.fails("--keep")
    assert status == 1
    assert len(said.splitlines()) == 1, said
    assert "state.db" in said
    assert database.read_bytes() == before
    assert not (gateways.data / "gateway.json").exists()


def test_a_full_disk_ends_the_start_with_one_sentence(gateways: Any) -> None:
    """A file-size limit of 0 stands for it. What was there before is still there."""
    gateways.start("--keep").process.terminate()
    gateways.started[0].wait(30)
    before = (gateways.data / "state.db").read_bytes()

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    status, said = gateways.fails("--keep", preexec_fn=no_room, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert status == 1
    assert len(said.splitlines()) == 1, said
    assert "Traceback" not in said
    assert (gateways.data / "state.db").read_bytes() == before
    assert not (gateways.data / "gateway.json").exists()


def test_a_place_that_is_no_folder_ends_the_start_with_one_sentence(gateways: Any) -> None:
    gateways.data.write_text("mine")
    status, said = gateways.fails("--keep")
    assert (status, len(said.splitlines())) == (1, 1)
    assert str(gateways.data) in said
    assert gateways.data.read_text() == "mine"


def test_something_in_the_way_inside_ends_the_start_with_one_sentence(gateways: Any) -> None:
    """Such as a folder where the socket or a file where the replicas belong."""
    for name in ("replicas", "web.sock"):
        gateways.data.mkdir(mode=0o700, exist_ok=True)
        place = gateways.data / name
        if name == "replicas":
            place.write_text("mine")
        else:
            place.mkdir()
        status, said = gateways.fails("--keep")
        assert (status, len(said.splitlines())) == (1, 1), said
        assert str(place) in said
        assert not (gateways.data / "gateway.json").exists()
        place.unlink() if name == "replicas" else place.rmdir()


def test_a_data_directory_with_a_long_path_works(gateways: Any) -> None:
    """Longer than a Unix socket's path may be: the private socket is elsewhere, and goes with the gateway."""
    gateways.data = gateways.data / ("long" * 30)
    gateway = gateways.start("--keep")
    assert gateway.call("GET", "api/v1/services")["services"] == []
    opened = {c.laddr for c in psutil.Process(gateway.process.pid).net_connections("unix") if c.laddr}
    socket_path = next(Path(str(p)) for p in opened if str(p).endswith("web.sock"))
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    gateway.process.terminate()
    assert gateway.end() == 0
    assert not socket_path.parent.exists()


def test_the_file_of_the_running_gateway_holds_what_clients_need(gateways: Any) -> None:
    gateway = gateways.start("--keep", "--port=0")
    content = json.loads((gateways.data / "gateway.json").read_text())
    assert set(content) == {"url", "token", "pid", "create_time", "version"}
    assert content["token"].startswith("jmc_")
    assert content["create_time"] == pytest.approx(psutil.Process(gateway.process.pid).create_time(), abs=0.5)
