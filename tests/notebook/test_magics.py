"""``%model_service``: the command line's words, results that can be assigned, one line for what goes wrong."""

from __future__ import annotations

import argparse
import json
import stat
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from jupyter_model_service.commands.grammar import VERBS, build_parser, verb_parsers
from jupyter_model_service.errors import DefinitionError, LaunchError, NotFound
from jupyter_model_service.notebook.completing import complete

from ..client.fake_gateway import FakeGateway, autoscaling, decision, event, replica, service
from .conftest import Ran

Cell = Callable[[str], Ran]
TOKEN = "jms_" + "aB3-_" * 8


def bundle(thing: object) -> dict[str, str]:
    return thing._repr_mimebundle_()  # type: ignore[attr-defined,no-any-return]


def test_loading_says_nothing_and_unloading_takes_the_magics_away(shell: InteractiveShell, cell: Cell) -> None:
    ran = cell("%reload_ext jupyter_model_service")
    assert (ran.out, ran.err, ran.error) == ("", "", None)
    cell("%unload_ext jupyter_model_service")
    for kind in ("line", "cell"):
        assert "model_service" not in shell.magics_manager.magics[kind]
    assert not shell.strdispatchers["complete_command"].strs.get("%model_service")


def test_a_result_is_given_back_and_shows_itself_as_text_and_html(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service(replica_list=[replica("demo-abc123")])
    assert cell("found = %model_service info demo").out == ""
    ran = cell("found")
    assert "ada/demo\n  State:        ready, 1 of 1 replicas ready" in ran.out
    shown = bundle(ran.result)
    assert "demo-abc123" in repr(ran.result)
    assert "demo-abc123" in shown["text/plain"]
    assert "demo-abc123" in shown["text/html"]
    assert ran.result.data["name"] == "demo"
    assert ran.result.endpoint.endswith("/endpoints/ada/demo/")
    assert cell("%model_service info demo --json").result["name"] == "demo"


def test_every_verb_of_the_command_line_is_one_of_the_magic(cell: Cell) -> None:
    """Each has its help under the name of the magic; nothing else is a verb."""
    for verb in VERBS:
        told = cell(f"%model_service {verb} --help")
        assert told.out.startswith(f"usage: %model_service {verb} "), verb
        assert told.error is None
    assert set(verb_parsers(build_parser(program="%model_service"))) == set(VERBS)
    assert "verbs:" in cell("%model_service").out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%model_service creat x", "There is no verb 'creat'. Did you mean 'create'? See: %model_service --help"),
        ("%model_service scale demo many", "'many' is not a number"),
        ("%model_service create", "FOLDER"),
        ("%model_service info demo --frobnicate", "info takes no option '--frobnicate'."),
        ("%model_service info 'demo", "no closing quotation"),
        ("%model_service delete demo", "say --yes"),
        ("%model_service logs demo -f", "Nobody could end it here"),
        ("%%model_service demo path more\nx", "takes no 'more'"),
        ("%%model_service\nx", "NAME. See: %%model_service --help"),
        ("%%model_service --frob demo\nx", "takes no '--frob'. See: %%model_service --help"),
        ("%model_service scale", "See: %model_service scale --help"),
    ],
)
def test_bad_use_is_one_line_and_no_traceback(fake: FakeGateway, cell: Cell, line: str, told: str) -> None:
    fake.services["ada/demo"] = service()
    ran = cell(line)
    assert isinstance(ran.error, UsageError)
    assert told in ran.err
    assert (ran.err.startswith("UsageError: "), ran.err.count("\n"), ran.out) == (True, 1, "")
    assert "ada/demo" in fake.services


def test_what_the_gateway_refuses_is_one_line_and_can_be_caught(fake: FakeGateway, cell: Cell) -> None:
    ran = cell("%model_service info nope")
    assert ran.out + ran.err == "NotFound: There is no service ada/nope.\n"
    assert isinstance(ran.error, NotFound)
    caught = cell(
        "try:\n    get_ipython().run_line_magic('model_service', 'info nope')\nexcept Exception as error:\n    print(error)"
    )
    assert caught.out == "There is no service ada/nope.\n"


def test_without_a_gateway_one_line_says_so(cell: Cell) -> None:
    ran = cell("%model_service list")
    assert (ran.out + ran.err).count("\n") == 1
    assert "GatewayUnavailable: " in ran.out + ran.err


def test_problems_of_a_definition_are_shown_at_file_and_line(fake: FakeGateway, cell: Cell, tmp_path: Path) -> None:
    problem = {"where": "models[0].service.port", "message": "<b>no port", "file": "model-definition.yaml", "line": 7}
    fake.answers[("POST", "api/v1/validate")] = (
        422,
        {"error": {"code": "invalid_definition", "message": "x", "problems": [problem]}},
        {"X-Model-Service-Error": "invalid_definition"},
    )
    ran = cell(f"%model_service validate {tmp_path}")
    assert isinstance(ran.error, DefinitionError)
    assert "model-definition.yaml:7: models[0].service.port: <b>no port" in ran.out
    assert "DefinitionError: 1 problem of the folder, shown above." in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err


def test_a_service_that_failed_is_shown_with_its_log_and_stops_the_notebook(
    fake: FakeGateway, cell: Cell, tmp_path: Path
) -> None:
    """So that papermill, and "Run all", do not go on with a model that is not there."""
    exit_ = {"stage": "run", "code": 1, "tail": ["ImportError: no torch"]}
    gone = replica("demo-abc123", "gone", exit=exit_)
    failed = service(state="failed", reason="replica demo-abc123 exited with code 1", replica_list=[gone])
    fake.answers[("POST", "api/v1/services")] = (201, failed, {})
    fake.services["ada/demo"] = failed
    ran = cell(f"%model_service create {tmp_path}")
    assert isinstance(ran.error, LaunchError)
    assert "  | ImportError: no torch" in ran.out
    assert "Mend the folder, then: %model_service update demo" in ran.out
    assert "LaunchError: demo: replica demo-abc123 exited with code 1\n" in ran.out + ran.err
    assert "Traceback" not in ran.out + ran.err


@pytest.mark.parametrize("options", ["", "--json", "-q", "--name jms_x"])
def test_a_new_token_is_in_no_output(fake: FakeGateway, cell: Cell, tmp_path: Path, options: str) -> None:
    fake.services["ada/demo"] = service()
    made = {"id": "t0", "name": "", "created_at": 1.0, "expires_at": None, "last_used_at": None, "token": TOKEN}
    fake.answers[("POST", "api/v1/services/ada/demo/tokens")] = (201, made, {})
    ran = cell(f"%model_service generate-token demo {options}")
    token = ran.result
    for text in (
        ran.out,
        ran.err,
        repr(token),
        str(token),
        repr(token.result),
        *bundle(token).values(),
        json.dumps(token.data),
    ):
        assert TOKEN[:12] not in text
    assert "jms_…****" in bundle(token)["text/plain"]
    assert "jms_…****" in bundle(token)["text/html"]
    assert token.token == TOKEN
    file = token.copy_to(tmp_path / "token.txt")
    assert file.read_text() == TOKEN + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_of_the_client_is_in_no_output_either(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service()
    ran = cell("from jupyter_model_service import Client\nClient().generate_token('demo')")
    assert ran.result.token == "jms_secret1"
    assert "jms_" not in ran.out


def test_a_token_that_a_model_printed_is_masked_too(fake: FakeGateway, cell: Cell) -> None:
    fake.services["ada/demo"] = service(reason=f"refused {TOKEN}")
    fake.log = [f"Authorization: Bearer {TOKEN}"]
    for line in ("%model_service logs demo", "%model_service info demo", "%model_service list"):
        ran = cell(line)
        assert TOKEN not in ran.out + "".join(bundle(ran.result).values())
    assert "Bearer jms_…****" in bundle(cell("%model_service logs demo").result)["text/html"]


def test_what_is_given_back_as_plain_data_has_no_token_either(fake: FakeGateway, cell: Cell) -> None:
    """It is shown where it is the last line of a cell, or a part of it is."""
    fake.services["ada/demo"] = service(reason=f"refused {TOKEN}")
    fake.log = [f"Authorization: Bearer {TOKEN}"]
    for line in (
        "%model_service logs demo --json",
        "%model_service info demo --json",
        "%model_service list --json",
        "x = %model_service logs demo\nx.lines, x.data",
    ):
        ran = cell(line)
        assert "jms_…****" in ran.out, line
        assert TOKEN[:12] not in ran.out + repr(ran.result), line


HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\x1b]0;title\x07\u202e\" onclick='x'"


def test_what_a_model_says_is_never_markup(fake: FakeGateway, cell: Cell) -> None:
    broken = replica("demo-abc123", "failed", reason=HOSTILE)
    fake.services["ada/demo"] = service(state="degraded", reason=HOSTILE, note=HOSTILE, replica_list=[broken], want=1)
    fake.log = [HOSTILE]
    fake.events = [event(1, message=HOSTILE)]
    fake.tokens = [{"id": "t", "name": HOSTILE, "created_at": 1.0, "expires_at": None, "last_used_at": None}]
    for verb in ("info", "logs", "events", "tokens"):
        html = bundle(cell(f"%model_service {verb} demo").result)["text/html"]
        assert "&lt;script&gt;" in html, verb
        for wrong in ("<script", "<img", "onclick='", "\x1b", "\u202e"):
            assert wrong not in html, (verb, wrong)


def test_what_each_verb_gives_back_has_text_and_well_formed_html(fake: FakeGateway, cell: Cell, tmp_path: Path) -> None:
    """Also of what has no face of its own; what is told in the text is told in the HTML."""
    info = autoscaling(min=1, max=8, rules=[{"id": "r1", "metric": "gpu_util", "above": 80}])
    revisions = [{"number": n, "created_at": 1.0, "folder": "/m", "model_name": "x"} for n in (1, 2)]
    fake.services["ada/demo"] = service(autoscaling=info, revisions=revisions, public=True)
    why = [{"source": "target", "count": 2, "why": "9.5 calls <at> once"}]
    fake.decisions = [decision(1.0), decision(2.0, 2, 1, wishes=why, measured={"demand": 9.5})]
    fake.events = [event(1)]
    warning = {
        "where": "",
        "message": "unknown key 'prot'",
        "file": "model-definition.yaml",
        "line": 3,
        "severity": "warning",
    }
    fake.answers[("POST", "api/v1/validate")] = (200, {"name": "demo", "definition": {}, "warnings": [warning]}, {})
    for line, told in (
        ("list", "demo"),
        ("info demo", "2 revisions"),
        ("info", "Model-service gateway"),
        ("events demo", "something happened"),
        ("tokens demo", "No tokens yet"),
        ("autoscale demo", "1 to 8 replicas"),
        ("rule list demo", "gpu_util"),
        ("explain demo", "from 1 to 2"),
        ("explain demo", "9.5 calls &lt;at&gt; once"),
        (f"validate {tmp_path}", "model-definition.yaml:3"),
        ("get-endpoint demo", "/endpoints/ada/demo/"),
    ):
        result = cell(f"%model_service {line}").result
        html = bundle(result)["text/html"]
        assert told in html, line
        assert repr(result)
        ElementTree.fromstring(f"<all>{html.replace('&nbsp;', ' ').replace('&ensp;', ' ')}</all>")


def test_what_is_shared_is_in_the_cards_with_its_roles(fake: FakeGateway, cell: Cell) -> None:
    """What others share has no name of a user that is markup."""
    fake.services["ada/demo"] = service(visibility="shared")
    address = "http://127.0.0.1:1/endpoints/bob/called/"
    fake.shared = [{"owner": "bob", "name": "called", "state": "ready", "endpoint": address, "role": "caller"}]
    listed = bundle(cell("%model_service list").result)["text/html"]
    for told in ("bob/called", "caller", "owner", address):
        assert f">{told}<" in listed, told
    assert cell("%model_service share demo --user '<b>x</b>' --role viewer").error is None
    access = bundle(cell("%model_service access demo").result)["text/html"]
    assert "&lt;b&gt;x&lt;/b&gt;" in access
    assert ">viewer<" in access
    assert "It may not be made public: so says the administrator." in access


def test_calls_over_time_are_a_small_picture(fake: FakeGateway, shell: InteractiveShell, cell: Cell) -> None:
    shell.kernel = SimpleNamespace(_allow_stdin=False)  # type: ignore[attr-defined]
    fake.services["ada/demo"] = service()
    fake.series = {"step": 30.0, "times": [0.0, 30.0, 60.0], "values": {"calls_per_second": [1.0, None, 3.0]}}
    html = bundle(cell("%model_service info demo").result)["text/html"]
    assert (html.count("<circle"), html.count("<polyline")) == (2, 0)  # nothing is drawn where nothing is known
    assert "the last 2 min" in html
    assert 'aria-label="calls: 3/s now, 3/s at most"' in html
    fake.series["values"] = {"calls_per_second": [1.0, 2.0, 3.0]}
    line = bundle(cell("%model_service info demo").result)["text/html"]
    assert (line.count("<circle"), line.count("<polyline")) == (0, 1)


def test_a_service_of_the_client_is_a_card(fake: FakeGateway, cell: Cell, shell: InteractiveShell) -> None:
    fake.services["ada/demo"] = service(replica_list=[replica("demo-abc123")])
    ran = cell("from jupyter_model_service import Client\nClient().get('demo')")
    data, _ = shell.display_formatter.format(ran.result)
    assert "demo-abc123" in data["text/html"]


def test_tab_offers_verbs_options_and_services(fake: FakeGateway, shell: InteractiveShell) -> None:
    fake.services |= {"ada/demo": service(), "ada/other": service("other")}
    assert complete("%model_service inf", "inf") == ["info"]
    assert complete("%model_service rule ", "") == ["add", "list", "remove"]
    assert complete("%model_service info ", "") == ["demo", "other"]
    assert complete("%model_service rule add o", "o") == ["other"]
    assert complete("%%model_service d", "d") == ["demo"]
    assert complete("%model_service create --rep", "--rep") == ["--replicas"]
    assert complete("%model_service create ", "") == []
    assert complete("%model_service nonsense ", "") == []
    line = "%model_service get-e"
    assert "get-endpoint" in shell.complete("", line, len(line))[1]


def test_tab_waits_for_no_gateway() -> None:
    assert complete("%model_service info ", "") == []


def test_help_is_not_expanded(cell: Cell) -> None:
    """``%`` in the name of the program is none of argparse's."""
    assert isinstance(build_parser(program="%model_service"), argparse.ArgumentParser)
    assert "usage: %%model_service " in cell("%%model_service --help\n ").out
