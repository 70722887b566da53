"""The arguments of the verbs about the audit log."""

from __future__ import annotations

from collections.abc import Callable

from . import values
from .parser import Parser, name_argument

_LAST = 50


def _reading(parser: Parser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new entries, until Ctrl-C")
    parser.add_argument(
        "--tail",
        metavar="N",
        type=values.tail,
        default=_LAST,
        help=f"the last N entries, or all (default: {_LAST})",
    )
    parser.add_argument("--who", metavar="CALLER", help="only what this caller did")
    parser.add_argument(
        "--action",
        dest="operation",
        metavar="NAME",
        type=values.action,
        help="only this operation, such as stop_service",
    )
    parser.add_argument(
        "--since", metavar="TIME", type=values.moment, help="from then on: 2026-11-30, or 2026-11-30T08:00, of UTC"
    )
    parser.add_argument("--until", metavar="TIME", type=values.moment, help="before then; of a day, before it begins")


def _of_service(parser: Parser) -> None:
    name_argument(parser)
    _reading(parser)


def _of_all(parser: Parser) -> None:
    parser.add_argument("--service", metavar="OWNER/NAME", type=values.owned, help="only what was done to this service")
    _reading(parser)


_DETAILS = (
    "One line for each change, and for what was denied; of the latter, what is the same within a minute is one line "
    "with a number. With --json, each entry is one line of JSON with what was before and after."
)

#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "audit": ("show who did what with a service", _DETAILS, _of_service),
    "admin audit": (
        "show who did what with any service, and what was denied",
        f"{_DETAILS} On a hub, this is for its administrators, and for auditors.",
        _of_all,
    ),
}
GROUPS = {"admin": "see what goes on in the whole gateway, limit users, and end what must not go on"}
