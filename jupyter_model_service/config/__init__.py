"""What an administrator or user may set, and the only reader of the environment.

Options come from the command line or from ``jupyter_model_service_config.py`` in Jupyter's configuration folders
(``c.ModelService.port = 8899``). Inside, everything gets the frozen :class:`GatewaySettings`; the gateway of a hub gets
:class:`HubService` besides, from what ``install()`` in the Hub's configuration has left in the environment.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from traitlets import Bool, Dict, Float, Int, Unicode
from traitlets.config import Configurable

from ..core.bounds import MOST_REPLICAS
from ..core.names import owner_from
from ..core.revision import SnapshotLimits
from ..core.scaling.metrics import QUERY_NAME
from ..core.scaling.promql import Query, query_from
from ..core.syslog import Place, place_of
from ..discovery import default_data_dir
from ..errors import InvalidRequest
from .hub import HUB_VARIABLE, HubService, hub_service

__all__ = ["HUB_VARIABLE", "GatewaySettings", "HubService", "ModelService", "PrometheusSettings", "hub_service"]

_MIB = 1 << 20
DAY = 86400.0


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
    ``abandon_after`` ``None`` means never; ``access_log`` and
    ``audit_log`` are paths, ``-`` for standard output, or empty; ``audit_kept`` ``None`` means for ever."""

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
    audit_kept: float | None = 365 * DAY
    audit_log: str = ""
    audit_syslog: Place | None = None


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
        MOST_REPLICAS,
        min=1,
        max=MOST_REPLICAS,
        help=f"The most replicas that one service may be scaled to; more than {MOST_REPLICAS} are refused.",
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

    audit_kept = Float(
        365 * DAY,
        min=0.0,
        help="Seconds for which entries of the audit log are kept; from a day on. 0: for ever.",
    ).tag(config=True)
    audit_log = Unicode(
        "",
        help="File to which the audit log is copied, one line of JSON for each entry; a relative path is in data_dir. "
        "'-': standard output. Empty: it is in state.db only.",
    ).tag(config=True)
    audit_syslog = Unicode(
        "",
        help="Where the audit log goes as messages of syslog: a socket such as /dev/log, or udp://HOST[:PORT]. Empty: "
        "nowhere.",
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
        access_log = _file(data_dir, where)
        audit_log = (hub.audit_log if hub is not None else "") or self.audit_log
        audit_syslog = (hub.audit_syslog if hub is not None else "") or self.audit_syslog
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
            access_log=access_log,
            access_log_bytes=most,
            audit_kept=self._audit_kept() if hub is None or hub.audit_kept is None else hub.audit_kept or None,
            audit_log=_audit_log(data_dir, audit_log, access_log),
            audit_syslog=_syslog(audit_syslog),
        )

    def _audit_kept(self) -> float | None:
        if 0 < self.audit_kept < DAY:
            raise InvalidRequest(
                f"ModelService.audit_kept = {self.audit_kept:g} is refused: it must be 86400 (a day) or more, or 0."
            )
        return self.audit_kept or None

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


def _file(data_dir: Path, given: str) -> str:
    return given if given in ("", "-") else str(data_dir / os.path.expanduser(given))


def _audit_log(data_dir: Path, given: str, access_log: str) -> str:
    path = _file(data_dir, given)
    if path and path == access_log:
        raise InvalidRequest(f"audit_log and access_log are both {given!r}: each needs a place of its own.")
    return path


def _syslog(given: str) -> Place | None:
    if not given:
        return None
    try:
        return place_of(given)
    except ValueError as error:
        raise InvalidRequest(f"ModelService.audit_syslog: {error}.") from None


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
