"""What happens to services, by kind, and who may read of it what it says. Pure.

Whoever a service is shared with to look into sees that something happened, and when; what its folder is, and with whom
else it is shared, its owner is told alone. Of a kind that is not listed here the owner alone is told anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .replica import Phase

__all__ = ["AUDIENCES", "CHANGED", "UNTOLD", "Audience", "audience_of"]

Audience = Literal["owner", "viewer"]

#: What others are told of what its owner is told alone, where nothing else is there for them.
UNTOLD = "its owner alone is told what happened"

#: What they are told of with whom it is shared.
CHANGED = "its owner changed who may call it"

AUDIENCES: Mapping[str, Audience] = {
    "service.created": "owner",  # names the folder
    "service.copying": "owner",  # and so do these
    "service.updated": "owner",
    "service.rolled_back": "owner",
    "service.shared": "owner",  # names users and groups
    "service.unshared": "owner",
    "service.origins": "owner",
    "service.scaled": "viewer",
    "service.restarted": "viewer",
    "service.stopped": "viewer",
    "service.started": "viewer",
    "service.stable": "viewer",
    "service.failed": "viewer",
    "service.taken_back": "viewer",
    "service.deleted": "viewer",
    "service.autoscaling": "viewer",
    "service.autoscaled": "viewer",
    "service.ends_soon": "viewer",
    "service.closed_by_policy": "viewer",
    "service.ended_by_policy": "viewer",
    "service.notice": "viewer",
    "replica.waiting": "viewer",
    "replica.adopted": "viewer",
    "replica.left": "viewer",
    **{f"replica.{phase}": "viewer" for phase in Phase},
}


def audience_of(kind: str) -> Audience:
    return AUDIENCES.get(kind, "owner")
