"""The table of endpoint tokens; in embedded mode also who any bearer token belongs to. The tokens are made here, or by
a JupyterHub: then the table says which of its tokens are still good, so that revoking is immediate.

Only SHA-256 digests are kept, and for half a minute at most the text of a token that was just found to be good, so that
its digest need not be taken for every call. A slow, salted hash guards secrets that people choose and that can be
guessed; these are 256 random bits, which no speed of hashing helps to guess, and the hash is taken of every token that
was not just used. The look-up by digest leaks nothing through its time either: whoever sends a token cannot choose the
digest's characters, nor those of the keyed hash by which Python finds a text in a ``dict`` before it compares any of
it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.grants import PathRule, changed_half, check_rules
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.tally import Tally
from jupyter_model_service.core.token_checks import (
    check_expiry,
    check_name,
    check_overlap,
    check_room,
    end_beside,
    kept_to,
    life_like,
)
from jupyter_model_service.errors import NotFound
from jupyter_model_service.ports import Clock, IssuedToken, Store, TokenIssuer, TokenRecord

from .allowances import Allowances
from .own_tokens import OwnTokens
from .write_behind import WriteBehind

MOST_TEXTS = 1024  # of tokens just used
FLUSH_EVERY = 30.0  # seconds: what a kill of the gateway can lose of "last use"

KEEP: Any = object()  # for how long a token lives: as long as the one whose place it takes


def digest_of(token: str) -> str:
    """What is stored of a token: SHA-256 in hex. Takes any text that a header may hold."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Use:
    """What a limited token did so far: calls on this day of UTC, and those that have not ended."""

    calls_today: int
    in_flight: int


@dataclass(frozen=True)
class _Key:
    record: TokenRecord
    caller: Caller


class _Texts(dict[str, str]):
    """Its keys are secrets: they are shown nowhere."""

    def __repr__(self) -> str:
        return f"<{len(self)} texts>"


class EndpointTokens:
    """Implements ``ports.Identity``. Everything is in memory, so ``known`` is also all that ``resolve`` knows.

    ``control`` maps digests (:func:`digest_of`) of tokens that are not an endpoint's to who they stand for. ``life``
    says how long a new token of an owner's service lives where so many seconds are asked for, or refuses.
    ``tally`` gives what counts the calls of a token, by ids of its service and its own; ``called`` how many it counted
    today.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        control: Mapping[str, Caller],
        issuer: TokenIssuer | None = None,
        tally: Callable[[str, str], Tally] | None = None,
        called: Callable[[str, str], int] = lambda *ids: 0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._control = control
        self._issuer = issuer or OwnTokens(clock)
        self._keys: dict[str, _Key] = {}  # by digest: those that are good unless expired
        self._digests = _Texts()  # by text: of tokens that were good when they were last looked for
        self._records: dict[str, dict[str, TokenRecord]] = {}  # by service id, then token id: those that are listed
        self._allowances = Allowances(store, clock, called)
        self.life: Callable[[str, float | None], float | None] = lambda owner, asked: asked
        self._tally = tally
        self._changing = asyncio.Lock()
        self._used: dict[str, float] = {}  # by token id: last use, Unix time
        self._unsaved: set[str] = set()  # ids in ``_used`` that the store does not know yet
        self._over: set[str] = set()  # ids of those that have expired, and were withdrawn where they were made
        self._writing = WriteBehind("last use of tokens", self._look_through, clock, FLUSH_EVERY, always=True)

    async def load(self) -> None:
        """Read what the store knows; before the first call."""
        names = {service.id: f"{service.owner}/{service.name}" for service in await self._store.services()}
        for record in await self._store.tokens():
            if record.service_id in names:
                self._add(record, names[record.service_id])

    # --- the hot path --------------------------------------------------------------------------------

    def known(self, token: str) -> Caller | None:
        digest = self._digests.get(token)
        if digest is None:
            digest = digest_of(token)
            if digest in self._keys:
                self._remember(token, digest)
        key = self._keys.get(digest)
        if key is None:
            return self._control.get(digest)
        now, record = self._clock.now(), key.record
        if record.expires_at is not None and now >= record.expires_at:
            return None
        self._used[record.id] = now
        self._unsaved.add(record.id)
        return key.caller

    def _remember(self, token: str, digest: str) -> None:
        """Its digest stays the same, whatever becomes of it; only that of a good one, so that nobody fills this."""
        if len(self._digests) >= MOST_TEXTS:
            self._digests.clear()
        self._digests[token] = digest

    async def resolve(self, token: str, *, signs_in: bool = False) -> Caller | None:
        return self.known(token)

    def met(self, token: str) -> bool:
        digest = digest_of(token)
        key = self._keys.get(digest)
        if key is None:
            return digest in self._control
        return key.record.expires_at is None or self._clock.now() < key.record.expires_at

    def over(self, token: str) -> bool:
        return not self.met(token)  # all that there are stand here

    # --- what owners do ------------------------------------------------------------------------------

    async def generate(
        self,
        service_id: str,
        key: str,
        name: str,
        expires_in: float | None,
        limits: Limits | None = None,
        rules: Iterable[PathRule] = (),
        by: str = "",
        shorten: bool = False,
    ) -> tuple[TokenRecord, str]:
        """A new token for the service ``key`` (``owner/name``), and its text, which is not kept.

        ``expires_in`` is in seconds, ``None`` for never, ``shorten``: or less, where less is allowed; ``rules``: what
        of it the token is for; ``by``: who makes it.
        ``InvalidRequest``, or ``StoreError`` if the store does not take it (the service is gone, the disk is full).
        """
        check_name(name)
        check_room(len(self._records.get(service_id, {})))
        owner = key.partition("/")[0]
        if shorten and expires_in is not None and (longest := self.life(owner, None)) is not None:
            expires_in = min(expires_in, longest)
        expires_in = self.life(owner, expires_in)
        check_expiry(expires_in)
        limits, rules = kept_to(limits), check_rules(rules)
        issued = await self._issuer.issue(key, name, expires_in)
        record = self._record(issued, service_id, name=name, limits=limits, rules=rules, created_by=by)
        await self._keep(record, key, self._store.add_token(record))
        return record, issued.text

    def life_asked(self, service_id: str, token_id: str) -> float | None:
        """Seconds that one in the place of this token is to live where nobody says how many, whatever may be allowed;
        ``None`` for ever. ``NotFound``."""
        return life_like(self._lives(self._listed(service_id, token_id)), None)

    def _lives(self, token: TokenRecord) -> list[float | None]:
        return [each.life for each in self._records[token.service_id].values() if each.kin == token.kin]

    async def rotate(
        self,
        service_id: str,
        key: str,
        token_id: str,
        overlap: float,
        expires_in: float | None = KEEP,
        by: str = "",
    ) -> tuple[TokenRecord, str]:
        """A new token in the place of that one, which ends ``overlap`` seconds from now: the same name, rules, and
        limits, which both have together. It lives as long as that one was to where nothing else is said, and no longer
        than one may now. ``InvalidRequest``, ``NotFound``, ``StoreError``: then nothing has changed."""
        check_overlap(overlap)
        check_room(len(self._records.get(service_id, {})))
        owner, former = key.partition("/")[0], self._listed(service_id, token_id)
        kept = expires_in is KEEP
        life = life_like(self._lives(former), self.life(owner, None)) if kept else self.life(owner, expires_in)
        check_expiry(life)
        issued = await self._issuer.issue(key, former.name, life)
        async with self._changing:
            try:
                former = self._listed(service_id, token_id)
            except NotFound:
                self._issuer.withdraw(issued.id)
                raise
            record = self._record(
                issued,
                service_id,
                name=former.name,
                limits=former.limits,
                rules=former.rules,
                family=former.kin,
                created_by=by,
            )
            if (counted := self._allowances.known(former)) is not None:
                record = replace(record, day=counted.day, calls=counted.calls)
            ends = end_beside(record.created_at, overlap, former.expires_at)
            await self._keep(record, key, self._store.rotate_token(token_id, ends, record))
            if token_id in self._records.get(service_id, {}):
                self._renew(replace(self._listed(service_id, token_id), expires_at=ends))
        return record, issued.text

    def _record(self, issued: IssuedToken, service_id: str, **more: Any) -> TokenRecord:
        return TokenRecord(
            id=issued.id,
            service_id=service_id,
            digest=digest_of(issued.text),
            created_at=self._clock.now(),
            expires_at=issued.expires_at,
            **more,
        )

    async def _keep(self, record: TokenRecord, key: str, stored: Awaitable[None]) -> None:
        # In memory first: ``forget`` then also finds a token that is still being stored. Added after, it would
        # outlive its service and open the next one of the same name. Nobody knows its text before the return.
        self._add(record, key)
        try:
            await stored
        except BaseException:
            self._drop(record)
            self._issuer.withdraw(record.id)
            raise
        if record.id not in self._records.get(record.service_id, {}):
            raise NotFound(f"The service {key} was deleted meanwhile.")

    def of(self, service_id: str) -> list[TokenRecord]:
        """The tokens of a service, expired ones too, oldest first, with their last use up to now."""
        listed = self._records.get(service_id, {}).values()
        return [self._as_used(record) for record in listed]

    def _as_used(self, record: TokenRecord) -> TokenRecord:
        return replace(record, last_used_at=self._used.get(record.id, record.last_used_at))

    def use(self, record: TokenRecord) -> Use | None:
        """Of it and its kin together; ``None`` for a token without limits."""
        allowance = self._allowances.known(record) if record.limits is not None else None
        return None if allowance is None else Use(allowance.today(self._clock.now()), allowance.in_flight)

    async def change(
        self,
        service_id: str,
        token_id: str,
        limits: Mapping[str, Any] | None = None,
        rules: Iterable[PathRule] | None = None,
        halves: Mapping[str, Sequence[str] | None] | None = None,
    ) -> TokenRecord:
        """Change those of the token's ``limits`` (fields of ``Limits``) that are named, ``None`` takes one away; and
        what it is for: all of its ``rules``, none for everything, or the ``halves`` that are named
        (:func:`.core.grants.changed_half`). They hold for the next call; what was counted stays counted. Of one that
        was rotated, limits are its kin's, who have them together. ``InvalidRequest``, ``NotFound``, or ``StoreError``:
        then all is as it was."""
        rules = None if rules is None else check_rules(rules)
        async with self._changing:  # two changes at once are one after the other: neither takes the other back
            record = self._listed(service_id, token_id)
            limited: dict[str, Limits | None] = {}
            ruled: dict[str, tuple[PathRule, ...]] = {}
            if limits is not None:
                kept = kept_to(replace(record.limits or Limits(), **limits))
                limited = {each.id: kept for each in self._records[service_id].values() if each.kin == record.kin}
            if halves:
                rules = check_rules(changed_half(record.rules, halves))
            if rules is not None:
                ruled = {token_id: rules}
            await self._store.change_tokens(limited, ruled)
            for each in {**limited, **ruled}:
                if each in self._records.get(service_id, {}):
                    now = self._listed(service_id, each)
                    self._renew(replace(now, limits=limited.get(each, now.limits), rules=ruled.get(each, now.rules)))
        return self._as_used(self._listed(service_id, token_id))

    def _renew(self, record: TokenRecord) -> None:
        """It is listed, and differs in limits, rules or expiry."""
        self._records[record.service_id][record.id] = record
        allowance = self._allowances.of(record)
        key = self._keys.get(record.digest)
        if key is not None:  # it is not just being revoked
            self._keys[record.digest] = _Key(record, replace(key.caller, allowance=allowance, rules=record.rules))

    def _listed(self, service_id: str, token_id: str) -> TokenRecord:
        record = self._records.get(service_id, {}).get(token_id)
        if record is None:
            raise NotFound(f"The service has no token {token_id}: list its tokens to see their ids.")
        return record

    async def revoke(self, service_id: str, token_id: str) -> None:
        """Refused from this moment on. If the store fails it stays listed, so that it can be revoked again."""
        record = self._listed(service_id, token_id)
        self._keys.pop(record.digest, None)
        await self._store.remove_token(token_id)
        self._drop(record)
        self._issuer.withdraw(token_id)

    def ids(self) -> frozenset[str]:
        """The ids of all tokens that are listed."""
        return frozenset(token_id for records in self._records.values() for token_id in records)

    def forget(self, service_id: str) -> None:
        """The service is gone, and its tokens with it (the store removes them with the service)."""
        for record in list(self._records.get(service_id, {}).values()):
            self._drop(record)
            self._issuer.withdraw(record.id)

    # --- last use ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Store last uses every 30 seconds, and counts of limited tokens each second, until ``stop``. Tokens that have
        expired meanwhile are withdrawn where they were made: there some live on."""
        self._allowances.start()
        self._writing.start()

    async def stop(self) -> None:
        """End what ``start`` began, and store what is not stored yet; what cannot be is logged."""
        await self._allowances.stop()
        await self._writing.stop()

    async def _look_through(self) -> None:
        now = self._clock.now()
        for record in [record for records in self._records.values() for record in records.values()]:
            if record.expires_at is not None and record.expires_at <= now and record.id not in self._over:
                self._over.add(record.id)
                self._issuer.withdraw(record.id)
        await self.flush()

    async def flush(self) -> None:
        """Store the last uses since the last time. They are kept for the next time if that fails."""
        self._digests.clear()
        ids, self._unsaved = self._unsaved, set()
        used = {token_id: self._used[token_id] for token_id in ids if token_id in self._used}
        if not used:
            return
        try:
            await self._store.touch_tokens(used)
        except BaseException:
            self._unsaved |= used.keys() & self._used.keys()
            raise

    # --- the tables ----------------------------------------------------------------------------------

    def _add(self, record: TokenRecord, key: str) -> None:
        caller = Caller(
            name=f"token:{record.name}",
            invokes=frozenset({key}),
            allowance=self._allowances.of(record),
            rules=record.rules,
            tally=None if self._tally is None else self._tally(record.service_id, record.id),
        )
        self._keys[record.digest] = _Key(record, caller)
        self._records.setdefault(record.service_id, {})[record.id] = record

    def _drop(self, record: TokenRecord) -> None:
        self._keys.pop(record.digest, None)
        self._used.pop(record.id, None)
        self._over.discard(record.id)
        self._allowances.drop(record)
        listed = self._records.get(record.service_id, {})
        listed.pop(record.id, None)
        if not listed:
            self._records.pop(record.service_id, None)
