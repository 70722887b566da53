"""A gateway that speaks the wire format over real sockets and keeps services only as far as a test says."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psutil

from jupyter_model_service import wire
from jupyter_model_service.core.grants import PathRule, changed_half
from jupyter_model_service.core.quantities import threshold
from jupyter_model_service.core.scaling.metrics import unit_of

Answer = tuple[int, Any, dict[str, str]]


def service(name: str = "demo", state: str = "ready", **changes: Any) -> dict[str, Any]:
    """A ``ServiceInfo`` as JSON, checked against the wire."""
    want = changes.pop("want", 1)
    ready = changes.pop("ready", want if state == "ready" else 0)
    replicas = changes.pop("replica_list", [])
    content = {
        "id": "0" * 32,
        "owner": "ada",
        "name": name,
        "state": state,
        "endpoint": f"http://127.0.0.1:1/endpoints/ada/{name}/",
        "public": False,
        "replicas": {"want": want, "ready": ready, "total": len(replicas)},
        "revision": 1,
        "stable_revision": 1,
        "replica_list": replicas,
        "created_at": 1750000000.0,
        **changes,
    }
    return wire.ServiceInfo.model_validate(content).model_dump(mode="json")


def replica(id: str, phase: str = "ready", **changes: Any) -> dict[str, Any]:
    content = {"id": id, "revision": 1, "phase": phase, "since": time.time(), "created_at": time.time(), **changes}
    return wire.ReplicaInfo.model_validate(content).model_dump(mode="json")


def audited(number: int, **fields: Any) -> dict[str, Any]:
    """An entry of the audit log."""
    usual = {"id": number, "at": 1750000000.0 + number, "who": "ada", "address": "10.0.0.7", "action": "scale_service"}
    more = {"target": "ada/demo", "status": 202, "code": "", "before": None, "after": None, "request_id": f"r{number}"}
    return {**usual, **more, "count": 1, **fields}


def use(kind: str, name: str, day: int, calls: int, **fields: Any) -> dict[str, Any]:
    """Of one caller on one day of November 2026."""
    usual = {"label": "", "refused": 0, "last_at": 1_750_000_000.0}
    return {"kind": kind, "name": name, "day": f"2026-11-{day:02d}", "calls": calls, **usual, **fields}


def event(number: int, name: str = "demo", message: str = "something happened") -> dict[str, Any]:
    content = {"id": number, "at": 1750000000.0, "service": f"ada/{name}", "kind": "replica.ready", "message": message}
    return wire.EventInfo.model_validate(content).model_dump(mode="json")


def autoscaling(**changes: Any) -> dict[str, Any]:
    content = {"min": 1, "max": 1, **changes}
    content.setdefault("bounds", {"min": content["min"], "max": content["max"]})
    return wire.AutoscalingInfo.model_validate(content).model_dump(mode="json")


def decision(at: float, count: int = 1, before: int | None = None, **changes: Any) -> dict[str, Any]:
    before = count if before is None else before
    told = f"stays at {count}" if before == count else f"from {before} to {count}"
    content = {
        "at": at,
        "since": at,
        "before": before,
        "count": count,
        "changed": before != count,
        "reason": told,
        **changes,
    }
    return wire.DecisionInfo.model_validate(content).model_dump(mode="json")


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    body = {"error": {"code": code, "message": message, "problems": [], **more}}
    return status, body, {"X-Model-Service-Error": code, **(headers or {})}


def counted(limits: dict[str, Any] | None) -> dict[str, Any]:
    """Of a token: what the gateway says of its limits, and of what it did."""
    given = {name: (limits or {}).get(name) for name in ("calls_per_second", "in_flight", "calls_per_day")}
    if all(value is None for value in given.values()):
        return {"limits": None, "calls_today": None, "in_flight": None}
    return {"limits": given, "calls_today": 12, "in_flight": 3}


class FakeGateway:
    """``requests`` holds what was asked: ``(method, path, query, body)``. ``answers`` overrides single operations:
    ``("GET", "api/v1/services/ada/demo")`` → an answer, or a function of the body that gives one."""

    def __init__(self, data_dir: Path | None = None, *, port: int = 0, token: str = "jmc_secret-control-token") -> None:
        self.token = token
        self.data_dir = data_dir
        self.services: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.tokens: list[dict[str, Any]] = []
        self.of_changed_tokens: list[str] = []
        self.of_new_tokens: list[str] = []  # what is said of one that lives shorter than was asked for
        self.uses: list[dict[str, Any]] = []
        self.shared: list[dict[str, Any]] = []  # by others, to call them
        self.shares: dict[tuple[str, str], dict[str, Any]] = {}  # by kind and name, as in an address
        self.of_new_shares: list[str] = []  # what is said of each
        self.refused_share: str | None = None  # of whom nothing is changed
        self.origins: list[str] = []
        self.audit: list[dict[str, Any]] = []
        self.audit_page = 1000  # entries that it gives at once at most, as the real one where they are long
        self.overview: dict[str, Any] = {"services": [], "owners": [], "gpus": None}
        self.decisions: list[dict[str, Any]] = []
        self.series: dict[str, Any] = {"step": 30.0, "times": [], "values": {}}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.answers: dict[tuple[str, str], Answer | Callable[[Any], Answer]] = {}
        self.endpoint: Callable[[BaseHTTPRequestHandler, str, bytes], None] | None = None
        self.streams: list[queue.Queue[bytes | None]] = []
        self.stream_opened = threading.Event()
        self._restarting = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def handle_any(self) -> None:
                fake.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        if data_dir is not None:
            self.announce()

    def __enter__(self) -> FakeGateway:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.drop_streams()
        self.server.shutdown()
        self.server.server_close()

    def announce(self, **changes: Any) -> None:
        """Write ``gateway.json``: the gateway is this test's own process."""
        assert self.data_dir is not None
        me = psutil.Process()
        content = {"url": self.url, "token": self.token, "pid": me.pid, "create_time": me.create_time(), "version": "0"}
        write_private(self.data_dir / "gateway.json", json.dumps({**content, **changes}))

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """One event on every open stream; a service is also what a GET shows from now on."""
        if kind == "service":
            self.services[f"{data['owner']}/{data['name']}"] = data
        if kind == "removed":
            self.services.pop(data["service"], None)
        text = f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
        for stream in list(self.streams):
            stream.put(text)

    def restarted(self, token: str) -> None:
        """As after a restart: whoever is refused for the former token finds the new one announced."""
        with self._restarting:
            self.token = token
            self.announce()

    def knows(self, authorization: str | None) -> bool:
        with self._restarting:
            return authorization == f"Bearer {self.token}"

    def drop_streams(self) -> None:
        self.stream_opened.clear()
        for stream in list(self.streams):
            stream.put(None)

    # --- answering -------------------------------------------------------------------------------------------

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        path, query = parts.path.lstrip("/"), dict(parse_qsl(parts.query))
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if path.startswith("endpoints/") and self.endpoint is not None:
            self.endpoint(handler, path, raw)
            return
        body = json.loads(raw) if raw else None
        self.requests.append((handler.command, path, query, body))
        if path == "health/live":
            self.send(handler, 200, None, {})
        elif not self.knows(handler.headers.get("Authorization")):
            self.send(handler, *refusal(401, "unauthenticated", "This token is not known."))
        elif path == "api/v1/events":
            self.stream(handler)
        else:
            found = self.answers.get((handler.command, path)) or self.usual(handler.command, path, query, body)
            self.send(handler, *(found(body) if callable(found) else found))

    def send(self, handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str]) -> None:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def stream(self, handler: BaseHTTPRequestHandler) -> None:
        mine: queue.Queue[bytes | None] = queue.Queue()
        self.streams.append(mine)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            self.chunk(handler, b"event: hello\ndata: {}\n\n")
            self.stream_opened.set()
            while (text := mine.get(timeout=60)) is not None:
                self.chunk(handler, text)
        except (OSError, queue.Empty):
            pass
        finally:
            self.streams.remove(mine)
            handler.close_connection = True

    @staticmethod
    def chunk(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        handler.wfile.flush()

    def usual(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        words = path.removeprefix("api/v1/").split("/")
        if path == "api/v1/":
            info = {"version": "0", "mode": "embedded", "owner": "ada", "pid": os.getpid(), "launcher": "local"}
            return 200, {**info, "started_at": 1750000000.0, "keep": True, "attached": 0}, {}
        if words == ["validate"]:
            return 200, {"name": "demo", "definition": {}, "warnings": []}, {}
        if words == ["services"]:
            if method == "GET":
                return 200, {"services": list(self.services.values()), "shared": self.shared}, {}
            public = bool(body.get("public") or body.get("visibility") == "public")
            made = service(body.get("name") or "demo", "starting", public=public, want=body["replicas"])
            self.services[f"ada/{made['name']}"] = made
            return 201, made, {}
        if words == ["admin", "overview"]:
            return 200, self.overview, {}
        if words[:2] == ["admin", "users"]:
            return 200, self.overview["owners"][0], {}
        if words[:2] == ["admin", "services"]:
            return 200, self.services["/".join(words[2:4])], {}
        if words == ["admin", "audit"]:
            return self.of_audit(query)
        key = "/".join(words[1:3])
        found = self.services.get(key)
        if found is None:
            return refusal(404, "not_found", f"There is no service {key}.")
        return self.of_service(method, key, found, words[3:], query, body)

    def of_service(
        self, method: str, key: str, found: dict[str, Any], rest: list[str], query: dict[str, str], body: Any
    ) -> Answer:
        if rest == ["events"]:
            after, limit = int(query.get("after", 0)), int(query.get("limit", 100))
            return 200, {"events": [e for e in self.events if e["id"] > after and e["service"] == key][-limit:]}, {}
        if rest == ["logs"]:
            after, limit = int(query.get("after", 0)), int(query.get("limit", 1000))
            lines = self.log[after : after + limit]
            name = query.get("replica") or "demo-aaaaaa"
            return 200, {"replica": name, "lines": lines, "next": after + len(lines), "lost": 0}, {}
        if rest == ["tokens"] and method == "GET":
            return 200, {"tokens": self.tokens}, {}
        if rest == ["tokens"]:
            expires = None if body["expires_in"] is None else time.time() + body["expires_in"]
            token = {"id": f"t{len(self.tokens)}", "name": body["name"], "created_at": time.time()}
            token |= {"expires_at": expires, "last_used_at": None, **counted(body.get("limits"))}
            token["rules"] = body.get("rules", [])
            self.tokens.append(token)
            return 201, {**token, "token": f"jms_secret{len(self.tokens)}", "notices": self.of_new_tokens}, {}
        if rest[:1] == ["tokens"] and method == "PATCH":
            (token,) = (each for each in self.tokens if each["id"] == rest[1])
            if "limits" in body:
                token |= counted({**(token["limits"] or {}), **body["limits"]})
            if halves := {half: body[half] for half in ("paths", "methods") if half in body}:
                former = tuple(
                    PathRule(each["path"], each["methods"] and tuple(each["methods"])) for each in token["rules"]
                )
                token["rules"] = [dataclasses.asdict(each) for each in changed_half(former, halves)]
            return 200, {**token, "notices": self.of_changed_tokens}, {}
        if rest[:1] == ["tokens"] and rest[2:] == ["rotate"]:
            (token,) = (each for each in self.tokens if each["id"] == rest[1])
            new = {**token, "id": f"t{len(self.tokens)}", "created_at": time.time()}
            new["family"] = token["family"] = token.get("family") or token["id"]
            new["expires_at"] = body.get("expires_in", token["expires_at"])
            token["expires_at"] = min(time.time() + body["overlap"], token["expires_at"] or math.inf)
            self.tokens.append(new)
            return 201, {**new, "token": f"jms_secret{len(self.tokens)}", "notices": self.of_new_tokens}, {}
        if rest == ["uses"]:
            since = query.get("since", "")
            uses = [use for use in self.uses if use["day"] >= since]
            return 200, {"uses": uses, "today": "2026-11-30", "complete": not since}, {}
        if rest[:1] == ["tokens"]:
            self.tokens = [token for token in self.tokens if token["id"] != rest[1]]
            return 204, None, {}
        if rest == ["audit"]:
            return self.of_audit({**query, "service": key})
        if rest[:1] == ["access"]:
            return self.of_access(method, rest[1:], query, body)
        if rest[:1] == ["autoscaling"]:
            return self.of_scaling(method, key, found, rest[1:], body)
        if rest == ["decisions"]:
            return 200, {"decisions": self.decisions[-int(query.get("limit", 20)) :]}, {}
        if rest == ["series"]:
            return 200, self.series, {}
        if rest == ["scale"]:
            found = {**found, "replicas": {**found["replicas"], "want": body["replicas"]}}
            self.services[key] = found
        if method == "DELETE":
            found = {**found, "state": "deleting"}
            self.services[key] = found
        return (200 if method == "GET" else 202), found, {}

    def of_audit(self, query: dict[str, str]) -> Answer:
        found = [each for each in self.audit if each["id"] > int(query.get("after", 0))]
        found = [each for each in found if query.get("service") in (None, each["target"])]
        found = [each for each in found if query.get("who") in (None, each["who"])]
        found = [each for each in found if query.get("action") in (None, each["action"])]
        found = [each for each in found if float(query.get("since", 0)) <= each["at"] < float(query.get("until", 1e12))]
        found = [each for each in found if each["id"] < int(query.get("before", 2**63))]
        limit = min(int(query.get("limit", 100)), self.audit_page)
        there = len(found)
        found = found[-limit:] if query.get("newest") == "true" else found[:limit]
        after = found[-1]["id"] if found else int(query.get("after", 0))
        return 200, {"entries": found, "next": after, "more": len(found) < there, "kept": 90 * 86400.0}, {}

    def of_access(self, method: str, whom: list[str], query: dict[str, str], body: Any) -> Answer:
        """Shares by kind and name."""
        if whom == ["origins"]:
            self.origins = body["origins"]
            method = "GET"
        if method in ("PUT", "DELETE") and whom[1] == self.refused_share:
            return refusal(409, "no_carol", "There is no carol.")
        if method == "PUT":
            share = {"kind": whom[0], "name": unquote(whom[1]), "role": body["role"], "limits": body.get("limits")}
            self.shares[whom[0], whom[1]] = {**share, "created_at": 1750000000.0, "created_by": "ada"}
            return 200, {**self.shares[whom[0], whom[1]], "notices": self.of_new_shares}, {}
        if method == "DELETE":
            if self.shares.pop((whom[0], whom[1]), None) is None:
                return refusal(404, "not_found", f"ada/demo is not shared with {whom[1]}.")
            return 204, None, {}
        asked = query.get("user")
        person = None if asked is None else {"name": asked, "role": None, "why": ["Nothing of it is shared with her."]}
        if person is not None and any(kind == "group" for kind, _ in self.shares):
            person["perhaps"] = "operator"
        told = {"visibility": "shared" if self.shares else "private", "public_allowed": False, "set_by": None}
        shares = list(self.shares.values())
        return (
            200,
            {**told, "shares": shares, "always": ["ada owns it."], "origins": self.origins, "person": person},
            {},
        )

    def of_scaling(self, method: str, key: str, found: dict[str, Any], rest: list[str], body: Any) -> Answer:
        """Rules and schedules are numbered; nothing is decided."""
        info = dict(found["autoscaling"] or autoscaling())
        if not rest and method == "DELETE":
            self.services[key] = {**found, "autoscaling": None}
            return 200, self.services[key], {}
        if not rest:
            before = {} if found["autoscaling"] is None else info
            info = autoscaling(**{**before, "bounds": None, **body})
        elif rest == ["resume"]:
            info["held"] = False
        elif method == "POST":
            info[rest[0]] = [
                *info[rest[0]],
                {"id": f"{rest[0][0]}{len(info[rest[0]]) + 1}", "metric": "gpu_util", **_in_numbers(body)},
            ]
            info = autoscaling(**info)
        else:
            info[rest[0]] = [each for each in info[rest[0]] if each["id"] != rest[1]]
        self.services[key] = {**found, "autoscaling": info}
        return 201 if method == "POST" and rest != ["resume"] else 200, info, {}


def _in_numbers(rule: dict[str, Any]) -> dict[str, Any]:
    read = {
        end: threshold(rule[end], unit_of(rule["metric"]))
        for end in ("above", "below")
        if isinstance(rule.get(end), str)
    }
    return rule | read


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(".new")
    partial.write_text(text)
    partial.chmod(mode)
    partial.replace(path)
