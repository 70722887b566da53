"""Processes of this user, and the proof that one is what it is taken for.

A process id alone proves nothing: ids are used again. A process is its id and its start time, and it belongs to a
replica when its environment carries the replica's marks, when it descends from one that does, or when a file
that the runner wrote names both numbers. ``/proc`` is read directly where there is one (a look at 300 processes
takes 10 ms); elsewhere psutil is asked.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psutil

REPLICA_MARK = "MODEL_SERVICE_REPLICA"
DIRECTORY_MARK = "MODEL_SERVICE_DIRECTORY"  # tells the replicas of one data directory from those of another

_PROC = os.path.exists("/proc/self/stat")
_LISTENS = "0A"  # the state TCP_LISTEN in /proc/net/tcp


@dataclass(frozen=True)
class Process:
    """``started`` is in clock ticks since boot (``/proc/<pid>/stat`` field 22), without ``/proc`` in milliseconds
    of Unix time."""

    pid: int
    started: int

    def lives(self) -> bool:
        """Not ended; a zombie has ended."""
        entry = _entry(self.pid)
        return entry is not None and entry.process == self and not entry.zombie

    def signal(self, number: int) -> None:
        """Never reaches another process that got the id meanwhile: a pidfd (Linux) stays with its process."""
        if not hasattr(os, "pidfd_open"):
            if self.lives():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, number)
            return
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            if self.lives():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


@dataclass(frozen=True)
class _Entry:
    process: Process
    parent: int
    group: int
    session: int
    zombie: bool


class Snapshot:
    """All processes of one moment; ``marks`` are those of the replicas below ``directory``."""

    def __init__(self, directory: str) -> None:
        self._entries = {entry.process.pid: entry for entry in _entries()}
        self._spared = set(_line_of(os.getpid(), self._entries))
        self.marks: dict[str, list[Process]] = {}
        for entry in self._entries.values():
            marks = _environment(entry.process)
            if marks.get(DIRECTORY_MARK) == directory and REPLICA_MARK in marks:
                self.marks.setdefault(marks[REPLICA_MARK], []).append(entry.process)

    def named(self, pid: object, started: object, replica: str) -> Process | None:
        """The living process that a file names; without a start time in the file, its marks must fit."""
        entry = self._entries.get(pid) if isinstance(pid, int) else None
        if entry is None or entry.zombie:
            return None
        marked = entry.process in self.marks.get(replica, ())
        return entry.process if marked or (_PROC and started == entry.process.started) else None

    def group(self, pid: object, started: object, group: object, cwd: str | None) -> list[Process]:
        """The members of the process group whose leader a file names.

        Once the leader is gone its number stays taken as long as the group has members, so nobody else can have
        it; a member is believed that is no older, shares the leader's session, and works in ``cwd``. (Servers that
        set their title, as vLLM's workers do, overwrite their environment and with it the marks.)
        """
        if not _PROC or not isinstance(pid, int) or not isinstance(started, int) or group != pid:
            return []
        members = [entry for entry in self._entries.values() if entry.group == group]
        leader = self._entries.get(pid)
        if leader is not None:
            return [entry.process for entry in members] if leader.process.started == started else []
        return [
            entry.process
            for entry in members
            if entry.session == pid and entry.process.started >= started and _works_in(entry.process.pid) == cwd
        ]

    def family(self, processes: Iterable[Process]) -> set[Process]:
        """Those of them that live, and everything that descends from them; never this process or its parents."""
        children: dict[int, list[int]] = {}
        for pid, entry in self._entries.items():
            children.setdefault(entry.parent, []).append(pid)
        pending = [p.pid for p in processes if self._is(p)]
        seen: set[int] = set()
        while pending:
            pid = pending.pop()
            if pid not in seen and pid not in self._spared:
                seen.add(pid)
                pending.extend(children.get(pid, ()))
        return {self._entries[pid].process for pid in seen if not self._entries[pid].zombie}

    def _is(self, process: Process) -> bool:
        entry = self._entries.get(process.pid)
        return entry is not None and entry.process == process


def listening(processes: Iterable[Process]) -> set[tuple[str, int]]:
    """The addresses on which they accept TCP connections."""
    found: set[tuple[str, int]] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            known = psutil.Process(process.pid)
            look = getattr(known, "net_connections", None) or known.connections  # psutil before 6
            for connection in look(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and process.lives():
                    found.add((connection.laddr.ip, connection.laddr.port))
    return found


def hold(processes: Iterable[Process], address: tuple[str, int]) -> bool:
    """Whether a connection to this address reaches one of them, and nobody else.

    Where the system hides the files of one of them, a socket of this user's counts as theirs. So does, for any other
    user, one of root's (containers publish their ports by a process of root's): whoever is root needs no such trick.
    """
    if not _PROC:
        return bool({(host, address[1]) for host in (address[0], "0.0.0.0", "::")} & listening(processes))
    us = os.geteuid()
    own: set[str] = set()
    hidden = False
    for process in processes:
        try:
            own |= _sockets_of(process.pid)
        except PermissionError:
            hidden = True
    found = _listeners(address)
    return bool(found) and all(
        socket in own or (hidden and user == us) or (user == 0 and us != 0) for socket, user in found
    )


def numbering() -> str:
    """Within what process ids and start times mean the same: one boot of the machine, one container."""
    if not _PROC:
        return ""  # there the marks decide
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"


def _sockets_of(pid: int) -> set[str]:
    """The inode numbers of its open sockets; ``PermissionError`` when they may not be seen."""
    found: set[str] = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _listeners(address: tuple[str, int]) -> list[tuple[str, int]]:
    """Inode and user of every socket that takes connections to this address: those bound to it, and only without
    any the ones bound to all addresses. (Anybody may listen on ``[::]`` beside a server on ``127.0.0.1``.)"""
    wanted = ipaddress.ip_address(address[0])
    exact: list[tuple[str, int]] = []
    everywhere: list[tuple[str, int]] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if len(fields) < 10 or fields[3] != _LISTENS:
                    continue
                host, _, port = fields[1].partition(":")
                if int(port, 16) != address[1]:
                    continue
                # Words of four bytes, each in the order of this machine.
                words = [int(host[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(host), 8)]
                bound = ipaddress.ip_address(b"".join(words))
                bound = getattr(bound, "ipv4_mapped", None) or bound
                entry = (fields[9], int(fields[7]))
                if bound == wanted:
                    exact.append(entry)
                elif bound.is_unspecified:
                    everywhere.append(entry)
    return exact or everywhere


def is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host.split("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _line_of(pid: int, entries: Mapping[int, _Entry]) -> Iterator[int]:
    """The process and its parents, up to the first that is not seen."""
    while pid in entries and pid > 1:
        yield pid
        pid = entries[pid].parent


def _entries() -> Iterator[_Entry]:
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()] if _PROC else psutil.pids():
        entry = _entry(pid)
        if entry is not None:
            yield entry


def _entry(pid: int) -> _Entry | None:
    if not _PROC:
        return _asked_entry(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError as error:
        _unless_ours(error)
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold anything, even ")"
    parent, group, session = (int(field) for field in fields[1:4])
    return _Entry(Process(pid, int(fields[19])), parent, group, session, zombie=fields[0] in (b"Z", b"X"))


def _asked_entry(pid: int) -> _Entry | None:
    try:
        known = psutil.Process(pid)
        with known.oneshot():
            started = int(known.create_time() * 1000)
            zombie = known.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            return _Entry(Process(pid, started), known.ppid(), os.getpgid(pid), os.getsid(pid), zombie)
    except (psutil.Error, OSError):
        return None


def _unless_ours(error: OSError) -> None:
    """A process that cannot be seen is gone or somebody else's; not so when it is we who lack a descriptor."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error


def _works_in(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


def _environment(process: Process) -> Mapping[str, str]:
    """The marks in a process's environment; nothing for a process that is not ours to read."""
    if not _PROC:
        with contextlib.suppress(psutil.Error, OSError):
            return psutil.Process(process.pid).environ()
        return {}
    try:
        if os.stat(f"/proc/{process.pid}").st_uid != os.geteuid():
            return {}
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            data = file.read()
    except OSError as error:
        _unless_ours(error)
        return {}
    if DIRECTORY_MARK.encode() not in data or not process.lives():
        return {}
    pairs = (os.fsdecode(item).partition("=") for item in data.split(b"\0"))
    return {name: value for name, _, value in pairs if name in (REPLICA_MARK, DIRECTORY_MARK)}
