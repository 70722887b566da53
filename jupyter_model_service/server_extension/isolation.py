"""What may pass between a model's pages and the Jupyter origin that they are served from. Pure.

A page below ``/model-service/endpoints/`` shares its origin with the notebook server: without precautions its
scripts could open ``/api/terminals`` with the visitor's cookies. So every answer of a model gets
``Content-Security-Policy: sandbox`` without ``allow-same-origin``: the browser gives the page an opaque origin,
which has no cookies, no storage, no service worker, and whose requests Jupyter refuses (``Origin: null``).
Cookies pass in neither direction.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from ..core import header_names, location, origin
from ..core.who_asks import Asker, Said, Verdict, at_authority, said_in, who_asks

SANDBOX = origin.SANDBOX.decode()

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
    # What a caller says of the way here: the gateway believes us, so we say only what we know (see ``public_headers``).
    *(name.decode() for name in header_names.CLAIMS),
    "x-request-id",
}
_SAID_OF_THE_WAY = header_names.OF_PROXIES.decode()
_REQUEST_ID, _OWN_ID = "x-request-id", "X-Client-Request-Id"

_NOT_FROM_MODEL = HOP_BY_HOP | {name.decode() for name in origin.OF_THE_ORIGIN} | {"date", "server"}

#: A path segment that some later parser would collapse (RFC 3986 §5.2.4), percent-encoded dots included.
_DOT_SEGMENT = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)

#: What may stand in a header or a request target as it is; the rest (bytes beyond ASCII) is percent-encoded.
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

Header = tuple[str, str]


def request_headers(headers: Iterable[Header]) -> list[Header]:
    """The caller's headers without credentials, hop-by-hop ones and those named in ``Connection``.

    The gateway makes the request id; the caller's own goes under the name that the gateway gives such a one. A name
    with underscores is judged as the one with dashes: to a server that makes variables of headers (WSGI, CGI),
    ``X_Real_IP`` is ``X-Real-IP``.
    """
    pairs = list(headers)
    named = {
        token.strip().lower() for name, value in pairs if name.lower() == "connection" for token in value.split(",")
    }
    dropped = _NOT_TO_GATEWAY | named
    own = [value for name, value in pairs if name.lower() == _REQUEST_ID and _REQUEST_ID not in named][:1]
    if any(name.lower() == _OWN_ID.lower() for name, _ in pairs):
        own = []
    judged = [(name.lower().replace("_", "-"), name, value) for name, value in pairs]
    kept = [
        (name, value)
        for meant, name, value in judged
        if meant not in dropped and not meant.startswith(_SAID_OF_THE_WAY)
    ]
    return [*kept, *((_OWN_ID, value) for value in own)]


def public_headers(*, base_url: str, protocol: str, host: str, remote: str) -> list[Header]:
    """How the caller sees this server: for models that build absolute links.

    To the prefix, the gateway adds its own ``/endpoints/OWNER/NAME``. ``base_url`` has a slash at both ends.
    """
    said = [
        ("X-Forwarded-Prefix", f"{base_url}model-service"),
        ("X-Forwarded-Proto", protocol),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-For", remote),
    ]
    return [(name, quote(value, safe=VISIBLE)) for name, value in said if value]


class Place(NamedTuple):
    """Of an endpoint, as the browser sees it: ``root`` is its path (``/user/ann/model-service/endpoints/ann/chat``),
    ``host`` the authority, ``path`` what its model was asked for. What is below ``behind`` at the gateway (a hub's has
    a path of its own, and says where a model leads as seen from there) is below ``here``."""

    root: str
    host: str = ""
    path: str = "/"
    behind: str = ""
    here: str = ""


def model_headers(headers: Iterable[Header], *, place: Place) -> list[Header]:
    """A model's answer headers, made harmless for the Jupyter origin. A ``Location`` stays below the endpoint's root or
    leads to another host (:mod:`jupyter_model_service.core.location`)."""
    kept: list[Header] = []
    for name, value in headers:
        lower = name.lower()
        if lower == "location":
            led = _own_location(value, place)
            if led is not None:
                kept.append((name, led))
        elif lower not in _NOT_FROM_MODEL:
            kept.append((name, value))
    return [*kept, ("Content-Security-Policy", SANDBOX), ("X-Content-Type-Options", "nosniff")]


def gateway_headers(headers: Iterable[Header]) -> list[Header]:
    """The control API's answer headers; its answers are the gateway's own, so only hop-by-hop ones go."""
    return [(n, v) for n, v in headers if n.lower() not in HOP_BY_HOP | {"date", "server", "set-cookie"}]


def has_dot_segment(target: str) -> bool:
    """Whether the path part of a request target has a ``.`` or ``..`` segment, also as ``%2e``."""
    return _DOT_SEGMENT.search(target.partition("?")[0]) is not None


def holds_token(values: Iterable[bytes], token: str) -> bool:
    """Whether one of the ``token`` query arguments is the Jupyter token, read as leniently as Jupyter reads it.

    Tornado makes blanks of control characters and strips what is blank at both ends.
    """
    if not token:  # Jupyter without authentication
        return False
    wanted = token.strip().encode()
    for value in values:
        text = re.sub(r"[\x00-\x08\x0e-\x1f]", " ", value.decode("utf-8", "replace")).strip()
        if text and hmac.compare_digest(text.encode(), wanted):
            return True
    return False


def foreign_origin(headers: Mapping[str, str]) -> bool:
    """Whether a page of another origin than ``Host`` opens a WebSocket; ``null`` (a sandboxed page) is another one.

    Only host and port are compared: behind a proxy that ends TLS the scheme is not known here.
    """
    return _who(said_in("GET", headers.items(), upgrade=True), headers).asker is Asker.FOREIGN


def cross_site(method: str, headers: Mapping[str, str]) -> bool:
    """Whether another site's page made this request with the visitor's cookies, other than by sending her here."""
    return _who(said_in(method, headers.items()), headers).asker is Asker.FOREIGN


def _who(said: Said, headers: Mapping[str, str]) -> Verdict:
    return who_asks(said, at_authority(headers.get("Host", "")))


def _own_location(value: str, place: Place) -> str | None:
    if place.behind and value.startswith(place.behind + "/"):
        value = place.here + value[len(place.behind) :]
    root, host, path = (each.encode("latin-1", "replace") for each in (place.root, place.host, place.path))
    led = location.own_location(value.encode("latin-1"), root=root.rstrip(b"/"), host=host, path=path)
    return None if led is None else led.decode("latin-1")
