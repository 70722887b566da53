"""Tab after ``%model_service``: verbs, options and the names of services."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from ..client import calls
from ..client.address import Locator
from ..client.light import Connection
from ..commands.grammar import build_parser, verb_parsers
from ..errors import ModelServiceError

__all__ = ["complete"]

_SECONDS = 1.0  # that the names may take: the kernel answers nothing else meanwhile


def complete(line: str, symbol: str) -> list[str]:
    """What may stand in the place of ``symbol``, the last word of ``line``."""
    words = line[: len(line) - len(symbol)].split() if symbol and line.endswith(symbol) else line.split()
    if not words:
        return []
    if words[0].startswith("%%"):
        return _beginning(symbol, service_names()) if len(words) == 1 else []
    parsers = verb_parsers(build_parser())
    verb = " ".join(words[1:3]) if " ".join(words[1:3]) in parsers else " ".join(words[1:2])
    if verb not in parsers:
        before = [*words[1:], ""]
        known = {each[len(before) - 1] for each in map(str.split, parsers) if each[: len(before) - 1] == before[:-1]}
        return _beginning(symbol, known)
    if symbol.startswith("-"):
        options = (option for action in parsers[verb]._actions for option in action.option_strings)
        return _beginning(symbol, (option for option in options if option.startswith("--")))
    takes = [action.dest for action in parsers[verb]._actions if not action.option_strings]
    named = len(words) > 1 + len(verb.split())
    return _beginning(symbol, service_names()) if takes[:1] == ["name"] and not named else []


def _beginning(symbol: str, words: Iterable[str]) -> list[str]:
    return sorted(word for word in words if word.startswith(symbol))


def service_names() -> list[str]:
    """None where no gateway answers in time."""
    found: list[str] = []

    def ask() -> None:
        try:
            connection = Connection(Locator())
            services: list[dict[str, Any]] = connection.send(calls.services())["services"]
            own = {each["owner"] for each in services}
            found.extend(each["name"] if len(own) == 1 else f"{each['owner']}/{each['name']}" for each in services)
        except ModelServiceError:
            pass  # nothing to offer

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return list(found)
