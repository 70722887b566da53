"""What the gateway of a JupyterHub is told: by ``install()``, and by the Hub itself in its variables for services."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.crowding import SHARE_PER_OWNER, SHARE_PER_SERVICE
from ..core.hosts import Hosts
from ..core.policy import Host, Policy, host_from_plain, policy_from_plain
from ..errors import InvalidRequest

__all__ = ["HUB_VARIABLE", "HubService", "hub_service"]

HUB_VARIABLE = "MODEL_SERVICE_HUB"


@dataclass(frozen=True)
class HubService:
    """What the gateway of a JupyterHub has to know. ``prefix`` is the path that the Hub's proxy sends here, with a
    slash at both ends; ``base`` the address under which people and programs reach that path. ``hosts``: services have
    hosts of their own besides."""

    api_url: str
    api_token: str = field(repr=False)
    service_name: str
    prefix: str
    host: str
    port: int
    base: str
    data_dir: Path
    key_file: Path
    policy: Policy
    token_user: str
    trusted_proxies: tuple[str, ...] = ()
    hosts: Hosts | None = None
    # Of signing in: our name as an OAuth client, where browsers go to, and where they come back; as they see it.
    oauth_client: str = ""
    oauth_authorize: str = ""
    oauth_callback: str = ""
    host_has: Host = field(default_factory=Host)  # for replicas, where install() saw it
    site_images: tuple[str, ...] = ()  # that the Hub lists for its users
    share_per_service: float = (
        SHARE_PER_SERVICE  # of the callers who may be connected, the calls that one service may have open
    )
    share_per_owner: float = SHARE_PER_OWNER  # … and all services of one owner together
    access_log: str = ""
    access_log_bytes: int = 0
    audit_kept: float | None = None  # seconds; 0: for ever, None: as the gateway's own options say
    audit_log: str = ""
    audit_syslog: str = ""


def hub_service(environment: Mapping[str, str] | None = None) -> HubService:
    """From ``MODEL_SERVICE_HUB``, which ``install()`` makes, and from the Hub's own variables for its services, which
    go first. ``InvalidRequest`` says in one sentence what is missing or wrong."""
    environment = os.environ if environment is None else environment
    told = _told(environment.get(HUB_VARIABLE, ""))
    name = str(told.get("service_name") or "model-service")
    prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX") or told.get("prefix") or f"/services/{name}/"
    prefix = "/" + f"{prefix}/".lstrip("/").replace("//", "/")
    service_url = _need(environment.get("JUPYTERHUB_SERVICE_URL") or told.get("gateway"), "JUPYTERHUB_SERVICE_URL")
    host, port = _host_and_port(service_url)
    try:
        policy = policy_from_plain(told["policy"])
        host_has = host_from_plain(told["host"]) if told.get("host") else Host()
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"The policy in {HUB_VARIABLE} cannot be used: {error}.") from error
    return HubService(
        api_url=_need(environment.get("JUPYTERHUB_API_URL") or told.get("api_url"), "JUPYTERHUB_API_URL"),
        api_token=_api_token(environment, told),
        service_name=name,
        prefix=prefix,
        host=host,
        port=port,
        base=_base(told, environment, service_url, prefix),
        data_dir=Path(_need(told.get("data_dir"), f"data_dir in {HUB_VARIABLE}")),
        key_file=Path(_need(told.get("key_file"), f"key_file in {HUB_VARIABLE}")),
        policy=policy,
        token_user=_need(told.get("token_user"), f"token_user in {HUB_VARIABLE}"),
        hosts=_hosts(told.get("endpoints_url")),
        oauth_client=environment.get("JUPYTERHUB_CLIENT_ID") or f"service-{name}",
        oauth_authorize=_authorize(environment, prefix, name),
        oauth_callback=environment.get("JUPYTERHUB_OAUTH_CALLBACK_URL") or f"{prefix}oauth_callback",
        trusted_proxies=_networks(told.get("trusted_proxies") or ()),
        host_has=host_has,
        site_images=tuple(map(str, told.get("site_images") or ())),
        share_per_service=float(told.get("share_per_service") or SHARE_PER_SERVICE),
        share_per_owner=float(told.get("share_per_owner") or SHARE_PER_OWNER),
        access_log=str(told.get("access_log") or ""),
        access_log_bytes=int(told.get("access_log_bytes") or 0),
        audit_kept=None if told.get("audit_kept") is None else float(told["audit_kept"]),
        audit_log=str(told.get("audit_log") or ""),
        audit_syslog=str(told.get("audit_syslog") or ""),
    )


def _told(text: str) -> Mapping[str, Any]:
    if not text:
        raise InvalidRequest(
            f"{HUB_VARIABLE} is not set: the gateway of a hub is started by the Hub, or with the file gateway.env that "
            "install() in the Hub's configuration writes."
        )
    try:
        told = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{HUB_VARIABLE} is not JSON: start the Hub again, which writes it anew.") from error
    if not isinstance(told, dict) or told.get("v", 1) != 1:
        raise InvalidRequest(
            f"{HUB_VARIABLE} is of another version of jupyter-model-service: the Hub and its gateway need the same."
        )
    return told


def _need(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name} is not set, and the gateway of a hub needs it.")
    return value


def _api_token(environment: Mapping[str, str], told: Mapping[str, Any]) -> str:
    given = environment.get("JUPYTERHUB_API_TOKEN")
    path = environment.get("JUPYTERHUB_API_TOKEN_FILE") or told.get("api_token_file")
    if not given and path:
        try:
            given = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"The token of the service cannot be read from {path}: {error}.") from error
    return _need(given, "JUPYTERHUB_API_TOKEN")


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or not port:
        raise InvalidRequest(
            f"JUPYTERHUB_SERVICE_URL = {url!r} is no address to listen on: it looks like http://10.0.0.1:8910."
        )
    return parts.hostname, port


def _base(told: Mapping[str, Any], environment: Mapping[str, str], service_url: str, prefix: str) -> str:
    """Where people and programs reach us: what the administrator gave the endpoints, else the Hub's public address,
    else our own. An address with a path stands for our prefix."""
    for url, name in (
        (None if _is_wildcard(told.get("endpoints_url")) else told.get("endpoints_url"), "endpoints_url"),
        (environment.get("JUPYTERHUB_PUBLIC_URL"), "JUPYTERHUB_PUBLIC_URL"),
        (told.get("public_url"), "public_url"),
    ):
        if url:
            parts = urlsplit(str(url))
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
                raise InvalidRequest(f"{name} = {url!r} is no address: it looks like https://models.example.org.")
            path = parts.path.strip("/")
            return f"{parts.scheme}://{parts.netloc}" + (f"/{path}/" if path and name != "public_url" else prefix)
    return service_url.rstrip("/") + prefix


def _authorize(environment: Mapping[str, str], prefix: str, name: str) -> str:
    """Below the Hub's own path, beside which a service's is; where users have hosts of their own the Hub says its."""
    path = prefix.removesuffix(f"services/{name}/")
    return f"{environment.get('JUPYTERHUB_HOST', '').rstrip('/')}{path}hub/api/oauth2/authorize"


def _is_wildcard(url: Any) -> bool:
    return isinstance(url, str) and "*" in url


def _hosts(url: Any) -> Hosts | None:
    if not _is_wildcard(url):
        return None
    try:
        return Hosts(url)
    except ValueError as error:
        raise InvalidRequest(f"endpoints_url: {error}.") from None


def _networks(given: Any) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(each, strict=False)) for each in given)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"trusted_proxies in {HUB_VARIABLE}: {error}.") from error
