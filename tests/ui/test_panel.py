"""The panel in the sidebar: it lists, follows what happens, and scales."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import open_lab
from .laboratory import Laboratory, eventually

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


def test_the_panel_without_services_says_how_to_begin(panel: Any) -> None:
    expect(panel).to_contain_text("There are no model services yet")
    expect(panel.get_by_role("button", name="New Service", exact=True)).to_be_visible()


def test_a_service_appears_comes_up_and_is_scaled_in_its_row(laboratory: Laboratory, panel: Any) -> None:
    folder = laboratory.model_folder("words")
    expect(panel).to_contain_text("There are no model services yet")
    with laboratory.client() as client:
        client.create(str(folder), name="words")
        row = panel.get_by_role("listitem").filter(has_text="words")
        expect(row).to_contain_text("Ready", timeout=30_000)
        expect(row).to_contain_text("1 of 1 replicas are ready")
        row.get_by_role("button", name="One replica more of words").click()
        expect(row).to_contain_text("2 of 2 replicas are ready", timeout=30_000)
        assert client.get("words").replicas.want == 2
        row.get_by_role("button", name="One replica fewer of words").click()
        expect(row).to_contain_text("1 of 1 replicas are ready", timeout=30_000)
        # The row shows what is wanted as soon as it is clicked: a deletion must not overtake the request.
        eventually(lambda: client.get("words").replicas.want == 1, "it is asked for")
        client.delete("words")
    expect(panel).to_contain_text("There are no model services yet", timeout=30_000)


def test_a_rows_menu_stops_starts_and_deletes(laboratory: Laboratory, page: Any, panel: Any) -> None:
    folder = laboratory.model_folder("words")
    with laboratory.client() as client:
        client.create(str(folder), name="words")
        row = panel.get_by_role("listitem").filter(has_text="words")
        expect(row).to_contain_text("Ready", timeout=30_000)

        def choose(entry: str) -> None:
            row.get_by_role("button", name="More actions for words").click()
            page.get_by_role("menuitem", name=entry, exact=True).click()

        choose("Copy Endpoint")
        assert page.evaluate("navigator.clipboard.readText()") == client.get("words").endpoint
        choose("Stop")
        expect(row).to_contain_text("Stopped", timeout=30_000)
        choose("Start")
        expect(row).to_contain_text("Ready", timeout=30_000)
        choose("Delete…")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("The model folder stays as it is")
        dialog.get_by_role("button", name="Delete").click()
        expect(row).to_have_count(0, timeout=30_000)
        assert client.list() == []
    assert folder.is_dir()


def test_a_refusal_is_told_in_one_sentence_and_the_row_shows_what_there_is(
    laboratory: Laboratory, page: Any, panel: Any, expected_errors: list[str]
) -> None:
    expected_errors.append("409")
    folder = laboratory.model_folder("words")
    said = "There is no room for another replica here."
    body = {"error": {"code": "conflict", "message": said, "problems": []}}
    page.route("**/services/*/words/scale", lambda route: route.fulfill(status=409, json=body))
    with laboratory.client() as client:
        client.create(str(folder), name="words")
    row = panel.get_by_role("listitem").filter(has_text="words")
    expect(row).to_contain_text("Ready", timeout=30_000)
    row.get_by_role("button", name="One replica more of words").click()
    expect(page.locator(".Toastify__toast", has_text=said)).to_be_visible()
    expect(row).to_contain_text("1 of 1 replicas are ready")


def test_services_are_listed_among_what_runs(laboratory: Laboratory, page: Any) -> None:
    with laboratory.client() as client:
        client.create(str(laboratory.model_folder("words")), name="words")
    page.locator('.jp-SideBar .lm-TabBar-tab[data-id="jp-running-sessions"]').click()
    entry = page.locator("#jp-running-sessions .jp-RunningSessions-item", has_text="words")
    expect(entry).to_contain_text("1/1", timeout=30_000)
    entry.locator(".jp-RunningSessions-itemLabel").click()
    expect(page.get_by_role("tab", name="words")).to_be_visible()


def test_what_was_open_is_open_after_a_reload(laboratory: Laboratory, page: Any, panel: Any) -> None:
    with laboratory.client() as client:
        client.create(str(laboratory.model_folder("words")), name="words")
    row = panel.get_by_role("listitem").filter(has_text="words")
    row.get_by_role("button", name="words", exact=True).click()
    expect(page.locator(".lm-DockPanel-tabBar").get_by_role("tab", name="words")).to_be_visible()
    page.wait_for_timeout(1500)  # JupyterLab saves its layout a second after the last change, and tells nobody
    open_lab(page, laboratory, reset=False)
    expect(page.locator(".jp-ModelService-panel").get_by_role("listitem")).to_have_count(1)
    expect(page.locator(".lm-DockPanel-tabBar").get_by_role("tab", name="words")).to_be_visible()
