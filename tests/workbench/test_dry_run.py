"""Real servers, started by the real runner: what a dry run finds out, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_model_service.errors import DefinitionError, InvalidRequest
from jupyter_model_service.wire.workbench import DryRunAnswer, DryRunLog, DryRunOutcome, DryRunPhase, SampleRequest
from jupyter_model_service.workbench.dry_run import _of_the_path, dry_run, prepared
from jupyter_model_service.workbench.dry_runs import LOG_LINES, DryRuns
from jupyter_model_service.workbench.leftovers import Held
from jupyter_model_service.workbench.sample_call import judged

SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = {"/health": "", "/where": json.dumps([os.getcwd(), sys.argv[2], os.environ.get("JPY_API_TOKEN")]),
                 "/long": "x" * 200_000}
        self.send_response(200 if self.path in known else 500)
        self.end_headers()
        self.wfile.write(known.get(self.path, "no such path").encode())
    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Content-Type"].encode() + b" " + self.rfile.read(int(self.headers["Content-Length"])))
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
Told = list[DryRunPhase | DryRunLog | DryRunAnswer]


def folder(path: Path, server: str = SERVER, **service: Any) -> Path:
    """A model folder whose server is the program ``server``."""
    plain = {
        "start_command": ["python3", "server.py", "0.0.0.0", "{port}"],
        "port": 8000,
        "health_check": {"path": "/health", "interval": 1, "max_wait_time": 5, "initial_delay": 60},
        **service,
    }
    definition = {"models": [{"name": "small", "model_path": "/models", "service": plain}]}
    (path / "model-definition.yaml").write_text(json.dumps(definition))
    (path / "server.py").write_text(server)
    return path


def tried(path: Path, request: SampleRequest | None = None, timeout: float = 90.0) -> tuple[DryRunOutcome, Told]:
    told: Told = []
    outcome = asyncio.run(dry_run(prepared(path, request), told.append, timeout=timeout))
    assert left_of(path) == []
    return outcome, told


def answer_in(told: Told) -> DryRunAnswer:
    return next(each for each in told if isinstance(each, DryRunAnswer))


def left_of(path: Path) -> list[Any]:
    """Processes that work in the folder, and directories of dry runs of this process."""
    found: list[Any] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(path):
                found.append(process.pid)
    return found


def ask(path: str, **fields: Any) -> SampleRequest:
    return SampleRequest(name="ask", path=path, **fields)


def test_the_server_runs_as_a_replica_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback, on a free port, in the folder, without the tokens of the program that tries it."""
    monkeypatch.setenv("JPY_API_TOKEN", "secret")
    own = tmp_path.parent / f"{tmp_path.name}-temporary"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))  # other tests try theirs at the same time
    outcome, told = tried(folder(tmp_path), ask("/where"))
    cwd, port, token = json.loads(answer_in(told).body)
    assert (outcome.outcome, cwd, token) == ("passed", str(tmp_path), None)
    assert port != "8000"
    phases = [each.phase for each in told if isinstance(each, DryRunPhase)]
    assert list(dict.fromkeys(phases)) == ["starting", "loading", "calling", "stopping"]
    assert list(own.iterdir()) == []


def test_a_body_is_sent_as_it_is_or_as_json(tmp_path: Path) -> None:
    folder(tmp_path)
    _, told = tried(tmp_path, ask("/echo", method="POST", body={"a": [1, "é"]}))
    assert answer_in(told).body == 'application/json {"a": [1, "\\u00e9"]}'
    _, told = tried(tmp_path, ask("/echo", method="POST", body="né", headers={"Content-Type": "text/csv"}))
    assert answer_in(told).body == "text/csv né"


def test_of_a_long_answer_the_beginning_is_shown(tmp_path: Path) -> None:
    outcome, told = tried(folder(tmp_path), ask("/long"))
    found = answer_in(told)
    assert (outcome.outcome, found.truncated, len(found.body)) == ("passed", True, 64 << 10)


def test_what_is_sent_is_the_first_sample_else_the_health_path(tmp_path: Path) -> None:
    assert prepared(folder(tmp_path)).request.path == "/health"
    assert prepared(folder(tmp_path, health_check={})).request.path == "/"
    (tmp_path / "model-requests.json").write_text('{"version": 1, "requests": [{"name": "a", "path": "/where"}]}')
    assert prepared(tmp_path).request.path == "/where"


def test_a_call_that_fails_fails_the_dry_run(tmp_path: Path) -> None:
    outcome, _ = tried(folder(tmp_path), ask("/nothing"))
    assert outcome.outcome == "failed"
    assert "answered with 500: no such path" in outcome.sentence
    assert outcome.exit is None, "it did not end by itself"


def test_a_server_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    outcome, told = tried(folder(tmp_path, "print('begun')\nraise SystemExit('no weights')"))
    assert (outcome.outcome, outcome.exit.code if outcome.exit else None) == ("failed", 1)
    assert "exited with code 1 while loading: no weights" in outcome.sentence
    lines = [line for each in told if isinstance(each, DryRunLog) for line in each.lines]
    assert lines[-2:] == ["begun", "no weights"]


def test_a_server_that_dies_of_the_call_is_told(tmp_path: Path) -> None:
    server = SERVER.replace("known = {", 'self.path == "/die" and os._exit(3)\n        known = {')
    outcome, _ = tried(folder(tmp_path, server), ask("/die"))
    assert outcome.outcome == "failed"
    assert "exited with code 3 after it had been ready" in outcome.sentence


def test_a_pre_start_action_that_fails_is_told(tmp_path: Path) -> None:
    # Not at once: of what is over before it was looked at, only the end is told.
    actions = [{"action": "run_command", "args": {"command": ["sh", "-c", "sleep 1; false"]}}]
    outcome, told = tried(folder(tmp_path, pre_start_actions=actions))
    assert outcome.outcome == "failed"
    assert "in pre-start action 1" in outcome.sentence
    assert any(isinstance(each, DryRunPhase) and each.phase == "preparing" for each in told)


def test_a_server_that_does_not_become_healthy_in_its_time_is_given_up(tmp_path: Path) -> None:
    """With what was asked, what came, and what to change; all of it already while it is waited for."""
    check = {"path": "/never", "interval": 1, "max_wait_time": 5, "initial_delay": 4}
    outcome, told = tried(folder(tmp_path, SERVER.replace("else 500", "else 404"), health_check=check))
    said = "GET /never answered 404, not 200. Write a path that it answers as health_check.path of the definition"
    assert outcome.sentence.startswith(f"It did not become healthy within 4 s: {said}")
    assert any(isinstance(each, DryRunPhase) and each.sentence.startswith(f"Not ready: {said}") for each in told)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (405, "Write a path that it answers"),
        (307, "Redirects are not followed"),
        (401, "The path must need no sign-in"),
        (204, "Is that well? Then write expected_status_code: 204 below"),
        (500, ""),
    ],
)
def test_what_to_change_is_told_by_the_status(status: int, hint: str) -> None:
    told = _of_the_path(f"status {status}, expected 200", "/health")
    assert told[0] == f"GET /health answered {status}, not 200"
    assert told[1].startswith(f" {hint}" if hint else "")
    assert bool(told[1]) == bool(hint)


def test_a_server_that_listens_elsewhere_is_told_so(tmp_path: Path) -> None:
    """It ignores {port}; already while it is waited for."""
    check = {"path": "/health", "interval": 1, "max_wait_time": 5, "initial_delay": 5}
    server = SERVER.replace("int(sys.argv[2])", "0")
    outcome, told = tried(folder(tmp_path, server, health_check=check))
    said = (
        r"nothing listens on its port \d+\. It listens on 127\.0\.0\.1:\d+: hand \{port\} over to it in start_command"
    )
    assert re.match(rf"It did not become healthy within 5 s: {said}", outcome.sentence)
    phases = [each.sentence for each in told if isinstance(each, DryRunPhase) and each.phase == "loading"]
    assert any(re.match(rf"Not ready: {said}".replace("\\d+\\. It", "\\d+ yet\\. It"), each) for each in phases)


def test_how_long_an_answer_took_is_told_in_what_can_be_read() -> None:
    def said(seconds: float) -> str:
        return judged(DryRunAnswer(request=ask("/"), status=200, seconds=seconds))[1]

    assert [said(each).rpartition(" in ")[2] for each in (0.0084, 0.12, 0.96, 1.26, 75)] == [
        "8.4 ms.",
        "120 ms.",
        "1 s.",
        "1.3 s.",
        "1 min 15 s.",
    ]


def test_a_dry_run_ends_at_its_time_limit(tmp_path: Path) -> None:
    outcome, _ = tried(folder(tmp_path, "import time; time.sleep(600)"), timeout=0.5)
    assert (outcome.outcome, "longer than 0.5 s" in outcome.sentence) == ("failed", True)


def test_a_server_that_others_could_reach_is_stopped_at_once(tmp_path: Path) -> None:
    outcome, _ = tried(folder(tmp_path, SERVER.replace("(sys.argv[1], ", '("0.0.0.0", ')))
    assert outcome.outcome == "failed"
    assert "others reach it without a token" in outcome.sentence


def test_a_server_that_ignores_its_end_is_killed_with_its_children(tmp_path: Path) -> None:
    stubborn = "import signal, subprocess, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stubborn += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    outcome, _ = tried(folder(tmp_path, stubborn + SERVER, serving={"stop_timeout": 0.5}), ask("/where"))
    assert outcome.outcome == "passed"


def test_a_folder_that_cannot_be_served_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError):
        prepared(tmp_path)
    folder(tmp_path, start_command=["python3", "server.py"])
    with pytest.raises(InvalidRequest, match="which port"):
        prepared(tmp_path)


@pytest.mark.parametrize("moment", ["starting", "loading", "calling"])
def test_a_dry_run_that_is_cancelled_leaves_nothing(moment: str, tmp_path: Path) -> None:
    """Wherever it is: that is how a page that was closed, and Ctrl-C, end it."""
    slow = SERVER.replace(
        "def do_GET(self):", "def do_GET(self):\n        import time\n        if self.path == '/hang': time.sleep(600)"
    )
    server = "import time; time.sleep(600)" if moment == "loading" else slow
    plan = prepared(folder(tmp_path, server), ask("/hang"))

    async def body() -> DryRunOutcome:
        reached = asyncio.Event()

        def tell(told: DryRunPhase | DryRunLog | DryRunAnswer) -> None:
            if isinstance(told, DryRunPhase) and told.phase == moment:
                reached.set()

        task = asyncio.create_task(dry_run(plan, tell))
        await asyncio.wait_for(reached.wait(), 60)
        task.cancel()
        return await asyncio.wait_for(task, 30)

    assert asyncio.run(body()).outcome == "stopped"
    assert left_of(tmp_path) == []


def test_many_can_follow_one_dry_run_and_one_that_nobody_sees_is_stopped(tmp_path: Path) -> None:
    folder(tmp_path, "import time\nfor n in range(3000): print(n)\ntime.sleep(600)")

    async def body() -> None:
        runs = DryRuns(unseen=1.0)
        id = runs.start(prepared(tmp_path), "small")

        async def read() -> list[Any]:
            return [each async for each in runs.follow(id)]

        first = asyncio.create_task(read())
        while len(runs.state(id).log) < LOG_LINES:
            await asyncio.sleep(0.05)
        second = asyncio.create_task(read())
        await asyncio.sleep(0)
        state = await runs.stop(id)
        early, late = await asyncio.gather(first, second)
        assert state.outcome == early[-1].outcome == late[-1].outcome == "stopped"
        assert state.log[-1] == "2999"
        for seen in (early, late):
            logs = [each for each in seen if isinstance(each, DryRunLog)]
            assert sum(len(each.lines) + each.lost for each in logs) >= 3000
            assert logs[-1].lines[-1] == "2999"

        alone = runs.start(prepared(tmp_path), "small")
        task = runs._one(alone).task
        assert task is not None
        await asyncio.wait_for(asyncio.shield(task), 60)
        assert runs.state(alone).outcome == "stopped"
        await runs.close()

    asyncio.run(body())
    assert left_of(tmp_path) == []


def test_a_dry_run_ends_when_its_program_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is left to stop it: the runner finds out by itself, and the next dry run removes its folder. Those that
    are another's, or still somebody's, stay."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    alive = Held()
    others = [temporary / "model-dry-run-without", temporary / "model-dry-run-open", temporary / "model-dry-run-link"]
    others[0].mkdir(mode=0o700)
    others[1].mkdir(mode=0o755)
    (others[1] / "owner").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "owner").touch()
    others[2].symlink_to(elsewhere)
    if os.geteuid() == 0:
        others.append(temporary / "model-dry-run-other")
        others[3].mkdir(mode=0o700)
        (others[3] / "owner").touch()
        os.chown(others[3], 4321, 4321)
    model = tmp_path / "model"
    model.mkdir()
    plan = folder(model, "import time; time.sleep(600)")
    code = "import asyncio, sys, pathlib\nfrom jupyter_model_service.workbench import dry_run as d\nd.ALONE_SECONDS = 1.0\n"
    code += "asyncio.run(d.dry_run(d.prepared(pathlib.Path(sys.argv[1])), lambda told: None))"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", code, str(plan)], cwd="/", env=environment)
    try:
        _eventually(lambda: left_of(model))
    finally:
        process.kill()
        process.wait()
    _eventually(lambda: not left_of(model))
    left = set(temporary.iterdir()) - {alive.path, *others}
    assert len(left) == 1, "nobody could remove it"
    tried(folder(model), ask("/where"))
    assert set(temporary.iterdir()) == {alive.path, *others}
    assert elsewhere.exists()
    alive.remove()
    assert set(temporary.iterdir()) == set(others)


def _eventually(look: Any, seconds: float = 40.0) -> None:
    async def wait() -> None:
        while not look():
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(wait(), seconds))
