"""What may pass between a model's pages and the Jupyter origin that they are served from. Pure.

A page below ``/model-service/endpoints/`` shares its origin with the notebook server: without precautions its
scripts could open ``/api/terminals`` with the visitor's cookies. So every answer of a model gets
``Content-Security-Policy: sandbox`` without ``allow-same-origin``: the browser gives the page an opaque origin,
which has no cookies, no storage, no service worker, and whose requests Jupyter refuses (``Origin: null``).
Cookies pass in neither direction.
"""

from __future__ import annotations

from collections.abc import Iterable

#: No ``allow-same-origin`` (an origin of its own) and no ``allow-top-navigation`` (it cannot steer the Lab away).
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"

#: RFC 9110 §7.6.1, and the two that Tornado sets itself on the way back.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

#: The visitor's credentials, and what the front decides for itself.
_NOT_TO_GATEWAY = HOP_BY_HOP | {
    "authorization",
    "cookie",
    "host",
    "origin",
    "referer",
    "x-xsrftoken",
    "content-length",
    "accept-encoding",
}

#: Headers by which a model could act on the whole Jupyter origin rather than on its own page.
_NOT_FROM_MODEL = HOP_BY_HOP | {
    "set-cookie",
    "set-cookie2",
    "service-worker-allowed",
    "clear-site-data",
    "strict-transport-security",
    "public-key-pins",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "access-control-max-age",
    "date",
    "server",
}

Header = tuple[str, str]


def request_headers(headers: Iterable[Header], *, keep: Iterable[str] = ()) -> list[Header]:
    """The caller's headers without credentials, hop-by-hop ones and those named in ``Connection``."""
    pairs = list(headers)
    named = {
        token.strip().lower() for name, value in pairs if name.lower() == "connection" for token in value.split(",")
    }
    dropped = (_NOT_TO_GATEWAY | named) - {name.lower() for name in keep}
    return [(name, value) for name, value in pairs if name.lower() not in dropped]


def model_headers(headers: Iterable[Header], *, prefix: str) -> list[Header]:
    """A model's answer headers, made harmless for the Jupyter origin.

    ``prefix`` is the path of the endpoint as the browser sees it (``/user/ann/model-service/endpoints/ann/chat``):
    a ``Location`` such as ``/404.html`` means the model's own root and is moved below it.
    """
    kept = [
        (name, _own_location(value, prefix) if name.lower() == "location" else value)
        for name, value in headers
        if name.lower() not in _NOT_FROM_MODEL
    ]
    return [*kept, ("Content-Security-Policy", SANDBOX), ("X-Content-Type-Options", "nosniff")]


def gateway_headers(headers: Iterable[Header]) -> list[Header]:
    """The control API's answer headers; its answers are the gateway's own, so only hop-by-hop ones go."""
    return [(n, v) for n, v in headers if n.lower() not in HOP_BY_HOP | {"date", "server", "set-cookie"}]


def _own_location(value: str, prefix: str) -> str:
    if value.startswith("/") and not value.startswith("//"):
        return prefix.rstrip("/") + value
    return value
