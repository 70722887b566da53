"""The operations on the tokens of endpoints."""

from __future__ import annotations

from .. import wire
from . import tokens
from .route import Route, change_of, of_service

__all__ = ["TOKEN_ROUTES"]

TOKEN_ROUTES: tuple[Route, ...] = (
    of_service("GET", "/tokens", tokens.list_tokens, "The tokens that may call the endpoint", wire.TokenList),
    change_of(
        "POST",
        "/tokens",
        tokens.create_token,
        "Make a token that may call the endpoint; it is shown this once",
        wire.NewToken,
        request=wire.TokenRequest,
        status=201,
    ),
    of_service(
        "PATCH",
        "/tokens/{id}",
        tokens.change_token,
        "Change the limits that are given, from the next call on; those left out stay as they are",
        wire.TokenInfo,
        request=wire.TokenChange,
    ),
    of_service("DELETE", "/tokens/{id}", tokens.revoke_token, "Revoke a token at once", None, status=204),
)
