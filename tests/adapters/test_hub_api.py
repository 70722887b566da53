"""The Hub's REST API, over real HTTP: what its answers mean, how often and how fast it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest

from jupyter_model_service.adapters import hub_api
from jupyter_model_service.adapters.hub_api import HubApi, HubUser
from jupyter_model_service.core.hub_options import CollectOptions, Summary, enveloped, job_server
from jupyter_model_service.errors import HubRefused, HubUnavailable
from jupyter_model_service.testing.hub import FakeHub

JOB = job_server("0" * 12)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["ann", "bob"], interrupt=0.01) as hub:
        yield hub


def asked(hub: FakeHub, body: Callable[[HubApi], Awaitable[object]], **options: float) -> None:
    """Run the body with an API of its own."""

    async def run() -> None:
        api = HubApi(hub.url, hub.token, **options)  # type: ignore[arg-type]
        try:
            await body(api)
        finally:
            await api.close()

    asyncio.run(run())


def options(hub: FakeHub, user: str, server: str = JOB) -> dict[str, object]:
    return enveloped(Summary("x"), hub.sealer.seal(CollectOptions(user, server, ()).to_plain()))


def paths(hub: FakeHub, method: str) -> list[str]:
    return [path for _, asked_by, path in hub.calls if asked_by == method]


async def gone(api: HubApi, user: str) -> None:
    """The Hub removes a record soon after it has said so."""
    end = time.monotonic() + 20
    while await api.server(user, JOB) is not None:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


# --- who somebody is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_leads_elsewhere_is_nobodys_and_nothing_is_asked_there(hub: FakeHub, name: str) -> None:
    """``GET /users/.`` would be the list of all users, ``/users/..`` the Hub itself."""

    async def body(api: HubApi) -> None:
        assert await api.user(name) is None
        assert await api.server(name, JOB) is None
        for refused in (
            api.start_server(name, JOB, {}),
            api.start_server("ann", name, {}),
            api.stop_server(name, JOB),
            api.stop_server("ann", name),
            api.activity(name, {}),
            api.create_token(name, note="n", scopes=(), expires_in=None),
            api.tokens_of(name),
            api.delete_token("ann", name),
            api.delete_token(name, "a1"),
        ):
            with pytest.raises(HubRefused) as error:
                await refused
            assert error.value.hub_status == 404
        assert hub.calls == []

    asked(hub, body)


@pytest.mark.parametrize("name", ["a/../..", "...", "%2e", "a?b", "a#b", "a\\..", "a;b"])
def test_any_other_name_is_one_step_of_a_path(hub: FakeHub, name: str) -> None:
    async def body(api: HubApi) -> None:
        hub.add_user(name)
        found = await api.user(name)
        assert found is not None
        assert found.name == name

    asked(hub, body)


def test_a_token_tells_its_user_with_groups_and_scopes(hub: FakeHub) -> None:
    hub.add_user("cyd", groups=["ds"], admin=True)
    token = hub.add_token("cyd", ["custom:model-service:manage!user=cyd"])

    async def body(api: HubApi) -> None:
        user = await api.user_of(token)
        assert user is not None
        assert (user.name, user.kind, user.admin, user.groups) == ("cyd", "user", True, ("ds",))
        assert user.scopes == {"custom:model-service:manage!user=cyd"}
        service = await api.user_of(hub.token)
        assert service is not None
        assert (service.name, service.kind) == ("model-service", "service")

    asked(hub, body)


@pytest.mark.parametrize("token", ["unknown", "", "two words", "ümlaut", "a\nb", "a\r\nX-Y: z"])
def test_a_token_that_the_hub_does_not_know_is_nobodys(hub: FakeHub, token: str) -> None:
    async def body(api: HubApi) -> None:
        assert await api.user_of(token) is None

    asked(hub, body)


@pytest.mark.parametrize("name", ["ann@example.org", "앤 리", "a/b", "ü%41?x=1#y", "jo e"])
def test_any_user_name_is_one_step_of_a_path(hub: FakeHub, name: str) -> None:
    hub.add_user(name)

    async def body(api: HubApi) -> None:
        user = await api.user(name)
        assert user is not None
        assert user.name == name
        await api.start_server(name, JOB, options(hub, name))
        server = await api.server(name, JOB)
        assert server is not None
        assert (server.user, server.ready) == (name, True)
        assert await api.stop_server(name, JOB)
        await gone(api, name)

    asked(hub, body)


def test_more_users_than_a_page_holds_are_all_read(hub: FakeHub) -> None:
    for number in range(450):
        hub.add_user(f"u{number:03}")

    async def body(api: HubApi) -> None:
        users = await api.users()
        assert [user.name for user in users] == list(hub.users)
        assert len(paths(hub, "GET")) == 3
        assert all(user.created for user in users)

    asked(hub, body)


def test_users_who_come_and_go_while_they_are_read_hide_nobody(hub: FakeHub) -> None:
    """Pages are positions: with one of the first users gone, the first of the next page would move to the former."""
    for number in range(450):
        hub.add_user(f"u{number:03}")
    names = list(hub.users)

    async def body(api: HubApi) -> None:
        reading = asyncio.ensure_future(api.users())
        while len(paths(hub, "GET")) < 2:
            await asyncio.sleep(0.001)
        del hub.users["ann"]
        found = {user.name for user in await reading}
        assert found >= set(names) - {"ann"}
        assert len(paths(hub, "GET")) > 3

    hub.fail(503, method="GET", path="/users", times=1, headers={"Retry-After": "0.3"}, after=1)
    asked(hub, body)


# --- servers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [5, 6])
def test_servers_are_started_seen_and_stopped_on_both_lines(line: int) -> None:
    async def body(api: HubApi) -> None:
        await api.start_server("ann", JOB, options(fake, "ann"))
        server = await api.server("ann", JOB)
        assert server is not None
        assert (server.ready, server.stopped, server.pending) == (True, False, None)
        assert server.state["model_service"]["result"] == {"removed": []}
        with pytest.raises(HubRefused, match="already running") as caught:
            await api.start_server("ann", JOB, options(fake, "ann"))
        assert caught.value.hub_status == 400
        assert await api.stop_server("ann", JOB, remove=False)
        server = await api.server("ann", JOB)
        assert server is not None
        assert server.stopped
        assert await api.stop_server("ann", JOB)
        await gone(api, "ann")
        assert await api.stop_server("ann", JOB)  # one that is not there is fine

    with FakeHub(users=["ann"], line=line) as fake:
        asked(fake, body)


def test_a_slow_start_is_pending_when_the_hub_has_answered() -> None:
    async def body(api: HubApi) -> None:
        await api.start_server("ann", JOB, options(fake, "ann"))
        server = await api.server("ann", JOB)
        assert server is not None
        assert (server.pending, server.ready, server.stopped) == ("spawn", False, False)

    with FakeHub(users=["ann"], slow_spawn=0.05) as fake:
        fake.engine.script.seconds = 0.5
        asked(fake, body)


def test_a_start_with_somebody_elses_seal_is_refused(hub: FakeHub) -> None:
    async def body(api: HubApi) -> None:
        for wrong in (options(hub, "bob"), {"model_service": {"v": 1, "summary": {}, "sealed": "x"}}):
            with pytest.raises(HubRefused) as caught:
                await api.start_server("ann", JOB, wrong)
            assert caught.value.hub_status == 403
        with pytest.raises(ValueError, match="display_name"):
            await api.start_server("ann", JOB, {"display_name": "x"})

    asked(hub, body)


def test_activity_is_noted_in_utc_and_refused_as_a_whole(hub: FakeHub) -> None:
    async def body(api: HubApi) -> None:
        await api.start_server("ann", JOB, options(hub, "ann"))
        await api.activity("ann", {JOB: 1_700_000_000.25})
        assert hub.activity == {("ann", JOB): "2023-11-14T22:13:20.250000Z"}
        with pytest.raises(HubRefused, match="No such server"):
            await api.activity("ann", {JOB: 1_800_000_000.0, "gone": 1_800_000_000.0})
        assert hub.activity == {("ann", JOB): "2023-11-14T22:13:20.250000Z"}

    asked(hub, body)


# --- tokens ------------------------------------------------------------------------------------------


def test_tokens_are_made_listed_and_deleted(hub: FakeHub) -> None:
    scope = "custom:model-service:invoke!server=ann/chat"

    async def body(api: HubApi) -> None:
        made, text = await api.create_token("ann", note="for bob", scopes=[scope], expires_in=3600)
        assert text not in repr(made)
        assert (made.note, set(made.scopes)) == ("for bob", {scope})
        assert abs((made.expires_at or 0) - time.time() - 3600) < 60
        assert list(await api.tokens_of("ann")) == [made]
        user = await api.user_of(text)
        assert user is not None
        assert user.scopes == {scope}
        await api.delete_token("ann", made.id)
        await api.delete_token("ann", made.id)
        assert await api.user_of(text) is None
        assert await api.tokens_of("nobody") == ()
        with pytest.raises(HubRefused, match="not found or no permissions"):
            await api.create_token("nobody", note="", scopes=[], expires_in=None)

    asked(hub, body)


# --- a Hub in trouble --------------------------------------------------------------------------------


def test_a_hub_that_is_down_is_waited_for_as_long_as_patience_says(hub: FakeHub) -> None:
    hub.down()

    async def impatient(api: HubApi) -> None:
        with pytest.raises(HubUnavailable, match="cannot be reached") as caught:
            await api.users()
        assert not caught.value.sent

    asked(hub, impatient, patience=0.0)

    async def patient(api: HubApi) -> None:
        reading = asyncio.ensure_future(api.users())
        await asyncio.sleep(0.3)
        await asyncio.to_thread(hub.up)
        assert len(await reading) == 2

    asked(hub, patient, patience=30.0)


@pytest.mark.parametrize("status", [429, 503])
def test_later_means_not_before_for_all_calls_of_that_kind(hub: FakeHub, status: int) -> None:
    """The Hub's own Retry-After is a number of seconds, 42 for too many starts."""
    hub.fail(status, method="POST", headers={"Retry-After": "1"})

    async def body(api: HubApi) -> None:
        first = asyncio.ensure_future(api.start_server("ann", JOB, options(hub, "ann")))
        while not paths(hub, "POST"):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        other = job_server("1" * 12)
        second = asyncio.ensure_future(api.start_server("bob", other, options(hub, "bob", other)))
        assert len(await api.users()) == 2  # quick calls are another kind
        await asyncio.gather(first, second)
        begun = [at for at, method, _ in hub.calls if method == "POST"]
        assert len(begun) == 3
        assert min(begun[1:]) - begun[0] >= 0.99

    asked(hub, body, patience=20.0)


def test_later_beyond_our_patience_is_said_with_its_time(hub: FakeHub) -> None:
    hub.fail(429, method="POST", headers={"Retry-After": "42"})

    async def body(api: HubApi) -> None:
        with pytest.raises(HubUnavailable, match="status 429, as the test says") as caught:
            await api.start_server("ann", JOB, options(hub, "ann"))
        assert (caught.value.retry_after, caught.value.sent) == (42.0, False)
        with pytest.raises(HubUnavailable, match="left alone") as caught:
            await api.start_server("ann", JOB, options(hub, "ann"))
        assert 30 < (caught.value.retry_after or 0) <= 42
        assert len(paths(hub, "POST")) == 1

    asked(hub, body, patience=3.0)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_in_trouble_is_asked_again(hub: FakeHub, status: int) -> None:
    hub.fail(status, method="GET", times=2)

    async def body(api: HubApi) -> None:
        assert len(await api.users()) == 2
        assert len(paths(hub, "GET")) == 3

    asked(hub, body, patience=20.0)


@pytest.mark.parametrize("fault", [0, 502, 504])
def test_a_start_whose_answer_was_lost_is_not_made_again_by_itself(hub: FakeHub, fault: int) -> None:
    hub.fail(fault, method="POST", late=True)

    async def body(api: HubApi) -> None:
        with pytest.raises(HubUnavailable) as caught:
            await api.start_server("ann", JOB, options(hub, "ann"))
        assert caught.value.sent
        assert len(paths(hub, "POST")) == 1

    asked(hub, body, patience=20.0)


def test_no_more_starts_than_allowed_are_under_way_at_once(hub: FakeHub) -> None:
    hub.engine.script.seconds = 0.1

    async def body(api: HubApi) -> None:
        names = [job_server(f"{number:012x}") for number in range(9)]
        await asyncio.gather(*(api.start_server("ann", name, options(hub, "ann", name)) for name in names))
        assert hub.most_at_once == 3
        assert all(server.ready for server in hub.servers().values())

    asked(hub, body, starts=3)


class Counting(httpx.AsyncBaseTransport):
    """Answers nothing of interest, after a moment, and counts how many wait for it at once."""

    def __init__(self) -> None:
        self.now = self.most = self.answered = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.02)
        self.now -= 1
        self.answered += 1
        return httpx.Response(404)


def test_no_more_stops_than_allowed_are_under_way_at_once() -> None:
    async def body() -> None:
        transport = Counting()
        api = HubApi("http://hub.invalid", "token", starts=3, transport=transport)
        assert all(await asyncio.gather(*(api.stop_server("ann", JOB) for _ in range(12))))
        assert (transport.most, transport.answered) == (3, 12)
        await api.close()

    asyncio.run(body())


def test_no_proxy_of_the_environment_is_given_a_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def body(api: HubApi) -> None:
        assert len(await api.users()) == 2

    asked(hub, body, patience=0.0)


def test_a_start_is_waited_for_longer_than_the_hub_holds_it() -> None:
    """slow_spawn_timeout, 10 s, or http_timeout, 30 s, and a stop of 10 s after it."""
    assert hub_api.BLOCKING_SECONDS >= 10.0 + 30.0 + 10.0


def test_what_is_no_hub_is_told_as_such_and_no_token_is_in_the_words(hub: FakeHub) -> None:
    hub.fail(404, method="GET", path="/users", times=1)
    hub.fail(200, method="GET", path="/users", times=1)

    async def body(api: HubApi) -> None:
        with pytest.raises(HubRefused, match="status 404"):
            await api.users()
        with pytest.raises(HubRefused, match="form unknown"):
            await api.users()
        assert hub.token not in repr(api) + str(vars(api))

    asked(hub, body)


def test_each_scope_that_is_named_is_needed_and_these_are_enough(hub: FakeHub) -> None:
    hub.scopes = frozenset({"servers", "list:users", "admin:server_state", "users:activity"})

    async def body(api: HubApi) -> None:
        await api.start_server("ann", JOB, options(hub, "ann"))
        users: dict[str, HubUser] = {user.name: user for user in await api.users()}
        assert users["ann"].servers[JOB].state
        await api.activity("ann", {JOB: 1.0})
        assert await api.stop_server("ann", JOB)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "servers": lambda: api.start_server("ann", JOB, options(hub, "ann")),
            "list:users": lambda: api.users(),
            "users:activity": lambda: api.activity("ann", {}),
        }
        for missing, call in calls.items():
            hub.scopes -= {missing}
            with pytest.raises(HubRefused, match=missing):
                await call()

    asked(hub, body)
