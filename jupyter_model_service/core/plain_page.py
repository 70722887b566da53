"""A page of a few sentences, for people who meet one of our refusals in a browser. Pure.

No script, no style, nothing that is loaded: it works under the strictest policy, which it comes with.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["POLICY", "plain_page"]

#: Nothing of it may be framed, run or sent elsewhere.
POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


def plain_page(title: str, sentences: Iterable[str], links: Iterable[tuple[str, str]] = ()) -> bytes:
    """``links``: address and text. All of it is text here, whatever it looks like."""
    said = "".join(f"<p>{escape(each)}</p>\n" for each in sentences)
    led = "".join(f'<p><a href="{escape(to)}">{escape(text)}</a></p>\n' for to, text in links)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<body><h1>{escape(title)}</h1>\n{said}{led}</body>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'.encode()
