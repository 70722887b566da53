"""``%%model_service NAME path``: the cell goes to the model, its answer comes back as it comes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from jupyter_model_service.commands import StoppedWatching
from jupyter_model_service.errors import InvalidRequest, NotFound, UpstreamError
from jupyter_model_service.notebook import calling, html
from jupyter_model_service.notebook.calling import Answer, Events
from jupyter_model_service.notebook.masking import MaskedPieces, masked

from ..client.fake_gateway import FakeGateway, refusal
from .conftest import Ran

Cell = Callable[[str], Ran]
TOKEN = "jms_" + "aB3-_" * 8


def answers(
    fake: FakeGateway, body: bytes, kind: str = "application/json", status: int = 200, **headers: str
) -> list[Any]:
    """Every call of the endpoint is answered so; what came is in the list."""
    seen: list[Any] = []

    def endpoint(handler: BaseHTTPRequestHandler, path: str, raw: bytes) -> None:
        seen.append((handler.command, handler.path, handler.headers.get("Content-Type"), raw))
        fake.send(handler, status, body, {"Content-Type": kind, **headers})

    fake.endpoint = endpoint
    return seen


def chunks(fake: FakeGateway, pieces: list[bytes], kind: str, *, broken: bool = False) -> None:
    def endpoint(handler: BaseHTTPRequestHandler, path: str, raw: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            fake.chunk(handler, piece)
        if broken:
            handler.close_connection = True
        else:
            handler.wfile.write(b"0\r\n\r\n")

    fake.endpoint = endpoint


class Place:
    """What was shown, in order."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def show(self, bundle: dict[str, str]) -> None:
        self.shown.append(dict(bundle))


def call(line: str, cell: str, place: Place | None = None, written: list[str] | None = None) -> calling.Answer:
    arguments = calling.build_parser().parse_args(line.split())
    write = (written if written is not None else []).append
    return calling.call(arguments, cell, place=place, write=write)  # type: ignore[arg-type]


def test_a_cell_that_is_json_is_sent_as_json(fake: FakeGateway, cell: Cell) -> None:
    seen = answers(fake, b'{"score": 3}')
    ran = cell('answer = %%model_service demo predict?a={1+1}\n{"text": "{x} $y"}')
    assert ran.error is not None  # a cell magic stands alone
    ran = cell('%%model_service demo predict?a={1+1}\n{"text": "{x} $y"}')
    assert seen == [("POST", "/endpoints/ada/demo/predict?a=2", "application/json", b'{"text": "{x} $y"}\n')]
    answer = ran.result
    assert (answer.status, answer.json(), answer.ok) == (200, {"score": 3}, True)
    assert answer.headers["content-type"] == "application/json"
    assert 0 < answer.first_byte <= answer.seconds
    assert '"score": 3' in ran.out
    assert "POST demo/predict?a=2: 200 application/json in " in ran.out


def test_any_other_cell_is_sent_as_text_and_a_blank_one_asks(fake: FakeGateway) -> None:
    seen = answers(fake, b"ok", "text/plain")
    call("demo say", "grüß {dich}\n")
    call("demo health", "  \n")
    call("demo thing --method delete --header X-A:1", "")
    assert seen == [
        ("POST", "/endpoints/ada/demo/say", "text/plain; charset=utf-8", "grüß {dich}\n".encode()),
        ("GET", "/endpoints/ada/demo/health", None, b""),
        ("DELETE", "/endpoints/ada/demo/thing", None, b""),
    ]


def test_a_cell_that_is_a_line_only_asks(fake: FakeGateway, cell: Cell, shell: InteractiveShell) -> None:
    """IPython refuses a cell magic without a body; a cell with one, and any other cell, is as it was."""
    seen = answers(fake, b"fine", "text/plain")
    for line in ("%%model_service demo health", "%%model_service demo health\n"):
        assert cell(line).result.text == "fine"
    assert [each[:2] for each in seen] == [("GET", "/endpoints/ada/demo/health")] * 2
    assert cell("%%model_service demo x\n\n  a").result.status == 200
    assert seen[-1][3].strip() == b"a"
    assert cell("%%capture").error is not None
    assert shell.check_complete("%%model_service demo x")[0] == "incomplete"  # its body is typed after it
    before = len(shell.input_transformers_cleanup)
    cell("%unload_ext jupyter_model_service")
    assert len(shell.input_transformers_cleanup) == before - 1


def test_options_may_stand_anywhere(fake: FakeGateway) -> None:
    seen = answers(fake, b"ok", "text/plain")
    for line in ("demo --timeout 2s work", "--timeout 2s demo work", "demo work --timeout 2s"):
        assert calling.build_parser().parse_args(line.split()).timeout == 2.0
        call(line, "1")
    assert [each[1] for each in seen] == ["/endpoints/ada/demo/work"] * 3


@pytest.mark.parametrize(
    "path", ["../other/x", "a/../../other", "..", ".", "./x", "%2e%2E/other/x", "..%2fother", "//other/x", "/../x"]
)
def test_a_path_never_leaves_the_service(fake: FakeGateway, cell: Cell, path: str) -> None:
    seen = answers(fake, b"ok", "text/plain")
    ran = cell(f"%%model_service demo {path}\n1")
    assert (seen, isinstance(ran.error, InvalidRequest)) == ([], True)
    told = ran.out + ran.err
    assert told.count("\n") == 1
    assert "leave the service" in told or "below the endpoint" in told
    assert cell("%%model_service demo a..b/.well-known/x?up=../a\n1").result.status == 200


def test_what_was_meant_as_json_and_is_none_is_told(fake: FakeGateway) -> None:
    answers(fake, b"no", "text/plain", 422)
    answer = call("demo x", '{"a": 1,}')
    note = re.search(r"sent as text: not JSON, line 1 column \d", repr(answer))
    assert note is not None
    assert note[0] in answer._repr_mimebundle_()["text/html"]
    for line, body in (
        ("demo x", '{"a": 1}'),
        ("demo x", "Hello {you}"),
        ("demo x --header content-type:a/b", "{% t %}"),
    ):
        assert "sent as text" not in repr(call(line, body))


def test_the_status_is_in_the_colour_of_how_it_went(fake: FakeGateway) -> None:
    """In words that fit a call: a service is ready, an answer is not."""
    for status, words, like in ((200, "200 OK", "ready"), (404, "404 Not Found", "failed"), (599, "599", "failed")):
        answers(fake, b"x", "text/plain", status)
        shown = call("demo x", "1")._repr_mimebundle_()["text/html"]
        assert html.state(words, like=like) in shown
        assert not re.search(r"\b(ready|failed)\b", shown)


def test_an_answer_says_when_it_came(fake: FakeGateway) -> None:
    answers(fake, b"x", "text/plain")
    before = int(time.time())
    answer = call("demo x", "1")
    bundle = answer._repr_mimebundle_()
    assert set(bundle) >= {"text/plain", "text/html"}
    for told in bundle.values():
        when = re.search(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\)", told)
        assert when is not None
        assert before <= time.mktime(time.strptime(when[1], "%Y-%m-%d %H:%M:%S")) <= time.time()


def test_what_the_model_refuses_is_an_answer_and_what_the_gateway_refuses_is_one_line(
    fake: FakeGateway, cell: Cell
) -> None:
    answers(fake, b"<b>no", "text/plain", 500)
    refused = cell("%%model_service demo x\n1").result
    assert (refused.status, refused.ok, refused.text) == (500, False, "<b>no")
    assert "&lt;b&gt;no" in refused._repr_mimebundle_()["text/html"]
    status, body, headers = refusal(404, "not_found", "There is no service ada/nope.")
    answers(fake, json.dumps(body).encode(), status=status, **headers)
    ran = cell("%%model_service nope x\n1")
    assert isinstance(ran.error, NotFound)
    assert ran.out + ran.err == "NotFound: There is no service ada/nope.\n"


def test_a_chat_is_read_as_it_comes(fake: FakeGateway) -> None:
    said = [json.dumps({"choices": [{"delta": {"content": word}}]}) for word in ("Hel", "lo <b>")]
    text = "".join(f"data: {each}\n\n" for each in [*said, "[DONE]"]).encode()
    chunks(fake, [text[:20], text[20:30], text[30:]], "text/event-stream")
    written: list[str] = []
    answer = call("demo chat", "{}", written=written)
    assert answer.told == "Hello <b>"
    assert "".join(written) == "Hello <b>\n"
    assert answer.events == [*said, "[DONE]"]
    assert repr(answer).startswith("POST demo/chat: 200 text/event-stream")
    assert "Hello" not in repr(answer)  # it was printed
    assert "Hello &lt;b&gt;" in answer._repr_mimebundle_()["text/html"]


def test_events_are_found_across_pieces_and_line_ends() -> None:
    events = Events()
    pieces = [events.feed(piece) for piece in ("da", "ta: a\r\ndata: b\r", "\n\r\n: note\n\ndata:c\n\nevent: x\n\n")]
    assert pieces == [[], [], ["a\nb", "c"]]


def test_the_work_for_an_answer_grows_with_its_size_only() -> None:
    """Adding each piece to what was there took 15 s for 6,000 events of 1 kB, and more than a minute for 10,000."""
    data = json.dumps({"choices": [{"delta": {"content": "x" * 1000}}]})
    event = f"data: {data}\n\n"

    def seconds(count: int, kind: str, piece: str) -> float:
        answer, events = Answer("POST demo/x", 200, {"content-type": kind}), Events()
        began = time.process_time()
        for number in range(count):
            answer.take(piece, events)
            if number % 1000 == 0:
                assert len(answer.body()) < 21_000
        assert len(answer.told) >= 1000 * count * (kind == "text/plain" or piece is event)
        return time.process_time() - began

    for kind, piece in (("text/event-stream", event), ("text/plain", "y" * 1000), ("text/event-stream", "z" * 1000)):
        few, many = (min(seconds(count, kind, piece) for _ in range(2)) for count in (4_000, 16_000))
        assert many < 8 * few + 0.1, kind


def test_a_long_stream_is_read_at_the_rate_at_which_it_comes(fake: FakeGateway) -> None:
    """What is shown meanwhile is bounded, in size and in how often."""
    chunks(fake, [b"data: " + b"x" * 1000 + b"\n\n"] * 6_000, "text/event-stream")
    place = Place()
    answer = call("demo x", "hi", place)
    assert (len(answer.events), len(answer.told)) == (6_000, 6_000 * 1_001)
    assert answer.seconds < 10  # was 15 s; curl 0.3 s
    assert len(place.shown) <= 3 + answer.seconds / calling._EACH
    assert all(len(each["text/plain"]) < 21_000 for each in place.shown)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_a_token_that_comes_in_pieces_is_masked_as_one(size: int) -> None:
    """However it is split, what is shown is what a text that comes at once would show."""
    for text in (
        f"a {TOKEN} b",
        f"{TOKEN}",
        f"jm jms jms_ jms_abc! j{TOKEN}{TOKEN}.jmc_{'A' * 43}",
        "jms_",
        "jm",
        "a-jms_1234567",
    ):
        pieces = MaskedPieces()
        shown = "".join(pieces.feed(text[at : at + size]) for at in range(0, len(text), size)) + pieces.end()
        assert shown == masked(text)


def test_what_cannot_be_a_token_is_shown_at_once() -> None:
    pieces = MaskedPieces()
    assert [pieces.feed(each) for each in ("Hello j", "ust ", "jms", "_x", " ")] == [
        "Hello ",
        "just ",
        "",
        "",
        "jms_x ",
    ]


def test_a_streamed_token_is_in_no_output_of_a_terminal(fake: FakeGateway, cell: Cell) -> None:
    pieces = [TOKEN[:2], TOKEN[2:4], TOKEN[4:10], TOKEN[10:], " and jms", "_", "x"]
    events = [json.dumps({"choices": [{"delta": {"content": each}}]}) for each in pieces]
    chunks(fake, [f"data: {each}\n\n".encode() for each in events], "text/event-stream")
    ran = cell("%%model_service demo chat\n1")
    assert ran.out.startswith("jms_…**** and jms_x\n")
    assert ran.result.told == f"{TOKEN} and jms_x"
    whole = f"data: {TOKEN}\n\n".encode()
    chunks(fake, [whole], "text/event-stream")
    assert cell("%%model_service demo chat\n1").out.startswith("jms_…****\n")


def test_a_stream_is_shown_in_place_while_it_comes(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "_EACH", 0.0)
    chunks(fake, [b"one ", b"two"], "text/plain")
    place = Place()
    answer = call("demo x", "hi", place)
    assert "<pre" in place.shown[0]["text/html"]
    assert place.shown[0]["text/plain"].startswith("one")
    assert place.shown[-1]["text/plain"] == answer.head()  # the cell shows the whole
    assert "one two" in repr(answer)


def test_of_a_stream_that_breaks_off_what_came_is_shown(fake: FakeGateway) -> None:
    chunks(fake, [b"the beginn"], "text/plain", broken=True)
    place = Place()
    with pytest.raises(UpstreamError, match="broke off"):
        call("demo x", "hi", place)
    assert "the beginn" in place.shown[-1]["text/plain"]
    _is_no_success(place.shown[-1], "broke off")
    written: list[str] = []
    with pytest.raises(UpstreamError, match="broke off"):
        call("demo x", "hi", written=written)
    assert "the beginn" in "".join(written)


def _is_no_success(bundle: dict[str, str], how: str) -> None:
    """Neither green nor "ready", though the status was 200."""
    assert re.search(rf"{how} after [\d.e-]+ s", bundle["text/plain"])
    assert re.search(rf"{how} after [\d.e-]+ s", bundle["text/html"])
    assert html.state(how, like="failed") in bundle["text/html"]
    assert "success" not in bundle["text/html"]


def test_an_interrupted_answer_stays_and_says_so(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(bundle: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(calling, "_EACH", 0.0)
    chunks(fake, [b"one ", b"two"], "text/plain")
    place = Place()
    monkeypatch.setattr(place, "show", interrupt)
    with pytest.raises(StoppedWatching, match="demo/x: interrupted"):
        call("demo x", "hi", place)
    assert "one" in place.shown[-1]["text/plain"]
    _is_no_success(place.shown[-1], "interrupted")


def test_a_token_in_an_answer_is_masked(fake: FakeGateway, shell: InteractiveShell, cell: Cell) -> None:
    answers(fake, json.dumps({"seen": TOKEN}).encode())
    shell.kernel = SimpleNamespace(_allow_stdin=False)  # type: ignore[attr-defined]
    ran = cell("%%model_service demo x\n1")
    assert TOKEN[:12] not in ran.out + "".join(ran.result._repr_mimebundle_().values())
    assert ran.result.json() == {"seen": TOKEN}


def test_a_long_answer_is_cut_and_a_picture_is_one(fake: FakeGateway) -> None:
    answers(fake, b"x" * 50_000, "text/plain")
    long = call("demo x", "1")
    assert len(repr(long)) < 21_000
    assert len(long.text) == 50_000
    answers(fake, b"\x89PNG", "image/png")
    assert call("demo x", "1")._repr_mimebundle_()["image/png"] == "iVBORw=="
