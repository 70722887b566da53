"""Tokens that are for some paths and methods alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.grants import PathRule

from .site import site
from .upstreams import Replica

Run = Callable[[Any], Any]
CHAT = "a-token-for-chat"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/chat/completions", 200),
        ("POST", "/v1/chat/%2e%2e/admin", 403),
        ("POST", "/v1/chat/../admin", 403),
        ("POST", "//v1/chat/x", 403),
        ("POST", "/V1/chat/x", 403),
        ("GET", "/v1/chat/x", 403),
        ("POST", "/admin", 403),
        ("POST", "/admin?/v1/chat/", 403),
    ],
)
def test_only_what_the_token_is_for_reaches_the_model(run: Run, method: str, path: str, status: int) -> None:
    async def body() -> None:
        async with site(Replica()) as here:
            rules = (PathRule("/v1/chat/*", ("POST",)),)
            here.tokens.callers[CHAT] = Caller("token:chat", invokes=frozenset({"o/n"}), rules=rules)
            got = await here.call(path, method=method, body=b"x" if method == "POST" else b"", token=CHAT)
            assert got.status == status
            if status == 403:
                assert got.code == "path_not_allowed"
                assert here.replicas[0].connections == 0
            missing = here.request(path, method=method, token=CHAT).replace(b"/o/n/", b"/o/missing/")
            assert (await (await here.send(missing)).answer()).code == "not_found"

    run(body())


def test_also_by_the_models_name(run: Run) -> None:
    """At ``v1/`` the path is known as soon as the service is."""

    async def body() -> None:
        async with site(Replica()) as here:
            rules = (PathRule("/v1/chat/*", ("POST",)),)
            here.tokens.callers[CHAT] = Caller("token:chat", invokes=frozenset({"o/n"}), rules=rules)
            for path, status in (("chat/completions", 200), ("embeddings", 403)):
                data = here.request("/x", method="POST", body=b'{"model": "n"}', token=CHAT)
                data = data.replace(b"/endpoints/o/n/x", f"/v1/{path}".encode())
                data = data.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\n\r\n", 1)
                got = await (await here.send(data)).answer()
                assert got.status == status
            assert here.replicas[0].paths() == ["/v1/chat/completions"]

    run(body())
