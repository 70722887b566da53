"""Tokens as text for people."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..client.units import show_duration
from ..commands.grammar import PROGRAM
from ..commands.results import TokenResult, UsesResult
from ..commands.rotating import former_told
from .calling import call_line
from .text import Paint, clean, columns, moment

Json = Mapping[str, Any]

#: What stands above the columns of :func:`cells`.
COLUMNS = ("Id", "Label", "Created", "By", "Expiry", "Last used", "Limits", "Today", "In flight")


def token_text(result: TokenResult, quiet: bool) -> str:
    token = result.token
    if quiet:
        return "" if result.file is not None else str(token["token"])
    told = f"{expiry(token)}{limited(token)}. Its id is {token['id']}.{former(result)}"
    if result.file is not None:
        told = f"The token is in {clean(result.file)} (mode 0600); {told}"
        shown = f"$(cat {clean(shlex.quote(result.file))})"
    else:
        told = f"{token['token']}\nShown this once; {told}"
        shown = "TOKEN"
    if result.service is None:
        return told
    return told + call_line(result.service, header=f'-H "Authorization: Bearer {shown}" ', rules=token.get("rules"))


def former(result: TokenResult) -> str:
    """A sentence, with a space before it, of the one in whose place it is."""
    return "" if result.former is None else f" The former, {clean(former_told(result.former, result.token))}."


def token_table(tokens: Sequence[Json], paint: Paint) -> str:
    if not tokens:
        return f"No tokens yet: {PROGRAM} generate-token NAME makes one."
    return columns(
        [each.upper() for each in COLUMNS], [[clean(cell) for cell in cells(each)] for each in tokens], paint
    )


def cells(token: Json) -> list[str]:
    """One row of a table."""
    return [
        token["id"],
        token["name"] or "-",
        moment(token["created_at"]),
        token.get("created_by") or "-",  # an older gateway tells none
        expiry(token),
        moment(token["last_used_at"]) if token["last_used_at"] else "never",
        ", ".join(filter(None, (rules(token), limits(token)))) or "-",
        _count(token, "calls_today"),
        _count(token, "in_flight"),
    ]


def uses_table(result: UsesResult, paint: Paint) -> str:
    rows = use_rows(result)
    if not rows:
        return f"Nobody called {clean(result.service)} {_when(result)}."
    table = columns(
        [each.upper() for each in use_columns(result)], [[clean(cell) for cell in row] for row in rows], paint
    )
    missing = "" if result.answer.get("complete", True) else "\nThere is more, of days before these: say --since DAY."
    return f"{table}{missing}"


def use_columns(result: UsesResult) -> tuple[str, ...]:
    if result.by_day:
        return "Day", "Who", "Calls", "Refused", "Last"
    return "Who", "Today", "Since " + result.since if result.since else "30 days", "Refused", "Last"


def use_rows(result: UsesResult) -> list[list[str]]:
    """Those who called most first, or by day."""
    uses: Sequence[Json] = result.answer["uses"]
    if result.by_day:
        return [[each["day"], caller(each), str(each["calls"]), str(each["refused"]), _last(each)] for each in uses]
    found: dict[str, dict[str, Any]] = {}
    for each in uses:
        who = found.setdefault(caller(each), {"today": 0, "calls": 0, "refused": 0, "last_at": None})
        who["today"] += each["calls"] if each["day"] == result.answer["today"] else 0
        who["calls"] += each["calls"]
        who["refused"] += each["refused"]
        who["last_at"] = max(filter(None, (who["last_at"], each["last_at"])), default=None)
    ranked = sorted(found.items(), key=lambda pair: (-pair[1]["calls"], pair[0]))
    return [[who, str(n["today"]), str(n["calls"]), str(n["refused"]), _last(n)] for who, n in ranked]


def caller(use: Json) -> str:
    """``bob``, ``token laptop (id)``, ``anyone``."""
    if use["kind"] == "token":
        label = f"{use['label']} ({use['name']})" if use["label"] else f"({use['name']})"
        return f"token {label}"
    if use["kind"] == "service":
        return f"service {use['name']}"
    named = {"anyone": "anyone (while it was public)", "others": "others (beyond 10,000 on a day)"}
    return named.get(use["kind"]) or str(use["name"])


def _last(use: Json) -> str:
    return moment(use["last_at"]) if use["last_at"] else "-"


def _when(result: UsesResult) -> str:
    return f"since {result.since}" if result.since else "in the last 30 days"


def expiry(token: Json) -> str:
    if token["expires_at"] is None:
        return "never expires"
    left = token["expires_at"] - time.time()
    # Rounded: a fresh token of 30 days is not one of 29 d 23 h.
    return f"expires in {show_duration(left + 30)}" if left > 0 else f"expired {moment(token['expires_at'])}"


def limits(token: Json) -> str:
    """``10/s, 4 at once, 1000/day``; empty where there are none."""
    given = token.get("limits") or {}  # a gateway of before there were any names none
    units = {"calls_per_second": "/s", "in_flight": " at once", "calls_per_day": "/day"}
    return ", ".join(f"{given[name]:.10g}{unit}" for name, unit in units.items() if given.get(name) is not None)


def rules(token: Json) -> str:
    """``POST /v1/chat/*``, of all methods the path alone; empty for a token that is for everything."""
    found = token.get("rules") or []
    return ", ".join(f"{'/'.join(rule.get('methods') or ())} {rule['path']}".strip() for rule in found)


def limited(token: Json) -> str:
    """For the end of a sentence about a token."""
    found = ", ".join(filter(None, (rules(token), limits(token))))
    return f"; limited to {found}" if found else ""


def _count(token: Json, what: str) -> str:
    return "-" if token.get(what) is None else str(token[what])
