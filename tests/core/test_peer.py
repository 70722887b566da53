"""Whose word of the way to the gateway is believed, and who called according to it."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.peer import Peer, Proxies, sender

PROXIES = Proxies(("127.0.0.1", "10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("address", "believed"),
    [
        (b"127.0.0.1", True),
        (b"127.0.0.2", False),
        (b"10.255.0.1", True),
        (b"::ffff:10.0.0.1", True),  # what a socket of both kinds says of IPv4
        (b"::ffff:11.0.0.1", False),
        (b"fd12::1%eth0", True),
        (b"::1", False),
        (b"", False),
        (b"10.0.0.1:80", True),  # with the port at which a proxy saw it
        (b"[fd00::1]:80", True),
        (b"11.0.0.1:80", False),
        (b"10.0.0.1:80:80", False),
        (b"unknown", False),
        (b"\xff", False),
    ],
)
def test_who_is_believed(address: bytes, believed: bool) -> None:
    assert PROXIES.has(address) is believed
    assert Proxies().has(address) is False


@pytest.mark.parametrize("network", ["proxy", "10.0.0.0/33", ""])
def test_a_network_that_is_none_is_said_at_once(network: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Proxies((network,))


@pytest.mark.parametrize(
    ("said", "who"),
    [
        ([], b"10.0.0.1"),
        ([b""], b"10.0.0.1"),
        ([b" , "], b"10.0.0.1"),
        ([b" 6.6.6.6 "], b"6.6.6.6"),
        ([b"6.6.6.6, 7.7.7.7"], b"7.7.7.7"),
        ([b"6.6.6.6, 7.7.7.7, 10.0.0.2, 10.0.0.3"], b"7.7.7.7"),
        ([b"6.6.6.6, 7.7.7.7", b"10.0.0.2,fd00::1"], b"7.7.7.7"),
        ([b"6.6.6.6,, 10.0.0.2 ,"], b"6.6.6.6"),
        ([b"10.0.0.9, 10.0.0.2"], b"10.0.0.9"),  # a caller among them
        ([b"6.6.6.6, unknown, 10.0.0.2"], b"unknown"),
        ([b"6.6.6.6:50000, 10.0.0.2:443"], b"6.6.6.6:50000"),
    ],
)
def test_the_caller_is_the_first_before_all_proxies_that_are_believed(said: list[bytes], who: bytes) -> None:
    """What stands further to the left is the word of somebody unknown."""
    forwarded = [(b"via", b"1.1 8.8.8.8"), *((b"x-forwarded-for", value) for value in said)]
    assert sender(Peer(b"10.0.0.1", True, PROXIES), forwarded) == who
    assert sender(Peer(b"9.9.9.9", False, PROXIES), forwarded) == b"9.9.9.9"


def test_one_that_is_believed_for_its_token_answers_for_one_hop() -> None:
    said = [(b"x-forwarded-for", b"6.6.6.6, 10.0.0.2")]
    assert sender(Peer(b"127.0.0.1", True), said) == b"10.0.0.2"
