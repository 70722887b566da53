"""The same on a JupyterHub: from alice's ``create --detach`` to the first 200 of her service, beside ``docker run``;
and from a call to her service that sleeps to the first byte of its answer (see ``autoscale_live.py``).

A real Hub, proxy and DockerSpawner on this machine's engine, as the tests set them up; the image is the notebook's.
By hand: ``docker run`` of the model's command, folder mounted, network made before, until its first 200. Through us:
the call of the control API that the command line makes in alice's notebook, with the notebook's own token and through
the Hub's proxy; then a call of the endpoint, sent at once and held, until it comes back. The snapshot of the folder
(two small files) is part of it.

The parts come from the clocks of who does them, all on this machine: the Hub's access log, the engine's events, the
service's events.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import httpx
from harness import NOOP, save, wait

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.hub.deployment import Deployment, Network, Setup, eventually, make_network, remove_session  # noqa: E402

FOLDER = "/home/jovyan/noop"
COMMAND = ["uvicorn", "--app-dir", "/models", "app:app", "--port", "8000", "--host", "0.0.0.0", "--no-access-log"]
CREATED = {"job POST", "job DELETE", "replica POST"}
LIMIT = 2.5  # seconds that a service may cost more than docker run, median of five
LABEL = "org.jupyter.model-service."
_LOGGED = re.compile(r"^\[I (\S+ \S+) JupyterHub \S+\] \d+ (\w+) /hub/api/users/alice/servers/(\S+) .* ([\d.]+)ms$")


class Site:
    """A running Hub with alice's notebook in it."""

    def __init__(self, hub: Deployment, network: Network, engine: Any) -> None:
        self.hub, self.network, self.engine = hub, network, engine
        self.notebook = notebook = hub.notebook("alice")
        notebook.copy(NOOP, FOLDER)
        token = notebook.exec("printenv", "JUPYTERHUB_API_TOKEN").stdout.strip()
        self.http = httpx.Client(timeout=60.0, trust_env=False, headers={"Authorization": f"Bearer {token}"})
        self.api = hub.service_url + "api/v1/services"
        eventually(lambda: self.http.get(self.api).status_code == 200, "a gateway that answers", 60)

    def by_hand(self, name: str) -> float:
        container = f"{self.hub.prefix}-{name}"
        began = time.perf_counter()
        command = ["docker", "run", "--detach", "--name", container, "--network", self.network.replicas]
        command += ["--volume", f"{NOOP}:/models:ro", self.hub.image, *COMMAND]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        try:
            networks = self.engine.api.inspect_container(container)["NetworkSettings"]["Networks"]
            url = f"http://{networks[self.network.replicas]['IPAddress']}:8000/health"
            wait(lambda: self._answers(url))
            return time.perf_counter() - began
        finally:
            self.engine.api.remove_container(container, force=True)

    def command_line(self) -> float:
        """What the command line itself needs in the notebook, for a call that the gateway answers at once."""
        began = time.perf_counter()
        self.notebook.cli("list", "--json")
        return time.perf_counter() - began

    def _answers(self, url: str) -> bool:
        try:
            return self.http.get(url, headers={"Connection": "close"}, timeout=1.0).status_code == 200
        except httpx.HTTPError:
            return False

    def through_us(self, name: str) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds in all and of the parts: of ``create``, then from zero."""
        text = (NOOP / "model-definition.yaml").read_text()
        body = {"name": name, "folder": FOLDER, "definition": {"file": "model-definition.yaml", "text": text}}
        began = time.time()
        answer = self.http.post(self.api, json={**body, "replicas": 1})
        created = time.time()
        assert answer.status_code == 201, answer.text
        answer = self.http.post(f"{self.hub.service_url}endpoints/alice/{name}/noop")
        ended = time.time()
        assert answer.status_code == 200, answer.text
        marks = {"began": began, "created": created, "ended": ended}
        parts = self._parts(name, marks)
        cold = self._from_zero(name)
        assert self.http.delete(f"{self.api}/alice/{name}").status_code in (200, 202, 204)
        eventually(lambda: self.http.get(f"{self.api}/alice/{name}").status_code == 404, "the service gone", 60)
        # What it kept is collected by a job of its own, which the next run is not to wait for.
        eventually(lambda: set(self.hub.servers("alice")) == {""}, "no server but the notebook", 60)
        return parts, cold

    def _from_zero(self, name: str) -> dict[str, float]:
        """Scaled to zero by hand, without the minute that the autoscaler takes for it; then a call comes."""
        url = f"{self.api}/alice/{name}"
        assert self.http.put(f"{url}/scale", json={"replicas": 0}).status_code in (200, 202)
        eventually(lambda: set(self.hub.servers("alice")) == {""}, "no server but the notebook", 60)
        assert self.http.put(f"{url}/autoscaling", json={"min": 0, "max": 1}).status_code == 200
        eventually(lambda: self.http.get(url).json()["state"] == "idle", "a service that sleeps", 60)
        since = self._events(name)[-1]["id"]
        began = time.time()
        with self.http.stream("POST", f"{self.hub.service_url}endpoints/alice/{name}/noop") as answer:
            ended = time.time()
            assert answer.status_code == 200, answer.read()
        return self._parts_from_zero(name, since, began, ended)

    # --- who did what when ---

    def _parts(self, name: str, marks: dict[str, float]) -> dict[str, float]:
        logged = eventually(lambda: self._logged(marks["began"], f"ms-{name}-"), "the Hub's log of it", 10)
        copier, replica = (self._containers(marks, kind) for kind in ("copier", "replica"))
        told = {e["kind"]: e["at"] for e in reversed(self._events(name))}  # the first of each kind
        began, created, ended = marks["began"], marks["created"], marks["ended"]
        posted = logged["replica POST"]
        return {
            "create --detach to first 200": ended - began,
            "snapshot (create is answered)": created - began,
            "  its server asked for": logged["job POST"][0] - began,
            "  Hub starts it (POST)": logged["job POST"][1] - logged["job POST"][0],
            "    of it the copier": copier["die"] - copier["create"],
            "  Hub removes it (DELETE)": logged["job DELETE"][1] - logged["job DELETE"][0],
            "server asked for": posted[0] - created,
            "Hub until the container is made": replica["create"] - posted[0],
            "container start": replica["start"] - replica["create"],
            "runner starts, lease, pre-start": told["replica.loading"] - replica["start"],
            "  (Hub's POST in all)": posted[1] - posted[0],
            "model's own start, probe, ready": told["replica.ready"] - told["replica.loading"],
            "ready to first 200": ended - told["replica.ready"],
        }

    def _parts_from_zero(self, name: str, since: int, began: float, ended: float) -> dict[str, float]:
        """Nothing is copied: the files of the revision are in its volume, and the image is on the machine."""
        logged = eventually(lambda: self._logged(began, f"ms-{name}-", {"replica POST"}), "the Hub's log of it", 10)
        replica = self._containers({"began": began}, "replica")
        told = {e["kind"]: e["at"] for e in reversed(self._events(name)) if e["id"] > since}
        posted = logged["replica POST"]
        return {
            "from zero to first byte": ended - began,
            "call to decision": told["service.autoscaled"] - began,
            "decision to server asked for": posted[0] - told["service.autoscaled"],
            "Hub until the container is made": replica["create"] - posted[0],
            "container start": replica["start"] - replica["create"],
            "runner starts, lease, pre-start": told["replica.loading"] - replica["start"],
            "  (Hub's POST in all)": posted[1] - posted[0],
            "model's start to its first pass": told["replica.ready"] - told["replica.loading"],
            "first pass to first byte": ended - told["replica.ready"],
        }

    def _logged(self, since: float, replica: str, wanted: Set[str] = CREATED) -> dict[str, tuple[float, float]] | None:
        """What the Hub answered to the gateway: begin and end. None while something is missing."""
        found: dict[str, tuple[float, float]] = {}
        for line in self.hub.log.read_text().splitlines():
            if (match := _LOGGED.match(line)) is None:
                continue
            at, method, server, took = match.groups()
            end = datetime.strptime(at, "%Y-%m-%d %H:%M:%S.%f").timestamp()
            what = "job" if server.startswith("ms-job-") else "replica" if server.startswith(replica) else ""
            if what and end > since:
                found.setdefault(f"{what} {method}", (end - float(took) / 1000, end))
        return found if wanted <= found.keys() else None

    def _containers(self, marks: dict[str, float], kind: str) -> dict[str, float]:
        filters = {"type": "container", "label": [f"{LABEL}kind={kind}", f"{LABEL}hub={self._label()}"]}
        events = self.engine.api.events(
            since=int(marks["began"]), until=int(time.time()) + 1, filters=filters, decode=True
        )
        return {e["Action"]: e["timeNano"] / 1e9 for e in events if e["timeNano"] / 1e9 > marks["began"]}

    def _label(self) -> str:
        mine = self.engine.containers.list(all=True, filters={"name": self.hub.prefix, "label": LABEL + "hub"})
        return str(mine[0].labels[LABEL + "hub"])

    def _events(self, name: str) -> list[dict[str, Any]]:
        return list(self.http.get(f"{self.api}/alice/{name}/events").json()["events"])


@contextmanager
def site() -> Iterator[Site]:
    engine = docker.from_env(timeout=120)
    built = subprocess.run(
        [ROOT / "deploy" / "images" / "build.sh", "hub6"], check=True, stdout=subprocess.PIPE, text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        network = make_network(engine)
        hub = Deployment(Setup(apart=True), Path(folder), network, engine, built.stdout.split()[-1])
        try:
            hub.start()
            yield Site(hub, network, engine)
        finally:
            hub.close()
            remove_session(engine, network)
            engine.close()


def measure(runs: int) -> int:
    """Print and save the figures; exit status 1 when the overhead is more than ``LIMIT``."""
    hand: list[float] = []
    ours: list[dict[str, float]] = []
    cold: list[dict[str, float]] = []
    command: list[float] = []
    with site() as running:
        running.through_us("warm")
        running.by_hand("warm")
        for number in range(runs):
            hand.append(running.by_hand(f"run-{number}"))
            created, woken = running.through_us(f"run-{number}")
            ours.append(created)
            cold.append(woken)
            command.append(running.command_line())
    rows = {"docker run to first 200": hand}
    rows |= {name: [each[name] for each in ours] for name in ours[0]}
    overhead = [b["create --detach to first 200"] - a for a, b in zip(hand, ours, strict=True)]
    rows["overhead"] = overhead
    rows["the command line itself (docker exec)"] = command
    zero = {"docker run to first 200": hand} | {name: [each[name] for each in cold] for name in cold[0]}
    zero["beyond docker run"] = [b["from zero to first byte"] - a for a, b in zip(hand, cold, strict=True)]
    for name, table in (("startup_hub", rows), ("cold_hub", zero)):
        print(f"{'seconds, ' + str(runs) + ' runs':38} {'min':>7} {'median':>7} {'max':>7}")
        for row, values in table.items():
            print(f"{row:38} {min(values):7.3f} {statistics.median(values):7.3f} {max(values):7.3f}")
        print()
        seconds = {row: sorted(round(v, 4) for v in values) for row, values in table.items()}
        save(name, {"runs": runs, **({"limit": LIMIT} if table is rows else {}), "seconds": seconds})
    return int(statistics.median(overhead) > LIMIT)
