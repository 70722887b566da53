"""Limits of tokens over the death of a gateway process."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx

from jupyter_model_service.core.limits import DAY

LOST = 1.0  # seconds of counting, at most …
LOADED = 1.0  # … and what a machine that is busy with other tests adds to it


def test_a_killed_gateway_forgets_a_second_of_counting_at_most(gateways: Any, model: Path) -> None:
    """Calls go on while it is killed; the next one knows all of them but the last, and counts on from there."""
    left = DAY - time.time() % DAY
    if left < 60:
        time.sleep(left + 0.1)
    first = gateways.start("--keep")
    view = first.deploy(model, name="echo")
    where = f"api/v1/services/{view['owner']}/echo/tokens"
    made = first.call("POST", where, {"limits": {"calls_per_day": 1_000_000, "in_flight": 2}})
    answered: list[float] = []
    begun = 0

    def call_on() -> None:
        nonlocal begun
        with httpx.Client(headers={"Authorization": f"Bearer {made['token']}"}, timeout=30, trust_env=False) as client:
            try:
                while True:
                    begun += 1
                    assert client.get(view["endpoint"]).status_code == 200
                    answered.append(time.monotonic())
            except httpx.HTTPError:
                return  # it is dead

    calling = threading.Thread(target=call_on)
    calling.start()
    gateways.until(lambda: answered and answered[-1] - answered[0] > 2.5)
    first.process.kill()
    killed = time.monotonic()
    first.process.wait(30)
    calling.join(30)
    assert not calling.is_alive()

    second = gateways.start("--keep")
    (token,) = second.call("GET", where)["tokens"]
    known = sum(at < killed - LOST - LOADED for at in answered)
    assert 0 < known <= token["calls_today"] <= begun
    assert (token["in_flight"], token["limits"]["calls_per_day"]) == (0, 1_000_000)

    counted = token["calls_today"]
    second.call("PATCH", f"{where}/{token['id']}", {"limits": {"calls_per_day": counted + 2, "in_flight": None}})
    endpoint = second.ready("echo", view["owner"])["endpoint"]
    headers = {"Authorization": f"Bearer {made['token']}"}
    got = [httpx.get(endpoint, headers=headers, timeout=30, trust_env=False).status_code for _ in range(3)]
    assert got == [200, 200, 429]
    (token,) = second.call("GET", where)["tokens"]
    assert (token["calls_today"], token["limits"]["in_flight"]) == (counted + 2, None)
    second.call("DELETE", f"{where}/{token['id']}", status=204)
    assert second.call("GET", where)["tokens"] == []
