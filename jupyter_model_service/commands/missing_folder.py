"""What to do about a folder that is not there, or has no definition: the one thing that a person cannot guess."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace

from ..client import calls
from ..errors import DefinitionError
from ..model_folder import FILE_NAMES
from .parser import PROGRAM

__all__ = ["make_one", "with_way_out"]


def make_one(folder: str) -> str:
    """The end of a sentence; ``folder`` as it was typed."""
    return f"To make one: {PROGRAM} init {shlex.quote(folder)}"


def with_way_out(error: DefinitionError, folder: str) -> DefinitionError:
    """``error``, or the same with what to do, where ``init`` would help. Who says what is wrong is the gateway; whether
    there is anything to lose is looked up here."""
    path = calls.absolute(folder)
    if len(error.problems) != 1 or error.problems[0].line is not None or not _lacking(path):
        return error
    problem = error.problems[0]
    return DefinitionError([replace(problem, message=f"{problem.message.rstrip('.')}. {make_one(folder)}")])


def _lacking(path: str) -> bool:
    if not os.path.lexists(path):
        return True
    return os.path.isdir(path) and not any(os.path.lexists(os.path.join(path, name)) for name in FILE_NAMES)
