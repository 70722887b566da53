"""Replicas that cannot be: each has one clear reason where alice looks for it, and leaves nothing behind.

The policy lets any image through, so that it is the engine which says what is wrong with it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .deployment import Deployment, Network, Notebook, Setup, eventually
from .stage import traces
from .test_service import called

VOLUME = "jmstest-over-a-file"
SETUP = Setup(install=(("allowed_images", ("*",)), ("model_volumes", (VOLUME,))))
PLAIN = """\
models:
  - name: m
    model_path: /models
    service:
      start_command: [python3, -m, http.server, "8000"]
      port: 8000
"""
GREEDY = """\
models:
  - name: m
    model_path: /models
    service:
      start_command: [python3, -c, "kept = [bytearray(1 << 20) for _ in range(1000)]; input()"]
      port: 8000
"""


@pytest.fixture
def bare_image(docker_engine: Any, base_image: str, network: Network) -> Iterator[str]:
    """Without python3."""
    name = f"jmstest-{network.session}/without-python"
    lines = io.BytesIO(f"FROM {base_image}\nRUN rm -f /usr/bin/python3*\n".encode())
    docker_engine.images.build(fileobj=lines, tag=name, rm=True, forcerm=True, network_mode="none")
    yield name
    docker_engine.images.remove(name, force=True)


@pytest.fixture
def volume(docker_engine: Any) -> Iterator[str]:
    docker_engine.volumes.create(VOLUME)
    yield VOLUME
    docker_engine.volumes.get(VOLUME).remove()


def given_up(alice: Notebook, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(alice.cli("info", name, "--json").stdout)
        return found if found["state"] == "failed" else None

    found = eventually(look, f"{name} given up", 120, 0.5)
    assert found is not None
    return found


@pytest.mark.parametrize("hub", [SETUP], indirect=True, ids=str)
def test_what_cannot_be_started_is_given_up_with_one_clear_reason_and_leaves_nothing(
    hub: Deployment, bare_image: str, volume: str
) -> None:
    """Image missing, image without python3, a container that cannot start, a model that takes more than its memory."""
    alice = hub.notebook("alice")
    alice.write("plain/model-definition.yaml", PLAIN)
    alice.write("greedy/model-definition.yaml", GREEDY)
    eventually(hub.gateway_answers, "a gateway that answers")
    expected = {
        "missing": (["plain", "--image", "nowhere.invalid/none:1"], "There is no image nowhere.invalid/none:1"),
        "bare": (["plain", "--image", bare_image], f"The image {bare_image} has no python3"),
        "refused": (["plain", "--mount", f"{volume}:/etc/passwd:ro"], "The container cannot be started from the image"),
        "greedy": (["greedy", "--memory", "64m"], "out of memory"),
    }
    for name, (words, _) in expected.items():
        alice.cli("create", *words, "-n", name, "--replicas", "2", "--detach")
    for name, (_, sentence) in expected.items():
        seen = given_up(alice, name)
        print(f"{name}: {seen['reason']}")
        assert sentence in seen["reason"], seen["reason"]
        assert "\n" not in seen["reason"]
        shown = alice.cli("info", name).stdout
        assert sentence in " ".join(shown.split()), shown
    eventually(lambda: not [n for n in hub.servers("alice") if n.startswith("ms-")], "no server record", 30)
    assert [c.name for c in hub.containers() if "--ms-" in c.name] == []
    for name in expected:
        alice.cli("delete", name, "--yes")
    eventually(lambda: not traces(hub), "nothing left of them", 60)


@pytest.mark.parametrize("hub", [SETUP], indirect=True, ids=str)
def test_a_whole_volume_is_served_from_her_terminal(
    hub: Deployment, docker_engine: Any, base_image: str, volume: str
) -> None:
    """Not copied: the definition is in the folder that she is in, and an update of the service needs it again."""
    put = ["sh", "-c", "echo hundred gigabytes >/v/weights.txt"]
    bound = {volume: {"bind": "/v", "mode": "rw"}}
    docker_engine.containers.run(base_image, put, volumes=bound, network_mode="none", remove=True)
    alice = hub.notebook("alice")
    alice.write("whole/model-definition.yaml", PLAIN.replace('"8000"]', '"8000", --directory, /models]'))
    eventually(hub.gateway_answers, "a gateway that answers")
    there = "cd whole && jupyter model-service "
    alice.exec("sh", "-c", f"{there} create volume:{volume} -n whole", timeout=150)
    found = json.loads(alice.cli("info", "whole", "--json").stdout)
    assert found["state"] == "ready"
    (revision,) = found["revisions"]
    assert (revision["folder"], revision["files"]["path"]) == (f"volume:{volume}", volume)
    answer = called(found["endpoint"], hub.token("alice"), "weights.txt")
    assert (answer.status_code, answer.text) == (200, "hundred gigabytes\n")
    assert "name it again" in alice.exec("sh", "-c", f"{there} update whole", check=False).stderr
    alice.exec("sh", "-c", f"{there} update whole volume:{volume}", timeout=150)
    refused = alice.exec("sh", "-c", f"{there} create volume:another -n other", check=False)
    assert "may not be mounted by alice" in refused.stderr
    alice.cli("delete", "whole", "--yes")
    eventually(lambda: not traces(hub), "nothing left of it", 60)
