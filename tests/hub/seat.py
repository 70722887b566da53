"""A user before her browser, in JupyterLab on a real Hub, and a model that she deploys there: for the tests of the panel."""

from __future__ import annotations

from typing import Any

from tests.ui.browser import Said

from .deployment import Deployment, Notebook

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


class Seat:
    """carol, or another user, before her browser. ``requests``: all that the page has asked for since JupyterLab came up."""

    def __init__(self, hub: Deployment, page: Any, user: str = "carol") -> None:
        self.hub, self.page, self.user = hub, page, user
        self.said = Said(page)
        self.requests: list[str] = []
        self.credentials: set[str] = set()  # that JupyterLab sends with them
        self.notebook: Notebook

    def sign_in(self) -> None:
        """By the Hub's page, which starts her server. JupyterLab asks whether it may fetch news, once."""
        page = self.page
        page.goto(self.hub.url)
        page.get_by_label("Username").fill(self.user)
        page.get_by_label("Password").fill("any")
        page.locator("#login_submit").click()
        page.wait_for_url(f"**/user/{self.user}/lab**", timeout=60_000)
        page.on("request", self._asked)
        page.on("websocket", lambda socket: self.requests.append(socket.url.replace("ws", "http", 1)))
        page.locator(".jp-LauncherCard").first.wait_for(timeout=60_000)
        page.get_by_role("button", name="No", exact=True).click()
        self.notebook = self.hub.notebook(self.user)

    def _asked(self, request: Any) -> None:
        self.requests.append(request.url)
        sent = (request.headers.get(name, "") for name in ("authorization", "x-xsrftoken"))
        self.credentials |= {each.split()[-1] for each in sent if each}

    def put_model(self) -> None:
        for name, text in (("server.py", MODEL), ("model-definition.yaml", DEFINITION), ("word.txt", "hello")):
            self.notebook.write(f"mirror/{name}", text)

    def deploy_by_menu(self) -> Any:
        """The form, of a right-click on the folder."""
        from playwright.sync_api import expect

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

    def panel(self) -> Any:
        found = self.page.locator(".jp-ModelService-panel")
        if not found.is_visible():  # a click on the one that is open closes it
            self.page.locator('.jp-SideBar .lm-TabBar-tab[data-id="jupyter-model-service:panel"]').click()
        return found

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
