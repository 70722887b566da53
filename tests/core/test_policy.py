"""What the administrator allows: each limit at its edge, each sentence with the limit in it."""

from __future__ import annotations

import json
from typing import Any

import escapism
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.policy import (
    Held,
    Host,
    Policy,
    PolicyRule,
    VolumeRule,
    Wish,
    beyond,
    check,
    host_from_plain,
    host_to_plain,
    policy_from_plain,
    policy_to_plain,
    room,
    volume_user,
)

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.isprintable)
lists = st.none() | st.lists(names, max_size=3).map(tuple)
counts = st.none() | st.integers(0, 1000)
times = st.none() | st.floats(1, 1e9)
policies = st.builds(
    Policy,
    allowed_images=lists,
    max_replicas_per_user=counts,
    max_gpus_per_user=counts,
    max_gpus_per_replica=counts,
    max_cpus=st.none() | st.floats(0.001, 1000),
    max_memory=st.none() | st.integers(1 << 20, 1 << 50),
    model_volumes=st.lists(st.builds(VolumeRule, names, lists, lists, st.booleans()), max_size=3).map(tuple),
    snapshot_bytes_per_user=st.integers(0, 1 << 50),
    snapshot_files=st.integers(0, 1 << 30),
    allow_public=st.booleans(),
    users=lists,
    groups=lists,
    longest_token=times,
    idle_limit=times,
    longest_life=times,
    rules=st.lists(
        st.builds(
            PolicyRule,
            st.fixed_dictionaries(
                {},
                optional={
                    "allowed_images": st.lists(names, max_size=3).map(tuple),
                    "max_gpus_per_user": counts,
                    "max_cpus": st.floats(0.001, 1000),
                    "allow_public": st.booleans(),
                    "idle_limit": times,
                },
            ),
            st.lists(names, max_size=3).map(tuple),
            st.lists(names, max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)


@given(policies)
def test_a_policy_survives_json(policy: Policy) -> None:
    assert policy_from_plain(json.loads(json.dumps(policy_to_plain(policy)))) == policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_replicas_per_user": -1},
        {"max_replicas_per_user": "10"},
        {"max_cpus": float("nan")},
        {"allowed_images": "a"},
        {"allowed_images": [1]},
        {"model_volumes": [{"name": "v"}]},
        {"allow_public": 1},
        {"longest_token": 0},
        {"idle_limit": "1d"},
        {"rules": [{"changes": {"max_cpus": None}, "users": ["a"], "groups": []}]},
        {"rules": [{"changes": {"snapshot_files": 1}, "users": ["a"], "groups": []}]},
        {"rules": [{"changes": {"allow_public": 1}, "users": ["a"], "groups": []}]},
        {"rules": [{"changes": {}, "users": ["a"]}]},
        {"more": 1},
    ],
)
def test_a_policy_that_is_none_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        policy_from_plain({**policy_to_plain(Policy()), **wrong})
    with pytest.raises(ValueError):
        policy_from_plain(
            {key: value for key, value in policy_to_plain(Policy()).items() if key not in wrong} | {"x": 1}
        )


NOTHING, NONE = Wish(), Held()


def said(
    policy: Policy, wish: Wish = NOTHING, held: Held = NONE, user: str = "alice", groups: tuple[str, ...] = ()
) -> str:
    return " ".join(check(policy, user, groups, wish, held))


def test_without_limits_everything_goes_but_foreign_volumes() -> None:
    free = Policy(max_replicas_per_user=None)
    wish = Wish(image="any", replicas=1000, gpus=100, cpus=1e4, memory=1 << 50, public=True)
    assert said(free, wish, Held(1000, 1000)) == ""
    assert "may not be mounted" in said(free, Wish(volumes={"v": False}))


@pytest.mark.parametrize(
    ("policy", "fits", "too_much", "held", "words"),
    [
        (Policy(max_replicas_per_user=3), Wish(replicas=2), Wish(replicas=3), Held(1), "3 are the most"),
        (Policy(max_gpus_per_replica=2), Wish(gpus=2), Wish(gpus=3), Held(), "at most 2 GPUs"),
        (Policy(max_gpus_per_user=4), Wish(gpus=1, replicas=2), Wish(gpus=1, replicas=3), Held(0, 2), "4 are the most"),
        (Policy(max_gpus_per_user=0), Wish(), Wish(gpus=1), Held(), "0 are the most"),
        (Policy(max_cpus=1.5), Wish(cpus=1.5), Wish(cpus=1.6), Held(), "at most 1.5 CPUs"),
        (Policy(max_memory=1 << 30), Wish(memory=1 << 30), Wish(memory=(1 << 30) + 1), Held(), "at most 1 GiB"),
        (Policy(allow_public=False), Wish(), Wish(public=True), Held(), "not allowed"),
        (Policy(allowed_images=("a:*",)), Wish(image="a:1"), Wish(image="b:1"), Held(), "allowed: a:*"),
        (Policy(allowed_images=()), Wish(), Wish(image="a"), Held(), "allowed: none"),
        (Policy(allowed_images=("a",)), Wish(image="a"), Wish(image="A"), Held(), "may not be used"),
        (Policy(allowed_images=("a",)), Wish(image="a"), Wish(image="x/a"), Held(), "may not be used"),
    ],
)
def test_each_limit_at_its_edge(policy: Policy, fits: Wish, too_much: Wish, held: Held, words: str) -> None:
    assert said(policy, fits, held) == ""
    assert words in said(policy, too_much, held)


def test_who_holds_gpus_already_may_have_replicas_without() -> None:
    """A limit that was lowered later stops what takes more, and nothing else."""
    assert said(Policy(max_gpus_per_user=1), Wish(gpus=0), Held(1, 4)) == ""


def test_everything_that_is_wrong_is_said_at_once() -> None:
    policy = Policy(allowed_images=(), max_replicas_per_user=0, max_cpus=1, users=())
    assert len(check(policy, "alice", (), Wish(image="a", cpus=2), Held())) == 4


def test_who_may_serve_is_named_by_user_or_group() -> None:
    policy = Policy(users=("alice",), groups=("ds",))
    assert said(policy) == ""
    assert said(policy, user="bob", groups=("x", "ds")) == ""
    assert "bob may not serve" in said(policy, user="bob")
    assert "may not serve" in said(Policy(groups=()), user="bob", groups=("ds",))


def test_volumes_are_for_those_whom_their_rule_names() -> None:
    rules = (
        VolumeRule("llama", writable=True),
        VolumeRule("mistral", groups=("ds",)),
        VolumeRule("models-{username}"),
        VolumeRule("both", users=("bob",)),
        VolumeRule("both", groups=("ds",), writable=True),
    )
    policy = Policy(model_volumes=rules)
    assert said(policy, Wish(volumes={"llama": True, "models-alice": False})) == ""
    assert said(policy, Wish(volumes={"models-alice": True})) == (
        "The volume models-alice may be mounted by alice read-only, not writable: the administrator lists those that may "
        "be written."
    )
    assert "may not be mounted" in said(policy, Wish(volumes={"models-bob": False}))
    assert "may not be mounted" in said(policy, Wish(volumes={"mistral": False}))
    assert said(policy, Wish(volumes={"mistral": False}), groups=("ds",)) == ""
    assert "read-only" in said(policy, Wish(volumes={"both": True}), user="bob")
    assert said(policy, Wish(volumes={"both": True}), user="bob", groups=("ds",)) == ""


@given(names)
def test_a_users_own_volume_is_called_as_dockerspawner_calls_it(user: str) -> None:
    """Two users never share one, and the name is as DockerSpawner's default escaping makes it."""
    safe = set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert volume_user(user) == escapism.escape(user, safe, escape_char="-").lower()


# --- what there is at all ----------------------------------------------------------------------------

HERE = Host(gpus=2, cpus=8.0, memory=16 << 30)


@pytest.mark.parametrize(
    ("host", "wish", "words"),
    [
        (HERE, Wish(gpus=2, cpus=8, memory=16 << 30), []),
        (HERE, Wish(gpus=1, replicas=2), []),
        (HERE, Wish(gpus=3, replicas=0), ["3 GPUs are asked for, and this machine has 2."]),
        (
            HERE,
            Wish(gpus=1, replicas=3),
            ["3 replicas with 1 GPU each are asked for, and this machine has 2."],
        ),
        (Host(gpus=0), Wish(gpus=1), ["1 GPU is asked for, and this machine has none."]),
        (HERE, Wish(cpus=8.5), ["8.5 CPUs are asked for, and this machine has 8."]),
        (HERE, Wish(memory=1 << 40), ["1024 GiB of memory are asked for, and this machine has 16 GiB."]),
        (Host(), Wish(gpus=64, cpus=1024, memory=1 << 60, replicas=9), []),
    ],
)
def test_what_is_not_there_at_all_is_said_with_what_there_is(host: Host, wish: Wish, words: list[str]) -> None:
    """Also of a service that has no replica yet; of what is not known, nothing is said."""
    assert beyond(host, wish) == words


@given(st.builds(Host, counts, st.none() | st.floats(0, 1e5), st.none() | st.integers(0, 1 << 50)))
def test_what_the_host_has_survives_json(host: Host) -> None:
    assert host_from_plain(json.loads(json.dumps(host_to_plain(host)))) == host


@pytest.mark.parametrize("wrong", [{"gpus": -1}, {"memory": "2G"}, {"cpus": True}, {"disks": 1}])
def test_a_host_that_is_none_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="The figures of the host"):
        host_from_plain({**host_to_plain(HERE), **wrong})


@pytest.mark.parametrize(
    ("policy", "host", "gpus", "held", "expected"),
    [
        (Policy(max_replicas_per_user=None), Host(), 1, Held(9, 9), None),
        (Policy(max_replicas_per_user=3), Host(), 0, Held(1), 2),
        (Policy(max_replicas_per_user=1), Host(), 0, Held(3), -2),
        (Policy(max_gpus_per_user=4), Host(), 2, Held(1, 1), 1),
        (Policy(), HERE, 1, Held(1, 2), 0),
        (Policy(), HERE, 2, Held(1, 1), 0),
        (Policy(max_replicas_per_user=None), HERE, 0, Held(9, 9), None),
    ],
)
def test_the_room_that_is_left(policy: Policy, host: Host, gpus: int, held: Held, expected: int | None) -> None:
    """The tightest of the limits; what has no GPU needs none."""
    assert room(policy, host, gpus, held) == expected
