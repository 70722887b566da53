"""The view of one service in the main area, as people use it: watched, searched, changed, found again after a reload."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from jupyter_model_service.client import Client

from .conftest import wait_restored
from .laboratory import Laboratory, eventually

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


@pytest.fixture
def client(laboratory: Laboratory) -> Iterator[Client]:
    with laboratory.client() as client:
        client.create(str(laboratory.model_folder("words")), name="words")
        client.wait_ready("words", timeout=60)
        yield client


@pytest.fixture
def view(page: Any, panel: Any, client: Client) -> Any:
    """Opened from the panel, by its name."""
    panel.get_by_role("button", name="words", exact=True).click()
    view = page.locator(".jp-ModelService-view")
    expect(view.get_by_role("heading", name="words")).to_be_visible()
    return view


def tab(view: Any, name: str) -> Any:
    """Brings it to the front; what it has."""
    view.get_by_role("tab", name=name, exact=True).click()
    return view.get_by_role("tabpanel")


def test_a_service_is_watched(page: Any, view: Any, client: Client) -> None:
    """Replicas, charts, a killed replica with its reason, the log with search, and the same tab after a reload."""
    expect(view).to_contain_text("1 of 1 ready")
    for number in range(5):
        client.call("words", "work", json={"n": number})
    chart = view.get_by_role("img", name=re.compile(r"^Latency: p50 \d+ ms, p95 \d+ ms, p99 \d+ ms"))
    expect(chart).to_be_visible()
    moment = view.get_by_role("slider", name="Replicas: moment")
    moment.focus()
    page.keyboard.press("Home")
    expect(moment).to_have_attribute("aria-valuetext", re.compile(r"^\d\d:\d\d:\d\d: wanted 1, ready (0|1|unknown)$"))

    view.get_by_role("button", name="One replica more of").click()
    expect(view).to_contain_text("of 2 ready")
    expect(view).to_contain_text("2 of 2 ready")
    assert client.get("words").replicas.want == 2
    victim = client.get("words").replica_list[0]
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    row = view.get_by_role("row").filter(has_text=victim.id)
    expect(row).to_contain_text("SIGKILL")
    expect(view).to_contain_text("replaced 1 time")

    row.get_by_role("button", name=f"Log of {victim.id}").click()
    log = view.get_by_role("tabpanel")
    expect(log.get_by_role("log")).to_contain_text("listening")
    log.get_by_role("searchbox", name="Find in the log").fill("LISTEN")
    expect(log.locator("mark")).to_have_text("listen")
    expect(log).to_contain_text("1 of 1")
    expect(log.locator("mark.jp-mod-current")).to_be_in_viewport()
    expect(tab(view, "Events").get_by_role("row").filter(has_text="SIGKILL").first).to_be_visible()

    page.keyboard.press("ArrowRight")
    expect(view.get_by_role("tab", name="Why Did It Scale")).to_be_focused()
    expect(view).to_contain_text("The service is not autoscaled")
    tab(view, "Definition")
    page.wait_for_timeout(800)  # JupyterLab keeps its layout half a second after it has changed
    page.goto(page.url.split("?")[0])
    wait_restored(page)
    expect(view.get_by_label("Definition", exact=True).last).to_contain_text("model_path: /models")


def test_a_death_is_seen_where_there_is_little_room(page: Any, view: Any, client: Client) -> None:
    """Beside an editor: every tab, the reason of each replica and the way to its log are in sight. A log that nobody
    chose goes on with the next replica, and of one that is chosen, and gone, nothing more is asked."""
    page.set_viewport_size({"width": 800, "height": 900})
    inside = view.bounding_box()
    assert inside["width"] < 520, "there is more room than a newcomer has"
    for each in [*view.get_by_role("tab").all(), view.get_by_role("button", name="Log of")]:
        box = each.bounding_box()
        assert inside["x"] <= box["x"], each.inner_text()
        assert box["x"] + box["width"] <= inside["x"] + inside["width"], each.inner_text()
    log = tab(view, "Logs")
    expect(log.get_by_role("log")).to_contain_text("listening")
    (victim,) = client.get("words").replica_list
    expect(log.get_by_role("combobox")).to_have_value(victim.id)
    expect(log.get_by_role("combobox")).to_have_css("background-image", re.compile("gradient"))  # an arrow
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    expect(log.get_by_role("combobox")).not_to_have_value(victim.id)
    expect(log.get_by_role("log")).to_contain_text("listening")

    overview = tab(view, "Overview")
    failed = overview.get_by_role("region", name="What failed lately")
    # A probe that looked between its death and the news of it has found nobody there, which is told as well.
    killed = failed.get_by_role("listitem").filter(has_text=f"replica {victim.id} was killed by SIGKILL")
    expect(killed).to_have_count(1)
    gone = overview.get_by_role("row").filter(has_text="SIGKILL")
    expect(gone).to_be_in_viewport(ratio=1)
    killed.get_by_role("button", name=f"Log of {victim.id}").click()
    expect(log).to_contain_text(f"{victim.id} is gone. These are its last lines.")
    expect(log.get_by_role("log")).to_contain_text("listening")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/logs" in request.url else None)
    page.wait_for_timeout(2500)  # a log that is followed is asked for each second
    assert not asked
    log.get_by_role("button", name="Log of the Newest").click()
    expect(log.get_by_role("combobox")).not_to_have_value(victim.id)
    log.get_by_role("button", name="Copy All").click()
    assert "listening" in page.evaluate("navigator.clipboard.readText()")


def test_a_token_is_rotated_and_its_owner_sees_who_called(
    page: Any, view: Any, client: Client, expected_errors: list[str]
) -> None:
    """The new one is shown once, the former one ends as it was chosen; paths that a token is for are changed."""
    tokens = tab(view, "Tokens")
    tokens.get_by_label("Label").fill("ci")
    tokens.get_by_role("button", name="Make Token").click()
    secret = tokens.get_by_text(re.compile("^jms_"))
    former = secret.inner_text()
    tokens.get_by_role("button", name="Done").click()
    endpoint = client.endpoint("words")

    def status(token: str) -> int:
        return httpx.get(f"{endpoint}pid", headers={"Authorization": f"Bearer {token}"}).status_code

    assert status(former) == 200
    tokens.get_by_role("button", name="Rotate ci").click()
    form = tokens.get_by_role("form", name="Another token in the place of ci")
    form.get_by_role("combobox").select_option("at once")
    form.get_by_role("button", name="Rotate").click()
    expect(form).to_have_count(0)
    new = secret.inner_text()
    tokens.get_by_role("button", name="Done").click()
    assert (status(former), status(new), status(new)) == (401, 200, 200)
    token = next(each for each in client.tokens("words") if each.name == "ci" and each.id != each.family)
    row = tokens.locator(f"[data-token='{token.id}']")
    row.get_by_role("button", name="Limits of ci").click()
    limits = tokens.get_by_role("form", name="Limits of ci")
    limits.get_by_label("Only for").fill("POST /v1/*")
    limits.get_by_role("button", name="Set Limits").click()
    expect(row).to_contain_text("POST /v1/*")
    assert status(new) == 403
    share = tab(view, "Share")
    called = share.locator(f"[data-caller='token:{token.id}']")
    expect(called).to_contain_text(f"token ci ({token.id})")
    share.get_by_role("button", name="Look again who called it").click()
    expect(called.locator("td")).to_have_text(["2", "2", "1", re.compile(".+")])
    for each in client.tokens("words"):
        client.revoke_token("words", each.id)


def test_a_service_is_changed(
    page: Any, view: Any, client: Client, laboratory: Laboratory, expected_errors: list[str]
) -> None:
    """A token that is shown once, autoscaling with a problem at its field, a new revision and the way back, public,
    and the end."""
    # The browser's own words for the policy that is refused, and for what is asked of the service just when it goes.
    expected_errors += ["status of 400", "status of 404"]
    tokens = tab(view, "Tokens")
    tokens.get_by_label("Label").fill("laptop")
    tokens.get_by_role("button", name="Make Token").click()
    secret = tokens.get_by_text(re.compile("^jms_"))
    token = secret.inner_text()
    tokens.get_by_role("button", name="Copy the token").click()
    assert page.evaluate("navigator.clipboard.readText()") == token
    endpoint = client.endpoint("words")
    assert httpx.get(f"{endpoint}pid").status_code == 401
    assert httpx.get(f"{endpoint}pid", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    tokens.get_by_role("button", name="Done").click()
    expect(page.locator("body")).not_to_contain_text(token)
    tokens.get_by_role("button", name="Revoke laptop").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(tokens).to_contain_text("There are no tokens yet.")
    assert httpx.get(f"{endpoint}pid", headers={"Authorization": f"Bearer {token}"}).status_code == 401

    scaling = tab(view, "Autoscaling")
    scaling.get_by_label("Least").fill("5")
    scaling.get_by_label("Most").fill("3")
    scaling.get_by_role("button", name="Turn On Autoscaling").click()
    expect(scaling.get_by_role("alert")).to_contain_text("min is 5, above max, which is 3")
    expect(scaling.get_by_label("Least")).to_have_attribute("aria-invalid", "true")
    scaling.get_by_label("Least").fill("1")
    scaling.get_by_role("button", name="Turn On Autoscaling").click()
    expect(scaling).to_contain_text("1 to 3 replicas")
    scaling.get_by_role("button", name="Add a Rule").click()
    rule = scaling.get_by_role("form", name="New rule")
    rule.get_by_label("Metric").fill("latency_p95")
    rule.get_by_label("Above").fill("2")
    rule.get_by_role("button", name="Add", exact=True).click()
    expect(scaling.get_by_role("row").filter(has_text="latency_p95")).to_contain_text("2 s")
    scaling_now = client.get("words").autoscaling
    assert scaling_now is not None
    assert (scaling_now.max, [each.metric for each in scaling_now.rules]) == (3, ["latency_p95"])

    (laboratory.root / "words" / "extra.txt").write_text("new")
    revisions = tab(view, "Revisions")
    expect(revisions).to_contain_text("extra.txt")
    revisions.get_by_role("button", name="Take Up the Changes").click()
    expect(revisions.get_by_role("row").filter(has_text="active")).to_contain_text("2 active serving")
    revisions.get_by_role("button", name="Roll back to revision 1").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text(re.compile(r"files: \d+ files kept, .* → \d+ files kept, "))
    assert client.get("words").revision == 2
    question.get_by_role("button", name="Roll Back").click()
    eventually(lambda: client.get("words").revision != 2, "another revision is active", 30)

    share = tab(view, "Share")
    share.get_by_role("button", name="Make Public…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("without a token")
    dialog.get_by_role("button", name="Make Public").click()
    expect(share).to_contain_text("Public: everybody")
    eventually(lambda: httpx.get(f"{endpoint}pid").status_code == 200, "it is called without a token", 20)

    view.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(view).to_contain_text("any more", timeout=30_000)
    view.get_by_role("button", name="Close").click()
    expect(view).to_have_count(0)
