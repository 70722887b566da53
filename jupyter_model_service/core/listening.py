"""Where a model server listens instead of where it should, in one clause."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

SHOWN = 3  # ports that a clause names: a large server opens others for itself


def unreached(address: tuple[str, int], listens: Sequence[tuple[str, int]]) -> str:
    """``nothing listens on its port 8000 yet; it listens on port 9000``. ``address`` is where it should be reached,
    ``listens`` where its processes take connections."""
    host, port = address
    here = sorted({where for where, number in listens if number == port})
    if here and not any(_covers(where, host) for where in here):
        wanted, only = host if _plain(host).is_loopback else "0.0.0.0", " and ".join(here)
        return f"its port {port} cannot be reached: it listens there on {only} only; let it listen on {wanted}"
    said = f"nothing listens on its port {port} yet"
    others = [str(number) for number in sorted({number for _, number in listens} - {port})]
    if not others:
        return said
    more = len(others) - SHOWN
    shown = ", ".join(others[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{said}; it listens on {'port' if len(others) == 1 else 'the ports'} {shown}"


def _covers(where: str, host: str) -> bool:
    return _plain(where).is_unspecified or _plain(where) == _plain(host)


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(host)
    return getattr(address, "ipv4_mapped", None) or address
