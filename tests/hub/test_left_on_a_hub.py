"""Nobody's secret is where it does not belong when a whole deployment has been used: on the machine, at its engine, in what
the Hub, its proxy and the gateway write, in notebooks. Each place is shown to be looked at by a word that is no secret.

The gateway and the proxy are run apart, so that each has a log of its own; all three say as much as they can.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.key_file import read_key
from jupyter_model_service.adapters.visits import SealedVisits
from tests.security.asking import WEB_SOCKET, calls_differing
from tests.security.people import everybody

from .deployment import Deployment, Setup
from .onlooker import NOBODY, Inspected, Inspector, Onlooker
from .real_site import AUDITORS, INSTALLED, RealSite, peopled, real_site
from .test_service import MODEL
from .test_sign_in_lines import AtHub

SITE = Setup(
    managed=False,
    proxy="external",
    config='c.JupyterHub.log_level = "DEBUG"\n',
    after=AUDITORS,
    install=(*INSTALLED, ("access_log", "access.log"), ("audit_log", "audit.jsonl")),
)

pytestmark = [
    pytest.mark.parametrize("hub", [SITE], indirect=True, ids=str),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look on as another user"),
]

#: No secret: the name of alice's model, and so in all that is told of it. Whoever looks for secrets finds this, too.
WORD = "planted-4f2a9c"
VALUE = "a-password-of-the-models-own"  # which it is given as an environment variable
VISIT = "__Host-model-service-visit"
DEFINITION = f"""\
models:
  - name: Parrot
    model_path: /models
    service:
      start_command: ["python3", "server.py", "{{port}}", "{WORD}"]
      port: 8000
      health_check: {{path: /health, interval: 1}}
"""
CELLS = f"""\
%load_ext jupyter_model_service
import json, os, pathlib
os.environ["PASSWORD"] = pathlib.Path("password").read_text()
---
%model_service create models/{WORD} -n {WORD} --env PASSWORD
---
%model_service share {WORD} --user carol
---
first = %model_service generate-token {WORD} --name {WORD}
first
---
second = %model_service generate-token {WORD} --json
second
---
from jupyter_model_service import Client
third = Client().generate_token("{WORD}", "by code")
third
---
fourth = %model_service rotate-token {WORD} {{first.id}}
fourth
---
first.copy_to("first"), fourth.copy_to("fourth")
---
pathlib.Path("third").write_text(third.token)
---
%model_service tokens {WORD}
---
%model_service access {WORD}
---
%model_service info {WORD}
---
%model_service info {WORD} --json
---
%model_service list
---
%model_service logs {WORD}
---
%model_service events {WORD}
---
%model_service audit {WORD}
---
%model_service uses {WORD}
---
%%model_service {WORD} who
---
_.json()
"""
#: The owner's and an administrator's, by the API.
LISTED = ("services", f"services/alice/{WORD}", f"services/alice/{WORD}/events", f"services/alice/{WORD}/tokens",
          f"services/alice/{WORD}/access", f"services/alice/{WORD}/logs", f"services/alice/{WORD}/uses",
          "admin/overview", "admin/audit?limit=1000")  # fmt: skip
#: What the Hub's own user alone may read, and needs again. The configuration has the token of the tests' own service.
KEPT = {"jupyterhub_config.py", "cookie-secret", "api-token", "sealing.key"}
#: What JupyterHub itself writes down, when it says most: a code that has been used by then, and by what it knows which of a
#: browser's tokens end when somebody signs out there; neither lets anybody in.
THE_HUBS = (
    "a code of /services/model-service/oauth_callback in hub.log",
    "the cookie jupyterhub-session-id of / in hub.log",
    "the cookie jupyterhub-session-id of / in jupyterhub.sqlite",
)
FILES = ("hub.log", "gateway.log", "proxy.log", "jupyterhub.sqlite", "model-service/access.log",
          "model-service/audit.jsonl", "model-service/state.db")  # fmt: skip
HUBS_OWN = ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")  # the token of the server that a notebook is, by which it is one


@dataclass
class Left:
    """``secrets``: by whose they are. ``places``: all that was written or told, in one text for each."""

    secrets: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    inspected: list[Inspected] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def holding(self, word: str) -> set[str]:
        return {place for place, text in self.places.items() if word in text}

    def found(self, texts: Mapping[str, str]) -> list[str]:
        return [f"{whose} in {place}" for place, text in texts.items() for whose in self.in_text(text)]

    def in_text(self, text: str) -> list[str]:
        return [whose for whose, secret in self.secrets.items() if secret in text]


@pytest.fixture(scope="module")
def left(hub: Deployment) -> Iterator[Left]:
    found = Left()
    onlooker, inspector = Onlooker(), Inspector(hub)
    planted = subprocess.Popen(["sleep", "600"], env={"OF": WORD}, user=NOBODY, group=NOBODY, extra_groups=[])
    try:
        inspector.start()
        hub.start_gateway()
        with peopled(hub):
            asyncio.run(use(hub, found))
            hub.notebook("alice").exec("sh", "-c", f"echo {WORD} >/proc/1/fd/1")
            found.inspected, found.missed = inspector.found(), inspector.missed
            found.places["the engine's logs"] = inspector.logs()
            found.places |= {f"/proc/*/{name}": text for name, text in onlooker.seen().items()}
            before = files_of(hub)
        hub.stop()
        found.places |= {name: before[name] + text for name, text in files_of(hub).items()}
        found.secrets |= own_secrets(hub, found.inspected)
        yield found
    finally:
        planted.kill()
        planted.wait()
        inspector.close()
        onlooker.close()


async def use(hub: Deployment, left: Left) -> None:
    """alice makes a model and its tokens in a notebook; everybody asks for everything, with tokens where they belong and
    where they do not; carol signs in to what is shared with her."""
    async with real_site(hub) as site:
        tokens = await everybody(site)
        left.secrets |= {who: token for who, token in tokens.items() if token is not None}
        left.secrets |= in_a_notebook(hub, left.places)
        left.places["what carol's browser was shown"], hers = await signed_in(hub)
        left.secrets |= hers
        await calls_differing(site, tokens)
        await misplaced(site, left)
        listed = [await site.api("GET", path, token=tokens["admin"]) for path in LISTED]
        assert [answer.status_code for answer in listed] == [200] * len(LISTED)
        left.places["the control API"] = "\n".join(answer.text for answer in listed)
        left.places["metrics"] = (await site.request("GET", "metrics", token=tokens["admin"])).text


async def misplaced(site: RealSite, left: Left) -> None:
    """In addresses, in cookies, among a WebSocket's protocols. What is answered quotes none, either."""
    told = []
    for token in list(left.secrets.values()):
        for path in (f"endpoints/alice/{WORD}/who", "v1/models", "api/v1/services"):
            told.append(await site.request("GET", f"{path}?token={token}&access_token={token}", token=token))
            await site.status("GET", path, {"Cookie": f"{VISIT}={token}; model-service-page={token}"})
        protocols = {**WEB_SOCKET, "Sec-WebSocket-Protocol": f"bearer.{token}"}
        await site.status("GET", f"endpoints/alice/{WORD}/who", protocols)
    left.places["answers to misplaced tokens"] = "\n".join(f"{each.request.url.path} {each.text}" for each in told)


def in_a_notebook(hub: Deployment, places: dict[str, str]) -> dict[str, str]:
    """Run from its first cell to its last by a real kernel in her container, saved, and as a page; its tokens, which she
    has in files of her own."""
    alice = hub.notebook("alice")
    alice.write(f"models/{WORD}/server.py", MODEL)
    alice.write(f"models/{WORD}/model-definition.yaml", DEFINITION)
    alice.write(f"models/{WORD}/word.txt", WORD)
    alice.write("password", VALUE)
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": text.strip(), "id": f"c{at}"}
        for at, text in enumerate(CELLS.split("---\n"))
    ]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    alice.write("work.ipynb", json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    alice.exec("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", "work.ipynb", timeout=200)
    alice.exec("jupyter", "nbconvert", "--to", "html", "work.ipynb", timeout=60)
    for file in ("work.ipynb", "work.html"):
        places[f"alice's {file}"] = alice.exec("cat", file).stdout
    outputs = [each for cell in json.loads(places["alice's work.ipynb"])["cells"] for each in cell["outputs"]]
    assert len([each for each in outputs if "text/html" in each.get("data", {})]) > 8, outputs
    places["the outputs"] = json.dumps(outputs)
    made = {f"the {name} token of the notebook": alice.exec("cat", name).stdout.strip() for name in MADE}
    assert all(len(token) >= 32 for token in made.values()), "what was written there"
    return {**made, "the password": VALUE}


MADE = ("first", "third", "fourth")


async def signed_in(hub: Deployment) -> tuple[str, dict[str, str]]:
    """What carol is shown, and all that this leaves in her browser or was in its addresses for a moment."""
    address = f"http://{WORD}--alice.models.localhost/who"
    async with AtHub(hub) as browser:
        await browser.sign_in("carol")
        shown = [await browser.open(address)]
        assert shown[0].status_code == 200, shown[0].text
        went = list(browser.went)
        shown += [await browser.open(url) for url in (hub.service_url, address)]
        codes = {
            f"a code of {urlsplit(url).path}": code
            for url in (*went, *browser.went)
            for code in parse_qs(urlsplit(url).query).get("code", ())
        }
        kept = {f"the cookie {name} of {each.path}": each for (_, name), each in browser.cookies.items()}
        names = " ".join(kept)
        assert len(codes) == 2, went
        assert all(part in names for part in (VISIT, "model-service-page", "jupyterhub-hub-login", "_xsrf")), names
    key = read_key(hub.folder / "model-service" / "sealing.key")
    tokens = {}
    for purpose, name in (("page", "model-service-page"), ("visit", VISIT)):
        (cookie,) = [each.value for (_, known), each in browser.cookies.items() if known == name]
        visit = SealedVisits(key, SystemClock(), purpose).resolve(cookie)
        assert visit is not None
        tokens[f"the token in {name}"] = visit.token
    return "\n".join(each.text for each in shown), {
        **codes,
        **tokens,
        **{name: each.value.strip('"') for name, each in kept.items()},
    }


def files_of(hub: Deployment) -> dict[str, str]:
    """Those in which much is written, each with what SQLite has beside it; and the others together."""
    (hub.folder / "model-service" / "of-the-test").write_text(WORD)
    found = dict.fromkeys((*FILES, "other files"), "")
    for path in sorted(hub.folder.rglob("*")):
        name = re.sub("-(wal|shm|journal)$", "", str(path.relative_to(hub.folder)))
        if path.is_file() and Path(name).name not in KEPT:
            found[name if name in FILES else "other files"] += path.read_bytes().decode("latin-1")
    return found


def own_secrets(hub: Deployment, inspected: list[Inspected]) -> dict[str, str]:
    """The deployment's."""
    folder = hub.folder / "model-service"
    return {
        "the gateway's token": (folder / "api-token").read_text().strip(),
        "the key": read_key(folder / "sealing.key"),
        "the proxy's token": hub.proxy_token,
        "the token of the tests' service": hub.admin_token,
        "the Hub's key": hub.environment["JUPYTERHUB_CRYPT_KEY"],
        "the Hub's cookie secret": (hub.folder / "cookie-secret").read_text().strip(),
        **{f"the secret of a replica ({each.id[:8]})": each.secret() for each in inspected if each.kind == "replica"},
    }


def test_each_place_is_looked_at(left: Left) -> None:
    """By the word that is no secret; and there is something to look for."""
    assert left.holding(WORD) == set(left.places)
    assert len({*left.secrets.values()}) > 28, sorted(left.secrets)
    assert min(map(len, left.secrets.values())) > 7


def test_nobodys_secret_is_left_anywhere(left: Left) -> None:
    found = [each for each in left.found(left.places) if each not in THE_HUBS]
    assert not found, "\n".join(found)


def test_the_files_that_hold_secrets_are_the_hubs_own_users_alone(hub: Deployment, left: Left) -> None:
    files = [path for path in hub.folder.rglob("*") if path.name in KEPT]
    assert {path.name for path in files} == KEPT
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []
    assert [path.name for path in files if not left.in_text(path.read_bytes().decode("latin-1"))] == []


def test_who_asks_the_engine_is_told_a_notebooks_own_token_and_a_replicas_own_secret(left: Left) -> None:
    """Those two, where they are used, and what its owner gave the model for its environment. Nothing else: no token in a
    replica, nothing of ours in a notebook, nothing at all in the container that copies a folder."""
    assert left.missed == []
    kinds = {each.kind for each in left.inspected}
    assert kinds == {"notebook", "replica", "copier"}
    found = {
        (each.kind, name, whose)
        for each in left.inspected
        for name, value in each.environment.items()
        for whose in left.in_text(value)
    }
    (replica,) = [each for each in left.inspected if each.kind == "replica"]
    own = f"the secret of a replica ({replica.id[:8]})"
    alices = {("notebook", name, "owner") for name in HUBS_OWN}
    assert found <= {*alices, ("replica", "MODEL_SERVICE_SPEC", own), ("replica", "MODEL_SERVICE_SPEC", "the password")}
    assert ("notebook", HUBS_OWN[0], "owner") in found, "it is looked for"
    assert left.found({f"the {each.kind}'s container": each.rest for each in left.inspected}) == []
    assert [each.kind for each in left.inspected if each.kind != "notebook" and WORD not in each.rest] == []
