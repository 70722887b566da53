"""The proxies that ``front.py`` compares, each started with all of its processes on one core and ended by itself."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from harness import answers, free_port, gateway

ROOT = Path(__file__).parents[1]
UPSTREAM = Path(__file__).with_name("front_upstream.py")
CHP = ROOT / ".hub" / "node_modules" / ".bin" / "configurable-http-proxy"
JUPYTER_SERVER = ROOT / ".bench" / "bin" / "jupyter-server"
REPLICAS = 4


class Missing(Exception):
    """A program is not on this machine; the message says which, and where it is from."""


@dataclass(frozen=True)
class Target:
    """Where the load goes: ``header`` is a line of every request, or empty."""

    port: int
    prefix: str = ""
    header: str = ""


@dataclass(frozen=True)
class Proxy:
    """``calls`` leads to nginx, ``streams`` to the server of streams; ``processes`` are its own, none behind it."""

    name: str
    version: str
    calls: Target
    streams: Target
    processes: Callable[[], list[psutil.Process]]


@dataclass(frozen=True)
class Place:
    """``folder`` is for what the proxies write; ``answers`` and ``streams`` are the ports of what is behind them."""

    folder: Path
    answers: int
    streams: int
    near: int  # the core of the load and what is behind the proxies
    proxy: int


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs there, with all that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    place: Place, core: int, command: list[str], name: str, ready: Callable[[], bool]
) -> Iterator[psutil.Process]:
    """A program until the end of the context. What it says is in the error where it does not come up."""
    log = place.folder / f"{name}.log"
    environment = {**os.environ}
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        environment[f"JUPYTER_{kind}_DIR"] = str(place.folder / f"{name}-{kind.lower()}")
    with on_core(core), log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, cwd=place.folder, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not come up: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise Missing(f"{name} is not installed (apt-get install {name})")
    return found


def version_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found[0] if found else "unknown"


@contextmanager
def direct(place: Place) -> Iterator[Proxy]:
    yield Proxy("direct", "", Target(place.answers), Target(place.streams), list)


NGINX = """
daemon off;
user root;
pid {folder}/proxy.pid;
error_log {folder}/proxy.log;
worker_processes 1;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 0;
  client_body_temp_path {folder}/temp; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/temp;
  scgi_temp_path {folder}/temp; uwsgi_temp_path {folder}/temp;
  upstream answers {{ server 127.0.0.1:{answers}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  upstream streams {{ server 127.0.0.1:{streams}; keepalive 512; }}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    proxy_buffering off;
    proxy_buffers 8 16k;
    proxy_buffer_size 16k;  # haproxy's; its own 4 KB would more than halve its bytes per CPU-second of large answers
    proxy_request_buffering off;
    proxy_http_version 1.1;
    proxy_read_timeout 1h;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-Id $request_id;
    location / {{ proxy_pass http://answers; }}
    location /streams/ {{ proxy_pass http://streams; }}
  }}
}}
"""


@contextmanager
def nginx(place: Place) -> Iterator[Proxy]:
    path, port = program("nginx"), free_port()
    configuration = place.folder / "proxy.conf"
    configuration.write_text(NGINX.format(folder=place.folder, port=port, answers=place.answers, streams=place.streams))
    command = [path, "-e", str(place.folder / "proxy.log"), "-c", str(configuration)]
    with running(place, place.proxy, command, "nginx", lambda: answers(port, "/json")) as process:
        yield Proxy("nginx", version_of(path, "-v"), *both(port, "", ""), lambda: family(process))


HAPROXY = """
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  option http-no-delay
  option forwardfor
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  timeout tunnel 1h
  http-reuse always
frontend callers
  bind 127.0.0.1:{port} backlog 8192
  use_backend streams if {{ path_beg /streams/ }}
  default_backend answers
backend answers
  server one 127.0.0.1:{answers}
backend streams
  server one 127.0.0.1:{streams}
"""


@contextmanager
def haproxy(place: Place) -> Iterator[Proxy]:
    path, port = program("haproxy"), free_port()
    configuration = place.folder / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(port=port, answers=place.answers, streams=place.streams))
    with running(
        place, place.proxy, [path, "-db", "-f", str(configuration)], "haproxy", lambda: answers(port, "/json")
    ) as process:
        yield Proxy("haproxy", version_of(path, "-v"), *both(port, "", ""), lambda: family(process))


@contextmanager
def hubs_proxy(place: Place, default: int, name: str, ready: str) -> Iterator[tuple[int, psutil.Process, str]]:
    """JupyterHub's own, with ``default`` behind it: its port, process and version."""
    if not CHP.exists():
        raise Missing("configurable-http-proxy is not installed (make .hub/.installed-proxy)")
    program("node")
    port, api, token = free_port(), free_port(), secrets.token_hex(16)
    command = ["env", f"CONFIGPROXY_AUTH_TOKEN={token}", str(CHP), "--ip=127.0.0.1", f"--port={port}"]
    command += ["--api-ip=127.0.0.1", f"--api-port={api}", "--log-level=warn"]
    command += [f"--default-target=http://127.0.0.1:{default}"]
    version = version_of(str(CHP), "--version")
    with running(place, place.proxy, command, name, lambda: answers(port, ready)) as process:
        request = urllib.request.Request(
            f"http://127.0.0.1:{api}/api/routes/streams",
            data=json.dumps({"target": f"http://127.0.0.1:{place.streams}"}).encode(),
            headers={"Authorization": f"token {token}"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()
        yield port, process, version


@contextmanager
def configurable_http_proxy(place: Place) -> Iterator[Proxy]:
    with hubs_proxy(place, place.answers, "chp", "/json") as (port, process, version):
        yield Proxy("configurable-http-proxy", version, *both(port, "", ""), lambda: family(process))


@contextmanager
def jupyter_server_proxy(place: Place) -> Iterator[Proxy]:
    if not JUPYTER_SERVER.exists():
        raise Missing("jupyter-server-proxy is not installed (make .bench/.installed)")
    port, token = free_port(), secrets.token_hex(16)
    command = [str(JUPYTER_SERVER), "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", "--ServerApp.log_level=ERROR"]
    command += ["--ServerApp.open_browser=False", "--ServerApp.allow_remote_access=True"]  # to any Host, as the others
    code = "import importlib.metadata as m; print(m.version('jupyter-server-proxy'))"
    version = version_of(str(JUPYTER_SERVER.with_name("python")), "-c", code)
    header = f"Authorization: token {token}"
    with running(place, place.proxy, command, "jsp", lambda: answers(port, f"/api?token={token}")) as process:
        yield Proxy(
            "jupyter-server-proxy",
            version,
            Target(port, f"/proxy/{place.answers}", header),
            Target(port, f"/proxy/{place.streams}/streams", header),
            lambda: family(process),
        )


DEFINITION = """
models:
- name: {name}
  model_path: /models
  service:
    start_command: [{python}, {upstream}, {name}, --port, "{{port}}", --folder, {folder}, --core, "{near}"]
    port: 8000
    health_check: {{path: /health}}  # another path than the load's: a look at health is no call
"""


@contextmanager
def ours(place: Place) -> Iterator[Proxy]:
    """A whole gateway, whose replicas are what the others have behind them: endpoint tokens, four replicas, metrics."""
    with ExitStack() as stack:
        with on_core(place.proxy):
            running_gateway = stack.enter_context(gateway())
        client = running_gateway.client()
        targets = []
        for name, replicas in (("answers", REPLICAS), ("streams", REPLICAS)):
            folder, own = place.folder / "models" / name, place.folder / f"ours-{name}"
            folder.mkdir(parents=True, exist_ok=True)
            own.mkdir(exist_ok=True)
            words = {"python": sys.executable, "upstream": UPSTREAM, "folder": own, "near": place.near}
            (folder / "model-definition.yaml").write_text(DEFINITION.format(name=name, **words))
            client.create(str(folder), name=name, replicas=replicas)
            url = urlsplit(client.wait_ready(name, timeout=90).endpoint)
            token = client.generate_token(name, token_name="bench").token
            targets.append(Target(url.port or 80, url.path.rstrip("/"), f"Authorization: Bearer {token}"))
        assert running_gateway.process is not None
        process = psutil.Process(running_gateway.process.pid)
        yield Proxy(
            "ours",
            version_of(sys.executable, "-m", "jupyter_model_service.app", "--version"),
            targets[0],
            targets[1],
            lambda: [process],
        )


@contextmanager
def behind(place: Place, front: Proxy) -> Iterator[Proxy]:
    """Ours as on a Hub: JupyterHub's proxy first. Both are on the proxies' core."""
    with hubs_proxy(place, front.calls.port, "chp-ours", "/health/live") as (port, process, version):
        calls, streams = (Target(port, each.prefix, each.header) for each in (front.calls, front.streams))
        yield Proxy(
            "ours behind configurable-http-proxy",
            f"{front.version}, {version}",
            calls,
            streams,
            lambda: [*family(process), *front.processes()],
        )


def both(port: int, prefix: str, header: str) -> tuple[Target, Target]:
    return Target(port, prefix, header), Target(port, f"{prefix}/streams", header)


@contextmanager
def behind_them(folder: Path, near: int, proxy: int) -> Iterator[Place]:
    """nginx and the server of streams, which all proxies but ours have behind them."""
    program("nginx")
    place = Place(folder, free_port(), free_port(), near, proxy)
    command = [sys.executable, str(UPSTREAM)]
    with ExitStack() as stack:
        for kind, port in (("answers", place.answers), ("streams", place.streams)):
            own = folder / kind
            own.mkdir()
            words = [*command, kind, "--port", str(port), "--folder", str(own), "--core", str(near)]
            stack.enter_context(running(place, near, words, f"behind-{kind}", partial(answers, port, "/json")))
        yield place


Start = Callable[[Place], AbstractContextManager[Proxy]]
STARTS: dict[str, Start] = {
    "direct": direct,
    "nginx": nginx,
    "haproxy": haproxy,
    "chp": configurable_http_proxy,
    "jsp": jupyter_server_proxy,
    "ours": ours,
    "ours-chp": ours,  # and JupyterHub's proxy before it, see ``start``
}


# What is started anew for each of its turns: Jupyter's proxy goes on reading streams whose callers have gone, and would
# take 0.1 to 0.4 of the core from all that is measured after its rows of streams.
ANEW = {"jsp"}


@dataclass(frozen=True)
class Entrant:
    """One that is compared; :meth:`turn` is for as long as it is measured."""

    version: str
    turn: Callable[[], AbstractContextManager[Proxy]]
    anew: bool = False


def kept(proxy: Proxy) -> AbstractContextManager[Proxy]:
    return nullcontext(proxy)


def start(
    stack: ExitStack, place: Place, wanted: list[str], starts: Mapping[str, Start] = STARTS
) -> tuple[dict[str, Entrant], dict[str, str]]:
    """Those that are here, by key, and why the others are not. Most wait for their turn: an idle one costs next to
    nothing."""
    found: dict[str, Entrant] = {}
    missing: dict[str, str] = {}
    front: Proxy | None = None
    for key in wanted:
        try:
            if key in ("ours", "ours-chp") and front is None:
                front = stack.enter_context(ours(place))
            if key in ANEW:
                with starts[key](place) as proxy:
                    found[key] = Entrant(proxy.version, partial(starts[key], place), anew=True)
                continue
            if key == "ours" and front is not None:
                proxy = front
            elif key == "ours-chp" and front is not None:
                proxy = stack.enter_context(behind(place, front))
            else:
                proxy = stack.enter_context(starts[key](place))
            found[key] = Entrant(proxy.version, partial(kept, proxy))
        except Missing as why:
            missing[key] = str(why)
    return found, missing


def own_cpu(processes: list[psutil.Process]) -> float:
    """Seconds of processor time so far, from ``/proc/PID/stat``, in steps of 10 ms per process."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / ticks
