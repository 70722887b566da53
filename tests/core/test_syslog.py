"""An entry of the audit log as a message of syslog, and where such messages go."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from jupyter_model_service.core.audit import Entry
from jupyter_model_service.core.syslog import LONGEST, Place, message, place_of


def entry(**given: Any) -> Entry:
    usual: dict[str, Any] = {"at": 1_750_000_001.5, "who": "ann", "address": "10.0.0.1", "action": "scale_service"}
    return Entry(**{**usual, "id": 7, **given})


def test_a_message_to_another_machine_is_of_rfc_5424_and_one_at_home_of_the_old_kind() -> None:
    there = message(entry(), process=12, host="hub.example.org")
    assert there.startswith(b"<85>1 2025-06-15T15:06:41.500000Z hub.example.org model-service 12 audit - {")
    here = message(entry(status=403), process=12, host=None)
    assert re.match(rb"<84>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:41 model-service\[12\]: \{", here)
    assert json.loads(here[here.index(b"{") :])["who"] == "ann"


@pytest.mark.parametrize("host", [None, "a b\nc"])
def test_nobody_begins_another_message_within_one(host: str | None) -> None:
    evil = "x\n<0>1 forged\x00"
    sent = message(entry(who=evil, target=evil, after={evil: evil}), process=1, host=host)
    assert not any(byte < 32 or byte > 126 for byte in sent)
    assert json.loads(sent[sent.index(b"{") :])["who"] == evil


def test_what_changed_is_left_out_where_it_is_too_long_and_the_rest_is_whole() -> None:
    sent = message(entry(before={"x": "y" * LONGEST}, after={"z": 1}), process=1, host=None)
    assert len(sent) < LONGEST
    told = json.loads(sent[sent.index(b"{") :])
    assert (told["id"], told["before"], told["after"].keys()) == (7, None, {"too_long"})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/dev/log", Place(path="/dev/log")),
        ("udp://10.0.0.7", Place(host="10.0.0.7", port=514)),
        ("udp://logs.example.org:1514", Place(host="logs.example.org", port=1514)),
        ("udp://[fd00::7]:514", Place(host="fd00::7", port=514)),
    ],
)
def test_where_messages_go(text: str, place: Place) -> None:
    assert place_of(text) == place
    assert place_of(str(place)) == place


@pytest.mark.parametrize(
    "text", ["", "dev/log", "tcp://h:1", "udp://", "udp://h:x", "udp://h:70000", "udp://u:p@h", "udp://h/p", "/a\n"]
)
def test_anything_else_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="neither a socket such as /dev/log nor an address"):
        place_of(text)
