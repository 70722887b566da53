"""The kinds of models that a definition can be drafted for, and what has to be known of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequest

__all__ = ["KINDS", "MODULE", "PACKAGES", "Field", "Kind", "Value", "Values", "completed", "kind_named"]

Value = str | int | bool
Values = Mapping[str, Value]

#: Ends of names whose files are pickles: loading one runs whatever code it holds.
PICKLES = (".pkl", ".pickle", ".joblib", ".sav")

#: A module as `uvicorn` imports it: `app`, `my-app`, `package.my app`. Never an option.
MODULE = re.compile(r"\w[\w -]*(\.\w[\w -]*)*")


@dataclass(frozen=True)
class Field:
    """One thing to fill in. ``kind``: ``text``, ``number``, ``choice``, ``file`` (in the folder), ``command``."""

    name: str
    label: str
    help: str
    default: Value = ""
    kind: str = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    most: int = 2000  # characters


@dataclass(frozen=True)
class Kind:
    """``loading``: seconds that the server may take to come up. ``packages``: what the server imports, for
    ``requirements.txt``."""

    name: str
    title: str
    help: str
    fields: tuple[Field, ...]
    writes: tuple[str, ...]
    loading: int
    packages: tuple[str, ...] = ()

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)


_NAME = Field("name", "Name", "What the model is called; empty: as its folder is.")
_HEALTH = Field(
    "health",
    "Health path",
    "GET on it is answered with 200 as soon as the model can be called; empty: the model counts as ready when its port "
    "accepts connections.",
    "/health",
)
_PORT = Field(
    "port",
    "Port",
    "On which the server listens in a container of its own. On one machine each replica gets a free one in its place.",
    8000,
    "number",
)
_EXAMPLE_HELP = "JSON; the first sample request is made of it, which the dry run sends."
_OUR_SERVER = ("model-definition.yaml", "serve.py", "requirements.txt", "model-requests.json")

KINDS: tuple[Kind, ...] = (
    Kind(
        "fastapi",
        "FastAPI application",
        "An application of FastAPI or of any other ASGI framework, run by uvicorn. Where there is none, a small one is "
        "written to begin with.",
        (
            _NAME,
            Field("app", "Application", "MODULE:VARIABLE, as uvicorn takes it.", "app:app", required=True),
            _HEALTH,
            _PORT,
        ),
        ("model-definition.yaml", "app.py", "requirements.txt", "model-requests.json"),
        120,
        ("fastapi", "uvicorn"),
    ),
    Kind(
        "vllm",
        "vLLM",
        "A language model served by vLLM, with OpenAI's API. It needs a GPU, and vLLM in the image or the environment.",
        (
            _NAME,
            Field(
                "model",
                "Model",
                "A folder with weights (/models is this one), or the name of a model on the Hugging Face Hub.",
                "/models",
                required=True,
            ),
            Field("options", "More options", "Of `vllm serve`, such as --max-model-len 8192.", kind="command"),
            _PORT,
        ),
        ("model-definition.yaml", "model-requests.json"),
        1800,
    ),
    Kind(
        "command",
        "A command",
        "Any server that listens on a port. Write {port} where the port belongs.",
        (
            _NAME,
            Field(
                "command",
                "Command",
                "Starts the server, as you would type it in this folder; {port} becomes the port to listen on.",
                kind="command",
                required=True,
            ),
            Field("health", "Health path", _HEALTH.help, ""),
            _PORT,
        ),
        ("model-definition.yaml", "model-requests.json"),
        600,
    ),
    Kind(
        "scikit-learn",
        "scikit-learn model",
        "A fitted estimator that skops saved (skops.io.dump). A small server is written, which loads it and answers "
        "POST /predict.",
        (
            _NAME,
            Field("file", "File", "What skops.io.dump wrote.", "model.skops", "file", required=True),
            Field(
                "method",
                "Method",
                "Of the estimator, which is called with the inputs.",
                "predict",
                "choice",
                choices=("predict", "predict_proba", "decision_function", "transform"),
            ),
            Field("example", "Example inputs", f"A list of rows. {_EXAMPLE_HELP}", "[[0.0, 0.0, 0.0, 0.0]]"),
            Field(
                "columns",
                "Columns",
                "Of the table that the model was fitted on, in order; empty: it was fitted on rows of numbers. A JSON "
                "list of names, or an object that says the type of each, as pandas calls it.",
                most=100_000,
            ),
            Field(
                "trusted",
                "Trusted types",
                "Types in the file that are safe though skops does not know it: full names, with commas between.",
                most=20_000,
            ),
            Field(
                "allow_pickle",
                "Load a pickle",
                "yes: load a file that joblib or pickle wrote. Whoever made it can run any code here as you; answer so "
                "only for a file of your own.",
                "no",
                "choice",
                choices=("no", "yes"),
            ),
            _PORT,
        ),
        _OUR_SERVER,
        300,
        ("scikit-learn", "skops"),
    ),
    Kind(
        "torch",
        "PyTorch model",
        "A model that torch.export.save wrote (.pt2). A small server is written, which loads it and answers "
        "POST /predict.",
        (
            _NAME,
            Field("file", "File", "What torch.export.save wrote.", "model.pt2", "file", required=True),
            Field(
                "dtype",
                "Type of the inputs",
                "Of the tensor that is made of them.",
                "float32",
                "choice",
                choices=("float32", "float16", "bfloat16", "float64", "int64", "int32"),
            ),
            Field("example", "Example inputs", f"Nested lists of numbers. {_EXAMPLE_HELP}", "[[0.0, 0.0, 0.0, 0.0]]"),
            _PORT,
        ),
        _OUR_SERVER,
        600,
        ("torch",),
    ),
    Kind(
        "transformers",
        "transformers model",
        "A model that save_pretrained wrote (config.json and safetensors). A small server is written, which makes a "
        "pipeline of it and answers POST /predict.",
        (
            _NAME,
            Field("task", "Task", "Of the pipeline, as transformers names it.", "text-classification", required=True),
            Field("path", "Folder", "Where config.json is; a dot: this folder.", ".", "file", required=True),
            Field("example", "Example inputs", f"What the pipeline takes. {_EXAMPLE_HELP}", '"What a fine day."'),
            _PORT,
        ),
        _OUR_SERVER,
        1800,
        ("transformers", "torch"),
    ),
)

#: All that a server may import.
PACKAGES = frozenset({"joblib", "pandas", *(package for kind in KINDS for package in kind.packages)})


def kind_named(name: str) -> Kind:
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise InvalidRequest(f"There is no kind {name[:40]!r}; there are {', '.join(kind.name for kind in KINDS)}.")


def completed(kind: Kind, given: Mapping[str, Any]) -> dict[str, Value]:
    """The value of every field: what was given, checked, else the default. ``InvalidRequest`` for the first that is
    wrong."""
    known = [field.name for field in kind.fields]
    for name in given:
        if name not in known:
            raise InvalidRequest(f"{kind.name} has no field {str(name)[:40]!r}; it has {', '.join(known)}.")
    return {field.name: _checked(kind, field, given.get(field.name, field.default)) for field in kind.fields}


def _checked(kind: Kind, field: Field, value: Any) -> Value:
    if field.kind == "number":
        return _number(field, value)
    text = str(value).strip()
    if "\n" in text or "\0" in text:
        raise InvalidRequest(f"{field.label}: write it in one line.")
    if len(text) > field.most:
        raise InvalidRequest(f"{field.label}: more than {field.most} characters are too many.")
    if not text and field.required:
        raise InvalidRequest(f"{field.label} is missing. {field.help}")
    if field.choices and text not in field.choices:
        raise InvalidRequest(f"{field.label}: {text!r} is none of {', '.join(field.choices)}.")
    if field.kind == "file" and (text.startswith("/") or ".." in text.split("/")):
        raise InvalidRequest(f"{field.label}: {text!r} is not in the folder; write its path from there.")
    if field.name == "health" and text and not text.startswith("/"):
        raise InvalidRequest(f"{field.label}: {text!r} is no path; write one such as /health.")
    return text


def _number(field: Field, value: Any) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:6])
    if not isinstance(value, int) or isinstance(value, bool) or not 2 <= value <= 65535:
        raise InvalidRequest(f"{field.label}: {str(value)[:20]!r} is no port; write a number from 2 to 65535.")
    return value
