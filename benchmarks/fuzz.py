"""Coverage-guided fuzzing of the front's two parsers, with atheris (libFuzzer), until something breaks or time is up.

``make fuzz`` (``FUZZ_ARGS="--seconds 60 --target answers"``). What must hold of each input is said in
``tests/front/parsers.py``: the same whatever the pieces it came in, understood by h11 as by us, or a clean refusal.

``tests/front/corpus/*.json`` holds an input for everything that was ever reached, and is replayed by
``tests/front/test_corpus.py``; ``--keep`` adds what this run has reached. An input that breaks something stands in
``.fuzz/TARGET/crash-…`` and is printed; add it to the corpus with ``--add FILE`` when it is mended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
Trace = Callable[[FrameType, str, Any], Any]
CORPUS = ROOT / "tests" / "front" / "corpus"
WORK = ROOT / ".fuzz"
TARGETS = ("requests", "answers")
LONGEST = 1000  # bytes of an input
KEPT = 600  # bytes of one that is kept
# What requests and answers are made of; the end of a line stands for CRLF.
LINES = """
GET / HTTP/1.1|POST /a HTTP/1.1|HEAD / HTTP/1.0|OPTIONS * HTTP/1.1|GET http://a/b HTTP/1.1|CONNECT a:1 HTTP/1.1
Host: h|Content-Length: 3|Content-Length: 0|Transfer-Encoding: chunked|Transfer-Encoding: gzip|Connection: close
Connection: keep-alive|Connection: Upgrade|Upgrade: x|Upgrade: h2c|Expect: 100-continue|Cookie: a=b; _xsrf=c
Authorization: Bearer x|X-Forwarded-For: 1|TE: trailers|Trailer: T, Host|T: v|Connection: T
Prefer: wait=1|Via: 1.1 a|Keep-Alive: timeout=5
HTTP/1.1 200 OK|HTTP/1.0 200 OK|HTTP/1.1 204 X|HTTP/1.1 304 X|HTTP/1.1 100 Continue|HTTP/1.1 103 Early|HTTP/1.1 101 Go
HTTP/1.1 503 No|Location: /x|Content-Type: text/event-stream|0|3|abc|3;x="y"|
"""


def words() -> list[bytes]:
    return [line.encode() + b"\r\n" for row in LINES.strip().splitlines() for line in row.split("|")]


def load(target: str) -> list[bytes]:
    """The corpus: bytes as Latin-1 text, one input a line, so that a change of it can be read."""
    path = CORPUS / f"{target}.json"
    return [text.encode("latin-1") for text in json.loads(path.read_text())] if path.exists() else []


def save(target: str, inputs: set[bytes]) -> None:
    lines = sorted(json.dumps(data.decode("latin-1")) for data in inputs)
    (CORPUS / f"{target}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def judge_of(target: str) -> Callable[[bytes], str]:
    from tests.front import parsers

    return parsers.judge_requests if target == "requests" else parsers.judge_answers


def fuzz(target: str, options: list[str]) -> None:
    """In a process of its own: libFuzzer ends it."""
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["jupyter_model_service.front", "jupyter_model_service.core"]):
        judge = judge_of(target)

    def one(data: bytes) -> None:
        try:
            judge(data)
        except BaseException:
            print(f"\nThis breaks it: {data!r}", file=sys.stderr)
            raise

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def run(target: str, seconds: int, *, keep: bool) -> int:
    work = WORK / target
    found = work / "found"
    found.mkdir(parents=True, exist_ok=True)
    for data in load(target):
        (found / hashlib.sha1(data).hexdigest()).write_bytes(data)
    dictionary = work / "words"
    dictionary.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words()))
    command = [sys.executable, __file__, "--one", target, "--"]
    limits = [f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=2048"]
    ran = [f"-max_total_time={seconds}", f"-dict={dictionary}", f"-artifact_prefix={work}/", "-print_final_stats=1"]
    status = subprocess.run([*command, *limits, *ran, str(found)], cwd=ROOT, check=False).returncode
    if keep and not status:
        save(target, adding(target, [path.read_bytes() for path in found.iterdir()]) | set(load(target)))
    return status


def adding(target: str, inputs: list[bytes]) -> set[bytes]:
    """Of short inputs, the shortest first, those that take a step from line to line which none before took."""
    sys.path.insert(0, str(ROOT))
    judge = judge_of(target)
    seen: set[tuple[str, int, int]] = set()
    kept: set[bytes] = set()
    for data in sorted((each for each in inputs if len(each) <= KEPT), key=lambda each: (len(each), each)):
        steps = steps_of(lambda data=data: judge(data))
        if steps - seen:
            seen |= steps
            kept.add(data)
    return kept


def steps_of(work: Callable[[], object]) -> set[tuple[str, int, int]]:
    """The pairs of lines of the front and of ``core`` that followed each other."""
    steps: set[tuple[str, int, int]] = set()

    def trace(frame: FrameType, _event: str, _argument: object) -> Trace | None:
        name = frame.f_code.co_filename
        if "jupyter_model_service/front" not in name and "jupyter_model_service/core" not in name:
            return None
        last = 0

        def line(frame: FrameType, _event: str, _argument: object) -> Trace:
            nonlocal last
            steps.add((name, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return steps


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", choices=TARGETS, help="one of the two; both, in turn, without it")
    parser.add_argument("--seconds", type=int, default=600, help="for each")
    parser.add_argument("--keep", action="store_true", help="add what was reached to the corpus")
    parser.add_argument("--add", type=Path, help="add this file to the corpus of --target, and end")
    parser.add_argument("--one", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fuzz(options.one, options.rest)
        return 0
    if options.add:
        if not options.target:
            parser.error("--add needs --target")
        save(options.target, {*load(options.target), options.add.read_bytes()})
        return 0
    status = 0
    for target in [options.target] if options.target else TARGETS:
        status |= run(target, options.seconds, keep=options.keep)
    return status


if __name__ == "__main__":
    sys.exit(main())
