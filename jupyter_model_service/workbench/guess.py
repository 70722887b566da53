"""What a folder holds, as far as its names and the beginnings of a few files tell: the kinds that fit, best first.
Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .kinds import MODULE, PICKLES, Value

__all__ = ["Guess", "Listing", "guesses"]

_TASKS = {
    "SequenceClassification": ("text-classification", '"What a fine day."'),
    "TokenClassification": ("token-classification", '"Ada lives in London."'),
    "CausalLM": ("text-generation", '"Once upon a time"'),
    "LMHeadModel": ("text-generation", '"Once upon a time"'),
    "MaskedLM": ("fill-mask", '"What a [MASK] day."'),
    "ImageClassification": ("image-classification", '"https://example.org/cat.png"'),
    "Model": ("feature-extraction", '"What a fine day."'),
}
#: Variables that an ASGI application is kept in: ``app = FastAPI(…)``, ``api: FastAPI = fastapi.FastAPI()``.
_ASGI = re.compile(r"^([A-Za-z_]\w*)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?(FastAPI|Starlette|Litestar|Quart)\(", re.MULTILINE)
_FLASK = re.compile(r"^([A-Za-z_]\w*)\s*(?::[^=\n]+)?=\s*(?:\w+\.)?Flask\(", re.MULTILINE)
_ROUTE = re.compile(r"""\.(?:get|route|api_route)\(\s{0,40}["'](/[\w./-]{0,200})["']""")
#: What Python can import; Flask finds any other file by its path.
_IDENTIFIERS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_OF_PROBES = ("health", "ready", "live", "ping", "status")
_LONGEST = 2_000  # characters of a line in which anything is looked for; nobody writes a longer one by hand
_SERVERS = ("serve.py", "server.py", "app.py", "main.py")
_SCRIPTS = ("serve.sh", "start.sh", "run.sh")


@dataclass(frozen=True)
class Listing:
    """``files`` are names relative to the folder, with slashes; ``texts`` the beginnings of those that were read."""

    files: tuple[str, ...]
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Guess:
    kind: str
    reason: str
    fields: Mapping[str, Value]


def guesses(listing: Listing) -> list[Guess]:
    """Never empty: where nothing is known, an application to begin with is offered."""
    found = [*_applications(listing), *_pretrained(listing), *_estimators(listing), *_modules(listing)]
    found += _programs(listing) if not any(each.kind == "fastapi" for each in found) else []
    return found or [Guess("fastapi", "Nothing here says what it is: a small FastAPI application is a beginning.", {})]


def _applications(listing: Listing) -> Iterator[Guess]:
    for file, text in _python(listing):
        found = _ASGI.search(text)
        if found is None:
            continue
        health = _health(text)
        # FastAPI always answers this one; others may have nothing at all.
        path = health or ("/openapi.json" if found[2] == "FastAPI" else "")
        module = _module(file)
        if module is None:
            continue
        reason = f"{file} has {_a(found[2])} application, {found[1]}."
        yield Guess("fastapi", reason, {"app": f"{module}:{found[1]}", "health": path})


def _pretrained(listing: Listing) -> Iterator[Guess]:
    for file in sorted(listing.files, key=lambda name: name.count("/")):
        folder, _, name = file.rpartition("/")
        if name != "config.json":
            continue
        architecture = _architecture(listing.texts.get(file, ""))
        below = f"{folder}/" if folder else ""
        weights = [each for each in listing.files if each.startswith(below) and each.endswith(".safetensors")]
        if architecture is None or not weights:
            continue
        reason = f"{file} describes {_a(architecture)}, and {weights[0]} has its weights."
        task, example = next((_TASKS[end] for end in _TASKS if architecture.endswith(end)), ("", ""))
        fields: dict[str, Value] = {"path": folder or "."}
        yield Guess("transformers", reason, fields | ({"task": task, "example": example} if task else {}))
        if task == "text-generation":
            model = f"/models/{folder}" if folder else "/models"
            yield Guess("vllm", f"{architecture} is a language model, which vLLM serves faster.", {"model": model})


def _architecture(config: str) -> str | None:
    try:
        data = json.loads(config)
        first = data["architectures"][0]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return first if isinstance(first, str) and first.isidentifier() else None


def _estimators(listing: Listing) -> Iterator[Guess]:
    for file in listing.files:
        if file.endswith(".skops"):
            yield Guess("scikit-learn", f"{file} was written by skops.", {"file": file})
    for file in listing.files:
        if file.endswith(PICKLES):
            reason = f"{file} is a pickle, perhaps of an estimator: loading it runs whatever code its maker put in."
            yield Guess("scikit-learn", reason, {"file": file})


def _modules(listing: Listing) -> Iterator[Guess]:
    for file in listing.files:
        if file.endswith(".pt2"):
            yield Guess("torch", f"{file} was written by torch.export.save.", {"file": file})
    if any(file.endswith(".pt2") for file in listing.files):
        return
    for file in listing.files:
        if file.endswith((".pt", ".pth")):
            reason = (
                f"{file} is PyTorch's, but weights without the model, or a pickle, which runs code when it is loaded: "
                "save the model with torch.export.save as model.pt2, and it can be served."
            )
            yield Guess("torch", reason, {"file": "model.pt2"})


def _programs(listing: Listing) -> Iterator[Guess]:
    for file, text in _python(listing):
        if (found := _FLASK.search(text)) is not None:
            module = _module(file) or ""
            where = module if _IDENTIFIERS.fullmatch(module) else f"./{file}"
            # A shell runs it, and the name of the file is whoever's who made the folder.
            command = f"flask --app {shlex.quote(f'{where}:{found[1]}')} run --host 0.0.0.0 --port {{port}}"
            reason = f"{file} has a Flask application, {found[1]}."
            yield Guess("command", reason, {"command": command, "health": _health(text)})
    for file in _SERVERS:
        if "--port" in listing.texts.get(file, ""):
            command = f"python3 {file} --port {{port}}"
            yield Guess("command", f"{file} is a program that takes a --port.", {"command": command})
    for file in _SCRIPTS:
        if file in listing.files:
            yield Guess("command", f"{file} looks as if it started a server.", {"command": f"PORT={{port}} sh {file}"})


def _python(listing: Listing) -> Iterator[tuple[str, str]]:
    """Programs at the top first, those with a usual name first."""

    def rank(file: str) -> tuple[int, int, str]:
        return file.count("/"), _SERVERS.index(file) if file in _SERVERS else len(_SERVERS), file

    for file in sorted(listing.texts, key=rank):
        if file.endswith(".py") and not file.rpartition("/")[2].startswith("test_"):
            yield file, "\n".join(line for line in listing.texts[file].split("\n") if len(line) <= _LONGEST)


def _module(file: str) -> str | None:
    """As `uvicorn` takes it, which imports `my app` and `my-app`, too; ``None``: it cannot."""
    module = file.removesuffix(".py")
    return None if "." in module or not MODULE.fullmatch(module.replace("/", ".")) else module.replace("/", ".")


def _health(program: str) -> str:
    """The first route that sounds like one for probes; empty: there is none."""
    routes = (found[1] for found in _ROUTE.finditer(program))
    return next((route for route in routes if any(word in route for word in _OF_PROBES)), "")


def _a(word: str) -> str:
    return f"{'an' if word[:1] in 'AEIOU' else 'a'} {word}"
