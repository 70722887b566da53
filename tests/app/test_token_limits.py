"""Limits, rotation and counts of tokens over the death of a gateway process."""

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


def test_a_rotated_token_ends_at_its_time_and_counts_are_kept_over_a_kill(gateways: Any, model: Path) -> None:
    """Both open until then. What was called is told by the next gateway, by token."""
    first = gateways.start("--keep")
    view = first.deploy(model, name="echo")
    where = f"api/v1/services/{view['owner']}/echo"
    former = first.call("POST", f"{where}/tokens", {"name": "laptop"})
    new = first.call("POST", f"{where}/tokens/{former['id']}/rotate", {"overlap": 5.0})
    ends = time.time() + 5.0

    def status(endpoint: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(endpoint, headers=headers, timeout=30, trust_env=False).status_code

    called = [status(view["endpoint"], token["token"]) for token in (former, new, new)]
    if time.time() < ends - 1.0:
        assert called == [200, 200, 200]
    gateways.until(lambda: sum(use["calls"] for use in first.call("GET", f"{where}/uses")["uses"]) == called.count(200))
    first.process.kill()
    first.process.wait(30)

    second = gateways.start("--keep")
    endpoint = second.ready("echo", view["owner"])["endpoint"]
    gateways.until(lambda: time.time() > ends + 0.1)
    assert [status(endpoint, token["token"]) for token in (former, new)] == [401, 200]
    gateways.until(lambda: _counted(second, where) == {former["id"]: called[:1].count(200), new["id"]: 3})
    assert [token["family"] for token in second.call("GET", f"{where}/tokens")["tokens"]] == [former["id"]] * 2


def _counted(gateway: Any, where: str) -> dict[str, int]:
    return {use["name"]: use["calls"] for use in gateway.call("GET", f"{where}/uses")["uses"]}
