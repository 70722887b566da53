"""``v1/`` with OpenAI's own client, and as the page for callers shows it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Endpoint

from .site import OTHER, OWNER, TOKEN, Site, run_on, site, until, within
from .upstreams import Replica, Seen, answer, body_of

Run = Callable[[Any], Any]
PAGE = (Path(__file__).parents[2] / "docs" / "calling.md").read_text(encoding="utf-8")
HELLO = [{"role": "user", "content": "Hello!"}]


def said(content: str, model: str, *, kind: str, field: str) -> bytes:
    choice = {"index": 0, field: {"role": "assistant", "content": content}, "finish_reason": None}
    plain = {"id": "c-1", "object": kind, "created": 1, "model": model, "choices": [choice]}
    return json.dumps(plain).encode()


async def chat(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """``Hi there``, at once or in two events, of which the second waits for ``release``."""
    asked = json.loads(await body_of(seen))
    model = asked["model"]
    if not asked.get("stream"):
        text = said("Hi there", model, kind="chat.completion", field="message")
        writer.write(answer(text, "Content-Type: application/json"))
        return True
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for word in ("Hi", " there"):
        event = b"data: %b\n\n" % said(word, model, kind="chat.completion.chunk", field="delta")
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await replica.release.wait()
    if asked.get("user") == "dies":
        return False
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    return True


async def transcribe(replica: Replica, seen: Seen, writer: asyncio.StreamWriter) -> bool:
    body = await body_of(seen)
    writer.write(answer(json.dumps({"text": f"{len(body)} bytes"}).encode(), "Content-Type: application/json"))
    return True


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Site]:
    replica = Replica()
    replica.handlers.update({"/v1/chat/completions": chat, "/v1/audio/transcriptions": transcribe})
    replica.release.set()
    async with site(replica, **options) as here:
        here.routing.put(Endpoint("o", "idle", False, Serving(queue=0), [], created_at=1.0))
        yield here


@asynccontextmanager
async def client(here: Site, token: str = OWNER) -> AsyncIterator[Any]:
    base = f"http://127.0.0.1:{here.port}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=token, max_retries=0, timeout=20.0) as made:
        yield made


def test_calls_streamed_and_not(run: Run) -> None:
    """A streamed answer comes piece by piece, and one that breaks off is an error."""

    async def body() -> None:
        async with serving() as here, client(here) as caller:
            whole = await caller.chat.completions.create(model="o/n", messages=HELLO)
            assert whole.choices[0].message.content == "Hi there"
            release = here.replicas[0].release
            release.clear()
            pieces = await caller.chat.completions.create(model="n", messages=HELLO, stream=True)
            assert (await anext(pieces)).choices[0].delta.content == "Hi", "before the model goes on"
            release.set()
            assert [piece.choices[0].delta.content async for piece in pieces] == [" there"]
            pieces = await caller.chat.completions.create(model="n", messages=HELLO, stream=True, user="dies")
            with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
                [piece async for piece in pieces]
            await until(lambda: len(here.meter.calls) == 3)
            assert here.meter.statuses() == [200, 200, 502]

    run(body())


def test_the_list_of_models(run: Run) -> None:
    async def body() -> None:
        async with serving() as here, client(here) as caller:
            assert [model.id async for model in caller.models.list()] == ["o/idle", "o/n"]
            one = await caller.models.retrieve("o/idle")
            assert (one.id, one.created, one.owned_by, one.object) == ("o/idle", 1, "o", "model")
            answered = await caller.chat.completions.create(
                model=(await caller.models.retrieve("n")).id, messages=HELLO
            )
            assert answered.model == "o/n"

    run(body())


def test_a_recording(run: Run) -> None:
    """A form, larger than what is looked at of a body: the client puts the model's name before the file."""

    async def body() -> None:
        async with serving() as here, client(here) as caller:
            sound = ("a.wav", b"\x00\r\n--" * (1 << 19), "audio/wav")
            got = await caller.audio.transcriptions.create(model="n", file=sound)
            assert int(got.text.split()[0]) > 5 << 19

    run(body())


def test_errors_are_the_clients_own(run: Run) -> None:
    async def body() -> None:
        async with serving() as here:

            async def raised(token: str, model: str, content: str = "") -> tuple[type, Any]:
                async with client(here, token) as caller:
                    with pytest.raises(openai.APIStatusError) as caught:
                        await caller.chat.completions.create(
                            model=model, messages=[{"role": "user", "content": content}]
                        )
                    assert caught.value.response.headers["X-Request-Id"] == caught.value.request_id
                    return type(caught.value), (caught.value.code, caught.value.type, caught.value.param)

            wrong = "invalid_request_error"
            assert await raised("none", "n") == (
                openai.AuthenticationError,
                ("unauthenticated", "authentication_error", None),
            )
            assert await raised(OTHER, "o/n") == (openai.NotFoundError, ("model_not_found", wrong, "model"))
            assert await raised(OWNER, "gpt-4o") == (openai.NotFoundError, ("model_not_found", wrong, "model"))
            assert await raised(OWNER, "o/idle") == (openai.InternalServerError, ("no_replica", "server_error", None))
            async with client(here) as caller:
                late = {"input": "x" * (1 << 20), "model": "n"}
                with pytest.raises(openai.APIStatusError, match="put it first") as caught:
                    await caller.post("/embeddings", body=late, cast_to=object)
                assert (caught.value.status_code, caught.value.code) == (413, "model_not_in_reach")
                with pytest.raises(openai.NotFoundError, match="endpoints/OWNER/NAME/v1/responses/r-1"):
                    await caller.responses.retrieve("r-1")
                with pytest.raises(openai.NotFoundError, match="GET v1/models names those"):
                    await caller.models.retrieve("gpt-4o")

    run(body())


def test_a_public_service_takes_any_key(run: Run) -> None:
    async def body() -> None:
        async with serving(public=True) as here, client(here, "none") as caller:
            assert [model.id async for model in caller.models.list()] == ["o/n"]
            got = await caller.chat.completions.create(model="o/n", messages=HELLO)
            assert got.choices[0].message.content == "Hi there"

    run(body())


# --- the page ---------------------------------------------------------------------------------------------------------


def block(language: str, text: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [one] = [each for each in found if text in each]
    return str(one)


async def printed(here: Site, *command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "TOKEN": TOKEN,
            "MODEL": "o/n",
            "BASE": f"http://127.0.0.1:{here.port}/v1",
        },
    )
    try:
        out, errors = await within(process.communicate(), 90.0)
        assert process.returncode == 0, errors.decode()
        return str(out.decode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_pages_commands() -> None:
    async def body() -> str:
        async with serving() as here:
            return await printed(here, "bash", "-ec", block("sh", "$BASE/models"))

    listed, answered = (json.loads(line) for line in run_on("asyncio", body()).replace("}{", "}\n{").splitlines())
    assert [each["id"] for each in listed["data"]] == ["o/n"]
    assert answered["choices"][0]["message"]["content"] == "Hi there"


def test_the_pages_program() -> None:
    async def body() -> str:
        async with serving() as here:
            return await printed(here, sys.executable, "-c", block("python", "from openai import OpenAI"))

    assert run_on("asyncio", body()) == "['o/n']\nHi there"
