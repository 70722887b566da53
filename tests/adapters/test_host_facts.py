"""What install() tells the gateway of the Docker host, so that nobody asks in vain for what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dockerspawner import DockerSpawner
from traitlets.config import Config

from jupyter_model_service.core.gpu_pool import Gpu
from jupyter_model_service.core.policy import Host, Policy, host_from_plain, policy_from_plain
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.hub import host_facts, install
from jupyter_model_service.hub.host_facts import as_notebooks_have, host_of, offered_images
from jupyter_model_service.hub.site_config import SiteConfig

TWO = [Gpu(0, "GPU-a"), Gpu(1, "GPU-b")]


@pytest.mark.parametrize(
    ("counted", "setting", "there"),
    [
        (TWO, (), 0),
        (TWO, None, 2),
        (TWO, ("0",), 1),
        (TWO, ("0", "GPU-a", "7"), 1),
        ([Gpu(0, "GPU-a", parts=True), Gpu(1, "GPU-b")], None, 1),
        ([], None, None),
        ([], ("0", "1", "1"), 2),
        ([], ("0", "GPU-b"), None),
        (None, ("0",), None),
    ],
    ids=["none given", "all", "one", "one, twice", "a divided one", "no driver yet", "on trust", "mixed", "no answer"],
)
def test_the_gpus_for_replicas_are_counted(
    monkeypatch: pytest.MonkeyPatch, counted: list[Gpu] | None, setting: tuple[str, ...] | None, there: int | None
) -> None:
    """``None`` wherever some may be there later: then nothing is refused beforehand."""

    def read() -> list[Gpu]:
        if counted is None:
            raise LaunchError("NVIDIA's driver does not say which GPUs there are.", stage="gpus")
        return counted

    monkeypatch.setattr(host_facts, "read_inventory", read)  # NVIDIA's library, in a process of its own
    assert host_of({}, setting) == Host(gpus=there)


def test_cpus_and_memory_are_what_the_engine_says() -> None:
    assert host_of({"NCPU": 8, "MemTotal": 1 << 34}, ()) == Host(0, 8.0, 1 << 34)
    assert host_of({"NCPU": 0, "MemTotal": None}, ()) == Host(0)


@pytest.mark.parametrize(
    ("site", "policy", "expected"),
    [
        ({}, Policy(), Policy()),
        ({"cpu_limit": 2, "mem_limit": "4G"}, Policy(), Policy(max_cpus=2.0, max_memory=4 << 30)),
        ({"cpu_limit": 2, "mem_limit": "4G"}, Policy(max_cpus=9, max_memory=1), Policy(max_cpus=9, max_memory=1)),
        ({"mem_limit": lambda spawner: "4G", "cpu_limit": lambda spawner: 1}, Policy(), Policy()),
        ({"mem_limit": "much"}, Policy(), Policy()),
    ],
)
def test_the_limits_of_a_notebook_are_those_of_a_replica_where_the_policy_has_none(
    site: dict[str, Any], policy: Policy, expected: Policy
) -> None:
    c = Config()
    for name, value in site.items():
        setattr(c.DockerSpawner, name, value)
    assert as_notebooks_have(policy, SiteConfig(c), DockerSpawner) == expected


@pytest.mark.parametrize(
    ("site", "offered"),
    [
        (None, []),
        (["site/r:1", "site/py:2"], ["site/r:1", "site/py:2"]),
        ({"R": "site/r:1"}, ["site/r:1"]),
        ("*", []),
        (lambda spawner: ["site/r:1"], []),
    ],
)
def test_the_images_that_the_site_lists_are_offered_by_what_they_are(site: Any, offered: list[str]) -> None:
    c = Config()
    c.DockerSpawner.mem_limit = "1G"
    if site is not None:
        c.DockerSpawner.allowed_images = site
    assert offered_images(SiteConfig(c), DockerSpawner) == offered


def test_the_gateway_is_told_and_the_hubs_own_policy_stays_as_it_was_given(tmp_path: Path) -> None:
    """The spawner knows a notebook's limits better: a site's class may have others than its configuration."""
    c = Config()
    c.JupyterHub.spawner_class = "docker"
    c.JupyterHub.authenticator_class = "dummy"
    c.DockerSpawner.client_kwargs = {"base_url": "tcp://127.0.0.1:1"}  # no engine is asked
    c.DockerSpawner.mem_limit = "1G"
    c.DockerSpawner.allowed_images = ["site/r:1"]
    did = install(c, network="replicas", gateway_address="10.9.0.1:8910", data_dir=tmp_path / "ms")
    assert host_from_plain(did.gateway_settings["host"]) == Host(gpus=0)
    assert did.gateway_settings["site_images"] == ["site/r:1"]
    assert policy_from_plain(did.gateway_settings["policy"]).max_memory == 1 << 30
    assert did.settings.policy.max_memory is None
