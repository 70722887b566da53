"""``init`` and ``dry-run`` as one types them: no gateway is there, and none is started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from .conftest import COMMAND, Ran

Line = Callable[..., Ran]
SLEEPS = "import time\nprint('begun')\ntime.sleep(600)\n"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(line: Line, work: Path) -> Path:
    """A folder of files, served by Python."""
    ran = line("init", "model", "--kind", "command", "--set", "command=python3 -m http.server --bind 0.0.0.0 {port}")
    assert ran.status == 0, ran.err
    (work / "model" / "hello").write_text("hello\n")
    return work / "model"


def test_init_makes_the_folder_and_says_what_next(line: Line, work: Path) -> None:
    ran = line("init", "new")
    assert (ran.status, ran.err) == (0, "")
    assert "a small FastAPI application is a beginning" in ran.out
    assert "jupyter model-service dry-run new" in ran.out
    assert (work / "new" / "app.py").exists()
    assert not (work / "jupyter").exists(), "nothing of a gateway"


def test_init_takes_what_the_folder_looks_like_unless_told(line: Line, work: Path) -> None:
    (work / "model.skops").write_bytes(b"")
    ran = line("init", ".", "--set", "method=predict_proba", "--json")
    told = json.loads(ran.out)
    assert (told["kind"], told["folder"]) == ("scikit-learn", str(work))
    assert "model.predict_proba(" in (work / "serve.py").read_text()
    again = line("init", ".", "--kind", "fastapi")
    assert (again.status, "already" in again.err) == (1, True)
    forced = line("init", ".", "--kind", "fastapi", "--force")
    assert (forced.status, (work / "app.py").exists()) == (0, True)


def test_init_says_what_it_left(line: Line, work: Path) -> None:
    (work / "model.skops").write_bytes(b"")
    (work / "serve.py").write_text("mine")
    assert "Left as they were: serve.py." in line("init", ".").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init"], "FOLDER"),
        (["init", ".", "--kind", "fastapy"], "no kind 'fastapy'"),
        (["init", ".", "--set", "app"], "write FIELD=VALUE"),
        (["dry-run", ".", "--body", "x"], "--body needs the --path"),
        (["dry-run", ".", "--request", "a", "--path", "/"], "leave out --path"),
    ],
)
def test_a_wrong_line_is_one_sentence(words: list[str], said: str, line: Line, work: Path) -> None:
    ran = line(*words)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", ".", "--set", "prot=1"], "no field 'prot'"),
        (["init", "file"], "cannot be made"),
        (["dry-run", "."], "no model-definition.yaml"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words: list[str], said: str, line: Line, work: Path) -> None:
    (work / "file").write_text("")
    ran = line(*words)
    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err


def test_a_dry_run_shows_the_answer(line: Line, served: Path) -> None:
    ran = line("dry-run", "model", "--path", "/hello")
    assert (ran.status, ran.out.splitlines()[1:]) == (0, ["hello"])
    assert ran.out.startswith("It works: GET /hello was answered with 200 in ")
    assert "waiting until it is well" in ran.err


def test_a_dry_run_that_fails_shows_the_log(line: Line, served: Path) -> None:
    ran = line("dry-run", "model", "--path", "/nothing")
    assert ran.status == 1
    assert "answered with 404" in ran.out.splitlines()[0]
    assert any("GET /nothing" in each and each.startswith("  | ") for each in ran.out.splitlines())


def test_a_dry_run_sends_the_request_that_is_named(line: Line, served: Path) -> None:
    kept = [{"name": "root", "path": "/"}, {"name": "hello", "path": "/hello"}]
    (served / "model-requests.json").write_text(json.dumps({"version": 1, "requests": kept}))
    told = json.loads(line("dry-run", "model", "--request", "hello", "--json").out)
    assert (told["outcome"], told["answer"]["body"]) == ("passed", "hello\n")
    ran = line("dry-run", "model", "--request", "hallo")
    assert (ran.status, "it has root, hello" in ran.err) == (1, True)


def test_ctrl_c_ends_a_dry_run_and_all_of_it(line: Line, work: Path) -> None:
    (work / "server.py").write_text(SLEEPS)
    assert line("init", ".", "--kind", "command", "--set", "command=python3 server.py {port}").status == 0
    process = subprocess.Popen([*COMMAND, "dry-run", str(work)], cwd="/", stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not _living_in(work):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors.splitlines()[-1]) == (130, "Stopped; nothing of the dry run is left.")
    assert _living_in(work) == []


def _living_in(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.pid != os.getpid():
                found.append(process.pid)
    return found
