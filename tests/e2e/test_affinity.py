"""Calls that belong together meet at one replica: real ones, by a definition's word, at ``v1/`` and with cookies."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path

from jupyter_model_service.client import Client

from .conftest import eventually

Model = Callable[..., Path]


def prefer(folder: Path, by: str) -> str:
    """Have its definition say which replica a call goes to."""
    definition = folder / "model-definition.yaml"
    definition.write_text(f"{definition.read_text()}    serving:\n      affinity: {{by: {by}}}\n")
    return str(folder)


def replica(opener: urllib.request.OpenerDirector, url: str, token: str, body: bytes | None = None) -> str:
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"})
    try:
        with opener.open(request, timeout=20) as answer:
            return str(answer.headers["X-Model-Service-Replica"])
    except urllib.error.HTTPError as error:  # what the model says to a path that it does not have
        with error:
            return str(error.headers["X-Model-Service-Replica"])


def test_a_conversation_at_v1_stays_on_one_of_two_replicas_and_comes_back_after_an_update(
    client: Client, model: Model
) -> None:
    """Conversations are on both; each later turn is where the first was; new replicas have them all again."""
    folder = prefer(model(), "prefix")
    service = client.create(folder, name="m", replicas=2)
    client.wait_ready("m", timeout=60)
    token = client.generate_token("m", token_name="a").token
    address = service.endpoint.split("/endpoints/")[0] + "/v1/chat/completions"
    opener = urllib.request.build_opener()

    def homes() -> list[set[str]]:
        found = []
        for number in range(12):
            messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Question {number}?"}]
            seen = set()
            for _ in range(3):
                body = json.dumps({"model": "m", "messages": messages}).encode()
                seen.add(replica(opener, address, token, body))
                messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And then?"}]
            found.append(seen)
        return found

    before = homes()
    assert [len(seen) for seen in before] == [1] * 12
    assert len(set().union(*before)) == 2
    client.update("m")
    client.wait_ready("m", timeout=60)
    after = homes()
    assert [len(seen) for seen in after] == [1] * 12
    assert not set().union(*after) & set().union(*before)


def test_who_keeps_cookies_stays_on_her_replica_until_it_is_gone(client: Client, model: Model) -> None:
    """With the client's own idea of paths and names."""
    service = client.create(prefer(model(), "cookie"), name="m", replicas=2)
    client.wait_ready("m", timeout=60)
    token = client.generate_token("m", token_name="a").token
    jars = [CookieJar() for _ in range(6)]
    openers = [urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)) for jar in jars]
    url = service.endpoint.rstrip("/")
    homes = [replica(opener, f"{url}/headers", token) for opener in openers]
    assert len(set(homes)) == 2
    assert [(cookie.name, cookie.path) for jar in jars for cookie in jar] == [
        ("model-service-replica", f"/endpoints/{service.owner}/m/")
    ] * 6
    for path in ("/headers", "/work", "/a/b"):
        assert [replica(opener, url + path, token) for opener in openers] == homes
    client.scale("m", 1)
    eventually(lambda: client.get("m").replicas.total == 1, "one of them has ended")
    left = client.get("m").replica_list[0].id
    moved = [replica(opener, f"{url}/headers", token) for opener in openers]
    assert set(moved) == {left}
