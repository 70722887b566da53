"""Owns the listening socket of a hub's gateway and keeps a gateway running on it.

A gateway that crashes refuses no connection: the socket stays open here, new calls wait in its queue, and the next
gateway, started at once, takes them. The supervisor is what the Hub (or systemd, or compose) starts::

    python -m jupyter_model_service.app --hub

It ends with its parent, however and whenever that one ends: a Hub that is killed must not leave a gateway behind that
answers with an old token on the port of the next one. Where one is left all the same, the port is waited for. Replicas
are not its business: they outlive gateway and supervisor, and the next gateway takes them over.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from ..errors import Conflict, InvalidRequest

__all__ = ["LISTEN_VARIABLE", "Supervisor", "bind", "inherited_listener", "parent_told", "supervise", "supervised"]

LISTEN_VARIABLE = "MODEL_SERVICE_LISTEN_FD"
PARENT_VARIABLE = "MODEL_SERVICE_PARENT"  # written by install() into the environment of a managed service
BACKLOG = 1024
BIND_PATIENCE = 10.0  # seconds for an orphan that still holds the port
END_PATIENCE = 20.0  # seconds for a gateway to end in order: open calls have 5 by default
LOOK = 1.0  # seconds between two looks at the parent
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before the first, second … start after a crash
STEADY = 30.0  # seconds after which a gateway counts as well, and the next crash as the first
WRONG_USE = 2  # the gateway's exit status for settings that cannot be used: no start will change that
_PR_SET_PDEATHSIG = 1
_ORPHANED = "what started it has gone"


def bind(
    host: str, port: int, patience: float = BIND_PATIENCE, *, wait: Callable[[float], None] = time.sleep
) -> socket.socket:
    """A socket that listens there. Waits for a port that is taken; ``Conflict`` after ``patience`` seconds. What
    ``wait`` raises ends it."""
    deadline = time.monotonic() + patience
    while True:
        try:
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
                listener.listen(BACKLOG)
            except BaseException:
                listener.close()
                raise
            return listener
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                raise Conflict(
                    f"The gateway cannot listen on {host}:{port} ({error.strerror}): end what does, or choose another "
                    "address."
                ) from error
        wait(0.1)


def inherited_listener() -> socket.socket | None:
    """The supervisor's socket, in a gateway that a supervisor started."""
    given = os.environ.pop(LISTEN_VARIABLE, "")  # not for what we start ourselves
    if not given:
        return None
    try:
        listener = socket.socket(fileno=int(given))
        listener.getsockname()
    except (ValueError, OSError) as error:
        raise InvalidRequest(f"{LISTEN_VARIABLE} = {given!r} is no open socket: the supervisor sets it.") from error
    listener.setblocking(False)
    os.set_inheritable(listener.fileno(), False)
    return listener


class _ToEnd(Exception):
    """We are to end before the port was free."""


class Supervisor:
    """``run`` returns the exit status, or raises ``Conflict`` when ``address`` stays taken. Belongs to the main thread:
    it takes the process's signals. It ends with ``parent``, the process that started it, where that one is told;
    else with what is its parent when it is made, which may be another already: to be made first of all."""

    def __init__(
        self,
        command: Sequence[str],
        address: tuple[str, int],
        *,
        say: Callable[[str], None],
        parent: int | None = None,
    ) -> None:
        self._parent = os.getppid() if parent is None else parent
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._die_with_parent()
        self._command = list(command)
        self._address = address
        self._say = say
        self._ending: str | None = None
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)

    def run(self) -> int:
        self._obey()
        if os.getppid() != self._parent:  # a Hub that was killed in the second that an interpreter takes to start
            self._say(f"ending: {_ORPHANED}")
            return 0
        try:
            listener = bind(*self._address, wait=self._wait)
        except _ToEnd:  # a parent that is killed meanwhile must leave nothing that takes the next one's port
            return 0
        with listener:
            return self._keep_running(listener)

    # --- the gateway ---------------------------------------------------------------------------------

    def _keep_running(self, listener: socket.socket) -> int:
        crashes = 0
        while True:
            if not self._pause(PAUSES[min(crashes, len(PAUSES) - 1)]):
                return 0
            began = time.monotonic()
            child = self._start(listener)
            while child.poll() is None and self._ending is None:
                self._look()
            if self._ending is not None:
                listener.close()  # first: what the gateway closes at once, too, is the next one's from then on
                self._end(child)
                return 0
            if child.returncode == WRONG_USE:
                return WRONG_USE
            crashes = 1 if time.monotonic() - began >= STEADY else crashes + 1
            how = f"by signal {-child.returncode}" if child.returncode < 0 else f"with status {child.returncode}"
            self._say(f"the gateway (process {child.pid}) ended {how}; starting the next")

    def _start(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        descriptor = listener.fileno()
        return subprocess.Popen(
            self._command,
            env={**os.environ, LISTEN_VARIABLE: str(descriptor)},
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            preexec_fn=self._in_child(),
        )

    def _in_child(self) -> Callable[[], None]:
        me = os.getpid()

        def prepare() -> None:
            self._die_with_parent()
            if os.getppid() != me:  # we were killed between fork and here
                os._exit(1)

        return prepare

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        self._say(f"ending the gateway: {self._ending}")
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(END_PATIENCE)
            except subprocess.TimeoutExpired:
                self._say(f"the gateway (process {child.pid}) did not end within {END_PATIENCE:g} s and is killed")
                child.kill()
                child.wait()

    # --- what ends us --------------------------------------------------------------------------------

    def _obey(self) -> None:
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._asked)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop

    def _asked(self, number: int, frame: object) -> None:
        gone = number == signal.SIGTERM and os.getppid() != self._parent
        self._ending = _ORPHANED if gone else f"signal {signal.Signals(number).name}"

    def _die_with_parent(self) -> None:
        """The kernel sends SIGTERM when the parent's thread ends, by whatever signal. Elsewhere than on Linux the
        look each second has to do."""
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)

    def _look(self, seconds: float = LOOK) -> None:
        """Until something happened, or for ``seconds``."""
        readable, _, _ = select.select([self._woken], [], [], seconds)
        if readable:
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)
        if self._ending is None and os.getppid() != self._parent:
            self._ending = _ORPHANED

    def _wait(self, seconds: float) -> None:
        if not self._pause(seconds):
            raise _ToEnd

    def _pause(self, seconds: float) -> bool:
        """Whether to go on after so long."""
        deadline = time.monotonic() + seconds
        while self._ending is None and time.monotonic() < deadline:
            self._look(max(0.0, min(LOOK, deadline - time.monotonic())))
        return self._ending is None


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"model-service supervisor: {sentence}\n")
        sys.stderr.flush()


def parent_told() -> int | None:
    """The process that is to have started this one, as it has said itself."""
    given = os.environ.pop(PARENT_VARIABLE, "")  # not for what we start ourselves
    return int(given) if given.isdecimal() else None


def supervised() -> bool:
    """Whether a supervisor started this process."""
    return bool(os.environ.get(LISTEN_VARIABLE))


def supervise(words: Sequence[str], address: tuple[str, int]) -> int:
    """Keep ``python -m jupyter_model_service.app WORDS`` running at ``address`` until told to end; the exit status."""
    command = [sys.executable, "-m", "jupyter_model_service.app", *words]
    return Supervisor(command, address, say=_say, parent=parent_told()).run()
