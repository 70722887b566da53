"""The article's tutorial with a tiny model in the place of the real one, run by hand."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .served import EXAMPLES, served

FOLDER = EXAMPLES / "koalpaca"
LACKING = [name for name in ("torch", "transformers", "accelerate") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with a tiny model in it."""
    copy = tmp_path_factory.mktemp("models") / "koalpaca"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("KoAlpaca-*", "__pycache__"))
    subprocess.run([sys.executable, copy / "make_tiny_model.py"], check=True, capture_output=True, timeout=120)
    return copy


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    environment = {"BACKEND_MODEL_PATH": str(folder / "KoAlpaca-Ployglot-5.8B"), "HF_HUB_OFFLINE": "1"}
    with served(folder, "chatbot-api:app", folder.parent / "log", 120, **environment) as base:
        yield base


def test_the_tiny_model_has_the_real_architecture_and_is_tiny(folder: Path) -> None:
    model = folder / "KoAlpaca-Ployglot-5.8B"
    config = json.loads((model / "config.json").read_text())
    assert (config["model_type"], config["eos_token_id"]) == ("gpt_neox", 2)
    assert json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]["<|endoftext|>"] == 2
    assert sum(file.stat().st_size for file in model.iterdir()) < 1 << 20


def test_the_tiny_model_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    subprocess.run([sys.executable, folder / "make_tiny_model.py", again], check=True, capture_output=True, timeout=120)
    for name in ("model.safetensors", "tokenizer.json"):
        assert (again / name).read_bytes() == (folder / "KoAlpaca-Ployglot-5.8B" / name).read_bytes()


def test_the_health_check_passes(url: str) -> None:
    answer = httpx.get(f"{url}/health", timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"healthy": True})


def test_a_chat_gets_a_streamed_reply(url: str) -> None:
    body = {
        "messages": [
            {"role": "user", "content": "안녕하세요"},
            {"role": "assistant", "content": "안녕하세요!"},
            {"role": "user", "content": "오늘 날씨는 어떤가요?"},
        ]
    }
    with httpx.stream("POST", f"{url}/api/chat", json=body, timeout=120) as answer:
        assert answer.status_code == 200
        assert "content-length" not in answer.headers
        text = "".join(answer.iter_text())
    assert text.strip() == text != ""
    assert "###" not in text


def test_the_chat_page_is_at_the_root_and_works_below_any_prefix(url: str) -> None:
    answer = httpx.get(f"{url}/", timeout=60)
    assert answer.status_code == 200
    assert 'fetch("api/chat"' in answer.text
    assert "://" not in answer.text


def test_an_unknown_page_leads_to_the_404_page(url: str) -> None:
    answer = httpx.get(f"{url}/nothing", timeout=60, follow_redirects=True)
    assert "없는 페이지입니다" in answer.text
