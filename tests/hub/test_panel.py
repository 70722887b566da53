"""The panel in a notebook server of a real Hub, in a real browser: what carol does there from signing in to the end of her
service. The tests follow one another on one page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ui.browser import Said, missing, open_browser
from tests.ui.pictures import picture

from .deployment import Deployment, Notebook, Setup, eventually
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

#: It tells all that it sees of a call, and of its surroundings.
MODEL = """
import http.server, json, os, pathlib, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        if self.path == "/stream":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for word in ("one", "two", "three", "four", "last"):
                self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(word) + 1, word.encode() + b"\\n"))
                time.sleep(0.5)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        word = pathlib.Path(__file__).with_name("word.txt").read_text()
        seen = {"word": word, "path": self.path, "headers": dict(self.headers), "environment": dict(os.environ)}
        body = json.dumps(seen).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

print("listening", flush=True)
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""

DEFINITION = """\
models:
  - name: mirror
    model_path: /models
    service:
      start_command: [python3, server.py, "0.0.0.0", "{port}"]
      port: 8000
      health_check: {path: /health, interval: 1}
"""

#: The browser's own words for what is refused on purpose, and for what is asked of a service just when it goes.
EXPECTED = ["status of 400", "status of 404"]


class Seat:
    """carol before her browser. ``requests``: all that the page has asked for since JupyterLab came up."""

    def __init__(self, hub: Deployment, page: Any) -> None:
        self.hub, self.page = hub, page
        self.said = Said(page)
        self.requests: list[str] = []
        self.credentials: set[str] = set()  # that JupyterLab sends with them
        self.notebook: Notebook

    def sign_in(self) -> None:
        """By the Hub's page, which starts her server. JupyterLab asks whether it may fetch news, once."""
        page = self.page
        page.goto(self.hub.url)
        page.get_by_label("Username").fill("carol")
        page.get_by_label("Password").fill("any")
        page.locator("#login_submit").click()
        page.wait_for_url("**/user/carol/lab**", timeout=60_000)
        page.on("request", self._asked)
        page.on("websocket", lambda socket: self.requests.append(socket.url.replace("ws", "http", 1)))
        page.locator(".jp-LauncherCard").first.wait_for(timeout=60_000)
        page.get_by_role("button", name="No", exact=True).click()
        self.notebook = self.hub.notebook("carol")

    def _asked(self, request: Any) -> None:
        self.requests.append(request.url)
        sent = (request.headers.get(name, "") for name in ("authorization", "x-xsrftoken"))
        self.credentials |= {each.split()[-1] for each in sent if each}

    def put_model(self) -> None:
        for name, text in (("server.py", MODEL), ("model-definition.yaml", DEFINITION), ("word.txt", "hello")):
            self.notebook.write(f"mirror/{name}", text)

    def deploy_by_menu(self) -> Any:
        """The form, of a right-click on the folder."""
        page = self.page
        if not page.locator("#filebrowser").is_visible():  # a click on the one that is open closes it
            page.locator('.jp-SideBar .lm-TabBar-tab[data-id="filebrowser"]').click()
        page.get_by_role("button", name="Refresh the file browser").click()
        page.locator(".jp-DirListing-item").filter(has_text="mirror").click(button="right")
        page.get_by_role("menuitem", name="Deploy as Model Service…").click()
        form = page.locator(".jp-ModelService-deploy")
        expect(form.get_by_label("Name", exact=True)).to_have_value("mirror")
        return form

    @property
    def view(self) -> Any:
        return self.page.locator(".jp-ModelService-view")

    def tab(self, name: str) -> Any:
        self.view.get_by_role("tab", name=name, exact=True).click()
        return self.view.get_by_role("tabpanel", name=name, exact=True)

    def answer(self, path: str, method: str = "GET") -> Any:
        """Of a call in the console."""
        console = self.tab("Try")
        console.get_by_label("Method").select_option(method)
        console.get_by_label("Path").fill(path)
        console.get_by_role("button", name="Send").click()
        return console.get_by_label("Body of the answer")

    def secrets(self) -> list[str]:
        """What lets somebody in here: her cookies, and the tokens of her server and of her page."""
        told = self.notebook.exec("sh", "-c", "echo $JUPYTERHUB_API_TOKEN $JPY_API_TOKEN").stdout.split()
        cookies = [each["value"] for each in self.page.context.cookies()]
        return [each.strip('"') for each in {*told, *cookies, *self.credentials} if len(each) > 7]


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
    service.page.locator('.jp-SideBar .lm-TabBar-tab[data-id="jupyter-model-service:panel"]').click()
    expect(service.page.locator(".jp-ModelService-panel").get_by_role("listitem")).to_contain_text("2/2")
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
