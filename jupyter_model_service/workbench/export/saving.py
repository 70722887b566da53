"""What an object is, and the one way to save it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from ..kinds import PICKLES

__all__ = ["Saved", "Wishes", "family_of", "save"]


@dataclass(frozen=True)
class Wishes:
    """What the caller of ``deploy`` said about saving. ``trusted`` are names of types that skops may load besides those
    that it knows as safe; ``method`` is an estimator's. ``tell`` is told what goes on, in words: loading PyTorch and
    following a model takes many seconds."""

    example: Any = None
    method: str | None = None
    trusted: Sequence[str] = ()
    allow_pickle: bool = False
    dynamic_batch: bool = True
    tell: Callable[[str], None] = lambda what: None


@dataclass(frozen=True)
class Saved:
    """What was saved, in the words of a draft: ``fields`` of the ``kind``. ``inputs`` and ``outputs`` are the example
    and the model's own answer to it, as JSON (``None``: there is no example)."""

    kind: str
    fields: Mapping[str, Any]
    inputs: Any = None
    outputs: Any = None
    notices: Sequence[str] = field(default=())


def family_of(model: Any) -> str:
    """``scikit-learn``, ``torch`` or ``transformers``, by the modules that the object's classes come from.
    ``InvalidRequest`` for anything else."""
    if isinstance(model, type):
        raise InvalidRequest(f"deploy takes a model, and {model.__name__} is a class: give an object of it.")
    if isinstance(model, str | Path | bytes):
        if str(model).endswith(PICKLES):
            raise InvalidRequest(
                f"{str(model)[:80]} is a pickle, and loading one runs whatever code its maker put in: load it yourself "
                "if you trust it, and give deploy the model."
            )
        raise InvalidRequest(
            "deploy takes the model itself, not its name or file; of a folder with a saved model, "
            "`jupyter model-service init FOLDER` writes a definition."
        )
    classes = {(each.__module__.partition(".")[0], each.__name__) for each in type(model).__mro__}
    if ("transformers", "Pipeline") in classes:
        return "transformers"
    if ("torch", "Module") in classes:
        return "torch"
    if ("sklearn", "BaseEstimator") in classes:
        return "scikit-learn"
    raise InvalidRequest(
        f"deploy takes a fitted estimator of scikit-learn, a torch.nn.Module or a pipeline of transformers, and "
        f"{type(model).__module__}.{type(model).__name__} is none: `jupyter model-service init FOLDER` writes a folder "
        "for any server."
    )


def save(model: Any, into: Path, wishes: Wishes) -> Saved:
    """Save the model to files in the folder ``into``. ``InvalidRequest`` says why it cannot be."""
    family = family_of(model)
    if family == "scikit-learn":
        from .estimators import save_estimator

        return save_estimator(model, into, wishes)
    if family == "torch":
        from .modules import save_module

        return save_module(model, into, wishes)
    from .pipelines import save_pipeline

    return save_pipeline(model, into, wishes)
