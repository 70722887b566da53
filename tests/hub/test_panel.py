"""The panel in a notebook server of a real Hub, in a real browser: what carol does there from signing in to the end of her
service, and bob, with whom she shares it. The tests follow one another on one page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from jupyter_model_service.client import Client
from jupyter_model_service.errors import NotFound
from tests.ui.browser import missing, open_browser
from tests.ui.pictures import picture

from .deployment import Deployment, Setup, eventually
from .seat import Seat
from .test_service import replica_containers

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

OTHER_IMAGE = "example/vllm:1"
SITE = Setup(install=(("allowed_images", ("jupyter-model-service/*", OTHER_IMAGE)), ("max_replicas_per_user", 2)))
WHY = missing()
pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY),
    pytest.mark.parametrize("hub", [SITE], indirect=True, ids=str),
]

#: The browser's own words for what is refused on purpose, and for what is asked of a service just when it goes.
EXPECTED = ["status of 400", "status of 404"]


@pytest.fixture(scope="module")
def seat(hub: Deployment, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Seat]:
    before = request.session.testsfailed
    with open_browser(tmp_path_factory.mktemp("chromium")) as browser:
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(20_000)
        page = context.new_page()
        made = Seat(hub, page)
        try:
            made.sign_in()
            yield made
        finally:
            if request.session.testsfailed > before:
                shots = Path(os.environ.get("UI_SHOTS", str(hub.folder)))
                page.screenshot(path=str(shots / "panel_on_a_hub.png"))
            context.close()


@pytest.fixture(scope="module")
def service(seat: Seat) -> Iterator[Seat]:
    """carol/mirror, deployed by the form: what may be asked for here is offered, and a refusal is one sentence."""
    seat.put_model()
    form = seat.deploy_by_menu()
    image = form.get_by_label("Image")
    assert image.get_attribute("placeholder") == seat.hub.image
    offered = [each.get_attribute("value") for each in form.locator("datalist option").all()]
    assert offered == [seat.hub.image, OTHER_IMAGE]
    expect(form.get_by_label("GPUs of each replica")).to_have_count(0)

    deploy = form.get_by_role("button", name="Deploy", exact=True)
    image.fill("nowhere/x:1")
    deploy.click()
    expect(form.get_by_role("alert")).to_have_text(
        "The image nowhere/x:1 may not be used for replicas; "
        f"allowed: jupyter-model-service/*, {OTHER_IMAGE} (set for all users)."
    )
    image.fill("")
    form.get_by_role("button", name="Dry Run").click()
    expect(form).to_contain_text("Passed:", timeout=40_000)
    assert [name for name in seat.hub.servers("carol") if name] == []
    deploy.click()
    expect(seat.view).to_contain_text("1 of 1 ready", timeout=60_000)
    yield seat
    seat.notebook.cli("delete", "mirror", "--yes", check=False)


def test_a_folder_becomes_a_named_server_of_the_hub(hub: Deployment, service: Seat) -> None:
    """In a container of the notebook's image, with the folder that only her server could read."""
    (container,) = replica_containers(hub)
    assert [name for name in hub.servers("carol") if name.startswith("ms-mirror-")]
    assert hub.image in container.image.tags
    expect(service.view).to_contain_text(f"{hub.service_url}endpoints/carol/mirror/")


def test_the_model_answers_in_the_console_and_sees_nothing_that_lets_it_in_here(service: Seat) -> None:
    answer = service.answer("/seen", "POST")  # what the browser adds for the notebook server is most with this one
    expect(answer).to_contain_text("environment")
    seen = answer.inner_text()
    assert '"word": "hello"' in seen
    assert "User-Agent" in seen
    assert "MODEL_SERVICE_NAME" in seen
    assert not re.findall(r'"(?:Cookie|Authorization|X-Xsrftoken)"', seen, re.I)
    assert not re.findall(r'"(?:JUPYTERHUB_\w+|JPY_\w+|MODEL_SERVICE_(?:TOKEN|URL|SPEC))": "[^"]', seen)
    secrets = service.secrets()
    assert len(secrets) >= 5
    assert [each for each in secrets if each in seen] == []

    answer = service.answer("/stream")
    expect(answer).to_contain_text("two")
    assert "last" not in answer.inner_text(), "it came whole"
    expect(answer).to_contain_text("last")


def endpoint(hub: Deployment) -> str:
    return f"{hub.service_url}endpoints/carol/mirror/"


def test_it_is_shared_with_a_user_and_a_group_and_with_pages_of_another_site(hub: Deployment, service: Seat) -> None:
    """As what, and with limits for each; the role is changed, and the user's share taken back."""
    hub.api("POST", "/groups/class")
    hub.api("POST", "/groups/class/users", {"users": ["bob"]})
    share = service.tab("Share")
    expect(share).to_contain_text("Private: whoever calls it needs one of its tokens.")
    form = share.get_by_role("form", name="Share the service")
    form.get_by_label("Name of the user").fill("alice")
    form.get_by_label("Role", exact=True).select_option("viewer")
    form.get_by_label("Calls per day").fill("7")
    form.get_by_role("button", name="Share", exact=True).click()
    expect(share.get_by_label("Role of alice")).to_have_value("viewer")
    hers = share.locator('[data-share="user/alice"]')
    expect(hers).to_contain_text("7/day")
    share.get_by_role("button", name="Limits for alice").click()
    limits = share.get_by_role("form", name="Limits of alice")
    limits.get_by_label("Calls per day").fill("8")
    limits.get_by_role("button", name="Set Limits").click()
    expect(limits).to_have_count(0)
    expect(hers).to_contain_text("8/day")
    form.get_by_label("Share with").select_option("group")
    form.get_by_label("Name of the group").fill("class")
    form.get_by_label("Role", exact=True).select_option("caller")
    form.get_by_label("Calls per day").fill("5")
    form.get_by_role("button", name="Share", exact=True).click()
    expect(share.locator('[data-share="group/class"]')).to_contain_text("5/day")
    expect(share).to_contain_text("Shared: whom it is shared with calls it with a token of her own")
    share.get_by_label("Role of alice").select_option("operator")
    expect(share.get_by_label("Role of alice")).to_be_enabled()  # it is not while it is being changed
    expect(share.get_by_label("Role of alice")).to_have_value("operator")
    expect(hers).to_contain_text("8/day")
    ask = share.get_by_role("form", name="What may a user do?")
    ask.get_by_label("What may this user do?").fill("alice")
    ask.get_by_role("button", name="Tell").click()
    expect(share.get_by_role("status").filter(has_text="alice")).to_contain_text("may also scale")
    with Client(hub.gateway_url, hub.token("alice")) as alice:
        assert alice.get("carol/mirror").role == "operator"
        share.get_by_role("button", name="Share it with alice no more").click()
        service.page.get_by_role("dialog").get_by_role("button", name="Unshare").click()
        expect(hers).to_have_count(0)
        with pytest.raises(NotFound):
            alice.get("carol/mirror")

    site = "https://app.example.org"
    question = {"Origin": site, "Access-Control-Request-Method": "GET"}

    def let_in() -> bool:
        answer = httpx.options(endpoint(hub), headers=question, trust_env=False)
        return answer.headers.get("Access-Control-Allow-Origin") == site

    assert not let_in()
    pages = share.get_by_role("region", name="Pages of other sites")
    pages.get_by_label("Let pages of this origin call it").fill("*")
    pages.get_by_role("button", name="Allow").click()
    expect(pages.get_by_role("alert")).to_contain_text("'*' is no origin")
    pages.get_by_label("Let pages of this origin call it").fill(site)
    pages.get_by_role("button", name="Allow").click()
    expect(pages.locator(f'[data-origin="{site}"]')).to_be_visible()
    assert let_in()
    pages.get_by_role("button", name=f"Let pages of {site} call it no more").click()
    expect(pages).to_contain_text("Pages of no other site may call it")
    assert not let_in()


def test_whom_it_is_shared_with_tries_it_in_a_panel_of_his_own_until_it_is_not_any_more(
    hub: Deployment, service: Seat
) -> None:
    """bob, by his group. carol sees that he called, and he sees nothing of it but that he may call it."""
    context = service.page.context.browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(20_000)
    bob = Seat(hub, context.new_page(), "bob")
    try:
        bob.sign_in()
        shared = bob.panel().get_by_role("region", name="Shared with you")
        expect(shared.get_by_role("listitem")).to_contain_text("carol/mirror")
        expect(shared.get_by_role("listitem")).to_contain_text("caller")
        shared.get_by_role("button", name="Try carol/mirror").click()
        console = bob.page.locator(".jp-ModelService-console")
        console.get_by_label("Path").fill("/seen")
        console.get_by_role("button", name="Send").click()
        expect(console.get_by_label("Body of the answer")).to_contain_text('"word": "hello"')
        answered = console.get_by_label("Body of the answer").inner_text()
        assert [each for each in bob.secrets() if each in answered] == []
        assert "alice" not in bob.page.content(), "nothing of whom else it is, or was, shared with"

        share = service.tab("Share")
        share.get_by_role("button", name="Look again who called it").click()
        expect(share.locator("[data-caller='user:bob'] td").nth(1)).to_have_text("1")
        role = share.get_by_label("Role of class")
        role.select_option("viewer")  # who may look into it has it in his list
        seen = bob.panel().get_by_role("list", name="Model services").get_by_role("listitem")
        expect(seen).to_contain_text("mirror")
        expect(seen).to_contain_text("viewer")
        expect(shared).to_have_count(0)
        expect(role).to_be_enabled()  # it is not while it is being changed
        role.select_option("caller")
        expect(shared.get_by_role("listitem")).to_contain_text("caller")
        expect(seen).to_have_count(0)
        expect(share.locator('[data-share="group/class"]')).to_contain_text("5/day")
        share.get_by_role("button", name="Share it with class no more").click()
        service.page.get_by_role("dialog").get_by_role("button", name="Unshare").click()
        expect(share).to_contain_text("It is shared with nobody.")
        expect(shared).to_have_count(0)
        console.get_by_role("button", name="Send").click()
        expect(console.get_by_role("region", name="Answer")).to_contain_text("404")
        assert bob.said.besides(EXPECTED) == []
    finally:
        context.close()


def test_a_token_is_made_limited_rotated_and_revoked(hub: Deployment, service: Seat) -> None:
    """A token of the Hub's, from the tab alone; the owner sees what was called with it."""

    def status(token: str, path: str = "seen") -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{endpoint(hub)}{path}", headers=headers, trust_env=False).status_code

    tokens = service.tab("Tokens")
    secret = tokens.locator(".jp-ModelService-secret")
    tokens.get_by_label("Label").fill("ci")
    tokens.get_by_label("Calls per day").fill("2")
    tokens.get_by_label("Only for").fill("GET /seen")
    tokens.get_by_role("button", name="Make Token").click()
    former = secret.inner_text()
    tokens.get_by_role("button", name="Done").click()
    expect(service.page.locator("body")).not_to_contain_text(former)
    assert [status(former), status(former, "other"), status(former), status(former)] == [200, 403, 200, 429]
    tokens.get_by_role("button", name="Limits of ci").click()
    limits = tokens.get_by_role("form", name="Limits of ci")
    limits.get_by_label("Calls per day").fill("9")
    limits.get_by_role("button", name="Set Limits").click()
    expect(limits).to_have_count(0)
    assert status(former) == 200

    tokens.get_by_role("button", name="Rotate ci").click()
    form = tokens.get_by_role("form", name="Another token in the place of ci")
    form.get_by_role("combobox").select_option("at once")
    form.get_by_role("button", name="Rotate").click()
    expect(form).to_have_count(0)
    new = secret.inner_text()
    tokens.get_by_role("button", name="Done").click()
    assert [status(former), status(new)] == [401, 200]
    with Client(hub.gateway_url, hub.token("carol")) as client:
        token = next(each for each in client.tokens("mirror") if each.id != each.family)
    row = tokens.locator(f"[data-token='{token.id}']")
    expect(row).to_contain_text("9/day")
    expect(row).to_contain_text("GET /seen")
    row.get_by_role("button", name="Revoke ci").click()
    service.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert status(new) == 401
    share = service.tab("Share")
    share.get_by_role("button", name="Look again who called it").click()
    # A token that there is not any more has no label: it is told by its id.
    expect(share.locator(f"[data-caller='token:{token.family}']")).to_contain_text("token ci")
    calls = [share.locator(f"[data-caller='token:{each}'] td") for each in (token.family, token.id)]
    expect(calls[0].nth(1)).to_have_text("3")
    expect(calls[0].nth(2)).to_have_text("2")
    expect(calls[1].nth(1)).to_have_text("1")


def test_the_audit_tab_tells_who_did_what_and_what_was_refused(service: Seat) -> None:
    """As a table, and all of it as a file."""
    audit = service.tab("Audit")
    audit.get_by_role("button", name="Look Again").click()
    rows = audit.locator("[data-entry]")
    expect(rows.filter(has_text="share service").first).to_contain_text("done")
    expect(rows.filter(has_text="set origins").filter(has_text="refused").first).to_contain_text("carol")
    audit.get_by_label("Only what was refused").check()
    expect(rows.filter(has_text="create token")).to_have_count(0)
    expect(rows.filter(has_text="set origins")).to_have_count(1)
    audit.get_by_label("Only what was refused").uncheck()
    audit.get_by_label("Find who or what").fill("rotate")
    expect(rows).to_have_count(1)
    with service.page.expect_download() as saving:
        audit.get_by_role("button", name="Save All…").click()
    assert saving.value.suggested_filename == "carol-mirror-audit.jsonl"
    entries = [json.loads(line) for line in Path(saving.value.path()).read_text().splitlines()]
    did = [(each["who"], each["action"]) for each in entries if each["status"] < 400]
    wanted = ["create_service", "share_service", "unshare_service", "create_token", "rotate_token", "revoke_token"]
    assert [each for each in wanted if ("carol", each) not in did] == []
    assert "set_origins" in [each["action"] for each in entries if each["status"] == 400]


def test_it_is_scaled_up_to_the_limit_and_a_killed_replica_is_replaced_with_the_reason(
    hub: Deployment, service: Seat
) -> None:
    view = service.view
    more = view.get_by_role("button", name="One replica more of")
    service.tab("Overview")
    more.click()
    expect(view).to_contain_text("2 of 2 ready", timeout=40_000)
    expect(more).to_be_disabled()
    victim = replica_containers(hub)[0]
    victim.kill()
    row = view.get_by_role("row").filter(has_text=victim.labels["org.jupyter.model-service.replica"])
    expect(row).to_contain_text("its container ended (exit code 137)")
    expect(view).to_contain_text("replaced 1 time")
    expect(view).to_contain_text("2 of 2 ready", timeout=40_000)
    expect(service.panel().get_by_role("listitem")).to_contain_text("2/2")
    picture(service.page, "hub")


def test_a_service_beyond_the_limit_of_all_is_refused_in_one_sentence(service: Seat) -> None:
    form = service.deploy_by_menu()
    form.get_by_label("Name", exact=True).fill("second")
    form.get_by_role("button", name="Deploy", exact=True).click()
    expect(form.get_by_role("alert")).to_have_text(
        "That would be 3 replicas of carol, and 2 are the most that one user may run (set for all users)."
    )
    service.page.locator(".lm-DockPanel-tabBar").get_by_role("tab", name="mirror").click()


def test_a_changed_folder_is_taken_up(service: Seat) -> None:
    view = service.view
    view.get_by_role("button", name="One replica fewer of").click()
    expect(view).to_contain_text("1 of 1 ready", timeout=40_000)
    service.notebook.write("mirror/word.txt", "goodbye")
    revisions = service.tab("Revisions")
    expect(revisions).to_contain_text("The folder has changed since revision 1.")
    revisions.get_by_role("button", name="Take Up the Changes").click()
    expect(revisions.get_by_role("row").filter(has_text="active")).to_contain_text("2 active serving", timeout=40_000)
    expect(service.answer("/seen")).to_contain_text("goodbye")


def test_it_is_deleted_and_all_was_asked_of_her_own_server(hub: Deployment, service: Seat) -> None:
    """At addresses without a secret, and without an error in the page."""
    page = service.page
    service.view.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(service.view).to_contain_text("any more", timeout=40_000)
    eventually(lambda: not [name for name in hub.servers("carol") if name.startswith("ms-")], "no server of ours")

    asked = [url for url in service.requests if url.startswith("http")]
    hers = f"{hub.url}user/carol/"
    assert sum("/model-service/" in urlsplit(url).path for url in asked) > 20
    assert [url for url in asked if not url.startswith(hers)] == []
    secrets = service.secrets()
    assert [url for url in asked if any(secret in url for secret in secrets)] == []
    assert service.said.besides(EXPECTED) == []
