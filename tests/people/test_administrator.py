"""What administrators of a hub see and set, and that nobody else does: the whole gateway over a fake Hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.core.policy import Policy, PolicyRule, VolumeRule
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.hub_site import HubSite, hub_site
from jupyter_model_service.testing.site import DEFINITION

Run = Callable[[Callable[[HubSite], Coroutine[Any, Any, None]]], None]
LIMITS, NOTICE = "admin/users/alice/limits", "admin/services/alice/chat/notice"
POLICY = Policy(
    model_volumes=(VolumeRule("models"),),
    max_replicas_per_user=3,
    rules=(PolicyRule({"max_replicas_per_user": 5}, groups=("ds",)),),
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(users=["alice", "bob", "carol"], interrupt=0.02) as hub:
        hub.users["alice"].groups = ("ds",)
        yield hub


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Run:
    """May be called again: that is the next life of the gateway."""

    def whole(body: Callable[[HubSite], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with hub_site(hub, tmp_path / "gateway", POLICY) as site:
                await body(site)

        asyncio.run(main())

    return whole


def test_what_an_owner_is_shown_to_have_is_what_the_next_is_refused_by(run: Run) -> None:
    """Of services that are being deleted, too, nothing counts: neither for what is refused nor for what is shown."""

    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("carol")
        await site.deploy("chat", alice)
        assert (await scaled(site, 3, alice))[0] == 202
        use = (await site.api("GET", LIMITS, token=admin)).json()
        told = {each["name"]: (each["used"], each["value"]) for each in use["limits"]}
        assert (use["services"], use["replicas"]) == (1, 3)
        assert (told["max_services_per_user"], told["max_replicas_per_user"]) == ((1, 100), (3, 5))
        assert (await site.api("GET", "offer", token=alice)).json()["services_left"] == 99
        await site.deploy("words", alice)
        answer = await site.api("PUT", "services/alice/words/scale", {"replicas": 3}, token=alice)
        assert "That would be 6 replicas of alice, and 5 are the most" in answer.json()["error"]["message"]

    run(body)


def test_so_are_gpus_that_an_owner_is_shown_to_have(run: Run) -> None:
    """Each replica that is to be there has as many as its service asks for, whether it got them or not."""

    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("carol")
        await site.api("PUT", LIMITS, {"max_gpus_per_user": 5}, token=admin)
        await site.deploy("chat", alice, gpus=2)
        assert (await scaled(site, 2, alice))[0] == 202
        use = (await site.api("GET", LIMITS, token=admin)).json()
        told = {each["name"]: (each["used"], each["value"]) for each in use["limits"]}
        assert (use["gpus"], told["max_gpus_per_user"]) == (4, (4, 5))
        status, why = await scaled(site, 3, alice)
        assert (status, "That would be 6 GPUs for the replicas of alice, and 5 are the most" in why) == (400, True), why

    run(body)


async def scaled(site: HubSite, replicas: int, token: str) -> tuple[int, str]:
    answer = await site.api("PUT", "services/alice/chat/scale", {"replicas": replicas}, token=token)
    return answer.status_code, answer.json().get("error", {}).get("message", "")


def test_the_overview_has_all_services_and_what_their_owners_have_and_may_have(run: Run) -> None:
    async def body(site: HubSite) -> None:
        admin = site.administrator("carol")
        await site.deploy("chat", site.notebook("alice"))
        await site.deploy("words", site.notebook("bob"))
        told = (await site.api("GET", "admin/overview", token=admin)).json()
        assert [(s["owner"], s["name"], s["state"]) for s in told["services"]] == [
            ("alice", "chat", "stopped"),
            ("bob", "words", "stopped"),
        ]
        limits = {
            owner["user"]: [(each["value"], each["used"], each["set_by"]) for each in owner["limits"]]
            for owner in told["owners"]
        }
        services = (100, 1, "")
        assert limits == {"alice": [services, (5, 0, "for the group ds")], "bob": [services, (3, 0, "")]}

    run(body)


def test_what_an_administrator_takes_away_holds_at_once_and_over_a_restart_until_it_is_given_back(run: Run) -> None:
    tokens: dict[str, str] = {}

    async def first(site: HubSite) -> None:
        alice, admin = tokens["alice"], tokens["admin"] = site.notebook("alice"), site.administrator("carol")
        tokens["alice"], tokens["admin"] = alice, admin
        await site.deploy("chat", alice)
        told = await site.api("PUT", LIMITS, {"max_replicas_per_user": 1, "longest_token": 60.0}, token=admin)
        assert told.status_code == 200, told.text
        assert {(each["name"], each["value"], each["set_by"]) for each in told.json()["limits"]} == {
            ("max_services_per_user", 100, ""),
            ("max_replicas_per_user", 1, "by carol for alice"),
            ("longest_token", 60.0, "by carol for alice"),
        }
        status, message = await scaled(site, 2, alice)
        assert status == 400
        assert message.endswith("1 is the most that one user may run (set by carol for alice).")
        assert (await site.api("GET", "offer", token=alice)).json()["max_replicas"] == 1

    async def second(site: HubSite) -> None:
        alice, admin = tokens["alice"], tokens["admin"]
        await site.api("GET", "services", token=alice)
        assert (await scaled(site, 2, alice))[0] == 400
        await site.api("PUT", LIMITS, {"max_replicas_per_user": None}, token=admin)
        told = (await site.api("GET", LIMITS, token=admin)).json()
        assert {each["name"]: each["value"] for each in told["limits"]} == {
            "max_services_per_user": 100,
            "max_replicas_per_user": 5,
            "longest_token": 60.0,
        }
        assert (await scaled(site, 2, alice))[0] == 202
        assert (await site.api("DELETE", LIMITS, token=admin)).status_code == 200
        made = await site.api("POST", "services/alice/chat/tokens", {"name": "t"}, token=alice)
        assert made.json()["expires_at"] is None

    run(first)
    run(second)


def test_no_word_about_autoscaling_gets_past_what_an_administrator_took_away(run: Run) -> None:
    """Neither the owner's nor an operator's, whichever way it raises the count; what runs goes on, and what asks for no
    more can be changed."""
    place = "services/alice/chat/autoscaling"

    async def body(site: HubSite) -> None:
        alice, bob, admin = site.notebook("alice"), site.manager("bob"), site.administrator("carol")
        await site.deploy("chat", alice)
        await site.api("PUT", "services/alice/chat/access/user/bob", {"role": "operator"}, token=alice)

        async def asked(method: str, path: str, given: Any, token: str) -> str:
            answer = await site.api(method, path, given, token=token)
            return "" if answer.is_success else answer.json()["error"]["message"]

        async def wanted() -> tuple[int, bool]:
            told = (await site.api("GET", "services/alice/chat", token=alice)).json()
            return told["replicas"]["want"], told["autoscaling"] is not None

        await site.api("PUT", LIMITS, {"max_replicas_per_user": 1}, token=admin)
        sentence = (
            "That would be {} replicas of alice, and 1 is the most that one user may run (set by carol for alice)."
        )
        rule = {"metric": "calls_per_second", "above": 5, "min": 3, "max": 4}
        schedule = {"when": "* * * * *", "min": 4, "duration": 600}
        for token in (alice, bob):
            assert await asked("PUT", place, {"min": 5, "max": 8}, token) == sentence.format(5)
            assert await asked("PATCH", place, {"min": 2, "max": 8}, token) == sentence.format(2)
            assert await asked("POST", f"{place}/rules", rule, token) == sentence.format(3)
            assert await asked("POST", f"{place}/schedules", schedule, token) == sentence.format(4)
            assert await wanted() == (0, False)
        assert await asked("PUT", place, {"min": 1, "max": 8}, bob) == ""
        assert await wanted() == (1, True)
        assert await asked("POST", f"{place}/schedules", schedule, bob) == sentence.format(4)
        await scaled(site, 1, alice)
        assert await asked("PATCH", place, {"min": 2}, alice) == "", "it is held at 1"
        assert await asked("POST", f"{place}/resume", None, bob) == sentence.format(2)
        await site.api("PUT", LIMITS, {"max_replicas_per_user": 2}, token=admin)
        assert await asked("POST", f"{place}/resume", None, bob) == ""
        assert await wanted() == (2, True)

        await site.api("PUT", LIMITS, {"max_replicas_per_user": 1}, token=admin)
        assert await wanted() == (2, True), "what runs goes on"
        assert await asked("PATCH", place, {"min": 3}, alice) == sentence.format(3)
        assert await asked("PATCH", place, {"down_delay": 60.0}, alice) == ""
        assert await asked("PATCH", place, {"min": 1, "max": 1}, alice) == ""
        assert await asked("PATCH", place, {"min": 2, "max": 2}, alice) == sentence.format(2)
        assert await wanted() == (1, True)

    run(body)


def test_nobody_gives_public_services_by_what_only_takes_away(run: Run) -> None:
    async def body(site: HubSite) -> None:
        admin = site.administrator("carol")
        given = await site.api("PUT", LIMITS, {"allow_public": True}, token=admin)
        assert (given.status_code, given.json()["error"]["problems"][0]["where"]) == (400, "allow_public")
        assert (await site.api("GET", LIMITS, token=admin)).json()["notices"] == []
        for value, told in ((False, [False]), (None, [])):
            changed = (await site.api("PUT", LIMITS, {"allow_public": value}, token=admin)).json()
            assert [each["value"] for each in changed["limits"] if each["name"] == "allow_public"] == told

    run(body)


def test_limits_that_were_changed_refused_and_denied_are_of_one_user_in_the_audit_log(run: Run) -> None:
    async def first(site: HubSite) -> None:
        admin = site.administrator("carol")
        for token, change in ((site.notebook("bob"), {}), (admin, {"max_cpus": "x"}), (admin, {"max_cpus": 2})):
            await site.api("PUT", LIMITS, change, token=token)
        await site.api("DELETE", LIMITS, token=admin)

    async def second(site: HubSite) -> None:
        answer = await site.api("GET", "admin/audit?service=user:alice", token=site.administrator("carol"))
        assert sorted((each["who"], each["action"], each["status"]) for each in answer.json()["entries"]) == [
            ("bob", "set_limits", 403),
            ("carol", "remove_limits", 200),
            ("carol", "set_limits", 200),
            ("carol", "set_limits", 400),
        ]

    run(first)
    run(second)


def test_who_may_have_nothing_public_any_more_has_nothing_public_at_once(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("carol")
        for name, token in (("chat", alice), ("words", site.notebook("bob"))):
            await site.deploy(name, token, public=True)
        assert [(await site.call(key, None)).status_code for key in ("alice/chat", "bob/words")] == [503, 503]
        assert (await site.api("PUT", LIMITS, {"allow_public": False}, token=admin)).status_code == 200
        assert [(await site.call(key, None)).status_code for key in ("alice/chat", "bob/words")] == [401, 503]
        assert (await site.call("alice/chat", alice)).status_code == 503
        told = (await site.api("GET", "services/alice/chat/access", token=alice)).json()
        assert (told["public_allowed"], told["set_by"]) == (False, "the administrator carol, for alice")
        entries = (await site.api("GET", "admin/audit?action=make_private", token=admin)).json()["entries"]
        why = "made private: public services are not allowed here any more (set by carol for alice)"
        assert [(each["who"], each["target"], each["after"]) for each in entries] == [
            ("gateway", "alice/chat", {"why": why})
        ]
        assert (await site.api("DELETE", LIMITS, token=admin)).status_code == 200
        assert (await site.call("alice/chat", None)).status_code == 401, "it is for its owner to open it again"

    run(body)


def test_an_administrator_gives_nobody_more_than_the_installation_does(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("carol")
        await site.deploy("chat", alice)
        sentence = (
            "replicas: 50, set by carol for alice, takes nothing away: 5 is what holds (set for the group ds), and only "
            "the installation gives more."
        )
        given = {"max_replicas_per_user": 50, "max_gpus_per_user": 9}
        for answer in (
            await site.api("PUT", LIMITS, given, token=admin),
            await site.api("GET", LIMITS, token=admin),
        ):
            assert answer.json()["notices"] == [sentence]
        status, message = await scaled(site, 6, alice)
        assert (status, message.endswith("(set for the group ds).")) == (400, True)
        answer = await site.api("PUT", LIMITS, {"max_replicas_per_user": 4}, token=admin)
        assert answer.json()["notices"] == []

    run(body)


def test_a_user_whom_the_hub_does_not_have_is_no_one_to_limit(run: Run, hub: FakeHub) -> None:
    """A misspelt name would be told that all is well; one who is new to the Hub is known at once; what was taken from
    one who has gone can be given back."""
    nobody, bob = LIMITS.replace("alice", "alicia"), LIMITS.replace("alice", "bob")

    async def body(site: HubSite) -> None:
        admin = site.administrator("carol")
        for method, given in (("GET", None), ("PUT", {"max_replicas_per_user": 1}), ("DELETE", None)):
            answer = await site.api(method, nobody, given, token=admin)
            assert answer.status_code == 404
            assert answer.json()["error"]["message"] == (
                "The Hub has no user alicia: its admin page has the names, written as they are to be written here."
            )
        assert (await site.api("GET", "admin/overview", token=admin)).json()["owners"] == []
        hub.add_user("dora")
        told = await site.api("PUT", LIMITS.replace("alice", "dora"), {"max_replicas_per_user": 1}, token=admin)
        assert [each["set_by"] for each in told.json()["limits"]] == ["", "by carol for dora"]

        await site.api("PUT", bob, {"max_replicas_per_user": 1}, token=admin)
        del hub.users["bob"]
        answer = await site.api("GET", bob, token=admin)
        assert (answer.status_code, "is kept for the next one" in answer.text) == (404, True)
        assert (await site.api("DELETE", bob, token=admin)).status_code == 200
        assert (await site.api("DELETE", bob, token=admin)).status_code == 404

    run(body)


def test_how_many_services_one_user_has_is_limited_as_all_else_is(run: Run) -> None:
    """Those without a replica count: of these there would be any number."""

    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("carol")
        await site.deploy("chat", alice)
        told = await site.api("PUT", LIMITS, {"max_services_per_user": 2}, token=admin)
        assert ("max_services_per_user", 2, 1) in [(e["name"], e["value"], e["used"]) for e in told.json()["limits"]]
        await site.deploy("words", alice)
        with pytest.raises(AssertionError, match=r"alice has 2 services, and 2 are the most .*set by carol for alice"):
            await site.deploy("more", alice)
        await site.deploy("more", site.notebook("bob"))
        await site.api("DELETE", "services/alice/words", token=alice)
        await site.deploy("more", alice)

    run(body)


def test_nobody_but_an_administrator_sees_or_sets_anything_of_it(run: Run) -> None:
    """And of others she is not told a word: neither by the status nor by the sentence."""

    async def body(site: HubSite) -> None:
        alice = site.notebook("alice")
        await site.deploy("chat", alice)
        for method, path, given in (
            ("GET", "admin/overview", None),
            ("GET", LIMITS, None),
            ("PUT", LIMITS, {"max_cpus": 1.0}),
            ("DELETE", LIMITS, None),
            ("PUT", NOTICE, {"text": "x"}),
            ("DELETE", NOTICE, None),
        ):
            said = set()
            for token in (alice, site.manager("bob"), site.visitor("carol")):
                for where in (path, path.replace("alice", "nobody")):
                    answer = await site.api(method, where, given, token=token)
                    assert answer.status_code == 403
                    said.add(answer.json()["error"]["message"].replace("nobody", "alice"))
            assert not any("alice" in each or "chat" in each for each in said)
            assert (await site.api(method, path, given, token=None)).status_code == 401
        told = await site.api("GET", LIMITS, token=site.administrator("carol"))
        assert [each["set_by"] for each in told.json()["limits"]] == ["", "for the group ds"], "nothing was set"

    run(body)


@pytest.mark.parametrize(
    "given",
    [{"max_cpus": 0}, {"max_replicas_per_user": -1}, {"allowed_images": ["a"]}, {"max_memory": "1G"}, {"more": 1}],
)
def test_what_is_no_limit_is_refused_and_nothing_changes(run: Run, given: dict[str, Any]) -> None:
    async def body(site: HubSite) -> None:
        admin = site.administrator("carol")
        assert (await site.api("PUT", LIMITS, given, token=admin)).status_code == 400
        told = (await site.api("GET", LIMITS, token=admin)).json()
        assert [each["set_by"] for each in told["limits"]] == ["", "for the group ds"]

    run(body)


def test_a_notice_is_shown_with_who_says_it_until_it_is_taken_back(run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("carol")
        await site.deploy("chat", alice)
        assert (await site.api("PUT", NOTICE, {"text": "Please <b>scale</b> down."}, token=admin)).status_code == 200
        notice = (await site.api("GET", "services/alice/chat", token=alice)).json()["notice"]
        assert (notice["text"], notice["by"]) == ("Please <b>scale</b> down.", "carol")
        events = (await site.api("GET", "services/alice/chat/events", token=alice)).json()["events"]
        assert events[-1]["message"] == "carol says: Please <b>scale</b> down."
        for text in ("", " ", "a\nb", "\x1b[2J", "x" * 501):
            assert (await site.api("PUT", NOTICE, {"text": text}, token=admin)).status_code == 400
        assert (await site.api("DELETE", NOTICE, token=admin)).status_code == 200
        assert (await site.api("GET", "services/alice/chat", token=alice)).json()["notice"] is None
        assert (await site.api("DELETE", NOTICE, token=admin)).status_code == 404

    run(body)


def holder(**fields: Any) -> dict[str, Any]:
    return {"kind": "other", "label": "x", "user": None, "server": None, "replica": None, "service": None, **fields}


def test_the_overview_has_every_gpu_of_the_machine_with_whoever_holds_it(run: Run, hub: FakeHub) -> None:
    """A notebook's, too, which only the Hub's process sees."""
    notebook = holder(kind="notebook", label="a notebook of alice", user="alice", server="")
    hub.engine.gpus = [
        {"id": "GPU-0", "name": "H200", "memory": 1 << 37, "holders": [notebook, holder(label="the container x")]},
        {"id": "GPU-1", "name": "H200", "memory": 1 << 37, "holders": []},
    ]

    async def body(site: HubSite) -> None:
        told = (await site.api("GET", "admin/overview", token=site.administrator("carol"))).json()
        assert [(gpu["id"], gpu["holder"], gpu["label"], gpu["user"], gpu["server"]) for gpu in told["gpus"]] == [
            ("GPU-0", "notebook", "a notebook of alice", "alice", ""),
            ("GPU-0", "other", "the container x", None, None),
            ("GPU-1", "nobody", "", None, None),
        ]
        assert told["gpus_at"] is not None
        assert told["gpus_problem"] == ""

    run(body)


def test_where_the_hub_does_not_say_who_holds_gpus_the_overview_says_why(run: Run, hub: FakeHub) -> None:
    hub.engine.script.error = ("gpus", "NVIDIA's driver does not say which GPUs there are.")

    async def body(site: HubSite) -> None:
        told = (await site.api("GET", "admin/overview", token=site.administrator("carol"))).json()
        assert (told["gpus"], told["gpus_at"]) == ([], None)
        assert told["gpus_problem"] == "NVIDIA's driver does not say which GPUs there are."

    run(body)


def test_an_administrator_with_a_token_of_her_notebook_is_told_which_one_it_takes(run: Run) -> None:
    async def body(site: HubSite) -> None:
        site.hub.users["carol"].admin = True
        sentences = [
            (await site.api("GET", "admin/overview", token=site.notebook(user))).json()["error"]["message"]
            for user in ("carol", "bob")
        ]
        assert sentences[0].startswith("You are an administrator of the hub, but this token")
        assert "scope admin:servers, and set MODEL_SERVICE_TOKEN" in sentences[0]
        assert sentences[1] == "This concerns the gateway as a whole: only an administrator of the hub may."

    run(body)


def test_the_audit_log_has_what_a_notice_said(run: Run) -> None:
    async def body(site: HubSite) -> None:
        admin = site.administrator("carol")
        await site.deploy("chat", site.notebook("alice"))
        for text in ("Down on Friday.", "Down on Monday."):
            await site.api("PUT", NOTICE, {"text": text}, token=admin)
        await site.api("DELETE", NOTICE, token=admin)
        entries = (await site.api("GET", "admin/audit", token=admin)).json()["entries"]
        assert [(each["before"], each["after"]) for each in entries if "notice" in each["action"]] == [
            ({"notice": None}, {"notice": "Down on Friday."}),
            ({"notice": "Down on Friday."}, {"notice": "Down on Monday."}),
            ({"notice": "Down on Monday."}, {"notice": None}),
        ]

    run(body)


STOPPED = [("Service alice/chat has no replica that could answer: it was stopped.", None)] * 2


async def answers(site: HubSite, token: str) -> list[tuple[str, str | None]]:
    """To a call and to a look at its health, with when to come again."""
    found = [await site.call("alice/chat", token, path) for path in ("", "health")]
    return [(each.json()["error"]["message"], each.headers.get("Retry-After")) for each in found]


def test_who_stopped_a_service_is_told_its_owner_and_no_caller_also_after_a_restart(hub: FakeHub, run: Run) -> None:
    async def body(site: HubSite) -> None:
        alice, bob, admin = site.notebook("alice"), site.notebook("bob"), site.administrator("carol")
        probed = f"{DEFINITION}    health_check:\n      path: /health\n"
        await site.deploy("chat", alice, definition={"file": "model-definition.yaml", "text": probed})
        await site.api("PUT", "services/alice/chat/access/user/bob", {"role": "operator"}, token=alice)
        for token, by in ((alice, ""), (bob, " by the operator bob"), (admin, " by the administrator carol")):
            assert (await site.api("POST", "services/alice/chat/start", token=alice)).is_success
            assert (await site.api("POST", "services/alice/chat/stop", token=token)).is_success
            told = (await site.api("GET", "services/alice/chat", token=alice)).json()
            assert told["note"] == (f"stopped{by}; start it to go on" if by else None)
            events = (await site.api("GET", "services/alice/chat/events", token=alice)).json()["events"]
            assert [e["message"] for e in events if e["kind"] == "service.stopped"][-1] == f"stopped{by}"
            assert await answers(site, alice) == STOPPED

    async def later(site: HubSite) -> None:
        alice, admin = site.notebook("alice"), site.administrator("dora")
        told = (await site.api("POST", "services/alice/chat/stop", token=admin)).json()
        assert told["note"] == "stopped by the administrator carol; start it to go on", "dora found it stopped"
        assert await answers(site, alice) == STOPPED

    run(body)
    hub.add_user("dora")
    run(later)
