"""The files of revisions in volumes of a Hub, by way of short-lived servers of their owner."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters import hub_storage
from jupyter_model_service.core.hub_options import CollectOptions, SnapshotOptions, Summary, enveloped, volume_name
from jupyter_model_service.core.policy import Policy
from jupyter_model_service.core.revision import Kept
from jupyter_model_service.errors import HubUnavailable, InvalidRequest, StoreError
from jupyter_model_service.ports import KeptKey
from jupyter_model_service.testing.hub import FakeHub, HubParts, Server, hub_parts
from jupyter_model_service.testing.hub_spawner import Volume

ONE, TWO = "1" * 32, "2" * 32
FOLDER = "/home/jovyan/model"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["ann", "bob"], interrupt=0.02, slow_spawn=0.1) as hub:
        hub.engine.folders["ann"] = {FOLDER: {"app.py": b"one", ".git/HEAD": b"x" * 99}}
        hub.engine.folders["bob"] = {FOLDER: {"app.py": b"bob's"}}
        yield hub


@pytest.fixture
def play(hub: FakeHub, tmp_path: Path) -> Callable[..., None]:
    def play(body: Callable[[HubParts], Coroutine[Any, Any, None]], **options: Any) -> None:
        asyncio.run(body(hub_parts(hub, tmp_path, **options)))

    return play


Play = Callable[..., None]


def untold(files: int, size: int) -> None:
    pass


def only(*keys: KeptKey) -> Callable[[], Awaitable[Collection[KeptKey]]]:
    async def wanted() -> Collection[KeptKey]:
        return keys

    return wanted


def jobs(hub: FakeHub) -> list[str]:
    return [options.do for options in hub.engine.started]


def test_a_folder_of_the_owner_is_kept_in_the_revisions_volume(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        kept = await parts.storage.keep(ONE, 3, FOLDER, untold, owner="ann", image="nb:7")
        assert kept == Kept("copy", volume_name(ONE, 3), files=1, bytes=3, fingerprint="f" * 64)
        assert kept.source == "snapshot"
        assert hub.engine.volumes == {volume_name(ONE, 3): Volume("ann", {"app.py": b"one"})}
        (sent,) = hub.engine.started
        assert isinstance(sent, SnapshotOptions)
        assert (sent.image, sent.limit_bytes, sent.limit_files) == ("nb:7", 7000, 12)
        assert hub.servers() == {}

    play(body, policy=Policy(snapshot_bytes_per_user=7000, snapshot_files=12))


def test_whose_a_volume_is_served_is_noted_though_the_hub_does_nothing_for_it(
    hub: FakeHub, play: Play, tmp_path: Path
) -> None:
    """A service without replicas asks nothing of the Hub: whose it is would be noted at the next look only."""

    async def body(parts: HubParts) -> None:
        kept = await parts.storage.keep(ONE, 1, "volume:models", untold, owner="ann")
        assert (kept.kind, kept.path) == ("live", "models")
        (noted,) = json.loads((tmp_path / "users.json").read_text())
        assert noted == "ann"
        assert hub.engine.started == []

    play(body)


def test_what_a_copy_left_out_is_told(hub: FakeHub, play: Play) -> None:
    hub.engine.left_out = {
        "outside": {"count": 5, "names": ["a", "b", "c", "d", "e"]},
        "skipped": {"count": 1, "names": ["pipe"]},
        "unsettled": {"count": 1, "names": ["log"]},
        "not_copied": ["/home/jovyan/model/shared"],
    }

    async def body(parts: HubParts) -> None:
        kept = await parts.storage.keep(ONE, 3, FOLDER, untold, owner="ann")
        assert kept.why == (
            "links to what is outside the folder lead nowhere in a replica (a, b, c, 2 more); "
            "what is neither file nor folder nor link is left out (pipe); "
            "files that kept changing are as they were at one moment (log); "
            "other storage that is mounted in it is not copied (/home/jovyan/model/shared)"
        )
        hub.engine.left_out = {key: {"count": 0, "names": []} for key in ("outside", "skipped", "unsettled")}
        assert (await parts.storage.keep(ONE, 4, FOLDER, untold, owner="ann")).why is None

    play(body)


def test_how_far_a_copy_is_is_told_before_the_hub_has_answered(hub: FakeHub, play: Play) -> None:
    """It answers a start that takes its time after 10 s only."""
    hub.slow_spawn = 60.0
    hub.engine.folders["ann"][FOLDER] = {f"{n}": b"xx" for n in range(100)}
    hub.engine.copy_seconds = 3.0
    told: list[tuple[int, int]] = []
    expected: list[tuple[int, int]] = []

    async def body(parts: HubParts) -> None:
        await parts.storage.keep(
            ONE, 1, FOLDER, lambda *how: told.append(how), owner="ann", expected=lambda *how: expected.append(how)
        )
        assert {(25, 50), (50, 100), (75, 150)} <= set(told)
        assert expected == [(100, 200)]

    play(body)


def test_that_a_turn_is_waited_for_is_progress(hub: FakeHub, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the engine would give up a copy that waits for a long collection."""
    monkeypatch.setattr(hub_storage, "TURN_TOLD", 0.05)
    told: list[tuple[int, int]] = []

    async def body(parts: HubParts) -> None:
        async with parts.storage._turn("ann"):
            keeping = asyncio.ensure_future(
                parts.storage.keep(ONE, 1, FOLDER, lambda *how: told.append(how), owner="ann")
            )
            while len(told) < 3:
                await asyncio.sleep(0.01)
            assert hub.engine.started == []
            given_up = asyncio.ensure_future(parts.storage.keep(ONE, 2, FOLDER, untold, owner="ann"))
            await asyncio.sleep(0.1)
            given_up.cancel()
            await asyncio.wait({given_up})
        assert (await keeping).kind == "copy"
        await parts.storage.keep(ONE, 3, FOLDER, untold, owner="ann")

    play(body)


def test_how_far_a_copy_is_is_told(hub: FakeHub, play: Play) -> None:
    hub.engine.folders["ann"][FOLDER] = {f"{n}": b"xx" for n in range(100)}
    hub.engine.copy_seconds = 2.0
    told: list[tuple[int, int]] = []

    async def body(parts: HubParts) -> None:
        await parts.storage.keep(ONE, 1, FOLDER, lambda files, size: told.append((files, size)), owner="ann")
        assert {(25, 50), (50, 100), (75, 150)} <= set(told)
        assert told == sorted(told)

    play(body)


@pytest.mark.parametrize(
    ("folder", "error", "said"),
    [
        ("/home/jovyan/none", InvalidRequest, "There is no folder /home/jovyan/none"),
        ("model", InvalidRequest, "must be a full path"),
        ("volume:../x", InvalidRequest, "is no name of a volume"),
        (FOLDER, InvalidRequest, "more than 2 bytes"),
    ],
)
def test_what_the_user_can_mend_is_told_as_her_request(
    hub: FakeHub, play: Play, folder: str, error: type[Exception], said: str
) -> None:
    async def body(parts: HubParts) -> None:
        with pytest.raises(error, match=said):
            await parts.storage.keep(ONE, 1, folder, untold, owner="ann")
        assert hub.servers() == {}
        assert hub.engine.volumes == {}

    play(body, policy=Policy(snapshot_bytes_per_user=2))


@pytest.mark.parametrize("folder", ["/home/jovyan/../alice", "/home/jovyan/a\nb", "/home/jovyan/" + "x" * 5000])
def test_a_folder_that_cannot_be_one_is_refused_before_the_hub_is_asked(hub: FakeHub, play: Play, folder: str) -> None:
    async def body(parts: HubParts) -> None:
        with pytest.raises(InvalidRequest) as told:
            await parts.storage.keep(ONE, 1, folder, untold, owner="ann")
        assert "\n" not in str(told.value)
        assert "http" not in str(told.value), "nothing of the Hub's inside"

    play(body)
    assert jobs(hub) == []


def test_what_she_cannot_mend_is_told_as_ours(hub: FakeHub, play: Play) -> None:
    hub.engine.script.error = ("space", "The disk of the Docker engine is full.")

    async def body(parts: HubParts) -> None:
        with pytest.raises(StoreError, match=r"could not be copied: The disk of the Docker engine is full\.$"):
            await parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann")
        assert hub.servers() == {}

    play(body)


def test_a_cancelled_copy_is_broken_off_on_the_hub(hub: FakeHub, play: Play) -> None:
    hub.engine.copy_seconds = 60.0

    async def body(parts: HubParts) -> None:
        keeping = asyncio.ensure_future(parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann"))
        while not hub.engine.started:
            await asyncio.sleep(0.005)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        assert hub.servers() == {}
        assert hub.engine.volumes == {}

    play(body)


def test_only_what_is_unwanted_is_collected_and_only_where_there_is_something(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        for service, number, owner in ((ONE, 1, "ann"), (ONE, 2, "ann"), (TWO, 1, "bob")):
            await parts.storage.keep(service, number, FOLDER, untold, owner=owner)
        hub.engine.started.clear()
        await parts.storage.collect(only((ONE, 1), (ONE, 2), (TWO, 1)))
        assert jobs(hub) == []
        await parts.storage.collect(only((ONE, 2), (TWO, 1)))
        assert set(hub.engine.volumes) == {volume_name(ONE, 2), volume_name(TWO, 1)}
        (sent,) = hub.engine.started
        assert isinstance(sent, CollectOptions)
        assert sent.user == "ann"
        await parts.storage.collect(only((ONE, 2), (TWO, 1)))
        assert len(hub.engine.started) == 1
        assert hub.servers() == {}

    play(body)


def test_the_next_gateway_knows_whose_volumes_there_are(hub: FakeHub, tmp_path: Path, play: Play) -> None:
    """A service that was deleted just before a crash is in no table any more."""

    async def keep(parts: HubParts) -> None:
        await parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann")

    async def collect(parts: HubParts) -> None:
        await parts.storage.collect(only())
        assert hub.engine.volumes == {}

    play(keep)
    assert stat.S_IMODE((tmp_path / "volumes.json").stat().st_mode) == 0o600
    play(collect)


def test_a_copy_that_a_killed_gateway_waited_for_is_broken_off_and_its_volume_goes(hub: FakeHub, play: Play) -> None:
    async def killed(parts: HubParts) -> None:
        task = asyncio.ensure_future(parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann"))
        while not hub.engine.started:
            await asyncio.sleep(0.005)
        parts.servers.clean = never  # type: ignore[method-assign]
        task.cancel()

    async def never(user: str, name: str, *, settle: bool) -> None:
        pass

    async def next_one(parts: HubParts) -> None:
        own = Server("ms-job-" + "0" * 12, ready=True)  # a user may call a server so
        hub.users["bob"].servers[own.name] = own
        await parts.storage.collect(only())
        assert set(hub.servers()) == {own.name}
        assert hub.engine.volumes == {}

    hub.engine.copy_seconds = 60.0
    play(killed)
    assert [name[:7] for name in hub.servers()] == ["ms-job-"]
    play(next_one)


def test_nothing_that_is_being_kept_is_collected(hub: FakeHub, play: Play) -> None:
    """What becomes kept after ``wanted`` was asked is not taken for rubbish, and jobs under way are not stale ones."""

    async def body(parts: HubParts) -> None:
        await parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann")
        hub.engine.copy_seconds, hub.engine.collect_seconds = 0.5, 1.5
        keeping = asyncio.ensure_future(parts.storage.keep(ONE, 2, FOLDER, untold, owner="ann"))
        while len(hub.engine.started) < 2:
            await asyncio.sleep(0.005)

        async def wanted() -> Collection[KeptKey]:
            return [(ONE, 2)] if keeping.done() else []

        await parts.storage.collect(wanted)
        kept = await keeping
        assert set(hub.engine.volumes) == {kept.path}

    play(body)


def test_the_volumes_of_a_user_who_is_gone_stop_nobody_elses(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann")
        await parts.storage.keep(TWO, 1, FOLDER, untold, owner="bob")
        del hub.users["ann"]
        await parts.storage.collect(only())
        assert set(hub.engine.volumes) == {volume_name(ONE, 1)}
        hub.engine.started.clear()
        hub.calls.clear()
        await parts.storage.collect(only())
        assert not any(method == "POST" for _, method, _ in hub.calls)

    play(body)


def test_a_hub_that_is_down_is_no_reason_to_forget_anything(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        await parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann")
        await asyncio.to_thread(hub.down)
        parts.api._calls._patience = 0.1
        with pytest.raises(HubUnavailable):
            await parts.storage.collect(only())
        await asyncio.to_thread(hub.up)
        await parts.storage.collect(only())
        assert hub.engine.volumes == {}

    play(body)


def test_a_damaged_book_loses_no_wanted_volume(hub: FakeHub, tmp_path: Path, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        for number in (1, 2):
            await parts.storage.keep(ONE, number, FOLDER, untold, owner="ann")
        (tmp_path / "volumes.json").write_text("{")
        await parts.storage.keep(ONE, 3, FOLDER, untold, owner="ann")
        await parts.storage.collect(only((ONE, 1)))
        assert set(hub.engine.volumes) == {volume_name(ONE, 1)}

    play(body)


def test_two_users_keep_at_the_same_time(hub: FakeHub, play: Play) -> None:
    hub.engine.copy_seconds = 0.3

    async def body(parts: HubParts) -> None:
        one, two = await asyncio.gather(
            parts.storage.keep(ONE, 1, FOLDER, untold, owner="ann"),
            parts.storage.keep(TWO, 1, FOLDER, untold, owner="bob"),
        )
        assert {one.path, two.path} == set(hub.engine.volumes)
        await parts.storage.collect(only())
        assert hub.engine.volumes == {}

    play(body)


def test_a_server_of_a_job_can_be_told_from_one_that_a_user_made_up(hub: FakeHub, play: Play) -> None:
    async def body(parts: HubParts) -> None:
        sealed = hub.sealer.seal(CollectOptions("ann", "ms-job-" + "0" * 12, ()).to_plain())
        ours = Server("ms-job-" + "0" * 12, options=enveloped(Summary("x"), sealed))
        hub.users["ann"].servers[ours.name] = ours
        hub.users["bob"].servers[ours.name] = Server(ours.name, options=ours.options)
        await parts.storage.collect(only())
        assert hub.server("ann", ours.name) is None
        assert hub.server("bob", ours.name) is not None

    play(body)
