"""The arguments of the verbs about tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..client.tokens import DEFAULT, DEFAULT_OVERLAP, KEEP, parse_overlap
from ..client.units import parse_expiry
from ..core.bounds import LONGEST_OVERLAP
from ..core.limits import MOST_IN_FLIGHT, MOST_PER_DAY
from . import values
from .parser import Parser, name_argument

#: The limits of a token: attributes of the parsed line, and fields of ``wire.LimitsSpec``.
LIMITS = ("calls_per_second", "in_flight", "calls_per_day")


def limit_arguments(
    parser: Parser, wrapped: Callable[[Callable[[str], Any]], Callable[[str], Any]], default: Any
) -> None:
    parser.add_argument(
        "--calls-per-second",
        metavar="N",
        type=wrapped(values.rate),
        default=default,
        help="so many calls per second, and as many at once; 0.5 is one each 2 s",
    )
    parser.add_argument(
        "--in-flight",
        metavar="N",
        type=wrapped(values.number(1, MOST_IN_FLIGHT)),
        default=default,
        help="so many calls at a time, those that wait for a replica, streams and WebSockets included",
    )
    parser.add_argument(
        "--calls-per-day",
        metavar="N",
        type=wrapped(values.number(1, MOST_PER_DAY)),
        default=default,
        help="so many calls on a day, which begins at 00:00 UTC",
    )


def _generate_token(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument("--name", metavar="LABEL", dest="label", default="", help="what the token is for, for the list")
    parser.add_argument(
        "--expires",
        metavar="TIME",
        type=values.checked(parse_expiry),
        default=DEFAULT,
        help="such as 2h, 3d or never (default: 30d, or what the administrator allows, where that is less)",
    )
    limit_arguments(parser, lambda read: read, None)
    _rule_arguments(parser, [])
    _output_arguments(parser)


def _rule_arguments(parser: Parser, default: list[str] | None) -> None:
    parser.add_argument(
        "--path",
        metavar="PATH",
        dest="paths",
        action="append",
        default=default,
        help="only for this path of the model's, such as /v1/models, or with /* at its end all below (repeatable: for "
        "each of them)",
    )
    parser.add_argument(
        "--method",
        metavar="METHOD",
        dest="methods",
        action="append",
        type=values.method,
        default=default,
        help="only with this method, such as POST (repeatable: with each of them)",
    )


def _output_arguments(parser: Parser) -> None:
    parser.add_argument("--output", metavar="FILE", help="write the token there (mode 0600) instead of showing it")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the token only")


def _rotate_token(parser: Parser) -> None:
    name_argument(parser)
    _token_argument(parser)
    parser.add_argument(
        "--overlap",
        metavar="TIME",
        type=values.checked(parse_overlap),
        default=DEFAULT_OVERLAP,
        help="for how long the former token still is good, such as 2h or 0 (default: 1d, at most "
        f"{LONGEST_OVERLAP / 86400:g}d)",
    )
    parser.add_argument(
        "--expires",
        metavar="TIME",
        type=values.checked(parse_expiry),
        default=KEEP,
        help="such as 2h, 3d or never (default: as long as the former was to live)",
    )
    _output_arguments(parser)


def _uses(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--since", metavar="DAY", type=values.day, help="such as 2026-11-30, of UTC (default: the last 30 days)"
    )
    parser.add_argument("--by-day", action="store_true", help="tell each day apart")


def _token_argument(parser: Parser) -> None:
    parser.add_argument(
        "token",
        metavar="TOKEN",
        help="the token's id or its label, as `tokens` lists them; a label means those that have not expired",
    )


def _limit_token(parser: Parser) -> None:
    name_argument(parser)
    _token_argument(parser)
    limit_arguments(parser, values.or_none, KEEP)
    parser.add_argument("--no-limits", action="store_true", help="take away those that are not named here")
    _rule_arguments(parser, None)
    parser.add_argument("--all-paths", action="store_true", help="for all paths; its methods stay")
    parser.add_argument("--all-methods", action="store_true", help="with all methods; its paths stay")


def _revoke_token(parser: Parser) -> None:
    name_argument(parser)
    _token_argument(parser)


#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "generate-token": (
        "make a token that may call one endpoint",
        "The token is shown this once; only its hash is kept. Send it as `Authorization: Bearer TOKEN`. A call beyond "
        "a limit gets 429, and is told when to come back.",
        _generate_token,
    ),
    "tokens": ("list a service's tokens, when each was last used, and what limits it has", "", name_argument),
    "limit-token": (
        "change the limits of a token, or what it is for",
        "They hold from the next call on; what is not named stays as it is, limits, paths and methods alike, and "
        "`none` takes a limit away. Paths and methods take the place of those that it was for. Open calls that these "
        "do not allow any more end within half a minute; lowered limits end none.",
        _limit_token,
    ),
    "rotate-token": (
        "make a token in the place of another, which still is good for a while",
        "It has the same label, limits and paths, and is shown this once. While both are good they have their limits "
        "together.",
        _rotate_token,
    ),
    "uses": (
        "show how often each token and person called a service",
        "Counted are calls by day of UTC, kept for 400 days; nothing else is kept of a call. Only a service's owner "
        "sees them, and administrators.",
        _uses,
    ),
    "revoke-token": ("make a token invalid at once", "", _revoke_token),
}
