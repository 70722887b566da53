"""axe-core finds nothing serious in what we draw, in the light and in the dark theme, and pictures of it are taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_model_service.client import Client

from .laboratory import ROOT, Laboratory
from .pictures import picture, wanted
from .test_deploy import deploy_by_menu, refresh_files

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

AXE = ROOT / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
HIGH_CONTRAST = "JupyterLab Dark High Contrast"
THEMES = ("JupyterLab Dark", "JupyterLab Light")  # it begins light, and is left so


@pytest.fixture
def services(laboratory: Laboratory) -> Iterator[Client]:
    """Two that are ready and have been called, and one that is stopped."""
    with laboratory.client() as client:
        for name in ("chat", "embeddings", "words"):
            client.create(str(laboratory.model_folder(name)), name=name, replicas=2 if name == "chat" else 1)
        for name in ("chat", "embeddings", "words"):
            client.wait_ready(name, timeout=60)
        client.stop("words")
        if wanted():
            call_for_a_while(client)
        client.call("chat", "work", json={"n": 1})
        yield client


def call_for_a_while(client: Client) -> None:
    """Half a minute that goes up and down: charts of one call tell little."""
    began = time.monotonic()

    def calls(name: str, more: float) -> None:
        number = 0
        while (passed := time.monotonic() - began) < 30:
            number += 1
            client.call(name, f"stream?events=1&interval={0.05 + 0.04 * (number % 4)}")
            time.sleep(0.05 if 10 * more < passed % 20 < 15 else 0.4)

    threads = [
        threading.Thread(target=calls, args=each) for each in (("chat", 0.3), ("chat", 0.9), ("embeddings", 0.6))
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def load_axe(page: Any) -> None:
    page.add_script_tag(path=str(AXE))
    # JupyterLab's body has no height: to axe-core nothing in it can be seen, and it looks at no colour.
    page.add_style_tag(content="html, body { height: 100% }")


def check(page: Any, part: str, themes: tuple[str, ...] = THEMES) -> None:
    """What axe-core calls serious or critical, of one part of the page in each theme."""
    found = []
    for theme in themes:
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        light = "true" if theme.endswith("Light") else "false"
        page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
        page.wait_for_timeout(500)  # colours change over a moment
        answer = page.evaluate("part => axe.run(part, {resultTypes: ['violations']})", part)
        assert answer["passes"], f"axe-core looked at nothing in {part}"
        found += [
            f"{theme}: {each['id']}: {each['help']}: {node['html'][:160]}: {node['failureSummary'][:300]}"
            for each in answer["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
    assert not found, "\n".join(found)
    drawn = "all => all.map(each => getComputedStyle(each).backgroundImage)"
    arrows = page.locator(f"{part} select:visible").evaluate_all(drawn)
    assert all("gradient" in each for each in arrows), "a choice shows no arrow"


@pytest.mark.timeout(300)
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (it comes with the panel's development)")
def test_nothing_serious_is_found(page: Any, panel: Any, services: Client, laboratory: Laboratory) -> None:
    """The list, the view with each of its tabs, the form of a folder with a definition, the wizard of one without."""
    load_axe(page)
    expect(panel.get_by_role("listitem")).to_have_count(3)
    expect(panel).to_contain_text("Stopped")
    check(page, ".jp-ModelService-panel")
    panel.get_by_role("button", name="chat", exact=True).click()
    view = page.locator(".jp-ModelService-view")
    expect(view).to_contain_text("2 of 2 ready")
    expect(view.get_by_role("img")).not_to_have_count(0)
    picture(page, "view")
    for tab in view.get_by_role("tab").all():
        tab.click()
        expect(view.get_by_role("tabpanel").first).to_be_visible()
        check(page, ".jp-ModelService-view")

    page.locator('.jp-SideBar .lm-TabBar-tab[data-id="filebrowser"]').click()
    (laboratory.root / "bare").mkdir()
    refresh_files(page)
    form = deploy_by_menu(page, "words")
    expect(form.get_by_role("button", name="Deploy")).to_be_enabled()
    check(page, ".jp-ModelService-deploy")
    page.evaluate("window.jupyterapp.commands.execute('application:close')")
    expect(form).to_have_count(0)
    form = deploy_by_menu(page, "bare")
    expect(form.get_by_role("button", name="Write the Files")).to_be_enabled()
    check(page, ".jp-ModelService-deploy")


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (it comes with the panel's development)")
def test_an_outage_is_told_so_that_it_can_be_read(
    page: Any, panel: Any, laboratory: Laboratory, expected_errors: list[str]
) -> None:
    """Above the list and the view, in the theme of high contrast, too."""
    expected_errors += ["net::ERR_FAILED"]
    with laboratory.client() as client:
        client.create(str(laboratory.model_folder("words")), name="words", replicas=0)
    panel.get_by_role("button", name="words", exact=True).click()
    view = page.locator(".jp-ModelService-view")
    expect(view).to_contain_text("0 of 0 ready")
    page.route("**/model-service/api/v1/**", lambda route: route.abort())
    panel.get_by_role("button", name="Refresh").click()
    load_axe(page)
    for part in (panel, view):
        expect(part.get_by_role("alert")).to_contain_text("What is shown may be old")
    for part in (".jp-ModelService-panel", ".jp-ModelService-view"):
        check(page, part, (HIGH_CONTRAST, *THEMES))
