"""The JSON Schema of ``model-definition.yaml``, for editors, from the same table that the parser reads.

It is as strict as the parser about values and the keys of ``serving``, and silent about unknown keys elsewhere, which
may be Backend.AI's newer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..affinity import NAME_PATTERN
from ..document import ID_PATTERN, Key
from ..quantities import UNIT_VALUE
from ..scaling.keys import AUTOSCALING, BACKEND_AI_RULE, RULE, SCHEDULE
from ..scaling.metrics import METRICS, PROMETHEUS
from .keys import ACTION_MEANING, ACTIONS, AFFINITY, HEALTH_CHECK, MODEL, RESERVED_PORTS, SERVICE, SERVING

_DECIMAL = r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?"
_TEXT_LIKE = {"type": ["string", "number", "boolean"]}  # an unquoted 8000 in a list of arguments is the text "8000"
_ARGUMENTS = {"type": "array", "items": _TEXT_LIKE, "minItems": 1}


def json_schema() -> dict[str, Any]:
    """A fresh copy of the schema (draft 2020-12)."""
    serving = _closed(_section(SERVING, affinity=_affinity(), autoscaling=_autoscaling()))
    service = _section(SERVICE, health_check=_health_check(), serving=serving, pre_start_actions=_actions())
    service["properties"]["port"]["not"] = {"enum": list(RESERVED_PORTS)}
    model = _section(MODEL, service=service, metadata={"type": ["object", "null"]})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Model definition",
        "description": "model-definition.yaml: how the model in a folder is served.",
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "minItems": 1, "maxItems": 1, "items": model}},
    }


def _section(keys: Sequence[Key], **structures: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    needed = []
    for key in keys:
        value = {**(structures.get(key.name) or _value(key)), "description": key.meaning}
        if key.default is not None:
            value["default"] = key.default
        spellings = list(dict.fromkeys(s for n in (key.name, *key.legacy) for s in (n, n.replace("_", "-"))))
        properties.update(dict.fromkeys(spellings, value))
        if key.required:
            needed.append(
                {"anyOf": [{"required": [s]} for s in spellings]} if spellings[1:] else {"required": spellings}
            )
    return {"type": "object", "properties": properties, **({"allOf": needed} if needed else {})}


def _closed(section: dict[str, Any]) -> dict[str, Any]:
    """Of a section that is ours alone (``Section.ours``)."""
    return {**section, "additionalProperties": False}


def _health_check() -> dict[str, Any]:
    enabled = _section(HEALTH_CHECK)
    conditions = {"if": _is_on(), "then": {"allOf": enabled.pop("allOf")}}
    return {**enabled, "type": ["object", "null"], **conditions}


def _is_on() -> dict[str, Any]:
    """True for a block with something in it that does not say ``enable: false``."""
    off = {"required": ["enable"], "properties": {"enable": {"const": False}}}
    return {"type": "object", "minProperties": 1, "not": off}


def _actions() -> dict[str, Any]:
    kinds = [
        {
            "type": "object",
            "description": ACTION_MEANING[kind],
            "required": ["action", "args"],
            "properties": {
                "action": {"const": kind},
                "args": _section(keys),
                "ref": {"type": ["string", "null"], "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            },
        }
        for kind, keys in ACTIONS.items()
    ]
    return {"type": ["array", "null"], "items": {"oneOf": kinds}}


def _affinity() -> dict[str, Any]:
    """The parser knows besides which headers do not reach a model."""
    schema = _section(AFFINITY)
    named = {"required": ["by"], "properties": {"by": {"const": "header"}}}
    name = {"type": "string", "pattern": f"^(?:{NAME_PATTERN})$"}
    schema["allOf"].append({"if": named, "then": {"required": ["name"], "properties": {"name": name}}})
    return _closed({**schema, "type": ["object", "null"]})


def _autoscaling() -> dict[str, Any]:
    """A rule is in our words or in Backend.AI's, or mixed."""
    rule = _section([replace(key, required=False) for key in (*RULE, *BACKEND_AI_RULE)])
    rule["properties"]["metric"]["anyOf"][0]["examples"] = [*METRICS, f"{PROMETHEUS}NAME"]
    thresholds = ("above", "below", "threshold", "max_threshold", "min_threshold")
    rule["allOf"] = [_one_of("metric", "metric_name"), _one_of(*thresholds)]
    schedule = _closed(_section(SCHEDULE))
    schedule["allOf"] = [*schedule["allOf"], _one_of("min", "max")]
    lists = {
        name: {"type": ["array", "null"], "items": items} for name, items in (("rules", rule), ("schedules", schedule))
    }
    return _closed({**_section(AUTOSCALING, **lists), "type": ["object", "null"]})


def _one_of(*names: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [s]} for name in names for s in dict.fromkeys((name, name.replace("_", "-")))]}


def _value(key: Key) -> dict[str, Any]:
    forms: dict[str, dict[str, Any]] = {
        "text": _TEXT_LIKE,
        "line": {"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": key.most},
        "url_path": {"type": "string", "pattern": r"^/[^\s#]*$"},
        "folder": {"type": "string", "pattern": "^/"},
        "whole": {"type": "integer"},
        "number": {"type": "number"},
        "decimal": {"type": ["number", "string"], "pattern": rf"^\s*{_DECIMAL}\s*$"},
        "seconds": {"type": ["number", "string"], "pattern": r"^\s*(\d+(\.\d+)?[smhdwSMHDW])+\s*$"},
        "threshold": {"type": ["number", "string"], "pattern": rf"^\s*({_DECIMAL}|{UNIT_VALUE})\s*$"},
        "id": {"type": ["string", "number", "boolean"], "pattern": f"^{ID_PATTERN}$"},
        "ignored": {},
        "flag": {"type": "boolean"},
        "choice": {"enum": list(key.choices)},
        "arguments": _ARGUMENTS,
        "lines": {"anyOf": [_TEXT_LIKE, {"type": "array", "items": _TEXT_LIKE}]},
        "mode": {"type": ["string", "integer"], "pattern": "^(0o|0)?[0-7]{3}$"},
        "command": {"anyOf": [{"type": "string", "minLength": 1}, _ARGUMENTS]},
        "shell": {"type": "string", "pattern": r"^\S*$"},
    }
    schema = forms[key.form]
    if key.form in ("whole", "number", "seconds"):
        bounds = {"minimum": key.least, "exclusiveMinimum": key.above, "maximum": key.most}
        schema.update({name: bound for name, bound in bounds.items() if bound is not None})
    if key.required:
        return schema
    return {"anyOf": [schema, {"type": "null"}]}
