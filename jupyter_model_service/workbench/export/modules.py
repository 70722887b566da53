"""A ``torch.nn.Module`` as ``torch.export`` writes it: the graph, the weights, and no pickle but of tensors.

Loading such a file can run code of its maker all the same, as PyTorch evaluates the expressions in it. The server may
load this one (``allow_code``), which is written here, of a model in memory.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from ..kinds import kind_named
from .examples import plain
from .saving import Saved, Wishes

__all__ = ["save_module"]

_FILE = "model.pt2"


def save_module(model: Any, into: Path, wishes: Wishes) -> Saved:
    torch: Any = import_module("torch")
    example = _tensor(torch, model, wishes.example)
    dtype = str(example.dtype).removeprefix("torch.")
    with torch.no_grad(), _as_served(model) as served:
        exported = _exported(torch, served, example, wishes)
        outputs = _answer(torch, exported, example)
    wishes.tell("saving")
    torch.export.save(exported, into / _FILE)
    notices = () if wishes.dynamic_batch else (f"The model takes batches of {len(example)} only.",)
    return Saved("torch", {"file": _FILE, "dtype": dtype, "allow_code": "yes"}, plain(example), outputs, notices)


def _tensor(torch: Any, model: Any, example: Any) -> Any:
    if example is None:
        raise InvalidRequest("torch.export needs inputs to follow: give example=, a tensor such as the model takes.")
    if isinstance(example, tuple):
        if len(example) != 1:
            raise InvalidRequest(
                f"The example has {len(example)} inputs, and the server that is written gives the model one tensor: "
                "wrap the module in one that takes a single tensor."
            )
        example = example[0]
    try:
        found = example if isinstance(example, torch.Tensor) else torch.as_tensor(example)
        if found is not example and found.is_floating_point():  # NumPy's are of 64 bits, which nobody asked for
            weights = (each.dtype for each in model.parameters() if each.is_floating_point())
            found = found.to(next(weights, torch.float32))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"The example is no tensor, nor can one be made of it: {_first_line(error)}.") from error
    known = kind_named("torch").field("dtype").choices
    dtype = str(found.dtype).removeprefix("torch.")
    if dtype not in known:
        raise InvalidRequest(f"The example is of type {dtype}, and JSON can be made to {', '.join(known)} only.")
    if found.dim() == 0 or found.shape[0] == 0:
        raise InvalidRequest("The example has no batch: its first dimension counts the inputs, such as (1, 4).")
    return found.detach().cpu()


@contextmanager
def _as_served(model: Any) -> Iterator[Any]:
    """Not training, and on the CPU, from where the server takes it to its own device; the caller's is as before."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(each.device.type != "cpu" for each in tensors):
        yield copy.deepcopy(model).cpu().eval()
        return
    modes = [(each, each.training) for each in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for each, training in modes:
            each.training = training


def _exported(torch: Any, model: Any, example: Any, wishes: Wishes) -> Any:
    """Of a batch of one, torch.export would take the one as a constant: two are shown to it."""
    shown, shapes = example, None
    if wishes.dynamic_batch:
        shown = torch.cat([example, example]) if len(example) == 1 else example
        shapes = ({0: torch.export.Dim("batch")},)
    try:
        model(shown)
    except Exception as error:  # whatever a module raises
        raise InvalidRequest(f"The model cannot take the example: {_first_line(error)}.") from error
    wishes.tell("exporting (torch.export)")
    try:
        return torch.export.export(model, (shown,), dynamic_shapes=shapes)
    except Exception as error:  # of several kinds, and not all are documented
        raise InvalidRequest(f"torch.export cannot follow this {type(model).__name__}: {_why(error)}.") from error


def _answer(torch: Any, exported: Any, example: Any) -> Any:
    def on_cpu(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.float() if value.is_floating_point() else value
        if isinstance(value, dict):
            return {name: on_cpu(each) for name, each in value.items()}
        return [on_cpu(each) for each in value] if isinstance(value, list | tuple) else value

    return plain(on_cpu(exported.module()(example)), "What the model gives")


def _why(error: BaseException) -> str:
    reason = _first_line(error)
    if "onstraints violated" in reason:
        return f"it does not take batches of every size ({reason}); dynamic_batch=False keeps that of the example"
    if "data-dependent" in reason:
        return f"what it does depends on the values in a tensor ({reason}); write that with torch.where or torch.cond"
    return reason


def _first_line(error: BaseException) -> str:
    """torch explains over pages; the first line that says something is the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return (text if len(text) <= 240 else text[:239] + "…").rstrip(".:")
