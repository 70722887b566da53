"""What install() says of hosts for services. No Hub is needed for it."""

from __future__ import annotations

import pytest

from jupyter_model_service.hub.own_hosts import notes_on_hosts

OWN = "https://*.models.example.org"


@pytest.mark.parametrize("url", [None, "https://models.example.org"])
def test_without_hosts_nothing_is_said(url: str | None) -> None:
    assert list(notes_on_hosts(url, "https://hub.example.org", given=False)) == []


def test_an_address_that_is_guessed_is_told() -> None:
    said = list(notes_on_hosts(OWN, "http://10.0.0.1:8000", given=False))
    assert [("by way of http://10.0.0.1:8000" in each, "public_url is not set" in each) for each in said] == [
        (True, False),
        (False, True),
    ]
    assert len(list(notes_on_hosts(OWN, "https://hub.example.com", given=True))) == 1


@pytest.mark.parametrize(
    ("hub", "same"),
    [
        ("https://hub.example.org", True),
        ("https://example.org", True),
        ("https://HUB.Example.ORG:8443", True),
        ("https://hub.example.com", False),
        ("https://10.0.0.1", False),
        ("http://localhost:8000", False),
    ],
)
def test_the_same_site_is_told(hub: str, same: bool) -> None:
    said = list(notes_on_hosts(OWN, hub, given=True))
    assert any("same site" in each for each in said) is same
