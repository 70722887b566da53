"""Log lines: bounded, pulled by cursor, never in the way of a heartbeat."""

from __future__ import annotations

import sys
import time

import psutil

FLOOD = """
import os, sys
line = (b"%07d " * 12) + b"\\n"
for start in range(0, 1100000, 2000):
    os.write(1, b"".join(line % ((n,) * 12) for n in range(start, start + 2000)))
"""


def test_lines_are_read_by_cursor(start_runner):
    runner = start_runner(["sh", "-c", "seq 0 99"])
    runner.run_to_the_end()
    lease = runner.lease()
    assert lease.logs() == ([str(n) for n in range(100)], 100, 0)
    assert lease.logs(after=40, limit=3) == (["40", "41", "42"], 43, 0)
    assert lease.logs(after=100) == ([], 100, 0)
    assert lease.logs(after=5000) == ([], 100, 0)
    assert lease.logs(after=-2) == (["98", "99"], 100, 0)
    assert lease.logs(after=-1000, limit=1) == (["0"], 1, 0)


def test_lost_lines_are_counted(start_runner):
    runner = start_runner(["sh", "-c", "seq 0 99"], log_lines=30)
    runner.run_to_the_end()
    lease = runner.lease()
    assert lease.logs() == ([str(n) for n in range(70, 100)], 100, 70)
    assert lease.logs(after=60, limit=2) == (["70", "71"], 72, 10)


def test_the_ring_is_bounded_in_bytes(start_runner):
    runner = start_runner(["sh", "-c", "for i in 1 2 3 4; do printf '%0400d\\n' $i; done"], log_bytes=1000)
    runner.run_to_the_end()
    lines, following, lost = runner.lease().logs()
    assert (len(lines), following, lost) == (2, 4, 2)


def test_a_long_line_is_cut_and_odd_bytes_are_shown(start_runner):
    code = "import os; os.write(1, b'x' * 300000 + b'\\n' + b'caf\\xe9 \\x1b[1m\\x00\\n' + b'no newline at the end')"
    runner = start_runner([sys.executable, "-c", code])
    runner.run_to_the_end()
    assert runner.logged() == ["x" * 8192, "caf\ufffd \x1b[1m\x00", "no newline at the end"]


def test_a_progress_bar_is_one_line(start_runner):
    code = "import os; [os.write(1, b'\\r%d%%' % n) for n in range(101)]; os.write(1, b' done\\r\\nnext\\r\\n')"
    runner = start_runner([sys.executable, "-c", code])
    runner.run_to_the_end()
    assert runner.logged() == ["100% done", "next"]


def test_answers_come_in_pieces_of_at_most_64_kib(start_runner):
    runner = start_runner([sys.executable, "-c", "[print('\\x01' * 8192) for _ in range(20)]"])
    runner.run_to_the_end()
    lease = runner.lease()
    lease.send({"t": "logs", "id": 1, "after": 0, "limit": 20})
    pieces = []
    while not pieces or pieces[-1]["more"]:
        before = len(lease.buffer)
        pieces.append(lease.until("logs"))
        assert len(str(pieces[-1]["lines"])) // 4 * 6 < 64 * 1024, before
    assert sum(len(piece["lines"]) for piece in pieces) == 20
    assert len(pieces) >= 20


def test_what_a_python_model_prints_is_there_at_once(start_runner, wait_for):
    """Without a terminal Python would hold it back in a buffer, and a killed server's last words were lost."""
    runner = start_runner(
        [sys.executable, "-c", "print('first words'); import time; time.sleep(60)"], unset=["PYTHONUNBUFFERED"]
    )
    lease = runner.lease()
    wait_for(lambda: lease.logs()[0] == ["first words"], "the print")
    assert runner.process.poll() is None, "and not only at the end"


def test_100_megabytes_of_log_cost_neither_memory_nor_disk_nor_heartbeats(start_runner):
    runner = start_runner([sys.executable, "-c", FLOOD])
    lease = runner.lease()
    process = psutil.Process(runner.process.pid)
    most, beats, ended = 0, [], None
    began = time.monotonic()
    while ended is None:
        message = lease.read()
        if message["t"] == "beat":
            beats.append(time.monotonic())
            most = max(most, process.memory_info().rss)
        elif message["t"] == "state":
            ended = message["exit"]
    seconds = time.monotonic() - began
    most = max(most, process.memory_info().rss)
    assert ended["code"] == 0
    lines, following, lost = runner.lease().logs(limit=1_000_000)
    assert following == 1_100_000  # nothing was dropped on the way: 106 MB came through the ring
    assert lost + len(lines) == following
    assert lines[-1].split() == ["1099999"] * 12
    assert sum(map(len, lines)) <= 2_000_000
    assert most < 32_000_000
    assert len(beats) >= int(seconds) - 1
    assert sum(f.stat().st_size for f in runner.folder.iterdir()) < 100_000


def test_heartbeats_go_on_while_a_child_floods(start_runner):
    runner = start_runner(["sh", "-c", "yes 0123456789 & yes 0123456789 & yes 0123456789"])
    lease = runner.lease()
    gaps, last = [], time.monotonic()
    while len(gaps) < 5:
        lease.until("beat")
        now = time.monotonic()
        gaps.append(now - last)
        last = now
    assert max(gaps) < 2.5  # the gateway gives a lease up after 3 s
    lease.send({"t": "stop", "grace": 5})
    lease.exit()


def test_the_logs_of_a_flooding_child_can_be_read(start_runner, wait_for):
    runner = start_runner(["sh", "-c", "yes 0123456789"])
    lease = runner.lease()
    wait_for(lambda: lease.logs(-1)[1] > 100_000, "a lot of lines")
    lines, following, lost = lease.logs(limit=500)
    assert lines == ["0123456789"] * 500
    assert following == lost + 500


def test_the_last_lines_of_an_end_fit_into_one_message(start_runner):
    """Control characters take six bytes each in JSON: 50 long lines of them would be 2.4 MB."""
    runner = start_runner([sys.executable, "-c", "[print('\\x01' * 8192) for _ in range(60)]; print('end')"])
    tail = runner.run_to_the_end()["tail"]
    assert tail[-1] == "end"
    assert tail[-2] == "\x01" * 8192
    assert len(tail) < 10
