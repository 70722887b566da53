"""The small servers that are written where a folder has none. Each is one readable file on Python's own HTTP server, so
that it needs nothing besides the model's library. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidRequest
from .kinds import PICKLES, Values

__all__ = ["columns_in", "fastapi_application", "server_of", "table_function"]

_FASTAPI = '''\
"""A small application to begin with: put your model in the place of predict()."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
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


@{variable}.exception_handler(Exception)
def failed(request: Request, error: Exception) -> JSONResponse:
    """The reason for whoever called: 400 for what models raise of inputs that they cannot take, else 500. The log has
    the traceback."""
    of_the_input = isinstance(error, (ValueError, TypeError, RuntimeError, AssertionError, IndexError, KeyError))
    return JSONResponse({{"error": f"{{type(error).__name__}}: {{error}}"}}, 400 if of_the_input else 500)
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
            inputs, parameters = asked["inputs"], asked.get("parameters", {})
        except Exception:  # of texts that are no JSON, and of JSON that is nested too deeply
            self.answer(400, {"error": 'send JSON such as {"inputs": ...}'})
            return
        try:
            outputs = predict(inputs, **parameters)
        except Exception as error:
            traceback.print_exc()
            self.answer(400 if of_the_input(error) else 500, {"error": reason(error)})
            return
        self.answer(200, {"outputs": outputs})

    def answer(self, status: int, content: object) -> None:
        try:
            body = json.dumps(content, default=plain).encode()
        except Exception as error:  # an answer that JSON does not have
            traceback.print_exc()
            status, body = 500, json.dumps({"error": reason(error)}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def of_the_input(error: Exception) -> bool:
    """Whether it is what models raise of inputs that they cannot take. PyTorch calls it a RuntimeError, too, when there
    is no memory left or the GPU fails."""
    if type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return False
    return isinstance(error, (ValueError, TypeError, RuntimeError, AssertionError, IndexError, KeyError))


def reason(error: Exception) -> str:
    """With the kind of error, without which most texts say too little."""
    return str(error) if isinstance(error, ValueError) and str(error) else f"{type(error).__name__}: {error}"


def plain(value: object) -> object:
    """Tables, sparse matrices, arrays, tensors and their numbers as JSON can have them."""
    for how in ("to_numpy", "toarray", "tolist"):
        if hasattr(value, how):
            return getattr(value, how)()
    return str(value)


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
    return model.{method}({inputs}, **parameters)
"""

_JOBLIB = """
import joblib

# A pickle: loading it runs whatever code its maker put in. Load only files of your own.
model = joblib.load({file})


def predict(inputs, **parameters):
    return model.{method}({inputs}, **parameters)
"""

_PICKLE = """
import pickle

# Loading a pickle runs whatever code its maker put in. Load only files of your own.
with open({file}, "rb") as file:
    model = pickle.load(file)


def predict(inputs, **parameters):
    return model.{method}({inputs}, **parameters)
"""

_COLUMNS = """
# The table that the model was fitted on: its columns in order, and the type of each, empty where it is not known.
COLUMNS = {columns}
"""

_TABLE = """

def table(inputs):
    \"\"\"The rows as a table. A row is an object that has all of COLUMNS, or a list in their order.\"\"\"
    if not isinstance(inputs, list):
        raise ValueError("inputs are a list of rows, and a row has " + named(COLUMNS))
    found = pandas.DataFrame([values(number, row) for number, row in enumerate(inputs)], columns=list(COLUMNS))
    for name, dtype in COLUMNS.items():
        try:
            found[name] = as_fitted(found[name], dtype)
        except (ValueError, TypeError) as error:
            raise ValueError(f"column {name}: {error}") from error
    return found


def values(number, row):
    if isinstance(row, dict):
        missing = [name for name in COLUMNS if name not in row]
        unknown = [name for name in row if name not in COLUMNS]
        wrong = ["lacks " + named(missing)] * bool(missing) + ["has an unknown " + named(unknown)] * bool(unknown)
        if wrong:
            raise ValueError(f"inputs[{number}] {' and '.join(wrong)}; a row has {named(COLUMNS)}")
        return [row[name] for name in COLUMNS]
    if not isinstance(row, list) or len(row) != len(COLUMNS):
        count = f"{len(row)} values" if isinstance(row, list) else "no list of values"
        raise ValueError(f"inputs[{number}] is {count}, and a row has {named(COLUMNS)}")
    return row


def named(columns):
    shown = list(columns)[:20]
    return ", ".join(shown) + (f" and {len(columns) - 20} more columns" if len(columns) > 20 else "")


def as_fitted(column, dtype):
    \"\"\"JSON has null, where tables have NaN; and it does not tell numbers of one type from those of another.\"\"\"
    if dtype.startswith(("int", "uint", "float")):
        numbers = pandas.to_numeric(column)
        return numbers.astype(dtype) if dtype.startswith("float") else numbers
    if dtype in ("", "bool", "object"):
        return column.where(column.notna(), float("nan"))
    return column.astype(dtype)
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
    file, method, columns = str(values["file"]), values["method"], columns_in(values["columns"])
    model = _JOBLIB if file.endswith(".joblib") else _PICKLE if file.endswith(PICKLES) else _SKOPS
    trusted = json.dumps([name for each in str(values["trusted"]).split(",") if (name := each.strip())])
    inputs = "table(inputs)" if columns else "inputs"
    text = model.format(file=_quoted(file), method=method, trusted=trusted, inputs=inputs)
    if columns:
        head = "\nimport pandas" + text.partition("\n\n")[0]  # the imports are one block
        told = _COLUMNS.format(columns=json.dumps(columns, ensure_ascii=False))
        text = head + "\n" + told + "\n" + text.partition("\n\n")[2].rstrip("\n") + "\n" + _TABLE
    return f"the estimator in {file}", text


def columns_in(text: object) -> dict[str, str]:
    """The columns of a table, and the type of each, of a field's JSON: an object, or a list of names. None: no table.
    ``InvalidRequest`` for anything else."""
    try:
        found = json.loads(str(text)) if str(text).strip() else {}
    except ValueError:
        found = None
    if isinstance(found, list) and all(isinstance(each, str) for each in found) and len(set(found)) == len(found):
        return dict.fromkeys(found, "")
    if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()):
        return found
    raise InvalidRequest(
        f'Columns: {str(text)[:60]!r} names no columns; write a list of them in JSON, such as ["age", "city"].'
    )


def table_function(columns: Mapping[str, str], pandas: Any) -> Callable[[Any], Any]:
    """``table`` as the server has it: what it makes of inputs can be seen before there is a server."""
    names: dict[str, Any] = {"COLUMNS": dict(columns), "pandas": pandas}
    exec(_TABLE, names)  # the text above
    found: Callable[[Any], Any] = names["table"]
    return found


def _module(values: Values) -> tuple[str, str]:
    return f"the model in {values['file']}", _TORCH.format(file=_quoted(values["file"]), dtype=values["dtype"])


def _pipeline(values: Values) -> tuple[str, str]:
    what = f"a {values['task']} pipeline of transformers"
    return what, _TRANSFORMERS.format(task=_quoted(values["task"]), path=_quoted(values["path"]))


def _quoted(value: object) -> str:
    """JSON's way to write a text is Python's, too."""
    return json.dumps(str(value), ensure_ascii=False)
