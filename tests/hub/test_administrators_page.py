"""The page of the model service on a real Hub, in a real browser: what an administrator and a user see and do there, and
what other pages of the Hub's own address do not. The tests follow one another."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.browser import Said, missing, open_browser
from tests.ui.pictures import picture

from .deployment import ADMIN, TEST_LABEL, Deployment, Setup, eventually
from .stage import Stage
from .test_gpus import NVML

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


class _Rules(tuple[Any, ...]):
    """That can be hashed, as what a Hub is set up as has to be."""

    def __hash__(self) -> int:
        return hash(repr(self))


RULES = _Rules([{"users": ["alice"], "max_memory": "4G", "max_replicas_per_user": 5}])
SITE = Setup(
    install=(("max_replicas_per_user", 3), ("rules", RULES)),
    # NVML's stand-in is put there once the Hub runs.
    config="import os; os.environ['LD_LIBRARY_PATH'] = FOLDER",
)
WHY = missing()
pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc for a stand-in of NVML"),
    pytest.mark.parametrize("hub", [SITE], indirect=True, ids=str),
]


class Desk:
    """``of(user)``: the page as she sees it, in a browser of her own in which she has signed in at the Hub."""

    def __init__(self, hub: Deployment, stage: Stage, browser: Any) -> None:
        self.hub, self.stage, self.browser = hub, stage, browser
        self.place = f"{hub.url}services/model-service/"
        self._pages: dict[str, Any] = {}

    def of(self, user: str) -> Any:
        if user not in self._pages:
            context = self.browser.new_context(viewport={"width": 1200, "height": 900})
            context.set_default_timeout(20_000)
            page = self._pages[user] = context.new_page()
            page.goto(f"{self.hub.url}hub/login?next=/hub/home")
            page.get_by_label("Username").fill(user)
            page.get_by_label("Password").fill("any")
            page.locator("#login_submit").click()
            page.wait_for_url("**/hub/home")
        return self._pages[user]

    def opened(self, user: str) -> Any:
        page = self.of(user)
        page.goto(self.place)
        expect(page).to_have_url(self.place)
        return page

    def row(self, page: Any) -> Any:
        return page.locator(f'[id="{self.stage.key}"]')


@pytest.fixture(scope="module")
def desk(hub: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    (hub.folder / "nvml.c").write_text(NVML)
    library = hub.folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, hub.folder / "nvml.c"], check=True, timeout=60)
    stage = Stage(hub, "chat", 1)
    try:
        stage.ready(1)
        # As at a Hub with TLS: elsewhere browsers neither say who asks nor part windows.
        trusted = f"--unsafely-treat-insecure-origin-as-secure={hub.url.rstrip('/')}"
        with open_browser(tmp_path_factory.mktemp("chromium"), trusted) as browser:
            yield Desk(hub, stage, browser)
    finally:
        stage.close()


def test_the_hubs_menu_leads_an_administrator_to_all_services_owners_and_gpus(hub: Deployment, desk: Desk) -> None:
    """With a GPU that a notebook holds, which only the Hub's process sees."""
    image = hub.engine.images.get(hub.image)
    request = hub.engine.api.create_host_config(
        device_requests=[{"Driver": "nvidia", "DeviceIDs": ["1"], "Capabilities": [["gpu"]]}]
    )
    made = hub.engine.api.create_container(
        image.id,
        ["sleep", "600"],
        environment={"JUPYTERHUB_USER": "bob", "JUPYTERHUB_SERVER_NAME": ""},
        labels={TEST_LABEL: hub.network.session},
        host_config=request,
    )
    try:
        page = desk.of(ADMIN)
        said = Said(page)
        page.get_by_role("button", name="Services").click()
        page.get_by_role("link", name="model-service").click()
        expect(page).to_have_url(desk.place)
        expect(page.get_by_role("banner")).to_contain_text("Signed in as admin, an administrator")
        expect(desk.row(page)).to_contain_text("ready")
        expect(desk.row(page)).to_contain_text("1 of 1")
        expect(page.get_by_role("row").filter(has_text="memory of a replica")).to_contain_text("4 GiBfor alice")
        gpus = page.get_by_role("table").nth(1)
        expect(gpus.get_by_role("row").filter(has_text="GPU-1")).to_contain_text("a notebook of bob")
        expect(gpus.get_by_role("row").filter(has_text="GPU-0")).to_contain_text("free")
        assert said.besides([]) == []
        picture(page, "administrator")
        eventually(
            lambda: not [name for name in hub.servers("model-service-tokens") if name.startswith("ms-")],
            "no server of a look",
        )
    finally:
        hub.engine.api.remove_container(made["Id"], force=True)


def test_a_user_sees_hers_alone_and_what_an_administrator_says_of_it(desk: Desk) -> None:
    page = desk.opened(ADMIN)
    desk.row(page).locator("summary", has_text="Notice").click()
    desk.row(page).get_by_label("To whoever looks at it").fill("<b>Please</b> scale down by Friday.")
    desk.row(page).get_by_role("button", name="Leave notice").click()
    expect(desk.row(page)).to_contain_text("<b>Please</b> scale down by Friday. says admin")

    hers = desk.opened("alice")
    expect(desk.row(hers)).to_contain_text("<b>Please</b> scale down by Friday. says admin")
    expect(hers.get_by_role("button", name="Leave notice")).to_have_count(0)
    expect(hers.get_by_role("heading", name="GPUs")).to_have_count(0)
    bobs = desk.opened("bob")
    expect(bobs.get_by_role("main")).to_contain_text("There are none")
    assert "alice" not in bobs.content()


def test_an_administrator_stops_a_service_and_limits_its_owner(desk: Desk) -> None:
    page = desk.opened(ADMIN)
    desk.row(page).locator("summary", has_text="Stop").click()
    desk.row(page).get_by_role("button", name="Stop alice/chat").click()
    expect(desk.row(page)).to_contain_text("stopped")
    eventually(lambda: desk.stage.info().state == "stopped" and not desk.stage.containers(), "a stopped service")

    page.locator("summary").filter(has_text="Take from alice").click()
    form = page.locator("form.limits").first
    form.get_by_label("replicas", exact=True).fill("1")
    form.get_by_role("button", name="Set").click()
    expect(page.get_by_role("row").filter(has_text="by admin for alice")).to_contain_text("of 1by admin")
    desk.row(page).get_by_role("button", name="Start").click()
    desk.stage.ready(1)
    refused = desk.stage.alice.cli("scale", "chat", "2", check=False)
    assert "(set by admin for alice)" in refused.stdout + refused.stderr
    audit = desk.stage.alice.cli("audit", "chat").stdout
    assert "stop_service" in audit


#: What a script on another page of the Hub's address gets of ours: a notebook's is such a page.
FROM_ANOTHER_PAGE = """async place => {
    const read = await fetch(place).then(answer => answer.status);
    const body = new URLSearchParams({text: "Pay here", xsrf: "x"});
    const sent = await fetch(place + "services/alice/chat/notice", {method: "POST", body}).then(answer => answer.status);
    const frame = document.createElement("iframe");
    const framed = new Promise(done => { frame.onload = frame.onerror = done; setTimeout(done, 5000); });
    frame.src = place;
    document.body.append(frame);
    await framed;
    let inside = "";
    try { inside = frame.contentDocument.body.innerText; } catch (error) { inside = "nothing: " + error.name; }
    const opened = window.open(place);
    await new Promise(done => setTimeout(done, 3000));
    let seen = "";
    try { seen = opened.document.body.innerText; } catch (error) { seen = "nothing: " + error.name; }
    return {read, sent, inside, seen, parted: opened.closed};
}"""


def test_another_page_of_the_hubs_address_reads_frames_opens_and_sends_nothing(desk: Desk) -> None:
    """Where its script runs with the administrator's cookies."""
    page = desk.opened(ADMIN)
    page.goto(f"{desk.hub.url}hub/home")
    got = page.evaluate(FROM_ANOTHER_PAGE, desk.place)
    assert (got["read"], got["sent"]) == (403, 403)
    assert "alice" not in got["inside"] + got["seen"]
    assert got["parted"], "a window that it has opened is none of its own"
    assert "Pay here" not in desk.opened(ADMIN).content()


def test_a_form_of_another_site_does_nothing(desk: Desk) -> None:
    page = desk.opened(ADMIN)
    form = f"<form method=post action={desk.place}services/alice/chat/notice><input name=text value=Pay><button>Go</button></form>"
    page.goto("about:blank")
    page.set_content(form)
    page.get_by_role("button", name="Go").click()
    page.wait_for_url(f"{desk.place}**")
    assert "says admin" not in page.content()
    expect(desk.row(desk.opened(ADMIN))).to_contain_text("scale down by Friday")


def test_who_signs_out_at_the_hub_is_out_of_the_page(desk: Desk) -> None:
    """At the next look at her token, which is half a minute old at most."""
    page = desk.opened("bob")
    page.goto(f"{desk.hub.url}hub/logout")

    def asked_who_she_is() -> bool:
        page.goto(desk.place)
        return "/hub/login" in page.url

    assert eventually(asked_who_she_is, "the Hub's question who it is", 45, 2.0)
