"""Who is at the other end of a caller's connection, and whose word of the way here is believed. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from .message import Headers

__all__ = ["Peer", "Proxies", "bare", "ip_of", "sender"]


def bare(entry: bytes) -> bytes:
    """An address as a proxy may write it (``10.0.0.1:80``, ``[::1]:80``), without port and brackets."""
    host, bracket, _ = entry.removeprefix(b"[").partition(b"]")
    return host.partition(b":")[0] if not bracket and host.count(b":") == 1 else host


def ip_of(entry: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The same as an address; what a socket of both kinds says of IPv4 (``::ffff:10.0.0.1``) is one of IPv4."""
    try:
        ip = ipaddress.ip_address(bare(entry).partition(b"%")[0].decode("ascii"))
    except ValueError:  # whoever calls may write anything there
        return None
    return (ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None) or ip


class Proxies:
    """Addresses and networks (``127.0.0.1``, ``10.0.0.0/8``) of those who are believed. Raises :class:`ValueError` for
    anything else."""

    __slots__ = ("_networks", "has")

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
        self.has: Callable[[bytes], bool] = lru_cache(1024)(self._has)

    def _has(self, address: bytes) -> bool:
        ip = ip_of(address)
        return ip is not None and any(ip in network for network in self._networks)


_NOBODY = Proxies()


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a caller's connection; ``trusted`` makes it be believed what it says of the way here:
    ``X-Forwarded-*`` and ``X-Request-Id``. ``proxies`` are the others of whom that is so."""

    address: bytes
    trusted: bool = False
    proxies: Proxies = field(default=_NOBODY, compare=False, repr=False)


def sender(peer: Peer, forwarded: Headers) -> bytes:
    """The address of whom we know nothing else: the other end of the connection, or what a proxy that is believed saw
    at its own other end; where that is one that is believed, too, what that one saw, and so on. What stands before
    the first who is not believed is that one's word, and anybody's invention."""
    if not peer.trusted:
        return peer.address
    said = [value for name, value in forwarded if name == b"x-forwarded-for"]
    if len(said) == 1 and b"," not in said[0]:
        return said[0].strip() or peer.address
    address = b""
    for entry in reversed(b",".join(said).split(b",")):
        address = entry.strip() or address
        if address and not peer.proxies.has(address):
            break
    return address or peer.address
