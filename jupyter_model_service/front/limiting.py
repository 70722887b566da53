"""The limits of a token, where its call comes in."""

from __future__ import annotations

from time import monotonic_ns, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.limits import Allowance
    from ..core.tally import Tally
    from .call import Call

__all__ = ["admitted"]


def admitted(call: Call, allowance: Allowance, tally: Tally | None) -> bool:
    """Counted from here until the call's end, whatever that is, and once: before its body is asked for, before it may
    wait. Where it is not let in it is refused, which its ``tally`` is told."""
    if call.allowance is not None:
        return True
    refusal = allowance.admit(monotonic_ns(), time())
    if refusal is not None:
        if tally is not None:
            tally.refuse()
        call.refuse(refusal)
        return False
    call.allowance = allowance
    return True
