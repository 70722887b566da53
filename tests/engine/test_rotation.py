"""A token in the place of another: both open for a while, with the same limits once and not twice, and the former one
ends at its time, also where it was made, over restarts as well."""

from __future__ import annotations

import math
from typing import Any

import pytest

from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.engine.own_tokens import OwnTokens
from jupyter_model_service.engine.tokens import KEEP, EndpointTokens, Use
from jupyter_model_service.errors import InvalidRequest, NotFound, StoreError
from jupyter_model_service.ports import IssuedToken, TokenRecord
from jupyter_model_service.testing import ManualClock

from .test_tokens import CONTROL, Setting, run

HOUR, DAY = 3600.0, 86400.0
LIMITS = Limits(calls_per_second=2.0, in_flight=3, calls_per_day=4)


class Remembering(OwnTokens):
    """As a Hub would: what was withdrawn, in order."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.withdrawn: list[str] = []

    def withdraw(self, token_id: str) -> None:
        self.withdrawn.append(token_id)


def admit(at: Setting, *texts: str) -> list[bool]:
    """Which of these calls get in; they do not end."""
    found = []
    for text in texts:
        caller = at.tokens.known(text)
        assert caller is not None
        assert caller.allowance is not None
        found.append(caller.allowance.admit(int(at.clock.monotonic() * 1e9), at.clock.now()) is None)
    return found


async def rotate(at: Setting, token: str, overlap: float = HOUR, **more: Any) -> tuple[TokenRecord, str]:
    return await at.tokens.rotate("s1", "u/chat", token, overlap, **more)


def test_both_open_until_the_former_ends_at_its_time_which_a_restart_does_not_change() -> None:
    async def body(at: Setting) -> None:
        rules = (PathRule("/v1/*", ("GET",)),)
        former, old = await at.tokens.generate("s1", "u/chat", "laptop", 30 * DAY, LIMITS, rules, by="ann")
        at.clock.advance(5 * DAY)
        record, new = await rotate(at, former.id, by="bea")
        assert (record.name, record.limits, record.rules, record.created_by) == ("laptop", LIMITS, rules, "bea")
        assert record.expires_at == at.clock.now() + 30 * DAY
        assert record.kin == former.id != record.id
        assert {t.id: t.created_by for t in at.tokens.of("s1")} == {former.id: "ann", record.id: "bea"}
        assert await at.store.tokens() == at.tokens.of("s1")
        after = await at.next_process()
        for here in (at, after):
            one, other = here.tokens.known(old), here.tokens.known(new)
            assert one is not None
            assert one == other
            assert one.allowance is other.allowance
        at.clock.advance(HOUR)
        for here in (at, after):
            assert here.tokens.known(old) is None
            assert here.tokens.known(new) is not None

    run(body)


def test_an_overlap_never_lengthens_a_life_and_none_ends_the_former_at_once() -> None:
    async def body(at: Setting) -> None:
        former, old = await at.generate("laptop", 60.0)
        await rotate(at, former.id, overlap=DAY)
        at.clock.advance(60.0)
        assert at.tokens.known(old) is None
        former, old = await at.generate("laptop")
        _, new = await rotate(at, former.id, overlap=0.0)
        assert at.tokens.known(old) is None
        assert at.tokens.known(new) is not None

    run(body)


def test_together_they_have_their_limits_once_and_over_a_restart() -> None:
    """Two a second of both together, and four a day."""

    async def body(at: Setting) -> None:
        former, old = await at.tokens.generate("s1", "u/chat", "laptop", None, LIMITS)
        assert admit(at, old) == [True]
        record, new = await rotate(at, former.id)
        assert admit(at, new, old, new) == [True, False, False]
        assert [at.tokens.use(token) for token in at.tokens.of("s1")] == [Use(2, 2)] * 2
        await at.tokens.stop()
        after = await at.next_process()
        after.clock.advance(10.0)
        assert admit(after, new, old, new) == [True, True, False], "two are left of the day"
        await after.tokens.stop()
        await after.tokens.revoke("s1", former.id)
        after.clock.advance(10.0)
        assert admit(await after.next_process(), new) == [False], "what the former counted stays counted"
        assert record.family == former.id

    run(body)


def test_what_was_counted_but_not_stored_yet_goes_with_the_new_one() -> None:
    """A gateway that is killed at once after a rotation forgets nothing of it."""

    async def body(at: Setting) -> None:
        former, old = await at.tokens.generate("s1", "u/chat", "laptop", None, Limits(calls_per_day=2))
        assert admit(at, old, old) == [True, True]
        _, new = await rotate(at, former.id)
        assert admit(await at.next_process(), new) == [False]

    run(body)


def test_a_change_of_limits_is_of_all_that_came_from_one_and_of_rules_of_that_one() -> None:
    async def body(at: Setting) -> None:
        former, old = await at.tokens.generate("s1", "u/chat", "laptop", None, LIMITS)
        record, new = await rotate(at, former.id)
        await at.tokens.change("s1", former.id, {"in_flight": 1, "calls_per_second": None})
        changed = Limits(in_flight=1, calls_per_day=4)
        assert [token.limits for token in at.tokens.of("s1")] == [changed] * 2
        assert admit(at, new, old) == [True, False]
        rules = (PathRule("/v1/*"),)
        assert (await at.tokens.change("s1", record.id, rules=rules)).rules == rules
        after = await at.next_process()
        for here in (at, after):
            assert [token.limits for token in here.tokens.of("s1")] == [changed] * 2
            assert {token.id: token.rules for token in here.tokens.of("s1")} == {former.id: (), record.id: rules}
            caller = here.tokens.known(new)
            assert caller is not None
            assert caller.rules == rules
        assert (await after.tokens.change("s1", record.id, rules=())).rules == ()

    run(body)


def test_the_new_one_lives_as_long_as_the_former_was_to_and_no_longer_than_one_may() -> None:
    async def body(at: Setting) -> None:
        now = at.clock.now()
        former, _ = await at.generate("laptop", 10 * DAY)
        at.clock.advance(DAY)
        second, _ = await rotate(at, former.id)
        assert second.expires_at == now + 11 * DAY
        again, _ = await rotate(at, former.id)
        assert again.expires_at == now + 11 * DAY, "its own end came nearer, its life is that of its kin"
        assert at.tokens.life_asked("s1", former.id) == 10 * DAY
        other, _ = await rotate(at, second.id, expires_in=None)
        assert other.expires_at is None
        forever, _ = await rotate(at, other.id)
        assert forever.expires_at is None
        at.tokens.life = lambda owner, asked: 3 * DAY if asked is None else min(asked, 3 * DAY)
        for asked in (KEEP, None):
            least, _ = await rotate(at, other.id, expires_in=asked)
            assert least.expires_at == at.clock.now() + 3 * DAY
        assert at.tokens.life_asked("s1", other.id) is None, "more than one may"
        with pytest.raises(NotFound):
            at.tokens.life_asked("s2", other.id)

    run(body)


def test_a_life_that_is_refused_changes_nothing() -> None:
    async def body(at: Setting) -> None:
        former, _ = await at.generate("laptop", 10 * DAY)
        before = at.tokens.of("s1")
        for overlap, life in ((-1.0, KEEP), (31 * DAY, KEEP), (math.nan, KEEP), (HOUR, 0.0)):
            with pytest.raises(InvalidRequest):
                await rotate(at, former.id, overlap, expires_in=life)
        with pytest.raises(NotFound):
            await at.tokens.rotate("s2", "u/draw", former.id, HOUR)
        assert at.tokens.of("s1") == before == await at.store.tokens()

    run(body)


def test_a_rotation_that_is_not_stored_leaves_the_former_as_it_was() -> None:
    async def body(at: Setting) -> None:
        issuer = Remembering(at.clock)
        at.tokens = EndpointTokens(at.store, at.clock, CONTROL, issuer)
        former, old = await at.generate("laptop")
        at.store.fail_writes = "disk full"
        with pytest.raises(StoreError):
            await rotate(at, former.id, 0.0)
        assert at.tokens.of("s1") == [former]
        assert at.tokens.known(old) is not None
        assert len(issuer.withdrawn) == 1, "the one that was made for it is withdrawn where it was made"
        assert former.id not in issuer.withdrawn

    run(body)


def test_a_token_that_is_revoked_while_its_place_is_taken_stays_revoked() -> None:
    """Whoever revokes it means all that comes of it."""

    class Revoking(Remembering):
        tokens: EndpointTokens
        former: str | None = None

        async def issue(self, key: str, name: str, expires_in: float | None) -> IssuedToken:
            if self.former is not None:
                await self.tokens.revoke("s1", self.former)
            return await super().issue(key, name, expires_in)

    async def body(at: Setting) -> None:
        issuer = Revoking(at.clock)
        issuer.tokens = at.tokens = EndpointTokens(at.store, at.clock, CONTROL, issuer)
        former, old = await at.generate("laptop")
        issuer.former = former.id
        with pytest.raises(NotFound):
            await rotate(at, former.id)
        assert at.tokens.known(old) is None
        assert at.tokens.of("s1") == [] == await at.store.tokens()
        assert len(issuer.withdrawn) == 2

    run(body)


def test_what_has_expired_is_withdrawn_where_it_was_made_once() -> None:
    """There, a token that was rotated would live on as long as it was made for."""

    async def body(at: Setting) -> None:
        issuer = Remembering(at.clock)
        at.tokens = EndpointTokens(at.store, at.clock, CONTROL, issuer)
        former, _ = await at.generate("laptop")
        await rotate(at, former.id, HOUR)
        at.tokens.start()
        try:
            await at.clock.pass_time(HOUR - 60.0)
            assert issuer.withdrawn == []
            await at.clock.pass_time(120.0)
            assert issuer.withdrawn == [former.id]
            await at.clock.pass_time(120.0)
            assert issuer.withdrawn == [former.id]
        finally:
            await at.tokens.stop()

    run(body)
