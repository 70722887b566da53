"""The gateway's folder: the lock, the runtime file, the port used last, the private socket.

Everything here runs before or after the event loop's life, or costs microseconds. An ``OSError`` becomes one
sentence that names the file: a full disk or a read-only folder is no reason for a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from .._version import __version__
from ..adapters.private_file import write_private
from ..discovery import check_plain, find_gateway
from ..errors import Conflict, ModelServiceError

__all__ = ["DataDirectory"]

log = logging.getLogger(__name__)

_PATH_LIMIT = 103 if sys.platform == "darwin" else 107  # bytes of a Unix socket's path, without the closing NUL
_LOCK_PATIENCE = 30.0  # seconds for a gateway that is just starting or stopping


class DataDirectory:
    """``<jupyter data dir>/model-service`` (mode 0700). Use as a context manager: it holds the lock."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = path
        self._scratch = scratch
        self._lock = FileLock(path / "gateway.lock", mode=0o600)
        self.runtime_file = path / "gateway.json"
        self.log_file = path / "gateway.log"
        self.port_file = path / "gateway.port"
        self.database = path / "state.db"
        self.database_key = path / "state.key"
        self.replicas = path / "replicas"
        self.revisions = path / "revisions"
        self.history = path / "history"

    def __enter__(self) -> DataDirectory:
        self._make_private(self.path)
        kept = self.runtime_file, self.log_file, self.port_file, self.database, self.database_key
        for file in (Path(self._lock.lock_file), *kept):
            check_plain(file)
        self._acquire()
        try:
            # What a gateway that was killed has left; nobody believes it, since its process is gone.
            self._discard(self.runtime_file)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    # --- the lock ------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        """Raises ``Conflict`` that says who runs. One that is starting or stopping is waited for."""
        deadline = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                with self._readable_errors(self.path):
                    self._lock.acquire(timeout=0)
                return
            except Timeout:
                pass
            if (running := find_gateway(self.path)) is not None:
                raise Conflict(
                    f"A gateway runs already for {self.path}: process {running.pid} at {running.url}. "
                    "Use that one, or end it with `jupyter model-service gateway --stop`."
                )
            if time.monotonic() > deadline:
                raise Conflict(f"Another process holds {self.path / 'gateway.lock'}; it is starting, stopping or hung.")
            time.sleep(0.05)

    # --- the runtime file ----------------------------------------------------------------------------

    def announce(self, url: str, token: str) -> None:
        """Say where this gateway is and how to control it, to nobody but this user."""
        process = psutil.Process()
        content = {
            "url": url,
            "token": token,
            "pid": process.pid,
            "create_time": process.create_time(),
            "version": __version__,
        }
        self._write(self.runtime_file, json.dumps(content) + "\n")

    def withdraw(self) -> None:
        with contextlib.suppress(ModelServiceError):  # then it names a process that is gone, which nobody believes
            self._discard(self.runtime_file)

    # --- the port ------------------------------------------------------------------------------------

    def listener(self, host: str, port: int) -> socket.socket:
        """A bound socket, not listening yet. ``port`` 0: the one used last, so that endpoints stay the same."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        former = self._former_port() if port == 0 else port
        listener = None
        if former:
            try:
                listener = _bound(family, host, former)
            except OSError as error:
                if port:
                    raise Conflict(
                        f"Port {port} of {host} cannot be used ({error.strerror}): choose another with --port."
                    ) from error
                log.warning("port %d, used last, is taken: every endpoint gets a new address", former)
        try:
            if listener is None:
                listener = _bound(family, host, 0)
            chosen = listener.getsockname()[1]
            if chosen != self._former_port():
                self._write(self.port_file, f"{chosen}\n")
        except BaseException as error:
            if listener is not None:
                listener.close()
            if isinstance(error, OSError):
                raise Conflict(f"The gateway cannot listen on {host} ({error.strerror}).") from error
            raise
        return listener

    def _former_port(self) -> int:
        try:
            port = int(self.port_file.read_text())
        except (OSError, ValueError):
            return 0
        return port if 0 < port < 65536 else 0

    # --- the private socket --------------------------------------------------------------------------

    def web_listener(self) -> tuple[Path, socket.socket]:
        """The socket for Tornado, bound with mode 0600, and where it is; a former gateway's is replaced."""
        path = self.web_socket()
        with self._readable_errors(path):
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                with contextlib.suppress(OSError):
                    os.fchmod(listener.fileno(), 0o600)  # Linux: the file has this mode from its first moment
                listener.bind(str(path))
                path.chmod(0o600)
                listener.setblocking(False)
                listener.listen(128)
            except BaseException:
                listener.close()
                raise
        return path, listener

    def web_socket(self) -> Path:
        """Where Tornado listens. A path that is too long for a socket moves to a private folder of this user
        whose name is made from the path, so that a killed gateway's successor finds and clears it."""
        path = self.path / "web.sock"
        if len(os.fsencode(path)) <= _PATH_LIMIT:
            return path
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        folder = self._scratch / f"model-service-{os.getuid()}-{digest}"
        self._make_private(folder)
        path = folder / "web.sock"
        if len(os.fsencode(path)) > _PATH_LIMIT:
            raise ModelServiceError(f"The path {path} is too long for a socket: set TMPDIR to a shorter one.")
        return path

    def remove_web_socket(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if path.parent != self.path:
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    # --- files ---------------------------------------------------------------------------------------

    def _make_private(self, folder: Path) -> None:
        """Make the folder with mode 0700, or take one that nobody else can write to. An existing one is not changed:
        ``--data-dir /tmp`` must not close /tmp. What has to be secret inside has mode 0600 itself."""
        with self._readable_errors(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat() if folder != self.path else folder.stat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise ModelServiceError(f"{folder} belongs to another user: remove it or choose another folder.")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ModelServiceError(
                f"{folder} can be written by other users: run `chmod go-w {folder}` or choose another folder."
            )

    def _write(self, path: Path, text: str) -> None:
        with self._readable_errors(path):
            write_private(path, text)

    def _discard(self, path: Path) -> None:
        with self._readable_errors(path):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _readable_errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except Timeout:  # an OSError for Python, but it only means that somebody else has the lock
            raise
        except OSError as error:
            reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
            raise ModelServiceError(
                f"{path} cannot be written ({reason}): the gateway keeps its state there; "
                "make room or choose another folder with --data-dir."
            ) from error


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener
