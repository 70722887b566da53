"""What the synchronous client can do about the tokens of an endpoint."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TypeVar

from ..wire import NewToken, TokenInfo, UseList
from . import tokens
from .calls import Call
from .light import Connection
from .tokens import DEFAULT, DEFAULT_OVERLAP, KEEP

T = TypeVar("T")


class Tokens:
    """Part of :class:`.sync.Client`."""

    _connection: Connection

    def _about_tokens(self, call: Call[T]) -> T:
        return call.read(self._connection.send(call))

    def generate_token(
        self,
        name: str,
        token_name: str = "",
        *,
        expires_in: float | str | None = DEFAULT,
        calls_per_second: float | None = None,
        in_flight: int | None = None,
        calls_per_day: int | None = None,
        paths: Sequence[str] = (),
        methods: Sequence[str] = (),
    ) -> NewToken:
        """A token that may call this endpoint and nothing else, shown this once. ``expires_in`` is seconds or a
        text such as ``"7d"`` (by default 30 days, or less where the administrator allows less), ``None`` for never, or
        for as long as she allows. Its calls are limited where a limit is given: ``calls_per_second`` (rounded up, also
        how many may come at once), ``in_flight`` (how many at a time, those that wait for a replica included),
        ``calls_per_day`` (of UTC). It is for those ``paths`` and ``methods`` alone that are given: ``/v1/chat/*`` is
        all below ``/v1/chat/``."""
        tokens.warn_of(methods)
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        return self._about_tokens(
            tokens.generate(self._connection.key(name), token_name, expires_in, limits, paths, methods)
        )

    def limit_token(
        self,
        name: str,
        token_id: str,
        *,
        calls_per_second: float | None = KEEP,
        in_flight: int | None = KEEP,
        calls_per_day: int | None = KEEP,
        paths: Sequence[str] | None = KEEP,
        methods: Sequence[str] | None = KEEP,
    ) -> TokenInfo:
        """Change the limits that are given, from the next call on; ``None`` takes one away. What was counted stays
        counted, and calls in flight go on. ``paths`` and ``methods`` take the place of those that it was for; where one
        of both is given the other stays, and ``None`` is all paths, or all methods. Open calls that they do not allow
        any more end within half a minute. What else is to be known, such as that the other token of a rotation still is
        for more, is a warning."""
        limits = {"calls_per_second": calls_per_second, "in_flight": in_flight, "calls_per_day": calls_per_day}
        changed = self._about_tokens(tokens.limit(self._connection.key(name), token_id, limits, paths, methods))
        tokens.warn_of(methods, changed.notices)
        return changed

    def rotate_token(
        self,
        name: str,
        token_id: str,
        *,
        overlap: float | str = DEFAULT_OVERLAP,
        expires_in: float | str | None = KEEP,
    ) -> NewToken:
        """A token in the place of this one, shown this once: of the same name, limits and rules. The former still is
        good for the ``overlap`` (seconds, or a text such as ``"2h"``; a day by default, 30 at most), no longer
        than it was to be, and both have their limits together. It lives as long as the former was to, unless
        ``expires_in`` says otherwise."""
        return self._about_tokens(tokens.rotate(self._connection.key(name), token_id, overlap, expires_in))

    def uses(self, name: str, since: str | None = None) -> UseList:
        """How often each token and person called, by day of UTC: from the day ``since`` on, such as ``"2026-11-30"``,
        or of the last 30 days."""
        return self._about_tokens(tokens.uses(self._connection.key(name), since))

    def tokens(self, name: str) -> builtins.list[TokenInfo]:
        return self._about_tokens(tokens.listing(self._connection.key(name)))

    def revoke_token(self, name: str, token_id: str) -> None:
        """From now on the token opens nothing; calls under way end within half a minute."""
        self._about_tokens(tokens.revoke(self._connection.key(name), token_id))
