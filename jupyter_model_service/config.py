"""What an administrator or user may set, and the only reader of the environment.

Options come from the command line or from ``jupyter_model_service_config.py`` in Jupyter's configuration folders
(``c.ModelService.port = 8899``). Inside, everything gets the frozen :class:`GatewaySettings`; the gateway of a hub gets
:class:`HubService` besides, from what ``install()`` in the Hub's configuration has left in the environment.
"""

from __future__ import annotations

import getpass
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import Bool, Dict, Float, Int, Unicode
from traitlets.config import Configurable

from .core.names import owner_from
from .core.policy import Host, Policy, host_from_plain, policy_from_plain
from .core.revision import SnapshotLimits
from .core.scaling.metrics import QUERY_NAME
from .core.scaling.promql import Query, query_from
from .discovery import default_data_dir
from .errors import InvalidRequest

__all__ = ["HUB_VARIABLE", "GatewaySettings", "HubService", "ModelService", "PrometheusSettings", "hub_service"]

HUB_VARIABLE = "MODEL_SERVICE_HUB"
_MIB = 1 << 20


@dataclass(frozen=True)
class PrometheusSettings:
    """The server whose figures rules may look at, and by which queries. ``timeout`` and ``interval`` in seconds."""

    url: str
    queries: Mapping[str, Query]
    timeout: float
    interval: float
    token_file: Path | None


@dataclass(frozen=True)
class GatewaySettings:
    """Checked and complete. Times in seconds; ``port`` 0 means the one used last, else any free one;
    ``abandon_after`` ``None`` means never; ``access_log`` is a path, ``-`` for standard output, or empty."""

    data_dir: Path
    host: str
    port: int
    keep: bool
    attach_timeout: float
    abandon_after: float | None
    max_replicas: int
    open_metrics: bool
    stop_grace: float
    snapshots: SnapshotLimits
    revisions_kept: int
    owner: str
    scratch: Path  # for a socket whose path in data_dir would be too long
    prometheus: PrometheusSettings | None = None
    access_log: str = ""
    access_log_bytes: int = 0


class ModelService(Configurable):
    """Options of the gateway."""

    data_dir = Unicode(
        "",
        help="Folder of the gateway's state; empty: 'model-service' in the Jupyter data directory. "
        "One gateway runs for each such folder.",
    ).tag(config=True)
    ip = Unicode(
        "127.0.0.1",
        help="Loopback address to listen on. Any other address is refused: without a hub there is nobody who "
        "could tell users apart.",
    ).tag(config=True)
    port = Int(
        0,
        min=0,
        max=65535,
        help="Port to listen on. 0: the one used last, so that endpoints keep their addresses, else any free one. "
        "A port that is set and taken is an error; the one used last, if taken, is replaced with a warning.",
    ).tag(config=True)
    keep = Bool(
        False,
        help="Stay when the last Jupyter server of this user has gone, or when none ever came.",
    ).tag(config=True)
    attach_timeout = Float(
        60.0,
        min=1.0,
        help="Seconds after which a gateway that no Jupyter server attached to ends, unless it is kept.",
    ).tag(config=True)
    abandon_after = Float(
        900.0,
        min=0.0,
        help="Seconds after which a replica that no gateway asks for ends itself, such as after a kill -9 of a "
        "gateway that nobody restarts. 0: never.",
    ).tag(config=True)
    max_replicas_per_service = Int(
        100, min=1, max=100, help="The most replicas that one service may be scaled to; more than 100 are refused."
    ).tag(config=True)
    open_metrics = Bool(
        False,
        help="Serve /metrics without a token. It names services and counts calls, to anyone on this machine.",
    ).tag(config=True)
    stop_grace = Float(
        5.0, min=0.0, max=600.0, help="Seconds that open calls may take to finish when the gateway stops."
    ).tag(config=True)

    snapshot_bytes = Int(
        512 * _MIB,
        min=0,
        help="The most bytes that a revision keeps of its model folder. A folder with more is not kept but read where "
        "it lies. Files that are linked do not count.",
    ).tag(config=True)
    snapshot_files = Int(
        20_000,
        min=0,
        help="The most files, folders and links that a revision keeps. A model folder with more is not kept but read "
        "where it lies.",
    ).tag(config=True)
    snapshot_file_bytes = Int(
        16 * _MIB,
        min=0,
        help="Files with more bytes, such as weights, are not copied into a revision: it has a link to the original.",
    ).tag(config=True)
    revisions_kept = Int(
        10,
        min=1,
        max=1000,
        help="The newest revisions that are kept of each service, besides the one that is active and the one that was "
        "last fully up. Older ones are dropped after an update, with their files.",
    ).tag(config=True)

    access_log = Unicode(
        "",
        help="File to which each call that has ended is written as one line of JSON; a relative path is in data_dir. "
        "'-': standard output. Empty: nothing is written.",
    ).tag(config=True)
    access_log_bytes = Int(
        64 * _MIB,
        min=0,
        help="Bytes after which the file of access_log becomes FILE.1, in the place of the former one. 0: never, for "
        "those who move it away by other means.",
    ).tag(config=True)

    prometheus_url = Unicode(
        "",
        help="Address of a Prometheus server, such as http://127.0.0.1:9090, whose figures scaling rules may look at "
        "by the queries of prometheus_queries.",
    ).tag(config=True)
    prometheus_queries = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        default_value={},
        help="Queries in PromQL, by the names under which rules look at them (metric prometheus:NAME). Each gives one "
        "number. Within quotes, {service}, {owner} and {replicas} (a pattern, for =~) stand for the service's.",
    ).tag(config=True)
    prometheus_interval = Float(
        10.0, min=1.0, max=3600.0, help="Seconds between two askings of one query for one service."
    ).tag(config=True)
    prometheus_timeout = Float(
        5.0,
        min=0.1,
        max=60.0,
        help="Seconds that Prometheus may take to answer; without an answer, the figure is unknown.",
    ).tag(config=True)
    prometheus_token_file = Unicode(
        "", help="File with a bearer token for Prometheus, where it asks for one. It is read again and again."
    ).tag(config=True)

    def settings(self, hub: HubService | None = None) -> GatewaySettings:
        """The checked settings; ``InvalidRequest`` says in one sentence which option cannot be used. Of the gateway of
        a hub, folder and address are the hub's."""
        given = Path(os.path.expanduser(self.data_dir)).absolute() if self.data_dir else None
        data_dir = given or (default_data_dir() if hub is None else hub.data_dir)
        where, most = self.access_log, self.access_log_bytes
        if hub is not None and hub.access_log:
            where, most = hub.access_log, hub.access_log_bytes
        return GatewaySettings(
            data_dir=data_dir,
            host=_loopback(self.ip) if hub is None else hub.host,
            port=self.port if hub is None else hub.port,
            keep=self.keep or hub is not None,
            attach_timeout=self.attach_timeout,
            abandon_after=self.abandon_after or None,
            max_replicas=self.max_replicas_per_service,
            open_metrics=self.open_metrics,
            stop_grace=self.stop_grace,
            snapshots=SnapshotLimits(self.snapshot_file_bytes, self.snapshot_bytes, self.snapshot_files),
            revisions_kept=self.revisions_kept,
            owner=owner_from(_user()),
            scratch=Path(os.environ.get("TMPDIR") or "/tmp"),  # tempfile would write there first: the disk may be full
            prometheus=self._prometheus(),
            access_log=where if where in ("", "-") else str(data_dir / os.path.expanduser(where)),
            access_log_bytes=most,
        )

    def _prometheus(self) -> PrometheusSettings | None:
        if not self.prometheus_url:
            if self.prometheus_queries:
                raise InvalidRequest("ModelService.prometheus_queries is set, and prometheus_url is not: whom to ask?")
            return None
        for name in self.prometheus_queries:
            if not re.fullmatch(QUERY_NAME, name):
                raise InvalidRequest(
                    f"ModelService.prometheus_queries has the name {name[:60]!r}, which no rule could use: it must "
                    "begin with a letter, and have only letters, digits and _.:-, 64 at most."
                )
        token_file = Path(os.path.expanduser(self.prometheus_token_file)) if self.prometheus_token_file else None
        return PrometheusSettings(
            url=_prometheus_url(self.prometheus_url),
            queries={name: query_from(name, text) for name, text in self.prometheus_queries.items()},
            timeout=self.prometheus_timeout,
            interval=self.prometheus_interval,
            token_file=token_file,
        )


def _loopback(ip: str) -> str:
    if ip == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(ip).is_loopback:
            return ip
    except ValueError:
        pass
    raise InvalidRequest(
        f"ModelService.ip = {ip!r} is refused: without a hub the gateway listens on a loopback address only, "
        "such as 127.0.0.1."
    )


def _prometheus_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.username or parts.password:  # and the address is not repeated
        raise InvalidRequest(
            "ModelService.prometheus_url has a user or password in it; put a token into a file, and its path into "
            "ModelService.prometheus_token_file."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidRequest(
            f"ModelService.prometheus_url = {url[:100]!r} is no address: it looks like http://127.0.0.1:9090."
        )
    return url


def _user() -> str:
    """Whose services they are. In a container the uid may have no name at all."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


# --- the gateway of a hub --------------------------------------------------------------------------------


@dataclass(frozen=True)
class HubService:
    """What the gateway of a JupyterHub has to know. ``prefix`` is the path that the Hub's proxy sends here, with a
    slash at both ends; ``base`` the address under which people and programs reach that path."""

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
    host_has: Host = field(default_factory=Host)  # for replicas, where install() saw it
    site_images: tuple[str, ...] = ()  # that the Hub lists for its users
    access_log: str = ""
    access_log_bytes: int = 0


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
        trusted_proxies=_networks(told.get("trusted_proxies") or ()),
        host_has=host_has,
        site_images=tuple(map(str, told.get("site_images") or ())),
        access_log=str(told.get("access_log") or ""),
        access_log_bytes=int(told.get("access_log_bytes") or 0),
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
        (told.get("endpoints_url"), "endpoints_url"),
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


def _networks(given: Any) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(each, strict=False)) for each in given)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"trusted_proxies in {HUB_VARIABLE}: {error}.") from error
