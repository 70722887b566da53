"""Signs of life for a caller who asked for them, while its call waits for a replica."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from ..core.event_stream import BEAT, answer_event, is_events, refusal_event, stream_head
from ..core.message import AnswerHead, Headers, Refusal
from .body import END_OF_CHUNKS, chunk, gather
from .upstream import Sink

if TYPE_CHECKING:
    from .attempt import Attempt
    from .call import Call

__all__ = ["Heart"]


class Heart:
    """Once a call has waited for ``seconds``, it gets the head of an event stream and a comment each ``seconds`` until
    the model's first byte. From then on (``begun``) what the replica answers goes into that stream.

    Nothing of a final answer has gone out with a beat, so the call can be sent again as before.
    """

    __slots__ = ("_beat_at", "_call", "begun", "seconds")

    def __init__(self, call: Call, seconds: int) -> None:
        self.seconds = seconds
        self.begun = False
        self._call = call
        self._beat_at = 0.0

    def beat(self, now: float, waits_since: float | None) -> None:
        """If it is time for one. ``waits_since``: when the call began to wait for a replica, if it does."""
        call = self._call
        if not self.begun:
            if waits_since is None or now - waits_since < self.seconds:
                return
            self.begun = True
            self._begin()
        elif now < self._beat_at or call.answered or call.down.stuck:
            return
        self._beat_at = now + self.seconds
        self._write(BEAT)

    def _begin(self) -> None:
        call = self._call
        head = call.head
        if head.expects:
            call.let_come()
        headers = [pair for pair in head.headers if pair[0].lower() != b"accept-encoding"]  # could not follow
        call.head = replace(head, headers=headers, takes_trailers=False)  # the stream has none
        call.head.token, call.head.visit = head.token, head.visit  # it is still her call
        start, call.chunked, call.keep = stream_head(
            version=head.version, keep_alive=call.may_keep(), request_id=call.request_id, applied=call.applied
        )
        call.down.write([start])

    def _write(self, piece: bytes) -> None:
        call = self._call
        call.down.write([chunk(piece) if call.chunked else piece])

    def refuse(self, refusal: Refusal) -> None:
        """The end of the call."""
        call = self._call
        self._write(refusal_event(refusal))
        if call.chunked:
            call.down.write([END_OF_CHUNKS])
        call.finish(refusal.status, keep=call.keep and call.body.done, code=refusal.code)

    def in_place_of(self, attempt: Attempt) -> Sink:
        """Who hears the replica instead of it."""
        return _InStream(self._call, attempt)


class _InStream:
    """An attempt's ears: events go on in the caller's stream, anything else is gathered and goes out as one event."""

    __slots__ = ("_attempt", "_body", "_call", "_gathers", "_size", "to_head", "wants_upgrade")

    def __init__(self, call: Call, attempt: Attempt) -> None:
        self.to_head = self.wants_upgrade = False
        self._call = call
        self._attempt = attempt
        self._gathers = False
        self._body: list[bytes] = []
        self._size = 0

    def on_informational(self, answer: AnswerHead) -> None:
        """There is no place for it after the head of the stream."""

    def on_answer(self, answer: AnswerHead) -> None:
        self._gathers = not is_events(answer)
        self._attempt.answer = replace(answer, length=None)  # its length is not the stream's

    def on_body(self, piece: bytes) -> None:
        if self._gathers:
            gather(self._body, piece)
            self._size += len(piece)
        else:
            self._attempt.on_body(piece)

    def on_trailers(self, fields: Headers) -> None:
        """They are of the answer, not of the stream."""

    def on_flush(self) -> None:
        if not self._gathers:
            self._attempt.on_flush()
        elif not self._too_long():
            self._call.touched = monotonic()

    def _too_long(self) -> bool:
        """For one event; then the call is over."""
        call, most = self._call, self._call.front.settings.gathered_answer
        if self._size <= most:
            return False
        message = f"The model's answer is no event stream, and more than {most} bytes are too long for one event."
        call.drop()
        call.refuse(Refusal(502, "answer_too_long", message))
        return True

    def on_end(self, reusable: bool) -> None:
        attempt = self._attempt
        if self._gathers and (answer := attempt.answer) is not None:
            if self._too_long():
                return
            attempt.on_body(answer_event(answer, b"".join(self._body)))
        attempt.on_end(reusable)

    def on_bad(self, message: str) -> None:
        self._attempt.on_bad(message)

    def on_gone(self, *, spoke: bool) -> None:
        self._attempt.on_gone(spoke=spoke)

    def on_switched(self, answer: AnswerHead, rest: bytes) -> None:
        self.on_bad("The replica switched protocols without being asked.")

    def on_raw(self, data: bytes) -> None:
        """Nothing is raw where nothing is switched."""

    def on_stuck(self, stuck: bool) -> None:
        self._attempt.on_stuck(stuck)
