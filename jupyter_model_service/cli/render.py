"""Results as text for people: tables, sentences, and what to do next."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..client.units import show_duration, show_size
from ..client.waiting import Outcome
from ..commands.grammar import PROGRAM
from ..commands.results import (
    AccessResult,
    AuditResult,
    AutoscalingResult,
    DecisionsResult,
    DoneResult,
    EndpointResult,
    EventsResult,
    GatewayResult,
    LimitsResult,
    LogsResult,
    OverviewResult,
    Result,
    RulesResult,
    SchedulesResult,
    ServiceResult,
    ServicesResult,
    TokenResult,
    TokensResult,
    UsesResult,
    ValidateResult,
)
from ..commands.workbench import DraftResult, DryRunResult
from ..core.sentences import counted
from . import access, scaling, workbench
from .admin import admin_page, ends_fact, notice_fact, said_of
from .audit import entry_line
from .calling import how_to_call
from .text import Paint, clean, clean_log, columns, moment, named
from .tokens import token_table, token_text, uses_table

Json = Mapping[str, Any]

CHANGED_SHOWN = 5  # files; the gateway names one more when there are more


def render(result: Result, paint: Paint, *, quiet: bool, terminal: bool) -> str:
    """What goes to standard output; empty for a service that failed (see :func:`render_failure`)."""
    if isinstance(result, ServiceResult):
        if result.verb == "info":
            return service_page(result.service, paint, scaling.calls_picture(result.series))
        return service_summary(result, paint) if result.ok else ""
    if isinstance(result, ServicesResult):
        return service_table(result, paint, quiet)
    if isinstance(result, GatewayResult):
        return gateway_page(result.info)
    if isinstance(result, ValidateResult):
        return validation(result, paint)
    if isinstance(result, EndpointResult):
        return result.base_url if result.openai else result.url
    if isinstance(result, TokenResult):
        return token_text(result, quiet)
    if isinstance(result, TokensResult):
        return token_table(result.tokens, paint)
    if isinstance(result, LogsResult):
        lines = [] if result.answer is None else result.answer["lines"]
        return "\n".join(clean_log(line, terminal=terminal) for line in lines)
    if isinstance(result, EventsResult):
        return "\n".join(event_line(event, paint) for event in result.events or ())
    return result.sentence if isinstance(result, DoneResult) else _of_others(result, paint)


def _of_others(result: Result, paint: Paint) -> str:
    if isinstance(result, DraftResult):
        return workbench.drafted(result)
    if isinstance(result, DryRunResult):
        return workbench.tried(result, paint)
    if isinstance(result, AutoscalingResult):
        return scaling.policy_page(result, paint)
    if isinstance(result, AccessResult):
        return access.access_page(result, paint)
    if isinstance(result, UsesResult):
        return uses_table(result, paint)
    if isinstance(result, AuditResult):
        if result.entries == []:
            return clean(result.nothing)
        return "\n".join(entry_line(entry, paint) for entry in result.entries or ())
    if isinstance(result, OverviewResult | LimitsResult):
        return admin_page(result, paint)
    if isinstance(result, RulesResult):
        return scaling.rules_text(result, paint)
    if isinstance(result, SchedulesResult):
        return scaling.schedules_text(result, paint)
    return scaling.explanation(result, paint) if isinstance(result, DecisionsResult) else ""


# --- services --------------------------------------------------------------------------------------------


def service_table(result: ServicesResult, paint: Paint, quiet: bool) -> str:
    services = [*result.services, *result.shared]
    others = any(access.role(service) != "owner" for service in services)
    several = others or len({service["owner"] for service in services}) > 1  # a name alone means one's own
    names = [f"{s['owner']}/{s['name']}" if several else s["name"] for s in services]
    if quiet:
        return "\n".join(names)
    if not services:
        return f"No services yet: {PROGRAM} create FOLDER makes one."
    calls = [scaling.calls_picture(result.series.get(f"{s['owner']}/{s['name']}")) for s in services]
    roles = [access.role(service) for service in services]
    rows = [
        [
            name,
            paint.state(service["state"]),
            scaling.ready_cell(service) if "replicas" in service else "-",
            *([picture] if any(calls) else []),
            str(service.get("revision", "-")),
            *([role] if others else []),
            access.visibility(service),
            service["endpoint"],
        ]
        for name, service, picture, role in zip(names, services, calls, roles, strict=True)
    ]
    header = ["NAME", "STATE", "READY", *(["CALLS"] if any(calls) else []), "REVISION"]
    header += [*(["ROLE"] if others else []), "ACCESS", "ENDPOINT"]
    return "\n".join([columns(header, rows, paint), *said_of(zip(names, services, strict=True))])


def service_facts(service: Json, paint: Paint, calls: str = "") -> list[tuple[str, str]]:
    """Labels and what they say, some of it nothing."""
    counts = service["replicas"]
    active = next((r for r in service["revisions"] if r["number"] == service["revision"]), None)
    return [
        ("State", f"{paint.state(service['state'])}, {counts['ready']} of {counts['want']} replicas ready"),
        ("Reason", clean(service["reason"] or "")),
        ("Note", clean(service["note"] or "")),
        ("Notice", notice_fact(service)),
        ("Ends", ends_fact(service)),
        ("Autoscaling", scaling.fact(service)),
        ("Calls", f"{calls} (30 min)" if calls else ""),
        ("Endpoint", service["endpoint"]),
        ("Page", service.get("page") or ""),
        ("Access", access.fact(service)),
        ("Revision", _revision_fact(service)),
        ("Folder", clean(active["folder"]) if active else ""),
        ("Files", _files_fact(active["files"]) if active and access.role(service) == "owner" else ""),
        ("Changed", _changed_fact(service)),
        ("Image", clean(active["image"] or "") if active else ""),
        ("Environment", clean(", ".join(active["environment"])) if active else ""),
        ("Mounts", clean(", ".join(map(_mount, active["mounts"]))) if active else ""),
        ("Resources", _resources(active["resources"]) if active else ""),
        ("Serving", _serving(active["definition"].get("serving") or {}) if active else ""),
        ("Created", moment(service["created_at"])),
        ("Restarts", str(service["restarts"]) if service["restarts"] else ""),
        *(("Not enforced", clean(sentence)) for sentence in service["not_enforced"]),
    ]


def service_page(service: Json, paint: Paint, calls: str = "") -> str:
    facts = service_facts(service, paint, calls)
    title = paint(f"{service['owner']}/{service['name']}", "bold")
    blocks = [title + "\n" + "\n".join(f"  {name + ':':<14}{value}" for name, value in facts if value)]
    replicas = replicas_shown(service)
    if replicas:
        blocks.append(replica_table(replicas, paint))
    if len(service["revisions"]) > 1:
        blocks.append(revision_table(service, paint))
    return "\n\n".join(blocks)


def replicas_shown(service: Json) -> Sequence[Json]:
    """While it is ready, of those that have gone only the last: old failures are in its events."""
    replicas: Sequence[Json] = service["replica_list"]
    gone = [each for each in replicas if each["phase"] == "gone"]
    if service["state"] != "ready" or len(gone) < 2:
        return replicas
    last = max(gone, key=lambda each: each["since"])
    return [each for each in replicas if each["phase"] != "gone" or each is last]


def _revision_fact(service: Json) -> str:
    stable = service["stable_revision"]
    text = str(service["revision"])
    return text if stable in (None, service["revision"]) else f"{text}, rolling over from {stable}"


def _files_fact(files: Json) -> str:
    """``12 kept, 340 KiB; 1 link to what is not``; why there are none, or what is left out; on a hub, in which volume
    they are."""
    source, path = files["source"], clean(files["path"] or "")
    if source == "volume":
        return f"volume {path}, mounted as it is"
    if source == "snapshot":
        return f"snapshot of {files['files']} files, {show_size(files['bytes'])}, in volume {path}{_without(files)}"
    if files["kind"] != "copy":
        return "read where they lie" + (f": {clean(files['why'])}" if files["why"] else "")
    linked = files["linked"]
    links = f"; {linked} {'link' if linked == 1 else 'links'} to what is not" if linked else ""
    return f"{files['files']} kept, {show_size(files['bytes'])}{links}{_without(files)}"


def _without(files: Json) -> str:
    return f"; {clean(files['why'])}" if files["why"] else ""


def _changed_fact(service: Json) -> str:
    if service.get("folder_gone"):
        kept = f"replicas run from what revision {service['revision']} kept of it"
        return f"the folder is not there any more; {kept} ({PROGRAM} update {named(service)} FOLDER takes another)"
    changed = service["changed"] or []
    if not changed and not service["folder_changed"]:
        return ""
    told = f"folder changed since revision {service['revision']}"
    if changed:  # which files is not known everywhere
        names = ", ".join(map(clean, changed[:CHANGED_SHOWN])) + (", …" if len(changed) > CHANGED_SHOWN else "")
        told += f": {names}"
    return f"{told} ({PROGRAM} update {named(service)} takes it up)"


def _mount(mount: Json) -> str:
    return f"{mount['source']}:{mount['target']}" + (":ro" if mount["read_only"] else "")


def _resources(resources: Json) -> str:
    cpus, memory, gpus = resources["cpus"], resources["memory"], resources["gpus"]
    told = [
        f"{cpus:g} {'CPU' if cpus == 1 else 'CPUs'}" if cpus else "",
        show_size(memory) if memory else "",
        f"{gpus} {'GPU' if gpus == 1 else 'GPUs'}" if gpus else "",
    ]
    return ", ".join(part for part in told if part)


def _serving(serving: Json) -> str:
    """What is not as it is without a word, in the definition's own: ``concurrency 2, retry off``. How many replicas
    there are to be is told elsewhere, of the service."""
    from ..core.definition.model import Serving  # with all of the definition: no other verb has to know it

    usual = dataclasses.asdict(Serving())
    told = []
    for name, value in serving.items():
        if name == "affinity" and value is not None:
            told.append(clean(f"affinity {value['by']}" + (f" {value['name']}" if value.get("name") else "")))
        elif name in usual and name != "autoscaling" and value != usual[name]:
            told.append(f"{name} {_plain(value)}")
    return ", ".join(told)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else f"{value:.15g}"


def replica_table(replicas: Sequence[Json], paint: Paint) -> str:
    now = time.time()
    rows = [
        [
            replica["id"],
            paint.state(replica["phase"]) + (" (suspect)" if replica["suspect"] else ""),
            show_duration(now - replica["since"]),
            str(replica["revision"]),
            str(replica["pid"] or "-"),
            str(replica["in_flight"]),
            show_size(replica["rss"]) if replica["rss"] else "-",
            describe_gpus(replica["gpus"]),
            _doing(replica),
        ]
        for replica in replicas
    ]
    return columns(["REPLICA", "PHASE", "FOR", "REVISION", "PID", "IN FLIGHT", "MEMORY", "GPU", "WHAT"], rows, paint)


def describe_gpus(gpus: Sequence[Json] | None) -> str:
    return ", ".join(f"{g['utilization']:.0f} % {show_size(g['memory_used'])}" for g in gpus) if gpus else "-"


def describe_replica(replica: Json) -> str:
    """``preparing 2/3: run_command pip3 install …``, ``gone: exited with code 1``."""
    doing = _doing(replica)
    action = replica["action"] if replica["phase"] == "preparing" else None
    if action:
        return f"preparing {action['index']}/{action['count']}: {clean(action['label'])}"
    return f"{replica['phase']}: {doing}" if doing else str(replica["phase"])


def _doing(replica: Json) -> str:
    action = replica["action"]
    if action and replica["phase"] == "preparing":
        return f"{action['index']}/{action['count']} {clean(action['label'])}"
    return clean(replica["reason"] or "") if replica["phase"] != "ready" else ""


def revision_table(service: Json, paint: Paint) -> str:
    rows = [
        [
            str(revision["number"]) + _part(service, revision["number"]),
            moment(revision["created_at"]),
            clean(revision["model_name"]),
            clean(revision["folder"]),
            _files_cell(revision["files"]),
        ]
        for revision in service["revisions"]
    ]
    return columns(["REVISION", "CREATED", "MODEL", "FOLDER", "FILES"], rows, paint)


def _files_cell(files: Json) -> str:
    if files["source"] == "volume":
        return f"volume {clean(files['path'] or '')}"
    if files["kind"] != "copy":
        return "not kept"
    return f"{files['files']}, {show_size(files['bytes'])}" + (f", {files['linked']} linked" if files["linked"] else "")


def _part(service: Json, number: int) -> str:
    """During an update the stable revision still serves while the active one comes up; otherwise they are the same."""
    parts = ["active"] if number == service["revision"] else []
    if number == service["stable_revision"] and service["replicas"]["ready"]:
        parts.append("serving")
    return f" ({', '.join(parts)})" if parts else ""


#: What is now so of a service that was stopped before, and is.
_DONE_AT_REST: Mapping[str, Callable[[Json], str]] = {
    "scale": lambda service: f"is to have {counted(service['replicas']['want'], 'replica')}",
    "update": lambda service: f"is {service['visibility']}, at revision {service['revision']}",
    "rollback": lambda service: f"is at revision {service['revision']}",
}


def service_summary(result: ServiceResult, paint: Paint, *, call: bool = True) -> str:
    """How a verb ended well, and what to do next; without ``call``, not how a new service is called."""
    service, name = result.service, result.name
    counts = service["replicas"]
    if service["state"] == "stopped" and result.verb in _DONE_AT_REST and counts["want"]:
        return f"{name} {_DONE_AT_REST[result.verb](service)}, and is stopped. Start it: {PROGRAM} start {name}"
    if service["state"] == "stopped":
        again = f"{PROGRAM} start {name}" if counts["want"] else f"{PROGRAM} scale {name} 1"
        return f"{name} is stopped; its endpoint {service['endpoint']} and its tokens stay. Start it again: {again}"
    if service["state"] == "idle":
        return f"{name} is {paint.state('idle')}: the next call starts a replica.\n{_addresses(service)}"
    if result.outcome is None:
        return (
            f"{name} is {paint.state(service['state'])} ({counts['ready']} of {counts['want']} replicas ready).\n"
            f"{_addresses(service)}\n"
            f"See how it goes: {PROGRAM} info {name}{scaling.held_line(service)}"
        )
    took = show_duration(result.seconds)
    done = f"{name} is {paint.state(service['state'])}: {counts['ready']} of {counts['want']} replicas after {took}."
    more = scaling.held_line(service)
    if result.verb == "create":
        more = how_to_call(service) if call else ""
    return f"{done}\n{_addresses(service)}{more}"


def _addresses(service: Json) -> str:
    """For programs, and for browsers where they have one."""
    page = service.get("page")
    return f"Endpoint: {service['endpoint']}" + (f"\nPage: {page}" if page else "")


def render_failure(result: ServiceResult, outcome: Outcome, paint: Paint) -> str:
    """Why a service did not become what was asked for, and the last that its model server said."""
    name, state = result.name, result.service["state"]
    serving = result.service["replicas"]["ready"] > 0
    what = "was not updated" if result.verb in ("update", "rollback") and serving else f"is {paint.state(state)}"
    lines = [f"{name} {what}: {clean(outcome.reason)}"]
    if outcome.tail:
        lines += ["Last lines of its log:", *(f"  | {clean(line)}" for line in outcome.tail)]
    lines.append(f"More: {PROGRAM} events {name}")
    gave_up = state == "failed" or (outcome.replica is not None and not serving)
    if gave_up and result.verb in ("create", "update", "start", "restart"):
        lines.append(_what_to_mend(result, outcome))
    return "\n".join(lines)


def _what_to_mend(result: ServiceResult, outcome: Outcome) -> str:
    """A replica that never got an address was not even started: that is no matter of the folder."""
    name = result.name
    about = [each for each in result.service["replica_list"] if each["id"] == outcome.replica]
    if about and about[0]["address"] is None and about[0]["exit"] is None:
        return f"When that is mended: {PROGRAM} restart {name}"
    return f"Mend the folder, then: {PROGRAM} update {name}"


# --- everything else -------------------------------------------------------------------------------------


def gateway_page(info: Json) -> str:
    facts = [
        ("Version", info["version"]),
        ("Mode", f"{info['mode']}, replicas by the {info['launcher']} launcher"),
        ("Owner", info["owner"]),
        ("Process", f"{info['pid']}, since {moment(info['started_at'])}"),
        ("Stays", "until it is stopped" if info["keep"] else f"while one of {info['attached']} Jupyter servers runs"),
    ]
    return "Model-service gateway\n" + "\n".join(f"  {name + ':':<10}{value}" for name, value in facts)


def validation(result: ValidateResult, paint: Paint) -> str:
    answer = result.answer
    lines = [f"{paint('Fine', 'green')}: {clean(result.folder)} can be served; its default name is {answer['name']}."]
    for problem in answer["warnings"]:
        place = ":".join(str(each) for each in (problem["file"], problem["line"]) if each is not None)
        told = ": ".join(each for each in (place, problem["where"], problem["message"]) if each)
        lines.append(f"{paint('Warning', 'yellow')}: {clean(told)}")
    return "\n".join(lines)


def event_line(event: Json, paint: Paint) -> str:
    style = "red" if "fail" in event["kind"] or "died" in event["kind"] else None
    return f"{paint(moment(event['at']), 'dim')}  {paint(clean(event['kind']), style):<24}  {clean(event['message'])}"
