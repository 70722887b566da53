"""What the code in a replica reaches from inside, and the administrator's rules for groups and users, on a real Hub."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from .deployment import ADMIN, Deployment, Setup, eventually
from .mirror import Mirror, members


class Written:
    """An argument of ``install()`` as it stands in the configuration: a setup is hashed, and dictionaries are not."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


RULES = """[
    {"groups": ["students"], "max_replicas_per_user": 1, "allow_public": False, "longest_token": "1h"},
    {"users": ["carol"], "max_replicas_per_user": 3},
]"""

SITE = Setup(install=(("max_replicas_per_user", 2), ("rules", Written(RULES))))
pytestmark = pytest.mark.parametrize("hub", [SITE], indirect=True, ids=str)


# --- from inside a replica -------------------------------------------------------------------------------

ASK = """
import json, sys, urllib.error, urllib.request
found = []
for url in sys.argv[2:]:
    headers = {"Authorization": "Bearer " + sys.argv[1]} if sys.argv[1] else {}
    try:
        found.append(urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20).status)
    except urllib.error.HTTPError as error:
        found.append(error.code)
print(json.dumps(found))
"""


def test_the_code_in_a_replica_gets_nothing_from_the_hub_and_the_control_api(hub: Deployment) -> None:
    """Both can be reached from there, as no firewall is here. It has no token; with one that a caller sent to somebody
    careless it calls that endpoint, and no more; and what the gateway sends with a call opens nothing."""
    mirror = Mirror(hub)
    try:
        (container,) = eventually(lambda: replicas(hub), "its container")

        def ask(token: str, *urls: str) -> list[int]:
            code, said = container.exec_run(["python3", "-c", ASK, token, *urls])
            assert code == 0, said
            found: list[int] = json.loads(said)
            return found

        private = [f"{hub.hub_api}/{each}" for each in ("user", "users", "users/alice/tokens", "services", "proxy")]
        control = [
            f"{at}{each}"
            for at in (hub.gateway_url, hub.service_url)
            for each in (
                "api/v1/",
                "api/v1/services",
                f"api/v1/services/{mirror.key}",
                "api/v1/admin/overview",
                "metrics",
            )
        ]
        assert ask("", *private) == [403] * len(private)
        assert ask("", *control) == [401] * len(control)
        assert ask("", mirror.direct) == [401], "its own endpoint"
        environment = dict(line.partition("=")[::2] for line in container.exec_run(["env"])[1].decode().splitlines())
        assert [name for name in environment if name.startswith(("JUPYTER", "JPY"))] == []
        seen = mirror.call(hub.token("alice")).json()
        sent = {value for name, value in seen["headers"]} | set(seen["environment"].values()) | set(seen["arguments"])
        for value in sorted(each for each in sent if len(each) >= 16 and each.isascii() and "\n" not in each):
            assert ask(value, private[0], control[0]) == [403, 401], value
        stolen = mirror.owner.generate_token(mirror.key, "careless").token
        assert ask(stolen, mirror.direct, f"{hub.gateway_url}endpoints/alice/other/") == [200, 404]
        assert 200 not in ask(stolen, *private[1:], *control)
    finally:
        mirror.close()


def replicas(hub: Deployment) -> list[Any]:
    return [c for c in hub.containers(all=False) if "org.jupyter.model-service.replica" in c.labels]


# --- rules -----------------------------------------------------------------------------------------------


def test_a_rule_for_a_group_holds_for_who_is_in_it_and_no_longer(hub: Deployment) -> None:
    """With the words of whose rule it is, from her own terminal; carol has one of her own, and bob the installation's."""
    mirror = Mirror(hub)
    alice = mirror.alice
    try:
        with members(hub, "students", "alice"):

            def refused(*words: str) -> str:
                done = alice.cli(*words, check=False)
                return done.stderr if done.returncode else ""

            eventually(lambda: not mirror.owner.access(mirror.key).public_allowed, "that her groups are known", 90, 1)
            said = refused("scale", "mirror", "2")
            assert "1 is the most that one user may run (set for the group students)" in said
            assert "(set for the group students)" in refused("update", "mirror", "--visibility", "public")
            assert "(set for the group students)" in refused("generate-token", "mirror", "--expires", "2h", "--quiet")
            told = mirror.owner.access(mirror.key)
            assert (told.public_allowed, "students" in str(told.set_by)) == (False, True)
        eventually(lambda: not refused("scale", "mirror", "2", "--detach"), "what all may", 60, 1)
        alice.cli("update", "mirror", "--visibility", "public", "--detach")
        assert mirror.owner.get(mirror.key).visibility == "public"
        for user, most in (("bob", 2), ("carol", 3)):
            limits = hub_limits(hub, user)
            assert limits["max_replicas_per_user"]["value"] == most, limits
    finally:
        mirror.close()


def hub_limits(hub: Deployment, user: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {hub.token(ADMIN)}"}
    answer = httpx.get(f"{hub.service_url}api/v1/admin/users/{user}/limits", headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["limits"]}
