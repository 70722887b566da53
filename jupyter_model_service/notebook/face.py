"""What the result of any verb looks like in a notebook, where nothing more is made of it."""

from __future__ import annotations

import time
from typing import Any

from ..cli import render
from ..cli.text import Paint, moment
from ..commands.results import DoneResult, EndpointResult, Result, ServiceResult
from ..commands.workbench import DraftResult
from . import html
from .html import Html, tag
from .masking import masked_plain
from .words import in_words

__all__ = ["PLAIN", "Shown", "dated"]

PLAIN = Paint(False)
_LASTING = (EndpointResult, DoneResult, DraftResult)  # true whenever they are read


class Shown:
    """The result of a verb. ``data`` is what the HTTP API answered (what ``--json`` gives), without tokens, since it
    may be shown; ``ok`` is false for what did not go well. Shows itself as text and as HTML, with the time at which it
    was so: outputs are kept."""

    def __init__(self, result: Result, *, quiet: bool = False) -> None:
        self.result = result
        self._quiet = quiet
        self._at = time.time()

    @property
    def ok(self) -> bool:
        return self.result.ok

    @property
    def data(self) -> Any:
        return masked_plain(self.result.to_json())

    def text(self) -> str:
        """As the command line prints it, without colours."""
        result = self.result
        if isinstance(result, ServiceResult) and result.outcome is not None and not result.ok:
            return in_words(render.render_failure(result, result.outcome, PLAIN))
        return in_words(render.render(result, PLAIN, quiet=self._quiet, terminal=True))

    def html(self) -> Html:
        return self.framed(self.text())

    def framed(self, text: str) -> Html:
        return self.card("", html.pre(text)) if text else Html("")

    def card(self, title: object, *children: object) -> Html:
        return html.card(title, *children, dated(self.when))

    @property
    def when(self) -> str:
        """``as of 2026-11-23 05:28:03``; nothing of what does not change."""
        return "" if self._quiet or isinstance(self.result, _LASTING) else f"as of {moment(self._at)}"

    def __repr__(self) -> str:
        text = self.text()
        when = f"\n({self.when})" if text and self.when else ""
        return f"{text}{when}" or f"<{type(self).__name__}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html()}


def dated(when: str) -> Html:
    return tag("div", when, style=f"font-size:smaller;color:{html.FAINT};margin-top:4px") if when else Html("")
