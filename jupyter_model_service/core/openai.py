"""The address of all services at once, as OpenAI's API has one (``…/v1/…``): which of them a call means, what a caller
may name there, and the form of its errors. Pure.

A model is named by its service: ``owner/name``, or ``name`` alone where that can only be one. Alone it never means the
public service of a stranger: whoever made one of that name would get the calls that were meant for a service that is
not there any more.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as _escaped
from urllib.parse import quote

from .access import Caller, knows, may_call
from .escapes import read_leniently
from .message import Headers, Refusal
from .model_field import Found
from .routing import Endpoint, RoutingTable
from .sharing import NOBODY

__all__ = [
    "CROWDED", "V1", "content_type", "error_fields", "listing", "model_of_path", "not_by_name",
    "not_found", "resolve", "retrieved", "too_late", "unnamed", "unreadable",
]  # fmt: skip

#: What stands there in the place of the services' own paths.
V1 = b"v1/"
#: The answer to the largest of whoever sends most, while there is no room for more.
CROWDED = Refusal(
    503,
    "overloaded",
    "Too much is held of bodies that have not named their model yet: put the name first, or try again later.",
    5.0,
)


# --- which service is meant -------------------------------------------------------------------------------------


def resolve(model: str, caller: Caller | None, table: RoutingTable) -> Endpoint | Refusal:
    """``caller`` is ``None`` where nobody is known. Who may not call learns nothing of what exists."""
    owner, slash, name = model.partition("/")
    if slash:
        endpoint = table.get(owner, name)
        return endpoint if endpoint is not None and may_call(caller, endpoint) else not_found(model)
    meant = [endpoint for endpoint in table.called(model) if may_call(caller, endpoint) and _is_near(caller, endpoint)]
    if len(meant) > 1 and caller is not None:
        meant = [endpoint for endpoint in meant if endpoint.owner == caller.home] or meant
    if len(meant) > 1:
        message = f"Several services that you may call are named {model}: say OWNER/{model}, as GET v1/models does."
        return Refusal(400, "model_ambiguous", message)
    return meant[0] if meant else not_found(model)


def _is_near(caller: Caller | None, endpoint: Endpoint) -> bool:
    """Whether a name alone may mean it."""
    if caller is None or knows(caller, endpoint) or endpoint.owner == caller.home:
        return True
    return any(key.partition("/")[0] == endpoint.owner for key in caller.invokes)


def not_found(model: str) -> Refusal:
    short = model if len(model) <= 60 else f"{model[:57]}..."
    return Refusal(
        404,
        "model_not_found",
        f"There is no model {short}, or you may not use it: GET v1/models names those that you may.",
    )


def _direct(path: bytes, caller: Caller | None) -> str:
    """The address of a service itself for what stands behind ``v1/``, as a text for people; of the service that the
    caller's token is for, if it is for one."""
    said = path.partition(b"?")[0].decode("ascii", "replace")
    keys: frozenset[str] = frozenset() if caller is None or caller.home is not None else caller.invokes
    key = next(iter(keys)) if len(keys) == 1 else "OWNER/NAME"
    return f"…/endpoints/{quote(key)}/v1/{said if len(said) <= 100 else '…'}"


def not_by_name(path: bytes, caller: Caller | None) -> Refusal:
    """The answer to what has no body that could name a model."""
    message = "At v1/ a call's body names the model, and this has none: send it to the service's own address,"
    return Refusal(404, "not_by_name", f"{message} {_direct(path, caller)}.")


def content_type(headers: Headers) -> bytes:
    return next((value for name, value in headers if name.lower() == b"content-type"), b"")


def unreadable(headers: Headers, path: bytes, caller: Caller | None) -> Refusal | None:
    """Of a body that is compressed."""
    if all(name.lower() != b"content-encoding" or value.lower() in (b"", b"identity") for name, value in headers):
        return None
    message = f"The body is compressed, so its model is not read: send it plain, or to {_direct(path, caller)}."
    return Refusal(415, "model_unreadable", message)


def unnamed(found: Found, path: bytes, within: int, caller: Caller | None) -> Refusal:
    """The answer to a body in which no name was found, or an empty one (``Found.NAME``); ``within``: bytes that were
    looked at."""
    if found is Found.TOO_FAR:
        message = f"The model's name is not among the first {within} bytes of the body, or behind too many others:"
        return Refusal(
            413, "model_not_in_reach", f"{message} put it first, or send the call to {_direct(path, caller)}."
        )
    if found is Found.MALFORMED:
        message = "The body is neither a JSON object nor a form (multipart/form-data) that names a model:"
        return Refusal(400, "model_missing", f"{message} mend it, or send the call to {_direct(path, caller)}.")
    what = {Found.NO_TEXT: "is not a text", Found.NAME: "is empty"}.get(found, "is missing")
    return Refusal(400, "model_missing", f'The body\'s "model" {what}: name one there, as GET v1/models does.')


def too_late(seconds: float) -> Refusal:
    return Refusal(408, "model_timeout", f"The body did not name its model within {seconds:g} s: put the name first.")


# --- what there is ----------------------------------------------------------------------------------------------


def model_of_path(path: bytes) -> str | None:
    """The model of ``models/ID`` (what stands behind ``v1/``), ``""`` of the list itself, ``None`` of anything else."""
    path = path.partition(b"?")[0]
    if path == b"models":
        return ""
    if not path.startswith(b"models/"):
        return None
    return read_leniently(path[len(b"models/") :]).decode("utf-8", "replace")


def listing(caller: Caller | None, table: RoutingTable) -> bytes:
    """The list of all that the caller may call, by owner and name. Nobody else is served meanwhile: each owner is
    looked at once, and each service put into words once (5,000 of them took 24 ms)."""
    if caller is None:
        found = [endpoint for endpoint in table.in_order() if endpoint.public]
    else:
        whole, some = _Owners(caller), {table.get(*_parted(key)) for key in caller.invokes}
        found = [
            each
            for each in table.in_order()
            if each.public or whole[each.owner] or each in some or (each.sharing is not NOBODY and knows(caller, each))
        ]
    return b'{"object": "list", "data": [%b]}\n' % b", ".join([each.listed or _entry(each) for each in found])


class _Owners(dict[str, bool]):
    """Of which owners the caller may call all services."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __missing__(self, owner: str) -> bool:
        person = self._caller.person
        own = person is not None and person.owner == owner
        self[owner] = all_of = own or self._caller.may_invoke_all_of(owner)
        return all_of


def _parted(key: str) -> tuple[str, str]:
    owner, _, name = key.partition("/")
    return owner, name


def retrieved(endpoint: Endpoint) -> bytes:
    return _entry(endpoint) + b"\n"


def _entry(endpoint: Endpoint) -> bytes:
    key, owner, created = _escaped(endpoint.key), _escaped(endpoint.owner), int(endpoint.created_at)
    said = f'{{"id": {key}, "object": "model", "created": {created}, "owned_by": {owner}}}'
    endpoint.listed = said.encode()
    return endpoint.listed


# --- errors -----------------------------------------------------------------------------------------------------


def error_fields(refusal: Refusal) -> dict[str, str | None]:
    """What OpenAI's errors have beside ``message`` and ``code``."""
    if refusal.status == 429:
        kind = "rate_limit_error"
    elif refusal.status == 401:
        kind = "authentication_error"
    elif refusal.status == 403:
        kind = "permission_error"
    else:
        kind = "server_error" if refusal.status >= 500 else "invalid_request_error"
    return {"type": kind, "param": "model" if refusal.code.startswith("model_") else None}
