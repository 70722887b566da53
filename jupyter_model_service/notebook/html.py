"""HTML that nobody can write into: whatever is no :class:`Html` is escaped. No scripts, no style sheets; colours are
JupyterLab's variables, else VS Code's, else plain ones. Pure."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from ..cli.text import clean
from .masking import masked

__all__ = ["ACCENT", "FAINT", "Html", "card", "facts", "join", "pre", "state", "table", "tag"]

TEXT = "var(--jp-ui-font-color1, var(--vscode-editor-foreground, inherit))"
FAINT = "var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #666))"
LINE = "var(--jp-border-color2, var(--vscode-panel-border, #bdbdbd))"
GROUND = "var(--jp-layout-color1, var(--vscode-editor-background, transparent))"
ACCENT = "var(--jp-brand-color1, var(--vscode-textLink-foreground, #1976d2))"
_GREEN = "var(--jp-success-color1, #388e3c)"
_YELLOW = "var(--jp-warn-color1, #f57c00)"
_RED = "var(--jp-error-color1, #d32f2f)"
_CODE = "font-family:var(--jp-code-font-family, monospace);font-size:var(--jp-code-font-size, 13px)"

_STATES = {
    **dict.fromkeys(("ready", "passed", "fine"), _GREEN),
    **dict.fromkeys(
        ("starting", "updating", "degraded", "deleting", "unhealthy", "loading", "preparing", "warning"), _YELLOW
    ),
    **dict.fromkeys(("failed", "error", "broke off", "interrupted"), _RED),
    "idle": ACCENT,
}


class Html(str):
    """Markup; made here only."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: str) -> Html:
    """``tag("td", text, style="…")``; an attribute may end in ``_`` (``class_``), and ``_`` in it becomes ``-``."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{_escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{told}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    return Html("".join(child if isinstance(child, Html) else _escape(child) for child in children))


def _escape(text: object) -> str:
    return html.escape(masked(clean(text)))


def card(title: object, *children: object) -> Html:
    """A frame with a heading."""
    head = tag("div", title, style="font-weight:600;margin-bottom:4px")
    style = f"border:1px solid {LINE};border-radius:4px;padding:8px 12px;margin:2px 0;color:{TEXT};background:{GROUND}"
    return tag("div", head, *children, style=style)


def state(name: str, *, like: str | None = None) -> Html:
    """A word with a dot, in the colour of the state ``like`` (default: of that name): it only repeats the word. The dot
    is a letter, since what cleans the outputs of a notebook that is not trusted takes backgrounds away."""
    dot = tag("span", "\u25cf", style=f"color:{_STATES.get(like or name, FAINT)}", aria_hidden="true")
    return tag("span", dot, Html("&nbsp;"), name, style="white-space:nowrap")


def facts(rows: Sequence[tuple[object, object]]) -> Html:
    """Labels and what they say; empty ones are left out."""
    told = [
        tag(
            "tr",
            tag(
                "th",
                label,
                scope="row",
                style=f"text-align:left;font-weight:normal;color:{FAINT};padding:1px 12px 1px 0",
            ),
            tag("td", value, style="text-align:left;padding:1px 0"),
            style="background:none",
        )
        for label, value in rows
        if value
    ]
    return tag("table", tag("tbody", *told), style="border:none;margin:0;font-size:inherit")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> Html:
    head = [
        tag("th", each, scope="col", style=f"text-align:left;border-bottom:1px solid {LINE};padding:2px 12px 2px 0")
        for each in header
    ]
    cell = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"
    body = [tag("tr", *(tag("td", each, style=cell) for each in row), style="background:none") for row in rows]
    return tag(
        "table",
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        aria_label=caption,
        style="border:none;margin:6px 0 2px;font-size:inherit",
    )


def pre(text: str, *, most: str = "24em") -> Html:
    """Lines as they are; beyond ``most`` they scroll."""
    style = f"margin:4px 0;max-height:{most};overflow:auto;white-space:pre-wrap;{_CODE};color:{TEXT};background:none"
    return tag("pre", Html("\n".join(_escape(line) for line in text.split("\n"))), style=style)
