"""What a magic gives back: the result of a verb, with the command line's text and with HTML."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..cli import access, render
from ..cli.scaling import decision_block, explanation, fact, ready_cell
from ..cli.text import clean, moment
from ..client.units import show_duration, show_size
from ..commands.results import (
    AccessResult,
    DecisionsResult,
    EventsResult,
    LogsResult,
    Result,
    ServiceResult,
    ServicesResult,
    TokenResult,
    TokensResult,
    UsesResult,
    ValidateResult,
)
from ..commands.workbench import DryRunResult
from ..errors import Problem
from . import html
from .charts import charts, sparkline
from .face import PLAIN, Shown, dated
from .html import Html, tag
from .masking import masked
from .suggesting import suggested_cell
from .token_cards import TokenShown, TokensShown, UsesShown
from .words import MAGIC, in_words

__all__ = ["MAGIC", "Problems", "Shown", "TokenShown", "in_words", "service_card", "shown"]

Json = Mapping[str, Any]


def shown(result: Result, *, quiet: bool = False) -> Shown:
    for kind, face in _FACES.items():
        if isinstance(result, kind):
            return face(result, quiet=quiet)
    return Shown(result, quiet=quiet)


# --- services --------------------------------------------------------------------------------------------


class ServiceShown(Shown):
    result: ServiceResult

    @property
    def name(self) -> str:
        return str(self.result.service["name"])

    @property
    def state(self) -> str:
        return str(self.result.service["state"])

    @property
    def endpoint(self) -> str:
        """Its URL, with a slash at the end."""
        return str(self.result.service["endpoint"])

    def text(self) -> str:
        if self.result.verb != "create" or self.result.outcome is None or not self.ok:
            return super().text()
        call = "\n".join(clean(line) for line in self._call.split("\n"))
        return f"{in_words(render.service_summary(self.result, PLAIN, call=False))}\nCall it:\n{masked(call)}"

    @property
    def _call(self) -> str:
        """A cell, to an address that the model answers."""
        return suggested_cell(self.result.service)

    def html(self) -> Html:
        result, service = self.result, self.result.service
        more: list[object] = []
        if result.outcome is not None and not result.ok:
            more.append(html.pre(self.text()))
        elif result.verb in ("create", "start", "update") and service["replicas"]["ready"]:
            more.append(tag("div", "Call it:", html.pre(self._call), style="margin-top:6px"))
        brief = result.verb != "info"
        return service_card(service, *more, series=result.series, brief=brief, at=self._at)


def service_card(
    service: Json, *more: object, series: Json | None = None, brief: bool = False, at: float | None = None
) -> Html:
    """A service with its replicas, as it was ``at``, or nobody knows when; ``brief`` is without what seldom changes."""
    now = time.time()
    when = f"shown {moment(now)}" if at is None else f"as of {moment(at)}"
    counts = service["replicas"]
    head = html.join([f"{service['owner']}/{service['name']}", Html("&ensp;"), html.state(service["state"])])
    told: list[tuple[object, object]] = [
        ("Replicas", f"{counts['ready']} of {counts['want']} ready"),
        ("Reason", service["reason"]),
        ("Note", service["note"]),
        ("Autoscaling", in_words(fact(service))),
        ("Endpoint", tag("code", service["endpoint"])),
        ("Page", page_link(service, service["page"]) if service.get("page") else ""),
        ("Access", access.fact(service)),
    ]
    known = {"State", *(label for label, _ in told)}
    rest = [(label, in_words(text)) for label, text in render.service_facts(service, PLAIN) if label not in known]
    told += [each for each in rest if not brief or each[0] in ("Notice", "Ends", "Changed", "Restarts", "Not enforced")]
    blocks: list[object] = [html.facts(told), charts(series), replica_table(render.replicas_shown(service), at or now)]
    if not brief and len(service["revisions"]) > 1:
        summary = tag("summary", f"{len(service['revisions'])} revisions")
        blocks.append(tag("details", summary, html.pre(render.revision_table(service, PLAIN))))
    return html.card(head, *blocks, *more, dated(when))


def page_link(service: Json, text: str) -> Html:
    """To where a browser opens it: at the endpoint's own address it has no token, and the page no origin."""
    url = service.get("page") or ""
    if not url.startswith(("http://", "https://")):
        return Html("")
    return tag("a", text, href=url, rel="noopener noreferrer", target="_blank", style=f"color:{html.ACCENT}")


def replica_table(replicas: Sequence[Json], at: float) -> Html:
    if not replicas:
        return Html("")
    rows = [
        [
            tag("code", each["id"]),
            html.join([html.state(each["phase"]), " (suspect)" if each["suspect"] else ""]),
            show_duration(max(0.0, at - each["since"])),
            str(each["in_flight"]),
            show_size(each["rss"]) if each["rss"] else "-",
            render.describe_gpus(each["gpus"]),
            render.describe_replica(each).partition(": ")[2],
        ]
        for each in replicas
    ]
    return html.table(["Replica", "Phase", "For", "In flight", "Memory", "GPU", "What"], rows, "Replicas")


class ServicesShown(Shown):
    result: ServicesResult

    def html(self) -> Html:
        services, shared = self.result.services, self.result.shared
        if not (services or shared) or self._quiet:
            return self.framed(self.text())
        pictures = [self._calls(f"{each['owner']}/{each['name']}") for each in (*services, *shared)]
        others = any(access.role(each) != "owner" for each in (*services, *shared))
        rows = [
            [
                f"{each['owner']}/{each['name']}",
                html.state(each["state"]),
                ready_cell(each) if "replicas" in each else "-",
                *([picture] if any(pictures) else []),
                *([access.role(each)] if others else []),
                access.visibility(each),
                html.join([tag("code", each["endpoint"]), " ", page_link(each, "page")]),
            ]
            for each, picture in zip((*services, *shared), pictures, strict=True)
        ]
        head = [
            "Name", "State", "Ready", *(["Calls (30 min)"] if any(pictures) else []), *(["Role"] if others else []),
            "Access", "Endpoint",
        ]  # fmt: skip
        return self.card("Services", html.table(head, rows, "Services"))

    def _calls(self, key: str) -> Html:
        calls = self.result.series.get(key, {}).get("values", {}).get("calls_per_second", ())
        return sparkline(calls, f"calls of {key} in the last 30 minutes") if any(calls) else Html("")


# --- who may call --------------------------------------------------------------------------------------------------


class AccessShown(Shown):
    result: AccessResult

    def html(self) -> Html:
        told, service = self.result.access, self.result.service
        sentences = [html.facts([("Access", told["visibility"])])]
        if forbidden := access.forbidden(told):
            sentences.append(tag("div", forbidden))
        sentences += [tag("div", each) for each in told["always"]]
        if told["origins"]:
            sentences.append(tag("div", access.origins(told["origins"])))
        if (person := told.get("person")) is not None:
            sentences.append(tag("div", f"{person['name']}: {access.person_role(person)}. {' '.join(person['why'])}"))
        sentences += [tag("div", access.former(each)) for each in told["shares"] if each.get("former")]
        rows = [access.cells(each) for each in told["shares"]]
        table = html.table(access.COLUMNS, rows, "Shared with") if rows else Html("")
        return self.card(f"Who may call {service}", *sentences, table)


# --- what happened ---------------------------------------------------------------------------------------


class LogsShown(Shown):
    result: LogsResult

    @property
    def lines(self) -> list[str]:
        """Without tokens, since they may be shown."""
        return [] if self.result.answer is None else [masked(line) for line in self.result.answer["lines"]]

    def html(self) -> Html:
        if self.result.answer is None:
            return Html("")
        return self.card(f"Log of {self.result.answer['replica']}", html.pre("\n".join(self.lines) or "nothing yet"))


class EventsShown(Shown):
    result: EventsResult

    def html(self) -> Html:
        if self.result.events is None:
            return Html("")
        rows = [[moment(each["at"]), each["kind"], in_words(each["message"])] for each in self.result.events]
        return self.card("Events", html.table(["When", "What", "Told"], rows, "Events"))


class DecisionsShown(Shown):
    """Why it scaled: the figures of each decision are behind its sentence."""

    result: DecisionsResult

    def html(self) -> Html:
        service, decisions = self.result.service, self.result.decisions
        if service is None or not decisions or service["autoscaling"] is None:
            return self.framed(self.text())
        head, *_ = explanation(self.result, PLAIN).split("\n", 1)
        told = [_decision(each, last=each is decisions[-1]) for each in decisions]
        return self.card(in_words(head), *told)


def _decision(decision: Json, *, last: bool) -> Html:
    first, _, figures = in_words(decision_block(decision, PLAIN)).partition("\n")
    summary = tag("summary", first, style="font-weight:600" if decision["changed"] else "")
    return tag("details", summary, html.pre(figures), **({"open": "open"} if last else {}))


# --- folders ---------------------------------------------------------------------------------------------


class ValidateShown(Shown):
    result: ValidateResult

    def html(self) -> Html:
        answer = self.result.answer
        fine = f"{self.result.folder} can be served; its default name is {answer['name']}."
        warnings = [Problem(**problem) for problem in answer["warnings"]]
        return self.card(html.join([html.state("fine"), Html("&ensp;"), fine]), _problems(warnings))


class DryRunShown(Shown):
    result: DryRunResult

    def html(self) -> Html:
        first, _, rest = self.text().partition("\n")
        head = html.join([html.state(str(self.result.state["outcome"])), Html("&ensp;"), first])
        return self.card(head, html.pre(rest) if rest else "")


class Problems:
    """What is wrong with a definition, each at its file and line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)

    def __repr__(self) -> str:
        return in_words("\n".join(clean(each) for each in self.problems))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {
            "text/plain": repr(self),
            "text/html": html.card("This folder cannot be served", _problems(self.problems)),
        }


def _problems(problems: Sequence[Problem]) -> Html:
    if not problems:
        return Html("")
    rows = []
    for each in problems:
        place = ":".join(str(part) for part in (each.file, each.line) if part is not None)
        rows.append([tag("code", place), tag("code", each.where), html.join([html.state(each.severity)]), each.message])
    return html.table(["Place", "Key", "Kind", "What"], rows, "Problems")


_FACES: dict[type[Result], type[Shown]] = {
    ServiceResult: ServiceShown,
    ServicesResult: ServicesShown,
    TokenResult: TokenShown,
    TokensResult: TokensShown,
    UsesResult: UsesShown,
    AccessResult: AccessShown,
    LogsResult: LogsShown,
    EventsResult: EventsShown,
    DecisionsResult: DecisionsShown,
    ValidateResult: ValidateShown,
    DryRunResult: DryRunShown,
}
