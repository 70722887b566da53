"""Who is who, with whom services are shared, how much each calls, and what is written down of it.

``Store.access`` and ``Store.audit`` are the durable half of it. As for every store: each write is on disk when it
returns, ``StoreError`` if it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.access import Caller
from ..core.audit import AuditPage, AuditQuery, Entry
from ..core.effective import Effective
from ..core.grants import PathRule
from ..core.limits import Allowance, Limits
from ..core.policy import Policy
from ..core.sharing import Person, Share, ShareKind
from ..core.tally import Tally

# --- what is kept ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notice:
    """What an administrator has to say about a service. Plain text; ``at`` is Unix time."""

    text: str
    by: str
    at: float


@dataclass(frozen=True)
class TokenRecord:
    """``digest`` is SHA-256 of the token in hex. ``expires_at`` is Unix time, ``None`` for no expiry. ``calls`` were
    let in on ``day`` (days since 1970, in UTC), the last one on which a token with ``limits`` was used.

    ``rules``: what of the endpoint it is for, empty for all. ``family``: the id of the first token that this one came
    from by rotation, empty for one that is the first; all of a family have their limits together. ``created_by``: whose
    hand it was."""

    id: str
    service_id: str
    name: str
    digest: str = field(repr=False)
    created_at: float = 0.0
    expires_at: float | None = None
    last_used_at: float | None = None
    limits: Limits | None = None
    day: int = 0
    calls: int = 0
    rules: tuple[PathRule, ...] = ()
    family: str = ""
    created_by: str = ""

    @property
    def kin(self) -> str:
        """The same for all tokens that came from one by rotation."""
        return self.family or self.id

    @property
    def life(self) -> float | None:
        """Seconds from its making to its end; ``None`` for ever."""
        return None if self.expires_at is None else self.expires_at - self.created_at


@dataclass(frozen=True)
class UseRecord:
    """Calls on one day (days since 1970, in UTC). ``who`` is ``token:ID``, ``user:NAME`` (the Hub's name), ``anyone``
    or ``others``; ``made`` is that user's (``Person.made``), empty where there is none: a user who was made anew begins
    at nothing. ``last_at``: of the last of them, Unix time."""

    service_id: str
    who: str
    day: int
    calls: int
    refused: int = 0
    made: str = ""
    last_at: float | None = None


@dataclass(frozen=True)
class OverrideRecord:
    """What an administrator said for one user (the Hub's name) while the gateway ran. ``changes`` are fields of the
    policy."""

    user: str
    changes: Mapping[str, Any]
    set_by: str
    set_at: float


class AccessStore(Protocol):
    """Goes with the service to which it belongs, but for overrides."""

    async def shares(self) -> Sequence[tuple[str, Share]]:
        """With the ids of their services, oldest first."""

    async def set_share(self, service_id: str, share: Share) -> None:
        """In the place of one for the same user or group. ``StoreError`` when the service is gone."""

    async def remove_share(self, service_id: str, kind: ShareKind, name: str) -> None:
        """One that is not there is fine."""

    async def uses(
        self, service_id: str | None = None, since_day: int = 0, limit: int | None = None
    ) -> Sequence[UseRecord]:
        """Of that day and later, by day, then by ``who``; of more than ``limit`` the newest."""

    async def add_uses(self, uses: Sequence[UseRecord]) -> None:
        """Added to what is there for the same service, ``who``, ``made`` and day; the later ``last_at`` stays. Those of
        services that are gone are passed over."""

    async def forget_uses(self, before_day: int) -> None: ...
    async def overrides(self) -> Sequence[OverrideRecord]:
        """By user."""

    async def set_override(self, override: OverrideRecord) -> None: ...
    async def remove_override(self, user: str) -> None:
        """One that is not there is fine."""


class AuditStore(Protocol):
    """What was written stays as it was written, until it may be forgotten; also when its service is gone."""

    async def add(self, entries: Sequence[Entry]) -> None:
        """All or none. Their ``id`` is not looked at: the log gives its own, in this order."""

    async def find(self, query: AuditQuery) -> Sequence[Entry]:
        """Oldest first, whichever of them the query is about."""

    async def page(self, query: AuditQuery, most: int) -> AuditPage:
        """The same, but for those that would make it more than about ``most`` bytes of JSON: at least one, if there is
        any, and never more than one is read in vain."""

    async def forget_before(self, at: float) -> int:
        """Remove what is older than ``at`` (Unix time); how much that was. An earlier time than before does nothing."""


class Begun(Protocol):
    """What is being done, so that it is in the audit log even if the gateway ends in the midst of it."""

    async def add(self, entry: Entry) -> str:
        """Kept when this returns: a key. ``StoreError``: it is not."""

    async def remove(self, key: str) -> None:
        """Its entry is written. One that is not there is fine."""

    async def left(self) -> Sequence[tuple[str, Entry]]:
        """Those of former lives, oldest first."""


class Uses(Protocol):
    """Who calls which service how often, and how much whoever a share limits may call. Asked for each call."""

    def of(self, caller: Caller, service_id: str) -> Tally:
        """Of a caller that has none of its own (``Caller.tally``)."""

    def anyone(self, service_id: str) -> Tally:
        """Of those who call a public service: nobody asks who they are."""

    def allowance(self, service_id: str, person: Person, limits: Limits, set_by: str) -> Allowance:
        """The same one for all of her calls to this service, whatever her tokens. ``set_by``: ``Share.set_by``."""


# --- identity ----------------------------------------------------------------------------------------


class Identity(Protocol):
    """Who a bearer token belongs to. ``known`` answers from memory in microseconds, for the front's hot path;
    ``None`` means "ask ``resolve``" (which may ask the Hub and returns ``None`` for an invalid token). ``met``: whether
    the token was good within the last five minutes, from memory as well: who guesses tokens has none of those.
    ``over``: whether it is known from memory to be good no more; ``False`` where only ``resolve`` could tell.
    ``signs_in``: somebody has just got this token by signing in, so that what was known of a user of her name before is
    no answer: she may be another."""

    def known(self, token: str) -> Caller | None: ...
    async def resolve(self, token: str, *, signs_in: bool = False) -> Caller | None: ...
    def met(self, token: str) -> bool: ...
    def over(self, token: str) -> bool: ...


@dataclass(frozen=True)
class IssuedToken:
    """``text`` is shown once and never kept. ``expires_at`` is Unix time, ``None`` for never."""

    id: str
    text: str = field(repr=False)
    expires_at: float | None


class TokenIssuer(Protocol):
    """Makes the tokens for endpoints. Which of them are good, and what for, is the engine's own table."""

    async def issue(self, key: str, name: str, expires_in: float | None) -> IssuedToken:
        """A token for the service ``key`` (``owner/name``); ``expires_in`` in seconds, ``None`` for never."""

    def withdraw(self, token_id: str) -> None:
        """The token is in no table any more: have it removed where it was made, soon."""


# --- people in browsers --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Visit:
    """Somebody who has signed in to the pages of one service: ``token`` is hers, from the Hub, and says who she is for
    as long as it is good there."""

    service_id: str
    token: str = field(repr=False)


class Visits(Protocol):
    """Signed-in visitors by what their browsers keep: a sealed cookie, which is all that there is of a visit."""

    def known(self, cookie: str) -> Visit | None:
        """From memory, in microseconds; ``None`` means "ask ``resolve``"."""

    def resolve(self, cookie: str) -> Visit | None:
        """``None`` for one that is not ours, was changed, or has run out."""

    def seal(self, service_id: str, token: str, expires: float) -> str:
        """The cookie of a visit that ends at ``expires`` (Unix time)."""


class Oauth(Protocol):
    """The Hub's sign-in."""

    def authorize_url(self, state: str, challenge: str, *, audits: bool = False) -> str:
        """Where a browser is sent. ``challenge``: of PKCE, by SHA-256; ``audits``: to come back with a token that
        reads the audit log as well, if hers may."""

    async def exchange(self, code: str, verifier: str) -> str:
        """The token of the person who signed in. ``Unauthenticated`` for a code that is not good (any more),
        ``HubUnavailable``."""


# --- what holds for whom -----------------------------------------------------------------------------


class Rules(Protocol):
    """Answered from memory."""

    def of(self, owner: str | None) -> Effective:
        """What the administrator lets this owner do; ``None``: what holds for everybody."""

    def user(self, owner: str) -> str:
        """The name that the owner has at the Hub, as far as it is known."""

    def knows(self, owner: str) -> bool:
        """Whether what holds for this owner is known yet."""


class NoRules:
    """Where nobody sets limits for anybody."""

    def of(self, owner: str | None) -> Effective:
        return _UNLIMITED

    def user(self, owner: str) -> str:
        return owner

    def knows(self, owner: str) -> bool:
        return True


_UNLIMITED = Effective(Policy(max_services_per_user=None, max_replicas_per_user=None))
