"""What the gateway as a whole puts into the audit log: its starts and ends, what has changed of its configuration in
between, and what a former life of it had begun and did not come to note."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._version import __version__
from ..core.audit import AuditQuery, Entry, differences
from ..engine.engine import Engine
from ..engine.tokens import EndpointTokens
from ..web.audit import became
from ..web.routes import OPERATIONS

__all__ = ["END", "START", "Looked", "ends", "starts"]

START, END = "start_gateway", "stop_gateway"


@dataclass(frozen=True)
class Looked:
    """By which services are looked at."""

    engine: Engine
    tokens: EndpointTokens


async def starts(looked: Looked, base: str, configured: Mapping[str, Any]) -> None:
    """Before anybody can change anything. ``configured``: what its administrator has set, nothing secret."""
    audit = looked.engine.audit
    await audit.settle(lambda entry: _became(looked, entry))
    now = {"version": __version__, "pid": os.getpid(), "address": base, **configured}
    former = await audit.find(AuditQuery(action=START, newest=True, limit=1))
    before, _ = differences(former[-1].after if former else {}, now)
    audit.own(START, before=before or None, after=now)


def _became(looked: Looked, entry: Entry) -> Entry:
    operation = OPERATIONS.get(entry.action)
    return became(looked, entry, makes_service=operation is not None and operation.makes_service)


def ends(looked: Looked, why: str, *, replicas_end: bool) -> None:
    looked.engine.audit.own(END, after={"why": why, "replicas_end": replicas_end})
