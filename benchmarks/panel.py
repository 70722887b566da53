"""What the panel in JupyterLab costs: in Debian's Chromium, with a real JupyterLab, a real gateway and real replicas.

A list of a hundred services (made up in the browser's network: it is the panel's own time), a change in the gateway
until it is seen, our part of JupyterLab's start, the size of what is loaded, and the view of a service with 20 replicas
and four charts under calls: how much its heap grows and what it takes of one core.

    python benchmarks/panel.py [-n RUNS] [--minutes M] [--save]

Exit status 1 if a figure is above its limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import save

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jupyter_model_service.client import Client
from tests.ui.browser import missing, open_browser
from tests.ui.conftest import open_lab, wait_restored
from tests.ui.laboratory import Laboratory
from tests.ui.measuring import Cost, bundle, change_seen, list_shown, of_the_start

REPLICAS, CALLS_PER_SECOND = 20, 5.0
WARM_UP = 45.0  # seconds until the charts have their first points and what is loaded lazily is loaded


@contextmanager
def fresh_page(browser: Any, laboratory: Laboratory) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(60_000)
    try:
        page = context.new_page()
        open_lab(page, laboratory)
        yield page
    finally:
        context.close()


@contextmanager
def calls(client: Client, name: str) -> Iterator[None]:
    ended = threading.Event()

    def call() -> None:
        while not ended.wait(1 / CALLS_PER_SECOND):
            client.call(name, "health")

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def opened(page: Any) -> None:
    page.locator('.jp-SideBar .lm-TabBar-tab[data-id="jupyter-model-service:panel"]').click()
    page.locator(".jp-ModelService-count").first.wait_for()


def watched(browser: Any, laboratory: Laboratory, client: Client, name: str, minutes: float) -> tuple[float, float]:
    client.scale(name, REPLICAS)
    with fresh_page(browser, laboratory) as page, calls(client, name):
        opened(page)
        page.locator(".jp-ModelService-row").get_by_text(name, exact=True).click()
        page.locator(".jp-ModelService-view").first.wait_for()
        page.get_by_text(f"{REPLICAS} of {REPLICAS} ready").first.wait_for(timeout=180_000)
        page.wait_for_timeout(WARM_UP * 1000)
        cost = Cost(page)
        page.wait_for_timeout(minutes * 60_000)
        return cost.so_far()


def measured(runs: int, minutes: float) -> dict[str, Any]:
    figures: dict[str, Any] = {"runs": runs, "minutes": minutes}
    with tempfile.TemporaryDirectory(prefix="panel-benchmark-") as folder:
        laboratory = Laboratory(Path(folder))
        laboratory.start()
        try:
            with open_browser(Path(folder)) as browser, laboratory.client() as client:
                shown, started = [], []
                for _ in range(runs):
                    with fresh_page(browser, laboratory) as page:
                        shown.append(list_shown(page, 100))
                    with fresh_page(browser, laboratory) as page:
                        started.append(of_the_start(page, wait_restored))
                        figures["bundle_bytes"], figures["bundle_at_start_bytes"] = bundle(page)
                figures["list_of_100_ms"], figures["start_ms"] = shown, started
                client.create(str(laboratory.model_folder("words")), name="words")
                with fresh_page(browser, laboratory) as page:
                    opened(page)
                    page.get_by_text("1/1", exact=True).wait_for()
                    figures["change_ms"] = [change_seen(page, client, "words", 2 + i % 2) for i in range(runs)]
                grown, share = watched(browser, laboratory, client, "words", minutes)
                figures["view_heap_growth_bytes"], figures["view_core_share"] = grown, share
        finally:
            laboratory.stop()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=7, metavar="RUNS")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the view is watched")
    parser.add_argument("--save", action="store_true", help="into benchmarks/results/panel.json")
    options = parser.parse_args()
    if why := missing():
        raise SystemExit(f"The panel cannot be measured here: {why}.")
    figures = measured(options.n, options.minutes)
    median = statistics.median
    rows = [
        (
            "panel opened → list of 100 services",
            median(figures["list_of_100_ms"]),
            max(figures["list_of_100_ms"]),
            500,
            "ms",
        ),
        ("change in the gateway → seen", median(figures["change_ms"]), max(figures["change_ms"]), 1000, "ms"),
        ("our part of JupyterLab's start", median(figures["start_ms"]), max(figures["start_ms"]), 50, "ms"),
        ("all scripts, compressed", figures["bundle_bytes"] / 1e3, figures["bundle_bytes"] / 1e3, 150, "kB"),
        ("view, 20 replicas: growth of the heap", figures["view_heap_growth_bytes"] / 1e6, None, 10, "MB"),
        ("view, 20 replicas: of one core", figures["view_core_share"] * 100, None, 10, "%"),
    ]
    for what, middle, most, limit, unit in rows:
        beside = "" if most is None else f" (at most {most:.0f})"
        print(f"{what}: {middle:.1f} {unit}{beside}, limit {limit}")
    if options.save:
        save("panel", figures)
    return int(any(middle > limit for _, middle, _, limit, _ in rows))


if __name__ == "__main__":
    raise SystemExit(main())
