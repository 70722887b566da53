"""What can be asked for now."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from jupyter_model_service.app.offers import hub_offer, own_offer
from jupyter_model_service.core.policy import Host, Policy
from jupyter_model_service.wire.offer import GpuOffer, OfferInfo


class Engine:
    """Two services: of the first, revision 2 with two GPUs rolls over from revision 1 with one, and one replica of it
    has failed."""

    def services(self) -> list[Any]:
        def revision(number: int, gpus: int) -> Any:
            return SimpleNamespace(number=number, resources=SimpleNamespace(gpus=gpus))

        def replica(revision: int, phase: str) -> Any:
            return SimpleNamespace(revision=revision, phase=phase)

        rolling = [replica(1, "draining"), replica(2, "ready"), replica(2, "gone")]
        return [
            SimpleNamespace(revisions=[revision(1, 1), revision(2, 2)], replica_list=rolling),
            SimpleNamespace(revisions=[revision(1, 0)], replica_list=[replica(1, "ready")]),
        ]


def asked(offer: Any) -> OfferInfo:
    found: OfferInfo = asyncio.run(offer(Engine()))
    return found


def test_gpus_are_free_that_no_living_replica_holds() -> None:
    found = asked(own_offer(50, lambda: ["0", "1", "2", "3"]))
    assert found == OfferInfo(containers=False, max_replicas=50, gpus=GpuOffer(total=4, free=1), max_gpus_per_replica=4)
    assert asked(own_offer(50, lambda: ["0"])).gpus == GpuOffer(total=1, free=0)


def test_a_machine_without_gpus_offers_none() -> None:
    assert asked(own_offer(50, list)) == OfferInfo(containers=False, max_replicas=50)


def test_a_hub_offers_what_policy_and_host_allow() -> None:
    policy = Policy(
        allowed_images=("site/*",), max_gpus_per_user=3, max_cpus=8, max_memory=64 << 30, allow_public=False
    )
    assert asked(hub_offer(policy, 100, Host(gpus=8, cpus=4, memory=128 << 30))) == OfferInfo(
        containers=True,
        images=["site/*"],
        gpus=GpuOffer(total=8, free=5),
        max_gpus_per_replica=3,
        max_replicas=10,
        cpus=4,
        memory=64 << 30,
        public=False,
    )


def test_where_a_hub_sets_no_limits_none_are_told() -> None:
    found = asked(hub_offer(Policy(max_replicas_per_user=None), 100, Host()))
    assert found == OfferInfo(containers=True, max_replicas=100)


def test_images_are_those_that_the_site_lists_where_the_policy_names_none() -> None:
    """Without a list there is nothing to choose from: a replica runs what its owner's notebook runs."""
    assert asked(hub_offer(Policy(), 100, Host(), ("site/r:1", "site/py:2"))).images == ["site/r:1", "site/py:2"]
    assert asked(hub_offer(Policy(allowed_images=("own/*",)), 100, Host(), ("site/r:1",))).images == ["own/*"]
    assert asked(hub_offer(Policy(allowed_images=()), 100, Host(), ("site/r:1",))).images == []
