"""Where log lines go, how much of them is kept, and what never gets into them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging, os, pathlib, sys
from jupyter_model_service.app.logs import configure
configure(logging.INFO, pathlib.Path(sys.argv[1]))
log = logging.getLogger("jupyter_model_service.test")
for number in range(int(sys.argv[2])):
    log.info("%d %s", number, "x" * 1000)
try:
    raise ValueError("refused jms_Secret-1")
except ValueError:
    log.exception("token jmc_Secret_2 was sent")
log.debug("unseen")
logging.getLogger("other").info("unseen")
logging.getLogger("other").warning("seen")
os.write(2, b"the interpreter's last words\\n")
"""


def run(log: Path, lines: int, *, detached: bool) -> str:
    """What went to stderr, if that is not the file."""
    with log.open("ab") as file:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(log), str(lines)],
            stderr=file if detached else subprocess.PIPE,
            check=True,
            timeout=60,
        )
    return "" if detached else done.stderr.decode()


def test_in_a_terminal_everything_goes_to_stderr(tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    said = run(log, 1, detached=False)
    assert "INFO jupyter_model_service.test: 0 x" in said
    assert "seen" in said
    assert "unseen" not in said
    assert log.read_text() == ""


def test_tokens_are_cut_out_of_messages_and_tracebacks(tmp_path: Path) -> None:
    said = run(tmp_path / "gateway.log", 0, detached=False)
    assert "token [token] was sent" in said
    assert "refused [token]" in said
    assert "Secret" not in said


def test_a_detached_gateway_keeps_a_bounded_log(tmp_path: Path) -> None:
    """10 MB of lines leave the newest 4 to 8 MiB, and stderr follows into the new file, which is private, too."""
    log = tmp_path / "gateway.log"
    log.touch(0o600)
    former = os.umask(0)
    try:
        run(log, 10_000, detached=True)
    finally:
        os.umask(former)
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o600}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gateway.log", "gateway.log.1"]
    assert all(p.stat().st_size <= (4 << 20) + 100 for p in tmp_path.iterdir())
    text = log.read_text()
    assert " 9999 x" in text
    assert text.endswith("the interpreter's last words\n")
