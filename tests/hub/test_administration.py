"""What an administrator of a real Hub does at her terminal, what her rules allow whom, and whose address the gateway
believes: one Hub, whose tests follow one another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from jupyter_model_service.client import Client
from jupyter_model_service.errors import InvalidRequest, ModelServiceError

from .deployment import ADMIN, Deployment, Notebook, Setup, eventually
from .test_bounds_of_a_hub import Written

OTHER = "registry.example.org/course:1"
RULES = f"""[
    {{"groups": ["course"], "allowed_images": ["registry.example.org/course:*"], "max_gpus_per_user": 0,
      "max_services_per_user": 2, "longest_token": "2h", "max_cpus": 0.25}},
    {{"users": ["carol"], "max_replicas_per_user": 1, "max_memory": "128M"}},
    {{"users": ["alice"], "max_cpus": 1, "max_memory": "512M", "longest_life": None,
      "allowed_images": ["jupyter-model-service/*", "{OTHER}"]}},
]"""
# The proxy's address as the gateway sees it is not the one at which it listens: between a machine and its own bridge
# Docker puts the machine's own (192.168.48.1 becomes 192.0.2.2).
CONFIG = """
import socket
c.JupyterHub.load_groups = {"serving": {"users": ["carol"]}, "course": {"users": ["carol"]}}
with socket.create_server((c.JupyterHub.bind_url.split("//")[1].split(":")[0], 0)) as listener:
    with socket.create_connection(listener.getsockname()):
        PROXY = listener.accept()[1][0]
"""
SITE = Setup(
    config=CONFIG,
    install=(
        ("users", ("alice",)),
        ("groups", ("serving",)),
        ("allowed_images", ("jupyter-model-service/*",)),
        ("gpus", ("GPU-aaaaaaaa", "GPU-bbbbbbbb")),
        ("max_gpus_per_replica", 1),
        ("max_cpus", 0.5),
        ("max_memory", "256M"),
        ("allow_public", False),
        ("longest_token", "7d"),
        ("longest_life", "1s"),
        ("rules", Written(RULES)),
        ("model_volumes", ("models",)),
        ("access_log", "access.jsonl"),
        ("trusted_proxies", Written("[PROXY]")),
    ),
)
pytestmark = pytest.mark.parametrize("hub", [SITE], indirect=True, ids=str)

SERVER = """
import http.server, sys
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
DEFINITION = """\
models:
  - name: demo
    model_path: /models
    service:
      start_command: ["python3", "server.py", "{port}"]
      port: 8000
      health_check: {path: /, interval: 1}
"""
OF_A_VOLUME = {"folder": "volume:models", "definition": {"file": "model-definition.yaml", "text": DEFINITION}}


class Office:
    """``alice/demo`` with one replica, made with her rule's CPUs and memory; clients by user; and administrators'
    verbs as they are typed."""

    def __init__(self, hub: Deployment) -> None:
        self.hub = hub
        self.alice = hub.notebook("alice")
        self.admin_token = hub.token(ADMIN, scopes=["admin:servers"])
        self.clients = {user: Client(hub.gateway_url, hub.token(user)) for user in ("alice", "bob", "carol", ADMIN)}
        self.alice.write("models/demo/server.py", SERVER)
        self.alice.write("models/demo/model-definition.yaml", DEFINITION)
        eventually(hub.gateway_answers, "a gateway that answers")
        self.alice.cli("create", "models/demo", "-n", "demo", "--cpu", "1", "--memory", "400m")

    def at(self, notebook: Notebook, *words: str, token: str | None = None) -> tuple[int, str, str]:
        given = {} if token is None else {"MODEL_SERVICE_TOKEN": token}
        done = notebook.exec("jupyter", "model-service", *words, check=False, environment=given)
        return done.returncode, done.stdout, done.stderr

    def admin(self, *words: str) -> str:
        status, out, errors = self.at(self.hub.notebook(ADMIN), "admin", *words, token=self.admin_token)
        assert status == 0, errors
        return out

    def asked(self, user: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.hub.token(user)}"}
        url = f"{self.hub.gateway_url}api/v1/{path}"
        return httpx.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)

    def empty(self, user: str, name: str, **more: Any) -> httpx.Response:
        """A service without a replica."""
        return self.asked(user, "POST", "services", {**OF_A_VOLUME, "name": name, "replicas": 0, **more})

    def close(self) -> None:
        for user, client in self.clients.items():
            for service in client.list() if user != ADMIN else ():
                client.delete(f"{user}/{service.name}")
            client.close()


@pytest.fixture(scope="module")
def office(hub: Deployment) -> Iterator[Office]:
    made = Office(hub)
    yield made
    made.close()


def replica(hub: Deployment) -> Any:
    (found,) = [c for c in hub.containers(all=False) if "org.jupyter.model-service.replica" in c.labels]
    return found


# --- rules -----------------------------------------------------------------------------------------------


def test_a_replica_gets_what_the_rule_for_its_owner_gives(hub: Deployment, office: Office) -> None:
    """Twice what all others may have; and of who may serve at all, one is there by name and one by her group."""
    limits = replica(hub).attrs["HostConfig"]
    assert (limits["Memory"], limits["CpuQuota"] / limits["CpuPeriod"]) == (400 << 20, 1.0)
    refused = office.empty("bob", "demo")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "bob may not serve models here: the administrator has named the users and groups who may.",
    )
    assert office.empty("carol", "one").status_code == 201


def test_whoever_asks_for_more_is_told_the_limit_and_who_set_it(office: Office) -> None:
    """One sentence for each kind of limit: for all, for a group, for a user."""
    mebibytes = 1 << 20
    for user, wish, sentence in (
        ("alice", {"image": "docker.io/x:1"}, "The image docker.io/x:1 may not be used for replicas; allowed: "
         "jupyter-model-service/*, registry.example.org/course:* (set for alice).".replace("course:*", "course:1")),
        ("alice", {"cpus": 1.5}, "A replica may have at most 1 CPUs, and 1.5 are asked for (set for alice)."),
        ("alice", {"memory": 513 * mebibytes},
         "A replica may have at most 512 MiB of memory, and 513 MiB are asked for (set for alice)."),
        ("alice", {"gpus": 2}, "A replica may have at most 1 GPU, and 2 are asked for (set for all users)."),
        ("alice", {"public": True},
         "Public services are not allowed here: make it private, so that callers need a token (set for all users)."),
        ("carol", {"image": "jupyter-model-service/x:1"}, "The image jupyter-model-service/x:1 may not be used for "
         "replicas; allowed: registry.example.org/course:* (set for the group course)."),
        ("carol", {"cpus": 0.5}, "A replica may have at most 0.25 CPUs, and 0.5 are asked for (set for the group course)."),
        ("carol", {"memory": 129 * mebibytes},
         "A replica may have at most 128 MiB of memory, and 129 MiB are asked for (set for carol)."),
        ("carol", {"image": OTHER, "gpus": 1, "replicas": 1}, "That would be 1 GPU for the replicas of carol, and 0 are "
         "the most that one user may have (set for the group course)."),
        ("carol", {"image": OTHER, "replicas": 2},
         "That would be 2 replicas of carol, and 1 is the most that one user may run (set for carol)."),
    ):  # fmt: skip
        refused = office.empty(user, "more", **wish)
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, sentence), wish
    assert office.empty("carol", "two").status_code == 201
    refused = office.empty("carol", "three")
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        "carol has 2 services, and 2 are the most that one user may have, with those that are stopped (set for the group "
        "course).",
    )
    assert [service.name for service in office.clients["alice"].list()] == ["demo"], "nothing of all that is there"


def test_a_token_without_an_end_gets_the_longest_and_is_said_so(office: Office) -> None:
    status, out, errors = office.at(office.alice, "generate-token", "demo", "--expires", "never", "--json")
    told = json.loads(out)
    assert (status, round((told["expires_at"] - told["created_at"]) / 86400)) == (0, 7)
    assert errors.splitlines()[-1] == told["notices"][0]
    assert told["notices"] == [
        "The token was never to expire, and lives 7 days: the longest that a token of alice's services may (set for all "
        "users)."
    ]
    status, _, errors = office.at(office.alice, "generate-token", "demo", "--expires", "8d")
    assert (status, errors.splitlines()[-1]) == (
        1,
        "8 days are asked for, and a token of alice's services lives for at most 7 days (set for all users).",
    )
    with pytest.raises(InvalidRequest, match=r"at most 2 h \(set for the group course\)\.$"):
        office.clients["carol"].generate_token("one", expires_in="3h")


# --- the verbs -------------------------------------------------------------------------------------------


def test_an_administrator_sees_and_limits_at_her_terminal(office: Office) -> None:
    """With the token that the guide tells her to make; that of her notebook is for what is her own."""
    shown = office.admin("list")
    assert re.search(r"^alice/demo +ready +1/1 ", shown, re.MULTILINE)
    assert re.search(r"^carol: 2 services, 0 replicas, 0 GPUs$", shown, re.MULTILINE)
    assert re.search(r"^ +services +2 of 2 +for the group course$", shown, re.MULTILINE)
    assert re.search(r"^ +memory of a replica +512 MiB +for alice$", shown, re.MULTILINE)
    assert json.loads(office.admin("list", "--json"))["services"][0]["name"] == "demo"
    assert "No replica has a GPU." in office.admin("gpus") or "GPU" in office.admin("gpus")
    status, _, errors = office.at(office.hub.notebook(ADMIN), "admin", "list")
    assert (status, "scope admin:servers, and set MODEL_SERVICE_TOKEN" in errors) == (1, True)

    shown = office.admin("limits", "alice", "--max-replicas", "1", "--max-memory", "1g", "--max-services", "1")
    assert re.search(r"^ +replicas +1 of 1 +by admin for alice$", shown, re.MULTILINE)
    assert re.search(r"^ +memory of a replica +512 MiB +for alice$", shown, re.MULTILINE)
    assert (
        "memory of a replica: 1 GiB, set by admin for alice, takes nothing away: 512 MiB is what holds (set for alice)"
    ) in shown
    status, _, errors = office.at(office.alice, "scale", "demo", "2")
    assert (status, errors.splitlines()[-1]) == (
        1,
        "That would be 2 replicas of alice, and 1 is the most that one user may run (set by admin for alice).",
    )
    assert "set by admin for alice" in office.empty("alice", "more").text
    assert "1 of 1" in office.admin("limits", "alice")
    assert "by admin" not in office.admin("limits", "alice", "--clear")


def test_a_name_that_no_user_has_is_refused(office: Office) -> None:
    for words in ((), ("--max-replicas", "1"), ("--clear",)):
        found = office.at(office.hub.notebook(ADMIN), "admin", "limits", "alicia", *words, token=office.admin_token)
        assert (found[0], found[2].splitlines()[-1]) == (
            1,
            "The Hub has no user alicia: its admin page has the names, written as they are to be written here.",
        )
    assert "alicia" not in office.admin("list")


def test_an_administrator_speaks_stops_and_reads_what_was_done(office: Office) -> None:
    office.admin("notice", "alice/demo", "Down", "on Friday.")
    assert "Down on Friday. (from admin, " in office.alice.cli("info", "demo").stdout
    office.admin("notice", "alice/demo", "--remove")
    assert "Down on Friday" not in office.alice.cli("info", "demo").stdout
    assert office.admin("stop", "alice/demo").startswith("alice/demo is stopped")
    assert office.clients["alice"].get("demo").state in ("stopping", "stopped")
    eventually(lambda: not [c for c in office.hub.containers(all=False) if "replica" in str(c.labels)], "its end", 30)
    office.alice.cli("start", "demo", "--detach")
    log = office.admin("audit", "--who", ADMIN, "--tail", "all")
    for deed in ("set_limits", "remove_limits", "set_notice", "remove_notice", "stop_service"):
        assert deed in log


#: Each verb, and its status and last line: with `sh`, as the command line takes a second to begin.
EACH = r"""
for words in "list" "gpus" "limits alice" "limits alice --max-replicas 0" "limits alice --clear" \
    "notice alice/demo x" "notice alice/demo --remove" "stop alice/demo" "audit"; do
  ( said=$(jupyter model-service admin $words 2>&1); echo $? $words: $said ) &
done
wait
"""


def test_nobody_else_does_any_of_it(office: Office) -> None:
    """Neither an owner, nor one whom nothing is shared with; and neither is told what there is."""
    before = office.asked(ADMIN, "GET", "admin/users/alice/limits").json()["limits"]
    for user in ("alice", "bob"):
        said = office.hub.notebook(user).exec("sh", "-c", EACH, timeout=120).stdout.splitlines()
        own = "1 stop alice/demo" if user == "bob" else "0 stop alice/demo"
        assert len(said) == 9
        for line in said:
            if " stop " in line:
                assert line.startswith(own), line
            else:
                assert line.startswith("1 "), line
                assert "only an administrator of the hub may" in line
        office.alice.cli("start", "demo", "--detach")
    assert office.asked(ADMIN, "GET", "admin/users/alice/limits").json()["limits"] == before
    assert office.clients["alice"].get("demo").notice is None


# --- whose address is believed ---------------------------------------------------------------------------

#: Calls with these tokens and a forged address, each of its own; prints the statuses.
CALL = """
import json, sys, urllib.error, urllib.request
url, tokens, method, found = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], []
for number, token in enumerate(tokens):
    headers = {"Authorization": "Bearer " + token, "X-Forwarded-For": f"203.0.113.{number}", "X-Real-IP": "203.0.113.9"}
    try:
        found.append(urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=20).status)
    except urllib.error.HTTPError as error:
        found.append(error.code)
print(json.dumps(found))
"""


def calls(notebook: Notebook, url: str, *tokens: str, method: str = "GET") -> list[int]:
    found: list[int] = json.loads(notebook.exec("python3", "-c", CALL, url, json.dumps(tokens), method).stdout)
    return found


def address_of(notebook: Notebook) -> str:
    notebook.container.reload()
    found: str = notebook.container.attrs["NetworkSettings"]["Networks"][notebook.hub.network.name]["IPAddress"]
    return found


def test_the_caller_behind_the_hubs_proxy_has_her_own_address_and_no_other(hub: Deployment, office: Office) -> None:
    """In the audit log and in the access log, whatever she says of herself; also where she calls the gateway itself."""
    log, bob = hub.folder / "model-service" / "access.jsonl", hub.notebook("bob")
    token = hub.token("alice")
    for number, place in enumerate((hub.service_url, hub.gateway_url)):
        for notebook in (office.alice, bob):
            path = f"endpoints/alice/demo/who-{number}-{notebook.user}"
            assert calls(notebook, f"{place}{path}", token)[0] in (200, 404, 503)

            def lines(end: str = path.rpartition("/")[2]) -> list[dict[str, Any]]:
                return [entry for line in log.read_text().splitlines() if end in (entry := json.loads(line))["path"]]

            (entry,) = eventually(lines, "the line of the call", 20)
            assert entry["address"] == address_of(notebook)
        assert calls(office.alice, f"{place}api/v1/services/alice/demo/start", token, method="POST") == [202]
    entries = office.asked(ADMIN, "GET", "admin/audit?who=alice&action=start_service&newest=true").json()["entries"]
    assert [entry["address"] for entry in entries[-2:]] == [address_of(office.alice)] * 2


def test_one_who_guesses_behind_the_proxy_locks_out_nobody_but_herself(hub: Deployment, office: Office) -> None:
    """And by saying that she is somebody else she guesses no further."""
    bob, endpoint = hub.notebook("bob"), f"{hub.service_url}endpoints/alice/demo/"
    guessed = calls(bob, endpoint, *(f"{number:032x}" for number in range(30)))
    assert guessed[0] == 401
    assert guessed[-1] == 429
    assert calls(bob, endpoint, hub.token("alice")) == [429], "a good one that was never seen has to wait, too"
    assert calls(office.alice, endpoint, hub.token("alice"))[0] in (200, 503)


# --- what ends -------------------------------------------------------------------------------------------


def test_services_end_by_the_rules_for_their_owners(hub: Deployment, office: Office) -> None:
    """carol's by what holds for all; alice's, who has a rule of her own, by what an administrator sets now."""
    office.alice.cli("start", "demo", "--detach")
    office.admin("limits", "alice", "--idle-limit", "1s")

    def ended(service: str) -> str:
        owner, name = service.split("/")
        try:
            events = office.clients[owner].events(name, limit=200)
        except ModelServiceError:
            return ""
        return next((event.message for event in events if event.kind == "service.ended_by_policy"), "")

    said = eventually(lambda: ended("carol/one"), "the end of carol's", 90, 1)
    assert said == "stopped by the administrator's policy: it has run for 1 s (set for all users)"
    said = eventually(lambda: ended("alice/demo"), "the end of alice's", 90, 1)
    assert said == ("stopped by the administrator's policy: nobody has called it for 1 s (set by admin for alice)")
    assert office.clients["alice"].get("demo").state in ("stopping", "stopped")
