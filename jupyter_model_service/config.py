"""What an administrator or user may set, and the only reader of the environment.

Options come from the command line or from ``jupyter_model_service_config.py`` in Jupyter's configuration folders
(``c.ModelService.port = 8899``). Inside, everything gets the frozen :class:`GatewaySettings`.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from traitlets import Bool, Float, Int, Unicode
from traitlets.config import Configurable

from .core.names import owner_from
from .core.revision import SnapshotLimits
from .discovery import default_data_dir
from .errors import InvalidRequest

__all__ = ["GatewaySettings", "ModelService"]

_MIB = 1 << 20


@dataclass(frozen=True)
class GatewaySettings:
    """Checked and complete. Times in seconds; ``port`` 0 means the one used last, else any free one;
    ``abandon_after`` ``None`` means never."""

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

    def settings(self) -> GatewaySettings:
        """The checked settings; ``InvalidRequest`` says in one sentence which option cannot be used."""
        return GatewaySettings(
            data_dir=Path(os.path.expanduser(self.data_dir)).absolute() if self.data_dir else default_data_dir(),
            host=_loopback(self.ip),
            port=self.port,
            keep=self.keep,
            attach_timeout=self.attach_timeout,
            abandon_after=self.abandon_after or None,
            max_replicas=self.max_replicas_per_service,
            open_metrics=self.open_metrics,
            stop_grace=self.stop_grace,
            snapshots=SnapshotLimits(self.snapshot_file_bytes, self.snapshot_bytes, self.snapshot_files),
            revisions_kept=self.revisions_kept,
            owner=owner_from(_user()),
            scratch=Path(os.environ.get("TMPDIR") or "/tmp"),  # tempfile would write there first: the disk may be full
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


def _user() -> str:
    """Whose services they are. In a container the uid may have no name at all."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
