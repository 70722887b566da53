"""A hostile model's page on every way of a Hub of the older line, in a real browser that takes the Hub for one with TLS.
That of the newer one is in ``test_sign_in``, over plain HTTP, beside the page that it tries to act on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ui.browser import missing

from .deployment import Deployment
from .hostile_visit import visit
from .hosts import opened

WHY = missing()
pytestmark = [
    pytest.mark.skipif(bool(WHY), reason=WHY),
    pytest.mark.timeout(900),  # 112 s on two cores, and some five times that where others use them too
]


def test_a_hostile_page_acts_with_nobodys_rights_on_any_way(
    make_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    with opened(make_deployment, tmp_path, line=5, as_tls=True) as site:
        assert visit(site) == {}
