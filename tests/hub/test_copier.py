"""The copier by itself: on every Python that comes in images, and where a disk is full."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.hub import copier

VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"]
MEGABYTE = 1 << 20  # whole pages: a hole begins with one
COPIER = str(Path(copier.__file__))


def interpreter(version: str) -> str:
    places = [shutil.which(f"python{version}") or ""]
    places += glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python"))
    for place in places:
        if place and subprocess.run([place, "-c", ""], capture_output=True, timeout=60).returncode == 0:
            return place
    pytest.skip(f"needs Python {version}")


def copied(home: Path, target: Path, python: str = sys.executable, **changes: Any) -> dict[str, Any]:
    """Its last word."""
    spec = {
        "root": str(home),
        "folder": str(home / "koala"),
        "target": str(target),
        "exclude": [".git"],
        "limit_bytes": 1 << 30,
        "limit_files": 1000,
        "keep_free": 0,
        **changes,
    }
    command = [python, "-I", "-S", "-B", "-X", "utf8", "-c", Path(COPIER).read_text(), json.dumps(spec)]
    done = subprocess.run(command, capture_output=True, timeout=100)
    assert not done.stderr, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) == (last["t"] == "done")
    return dict(last)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "koala"
    (folder / "sub").mkdir(parents=True)
    (folder / "app.py").write_text("print(1)")
    (folder / "sub" / "same").hardlink_to(folder / "app.py")
    (folder / "sub" / "link").symlink_to("../app.py")
    with open(folder / "sub" / "large", "wb") as file:
        file.write(b"x" * MEGABYTE)
        file.truncate(3 * MEGABYTE)
    (tmp_path / "target").mkdir()
    return tmp_path / "home"


@pytest.mark.parametrize("version", VERSIONS)
def test_on_every_python(home: Path, version: str) -> None:
    target = home.parent / "target"
    done = copied(home, target, interpreter(version))
    assert (done["t"], done["files"], done["bytes"], done["links"]) == ("done", 3, MEGABYTE + 8, 1)
    assert (target / "sub" / "link").read_text() == "print(1)"
    assert (target / "sub" / "large").read_bytes() == b"x" * MEGABYTE + b"\0" * 2 * MEGABYTE


def test_where_the_kernel_cannot_copy_by_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between file systems of which one cannot, on old kernels, and where a filter forbids it."""
    target = home.parent / "target"
    monkeypatch.setattr(os, "copy_file_range", _forbidden)
    spec = {"root": str(home), "folder": str(home / "koala"), "target": str(target), "exclude": []}
    done = copier.Copy({**spec, "limit_bytes": 1 << 30, "limit_files": 1000, "keep_free": 0}).run()
    assert done["bytes"] == MEGABYTE + 8
    assert (target / "sub" / "large").read_bytes() == b"x" * MEGABYTE + b"\0" * 2 * MEGABYTE


def _forbidden(*_: Any) -> int:
    raise PermissionError(1, "Operation not permitted")


def test_a_full_disk_is_a_sentence(home: Path) -> None:
    """A target of one megabyte; which needs a mount, so root."""
    target = home.parent / "target"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1536k", "none", target], capture_output=True, timeout=30
    )
    if mounted.returncode:
        pytest.skip("needs to mount a small file system")
    try:
        (home / "koala" / "more").write_bytes(b"y" * MEGABYTE)
        last = copied(home, target)
    finally:
        subprocess.run(["umount", target], check=True, timeout=30)
    assert last == {
        "t": "error",
        "stage": "space",
        "message": "There is no space left for the copy on the Docker host: tell its administrator.",
    }


def test_folders_too_deep_in_each_other_are_refused(home: Path) -> None:
    """Each costs descriptors: a folder made to use them all up ends with a sentence."""
    os.makedirs(home / "koala" / "/".join("d" * 100))
    assert copied(home, home.parent / "target")["t"] == "done"
    os.makedirs(home / "koala" / "/".join("e" * 101))
    (home.parent / "other").mkdir()
    last = copied(home, home.parent / "other")
    assert last["stage"] == "limit"
    assert last["message"].startswith("Folders lie more than 100 deep in each other at e/e/")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (20 << 30, "20 GiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_in_words(size: int, text: str) -> None:
    assert copier.amount(size) == text
