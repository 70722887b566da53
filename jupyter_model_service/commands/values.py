"""How the words of a line are read: argparse ``type`` functions, each of which says in one sentence what is wrong."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from datetime import date
from typing import TypeVar

from ..client.calls import is_text, split_name
from ..client.scaling import AUTO
from ..client.units import parse_duration, parse_size
from ..core.audit_search import check_action, moment_of
from ..core.bounds import LEAST_CPUS, LEAST_MEMORY, MOST_CPUS, MOST_MEMORY
from ..core.limits import LEAST_PER_SECOND, MOST_PER_SECOND
from ..core.names import check_service_name
from ..core.quantities import UNIT_VALUE
from ..errors import InvalidRequest

T = TypeVar("T")


def checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """argparse shows only the message of its own error class."""

    def value(text: str) -> T:
        try:
            return read(text)
        except InvalidRequest as error:
            raise argparse.ArgumentTypeError(error.message) from error

    return value


@checked
def service(text: str) -> str:
    """Only its shape: which services there are is the gateway's business."""
    split_name(text)
    return text


@checked
def owned(text: str) -> str:
    """A service of anybody's, which may be deleted by now."""
    if "/" not in text:  # of an administrator's own it would be looked for in vain, and all is well, so it seems
        raise InvalidRequest(f"{text!r} is no service of everybody's: write OWNER/NAME.")
    return service(text)


@checked
def whom(text: str) -> str:
    """A user or a group of the hub."""
    if not text or not is_text(text):
        raise InvalidRequest(f"{text!a} is no name of a user or a group.")
    return text


def whoms(option: str) -> Callable[[str], str]:
    """One of several, each with an ``option`` of its own. A comma may be in a name, as in the groups of a directory
    (``CN=ds,OU=models``); two words with one between them are two names."""

    def read(text: str) -> str:
        several = [each.strip() for each in whom(text).split(",")]
        if len(several) > 1 and not any("=" in each for each in several):
            options = " ".join(f"{option} {each}" for each in several if each)
            raise InvalidRequest(f"{text!r} is not one name: say {options}.")
        return text

    return checked(read)


@checked
def method(text: str) -> str:
    several = re.split(r"[\s,/|+]+", text.strip())
    if text.strip().lower() in ("any", "all", "*"):
        raise InvalidRequest(f"{text!r} is no method: leave --method out for all of them (limit-token: --all-methods).")
    if len(several) > 1:
        options = " ".join(f"--method {each}" for each in several)
        raise InvalidRequest(f"{text!r} is not one method: say {options}.")
    return text


@checked
def memory(text: str) -> int:
    """Of a replica. Nothing starts in less than a MiB, and whoever writes 1 means a GiB."""
    found = parse_size(text)
    if not LEAST_MEMORY <= found <= MOST_MEMORY:
        raise InvalidRequest(f"{text!r} is no memory for a replica: write one such as 512m or 8g.")
    return found


@checked
def new_name(text: str) -> str:
    check_service_name(text)
    return text


@checked
def folder(text: str) -> str:
    if not text:  # what "$UNSET" leaves: it would be the working directory
        raise InvalidRequest("'' is no folder: write . for the one that you are in.")
    if not is_text(text):
        raise InvalidRequest(
            f"The name {text!a} is no UTF-8 text, and the gateway can be told no other: rename the folder."
        )
    return text


def number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # int() alone would take "1_0" and "١", and ten thousand digits.
        found = int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else -1
        if not low <= found <= high:
            raise InvalidRequest(f"{text!r} is not a number from {low} to {high}.")
        return found

    return checked(read)


@checked
def cpus(text: str) -> float:
    try:
        found = float(text) if len(text) <= 12 else 0.0
    except ValueError:
        found = 0.0
    if not LEAST_CPUS <= found <= MOST_CPUS:
        raise InvalidRequest(f"{text!r} is no number of CPUs: 0.5 is half of one.")
    return found


@checked
def rate(text: str) -> float:
    found = _number(text)
    if found is None or not LEAST_PER_SECOND <= found <= MOST_PER_SECOND:
        raise InvalidRequest(f"{text!r} is no number of calls per second: write one such as 10, or 0.5.")
    return found


def or_none(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """``none``, or what ``read`` reads."""
    return lambda text: None if text == "none" else read(text)


@checked
def variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.isascii() and name.isidentifier()):
        raise InvalidRequest(f"{name!r} is no name of a variable: write NAME=VALUE, or NAME to pass your own value on.")
    if not equals:
        if name not in os.environ:
            raise InvalidRequest(f"{name} is not set here: write {name}=VALUE.")
        value = os.environ[name]
    return name, value


@checked
def tail(text: str) -> int | None:
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidRequest(f"{text!r} is no number of lines; 'all' shows everything that is kept.")
    return int(text)


@checked
def patience(text: str) -> float:
    return parse_duration(text, plain_seconds=True)


@checked
def day(text: str) -> str:
    try:
        return date.fromisoformat(text if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else "").isoformat()
    except ValueError:
        raise InvalidRequest(f"{text!r} is no day: write one such as 2026-11-30.") from None


@checked
def moment(text: str) -> float:
    try:
        return moment_of(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"{text!r} is no time: {error.message}.") from None


@checked
def action(text: str) -> str:
    try:
        return check_action(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"{text!r}: {error.message}.") from None


@checked
def span(text: str) -> float:
    """A duration that may be none at all."""
    return 0.0 if text in ("0", "0s") else parse_duration(text, plain_seconds=True)


@checked
def concurrency(text: str) -> float | str:
    if text == AUTO:
        return text
    found = _number(text)
    if found is None or found <= 0:
        raise InvalidRequest(f"{text!r} is no number of calls at once: write one such as 4, or auto.")
    return found


@checked
def threshold(text: str) -> float | str:
    """A number, or one with a unit (``80%``, ``1.5s``, ``8g``), which the gateway reads: it knows that of the metric,
    and that 5m are five minutes of latency and 5 MiB of memory."""
    found = _number(text)
    if found is not None:
        return found
    if len(text) > 30 or not re.fullmatch(UNIT_VALUE, text, re.ASCII):
        raise InvalidRequest(f"{text!r} is no value of a metric: write a number such as 80, 1.5s or 8g.")
    return text


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)", text, re.ASCII) and len(text) <= 20 else None
