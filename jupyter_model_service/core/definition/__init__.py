"""What a model folder says about itself: Backend.AI's model definition, parsed, checked and frozen.

``model`` is the data, ``keys`` every key with its range and meaning (once, for parser, schema and docs),
``parse`` turns a document into a ``Definition`` or all of its problems, ``plain`` is what is stored, ``schema``
what editors get.
"""

from __future__ import annotations

from ..spelling import where
from .model import Action, Definition, HealthCheck, Serving
from .parse import parse
from .plain import definition_from_plain, definition_to_plain
from .schema import json_schema

__all__ = [
    "Action",
    "Definition",
    "HealthCheck",
    "Serving",
    "definition_from_plain",
    "definition_to_plain",
    "json_schema",
    "parse",
    "where",
]
