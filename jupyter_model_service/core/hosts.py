"""A host of its own for each service, where an administrator gives them a wildcard name: ``*.models.example.org``.

A page there has an origin of its own: it can act on no other service, on no Hub and on no control API. Pure.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from ipaddress import ip_address

__all__ = ["Hosts", "is_of_this_machine", "label_of"]

_PLAIN_OWNER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST = 63  # RFC 1035 §2.3.4: of a label
_LONGEST_HOST = 300  # of a name (255, RFC 1035 §2.3.4) and a port; nothing longer is kept, as anybody can send 64 KiB
_WILDCARD = re.compile(
    r"(https?)://\*\.([a-z0-9]([a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)(:\d{1,5})?/?"
)


def label_of(owner: str, name: str) -> str:
    """The first label of a service's host: ``NAME--OWNER``, which says whose page it is, and no other service has.

    Names have no two hyphens in a row, nor have the owners that stand in it as they are. Others (``Ann``, ``ann.b``),
    and those of two letters before ``--`` (``xn--…`` is another language for a browser, RFC 5891 §4.2.3.1), are told
    apart by 64 bits of a hash.
    """
    label = f"{name}--{owner}"
    if _PLAIN_OWNER.fullmatch(owner) and len(name) != 2 and len(label) <= _LONGEST:
        return label
    digest = hashlib.sha256(f"{owner}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"h--{name}--{digest}"


def is_of_this_machine(host: bytes) -> bool:
    """Whether a ``Host`` names this machine to itself alone: an address of the loopback, ``localhost``, or a name below
    that. Any other name leads here when whoever owns it says so: a page of ``evil.example`` that does (DNS rebinding)
    is of the same origin as what answers, and reads all of it."""
    return len(host) <= _LONGEST_HOST and _is_of_this_machine(host)


@lru_cache(1024)
def _is_of_this_machine(host: bytes) -> bool:
    name = host.lower()
    name = name[1 : name.find(b"]")] if name[:1] == b"[" else name.partition(b":")[0]
    if not name or name == b"localhost" or name.endswith(b".localhost"):
        return True
    try:
        return ip_address(name.decode("ascii")).is_loopback
    except ValueError:
        return False


class Hosts:
    """``url`` is such as ``https://*.models.example.org`` (with a port, perhaps). ``ValueError`` for any other: plain
    http is for ``localhost`` alone, since a cookie that signs in belongs on no open wire."""

    __slots__ = ("_port", "_scheme", "_suffix", "label")

    def __init__(self, url: str) -> None:
        match = _WILDCARD.fullmatch(url)
        if match is None:
            raise ValueError(f"{url!r} is no address for hosts of services: it looks like https://*.models.example.org")
        self._scheme, self._suffix, self._port = match[1], match[2], match[5] or ""
        if self._scheme == "http" and self._suffix.rpartition(".")[2] != "localhost":
            raise ValueError(f"{url!r} has to begin with https: people sign in there")
        end = f".{self._suffix}".encode()

        def label(host: bytes) -> str | None:
            """The label of a ``Host``, ``""`` for one that is no service's, though below the name for services;
            ``None``: it is not below it. A dot at its end makes it another origin to browsers, so no service's."""
            name = host.lower().partition(b":")[0]
            plain = name.rstrip(b".")
            if not plain.endswith(end):
                return None
            first = plain[: -len(end)]
            return "" if plain != name or b"." in first else first.decode("ascii", "replace")

        known = lru_cache(4096)(label)

        def bounded(host: bytes) -> str | None:
            return known(host) if len(host) <= _LONGEST_HOST else label(host)

        self.label = bounded

    def __repr__(self) -> str:
        return f"<Hosts *.{self._suffix}>"

    def origin(self, label: str) -> str:
        """As a browser says it: ``https://chat--ann.models.example.org``."""
        return f"{self._scheme}://{label}.{self._suffix}{self._port}"

    def url_of(self, owner: str, name: str) -> str:
        """Where a browser opens the service."""
        return f"{self.origin(label_of(owner, name))}/"
