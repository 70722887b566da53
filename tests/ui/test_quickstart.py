"""The way by mouse of docs/quickstart.md, done as it is written there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from .laboratory import ROOT, Laboratory
from .pictures import picture

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

#: In a step, what is bold is clicked (with the right button after "right-click"), what is code is typed where the cursor
#: is, "press KEY" presses a key, and what is in quotation marks is seen then.
ACT = re.compile(
    r"(?P<right>[Rr]ight-click )?\*\*(?P<click>[^*]+)\*\*|[Pp]ress (?P<key>Enter)|`(?P<typed>[^`]+)`|“(?P<seen>[^”]+)”"
)


def section() -> str:
    return (ROOT / "docs" / "quickstart.md").read_text().split("\n## By mouse\n")[1].split("\n## ")[0]


def steps(section: str) -> list[str]:
    """Each numbered step, in one line."""
    return [" ".join(step.split()) for step in re.findall(r"^\d+\. (.+?)(?=\n\d+\. |\n\n|\Z)", section, re.M | re.S)]


@dataclass
class Hand:
    """It does what the page says, and counts."""

    page: Any
    clicks: int = 0
    typed: int = 0

    def follow(self, step: str) -> None:
        for act in ACT.finditer(step):
            if act["click"]:
                self.find(act["click"]).click(button="right" if act["right"] else "left")
                self.clicks += 1
            elif act["key"]:
                self.page.keyboard.press(act["key"])
            elif act["typed"]:
                self.page.wait_for_function("() => document.activeElement?.matches('input, textarea')")
                self.page.keyboard.press("Control+a")
                self.page.keyboard.type(act["typed"])
                self.typed += 1
            else:
                expect(self.page.get_by_text(act["seen"]).locator("visible=true").first).to_be_visible(timeout=60_000)

    def find(self, name: str) -> Any:
        """What can be clicked and is called so."""
        button, *others = (
            self.page.get_by_role(role, name=name, exact=True) for role in ("button", "menuitem", "tab", "radio")
        )
        for each in others:
            button = button.or_(each)
        return button.locator("visible=true")


def test_an_empty_folder_becomes_an_endpoint_that_answers(page: Any, laboratory: Laboratory) -> None:
    """In as many clicks and typed values as the page says; each click finds one thing of its name."""
    page_says = section()
    written = steps(page_says)
    assert len(written) >= 4, "the page has no steps"
    hand = Hand(page)
    page.locator(".jp-LauncherCard").first.wait_for()
    page.wait_for_timeout(1000)  # JupyterLab moves the focus to it a moment later, out of what is typed into meanwhile
    for step in written:
        hand.follow(step)
        if "**Deploy as" in step:
            picture(page, "wizard")
        elif "“Passed:" in step:
            picture(page, "deploy")
        elif "**Send**" in step:
            picture(page, "try")
    assert hand.clicks <= 12
    assert hand.typed <= 3
    assert f"It takes {hand.clicks} clicks, and {hand.typed} value is typed" in page_says
    with laboratory.client() as client:
        service = client.get("greeting")
    assert (service.state, service.replicas.ready) == ("ready", 1)
    assert (laboratory.root / "greeting" / "model-definition.yaml").is_file()
