"""Chromium, and what a page in it must not log: for tests here and on a Hub (``tests/hub/test_panel.py``)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .laboratory import PANEL
from .quiet_network import quiet_network

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--no-proxy-server"]

#: Said by JupyterLab itself.
ALWAYS = re.compile(
    "ERR_NETWORK_CHANGED|favicon|ResizeObserver loop|workspaces/|Failed to load resource.*404.*workspaces"
)


def missing() -> str:
    """Why no page can be tested here; empty where nothing is missing."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    if CHROMIUM is None:
        return "no Chromium on this machine"
    if not (PANEL / "package.json").exists():
        return "the JupyterLab panel is not built (it needs Node.js 20.19 or newer)"
    return ""


@contextlib.contextmanager
def open_browser(folder: Path, *flags: str) -> Iterator[Any]:
    """While it runs, nothing else in this process can run an event loop of its own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # milliseconds, as of all that a page is waited for: the machine may be busy
    with sync_playwright() as running:
        environment = {**os.environ, **quiet_network(folder)}
        browser = running.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=[*FLAGS, *flags], env=environment
        )
        yield browser
        browser.close()


class Said:
    """The errors that a page logs from now on."""

    def __init__(self, page: Any) -> None:
        self.errors: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def besides(self, expected: list[str]) -> list[str]:
        """Those that have none of these in them."""
        told = [each for each in self.errors if not ALWAYS.search(each)]
        return [each for each in told if not any(part in each for part in expected)]
