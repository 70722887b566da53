"""The panel and the view by the keyboard alone: nothing is clicked, and nothing but key presses moves the focus."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .laboratory import Laboratory

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

#: What has the focus, in the words of a screen reader, and whether one who looks at the page sees that it has it.
FOCUSED = """() => {
  const seen = document.activeElement;
  const box = seen.getBoundingClientRect();
  const {outlineStyle, outlineWidth, boxShadow, visibility} = getComputedStyle(seen);
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  const top = document.elementFromPoint(x, y);
  return {
    name: seen.getAttribute('aria-label') ?? seen.innerText.trim(),
    what: `${seen.tagName.toLowerCase()}.${seen.className}`,
    nothing: seen === document.body,
    seen: visibility === 'visible' && box.width > 0 && box.height > 0 && top !== null && seen.contains(top),
    ring: (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none',
  };
}"""


class Hands:
    """On the keys only. What has the focus after each press must be in sight and be marked as having it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def at(self, element: Any) -> None:
        """The focus comes to this element, with a ring around it."""
        try:
            expect(element).to_be_focused()
        except AssertionError as failed:
            raise AssertionError(f"the focus is elsewhere: {self.page.evaluate(FOCUSED)}") from failed
        self.look()

    def look(self) -> str:
        found = self.page.evaluate(FOCUSED)
        assert not found["nothing"], "nothing has the focus"
        assert found["seen"], f"what has the focus cannot be seen: {found}"
        assert found["ring"], f"nothing shows that it has the focus: {found}"
        return str(found["name"])

    def go(self, key: str, element: Any, most: int = 12) -> None:
        """Presses it until this element has the focus."""
        passed = []
        for _ in range(most):
            self.press(key)
            passed.append(self.look())
            if element.evaluate("each => each === document.activeElement"):
                return
        raise AssertionError(f"{key} does not come to it, but to {passed}")

    def command(self, words: str) -> None:
        """By the command palette."""
        self.press("Control+Shift+C")
        field = self.page.locator(".lm-CommandPalette-input")
        expect(field).to_be_focused()
        self.page.keyboard.type(words)
        expect(self.page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text(words)
        self.press("Enter")
        expect(field).not_to_be_visible()


def test_by_the_keyboard_alone(laboratory: Laboratory, page: Any, expected_errors: list[str]) -> None:
    """The panel is opened, a service scaled, opened, given a token, and deleted; the focus is never lost or caught."""
    expected_errors += ["status of 404"]  # the browser's words for what the view asks of the service just when it goes
    hands = Hands(page)
    with laboratory.client() as client:
        for name in ("chat", "words"):
            client.create(str(laboratory.model_folder(name)), name=name)
            client.wait_ready(name, timeout=60)

        hands.command("Show Model Services")
        panel = page.locator(".jp-ModelService-panel")
        hands.at(panel.get_by_role("button", name="chat", exact=True))
        hands.press("ArrowDown")
        hands.at(panel.get_by_role("button", name="words", exact=True))
        hands.go("ArrowRight", panel.get_by_role("button", name="One replica more of words"))
        hands.press("Enter")
        row = panel.get_by_role("listitem").filter(has_text="words")
        expect(row).to_contain_text("2 of 2 replicas are ready", timeout=30_000)
        assert client.get("words").replicas.want == 2
        hands.go("ArrowLeft", panel.get_by_role("button", name="words", exact=True))

        hands.press("Enter")
        view = page.locator(".jp-ModelService-view")
        hands.at(view.get_by_role("tab", name="Overview"))
        hands.go("ArrowRight", view.get_by_role("tab", name="Tokens"))
        tokens = view.get_by_role("tabpanel", name="Tokens")
        hands.go("Tab", tokens.get_by_label("Label"))
        page.keyboard.type("laptop")
        hands.go("Tab", tokens.get_by_role("button", name="Make Token"))
        hands.press("Enter")
        hands.at(tokens.get_by_role("button", name="Copy the token"))
        token = tokens.get_by_text(re.compile("^jms_")).inner_text()
        hands.press("Enter")
        hands.at(tokens.get_by_role("button", name="Copied"))
        assert page.evaluate("navigator.clipboard.readText()") == token
        hands.go("Tab", tokens.get_by_role("button", name="Done"))
        hands.press("Enter")
        expect(page.locator("body")).not_to_contain_text(token)
        hands.at(tokens.get_by_label("Label"))
        hands.go("Shift+Tab", view.get_by_role("tab", name="Tokens"))

        hands.command("Show Model Services")
        hands.at(panel.get_by_role("button", name="words", exact=True))
        more = panel.get_by_role("button", name="More actions for words")
        hands.go("ArrowRight", more)
        menu = page.get_by_role("menu").filter(has_text="Delete…")
        hands.press("Enter")
        expect(menu).to_be_visible()
        hands.press("Escape")
        expect(menu).to_have_count(0)
        hands.at(more)
        hands.press("Enter")
        expect(menu).to_be_visible()
        hands.press("ArrowUp")
        expect(menu.locator(".lm-mod-active")).to_contain_text("Delete…")
        hands.press("Enter")
        dialog = page.get_by_role("dialog")
        delete = dialog.get_by_role("button", name="Delete")
        hands.at(delete)
        hands.press("Escape")
        expect(dialog).to_have_count(0)
        hands.at(more)
        hands.press("Enter")
        expect(menu).to_be_visible()
        hands.press("ArrowUp", "Enter")
        hands.at(delete)
        hands.press("Enter")
        expect(row).to_have_count(0, timeout=30_000)
        assert [each.name for each in client.list()] == ["chat"]
        hands.at(panel.get_by_role("button", name="chat", exact=True))
        hands.go("Shift+Tab", panel.get_by_role("button", name="New service"))
