"""The one way in which anything is changed, whether by an operation of the control API or by a form of our pages.

Who may not is refused, and that is written down. Nothing is done before it is noted that it is begun, and whatever
becomes of it is written down before it is answered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from ..core.audit import differences
from ..errors import Forbidden, ModelServiceError, NotFound, TooManyAttempts, Unauthenticated
from ..wire import ServiceInfo
from .audit import Asked, denial, picture
from .call import Answer, Call, Noted, Parts
from .errors import classified

__all__ = ["Wish", "admitted", "carried_out"]

T = TypeVar("T")

# Of requests that concern no service: what of their bodies is worth a note.
_GIVEN = {"attach": ("pid", "keep"), "shutdown": ("leave_replicas",), "validate": ("folder",)}
_MAKES_ROOM = ("delete_service",)  # on a disk that is full


@dataclass(frozen=True)
class Wish:
    """What somebody who may wants to be done: a request that was read and found well-formed."""

    call: Call
    do: Callable[[Call], Awaitable[Answer]]
    asked: Asked


async def admitted(parts: Parts, asked: Callable[[], Asked], admit: Callable[[], Awaitable[T]]) -> T:
    """What ``admit`` answers. Whom it refuses, ``asked`` (after it has found out who asks) is written down of."""
    try:
        return await admit()
    except (Unauthenticated, Forbidden, NotFound, TooManyAttempts) as error:
        parts.engine.audit.denied(denial(asked(), error))
        raise


async def carried_out(
    parts: Parts,
    asked: Callable[[], Asked],
    *,
    admit: Callable[[], Awaitable[object]],
    read: Callable[[], Wish],
    status: Callable[[Answer], int],
    models: Sequence[type[BaseModel]] = (),
) -> Answer:
    """Do what a request asks for. ``admit`` raises for who may not, ``read`` for what is no such request; ``status`` is
    what it will be answered with, and ``models`` are those that it was parsed with.

    ``Overloaded``: it was not done, as it could not be noted, or was done and is not written down yet, as it says."""
    await admitted(parts, asked, admit)
    began = asked()
    await parts.engine.audit.check(makes_room=began.action in _MAKES_ROOM)
    deed = _Deed(parts, began)
    try:
        wish = read()
        await deed.begin(wish)
        answered = await wish.do(wish.call)
    except Exception as error:
        await deed.failed(error, models)
        raise
    await deed.done(answered, status(answered))
    return answered


class _Deed:
    """One action, from before it is done."""

    def __init__(self, parts: Parts, asked: Asked) -> None:
        self._parts = parts
        self._asked = asked
        self._call: Call | None = None
        self._begun = ""
        self._before = self._look()

    @property
    def _noted(self) -> Noted:
        return Noted() if self._call is None else self._call.noted

    async def begin(self, wish: Wish) -> None:
        """Right before it is done. ``Overloaded``: it must not be."""
        self._asked, self._call = wish.asked, wish.call
        entry = self._asked.entry(0, target=self._aim(), before=self._before, after=self._given() or None)
        makes_room = self._asked.action in _MAKES_ROOM
        self._begun = await self._parts.engine.audit.begin(entry, makes_room=makes_room)

    async def done(self, answered: Answer, status: int) -> None:
        """Written when this returns; ``Overloaded`` where that is not possible."""
        before, after, target = self._before, self._look(), self._asked.key
        if isinstance(answered, ServiceInfo) and not target:
            target = f"{answered.owner}/{answered.name}"
            after = picture(self._parts, answered.owner, answered.name)
        before, after = differences(before, after)
        before = {**(before or {}), **self._noted.before}
        after = {**(after or {}), **self._noted.after, **self._given()}
        code = "" if status < 400 else "caller_left"
        entry = self._asked.entry(status, code, target=target, before=before or None, after=after or None)
        await self._parts.engine.audit.note(entry, self._begun)

    async def failed(self, error: Exception, models: Sequence[type[BaseModel]]) -> None:
        """As :meth:`done`, but that the error is what the caller is told, also where it cannot be written yet."""
        status, code = classified(error, models)
        before, after = differences(self._before, self._look())
        after = {**(after or {}), **self._asked.attempt()}
        entry = self._asked.entry(status, code, before=before or None, after=after or None)
        with contextlib.suppress(ModelServiceError):
            await self._parts.engine.audit.note(entry, self._begun)

    def _aim(self) -> str:
        """The service, also of one that is to be made, where that is said."""
        call = self._call
        name = getattr(call.body, "name", None) if call is not None else None
        if self._asked.action == "create_service" and name and call is not None:
            return f"{call.home()}/{name}"
        return self._asked.key

    def _look(self) -> dict[str, Any] | None:
        path = self._asked.path
        return picture(self._parts, path["owner"], path["name"]) if "owner" in path and "name" in path else None

    def _given(self) -> dict[str, Any]:
        body = self._call.body if self._call is not None else None
        return {name: getattr(body, name) for name in _GIVEN.get(self._asked.action, ()) if body is not None}
