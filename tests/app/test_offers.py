"""What can be asked for now."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from jupyter_model_service.app.offers import hub_offer, own_offer
from jupyter_model_service.core.effective import Effective, effective
from jupyter_model_service.core.policy import Held, Host, Policy, PolicyRule
from jupyter_model_service.engine.views import ServiceView
from jupyter_model_service.wire.offer import GpuOffer, OfferInfo


class View(SimpleNamespace):
    gpus = ServiceView.gpus


class Engine:
    """Two services: of the first, revision 2 with two GPUs rolls over from revision 1 with one, and one replica of it
    has failed."""

    def services(self, owner: str | None = None) -> list[Any]:
        def revision(number: int, gpus: int) -> Any:
            return SimpleNamespace(number=number, resources=SimpleNamespace(gpus=gpus))

        def replica(revision: int, phase: str) -> Any:
            return SimpleNamespace(revision=revision, phase=phase)

        rolling = [replica(1, "draining"), replica(2, "ready"), replica(2, "gone")]
        return [
            View(revisions=[revision(1, 1), revision(2, 2)], replica_list=rolling),
            View(revisions=[revision(1, 0)], replica_list=[replica(1, "ready")]),
        ]

    def held(self) -> dict[str, Held]:
        return {"bob": Held(services=2)}


class Rules:
    """The policy for all, and nothing else; alice may have more GPUs."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def of(self, owner: str | None) -> Effective:
        policy = replace(self.policy, rules=(PolicyRule({"max_gpus_per_user": 7, "longest_token": 60.0}, ("alice",)),))
        return effective(policy, owner or "", ())

    def user(self, owner: str) -> str:
        return owner

    def knows(self, owner: str) -> bool:
        return True


def asked(offer: Any, owner: str | None = None) -> OfferInfo:
    found: OfferInfo = asyncio.run(offer(Engine(), owner))
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
    assert asked(hub_offer(Rules(policy), 100, Host(gpus=8, cpus=4, memory=128 << 30))) == OfferInfo(
        containers=True,
        images=["site/*"],
        gpus=GpuOffer(total=8, free=5),
        max_gpus_per_replica=3,
        max_replicas=10,
        services_left=100,
        cpus=4,
        memory=64 << 30,
        public=False,
        public_set_by="the administrator",
    )


def test_where_a_hub_sets_no_limits_none_are_told() -> None:
    found = asked(hub_offer(Rules(Policy(max_services_per_user=None, max_replicas_per_user=None)), 100, Host()))
    assert found == OfferInfo(containers=True, max_replicas=100)


def test_images_are_those_that_the_site_lists_where_the_policy_names_none() -> None:
    """Without a list there is nothing to choose from: a replica runs what its owner's notebook runs."""
    assert asked(hub_offer(Rules(Policy()), 100, Host(), ("site/r:1", "site/py:2"))).images == ["site/r:1", "site/py:2"]
    assert asked(hub_offer(Rules(Policy(allowed_images=("own/*",))), 100, Host(), ("site/r:1",))).images == ["own/*"]
    assert asked(hub_offer(Rules(Policy(allowed_images=())), 100, Host(), ("site/r:1",))).images == []


def test_an_owner_is_offered_what_holds_for_her() -> None:
    offer = hub_offer(Rules(Policy(max_gpus_per_user=1)), 100, Host(gpus=8))
    assert [asked(offer, owner).max_gpus_per_replica for owner in (None, "bob", "alice")] == [1, 1, 7]
    offers = [hub_offer(Rules(Policy(max_services_per_user=most)), 100, Host()) for most in (1, 2, 5, None)]
    assert [asked(offer, "bob").services_left for offer in offers] == [0, 0, 3, None]
    assert [asked(offer, owner).longest_token for owner in ("bob", "alice")] == [None, 60.0]
