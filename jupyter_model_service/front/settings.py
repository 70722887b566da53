"""Limits of the front that do not belong to one service (those are in its ``serving:`` block)."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.definition import Serving
from ..core.patience import Silence

__all__ = ["FrontSettings"]


@dataclass(frozen=True)
class FrontSettings:
    """Times in seconds, sizes in bytes. ``trusted_proxies``: addresses or networks whose ``X-Forwarded-*`` and
    ``X-Request-Id`` are believed, such as ``127.0.0.1`` or ``10.0.0.0/8``. ``shared_origin``: the endpoints by path
    share their address, with each other or with something that knows its visitors by cookies (a Hub): models' pages are
    sandboxed, and set nothing for the whole address. ``own_cookie``: callers get ours there, by which they come back to
    a replica; not where the address is a Hub's. ``page_help``: what whoever opens a private service's page is told.
    ``of_this_machine``: nobody calls from elsewhere, so that whoever has no token has to call the gateway by a name
    that is this machine's alone (``front/own_host.py``)."""

    trusted_proxies: tuple[str, ...] = ()
    shared_origin: bool = False
    own_cookie: bool = True
    of_this_machine: bool = False
    page_help: str = ""
    max_connections: int | None = None  # of callers; as many as the process's limit of descriptors lets be
    share_per_service: float = 1.0  # of them, the calls that one service may have open; 1: no limit
    share_per_owner: float = 1.0  # the same of all services of one owner
    kept_per_service: int = 64 << 20  # of the bodies of its open calls, so that they can be sent again
    max_target: int = 16 << 10  # 414 beyond it
    max_head: int = 64 << 10  # 431 beyond it
    max_headers: int = 128  # 431 beyond it
    max_answer_head: int = 128 << 10  # a replica's
    held_answer: int = 64 << 10  # an answer up to this size goes out when its body is there, not by halves …
    held_time: float = 0.1  # … or after so long: a server pauses between head and body only when it is not scheduled
    gathered_answer: int = 4 << 20  # one that goes into a stream of ours as a single event
    named_within: int = 1 << 20  # of a body at ``v1/``: its model's name has to stand in so many bytes …
    naming_room: int = 64 << 20  # … of all bodies there that have not named one yet: 5,000 callers would hold 5 GB
    naming_timeout: float = 60.0  # from a call's beginning: a byte each 59 s is no silence
    body_buffer: int = 64 << 10  # of a caller's body, while no replica takes it
    head_timeout: float = 30.0  # from a request's first byte to the end of its head
    prompt_time: float = 2.0  # for the beginning of a prompt, by which a replica is chosen (serving.affinity)
    body_timeout: float = 60.0  # between two bytes of a request's body
    keep_alive: float = 75.0  # between two requests
    reader_timeout: float = 300.0  # a caller who takes nothing of a waiting answer for so long
    bridge_timeout: float = 3600.0  # between two bytes of an upgraded connection
    linger: float = 3.0  # to read on after a last answer, so that it is not lost in a reset
    web_timeout: float = 7 * 3600.0  # until the control API answers: one that copies a folder does so when it is copied
    identity_timeout: float = 10.0
    recheck_every: float = 10.0  # whether a caller may still call, while her call goes on
    replay_grace: float = 1.0  # a call whose only replica failed waits so long for another one
    end_proof: float = 0.25  # an answer that ends with its connection is held to be whole after so long
    pool_idle: float = 4.0  # uvicorn closes kept-alive connections after 5 s, and the race is lost by us
    pool_size: int = 256  # idle connections per replica
    tick: float = 0.1  # resolution of the time limits

    def most_silence(self, which: Silence, serving: Serving) -> float:
        """Seconds in which nothing may move."""
        if which is Silence.STREAM:
            return serving.idle_timeout
        if which is Silence.FIRST_BYTE:
            return serving.first_byte_timeout
        if which is Silence.BODY:
            return self.body_timeout
        return self.reader_timeout if which is Silence.READER else self.bridge_timeout
