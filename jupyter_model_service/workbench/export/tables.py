"""Tables with names: what an estimator that was fitted on one is given, as JSON has it and as the server makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ...errors import InvalidRequest
from ..servers import table_function
from .examples import plain

__all__ = ["columns_in_example", "columns_of", "is_table", "rows", "taken"]


def is_table(example: Any) -> bool:
    """A DataFrame of pandas, told by what it can do."""
    return hasattr(example, "columns") and hasattr(example, "iloc") and hasattr(example, "dtypes")


def columns_of(model: Any, example: Any) -> dict[str, str] | None:
    """The columns that the estimator was fitted with, and the types that the example has them of (empty: not known).
    ``None`` where it knows none, or where their names do not tell them apart. ``InvalidRequest`` where the example has
    others."""
    names = [str(each) for each in getattr(model, "feature_names_in_", ())]
    if not names or len(set(names)) < len(names):
        return None
    return dict.fromkeys(names, "") | _types(example, names) if is_table(example) else dict.fromkeys(names, "")


def _types(example: Any, names: list[str]) -> dict[str, str]:
    has = [str(each) for each in example.columns]
    for what, which in (
        ("lacks", [each for each in names if each not in has]),
        ("has, besides those that the model was fitted on,", [each for each in has if each not in names]),
    ):
        if which:
            more = f" and {len(which) - 10} more" if len(which) > 10 else ""
            raise InvalidRequest(f"The example {what} {', '.join(which[:10])}{more}.")
    return {str(name): str(dtype) for name, dtype in example.dtypes.items()}


def columns_in_example(example: Any) -> dict[str, str] | None:
    """Of the example alone, for an estimator that keeps no names."""
    if not is_table(example) or not all(isinstance(each, str) for each in example.columns):
        return None
    names = list(example.columns)
    return _types(example, names) if names and len(set(names)) == len(names) else None


def rows(example: Any) -> Any:
    """Objects with the names of the columns; null where the table has nothing."""
    return plain([{str(name): _cell(value) for name, value in row.items()} for row in example.to_dict("records")])


def _cell(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()  # NaT is not itself
    if hasattr(value, "item"):
        value = value.item()
    unknown = value != value if isinstance(value, float) else type(value).__name__ == "NAType"
    return None if unknown else value


def taken(columns: Mapping[str, str]) -> Callable[[Any], Any]:
    """What the server makes of inputs before the model has them."""
    return table_function(columns, import_module("pandas"))
