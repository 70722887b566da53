"""JupyterLab and Chromium, once for all tests of this folder; a fresh page and no services for each.

``page`` is signed in and shows JupyterLab; ``laboratory`` is the server behind it. A test fails if its page logged an
error, unless it says that it expects one (``expected_errors``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .browser import Said, missing, open_browser
from .laboratory import Laboratory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = missing()
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


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
    with open_browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


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
    said = Said(page)
    before = request.session.testsfailed
    open_lab(page, laboratory)
    yield page
    if request.session.testsfailed > before and not page.is_closed():
        shots = Path(os.environ.get("UI_SHOTS", tmp_path))
        page.screenshot(path=str(shots / f"{request.node.name}.png"))
    context.close()
    told = said.besides(expected_errors)
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
