"""Every kind of store in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from .stores import KINDS, Opener


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    return request.param(tmp_path)  # type: ignore[no-any-return]
