"""What the gateway of a hub is told, and what it says when that cannot be used."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.key_file import make_key
from jupyter_model_service.adapters.local_files import free_port
from jupyter_model_service.app.assembly import Site
from jupyter_model_service.app.files import DataDirectory
from jupyter_model_service.app.hub_gateway import hub_gateway
from jupyter_model_service.config import HubService, ModelService, hub_service
from jupyter_model_service.core.policy import Host, Policy, policy_to_plain
from jupyter_model_service.core.syslog import Place
from jupyter_model_service.engine.uses import Uses
from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.front.settings import FrontSettings
from jupyter_model_service.testing import Disk, MemoryStore

TOLD = {
    "v": 1,
    "key_file": "/srv/ms/key",
    "data_dir": "/srv/ms",
    "policy": policy_to_plain(Policy(max_replicas_per_user=3)),
    "token_user": "model-service-tokens",
    "service_name": "model-service",
    "endpoints_url": None,
    "hub": "0123456789ab",
}
ENVIRONMENT = {
    "JUPYTERHUB_API_URL": "http://10.0.0.1:8081/hub/api",
    "JUPYTERHUB_API_TOKEN": "secret-of-the-service",
    "JUPYTERHUB_SERVICE_URL": "http://10.0.0.1:8910",
    "JUPYTERHUB_SERVICE_PREFIX": "/lab/services/model-service/",
}


def read(told: dict[str, Any] | str | None = None, **environment: str | None) -> HubService:
    text = told if isinstance(told, str) else json.dumps({**TOLD, **(told or {})})
    given = {**ENVIRONMENT, "MODEL_SERVICE_HUB": text, **environment}
    return hub_service({name: value for name, value in given.items() if value is not None})


def test_what_the_hub_and_install_say_together() -> None:
    hub = read()
    assert (hub.host, hub.port, hub.prefix) == ("10.0.0.1", 8910, "/lab/services/model-service/")
    assert hub.policy.max_replicas_per_user == 3
    assert hub.oauth_client == "service-model-service"
    assert hub.oauth_authorize == "/lab/hub/api/oauth2/authorize"
    assert hub.oauth_callback == "/lab/services/model-service/oauth_callback"
    assert "secret-of-the-service" not in repr(hub)
    settings = ModelService().settings(hub)
    assert (settings.data_dir, settings.host, settings.port, settings.keep) == (Path("/srv/ms"), "10.0.0.1", 8910, True)


def test_the_access_log_is_where_install_says_else_where_the_options_do() -> None:
    own = ModelService(access_log="mine.log", access_log_bytes=5)
    assert own.settings(read()).access_log == "/srv/ms/mine.log"
    assert own.settings(read()).access_log_bytes == 5
    given = own.settings(read({"access_log": "calls.log", "access_log_bytes": 0}))
    assert (given.access_log, given.access_log_bytes) == ("/srv/ms/calls.log", 0)
    assert own.settings(read({"access_log": "-", "access_log_bytes": 7})).access_log == "-"


def test_the_audit_log_is_kept_and_copied_as_install_says_else_as_the_options_do() -> None:
    own = ModelService(audit_kept=86400.0, audit_log="mine.jsonl", audit_syslog="udp://10.0.0.7")
    usual = own.settings(read())
    assert (usual.audit_kept, usual.audit_log) == (86400.0, "/srv/ms/mine.jsonl")
    assert usual.audit_syslog == Place(host="10.0.0.7")
    given = own.settings(read({"audit_kept": 2 * 86400.0, "audit_log": "a.jsonl", "audit_syslog": "/dev/log"}))
    assert (given.audit_kept, given.audit_log) == (2 * 86400.0, "/srv/ms/a.jsonl")
    assert given.audit_syslog == Place(path="/dev/log")
    assert own.settings(read({"audit_kept": 0})).audit_kept is None
    with pytest.raises(InvalidRequest, match=r"audit_log and access_log are both 'a\.jsonl'"):
        own.settings(read({"audit_log": "a.jsonl", "access_log": "a.jsonl"}))


def test_a_service_has_a_third_and_an_owner_half_of_the_calls_where_nobody_says_otherwise() -> None:
    """And of what its callers send, 64 MiB are kept to be sent again."""
    assert (read().share_per_service, read().share_per_owner) == (0.33, 0.5)
    said = read({"share_per_service": 0.2, "share_per_owner": 0.4})
    assert (said.share_per_service, said.share_per_owner) == (0.2, 0.4)
    assert FrontSettings().kept_per_service == 64 << 20


def test_images_that_the_site_lists_are_known_where_install_told_them() -> None:
    assert read().site_images == ()
    assert read({"site_images": ["site/r:1"]}).site_images == ("site/r:1",)


def test_what_the_host_has_is_known_where_install_saw_it() -> None:
    assert read().host_has == Host()
    assert read({"host": {"gpus": 2, "cpus": 8.0, "memory": None}}).host_has == Host(2, 8.0, None)
    with pytest.raises(InvalidRequest, match='The figures of the host lack "cpus"'):
        read({"host": {"gpus": 2}})


def test_the_gateway_says_in_its_log_who_must_reach_whom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A firewall between two of them shows only as silence."""
    make_key(tmp_path / "key")
    hub = replace(read(), host="127.0.0.1", port=free_port(()), data_dir=tmp_path, key_file=tmp_path / "key")

    async def body() -> None:
        async with contextlib.AsyncExitStack() as undo:
            store, clock = MemoryStore(Disk()), SystemClock()
            site = Site(store, clock, undo, lambda reason: None, Uses(store, clock))
            with caplog.at_level(logging.INFO):
                await hub_gateway(ModelService().settings(hub), hub, DataDirectory(tmp_path, tmp_path))(site)

    asyncio.run(body())
    (said,) = [record.getMessage() for record in caplog.records if "must reach" in record.getMessage()]
    assert f"notebooks must reach this gateway at 127.0.0.1:{hub.port}" in said
    assert "the Hub's API at http://10.0.0.1:8081/hub/api, and each replica at its own address, TCP port 39777" in said
    assert "secret-of-the-service" not in caplog.text


def test_outside_the_hub_everything_can_stand_in_one_variable_and_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    told = {
        "api_url": "http://hub:8081/hub/api",
        "gateway": "http://10.0.0.9:8910",
        "prefix": "/services/model-service/",
    }
    hub = hub_service({"MODEL_SERVICE_HUB": json.dumps(TOLD | told | {"api_token_file": str(tmp_path / "token")})})
    assert (hub.api_url, hub.api_token, hub.host) == ("http://hub:8081/hub/api", "from-a-file", "10.0.0.9")


@pytest.mark.parametrize(
    ("told", "environment", "base"),
    [
        ({}, {}, "http://10.0.0.1:8910/lab/services/model-service/"),
        ({"public_url": "https://hub.example.org/lab/"}, {}, "https://hub.example.org/lab/services/model-service/"),
        (
            {"public_url": "http://inside:8000"},
            {"JUPYTERHUB_PUBLIC_URL": "https://hub.example.org/lab/services/model-service/"},
            "https://hub.example.org/lab/services/model-service/",
        ),
        ({"endpoints_url": "https://models.example.org"}, {}, "https://models.example.org/lab/services/model-service/"),
        ({"endpoints_url": "https://example.org/models/"}, {}, "https://example.org/models/"),
        ({"endpoints_url": "https://*.models.example.org"}, {}, "http://10.0.0.1:8910/lab/services/model-service/"),
        (
            {"endpoints_url": "https://models.example.org/", "public_url": "https://hub.example.org"},
            {"JUPYTERHUB_PUBLIC_URL": "https://hub.example.org/x/"},
            "https://models.example.org/lab/services/model-service/",
        ),
    ],
)
def test_where_endpoints_are_said_to_be(told: dict[str, Any], environment: dict[str, str], base: str) -> None:
    assert read(told, **environment).base == base


@pytest.mark.parametrize(
    ("told", "environment", "message"),
    [
        ("", {}, "MODEL_SERVICE_HUB is not set"),
        ("{", {}, "is not JSON"),
        ("[]", {}, "of another version"),
        ({"v": 2}, {}, "of another version"),
        ({"policy": {"max": 3}}, {}, "policy in MODEL_SERVICE_HUB cannot be used"),
        ({"key_file": None}, {}, "key_file in MODEL_SERVICE_HUB is not set"),
        ({"endpoints_url": "models.example.org"}, {}, "endpoints_url = 'models.example.org' is no address"),
        (
            {"endpoints_url": "http://*.models.example.org"},
            {},
            "has to begin with https",
        ),
        ({"endpoints_url": "https://a.*.example.org"}, {}, "is no address for hosts of services"),
        ({"trusted_proxies": ["ingress"]}, {}, "trusted_proxies"),
        ({"api_token_file": "/nowhere/token"}, {"JUPYTERHUB_API_TOKEN": None}, "cannot be read from /nowhere/token"),
        ({}, {"JUPYTERHUB_API_TOKEN": None}, "JUPYTERHUB_API_TOKEN is not set"),
        ({}, {"JUPYTERHUB_API_URL": ""}, "JUPYTERHUB_API_URL is not set"),
        ({}, {"JUPYTERHUB_SERVICE_URL": "http://10.0.0.1"}, "is no address to listen on"),
        ({}, {"JUPYTERHUB_SERVICE_URL": "https://10.0.0.1:1"}, "is no address to listen on"),
        ({}, {"JUPYTERHUB_SERVICE_URL": "http://h:99999999"}, "is no address to listen on"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(told: Any, environment: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        read(told, **environment)
    assert "\n" not in caught.value.message
    assert "secret-of-the-service" not in caught.value.message


def test_the_program_ends_with_that_sentence_and_status_2() -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTERHUB_", "MODEL_SERVICE_"))}
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_model_service.app", "--hub"],
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("MODEL_SERVICE_HUB is not set")
    assert done.stderr.count("\n") == 1


def test_a_hub_with_hosts_for_its_users_says_where_people_sign_in() -> None:
    hub = read(
        JUPYTERHUB_HOST="https://hub.example.org",
        JUPYTERHUB_CLIENT_ID="service-models",
        JUPYTERHUB_OAUTH_CALLBACK_URL="https://services.example.org/lab/services/model-service/oauth_callback",
    )
    assert hub.oauth_client == "service-models"
    assert hub.oauth_authorize == "https://hub.example.org/lab/hub/api/oauth2/authorize"
    assert hub.oauth_callback == "https://services.example.org/lab/services/model-service/oauth_callback"
