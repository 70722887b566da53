"""The arguments of the verbs about who may do what with a service."""

from __future__ import annotations

from collections.abc import Callable

from . import values
from .parser import Parser, name_argument
from .token_grammar import limit_arguments

ROLES = ("caller", "viewer", "operator")


def _whom(parser: Parser, what: str) -> None:
    for option, who in (("user", "this user"), ("group", "all who are in this group")):
        parser.add_argument(
            f"--{option}",
            metavar=option.upper(),
            dest=f"{option}s",
            action="append",
            type=values.whoms(f"--{option}"),
            default=[],
            help=f"{what} {who}; may be repeated, once for each",
        )


def _share(parser: Parser) -> None:
    name_argument(parser)
    _whom(parser, "share it with")
    parser.add_argument(
        "--role",
        metavar="ROLE",
        choices=ROLES,
        default="caller",
        help="caller: call it (the default); viewer: also see state, events, logs and figures; operator: also "
        "scale, stop, start, restart, roll back and autoscale",
    )
    limit_arguments(parser, lambda read: read, None)


def _unshare(parser: Parser) -> None:
    name_argument(parser)
    _whom(parser, "share it no more with")


def _access(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--user", metavar="USER", type=values.whom, help="say of this user, too, what she may do, and why"
    )
    parser.add_argument(
        "--origin",
        metavar="URL",
        dest="origins",
        action="append",
        help="let pages of this origin, such as https://app.example.org, call the endpoint from a browser, and of no "
        "others but those that are given with it; may be repeated",
    )
    parser.add_argument("--no-origins", action="store_true", help="let no pages of other origins call it")


def visibility_arguments(parser: Parser, *, new: bool = False) -> None:
    """``visibility``, a word or None. What is made is shared with nobody yet."""
    parser.set_defaults(public=None)  # programs' word for it, which no option says
    words = ("private", "public") if new else ("private", "shared", "public")
    private = "private: you and whoever has a token"
    private += " (the default)" if new else ", and what was shared is taken back"
    shared = "" if new else "shared: those, too, whom it is shared with; "
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--visibility",
        metavar="WORD",
        choices=words,
        help=f"who may call it. {private}; {shared}public: anybody who reaches the endpoint",
    )
    for word in ("public",) if new else ("public", "private"):
        either.add_argument(
            f"--{word}", dest="visibility", action="store_const", const=word, help=f"short for --visibility {word}"
        )


#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "share": (
        "let users and groups of the hub use a service",
        "They call it with tokens of their own; limits are for each person. Shared again, the new role and limits "
        "take the place of the former ones.",
        _share,
    ),
    "unshare": ("take back what was shared, from the next call on", "", _unshare),
    "access": (
        "show who may do what with a service, and why; or say whose pages may call it",
        "",
        _access,
    ),
}
