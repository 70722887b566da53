"""What a model may not say where its pages share an origin with others (a Jupyter server's, or a Hub's), and what not
where they have one of their own. Pure."""

from __future__ import annotations

__all__ = ["OF_THE_ORIGIN", "SANDBOX", "is_guarded", "on_own_origin"]

#: For a model's page on an origin that is not its own: no ``allow-same-origin`` (it gets one of its own) and no
#: ``allow-top-navigation`` (it cannot steer what it is shown in away).
SANDBOX = b"sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"

_COOKIES = frozenset({b"_xsrf"})
#: … and those by whose beginning they are known. ``model-service-`` are ours: one by which a caller comes back to her
#: replica (core/affinity.py), and those by which people are signed in (core/visits.py).
_COOKIES_OF = (b"username-", b"jupyterhub-", b"jupyter-", b"model-service-")


def is_guarded(cookie: bytes) -> bool:
    """Whether a cookie of that name is Jupyter's, its Hub's or ours: no model gets or sets one."""
    name = cookie.strip(b" \t").lower()
    for prefix in (b"__host-", b"__secure-"):  # RFC 6265bis §4.1.3: the same cookie, set under stricter rules
        name = name.removeprefix(prefix)
    return name in _COOKIES or name.startswith(_COOKIES_OF)


#: Headers by which a model could act on the whole origin that it is served at, rather than on its own page.
OF_THE_ORIGIN = frozenset(
    {
        b"set-cookie",
        b"set-cookie2",
        b"service-worker-allowed",
        b"clear-site-data",
        b"strict-transport-security",
        b"public-key-pins",
        b"expect-ct",
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-private-network",
        b"access-control-expose-headers",
        b"access-control-max-age",
        # These outlive the answer: they steer later requests of the whole origin, or say where its errors go.
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"alt-svc",
        b"accept-ch",
        b"critical-ch",
        b"use-as-dictionary",
        b"origin-agent-cluster",
        # The storage of the whole origin, and pages of it that the browser fetches ahead with the visitor's cookies.
        b"shared-storage-write",
        b"speculation-rules",
        # Who is signed in there: to FedCM, and by sessions that are bound to the device (of both drafts).
        b"set-login",
        b"secure-session-registration",
        b"secure-session-challenge",
        b"sec-session-registration",
        b"sec-session-challenge",
        # A browser asks for a password in the name of the whole address, or says who is signed in to the machine. A
        # program learns nothing by it either: Authorization reaches no model.
        b"www-authenticate",
        # A refresh leads the page away without the visitor's doing.
        b"refresh",
    }
)

# Where the origin is the model's alone these are its own business: what reaches no further than its own pages.
_ITS_OWN = frozenset(
    {
        b"set-cookie",  # as far as :func:`_for_its_host` lets it
        b"service-worker-allowed",
        b"origin-agent-cluster",
        b"refresh",
        b"speculation-rules",
        b"accept-ch",
        b"critical-ch",
        b"use-as-dictionary",
        b"shared-storage-write",
    }
)
_NOT_ITS_OWN = OF_THE_ORIGIN - _ITS_OWN


def on_own_origin(name: bytes, value: bytes) -> bool:
    """Whether a model may say this header of an answer at a host of its own. Not what holds for other hosts, too, what
    signs its visitors out or lets other sites' pages read as they do, nor a cookie that is ours or the Hub's."""
    lower = name.lower()
    return lower not in _NOT_ITS_OWN and (lower != b"set-cookie" or _for_its_host(value))


def _for_its_host(cookie: bytes) -> bool:
    """``Domain`` would give it to the hosts of all other services, and to the Hub where that is beside them."""
    first, *attributes = cookie.split(b";")
    if any(each.partition(b"=")[0].strip(b" \t").lower() == b"domain" for each in attributes):
        return False
    name, equals, _ = first.partition(b"=")
    return bool(equals) and bool(name.strip(b" \t")) and not is_guarded(name)
