"""``install()`` on the configurations of many kinds of sites: what it adds, what it leaves, and what it refuses."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dockerspawner import DockerSpawner, SwarmSpawner, SystemUserSpawner
from jupyterhub import orm
from jupyterhub.apihandlers.users import UserServerAPIHandler
from tornado.web import HTTPError
from traitlets.config import Config

from jupyter_model_service.adapters.key_file import read_key
from jupyter_model_service.core.policy import Policy, PolicyRule, VolumeRule, policy_from_plain
from jupyter_model_service.hub import install
from jupyter_model_service.hub.addresses import Addresses
from jupyter_model_service.hub.limits import NamedServerLimit
from jupyter_model_service.hub.site_config import SiteConfig
from jupyter_model_service.hub.spawner import ModelServiceMixin

from .deployment import PREFIX, TEST_LABEL

MANAGE = "custom:model-service:manage"
ACCESS = "access:services!service=model-service"
INVOKE = "custom:model-service:invoke"
AUDIT = "custom:model-service:audit"


class OwnSpawner(DockerSpawner):
    """A site's own class."""


class ManyEngines(DockerSpawner):
    """A site's own class, with an engine for each user."""

    @property
    def client(self) -> Any:
        return None


class OwnWithUs(ModelServiceMixin, DockerSpawner):
    """As install() makes it."""


def a_site(**hub: Any) -> Config:
    c = Config()
    c.JupyterHub.spawner_class = "docker"
    c.JupyterHub.authenticator_class = "dummy"
    # No engine is asked: its answer is a test of its own.
    c.DockerSpawner.client_kwargs = {"base_url": "tcp://127.0.0.1:1"}
    for name, value in hub.items():
        setattr(c.JupyterHub, name, value)
    return c


@pytest.fixture
def do(tmp_path: Path) -> Callable[..., Any]:
    """``do(c, **arguments)`` with what every call needs."""

    def run(c: Config, **more: Any) -> Any:
        given = {"network": "replicas", "gateway_address": "10.9.0.1:8910", "data_dir": tmp_path / "ms", **more}
        return install(c, **given)

    return run


def roles_of(c: Config) -> dict[str, dict[str, Any]]:
    return {role["name"]: role for role in c.JupyterHub.load_roles}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, (None, None)),
        ({"access_log": "calls.log"}, ("calls.log", 64 << 20)),
        ({"access_log": "-", "access_log_bytes": None}, ("-", 0)),
        ({"access_log": Path("/var/log/calls.log"), "access_log_bytes": "1G"}, ("/var/log/calls.log", 1 << 30)),
    ],
)
def test_the_gateway_is_told_of_the_access_log(
    do: Callable[..., Any], given: dict[str, Any], told: tuple[str | None, int | None]
) -> None:
    settings = do(a_site(), **given).gateway_settings
    assert (settings.get("access_log"), settings.get("access_log_bytes")) == told


def test_the_gateway_is_told_how_long_it_keeps_its_audit_log_and_where_it_copies_it(do: Callable[..., Any]) -> None:
    usual = do(a_site()).gateway_settings
    assert usual["audit_kept"] == 365 * 86400
    assert "audit_log" not in usual
    assert "audit_syslog" not in usual
    given = {"audit_kept": None, "audit_log": Path("/var/log/a.jsonl"), "audit_syslog": "udp://10.0.0.7"}
    told = do(a_site(), **given).gateway_settings
    assert (told["audit_kept"], told["audit_log"]) == (0, "/var/log/a.jsonl")
    assert told["audit_syslog"] == "udp://10.0.0.7:514"


# --- what it adds ------------------------------------------------------------------------------------


def test_a_bare_site_gets_service_roles_scopes_and_spawner(do: Callable[..., Any], tmp_path: Path) -> None:
    """Exactly these settings, and each says what it is for."""
    c = a_site()
    before = copy.deepcopy(dict(c.JupyterHub))
    did = do(c)
    assert set(c.JupyterHub) - set(before) == {
        "allow_named_servers",
        "custom_scopes",
        "extra_user_scopes",
        "load_roles",
        "named_server_limit_per_user",
        "services",
    }
    (service,) = c.JupyterHub.services
    assert (service["name"], service["url"]) == ("model-service", "http://10.9.0.1:8910")
    assert service["command"][1:] == ["-m", "jupyter_model_service.app", "--hub"]
    told = json.loads(service["environment"]["MODEL_SERVICE_HUB"])
    assert told == did.gateway_settings
    assert service["environment"]["MODEL_SERVICE_PARENT"] == str(os.getpid()), "the Hub's process, with which it ends"
    assert policy_from_plain(told["policy"]) == Policy(snapshot_bytes_per_user=20 << 30)
    assert read_key(Path(told["key_file"])) not in service["environment"]["MODEL_SERVICE_HUB"]
    assert stat.S_IMODE((tmp_path / "ms").stat().st_mode) == 0o700
    roles = roles_of(c)
    assert roles["model-service"]["services"] == ["model-service"]
    assert roles["model-service"]["scopes"] == [
        "servers",
        "list:users",
        "read:users",
        "admin:server_state",
        "users:activity",
        "tokens!user=model-service-tokens",
    ]
    assert (roles["model-service-tokens"]["users"], roles["model-service-tokens"]["scopes"]) == (
        ["model-service-tokens"],
        [INVOKE],
    )
    assert c.JupyterHub.extra_user_scopes == {f"{MANAGE}!user", ACCESS}
    assert c.JupyterHub.custom_scopes[MANAGE]["subscopes"] == [INVOKE]
    assert issubclass(c.JupyterHub.spawner_class, ModelServiceMixin)
    assert issubclass(c.JupyterHub.spawner_class, DockerSpawner)


def test_it_says_what_it_changed(do: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Named servers, clean-up, where the gateway runs, which scopes: on the log, one line each."""
    notes = " ".join(do(a_site()).notes)
    for words in ("allow_named_servers is on", "cleanup_servers is on", "runs the gateway at", "list:users"):
        assert words in notes
        assert words in caplog.text
    quiet = do(a_site(allow_named_servers=True, cleanup_servers=False), service_name="other").notes
    assert not any("allow_named_servers" in note or "cleanup_servers" in note for note in quiet)


@pytest.mark.parametrize(
    ("images", "rule", "told"),
    [
        (["*.example.org/*"], "quay.io/jupyter/*", "has *.example.org/*: "),
        (["ubuntu*", "quay.io/jupyter/*"], "regist[r]y.example.org/*", "has ubuntu*, regist[r]y.example.org/*: "),
        (["*"], "registry.example.org:5000/course:*", None),
        (None, "ubuntu:24.04", None),
    ],
)
def test_a_pattern_that_images_of_any_registry_fit_is_noted(
    do: Callable[..., Any], images: list[str] | None, rule: str, told: str | None
) -> None:
    """``*`` stands for slashes, too."""
    notes = do(a_site(), allowed_images=images, rules=[{"users": ["ann"], "allowed_images": [rule]}]).notes
    found = [note for note in notes if "of any registry" in note]
    assert (not found) if told is None else (told in found[0])


@pytest.mark.parametrize(("given", "told"), [((), True), (("10.0.0.9",), False)])
def test_who_stands_behind_the_proxy_is_told_apart_or_that_they_are_not_is_noted(
    do: Callable[..., Any], given: tuple[str, ...], told: bool
) -> None:
    notes = do(a_site(), trusted_proxies=given).notes
    assert any("trusted_proxies is empty" in note and "docs/admin.md" in note for note in notes) is told


def hers(handler: Any) -> int:
    return 2


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize(
    "hub",
    [
        {},
        {"named_server_limit_per_user": 3, "custom_scopes": {"custom:other:x": {"description": "x"}}},
        {"named_server_limit_per_user": hers, "services": [{"name": "culler"}], "spawner_class": OwnSpawner},
        {"load_roles": [{"name": "user", "scopes": ["self"]}], "allow_named_servers": True, "cleanup_servers": False},
    ],
)
def test_there_is_a_note_for_each_setting_that_changed(
    do: Callable[..., Any], hub: dict[str, Any], managed: bool
) -> None:
    """By the difference of the whole configuration: the setting's name, and what is new in it."""
    c = a_site(**hub)
    before = copy.deepcopy(c)
    notes = do(c, managed=managed).notes
    assert {section for section in c if c[section] != before.get(section)} == {"JupyterHub"}
    changed = {name for name in c.JupyterHub if c.JupyterHub[name] != before.JupyterHub.get(name)}
    assert {name: sum(name in note for note in notes) >= 1 for name in changed} == dict.fromkeys(changed, True)
    said = "\n".join(notes)
    for name in ("services", "load_roles"):
        there = [each["name"] for each in before.JupyterHub.get(name, [])]
        assert all(f'"{each["name"]}"' in said for each in c.JupyterHub[name] if each["name"] not in there)
    for scope in set(c.JupyterHub.custom_scopes) - set(before.JupyterHub.get("custom_scopes", {})):
        assert any(scope in note and "custom_scopes" in note for note in notes)
    limit = {3: "(your 3)", hers: "(your function)"}.get(
        hub.get("named_server_limit_per_user"), "(no limit, as before)"
    )
    assert f"named_server_limit_per_user {limit}" in said
    by = "extra_user_scopes" if "extra_user_scopes" in changed else 'the role "user" in load_roles'
    assert f"every user holds {MANAGE}!user and {ACCESS}, by {by}." in notes


@pytest.mark.parametrize(("given", "told"), [("docker", False), (OwnSpawner, True), (SystemUserSpawner, True)])
def test_a_spawner_class_that_was_not_tried_is_said(do: Callable[..., Any], given: Any, told: bool) -> None:
    """DockerSpawner itself is run by our tests; of a class made from it, which of its methods replicas meet."""
    notes = [note for note in do(a_site(spawner_class=given)).notes if "not tried" in note]
    assert bool(notes) is told
    for note in notes:
        assert given.__name__ in note
        assert "get_state, load_state, clear_state, poll, stop and delete_forever" in note


def test_the_policy_and_the_gpus_are_as_given(do: Callable[..., Any]) -> None:
    did = do(
        a_site(),
        allowed_images=["a", "b:*"],
        max_replicas_per_user=None,
        gpus=[0, "GPU-12345678-aaaa"],
        max_gpus_per_user=4,
        max_gpus_per_replica=2,
        max_cpus=4,
        max_memory="1.5G",
        model_volumes={"llama": {"groups": ["ds"], "writable": True}, "models-{username}": {}},
        snapshot_bytes_per_user="500M",
        snapshot_files=1000,
        allow_public=False,
        users=["alice"],
        groups=["ds"],
        endpoints_url="https://models.example.org/",
        token_user="the-tokens",
    )
    assert did.settings.policy == Policy(
        allowed_images=("a", "b:*"),
        max_replicas_per_user=None,
        max_gpus_per_user=4,
        max_gpus_per_replica=2,
        max_cpus=4.0,
        max_memory=3 << 29,
        model_volumes=(VolumeRule("llama", groups=("ds",), writable=True), VolumeRule("models-{username}")),
        snapshot_bytes_per_user=500 << 20,
        snapshot_files=1000,
        allow_public=False,
        users=("alice",),
        groups=("ds",),
    )
    assert did.settings.gpus == ("0", "GPU-12345678-aaaa")
    assert did.gateway_settings["endpoints_url"] == "https://models.example.org/"
    assert did.gateway_settings["token_user"] == "the-tokens"
    assert do(a_site(), gpus="all", service_name="b").settings.gpus is None
    assert do(a_site(), service_name="c").settings.gpus == ()


def test_rules_and_times_reach_the_spawner_and_the_gateway(do: Callable[..., Any]) -> None:
    did = do(
        a_site(),
        longest_token="30d",
        idle_limit=3600,
        longest_life="12w",
        rules=[
            {"groups": ["ds"], "max_gpus_per_user": 4, "longest_token": None, "max_memory": "1G"},
            {"users": ["alice"], "allowed_images": ["a:*"], "allow_public": True},
        ],
    )
    policy = did.settings.policy
    assert (policy.longest_token, policy.idle_limit, policy.longest_life) == (30 * 86400.0, 3600.0, 84 * 86400.0)
    assert policy.rules == (
        PolicyRule({"max_gpus_per_user": 4, "longest_token": None, "max_memory": 1 << 30}, groups=("ds",)),
        PolicyRule({"allowed_images": ("a:*",), "allow_public": True}, users=("alice",)),
    )
    assert policy_from_plain(json.loads(json.dumps(did.gateway_settings["policy"]))).rules == policy.rules


def test_an_unmanaged_gateway_has_its_settings_in_files(do: Callable[..., Any], tmp_path: Path) -> None:
    """The Hub starts nothing; token and settings are for their owner only, and stay the same at the next start."""
    c = a_site()
    did = do(c, managed=False, groups=["who's who"])
    (service,) = c.JupyterHub.services
    assert "command" not in service
    token = (tmp_path / "ms" / "api-token").read_text().strip()
    assert (service["api_token"], did.api_token_file) == (token, tmp_path / "ms" / "api-token")
    for name in ("api-token", "gateway.env", "sealing.key"):
        assert stat.S_IMODE((tmp_path / "ms" / name).stat().st_mode) == 0o600
    line = (tmp_path / "ms" / "gateway.env").read_text()
    assert json.loads(line.partition("=")[2].strip().strip("'")) == did.gateway_settings
    assert did.gateway_settings["api_token_file"] == str(tmp_path / "ms" / "api-token")
    shell = subprocess.run(
        ["sh", "-c", f'. "{tmp_path}/ms/gateway.env"; printf %s "$MODEL_SERVICE_HUB"'], capture_output=True, check=True
    )
    assert json.loads(shell.stdout) == did.gateway_settings
    again = a_site()
    assert do(again, managed=False).settings.hub == did.settings.hub
    assert again.JupyterHub.services[0]["api_token"] == token


# --- what it leaves ----------------------------------------------------------------------------------


def test_what_a_site_has_stays(do: Callable[..., Any]) -> None:
    """Hooks, services, roles, custom scopes, profiles, limits of spawners: the same objects as before."""

    def hook(spawner: Any) -> None:
        pass

    c = a_site(
        spawner_class=OwnSpawner,
        services=[{"name": "culler", "command": ["x"]}],
        load_roles=[{"name": "culler", "services": ["culler"], "scopes": ["list:users"]}],
        custom_scopes={"custom:other:x": {"description": "x"}},
        cleanup_servers=False,
        named_server_limit_per_user=3,
        concurrent_spawn_limit=7,
    )
    c.Spawner.pre_spawn_hook = hook
    c.Spawner.apply_user_options = hook
    c.Spawner.options_form = "<form>"
    c.OwnSpawner.allowed_images = ["a"]
    c.OwnSpawner.mem_limit = "2G"
    c.Authenticator.admin_users = {"root"}
    before = copy.deepcopy(c)
    do(c)
    changed = {"spawner_class", "services", "load_roles", "custom_scopes", "named_server_limit_per_user"}
    added = {"allow_named_servers", "extra_user_scopes"}
    assert {name for name in c.JupyterHub if c.JupyterHub[name] != before.JupyterHub.get(name)} == changed | added
    assert {name: c[name] for name in c if name != "JupyterHub"} == {
        name: before[name] for name in before if name != "JupyterHub"
    }
    assert c.JupyterHub.services[0] == {"name": "culler", "command": ["x"]}
    assert roles_of(c)["culler"] == before.JupyterHub.load_roles[0]
    assert "custom:other:x" in c.JupyterHub.custom_scopes
    assert c.JupyterHub.named_server_limit_per_user.site == 3
    spawner = c.JupyterHub.spawner_class(config=c, user=SimpleNamespace(name="u", url="/"), _deprecated_db_session=None)
    assert spawner.pre_spawn_hook is hook
    assert (spawner.mem_limit, spawner.allowed_images) == (2 << 30, {"a": "a"})


def test_what_a_site_appends_lazily_is_kept(do: Callable[..., Any]) -> None:
    """``c.JupyterHub.services.append(…)`` upon the default, which traitlets works out later."""
    c = a_site()
    c.JupyterHub.services.append({"name": "one"})
    c.JupyterHub.services.prepend([{"name": "zero"}])
    c.JupyterHub.load_roles.extend([{"name": "user", "scopes": ["self", "shares!user"]}])
    c.JupyterHub.custom_scopes.update({"custom:other:x": {"description": "x"}})
    do(c)
    assert [service["name"] for service in c.JupyterHub.services] == ["zero", "one", "model-service"]
    assert roles_of(c)["user"]["scopes"] == ["self", "shares!user", f"{MANAGE}!user", ACCESS]
    assert set(c.JupyterHub.custom_scopes) == {"custom:other:x", MANAGE, INVOKE, AUDIT}


def test_lazy_additions_after_it_still_work(do: Callable[..., Any]) -> None:
    c = a_site()
    do(c)
    c.JupyterHub.services.append({"name": "later"})
    assert [service["name"] for service in c.JupyterHub.services] == ["model-service", "later"]


@pytest.mark.parametrize(
    "given", ["docker", "dockerspawner.DockerSpawner", DockerSpawner, OwnSpawner, SystemUserSpawner]
)
def test_each_form_of_a_spawner_class(do: Callable[..., Any], given: Any) -> None:
    c = a_site(spawner_class=given)
    do(c)
    found = c.JupyterHub.spawner_class
    assert issubclass(found, ModelServiceMixin)
    assert issubclass(found, given if isinstance(given, type) else DockerSpawner)


def test_two_sites_share_nothing(do: Callable[..., Any], tmp_path: Path) -> None:
    """Two Hubs of one machine have different keys and marks; the class of the one is not the other's."""
    first, second = a_site(), a_site()
    one, two = do(first), do(second, data_dir=tmp_path / "other")
    assert one.settings.hub != two.settings.hub
    assert first.JupyterHub.spawner_class is not second.JupyterHub.spawner_class
    assert first.JupyterHub.spawner_class.model_service is one.settings
    assert second.JupyterHub.spawner_class.model_service is two.settings


# --- every user's scopes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "extra", "expected_role", "expected_extra"),
    [
        (None, None, None, {f"{MANAGE}!user", ACCESS}),
        (None, {"shares!user"}, None, {"shares!user", f"{MANAGE}!user", ACCESS}),
        ([{"name": "user", "scopes": ["self"]}], None, ["self", f"{MANAGE}!user", ACCESS], None),
        ([{"name": "user", "scopes": []}], None, [f"{MANAGE}!user", ACCESS], None),
        ([{"name": "user", "scopes": ["self", f"{MANAGE}!user"]}], None, ["self", f"{MANAGE}!user", ACCESS], None),
        ([{"name": "user", "users": ["a"]}], None, None, {f"{MANAGE}!user", ACCESS}),
    ],
)
def test_users_get_two_scopes_on_top_on_6(
    do: Callable[..., Any], roles: Any, extra: Any, expected_role: Any, expected_extra: Any
) -> None:
    """In the site's own role "user" where it has one with scopes, else beside JupyterHub's."""
    c = a_site()
    if roles is not None:
        c.JupyterHub.load_roles = roles
    if extra is not None:
        c.JupyterHub.extra_user_scopes = extra
    do(c)
    assert roles_of(c).get("user", {}).get("scopes") == expected_role
    assert c.JupyterHub.get("extra_user_scopes") == expected_extra


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], {"name": "user", "scopes": ["self", f"{MANAGE}!user"]}),
        ([{"name": "user", "users": ["a"]}], {"name": "user", "users": ["a"], "scopes": ["self", f"{MANAGE}!user"]}),
        ([{"name": "user", "scopes": ["x"]}], {"name": "user", "scopes": ["x", f"{MANAGE}!user"]}),
    ],
)
def test_users_get_one_scope_on_top_on_5(roles: Any, expected: Any) -> None:
    """Without ``extra_user_scopes`` the role is set, and keeps what JupyterHub gives by itself."""
    c = a_site(load_roles=roles)
    given = copy.deepcopy(roles)
    SiteConfig(c).add_user_scopes([f"{MANAGE}!user"], extra=False)
    assert roles_of(c)["user"] == expected
    assert roles == given  # the site's own list is not written into


# --- where the Hub is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hub", "api_url", "public_url", "prefix"),
    [
        ({}, "http://h:8081/hub/api", "http://h:8000", "/services/ms/"),
        ({"base_url": "/jh"}, "http://h:8081/jh/hub/api", "http://h:8000", "/jh/services/ms/"),
        ({"bind_url": "https://:443/jh/"}, "http://h:8081/jh/hub/api", "https://h:443", "/jh/services/ms/"),
        ({"bind_url": "http://10.0.0.5:80"}, "http://h:8081/hub/api", "http://10.0.0.5:80", "/services/ms/"),
        ({"ip": "10.0.0.6", "port": 90}, "http://h:8081/hub/api", "http://10.0.0.6:90", "/services/ms/"),
        ({"ssl_cert": "x.pem", "port": 443}, "http://h:8081/hub/api", "https://h:443", "/services/ms/"),
        (
            {"public_url": "https://hub.example.org/"},
            "http://h:8081/hub/api",
            "https://hub.example.org",
            "/services/ms/",
        ),
        ({"hub_ip": "0.0.0.0", "hub_port": 5}, "http://h:5/hub/api", "http://h:8000", "/services/ms/"),
        ({"hub_ip": "10.0.0.7"}, "http://10.0.0.7:8081/hub/api", "http://h:8000", "/services/ms/"),
        ({"hub_ip": "0.0.0.0", "hub_connect_ip": "hub"}, "http://hub:8081/hub/api", "http://h:8000", "/services/ms/"),
        ({"hub_connect_url": "http://hub:82"}, "http://hub:82/hub/api", "http://h:8000", "/services/ms/"),
        ({"hub_bind_url": "http://10.0.0.8:83"}, "http://10.0.0.8:83/hub/api", "http://h:8000", "/services/ms/"),
        ({"hub_bind_url": "http://:84"}, "http://h:84/hub/api", "http://h:8000", "/services/ms/"),
    ],
)
def test_an_unmanaged_gateway_is_told_where_the_hub_is(
    hub: dict[str, Any], api_url: str, public_url: str, prefix: str
) -> None:
    """As JupyterHub works it out; where it would say "everywhere", this machine as containers see it."""
    assert Addresses.of(SiteConfig(a_site(**hub)), "ms", "h") == Addresses(api_url, public_url, prefix)


# --- the limit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", [4, lambda handler: 4])
def test_the_sites_limit_is_wrapped(do: Callable[..., Any], site: Any) -> None:
    c = a_site(named_server_limit_per_user=site)
    do(c)
    limit = c.JupyterHub.named_server_limit_per_user
    assert isinstance(limit, NamedServerLimit)
    assert limit.site is site
    assert callable(limit)


def a_call(who: Any, method: str = "POST", server: str = "own", body: Any = None, **user: Any) -> Any:
    """A request as the Hub's handler has it when it asks for the limit."""
    handler = object.__new__(UserServerAPIHandler)
    handler._jupyterhub_user = who
    handler.path_args = ["alice", server]
    handler.request = SimpleNamespace(method=method, body=json.dumps(body).encode())
    handler.application = SimpleNamespace(settings={"spawner_class": user.get("spawner_class", DockerSpawner)})
    handler.find_user = lambda name: SimpleNamespace(orm_spawners=user.get("servers", {}))
    return handler


USER = SimpleNamespace(name="alice")


def test_replicas_come_on_top_of_the_users_own_servers(do: Callable[..., Any]) -> None:
    """With three of ours among five records a limit of 4 is 7 for JupyterHub, which counts all; none stays none."""
    servers = dict.fromkeys(["", "a", "ms-x-abc123", "ms-y-abc123", "ms-job-0123456789ab"])
    call = a_call(USER, servers=servers)
    assert asyncio.run(NamedServerLimit(4, "model-service")(call)) == 7
    assert asyncio.run(NamedServerLimit(0, "model-service")(call)) == 0

    async def of_site(handler: Any) -> int:
        assert handler is call
        return 4

    assert asyncio.run(NamedServerLimit(of_site, "model-service")(call)) == 7


@pytest.mark.parametrize(
    ("method", "server", "body"),
    [
        ("POST", "ms-x-abc123", None),
        ("PUT", "ms-x", {}),
        ("POST", "own", {"model_service": 1}),
        ("POST", "own", {"user_options": {"model_service": 1}, "display_name": "x"}),
        ("PATCH", "own", {"name": "ms-x-abc123"}),
        ("PATCH", "own", {"user_options": {"model_service": 1}}),
    ],
)
def test_nobody_else_asks_for_servers_of_ours(method: str, server: str, body: Any) -> None:
    """A user, an administrator and another service alike."""
    for who in (USER, orm.Service(name="other")):
        with pytest.raises(HTTPError) as caught:
            asyncio.run(NamedServerLimit(0, "model-service")(a_call(who, method, server, body)))
        assert caught.value.status_code == 403
    ours = a_call(orm.Service(name="model-service"), method, server, body, spawner_class=OwnWithUs)
    assert asyncio.run(NamedServerLimit(1, "model-service")(ours)) == 0


@pytest.mark.parametrize(
    ("method", "server", "body"),
    [("POST", "own", {"image": "x"}), ("PATCH", "ms-x-abc123", {"name": "own"}), ("POST", "m", [])],
)
def test_other_requests_are_none_of_our_business(method: str, server: str, body: Any) -> None:
    assert asyncio.run(NamedServerLimit(2, "model-service")(a_call(USER, method, server, body))) == 2


def test_a_spawner_class_that_was_set_again_is_said() -> None:
    """The site's configuration went on after install(): our service's first request says so."""
    with pytest.raises(HTTPError, match="install"):
        asyncio.run(NamedServerLimit(0, "model-service")(a_call(orm.Service(name="model-service"))))


# --- what it refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hub", "given", "words"),
    [
        ({"spawner_class": None}, {}, "LocalProcessSpawner"),
        ({"spawner_class": "simple"}, {}, "SimpleLocalProcessSpawner"),
        ({"spawner_class": SwarmSpawner}, {}, "SwarmSpawner"),
        ({"spawner_class": "docker-swarm"}, {}, "SwarmSpawner"),
        ({"spawner_class": ManyEngines}, {}, "ManyEngines has a client of its own"),
        ({"spawner_class": "no.such.Class"}, {}, "cannot be imported"),
        ({"spawner_class": "dockerspawner"}, {}, "no class"),
        ({"allow_named_servers": False}, {}, "allow_named_servers is False"),
        ({"internal_ssl": True}, {}, "internal_ssl"),
        ({"services": [{"name": "model-service"}]}, {}, 'a service called "model-service"'),
        ({"load_roles": [{"name": "model-service"}]}, {}, 'a role called "model-service"'),
        ({"custom_scopes": {INVOKE: {}}}, {}, INVOKE),
        ({}, {"network": "host"}, "network is 'host'"),
        ({}, {"network": "none"}, "network is 'none'"),
        ({}, {"network": ""}, "network is ''"),
        ({}, {"network": "container:x"}, "network is"),
        ({}, {"allowed_images": "one:*"}, "allowed_images is one text"),
        ({}, {"allowed_images": [1]}, "allowed_images has 1"),
        ({}, {"max_replicas_per_user": -1}, "max_replicas_per_user"),
        ({}, {"max_replicas_per_user": "10"}, "max_replicas_per_user"),
        ({}, {"max_gpus_per_user": 1.5}, "max_gpus_per_user"),
        ({}, {"longest_token": "30 days"}, "longest_token is '30 days'"),
        ({}, {"idle_limit": True}, "idle_limit is True"),
        ({}, {"longest_life": "0s"}, "longest_life is '0s'"),
        ({}, {"rules": {"groups": ["ds"]}}, "rules is no list"),
        ({}, {"rules": ["ds"]}, "rules[0] is 'ds'"),
        ({}, {"rules": [{"max_cpus": 1}]}, "rules[0] is for nobody"),
        ({}, {"rules": [{"groups": ["ds"]}]}, "rules[0] changes nothing"),
        ({}, {"rules": [{"groups": "ds", "max_cpus": 1}]}, "rules[0]: groups is one text"),
        ({}, {"rules": [{"groups": ["ds"], "max_gpus": 1}]}, "rules[0] has 'max_gpus'"),
        ({}, {"rules": [{"groups": ["ds"], "max_cpus": None}]}, "rules[0]: max_cpus is None"),
        ({}, {"rules": [{"groups": ["ds"], "max_cpus": 0}]}, "rules[0]: max_cpus is 0"),
        ({}, {"rules": [{"groups": ["ds"], "allow_public": 1}]}, "rules[0]: allow_public is 1"),
        ({}, {"max_cpus": 0}, "max_cpus"),
        ({}, {"max_cpus": float("nan")}, "max_cpus"),
        ({}, {"max_cpus": 100_001}, "max_cpus is 100001, and must be a number from 0.001 to 100000, or None"),
        ({}, {"max_services_per_user": 1_000_001}, "max_services_per_user is 1000001, and must be a whole number"),
        ({}, {"max_memory": "lots"}, "max_memory is 'lots', and must be a size from 1 MiB to 1 EiB"),
        ({}, {"max_memory": "0G"}, "max_memory"),
        ({}, {"max_memory": 32}, "max_memory is 32, and must be a size from 1 MiB"),
        ({}, {"allow_public": "no"}, "allow_public is 'no', and must be True or False"),
        ({}, {"users": ["x" * 4097]}, "which is no name"),
        ({}, {"snapshot_bytes_per_user": "-1G"}, "snapshot_bytes_per_user"),
        ({}, {"gpus": "0,1"}, "gpus is '0,1'"),
        ({}, {"gpus": 2}, "gpus is 2"),
        ({}, {"gpus": ["first"]}, "gpus has 'first'"),
        ({}, {"model_volumes": ["/srv/models"]}, "model_volumes has '/srv/models'"),
        ({}, {"model_volumes": "llama"}, "model_volumes is one text"),
        ({}, {"model_volumes": {"v": {"user": ["a"]}}}, "model_volumes['v']"),
        ({}, {"users": "alice"}, "users is one text"),
        ({}, {"service_name": "Model Service"}, "service_name"),
        ({}, {"gateway_address": "10.0.0.1"}, "gateway_address"),
        ({}, {"gateway_address": "127.0.0.1:80"}, "containers cannot reach"),
        ({}, {"gateway_address": "10.0.0.1:99999"}, "gateway_address"),
        ({}, {"endpoints_url": "models.example.org"}, "endpoints_url"),
        ({}, {"endpoints_url": "http://*.models.example.org"}, "has to begin with https"),
        ({}, {"endpoints_url": "https://x*.example.org"}, "endpoints_url"),
        ({}, {"trusted_proxies": ["proxy"]}, "trusted_proxies has 'proxy'"),
        ({}, {"share_per_service": 0}, "share_per_service is 0, and must be a share: more than 0, and 1 at most"),
        ({}, {"share_per_service": True}, "share_per_service is True"),
        ({}, {"share_per_owner": 1.5}, "share_per_owner is 1.5, and must be a share: more than 0, and 1 at most"),
        ({}, {"access_log": ""}, "access_log is ''"),
        ({}, {"access_log": True}, "access_log is True"),
        ({}, {"access_log": "a\nb"}, "access_log is"),
        ({}, {"access_log": "a", "access_log_bytes": "0"}, "access_log_bytes: '0' is no size"),
        ({}, {"audit_kept": "5h"}, "audit_kept is '5h', and must be a day or more, or None for ever"),
        ({}, {"audit_kept": "long"}, "audit_kept is 'long'"),
        ({}, {"audit_log": ""}, "audit_log is ''"),
        ({}, {"audit_log": 7}, "audit_log is 7"),
        ({}, {"audit_log": "-", "access_log": "-"}, "audit_log and access_log are both '-'"),
        ({}, {"audit_syslog": "logs:514"}, "audit_syslog: 'logs:514' is neither a socket such as /dev/log nor"),
        ({}, {"audit_syslog": 5}, "audit_syslog"),
        ({}, {"data_dir": "/dev/null/x"}, "data_dir"),
        ({}, {"key_file": "/nowhere/at/all"}, "key file"),
    ],
)
def test_a_wrong_or_impossible_setting_stops_the_start_with_one_sentence(
    do: Callable[..., Any], hub: dict[str, Any], given: dict[str, Any], words: str
) -> None:
    c = a_site(**hub)
    if c.JupyterHub.spawner_class is None:
        del c.JupyterHub["spawner_class"]
    with pytest.raises(SystemExit) as caught:
        do(c, **given)
    sentence = str(caught.value)
    assert sentence.startswith("The model service cannot be installed: ")
    assert words in sentence
    assert "\n" not in sentence
    assert caught.value.code != 0


def test_an_authenticator_that_manages_roles_is_refused(do: Callable[..., Any]) -> None:
    """JupyterHub then forbids roles for users in load_roles, with an error that would not name us."""
    c = a_site()
    c.GenericOAuthenticator.manage_roles = True
    with pytest.raises(SystemExit, match=r"c\.GenericOAuthenticator\.manage_roles"):
        do(c)


def test_twice_is_refused(do: Callable[..., Any]) -> None:
    c = a_site()
    do(c)
    with pytest.raises(SystemExit, match="twice"):
        do(c)


def test_a_key_that_others_can_read_is_refused(do: Callable[..., Any], tmp_path: Path) -> None:
    do(a_site())
    (tmp_path / "ms" / "sealing.key").chmod(0o644)
    with pytest.raises(SystemExit, match="chmod 600"):
        do(a_site())


def test_a_network_that_is_not_there_is_refused(do: Callable[..., Any], docker_engine: Any) -> None:
    c = a_site()
    del c.DockerSpawner["client_kwargs"]
    with pytest.raises(SystemExit, match="docker network create jmstest-no-such"):
        do(c, network="jmstest-no-such")


@pytest.mark.parametrize(
    ("options", "told"), [({}, True), ({"enable_icc": "true"}, True), ({"enable_icc": "false"}, False)]
)
def test_it_is_said_when_containers_of_the_network_reach_each_other(
    do: Callable[..., Any], docker_engine: Any, network: Any, options: dict[str, str], told: bool
) -> None:
    """Two users' replicas are neighbours there, and a model's own port asks for no token."""
    c = a_site()
    c.DockerSpawner.client_kwargs = {}
    made = docker_engine.networks.create(
        f"{PREFIX}{network.session}-icc",
        driver="bridge",
        labels={TEST_LABEL: network.session},
        options={f"com.docker.network.bridge.{name}": value for name, value in options.items()},
    )
    try:
        notes = do(c, network=made.name).notes
    finally:
        made.remove()
    assert any("past the token" in note and "enable_icc=false" in note for note in notes) is told


def test_the_address_is_the_hosts_in_that_network(do: Callable[..., Any], network: Any) -> None:
    """Without ``gateway_address``: where containers reach this machine, which the engine knows."""
    c = a_site()
    del c.DockerSpawner["client_kwargs"]
    c.DockerSpawner.network_name = network.name
    did = do(c, network=network.name, gateway_address=None)
    assert did.settings.gateway == f"http://{network.address}:8910"
    assert any("network of their own" in note for note in did.notes)


def test_without_an_engine_the_address_must_be_given(do: Callable[..., Any]) -> None:
    with pytest.raises(SystemExit, match="gateway_address"):
        do(a_site(), gateway_address=None)


# --- the user that holds the endpoints' tokens ----------------------------------------------------------


@pytest.mark.parametrize("authenticator", [None, "pam", "jupyterhub.auth.LocalAuthenticator"])
def test_a_site_of_local_accounts_needs_one_for_the_endpoints_tokens(
    do: Callable[..., Any], authenticator: str | None
) -> None:
    """Otherwise the Hub ends with a traceback: it makes every user that a role names, and PAM knows none of that name."""
    c = a_site()
    del c.JupyterHub["authenticator_class"]
    if authenticator is not None:
        c.JupyterHub.authenticator_class = authenticator
    with pytest.raises(
        SystemExit, match="useradd --system --no-create-home --shell /usr/sbin/nologin model-service-tok"
    ):
        do(c)
    do(c, token_user="nobody")


def test_a_hub_that_makes_accounts_itself_makes_that_one(do: Callable[..., Any]) -> None:
    c = a_site(authenticator_class="pam")
    c.LocalAuthenticator.create_system_users = True
    assert do(c).gateway_settings["token_user"] == "model-service-tokens"
