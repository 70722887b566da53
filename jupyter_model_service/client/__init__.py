"""The Python client of the control API: ``Client`` and ``AsyncClient`` with the same methods.

Both are thin: what to ask and how to read the answer is in :mod:`.calls`, pure; how to survive a gateway that was
restarted is in :mod:`.exchange`, pure too; only :mod:`.light`, :mod:`.sync` and :mod:`.aio` touch a socket.
The heavy half (httpx, pydantic: 200 ms together) is imported when a class is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..errors import WaitTimeout
    from .aio import AsyncClient
    from .events import Change
    from .sync import Client

__all__ = ["AsyncClient", "Change", "Client", "WaitTimeout"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from .sync import Client

        return Client
    if name == "AsyncClient":
        from .aio import AsyncClient

        return AsyncClient
    if name == "Change":
        from .events import Change

        return Change
    if name == "WaitTimeout":
        from ..errors import WaitTimeout

        return WaitTimeout
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
