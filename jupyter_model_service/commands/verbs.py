"""What each verb does: arguments in, client calls, a result out. Nothing is printed; an observer sees what happens
meanwhile. The same for the command line and for notebooks."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..client import calls, scaling
from ..client.calls import Call, Key
from ..client.folders import Steps, for_create, for_service, for_update, for_validate
from ..client.light import Connection
from ..client.waiting import TAIL_LINES, Following, Goal, Outcome
from ..discovery import find_gateway, start_gateway
from ..errors import Conflict, DefinitionError, InvalidRequest, ModelServiceError, NotFound
from . import access as access_verbs
from . import admin as admin_verbs
from . import audit as audit_verbs
from . import scaling as scaling_verbs
from . import tokens as token_verbs
from . import workbench as workbench_verbs
from .following import follow_events, follow_logs
from .grammar import PROGRAM
from .missing_folder import make_one, with_way_out
from .results import (
    DoneResult,
    EndpointResult,
    EventsResult,
    GatewayResult,
    Json,
    LogsResult,
    Result,
    ServiceResult,
    ServicesResult,
    ValidateResult,
)

_START_SECONDS = 30.0
_ALL_LINES = 1_000_000  # more than any replica's log holds
_PICTURES = 20  # services of a list whose calls are pictured: each is one question more
_PICTURED = 1800.0  # seconds


class Observer(Protocol):
    """Sees what happens while a verb runs. Every method returns soon."""

    def copying(self) -> AbstractContextManager[Callable[[Json], None]]:
        """Around the time in which a folder may be copied; what is given takes each ``CopyInfo``."""

    def following(self, name: str, verb: str) -> AbstractContextManager[None]:
        """Around the time in which ``changed`` is called."""

    def changed(self, service: Json) -> None:
        """The service that is followed has changed."""

    def lines(self, answer: Json) -> None:
        """New log lines: a ``LogAnswer``."""

    def event(self, event: Json) -> None: ...

    def entry(self, entry: Json) -> None:
        """One of the audit log."""

    def decision(self, decision: Json) -> None:
        """A new decision of the autoscaler."""

    def pictures(self) -> bool:
        """Whether figures over time can be shown."""

    def notice(self, sentence: str) -> None:
        """Something that the person should know, besides the result."""

    def confirm(self, question: str) -> bool: ...


class StoppedWatching(KeyboardInterrupt):
    """Ctrl-C while following: the service goes on. Or while a folder was copied: then nothing does."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Session:
    """Whom a verb talks to: the gateway by ``connection``, the person by ``observer``."""

    connection: Connection
    observer: Observer

    def send(self, call: Call[Any]) -> Any:
        return self.connection.send(call)

    def send_folder(self, call: Call[Any]) -> Any:
        """A call that is answered when a folder is copied."""
        heard = False

        def told(copy: Json) -> None:
            nonlocal heard
            heard = True
            tell(copy)

        try:
            with self.observer.copying() as tell:
                return self.connection.send(call, told)
        except KeyboardInterrupt:
            if not heard:
                raise
            raise StoppedWatching("Given up while the folder was copied: nothing was made of it.") from None

    def complete(self, steps: Steps) -> dict[str, Any]:
        return self.connection.complete(steps)

    def key(self, arguments: argparse.Namespace) -> Key:
        return self.connection.key(arguments.name)


def run(session: Session, arguments: argparse.Namespace) -> Result:
    """Do what the line says. Raises the errors of the tree; a service that failed is a result that is not ``ok``."""
    try:
        return _RUN[arguments.verb](session, arguments)
    except DefinitionError as error:
        folder = getattr(arguments, "folder", None)
        raise error if folder is None else with_way_out(error, folder) from None


# --- services --------------------------------------------------------------------------------------------


def _validate(session: Session, arguments: argparse.Namespace) -> Result:
    folder = calls.absolute(arguments.folder)
    _ensure_gateway(session, folder, arguments.folder)  # often the first line that anybody tries
    options = session.complete(for_validate({"folder": folder}))
    return ValidateResult(folder, session.send(calls.validate(**options)))


def _create(session: Session, arguments: argparse.Namespace) -> Result:
    options = _options(arguments)
    _ensure_gateway(session, options["folder"], arguments.folder)
    options = session.complete(for_create(options))
    options |= {"name": arguments.name, "replicas": arguments.replicas, **_who(arguments)}
    try:
        service = session.send_folder(calls.create(options))
    except Conflict as error:
        raise Conflict(error.message + _instead(arguments, error.message)) from error
    return _follow(session, arguments, service, Goal(revision=service["revision"]))


def _instead(arguments: argparse.Namespace, message: str) -> str:
    """What to type where the name is taken: without -n, only the gateway's sentence (``Service ada/demo exists …``)
    has the name. Nothing for one that is just being deleted: the sentence says what to do."""
    taken = re.match(r"Service [^/ ]+/([a-z0-9-]+) exists ", message)
    if taken is None:
        return ""
    folder = shlex.quote(arguments.folder)
    return f" Here: {PROGRAM} update {taken[1]} {folder}, or {PROGRAM} create {folder} -n OTHER"


def _ensure_gateway(session: Session, folder: str, typed: str) -> None:
    locator = session.connection.locator
    if locator.explicit or find_gateway(locator.data_dir) is not None:
        return
    if not os.path.isdir(folder):
        raise InvalidRequest(f"There is no folder {folder}. {make_one(typed)}")
    found = start_gateway(locator.data_dir, keep=True, timeout=_START_SECONDS)
    session.observer.notice(
        f"Started a gateway (process {found.pid}). It stays when this command ends; "
        "`jupyter model-service gateway --stop` ends it, and the replicas with it."
    )


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    environment = arguments.environment
    return calls.revision_options(
        arguments.folder,
        image=arguments.image,
        environment=None if environment is None else dict(environment),
        mounts=arguments.mounts,
        cpus=arguments.cpus,
        memory=arguments.memory,
        gpus=arguments.gpus,
    )


def _who(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"public": arguments.public, "visibility": arguments.visibility}


def _list(session: Session, arguments: argparse.Namespace) -> Result:
    answer = session.send(calls.services())
    services = answer["services"]
    series = {}
    if not (arguments.quiet or arguments.json):
        keys = [(each["owner"], each["name"]) for each in services if each["autoscaling"] is not None]
        series = {"/".join(key): found for key in keys[:_PICTURES] if (found := _series(session, key)) is not None}
    return ServicesResult(services, series, answer.get("shared", ()))


def _series(session: Session, key: Key) -> Json | None:
    """A decoration, which nothing may fail for."""
    if session.observer.pictures():
        with contextlib.suppress(ModelServiceError):
            found: Json = session.send(scaling.series(key, time.time() - _PICTURED, None))
            return found
    return None


def _info(session: Session, arguments: argparse.Namespace) -> Result:
    if arguments.name is None:
        return GatewayResult(session.send(calls.info()))
    key = session.key(arguments)
    service = session.complete(for_service(session.send(calls.get(key))))
    series = None if arguments.json else _series(session, key)
    return ServiceResult("info", service, series=series, named=arguments.name)


def _scale(session: Session, arguments: argparse.Namespace) -> Result:
    service = session.send(calls.scale(session.key(arguments), arguments.replicas))
    return _follow(session, arguments, service, Goal(replicas=arguments.replicas))


def _update(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    options = session.complete(for_update(key, {**_options(arguments), **_who(arguments)}))
    service = session.send_folder(calls.update(key, options))
    return _follow(session, arguments, service, Goal(revision=service["revision"]))


def _rollback(session: Session, arguments: argparse.Namespace) -> Result:
    service = session.send(calls.rollback(session.key(arguments), arguments.revision))
    return _follow(session, arguments, service, Goal(revision=service["revision"]))


def _restart(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    before = frozenset[str]()
    if not arguments.detach:
        before = frozenset(replica["id"] for replica in session.send(calls.get(key))["replica_list"])
    return _follow(session, arguments, session.send(calls.act(key, "restart")), Goal(without=before))


def _stop(session: Session, arguments: argparse.Namespace) -> Result:
    service = session.send(calls.act(session.key(arguments), "stop"))
    return _follow(session, arguments, service, Goal("stopped"))


def _start(session: Session, arguments: argparse.Namespace) -> Result:
    return _follow(session, arguments, session.send(calls.act(session.key(arguments), "start")), Goal())


def _delete(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    name = "/".join(key)
    if not arguments.yes and not session.observer.confirm(f"Delete {name} with its tokens and its history?"):
        return DoneResult("Nothing was deleted.", {"deleted": None})
    service = session.send(calls.delete(key)) or {}
    if not arguments.detach:
        _watch(session, Following(key, Goal("removed"), arguments.timeout), "delete", arguments.name)
    return DoneResult(f"Deleted {name}." if not arguments.detach else f"Deleting {name}.", service)


#: What can be done to a service that is stopped and stays so.
_OF_A_STOPPED_ONE = ("scale", "update", "rollback")


def _follow(session: Session, arguments: argparse.Namespace, service: Json, goal: Goal) -> Result:
    """The result of a verb that starts something: as it is now, or when it has come to its end."""
    for sentence in service.get("not_enforced", ()) if arguments.verb in ("create", "update") else ():
        session.observer.notice(f"Not enforced here: {sentence}")
    for sentence in service.get("notices", ()):
        session.observer.notice(sentence)
    if arguments.detach:
        return ServiceResult(arguments.verb, service, named=arguments.name or "")
    began = time.monotonic()
    if service["state"] == "stopped":
        goal = replace(goal, stopped=True, to_run=arguments.verb not in _OF_A_STOPPED_ONE)
    following = Following((service["owner"], service["name"]), goal, arguments.timeout)
    _watch(session, following, arguments.verb, arguments.name)
    result = following.outcome or Outcome(True)
    if result.replica is not None and not result.tail:
        result = replace(result, tail=_last_lines(session, following.key, result.replica))
    last = following.last or service
    return ServiceResult(arguments.verb, last, result, time.monotonic() - began, named=arguments.name or "")


def _watch(session: Session, following: Following, verb: str, named: str | None) -> None:
    try:
        with session.observer.following(following.name, verb):
            for state in session.connection.follow(following):
                session.observer.changed(state)
    except KeyboardInterrupt:
        raise StoppedWatching(
            f"No longer watching; {verb} of {following.name} goes on. Look with: "
            f"jupyter model-service info {named or following.key[1]}"
        ) from None


def _last_lines(session: Session, key: Key, replica: str) -> tuple[str, ...]:
    """Of one that is just being ended, so that the service's description has none yet."""
    with contextlib.suppress(ModelServiceError):
        return tuple(session.connection.last_logs(key, replica, TAIL_LINES)["lines"])
    return ()


# --- the endpoint, and what happened ---------------------------------------------------------------------


def _get_endpoint(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    call = calls.endpoint_listed(key)
    listed = call.read(session.send(call)) if "/" in arguments.name else None
    try:
        return EndpointResult(listed or session.send(calls.get(key))["endpoint"], openai=arguments.openai)
    except NotFound as error:
        named = calls.of_others(key)
        if others := [] if "/" in arguments.name else named.read(session.send(named)):
            error.message = f"{error.message} Others have one that you may use: {', '.join(others)}."
            error.args = (error.message, *error.args[1:])
        raise


def _logs(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    tail = _ALL_LINES if arguments.tail is None else arguments.tail
    if arguments.follow:
        follow_logs(session.connection, key, arguments.replica, tail, session.observer.lines)
        return LogsResult(None)
    answer = session.connection.last_logs(key, arguments.replica, tail)
    if not answer["lines"] and tail:
        session.observer.notice(f"{answer['replica']} has printed nothing yet.")
    return LogsResult(answer)


def _events(session: Session, arguments: argparse.Namespace) -> Result:
    key = session.key(arguments)
    if arguments.follow:
        follow_events(session.connection, key, arguments.tail, session.observer.event)
        return EventsResult(None)
    return EventsResult(session.send(calls.events(key, limit=arguments.tail))["events"])


_RUN: dict[str, Callable[[Session, argparse.Namespace], Result]] = {
    "init": workbench_verbs.init,
    "dry-run": workbench_verbs.dry_run,
    "validate": _validate,
    "create": _create,
    "list": _list,
    "info": _info,
    "scale": _scale,
    "autoscale": scaling_verbs.autoscale,
    "rule add": scaling_verbs.add_rule,
    "rule list": scaling_verbs.list_rules,
    "rule remove": scaling_verbs.remove_rule,
    "schedule add": scaling_verbs.add_schedule,
    "schedule list": scaling_verbs.list_schedules,
    "schedule remove": scaling_verbs.remove_schedule,
    "explain": scaling_verbs.explain,
    "update": _update,
    "rollback": _rollback,
    "restart": _restart,
    "stop": _stop,
    "start": _start,
    "get-endpoint": _get_endpoint,
    "generate-token": token_verbs.generate,
    "tokens": token_verbs.listing,
    "limit-token": token_verbs.limit,
    "rotate-token": token_verbs.rotate,
    "revoke-token": token_verbs.revoke,
    "uses": token_verbs.uses,
    "share": access_verbs.share,
    "unshare": access_verbs.unshare,
    "access": access_verbs.show,
    "audit": audit_verbs.of_service,
    "admin audit": audit_verbs.of_all,
    "admin list": admin_verbs.show,
    "admin gpus": admin_verbs.gpus,
    "admin limits": admin_verbs.limits,
    "admin notice": admin_verbs.notice,
    "admin stop": admin_verbs.stop,
    "logs": _logs,
    "events": _events,
    "delete": _delete,
}
