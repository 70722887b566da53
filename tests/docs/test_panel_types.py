"""The panel's TypeScript types are those of the server of this tree."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_document_that_the_panels_types_are_made_from_is_current() -> None:
    spec = importlib.util.spec_from_file_location("generate_openapi", ROOT / "docs" / "generate_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = "the HTTP API has changed: run python docs/generate_openapi.py, then jlpm types in labextension/"
    assert (ROOT / "labextension" / "openapi.json").read_text(encoding="utf-8") == module.text(), said


def test_the_types_name_every_schema_of_the_document() -> None:
    """Where there is no node; ``make lint`` compares all of them."""
    document = (ROOT / "labextension" / "openapi.json").read_text(encoding="utf-8")
    types = (ROOT / "labextension" / "src" / "generated.ts").read_text(encoding="utf-8")
    names = set(re.findall(r"#/components/schemas/(\w+)", document))
    assert "ServiceInfo" in names
    for name in names:
        assert f"export type {name} = components['schemas']['{name}'];" in types, name
