"""The reference of the model definition is what the software does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.adapters.yaml_document import read_yaml
from jupyter_model_service.core.definition import parse

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "definition.md").read_text("utf-8")


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(models:.*?)```", PAGE, re.DOTALL))
def test_every_example_is_a_definition(example: str) -> None:
    document: Any = read_yaml(example)
    _, warnings = parse(document.data, document.lines, document.spelling)
    assert warnings == ()
