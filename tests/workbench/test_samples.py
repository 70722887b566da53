"""Sample requests that are kept with a folder."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.wire.workbench import SampleRequest
from jupyter_model_service.workbench.samples import FILE, keep_samples, read_samples

ASK = SampleRequest(name="ask", method="POST", path="/predict?top=3", headers={"X-A": "b"}, body={"inputs": ["né"]})
PLAIN = SampleRequest(name="plain", path="/")


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert read_samples(tmp_path) == []
    assert keep_samples(tmp_path, [ASK, PLAIN]).requests == [ASK, PLAIN]
    assert read_samples(tmp_path) == [ASK, PLAIN]
    assert json.loads((tmp_path / FILE).read_text()) == {
        "version": 1,
        "requests": [ASK.model_dump(), {"name": "plain", "method": "GET", "path": "/"}],
    }
    assert os.listdir(tmp_path) == [FILE]
    keep_samples(tmp_path, [])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON (line 1)"),
        ("[]", "must hold"),
        ('{"version": 2, "requests": []}', "of version 2"),
        ('{"version": 1, "requests": [{"name": "a"}]}', "requests.0.path"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/", "methd": "GET"}]}', "requests.0.methd"),
        ('{"version": 1, "requests": [{"name": "a", "path": "relative"}]}', "begins with /"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/a b"}]}', "no blanks"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/a/../../b"}]}', "no segments of dots"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/%2e%2E/b"}]}', "no segments of dots"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/a%2f.."}]}', "no segments of dots"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/..\\\\..\\\\b"}]}', "no backslashes"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/", "headers": {"A b": "c"}}]}', "cannot be sent"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/", "headers": {"A": "b\\nC: d"}}]}', "cannot be sent"),
        ('{"version": 1, "requests": [{"name": "a", "path": "/"}, {"name": "a", "path": "/"}]}', "Two sample requests"),
        pytest.param("[" * 190_000, "nested too deep", id="deep"),
        pytest.param(
            f'{{"version": 1, "requests": [{{"name": "a", "path": "/", "body": {"[" * 101}{"]" * 101}}}]}}',
            "than 100 deep",
            id="deeper",
        ),
        ('{"version": 1, "requests": [{"name": "a", "path": "/", "body": {"a": "\\ud800"}}]}', "half a character"),
        ('{"version": "\\ud800", "requests": []}', "of version"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_a_sentence(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidRequest) as refused:
        read_samples(tmp_path)
    assert said in refused.value.message
    assert refused.value.message.encode()
    assert refused.value.message.endswith(".")


def test_dots_that_lead_nowhere_else_are_just_dots(tmp_path: Path) -> None:
    kept = [SampleRequest(name=path, path=path) for path in ("/v1.2/...", "/.well-known/x", "/a?next=/../b\\")]
    assert keep_samples(tmp_path, kept).requests == kept


def test_a_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text('{"version": 1, "requests": []}')
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / FILE).symlink_to(elsewhere)
    with pytest.raises(InvalidRequest):
        read_samples(folder)
    keep_samples(folder, [PLAIN])
    assert read_samples(folder) == [PLAIN]
    assert json.loads(elsewhere.read_text())["requests"] == []


def test_a_named_pipe_is_no_file_of_requests(tmp_path: Path) -> None:
    """And nobody waits for its writer."""
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(InvalidRequest, match="not a regular file"):
        read_samples(tmp_path)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_there_keeps_its_rights(mode: int, tmp_path: Path) -> None:
    keep_samples(tmp_path, [PLAIN])
    (tmp_path / FILE).chmod(mode)
    keep_samples(tmp_path, [ASK])
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == mode
    assert os.listdir(tmp_path) == [FILE]


def test_secrets_are_not_written_into_a_folder(tmp_path: Path) -> None:
    """They are named; one that somebody wrote there by hand is theirs."""
    secret = {"Authorization": "Bearer s3cret", "cookie": "s3cret", "X-Api-Key": "s3cret", "X-My-Secret": "s3cret"}
    request = SampleRequest(name="a", path="/", headers={**secret, "X-Key-Count": "2", "Accept": "b"})
    kept = keep_samples(tmp_path, [request])
    assert kept.left_out == ["Authorization", "X-Api-Key", "X-My-Secret", "cookie"]
    assert kept.requests[0].headers == {"X-Key-Count": "2", "Accept": "b"}
    assert "s3cret" not in (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(json.dumps({"version": 1, "requests": [request.model_dump()]}))
    kept = keep_samples(tmp_path, [*read_samples(tmp_path), PLAIN])
    assert (kept.left_out, kept.requests) == ([], [request, PLAIN])
    changed = request.model_copy(update={"headers": {"Authorization": "Bearer other"}})
    assert keep_samples(tmp_path, [changed]).left_out == ["Authorization"]
