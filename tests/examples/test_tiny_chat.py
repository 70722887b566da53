"""The tiny-chat example, run by hand as its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .served import EXAMPLES, served

FOLDER = EXAMPLES / "tiny-chat"
GREETING = "Hello, and welcome! 👋 I am a very small model that is served from a folder, one word at a time."


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    work = tmp_path_factory.mktemp("tiny-chat")
    packages = work / "packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", packages, "-r", FOLDER / "requirements.txt"],
        check=True,
        timeout=100,
    )
    environment = {"BACKEND_MODEL_PATH": str(FOLDER), "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    with served(FOLDER, "app:app", work / "log", 60, **environment) as base:
        yield base


def ask(url: str, *contents: str) -> str:
    messages = [{"role": "user", "content": content} for content in contents]
    answer = httpx.post(f"{url}/api/chat", json={"messages": messages}, timeout=30)
    assert answer.status_code == 200
    return answer.text


def test_the_health_check_passes(url: str) -> None:
    answer = httpx.get(f"{url}/health", timeout=30)
    assert (answer.status_code, answer.json()["healthy"]) == (200, True)


def test_a_reply_is_streamed_word_by_word_with_the_emoji_of_the_installed_package(url: str) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    with httpx.stream("POST", f"{url}/api/chat", json=body, timeout=30) as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert "content-length" not in answer.headers
        pieces = list(answer.iter_text())
    assert "".join(pieces) == GREETING
    assert len(pieces) > 3  # one per word, unless a busy machine read several at once


def test_the_same_conversation_gets_the_same_answer_and_the_topic_decides(url: str) -> None:
    assert ask(url, "Tell me a joke") == ask(url, "Tell me a joke")
    assert "bar" in ask(url, "Tell me a joke")
    assert "Scaling" in ask(url, "how do I scale?")
    assert "🌱" in ask(url, "quantum chromodynamics?") or "🤔" in ask(url, "quantum chromodynamics?")


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [{"role": "user"}]}, {"messages": "Hello"}])
def test_a_wrong_call_is_refused(url: str, body: object) -> None:
    assert httpx.post(f"{url}/api/chat", json=body, timeout=30).status_code == 422


def test_strange_messages_are_answered(url: str) -> None:
    for content in ("", "안녕하세요", "😀", "a" * 20_000):
        assert ask(url, content)


def test_the_page_needs_nothing_from_elsewhere_and_works_below_any_prefix(url: str) -> None:
    answer = httpx.get(f"{url}/", timeout=30)
    assert answer.headers["content-type"].startswith("text/html")
    assert 'fetch("api/chat"' in answer.text
    assert "://" not in answer.text
    assert 'src="' not in answer.text
    assert 'href="' not in answer.text


def test_the_weights_are_those_that_training_makes() -> None:
    script = (
        "import json, pathlib, tiny_model;"
        "print(json.dumps(tiny_model.TinyModel.train(pathlib.Path('corpus.txt').read_text('utf-8')).weights()))"
    )
    made = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=FOLDER, capture_output=True, check=True, text=True, timeout=60
    )
    assert json.loads(made.stdout) == json.loads(Path(FOLDER / "weights.json").read_text("utf-8"))
