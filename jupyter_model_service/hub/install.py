"""``install(c, network=…)`` in a site's ``jupyterhub_config.py``: the service, its scopes, the spawner, the limits.

It adds to what the site has set and changes nothing else; what it did is said on the Hub's log. A setting that is
wrong, or with which this cannot work, ends the Hub's start with one sentence.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters.sealing import Sealer, SealError, make_key
from ..core.hub_scopes import INVOKE, MANAGE
from ..core.policy import SNAPSHOT_FILES, Policy, host_to_plain, policy_to_plain
from . import given
from .addresses import Addresses
from .host_facts import as_notebooks_have, host_of, offered_images
from .limits import NamedServerLimit
from .private_files import token_in, write_private
from .settings import HubSettings
from .site_config import SiteConfig, WrongSetting
from .spawner import ModelServiceMixin, spawner_class
from .token_user import missing_account

GATEWAY_PORT = 8910

log = logging.getLogger("jupyter_model_service.hub")


@dataclass(frozen=True)
class Installed:
    """What :func:`install` did, for those who want to look at it. ``notes`` are the lines that it has logged."""

    settings: HubSettings
    gateway_settings: Mapping[str, Any]
    api_token_file: Path | None
    notes: Sequence[str]


def install(
    c: Any,
    *,
    network: str,
    allowed_images: Iterable[str] | None = None,
    max_replicas_per_user: int | None = 10,
    gpus: str | Iterable[str | int] | None = None,
    max_gpus_per_user: int | None = None,
    max_gpus_per_replica: int | None = None,
    max_cpus: float | None = None,
    max_memory: str | int | None = None,
    model_volumes: Mapping[str, Mapping[str, Any]] | Iterable[str] = (),
    snapshot_bytes_per_user: str | int = "20G",
    snapshot_files: int = SNAPSHOT_FILES,
    allow_public: bool = True,
    users: Collection[str] | None = None,
    groups: Collection[str] | None = None,
    service_name: str = "model-service",
    gateway_address: str | None = None,
    endpoints_url: str | None = None,
    managed: bool = True,
    key_file: str | Path | None = None,
    data_dir: str | Path = "model-service",
    token_user: str | None = None,
    trusted_proxies: Iterable[str] = (),
    access_log: str | Path | None = None,
    access_log_bytes: str | int | None = "64M",
) -> Installed:
    """Let the users of this Hub serve models. Call it at the end of ``jupyterhub_config.py``; ``c`` is its ``c``.

    ``network``: the Docker network of the replicas. ``allowed_images``: names or patterns; without them a replica may
    run what its owner's notebook runs and what the site offers. ``gpus``: ``None`` for none, ``"all"``, or numbers or
    UUIDs of those that replicas may have. ``max_cpus`` and ``max_memory``: of one replica; without them as much as a
    notebook here. ``model_volumes``: volumes that may be mounted whole, or a mapping of their names to ``{"users",
    "groups", "writable"}``. ``users`` and ``groups``: who may serve, everybody by default. ``gateway_address``:
    ``host:port`` at which containers and the Hub's proxy reach the gateway; by default the host's own address in the
    network, port 8910. ``managed``: the Hub runs the gateway. ``data_dir``: of the gateway, with its key.
    ``trusted_proxies``: addresses or networks of proxies before the gateway that say truly who calls. ``access_log``: a
    file in ``data_dir``, or ``"-"``, for a line of each call; at ``access_log_bytes`` it is begun anew.

    Raises ``SystemExit`` with one sentence, which ends the Hub's start.
    """
    try:
        policy = Policy(
            allowed_images=None if allowed_images is None else given.names_of("allowed_images", allowed_images),
            max_replicas_per_user=given.count_of("max_replicas_per_user", max_replicas_per_user),
            max_gpus_per_user=given.count_of("max_gpus_per_user", max_gpus_per_user),
            max_gpus_per_replica=given.count_of("max_gpus_per_replica", max_gpus_per_replica),
            max_cpus=given.cpus_of(max_cpus),
            max_memory=given.setting_size_of("max_memory", max_memory),
            model_volumes=given.volumes_of(model_volumes),
            snapshot_bytes_per_user=given.setting_size_of("snapshot_bytes_per_user", snapshot_bytes_per_user) or 0,
            snapshot_files=given.count_of("snapshot_files", snapshot_files) or 0,
            allow_public=bool(allow_public),
            users=None if users is None else given.names_of("users", users),
            groups=None if groups is None else given.names_of("groups", groups),
        )
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", service_name):
            raise WrongSetting(f"service_name {service_name!r} must be lower-case letters, digits and hyphens.")
        installation = _Installation(SiteConfig(c), network, service_name, managed, Path(data_dir).absolute())
        return installation.run(
            policy=policy,
            gpus=given.gpus_of(gpus),
            gateway_address=gateway_address,
            endpoints_url=given.url_of("endpoints_url", endpoints_url),
            key_file=None if key_file is None else Path(key_file).absolute(),
            token_user=token_user or f"{service_name}-tokens",
            trusted_proxies=given.networks_of("trusted_proxies", trusted_proxies),
            access_log=given.access_log_of(access_log, access_log_bytes),
        )
    except (WrongSetting, SealError) as error:
        raise SystemExit(f"The model service cannot be installed: {error}") from None


class _Installation:
    def __init__(self, site: SiteConfig, network: str, service_name: str, managed: bool, data_dir: Path) -> None:
        self._site = site
        self._network = network
        self._name = service_name
        self._managed = managed
        self._data_dir = data_dir
        self._notes: list[str] = []
        self._engine: Mapping[str, Any] = {}  # what it says of its machine

    def run(
        self,
        *,
        policy: Policy,
        gpus: tuple[str, ...] | None,
        gateway_address: str | None,
        endpoints_url: str | None,
        key_file: Path | None,
        token_user: str,
        trusted_proxies: tuple[str, ...],
        access_log: Mapping[str, Any],
    ) -> Installed:
        spawner = self._check_spawner()
        self._check_hub()
        if (sentence := missing_account(self._site, token_user)) is not None:
            raise WrongSetting(sentence)
        facts = self._look_at_network(spawner)
        address = given.address_of(gateway_address or self._default_address(facts))
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WrongSetting(f"the data_dir {self._data_dir} cannot be made: {error.strerror}.") from None
        key_path = key_file or self._data_dir / "sealing.key"
        key = make_key(key_path)
        settings = HubSettings(
            network=self._network,
            policy=policy,
            hub=hashlib.sha256(f"hub|{key}".encode()).hexdigest()[:12],
            sealer=Sealer(key),
            gateway=f"http://{address}",
            service_name=self._name,
            gpus=gpus,
        )
        addresses = Addresses.of(self._site, self._name, address.rpartition(":")[0])
        told = {
            "v": 1,
            "gateway": settings.gateway,
            "api_url": addresses.api_url,
            "prefix": addresses.prefix,
            "public_url": addresses.public_url,
            "key_file": str(key_path),
            "data_dir": str(self._data_dir),
            "policy": policy_to_plain(as_notebooks_have(policy, self._site, spawner)),
            "host": host_to_plain(host_of(self._engine, gpus)),
            "site_images": offered_images(self._site, spawner),
            "endpoints_url": endpoints_url,
            "token_user": token_user,
            "service_name": self._name,
            "hub": settings.hub,
            "trusted_proxies": list(trusted_proxies),
            **access_log,
            **({} if self._managed else {"api_token_file": str(self._data_dir / "api-token")}),
        }
        self._set_spawner(spawner, settings)
        self._limit_servers()
        token_file = self._add_service(settings, told)
        self._add_scopes(token_user)
        for note in self._notes:
            log.warning("Model service: %s", note)
        return Installed(settings, told, token_file, tuple(self._notes))

    # --- what must be so ---

    def _check_spawner(self) -> type[Any]:
        site = self._site.spawner_class()
        try:
            from dockerspawner import DockerSpawner, SwarmSpawner
        except ImportError:
            raise WrongSetting(
                "dockerspawner is not installed where the Hub runs: pip install 'jupyter-model-service[hub]'."
            ) from None
        name = "LocalProcessSpawner" if site is None else site.__name__
        if site is not None and issubclass(site, ModelServiceMixin):
            raise WrongSetting("install() was called twice.")
        if site is None or not issubclass(site, DockerSpawner) or issubclass(site, SwarmSpawner):
            raise WrongSetting(
                f"c.JupyterHub.spawner_class is {name}, and only DockerSpawner and classes made from it are supported."
            )
        if site.client is not DockerSpawner.client:
            raise WrongSetting(
                f"the spawner class {name} has a client of its own, and replicas need one engine for all, which they "
                "ask through DockerSpawner's: leave that out, or use DockerSpawner."
            )
        if site is not DockerSpawner:
            self._note(
                f"the spawner class {name} was not tried with this. Notebooks are started by it as before, and "
                "replicas by none of it; but its get_state, load_state, clear_state, poll, stop and delete_forever, "
                "where it has its own, are asked for replicas, too, and must call super()."
            )
        return site

    def _check_hub(self) -> None:
        named = self._site.of_hub("allow_named_servers")
        if named is None:
            self._site.set_hub("allow_named_servers", True)
            self._note("allow_named_servers is on, since replicas are named servers.")
        elif not named:
            raise WrongSetting(
                "c.JupyterHub.allow_named_servers is False, and replicas are named servers: remove that line."
            )
        if self._site.of_hub("internal_ssl"):
            raise WrongSetting("c.JupyterHub.internal_ssl is on, and replicas cannot be reached with it: turn it off.")
        if self._site.of_hub("cleanup_servers", True):
            self._note(
                "cleanup_servers is on, so the Hub stops every server, replicas included, when it ends, and they come "
                "back after its start; with c.JupyterHub.cleanup_servers = False they run on."
            )
        for section, value in self._site.anywhere("manage_roles"):
            if value is True:
                raise WrongSetting(
                    f"c.{section}.manage_roles is on, and JupyterHub then lets no configuration give a role to the "
                    "user that holds the endpoints' tokens: turn it off."
                )

    def _look_at_network(self, spawner: type[Any]) -> Mapping[str, Any]:
        name = self._network
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in _NO_NETWORKS:
            raise WrongSetting(
                f"network is {name!r}, and replicas need a Docker network with addresses of their own: "
                "docker network create model-service."
            )
        if self._site.of_spawners(spawner, "network_name") == name:
            self._note(
                f"replicas are in the notebooks' own network {name}, where every notebook can reach every model "
                "without a token; give them a network of their own."
            )
        import docker

        kwargs = docker.utils.kwargs_from_env() | dict(self._site.of_spawners(spawner, "client_kwargs") or {})
        try:
            client = docker.APIClient(**{**kwargs, "timeout": 5})
            with contextlib.closing(client):
                facts: Mapping[str, Any] = client.inspect_network(name)
                self._engine = client.info()
        except docker.errors.NotFound:
            raise WrongSetting(f'the Docker engine has no network "{name}": docker network create {name}.') from None
        except Exception as error:  # an engine that is not up yet must not keep the Hub from its start
            self._note(f"the Docker engine does not answer now, so the network {name} was not looked at ({error}).")
            return {}
        if facts.get("Driver") == "bridge" and (facts.get("Options") or {}).get(_ICC, "true").lower() != "false":
            self._note(
                f"containers in the network {name} reach each other, so a replica of one user can call another's model "
                f"past the token: make the network with --opt {_ICC}=false, or, where Hub or gateway are containers in "
                "it, set the two rules of the administrator's guide."
            )
        return facts

    def _default_address(self, network: Mapping[str, Any]) -> str:
        """This machine's own address in the network; in a container, the name by which others there find it."""
        for entry in (network.get("IPAM") or {}).get("Config") or ():
            address = entry.get("Gateway")
            if address and ":" not in address and _is_own(address):
                return f"{address}:{GATEWAY_PORT}"
        if network and Path("/.dockerenv").exists():
            return f"{socket.gethostname()}:{GATEWAY_PORT}"
        raise WrongSetting(
            "the address of the gateway cannot be worked out: give install() gateway_address='host:port', at which "
            "containers reach this machine."
        )

    # --- what is added ---

    def _set_spawner(self, site: type[Any], settings: HubSettings) -> None:
        self._site.set_hub("spawner_class", spawner_class(site, settings))
        self._note(
            f"spawner_class is {site.__name__} with the model service in front, for servers whose names begin "
            'with "ms-".'
        )

    def _limit_servers(self) -> None:
        site = self._site.of_hub("named_server_limit_per_user", 0)
        self._site.set_hub("named_server_limit_per_user", NamedServerLimit(site, self._name))
        yours = "your function" if callable(site) else f"your {site}" if site else "no limit, as before"
        self._note(
            f"named_server_limit_per_user ({yours}) is for the users' own servers; replicas do not count, and have "
            "max_replicas_per_user."
        )

    def _add_service(self, settings: HubSettings, told: Mapping[str, Any]) -> Path | None:
        service: dict[str, Any] = {"name": self._name, "url": settings.gateway}
        if self._managed:
            service["command"] = [sys.executable, "-m", "jupyter_model_service.app", "--hub"]
            # Which process the gateway is to end with: it may be killed before that one can look.
            service["environment"] = {"MODEL_SERVICE_HUB": json.dumps(told), "MODEL_SERVICE_PARENT": str(os.getpid())}
            self._site.add_service(service)
            self._note(
                f'services has one more, "{self._name}": the Hub runs the gateway at {settings.gateway}, with its data '
                f"in {self._data_dir}."
            )
            return None
        path = self._data_dir / "api-token"
        service["api_token"] = token_in(path)
        # Quoted as systemd's EnvironmentFile and a shell take it; JSON has no single quote of its own but in texts.
        text = json.dumps(told).replace("'", "\\u0027")
        write_private(self._data_dir / "gateway.env", f"MODEL_SERVICE_HUB='{text}'\n")
        self._site.add_service(service)
        self._note(
            f'services has one more, "{self._name}"; the gateway is not run by the Hub: start it at {settings.gateway} '
            f"with {self._data_dir / 'gateway.env'} and the token in {path}."
        )
        return path

    def _add_scopes(self, token_user: str) -> None:
        from jupyterhub.app import JupyterHub

        self._site.add_custom_scopes(
            {
                INVOKE: {"description": "Call the endpoints of models"},
                MANAGE: {"description": "Create, change and remove services of models", "subscopes": [INVOKE]},
            }
        )
        self._note(
            f"custom_scopes has two more: {INVOKE}, to call endpoints, and {MANAGE}, to manage services, which "
            "contains the former."
        )
        self._site.add_role(
            {
                "name": self._name,
                "description": "The gateway of the model service",
                "services": [self._name],
                "scopes": service_scopes(token_user),
            }
        )
        self._site.add_role(
            {
                "name": f"{self._name}-tokens",
                "description": "Holds the tokens of the model service's endpoints; nobody logs in as this user",
                "users": [token_user],
                "scopes": [INVOKE],
            }
        )
        extra = "extra_user_scopes" in JupyterHub.class_trait_names()
        where = self._site.add_user_scopes([f"{MANAGE}!user"], extra=extra)
        self._note(
            f'load_roles has two more: by "{self._name}" the service of that name holds '
            f'{", ".join(service_scopes(token_user))}; by "{self._name}-tokens" the user "{token_user}" holds '
            f"{INVOKE}, and no person may be able to log in as it."
        )
        self._note(f"every user holds {MANAGE}!user, by {where}.")

    def _note(self, text: str) -> None:
        self._notes.append(text)


def service_scopes(token_user: str) -> list[str]:
    """What the gateway's own token may do at the Hub, and no more."""
    return [
        "servers",  # start, stop and remove the replicas of whoever asks, and read which there are
        "list:users",  # one look at all replicas after a start of the gateway, and notice users who are gone
        "read:users",  # when a user was made (one of the same name inherits nothing), and which groups she is in
        "admin:server_state",  # where the replica is, or why it could not be started
        "users:activity",  # a replica that answers calls is not idle
        f"tokens!user={token_user}",  # the endpoints' tokens, of the one user that holds nothing else
    ]


def _is_own(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


_NO_NETWORKS = ("host", "none", "default")
_ICC = "com.docker.network.bridge.enable_icc"
