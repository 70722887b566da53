"""Which headers travel on, and which end here or are for the gateway itself, by their names alone. Pure."""

from __future__ import annotations

__all__ = [
    "ANSWER_RULES",
    "CLAIMS",
    "CONNECTION_OPTIONS",
    "DESTINATION",
    "OF_PROXIES",
    "OTHER_METHOD",
    "OURS",
    "REQUEST_RULES",
    "answer_header_passes",
    "merges",
    "request_header_passes",
    "tokens_of",
]

# How each header that is not simply passed on is treated: it is noted, and ends here …
HOP, HOST, LENGTH, CODING, CONNECTION, UPGRADE, EXPECT, AUTH, COOKIE, FORWARDED, ID, KEEP, HEARTBEAT, TE, TRAILER = (
    range(15)
)
PREFER, TRACE, TYPE, LOCATION = range(15, 19)  # … or goes on, too

#: What the gateway and its callers say to each other; no model may say it, nor is it told.
OURS = b"x-model-service-"

_HOP_BY_HOP = (
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authorization",
    b"proxy-authenticate",
    b"proxy-authentication-info",
    b"http2-settings",
)
# What a proxy may say of the caller or of the way here, but without a chain that could be checked: a model that
# believes its proxy would believe the caller.
CLAIMS = (
    b"forwarded",
    b"x-real-ip",
    b"x-client-ip",
    b"true-client-ip",
    b"x-scheme",
    # How the model is mounted, and what it was asked for: gunicorn and WSGI applications take these for the truth, and
    # would serve another path than the one by which the caller was let in.
    b"script-name",
    b"x-script-name",
    b"path-info",
    b"x-original-url",
    b"x-original-uri",
    b"x-rewrite-url",
    b"x-request-uri",
    b"x-replaced-path",
    b"x-envoy-original-path",
    b"x-http-destinationurl",
    b"x-ms-original-url",
    b"x-waws-unencoded-url",
    # Which files the proxy sends in the model's place (Rack's Sendfile).
    b"x-sendfile-type",
    b"x-accel-mapping",
    # Proxies that sign people in say so to what is behind them, a Hub for one: some of it opens things in their name.
    b"remote-user",
    b"remote-groups",
    b"remote-name",
    b"remote-email",
    b"x-remote-user",
    b"x-remote-group",
    b"x-webauth-user",
    b"x-authenticated-user",
    b"x-proxy-user",
    b"x-auth-request-access-token",
    b"x-auth-request-email",
    b"x-auth-request-groups",
    b"x-auth-request-preferred-username",
    b"x-auth-request-user",
    b"x-amzn-oidc-accesstoken",
    b"x-amzn-oidc-data",
    b"x-amzn-oidc-identity",
    b"x-goog-iap-jwt-assertion",
    b"x-goog-authenticated-user-email",
    b"x-goog-authenticated-user-id",
    b"cf-access-jwt-assertion",
    b"cf-access-authenticated-user-email",
    b"x-ms-token-aad-access-token",
    b"x-ms-token-aad-id-token",
    b"x-ms-token-aad-refresh-token",
    b"x-ms-client-principal",
    b"x-ms-client-principal-id",
    b"x-ms-client-principal-name",
)
#: By which some servers take a call for one with another method than its own. In capitals or with "_", too.
OTHER_METHOD = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-method", b"x-forwarded-method"}
)
#: Where COPY and MOVE of WebDAV (RFC 4918) write to.
DESTINATION = b"destination"
# Others than those in the rules are of no proxy that we know; some (-Access-Token, -Email, -User of oauth2-proxy) are
# its callers' secrets.
OF_PROXIES = b"x-forwarded-"
# Whose pages may call is for the owner of a service to say (``cors.py``), and for no model.
_OF_PAGES = (
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-private-network",
    b"access-control-expose-headers",
    b"access-control-max-age",
)
_SET_BY_US = (OF_PROXIES, OURS)  # by how their names begin; the others are in the rules
REQUEST_RULES = {
    **dict.fromkeys(_HOP_BY_HOP, HOP),
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"authorization": AUTH,
    b"cookie": COOKIE,
    b"x-request-id": ID,
    b"te": TE,
    b"trailer": TRAILER,
    b"prefer": PREFER,
    OURS + b"heartbeat": HEARTBEAT,
    b"traceparent": TRACE,
    **dict.fromkeys(CLAIMS, HOP),
    **dict.fromkeys(
        (
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"x-forwarded-prefix",
            b"via",
        ),
        FORWARDED,
    ),
    b"x-xsrftoken": HOP,  # Jupyter's; the control API knows bearer tokens only
}
ANSWER_RULES = {
    **dict.fromkeys(_HOP_BY_HOP, HOP),
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"keep-alive": KEEP,
    b"x-request-id": ID,
    b"te": HOP,
    b"trailer": TRAILER,
    b"content-type": TYPE,
    b"location": LOCATION,
    **dict.fromkeys(_OF_PAGES, HOP),
}
#: What ``Connection`` may name beside headers that end with the connection.
CONNECTION_OPTIONS = frozenset({b"", b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"})


def request_header_passes(lower: bytes) -> bool:
    """Whether a header of that name, in lower case, goes on as it is."""
    if lower in REQUEST_RULES or lower.startswith(OF_PROXIES):
        return False
    return b"_" not in lower or not merges(lower)


def answer_header_passes(lower: bytes) -> bool:
    """The same for an answer's."""
    return lower not in ANSWER_RULES


def tokens_of(value: bytes) -> list[bytes]:
    """Of a list such as that of ``Connection``, in lower case."""
    return [token.strip(b" \t") for token in value.lower().split(b",")]


def merges(lower: bytes) -> bool:
    """Whether a server that makes variables of headers (WSGI, CGI) takes it for one that we set or keep back: to these,
    ``X_Real_IP`` is ``X-Real-IP``."""
    dashed = lower.replace(b"_", b"-")
    return dashed in REQUEST_RULES or dashed.startswith(_SET_BY_US)
