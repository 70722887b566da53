"""An administrator's query to Prometheus, with a service's names put into it.

Only ``{service}``, ``{owner}`` and ``{replicas}`` mean something here, and only within quotes: elsewhere a name with a
hyphen would become a subtraction, and braces belong to PromQL itself. What is put in is quoted for where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InvalidRequest

__all__ = ["Query", "query_from"]

_NAMES = ("service", "owner", "replicas")
_PLACE = re.compile(r"\{([A-Za-z_]+)\}")
_QUOTES = "\"'`"
_MOST = 8_000  # characters of a query


@dataclass(frozen=True)
class _Place:
    """Where a name goes: in quotes of this kind, and whether that is a pattern."""

    name: str
    quote: str
    pattern: bool


@dataclass(frozen=True)
class Query:
    """A checked query, in pieces."""

    name: str
    pieces: tuple[str | _Place, ...]

    def about(self, owner: str, service: str, replicas: Sequence[str]) -> str | None:
        """The text to ask with, without comments; ``None`` when it is about replicas and there are none: an empty
        pattern would fit everything that has no such label."""
        words = {"owner": [owner], "service": [service], "replicas": sorted(replicas)}
        found = []
        for piece in self.pieces:
            if isinstance(piece, str):
                found.append(piece)
            elif not words[piece.name] or any("`" in word for word in words[piece.name] if piece.quote == "`"):
                return None
            else:
                found.append("|".join(_quoted(word, piece) for word in words[piece.name]))
        return "".join(found)


def query_from(name: str, text: str) -> Query:
    """Raises ``InvalidRequest``: one sentence about what is wrong with it."""
    if not text.strip() or len(text) > _MOST:
        raise InvalidRequest(
            f"The query {name} {'is empty' if not text.strip() else f'is longer than {_MOST} characters'}."
        )
    pieces: list[str | _Place] = []
    at = 0
    while at < len(text):
        if text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif text[at] in _QUOTES:
            end = _end_of_string(name, text, at)
            pieces += _string(name, text[at:end], pattern=text[:at].rstrip().endswith(("=~", "!~")))
            at = end
        else:
            end = min((place for q in (*_QUOTES, "#") if (place := text.find(q, at)) >= 0), default=len(text))
            outside = next((m[1] for m in _PLACE.finditer(text, at, end) if m[1] in _NAMES), None)
            if outside is not None:
                raise InvalidRequest(
                    f"The query {name} has {{{outside}}} outside quotes: it must stand in them, "
                    f'such as label="{{{outside}}}".'
                )
            pieces.append(text[at:end])
            at = end
    return Query(name, tuple(pieces))


def _end_of_string(name: str, text: str, start: int) -> int:
    quote, at = text[start], start + 1
    while at < len(text):
        if text[at] == "\\" and quote != "`":
            at += 1
        elif text[at] == quote:
            return at + 1
        at += 1
    raise InvalidRequest(f"The query {name} has a quote {quote} that does not end.")


def _string(name: str, text: str, pattern: bool) -> list[str | _Place]:
    pieces: list[str | _Place] = []
    at = 0
    for match in _PLACE.finditer(text):
        if match[1] not in _NAMES:
            raise InvalidRequest(
                f"The query {name} has {match[0]}, and only {', '.join(f'{{{each}}}' for each in _NAMES)} are replaced."
            )
        if match[1] == "replicas" and not pattern:
            raise InvalidRequest(
                f"The query {name} has {{replicas}} where one value is expected: it stands for several, "
                'as in label=~"{replicas}".'
            )
        pieces += [text[at : match.start()], _Place(match[1], text[0], pattern)]
        at = match.end()
    return [*pieces, text[at:]]


def _quoted(word: str, place: _Place) -> str:
    if place.pattern:
        word = re.sub(r"[\\.+*?()|\[\]{}^$]", r"\\\g<0>", word)
    if place.quote == "`":
        return word
    return word.replace("\\", "\\\\").replace(place.quote, "\\" + place.quote).replace("\n", "\\n")
