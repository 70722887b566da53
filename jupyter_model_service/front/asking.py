"""Whose a token is that is not known from memory."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..core.access import Caller
from ..core.message import Refusal

if TYPE_CHECKING:
    from .server import Front

__all__ = ["UNAUTHENTICATED", "who"]

log = logging.getLogger(__name__)

UNAUTHENTICATED = Refusal(
    401, "unauthenticated", "This endpoint needs a valid token: send it as 'Authorization: Bearer …'."
)


async def who(front: Front, token: str) -> tuple[Caller | None, Refusal]:
    """And what a call is told for which nobody would do."""
    try:
        return await asyncio.wait_for(front.identity.resolve(token), front.settings.identity_timeout), UNAUTHENTICATED
    except Exception as error:
        if not isinstance(error, asyncio.TimeoutError):
            log.warning("A token could not be checked (%s)", type(error).__name__)
    return None, Refusal(503, "identity_unavailable", "The token could not be checked now; try again later.", 1.0)
