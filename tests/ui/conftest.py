"""JupyterLab and Chromium, once for all tests of this folder; a fresh page and no services for each.

``page`` is signed in and shows JupyterLab; ``laboratory`` is the server behind it. A test fails if its page logged an
error, unless it says that it expects one (``expected_errors``).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .laboratory import PANEL, Laboratory
from .quiet_network import quiet_network

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]

#: Said by JupyterLab itself.
ALWAYS = re.compile(
    "ERR_NETWORK_CHANGED|favicon|ResizeObserver loop|workspaces/|Failed to load resource.*404.*workspaces"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _missing()
    for item in items:
        if missing and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=missing))


def _missing() -> str:
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    if CHROMIUM is None:
        return "no Chromium on this machine"
    if not (PANEL / "package.json").exists():
        return "the JupyterLab panel is not built (it needs Node.js 20.19 or newer)"
    return ""


@pytest.fixture(scope="package")
def running_laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    try:
        laboratory.start()
        yield laboratory
    finally:
        laboratory.stop()


@pytest.fixture(scope="package")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Of the package, not of the session: while it runs, no other test can run an event loop of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        environment = {**os.environ, **quiet_network(tmp_path_factory.mktemp("chromium"))}
        browser = running.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS, env=environment)
        yield browser
        browser.close()


@pytest.fixture
def laboratory(running_laboratory: Laboratory) -> Iterator[Laboratory]:
    yield running_laboratory
    running_laboratory.forget_all()


@pytest.fixture
def expected_errors() -> list[str]:
    """Parts of what the page may log as an error; a test appends to it."""
    return []


@pytest.fixture
def page(
    laboratory: Laboratory, chromium: Any, expected_errors: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(20_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    before = request.session.testsfailed
    open_lab(page, laboratory)
    yield page
    if request.session.testsfailed > before and not page.is_closed():
        shots = Path(os.environ.get("UI_SHOTS", tmp_path))
        page.screenshot(path=str(shots / f"{request.node.name}.png"))
    context.close()
    told = [each for each in errors if not ALWAYS.search(each) and not any(part in each for part in expected_errors)]
    assert not told, f"the page logged errors: {told}"


def open_lab(page: Any, laboratory: Laboratory, *, reset: bool = True) -> None:
    """JupyterLab, signed in and restored; with ``reset``, in a layout of its own."""
    page.goto(f"{laboratory.url}lab?token={laboratory.token}{'&reset' if reset else ''}")
    wait_restored(page)


def wait_restored(page: Any) -> None:
    page.wait_for_function("() => !!window.jupyterapp", timeout=60_000)
    page.evaluate("async () => { await window.jupyterapp.restored; }")


@pytest.fixture
def panel(page: Any) -> Any:
    """The model services' panel, open."""
    page.locator('.jp-SideBar .lm-TabBar-tab[data-id="jupyter-model-service:panel"]').click()
    found = page.locator(".jp-ModelService-panel")
    found.wait_for()
    return found
