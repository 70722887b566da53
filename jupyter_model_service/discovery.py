"""Where this user's gateway is, and how to start one: the runtime file ``gateway.json`` and what it proves.

The gateway writes the file (mode 0600, atomically, when it listens) and takes it away when it stops in an orderly
way::

    {"url": "http://127.0.0.1:41234/", "token": "jmc_…", "pid": 4711, "create_time": 1750000000.12, "version": "…"}

``create_time`` is psutil's, in Unix seconds: a process that reuses the pid has another one. A file that somebody
else could have written or read is refused, since whoever writes it would receive everything that we send.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from .errors import GatewayUnavailable, ModelServiceError

__all__ = [
    "GatewayFile",
    "alive",
    "answers",
    "check_plain",
    "default_data_dir",
    "explicit_gateway",
    "find_gateway",
    "start_gateway",
    "wait_until_gone",
]

FILE_NAME = "gateway.json"
LOG_NAME = "gateway.log"
URL_VARIABLE = "MODEL_SERVICE_URL"
TOKEN_VARIABLE = "MODEL_SERVICE_TOKEN"
HUB_TOKEN_VARIABLE = "JUPYTERHUB_API_TOKEN"  # set by the Hub in every server that it starts

_FILE_LIMIT = 64 << 10  # bytes; the file has about 200
_SAME_PROCESS = 2.0  # seconds: create_time moves a little when the clock is corrected; no pid is reused so soon
_LOCK_CHECK = 1.0  # seconds between two looks at the lock that another starter's gateway holds

#: Gateways that this process started. Kept so that the dead ones are reaped and the living ones raise no
#: ResourceWarning: they are meant to outlive us.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class GatewayFile:
    """A running gateway of this user: its address and the control token that opens everything of it."""

    url: str
    token: str = field(repr=False)
    pid: int
    create_time: float
    version: str
    path: Path


def default_data_dir() -> Path:
    """``model-service`` in Jupyter's data directory (``JUPYTER_DATA_DIR`` moves it, as for all of Jupyter)."""
    from jupyter_core.paths import jupyter_data_dir  # 20 ms that an explicit address does not need

    return Path(jupyter_data_dir()) / "model-service"


def explicit_gateway(environment: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """``(url, token)`` from ``MODEL_SERVICE_URL`` and ``MODEL_SERVICE_TOKEN``, or ``None`` without the former. In a
    server of a hub the address is set by the hub, and the token is the server's own."""
    environment = os.environ if environment is None else environment
    url = environment.get(URL_VARIABLE, "").strip()
    if not url:
        return None
    token = environment.get(TOKEN_VARIABLE, "").strip() or environment.get(HUB_TOKEN_VARIABLE, "").strip()
    if not token:
        raise GatewayUnavailable(f"{URL_VARIABLE} is set but {TOKEN_VARIABLE} is not: set both, or neither.")
    return url, token


def find_gateway(data_dir: Path | None = None) -> GatewayFile | None:
    """The gateway that the runtime file names, if that very process lives; ``None`` when none runs.

    Raises ``GatewayUnavailable`` for a file that is not safe to believe. Whether the gateway answers is not asked.
    """
    path = (default_data_dir() if data_dir is None else Path(data_dir)) / FILE_NAME
    text = _read_ours(path)
    if text is None:
        return None
    found = _parse(path, text)
    return found if alive(found) else None


def check_plain(path: Path) -> None:
    """``GatewayUnavailable`` where something else than a regular file stands: a link may lead what we write to where
    whoever planted it wants it, and a pipe would make us wait."""
    try:
        mode = path.lstat().st_mode
    except OSError:  # not there, or told better by whoever opens it
        return
    if not stat.S_ISREG(mode):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "not a regular file"
        raise GatewayUnavailable(f"{path} is {what}, and the gateway makes none there: see whose it is and remove it.")


def _read_ours(path: Path) -> str | None:
    """The file's text; owner and mode are checked on what was opened, so that nobody can swap it in between."""
    check_plain(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise GatewayUnavailable(f"{path} cannot be read: {error.strerror}. Remove it if it is not yours.") from error
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise GatewayUnavailable(f"{path} is not a regular file: remove it, then start the gateway again.")
        if status.st_uid != os.getuid():
            raise GatewayUnavailable(
                f"{path} belongs to another user (uid {status.st_uid}), so what it says is not believed: remove it."
            )
        if status.st_mode & 0o077:
            raise GatewayUnavailable(
                f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}, not 0600), "
                "so what it says is not believed: stop the gateway, remove the file and start it again."
            )
        return file.read(_FILE_LIMIT)


def _parse(path: Path, text: str) -> GatewayFile:
    try:
        content: Any = json.loads(text)
        found = GatewayFile(
            url=str(content["url"]).rstrip("/") + "/",
            token=str(content["token"]),
            pid=int(content["pid"]),
            create_time=float(content["create_time"]),
            version=str(content["version"]),
            path=path,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise GatewayUnavailable(f"{path} is not a gateway's runtime file: remove it and start again.") from error
    if urlsplit(found.url).scheme not in ("http", "https") or found.pid <= 0:
        raise GatewayUnavailable(f"{path} names no address of a gateway: remove it and start again.")
    return found


def alive(found: GatewayFile) -> bool:
    """Whether the very process that wrote the runtime file still runs (a reused pid has another start time)."""
    try:
        process = psutil.Process(found.pid)
        same = abs(process.create_time() - found.create_time) <= _SAME_PROCESS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether a gateway's ``health/live`` at this address says 200 within ``timeout`` seconds."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path.rstrip("/") + "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


# --- starting one --------------------------------------------------------------------------------------


def start_gateway(data_dir: Path | None = None, *, keep: bool, timeout: float = 30.0) -> GatewayFile:
    """The running gateway, started as a process of its own if there is none. Returns when it answers.

    ``keep`` lets it outlive the Jupyter servers that attach to it. Two callers at once end with one gateway: the
    one whose process finds the lock taken waits for the other's. Raises ``GatewayUnavailable`` with the gateway's
    own sentence when it does not come up within ``timeout`` seconds; nothing is left running then.
    """
    directory = default_data_dir() if data_dir is None else Path(data_dir).absolute()
    deadline = time.monotonic() + timeout
    found = find_gateway(directory)
    if found is not None and answers(found.url):
        return found
    log, offset = _open_log(directory)
    arguments = [sys.executable, "-m", "jupyter_model_service.app", "--data-dir", str(directory)]
    try:
        process = subprocess.Popen(
            [*arguments, "--keep"] if keep else arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,  # "-m" puts the working directory first on sys.path: it must be one of ours
            start_new_session=True,
        )
    finally:
        os.close(log)
    try:
        return _await_gateway(process, directory, offset, deadline, timeout)
    except BaseException:
        _end(process)
        raise


def _open_log(directory: Path) -> tuple[int, int]:
    """The file that takes the gateway's output (which bounds it), and where this start's part of it begins."""
    path = directory / LOG_NAME
    try:
        _make_folder(directory)
        check_plain(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o600)
        with contextlib.suppress(PermissionError):  # somebody else's
            os.fchmod(descriptor, 0o600)  # the umask may have taken our own rights, too
    except OSError as error:
        raise GatewayUnavailable(
            f"The gateway cannot be started: {error.filename or directory} cannot be written ({error.strerror})."
        ) from error
    return descriptor, os.fstat(descriptor).st_size


def _make_folder(folder: Path) -> None:
    """With mode 0700, whatever the umask is. Folders above it are as the user's umask says, but of use to the user."""
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(mode=0o700 if each == folder else 0o777, exist_ok=True)
            each.chmod(stat.S_IMODE(each.stat().st_mode) | stat.S_IRWXU)


def _await_gateway(
    process: subprocess.Popen[bytes], directory: Path, offset: int, deadline: float, timeout: float
) -> GatewayFile:
    pause, next_look = 0.01, 0.0
    while True:
        found = find_gateway(directory)
        if found is not None and answers(found.url, max(0.1, min(2.0, deadline - time.monotonic()))):
            if found.pid != process.pid:
                _reap(process)
            _children[:] = [child for child in (*_children, process) if child.poll() is None]
            return found
        now = time.monotonic()
        if process.poll() is not None and now >= next_look:
            # Either it failed, or another starter was quicker and holds the lock: then that one is waited for.
            next_look = now + _LOCK_CHECK
            if not _lock_is_held(directory):
                break
        if now >= deadline:
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    said = _last_words(directory / LOG_NAME, offset)
    if process.poll() is None:
        reason = f"The gateway did not answer within {timeout:g} s"
    else:
        reason = f"The gateway did not start (exit status {process.returncode})"
    raise GatewayUnavailable(f"{reason}: {said}" if said else f"{reason}; its output is in {directory / LOG_NAME}.")


def _lock_is_held(directory: Path) -> bool:
    from filelock import FileLock, Timeout  # only when a start failed: 40 ms

    try:
        with FileLock(directory / "gateway.lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _last_words(path: Path, offset: int) -> str:
    """The last line that the gateway printed in this start: its own sentence, without the log's decoration."""
    with contextlib.suppress(OSError):
        with path.open("rb") as file:
            file.seek(max(offset, path.stat().st_size - 16_384))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """A start that was given up leaves nothing behind."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5.0)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Our gateway found the lock taken and ends by itself."""
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        _end(process)


def wait_until_gone(found: GatewayFile, timeout: float = 30.0) -> None:
    """Wait for the end of a gateway that was asked to shut down; ``ModelServiceError`` if its process stays."""
    deadline = time.monotonic() + timeout
    while alive(found):
        if time.monotonic() >= deadline:
            raise ModelServiceError(
                f"The gateway (process {found.pid}) is still stopping after {timeout:g} s: replicas may be draining.",
                code="timeout",
            )
        time.sleep(0.05)
