"""Nothing is changed but in one way: refusals are written down, and so is each deed before it is done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.web import HTTPError

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.audit import Entry
from jupyter_model_service.errors import Conflict, Forbidden, InvalidRequest, ModelServiceError, Overloaded
from jupyter_model_service.web import deeds, handler, page
from jupyter_model_service.web.audit import Asked
from jupyter_model_service.web.call import Call
from jupyter_model_service.web.deeds import Wish, carried_out
from jupyter_model_service.web.errors import refusal
from jupyter_model_service.web.page import Form, Page, Wanted
from jupyter_model_service.web.pages import PAGES
from jupyter_model_service.web.routes import OPERATIONS, Access

ASKED = Asked("bob", "10.1.2.3", "set_limits", {}, "req-1", lambda: {"role": "viewer"})
TRIED = {"tried": {"role": "viewer"}}


class Log:
    """An audit log that fails where it is told to, and all that happened, in order."""

    def __init__(self, fails: str = "") -> None:
        self.fails, self.happened, self.begun = fails, list[Any](), False

    def _does(self, what: str, entry: Entry | None = None) -> None:
        told = () if entry is None else (entry.status, entry.code, entry.target, entry.after)
        self.happened.append((what, *told))
        if self.fails == what:
            raise Overloaded("It cannot be written.", code="store")

    async def check(self, *, makes_room: bool = False) -> None:
        self._does("check")

    async def begin(self, entry: Entry, *, makes_room: bool = False) -> str:
        self._does("begin", entry)
        self.begun = True
        return "key"

    async def note(self, entry: Entry, begun: str = "") -> None:
        assert begun == ("key" if self.begun else "")
        self._does("note", entry)

    def denied(self, entry: Entry) -> None:
        self._does("denied", entry)


def happened(log: Log, **fails: ModelServiceError) -> list[Any]:
    """What a deed leaves, whose steps of these names fail so."""
    parts: Any = SimpleNamespace(engine=SimpleNamespace(audit=log))

    def step(name: str) -> None:
        log.happened.append(name)
        if name in fails:
            raise fails[name]

    async def admit() -> None:
        step("admit")

    async def do(call: Call) -> None:
        step("do")
        call.noted.after["limits"] = {"max_cpus": 1}

    def read() -> Wish:
        step("read")
        return Wish(OPERATIONS["set_limits"], Call(parts, Caller("bob"), {}), do, replace(ASKED, path={"user": "eva"}))

    work = carried_out(parts, lambda: ASKED, admit=admit, read=read, status=lambda _: 303)
    try:
        asyncio.run(work)
    except ModelServiceError as error:
        log.happened.append(error.code)
    return log.happened


BEGUN = ("begin", 0, "", "user:eva", None)


def test_it_is_noted_before_it_is_done_and_written_down_before_it_is_answered() -> None:
    noted = ("note", 303, "", "user:eva", {"limits": {"max_cpus": 1}})
    assert happened(Log()) == ["admit", ("check",), "read", BEGUN, "do", noted]


@pytest.mark.parametrize(
    ("step", "error", "entries"),
    [
        ("admit", Forbidden("no"), ["admit", ("denied", 403, "forbidden", "", TRIED), "forbidden"]),
        ("admit", InvalidRequest("no"), ["admit", "invalid_request"]),  # nobody is known, and nothing was asked for
        (
            "read",
            InvalidRequest("no"),
            ["admit", ("check",), "read", ("note", 400, "invalid_request", "", TRIED), "invalid_request"],
        ),
        (
            "do",
            Conflict("no"),
            ["admit", ("check",), "read", BEGUN, "do", ("note", 409, "conflict", "user:eva", TRIED), "conflict"],
        ),
    ],
)
def test_however_it_ends_there_is_an_entry(step: str, error: ModelServiceError, entries: list[Any]) -> None:
    assert happened(Log(), **{step: error}) == entries


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 500])
def test_the_log_says_what_is_answered_also_of_what_tornado_refuses(status: int) -> None:
    log, error = Log(), HTTPError(status)

    async def admit() -> None:
        return None

    def read() -> Wish:
        raise error

    async def body() -> None:
        parts: Any = SimpleNamespace(engine=SimpleNamespace(audit=log))
        await carried_out(parts, lambda: ASKED, admit=admit, read=read, status=lambda _: 200)

    with pytest.raises(HTTPError):
        asyncio.run(body())
    answered = refusal(error, "req-1")
    assert [each[1:3] for each in log.happened if each[0] == "note"] == [(answered.status, answered.answer.error.code)]


def test_what_cannot_be_written_down_is_not_done() -> None:
    assert happened(Log("check")) == ["admit", ("check",), "store"]
    assert happened(Log("begin"))[:4] == ["admit", ("check",), "read", BEGUN]
    assert "do" not in happened(Log("begin"))
    assert happened(Log("note"))[-1] == "store", "done, and whoever asked is told that it is not written down"


def test_whatever_changes_something_is_carried_out_so() -> None:
    """The handlers of both tables call nothing else for it; a page that changes something is a form, and shows nothing."""
    assert handler.carried_out is page.carried_out is deeds.carried_out
    assert {each.name for each in PAGES if each.method != "GET" and each.form is None} == {"sign_out"}
    form = Form(Access.ADMIN, lambda call: Wanted(OPERATIONS["set_limits"], call.path))
    for wrong in (
        {"method": "POST", "handler": _nothing},
        {"method": "POST"},
        {"method": "GET"},
        {"method": "GET", "form": form},
        {"method": "POST", "form": form, "handler": _nothing},
    ):
        with pytest.raises(TypeError, match="either shows something, or is a form"):
            Page(path="x", name="x", **wrong)  # type: ignore[arg-type]


async def _nothing(call: Any) -> None:
    raise AssertionError("it is not called")
