"""``init`` and ``dry-run``: done here and now, in this process's environment; no gateway is asked."""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..client import calls
from ..errors import InvalidRequest, NotFound
from .parser import UsageError
from .results import Json, Result

if TYPE_CHECKING:
    from ..wire.workbench import SampleRequest
    from ..workbench.dry_run import Plan
    from .verbs import Session

__all__ = ["DraftResult", "DryRunResult", "dry_run", "init"]

_TAIL = 20  # log lines of one that failed


@dataclass(frozen=True)
class DraftResult(Result):
    """``draft`` is a ``DraftInfo``; ``reason`` says why the kind was chosen, where nobody named it."""

    folder: str
    kind: str
    reason: str
    draft: Json

    @property
    def kept(self) -> list[str]:
        """Files that were there and are as they were."""
        return [file["name"] for file in self.draft["files"] if file["name"] not in self.draft["written"]]

    def to_json(self) -> Any:
        return {"folder": self.folder, "kind": self.kind, **self.draft}


@dataclass(frozen=True)
class DryRunResult(Result):
    """``state`` is a ``DryRunState`` without what only the Jupyter server's has, ``id`` and ``path``."""

    folder: str
    state: Json

    @property
    def ok(self) -> bool:
        return bool(self.state["outcome"] == "passed")

    @property
    def tail(self) -> list[str]:
        return [] if self.ok else list(self.state["log"][-_TAIL:])

    def to_json(self) -> Any:
        return {"folder": self.folder, **self.state}


def init(session: Session, arguments: argparse.Namespace) -> Result:
    from ..workbench.folder import drafted, listing_of
    from ..workbench.guess import guesses

    folder = Path(calls.absolute(arguments.folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be made: {(error.strerror or str(error)).lower()}.") from None
    fields: dict[str, Any] = dict(arguments.fields)
    kind, reason = arguments.kind, ""
    found = [guess for guess in guesses(listing_of(folder)) if kind in (None, guess.kind)]
    if found:
        kind, fields = found[0].kind, {**found[0].fields, **fields}
        reason = "" if arguments.kind else found[0].reason
    draft = drafted(folder, kind, fields, True, arguments.force)
    return DraftResult(str(folder), kind, reason, draft.model_dump(mode="json"))


def dry_run(session: Session, arguments: argparse.Namespace) -> Result:
    from ..workbench.dry_run import prepared

    folder = Path(calls.absolute(arguments.folder))
    plan = prepared(folder, _request(folder, arguments))
    return DryRunResult(str(folder), _watched(session, plan, arguments.timeout))


def _request(folder: Path, arguments: argparse.Namespace) -> SampleRequest | None:
    from pydantic import ValidationError

    from ..wire.workbench import SampleRequest
    from ..workbench.samples import read_samples

    path, body = arguments.path, arguments.body
    if arguments.request is not None:
        if path is not None or body is not None:
            raise UsageError("--request names a call that is kept: leave out --path and --body.", arguments.verb)
        kept = {request.name: request for request in read_samples(folder)}
        if arguments.request not in kept:
            raise NotFound(f"{folder} keeps no request {arguments.request!r}; it has {', '.join(kept) or 'none'}.")
        return kept[arguments.request]
    if path is None:
        if body is not None:
            raise UsageError("--body needs the --path that it is sent to.", arguments.verb)
        return None
    content = body
    with contextlib.suppress(ValueError, TypeError):
        content = json.loads(body)
    try:
        return SampleRequest(name="call", method="GET" if body is None else "POST", path=path, body=content)
    except ValidationError:
        raise InvalidRequest(f"{path[:80]!r} is no path of a call.") from None


def _watched(session: Session, plan: Plan, timeout: float) -> dict[str, Any]:
    """On a loop of its own in a thread: a notebook's main thread has one that runs already. What is told, is told on
    this thread."""
    from ..wire.workbench import DryRunAnswer, DryRunLog, DryRunPhase

    work = _Work(plan, timeout)
    phases: list[Json] = []
    log: list[str] = []
    answer: Json | None = None
    said = ""
    try:
        while (told := work.told.get()) is not None:
            if isinstance(told, DryRunPhase):
                phases.append(told.model_dump())
                if told.sentence != said and told.phase != "stopping":
                    said = told.sentence
                    session.observer.notice(said)
            elif isinstance(told, DryRunLog):
                log = [*log, *told.lines][-2000:]
            elif isinstance(told, DryRunAnswer):
                answer = told.model_dump()
    except KeyboardInterrupt:
        from .verbs import StoppedWatching

        work.stop()
        raise StoppedWatching("Stopped; nothing of the dry run is left.") from None
    outcome = work.result()
    return {**outcome.model_dump(), "phases": phases, "log": log, "answer": answer}


class _Work:
    """``told`` ends with ``None``."""

    def __init__(self, plan: Plan, timeout: float) -> None:
        import asyncio  # 30 ms that no other verb is to wait for

        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._run(plan, timeout))
        self._thread = threading.Thread(target=self._until_done, name="dry run", daemon=True)
        self._thread.start()

    async def _run(self, plan: Plan, timeout: float) -> Any:
        from ..workbench import dry_run as runs

        return await runs.dry_run(plan, self.told.put, timeout=timeout)

    def _until_done(self) -> None:
        try:
            with contextlib.suppress(BaseException):  # of the task, and told by its result
                self._loop.run_until_complete(self._task)
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
            self.told.put(None)

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def result(self) -> Any:
        self._thread.join()
        return self._task.result()
