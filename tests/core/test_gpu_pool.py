"""Who holds which GPU, and which are given next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core.gpu_pool import (
    Gpu,
    Holder,
    Mixed,
    choose,
    held,
    holder_of,
    known_ids,
    on_trust,
    shortage,
)

GPUS = [Gpu(number, f"GPU-{number}aaaaaaa-bbbb") for number in range(4)]
IDS = [gpu.id for gpu in GPUS]


def container(*requests: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What ``docker inspect`` says."""
    return {
        "Id": "c0ffee",
        "Name": "/" + more.get("name", "someone"),
        "Config": {"Env": more.get("env"), "Labels": more.get("labels")},
        "HostConfig": {"DeviceRequests": list(requests) or None, "Runtime": more.get("runtime", "runc")},
    }


def gpus(count: int = 0, ids: list[str] | None = None, driver: str = "", kinds: Any = (("gpu",),)) -> dict[str, Any]:
    capabilities = [list(kind) for kind in kinds] if kinds is not None else None
    return {"Driver": driver, "Count": count, "DeviceIDs": ids, "Capabilities": capabilities, "Options": {}}


@pytest.mark.parametrize(
    ("seen", "numbers"),
    [
        (container(), []),
        (container(gpus(ids=["1"])), [1]),
        (container(gpus(ids=["0", "3"])), [0, 3]),
        (container(gpus(ids=[IDS[2]])), [2]),
        (container(gpus(ids=["GPU-2aaaaaaa"])), [2]),  # the runtime takes the beginning of a UUID, too
        (container(gpus(ids=["GPU-"])), []),
        (container(gpus(ids=["1:0"])), [1]),  # a part of it
        (container(gpus(ids=["9", "GPU-none", "MIG-x"])), []),
        (container(gpus(ids=["all"])), [0, 1, 2, 3]),
        (container(gpus(count=1)), [0]),
        (container(gpus(count=3)), [0, 1, 2]),
        (container(gpus(count=-1)), [0, 1, 2, 3]),
        (container(gpus(count=99)), [0, 1, 2, 3]),
        (container(gpus(count=1), gpus(ids=["3"])), [0, 3]),
        (container(gpus(count=2), gpus(count=-1)), [0, 1, 2, 3]),
        (container(gpus(count=2, kinds=(("compute", "gpu"),))), [0, 1]),
        (container(gpus(count=2, kinds=(("nvidia", "compute"),))), [0, 1]),
        (container(gpus(count=1, driver="nvidia", kinds=None)), [0]),
        (container(gpus(count=2, kinds=(("tpu",),))), []),
        (container(gpus(ids=["nvidia.com/gpu=1", "vendor.com/nic=0"], driver="cdi", kinds=None)), [1]),
        (container(gpus(ids=["nvidia.com/gpu=all"], driver="cdi", kinds=None)), [0, 1, 2, 3]),
        (container(gpus(ids=["vendor.com/nic=0"], driver="cdi", kinds=None)), []),
        (container(gpus(ids=["nvidia.com/gpu=gpu2", "nvidia.com/gpu=mig3:1"], driver="cdi", kinds=None)), [2, 3]),
        (container(runtime="nvidia", env=["NVIDIA_VISIBLE_DEVICES=0,2"]), [0, 2]),
        (container(runtime="nvidia", env=["A=b", "NVIDIA_VISIBLE_DEVICES=all"]), [0, 1, 2, 3]),
        (container(runtime="nvidia", env=["NVIDIA_VISIBLE_DEVICES=void"]), []),
        (container(runtime="nvidia", env=["NVIDIA_VISIBLE_DEVICES="]), []),
        (container(runtime="nvidia", env=["NO_VALUE"]), []),
        (container(gpus(ids=["1"]), runtime="nvidia", env=["NVIDIA_VISIBLE_DEVICES=all"]), [1]),
        (container(env=["NVIDIA_VISIBLE_DEVICES=all"]), []),  # without its runtime the variable does nothing
        ({"Id": "x", "Config": None, "HostConfig": None}, []),
    ],
)
def test_what_a_container_holds(seen: dict[str, Any], numbers: list[int]) -> None:
    holder = holder_of(seen)
    assert sorted(held(GPUS, [holder] if holder else [])) == [IDS[number] for number in numbers]


@pytest.mark.parametrize(
    ("about", "label", "replica", "user"),
    [
        ({"env": ["JUPYTERHUB_USER=alice"]}, "a notebook of alice", None, "alice"),
        ({"name": "jenkins"}, "the container jenkins", None, None),
        (
            {
                "env": ["JUPYTERHUB_USER="],
                "labels": {
                    "org.jupyter.model-service.owner": "alice",
                    "org.jupyter.model-service.service": "koalpaca",
                    "org.jupyter.model-service.replica": "koalpaca-abc123",
                },
            },
            "alice/koalpaca",
            "koalpaca-abc123",
            "",
        ),
    ],
)
def test_how_a_holder_is_named(about: dict[str, Any], label: str, replica: str | None, user: str | None) -> None:
    holder = holder_of(container(gpus(count=1), **about))
    assert holder is not None
    assert (holder.label, holder.replica, holder.user) == (label, replica, user)


def test_the_last_free_ones_are_given_first() -> None:
    """Others that ask for a number get the first ones."""
    assert choose(GPUS, [], 2) == [IDS[3], IDS[2]]
    assert choose(GPUS, [IDS[3]], 2) == [IDS[2], IDS[1]]
    assert choose(GPUS, IDS[1:], 1) == [IDS[0]]
    assert choose(GPUS, IDS[1:], 2) is None
    assert choose([], [], 1) is None


def test_which_may_be_given() -> None:
    """By number or UUID; a divided GPU cannot be given as a whole."""
    divided = Gpu(4, "GPU-4divided", parts=True)
    assert known_ids([*GPUS, divided], None) == (GPUS, [])
    assert known_ids([*GPUS, divided], ["0", IDS[2], "4", "7"]) == ([GPUS[0], GPUS[2]], ["4", "7"])
    assert known_ids(GPUS, []) == ([], [])


NOTEBOOK = Holder("a", "a notebook of alice", None, "alice", ("0", "1"))
REPLICA = Holder("b", "alice/koalpaca", "koalpaca-abc123", None, ("2", "3"))


@pytest.mark.parametrize(
    ("wanted", "holders", "user", "sentence"),
    [
        (1, [NOTEBOOK, REPLICA], None, "no GPU free: 2 in use by a notebook of alice, 2 by alice/koalpaca"),
        (1, [NOTEBOOK, REPLICA], "alice", "no GPU free: 2 in use by a notebook of yours, 2 by alice/koalpaca"),
        (1, [NOTEBOOK, REPLICA], "bob", "no GPU free: 2 in use by a notebook of alice, 2 by alice/koalpaca"),
        (4, [NOTEBOOK], None, "4 GPUs are wanted and 2 are free: 2 in use by a notebook of alice"),
        (2, [NOTEBOOK, Holder("c", "x/y", ids=("2",))], None, "2 GPUs are wanted and 1 is free: 2 in use by a notebook of alice, 1 by x/y"),
        (1, [Holder("c", "a notebook of by by", first=-1)], None, "no GPU free: 4 in use by a notebook of by by"),
        (5, [NOTEBOOK], None, "5 GPUs are wanted, and this Docker host has 4 to give"),
    ],
)  # fmt: skip
def test_the_sentence_names_who_has_them(wanted: int, holders: list[Holder], user: str | None, sentence: str) -> None:
    assert shortage(wanted, GPUS, held(GPUS, holders), user) == sentence


def test_a_host_without_gpus_says_so() -> None:
    assert shortage(1, [], {}) == "this Docker host has no GPU to give"


@given(
    st.lists(st.builds(gpus, st.integers(-1, 6), st.none() | st.lists(st.sampled_from(["0", "1", "3", "8", IDS[2]])))),
    st.integers(1, 5),
)
def test_what_somebody_holds_is_never_given(requests: list[dict[str, Any]], wanted: int) -> None:
    """Whatever containers ask for: a choice is free of holders, has no GPU twice, and is refused only when too few are."""
    holders = [holder for request in requests if (holder := holder_of(container(request)))]
    taken = held(GPUS, holders)
    chosen = choose(GPUS, taken, wanted)
    if chosen is None:
        assert len(GPUS) - len(taken) < wanted
    else:
        assert len(set(chosen)) == wanted
        assert set(chosen).isdisjoint(taken)


# --- GPUs that nobody counted, known by what a setting calls them ------------------------------------

BY_NUMBER = on_trust(["1", "3"])
BY_UUID = on_trust([IDS[3], "GPU-1aa"])


@pytest.mark.parametrize(
    ("named", "request_", "taken"),
    [
        (BY_NUMBER, gpus(ids=["3"]), ["3"]),
        (BY_NUMBER, gpus(ids=["2"]), []),
        (BY_NUMBER, gpus(count=1), []),
        (BY_NUMBER, gpus(count=2), ["1"]),
        (BY_NUMBER, gpus(count=-1), ["1", "3"]),
        (BY_NUMBER, gpus(ids=[IDS[1]]), ["1", "3"]),
        (BY_NUMBER, gpus(ids=["GPU-"]), ["1", "3"]),
        (BY_NUMBER, gpus(ids=["MIG-12345678"]), ["1", "3"]),
        (BY_UUID, gpus(ids=[IDS[3]]), [IDS[3]]),
        (BY_UUID, gpus(ids=["GPU-3a"]), [IDS[3]]),
        (BY_UUID, gpus(ids=[IDS[1]]), ["GPU-1aa"]),  # the setting has the beginning only
        (BY_UUID, gpus(ids=[IDS[2]]), []),
        (BY_UUID, gpus(ids=["GPU-"]), [IDS[3], "GPU-1aa"]),
        (BY_UUID, gpus(ids=["MIG-12345678"]), [IDS[3], "GPU-1aa"]),
        (BY_UUID, gpus(ids=["1"]), [IDS[3], "GPU-1aa"]),
        (BY_UUID, gpus(ids=["1:0"]), [IDS[3], "GPU-1aa"]),
        (BY_UUID, gpus(count=1), [IDS[3], "GPU-1aa"]),
        (BY_UUID, gpus(count=-1), [IDS[3], "GPU-1aa"]),
    ],
)
def test_what_cannot_be_compared_counts_as_in_use(named: list[Gpu], request_: dict[str, Any], taken: list[str]) -> None:
    """A number and a UUID may be the same GPU, and which are the first ones is not known of UUIDs."""
    holder = holder_of(container(request_))
    assert holder is not None
    assert sorted(held(named, [holder])) == sorted(taken)


def test_who_cannot_be_compared_is_said_and_what_to_do() -> None:
    """Once each; of those who can be, nothing."""
    holders = [Holder("a", "a notebook of alice", None, "alice", (IDS[1],)), Holder("b", "x/y", ids=("3",))]
    sentence = shortage(1, BY_NUMBER, held(BY_NUMBER, holders), "alice")
    assert sentence == (
        "no GPU free: 2 in use by a notebook of yours, 1 by x/y (what a notebook of yours asked for cannot be compared "
        "with the setting gpus, as the Hub sees no GPU, so all of them count as in use: the administrator must name "
        "GPUs by number everywhere, or by UUID everywhere)"
    )


def test_each_gpu_of_a_setting_is_there_once() -> None:
    """However it is written; a number and a UUID may be the same one, so they are refused."""
    assert on_trust(["0", "00", "2"]) == [Gpu(0, "0"), Gpu(2, "2")]
    assert on_trust([IDS[0], "GPU-0aaa", IDS[2]]) == [Gpu(None, IDS[0]), Gpu(None, IDS[2])]
    assert on_trust([]) == []
    for named in (["0", IDS[1]], [IDS[1], "0"], [IDS[1], "MIG-12345678"]):
        with pytest.raises(Mixed, match=f"{named[0]} and {named[1]}"):
            on_trust(named)


@given(
    st.lists(st.sampled_from(range(4)), min_size=1, unique=True),
    st.booleans(),
    st.lists(st.builds(gpus, st.integers(-1, 5), st.none() | st.lists(st.sampled_from(["0", "1", "3", *IDS])))),
    st.integers(1, 4),
)
def test_a_gpu_in_use_is_never_given_on_trust(
    named: list[int], by_uuid: bool, requests: list[dict[str, Any]], wanted: int
) -> None:
    """What is chosen without counting is free by the count of who can."""
    holders = [holder for request in requests if (holder := holder_of(container(request)))]
    listed = on_trust([IDS[number] if by_uuid else str(number) for number in named])
    chosen = choose(listed, held(listed, holders), wanted) or []
    truly = known_ids(GPUS, chosen)[0]
    assert len(truly) == len(chosen)
    assert {gpu.id for gpu in truly}.isdisjoint(held(GPUS, holders))
