"""Whom alice shares her model with, on a real Hub: users, groups, a class; and when that ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from jupyter_model_service.errors import ModelServiceError

from .deployment import Deployment, Setup, eventually
from .mirror import Mirror, members, told

KNOWN = 30.0  # seconds for which an answer of the Hub about a token is good
ENDED = 60.0  # seconds after which nothing is open that may not be
SLACK = 15.0  # for a busy machine


@pytest.fixture(scope="module")
def mirror(hub: Deployment) -> Iterator[Mirror]:
    made = Mirror(hub)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def shared_with_nobody_afterwards(mirror: Mirror) -> Iterator[None]:
    yield
    mirror.owner.update(mirror.key, visibility="private")
    assert mirror.owner.access(mirror.key).shares == []


def test_bob_calls_what_is_shared_with_him_from_his_notebook_and_with_his_tokens(
    hub: Deployment, mirror: Mirror
) -> None:
    """Before and after there is no such service for him, and never one for carol; nobody else may share it."""
    notebook = hub.notebook("bob")
    inside = notebook.exec("sh", "-c", "echo $JUPYTERHUB_API_TOKEN").stdout.strip()
    his = [inside, hub.token("bob"), mirror.visitor("bob")]
    hers = [hub.token("carol"), mirror.visitor("carol")]
    only_named = hub.token("bob", scopes=["read:users:name!user=bob"])
    assert mirror.statuses(*his, *hers, only_named, None) == [404] * 6 + [401]
    assert told(notebook, "list") == {"services": [], "shared": []}

    said = mirror.alice.cli("share", "mirror", "--user", "bob").stdout
    assert said == "Shared alice/mirror with bob as caller.\n"
    assert mirror.statuses(*his, *hers, only_named, None) == [200] * 3 + [404] * 3 + [401]
    (listed,) = told(notebook, "list")["shared"]
    assert (listed["owner"], listed["name"], listed["role"], listed["state"]) == ("alice", "mirror", "caller", "ready")
    assert listed["endpoint"] == mirror.url
    refused = notebook.cli("stop", "alice/mirror", check=False)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert notebook.cli("share", "alice/mirror", "--user", "carol", check=False).returncode == 1

    mirror.alice.cli("unshare", "mirror", "--user", "bob")
    assert mirror.statuses(*his, *hers, None) == [404] * 5 + [401], "with the next call"
    assert told(notebook, "list") == {"services": [], "shared": []}


def test_an_operator_runs_it_from_his_notebook_and_sees_not_what_it_is_made_of(hub: Deployment, mirror: Mirror) -> None:
    notebook, visiting = hub.notebook("bob"), mirror.visitor("bob")
    mirror.owner.share(mirror.key, users=["bob"], role="operator")
    (seen,) = told(notebook, "list")["services"]
    assert (seen["role"], seen["visibility"], seen["revisions"][0]["folder"]) == ("operator", "shared", "")
    notebook.cli("restart", "alice/mirror")
    by_visit = mirror.call(visiting, f"api/v1/services/{mirror.key}/restart", url=hub.service_url, method="POST")
    assert by_visit.status_code == 403, "a token that was made for calling manages nothing"
    assert notebook.cli("delete", "alice/mirror", "--yes", check=False).returncode == 1

    def restarted() -> set[tuple[str, int]]:
        return {(each.who, each.status) for each in mirror.owner.audit("mirror") if each.action == "restart_service"}

    # What is denied is written down a minute later at most, with its number.
    eventually(lambda: len(restarted()) > 1, "what was denied, in the audit log", 90, 1)
    assert restarted() == {("bob", 202), ("bob", 403)}


def test_a_group_is_who_is_in_it_and_who_is_taken_out_is_out_within_thirty_seconds(
    hub: Deployment, mirror: Mirror
) -> None:
    with members(hub, "readers", "bob"):
        bob, carol = mirror.visitor("bob"), mirror.visitor("carol")
        mirror.alice.cli("share", "mirror", "--group", "readers")
        assert mirror.statuses(bob, carol) == [200, 404]
        assert hub.api("POST", "/groups/readers/users", {"users": ["carol"]}).status_code == 200
        eventually(lambda: mirror.statuses(carol) == [200], "carol, who is in it now", KNOWN + SLACK, 1)
        assert hub.api("DELETE", "/groups/readers/users", {"users": ["bob"]}).status_code == 200
        began = time.monotonic()
        eventually(lambda: mirror.statuses(bob) == [404], "bob, who is out of it", KNOWN + SLACK, 0.5)
        print(f"out of the group: refused after {time.monotonic() - began:.1f} s")
        assert mirror.statuses(carol) == [200]


def test_who_was_deleted_and_made_again_has_nothing_of_what_was_shared_with_the_former(
    hub: Deployment, mirror: Mirror
) -> None:
    """Neither with her tokens, which go with her, nor with new ones, until that is taken back and it is shared with her."""
    assert hub.api("POST", "/users/dora").status_code == 201
    try:
        before = mirror.visitor("dora")
        mirror.owner.share(mirror.key, users=["dora"])
        assert mirror.statuses(before) == [200]
        assert hub.api("DELETE", "/users/dora").status_code == 204
        eventually(lambda: mirror.statuses(before) == [401], "a token of nobody", KNOWN + SLACK, 1)
        assert hub.api("POST", "/users/dora").status_code == 201
        again = mirror.visitor("dora")
        assert mirror.statuses(again, before) == [404, 401]
        with pytest.raises(ModelServiceError, match="another user of the name dora, who was deleted: take that back"):
            mirror.owner.share(mirror.key, users=["dora"])
        assert mirror.statuses(again) == [404]
        mirror.owner.unshare(mirror.key, users=["dora"])
        mirror.owner.share(mirror.key, users=["dora"])
        assert mirror.statuses(again, before) == [200, 401]
    finally:
        hub.api("DELETE", "/users/dora")


class Program:
    """It has an SSE stream and a WebSocket of the model open, and the stream of what changes in the control API, and
    calls twice a second. ``name`` is what the model knows the first two by."""

    def __init__(self, mirror: Mirror, name: str, token: str) -> None:
        self.mirror, self.name, self.headers = mirror, name, {"Authorization": f"Bearer {token}"}
        self._open = [asyncio.Event() for _ in range(3)]
        self._here = [asyncio.ensure_future(each) for each in (self._events(), self._socket(), self._news())]

    def _client(self, silence: float) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, timeout=silence, headers=self.headers)

    async def _events(self) -> float:
        """When the last one came."""
        address, last = f"{self.mirror.url}events?{self.name}", 0.0
        async with self._client(5.0) as client, client.stream("GET", address) as answer:
            assert answer.status_code == 200
            # One comes each half second. The Hub's proxy tells nobody that an answer broke off: there is silence.
            with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadTimeout):
                async for _ in answer.aiter_bytes():
                    self._open[0].set()
                    last = time.monotonic()
        return last

    async def _socket(self) -> float:
        address = f"ws{self.mirror.url.removeprefix('http')}socket?{self.name}"
        async with connect(address, additional_headers=self.headers, origin=None, proxy=None) as socket:
            self._open[1].set()
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await socket.recv()
        return time.monotonic()

    async def _news(self) -> float:
        """Its end, or that there is no such service for her any more."""
        address = f"{self.mirror.hub.service_url}api/v1/events"
        async with self._client(30.0) as client, client.stream("GET", address) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                self._open[2].set()
                if line == "event: removed":
                    break
        return time.monotonic()

    async def begun(self) -> None:
        await asyncio.wait_for(asyncio.gather(*(each.wait() for each in self._open)), 30)

    async def ended(self) -> float:
        """When (monotonic) the last of the three was over."""
        return max(await asyncio.wait_for(asyncio.gather(*self._here), ENDED + SLACK))

    async def refused(self, *statuses: int) -> float:
        """When (monotonic) a call was let in for the last time."""
        last = time.monotonic()
        async with self._client(30.0) as client:
            while True:
                began = time.monotonic()
                answer = await client.get(f"{self.mirror.url}who")
                if answer.status_code in statuses:
                    return last
                assert answer.status_code == 200, answer.text
                last = began
                await asyncio.sleep(0.5)

    def goes_on(self) -> bool:
        return not any(each.done() for each in self._here)

    async def leave(self) -> None:
        for each in self._here:
            each.cancel()
        await asyncio.gather(*self._here, return_exceptions=True)


async def broken_off(mirror: Mirror, token: str) -> bool:
    """A stream at the gateway's own address, without the Hub's proxy: whether its end is told from one that is whole."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=ENDED, headers=headers) as client,
        client.stream("GET", f"{mirror.direct}events?direct") as answer,
    ):
        assert answer.status_code == 200
        try:
            async for _ in answer.aiter_bytes():
                pass
        except httpx.RemoteProtocolError:
            return True
    return False


def test_what_is_done_at_the_hub_is_felt_within_half_a_minute_and_what_is_open_ends_within_one(
    hub: Deployment, mirror: Mirror
) -> None:
    """bob revokes a token, as the Hub's page of tokens does; carol is taken out of the group; dora is deleted. bob's
    other token, and what he has open with it, is none of it. The model sees the ends as well."""

    async def main() -> None:
        his, other = mirror.visitor("bob"), mirror.visitor("bob")
        token_id = hub.api("GET", "/user", token=his).json()["token_id"]
        ways: list[
            tuple[str, str, tuple[str, str, Any], tuple[int, ...]]
        ] = [  # whoever is deleted is out of her groups first
            ("revoked", his, ("DELETE", f"/users/bob/tokens/{token_id}", None), (401,)),
            ("out", mirror.visitor("carol"), ("DELETE", "/groups/readers/users", {"users": ["carol"]}), (404,)),
            ("deleted", mirror.visitor("dora"), ("DELETE", "/users/dora", None), (401, 404)),
        ]
        programs = [Program(mirror, name, token) for name, token, _, _ in ways]
        stays = Program(mirror, "stays", other)
        direct = asyncio.ensure_future(broken_off(mirror, his))
        await asyncio.gather(*(each.begun() for each in (*programs, stays)))
        everybody = sorted([*["revoked", "out", "deleted", "stays"] * 2, "direct"])
        await asyncio.to_thread(eventually, lambda: opened() == everybody, "all of it, at the model", 10)
        done = []
        for _, _, call, _ in ways:
            assert (await asyncio.to_thread(hub.api, *call)).status_code in (200, 204)
            done.append(time.monotonic())
        refusals = asyncio.gather(*(each.refused(*way[3]) for each, way in zip(programs, ways, strict=True)))
        ends = await asyncio.gather(*(each.ended() for each in programs))
        for (what, *_), at, last, end in zip(ways, done, await refusals, ends, strict=True):
            print(f"{what}: let in for {last - at:.1f} s more, ended after {end - at:.1f} s")
            assert last - at < KNOWN + SLACK
            assert end - at < ENDED
        assert await asyncio.wait_for(direct, 5)
        await asyncio.to_thread(eventually, lambda: opened() == ["stays", "stays"], "the ends, at the model", 5)
        assert stays.goes_on()
        await stays.leave()
        assert mirror.statuses(other) == [200]

    def opened() -> list[str]:
        return sorted(mirror.call(alice, "open").json())

    alice = hub.token("alice")
    with members(hub, "readers", "carol", "dora"):
        mirror.owner.share(mirror.key, users=["bob"], groups=["readers"])
        asyncio.run(main())


def test_each_of_a_class_of_three_has_five_calls_a_day_with_whichever_token(hub: Deployment, mirror: Mirror) -> None:
    """Their tokens are their own; the teacher and who is not of the class are none of it. She sees what each called."""
    pupils = ("hana", "igor", "juno")
    with members(hub, "class", *pupils):
        mirror.alice.cli("share", "mirror", "--group", "class", "--calls-per-day", "5")
        for pupil in pupils[:2]:
            one, other = hub.token(pupil), mirror.visitor(pupil)
            assert mirror.statuses(*[one, other] * 2, one) == [200] * 5
            refused = mirror.call(other)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "daily_limit")
            assert mirror.statuses(one) == [429]
        assert mirror.statuses(mirror.visitor(pupils[2]), mirror.visitor("bob"), hub.token("alice")) == [200, 404, 200]
        used = {use.name: (use.calls, use.refused) for use in mirror.owner.uses(mirror.key).uses if use.kind == "user"}
        assert [used[pupil] for pupil in pupils] == [(5, 2), (5, 2), (1, 0)]
        rows = mirror.alice.cli("uses", "mirror").stdout.splitlines()
        assert [row.split()[:4] for row in rows if row.startswith("hana")] == [["hana", "5", "5", "2"]]
        assert hub.notebook("bob").cli("uses", "alice/mirror", check=False).returncode == 1


def test_a_token_is_rotated_and_the_former_ends_here_and_at_the_hub(hub: Deployment, mirror: Mirror) -> None:
    """Both open meanwhile, and have the limit of one."""
    former = mirror.owner.generate_token(mirror.key, "laptop", calls_per_day=3)
    new = mirror.owner.rotate_token(mirror.key, former.id, overlap=20)
    assert mirror.statuses(former.token, new.token, former.token, new.token) == [200, 200, 200, 429]
    eventually(lambda: mirror.statuses(former.token) == [401], "its end", 20 + SLACK)

    def known(token: str) -> bool:
        return hub.api("GET", "/user", token=token).status_code == 200

    eventually(lambda: not known(former.token), "a token that the Hub has forgotten", KNOWN + SLACK)
    assert known(new.token)
    mirror.owner.revoke_token(mirror.key, new.id)


def test_so_it_is_on_the_older_line(make_older: Mirror) -> None:
    """JupyterHub 5.5: by user and by group, and over with the next call."""
    mirror, hub = make_older, make_older.hub
    with members(hub, "readers", "carol"):
        bob, carol = mirror.visitor("bob"), mirror.visitor("carol")
        assert mirror.statuses(bob, carol) == [404, 404]
        mirror.alice.cli("share", "mirror", "--user", "bob", "--group", "readers")
        assert mirror.statuses(bob, carol, hub.token("bob")) == [200, 200, 200]
        mirror.alice.cli("update", "mirror", "--visibility", "private")
        assert mirror.statuses(bob, carol) == [404, 404]
        mirror.alice.cli("share", "mirror", "--user", "bob")
        assert hub.api("DELETE", "/users/bob").status_code == 204
        assert hub.api("POST", "/users/bob").status_code == 201
        again = mirror.visitor("bob")
        eventually(lambda: mirror.statuses(again) == [404], "what is known of bob is of this one", KNOWN + SLACK, 1)


@pytest.fixture
def make_older(deploy_hub: Callable[..., Deployment]) -> Iterator[Mirror]:
    made = Mirror(deploy_hub(Setup(line=5)))
    yield made
    made.close()
