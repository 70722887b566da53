"""What the panel costs, measured in a browser: for ``test_figures.py``, whose limits are wide, and for
``benchmarks/panel.py``, which says the figures."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

from jupyter_model_service.client import Client

from .laboratory import PANEL

MARKER = "/extensions/jupyter-model-service/"


def many_services(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": str(i),
            "owner": "ann",
            "name": f"model-{i:03}",
            "state": "ready",
            "reason": None,
            "note": None,
            "endpoint": f"http://127.0.0.1:1/endpoints/ann/model-{i:03}/",
            "public": False,
            "replicas": {"want": 2, "ready": 2, "total": 2},
            "revision": 1,
            "stable_revision": 1,
            "revisions": [],
            "replica_list": [],
            "not_enforced": [],
            "restarts": 0,
            "created_at": 1.0,
            "autoscaling": None,
            "changed": None,
            "folder_gone": False,
            "folder_changed": None,
        }
        for i in range(count)
    ]


def list_shown(page: Any, count: int) -> float:
    """Milliseconds from the click that opens the panel for the first time, its code not loaded yet, to the frame that
    shows so many services; -1 after 20 s. They are an answer of this process: it is the panel's time."""
    body = json.dumps({"services": many_services(count), "shared": []})
    page.route(
        "**/model-service/api/v1/services", lambda route: route.fulfill(body=body, content_type="application/json")
    )
    page.route("**/model-service/api/v1/series?*", lambda route: route.fulfill(json={"services": {}}))
    return float(
        page.evaluate(
            """async (count) => {
            const began = performance.now();
            document.querySelector('[data-id="jupyter-model-service:panel"]').dispatchEvent(
                new PointerEvent('pointerdown', {bubbles: true, button: 0}));
            window.jupyterapp.shell.activateById('jupyter-model-service:panel');
            while (document.querySelectorAll('.jp-ModelService-row').length < count) {
                await new Promise(requestAnimationFrame);
                if (performance.now() - began > 20000) return -1;
            }
            await new Promise(requestAnimationFrame);
            return performance.now() - began;
        }""",
            count,
        )
    )


def bundle(page: Any) -> tuple[int, int]:
    """Bytes, compressed, of all our scripts, and of those that this page has loaded."""
    loaded = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    names = {Path(name.split(MARKER)[1].split("?")[0]).name for name in loaded if MARKER in name}
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in PANEL.rglob("*.js")}
    return sum(sizes.values()), sum(size for name, size in sizes.items() if name in names)


def of_the_start(page: Any, restored: Any) -> float:
    """Milliseconds that run in our code, and below it, from a reload until ``restored(page)``."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Profiler.enable")
    cdp.send("Profiler.setSamplingInterval", {"interval": 200})
    cdp.send("Profiler.start")
    page.reload()
    restored(page)
    profile = cdp.send("Profiler.stop")["profile"]
    nodes = {node["id"]: node for node in profile["nodes"]}
    spent: dict[int, float] = {}
    for node, delta in zip(profile["samples"], profile["timeDeltas"], strict=True):
        spent[node] = spent.get(node, 0.0) + delta / 1000
    parents = {child: node["id"] for node in nodes.values() for child in node.get("children", ())}

    def is_ours(node: int | None) -> bool:
        while node is not None:
            if MARKER in nodes[node]["callFrame"]["url"]:
                return True
            node = parents.get(node)
        return False

    return sum(milliseconds for node, milliseconds in spent.items() if is_ours(node))


def change_seen(page: Any, client: Client, name: str, replicas: int) -> float:
    """Milliseconds from the answer to ``scale`` until the open panel shows the number wanted; the clocks of page and
    process are the machine's own."""
    page.evaluate(
        """wanted => {
            window.seenAt = 0;
            const look = () => document.querySelector('.jp-ModelService-count')?.textContent.includes('/' + wanted)
                ? (window.seenAt = Date.now()) : requestAnimationFrame(look);
            look();
        }""",
        replicas,
    )
    client.scale(name, replicas)
    answered = time.time()
    page.wait_for_function("() => !!window.seenAt", timeout=30_000)
    return float(page.evaluate("window.seenAt")) - answered * 1000


class Cost:
    """What a page costs from here on. The heap is looked at after a collection of garbage; the time is that of the
    page's main thread on a processor."""

    def __init__(self, page: Any) -> None:
        self._cdp = page.context.new_cdp_session(page)
        self._cdp.send("HeapProfiler.enable")
        self._cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._heap, self._busy, self._began = self._look()

    def _look(self) -> tuple[float, float, float]:
        self._cdp.send("HeapProfiler.collectGarbage")
        heap = self._cdp.send("Runtime.getHeapUsage")["usedSize"]
        told = {each["name"]: each["value"] for each in self._cdp.send("Performance.getMetrics")["metrics"]}
        return float(heap), float(told["TaskDuration"]), time.monotonic()

    def so_far(self) -> tuple[float, float]:
        """Bytes that the heap has grown by, and the share of one core."""
        heap, busy, now = self._look()
        return heap - self._heap, (busy - self._busy) / (now - self._began)
