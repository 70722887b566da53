"""The limits of a token, where its call comes in."""

from __future__ import annotations

from time import monotonic_ns, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.limits import Allowance
    from .call import Call

__all__ = ["admitted"]


def admitted(call: Call, allowance: Allowance) -> bool:
    """Counted from here until the call's end, whatever that is, and once: before its body is asked for, before it may
    wait. Where it is not let in it is refused."""
    if call.allowance is not None:
        return True
    refusal = allowance.admit(monotonic_ns(), time())
    if refusal is not None:
        call.refuse(refusal)
        return False
    call.allowance = allowance
    return True
