"""The page for operators: fields, reasons and commands of the access log, run as they stand there, and the names that
operations have in the audit log."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.app.own_deeds import END, START
from jupyter_model_service.core.access_line import FIELDS, Entry, line
from jupyter_model_service.core.audit_search import ACTIONS
from jupyter_model_service.core.ending import Broken
from jupyter_model_service.engine.journal import DEEDS
from jupyter_model_service.web.pages import PAGES
from jupyter_model_service.web.routes import OPERATIONS as OF_THE_API
from jupyter_model_service.web.routes import ROUTES

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SECTION = PAGE.partition("## Access log\n")[2].partition("\n## ")[0]
OPERATIONS = PAGE.partition("### Names of operations\n")[2].partition("\n### ")[0]
COMMANDS = re.findall(r"^# (.+)\n(jq .+)$", SECTION, re.MULTILINE)


def first_column(after: str) -> list[list[str]]:
    """The names in the first column of the table that follows."""
    table = SECTION.partition(after)[2].partition("\n\n")[0]
    return [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()[1:]]


def test_each_field_of_a_line_is_described_and_no_other() -> None:
    told = [name for row in first_column("| field |") for name in row]
    assert sorted(told) == sorted(FIELDS)


def test_each_reason_is_described_and_no_other() -> None:
    assert sorted(name for row in first_column("| reason |") for name in row) == sorted(each.value for each in Broken)


def entry(**fields: Any) -> str:
    plain: dict[str, Any] = {
        "began": 0.0,
        "ended": 1.0,
        "first_byte": 0.5,
        "waited": 0.0,
        "owner": "alice",
        "name": "chat",
        "revision": 1,
        "caller": "token:ci",
        "address": b"10.0.0.1",
        "method": b"GET",
        "target": b"/endpoints/alice/chat/",
        "status": 200,
        "code": "",
        "broken": None,
        "bytes_in": 0,
        "bytes_out": 10,
        "replica": "chat-1",
        "tries": 1,
        "request_id": b"r",
        "trace": b"",
        "upgrade": b"",
    }
    return line(Entry(**{**plain, **fields}), 1_763_900_000.0)


WANTED = {
    "what was refused, and how often": '{"401 unauthenticated":2,"503 queue_full":1,"503 queue_timeout":1}',
    "the ten slowest calls": '{"time":"2025-11-23T12:13:20.000Z","service":"alice/chat","path":"/slow","seconds":9,"replica":"chat-1"}',
    "who called what, how often, and how many bytes she got": (
        '{"caller":"bob","service":"alice/code","calls":1,"bytes":5}'
        '{"caller":"token:ci","service":"alice/chat","calls":14,"bytes":140}'
    ),
    "answers that were broken off, by replica": "2025-11-23T12:13:20.000Z\tidle_timeout\tchat-2\tr-9",
    "share of the calls that had to wait, also in vain, in percent": "25",
    "addresses that were refused for their token": '[{"address":"10.0.0.9","times":2}]',
}


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
@pytest.mark.parametrize(("what", "command"), COMMANDS)
def test_the_commands_of_the_page_answer_what_they_say(what: str, command: str, tmp_path: Path) -> None:
    """Also with lines of no service, as of the control API and of what could not be read."""
    nobody = {"owner": "", "name": "", "caller": "", "replica": "", "revision": 0, "first_byte": None}
    refused = {**nobody, "owner": "alice", "name": "chat", "bytes_out": 0}
    (tmp_path / "access.log").write_text(
        "".join(
            [
                *(entry() for _ in range(11)),
                entry(ended=9.0, target=b"/slow?x"),
                entry(waited=0.5),
                entry(owner="alice", name="code", caller="bob", bytes_out=5, waited=0.1),
                entry(broken=Broken.IDLE, status=502, replica="chat-2", request_id=b"r-9", waited=1.0),
                *(entry(**{**refused, "status": 401, "code": "unauthenticated", "address": b"10.0.0.9"}) for _ in "12"),
                entry(**{**refused, "status": 503, "code": "queue_full"}),
                entry(**{**refused, "status": 503, "code": "queue_timeout", "waited": 2.0}),
                entry(**{**nobody, "target": b"/health/live", "ended": 20.0}),
                entry(**{**nobody, "target": b"/api/v1/events", "status": 499, "broken": Broken.GONE}),
                entry(**{**nobody, "method": b"", "target": b""}),
            ]
        )
    )
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    answered = done.stdout.strip()
    plain = re.sub(r"\s+(?=[^\t])", "", answered) if answered[:1] in "[{" else answered
    wanted = WANTED[what].replace(" ", "") if answered[:1] in "[{" else WANTED[what]
    if what.startswith("the ten"):
        assert answered.count('"time"') == 10
        assert plain.startswith(wanted)
    else:
        assert plain == wanted


def test_each_command_is_run() -> None:
    assert [what for what, _ in COMMANDS] == list(WANTED)
    assert SECTION.count("\njq ") == len(COMMANDS)


def test_operations_are_called_in_the_audit_log_as_the_page_has_it_whatever_their_functions_are_called() -> None:
    """Another name would hide what was done so far from whoever looks for it."""
    told = re.findall(r"`(\w+)`", OPERATIONS.partition("| --- |")[2])
    assert len(told) == len(set(told))
    of_the_gateway_itself = {START, END, *DEEDS.values()} | {
        name
        for file in (Path(__file__).parents[2] / "jupyter_model_service" / "app").glob("*.py")
        for name in re.findall(r'\baudit\.own\(\s*"(\w+)"', file.read_text("utf-8"))
    }
    assert {"keep_services", "delete_service"} <= of_the_gateway_itself
    assert set(told) == {*OF_THE_API, *(page.name for page in PAGES), *of_the_gateway_itself}
    assert set(told) == ACTIONS, "what the API, our pages and the command line let somebody look for"
    assert len(OF_THE_API) == len(ROUTES), "two operations of one name"
