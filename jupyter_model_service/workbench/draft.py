"""From a kind and what was filled in to the files of a model folder. Pure, but for :func:`write`."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters.yaml_document import YamlProblem, read_yaml
from ..core.command import resolve
from ..core.definition import parse
from ..errors import Conflict, DefinitionError, InvalidRequest
from ..model_folder import FILE_NAMES
from ..wire.workbench import SampleRequest
from .kinds import MODULE, PICKLES, Kind, Values, completed, kind_named
from .samples import FILE as SAMPLES
from .samples import samples_text, write_file
from .servers import fastapi_application, server_of

__all__ = ["Draft", "Drafted", "Note", "draft", "write"]

DEFINITION = FILE_NAMES[0]
_WIDTH = 100
_ANYWHERE = "0.0.0.0"


@dataclass(frozen=True)
class Note:
    """What the line of a file (counted from 1) is for."""

    line: int
    text: str


@dataclass(frozen=True)
class Drafted:
    name: str
    text: str
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Draft:
    """``files`` has the definition first."""

    files: tuple[Drafted, ...]

    def names(self) -> list[str]:
        return [file.name for file in self.files]


def draft(
    kind: str,
    fields: Mapping[str, Any],
    *,
    folder: str,
    present: Collection[str] = (),
    versions: Mapping[str, str] | None = None,
) -> Draft:
    """``folder`` is the folder's bare name; ``present`` are the names of the files in it; ``versions`` of the packages
    that are installed here, by which ``requirements.txt`` is pinned.

    ``InvalidRequest`` when a field is wrong, or when what would be written could not be served.
    """
    chosen = kind_named(kind)
    values = completed(chosen, fields)
    values["name"] = values["name"] or folder or "model"
    _check(chosen, values)
    parts = _PARTS[kind](values, present)
    definition = _definition(chosen, values, parts)
    _check_definition(definition.text)
    files = [definition, *(Drafted(name, text) for name, text in parts.files)]
    if packages := _packages(chosen, values):
        files.append(Drafted("requirements.txt", _requirements(packages, versions or {})))
    if parts.samples:
        files.append(Drafted(SAMPLES, samples_text(parts.samples)))
    return Draft(tuple(files))


def write(found: Draft, folder: Path, *, force: bool) -> list[str]:
    """Write what is not there yet, everything with ``force``; returns the names of what was written. ``Conflict`` when
    there is a definition already: then nothing is written."""
    there = [name for name in FILE_NAMES if _exists(folder / name)]
    if there and not force:
        raise Conflict(f"The folder has a {there[0]} already: edit it, or write over it with force.")
    written = []
    try:
        for file in found.files:
            if force or not _exists(folder / file.name):
                write_file(folder / file.name, file.text, over=force)
                written.append(file.name)
        for name in there:
            if name != DEFINITION:  # two definitions would be one too many
                (folder / name).unlink()
    except OSError as error:
        raise InvalidRequest(
            f"{file.name} cannot be written to {folder}: {(error.strerror or str(error)).lower()}."
        ) from error
    return written


def _exists(path: Path) -> bool:
    """A link that leads nowhere is something, too."""
    return path.is_symlink() or path.exists()


# --- what each kind comes to ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Parts:
    command: Sequence[str] | str
    command_note: str
    health: str
    samples: tuple[SampleRequest, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    health_note: str = "Asked for with GET; 200 means that the model can be called."


_PORT_NOTE = (
    "{port} becomes the port to listen on, and 0.0.0.0 the address: on one machine each replica gets a free port of "
    "its own on loopback, in a container they stay as they are."
)


def _fastapi(values: Values, present: Collection[str]) -> _Parts:
    app, health = str(values["app"]), str(values["health"])
    module = app.partition(":")[0]
    file = module.replace(".", "/") + ".py"
    command = ["uvicorn", "--app-dir", "/models", app, "--host", _ANYWHERE, "--port", "{port}"]
    note = f"Starts the server: uvicorn with {app.partition(':')[2]} of {file}. {_PORT_NOTE}"
    if "." in module or file in present or f"{module}/__init__.py" in present:
        return _Parts(command, note, health, (SampleRequest(name="health", path=health or "/"),))
    sample = SampleRequest(name="predict", method="POST", path="/predict", body={"inputs": [1, 2, 3.5]})
    return _Parts(command, note, health or "/health", (sample,), ((file, fastapi_application(values)),))


def _vllm(values: Values, present: Collection[str]) -> _Parts:
    name = str(values["name"])
    command = ["vllm", "serve", str(values["model"]), "--served-model-name", name, "--host", _ANYWHERE]
    command += ["--port", "{port}", *_words(values["options"])]
    body = {"model": name, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 32}
    sample = SampleRequest(name="chat", method="POST", path="/v1/chat/completions", body=body)
    return _Parts(command, f"Starts vLLM, which answers as OpenAI's API does. {_PORT_NOTE}", "/health", (sample,))


def _command(values: Values, present: Collection[str]) -> _Parts:
    health = str(values["health"])
    sample = SampleRequest(name="health" if health else "root", path=health or "/")
    note = f"Starts the server; a shell runs it in this folder. {_PORT_NOTE}"
    return _Parts(str(values["command"]), note, health, (sample,))


def _served(kind: str) -> Callable[[Values, Collection[str]], _Parts]:
    def parts(values: Values, present: Collection[str]) -> _Parts:
        command = ["python3", "serve.py", "--host", _ANYWHERE, "--port", "{port}"]
        note = f"Starts serve.py, which loads the model and answers POST /predict. {_PORT_NOTE}"
        body = {"inputs": _json(values["example"])}
        sample = SampleRequest(name="predict", method="POST", path="/predict", body=body)
        return _Parts(command, note, "/health", (sample,), (("serve.py", server_of(kind, values)),))

    return parts


_PARTS: dict[str, Callable[[Values, Collection[str]], _Parts]] = {
    "fastapi": _fastapi,
    "vllm": _vllm,
    "command": _command,
    **{kind: _served(kind) for kind in ("scikit-learn", "torch", "transformers")},
}


def _check(kind: Kind, values: Values) -> None:
    """What no single field can say."""
    app = values.get("app")
    module, _, variable = str(app).rpartition(":")
    if app is not None and not (MODULE.fullmatch(module) and variable.isidentifier()):
        raise InvalidRequest(f"Application: {app!r} is not MODULE:VARIABLE, such as app:app for `app` in app.py.")
    file = str(values.get("file", ""))
    if kind.name == "scikit-learn" and file.endswith(PICKLES) and values["allow_pickle"] != "yes":
        raise InvalidRequest(
            f"{file} is a pickle, and loading one runs whatever code its maker put in. Save the model with "
            "skops.io.dump(model, 'model.skops') instead; or, for a file of your own, set allow_pickle to yes."
        )
    if kind.name == "torch" and not file.endswith(".pt2"):
        raise InvalidRequest(
            f"{file} is not what torch.export.save writes (.pt2), and other files of PyTorch are weights without the "
            "model, or pickles, which can run code when they are loaded. Save it with "
            "torch.export.save(torch.export.export(model, (example,)), 'model.pt2')."
        )
    if "example" in values:
        _json(values["example"])


def _json(text: Any) -> Any:
    try:
        return json.loads(str(text))
    except ValueError:
        raise InvalidRequest(
            f"Example inputs: {str(text)[:60]!r} is no JSON; a text stands in double quotes."
        ) from None


def _words(text: Any) -> list[str]:
    try:
        return shlex.split(str(text))
    except ValueError as error:
        raise InvalidRequest(f"More options: {str(text)[:60]!r} cannot be read ({error}): close the quote.") from None


def _check_definition(text: str) -> None:
    """That it can be served, in a container and as a process beside others."""
    try:
        document = read_yaml(text)
        definition, _ = parse(document.data, document.lines, document.spelling)
    except YamlProblem as error:
        raise InvalidRequest(f"The definition would be no YAML: {error.message}.") from None
    except DefinitionError as error:
        raise InvalidRequest(error.problems[0].message[:1].upper() + error.problems[0].message[1:] + ".") from None
    resolve(definition, service="check", replica="check", port=definition.port, folder="/models")


# --- requirements.txt ----------------------------------------------------------------------------------


def _packages(kind: Kind, values: Values) -> tuple[str, ...]:
    tables = ("pandas",) if str(values.get("columns", "")) else ()
    if kind.name == "scikit-learn" and str(values["file"]).endswith(PICKLES):
        return ("scikit-learn", "joblib", *tables)
    return (*kind.packages, *tables)


def _requirements(packages: Sequence[str], versions: Mapping[str, str]) -> str:
    """The local part of a version (torch 2.9+cpu) is of this machine only."""
    pinned = [f"{name}=={versions[name].partition('+')[0]}" if name in versions else name for name in packages]
    return "\n".join(["# What the server imports.", *pinned, ""])


# --- model-definition.yaml -----------------------------------------------------------------------------


class _Yaml:
    """Lines, each with a comment above it that says what it is for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[Note] = []

    def add(self, text: str, note: str = "") -> None:
        indent = text[: len(text) - len(text.lstrip(" "))]
        comment = indent + "# "
        self.lines += textwrap.wrap(note, _WIDTH, initial_indent=comment, subsequent_indent=comment)
        self.lines.append(text)
        if note:
            self.notes.append(Note(len(self.lines), note))


def _definition(kind: Kind, values: Values, parts: _Parts) -> Drafted:
    yaml = _Yaml()
    yaml.add(f"# How this folder is served: {kind.title}.")
    yaml.add("models:")
    yaml.add(f"  - name: {_scalar(str(values['name']))}", "The model's name: anything. A service is called after it.")
    yaml.add(
        "    model_path: /models",
        "The folder as the server sees it, and where it is started. Code finds it in the variable BACKEND_MODEL_PATH.",
    )
    yaml.add("    service:")
    if _packages(kind, values):
        yaml.add(
            "      # pre_start_actions:",
            "Where the image of a container lacks packages, take the # away: this runs before each start.",
        )
        yaml.notes.pop()  # nothing that holds
        yaml.add('      # - {action: run_command, args: {command: [pip3, install, -r, "/models/requirements.txt"]}}')
    _command_lines(yaml, parts)
    yaml.add(f"      port: {values['port']}", "The port that it listens on in a container of its own.")
    if parts.health:
        yaml.add("      health_check:", "How to see that the server is well; without it, an open port is enough.")
        yaml.add(f"        path: {_scalar(parts.health)}", parts.health_note)
        yaml.add("        interval: 5", "Seconds from one check to the next.")
        yaml.add("        max_retries: 3", "So many failed checks in a row, and the replica is replaced.")
        yaml.add(
            f"        initial_delay: {kind.loading}",
            "Seconds that loading may take. Checks begin at once; this is when a start is given up.",
        )
    return Drafted(DEFINITION, "\n".join(yaml.lines) + "\n", tuple(yaml.notes))


def _command_lines(yaml: _Yaml, parts: _Parts) -> None:
    if isinstance(parts.command, str):
        yaml.add(f"      start_command: {_scalar(parts.command)}", parts.command_note)
        return
    yaml.add(f"      start_command: [{', '.join(_scalar(word) for word in parts.command)}]", parts.command_note)


_PLAIN = re.compile(r"(--)?[A-Za-z/][\w./-]*")
_WORDS_OF_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _scalar(text: str) -> str:
    """JSON's quoting is YAML's, too."""
    if _PLAIN.fullmatch(text) and text.isascii() and text.lower() not in _WORDS_OF_YAML:
        return text
    return json.dumps(text, ensure_ascii=False)
