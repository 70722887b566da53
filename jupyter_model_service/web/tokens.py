"""The operations on the tokens of endpoints: parsed request → engine call → wire model."""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import wire
from ..core.grants import PathRule
from ..core.limits import Limits
from ..engine.tokens import Use
from ..ports import TokenRecord
from .call import Call

__all__ = ["change_token", "create_token", "list_tokens", "revoke_token"]


async def list_tokens(call: Call) -> wire.TokenList:
    view = call.parts.engine.service(*call.service)
    tokens = call.parts.tokens
    return wire.TokenList(tokens=[wire.TokenInfo(**_token(t, tokens.use(t))) for t in tokens.of(view.id)])


async def create_token(call: Call) -> wire.NewToken:
    body = call.given(wire.TokenRequest)
    owner, name = call.service
    view = call.parts.engine.service(owner, name)
    limits = None if body.limits is None else Limits(**body.limits.model_dump())
    tokens = call.parts.tokens
    rules = [PathRule(rule.path, None if rule.methods is None else tuple(rule.methods)) for rule in body.rules]
    record, text = await tokens.generate(view.id, f"{owner}/{name}", body.name, body.expires_in, limits, rules)
    return wire.NewToken(token=text, **_token(record, tokens.use(record)))


async def change_token(call: Call) -> wire.TokenInfo:
    changes = call.given(wire.TokenChange).limits.model_dump(exclude_unset=True)
    view = call.parts.engine.service(*call.service)
    tokens = call.parts.tokens
    record = await tokens.limit(view.id, call.path["id"], changes)
    return wire.TokenInfo(**_token(record, tokens.use(record)))


async def revoke_token(call: Call) -> None:
    view = call.parts.engine.service(*call.service)
    await call.parts.tokens.revoke(view.id, call.path["id"])


def _token(record: TokenRecord, use: Use | None) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "last_used_at": record.last_used_at,
        "limits": None if record.limits is None else dataclasses.asdict(record.limits),
        "rules": [dataclasses.asdict(rule) for rule in record.rules],
        "calls_today": None if use is None else use.calls_today,
        "in_flight": None if use is None else use.in_flight,
    }
