"""Tokens in notebooks, and who called how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..cli import tokens as token_texts
from ..commands.results import TokenResult, TokensResult, UsesResult
from ..commands.token_file import check_target, write_token
from . import html
from .face import Shown
from .html import Html, tag
from .masking import HIDDEN

__all__ = ["TokenShown", "TokensShown", "UsesShown"]


class TokenShown(Shown):
    """A new token, which shows itself nowhere: ``token`` is its text, ``copy_to`` writes it to a file."""

    result: TokenResult

    @property
    def token(self) -> str:
        return str(self.result.token["token"])

    @property
    def id(self) -> str:
        return str(self.result.token["id"])

    @property
    def data(self) -> Any:
        """Without the token itself."""
        return {name: value for name, value in self.result.token.items() if name != "token"}

    def copy_to(self, path: str | Path) -> Path:
        """Write the token to a file that only you can read (mode 0600); another file than a token's is left alone."""
        target = check_target(str(path))
        write_token(target, self.token)
        return target

    def text(self) -> str:
        if self.result.file is not None:
            return super().text()
        token = self.result.token
        told = token_texts.expiry(token) + token_texts.limited(token)
        return (
            f"{HIDDEN}\nNot shown, since outputs are kept in the notebook; {told}. Its id is {self.id}."
            f"{token_texts.former(self.result)}\n"
            f"In Python: .token is the token, .copy_to(FILE) writes it to a file that only you can read."
        )


class TokensShown(Shown):
    result: TokensResult

    def html(self) -> Html:
        if not self.result.tokens:
            return self.framed(self.text())
        rows = [[tag("code", each["id"]), *token_texts.cells(each)[1:]] for each in self.result.tokens]
        return self.card("Tokens", html.table(token_texts.COLUMNS, rows, "Tokens"))


class UsesShown(Shown):
    result: UsesResult

    def html(self) -> Html:
        rows = token_texts.use_rows(self.result)
        if not rows:
            return self.framed(self.text())
        title = f"Who called {self.result.service}"
        return self.card(title, html.table(token_texts.use_columns(self.result), rows, title))
