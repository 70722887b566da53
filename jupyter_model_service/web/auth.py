"""Who calls, and whether that caller may. Deny by default.

The only credential is ``Authorization: Bearer …``. Cookies are none: a page that some model serves could make the
browser send them. A token in the query is refused even when it is right, since it stands in every log by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..core.access import Caller, role_of
from ..core.forwarding import bearer_token
from ..core.hub_scopes import AUDIT
from ..core.message import Refusal
from ..core.sharing import Role, Sharing
from ..core.token_in_address import NAMES, TOKEN_IN_ADDRESS
from ..engine.callers import Callers
from ..errors import (
    Forbidden,
    InvalidRequest,
    ModelServiceError,
    NotFound,
    Overloaded,
    TooManyAttempts,
    Unauthenticated,
)
from .route import Access

#: As what a refusal is raised, by its code.
_RAISED: dict[str, type[ModelServiceError]] = {
    "unauthenticated": Unauthenticated,
    "too_many_attempts": TooManyAttempts,
    "identity_unavailable": Overloaded,
    "token_in_address": InvalidRequest,
}


def raised(refusal: Refusal) -> ModelServiceError:
    """The error by which the answer becomes what the front says for the same reason."""
    error = _RAISED[refusal.code](refusal.message, code=refusal.code)
    error.retry_after = refusal.retry_after
    return error


def bearer(authorization: Sequence[str]) -> str:
    """The token of a request, of its Authorization headers. ``Unauthenticated`` where there is none that could be."""
    token = bearer_token([value.encode("latin-1", "replace") for value in authorization])
    if token is None and any(authorization):
        raise Unauthenticated("The Authorization header is not of the form `Bearer TOKEN`, or comes twice.")
    if token is None:
        raise Unauthenticated("This needs a token: send the header `Authorization: Bearer TOKEN`.")
    return token


def refuse_token_in_query(query_names: Mapping[str, object]) -> None:
    for name in query_names:
        if name.lower() in NAMES:
            raise raised(TOKEN_IN_ADDRESS)


async def authenticate(callers: Callers, token: str, address: bytes) -> Caller:
    """``address``: the caller's, by which wrong tokens are counted. One that was good lately never waits for that."""
    found = await callers.who(token, address)
    if isinstance(found, Refusal):
        raise raised(found)
    return found


def authorise(access: Access, caller: Caller, path: Mapping[str, str], sharing: Callable[[str, str], Sharing]) -> None:
    """Raise unless the caller may. ``sharing``: with whom a service is shared, nobody where there is none of that name.

    Of a service that the caller may not even know of, the answer is the same 404 whether it exists or not; 403 is for
    a caller who may call it, but not do this."""
    if access is Access.ANYONE:
        return
    if (needed := access.role) is not None:
        owner, name = path["owner"], path["name"]
        role = role_of(caller, owner, name, sharing(owner, name))
        if role is None:
            raise NotFound(f"There is no service {owner}/{name}.")
        if role >= needed:
            return
        if role > Role.CALLER or caller.manages_any:  # else it is the token that is for calling alone
            who = "its owner" if needed is Role.OWNER else f"its owner or its {needed.word}s"
            raise Forbidden(f"This is for {who} alone, and of {owner}/{name} you are its {role.word}: ask {owner}.")
    elif access in (Access.ADMIN, Access.AUDITOR):
        if caller.manages_all or (access is Access.AUDITOR and caller.audits):
            return
        if caller.manages_any:
            if caller.person is not None and caller.person.admin:
                raise Forbidden(
                    "You are an administrator of the hub, but this token, as that of a notebook, is for what is yours: "
                    "make one on the Hub's page Token, with the scope admin:servers, and set MODEL_SERVICE_TOKEN to it."
                )
            besides = f", or a token with the scope {AUDIT}" if access is Access.AUDITOR else ""
            raise Forbidden(f"This concerns the gateway as a whole: only an administrator of the hub may{besides}.")
    elif caller.manages_any or (access is Access.PERSON and caller.person is not None):
        return
    able = "read the audit log" if caller.audits else "call endpoints"
    raise Forbidden(f"This token may {able}, but not manage services.")
