"""A page from its template, which escapes all that is put into it."""

from __future__ import annotations

import functools
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tornado.template import Loader

from .page import Html

__all__ = ["moment", "rendered"]


def rendered(template: str, page: Any) -> Html:
    """``page``: plain data, of which the template says what is shown."""
    return Html(_templates().load(template).generate(page=page))


def moment(at: float | None) -> str:
    """UTC, to the minute; empty for none."""
    return "" if at is None else datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


@functools.cache
def _templates() -> Loader:
    return Loader(str(Path(__file__).with_name("templates")))
