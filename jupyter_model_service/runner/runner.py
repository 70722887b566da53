"""The first process of every replica: runs a model server and tells the gateway how that goes.

One file, standard library only, Python 3.8 or later, so that it can be carried into any image; it imports
nothing of this package. ``PROTOCOL.md`` beside it is its specification. One thread, one event loop:

    Loop        sockets, pipes and timers
    LogRing     the last lines that the children wrote, bounded
    Control     the listening socket, the handshakes, the lease
    Children    starts, reaps, signals and kills processes
    Overlay     the replica's own Python environment over the one that runs this file
    OomWatch, GpuWatch, Usage    figures
    Runner      the order of things: actions, start command, end

It imports little on purpose: 40 ms until it listens and a few megabytes for each replica are part of the
product. That is why there is no ``subprocess``, ``hmac`` (4 MB of OpenSSL), ``argparse`` or ``typing``.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import selectors
import signal
import socket
import sys
import time
from _operator import _compare_digest  # type: ignore[import-not-found,unused-ignore]
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Deque, Dict, List, Optional, Set, Tuple

PROTOCOL = 1
LINE_BYTES = 8192  # a log line is cut here
MESSAGE_BYTES = 256 * 1024  # a control line may not be longer
GREETING_BYTES = 4096  # nor one of somebody who has not proven anything
PIECE_BYTES = 60_000  # of log lines in one answer; the whole message stays under 64 KiB
UNPROVEN = 8  # connections that may be in their handshake at once
HANDSHAKE_SECONDS = 5.0
HTTP_REQUEST = re.compile(rb"[A-Z]{3,16} \S+ HTTP/1\.[01]\r?\Z")
NOTHING_HERE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DEAF_BEATS = 10  # so many heartbeats (one a second) that nothing is said to: the gateway has gone without closing
PENDING_LOG_REQUESTS = 32
MOST_PORTS = 32  # that an answer names
TAIL_LINES = 50
TAIL_BYTES = 128 * 1024  # 50 lines of 8 KiB of control characters would be 2.4 MB of JSON
RESULT_BYTES = 64 * 1024  # of a run_command's standard output that {ref} stands for
CLEAR_SECONDS = 5.0  # processes that outlive SIGKILL for so long hang in the kernel
OOM_MEMORY_SECONDS = 10.0  # an out-of-memory kill so long before the end still explains it
CGROUP_ROOT = "/sys/fs/cgroup"
READ_BYTES = 65536
MAX_GRACE = 3600.0


class Failure(Exception):
    """A sentence for people about something that keeps the replica from running."""


def sha256(data: bytes) -> Any:
    """SHA-256 without loading OpenSSL, where the interpreter has its own."""
    try:
        from _sha2 import sha256 as make  # type: ignore[import-not-found,unused-ignore]  # since 3.12
    except ImportError:
        try:
            from _sha256 import sha256 as make  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from hashlib import sha256 as make
    return make(data)


def hmac_sha256(key: bytes, message: bytes) -> str:
    """RFC 2104, in hex."""
    if len(key) > 64:
        key = sha256(key).digest()
    key = key.ljust(64, b"\0")
    inner = sha256(bytes(b ^ 0x36 for b in key) + message).digest()
    return str(sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest())


def say(message: str) -> None:
    """To the runner's own diagnostics, which may be closed or full."""
    try:
        sys.stderr.write("runner: " + message + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def reason_of(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


# --- the loop ------------------------------------------------------------------------------------------


class Loop:
    """A selector and a handful of named timers (monotonic seconds)."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.running = True
        self._timers: Dict[str, Tuple[float, Callable[[], None]]] = {}

    def watch(self, file: Any, events: int, action: Callable[[int], None]) -> None:
        if file in self.selector.get_map():
            self.selector.modify(file, events, action)
        else:
            self.selector.register(file, events, action)

    def forget(self, file: Any) -> None:
        if file in self.selector.get_map():
            self.selector.unregister(file)

    def after(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Run ``action`` once; a timer of the same name is replaced."""
        self._timers[name] = (time.monotonic() + seconds, action)

    def cancel(self, name: str) -> None:
        self._timers.pop(name, None)

    def turn(self) -> None:
        timeout = None
        if self._timers:
            timeout = max(0.0, min(when for when, _ in self._timers.values()) - time.monotonic())
        for key, events in self.selector.select(timeout):
            key.data(events)
        now = time.monotonic()
        due = sorted((when, name) for name, (when, _) in self._timers.items() if when <= now)
        for when, name in due:
            timer = self._timers.get(name)
            if timer is not None and timer[0] == when:
                del self._timers[name]
                timer[1]()


# --- log lines -----------------------------------------------------------------------------------------


def shown(line: bytes) -> bytes:
    """The line as a terminal would leave it: a progress bar's last state; cut at the limit."""
    if b"\r" in line:
        line = line.rstrip(b"\r")
        line = line[line.rfind(b"\r") + 1 :]
    return line[:LINE_BYTES]


class LineSplitter:
    """Bytes of one pipe in, whole lines out; what it keeps of an unfinished line is bounded."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> List[bytes]:
        data = self._rest + data
        lines = data.split(b"\n")
        rest = lines.pop()
        if len(rest) > LINE_BYTES or b"\r" in rest:
            # The carriage return at the end is kept: it may belong to a CRLF, or announce the next state.
            rest = shown(rest) + (b"\r" if rest.endswith(b"\r") else b"")
        self._rest = rest
        if b"\r" in data or any(len(line) > LINE_BYTES for line in lines):
            return [shown(line) for line in lines]
        return lines

    def finish(self) -> List[bytes]:
        rest, self._rest = shown(self._rest), b""
        return [rest] if rest else []


class LogRing:
    """The last lines, bounded in number and bytes. Cursors count lines from 0 and never go back."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self._lines: Deque[bytes] = deque()
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._bytes = 0
        self.first = 0  # the cursor of the oldest line held

    @property
    def end(self) -> int:
        return self.first + len(self._lines)

    def extend(self, lines: Sequence[bytes]) -> None:
        self._lines.extend(lines)
        self._bytes += sum(map(len, lines))
        while self._lines and (len(self._lines) > self._max_lines or self._bytes > self._max_bytes):
            self._bytes -= len(self._lines.popleft())
            self.first += 1

    def say(self, text: str) -> None:
        self.extend([shown(line) for line in text.encode("utf-8", "replace").split(b"\n")])

    def read(self, after: int, limit: int) -> Tuple[List[bytes], int, int]:
        """``(lines, next cursor, lines that are lost)``; a negative ``after`` counts from the end."""
        if after < 0:
            after = max(self.first, self.end + after)
        lost = max(0, self.first - after)
        start = min(max(after, self.first), self.end)
        offset = start - self.first
        lines = list(itertools.islice(self._lines, offset, offset + max(0, limit)))
        return lines, start + len(lines), lost

    def tail(self, count: int, most: int) -> List[str]:
        """The last lines, fewer where they would take more than ``most`` bytes as JSON."""
        found: List[str] = []
        for line in reversed(self.read(-count, count)[0]):
            text = line.decode("utf-8", "replace")
            most -= len(json.dumps(text)) + 2
            if most < 0:
                break
            found.append(text)
        return found[::-1]


# --- the lease -----------------------------------------------------------------------------------------


class LogRequest:
    """A request for lines that is being answered, piece by piece, when the socket has room."""

    def __init__(self, number: Any, after: int, limit: int) -> None:
        self.number = number
        self.after = after
        self.limit = limit

    def next_piece(self, ring: LogRing) -> Tuple[bytes, bool]:
        """The next message, and whether more follow. Built late, so that waiting answers take no memory."""
        lines, following, lost = ring.read(self.after, min(self.limit, 1000))
        start = following - len(lines)
        encoded: List[str] = []
        size = 0
        for line in lines:
            text = json.dumps(line.decode("utf-8", "replace"), ensure_ascii=False)
            size += len(text.encode("utf-8")) + 1
            if encoded and size > PIECE_BYTES:
                break
            encoded.append(text)
        self.after = start + len(encoded)
        self.limit -= len(encoded)
        more = bool(encoded) and self.limit > 0 and self.after < ring.end
        head = json.dumps({"t": "logs", "id": self.number, "next": self.after, "lost": lost, "more": more})
        return (head[:-1] + ', "lines": [' + ",".join(encoded) + "]}\n").encode("utf-8"), more


class Connection:
    """One accepted socket; see ``Control``."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.closed = False
        self.proven = False
        self.expected: Optional[str] = None  # the proof that the other side owes us
        self.refused = False  # it spoke HTTP and has its answer
        self.since = now
        self.unheard = 0  # heartbeats since the gateway last said something
        self.incoming = bytearray()
        self.outgoing = b""  # of a message that was only partly sent
        self.owes_state = False
        self.owes_beat = False
        self.owes_ports = False
        self.requests: Deque[LogRequest] = deque()


class Control:
    """Listens, makes everybody prove that they know the secret, and serves the one proven connection.

    State and heartbeats are not queued: the connection *owes* the newest one, so that a gateway that does
    not read costs no memory, and log pieces are made only when nothing else waits, so that they never delay
    a heartbeat.
    """

    def __init__(self, loop: Loop, replica: str, secret: str, ring: LogRing) -> None:
        self._loop = loop
        self._replica = replica
        self._secret = secret.encode("utf-8")
        self._ring = ring
        self._connections: List[Connection] = []
        self._listener: Optional[socket.socket] = None
        self.lease: Optional[Connection] = None
        self.describe: Callable[[], Dict[str, Any]] = dict
        self.sample: Callable[[], Dict[str, Any]] = dict
        self.ports: Callable[[], Any] = list
        self.on_request: Callable[[Dict[str, Any]], None] = lambda message: None
        self.on_lease: Callable[[bool], None] = lambda opened: None

    def listen(self, host: str, port: int) -> Tuple[str, int]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(16)
        except OSError as error:
            raise Failure("cannot listen on %s port %d: %s" % (host, port, reason_of(error))) from None
        listener.setblocking(False)
        self._listener = listener
        self._loop.watch(listener, selectors.EVENT_READ, lambda _: self._accept())
        self._loop.after("beat", 1.0, self._beat)
        return host, int(listener.getsockname()[1])

    def close(self) -> None:
        """Send what is owed, if the gateway reads it at once, and close everything."""
        lease = self.lease
        if lease is not None:
            lease.sock.settimeout(0.2)
            lease.requests.clear()
            self._send(lease)
            try:
                # Unread heartbeats would turn the close into a reset, which may overtake what we just sent.
                lease.sock.shutdown(socket.SHUT_WR)
                lease.sock.setblocking(False)
                lease.sock.recv(READ_BYTES)
            except OSError:
                pass
        for connection in list(self._connections):
            self._drop(connection)
        if self._listener is not None:
            self._loop.forget(self._listener)
            self._listener.close()

    def changed(self) -> None:
        if self.lease is not None:
            self.lease.owes_state = True
            self._send(self.lease)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # What lies in the kernel is ahead of the next heartbeat: keep it small.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
        except OSError:
            pass
        unproven = [c for c in self._connections if not c.proven]
        if len(unproven) >= UNPROVEN:
            # The oldest goes, not the newcomer: eight silent strangers must not keep the gateway out.
            self._drop(min(unproven, key=lambda c: (not c.refused, c.since)))
        connection = Connection(sock, time.monotonic())
        self._connections.append(connection)
        self._loop.watch(sock, selectors.EVENT_READ, lambda events: self._ready(connection, events))
        self._loop.after("handshakes", 1.0, self._end_late_handshakes)

    def _drop(self, connection: Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        self._connections.remove(connection)
        self._loop.forget(connection.sock)
        connection.sock.close()
        if connection is self.lease:
            self.lease = None
            self.on_lease(False)

    def _end_late_handshakes(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections if not c.proven]:
            if now - connection.since >= HANDSHAKE_SECONDS:
                self._drop(connection)
        if any(not c.proven for c in self._connections):
            self._loop.after("handshakes", 0.5, self._end_late_handshakes)

    def _beat(self) -> None:
        self._loop.after("beat", 1.0, self._beat)
        lease = self.lease
        if lease is None:
            return
        # Not by the clock: while we ourselves stood still (a machine that slept), nobody could answer.
        if lease.unheard >= DEAF_BEATS:
            self._drop(lease)
            return
        lease.unheard += 1
        lease.owes_beat = True
        self._send(lease)

    def _ready(self, connection: Connection, events: int) -> None:
        if not connection.closed and events & selectors.EVENT_WRITE:
            self._send(connection)
        if not connection.closed and events & selectors.EVENT_READ:
            self._receive(connection)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.unheard = 0
        if connection.refused:
            return
        connection.incoming += data
        while not connection.closed:
            cut = connection.incoming.find(b"\n")
            if cut < 0:
                if len(connection.incoming) > (MESSAGE_BYTES if connection.proven else GREETING_BYTES):
                    self._drop(connection)
                return
            line = bytes(connection.incoming[:cut])
            del connection.incoming[: cut + 1]
            try:
                message = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError):
                message = None
            if message is None and connection.expected is None and HTTP_REQUEST.match(line):
                self._refuse(connection)
                return
            elif not isinstance(message, dict) or len(line) > MESSAGE_BYTES:
                self._drop(connection)
            elif connection.proven:
                self._request(connection, message)
            else:
                self._greet(connection, message)

    def _refuse(self, connection: Connection) -> None:
        """A Hub looks whether its server answers HTTP, and its proxy brings whoever likes: they see nothing."""
        connection.refused = True
        connection.incoming.clear()
        try:
            connection.sock.send(NOTHING_HERE)
            # Closed at once, the rest of the request would turn it into a reset, which may overtake the answer.
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)

    def _proof(self, *words: str) -> str:
        return hmac_sha256(self._secret, "|".join(words).encode("utf-8"))

    def _greet(self, connection: Connection, message: Dict[str, Any]) -> None:
        if connection.expected is None:
            answer = self._challenge(connection, message)
            if answer is not None:
                connection.outgoing = encode(answer)
                self._send(connection)
                return
        else:
            proof = message.get("proof")
            if message.get("t") == "proof" and isinstance(proof, str):
                given, expected = proof.encode("utf-8", "replace"), connection.expected.encode("ascii")
                if _compare_digest(given, expected):  # takes the same time wherever they differ
                    self._admit(connection)
                    return
        self._drop(connection)

    def _challenge(self, connection: Connection, message: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        theirs = message.get("nonce")
        if message.get("t") != "hello" or message.get("protocol") != PROTOCOL:
            return None
        if message.get("replica") != self._replica or not isinstance(theirs, str):
            return None
        if not re.match(r"[0-9a-f]{64}\Z", theirs):
            return None
        mine = os.urandom(32).hex()
        connection.expected = self._proof("gateway", self._replica, mine, theirs)
        return {"t": "challenge", "nonce": mine, "proof": self._proof("runner", self._replica, theirs, mine)}

    def _admit(self, connection: Connection) -> None:
        former = self.lease
        connection.proven = True
        self.lease = connection  # before the former is dropped: the lease is handed over, not lost
        if former is not None:
            self._drop(former)
        self.on_lease(True)
        connection.owes_state = True
        self._send(connection)

    def _request(self, connection: Connection, message: Dict[str, Any]) -> None:
        if message.get("t") == "ports":
            # Looked at when this answer's turn comes, once for all who ask until then: 200 looks at a busy machine's
            # processes took 10 s, without a heartbeat.
            connection.owes_ports = True
            self._watch(connection)
            return
        if message.get("t") != "logs":
            self.on_request(message)
            return
        after, limit = message.get("after", 0), message.get("limit", 1000)
        sound = isinstance(after, int) and isinstance(limit, int)
        if sound and len(connection.requests) < PENDING_LOG_REQUESTS:
            connection.requests.append(LogRequest(message.get("id"), after, max(1, limit)))
            self._send(connection)

    def _next_message(self, connection: Connection) -> bytes:
        if connection.owes_state:
            connection.owes_state = False
            return encode(dict(self.describe(), t="state"))
        if connection.owes_beat:
            connection.owes_beat = False
            return encode(dict(self.sample(), t="beat"))
        if connection.owes_ports:
            connection.owes_ports = False
            return encode({"t": "ports", "ports": self.ports()})
        if connection.requests:
            piece, more = connection.requests[0].next_piece(self._ring)
            if not more:
                connection.requests.popleft()
            return piece
        return b""

    def _send(self, connection: Connection) -> None:
        for _ in range(16):  # then others have their turn
            if not connection.outgoing:
                connection.outgoing = self._next_message(connection)
            if not connection.outgoing:
                break
            try:
                sent = connection.sock.send(connection.outgoing)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._drop(connection)
                return
            connection.outgoing = connection.outgoing[sent:]
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        owed = connection.owes_state or connection.owes_beat or connection.owes_ports
        waiting = connection.outgoing or owed or connection.requests
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting else 0)
        self._loop.watch(connection.sock, events, lambda mask: self._ready(connection, mask))


def encode(message: Any) -> bytes:
    return json.dumps(message).encode("ascii") + b"\n"


# --- processes -----------------------------------------------------------------------------------------

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
CAUGHT = (signal.SIGCHLD, *ENDING, *FORWARDED)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_prctl: Optional[Callable[[int, int, int, int, int], int]] = None


def load_prctl() -> None:
    """Find prctl(2) and become the subreaper; without either (macOS), the launcher cleans up alone."""
    global _prctl
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        _prctl = libc.prctl
        _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)  # what compiling this file took: 1 to 3 MB for each replica
    except (ImportError, OSError, AttributeError) as error:
        say("no prctl here (%s): if this runner is killed, its children live on" % error)


def read_small(path: str) -> bytes:
    """A small file of /proc or /sys; empty when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, 8192)
    except OSError:
        return b""
    finally:
        os.close(fd)


def stat_fields(pid: int) -> List[bytes]:
    """``/proc/<pid>/stat`` from field 3 (state) on; the name before it may hold spaces and brackets."""
    return read_small("/proc/%d/stat" % pid).rpartition(b")")[2].split()


def start_time(pid: int) -> Optional[int]:
    """Clock ticks between boot and the start of the process (field 22), ``None`` without /proc."""
    fields = stat_fields(pid)
    return int(fields[19]) if len(fields) > 19 else None


def descendants(spared: Optional[int] = None, ended: bool = False) -> List[int]:
    """Every living descendant of this process, from one look at /proc; ``spared`` and below are left out. ``ended``:
    those, too, that nobody has waited for yet. A parent stands before its children.

    ``/proc/<pid>/task/<tid>/children`` would be less to read, but many kernels are built without it.
    """
    children: Dict[int, List[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            fields = stat_fields(int(name))
            if len(fields) > 1 and (ended or fields[0] not in (b"Z", b"X")):
                children.setdefault(int(fields[1]), []).append(int(name))
    found: List[int] = []
    waiting = [os.getpid()]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid != spared:
                found.append(pid)
                waiting.append(pid)
    return found


def listening(pids: Sequence[int]) -> Optional[List[Tuple[str, int]]]:
    """Where these processes take TCP connections, by /proc; ``None`` where that cannot be seen."""
    bound: Dict[bytes, Tuple[str, int]] = {}
    readable = False
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            with open("/proc/self/net/" + table, "rb") as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        readable = True
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == b"0A":
                host, _, port = fields[1].partition(b":")
                # Words of four bytes, each in the order of this machine.
                words = [int(host[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(host), 8)]
                bound[fields[9]] = (socket.inet_ntop(family, b"".join(words)), int(port, 16))
    if not readable:
        return None
    found = set()
    for pid in pids:
        try:
            files = ["/proc/%d/fd/%s" % (pid, name) for name in os.listdir("/proc/%d/fd" % pid)]
        except OSError:
            continue  # it ended, or is not ours to look at
        for file_name in files:
            try:
                inode = os.readlink(file_name).encode("utf-8", "replace").partition(b"socket:[")[2][:-1]
            except OSError:
                continue
            if inode in bound:
                found.add(bound[inode])
    return sorted(found)[:MOST_PORTS]


class Child:
    """A process that we started; ``outcome`` says how it ended once it did."""

    def __init__(self, pid: int, argv: Sequence[str], errors: int) -> None:
        self.pid = pid
        self.argv = argv
        self.errors = errors  # a pipe on which a failing exec says why
        self.started = start_time(pid)


class Outcome:
    def __init__(self, code: Optional[int], signal_name: Optional[str], problem: str = "") -> None:
        self.code = code
        self.signal = signal_name
        self.problem = problem  # why the program could not even be started

    @property
    def good(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        if self.signal is not None:
            return "was ended by %s" % self.signal
        return "ended with exit status %s" % self.code


def outcome_of(status: int) -> Outcome:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return Outcome(None, signal.Signals(number).name)
        except ValueError:
            return Outcome(None, "signal %d" % number)
    return Outcome(os.WEXITSTATUS(status), None)


def exec_problem(said: bytes, argv: Sequence[str], cwd: str) -> Outcome:
    """What to tell people when the program could not be started; 126 and 127 as every shell has them."""
    where, _, number = said.decode("ascii").partition(":")
    code = int(number)
    if where == "chdir":
        return Outcome(126, None, "the working directory %s cannot be entered: %s" % (cwd, os.strerror(code)))
    name = argv[0]
    if code in (errno.ENOENT, errno.ENOTDIR):
        if "/" in name and os.path.exists(os.path.join(cwd, name)):
            return Outcome(127, None, "%s cannot run: the interpreter that its first line names is missing" % name)
        hint = "there is no such file" if "/" in name else "there is no such command in PATH"
        return Outcome(127, None, "%s cannot run: %s" % (name, hint))
    if code == errno.EACCES:
        return Outcome(126, None, "%s cannot run: it is not an executable file (chmod +x would make it one)" % name)
    if code == errno.ENOEXEC:
        return Outcome(126, None, "%s cannot run: it is no program for this machine and has no #! line" % name)
    return Outcome(126, None, "%s cannot run: %s" % (name, os.strerror(code)))


def spawn(argv: Sequence[str], env: Mapping[str, str], cwd: str, stdout: int, stderr: int) -> Child:
    """Start a program in a session and process group of its own; it dies with us where the system can do that.

    By hand instead of ``subprocess``: less to load, and the parent-death signal needs code between fork and
    exec anyway. That is safe here because this process never has a second thread.
    """
    parent = os.getpid()
    errors, child_errors = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    # A SIGTERM for the child may come before its exec: blocked, it waits until our handlers are no longer there.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    try:
        pid = os.fork()
    except OSError as error:
        for fd in (errors, child_errors):
            os.close(fd)
        raise Failure("cannot start a process: %s" % reason_of(error)) from None
    finally:
        if os.getpid() == parent:
            os.close(null)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    if pid == 0:
        where = "exec"
        try:
            os.setsid()
            if _prctl is not None:
                _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != parent:  # it died before the kernel knew
                    os._exit(1)
            os.dup2(null, 0)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGPIPE, signal.SIGXFSZ, *CAUGHT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            where = "chdir"
            os.chdir(cwd)
            where = "exec"
            os.execvpe(argv[0], list(argv), dict(env))
        except OSError as error:
            os.write(child_errors, ("%s:%d" % (where, error.errno or 0)).encode("ascii"))
        except BaseException:
            os.write(child_errors, ("%s:%d" % (where, errno.EINVAL)).encode("ascii"))
        finally:
            os._exit(127)
    os.close(child_errors)
    return Child(pid, argv, errors)


def group_lives(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def signal_group(pgid: int, number: int) -> None:
    try:
        os.killpg(pgid, number)
    except OSError:
        pass


def signal_pid(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def reap(before: Callable[[int], None]) -> Iterable[Tuple[int, int, float]]:
    """Collect every ended child: its pid, its status, and the CPU seconds of it and of all that it had waited for.
    ``before`` sees a pid while it cannot be given to another process yet."""
    while True:
        try:
            if hasattr(os, "waitid"):
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if seen is None:
                    return
                before(seen.si_pid)
                pid, status, used = os.wait4(seen.si_pid, 0)
            else:  # macOS before Python 3.13
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                before(pid)
        except ChildProcessError:
            return
        yield pid, status, used.ru_utime + used.ru_stime


# --- figures -------------------------------------------------------------------------------------------


class CpuAccount:
    """The CPU seconds of a tree of processes, from looks at those that live; it only grows.

    The time of a process that has ended is in the account of the one that waited for it, so that processes that come
    and go between two looks count as well. Two things need care. One that ends during a look may be in no account:
    what is missing then comes with the next look. And where a parent ignores SIGCHLD the kernel drops the time: what
    was counted of such a process must not be taken off what others do later, so a fall is made good by the next look
    only.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self._seen: Dict[Any, Tuple[float, float]] = {}
        self._missing = 0.0

    def look(self, seen: Dict[Any, Tuple[float, float]], ended: float) -> None:
        """``seen``: of each process its own seconds and those of all that it waited for; a parent must have been read
        before its children, or one that ends between the two counts twice: 1,000 s of a worker's life as the work of
        one second. ``ended``: of our own children that were waited for since the last look."""
        own_gain = 0.0
        found = ended
        for key, (own, waited) in seen.items():
            own_before, waited_before = self._seen.pop(key, (0.0, 0.0))
            own_gain += max(0.0, own - own_before)
            found += waited - waited_before
        gone = sum(own + waited for own, waited in self._seen.values())
        new = found - gone - self._missing
        self._missing = min(gone, -new) if new < 0 else 0.0
        self._seen = seen
        self.total += own_gain + max(0.0, new)


class Usage:
    """Memory and CPU time of all descendants, by /proc; ``None`` where there is none."""

    def __init__(self) -> None:
        self.rss: Optional[int] = None
        self.cpu: Optional[float] = None
        self.at = 0.0  # monotonic, of the last look
        self._account = CpuAccount()
        self._ended = 0.0
        self._tick = 1.0 / os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")

    def ended(self, seconds: float) -> None:
        """A child of ours was waited for; what it and those that it waited for had used."""
        self._ended += seconds

    def look(self, spared: Optional[int]) -> None:
        if not os.path.exists("/proc/self/stat"):
            return
        self.at = time.monotonic()
        pages = 0
        seen: Dict[Any, Tuple[float, float]] = {}
        for pid in descendants(spared, ended=True):
            fields = stat_fields(pid)
            if len(fields) > 21:
                own, waited = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
                seen[pid, fields[19]] = (own * self._tick, waited * self._tick)
                pages += int(fields[21])
        self._account.look(seen, self._ended)
        self._ended = 0.0
        self.rss = pages * self._page
        self.cpu = self._account.total


class OomWatch:
    """Counts the kernel's out-of-memory kills in our control group, version 1 or 2, where it can be read."""

    def __init__(self, root: str, membership: str = "/proc/self/cgroup") -> None:
        self._file = self._find(root, read_small(membership).decode("utf-8", "replace"))
        self._count = self._read()
        self._seen_at: Optional[float] = None

    @staticmethod
    def _find(root: str, membership: str) -> Optional[str]:
        candidates = []
        for line in membership.splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if "memory" in controllers.split(","):
                # Inside a container the path may be the host's while the mount shows only our part.
                candidates += [root + "/memory" + path.rstrip("/") + "/memory.oom_control"]
                candidates += [root + "/memory/memory.oom_control"]
            elif not controllers:
                candidates += [root + path.rstrip("/") + "/memory.events", root + "/memory.events"]
        for candidate in candidates:
            if b"oom_kill " in read_small(candidate):
                return candidate
        return None

    def _read(self) -> int:
        if self._file is not None:
            for line in read_small(self._file).splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        return 0

    def look(self) -> None:
        """Called each second, so that a rise is known to be recent: others may share the group."""
        count = self._read()
        if count > self._count:
            self._seen_at = time.monotonic()
        self._count = count

    def explains_the_end(self) -> bool:
        self.look()
        return self._seen_at is not None and time.monotonic() - self._seen_at < OOM_MEMORY_SECONDS


class GpuWatch:
    """GPU figures from NVML, by a helper process.

    NVML may hang for seconds while a driver loads, or crash: neither may cost a heartbeat or the replica.
    The helper is forked (not executed) and dies with the runner; without NVML it ends and figures stay unknown.
    """

    def __init__(self, loop: Loop, env: Mapping[str, str]) -> None:
        self._loop = loop
        self._visible = env.get("CUDA_VISIBLE_DEVICES", "all")
        self._pipe = -1
        self._buffer = b""
        self._sample: Optional[List[Dict[str, Any]]] = None
        self._sampled_at = 0.0
        self.pid: Optional[int] = None

    def start(self) -> None:
        library = os.environ.get("MODEL_SERVICE_NVML", "")
        devices = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
        if not library and not any(os.path.exists(device) for device in devices):
            return
        runner = os.getpid()
        self._pipe, output = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(output)
            os.close(self._pipe)
            return
        if self.pid == 0:
            try:
                if _prctl is not None:
                    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                    signal.signal(number, signal.SIG_DFL)
                os.closerange(3, output)
                os.closerange(output + 1, 1024)
                sample_gpus(library or "libnvidia-ml.so.1", self._visible, output, runner)
            finally:
                os._exit(0)
        os.close(output)
        os.set_blocking(self._pipe, False)
        self._loop.watch(self._pipe, selectors.EVENT_READ, lambda _: self._read())

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._loop.forget(self._pipe)
            os.close(self._pipe)
            self._sample = None
            return
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines[-1][-READ_BYTES:]
        if len(lines) > 1:
            try:
                self._sample = json.loads(lines[-2].decode("utf-8"))
                self._sampled_at = time.monotonic()
            except ValueError:
                self._sample = None

    def latest(self) -> Optional[List[Dict[str, Any]]]:
        return self._sample if time.monotonic() - self._sampled_at < 5.0 else None


def sample_gpus(library: str, visible: str, output: int, runner: int, numbered: bool = False) -> None:
    """The helper's life: one line of JSON each second, as long as NVML answers and the runner lives.

    ``numbered``: with NVML's number of each device that was not asked for by its UUID.
    """
    import ctypes

    class Utilization(ctypes.Structure):
        _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]

    class Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    nvml = ctypes.CDLL(library)
    if nvml.nvmlInit_v2() != 0:
        return
    handles = []
    wanted = [name.strip() for name in visible.split(",")]
    if wanted == ["all"]:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return
        wanted = [str(i) for i in range(count.value)]
    for name in wanted:
        handle = ctypes.c_void_p()
        if name.isdigit():
            error = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
        elif name.startswith(("GPU-", "MIG-")):
            error = nvml.nvmlDeviceGetHandleByUUID(name.encode("ascii", "replace"), ctypes.byref(handle))
        else:
            break  # as CUDA does: what follows a bad name is not visible
        if error:
            break
        handles.append((name, handle))
    while os.getppid() == runner:
        sample = []
        for name, handle in handles:
            use, memory, uuid = Utilization(), Memory(), ctypes.create_string_buffer(96)
            errors = (
                nvml.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(use)),
                nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)),
                nvml.nvmlDeviceGetUUID(handle, uuid, ctypes.c_uint(96)),
            )
            if not any(errors):  # a part of a GPU (MIG) has no utilisation of its own: unknown, so left out
                sample.append(
                    {
                        "uuid": uuid.value.decode("ascii", "replace"),
                        "utilization": float(use.gpu),
                        "memory_used": memory.used,
                        "memory_total": memory.total,
                    }
                )
                if numbered and name.isdigit():
                    sample[-1]["index"] = int(name)
        os.write(output, encode(sample))
        time.sleep(1.0)


# --- the replica's own Python environment --------------------------------------------------------------

SHELL_SHEBANG = re.compile(rb"#!/bin/sh\n'''exec' (.+) \"\$0\" \"\$@\"\n' '''\n")
MAX_SCRIPT_BYTES = 1 << 20
# What would send pip, uv or the interpreter elsewhere than into the overlay.
REDIRECTIONS = (
    "PYTHONHOME",
    "__PYVENV_LAUNCHER__",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "UV_PYTHON",
    "UV_TARGET",
    "UV_PREFIX",
    "UV_SYSTEM_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
)
PIP_WITHOUT_PIP = """
import sys
try:
    import runpy
    import pip
except ImportError:
    sys.exit("pip: {parent} has neither pip nor ensurepip's copy of it; install pip there, or leave the action out")
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


class Parent:
    """The Python environment that runs this file, as far as its overlay must know it.

    Found without trusting ``site``'s state, so that the runner may itself be started with ``-I`` and ``-S``.
    """

    def __init__(self) -> None:
        if not sys.executable:
            raise Failure("this Python does not know its own path (sys.executable is empty)")
        self.python = self.base_python = os.path.abspath(sys.executable)
        self.bin = os.path.dirname(self.python)
        self.prefix: Optional[str] = None  # of the virtual environment, when it is one
        self.sees_system = True
        config = self._venv_config(self.python)
        if config is not None:
            self.prefix, _, self.sees_system = config
        for _ in range(8):  # it may have been made from another virtual environment
            if config is None:
                break
            self.base_python = self._python_in(config[1], self.base_python)
            config = self._venv_config(self.base_python)
        self.base_bin = os.path.dirname(self.base_python)

    @staticmethod
    def _venv_config(python: str) -> Optional[Tuple[str, str, bool]]:
        """``(prefix, home, sees the system's packages)`` of a virtual environment's interpreter."""
        folder = os.path.dirname(python)
        for place in (folder, os.path.dirname(folder)):
            try:
                with open(os.path.join(place, "pyvenv.cfg"), encoding="utf-8") as file:
                    pairs = [line.partition("=") for line in file]
            except OSError:
                continue
            config = {key.strip().lower(): value.strip() for key, _, value in pairs}
            if "home" in config:
                system = config.get("include-system-site-packages", "true").lower() != "false"
                return place, config["home"], system
        return None

    @staticmethod
    def _python_in(home: str, like: str) -> str:
        real = os.path.realpath(like)
        names = ["python%d.%d" % sys.version_info[:2], "python3", "python", os.path.basename(real)]
        for name in names:
            candidate = os.path.join(home, name)
            if os.access(candidate, os.X_OK):
                return candidate
        return real

    def site_dirs(self) -> List[str]:
        """Where its packages lie, in the order in which it looks there."""
        import site

        found: List[str] = []
        if self.sees_system and not os.environ.get("PYTHONNOUSERSITE") and os.getuid() == os.geteuid():
            found.append(site.getusersitepackages())
        if self.prefix is not None:
            found.append(os.path.join(self.prefix, *packages_below()))
            found.append(os.path.join(self.prefix, "lib64", *packages_below()[1:]))
        if self.sees_system:
            found += site.getsitepackages([sys.base_prefix, sys.base_exec_prefix])
            # What a distribution adds in its own way (Debian's dist-packages) when we run right on it.
            found += [p for p in sys.path if p.endswith(("/dist-packages", "/site-packages"))]
        unique: Dict[str, str] = {}
        for path in found:
            if os.path.isdir(path):
                unique.setdefault(os.path.realpath(path), path)
        return list(unique.values())

    def script_dirs(self) -> List[str]:
        found = [self.bin]
        if self.sees_system:
            import site

            found.append(self.base_bin)
            found.append(os.path.join(site.getuserbase(), "bin"))
        return list(dict.fromkeys(os.path.realpath(path) for path in found if os.path.isdir(path)))


def packages_below() -> Tuple[str, str, str]:
    """``lib/pythonX.Y/site-packages``, as ``venv`` has it."""
    name = "pypy" if sys.implementation.name == "pypy" else "python"
    free_threaded = "t" if "t" in getattr(sys, "abiflags", "") else ""
    return "lib", "%s%d.%d%s" % (name, sys.version_info[0], sys.version_info[1], free_threaded), "site-packages"


def shebang_for(python: str) -> bytes:
    path = os.fsencode(python)
    if len(path) < 120 and not re.search(rb"[\s\"'\\]", path):
        return b"#!" + path + b"\n"
    # Kernels cut a longer first line, and it cannot hold a space: a program that is valid sh and valid Python.
    quoted = b"'" + path.replace(b"'", b"'\\''") + b"'"
    if b"'" in path:
        raise Failure("the replica's directory %s must not have a quote in its name" % python)
    return b"#!/bin/sh\n'''exec' " + quoted + b' "$0" "$@"\n' + b"' '''\n"


class Overlay:
    """A virtual environment over the parent's: its own packages come first, then the parent's, by a ``.pth``.

    Made by hand rather than by ``venv``: no subprocess, a few milliseconds. ``pip install`` goes here because
    it is a virtual environment, and leaves the parent's packages alone because they are "outside environment".
    The parent's console scripts are copied with this environment's interpreter in their first line; otherwise
    ``uvicorn`` from the parent's ``bin`` would import the parent's version while ``python -m uvicorn`` has ours.
    """

    def __init__(self, directory: str) -> None:
        self.directory = os.path.abspath(directory)
        self.bin = os.path.join(self.directory, "bin")
        self.packages = os.path.join(self.directory, *packages_below())
        self.parent = Parent()

    def prepare(self) -> None:
        """Create it, or take the one that an earlier runner of this replica made. Raises ``Failure``."""
        config = os.path.join(self.directory, "pyvenv.cfg")
        text = "home = %s\ninclude-system-site-packages = false\nversion = %d.%d.%d\nover = %s\n" % (
            self.parent.base_bin,
            *sys.version_info[:3],
            self.parent.python,
        )
        try:
            if read_small(config) == text.encode("utf-8"):
                return
            for folder in (self.bin, self.packages, os.path.join(self.directory, "include")):
                os.makedirs(folder, 0o700, exist_ok=True)
            if sys.maxsize > 2**32 and sys.platform.startswith("linux"):
                self._link("lib", os.path.join(self.directory, "lib64"))
            self._link(self.parent.base_python, os.path.join(self.bin, "python"))
            for name in ("python3", "python%d.%d" % sys.version_info[:2]):
                self._link("python", os.path.join(self.bin, name))
            self._write_path_file()
            self._copy_scripts()
            write_whole(config, text.encode("utf-8"), 0o600)  # last: it says that the rest is complete
        except OSError as error:
            place = error.filename or self.directory
            raise Failure("cannot make the Python environment %s: %s" % (place, reason_of(error))) from None

    @staticmethod
    def _link(target: str, path: str) -> None:
        if os.path.islink(path) and os.readlink(path) == target:
            return
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)

    def _write_path_file(self) -> None:
        dirs = self.parent.site_dirs()
        lines = ["import site; " + "; ".join("site.addsitedir(%s)" % ascii(path) for path in dirs)] if dirs else []
        if not any(os.path.exists(os.path.join(path, "pip", "__init__.py")) for path in dirs):
            # pip runs from ensurepip's wheel as it is: nothing to install, nothing to wait for.
            lines += pip_wheels()
        # The name sorts late: a .pth of a package that was installed into the overlay is read before.
        path = os.path.join(self.packages, "~parent.pth")
        write_whole(path, ("\n".join(lines) + "\n").encode("utf-8"), 0o600)

    def _copy_scripts(self) -> None:
        head = shebang_for(os.path.join(self.bin, "python"))
        theirs = {os.fsencode(path) for path in (self.parent.bin, self.parent.base_bin)}
        theirs |= {os.path.realpath(path) for path in theirs}
        for folder in self.parent.script_dirs():
            with os.scandir(folder) as entries:
                for entry in entries:
                    target = os.path.join(self.bin, entry.name)
                    if not os.path.lexists(target):
                        body = script_body(entry.path, theirs)
                        if body is not None:
                            write_whole(target, head + body, 0o700)
        for name in ("pip", "pip3", "pip%d.%d" % sys.version_info[:2]):
            target = os.path.join(self.bin, name)
            if not os.path.lexists(target):
                body = PIP_WITHOUT_PIP.replace("{parent}", self.parent.python).encode("utf-8")
                write_whole(target, head + body, 0o700)

    def program(self, name: str) -> str:
        """The overlay's own for a program that is named by its path in the parent's ``bin``."""
        folder, base = os.path.split(name)
        if folder and os.path.realpath(folder) == os.path.realpath(self.parent.bin):
            mine = os.path.join(self.bin, base)
            if os.path.exists(mine):
                return mine
        return name

    def apply(self, env: Dict[str, str]) -> None:
        for name in REDIRECTIONS:
            env.pop(name, None)
        path = (env.get("PATH") or os.defpath).split(os.pathsep)
        # A system's /usr/bin keeps its place behind /usr/local/bin; a virtual environment that was never
        # activated is not in PATH at all.
        parent = [] if self.parent.bin in path else [self.parent.bin]
        env["PATH"] = os.pathsep.join([self.bin, *parent, *path])
        env["VIRTUAL_ENV"] = self.directory
        env["PIP_USER"] = "0"
        env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"


def script_body(path: str, interpreters_in: Set[bytes]) -> Optional[bytes]:
    """What follows the first line of a Python script of that environment; ``None`` for everything else."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read(512)
            if not data.startswith(b"#!"):
                return None
            first = data.partition(b"\n")[0]
            shell = SHELL_SHEBANG.match(data)
            if shell is not None:
                interpreter = shell.group(1).strip(b"\"'")
                mine = shell.group(1).startswith(b'"$(dirname')  # finds its interpreter beside itself
            else:
                interpreter = (first[2:].split() or [b""])[0]
                mine = False
            folder, name = os.path.split(interpreter)
            if not mine and (folder not in interpreters_in or not name.startswith((b"python", b"pypy"))):
                return None
            data += file.read(MAX_SCRIPT_BYTES)
    except OSError:
        return None
    if len(data) > MAX_SCRIPT_BYTES:
        return None
    return data[shell.end() if shell is not None else len(first) + 1 :]


def pip_wheels() -> List[str]:
    try:
        import ensurepip
    except ImportError:
        return []
    folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels"]
    for folder in folders:
        try:
            names = sorted(n for n in os.listdir(folder) if n.startswith("pip-") and n.endswith(".whl"))
        except OSError:
            continue
        if names:
            return [os.path.join(folder, names[-1])]
    return []


def write_whole(path: str, data: bytes, mode: int) -> None:
    """Replace a file in one step, with exactly this mode whatever the umask is."""
    temporary = "%s.%d.tmp" % (path, os.getpid())
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


# --- pre-start actions ---------------------------------------------------------------------------------


def substitute(value: Any, results: Mapping[str, str]) -> Any:
    """Replace exactly ``{ref}`` and ``${{ ref }}`` of known results, once, in every string of the value."""
    if not results:
        return value
    if isinstance(value, str):
        names = "|".join(re.escape(name) for name in sorted(results, key=len, reverse=True))
        pattern = r"\$\{\{\s*(%s)\s*\}\}|\{(%s)\}" % (names, names)
        return re.sub(pattern, lambda match: results[match.group(1) or match.group(2)], value)
    if isinstance(value, list):
        return [substitute(item, results) for item in value]
    if isinstance(value, dict):
        return {key: substitute(item, results) for key, item in value.items()}
    return value


def label_of(kind: str, args: Mapping[str, Any]) -> str:
    """What people see while an action runs: ``run_command pip3 install -r requirements.txt``."""
    if kind == "run_command":
        detail = " ".join(str(word) for word in args.get("command", ()))
    else:
        detail = str(args.get("filename") or args.get("path") or args.get("message") or "")
    return " ".join((kind + " " + detail).split())[:200]


def text_of(body: Any) -> bytes:
    """A body is a text, or a list of lines."""
    if isinstance(body, str):
        return body.encode("utf-8")
    return "".join(str(line) + "\n" for line in body or ()).encode("utf-8")


def write_file(path: str, data: bytes, mode: Any, append: bool) -> None:
    # O_NONBLOCK: opening a FIFO that nobody reads must be an error, not the end of all heartbeats.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | (os.O_APPEND if append else os.O_TRUNC)
    fd = os.open(path, flags, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, int(str(mode), 8))
        file.write(data)


def write_tempfile(directory: Optional[str], data: bytes, mode: Any) -> str:
    if directory is None:
        import tempfile

        directory = tempfile.gettempdir()
    path = os.path.join(directory, "action-%s.py" % os.urandom(8).hex())
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, int(str(mode), 8))
        file.write(data)
    return path


# --- the runner ----------------------------------------------------------------------------------------


class Spec:
    """The specification, checked as far as a wrong one would be hard to understand later."""

    def __init__(self, plain: Any) -> None:
        if not isinstance(plain, dict) or plain.get("protocol") != PROTOCOL:
            raise Failure("the specification is not one of protocol %d" % PROTOCOL)
        try:
            self.replica = str(plain["replica"])
            self.secret = str(plain["secret"])
            self.host = str(plain["control"]["host"])
            self.port = int(plain["control"]["port"])
            self.cwd = str(plain["cwd"])
            self.command = [str(word) for word in plain["command"]]
            self.directory: Optional[str] = plain.get("directory")
            self.environment = {str(k): str(v) for k, v in (plain.get("environment") or {}).items()}
            self.unset = [str(name) for name in plain.get("unset") or ()]
            self.overlay: Optional[str] = plain.get("overlay")
            self.actions = [dict(action) for action in plain.get("actions") or ()]
            self.stop_grace = float(plain.get("stop_grace", 10.0))
            self.log_bytes = int(plain.get("log_bytes") or 2_000_000)
            self.log_lines = int(plain.get("log_lines") or 20_000)
            self.keep = float(plain.get("keep", 600.0))
            abandon = plain.get("abandon_after")
            self.abandon_after = None if abandon is None else float(abandon)
        except KeyError as error:
            raise Failure("the specification lacks %s" % error) from None
        except (TypeError, ValueError, AttributeError):
            # Their own words could quote the secret.
            raise Failure("a value in the specification has the wrong type") from None
        if not self.command or not self.secret:
            raise Failure("the specification has an empty command or secret")


class Output:
    """A pipe that children write into; its lines go to the ring, and optionally its bytes to a result."""

    def __init__(self, loop: Loop, ring: LogRing, keep: bool = False) -> None:
        self._loop = loop
        self._ring = ring
        self._splitter = LineSplitter()
        self._keep = keep
        self.kept = b""
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        loop.watch(self._reading, selectors.EVENT_READ, lambda _: self._read(4))

    def _read(self, times: int) -> None:
        """At most so many reads: a child that floods us must not delay a heartbeat."""
        for _ in range(times):
            try:
                data = os.read(self._reading, READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            if not data:
                return
            if self._keep and len(self.kept) < RESULT_BYTES:
                self.kept += data[: RESULT_BYTES - len(self.kept)]
            self._ring.extend(self._splitter.feed(data))

    def drain(self) -> None:
        """After a child's end: what it left in the pipe. Bounded, since others may go on writing."""
        self._read(16)
        self._ring.extend(self._splitter.finish())

    def close(self) -> None:
        self._loop.forget(self._reading)
        os.close(self._reading)
        os.close(self.writing)


class Runner:
    """The order of things. ``phase`` is ``preparing``, ``loading``, ``stopping`` or ``exited``."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.loop = Loop()
        self.ring = LogRing(spec.log_lines, spec.log_bytes)
        self.output = Output(self.loop, self.ring)
        self.control = Control(self.loop, spec.replica, spec.secret, self.ring)
        self.control.describe = self.describe
        self.control.sample = self.sample
        self.control.ports = self.ports
        self.control.on_request = self.on_request
        self.control.on_lease = self.on_lease
        self.phase = "preparing"
        self.address = ("", 0)
        self.env = dict(os.environ)
        self.overlay: Optional[Overlay] = None
        self.oom = OomWatch(CGROUP_ROOT)
        self.gpus: Optional[GpuWatch] = None
        self.action = 0
        self.label = ""
        self.results: Dict[str, str] = {}
        self.capture: Optional[Output] = None
        self.child: Optional[Child] = None
        self.model: Optional[Child] = None  # stays set when it has ended
        self.group: Optional[int] = None  # of the child, while a signal to it is safe
        self.outcome: Optional[Outcome] = None
        self.exit: Optional[Dict[str, Any]] = None
        self.prepared_after: Optional[float] = None
        self.started_at = time.monotonic()
        self.stop_deadline: Optional[float] = None
        self.clear_deadline: Optional[float] = None
        self.leaving = False
        self.usage = Usage()
        self._beats_until_usage = 0
        self._signals: Set[int] = set()

    # - life -

    def run(self) -> int:
        self._catch_signals()
        self.address = self.control.listen(self.spec.host, self.spec.port)
        try:
            self._write_state()
        except OSError as error:
            raise Failure("cannot write runner.json in %s: %s" % (self.spec.directory, reason_of(error))) from None
        self.on_lease(False)
        self._watch_memory()
        load_prctl()
        try:
            self._prepare()
            while self.loop.running:
                self.loop.turn()
        finally:
            for pid in descendants():
                signal_pid(pid, signal.SIGKILL)
        self.control.close()
        return 0

    def _catch_signals(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def note(number: int, frame: Any) -> None:
            self._signals.add(number)

        for number in CAUGHT:
            signal.signal(number, note)
        self.loop.watch(reading, selectors.EVENT_READ, lambda _: self._on_signals(reading))

    def _on_signals(self, reading: int) -> None:
        try:
            os.read(reading, 512)
        except OSError:
            pass
        caught, self._signals = self._signals, set()
        if caught.intersection(ENDING):
            self._leave_after(self.spec.stop_grace)
        for number in caught.intersection(FORWARDED):
            if self.model is not None:
                self._signal(number)
        for pid, status, used in reap(self._before_reaping):
            if self.gpus is None or pid != self.gpus.pid:
                self.usage.ended(used)
            self._reaped(pid, status)

    def _prepare(self) -> None:
        env = self.env
        for name in self.spec.unset:
            env.pop(name, None)
        env.update(self.spec.environment)
        env.setdefault("PYTHONUNBUFFERED", "1")  # else the last words of a killed server are lost in its buffer
        env["MODEL_SERVICE_REPLICA"] = self.spec.replica
        self.gpus = GpuWatch(self.loop, env)
        self.gpus.start()
        if self.spec.overlay is not None:
            try:
                self.overlay = Overlay(self.spec.overlay)
                self.overlay.prepare()
            except Failure as failure:
                self._end(Outcome(None, None, str(failure)))
                return
            self.overlay.apply(env)
        self._next_action()

    def _next_action(self) -> None:
        """Run actions until one takes time, or none is left."""
        while self.action < len(self.spec.actions):
            action = self.spec.actions[self.action]
            self.action += 1
            kind = str(action.get("action"))
            args = substitute(action.get("args") or {}, self.results)
            self.label = label_of(kind, args)
            self.changed()
            try:
                if kind == "run_command":
                    self._run_command(args, action.get("ref"))
                    return
                result = self._run_at_once(kind, args)
            except (Failure, OSError, ValueError, KeyError, TypeError) as error:
                text = "%s: %s" % (error.filename, reason_of(error)) if isinstance(error, OSError) else str(error)
                self._end(Outcome(None, None, "failed: %s" % text))
                return
            if action.get("ref"):
                self.results[str(action["ref"])] = result
        self.prepared_after = round(time.monotonic() - self.started_at, 3)
        self.label = ""
        try:
            self.model = self._start(substitute(self.spec.command, self.results), self.output.writing)
        except Failure as failure:
            self._end(Outcome(None, None, str(failure)))
            return
        self.phase = "loading"
        self.changed()

    def _run_at_once(self, kind: str, args: Mapping[str, Any]) -> str:
        if kind == "log":
            self.ring.say(("debug: " if args.get("debug") else "") + str(args["message"]))
            return str(args["message"])
        if kind == "mkdir":
            path = os.path.join(self.spec.cwd, str(args["path"]))
            os.makedirs(path, exist_ok=True)
        elif kind == "write_file":
            path = os.path.join(self.spec.cwd, str(args["filename"]))
            write_file(path, text_of(args.get("body")), args.get("mode", "644"), bool(args.get("append")))
        elif kind == "write_tempfile":
            path = write_tempfile(self.spec.directory, text_of(args.get("body")), args.get("mode", "644"))
        else:
            raise Failure("this runner does not know the action %r" % kind)
        return path

    def _run_command(self, args: Mapping[str, Any], ref: Optional[str]) -> None:
        argv = [str(word) for word in args["command"]]
        if not argv:
            raise Failure("its command is empty")
        if args.get("echo"):
            self.ring.say("$ " + " ".join(argv))
        if ref:
            self.capture = Output(self.loop, self.ring, keep=True)
        self._start(argv, (self.capture or self.output).writing)

    def _start(self, argv: List[str], stdout: int) -> Child:
        if self.overlay is not None:
            argv = [self.overlay.program(argv[0]), *argv[1:]]
        self.oom.look()
        self.child = spawn(argv, self.env, self.spec.cwd, stdout, self.output.writing)
        self.group = self.child.pid
        return self.child

    # - ends -

    def _before_reaping(self, pid: int) -> None:
        """The group's number is safe to use for as long as its leader is not reaped."""
        child = self.child
        if child is not None and pid == child.pid and child is self.model and self.stop_deadline is None:
            signal_group(pid, signal.SIGKILL)

    def _reaped(self, pid: int, status: int) -> None:
        if self.gpus is not None and pid == self.gpus.pid:
            self.gpus.pid = None  # the number may soon be another process's
        child = self.child
        if child is None or pid != child.pid:
            return
        self.child = None
        outcome = outcome_of(status)
        said = os.read(child.errors, 64)
        os.close(child.errors)
        if said:
            outcome = exec_problem(said, child.argv, self.spec.cwd)
        self.output.drain()
        result = b""
        if self.capture is not None:
            self.capture.drain()
            result = self.capture.kept
            self.capture.close()
            self.capture = None
        if self.stop_deadline is not None:
            self._await_group(outcome)
        elif child is self.model or not outcome.good:
            self._end(outcome)
        else:
            self.group = None
            ref = self.spec.actions[self.action - 1].get("ref")
            if ref:
                self.results[str(ref)] = result.decode("utf-8", "replace").strip()
            self._next_action()

    def _await_group(self, outcome: Outcome) -> None:
        """While stopping: a shell dies of SIGTERM at once, the server that it started may use the grace."""
        self.outcome = self.outcome or outcome
        assert self.stop_deadline is not None
        if self.clear_deadline is not None:
            return
        if self.group is not None and group_lives(self.group) and time.monotonic() < self.stop_deadline:
            self.loop.after("group", 0.02, lambda: self._await_group(outcome))
        else:
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        """The first process is gone (or never was): kill what is left of it, then say so."""
        self.outcome = self.outcome or outcome
        self._clear()

    def _clear(self) -> None:
        """SIGKILL to everything that is left, again and again until nothing is."""
        if self.phase == "exited":
            return
        now = time.monotonic()
        if self.clear_deadline is None:
            self.clear_deadline = now + CLEAR_SECONDS
        if self.group is not None:
            if self.child is not None or group_lives(self.group):
                self._signal(signal.SIGKILL)
            else:
                self.group = None
        left = descendants(self.gpus.pid if self.gpus else None)
        for pid in left:
            signal_pid(pid, signal.SIGKILL)
        if self.child is None and not left and self.group is None:
            self._exited()
        elif now > self.clear_deadline:
            names = ", ".join(str(pid) for pid in left)
            self.ring.say("runner: processes that even SIGKILL did not end: %s" % (names or self.group))
            self._exited()
        else:
            self.loop.after("clear", 0.01, self._clear)

    def _exited(self) -> None:
        self.output.drain()
        outcome = self.outcome or Outcome(None, None, "did not end after SIGKILL")
        stage = "prepare" if self.model is None and self.prepared_after is None else "serve"
        oom = not outcome.good and self.oom.explains_the_end()
        if stage == "serve":
            subject = "the start command"
        else:
            subject = "pre-start action %d of %d (%s)" % (self.action, len(self.spec.actions), self.label)
        message = subject + (": " if outcome.problem else " ") + str(outcome)
        if stage == "prepare" and not self.action:
            message = str(outcome)  # not even the first action: the environment could not be made
        if oom:
            message += " because memory ran out"
        if self.stop_deadline is not None:
            message += " when it was stopped"
        self.exit = {
            "stage": stage,
            "code": outcome.code,
            "signal": outcome.signal,
            "oom": oom,
            "action": self.action if stage == "prepare" and self.action else None,
            "message": message[:2000],
            "tail": self.ring.tail(TAIL_LINES, TAIL_BYTES),
        }
        self.phase = "exited"
        self.loop.cancel("kill")
        self.changed()
        self.loop.after("keep", self.spec.keep, self._leave)
        if self.leaving:
            self._leave()

    def _signal(self, number: int) -> None:
        """To the child's whole group; to the child alone while it has not come to its setsid yet."""
        if self.group is not None:
            signal_group(self.group, number)
        if self.child is not None and not group_lives(self.child.pid):
            signal_pid(self.child.pid, number)

    def stop(self, grace: float) -> None:
        """SIGTERM now, SIGKILL after ``grace`` seconds; a second call can only shorten that."""
        first = self.stop_deadline is None
        if self.phase == "exited" or (first and self.clear_deadline is not None):
            return  # it ends by itself already
        deadline = time.monotonic() + min(max(grace, 0.0), MAX_GRACE)
        self.stop_deadline = deadline if self.stop_deadline is None else min(deadline, self.stop_deadline)
        self.loop.after("kill", max(0.0, self.stop_deadline - time.monotonic()), self._clear)
        if first:
            self.phase = "stopping"
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process hears nothing else
            self.changed()

    def _leave_after(self, grace: float) -> None:
        self.leaving = True
        if self.phase == "exited":
            self._leave()
        else:
            self.stop(grace)

    def _leave(self) -> None:
        self.loop.running = False

    # - the lease -

    def on_lease(self, opened: bool) -> None:
        if opened:
            self.loop.cancel("abandon")
        elif self.spec.abandon_after is not None:
            self.loop.after("abandon", self.spec.abandon_after, self._abandon)

    def _abandon(self) -> None:
        self.ring.say("runner: no gateway for %g s, so this replica ends" % (self.spec.abandon_after or 0))
        self._leave_after(self.spec.stop_grace)

    def on_request(self, message: Dict[str, Any]) -> None:
        kind = message.get("t")
        if kind == "stop":
            grace = message.get("grace")
            good = isinstance(grace, (int, float)) and not isinstance(grace, bool) and grace == grace
            self.stop(float(grace) if good and grace is not None else self.spec.stop_grace)
        elif kind == "collected" and self.phase == "exited":
            self._leave()

    def describe(self) -> Dict[str, Any]:
        return {
            "phase": self.phase,
            "action": self.action,
            "actions": len(self.spec.actions),
            "label": self.label,
            "model_pid": self.model.pid if self.model is not None else None,
            "prepared_after": self.prepared_after,
            "exit": self.exit,
        }

    def _watch_memory(self) -> None:
        self.oom.look()
        self.loop.after("oom", 1.0, self._watch_memory)

    def sample(self) -> Dict[str, Any]:
        self._beats_until_usage -= 1
        usage = self.usage
        if self._beats_until_usage < 0:
            began = time.monotonic()
            usage.look(self.gpus.pid if self.gpus else None)
            # A look at a machine with thousands of processes costs 10 ms and more: then only every fifth beat.
            self._beats_until_usage = 4 if time.monotonic() - began > 0.002 else 0
        return {
            "gpus": self.gpus.latest() if self.gpus else None,
            "rss": usage.rss,
            "cpu": round(usage.cpu, 3) if usage.cpu is not None else None,
            "cpu_at": round(usage.at - self.started_at, 3) if usage.cpu is not None else None,
        }

    def ports(self) -> Optional[List[Tuple[str, int]]]:
        return listening(descendants(self.gpus.pid if self.gpus else None))

    def changed(self) -> None:
        try:
            self._write_state()
        except OSError as error:
            self.ring.say("runner: cannot write runner.json: %s" % reason_of(error))
        self.control.changed()

    def _write_state(self) -> None:
        if self.spec.directory is None:
            return
        model = self.model
        state = {
            "protocol": PROTOCOL,
            "replica": self.spec.replica,
            "pid": os.getpid(),
            "started": start_time(os.getpid()),
            "control": {"host": self.address[0], "port": self.address[1]},
            "model": model and {"pid": model.pid, "pgid": model.pid, "started": model.started},
            "phase": self.phase,
        }
        write_whole(os.path.join(self.spec.directory, "runner.json"), encode(state), 0o600)


def unpacked(text: Optional[str]) -> Optional[str]:
    """One variable holds 128 KiB at most, so a specification may come as zlib's output in base64."""
    if text is None or text.lstrip().startswith("{"):
        return text
    import base64
    import zlib

    try:
        return zlib.decompress(base64.b64decode(text, validate=True)).decode("utf-8")
    except (ValueError, zlib.error):
        raise Failure("the specification in MODEL_SERVICE_SPEC is neither JSON nor packed JSON") from None


def read_spec(arguments: Sequence[str]) -> Spec:
    text = unpacked(os.environ.pop("MODEL_SERVICE_SPEC", None))
    if len(arguments) == 2 and arguments[0] == "--spec":
        try:
            with open(arguments[1], encoding="utf-8") as file:
                text = file.read()
        except OSError as error:
            raise Failure("cannot read the specification %s: %s" % (arguments[1], reason_of(error))) from None
    elif arguments or text is None:
        raise Failure("usage: runner.py --spec FILE, or the specification in MODEL_SERVICE_SPEC")
    try:
        return Spec(json.loads(text))
    except (ValueError, RecursionError):
        # The decoder's own words could quote the secret.
        raise Failure("the specification is not JSON") from None


def main(arguments: Sequence[str]) -> int:
    for fd in (0, 1, 2):  # closed ones would be given to our pipes
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        spec = read_spec(arguments)
    except Failure as failure:
        say(str(failure))
        return 2
    try:
        return Runner(spec).run()
    except Failure as failure:
        say(str(failure))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
