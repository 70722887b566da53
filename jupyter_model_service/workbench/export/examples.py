"""Example inputs and the answers to them, as JSON has them. Pure; arrays and tensors are told by what they can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...errors import InvalidRequest

__all__ = ["plain", "shape"]

_SHOWN = 4  # keys of an object, in words


def plain(value: Any, what: str = "The example") -> Any:
    """Arrays, tensors and tables as nested lists. ``InvalidRequest`` for what no JSON can hold."""
    found = _plain(value, what)
    try:
        json.dumps(found, allow_nan=False)
    except ValueError:
        raise InvalidRequest(f"{what} holds a NaN or an infinity, which JSON does not have.") from None
    return found


def _plain(value: Any, what: str) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if type(value) in (int, float):
        return value
    if hasattr(value, "detach"):  # a tensor, wherever it is
        value = value.detach().cpu()
    elif hasattr(value, "to_numpy"):  # a table
        value = value.to_numpy()
    elif hasattr(value, "toarray"):  # a sparse matrix
        value = value.toarray()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(each, what) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, what) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InvalidRequest(
        f"{what} has a {type(value).__name__}, which JSON does not have: give numbers, texts, lists of them or arrays."
    )


def shape(answer: Any) -> str:
    """``3 numbers``, ``2 × 3 numbers``, ``a list of 1 object with label, score``: what an answer looks like."""
    sizes = []
    while isinstance(answer, list) and answer:
        sizes.append(len(answer))
        if any(type(each) is not type(answer[0]) for each in answer):
            return f"{_times(sizes)} values"
        if isinstance(answer[0], list) and len({len(each) for each in answer}) > 1:
            return f"{_times(sizes)} lists"
        answer = answer[0]
    many = bool(sizes) and sizes != [1]
    return f"{_times(sizes)} {_leaf(answer, many)}".strip() if sizes else f"a {_leaf(answer, False)}"


def _times(sizes: list[int]) -> str:
    return " × ".join(map(str, sizes))


def _leaf(value: Any, many: bool) -> str:
    ending = "s" if many else ""
    if isinstance(value, dict):
        keys = list(value)[:_SHOWN]
        more = ", …" if len(value) > _SHOWN else ""
        return f"object{ending} with {', '.join(keys)}{more}"
    if isinstance(value, list):
        return f"empty list{ending}"
    if isinstance(value, bool):
        return f"truth value{ending}"
    return f"{'text' if isinstance(value, str) else 'number' if isinstance(value, int | float) else 'value'}{ending}"
