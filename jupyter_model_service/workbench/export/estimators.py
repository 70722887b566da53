"""A fitted estimator of scikit-learn, saved by skops: loading that runs no code but that of types known as safe."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from ..kinds import kind_named
from .examples import plain
from .saving import Saved, Wishes
from .tables import columns_in_example, columns_of, is_table, rows, taken
from .trust import trusted_here

__all__ = ["save_estimator"]

_FILE = "model.skops"
_PICKLE = "model.joblib"
_NAMED = 5  # types, in a sentence


def save_estimator(model: Any, into: Path, wishes: Wishes) -> Saved:
    what = type(model).__name__
    _check_fitted(model, what)
    method = _method(model, what, wishes.method)
    columns, inputs, outputs = _tried(model, method, wishes.example)
    wishes.tell("saving (skops)")
    fields = {"method": method, **_dumped(model, what, into, wishes)}
    if columns is not None:
        fields["columns"] = json.dumps(columns, ensure_ascii=False)
    return Saved("scikit-learn", fields, None if outputs is None else inputs, outputs)


def _check_fitted(model: Any, what: str) -> None:
    validation: Any = import_module("sklearn.utils.validation")
    not_fitted: Any = import_module("sklearn.exceptions").NotFittedError
    try:
        validation.check_is_fitted(model)
    except not_fitted:
        raise InvalidRequest(f"This {what} is not fitted yet: call its fit method first.") from None
    except TypeError:  # it has no fit
        raise InvalidRequest(f"This {what} is no estimator that can be fitted.") from None


def _method(model: Any, what: str, asked: str | None) -> str:
    known = kind_named("scikit-learn").field("method").choices
    has = [name for name in known if hasattr(model, name)]
    if asked is None and has:
        return has[0]
    if asked in has:
        return asked
    raise InvalidRequest(
        f"This {what} has {'no method to call with new data' if asked is None else f'no {asked[:40]!r} to be called'}; "
        f"what can be served is {', '.join(has or known)}."
    )


def _zeros(model: Any) -> Any:
    """A row that it takes, where nobody gave one."""
    count = getattr(model, "n_features_in_", None)
    return [[0.0] * int(count)] if isinstance(count, int) and count > 0 else None


def _tried(model: Any, method: str, example: Any) -> tuple[dict[str, str] | None, Any, Any]:
    """The columns of the table that the server makes of inputs (``None``: the model has them as they come), the inputs
    as JSON, and the answer (``None``: to zeros, which it need not take)."""
    columns = columns_of(model, example)
    if columns is not None and find_spec("pandas"):
        inputs = rows(example) if is_table(example) else _zeros(model) if example is None else plain(example)
        return columns, inputs, _answer(model, method, inputs, example is not None, taken(columns))
    inputs = _zeros(model) if example is None else plain(example)
    if inputs is None:
        return None, None, None
    try:
        return None, inputs, _answer(model, method, inputs, example is not None)
    except InvalidRequest as error:
        if columns is not None:
            raise InvalidRequest(
                f"{error.message} It was fitted on a table with named columns, which the server can make with pandas "
                "only: install pandas here, or fit the model on arrays instead of tables."
            ) from error
        columns = columns_in_example(example)  # one that keeps no names may ask for columns by them
        if columns is None:
            raise
        return columns, rows(example), _answer(model, method, rows(example), True, taken(columns))


def _answer(
    model: Any, method: str, inputs: Any, given: bool, taken: Callable[[Any], Any] = lambda inputs: inputs
) -> Any:
    """To the example as the server has it: lists or what it makes of them, not the table or array that was given."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model's owner knows them
            return plain(getattr(model, method)(taken(inputs)), f"What {method} gives")
    except InvalidRequest:
        raise
    except Exception as error:  # whatever an estimator raises
        if not given:
            return None
        raise InvalidRequest(
            f"{method} cannot take the example as a list, which is how it comes over HTTP: {_first_line(error)}."
        ) from error


# --- files ---------------------------------------------------------------------------------------------


def _dumped(model: Any, what: str, into: Path, wishes: Wishes) -> dict[str, Any]:
    try:
        skops: Any = import_module("skops.io")
    except ImportError:
        if wishes.allow_pickle:
            return _pickled(model, what, into)
        raise InvalidRequest(
            "skops is not installed here, and the other way to save an estimator is a pickle, which runs whatever code "
            "its maker put in when it is loaded: install skops, or say allow_pickle=True."
        ) from None
    file = into / _FILE
    try:
        skops.dump(model, file)
        unknown = list(skops.get_untrusted_types(file=file))
    except Exception as error:  # whatever the model's own types raise
        file.unlink(missing_ok=True)
        if wishes.allow_pickle:
            return _pickled(model, what, into)
        raise InvalidRequest(
            f"skops cannot save this {what} ({_first_line(error)}), and the other way is a pickle, which runs whatever "
            "code its maker put in when it is loaded: say allow_pickle=True if that is yours."
        ) from error
    _check_importable(unknown)
    unsure = [each for each in unknown if each not in wishes.trusted and not trusted_here(each)]
    if not unsure:
        return {"file": _FILE, "trusted": ", ".join(unknown)}
    file.unlink()
    if wishes.allow_pickle:
        return _pickled(model, what, into)
    raise InvalidRequest(_distrust(what, unsure))


def _distrust(what: str, unknown: list[str]) -> str:
    more = len(unknown) > _NAMED
    shown = ", ".join(unknown[:_NAMED]) + (f" and {len(unknown) - _NAMED} more" if more else "")
    named = ", ".join(repr(each) for each in unknown[:_NAMED]) + (", …" if more else "")
    return (
        f"This {what} has types that are not known as safe to load: {shown}. Look at what their code does, and where "
        f"you trust it say trusted=[{named}]; or allow_pickle=True for a pickle, which is not checked at all."
    )


def _check_importable(types: list[str]) -> None:
    for each in types:
        if each.startswith("__main__."):
            raise InvalidRequest(
                f"{each.removeprefix('__main__.')} is defined in this notebook or script, where the server cannot "
                "import it: use one that an installed package has."
            )


def _pickled(model: Any, what: str, into: Path) -> dict[str, Any]:
    joblib: Any = import_module("joblib")  # scikit-learn needs it, too
    try:
        joblib.dump(model, into / _PICKLE)
    except Exception as error:  # of lambdas, open files, locks
        raise InvalidRequest(f"This {what} cannot even be pickled: {_first_line(error)}.") from error
    return {"file": _PICKLE, "allow_pickle": "yes"}


def _first_line(error: BaseException) -> str:
    text = " ".join((str(error) or type(error).__name__).split())
    return (text if len(text) <= 200 else text[:199] + "…").rstrip(".")
