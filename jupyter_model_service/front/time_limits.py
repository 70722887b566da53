"""What becomes of a call in which nothing has moved for too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import openai
from ..core.ending import Broken
from ..core.message import Refusal
from ..core.patience import Silence, silence

if TYPE_CHECKING:
    from .call import Call
    from .settings import FrontSettings

__all__ = ["check"]


def check(call: Call, now: float) -> None:
    """End ``call`` if its limit is over. One that is on no replica has none here: it waits for its turn."""
    attempt = call.attempt
    down, settings = call.down, call.front.settings
    if attempt is None or attempt.connection is None or attempt.holding:
        if call.named is not None and call.named.reading:
            if now - call.touched > settings.body_timeout:
                call.refuse(_body_timeout(settings))
            elif now - call.began > settings.naming_timeout:
                call.refuse(openai.too_late(settings.naming_timeout))
        return
    of_body = not call.body.done and down.body_allowed
    which = silence(bridged=call.bridged, answered=call.answered, stuck=down.stuck, of_body=of_body)
    if now - call.touched <= settings.most_silence(which, call.serving):
        return
    attempt.drop()
    if which is Silence.BRIDGE or which is Silence.READER:
        down.abort()
        why = Broken.BRIDGE if which is Silence.BRIDGE else Broken.READER
        call.finish(101 if call.bridged else 499, keep=False, broken=why)
    elif which is Silence.STREAM:
        call.break_off(Broken.IDLE)
    elif which is Silence.BODY:
        call.refuse(_body_timeout(settings))
    else:
        seconds = call.serving.first_byte_timeout
        message = f"The replica did not answer within {seconds:g} s (serving.first_byte_timeout)."
        attempt.too_late(Refusal(504, "first_byte_timeout", message))


def _body_timeout(settings: FrontSettings) -> Refusal:
    return Refusal(408, "body_timeout", f"No more of the request's body came for {settings.body_timeout:g} s.")
