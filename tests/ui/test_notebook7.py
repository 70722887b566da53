"""Notebook 7: its pages have one document each, so a view that is opened there opens in JupyterLab."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .browser import Said
from .conftest import wait_restored
from .laboratory import Laboratory, eventually

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

NOTEBOOK = {
    "cells": [],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
#: Said by Notebook and JupyterLab themselves, without this extension, too.
OWN = ["reading 'schema'", "Window name candidate"]
COMMAND = "id => window.jupyterapp.commands.execute('jupyter-model-service:' + id)"


def test_what_is_opened_on_pages_of_notebook_7_opens_in_jupyterlab(laboratory: Laboratory, chromium: Any) -> None:
    laboratory.model_folder("words")
    (laboratory.root / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    with laboratory.client() as client:
        client.create(str(laboratory.root / "words"), name="words")
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    said = Said(page)
    try:
        page.goto(f"{laboratory.url}tree?token={laboratory.token}")
        wait_restored(page)
        page.locator(".jp-DirListing-item", has_text="words").click(button="right")
        with context.expect_page() as opened:
            page.locator(".lm-Menu-item", has_text="Deploy as Model Service").click()
        expect(opened.value.locator(".jp-ModelService-deploy")).to_contain_text("words", timeout=30_000)
        assert "model-service" not in eventually(lambda: opened.value.url.partition("?")[2] or "none", "the address"), (
            "loading that page again would open the form again"
        )
        opened.value.close()

        page.get_by_role("tab", name="Running").click()
        expect(page.locator(".jp-RunningSessions")).to_contain_text("words")

        page.goto(f"{laboratory.url}notebooks/a.ipynb")
        wait_restored(page)
        page.evaluate(COMMAND, "show-panel")
        with context.expect_page() as opened:
            page.locator(".jp-ModelService-panel .jp-ModelService-name").click()
        expect(opened.value.locator(".jp-ModelService-view")).to_contain_text("words", timeout=30_000)
    finally:
        context.close()
    told = said.besides(OWN)
    assert not told, f"the page logged errors: {told}"
