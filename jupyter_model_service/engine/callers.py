"""Whose a token is, at endpoints, at the control API, at our pages, and of calls that go on: one way to find out.

Known from memory, or asked for: not for whoever guesses, and no longer than callers wait. A failure is the same one
wherever it happens.
"""

from __future__ import annotations

import logging

from ..core.access import Caller
from ..core.guessing import Guesses, too_many
from ..core.message import Refusal
from ..ports import Clock, Identity
from .tasks import within

__all__ = ["IDENTITY_UNAVAILABLE", "UNKNOWN_TOKEN", "Callers"]

log = logging.getLogger(__name__)

#: A token came. Which of the three it is would tell whoever tries tokens which of them there were.
UNKNOWN_TOKEN = Refusal(
    401,
    "unauthenticated",
    "The token is unknown, has expired or was revoked: ask whoever gave it to you for another one.",
)
#: Nobody can say now whose it is: the Hub does not answer, or not in time.
IDENTITY_UNAVAILABLE = Refusal(503, "identity_unavailable", "The token could not be checked now; try again later.", 1.0)


class Callers:
    """``timeout``: seconds that a caller waits at most until it is known whose her token is. ``guesses`` counts tokens,
    and codes of sign-ins, that are nobody's, by address. Belongs to one event loop."""

    def __init__(
        self, identity: Identity, clock: Clock, *, timeout: float = 10.0, guesses: Guesses | None = None
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._timeout = timeout
        self._guesses = Guesses() if guesses is None else guesses
        self.known = identity.known  #: ``ports.Identity.known``, as it is: asked for each call

    def met(self, token: str) -> bool:
        """As ``ports.Identity.met``."""
        return self._identity.met(token)

    def over(self, token: str) -> bool:
        """As ``ports.Identity.over``."""
        return self._identity.over(token)

    async def who(
        self, token: str, address: bytes = b"", *, vetted: bool = False, signs_in: bool = False
    ) -> Caller | Refusal:
        """Whose it is, or why that is not said: ``UNKNOWN_TOKEN`` for nobody's, ``IDENTITY_UNAVAILABLE``, or that too
        many that are nobody's came from ``address``. ``vetted``: it was good before, so that nobody guesses it, and
        ``address`` is not looked at; ``signs_in`` as for ``ports.Identity.resolve``."""
        caller = self.known(token)
        if caller is not None:
            return caller
        met = vetted or self.met(token)
        if not met and (refusal := self.too_many(address, token)) is not None:
            return refusal
        try:
            caller = await within(self._clock, self._identity.resolve(token, signs_in=signs_in), self._timeout)
        except Exception as error:
            if not isinstance(error, TimeoutError):
                log.warning("A token could not be checked (%s)", type(error).__name__)  # its text may hold the token
            return IDENTITY_UNAVAILABLE
        if caller is None and not met:
            self.wrong(address, token)
        return UNKNOWN_TOKEN if caller is None else caller

    def too_many(self, address: bytes, said: str) -> Refusal | None:
        """What whoever says this at ``address``, a token or a code, is told instead of being looked up, where it sent
        too many that were wrong."""
        wait = self._guesses.may_ask(address, said, self._clock.monotonic())
        return None if wait is None else too_many(wait)

    def wrong(self, address: bytes, said: str) -> None:
        """What was said at ``address`` is nobody's."""
        self._guesses.failed(address, said, self._clock.monotonic())
