"""What single lines print and return."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service import __version__, wire
from jupyter_model_service.cli.text import clean, clean_log, json_text
from jupyter_model_service.commands.grammar import VERBS

from ..client.fake_gateway import FakeGateway, audited, autoscaling, event, refusal, replica, service, use
from .conftest import Ran

Line = Callable[..., Ran]

# --- wrong use ---------------------------------------------------------------------------------------------


def test_no_verb_shows_help_and_is_wrong_use(line: Line) -> None:
    ran = line()
    assert (ran.status, ran.out) == (2, "")
    assert all(verb.partition(" ")[0] in ran.err for verb in [*VERBS, "gateway"])


def test_version_and_help(line: Line) -> None:
    assert line("--version") == Ran(0, f"jupyter model-service {__version__}\n", "")
    for verb in [*VERBS, "gateway"]:
        ran = line(*verb.split(), "--help")
        assert (ran.status, ran.err) == (0, "")
        assert f"jupyter model-service {verb}" in ran.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["creat", "x"], "There is no verb 'creat'. Did you mean 'create'?"),
        (["xyzzy"], "There is no verb 'xyzzy'. See: jupyter model-service --help"),
        (["scale", "x", "1", "--detatch"], "scale takes no option '--detatch'. Did you mean '--detach'?"),
        (["list", "x"], "list takes no argument 'x'."),
        (["create"], "What is missing here: FOLDER."),
        (["create", "x", "--rep", "3"], "create takes no option '--rep'."),
        (["scale", "x", "-1"], "'-1' is not a number from 0 to 100"),
        (["scale", "x", "1_0"], "'1_0' is not a number from 0 to 100"),
        (["scale", "x", "101"], "'101' is not a number from 0 to 100"),
        (["create", "x", "--memory", "8x"], "--memory: '8x' is no size"),
        (["create", "x", "--cpu", "nan"], "'nan' is no number of CPUs"),
        (["create", "x", "--gpus", "65"], "'65' is not a number from 0 to 64"),
        (["create", "x", "--env", "1A=b"], "'1A' is no name of a variable"),
        (["create", "x", "--env", "NOT_SET_HERE"], "NOT_SET_HERE is not set here"),
        (["create", "x", "--mount", "/a"], "'/a' is no mount"),
        (["create", "x", "--timeout", "soon"], "'soon' is no duration"),
        (["generate-token", "x", "--expires", "30"], "'30' is no duration: write a number and a unit"),
        (["generate-token", "x", "--calls-per-second", "0"], "'0' is no number of calls per second"),
        (["generate-token", "x", "--calls-per-second", "inf"], "'inf' is no number of calls per second"),
        (["generate-token", "x", "--in-flight", "0"], "'0' is not a number from 1 to 1000000"),
        (["generate-token", "x", "--calls-per-day", "none"], "'none' is not a number from 1"),
        (
            ["generate-token", "x", "--expires", "-1d"],
            "begins with '-', as options do: where it is meant, write --expires=-1d.",
        ),
        (["generate-token", "x", "--expires=-1d"], "'-1d' is no duration: write a number and a unit"),
        (["rotate-token", "x", "t0", "--overlap", "-q"], "--overlap: expected one argument. See"),
        (["generate-token", "x", "--method", "any"], "'any' is no method: leave --method out for all of them"),
        (["limit-token", "x", "t0", "--method", "*"], "(limit-token: --all-methods)"),
        (["share", "x", "--user", "alice, carol"], "'alice, carol' is not one name: say --user alice --user carol."),
        (["unshare", "x", "--group", "a,b"], "'a,b' is not one name: say --group a --group b."),
        (["limit-token", "x", "t0", "--in-flight", "None"], "'None' is not a number from 1 to 1000000"),
        (["logs", "x", "--tail", "-1"], "--tail"),
        (["update", "x", "--public", "--private"], "not allowed with"),
        (["update", "x", "--public", "--visibility", "shared"], "not allowed with"),
        (["update", "x", "--visibility", "open"], "private"),
        (["create", "f", "--visibility", "shared"], "choose from"),
        (["create", ""], "'' is no folder"),
        (["update", "x", ""], "'' is no folder"),
        (["create", "x", "-n", "Demo"], 'name "Demo" must begin with a lower-case letter; "demo" would do'),
        (["create", "x", "-n", "a" * 300], "is 300 characters long, and 20 are the most"),
        (["create", "x", "-n", "api"], 'The service name "api" is reserved'),
        (["info", "a/b/c"], "'a/b/c' is no name of a service: write NAME or OWNER/NAME."),
        (["gateway", "--background", "--port", "80"], "In the background, options come from"),
    ],
)
def test_a_wrong_line_is_one_sentence_and_changes_nothing(
    line: Line, fake: FakeGateway, words: list[str], sentence: str
) -> None:
    ran = line(*words)
    assert (ran.status, ran.out) == (2, "")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
    assert "--help" in ran.err
    assert fake.requests == []


OF_ALL = ("admin audit", "admin list", "admin gpus", "admin limits")
OF_FOLDERS = ("init", "dry-run", "validate", "create")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in (*OF_FOLDERS, "list", *OF_ALL)])
@pytest.mark.parametrize("name", ["", "/demo", "ada/", "../demo", "a" * 300])
def test_what_is_no_name_of_a_service_is_wrong_use_for_every_verb(
    line: Line, fake: FakeGateway, verb: str, name: str
) -> None:
    more = {
        "scale": ["1"],
        "revoke-token": ["t0"],
        "rule add": ["--metric", "gpu_util"],
        "rule remove": ["r1"],
        "schedule add": ["Mon 08:00-09:00"],
        "schedule remove": ["s1"],
    }.get(verb, [])
    ran = line(*verb.split(), name, *more)
    assert (ran.status, ran.out) == (2, "")
    assert "is no name of a service" in ran.err
    assert fake.requests == []


def test_a_name_that_no_service_has_is_for_the_gateway_to_refuse(line: Line, fake: FakeGateway) -> None:
    ran = line("info", "Demo")
    assert (ran.status, ran.err) == (1, "There is no service ada/Demo.\n")


def test_deleting_asks_and_refuses_where_nobody_can_answer(process: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    ran = process("delete", "demo")
    assert ran.status == 2
    assert "--yes" in ran.err
    assert not [method for method, *_ in fake.requests if method == "DELETE"]


# --- failing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["list"], ["info", "demo"], ["logs", "demo", "-f"], ["update", "x", "."], ["delete", "x", "-y"]]
)
def test_without_a_gateway_the_sentence_says_how_to_get_one(line: Line, words: list[str]) -> None:
    ran = line(*words)
    assert (ran.status, ran.out) == (1, "")
    assert "gateway --background` starts one" in ran.err


@pytest.mark.parametrize("verb", ["create", "validate"])
def test_no_folder_starts_no_gateway(line: Line, tmp_path: Path, verb: str) -> None:
    ran = line(verb, str(tmp_path / "nothing"))
    assert ran.status == 1
    assert "There is no folder" in ran.err
    assert ran.err.endswith(f"To make one: jupyter model-service init {tmp_path}/nothing\n")
    assert not (tmp_path / "jupyter").exists()


def test_a_refusal_is_a_sentence_or_json(line: Line, fake: FakeGateway) -> None:
    ran = line("info", "nobody")
    assert (ran.status, ran.out, ran.err) == (1, "", "There is no service ada/nobody.\n")
    ran = line("info", "nobody", "--json")
    assert ran.status == 1
    wire.ErrorAnswer.model_validate_json(ran.out)
    assert json.loads(ran.out)["error"]["code"] == "not_found"


def test_every_problem_of_a_definition_is_listed_with_its_line(line: Line, fake: FakeGateway) -> None:
    problems = [
        {"where": "models[0].service.port", "message": "0 is no port", "file": "model-definition.yaml", "line": 9},
        {"where": "models[0].nmae", "message": "unknown key", "file": "model-definition.yaml", "line": 2},
    ]
    fake.answers["POST", "api/v1/validate"] = refusal(422, "invalid_definition", "2", problems=problems)
    ran = line("validate", ".")
    assert ran.status == 1
    assert ran.err.splitlines() == [
        "2 problems:",
        "model-definition.yaml:9: models[0].service.port: 0 is no port",
        "model-definition.yaml:2: models[0].nmae: unknown key",
    ]
    assert len(json.loads(line("validate", ".", "--json").out)["error"]["problems"]) == 2


def test_an_unsafe_runtime_file_is_refused(line: Line, fake: FakeGateway) -> None:
    os.chmod(fake.data_dir / "gateway.json", 0o644)  # type: ignore[operator]
    ran = line("list")
    assert ran.status == 1
    assert "not believed" in ran.err
    assert fake.requests == []


# --- showing -----------------------------------------------------------------------------------------------


def test_list(line: Line, fake: FakeGateway) -> None:
    assert "create FOLDER makes one" in line("list").out
    fake.services["ada/demo"] = service(want=2, ready=1, state="degraded")
    fake.services["ada/other"] = service("other", public=True)
    rows = [row.split() for row in line("list").out.splitlines()]
    assert rows[0] == ["NAME", "STATE", "READY", "REVISION", "ACCESS", "ENDPOINT"]
    assert rows[1] == ["demo", "degraded", "1/2", "1", "private", "http://127.0.0.1:1/endpoints/ada/demo/"]
    assert rows[2][:5] == ["other", "ready", "1/1", "1", "public"]
    assert line("list", "-q").out == "demo\nother\n"
    fake.services["bob/demo"] = service(owner="bob")
    assert line("list", "-q").out == "ada/demo\nada/other\nbob/demo\n"


def test_a_list_has_what_others_share_and_which_role_they_gave(line: Line, fake: FakeGateway) -> None:
    """What one may only call is there with its owner and address; of its inside nothing is told, and nothing made up."""
    fake.services["ada/demo"] = service(visibility="shared")
    fake.services["bob/seen"] = service("seen", owner="bob", role="viewer", visibility="shared")
    address = "http://127.0.0.1:1/endpoints/bob/called/"
    fake.shared = [{"owner": "bob", "name": "called", "state": "ready", "endpoint": address, "role": "caller"}]
    rows = [row.split()[:-1] for row in line("list").out.splitlines()]
    assert rows == [
        ["NAME", "STATE", "READY", "REVISION", "ROLE", "ACCESS"],
        ["ada/demo", "ready", "1/1", "1", "owner", "shared"],
        ["bob/seen", "ready", "1/1", "1", "viewer", "shared"],
        ["bob/called", "ready", "-", "-", "caller", "shared"],
    ]
    assert json.loads(line("list", "--json").out)["shared"] == fake.shared
    assert line("list", "-q").out == "ada/demo\nbob/seen\nbob/called\n"
    assert "you are its viewer" in line("info", "bob/seen").out
    assert "shared: with a token, and for those whom it is shared with\n" in line("info", "demo").out
    fake.services.clear()
    assert line("list").out.splitlines()[1].split()[0] == "bob/called"


def test_who_may_only_call_a_service_is_told_its_address(line: Line, fake: FakeGateway) -> None:
    fake.shared = [
        {"owner": "bob", "name": "called", "state": "ready", "endpoint": "http://x/bob/called/", "role": "caller"}
    ]
    assert line("get-endpoint", "bob/called").out == "http://x/bob/called/\n"
    assert not [path for _, path, _, _ in fake.requests if path.startswith("api/v1/services/")]


def test_what_to_type_next_names_the_service_as_it_was_named(line: Line, fake: FakeGateway) -> None:
    """To whoever operates another's ``chat``, ``chat`` alone is her own."""
    fake.services["bob/chat"] = service("chat", "stopped", owner="bob", role="operator", want=0)
    assert "scale bob/chat 1" in line("stop", "bob/chat", "--detach").out
    fake.services["bob/chat"]["folder_gone"] = True
    assert "update bob/chat FOLDER" in line("info", "bob/chat").out
    assert "autoscale bob/chat --min 1" in line("autoscale", "bob/chat").out


def test_json_is_exactly_the_wires(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(note="é")
    assert json.loads(line("list", "--json").out) == {"services": [fake.services["ada/demo"]], "shared": []}
    assert json.loads(line("info", "demo", "--json").out) == fake.services["ada/demo"]
    wire.GatewayInfo.model_validate_json(line("info", "--json").out)
    wire.GatewayInfo.model_validate_json(line("gateway", "--status", "--json").out)


def test_info_shows_what_is_going_on(line: Line, fake: FakeGateway) -> None:
    replicas = [
        replica("demo-a", "preparing", action={"index": 2, "count": 3, "label": "run_command pip3 install x"}),
        replica("demo-b", "gone", reason="exited with code 1"),
        replica("demo-c", "ready", rss=100 << 20, pid=4711, in_flight=3, suspect=True),
    ]
    revision = {"number": 1, "created_at": 1750000000.0, "folder": "/m", "model_name": "x", "environment": ["KEY"]}
    fake.services["ada/demo"] = service(
        state="degraded", reason="it waits", replica_list=replicas, revisions=[revision], not_enforced=["memory: local"]
    )
    out = line("info", "demo").out
    for part in ("ada/demo", "degraded, 0 of 1", "it waits", "/m", "KEY", "memory: local", "2/3 run_command pip3",
                 "exited with code 1", "4711", "100 MiB", "ready (suspect)", "2025-06-15 15:06:40"):  # fmt: skip
        assert part in out, part


@pytest.mark.parametrize(
    ("serving", "told"),
    [
        ({}, None),
        (None, None),
        ({"queue": 100, "retry": True, "autoscaling": {"min": 0}}, None),
        (
            {"concurrency": 2, "first_byte_timeout": 7.5, "retry": False, "body_limit": 1000000, "later": 1},
            "concurrency 2, first_byte_timeout 7.5, retry off, body_limit 1000000",
        ),
        ({"affinity": {"by": "header", "name": "X-\x1b[2JS"}, "body_limit": None}, "affinity header X-S"),
    ],
)
def test_info_shows_how_a_service_serves_where_that_is_not_the_usual_way(
    line: Line, fake: FakeGateway, serving: dict[str, Any] | None, told: str | None
) -> None:
    """In the words of the definition, of which one may believe that it says something else."""
    definition = {} if serving is None else {"serving": serving}
    revision = {"number": 1, "created_at": 1.0, "folder": "/m", "model_name": "m", "definition": definition}
    fake.services["ada/demo"] = service(revisions=[revision])
    found = [row for row in line("info", "demo").out.splitlines() if "Serving:" in row]
    assert found == ([] if told is None else [f"  Serving:      {told}"])


def test_info_shows_what_a_revision_has_of_its_folder(line: Line, fake: FakeGateway) -> None:
    """What is kept, what is only linked, why nothing is; and what has changed in the folder since."""

    def revision(number: int, **files: Any) -> dict[str, Any]:
        return {"number": number, "created_at": 1.0, "folder": "/m", "model_name": "x", "files": files}

    mounts = [{"source": "/data", "target": "/mnt", "read_only": True}]
    resources = {"cpus": 1.5, "memory": 8 << 30, "gpus": 2}
    second = {**revision(2, kind="copy", files=12, bytes=340 << 10, linked=1), "mounts": mounts, "resources": resources}
    second["files"]["why"] = "pipe, a\x1b[2J cannot be read"
    first = revision(1, kind="live", why="it has more than 5 files")
    fake.services["ada/demo"] = service(revision=2, revisions=[first, second], changed=["app.py", "a\x1b[2Jb"])
    out = line("info", "demo").out
    assert "Files:        12 kept, 340 KiB; 1 link to what is not; pipe, a cannot be read" in out
    assert "Changed:      folder changed since revision 2: app.py, a" in out
    assert "\x1b" not in out
    assert "model-service update demo takes it up" in out
    assert "Mounts:       /data:/mnt:ro" in out
    assert "Resources:    1.5 CPUs, 8.0 GiB, 2 GPUs" in out
    one = {**second, "resources": {"cpus": 1, "memory": None, "gpus": 1}}
    fake.services["ada/demo"] = service(revision=2, revisions=[one], folder_gone=True)
    out = line("info", "demo").out
    assert "Resources:    1 CPU, 1 GPU\n" in out
    assert "Changed:      the folder is not there any more; replicas run from what revision 2 kept of it (" in out
    assert "takes it up" not in out
    fake.services["ada/demo"] = service(revision=2, revisions=[first, second], changed=["app.py"])
    out = line("info", "demo").out
    rows = [row for row in out.splitlines() if "/m " in row]
    assert [row.split("/m")[-1].strip() for row in rows] == ["not kept", "12, 340 KiB, 1 linked"]
    fake.services["ada/demo"] = service(revisions=[first], changed=[])
    out = line("info", "demo").out
    assert "Files:        read where they lie: it has more than 5 files" in out
    assert "Changed" not in out
    told_nothing = {**first, "folder": "", "files": {**first["files"], "why": None}}
    fake.services["ada/demo"] = service(revisions=[told_nothing], changed=None, role="viewer")
    assert "Files" not in line("info", "demo").out, "what she is not told of is not said to be anything"
    left_out = "other storage that is mounted in it is not copied (data)"
    volume = revision(1, kind="copy", source="snapshot", path="ms-1-r1", files=3, bytes=2048, why=left_out)
    fake.services["ada/demo"] = service(revisions=[volume])
    assert f"Files:        snapshot of 3 files, 2.0 KiB, in volume ms-1-r1; {left_out}\n" in line("info", "demo").out
    six = [f"f{n}" for n in range(6)]
    fake.services["ada/demo"] = service(revisions=[first], changed=six)
    assert "f3, f4, … (" in line("info", "demo").out


def test_info_of_a_ready_service_shows_the_last_of_those_that_have_gone(line: Line, fake: FakeGateway) -> None:
    """While it is not ready, each may be the one that tells why."""
    replicas = [replica(f"demo-{n}", "gone", reason=f"exited with code {n}", since=n) for n in (1, 3, 2)]
    replicas.append(replica("demo-ready"))
    fake.services["ada/demo"] = service(replica_list=replicas)
    out = line("info", "demo").out
    assert ("demo-ready" in out, out.count("exited with"), "exited with code 3" in out) == (True, 1, True)
    fake.services["ada/demo"] = service(state="degraded", replica_list=replicas)
    assert line("info", "demo").out.count("exited with") == 3


def test_info_marks_the_revision_that_serves(line: Line, fake: FakeGateway) -> None:
    revisions = [{"number": n, "created_at": 1.0, "folder": "/m", "model_name": "x"} for n in (1, 2, 3)]

    def marks(**changes: Any) -> list[str]:
        fake.services["ada/demo"] = service(revisions=revisions, **changes)
        table = line("info", "demo").out.partition("REVISION  ")[2].splitlines()[1:]
        return [row.partition("  ")[0] for row in table]

    assert marks(revision=3, stable_revision=2, state="updating", ready=1) == ["1", "2 (serving)", "3 (active)"]
    assert marks(revision=3, stable_revision=3) == ["1", "2", "3 (active, serving)"]
    assert marks(revision=3, stable_revision=3, state="stopped") == ["1", "2", "3 (active)"]


def test_a_model_that_printed_nothing_is_said_to_have(line: Line, fake: FakeGateway) -> None:
    """On standard error: what a program reads is the log alone."""
    fake.services["ada/demo"] = service()
    ran = line("logs", "demo", "--replica", "demo-x")
    assert (ran.status, ran.out.strip(), ran.err) == (0, "", "demo-x has printed nothing yet.\n")
    fake.log = ["a line"]
    assert line("logs", "demo", "--replica", "demo-x").err == ""


def test_what_others_wrote_cannot_steer_the_terminal(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service(reason="a\x1b]0;title\x07b\x1b[2Jc\rd\ne", state="degraded", want=2)
    fake.events = [event(1, message="x\x1b[31my\x9bz")]
    out = line("info", "demo").out + line("events", "demo").out
    assert "abcd e" in out
    assert "xyz" in out
    assert not set(out) & set("\x1b\x07\r\x9b")


#: U+202E shows "exe.txt" for "txt.exe"; U+DCFF is half a character, as a byte that is no UTF-8 comes in.
HOSTILE = "safe\u202egnp\u2066.\u2069\x9b\x7f\udcff\ud55c"


def test_what_turns_text_around_is_not_shown_and_half_a_character_breaks_nothing() -> None:
    assert clean(HOSTILE) == "safegnp.\udcff\ud55c"
    assert clean_log(HOSTILE, terminal=True) == "safegnp.\udcff\ud55c"
    assert clean_log(HOSTILE, terminal=False) == HOSTILE, "files get what the model printed"
    shown = json_text({"a": HOSTILE})
    assert json.loads(shown) == {"a": HOSTILE}
    assert shown.encode() == b'{\n  "a": "safe\\u202egnp\\u2066.\\u2069\\u009b\\u007f\\udcff\xed\x95\x9c"\n}'


def test_arguments_that_are_no_text_are_refused_in_one_sentence(process: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    odd = os.fsdecode(b"\xff")
    for words, status, said in (
        (["info", odd], 2, "is no name of a service"),
        (["create", odd], 2, "The name '\\udcff' is no UTF-8 text"),
        (["scale", "demo", odd], 2, "is not a number"),
        (["create", ".", "--env", f"A={odd}"], 1, "What is given as environment is no UTF-8 text"),
        (["generate-token", "demo", "--name", odd], 1, "is no UTF-8 text"),
        (["revoke-token", "demo", odd], 1, "has no token with that id or label"),
    ):
        ran = process(*words, PYTHONIOENCODING="utf-8")
        assert (ran.status, ran.out, ran.err.count("\n")) == (status, "", 1), ran.err
        assert said in ran.err
    assert process("logs", "demo", "--replica", odd).status == 0, "the fake has every replica"


def test_get_endpoint_prints_the_url_only(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    assert line("get-endpoint", "demo").out == "http://127.0.0.1:1/endpoints/ada/demo/\n"
    assert line("get-endpoint", "ada/demo").out == "http://127.0.0.1:1/endpoints/ada/demo/\n"


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("http://127.0.0.1:1/endpoints/ada/demo/", "http://127.0.0.1:1/v1"),
        ("https://hub.test/services/ms/endpoints/endpoints/v1/", "https://hub.test/services/ms/v1"),
    ],
)
def test_get_endpoint_prints_the_base_url_of_openais_clients(
    line: Line, fake: FakeGateway, endpoint: str, base: str
) -> None:
    """Without a slash at its end, as they want it."""
    fake.services["ada/demo"] = {**service(), "endpoint": endpoint}
    assert line("get-endpoint", "demo", "--openai").out == f"{base}\n"
    assert json.loads(line("get-endpoint", "demo", "--openai", "--json").out) == {"base_url": base}
    assert json.loads(line("get-endpoint", "demo", "--json").out) == {"endpoint": endpoint}


def test_logs_and_events(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.log = [f"line {n}" for n in range(200)]
    assert line("logs", "demo", "--tail", "2").out == "line 198\nline 199\n"
    assert line("logs", "demo").out.count("\n") == 100
    assert line("logs", "demo", "--tail", "all").out.count("\n") == 200
    assert json.loads(line("logs", "demo", "--replica", "demo-x", "--json").out)["replica"] == "demo-x"
    fake.events = [event(n, message=f"number {n}") for n in range(1, 60)]
    out = line("events", "demo").out
    assert out.count("\n") == 50
    assert out.splitlines()[-1].startswith("2025-06-15 15:06:40  replica.ready")
    assert out.endswith("number 59\n")


# --- tokens ------------------------------------------------------------------------------------------------


def test_a_token_goes_to_the_person_to_a_program_or_to_a_file(line: Line, fake: FakeGateway, tmp_path: Path) -> None:
    fake.services["ada/demo"] = service()
    assert line("generate-token", "demo").out.startswith("jms_secret1\nShown this once; expires in 30 d 0 h.")
    assert line("generate-token", "demo", "-q").out == "jms_secret2\n"
    assert json.loads(line("generate-token", "demo", "--json", "--name", "ci").out)["token"] == "jms_secret3"
    assert fake.requests[-1][3] == {"name": "ci", "expires_in": 30 * 86400, "shorten": True}
    file = tmp_path / "demo.token"
    before = os.umask(0)
    try:
        ran = line("generate-token", "demo", "--output", str(file), "--expires", "never", "--json")
    finally:
        os.umask(before)
    assert file.read_text() == "jms_secret4\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "jms_" not in ran.out + ran.err
    assert fake.requests[-1][3]["expires_in"] is None
    assert line("generate-token", "demo", "--output", str(file)).status == 0, "a token file may be replaced"
    assert file.read_text() == "jms_secret5\n"
    assert list(tmp_path.glob(".demo*")) == []


def test_no_file_but_a_token_file_is_ever_overwritten(line: Line, fake: FakeGateway, tmp_path: Path) -> None:
    fake.services["ada/demo"] = service()
    file = tmp_path / "key"
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    for target, sentence in ((file, "no token file"), (tmp_path, "is a folder"), (tmp_path / "x" / "y", "no folder")):
        ran = line("generate-token", "demo", "--output", str(target))
        assert ran.status == 1
        assert sentence in ran.err
    assert file.read_text().startswith("-----BEGIN")
    assert fake.tokens == []


def test_a_token_goes_into_no_link_pipe_device_or_socket(line: Line, fake: FakeGateway, tmp_path: Path) -> None:
    """Neither waits for a pipe's reader, nor lets whoever planted a link choose where the token goes."""
    fake.services["ada/demo"] = service()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "earlier").write_text("jms_earlier\n")
    (tmp_path / "linked").symlink_to(tmp_path / "earlier")
    (tmp_path / "to-null").symlink_to("/dev/null")
    for name, sentence in (
        ("pipe", "is a device, a pipe or a socket: name a file for the token; no token was made."),
        ("/dev/null", "is a device, a pipe or a socket"),
        ("dangling", "is a symbolic link, which is not followed: name the file itself; no token was made."),
        ("linked", "is a symbolic link"),
        ("to-null", "is a symbolic link"),
        ("earlier/x", "cannot be written (Not a directory)"),
        ("x" * 300, "cannot be written (File name too long)"),
    ):
        ran = line("generate-token", "demo", "--output", str(tmp_path / name))
        assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert sentence in ran.err
    assert fake.tokens == []
    assert (tmp_path / "earlier").read_text() == "jms_earlier\n"
    assert sorted(os.listdir(tmp_path)) == ["dangling", "earlier", "jupyter", "linked", "pipe", "to-null"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_a_token_file_has_its_mode_whatever_the_umask(
    line: Line, fake: FakeGateway, tmp_path: Path, umask: int
) -> None:
    fake.services["ada/demo"] = service()
    before = os.umask(umask)
    try:
        assert line("generate-token", "demo", "-q", "--output", str(tmp_path / ("n" * 250))).status == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ("n" * 250)).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("definition", "heading", "path"),
    [
        ({"health_check": {"path": "/health"}}, "Call it:", "health"),
        ({}, "Call it (add a path that the model has):", ""),
        (
            {"health_check": {"path": "/health"}, "asleep": True},
            "Call it (add a path that the model has; /health does not wake it when it sleeps):",
            "",
        ),
    ],
)
def test_the_call_that_a_token_is_shown_with_is_one_that_the_model_answers(
    line: Line, fake: FakeGateway, tmp_path: Path, definition: dict[str, Any], heading: str, path: str
) -> None:
    revision = {"number": 1, "created_at": 1.0, "folder": "/m", "model_name": "m", "definition": definition}
    info = autoscaling(min=0, max=2) if definition.get("asleep") else None
    fake.services["ada/demo"] = service(revisions=[revision], autoscaling=info)
    url = f"http://127.0.0.1:1/endpoints/ada/demo/{path}"
    out = line("generate-token", "demo").out
    assert out.endswith(f'\n{heading}\n  curl -H "Authorization: Bearer TOKEN" {url}\n')
    file = tmp_path / "a token"
    out = line("generate-token", "demo", "--output", str(file)).out
    assert out.endswith(f"\n{heading}\n  curl -H \"Authorization: Bearer $(cat '{file}')\" {url}\n")


@pytest.mark.parametrize(
    ("rules", "call"),
    [
        (
            ["--path", "/predict", "--method", "POST"],
            'it:\n  curl -X POST -H "Authorization: Bearer TOKEN" {}predict\n',
        ),
        (["--path", "/v1/*"], 'has):\n  curl -H "Authorization: Bearer TOKEN" {}v1/\n'),
        (["--path", "/v1/*", "--path", "/health"], 'it:\n  curl -H "Authorization: Bearer TOKEN" {}health\n'),
    ],
)
def test_the_call_that_a_token_for_a_part_is_shown_with_is_one_that_it_may_make(
    line: Line, fake: FakeGateway, rules: list[str], call: str
) -> None:
    definition = {"health_check": {"path": "/health"}}
    revision = {"number": 1, "created_at": 1.0, "folder": "/m", "model_name": "m", "definition": definition}
    fake.services["ada/demo"] = service(revisions=[revision])
    assert line("generate-token", "demo", *rules).out.endswith(call.format("http://127.0.0.1:1/endpoints/ada/demo/"))


def test_a_token_that_could_not_be_written_is_revoked_again(line: Line, fake: FakeGateway, tmp_path: Path) -> None:
    fake.services["ada/demo"] = service()
    folder = tmp_path / "folder"
    folder.mkdir()

    def made(body: Any) -> Any:
        folder.rmdir()
        return fake.usual("POST", "api/v1/services/ada/demo/tokens", {}, body)

    fake.answers["POST", "api/v1/services/ada/demo/tokens"] = made
    ran = line("generate-token", "demo", "--output", str(folder / "token"))
    assert ran.status == 1
    assert "revoked again" in ran.err
    assert fake.tokens == []


def test_tokens_are_listed_and_revoked_by_id_or_label(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    for label in ("laptop", "ci", "ci"):
        line("generate-token", "demo", "--name", label, "--expires", "2h")
    fake.tokens[0]["last_used_at"] = 1750000000.0
    fake.tokens[0]["created_by"] = "bob"
    fake.tokens[1]["expires_at"] = time.time() - 10
    out = line("tokens", "demo").out
    assert re.search(r"t0 +laptop .* bob +expires in 2 h 00 min +2025-06-15 15:06:40", out)
    assert re.search(r"t1 +ci .* - +expired .* never", out)
    fake.tokens[1]["expires_at"] = time.time() + 60
    ran = line("revoke-token", "demo", "ci")
    assert ran.status == 1
    assert re.search(
        r"one of t1 \(made .* ago, expires in .* s\), t2 \(made .* ago, expires in 1 h 59 min\)\.", ran.err
    )
    assert line("revoke-token", "demo", "laptop").out == "Revoked token t0 (laptop) of ada/demo.\n"
    assert line("revoke-token", "demo", "t1").status == 0
    assert [token["id"] for token in fake.tokens] == ["t2"]
    assert line("revoke-token", "demo", "laptop").status == 1


def test_pages_of_other_origins_are_let_in_and_kept_out(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    shown = line("access", "demo", "--origin", "https://a.org", "--origin", "http://b:3000").out
    assert "Pages of https://a.org, http://b:3000 may call it from a browser, with a token." in shown
    assert line("access", "demo").out == shown
    assert "from a browser" not in line("access", "demo", "--no-origins").out
    assert fake.origins == []


def test_who_did_what_is_shown_and_exported_one_line_for_each(line: Line, fake: FakeGateway) -> None:
    """What somebody calls herself steers no terminal; an export has everything, over several pages."""
    fake.services["ada/demo"] = service()
    fake.audit = [
        audited(1, before={"replicas": 1}, after={"replicas": 3}),
        audited(2, who="mallory", status=404, code="not_found", action="get_service", target="ada/\x1b[2Jx\n", count=9),
        *(audited(n, who="eve", after={"tokens": {"t1": {"name": "ci"}}}) for n in range(3, 2100)),
    ]
    ran = line("audit", "demo", "--who", "ada")
    assert ran.err == "Entries are kept for 90 days.\n"
    first = ran.out
    assert re.fullmatch(
        r"2025-06-15 15:06:41  ada from 10.0.0.7  scale_service ada/demo  202  replicas: 1 -> 3\n",
        first,
    )
    denied = line("admin", "audit", "--who", "mallory").out
    assert "get_service ada/" in denied
    assert "404 not_found (9 times)" in denied
    assert "\x1b" not in denied
    assert denied.count("\n") == 1
    assert line("admin", "audit", "--tail", "2").out.count("\n") == 2
    exported = line("admin", "audit", "--tail", "all", "--json").out
    assert [json.loads(each)["id"] for each in exported.splitlines()] == list(range(1, 2100))
    assert json.loads(exported.splitlines()[0])["after"] == {"replicas": 3}


def test_of_who_did_what_a_month_and_an_operation_are_found(line: Line, fake: FakeGateway) -> None:
    """Days and times of UTC, as everywhere else; a slip is a wrong line, and not an empty log."""
    fake.services["ada/demo"] = service()
    days = {1: 1761955199.0, 2: 1761955200.0, 3: 1764547199.0, 4: 1764547200.0}  # around November 2025
    fake.audit = [audited(n, at=at, action="stop_service" if n == 3 else "scale_service") for n, at in days.items()]

    def ids(*words: str) -> list[int]:
        return [json.loads(each)["id"] for each in line(*words, "--json").out.splitlines()]

    november = ("--since", "2025-11-01", "--until", "2025-12-01")
    assert ids("admin", "audit", *november) == ids("audit", "demo", *november) == [2, 3]
    assert ids("audit", "demo", "--since", "2025-11-30T23:59:59", "--action", "stop_service") == [3]
    empty = line("admin", "audit", "--action", "stop_service", "--until", "2025-11-01").out
    assert empty == "No entries of the action stop_service until 2025-11-01 00:00:00 UTC.\n"
    for slip, why in (
        (("--action", "stop"), "no operation has this name (did you mean stop_gateway or stop_service?)"),
        (("--since", "yesterday"), "'yesterday' is no time: write a day such as 2026-11-30"),
    ):
        for verb in (("admin", "audit"), ("audit", "demo")):
            ran = line(*verb, *slip)
            assert (ran.status, why in ran.err) == (2, True)


def test_who_looks_for_what_was_done_to_a_service_that_is_gone_is_shown_the_way(line: Line, fake: FakeGateway) -> None:
    fake.answers["GET", "api/v1/services/ada/gone/audit"] = lambda _: refusal(404, "not_found", "There is none.")
    ran = line("audit", "ada/gone")
    assert ran.status == 1
    assert "admin audit --service ada/gone" in ran.err


def test_long_entries_are_read_on_where_the_gateways_answer_ends_early(line: Line, fake: FakeGateway) -> None:
    fake.audit, fake.audit_page = [audited(n) for n in range(1, 31)], 4
    for tail, first in (("10", 21), ("all", 1)):
        ran = line("admin", "audit", "--tail", tail, "--json").out
        assert [json.loads(each)["id"] for each in ran.splitlines()] == list(range(first, 31))


def test_whoever_is_told_that_it_is_too_much_at_once_waits_as_told(line: Line, fake: FakeGateway) -> None:
    """What the answers to her other requests wait for is hers to end: it is said."""
    fake.audit = [audited(1)]
    told: list[int] = []

    def first(body: object) -> Any:
        told.append(1)
        if len(told) == 1:
            return refusal(429, "too_much_at_once", "Answers are not read yet.", {"Retry-After": "1"})
        return fake.of_audit({})

    fake.answers["GET", "api/v1/admin/audit"] = first
    ran = line("admin", "audit", "--tail", "all", "--json")
    assert (ran.status, ran.out.count("\n"), len(told)) == (0, 1, 2)
    assert ran.err == "Answers are not read yet. Waiting for 1 s.\n"


def test_whoever_asks_the_audit_log_for_what_is_not_in_it_is_told_so(line: Line, fake: FakeGateway) -> None:
    """By a slip in a name nothing seems to have been done."""
    fake.services["ada/demo"] = service()
    fake.audit = [audited(1)]
    assert line("admin", "audit", "--service", "demo").status == 2
    assert line("admin", "audit", "--service", "ada/dmeo").out == "No entries of ada/dmeo.\n"
    assert line("audit", "demo", "--who", "bob").out == "No entries of ada/demo by bob.\n"
    assert line("admin", "audit", "--who", "bob", "--json").out == ""
    assert line("audit", "demo", "--tail", "0").out == ""
    assert "No entries" not in line("audit", "demo").out


def test_an_administrator_sees_all_and_takes_from_users_what_she_names(line: Line, fake: FakeGateway) -> None:
    fake.services["bob/demo"] = service()
    free = {"name": "", "holder": "nobody", "label": "", "user": None, "server": None, "service": None}
    free |= {"utilization": None, "memory_used": None, "memory_total": None}
    replica = {
        "holder": "replica",
        "label": "bob/demo",
        "user": "bob",
        "service": "bob/demo",
        "server": "ms-demo-aaaaaa",
    }
    notebook = {"holder": "notebook", "label": "a notebook of alice", "user": "alice", "server": ""}
    figures = {"utilization": 41.0, "memory_used": 1 << 30, "memory_total": 1 << 32}
    gpus = [
        {**free, "id": "GPU-1", "name": "H200", **replica, **figures},
        {**free, "id": "GPU-2", **notebook},
        {**free, "id": "GPU-3", "memory_total": 1 << 33},
    ]
    fake.overview = {
        "services": [
            {
                "owner": "bob",
                "name": "de\x1b[2Jmo",
                "state": "ready",
                "reason": None,
                "visibility": "shared",
                "replicas": 2,
                "ready": 1,
                "gpus": 2,
                "calls_today": 12,
                "last_call_at": 1750000000.0,
                "notice": None,
            }
        ],
        "owners": [
            {
                **used("bob", max_replicas_per_user=5, max_memory=1 << 33, allow_public=False, idle_limit=7 * 86400),
                "notices": ["replicas: 9 takes \x1b[2Jnothing away."],
            }
        ],
        "gpus": gpus,
        "gpus_at": 1750000000.0,
        "gpus_problem": "The Hub does not \x1b[2Janswer.",
    }
    shown = line("admin", "list").out
    assert "\x1b" not in shown
    assert re.search(r"ready +1/2 +2 +shared +12 +2025-06-15 15:06:40", shown)
    assert re.search(r"bob: 1 service, 2 replicas, 0 GPUs\n +LIMIT +SET\n +replicas +2 of 5 +for the group ds\n", shown)
    assert re.search(r"memory of a replica +8 GiB .*\n +public services +not allowed .*\n +idle at most +7 days", shown)
    assert re.search(r"idle at most +7 days .*\n  replicas: 9 takes .*nothing away\.\n", shown)
    held = line("admin", "gpus").out
    assert re.search(r"GPU-1 +H200 +bob/demo +bob +ms-demo-aaaaaa +41 % +1 GiB of 4 GiB\n", held)
    assert re.search(r"GPU-2 +- +a notebook of alice +alice +- +- +-\n", held)
    assert re.search(r"GPU-3 +- +free +- +- +- +8 GiB\n", held)
    assert "The Hub does not" in held
    assert "\x1b" not in held
    assert json.loads(line("admin", "gpus", "--json").out)["gpus"][0]["id"] == "GPU-1"
    ran = line(
        *("admin", "limits", "bob@example.org", "--max-replicas", "none", "--max-memory", "4g", "--idle-limit", "2h"),
        "--no-public",
    )
    assert "bob: 1 service, " in ran.out
    given = {"max_replicas_per_user": None, "max_memory": 4 << 30, "idle_limit": 7200.0, "allow_public": False}
    where = "api/v1/admin/users/bob%40example.org/limits"
    assert [body for method, path, _, body in fake.requests if (method, path) == ("PUT", where)] == [given]
    line("admin", "limits", "bob@example.org")
    line("admin", "limits", "bob@example.org", "--clear")
    assert [request[0] for request in fake.requests if request[1].endswith("/limits")] == ["PUT", "GET", "DELETE"]
    assert line("admin", "limits", "bob", "--clear", "--max-cpus", "1").status == 1
    line("admin", "limits", "bob", "--public")
    assert fake.requests[-1][3] == {"allow_public": None}
    requests = len(fake.requests)
    assert line("admin", "limits", "bob", "--public", "--no-public").status == 2
    assert (
        "memory of a replica: '1' is not a size from 1 MiB" in line("admin", "limits", "bob", "--max-memory", "1").err
    )
    assert len(fake.requests) == requests


def test_an_administrator_leaves_a_notice_and_stops_a_service(line: Line, fake: FakeGateway) -> None:
    fake.services["bob/demo"] = service()
    ran = line("admin", "notice", "bob/demo", "Please", "scale it down.")
    assert ran.out == "The owner and the viewers of bob/demo see your notice; callers do not.\n"
    assert ("PUT", "api/v1/admin/services/bob/demo/notice", {"text": "Please scale it down."}) in [
        (m, p, b) for m, p, _, b in fake.requests
    ]
    assert line("admin", "notice", "bob/demo", "--remove").out == "bob/demo has no notice any more.\n"
    assert line("admin", "notice", "bob/demo").status == 1
    requests = len(fake.requests)
    assert "Say either TEXT" in line("admin", "notice", "bob/demo", "x", "--remove").err
    assert "Say with TEXT what" in line("admin", "notice", "bob/demo", "").err
    assert len(fake.requests) == requests
    assert line("admin", "stop", "bob/demo").out.startswith("bob/demo is stopped: its replicas end")


def used(user: str, **limits: object) -> dict[str, object]:
    """What a user has, of whom a rule says this."""
    used = {"max_replicas_per_user": 2}
    told = [
        {"name": name, "value": value, "used": used.get(name), "set_by": "for the group ds"}
        for name, value in limits.items()
    ]
    return {"owner": user, "user": user, "services": 1, "replicas": 2, "gpus": 0, "limits": told}


def test_a_service_is_shared_shown_and_shared_no_more(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    ran = line("share", "demo", "--user", "bob", "--group", "ds", "--user", "eve", "--role", "operator")
    assert ran.out == "Shared ada/demo with bob, eve and the group ds as operator.\n"
    assert line("share", "demo", "--user", "bob", "--calls-per-day", "1").out == (
        "Shared ada/demo with bob as caller, each person with at most 1 call a day.\n"
    )
    assert line("share", "demo", "--user", "bob", "--calls-per-day", "5").out == (
        "Shared ada/demo with bob as caller, each person with at most 5 calls a day.\n"
    )
    fake.of_new_shares = ["The limits of the class are his no more."]
    assert line("share", "demo", "--user", "bob", "--calls-per-day", "5").out.endswith(
        " 5 calls a day. The limits of the class are his no more.\n"
    )
    shown = line("access", "demo", "--user", "carol").out
    assert shown.startswith(
        "ada/demo is shared.\nIt may not be made public: so says the administrator.\nada owns it.\n\n"
        "carol: nothing by a share, and operator if in such a group\n  Nothing of it is shared with her.\n\n"
    )
    assert re.search(r"user +bob +caller +5/day +2025-06-15 15:06:40 +ada\n", shown)
    assert re.search(r"group +ds +operator +- ", shown)
    assert json.loads(line("access", "demo", "--json").out)["visibility"] == "shared"
    fake.shares["user", "bob"]["former"] = True
    shown = line("access", "demo").out
    assert re.search(r"user +bob \(former\) +caller ", shown)
    assert shown.endswith(
        "\nbob (former) was deleted, and another user has the name: unshare --user bob takes it back.\n"
    )
    ran = line("unshare", "demo", "--user", "bob", "--user", "carol")
    assert (ran.status, ran.err) == (1, "ada/demo is not shared with carol. Nothing was changed.\n")
    assert line("unshare", "demo", "--user", "bob").out == (
        "ada/demo is not shared with bob any more. Whoever is in the group ds may still use it.\n"
    )
    ran = line("unshare", "demo", "--user", "eve", "--group", "ds")
    assert ran.out == "ada/demo is not shared with eve and the group ds any more.\n"
    assert (
        "It is shared with nobody: jupyter model-service share ada/demo --user USER does" in line("access", "demo").out
    )
    ran = line("unshare", "demo", "--user", "bob")
    assert (ran.status, ran.err) == (1, "ada/demo is not shared with bob.\n")
    status, info, more = fake.usual("GET", "api/v1/", {}, None)
    fake.answers["GET", "api/v1/"] = (status, {**info, "people": False}, more)
    assert line("access", "demo").out.endswith(
        "nobody here to share it with: jupyter model-service generate-token ada/demo lets a program call it.\n"
    )


def test_who_shares_with_several_is_told_how_far_it_came(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.refused_share = "carol"
    ran = line("share", "demo", "--user", "bob", "--user", "carol", "--group", "ds")
    assert ran.status == 1
    assert ran.err == "There is no carol. It was done for bob, and not for carol or the group ds.\n"


def test_whose_pages_may_call_is_said_in_one_way(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    ran = line("access", "demo", "--origin", "https://a.example.org", "--no-origins")
    assert (ran.status, ran.err) == (1, "Say either --no-origins, or with --origin whose pages may call it.\n")
    assert fake.origins == []
    assert "Pages of https://a.example.org may call" in line("access", "demo", "--origin", "https://a.example.org").out
    assert "Pages of" not in line("access", "demo", "--no-origins").out


def test_a_list_calls_what_is_others_as_every_verb_takes_it_and_says_what_administrators_say(
    line: Line, fake: FakeGateway
) -> None:
    """By its name alone it would be looked for among one's own."""
    notice = {"text": "Please scale it down.", "by": "root", "at": 1750000000.0}
    fake.services["bob/demo"] = {**service(), "owner": "bob", "role": "viewer", "notice": notice}
    _, row, said = line("list").out.splitlines()
    assert row.startswith("bob/demo ")
    assert said.startswith("bob/demo: Please scale it down. (from root, 2025-06-15")
    assert line("list", "-q").out == "bob/demo\n"


def test_whom_a_service_is_shared_with_has_to_be_said(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    for verb in ("share", "unshare"):
        ran = line(verb, "demo")
        assert (ran.status, ran.err) == (1, f"Say with --user or --group whom to {verb} it with.\n")
    assert line("share", "demo", "--user", "").status == 2
    assert line("share", "demo", "--user", "bob", "--role", "owner").status == 2
    assert fake.shares == {}


def test_a_token_is_made_with_limits_that_the_list_shows(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    line("generate-token", "demo", "--name", "free")
    assert "limits" not in fake.requests[-2][3]
    limits = ["--calls-per-second", "0.5", "--in-flight", "4", "--calls-per-day", "1000000"]
    out = line("generate-token", "demo", "--name", "ci", *limits).out
    assert "; limited to 0.5/s, 4 at once, 1000000/day. Its id is t1." in out
    assert fake.requests[-2][3]["limits"] == {"calls_per_second": 0.5, "in_flight": 4, "calls_per_day": 1_000_000}
    head, free, limited = line("tokens", "demo").out.splitlines()
    assert re.search(r"LAST USED +LIMITS +TODAY +IN FLIGHT$", head)
    assert re.search(r"never +- +- +-$", free)
    assert re.search(r"never +0\.5/s, 4 at once, 1000000/day +12 +3$", limited)
    assert json.loads(line("tokens", "demo", "--json").out)["tokens"][1]["limits"]["in_flight"] == 4


def test_a_token_is_made_for_paths_and_methods_that_the_list_shows(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    rules = ["--path", "/v1/chat/*", "--path", "/v1/models", "--method", "GET", "--method", "POST", "--in-flight", "4"]
    out = line("generate-token", "demo", *rules).out
    assert "; limited to GET/POST /v1/chat/*, GET/POST /v1/models, 4 at once. Its id is t0." in out
    line("generate-token", "demo", "--path", "/x")
    assert fake.requests[-2][3]["rules"] == [{"path": "/x", "methods": None}]
    assert re.search(r"never +/x +- +-$", line("tokens", "demo").out.splitlines()[2])


def test_a_group_of_a_directory_has_commas_in_its_name(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    assert line("share", "demo", "--group", "CN=ds,OU=models").status == 0
    assert [each["name"] for each in fake.shares.values()] == ["CN=ds,OU=models"]


def test_of_a_name_that_only_others_services_have_these_are_named(line: Line, fake: FakeGateway) -> None:
    """Who was given one to call asks for it by the name that she was told."""
    fake.shared = [
        {"owner": "bob", "name": "called", "state": "ready", "endpoint": "http://x/bob/called/", "role": "caller"}
    ]
    ran = line("get-endpoint", "called")
    assert (ran.status, ran.out) == (1, "")
    assert "Others have one that you may use: bob/called." in ran.err
    assert "Others" not in line("get-endpoint", "none").err


def test_of_an_owner_without_limits_there_is_no_table_of_them(line: Line, fake: FakeGateway) -> None:
    fake.overview = {"services": [], "owners": [used("ada")], "gpus": [], "gpus_at": None, "gpus_problem": None}
    assert line("admin", "list").out == "ada: 1 service, 2 replicas, 0 GPUs\n"


def test_a_method_that_may_be_a_slip_is_told_and_several_in_one_word_are_refused(line: Line, fake: FakeGateway) -> None:
    """The token would open nothing."""
    fake.services["ada/demo"] = service()
    for words in (["generate-token", "demo", "--name", "ci"], ["limit-token", "demo", "ci"]):
        ran = line(*words, "--method", "psot", "--method", "GET")
        assert (ran.status, ran.err) == (0, "PSOT is no usual method: was POST meant?\n")
        assert line(*words, "--method", "PROPFIND", "--method", "get").err == ""
        fake.tokens = fake.tokens[:1]
        requests = len(fake.requests)
        ran = line(*words, "--method", "GET,POST")
        assert (ran.status, len(fake.requests)) == (2, requests)
        assert "say --method GET --method POST." in ran.err


def test_a_token_that_lives_shorter_than_was_asked_for_is_said_so_beside_it(line: Line, fake: FakeGateway) -> None:
    """Not in what a script reads, which is the token alone."""
    fake.services["ada/demo"] = service()
    fake.of_new_tokens = ["The token was never to expire, and lives 7 days."]
    made = line("generate-token", "demo", "--expires", "never", "--quiet")
    again = line("rotate-token", "demo", "t0", "--expires", "never", "--quiet")
    for ran in (made, again):
        assert ran.err == "The token was never to expire, and lives 7 days.\n"
        assert re.fullmatch(r"jms_secret\d\n", ran.out)


def test_limits_of_a_token_are_changed_by_its_id_or_label(line: Line, fake: FakeGateway) -> None:
    """What is not named stays, `none` takes one away, --no-limits all that are not named."""
    fake.services["ada/demo"] = service()
    line("generate-token", "demo", "--name", "ci", "--in-flight", "4")
    ran = line("limit-token", "demo", "ci", "--calls-per-day", "50")
    assert ran.status == 0
    assert "4 at once, 50/day" in ran.out
    assert fake.requests[-1][3] == {"limits": {"calls_per_day": 50}}
    assert line("limit-token", "demo", "t0", "--in-flight", "none").status == 0
    assert fake.requests[-1][3] == {"limits": {"in_flight": None}}
    answer = json.loads(line("limit-token", "demo", "t0", "--no-limits", "--calls-per-second", "3", "--json").out)
    assert fake.requests[-1][3] == {"limits": {"calls_per_second": 3.0, "in_flight": None, "calls_per_day": None}}
    assert (answer["id"], answer["limits"]["calls_per_second"]) == ("t0", 3.0)
    assert line("limit-token", "demo", "t0", "--no-limits").status == 0
    assert fake.tokens[0]["limits"] is None
    requests = len(fake.requests)
    ran = line("limit-token", "demo", "t0")
    assert (ran.status, len(fake.requests)) == (1, requests)
    assert "--calls-per-second, --in-flight, --calls-per-day or --no-limits" in ran.err
    assert line("limit-token", "demo", "t7", "--in-flight", "1").status == 1


def test_paths_of_a_token_are_changed_or_taken_away(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    line("generate-token", "demo", "--name", "ci", "--path", "/x")
    assert "POST /v1/*" in line("limit-token", "demo", "ci", "--path", "/v1/*", "--method", "POST").out
    assert fake.requests[-1][3] == {"paths": ["/v1/*"], "methods": ["POST"]}
    assert "GET /v1/*" in line("limit-token", "demo", "ci", "--method", "GET").out
    assert fake.requests[-1][3] == {"methods": ["GET"]}
    assert "GET /x" in line("limit-token", "demo", "ci", "--path", "/x").out
    assert fake.requests[-1][3] == {"paths": ["/x"]}
    assert "GET /*" in line("limit-token", "demo", "ci", "--all-paths", "--in-flight", "2").out
    assert fake.requests[-1][3] == {"limits": {"in_flight": 2}, "paths": None}
    assert line("limit-token", "demo", "ci", "--all-methods").status == 0
    assert fake.requests[-1][3] == {"methods": None}
    assert fake.tokens[0]["rules"] == []
    requests = len(fake.requests)
    for both in (("--all-paths", "--path", "/x"), ("--all-methods", "--method", "GET")):
        ran = line("limit-token", "demo", "ci", *both)
        assert (ran.status, len(fake.requests)) == (1, requests)
        assert ran.err.startswith(f"Say either {both[0]}, or")


def test_a_token_is_rotated_by_its_label_and_the_former_is_told(line: Line, fake: FakeGateway, tmp_path: Path) -> None:
    fake.services["ada/demo"] = service()
    line("generate-token", "demo", "--name", "ci", "--in-flight", "2")
    out = line("rotate-token", "demo", "ci").out
    assert out.startswith("jms_secret2\nShown this once; ")
    assert out.endswith("; limited to 2 at once. Its id is t1. The former, t0, still is good for 1 d 0 h.\n")
    assert fake.requests[-1][3] == {"overlap": 86400.0}
    file = tmp_path / "token"
    rotate = ["rotate-token", "demo", "ci", "--overlap", "0", "--expires", "never", "--output", str(file)]
    ran = line(*rotate)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("jms_secret3\n", 0o600)
    assert ran.out.endswith("Its id is t2. The former, t1, is good no more.\n")
    assert "jms_secret3" not in ran.out
    assert fake.requests[-1][3] == {"overlap": 0.0, "expires_in": None}
    assert line("rotate-token", "demo", "t0", "-q").out == "jms_secret4\n"
    for wrong in ("soon", "30", "60d"):  # 30 would be half a minute, to whoever means days
        assert line("rotate-token", "demo", "t0", "--overlap", wrong).status == 2
    assert "for at most 30d" in line("rotate-token", "demo", "t0", "--overlap", "60d").err


def test_a_token_is_rotated_by_its_label_again_and_again(line: Line, fake: FakeGateway) -> None:
    """The label is also that of those that have expired, and of the one that goes on meanwhile."""
    fake.services["ada/demo"] = service()
    line("generate-token", "demo", "--name", "cron")
    for overlap, former in (("0", "t0"), ("0", "t1"), ("1h", "t2"), ("1h", "t3")):
        ran = line("rotate-token", "demo", "cron", "--overlap", overlap)
        assert (ran.status, f"The former, {former}, " in ran.out) == (0, True)
    assert line("limit-token", "demo", "cron", "--in-flight", "2").status == 0, "it is of both together"
    assert fake.requests[-1][1].endswith("/tokens/t4")
    ran = line("revoke-token", "demo", "cron")
    assert ran.status == 1
    told = r"3 tokens are called 'cron': name it by its id, one of t2 \(made .* ago, expires in 59 min \d\d s\), t3 .*"
    assert re.match(told, ran.err)
    assert "t0" not in ran.err
    line("generate-token", "demo", "--name", "cron")
    assert line("rotate-token", "demo", "cron").status == 1, "that is another token of the same label"


@pytest.mark.parametrize(
    ("life", "overlap", "told"),
    [(3600, "1d", "still is good for 59 min"), (None, "5m", "still is good for 5 min"), (-9, "1d", "had expired")],
)
def test_what_is_said_of_the_former_token_is_what_becomes_of_it(
    line: Line, fake: FakeGateway, life: float | None, overlap: str, told: str
) -> None:
    """It ends no later than it was to."""
    fake.services["ada/demo"] = service()
    line("generate-token", "demo")
    fake.tokens[0]["expires_at"] = None if life is None else time.time() + life
    assert f"The former, t0, {told}" in line("rotate-token", "demo", "t0", "--overlap", overlap).out


def test_a_rotated_token_that_could_not_be_written_is_revoked_and_the_former_named(
    line: Line, fake: FakeGateway, tmp_path: Path
) -> None:
    fake.services["ada/demo"] = service()
    line("generate-token", "demo")
    folder, path = tmp_path / "folder", "api/v1/services/ada/demo/tokens/t0/rotate"
    folder.mkdir()

    def made(body: Any) -> Any:
        folder.rmdir()
        return fake.usual("POST", path, {}, body)

    fake.answers["POST", path] = made
    ran = line("rotate-token", "demo", "t0", "--output", str(folder / "token"))
    assert ran.status == 1
    assert (
        "the new token was revoked again. The former, t0, still is good for 1 d 0 h and no longer: rotate it" in ran.err
    )
    assert [token["id"] for token in fake.tokens] == ["t0"]


def test_who_called_how_often_is_summed_up_or_told_by_day(line: Line, fake: FakeGateway) -> None:
    """Those first who called most; names of others' choice steer no terminal."""
    fake.services["ada/demo"] = service()
    fake.uses = [
        use("user", "bob", 28, 2, refused=1),
        use("user", "bob", 30, 3),
        use("token", "t0", 30, 9, label="ci"),
        use("token", "t1", 30, 1, last_at=None),
        use("anyone", "", 30, 1),
        use("others", "", 30, 1),
        use("service", "gra\x1b[31mder", 30, 1),
    ]
    rows = [re.split(r"  +", row)[:4] for row in line("uses", "demo").out.splitlines()]
    assert rows == [
        ["WHO", "TODAY", "30 DAYS", "REFUSED"],
        ["token ci (t0)", "9", "9", "0"],
        ["bob", "3", "5", "1"],
        ["anyone (while it was public)", "1", "1", "0"],
        ["others (beyond 10,000 on a day)", "1", "1", "0"],
        ["service grader", "1", "1", "0"],
        ["token (t1)", "1", "1", "0"],
    ]
    out = line("uses", "demo", "--since", "2026-11-30", "--by-day").out
    assert re.search(r"^2026-11-30 +bob +3 +0 +\S", out, re.MULTILINE)
    assert "2026-11-28" not in out
    assert out.endswith("There is more, of days before these: say --since DAY.\n")
    assert fake.requests[-1][2] == {"since": "2026-11-30"}
    assert json.loads(line("uses", "demo", "--json").out)["today"] == "2026-11-30"
    fake.uses = []
    assert line("uses", "demo").out == "Nobody called ada/demo in the last 30 days.\n"
    for wrong in ("yesterday", "2026-02-30", "20261130", "7d"):
        assert line("uses", "demo", "--since", wrong).status == 2


def test_tokens_of_a_gateway_that_knows_no_limits_are_listed(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    fake.tokens = [{"id": "t0", "name": "old", "created_at": 1.0, "expires_at": None, "last_used_at": None}]
    assert re.search(r"t0 +old .* never expires +never +- +- +-$", line("tokens", "demo").out.strip())


# --- changing, without waiting -------------------------------------------------------------------------------


def test_create_sends_what_the_options_say(
    line: Line, fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "from the environment")
    monkeypatch.chdir(tmp_path)
    ran = line(
        "create", "model", "-n", "chat", "--replicas", "2", "--env", "A=b=c", "--env", "SECRET", "--mount", "data:/d:ro",
        "--cpu", "0.5", "--memory", "8g", "--gpus", "1", "--image", "i", "--public", "--detach",
    )  # fmt: skip
    assert ran.status == 0
    assert "from the environment" not in ran.out + ran.err
    assert fake.requests[-1][3] == {
        "folder": str(tmp_path / "model"), "name": "chat", "replicas": 2, "visibility": "public", "image": "i", "cpus": 0.5,
        "environment": {"A": "b=c", "SECRET": "from the environment"}, "memory": 8 << 30, "gpus": 1,
        "mounts": [{"source": str(tmp_path / "data"), "target": "/d", "read_only": True}],
    }  # fmt: skip
    wire.CreateRequest.model_validate(fake.requests[-1][3])
    assert len(fake.requests) == 1, "one call, since its time is felt"


@pytest.mark.parametrize("words", [[], ["-n", "demo"]])
def test_a_name_that_is_taken_is_told_with_the_lines_that_help(line: Line, fake: FakeGateway, words: list[str]) -> None:
    """Without -n, the name is the one that the gateway made of the model's."""
    sentence = "Service ada/demo exists already: update it to change it, or give another name."
    fake.answers["POST", "api/v1/services"] = refusal(409, "conflict", sentence)
    ran = line("create", "a folder", *words)
    assert ran.status == 1
    assert ran.err == (
        f"{sentence} Here: jupyter model-service update demo 'a folder', "
        "or jupyter model-service create 'a folder' -n OTHER\n"
    )


def test_update_sends_what_changes_only(line: Line, fake: FakeGateway) -> None:
    fake.services["ada/demo"] = service()
    sent = [
        (["--private"], {"visibility": "private"}),
        (["--public"], {"visibility": "public"}),
        (["--visibility", "shared"], {"visibility": "shared"}),
        (["--env", "A=1"], {"environment": {"A": "1"}}),
        (["--no-env", "--no-mounts"], {"environment": {}, "mounts": []}),
        (["/m", "--gpus", "0"], {"folder": "/m", "gpus": 0}),
        (["--gpus", "0", "/m"], {"folder": "/m", "gpus": 0}),
        ([], {}),
    ]
    for words, body in sent:
        assert line("update", "demo", *words, "--detach").status == 0
        assert fake.requests[-1][3] == body


def test_what_is_not_enforced_is_said(line: Line, fake: FakeGateway) -> None:
    fake.answers["POST", "api/v1/services"] = (201, service(not_enforced=["memory 8 GiB: replicas are processes."]), {})
    ran = line("create", ".", "--detach")
    assert "Not enforced here: memory 8 GiB" in ran.err


def test_another_gateway_can_be_named(process: Line, fake: FakeGateway, tmp_path: Path) -> None:
    fake.services["ada/demo"] = service()
    nowhere = str(tmp_path / "nowhere")
    named = {"JUPYTER_DATA_DIR": nowhere, "MODEL_SERVICE_URL": fake.url.rstrip("/"), "MODEL_SERVICE_TOKEN": fake.token}
    assert process("list", "-q", **named).out == "demo\n"
    assert process("list", "-q", "--data-dir", str(fake.data_dir), JUPYTER_DATA_DIR=nowhere).out == "demo\n"
    ran = process("create", ".", "--detach", **{**named, "MODEL_SERVICE_TOKEN": "wrong"})
    assert ran.status == 1
    assert not Path(nowhere).exists(), "where a gateway is named, none is started"
