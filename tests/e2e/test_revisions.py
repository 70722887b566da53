"""A revision runs what its folder held when it was made, whatever becomes of the folder, the replicas or the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil

from jupyter_model_service import wire
from jupyter_model_service.client import Client

from .conftest import Gateway, eventually
from .load import Caller

Model = Callable[..., Path]


def edit(folder: Path, version: str) -> None:
    """Another ``app.py``, with an error of the kind that half-done edits have when there is no version."""
    text = (folder / "server.py").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VERSION ="))
    (folder / "server.py").write_text(text.replace(line, f'VERSION = "{version}"' if version else "VERSION = ("))


def answered(service: wire.ServiceInfo, token: str) -> str:
    """The version that the endpoint answers with."""

    async def body() -> str:
        caller = Caller(service.endpoint, token)
        status, _, content = await asyncio.wait_for(caller.request("POST", "/work", b"x"), 30)
        await caller.close()
        assert status == 200, content
        return str(json.loads(content)["version"])

    return asyncio.run(body())


def settled(client: Client, revision: int) -> wire.ServiceInfo:
    def look() -> wire.ServiceInfo | None:
        service = client.get("m")
        done = service.state == "ready" and service.stable_revision == revision
        return service if done and service.replicas.total == service.replicas.want else None

    return eventually(look, f"revision {revision} is up", 60)


def copies(gateway: Gateway) -> list[str]:
    return sorted(path.name for path in gateway.data_dir.glob("revisions/*/*/*") if path.suffix != ".json")


def test_an_edit_counts_from_the_update_on_and_a_rollback_brings_the_old_files_back(
    gateway: Gateway, client: Client, model: Model
) -> None:
    folder = model()
    edit(folder, "one")
    client.create(str(folder), name="m")
    service = settled(client, 1)
    token = client.generate_token("m", token_name="test").token
    assert (answered(service, token), client.get("m").changed) == ("one", [])

    edit(folder, "")
    (replica,) = client.get("m").replica_list
    assert replica.pid is not None
    psutil.Process(replica.pid).send_signal(signal.SIGKILL)
    eventually(lambda: client.get("m").restarts == 1, "the replica is replaced")
    settled(client, 1)
    assert answered(service, token) == "one", "a replacement runs what the revision kept, not a half-done edit"
    eventually(lambda: client.get("m").changed == ["server.py"], "the change is seen")
    told = gateway.cli("info", "m").stdout
    assert "folder changed since revision 1: server.py" in told

    shutil.copy(Path(__file__).parent / "model_server.py", folder / "server.py")
    edit(folder, "two")
    client.update("m")
    settled(client, 2)
    assert (answered(service, token), copies(gateway)) == ("two", ["1", "2"])
    assert client.get("m").changed == []

    shutil.rmtree(folder)
    refused = gateway.cli("update", "m")
    assert (refused.returncode != 0, "there is no such folder" in refused.stderr) == (True, True), refused.stderr
    client.rollback("m")
    settled(client, 1)
    assert answered(service, token) == "one"

    gateway.kill()
    gateway.start()
    with gateway.client() as later:
        later.restart("m")
        eventually(lambda: {r.phase for r in later.get("m").replica_list} == {"ready"}, "restarted", 60)
        assert answered(settled(later, 1), token) == "one"
        later.delete("m")
        eventually(lambda: not copies(gateway), "no copy of a service that is gone")


def test_weights_stay_where_they_are_and_the_rest_of_a_folder_is_kept(
    gateway: Gateway, client: Client, model: Model
) -> None:
    folder = model()
    with open(folder / "weights.bin", "wb") as weights:
        os.truncate(weights.fileno(), 20 << 20)
    os.symlink("/etc/passwd", folder / "users")
    client.create(str(folder), name="m")
    files = settled(client, 1).revisions[0].files
    assert (files.kind, files.files, files.linked) == ("copy", 2, 2)
    assert files.path is not None
    copy = Path(files.path)
    assert os.readlink(copy / "weights.bin") == str(folder / "weights.bin")
    assert os.readlink(copy / "users") == "/etc/passwd"
    assert os.stat(copy).st_mode & 0o777 == 0o700


def test_kill_9_of_the_gateway_while_it_copies_leaves_nothing_behind(gateway: Gateway, model: Model) -> None:
    folder = model()
    (folder / "many").mkdir()
    for number in range(12_000):
        (folder / "many" / f"f{number}").write_bytes(b"x")
    with gateway.client() as client:
        asking = asyncio.to_thread(lambda: _ignored(lambda: client.create(str(folder), name="m")))

        async def body(asked: Coroutine[Any, Any, None]) -> None:
            task = asyncio.ensure_future(asked)
            look = lambda: list(gateway.data_dir.glob("revisions/*/*/.new-*"))  # noqa: E731
            await asyncio.to_thread(eventually, look, "a copy under way")
            gateway.kill()
            await task

        asyncio.run(body(asking))
    gateway.start()
    with gateway.client() as client:
        assert client.list() == []
        eventually(lambda: not list((gateway.data_dir / "revisions").iterdir()), "the half copy is gone")
        client.create(str(folder), name="m")
        assert settled(client, 1).revisions[0].files.files == 12_002


def test_a_start_without_the_database_spares_the_copies_of_the_one_that_is_put_back(
    gateway: Gateway, client: Client, model: Model
) -> None:
    client.create(str(model()), name="m")
    service = settled(client, 1)
    gateway.stop()
    away = gateway.data_dir.with_name("away")
    away.mkdir()
    for path in gateway.data_dir.glob("state.db*"):
        path.rename(away / path.name)
    gateway.start()
    with gateway.client() as anew:
        assert anew.list() == []
    eventually(lambda: "does not know" in gateway.log.read_text(), "what is kept is looked through")
    gateway.stop()
    for path in gateway.data_dir.glob("state.db*"):
        path.unlink()
    for path in away.iterdir():
        path.rename(gateway.data_dir / path.name)
    gateway.start()
    with gateway.client() as back:
        assert settled(back, 1).revisions[0].files == service.revisions[0].files


def _ignored(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:  # its gateway was killed
        return


def test_a_folder_beyond_the_limits_is_served_where_it_lies(gateway: Gateway, model: Model) -> None:
    gateway.stop()
    gateway.start("--ModelService.snapshot_files=3")
    folder = model()
    (folder / "a").write_bytes(b"")
    (folder / "b").write_bytes(b"")
    with gateway.client() as client:
        client.create(str(folder), name="m")
        files = settled(client, 1).revisions[0].files
        assert (files.kind, files.why) == ("live", "the folder holds more than 3 files")
        assert any("read where they lie" in event.message for event in client.events("m"))
        assert "read where they lie: the folder holds more than 3 files" in gateway.cli("info", "m").stdout
