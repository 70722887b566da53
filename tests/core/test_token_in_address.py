"""What of an address may be a token."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.token_in_address import tokens_in


@pytest.mark.parametrize(
    ("target", "tokens"),
    [
        (b"/x?token=jms_abcdef", ("jms_abcdef",)),
        (b"/x?a=b&token=jms_abcdef&c=d", ("jms_abcdef",)),
        (b"/x?TOKEN=jms_abcdef", ("jms_abcdef",)),
        (b"/x?%74oken=jms%5Fabcdef", ("jms_abcdef",)),
        (b"/x?a=b;token=jms_abcdef", ("jms_abcdef",)),
        (b"/x?access_token=11111111&api_key=22222222&token=11111111", ("11111111", "22222222")),
        (b"/x?token=short&token=&token", ()),
        (b"/x?token=with%20space", ()),
        (b"/x?token=\xff\xff\xff\xff\xff\xff\xff\xff", ()),
        (b"/x?tokens=jms_abcdef", ()),
        (b"/token=jms_abcdef", ()),
        (b"/x?", ()),
    ],
)
def test_each_spelling_of_a_token_in_the_query(target: bytes, tokens: tuple[str, ...]) -> None:
    assert tokens_in(target) == tokens
