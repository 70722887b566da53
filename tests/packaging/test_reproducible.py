"""Wheel and sdist are what the sources give, byte for byte, whenever and wherever they are built."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from .test_panel import PANEL, build, copy_of_the_sources, needs_panel, one, without_node

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
