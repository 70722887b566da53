"""What is told of GPUs and their holders survives the way, and what another Hub runs is not taken for ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jupyter_model_service.core.gpu_looks import SeenGpu, SeenHolder, look_from_plain, look_to_plain
from jupyter_model_service.core.gpu_pool import Gpu, Holder, held, holder_of
from jupyter_model_service.core.hub_options import LABEL

GPUS = [Gpu(number, f"GPU-{number}aaaa", "H200", 80 << 30) for number in range(4)]


def container(number: int, *, env: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    """As ``docker inspect`` tells of one with the GPU of this number."""
    return {
        "Id": f"c{number}",
        "Name": "/trainer",
        "Config": {
            "Env": [f"{name}={value}" for name, value in (env or {}).items()],
            "Labels": {LABEL + name: value for name, value in labels.items()},
        },
        "HostConfig": {"DeviceRequests": [{"Driver": "nvidia", "DeviceIDs": [str(number)]}]},
    }


def seen(*containers: dict[str, Any], hub: str = "ours") -> list[SeenGpu]:
    holders = [holder for each in containers if (holder := holder_of(each)) is not None]
    found = held(GPUS, holders)
    plain = look_to_plain([(gpu, found.get(gpu.id, [])) for gpu in GPUS], hub)
    return list(look_from_plain(json.loads(json.dumps(plain))))


def test_each_kind_of_holder_is_told_as_what_it_is() -> None:
    replica = {
        "owner": "alice",
        "service": "chat",
        "replica": "chat-abc123",
        "user": "alice",
        "server": "ms-chat-abc123",
    }
    notebook = {"JUPYTERHUB_USER": "bob", "JUPYTERHUB_SERVER_NAME": ""}
    told = seen(container(0, hub="ours", **replica), container(1, env=notebook), container(2))
    assert told == [
        SeenGpu("GPU-0aaaa", "H200", 80 << 30, (
            SeenHolder("replica", "alice/chat", "alice", "ms-chat-abc123", "chat-abc123", "alice/chat"),
        )),
        SeenGpu("GPU-1aaaa", "H200", 80 << 30, (SeenHolder("notebook", "a notebook of bob", "bob", ""),)),
        SeenGpu("GPU-2aaaa", "H200", 80 << 30, (SeenHolder("other", "the container trainer"),)),
        SeenGpu("GPU-3aaaa", "H200", 80 << 30),
    ]  # fmt: skip


def test_a_replica_of_another_hub_on_the_same_engine_is_none_of_ours() -> None:
    """Its owner has nothing to do with our user of the same name, whom an administrator would ask about it."""
    labels = {
        "owner": "alice",
        "service": "chat",
        "replica": "chat-abc123",
        "user": "alice",
        "server": "ms-chat-abc123",
    }
    told = seen(container(0, hub="theirs", **labels))
    assert told[0].holders == (SeenHolder("other", "alice/chat of another Hub"),)


def test_gpus_that_were_chosen_count_before_there_is_a_container() -> None:
    choice = Holder("", "alice/chat", "chat-abc123", None, (GPUS[0].id,))
    told = look_from_plain(look_to_plain([(GPUS[0], [choice])], "ours"))
    assert told[0].holders == (SeenHolder("replica", "alice/chat", replica="chat-abc123", service="alice/chat"),)


def test_one_that_nobody_counted_has_neither_name_nor_memory() -> None:
    assert look_from_plain(look_to_plain([(Gpu(0, "0"), [])], "ours")) == (SeenGpu("0"),)


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"gpus": None},
        {"gpus": [1]},
        {"gpus": [{"id": "x", "name": "", "memory": -1, "holders": []}]},
        {"gpus": [{"id": "a\nb", "name": "", "memory": 0, "holders": []}]},
        {"gpus": [{"id": "x", "name": "", "memory": 0, "holders": [{"kind": "admin", "label": "x"}]}]},
        {"gpus": [{"id": "x", "name": "", "memory": 0, "holders": [{"kind": "other", "label": "x\x1b"}]}]},
    ],
)
def test_what_is_no_look_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        look_from_plain(plain)
