"""``alice/mirror``: a model that tells all that it sees of a call, on a real Hub, and who calls it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx

from jupyter_model_service.client import Client

from .deployment import Deployment, Notebook, eventually

VISITING = "access:services!service=model-service"

#: With the notebook's own Python, which has Tornado.
MODEL = """
import asyncio, json, os, sys, tornado.httpserver, tornado.web, tornado.websocket

def seen(request):
    return {
        "method": request.method, "uri": request.uri, "headers": list(request.headers.get_all()),
        "body": request.body.decode("latin-1"), "environment": dict(os.environ), "arguments": sys.argv,
    }

class Mirror(tornado.web.RequestHandler):
    def prepare(self):
        self.finish(seen(self.request))

OPEN = []  # what streams and sockets that are open now were called in their query

class Open(tornado.web.RequestHandler):
    def get(self):
        self.finish(json.dumps(OPEN))

class Events(tornado.web.RequestHandler):
    async def get(self):
        self.set_header("Content-Type", "text/event-stream")
        OPEN.append(self.request.query)
        try:
            while True:
                self.write("data: there is no end\\n\\n")
                await self.flush()
                await asyncio.sleep(0.5)
        finally:
            OPEN.remove(self.request.query)

class Socket(tornado.websocket.WebSocketHandler):
    def check_origin(self, origin):
        return True

    def select_subprotocol(self, offered):
        return next((each for each in offered if each == "chat"), None)

    def open(self):
        OPEN.append(self.request.query)
        self.write_message(json.dumps(seen(self.request)))

    def on_close(self):
        OPEN.remove(self.request.query)

    def on_message(self, message):
        self.write_message(message)

async def main():
    pages = tornado.web.Application(
        [("/socket", Socket), ("/events", Events), ("/open", Open), (".*", Mirror)]
    )
    tornado.httpserver.HTTPServer(pages).listen(int(sys.argv[1]), "0.0.0.0")
    print("mirroring", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
DEFINITION = """\
models:
  - name: mirror
    model_path: /models
    service:
      start_command: ["python3", "server.py", "{port}"]
      port: 8000
      health_check: {path: /health, interval: 1}
"""


class Mirror:
    """``url`` is its endpoint through the Hub's proxy, ``direct`` the one at the gateway's own address; ``owner`` is
    alice's client."""

    key = "alice/mirror"

    def __init__(self, hub: Deployment, environment: dict[str, str] | None = None) -> None:
        self.hub = hub
        self.alice: Notebook = hub.notebook("alice")
        self.url = f"{hub.service_url}endpoints/{self.key}/"
        self.direct = f"{hub.gateway_url}endpoints/{self.key}/"
        self.owner = Client(hub.service_url, hub.token("alice"))
        self.alice.write("models/mirror/server.py", MODEL)
        self.alice.write("models/mirror/model-definition.yaml", DEFINITION)
        eventually(hub.gateway_answers, "a gateway that answers")
        words = [word for item in (environment or {}).items() for word in ("--env", "=".join(item))]
        self.alice.cli("create", "models/mirror", "-n", "mirror", *words)

    def close(self) -> None:
        """Afterwards there is no such service: the next test of the file makes its own, of the same name, and that of one
        that is being deleted is not free (a busy Hub took 3 s to end its replica)."""
        with contextlib.suppress(Exception):
            self.owner.delete(self.key)
            eventually(lambda: self.key not in {f"{s.owner}/{s.name}" for s in self.owner.list()}, "its end")
        self.owner.close()

    def call(self, token: str | None, path: str = "who", **more: Any) -> httpx.Response:
        headers = {**({} if token is None else {"Authorization": f"Bearer {token}"}), **more.pop("headers", {})}
        url = f"{more.pop('url', self.url)}{path}"
        return httpx.request(more.pop("method", "GET"), url, headers=headers, timeout=30, trust_env=False, **more)

    def statuses(self, *tokens: str | None) -> list[int]:
        return [self.call(token).status_code for token in tokens]

    def visitor(self, user: str) -> str:
        """A token of the user's that may call what is shared with her, and nothing else."""
        return self.hub.token(user, scopes=[VISITING])


@contextlib.contextmanager
def members(hub: Deployment, group: str, *users: str) -> Iterator[None]:
    """The group is there with these users, who are made where they are not."""
    known = {each["name"] for each in hub.api("GET", "/users").json()}
    made = [user for user in users if user not in known]
    for user in made:
        assert hub.api("POST", f"/users/{user}").status_code == 201
    assert hub.api("POST", f"/groups/{group}").status_code == 201
    assert hub.api("POST", f"/groups/{group}/users", {"users": list(users)}).status_code == 200
    try:
        yield
    finally:
        hub.api("DELETE", f"/groups/{group}")
        for user in made:
            hub.api("DELETE", f"/users/{user}")


def told(notebook: Notebook, *words: str) -> Any:
    """What a verb of the command line says there, as JSON."""
    return json.loads(notebook.cli(*words, "--json").stdout)
