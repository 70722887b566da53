"""What has to be so at a site before anything is added to it; what deserves a word is noted."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .site_config import SiteConfig, WrongSetting
from .spawner import ModelServiceMixin

__all__ = ["GATEWAY_PORT", "Note", "check_hub", "check_spawner", "default_address", "look_at_network"]

GATEWAY_PORT = 8910

Note = Callable[[str], None]
"""Takes one line for the Hub's log."""


def check_spawner(site_config: SiteConfig, note: Note) -> type[Any]:
    site = site_config.spawner_class()
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
        note(
            f"the spawner class {name} was not tried with this. Notebooks are started by it as before, and "
            "replicas by none of it; but its get_state, load_state, clear_state, poll, stop and delete_forever, "
            "where it has its own, are asked for replicas, too, and must call super()."
        )
    return site


def check_hub(site: SiteConfig, note: Note) -> None:
    named = site.of_hub("allow_named_servers")
    if named is None:
        site.set_hub("allow_named_servers", True)
        note("allow_named_servers is on, since replicas are named servers.")
    elif not named:
        raise WrongSetting(
            "c.JupyterHub.allow_named_servers is False, and replicas are named servers: remove that line."
        )
    if site.of_hub("internal_ssl"):
        raise WrongSetting("c.JupyterHub.internal_ssl is on, and replicas cannot be reached with it: turn it off.")
    if site.of_hub("cleanup_servers", True):
        note(
            "cleanup_servers is on, so the Hub stops every server, replicas included, when it ends, and they come "
            "back after its start; with c.JupyterHub.cleanup_servers = False they run on."
        )
    for section, value in site.anywhere("manage_roles"):
        if value is True:
            raise WrongSetting(
                f"c.{section}.manage_roles is on, and JupyterHub then lets no configuration give a role to the "
                "user that holds the endpoints' tokens: turn it off."
            )


def look_at_network(
    site: SiteConfig, spawner: type[Any], name: str, note: Note
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the engine says of the network, and of its machine."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in _NO_NETWORKS:
        raise WrongSetting(
            f"network is {name!r}, and replicas need a Docker network with addresses of their own: "
            "docker network create model-service."
        )
    if site.of_spawners(spawner, "network_name") == name:
        note(
            f"replicas are in the notebooks' own network {name}, where every notebook can reach every model "
            "without a token; give them a network of their own."
        )
    import docker

    kwargs = docker.utils.kwargs_from_env() | dict(site.of_spawners(spawner, "client_kwargs") or {})
    try:
        client = docker.APIClient(**{**kwargs, "timeout": 5})
        with contextlib.closing(client):
            facts: Mapping[str, Any] = client.inspect_network(name)
            engine: Mapping[str, Any] = client.info()
    except docker.errors.NotFound:
        raise WrongSetting(f'the Docker engine has no network "{name}": docker network create {name}.') from None
    except Exception as error:  # an engine that is not up yet must not keep the Hub from its start
        note(f"the Docker engine does not answer now, so the network {name} was not looked at ({error}).")
        return {}, {}
    if facts.get("Driver") == "bridge" and (facts.get("Options") or {}).get(_ICC, "true").lower() != "false":
        note(
            f"containers in the network {name} reach each other, so a replica of one user can call another's model "
            f"past the token: make the network with --opt {_ICC}=false, or, where Hub or gateway are containers in "
            "it, set the two rules of the administrator's guide."
        )
    return facts, engine


def default_address(network: Mapping[str, Any]) -> str:
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


def _is_own(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


_NO_NETWORKS = ("host", "none", "default")
_ICC = "com.docker.network.bridge.enable_icc"
