"""What continuous integration installs is locked: every version, and the very files by their hashes."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from .test_panel import ROOT

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

CI = ROOT / ".ci"
LOCKS = sorted(CI.glob("requirements*.txt"))
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
ENTRY = re.compile(
    r"^(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\\n]+?))?(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$",
    re.M,
)


def entries(path: Path) -> list[tuple[str, Version, Marker | None]]:
    found = [
        (each["name"], Version(each["version"]), Marker(each["marker"]) if each["marker"] else None)
        for each in ENTRY.finditer(path.read_text())
    ]
    assert found, path
    return found


def on(python: str) -> dict[str, str]:
    """The environment of a marker, on Linux."""
    return {
        "python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux", "os_name": "posix",
        "platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip


def wanted() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    lines = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for line in [*lines, *extras["test"], *extras["hub"], *extras["demo"]]:
        yield Requirement(line)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_nothing_in_it_is_without_version_and_hash_and_it_names_no_host(path: Path) -> None:
    rest = ENTRY.sub("", path.read_text())
    assert rest.strip() == "", rest[:500]


@pytest.mark.parametrize("python", PYTHONS)
def test_it_has_what_the_package_its_tests_and_its_build_ask_for(python: str) -> None:
    """Whoever asks for one more writes the lock anew: .ci/lock.sh."""
    there = {
        name: version
        for name, version, marker in entries(CI / "requirements.txt")
        if marker is None or marker.evaluate(on(python))
    }
    missing = [
        str(each)
        for each in wanted()
        if (each.marker is None or each.marker.evaluate(on(python)))
        and not (
            (found := there.get(canonicalize_name(each.name))) is not None
            and each.specifier.contains(found, prereleases=True)
        )
    ]
    assert missing == []


def test_no_version_is_known_to_be_weak() -> None:
    known = [
        line.split(maxsplit=3) for line in (CI / "advisories.txt").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    assert all(re.fullmatch(r"CVE-\d{4}-\d+", name) for _, _, name, _ in known)
    locked = [entry for path in LOCKS for entry in entries(path)]
    torch = re.search(r"torch==([0-9.]+)", (CI / "run").read_text())
    assert torch is not None
    locked.append(("torch", Version(torch[1]), None))
    assert {package for package, *_ in known} <= {name for name, *_ in locked}, "what is not locked any more can go"
    weak = [
        f"{name} {version}: {advisory}, {what}"
        for name, version, _ in locked
        for package, fixed, advisory, what in known
        if name == package and version < Version(fixed)
    ]
    assert weak == []


def test_continuous_integration_installs_by_the_lock_alone() -> None:
    """But for torch, of whose one version there are several files."""
    lines = [line for line in (CI / "run").read_text().splitlines() if re.search(r"pip install", line)]
    assert len(lines) >= 2
    assert [line for line in lines if "--require-hashes" not in line and "--no-deps 'torch==" not in line] == []
    assert re.search(r"^export LOCKED=1$", (CI / "run").read_text(), re.M), "make fetches nothing"


@pytest.mark.skipif("LOCKED" not in os.environ, reason="not installed by the lock: only .ci/run does that")
def test_what_is_installed_is_what_is_locked() -> None:
    other = []
    for name, version, marker in [*entries(CI / "requirements.txt"), *entries(CI / "requirements-models.txt")]:
        if marker is None or marker.evaluate():
            try:
                found = Version(importlib.metadata.version(name))
            except importlib.metadata.PackageNotFoundError:
                continue  # of another system, or of the models' where torch is not there
            if found != version:
                other.append(f"{name}: {found}, not {version}")
    assert other == []
