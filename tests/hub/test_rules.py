"""The Hub's process holds each start to the rules for the user and her groups as they are then, whatever the gateway
has let by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jupyter_model_service.adapters.sealing import Sealer, new_key
from jupyter_model_service.core.hub_options import ReplicaOptions
from jupyter_model_service.core.policy import Policy, PolicyRule
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.hub.life import Life
from jupyter_model_service.hub.settings import HubSettings
from jupyter_model_service.hub.work import Work

POLICY = Policy(
    max_gpus_per_user=1,
    max_memory=1 << 30,
    rules=(PolicyRule({"max_gpus_per_user": 0, "max_memory": 2 << 30, "allowed_images": ("ds:*",)}, groups=("ds",)),),
)


def work(*groups: str) -> Work:
    spawner: Any = SimpleNamespace(
        user=SimpleNamespace(groups=[SimpleNamespace(name=group) for group in groups], spawners={}),
        cpu_limit=None,
        mem_limit=None,
    )
    settings = HubSettings("net", POLICY, "hub", Sealer(new_key()), "http://127.0.0.1:1")
    parts: Any = None
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
