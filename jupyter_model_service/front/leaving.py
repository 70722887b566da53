"""Leaving without a word: a caller from whose connection nothing is read, and a connection that we reset."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios

from ..core.ending import has_left

__all__ = ["left_unread", "reset_by_us", "unsent"]

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None) if sys.platform == "linux" else None
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


def left_unread(transport: asyncio.Transport, *, bridged: bool, keep_alive: bool) -> bool:
    """While reading is paused, nothing tells that the caller closed; the kernel knows (Linux only)."""
    sock = transport.get_extra_info("socket")
    if _TCP_INFO is None or sock is None:
        return False
    try:
        state = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
    except OSError:
        return False
    return has_left(state, bridged=bridged, keep_alive=keep_alive)


def reset_by_us(transport: asyncio.Transport) -> None:
    """Where a plain close would look like the proper end of an answer."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def unsent(transport: asyncio.Transport) -> bool:
    """Whether the caller has not got all that was written: here, or (Linux only) in the kernel, which keeps megabytes
    and drops them where a connection is closed with bytes of the caller's unread."""
    if transport.get_write_buffer_size():
        return True
    sock = transport.get_extra_info("socket")
    if sock is None or sys.platform != "linux":
        return False
    try:
        return any(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:
        return False
