"""What the runner decides without any process: lines, the ring, substitution, the proof."""

from __future__ import annotations

import hashlib
import hmac
import secrets

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
