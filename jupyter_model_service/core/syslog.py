"""An entry of the audit log as a message of syslog. Pure."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from urllib.parse import urlsplit

from .audit import Entry, json_line

__all__ = ["LONGEST", "Place", "message", "place_of"]

TAG = "model-service"
PORT = 514
LONGEST = 8_000  # bytes; what is beyond 8 KiB is cut by many receivers, and a line of JSON that is cut is none
_FACILITY = 10  # authpriv: where who may read it is fewest
_NOTICE, _WARNING = 5, 4
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where messages go: to a socket of this machine (``path``), or by UDP to ``host`` and ``port``."""

    path: str = ""
    host: str = ""
    port: int = PORT

    def __str__(self) -> str:
        return self.path or f"udp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def place_of(text: str) -> Place:
    """``/dev/log`` or ``udp://HOST[:PORT]``; ``ValueError`` with the end of a sentence for anything else."""
    if text.startswith("/") and "\0" not in text and text.isprintable():
        return Place(path=text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "udp" or not parts.hostname or parts.path or parts.query or parts.fragment or "@" in text:
        raise ValueError(
            f"{text[:100]!r} is neither a socket such as /dev/log nor an address such as udp://10.0.0.7:514"
        )
    return Place(host=parts.hostname, port=port or PORT)


def message(entry: Entry, *, process: int, host: str | None) -> bytes:
    """As RFC 5424 has it if it goes to another machine, which is told that it is from ``host``; else (``None``) as
    programs of one machine write it. What changed is left out where it is too long."""
    severity = _WARNING if entry.status >= 400 else _NOTICE
    line = json_line(entry)
    if len(line) > LONGEST:
        left_out = {"too_long": len(line)}
        line = json_line(dataclasses.replace(entry, before=None, after=left_out))
    priority = _FACILITY * 8 + severity
    if host is None:
        at = datetime.fromtimestamp(entry.at)
        head = f"<{priority}>{_MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S} {TAG}[{process}]: "
    else:
        at = datetime.fromtimestamp(entry.at, timezone.utc)
        head = f"<{priority}>1 {at:%Y-%m-%dT%H:%M:%S.%fZ} {_name(host)} {TAG} {process} audit - "
    return head.encode("ascii") + line.rstrip(b"\n")


def _name(host: str) -> str:
    """What may stand there; ``-`` for none."""
    return "".join(each for each in host if "!" <= each <= "~")[:255] or "-"
