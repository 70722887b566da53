"""What of the local replicas is there, by their files and by the processes of this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from jupyter_model_service.ports import Seen

from .local_files import notes_of, placement_in, runner_in
from .processes import Process, Snapshot


class Look:
    """At some replicas with their directories in ``directory``; ``starting`` are those that are just being started.

    The order matters, as other threads start replicas meanwhile and a look at the processes may take longer than that
    on a busy machine. A start is among ``starting`` before there is a directory, and until the runner has written its
    file. So a replica with a directory that does not start any more has this file, and whom the file names is among
    the processes, which are looked at last. The other way round, a replica that came up during the look was held to be
    dead, and its GPU was given to the next one, too.
    """

    def __init__(self, directory: Path, replicas: Iterable[str], starting: Collection[str]) -> None:
        names = list(replicas)
        self._directory = directory
        self._starting = frozenset(starting)
        self._runners = {replica: runner_in(directory / replica) for replica in names}
        self._processes = Snapshot(str(directory))

    def seen(self) -> list[Seen]:
        """Those that have a directory or a process."""
        found = (self._seen(replica) for replica in self._runners)
        return [one for one in found if one is not None]

    def strays(self) -> set[str]:
        """Of all replicas: those with a process that were not asked for."""
        return self._processes.marks.keys() - self._runners.keys()

    def runner(self, replica: str) -> Process | None:
        """As its file names it, if it lives."""
        said = self._runners[replica]
        return self._processes.named(said.get("pid"), said.get("started"), replica)

    def members(self, replica: str) -> set[Process]:
        """Every living process that is provably the replica's."""
        model = self._runners[replica].get("model") or {}
        runner = self.runner(replica)
        roots = [*self._processes.marks.get(replica, ()), *([runner] if runner else [])]
        cwd = notes_of(self._directory / replica).get("cwd")
        roots += self._processes.group(model.get("pid"), model.get("started"), model.get("pgid"), cwd)
        return self._processes.family(roots)

    def _seen(self, replica: str) -> Seen | None:
        folder, said = self._directory / replica, self._runners[replica]
        alive = self.runner(replica) is not None if said else replica in self._starting or self._has_mark(replica)
        if not alive and not folder.is_dir():
            return None
        return Seen(replica, placement_in(folder, said) if said and alive else None, alive)

    def _has_mark(self, replica: str) -> bool:
        return replica in self._processes.marks
