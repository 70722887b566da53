"""The panel in the sidebar: it lists, follows what happens, and scales."""

from __future__ import annotations

from typing import Any

import pytest

from .laboratory import Laboratory

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
        client.delete("words")
    expect(panel).to_contain_text("There are no model services yet", timeout=30_000)
