"""The operations of the control API: parsed request → engine call → wire model. Errors pass through."""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import wire
from ..core.definition import definition_to_plain, json_schema
from ..core.happenings import UNTOLD
from ..core.names import service_name_from
from ..core.revision import Mount
from ..core.revision_change import GivenDefinition, RevisionChange
from ..core.sharing import Role
from ..errors import Overloaded, Problem
from ..ports import EventRecord
from ..wire.access import SharedInfo
from ..wire.offer import OfferInfo
from .call import Call, Text
from .queries import EventQuery, LogQuery
from .visibility import may_become, public_of, taken_back


def service_info(view: Any, role: Role = Role.OWNER) -> wire.ServiceInfo:
    """The engine's view of a service, as JSON shows it: the fields have the same names on both sides. Whoever it is
    shared with sees how it is, and not what it is made of."""
    info = wire.ServiceInfo.model_validate(dataclasses.asdict(view))
    if role is Role.OWNER:
        return info
    hidden: dict[str, Any] = {
        "folder": "",
        "environment": [],
        "mounts": [],
        "definition": {},
        "files": wire.FilesInfo(),
    }
    revisions = [each.model_copy(update=hidden) for each in info.revisions]
    replicas = [each.model_copy(update={"pid": None, "address": None}) for each in info.replica_list]
    return info.model_copy(
        update={"role": role.word, "revisions": revisions, "replica_list": replicas, "changed": None}
    )


def shown(call: Call, view: Any) -> wire.ServiceInfo:
    """What the caller sees of it."""
    return service_info(view, call.role(view.owner, view.name) or Role.VIEWER)


def copy_info(view: Any) -> wire.CopyInfo:
    return wire.CopyInfo.model_validate(dataclasses.asdict(view))


def event_info(key: str, event: EventRecord, role: Role = Role.OWNER) -> wire.EventInfo:
    """``role`` is that of who looks: what of an event its owner is told alone, others are not. No event is left out for
    them, since pages of events are counted."""
    told = role is Role.OWNER or event.audience == "viewer"
    return wire.EventInfo(
        id=event.id,
        at=event.at,
        service=key,
        kind=event.kind,
        message=event.message if told else event.others or UNTOLD,
        replica=event.replica,
        details=dict(event.details) if told else {},
    )


async def info(call: Call) -> wire.GatewayInfo:
    """``owner`` is the caller's own, where a gateway has several users. What is told of the page for administrators
    opens nothing: it asks people to sign in there themselves."""
    found, caller = call.parts.info(), call.caller
    told: dict[str, object] = {} if caller is None or caller.home is None else {"owner": caller.home}
    if caller is None or caller.person is None or not caller.person.admin:
        told["administration"] = None
    return found.model_copy(update=told)


def shared_info(view: Any) -> SharedInfo:
    return SharedInfo(
        owner=view.owner, name=view.name, state=view.state, endpoint=view.endpoint, page=view.page, role="caller"
    )


async def offer(call: Call) -> OfferInfo:
    caller = call.caller
    return await call.parts.offer(caller.home if caller is not None else None)


async def validate(call: Call) -> wire.ValidateAnswer:
    body = call.given(wire.ValidateRequest)
    definition, warnings = await call.parts.engine.validate(body.folder, _given(body.definition))
    return wire.ValidateAnswer(
        name=service_name_from(definition.name),
        definition=definition_to_plain(definition),
        warnings=[_problem(w) for w in warnings],
    )


async def list_services(call: Call) -> wire.ServiceList:
    found = wire.ServiceList(services=[])
    for view in call.parts.engine.services():
        role = call.role(view.owner, view.name)
        if role is Role.CALLER:
            found.shared.append(shared_info(view))
        elif role is not None:
            found.services.append(service_info(view, role))
    return found


async def create_service(call: Call) -> wire.ServiceInfo:
    body = call.given(wire.CreateRequest)
    view = await call.parts.engine.create(
        call.home(),
        change=_change(body),
        name=body.name,
        replicas=body.replicas,
        public=bool(public_of(body)),
        still=call.still,
    )
    return service_info(view)


async def get_service(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.inspect(*call.service))


async def delete_service(call: Call) -> wire.ServiceInfo:
    view = await call.parts.engine.delete(*call.service)
    call.parts.tokens.forget(view.id)
    return service_info(view)


async def update_service(call: Call) -> wire.ServiceInfo:
    body = call.given(wire.UpdateRequest)
    public = may_become(call, body)
    view = await call.parts.engine.update(*call.service, change=_change(body), public=public, still=call.still)
    if body.visibility == "private":
        view = await taken_back(call, view)
    return service_info(view)


async def scale_service(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.scale(*call.service, call.given(wire.ScaleRequest).replicas))


async def rollback_service(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.rollback(*call.service, call.given(wire.RollbackRequest).revision))


async def restart_service(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.restart(*call.service))


async def stop_service(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.stop_service(*call.service, _not_its_owner(call)))


def _not_its_owner(call: Call) -> str:
    """Who asks, as the owner is told it; empty where that is she."""
    caller, owner = call.caller, call.service[0]
    if caller is None or owner in (caller.home, caller.name):
        return ""
    person = caller.person
    if caller.manages_all or (person is not None and person.admin):
        return f"the administrator {call.by}"
    return f"the operator {call.by}" if not caller.may_manage(owner) else call.by


async def start_service(call: Call) -> wire.ServiceInfo:
    return shown(call, await call.parts.engine.start_service(*call.service))


async def list_events(call: Call) -> wire.EventList:
    query = call.given(EventQuery)
    found = await call.parts.engine.events(*call.service, query.after, query.limit)
    role = call.role(*call.service) or Role.VIEWER
    return wire.EventList(events=[event_info(key, event, role) for key, event in found])


async def read_logs(call: Call) -> wire.LogAnswer:
    query = call.given(LogQuery)
    replica, lines, cursor, lost = await call.parts.engine.logs(*call.service, query.replica, query.after, query.limit)
    return wire.LogAnswer(replica=replica, lines=list(lines), next=cursor, lost=lost)


async def openapi(call: Call) -> dict[str, Any]:
    return dict(call.parts.document())


async def definition_schema(call: Call) -> dict[str, Any]:
    return json_schema()


async def attach(call: Call) -> wire.GatewayInfo:
    body = call.given(wire.AttachRequest)
    call.parts.attach(body.pid, body.create_time, body.keep)
    return call.parts.info()


async def shutdown(call: Call) -> wire.GatewayInfo:
    call.parts.shutdown(call.given(wire.ShutdownRequest).leave_replicas)
    return call.parts.info()


async def live(call: Call) -> Text:
    return Text(b"ok\n")


async def ready(call: Call) -> Text:
    problem = call.parts.engine.store_error
    if problem is not None:
        # The reason may name paths of the owner's, and health is open to anyone: the log has it.
        raise Overloaded("The gateway cannot write its database now.", code="not_ready")
    return Text("\n".join(["ok", *call.parts.told(), ""]).encode())


async def metrics(call: Call) -> Text:
    return Text(call.parts.metrics(), "text/plain; version=0.0.4; charset=utf-8")


def _change(options: wire.RevisionOptions) -> RevisionChange:
    mounts = options.mounts
    return RevisionChange(
        folder=options.folder,
        definition=_given(options.definition),
        image=options.image,
        environment=options.environment,
        mounts=None if mounts is None else tuple(Mount(m.source, m.target, m.read_only) for m in mounts),
        cpus=options.cpus,
        memory=options.memory,
        gpus=options.gpus,
    )


def _given(text: wire.DefinitionText | None) -> GivenDefinition | None:
    return None if text is None else GivenDefinition(text.file, text.text)


def _problem(problem: Problem) -> wire.ProblemInfo:
    return wire.ProblemInfo(**dataclasses.asdict(problem))
