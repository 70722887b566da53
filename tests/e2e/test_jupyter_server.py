"""The server extension in a real Jupyter server: forwarding with the user's rights, isolation, and whose life ends whose."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
import websockets

from jupyter_model_service.client import Client
from jupyter_model_service.discovery import GatewayFile, find_gateway

from .conftest import eventually

#: A model that shows what reached it and tries to plant what must not pass.
NOSY_MODEL = """
import asyncio, base64, hashlib, json, sys

async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode("latin-1").split("\\r\\n")
            method, target, _ = head[0].split(" ")
            headers = [line.split(": ", 1) for line in head[1:] if line]
            known = {k.lower(): v for k, v in headers}
            if known.get("upgrade", "").lower() == "websocket":
                accept = base64.b64encode(hashlib.sha1((known["sec-websocket-key"]
                    + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
                chosen = known.get("sec-websocket-protocol", "").split(",")[-1].strip()
                extra = f"Sec-WebSocket-Protocol: {chosen}\\r\\n" if chosen else ""
                writer.write(("HTTP/1.1 101 X\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                    f"Sec-WebSocket-Accept: {accept}\\r\\n{extra}\\r\\n").encode())
                while True:  # echo small frames
                    first, second = await reader.readexactly(2)
                    size = second & 0x7F
                    mask = await reader.readexactly(4)
                    data = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(size)))
                    writer.write(bytes([first, size]) + data)
                    if first & 0x0F == 8:
                        return
            body = b""
            if "content-length" in known:
                body = await reader.readexactly(int(known["content-length"]))
            elif "chunked" in known.get("transfer-encoding", ""):
                while size := int(await reader.readline(), 16):
                    body += await reader.readexactly(size)
                    await reader.readexactly(2)
                await reader.readexactly(2)
            if target.startswith("/stream"):
                writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
                for number in range(5):
                    writer.write(f"2\\r\\n{number}\\n\\r\\n".encode())
                    await asyncio.sleep(0.2)
                writer.write(b"0\\r\\n\\r\\n")
                continue
            data = json.dumps({"method": method, "target": target, "headers": headers, "size": len(body)}).encode()
            plants = ("Set-Cookie: planted=1; Path=/\\r\\nService-Worker-Allowed: /\\r\\n"
                "Access-Control-Allow-Origin: *\\r\\nClear-Site-Data: \\"cookies\\"\\r\\n")
            status = "302 X\\r\\nLocation: /elsewhere" if target == "/redirect" else "200 OK"
            writer.write((f"HTTP/1.1 {status}\\r\\n{plants}Content-Type: application/json\\r\\n"
                f"Content-Length: {len(data)}\\r\\n\\r\\n").encode() + data)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""

DEFINITION = """\
models:
- name: nosy
  service: {start_command: [python, /models/nosy.py, "8000"], port: 8000}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Jupyter:
    """A Jupyter server with the extension, in folders of its own."""

    def __init__(self, folder: Path, *, base_url: str = "/", options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        self.base = f"http://127.0.0.1:{free_port()}{base_url}"
        self.data_dir = folder / "jupyter" / "model-service"
        self.environment = {
            **os.environ,
            "JUPYTER_DATA_DIR": str(folder / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_TOKEN": self.token,
        }
        port = self.base.split(":")[2].split("/")[0]
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.ip=127.0.0.1"]
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.base_url={base_url}"]
        command += ["--ServerApp.allow_unauthenticated_access=False", f"--ServerApp.root_dir={folder}", *options]
        if os.geteuid() == 0:
            command.append("--allow-root")
        self.log = folder / f"jupyter-{port}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        eventually(self._up, "a Jupyter server that answers", 60)

    def _up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return self.fetch("api/status")[0] == 200
        except OSError:
            return False

    def fetch(
        self, path: str, method: str = "GET", body: bytes | None = None, *, token: bool = True, **headers: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"token {self.token}"
        request = urllib.request.Request(self.base + path, data=body, method=method, headers=sent)
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, answer.headers.items(), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.items(), error.read()

    def client(self) -> Client:
        return Client(self.base + "model-service/", self.token)

    def gateway(self) -> GatewayFile | None:
        return find_gateway(self.data_dir)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # type: ignore[override]
        return None


@pytest.fixture
def jupyters(tmp_path: Path) -> Iterator[Callable[..., Jupyter]]:
    """``jupyters(base_url=…)`` starts one; all of a test share one data directory, and end with it."""
    started: list[Jupyter] = []

    def start(**options: object) -> Jupyter:
        started.append(Jupyter(tmp_path, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    gateway = find_gateway(tmp_path / "jupyter" / "model-service")
    for server in started:
        if server.process.poll() is None:
            server.end()
    if gateway is not None and psutil.pid_exists(gateway.pid):
        process = psutil.Process(gateway.pid)
        try:
            process.wait(40)
        except psutil.TimeoutExpired:
            process.kill()
            raise


def deploy_nosy(server: Jupyter) -> str:
    """Path of the endpoint below the Jupyter server, without the leading base URL."""
    folder = server.folder / "nosy"
    folder.mkdir(exist_ok=True)
    (folder / "nosy.py").write_text(NOSY_MODEL)
    (folder / "model-definition.yaml").write_text(DEFINITION)
    with server.client() as client:
        client.create(str(folder), name="nosy")
        service = client.wait_ready("nosy", timeout=60)
    return f"model-service/endpoints/{service.owner}/nosy"


def test_forwarding_below_a_base_url_with_the_users_rights_and_nothing_of_her_credentials(
    jupyters: Callable[..., Jupyter],
) -> None:
    server = jupyters(base_url="/user/ann/")
    path = deploy_nosy(server)

    status, _, _ = server.fetch(f"{path}/x", token=False)
    assert status == 403, "no Jupyter token, no endpoint"
    for private in ("model-service/", "model-service/api/v1/services", "model-service/metrics"):
        status, _, body = server.fetch(private, token=False)
        assert (status, json.loads(body)["error"]["code"]) == (403, "jupyter"), private
    status, _, body = server.fetch("model-service/")
    assert (status, json.loads(body)["api"]) == (200, "api/v1/")

    status, headers, body = server.fetch(f"{path}/a%2Fb?q=1", Cookie="username-1=secret; _xsrf=x", X_Own="kept")
    assert status == 200
    seen = json.loads(body)
    names = {name.lower() for name, _ in seen["headers"]}
    assert seen["target"] == "/a%2Fb?q=1", "percent-encoding reaches the model untouched"
    assert "authorization" not in names
    assert "cookie" not in names
    assert "x-own" in names
    assert server.token not in body.decode()
    told = [name.lower() for name, _ in headers]
    policy = next(value for name, value in headers if name.lower() == "content-security-policy")
    assert policy.startswith("sandbox")
    assert "allow-same-origin" not in policy
    for planted in ("set-cookie", "service-worker-allowed", "access-control-allow-origin", "clear-site-data"):
        assert planted not in told, planted

    status, headers, _ = server.fetch(f"{path}/redirect")
    assert status == 302
    assert dict(headers)["Location"] == f"/user/ann/{path}/elsewhere"

    status, _, body = server.fetch(f"{path}/up", "POST", b"x" * 5_000_000)
    assert (status, json.loads(body)["size"]) == (200, 5_000_000)
    status, _, _ = server.fetch(f"{path}/sw.js", Service_Worker="script")
    assert status == 403
    status, _, body = server.fetch(f"{path}/x?token={server.token}")
    assert status == 400
    assert server.token not in body.decode()
    status, _, _ = server.fetch("model-service/api/v1/gateway/shutdown", "POST", b"{}")
    assert status == 404, "the gateway itself is not the page's business"


def test_a_model_learns_its_public_address_from_the_jupyter_server_and_from_nobody_else(
    jupyters: Callable[..., Jupyter],
) -> None:
    """So that a model that makes absolute links makes them to where the page was asked for."""
    server = jupyters(base_url="/user/ann/")
    path = deploy_nosy(server)
    claims = {f"X_Forwarded_{name}": "evil" for name in ("Prefix", "Host", "Proto", "For")}

    def seen(body: bytes) -> dict[str, str]:
        return {name: value for name, value in json.loads(body)["headers"] if name.startswith("X-Forwarded-")}

    host = server.base.split("/")[2]
    public = {
        "X-Forwarded-For": "127.0.0.1, 127.0.0.1",
        "X-Forwarded-Host": host,
        "X-Forwarded-Prefix": f"/user/ann/{path}",
        "X-Forwarded-Proto": "http",
    }
    assert seen(server.fetch(f"{path}/x", **claims)[2]) == public
    link = f"{public['X-Forwarded-Proto']}://{public['X-Forwarded-Host']}{public['X-Forwarded-Prefix']}/y?z=1"
    assert json.loads(server.fetch(link.removeprefix(server.base))[2])["target"] == "/y?z=1", "the link leads back"

    gateway = server.gateway()
    assert gateway is not None
    with server.client() as client:
        token = client.generate_token("nosy").token
        service = client.get("nosy")
    for public_one in (False, True):
        if public_one:
            with server.client() as client:
                client.update("nosy", public=True)
            assert seen(server.fetch(f"{path}/x", **claims)[2]) == public
        headers = {name.replace("_", "-"): value for name, value in claims.items()}
        request = urllib.request.Request(
            f"{service.endpoint}x", headers={"Authorization": f"Bearer {token}", **headers}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert seen(answer.read()) == {
                "X-Forwarded-For": "127.0.0.1",
                "X-Forwarded-Host": gateway.url.split("/")[2],
                "X-Forwarded-Prefix": f"/endpoints/{service.owner}/nosy",
                "X-Forwarded-Proto": "http",
            }


def test_openais_client_through_a_jupyter_server_and_with_an_endpoints_token(jupyters: Callable[..., Jupyter]) -> None:
    server = jupyters(base_url="/user/ann/")
    owner = deploy_nosy(server).split("/")[2]
    with server.client() as client:
        token = client.generate_token("nosy").token
    gateway = server.gateway()
    assert gateway is not None
    for base, key, prefix in (
        (f"{server.base}model-service/v1", server.token, "/user/ann/model-service"),
        (f"{gateway.url}v1", token, ""),
    ):
        with openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=60) as caller:
            [model] = caller.models.list()
            assert (model.id, model.owned_by) == (f"{owner}/nosy", owner)
            assert time.time() - 600 < model.created <= time.time()
            for name in (model.id, "nosy"):
                seen: Any = caller.post("/chat%2Fx?a=%20", body={"model": name}, cast_to=object)
                headers = {name.lower(): value for name, value in seen["headers"]}
                assert (seen["method"], seen["target"]) == ("POST", "/v1/chat%2Fx?a=%20")
                assert headers["x-forwarded-prefix"] == f"{prefix}/endpoints/{owner}/nosy"
                assert "authorization" not in headers
            with pytest.raises(openai.NotFoundError, match="no model gpt-4o"):
                caller.chat.completions.create(model="gpt-4o", messages=[])
    status, _, _ = server.fetch("model-service/v1/models", token=False)
    assert status == 403


def test_streams_arrive_as_they_are_sent(jupyters: Callable[..., Jupyter]) -> None:
    server = jupyters()
    path = deploy_nosy(server)

    async def body() -> list[bytes]:
        host, port = server.base.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /{path}/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: token {server.token}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        pieces = []
        while size := int(await asyncio.wait_for(reader.readuntil(b"\r\n"), 20), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        writer.close()
        return pieces

    assert asyncio.run(body()) == [f"{n}\n".encode() for n in range(5)], "five pieces, none joined"


def test_websockets_are_bridged_with_their_subprotocol_and_only_from_the_same_origin(
    jupyters: Callable[..., Jupyter],
) -> None:
    server = jupyters()
    url = server.base.replace("http", "ws") + deploy_nosy(server) + "/chat"
    headers = {"Authorization": f"token {server.token}"}

    async def body() -> None:
        async with websockets.connect(url, additional_headers=headers, subprotocols=["a", "b"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "b"
            await socket.send("hello")
            assert await asyncio.wait_for(socket.recv(), 20) == "hello"
            await socket.send(b"\x00\x01")
            assert await asyncio.wait_for(socket.recv(), 20) == b"\x00\x01"
        for refused in ({**headers, "Origin": "null"}, {**headers, "Origin": "http://evil.example"}, {}):
            with pytest.raises(websockets.InvalidStatus) as raised:
                await websockets.connect(url, additional_headers=refused)
            assert raised.value.response.status_code == 403

    asyncio.run(body())


def test_two_jupyter_servers_share_one_gateway_which_ends_with_the_last(jupyters: Callable[..., Jupyter]) -> None:
    first, second = jupyters(), jupyters()
    deploy_nosy(first)
    gateway = first.gateway()
    assert gateway is not None
    with second.client() as client:
        assert [s.name for s in client.list()] == ["nosy"]
        assert client.info().pid == gateway.pid
        eventually(lambda: client.info().attached == 2, "both are attached", 15)
        model = client.get("nosy").replica_list[0].pid
    first.end()
    eventually(lambda: second.client().info().attached == 1, "one is left", 15)
    assert model is not None
    assert psutil.pid_exists(model)
    second.process.kill()  # without saying so
    second.process.wait()
    eventually(lambda: not psutil.pid_exists(gateway.pid), "the gateway ends with the last Jupyter server", 40)
    assert not psutil.pid_exists(model)
    assert first.gateway() is None


def test_keep_outlives_the_jupyter_server(jupyters: Callable[..., Jupyter]) -> None:
    server = jupyters(options=("--ModelServiceExtension.keep=True",))
    deploy_nosy(server)
    gateway = server.gateway()
    assert gateway is not None
    server.end()
    with Client(gateway.url, gateway.token) as client:
        eventually(lambda: client.info().attached == 0, "the gateway has seen it go", 15)
        assert client.wait_ready("nosy", timeout=30).replicas.ready == 1
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_model_service.cli", "gateway", "--stop"],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: not psutil.pid_exists(gateway.pid), "stopped by hand", 30)


def test_a_killed_gateway_is_started_again_and_the_replicas_are_adopted(jupyters: Callable[..., Jupyter]) -> None:
    server = jupyters()
    path = deploy_nosy(server)
    gateway = server.gateway()
    assert gateway is not None
    model = server.client().get("nosy").replica_list[0].pid
    psutil.Process(gateway.pid).kill()

    def back() -> GatewayFile | None:
        found = server.gateway()
        return found if found is not None and found.pid != gateway.pid else None

    eventually(back, "another gateway", 30)
    eventually(lambda: server.fetch(f"{path}/x")[0] == 200, "the endpoint answers again", 30)
    assert server.client().get("nosy").replica_list[0].pid == model
