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
from .route import Route
from .token_as_name import TokenAsName

__all__ = ["Wish", "admitted", "carried_out"]

T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What somebody who may wants to be done: a request that was read and found well-formed. ``route`` is the operation
    that it is, also where a form of our pages asks for it."""

    route: Route
    call: Call
    do: Callable[[Call], Awaitable[Answer]]
    asked: Asked


async def admitted(parts: Parts, asked: Callable[[], Asked], admit: Callable[[], Awaitable[T]]) -> T:
    """What ``admit`` answers. Whom it refuses, ``asked`` (after it has found out who asks) is written down of."""
    try:
        return await admit()
    except (Unauthenticated, Forbidden, NotFound, TooManyAttempts, TokenAsName) as error:
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
    makes_room: bool = False,
) -> Answer:
    """Do what a request asks for. ``admit`` raises for who may not, ``read`` for what is no such request; ``status`` is
    what it will be answered with, and ``models`` are those that it was parsed with. ``makes_room``: as the
    operation's row has it.

    ``Overloaded``: it was not done, as it could not be noted, or was done and is not written down yet, as it says."""
    await admitted(parts, asked, admit)
    began = asked()
    await parts.engine.audit.check(makes_room=makes_room)
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
        self._wish: Wish | None = None
        self._begun = ""
        self._before = self._look()

    @property
    def _noted(self) -> Noted:
        return Noted() if self._wish is None else self._wish.call.noted

    async def begin(self, wish: Wish) -> None:
        """Right before it is done. ``Overloaded``: it must not be."""
        self._asked, self._wish = wish.asked, wish
        entry = self._asked.entry(0, target=_aim(wish), before=self._before, after=self._given() or None)
        self._begun = await self._parts.engine.audit.begin(entry, makes_room=wish.route.makes_room)

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

    def _look(self) -> dict[str, Any] | None:
        path = self._asked.path
        return picture(self._parts, path["owner"], path["name"]) if "owner" in path and "name" in path else None

    def _given(self) -> dict[str, Any]:
        wish = self._wish
        return {} if wish is None else {name: getattr(wish.call.body, name) for name in wish.route.told}


def _aim(wish: Wish) -> str:
    """The service, also of one that is to be made, where that is said."""
    name = getattr(wish.call.body, "name", None) if wish.route.makes_service else None
    return f"{wish.call.home()}/{name}" if name else wish.asked.key
