"""Pages of models at a user's own gateway: an origin for each service that is public, and none that they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from jupyter_model_service.core.hosts import label_of

PAGE = """
import http.server, sys

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.path} {self.headers['Cookie']} {self.headers['X-Forwarded-Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "mine=1; Path=/")
        self.send_header("Service-Worker-Allowed", "/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


@pytest.fixture
def page_model(model: Path) -> Path:
    (model / "server.py").write_text(PAGE)
    return model


def test_each_public_service_has_an_origin_of_its_own(gateways: Any, page_model: Path) -> None:
    """At its host it is from ``/`` on, keeps cookies, and is not sandboxed; at the address that all have it is. Nothing
    of the gateway itself is at a service's host."""
    gateway = gateways.start("--keep")
    view = gateway.deploy(page_model, name="pages", public=True)
    port = httpx.URL(gateway.url).port
    host = f"{label_of(view['owner'], 'pages')}.localhost:{port}"
    assert view["page"] == f"http://{host}/"
    assert gateway.call("GET", "api/v1/")["own_hosts"] is True

    with httpx.Client(base_url=gateway.url, trust_env=False) as http:
        own = http.get("a/b?c=d", headers={"Host": host, "Cookie": "mine=1; model-service-visit=2; _xsrf=3"})
        assert (own.status_code, own.text) == (200, f"/a/b?c=d mine=1 {host}")
        assert own.headers["Set-Cookie"] == "mine=1; Path=/"
        assert "Content-Security-Policy" not in own.headers
        for path in ("api/v1/services", "health/ready", "v1/models"):
            assert http.get(path, headers={"Host": host}).text.startswith(f"/{path} "), path
            assert http.get(path, headers={"Host": f"none--x.localhost:{port}"}).status_code == 401

        shared = http.get(view["endpoint"])
        assert shared.status_code == 200
        assert shared.headers["Content-Security-Policy"].startswith("sandbox ")
        assert "allow-same-origin" not in shared.headers["Content-Security-Policy"]
        assert not {"Set-Cookie", "Service-Worker-Allowed"} & {name.title() for name in shared.headers}


def test_a_private_one_has_no_page_as_a_browser_has_no_token(gateways: Any, page_model: Path) -> None:
    gateway = gateways.start("--keep")
    view = gateway.deploy(page_model, name="pages")
    where = f"api/v1/services/{view['owner']}/pages"
    port = httpx.URL(gateway.url).port
    host = {"Host": f"{label_of(view['owner'], 'pages')}.localhost:{port}"}
    assert view["page"] is None
    with httpx.Client(base_url=gateway.url, trust_env=False) as http:
        assert http.get("", headers=host).status_code == 401
        token = gateway.call("POST", f"{where}/tokens", {"name": "test"})["token"]
        assert http.get("", headers={**host, "Authorization": f"Bearer {token}"}).status_code == 200
        opened = gateway.call("POST", f"{where}/update", {"public": True})
        assert opened["page"] == f"http://{host['Host']}/"
        assert http.get("", headers=host).status_code == 200


def test_where_browsers_would_look_elsewhere_there_are_no_hosts(gateways: Any, page_model: Path) -> None:
    """``*.localhost`` is 127.0.0.1 to them, whatever address of the loopback the gateway has."""
    gateway = gateways.start("--keep", "--ip", "127.0.0.2")
    view = gateway.call("POST", "api/v1/services", {"folder": str(page_model), "name": "pages", "public": True})
    assert view["page"] is None
    assert gateway.call("GET", "api/v1/")["own_hosts"] is False


def test_no_name_that_others_decide_about_leads_to_a_public_service(gateways: Any, page_model: Path) -> None:
    gateway = gateways.start("--keep")
    view = gateway.deploy(page_model, name="pages", public=True)
    with httpx.Client(trust_env=False) as http:
        assert http.get(view["endpoint"]).status_code == 200
        refused = http.get(view["endpoint"], headers={"Host": "evil.example"})
        assert (refused.status_code, refused.headers["X-Model-Service-Error"]) == (403, "foreign_host")
