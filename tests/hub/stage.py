"""A service of alice's on a real Hub, made in her notebook's terminal, and what its tests look at.

The model is ``tests/e2e/model_server.py``; the load that it is put under is ``tests/e2e/load.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_model_service import wire
from jupyter_model_service.client import Client
from tests.e2e.load import Load, Tally

from .deployment import Deployment, eventually

SERVER = Path(__file__).parents[1] / "e2e" / "model_server.py"
LABEL = "org.jupyter.model-service."
# The container's name for itself is the version that its answers tell.
DEFINITION = """\
models:
  - name: m
    model_path: /models
    service:
      start_command: [sh, -c, "VERSION=$(hostname) exec python3 /models/server.py --host 0.0.0.0 --port 8000"]
      port: 8000
      health_check:
        path: /health
        interval: {interval}
        max_wait_time: {max_wait_time}
        max_retries: 3
        initial_delay: 60
"""


class Stage:
    """``alice/NAME`` with so many replicas. ``direct`` is its endpoint at the gateway's own address, ``proxied`` the
    one through the Hub's proxy."""

    def __init__(
        self, hub: Deployment, name: str, replicas: int, *, interval: float = 1, max_wait_time: float = 2
    ) -> None:
        self.hub, self.name, self.key = hub, name, f"alice/{name}"
        self.alice = hub.notebook("alice")
        self.client = Client(hub.gateway_url, hub.token("alice"))
        self.direct = f"{hub.gateway_url}endpoints/alice/{name}/"
        self.proxied = f"{hub.service_url}endpoints/alice/{name}/"
        self.alice.write(f"models/{name}/server.py", SERVER.read_text())
        text = DEFINITION.format(interval=interval, max_wait_time=max_wait_time)
        self.alice.write(f"models/{name}/model-definition.yaml", text)
        eventually(hub.gateway_answers, "a gateway that answers")
        self.alice.cli("create", f"models/{name}", "-n", name, "--replicas", str(replicas))
        self.token = self.client.generate_token(self.key, token_name="load").token

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.client.delete(self.key)
        self.client.close()

    # --- what there is ---

    def info(self) -> wire.ServiceInfo:
        return self.client.get(self.key)

    def ready(self, count: int, seconds: float = 60.0) -> wire.ServiceInfo:
        def look() -> wire.ServiceInfo | None:
            with contextlib.suppress(Exception):  # the gateway may just be away
                seen = self.info()
                return (
                    seen if (seen.replicas.ready, seen.replicas.total, seen.state) == (count, count, "ready") else None
                )
            return None

        found = eventually(look, f"{count} ready replicas of {self.key}", seconds)
        assert found is not None
        return found

    def containers(self) -> dict[str, Any]:
        """replica id → docker's container, of those that run."""
        filters = {"label": [f"{LABEL}service={self.name}", f"{LABEL}kind=replica"]}
        found = self.hub.engine.containers.list(filters=filters, ignore_removed=True)
        return {c.labels[f"{LABEL}replica"]: c for c in found if c.name.startswith(self.hub.prefix)}

    def ids(self) -> set[str]:
        return {container.id for container in self.containers().values()}

    def events(self, replica: str | None = None) -> list[wire.EventInfo]:
        found = self.client.events(self.key, limit=1000)
        return [event for event in found if replica is None or event.replica == replica]


def traces(hub: Deployment) -> list[str]:
    """Whatever of alice's replicas and jobs the Hub and the engine have: records, containers, volumes, networks."""
    ours = {"label": f"{LABEL}hub={hub.hub_label()}"}
    found = [name for name in hub.servers("alice") if name.startswith("ms-")]
    for kind in (hub.engine.volumes, hub.engine.networks):
        found += [each.name for each in kind.list(filters=ours)]
    # As the engine lists them: one of them may be gone when it is looked at.
    return found + [" ".join(c["Names"] or [c["Id"]]) for c in hub.engine.api.containers(all=True, filters=ours)]


def created_at(container: Any) -> float:
    """When the engine was asked for it (Unix time)."""
    text = container.attrs["Created"]
    return datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()


class Told:
    """When something was done, and what the callers saw; ``Failure.at`` counts from ``began``."""

    began = 0.0
    tally: Tally

    def failed_at(self) -> list[float]:
        """Unix times of the failures of POSTs and of starts of streams."""
        return sorted(self.began + failure.at for failure in self.tally.failures)


def under_load(stage: Stage, body: Callable[[], None], *, proxied: bool = False) -> Told:
    """Forty callers and ten streams before, while and after ``body`` does what it does (in a thread)."""
    told = Told()

    async def run() -> None:
        told.began = time.time()
        async with Load(stage.proxied if proxied else stage.direct, stage.token) as load:
            await load.calls(100)
            await asyncio.to_thread(body)
            await load.calls(100)
        told.tally = load.tally

    asyncio.run(run())
    return told
