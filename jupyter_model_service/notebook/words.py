"""The command line's words as they belong into a notebook. Pure."""

from __future__ import annotations

import re

from ..commands.grammar import PROGRAM
from .masking import masked

__all__ = ["MAGIC", "NAME", "in_words"]

NAME = "model_service"
MAGIC = f"%{NAME}"


def in_words(text: str) -> str:
    """A text of the command line with the magic in the place of the program; ``gateway``, which is no verb of the
    magic, is a line for the shell."""
    told = re.sub(rf"(?<!!)\b{PROGRAM} (?=gateway\b)", f"!{PROGRAM} ", text)
    told = re.sub(rf"\b{PROGRAM} (?!gateway\b)", MAGIC + " ", told)
    return masked(told.replace("stays when this command ends", "stays when this notebook is closed"))
