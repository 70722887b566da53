"""The calls about who may do what with a service, as :mod:`.calls` has the others. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import ModelServiceError, NotFound
from .calls import Call, Key, given, read_nothing, reading_model, service_path

if TYPE_CHECKING:
    from ..wire import AccessInfo, ShareInfo


def show(key: Key, user: str | None = None) -> Call[AccessInfo]:
    asked = "" if user is None else f"?user={quote(user, safe='', errors='replace')}"
    return Call("GET", service_path(key, "/access") + asked, reading_model("AccessInfo"))


def share(
    key: Key, kind: str, whom: str, role: str = "caller", limits: Mapping[str, Any] | None = None
) -> Call[ShareInfo]:
    """``kind`` is ``user`` or ``group``; ``limits`` are fields of ``wire.LimitsSpec``, those that are ``None`` none."""
    body: dict[str, Any] = {"role": role}
    if limits := given(limits or {}):
        body["limits"] = limits
    return Call("PUT", _one(key, kind, whom), reading_model("ShareInfo"), body=body)


def warn_of(made: Iterable[ShareInfo]) -> None:
    """Of what the gateway said of shares, whoever called the method that calls this."""
    for sentence in dict.fromkeys(sentence for share in made for sentence in share.notices):
        warnings.warn(sentence, stacklevel=3)


def unshare(key: Key, kind: str, whom: str) -> Call[None]:
    return Call("DELETE", _one(key, kind, whom), read_nothing)


def open_to(key: Key, origins: Iterable[str]) -> Call[AccessInfo]:
    return Call("PUT", service_path(key, "/access/origins"), reading_model("AccessInfo"), body={"origins": [*origins]})


Whom = tuple[str, str]
"""``user`` or ``group``, and the name."""


def each(users: Iterable[str], groups: Iterable[str]) -> list[Whom]:
    """Each of them once."""
    return list(dict.fromkeys([*(("user", name) for name in users), *(("group", name) for name in groups)]))


def said(whom: Sequence[Whom], word: str = "and") -> str:
    names = [name if kind == "user" else f"the group {name}" for kind, name in whom]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def check_shared(key: Key, whom: Sequence[Whom], shared: Iterable[Whom]) -> None:
    """``NotFound`` where it is not shared with one of several: then none of them is changed."""
    strangers = sorted({*whom} - {*shared}, key=whom.index)
    if strangers:
        others = "" if len(whom) == len(strangers) else " Nothing was changed."
        raise NotFound(f"{'/'.join(key)} is not shared with {said(strangers)}.{others}")


def tell_how_far(error: ModelServiceError, whom: Sequence[Whom], done: int) -> None:
    """So that whoever reads the error of one of several knows with whom it is to be done again."""
    if len(whom) > 1:
        before = f"It was done for {said(whom[:done])}" if done else "It was done for nobody"
        error.message = f"{error.message} {before}, and not for {said(whom[done:], 'or')}."
        error.args = (error.message, *error.args[1:])


def _one(key: Key, kind: str, whom: str) -> str:
    return service_path(key, f"/access/{kind}/{quote(whom, safe='', errors='replace')}")
