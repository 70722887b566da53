"""How calls and connections end before their time: what an end means, and what the caller must see of it. Pure."""

from __future__ import annotations

import enum
import struct

from .message import AnswerHead, Refusal
from .retrying import Failure

__all__ = [
    "OVERLOADED",
    "Broken",
    "Fin",
    "ended_by",
    "fin_means",
    "given_up",
    "has_left",
    "looks_whole",
    "lost_by",
    "may_say_all",
    "not_taken",
]

OVERLOADED = Refusal(503, "overloaded", "The gateway has no connection left for this call; try again.", 1.0)


class Broken(enum.Enum):
    """Why an answer that had begun was broken off, or nobody waited for it any more. A caller who got nothing of an
    answer is told a code in its place."""

    IDLE = "idle_timeout"  # the model sent nothing more
    READER = "reader_timeout"  # the caller did not take what it sent
    BRIDGE = "bridge_timeout"  # nothing came through an upgraded connection
    DIED = "replica_died"  # or ended its connection in the midst of the answer
    DRAINED = "drained"  # the replica leaves, and the time for calls that were on it was over
    BAD_ANSWER = "bad_answer"  # what followed was not HTTP
    BAD_BODY = "bad_body"  # what the caller went on to send was not, or was too much
    REVOKED = "revoked"  # the caller may not call any more: the token ended, or what was shared was taken back
    GONE = "caller_gone"  # also before the answer had begun
    STOPPING = "shutting_down"  # the gateway ended, and its grace was over


# --- of the caller's side ---------------------------------------------------------------------------------


class Fin(enum.Enum):
    """What a caller means that closed its sending side."""

    OVER = "over"  # nothing is under way
    LISTENS = "listens"  # it has said all, and waits for its answer
    HUNG_UP = "hung up"  # of an upgraded connection: what was written to it still goes out
    LEFT = "left"  # nobody waits for the answer any more


def fin_means(*, open_call: bool, bridged: bool, keep_alive: bool, said_all: bool) -> Fin:
    """FIN is all that one sees of a caller who went away, too. Who asked for one answer only (``Connection: close``,
    HTTP/1.0) and has said all of it is believed to listen, to the answer's end: a caller who went away resets what is
    written next. Everybody else has gone, as for nginx.

    The values are those of the last call that came on the connection, ``open_call`` whether there is one.
    """
    if not open_call:
        return Fin.OVER
    if bridged:
        return Fin.HUNG_UP
    if not keep_alive and said_all:
        return Fin.LISTENS
    return Fin.LEFT


def may_say_all(unread: bytes) -> bool:
    """Whether the last of some requests that were not read yet may be one after which its caller listens only: a FIN
    behind it need not mean that the caller left."""
    return b"close" in unread.lower() or b"HTTP/1.0" in unread


_CLOSED, _FIN_CAME = 7, 8  # tcpi_state: TCP_CLOSE after a reset, TCP_CLOSE_WAIT


def has_left(tcp_state: int, *, bridged: bool, keep_alive: bool) -> bool:
    """The same, asked of the kernel (Linux) while nothing is read from the connection."""
    return tcp_state == _CLOSED or (tcp_state == _FIN_CAME and (bridged or keep_alive))


def looks_whole(answer: AnswerHead | None, *, chunked: bool) -> bool:
    """Whether an answer that breaks off would be taken for a whole one if its connection were simply closed: its end
    is the connection's then, so that it must be reset."""
    return not chunked and (answer is None or answer.length is None)


# --- of the replica's side --------------------------------------------------------------------------------


_TCP_INFO_SIZE = 216  # of struct tcp_info (linux/tcp.h) up to tcpi_bytes_retrans, since Linux 4.19
_AT_ONCE = 0.1


def not_taken(tcp_info: bytes) -> int | None:
    """How many of the bytes that were sent on a connection, which we opened, the other side's kernel has not taken, as
    ours (Linux) says; ``None`` where it does not. Of the bytes that were acknowledged the first is the SYN."""
    if len(tcp_info) < _TCP_INFO_SIZE:
        return None
    (acknowledged,) = struct.unpack_from("=Q", tcp_info, 120)
    sent, repeated = struct.unpack_from("=QQ", tcp_info, 200)
    return int(sent - repeated - (acknowledged - 1))


def ended_by(*, spoke: bool, reused: bool, unused: bool | None, waited: float) -> Failure:
    """What a connection's end before an answer was. ``spoke``: some of the answer had come; ``reused``: it was a
    kept-alive one; ``unused``: its other end was closed before any of the call came there, ``None`` where nobody knows.

    Then time decides: ``waited`` seconds after its head was written. A server that closes an idle connection just then
    has its FIN under way already. A stall of our own loop makes it seem longer, which errs on the safe side.
    """
    if spoke:
        return Failure.BROKEN
    if unused:
        return Failure.STALE if reused else Failure.CONNECT
    return Failure.SUDDEN if unused is None and reused and waited <= _AT_ONCE else Failure.DIED


def lost_by(*, connected: bool, spoke: bool, drained: bool = False) -> Failure:
    """What the loss of a replica is for a call on it; ``connected``: the replica may have had the call; ``drained``: it
    lives, and waits for the call no longer."""
    if not connected:
        return Failure.CONNECT
    if drained:
        return Failure.DRAINED
    return Failure.BROKEN if spoke else Failure.DIED


def given_up(failure: Failure, *, of_web: bool, late: bool, replayable: bool, once: bool = False) -> Refusal:
    """What a caller is told whose call failed and is not sent again. ``of_web``: it was for the control API;
    ``late``: the connection took too long; ``replayable``: its body was still at hand; ``once``: the service lets no
    call of its method be repeated (``retrying.only_once``)."""
    if failure is Failure.LACK:
        return OVERLOADED
    if of_web:
        return Refusal(503, "web_unavailable", "The control API does not answer; try again later.", 1.0)
    if late:
        return Refusal(
            504, "connect_timeout", "The replica did not accept a connection in time (serving.connect_timeout)."
        )
    if failure is Failure.CONNECT:
        return Refusal(502, "connect_failed", "No replica accepted a connection.")
    if failure is Failure.DRAINED:
        message = "The replica that had this call leaves, and the time for open calls (serving.drain_timeout) is over."
        if not replayable:
            message += " The call's body is too long to be sent again (serving.replay_limit)."
    elif not replayable:
        message = "The replica died under this call, whose body is too long to be sent again (serving.replay_limit)."
    elif failure is Failure.BROKEN:
        message = "The replica died before it had sent the whole answer."
    else:
        message = "The replica died under this call."
    if once and replayable:
        message += " It is not sent again, for this service lets no call of its method be repeated (serving.retry)."
    if failure is Failure.DRAINED:
        return Refusal(502, "drained", message)
    return Refusal(502, "replica_died", message)
