"""The pictures of docs/pictures, from the running product.

The tests write them where ``UI_PICTURES`` names a folder: ``UI_PICTURES=docs/pictures pytest tests/ui``. Without it nothing
is written, and no test waits for what only a picture needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .laboratory import ROOT
from .small_png import small_png

FOLDER = Path(ROOT, os.environ["UI_PICTURES"]) if os.environ.get("UI_PICTURES") else None
SIZE = {"width": 1200, "height": 780}
MOST = 120_000  # bytes of each: a page of the documents has several


def wanted() -> bool:
    return FOLDER is not None


def picture(page: Any, name: str, before: Callable[[], object] | None = None) -> None:
    """The page as it is, in a window of the pictures' size; ``before`` brings what is meant into it."""
    if FOLDER is None:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    page.set_viewport_size(SIZE)
    page.evaluate("document.activeElement?.blur()")
    page.wait_for_timeout(1500)  # charts are drawn again once a second, in their new width
    if before is not None:
        before()
    file = FOLDER / f"{name}.png"
    file.write_bytes(small_png(page.screenshot(animations="disabled", caret="hide")))
    page.set_viewport_size(size)
    assert file.stat().st_size <= MOST, f"{file.name} has {file.stat().st_size} bytes"
