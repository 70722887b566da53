"""A fitted estimator of scikit-learn, saved by skops: loading that runs no code but that of types known as safe."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from ...errors import InvalidRequest
from ..kinds import kind_named
from .examples import plain
from .saving import Saved, Wishes

__all__ = ["save_estimator"]

_FILE = "model.skops"
_PICKLE = "model.joblib"
_NAMED = 5  # types, in a sentence


def save_estimator(model: Any, into: Path, wishes: Wishes) -> Saved:
    what = type(model).__name__
    _check_fitted(model, what)
    method = _method(model, what, wishes.method)
    inputs = plain(wishes.example) if wishes.example is not None else _zeros(model)
    outputs = None if inputs is None else _answer(model, method, inputs, wishes.example is not None)
    fields = {"method": method, **_dumped(model, what, into, wishes)}
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


def _answer(model: Any, method: str, inputs: Any, given: bool) -> Any:
    """To the example as the server has it: lists, not the table or array that was given."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that lists have no names of columns
            return plain(getattr(model, method)(inputs), f"What {method} gives")
    except InvalidRequest:
        raise
    except Exception as error:  # whatever an estimator raises
        if not given:
            return None
        raise InvalidRequest(
            f"{method} cannot take the example as a list, which is how it comes over HTTP: {_first_line(error)}. Fit "
            "the model on arrays instead of tables, or write the server yourself."
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
    if set(unknown) <= set(wishes.trusted):
        return {"file": _FILE, "trusted": ", ".join(unknown)}
    file.unlink()
    if wishes.allow_pickle:
        return _pickled(model, what, into)
    raise InvalidRequest(_distrust(what, [each for each in unknown if each not in wishes.trusted]))


def _distrust(what: str, unknown: list[str]) -> str:
    shown = ", ".join(unknown[:_NAMED]) + (f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else "")
    named = ", ".join(repr(each) for each in unknown[:_NAMED])
    whose = (
        "They are scikit-learn's own, which is well for a model that you fitted yourself: "
        if all(each.startswith("sklearn.") for each in unknown)
        else "Look at what their code does, and where you trust it "
    )
    return (
        f"This {what} has types that skops does not know as safe to load: {shown}. {whose}say trusted=[{named}"
        f"{', …' if len(unknown) > _NAMED else ''}]; or allow_pickle=True for a pickle, which is not checked at all."
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
