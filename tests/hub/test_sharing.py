"""Whom alice shares her model with, on a real Hub: users, groups, a class; and when that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from jupyter_model_service.errors import ModelServiceError

from .deployment import Deployment, Setup, eventually
from .mirror import Mirror, members, told

KNOWN = 30.0  # seconds for which an answer of the Hub about a token is good
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
