"""The panel's TypeScript types are those of the server of this tree."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path
from types import ModuleType

from jupyter_model_service.core.audit_words import SECONDS
from jupyter_model_service.core.bounds import LONGEST_NOTICE
from jupyter_model_service.core.limits import MOST_PER_DAY

ROOT = Path(__file__).resolve().parent.parent.parent


@functools.cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_openapi", ROOT / "docs" / "generate_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAID = "the HTTP API has changed: run python docs/generate_openapi.py, then jlpm types in labextension/"


def test_the_document_that_the_panels_types_are_made_from_is_current() -> None:
    assert (ROOT / "labextension" / "openapi.json").read_text(encoding="utf-8") == generator().text(), SAID


def test_the_panels_bounds_are_those_of_the_api() -> None:
    bounds = (ROOT / "labextension" / "src" / "bounds.ts").read_text(encoding="utf-8")
    assert bounds == generator().bounds(), SAID
    assert f"calls_per_day: {{ least: 1, most: {MOST_PER_DAY} }}" in bounds
    assert f"text: {{ longest: {LONGEST_NOTICE} }}" in bounds
    durations = re.findall(r"'(\w+)'", bounds.partition("export const SECONDS")[2])
    assert set(durations) == SECONDS


def test_the_types_name_every_schema_of_the_document() -> None:
    """Where there is no node; ``make lint`` compares all of them."""
    document = (ROOT / "labextension" / "openapi.json").read_text(encoding="utf-8")
    types = (ROOT / "labextension" / "src" / "generated.ts").read_text(encoding="utf-8")
    names = set(re.findall(r"#/components/schemas/(\w+)", document))
    assert "ServiceInfo" in names
    for name in names:
        assert f"export type {name} = components['schemas']['{name}'];" in types, name
