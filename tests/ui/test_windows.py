"""JupyterLab beside the panel: what it keeps for itself of the few connections that a browser has to a server."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from jupyter_model_service.discovery import find_gateway

from .conftest import open_lab, wait_restored
from .laboratory import Laboratory

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SAVE = """async () => {
    const { contents } = window.jupyterapp.serviceManager;
    const saved = contents.save('notes.txt', {type: 'file', format: 'text', content: 'a'}).then(() => 'saved');
    return await Promise.race([saved, new Promise(resolve => setTimeout(() => resolve('not saved'), 20000))]);
}"""
KERNELS = "async () => (await window.jupyterapp.serviceManager.kernelspecs.refreshSpecs(), 'answered')"
OPEN_PANEL = "window.jupyterapp.shell.activateById('jupyter-model-service:panel')"


def test_seven_windows_share_one_event_stream(laboratory: Laboratory, page: Any, panel: Any) -> None:
    """Over HTTP/1.1 a browser has six connections to a server: seven streams are more."""
    streams: set[Any] = set()
    context = page.context
    context.on("request", lambda request: streams.add(request) if request.url.endswith("/api/v1/events") else None)
    for ended in ("requestfinished", "requestfailed"):
        context.on(ended, lambda request: streams.discard(request))
    with laboratory.client() as client:
        client.create(str(laboratory.model_folder("words")), name="words")
        panel.get_by_text("1/1", exact=True).wait_for(timeout=30_000)
        pages = [page]
        for number in range(2, 8):
            pages.append(context.new_page())
            # A workspace for each, or JupyterLab finds that this one is in use and loads another.
            pages[-1].goto(f"{laboratory.url}lab/workspaces/window-{number}?token={laboratory.token}")
            wait_restored(pages[-1])
            pages[-1].evaluate(OPEN_PANEL)
            pages[-1].locator(".jp-ModelService-row").wait_for()
        assert len(streams) <= 1, [request.url for request in streams]  # that of the first began before it was counted
        assert pages[-1].evaluate(SAVE) == "saved"
        assert pages[-1].evaluate(KERNELS) == "answered"

        client.scale("words", 0)
        for each in pages:
            each.locator(".jp-ModelService-count", has_text="0/0").wait_for()

        pages.pop(0).close()
        client.scale("words", 1)
        for each in pages:
            each.locator(".jp-ModelService-count", has_text="1/1").wait_for(timeout=30_000)
        assert len(streams) == 1, [request.url for request in streams]


def test_a_gateway_that_hangs_leaves_jupyterlab_its_connections_and_is_told_of(
    laboratory: Laboratory, page: Any, panel: Any, expected_errors: list[str]
) -> None:
    expected_errors.append("")
    with laboratory.client() as client:
        for name in ("one", "two", "three", "four", "five", "six"):
            client.create(str(laboratory.model_folder(name)), name=name, replicas=0)
    panel.locator(".jp-ModelService-name", has_text="one").click()
    page.get_by_role("tab", name="Logs").click()
    gateway = find_gateway(laboratory.data_dir)
    assert gateway is not None
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        panel.get_by_role("button", name="Refresh").click()
        panel.get_by_text("What is shown may be old: The Jupyter server is slow to answer.").wait_for(timeout=15_000)
        began = time.monotonic()
        while time.monotonic() - began < 4:
            assert page.evaluate(SAVE) == "saved"
            page.wait_for_timeout(500)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    panel.locator(".jp-ModelService-banner").wait_for(state="detached", timeout=15_000)


def test_a_browser_with_a_wrong_clock_shows_what_was_measured(laboratory: Laboratory, page: Any) -> None:
    """An hour fast, which is more than the charts go back."""
    with laboratory.client() as client:
        client.create(str(laboratory.model_folder("words")), name="words")
    page.add_init_script(
        """const [Right, now] = [Date, Date.now.bind(Date)];
        window.Date = class extends Right {
            constructor(...given) { given.length ? super(...given) : super(now() + 3600000); }
            static now() { return now() + 3600000; }
        };"""
    )
    open_lab(page, laboratory)
    page.evaluate(OPEN_PANEL)
    page.locator(".jp-ModelService-name", has_text="words").click()
    page.get_by_role("img", name="Replicas: wanted 1").wait_for(timeout=30_000)
    assert "h" not in page.locator("tr[data-replica] td.jp-mod-figure").first.inner_text()
