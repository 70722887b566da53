"""A pipeline of transformers, with its weights as safetensors, which run no code when they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from .examples import plain
from .saving import Saved, Wishes

__all__ = ["save_pipeline"]

_FOLDER = "model"
_UNSAFE = (".bin", ".pt", ".pth", ".pkl", ".h5", ".msgpack")


def save_pipeline(model: Any, into: Path, wishes: Wishes) -> Saved:
    what = type(model).__name__
    task = getattr(model, "task", "")
    if not isinstance(task, str) or not task:
        raise InvalidRequest(
            f"This {what} has no task, by which the server would make it again: make it by pipeline()."
        )
    inputs = None if wishes.example is None else plain(wishes.example)
    outputs = None
    if inputs is not None:
        try:
            outputs = plain(model(inputs), "What the pipeline gives")
        except InvalidRequest:
            raise
        except Exception as error:  # whatever a pipeline raises
            raise InvalidRequest(f"The pipeline cannot take the example as JSON has it: {_reason(error)}.") from error
    folder = into / _FOLDER
    wishes.tell("saving (safetensors)")
    try:
        model.save_pretrained(str(folder))
    except Exception as error:
        raise InvalidRequest(f"This {what} cannot be saved: {_reason(error)}.") from error
    _check(folder, what)
    return Saved("transformers", {"task": task, "path": _FOLDER}, inputs, outputs)


def _check(folder: Path, what: str) -> None:
    names = sorted(path.name for path in folder.rglob("*") if path.is_file())
    code = [name for name in names if name.endswith(".py")]
    if code:
        raise InvalidRequest(
            f"This {what} has code of its own ({code[0]}), which the server that is written does not run: write the "
            "server yourself."
        )
    if unsafe := [name for name in names if name.endswith(_UNSAFE)]:
        raise InvalidRequest(
            f"This {what} was saved with {unsafe[0]}, which can run code when it is loaded: safetensors are served."
        )
    if not any(name.endswith(".safetensors") for name in names):
        raise InvalidRequest(f"This {what} was saved without safetensors: only a model of PyTorch has them.")


def _reason(error: BaseException) -> str:
    text = " ".join((str(error) or type(error).__name__).split())
    return (text if len(text) <= 200 else text[:199] + "…").rstrip(".")
