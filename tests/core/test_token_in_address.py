"""What of an address may be a token."""

from __future__ import annotations

import urllib.parse
from functools import partial

import pytest

from jupyter_model_service.core.token_in_address import tokens_in

from .least_time import took


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
        (b"/x?%41ccess%5Ftoken=%6a%6D%73_abcdef", ("jms_abcdef",)),
        (b"/x?a=%&%74oken=jms_abcdef%", ("jms_abcdef%",)),
        (b"/x?my_token=jms_abcdef", ()),
        (b"/x?token%3Djms_abcdef=1", ()),
        (b"/x?token=" + b"a" * 4096, ("a" * 4096,)),
        (b"/x?token=" + b"a" * 4097, ()),
        (b"/x?token=" + b"%61" * 4097, ()),
    ],
)
def test_each_spelling_of_a_token_in_the_query(target: bytes, tokens: tuple[str, ...]) -> None:
    assert tokens_in(target) == tokens


@pytest.mark.parametrize(
    "query", [b"&" * 16_000, b"&a" * 8_000, b"%41" * 5_400, b"&a=" * 5_000, b"token=1&" + b"token=12345678&" * 1_060]
)
def test_an_address_of_whoever_it_is_takes_little(query: bytes) -> None:
    """Nobody needs a token for this: with each field by itself 16 KiB of "&" held up all calls for 13 ms, and it was
    twice as long, at least, as it takes Python's own parser to read the query."""
    parse_qsl = partial(urllib.parse.parse_qsl, query, keep_blank_values=True)
    assert took(lambda: tokens_in(b"/x?" + query)) < took(parse_qsl) / 2
