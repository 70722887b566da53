"""While a folder is copied: a line now and then, or a display; Ctrl-C gives the copy up."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.cli import progress
from jupyter_model_service.client import patience

from ..client.fake_gateway import FakeGateway, service
from ..client.test_copies import copy
from .conftest import COMMAND, Ran

Line = Callable[..., Ran]


@pytest.fixture
def copying(fake: FakeGateway, tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """What is told of the copy of a folder ``model``, before ``create`` is answered."""
    told: list[dict[str, Any]] = []
    over = threading.Event()

    def create(body: Any) -> Any:
        assert fake.stream_opened.wait(30)
        for each in told:
            fake.publish("copying", {**each, "folder": body["folder"]})
            time.sleep(0.4)
        if not told:
            over.wait(60)
        return 201, service(), {}

    (tmp_path / "model").mkdir()
    fake.answers["POST", "api/v1/services"] = create
    fake.services["ada/demo"] = service()
    yield told
    over.set()


def test_lines_tell_how_far_it_is(
    line: Line, copying: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LISTEN_AFTER", 0.1)
    monkeypatch.setattr(progress.Watcher, "copy_seconds", 0.2)
    copying += [
        copy(1),
        copy(1200, of_files=5000, of_bytes=3 << 30),
        copy(6000, of_files=5000, of_bytes=3 << 30),  # more than was expected: the folder has grown
    ]
    ran = line("create", str(tmp_path / "model"), "--detach")
    assert ran.status == 0
    said = [text.split("  ")[-1] for text in ran.err.splitlines() if "copying" in text]
    assert said == [
        "copying the folder's files: 1 file, 10 B",
        "copying the folder's files: 1,200 of 5,000 files, 11.7 KiB of 3.0 GiB",
        "copying the folder's files: 6,000 files, 58.6 KiB",
    ]
    assert "copying" not in ran.out


def test_a_copy_that_does_not_begin_is_told_without_figures(
    line: Line, copying: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have their turn before; that it will come to so much is news, once it is known."""
    monkeypatch.setattr(patience, "LISTEN_AFTER", 0.1)
    monkeypatch.setattr(progress.Watcher, "copy_seconds", 0.6)
    copying += [copy(0), copy(0), copy(0), copy(0, of_files=5000, of_bytes=3 << 30), copy(0, of_files=5000, of_bytes=9)]
    ran = line("create", str(tmp_path / "model"), "--detach")
    said = [text.split("  ")[-1] for text in ran.err.splitlines() if "copying" in text]
    assert said[0] == "copying the folder's files"
    assert said[-1].startswith("copying the folder's files: 0 of 5,000 files, 0 B of ")


def test_a_folder_that_is_copied_in_no_time_is_not_told_of(
    line: Line, copying: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LISTEN_AFTER", 0.1)
    copying += [copy(0), copy(0, of_files=3, of_bytes=2000)]
    ran = line("create", str(tmp_path / "model"), "--detach")
    assert ran.status == 0
    assert "copying" not in ran.err


def test_a_line_is_said_now_and_then_only(
    line: Line, copying: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LISTEN_AFTER", 0.1)
    copying += [copy(number) for number in range(5)]
    ran = line("create", str(tmp_path / "model"), "--detach")
    assert ran.err.count("copying") == 1


def test_ctrl_c_gives_it_up(fake: FakeGateway, copying: list[dict[str, Any]], tmp_path: Path) -> None:
    """The connection is closed, by which the gateway knows; and the person is told that nothing was made."""
    process = subprocess.Popen(
        [*COMMAND, "create", str(tmp_path / "model")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert fake.stream_opened.wait(30)
        fake.publish("copying", copy(3, folder=str(tmp_path / "model")))
        assert process.stderr is not None
        for text in process.stderr:
            if "copying" in text:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err == "Given up while the folder was copied: nothing was made of it.\n"
    assert out == ""
    assert [path for method, path, *_ in fake.requests if method == "POST"] == ["api/v1/services"]
