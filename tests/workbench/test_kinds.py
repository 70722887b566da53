"""What is drafted for a kind really serves such a model, where its library is here."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.wire.workbench import DryRunAnswer, SampleRequest
from jupyter_model_service.workbench.dry_run import dry_run, prepared
from jupyter_model_service.workbench.folder import drafted, listing_of
from jupyter_model_service.workbench.guess import guesses


def guessed(folder: Path, **more: Any) -> str:
    """Write what the best guess comes to; its kind."""
    best = guesses(listing_of(folder))[0]
    drafted(folder, best.kind, {**best.fields, **more}, True, False)
    return best.kind


def answered(folder: Path, request: SampleRequest | None = None) -> tuple[str, int | None, str]:
    told: list[Any] = []
    outcome = asyncio.run(dry_run(prepared(folder, request), told.append, timeout=110))
    answers = [each for each in told if isinstance(each, DryRunAnswer)]
    assert answers, (outcome, told)
    return outcome.outcome, answers[0].status, answers[0].body


def predict(inputs: Any) -> SampleRequest:
    return SampleRequest(name="predict", method="POST", path="/predict", body=inputs)


def saved(folder: Path, code: str) -> None:
    """In a process of its own: this one keeps its memory."""
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=110)


def test_an_empty_folder_becomes_a_fastapi_application(tmp_path: Path) -> None:
    assert guessed(tmp_path) == "fastapi"
    assert answered(tmp_path) == ("passed", 200, '{"outputs":6.5}')


def test_an_application_without_a_health_path_is_served(tmp_path: Path) -> None:
    text = "import fastapi\napi = fastapi.FastAPI()\n@api.get('/hi')\ndef hi(): return 'hello'\n"
    (tmp_path / "main.py").write_text(text)
    assert guessed(tmp_path) == "fastapi"
    assert answered(tmp_path, SampleRequest(name="hi", path="/hi")) == ("passed", 200, '"hello"')


def test_a_command_is_served(tmp_path: Path) -> None:
    command = "cd . && python3 -m http.server --bind 0.0.0.0 {port}"
    drafted(tmp_path, "command", {"command": command}, True, False)
    (tmp_path / "index.html").write_text("a page")
    assert answered(tmp_path) == ("passed", 200, "a page")


ESTIMATOR = """
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0, 0], [1, 0], [0, 1]], [0, 1, 2])
"""


@pytest.mark.parametrize("file", ["line.skops", "line.joblib"])
def test_an_estimator_is_served(file: str, tmp_path: Path) -> None:
    dump = {
        "line.skops": "import skops.io; skops.io.dump(model, 'line.skops')",
        "line.joblib": "import joblib; joblib.dump(model, 'line.joblib')",
    }
    saved(tmp_path, ESTIMATOR + dump[file])
    more = {} if file.endswith(".skops") else {"allow_pickle": "yes"}
    assert guessed(tmp_path, example="[[1, 1], [2, 0]]", **more) == "scikit-learn"
    outcome, status, body = answered(tmp_path)
    assert (outcome, status) == ("passed", 200)
    assert json.loads(body)["outputs"] == pytest.approx([3.0, 2.0])


STUB = """
class Rows(list):
    def tolist(self): return list(self)

class Model:
    def predict(self, rows, scale=1):
        if any(len(row) != 2 for row in rows): raise ValueError("two numbers in each row")
        return Rows(scale * sum(row) for row in rows)
"""


def test_what_a_drafted_server_answers(tmp_path: Path) -> None:
    """A model of our own in a pickle, since a library takes seconds to load."""
    (tmp_path / "stub.py").write_text(STUB)
    saved(tmp_path, "import pickle, stub; pickle.dump(stub.Model(), open('model.pkl', 'wb'))")
    assert guessed(tmp_path, example="[[1, 2]]", allow_pickle="yes") == "scikit-learn"
    assert answered(tmp_path) == ("passed", 200, '{"outputs": [3]}')
    scaled = predict({"inputs": [[1, 2]], "parameters": {"scale": 5}})
    assert answered(tmp_path, scaled) == ("passed", 200, '{"outputs": [15]}')
    for body, said in (
        ({"inputs": [[1]]}, "two numbers in each row"),
        ({"inputs": [[1, 2]], "parameters": {"scael": 5}}, "scael"),
        ({"input": 1}, "send JSON such as"),
        ([1], "send JSON such as"),
        ("no JSON", "send JSON such as"),
    ):
        outcome, status, text = answered(tmp_path, predict(body))
        assert (outcome, status, said in json.loads(text)["error"]) == ("failed", 400, True), body


@pytest.mark.torch
def test_a_module_of_torch_is_served(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    saved(
        tmp_path,
        "import torch\n"
        "layer = torch.nn.Linear(2, 1)\n"
        "torch.nn.init.ones_(layer.weight); torch.nn.init.zeros_(layer.bias)\n"
        "batch = torch.export.Dim('batch')\n"
        "program = torch.export.export(layer, (torch.zeros(2, 2),), dynamic_shapes=({0: batch},))\n"
        "torch.export.save(program, 'sum.pt2')",
    )
    assert guessed(tmp_path, example="[[1, 2], [3, 4], [5, 6]]", allow_code="yes") == "torch"
    outcome, status, body = answered(tmp_path)
    assert (outcome, status) == ("passed", 200)
    assert [row[0] for row in json.loads(body)["outputs"]] == pytest.approx([3.0, 7.0, 11.0])


@pytest.mark.torch
@pytest.mark.parametrize("part", ["/sample_inputs/", "/weights/"])
def test_a_pickle_in_a_file_of_torch_is_not_loaded(tmp_path: Path, part: str) -> None:
    """PyTorch itself would, where the safe way fails: it would make the file."""
    pytest.importorskip("torch")
    saved(
        tmp_path,
        "import io, os, torch, zipfile\n"
        "class Evil:\n"
        "    def __reduce__(self): return (os.mkdir, ('evil',))\n"
        "torch.export.save(torch.export.export(torch.nn.Linear(2, 1), (torch.zeros(2, 2),)), 'good.pt2')\n"
        "pickled = io.BytesIO()\n"
        "torch.save({'weight': Evil()}, pickled)\n"
        "good = zipfile.ZipFile('good.pt2')\n"
        "with zipfile.ZipFile('net.pt2', 'w') as net:\n"
        "    for name in good.namelist():\n"
        f"        evil = {part!r} in name and not name.endswith('.json')\n"
        "        text = good.read(name)\n"
        f"        if {part!r} == '/weights/': text = text.replace(b'\"use_pickle\": false', b'\"use_pickle\": true')\n"
        "        net.writestr(name, pickled.getvalue() if evil else text)\n"
        "    assert pickled.getvalue() in [net.read(name) for name in net.namelist()]\n"
        "os.remove('good.pt2')",
    )
    drafted(tmp_path, "torch", {"file": "net.pt2", "allow_code": "yes"}, True, False)
    done = subprocess.run([sys.executable, "serve.py"], cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "net.pt2 has a pickle of more than tensors, which could run code: it is not loaded."
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "evil").exists()


@pytest.mark.torch
def test_a_pretrained_model_is_served(tmp_path: Path) -> None:
    """As save_pretrained wrote it, in a folder of the folder."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    saved(
        tmp_path,
        "from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast\n"
        "words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'fine', 'day']\n"
        "open('vocab.txt', 'w').write('\\n'.join(words))\n"
        "BertTokenizerFast('vocab.txt').save_pretrained('bert')\n"
        "config = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)\n"
        "BertForSequenceClassification(config).save_pretrained('bert')",
    )
    assert guessed(tmp_path) == "transformers"
    outcome, status, body = answered(tmp_path)
    assert (outcome, status) == ("passed", 200)
    assert json.loads(body)["outputs"][0]["label"] in ("LABEL_0", "LABEL_1")
