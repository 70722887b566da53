"""What a model may not say where its pages share an origin with others: a Jupyter server's, or a Hub's."""

from __future__ import annotations

__all__ = ["OF_THE_ORIGIN", "SANDBOX"]

#: For a model's page on an origin that is not its own: no ``allow-same-origin`` (it gets one of its own) and no
#: ``allow-top-navigation`` (it cannot steer what it is shown in away).
SANDBOX = b"sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"

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
