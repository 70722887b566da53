"""The small servers that are written where a folder has none. Each is one readable file on Python's own HTTP server, so
that it needs nothing besides the model's library. Pure."""

from __future__ import annotations

import json
import re

from .kinds import PICKLES, Values

__all__ = ["fastapi_application", "server_of"]

_FASTAPI = '''\
"""A small application to begin with: put your model in the place of predict()."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

{variable} = FastAPI()


class Question(BaseModel):
    inputs: list[float]


@{variable}.get({health})
def health() -> dict[str, bool]:
    """Answers when the model can be called. What is loaded above is loaded by then."""
    return {{"healthy": True}}


@{variable}.post("/predict")
def predict(question: Question) -> dict[str, Any]:
    """The model. Here: the sum."""
    return {{"outputs": sum(question.inputs)}}
'''

_HTTP = '''\


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, {"healthy": True})
        else:
            self.answer(404, {"error": "there is /health, and /predict for POST"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/predict":
            self.answer(404, {"error": "POST goes to /predict"})
            return
        try:
            asked = json.loads(body)
            inputs = asked["inputs"]
        except (ValueError, KeyError, TypeError):
            self.answer(400, {"error": 'send JSON such as {"inputs": ...}'})
            return
        try:
            self.answer(200, {"outputs": predict(inputs, **asked.get("parameters", {}))})
        except (ValueError, TypeError, RuntimeError) as error:  # what models raise of inputs that they cannot take
            traceback.print_exc()
            self.answer(400, {"error": str(error)})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content, default=plain).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def plain(value: object) -> object:
    """Arrays, tensors and their numbers as JSON can have them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    print(f"listening on {options.host}:{options.port}", flush=True)
    Server((options.host, options.port), Handler).serve_forever()
'''

_HEAD = '''\
"""Serves {what}.

POST /predict with {{"inputs": ...}} answers {{"outputs": ...}}; GET /health answers as soon as the model is loaded.
"""

import argparse
import json
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
'''

_SKOPS = """
import skops.io

FILE = {file}
# Loading runs no code but that of types which skops knows as safe and of those that you name here. What a file has
# besides: skops.io.get_untrusted_types(file=FILE)
TRUSTED = {trusted}

model = skops.io.load(FILE, trusted=TRUSTED)


def predict(inputs, **parameters):
    return model.{method}(inputs, **parameters)
"""

_JOBLIB = """
import joblib

# A pickle: loading it runs whatever code its maker put in. Load only files of your own.
model = joblib.load({file})


def predict(inputs, **parameters):
    return model.{method}(inputs, **parameters)
"""

_PICKLE = """
import pickle

# Loading a pickle runs whatever code its maker put in. Load only files of your own.
with open({file}, "rb") as file:
    model = pickle.load(file)


def predict(inputs, **parameters):
    return model.{method}(inputs, **parameters)
"""

_TORCH = """
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"
model = torch.export.load({file}).module().to(device)


def predict(inputs):
    with torch.no_grad():
        return on_cpu(model(torch.tensor(inputs, dtype=torch.{dtype}, device=device)))


def on_cpu(value):
    \"\"\"What the model gave: a tensor, or several in a list or a dictionary.\"\"\"
    if isinstance(value, torch.Tensor):
        return value.float().cpu() if value.is_floating_point() else value.cpu()
    if isinstance(value, dict):
        return {{name: on_cpu(each) for name, each in value.items()}}
    return [on_cpu(each) for each in value] if isinstance(value, (list, tuple)) else value
"""

_TRANSFORMERS = """
import torch
from transformers import pipeline

device = 0 if torch.cuda.is_available() else -1
# Only safetensors: other files of weights are pickles, which can run code when they are loaded.
model = pipeline({task}, model={path}, device=device, model_kwargs={{"use_safetensors": True}})


def predict(inputs, **parameters):
    return model(inputs, **parameters)
"""


def fastapi_application(values: Values) -> str:
    """``values["app"]`` is ``MODULE:VARIABLE``."""
    variable = str(values["app"]).partition(":")[2]
    return _FASTAPI.format(variable=variable, health=json.dumps(values["health"] or "/health"))


def server_of(kind: str, values: Values) -> str:
    """The text of ``serve.py``."""
    what, model = {"scikit-learn": _estimator, "torch": _module, "transformers": _pipeline}[kind](values)
    return _HEAD.format(what=re.sub(r"[^\w .,:/()-]", "_", what)) + model + _HTTP


def _estimator(values: Values) -> tuple[str, str]:
    file, method = str(values["file"]), values["method"]
    model = _JOBLIB if file.endswith(".joblib") else _PICKLE if file.endswith(PICKLES) else _SKOPS
    trusted = json.dumps([name for each in str(values["trusted"]).split(",") if (name := each.strip())])
    return f"the estimator in {file}", model.format(file=_quoted(file), method=method, trusted=trusted)


def _module(values: Values) -> tuple[str, str]:
    return f"the model in {values['file']}", _TORCH.format(file=_quoted(values["file"]), dtype=values["dtype"])


def _pipeline(values: Values) -> tuple[str, str]:
    what = f"a {values['task']} pipeline of transformers"
    return what, _TRANSFORMERS.format(task=_quoted(values["task"]), path=_quoted(values["path"]))


def _quoted(value: object) -> str:
    """JSON's way to write a text is Python's, too."""
    return json.dumps(str(value), ensure_ascii=False)
