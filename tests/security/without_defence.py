"""Takes one defence after the other out of the product, and looks whether the tests that hold it fail.

    python tests/security/without_defence.py                       # all that need nothing but this machine, in a table
    python tests/security/without_defence.py --row "guessed"       # of the rows of docs/security.md with that word
    python tests/security/without_defence.py --needs hub           # those whose tests need a Hub and an engine
    python tests/security/without_defence.py --needs hub --test echo --seen held.txt    # in pieces, which add up

What is taken out, and which tests have to fail then, stands in ``defences.yaml``, beside this. The tree is copied to
a folder for temporary files; there one text is replaced by another and the named tests run, each in the copy and never
in the tree. A defence is *held* if each of its tests passes with it and fails without it, in its own body: a test
that does not get so far, as a module cannot be imported or a fixture cannot be made, has shown nothing, and neither has
one that does not say what it ``shows``, where the entry has that. Status 1 where one is not held. ``tests/docs/test_security_page.py`` holds that each row of the page has its entry, and that no entry rots.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue

import yaml

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("defences.yaml")
PAGE = ROOT / "docs" / "security.md"
ROW = re.compile(r"^\| (?!threat \||-)(.+) \|$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
NEEDS = ("", "hub", "browser", "panel")
# What is not copied: kept by git, made by a build, or another's. What of it the tests use is linked.
NOT_COPIED = (
    ".git",
    ".venv*",
    ".hub",
    "node_modules",
    "__pycache__",
    ".*_cache",
    ".hypothesis",
    ".bench",
    ".fuzz",
    ".ci-cache",
)
LINKED = (".venv", ".venv-hub5", ".hub", "labextension/node_modules")
NOT_SHOWN = re.compile(r"^(no end|ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError)\b")
SECONDS = {"": 600.0, "hub": 1200.0, "browser": 600.0, "panel": 900.0}


@dataclass(frozen=True)
class Change:
    """What stands in a file once, and by what it is replaced."""

    file: str
    text: str
    instead: str

    def made(self, source: str) -> str:
        """What the file's ``source`` becomes.

        Raises:
            ValueError: Where the text is not there exactly once; ``SyntaxError`` where what is left is no Python.
        """
        if (there := source.count(self.text)) != 1:
            raise ValueError(f"{self.file} has {there} times {self.text!r}: defences.yaml needs what stands there once")
        left = source.replace(self.text, self.instead)
        if self.file.endswith(".py"):
            compile(left, self.file, "exec")
        return left


@dataclass(frozen=True)
class Defence:
    """What has to go for it to be gone, and which tests then have to fail; ``needs``: one of :data:`NEEDS`; ``after``:
    tests that they go on from; ``environment``: variables without which they do not run; ``shows``: a text of what each
    of them then says, where they fail for other reasons as well."""

    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    needs: str = ""
    after: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    shows: str = ""

    def __str__(self) -> str:
        return "; ".join(f"{each.file}: {' '.join(each.text.split())[:80]}" for each in self.changes)


@dataclass(frozen=True)
class Row:
    threat: str
    tests: tuple[str, ...]


def rows() -> list[Row]:
    """The rows of the page, with the tests that each of them names."""
    cells = [row.split("|") for row in ROW.findall(PAGE.read_text("utf-8"))]
    return [Row(c[0].strip(), tuple("::".join(found) for found in TEST.findall(c[-1]))) for c in cells]


def defences() -> list[Defence]:
    """The entries of ``defences.yaml``."""
    return [
        Defence(
            tuple(Change(c["file"], c["text"], c["instead"]) for c in (entry, *entry.get("and", ()))),
            tuple(entry["tests"]),
            entry.get("needs", ""),
            tuple(entry.get("after", ())),
            tuple(entry.get("with", {}).items()),
            entry.get("shows", ""),
        )
        for entry in yaml.safe_load(TABLE.read_text("utf-8"))
    ]


class Copy:
    """A tree of its own, to take a defence out of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, symlinks=True, ignore=self._ignored)
        for name in LINKED:
            if (ROOT / name).exists():
                (folder / name).symlink_to((ROOT / name).resolve())

    @staticmethod
    def _ignored(where: str, names: list[str]) -> set[str]:
        return set(shutil.ignore_patterns(*NOT_COPIED)(where, names))

    def ends(self, tests: Iterable[str], seconds: float, more: Iterable[tuple[str, str]] = ()) -> dict[str, set[str]]:
        """How the tests end here, by their names: "passed", "skipped", "error" (outside of its body), or what it raised.

        A test with parameters, and one that ends and is then taken down, has several ends.
        """
        report = self.folder / "ends.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), **dict(more)}
        try:
            done = subprocess.run(
                [*command, *(f"tests/{test}" for test in tests)],
                cwd=self.folder,
                env=environment,
                timeout=seconds,
                capture_output=True,
                text=True,
            )
        except subprocess.TimeoutExpired:
            return {test: {f"no end in {seconds:g} s"} for test in tests}
        (self.folder / "output.txt").write_text(done.stdout + done.stderr, "utf-8")
        found: dict[str, set[str]] = {test: set() for test in tests}
        for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
            file = case.get("classname", "").removeprefix("tests.").replace(".", "/") + ".py"
            name = f"{file}::{case.get('name', '').split('[')[0]}"
            found.setdefault(name, set()).update(ends_of(case))
        return found

    def without(self, defence: Defence) -> dict[str, set[str]]:
        """How the tests of a defence end where it is not; it is back afterwards."""
        files = {each.file: self.folder / each.file for each in defence.changes}
        were = {name: path.read_text("utf-8") for name, path in files.items()}
        left = dict(were)
        for each in defence.changes:
            left[each.file] = each.made(left[each.file])
        try:
            self._write(left)
            return self.ends([*defence.after, *defence.tests], SECONDS[defence.needs], defence.environment)
        finally:
            self._write(were)

    def _write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).write_text(text, "utf-8")
            self._forget(self.folder / name)

    @staticmethod
    def _forget(file: Path) -> None:
        """What Python has compiled of it: two versions of one size, in one second, look alike to it."""
        if file.suffix == ".py":
            Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)


def ends_of(case: ElementTree.Element) -> Iterator[str]:
    """How one case of a report ended: as of :meth:`Copy.ends`."""
    for end in case.iter("failure"):
        # Its message may be cut short; what it said stands in its text as well, beside the test's own lines.
        said = [line[1:].strip() for line in (end.text or "").splitlines() if line.startswith("E ")]
        yield "\n".join([end.get("message", "").strip() or "failure", *said])
    for tag in ("error", "skipped"):
        if case.find(tag) is not None:
            yield tag
    if case.find("failure") is None and case.find("error") is None and case.find("skipped") is None:
        yield "passed"


def shown_by(ends: set[str], shows: str = "") -> str | None:
    """What a test said as it failed without its defence; ``None`` where it did not, not in its own body, or without a
    word of what its entry ``shows``."""
    said = sorted(end for end in ends if end not in ("passed", "skipped", "error") and not NOT_SHOWN.match(end))
    return next((end for end in said if shows in end), None)


def chosen(every: list[Defence], needs: str, word: str = "", file: str = "", test: str = "") -> list[Defence]:
    """Those that need ``needs``, with the tests whose names have ``test``: each for a row whose threat has ``word``, and
    of a change in a file whose path has ``file``."""
    of_rows = {test for row in rows() if word.lower() in row.threat.lower() for test in row.tests}
    files = ((d, " ".join(each.file for each in d.changes)) for d in every)
    here = [d for d, names in files if d.needs == needs and of_rows.intersection(d.tests) and file in names]
    narrowed = (replace(d, tests=tuple(each for each in d.tests if test in each)) for d in here)
    return [d for d in narrowed if d.tests]


#: A defence (as it says itself) and a test that was seen to fail without it.
Seen = set[tuple[str, str]]


def held_tests(seen: Seen, of: Iterable[Defence]) -> set[str]:
    """Those that were seen to fail without each of the defences ``of`` that name them."""
    wanted = {(str(defence), test) for defence in of for test in defence.tests}
    missed = {test for _, test in wanted - seen}
    return {test for _, test in seen & wanted} - missed


def read_seen(file: Path | None) -> Seen:
    lines = file.read_text("utf-8").splitlines() if file is not None and file.exists() else []
    return {(defence, test) for defence, _, test in (line.partition("\t") for line in lines)}


def write_seen(file: Path, seen: Seen) -> None:
    file.write_text("".join(f"{defence}\t{test}\n" for defence, test in sorted(seen)), "utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", default="", metavar="WORD", help="of rows whose threat has this word alone")
    parser.add_argument("--file", default="", metavar="PART", help="of files whose path has this part alone")
    parser.add_argument("--test", default="", metavar="PART", help="with tests whose file or name has this part alone")
    parser.add_argument("--seen", type=Path, metavar="FILE", help="what was seen so far, added to and counted as well")
    parser.add_argument("--needs", default="", choices=NEEDS, help="those whose tests need that (by default: nothing)")
    parser.add_argument("--passed", action="store_true", help="the tests were seen to pass a moment ago: not once more")
    parser.add_argument("--parallel", type=int, help="copies at once (by default 2, and 1 where something is needed)")
    given = parser.parse_args(argv)
    every = defences()
    here = chosen(every, given.needs, given.row, given.file, given.test)
    if not here:
        raise SystemExit("there is no such entry in defences.yaml")
    parallel = given.parallel or (1 if given.needs else 2)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="without-defence-") as scratch, ThreadPoolExecutor(parallel) as pool:
        free: Queue[Copy] = Queue()
        for number in range(parallel):
            free.put(Copy(Path(scratch) / f"copy{number}"))

        def whole(file: str) -> dict[str, set[str]]:
            copy = free.get()
            try:
                wanted = [test for d in here for test in (*d.after, *d.tests)]
                tests = list(dict.fromkeys(test for test in wanted if test.startswith(f"{file}::")))
                more = {pair for d in here if any(test in tests for test in d.tests) for pair in d.environment}
                return copy.ends(tests, 4 * SECONDS[given.needs], more)
            finally:
                free.put(copy)

        def taken(defence: Defence) -> dict[str, set[str]]:
            copy = free.get()
            try:
                return copy.without(defence)
            finally:
                free.put(copy)

        files = sorted({test.split("::")[0] for d in here for test in d.tests})
        with_it = {test: {"passed"} for d in here for test in d.tests}
        if not given.passed:
            with_it = {test: ends for found in pool.map(whole, files) for test, ends in found.items()}
        held, seen = 0, read_seen(given.seen)
        for defence, ends in zip(here, pool.map(taken, here), strict=True):
            print(defence)
            good = True
            for test in defence.tests:
                said, most = shown_by(ends[test], defence.shows), 200
                if with_it[test] != {"passed"}:
                    good, said, most = False, f"DOES NOT PASS WITH IT: {sorted(with_it[test])}", 4000
                elif said is None:
                    good, said, most = False, f"DOES NOT FAIL WITHOUT IT: {sorted(ends[test])}", 4000
                else:
                    seen.add((str(defence), test))
                print(f"    {test}\n        {' '.join(said.split())[:most]}", flush=True)
            held += good
    if given.seen is not None:
        write_seen(given.seen, seen)
    took = time.monotonic() - began
    print(f"{held} of {len(here)} defences are held, in {took:.0f} s")
    shown, page = held_tests(seen, here if given.seen is None else every), rows()
    there = len({test for row in page for test in row.tests})
    whole_rows = sum(bool(row.tests) and shown.issuperset(row.tests) for row in page)
    print(f"{len(shown)} of {there} tests of the page were seen to fail: all tests of {whole_rows} of {len(page)} rows")
    return 0 if held == len(here) else 1


if __name__ == "__main__":
    sys.exit(main())
