"""What administrators see, and what everybody sees of what they say and set, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..commands.results import LimitsResult, OverviewResult
from ..core.limit_words import limit_told, limit_words
from ..core.sentences import counted, in_bytes
from .text import Paint, clean, columns, moment

Json = Mapping[str, Any]


def admin_page(result: OverviewResult | LimitsResult, paint: Paint) -> str:
    if isinstance(result, LimitsResult):
        return limits_page(result.owner, paint)
    return (gpus_page if result.gpus_only else overview_page)(result.overview, paint)


def overview_page(told: Json, paint: Paint) -> str:
    if not told["services"] and not told["owners"]:
        return "Nobody serves anything."
    rows = [
        [
            clean(f"{service['owner']}/{service['name']}"),
            paint.state(service["state"]),
            f"{service['ready']}/{service['replicas']}",
            str(service["gpus"] or "-"),
            service["visibility"],
            "-" if service.get("calls_today") is None else str(service["calls_today"]),
            moment(service["last_call_at"]) if service["last_call_at"] else "-",
            clean(service["notice"]["text"] if service["notice"] else service["reason"] or ""),
        ]
        for service in told["services"]
    ]
    header = ["SERVICE", "STATE", "READY", "GPUS", "ACCESS", "CALLS TODAY", "LAST CALL", "NOTICE OR REASON"]
    pages = [columns(header, rows, paint)] if rows else []
    return "\n\n".join([*pages, *(limits_page(owner, paint) for owner in told["owners"])])


def limits_page(owner: Json, paint: Paint) -> str:
    counts = ", ".join(counted(owner[f"{what}s".lower()], what) for what in ("service", "replica", "GPU"))
    rows = [[limit_words(each["name"]), _value(each), _set_by(each)] for each in owner["limits"]]
    notices = map(clean, owner.get("notices", ()))  # an older gateway has none
    table = columns(["LIMIT", "", "SET"], rows, paint) if rows else ""  # without a Hub nobody has any
    return "\n".join([f"{clean(owner['user'])}: {counts}", *_indented(table), *_indented("\n".join(notices))])


def gpus_page(told: Json, paint: Paint) -> str:
    """Of whoever has one, where the Hub says; of replicas, where it does not."""
    everybody = told["gpus_at"] is not None
    rows = [
        [
            clean(gpu["id"]),
            clean(gpu["name"] or "-"),
            clean(gpu["label"]) if gpu["holder"] != "nobody" else "free",
            clean(gpu["user"] or "-"),
            clean(gpu["server"] or "-"),
            "-" if gpu["utilization"] is None else f"{gpu['utilization']:.0f} %",
            _memory(gpu),
        ]
        for gpu in told["gpus"] or ()
    ]
    said = [clean(told["gpus_problem"])] if told["gpus_problem"] else []
    if rows:
        said.insert(0, columns(["GPU", "KIND", "HELD BY", "USER", "SERVER", "BUSY", "MEMORY"], rows, paint))
    else:
        said.insert(0, "The Hub's machine has no GPU." if everybody else "No replica has a GPU.")
    return "\n".join(said)


def _memory(gpu: Json) -> str:
    used, total = gpu["memory_used"], gpu["memory_total"]
    if total is None:
        return "-"
    return in_bytes(total) if used is None else f"{in_bytes(used)} of {in_bytes(total)}"


def _value(limit: Json) -> str:
    return clean(limit_told(limit["name"], limit["value"], limit["used"]))


def _set_by(limit: Json) -> str:
    return clean(limit["set_by"] or "for all users")


def _indented(text: str) -> Iterable[str]:
    return (f"  {line}" for line in text.splitlines())


def notice_fact(service: Json) -> str:
    notice = service.get("notice")
    return f"{clean(notice['text'])} (from {clean(notice['by'])}, {moment(notice['at'])})" if notice else ""


def ends_fact(service: Json) -> str:
    ends = service.get("ends")
    return f"will be stopped on {moment(ends['at'])}: by then {clean(ends['why'])}" if ends else ""


def said_of(services: Iterable[tuple[str, Json]]) -> Iterable[str]:
    """Below a list of services, by what they are called there."""
    for name, service in services:
        for fact in (notice_fact(service), ends_fact(service)):
            if fact:
                yield f"{name}: {fact}"
