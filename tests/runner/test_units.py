"""What the runner decides without any process: lines, the ring, substitution, the proof."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import signal
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_model_service.core import lease_proof
from jupyter_model_service.runner import runner


@given(st.lists(st.binary(max_size=40)))
def test_cutting_a_stream_anywhere_gives_the_same_lines(chunks):
    whole = b"".join(chunks).replace(b"\r", b"")
    splitter = runner.LineSplitter()
    lines = []
    for chunk in chunks:
        lines += splitter.feed(chunk.replace(b"\r", b""))
    lines += splitter.finish()
    expected = whole.split(b"\n")
    assert lines == (expected if expected[-1] else expected[:-1])


@given(st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n"])), st.integers(1, 5))
def test_carriage_returns_give_what_a_terminal_shows_wherever_the_stream_is_cut(parts, size):
    whole = b"".join(parts)
    splitter = runner.LineSplitter()
    lines = []
    for start in range(0, len(whole), size):
        lines += splitter.feed(whole[start : start + size])
    lines += splitter.finish()
    expected = [line.rstrip(b"\r").split(b"\r")[-1] for line in whole.split(b"\n")]
    assert lines == (expected if expected[-1] else expected[:-1])


@given(st.lists(st.lists(st.binary(max_size=6), max_size=6), max_size=10), st.integers(1, 8), st.integers(1, 20))
def test_the_ring_holds_the_last_lines_within_both_bounds(batches, max_lines, max_bytes):
    ring = runner.LogRing(max_lines, max_bytes)
    every = []
    for batch in batches:
        ring.extend(batch)
        every += batch
    held, following, lost = ring.read(0, 1000)
    assert following == ring.end == len(every)
    assert held == every[lost:]
    assert len(held) <= max_lines
    assert sum(map(len, held)) <= max_bytes
    if lost:  # and it holds as many as it can
        assert len(held) == max_lines or sum(map(len, held)) + len(every[lost - 1]) > max_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a}", "1"),
        ("${{ a }}", "1"),
        ("${{a}}", "1"),
        ("${{  long-name }}", "{a}"),
        ("{a}{a}", "11"),
        ("{ a }", "{ a }"),
        ("{b}", "{b}"),
        ("{}", "{}"),
        ("{{a}}", "{1}"),
        ("${a}", "$1"),
        ('{"a": {a}}', '{"a": 1}'),
    ],
)
def test_only_known_names_are_replaced_and_only_once(text, expected):
    results = {"a": "1", "long-name": "{a}"}
    assert runner.substitute(text, results) == expected
    assert runner.substitute([{"x": [text]}, 5], results) == [{"x": [expected]}, 5]


def test_nothing_is_replaced_without_results():
    assert runner.substitute("{a} ${{ a }}", {}) == "{a} ${{ a }}"


@given(st.binary(max_size=100), st.binary(max_size=200))
def test_the_runners_own_hmac_is_the_standard_one(key, message):
    assert runner.hmac_sha256(key, message) == hmac.new(key, message, hashlib.sha256).hexdigest()


def test_the_gateways_and_the_runners_proofs_agree():
    secret, mine, theirs = (secrets.token_hex(32) for _ in range(3))

    def sign(role: str, *nonces: str) -> str:
        return runner.hmac_sha256(secret.encode(), "|".join([role, "r", *nonces]).encode())

    assert lease_proof.runner_proof(secret, "r", mine, theirs) == sign("runner", mine, theirs)
    assert lease_proof.gateway_proof(secret, "r", mine, theirs) == sign("gateway", theirs, mine)
    assert lease_proof.runner_proof(secret, "r", mine, theirs) != lease_proof.gateway_proof(secret, "r", mine, theirs)
    assert not lease_proof.proofs_match("é\ud800", sign("runner", mine, theirs))


def test_labels_are_short_and_on_one_line():
    label = runner.label_of("run_command", {"command": ["sh", "-c", "a\n b" + "c" * 500]})
    assert label.startswith("run_command sh -c a bc")
    assert len(label) == 200
    assert runner.label_of("mkdir", {"path": "x y"}) == "mkdir x y"
    assert runner.label_of("log", {}) == "log"


class Tree:
    """Processes that work, multiply and end, while an account reads them one by one, parents first."""

    def __init__(self) -> None:
        self.own: dict[int, int] = {}
        self.waited: dict[int, int] = {}
        self.parent: dict[int, int] = {}
        self.used = 0
        self.ended = 0  # of our own children, since the last look
        self.born = 0

    def act(self, kind: str, which: int, much: int) -> None:
        pids = [0, *self.own]
        pid = pids[which % len(pids)]
        if kind == "born":
            self.born += 1
            self.own[self.born], self.waited[self.born], self.parent[self.born] = 0, 0, pid
        elif pid and kind == "works":
            self.own[pid] += much
            self.used += much
        elif pid and kind == "ends":
            for child in [c for c, p in self.parent.items() if p == pid]:
                self.parent[child] = 0  # we are the subreaper
            del_own, parent = self.own.pop(pid) + self.waited.pop(pid), self.parent.pop(pid)
            if parent:
                self.waited[parent] += del_own
            else:
                self.ended += del_own

    def below(self, pid: int = 0) -> list[int]:
        return [each for c, p in self.parent.items() if p == pid for each in (c, *self.below(c))]


actions = st.lists(
    st.tuples(st.sampled_from(["born", "works", "ends"]), st.integers(0, 9), st.integers(0, 1000)), max_size=5
)


@given(st.lists(st.tuples(actions, st.lists(actions, max_size=6)), max_size=12))
def test_cpu_time_is_never_counted_twice_nor_lost(rounds):
    """Whatever happens between the readings of one look: the account is never above the truth, never falls, and has
    everything two looks after the tree has come to rest."""
    tree, account = Tree(), runner.CpuAccount()
    for between, during in [*rounds, ([], []), ([], [])]:
        for action in between:
            tree.act(*action)
        before, waits = account.total, iter(during)
        ended, tree.ended = tree.ended, 0
        seen = {}
        for pid in tree.below():
            if pid in tree.own:
                seen[pid] = (tree.own[pid], tree.waited[pid])
            for action in next(waits, ()):
                tree.act(*action)
        account.look(seen, ended)
        assert before <= account.total <= tree.used
    assert account.total == tree.used


def test_what_the_kernel_dropped_costs_one_look_at_most():
    """A worker of 100 s whose parent ignores SIGCHLD is in no account; what others use later is not set off against it."""
    account = runner.CpuAccount()
    account.look({"parent": (1.0, 0.0), "worker": (100.0, 0.0)}, 0.0)
    account.look({"parent": (1.0, 0.0)}, 0.0)
    assert account.total == 101.0
    account.look({"parent": (1.0, 0.0)}, 5.0)  # it might have been the worker's parent's: not counted
    account.look({"parent": (2.0, 0.0)}, 5.0)
    assert account.total == 107.0


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_parent_is_read_before_its_children():
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        sleeping = int(shell.stdout.readline())
        try:
            found = runner.descendants()
            assert found.index(shell.pid) < found.index(sleeping)
        finally:
            os.kill(sleeping, signal.SIGKILL)
