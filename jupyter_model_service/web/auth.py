"""Who calls, and whether that caller may. Deny by default.

The only credential is ``Authorization: Bearer …``. Cookies are none: a page that some model serves could make the
browser send them. A token in the query is refused even when it is right, since it stands in every log by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from ..core.access import Caller, role_of
from ..core.guessing import Guesses, too_many
from ..core.hub_scopes import AUDIT
from ..core.sharing import Role, Sharing
from ..core.token_in_address import NAMES, TOKEN_IN_ADDRESS
from ..errors import Forbidden, InvalidRequest, NotFound, Overloaded, TooManyAttempts, Unauthenticated
from ..ports import Identity
from .route import Access

_RESOLVE_TIMEOUT = 10.0  # seconds; the Hub's own limit for one answer is shorter
_MAX_TOKEN = 4096  # characters; ours have 47


def bearer(authorization: str | None) -> str:
    """The token of a request. ``Unauthenticated`` when there is none that could be one."""
    if not authorization:
        raise Unauthenticated("This needs a token: send the header `Authorization: Bearer TOKEN`.")
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() not in ("bearer", "token") or not token or len(token) > _MAX_TOKEN:
        raise Unauthenticated("The Authorization header is not of the form `Bearer TOKEN`.")
    return token


def refuse_token_in_query(query_names: Mapping[str, object]) -> None:
    for name in query_names:
        if name.lower() in NAMES:
            raise InvalidRequest(TOKEN_IN_ADDRESS.message, code=TOKEN_IN_ADDRESS.code)


async def authenticate(identity: Identity, token: str, guesses: Guesses, address: bytes) -> Caller:
    """``address``: the caller's, by which wrong tokens are counted. One that was good lately never waits for that."""
    caller = identity.known(token)
    if caller is None:
        met = identity.met(token)
        if not met and (wait := guesses.may_ask(address, token, monotonic())) is not None:
            raise TooManyAttempts(too_many(wait).message, retry_after=wait)
        try:
            caller = await asyncio.wait_for(identity.resolve(token), _RESOLVE_TIMEOUT)
        except (asyncio.TimeoutError, TimeoutError):
            raise Overloaded("The token cannot be checked now; try again.", code="identity_unavailable") from None
        if caller is None and not met:
            guesses.failed(address, token, monotonic())
    if caller is None:
        raise Unauthenticated("The token is not valid: it is unknown, expired or revoked.")
    return caller


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
