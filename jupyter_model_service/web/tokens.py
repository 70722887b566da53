"""The operations on the tokens of endpoints, and on how often who called: parsed request → engine call → wire model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any, cast

from .. import wire
from ..core.effective import life_told
from ..core.grants import PathRule, rules_told, unusual
from ..core.limits import DAY, Limits
from ..errors import InvalidRequest
from ..ports import TokenRecord, UseRecord
from ..wire.tokens import PathRuleSpec
from .call import Call
from .queries import UseQuery

__all__ = ["change_token", "create_token", "list_tokens", "list_uses", "revoke_token", "rotate_token"]

_EPOCH = date(1970, 1, 1)
_SHOWN = 30  # days of uses, where nobody says since when


async def list_tokens(call: Call) -> wire.TokenList:
    view = call.parts.engine.service(*call.service)
    return wire.TokenList(tokens=[wire.TokenInfo(**_token(call, token)) for token in call.parts.tokens.of(view.id)])


async def create_token(call: Call) -> wire.NewToken:
    body = call.given(wire.TokenRequest)
    owner, name = call.service
    view = call.parts.engine.service(owner, name)
    limits = None if body.limits is None else Limits(**body.limits.model_dump())
    record, text = await call.parts.tokens.generate(
        view.id, f"{owner}/{name}", body.name, body.expires_in, limits, _rules(body.rules), call.by, body.shorten
    )
    return _new(call, record, text, record.life if body.shorten else body.expires_in, _unusual(record.rules))


async def rotate_token(call: Call) -> wire.NewToken:
    body = call.given(wire.RotateRequest)
    owner, name = call.service
    view = call.parts.engine.service(owner, name)
    life = {"expires_in": body.expires_in} if "expires_in" in body.model_fields_set else {}
    asked = life["expires_in"] if life else call.parts.tokens.life_asked(view.id, call.path["id"])
    record, text = await call.parts.tokens.rotate(
        view.id, f"{owner}/{name}", call.path["id"], body.overlap, by=call.by, **life
    )
    return _new(call, record, text, asked)


def _new(call: Call, record: TokenRecord, text: str, asked: float | None, said: Iterable[str] = ()) -> wire.NewToken:
    """With a word where it lives shorter than for the seconds that were ``asked`` for (``None``: for ever)."""
    owner, _ = call.service
    life = life_told(call.parts.rules.of(owner), call.parts.rules.user(owner), asked, record.life)
    return wire.NewToken(token=text, notices=[*life, *said], **_token(call, record))


def _unusual(rules: Iterable[PathRule]) -> list[str]:
    return unusual(method for rule in rules for method in rule.methods or ())


def _otherwise(changed: TokenRecord, family: Iterable[TokenRecord], now: float) -> Iterator[str]:
    """Of a rotation that is not over: who narrows the one token has not narrowed the other. Both at once would be
    wrong as well: to open the new one wider must not open the former so, which may have been rotated as it leaked."""
    for each in family:
        over = each.expires_at is not None and each.expires_at <= now
        if each.kin == changed.kin and each.id != changed.id and not over and each.rules != changed.rules:
            yield (
                f"{each.id}, which is of the same rotation, still is for {rules_told(each.rules)}: change it by its "
                "id if that is to be the same."
            )


async def change_token(call: Call) -> wire.TokenInfo:
    body, token_id = call.given(wire.TokenChange), call.path["id"]
    view = call.parts.engine.service(*call.service)
    halves = body.model_dump(include={"paths", "methods"} & body.model_fields_set)
    if body.limits is None and body.rules is None and not halves:
        raise InvalidRequest("Say what of the token is to change: its limits, its rules, or its paths or methods.")
    if body.rules is not None and halves:
        raise InvalidRequest("Rules say for which paths and methods the token is: give them, or its paths and methods.")
    record = await call.parts.tokens.change(
        view.id,
        token_id,
        None if body.limits is None else body.limits.model_dump(exclude_unset=True),
        None if body.rules is None else _rules(body.rules),
        halves,
    )
    if body.rules is None and not halves:
        return wire.TokenInfo(**_token(call, record))
    said = [*_unusual(record.rules), *_otherwise(record, call.parts.tokens.of(view.id), time.time())]
    return wire.TokenInfo(notices=said, **_token(call, record))


async def revoke_token(call: Call) -> None:
    view = call.parts.engine.service(*call.service)
    await call.parts.tokens.revoke(view.id, call.path["id"])


async def list_uses(call: Call) -> wire.UseList:
    query, uses = call.given(UseQuery), call.parts.uses
    view = call.parts.engine.service(*call.service)
    today = int(time.time() // DAY)
    since = today - _SHOWN + 1 if query.since is None else _day(query.since)
    found = [] if uses is None else await uses.since(view.id, since, query.limit + 1)
    complete = len(found) <= query.limit
    labels = {token.id: token.name for token in call.parts.tokens.of(view.id)}
    return wire.UseList(
        uses=[_use(record, labels) for record in found[-query.limit :]], today=_text(today), complete=complete
    )


def _day(text: str) -> int:
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError as error:
        raise InvalidRequest(f"{text} is no day: write one such as 2026-11-30.") from error


def _text(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def _use(record: UseRecord, labels: dict[str, str]) -> wire.UseInfo:
    kind, _, name = record.who.partition(":")
    return wire.UseInfo(
        kind=cast(Any, kind),
        name=name,
        label=labels.get(name, "") if kind == "token" else "",
        day=_text(record.day),
        calls=record.calls,
        refused=record.refused,
        last_at=record.last_at,
    )


def _rules(given: Iterable[PathRuleSpec]) -> list[PathRule]:
    return [PathRule(rule.path, None if rule.methods is None else tuple(rule.methods)) for rule in given]


def _token(call: Call, record: TokenRecord) -> dict[str, Any]:
    use, uses = call.parts.tokens.use(record), call.parts.uses
    calls = uses.token_today(record.service_id, record.id) if use is None and uses is not None else None
    return {
        "id": record.id,
        "name": record.name,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "last_used_at": record.last_used_at,
        "limits": None if record.limits is None else dataclasses.asdict(record.limits),
        "rules": [dataclasses.asdict(rule) for rule in record.rules],
        "family": record.kin,
        "created_by": record.created_by,
        "calls_today": calls if use is None else use.calls_today,
        "in_flight": None if use is None else use.in_flight,
    }
