"""Wheel and sdist are what the sources give, byte for byte, whenever and wherever they are built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .test_panel import PANEL, ROOT, build, copy_of_the_sources, hash_of, needs_panel, one, without_node

__all__ = ["without_node"]  # a fixture


def built(folder: Path, target: str, environment: dict[str, str], moment: int) -> str:
    """The digest of what is made of a copy whose files are of that moment (Unix time)."""
    folder.mkdir()
    clone = copy_of_the_sources(folder, panel=(PANEL / "package.json").exists())
    for path in sorted(clone.rglob("*")):
        os.utime(path, (moment, moment))
    done = build(clone, target, environment, SOURCE_DATE_EPOCH="1700000000")
    assert done.returncode == 0, done.stderr
    pattern = "*.whl" if target == "wheel" else "*.tar.gz"
    return hashlib.sha256(one(clone / "dist", pattern).read_bytes()).hexdigest()


@pytest.mark.parametrize("target", ["wheel", pytest.param("sdist", marks=needs_panel)])
def test_what_is_built_twice_is_the_same_byte_for_byte(
    target: str, tmp_path: Path, without_node: dict[str, str]
) -> None:
    first = built(tmp_path / "here", target, without_node, 1_600_000_000)
    umask = os.umask(0o077)
    try:
        again = built(tmp_path / "elsewhere", target, without_node, 1_650_000_000)
    finally:
        os.umask(umask)
    assert first == again


def digests(folder: Path) -> dict[str, str]:
    """Of what a wheel carries of the panel."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".made-from"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
@pytest.mark.timeout(400)
@needs_panel
@pytest.mark.skipif(
    shutil.which("node") is None or not (ROOT / "labextension" / "node_modules").is_dir(),
    reason="the panel's packages are not installed here: labextension/panel.sh packages",
)
def test_the_panel_is_built_the_same_twice_and_as_it_is_here(tmp_path: Path) -> None:
    """Byte for byte at one path; at another one number differs, which the builder makes of the path, in the file that is
    loaded first and is named by its hash."""
    clone = copy_of_the_sources(tmp_path, panel=False)
    folder, output = clone / "labextension", clone / "jupyter_model_service" / "labextension"
    shutil.copytree(
        ROOT / "labextension" / "node_modules", folder / "node_modules", symlinks=True, copy_function=_linked
    )
    for name in (".yarnrc.yml", ".yarn"):
        if (ROOT / "labextension" / name).is_file():
            shutil.copy(ROOT / "labextension" / name, folder / name)
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

    def run(*words: str) -> None:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    run("jlpm", "build:lib")
    found = []
    for _ in range(2):
        shutil.rmtree(output, ignore_errors=True)
        run("jupyter-builder", "build", ".")
        found.append(digests(output))
    assert found[0] == found[1]
    if (PANEL / ".made-from").read_text() == hash_of(ROOT):
        here = digests(PANEL)
        other = {name for name in {*here, *found[0]} if here.get(name) != found[0].get(name)}
        assert {name for name in other if not name.startswith("static/remoteEntry.")} <= {"package.json"}


def _linked(source: str, target: str) -> None:
    """A hundred thousand files, of which nothing is changed."""
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)
