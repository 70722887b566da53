"""The operations on the tokens of endpoints."""

from __future__ import annotations

from .. import wire
from . import tokens
from .queries import UseQuery
from .route import Route, change_of, of_service

__all__ = ["TOKEN_ROUTES"]

TOKEN_ROUTES: tuple[Route, ...] = (
    of_service(
        "GET", "/tokens", "list_tokens", tokens.list_tokens, "The tokens that may call the endpoint", wire.TokenList
    ),
    change_of(
        "POST",
        "/tokens",
        "create_token",
        tokens.create_token,
        "Make a token that may call the endpoint; it is shown this once",
        wire.NewToken,
        request=wire.TokenRequest,
        status=201,
    ),
    of_service(
        "PATCH",
        "/tokens/{id}",
        "change_token",
        tokens.change_token,
        "Change the limits that are given, or what the token is for, from the next call on",
        wire.TokenInfo,
        request=wire.TokenChange,
    ),
    change_of(
        "POST",
        "/tokens/{id}/rotate",
        "rotate_token",
        tokens.rotate_token,
        "Make a token in the place of this one, which ends after an overlap; the new one is shown this once",
        wire.NewToken,
        request=wire.RotateRequest,
        status=201,
    ),
    of_service(
        "DELETE", "/tokens/{id}", "revoke_token", tokens.revoke_token, "Revoke a token at once", None, status=204
    ),
    of_service(
        "GET",
        "/uses",
        "list_uses",
        tokens.list_uses,
        "How often each token and person called the endpoint, by day",
        wire.UseList,
        query=UseQuery,
    ),
)
