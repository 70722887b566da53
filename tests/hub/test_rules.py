"""The Hub's process holds each start to the rules for the user and her groups as they are then, whatever the gateway
has let by."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.sealing import Sealer
from jupyter_model_service.core.hub_options import ReplicaOptions, ReplicaStorage
from jupyter_model_service.core.policy import Policy, PolicyRule
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.hub.context import Notebook
from jupyter_model_service.hub.life import Life
from jupyter_model_service.hub.settings import HubSettings
from jupyter_model_service.hub.work import Work

POLICY = Policy(
    max_gpus_per_user=1,
    max_memory=1 << 30,
    rules=(PolicyRule({"max_gpus_per_user": 0, "max_memory": 2 << 30, "allowed_images": ("ds:*",)}, groups=("ds",)),),
)


def work(*groups: str, policy: Policy = POLICY, parts: Any = None, **site: Any) -> Work:
    """``site``: what the spawner's own configuration says of notebooks."""
    spawner: Any = SimpleNamespace(
        user=SimpleNamespace(groups=[SimpleNamespace(name=group) for group in groups], spawners={}),
        **{"cpu_limit": None, "mem_limit": None, "_get_allowed_images": dict, **site},
    )
    settings = HubSettings("net", policy, "hub", Sealer(new_key()), "http://127.0.0.1:1")
    return Work(spawner, settings, parts, Life("replica"))


def wish(**more: Any) -> ReplicaOptions:
    given = {"image": "ds:1", "cpus": None, "memory": None, "gpus": 0, **more}
    return ReplicaOptions(
        user="alice", server="ms-chat-abc123", owner="alice", service="chat", service_id="0" * 32,
        replica="chat-abc123", secret="1" * 64, revision=1, spec={"command": ["x"]}, port=8000, storage=None, mounts=(),
        **given,
    )  # fmt: skip


def test_a_start_beyond_the_rule_of_a_group_is_refused_with_whose_it_is() -> None:
    work()._check_policy(wish(gpus=1), "any")
    with pytest.raises(LaunchError, match=r"0 are the most that one user may have \(set for the group ds\)\.") as said:
        work("ds")._check_policy(wish(gpus=1), "ds:1")
    assert said.value.stage == "policy"
    with pytest.raises(LaunchError, match=r"may not be used for replicas; allowed: ds:\* \(set for the group ds\)\."):
        work("ds")._check_policy(wish(), "other:1")


def test_a_rule_may_give_more_than_all_have_and_is_what_a_replica_gets() -> None:
    work("ds")._check_policy(wish(memory=2 << 30), "ds:1")
    assert work("ds")._limits(wish()) == (None, 2 << 30)
    with pytest.raises(LaunchError, match=r"at most 1 GiB of memory, .* \(set for all users\)\."):
        work()._check_policy(wish(memory=2 << 30), "any")
    assert work()._limits(wish()) == (None, 1 << 30)


def notebook(image: str) -> Notebook:
    return Notebook("", image)


def test_what_a_notebook_may_have_here_a_replica_may_where_no_policy_says_more() -> None:
    plain = work(policy=Policy(), cpu_limit=2, mem_limit="1G")
    assert plain._limits(wish()) == (2, 1 << 30)
    assert plain._limits(wish(cpus=2.0, memory=1 << 30)) == (2.0, 1 << 30)
    with pytest.raises(LaunchError) as said:
        plain._limits(wish(cpus=2.5))
    assert (said.value.message, said.value.stage) == (
        "A replica may have at most 2 CPUs, as a notebook here, and 2.5 are asked for (set for all users).",
        "policy",
    )
    with pytest.raises(LaunchError) as said:
        plain._limits(wish(memory=3 << 29))
    assert (said.value.message, said.value.stage) == (
        "A replica may have at most 1 GiB of memory, as a notebook here, and 1.5 GiB are asked for (set for all users).",
        "policy",
    )
    more = work(policy=Policy(max_cpus=4, max_memory=4 << 30), cpu_limit=2, mem_limit="1G")
    assert more._limits(wish(cpus=4.0, memory=4 << 30)) == (4.0, 4 << 30)


def test_an_image_is_that_of_a_notebook_or_one_that_notebooks_may_have() -> None:
    running = [notebook("base:1")]
    plain = work(policy=Policy(), _get_allowed_images=lambda: {"Data science": "ds:1"})
    images = (None, "base:1", "Data science", "ds:1")
    assert [plain._image("alice", each, running) for each in images] == ["base:1", "base:1", "ds:1", "ds:1"]
    with pytest.raises(LaunchError) as said:
        plain._image("alice", "other:1", running)
    assert (said.value.message, said.value.stage) == (
        "The image other:1 may not be used for replicas: it is neither what your notebook runs nor one of those that "
        "the administrator offers for notebooks (set for all users).",
        "policy",
    )
    anything = work(policy=Policy(), _get_allowed_images=lambda: "*")
    assert anything._image("alice", "other:1", running) == "other:1"
    assert work(policy=Policy(allowed_images=("x:*",)))._image("alice", "other:1", running) == "other:1", "judged later"


def test_without_the_copy_of_a_revision_nothing_starts() -> None:
    """The Hub's process looks whose it is, whatever the gateway says."""

    async def belongs(user: str, volume: str) -> bool:
        return (user, volume) == ("alice", "hers")

    async def check(volume: str) -> None:
        parts = SimpleNamespace(snapshots=SimpleNamespace(belongs=belongs), docker=None)
        storage = ReplicaStorage("snapshot", volume)
        await work(parts=parts)._check_volumes(replace(wish(), storage=storage, revision=7))

    asyncio.run(check("hers"))
    with pytest.raises(LaunchError) as said:
        asyncio.run(check("anothers"))
    assert (said.value.message, said.value.stage) == (
        "The files of revision 7 are not there any more: update the service.",
        "volume",
    )
