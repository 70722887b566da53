"""The arguments of the verbs of administrators."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..core.bounds import LONGEST_NOTICE
from ..core.limit_words import limit_read
from ..core.policy_limits import NUMBERS, Limit
from . import values
from .parser import Parser, name_argument

#: Of a limit of each kind: the word that stands for its value in a help, and an example of one
_WORDS = {"count": ("N", ""), "cpus": ("N", ""), "bytes": ("SIZE", ", such as 8g"), "seconds": ("TIME", ", such as 7d")}
#: Fields of ``wire.LimitsChange``
LIMITS = (*(each.name for each in NUMBERS), "allow_public")


def _nothing(parser: Parser) -> None:
    pass


def _read(limit: Limit) -> Callable[[str], float]:
    return values.checked(lambda text: limit_read(limit.name, text))


def _limits(parser: Parser) -> None:
    parser.add_argument("user", metavar="USER", type=values.whom, help="the Hub's name of the user")
    for limit in NUMBERS:
        word, example = _WORDS[limit.kind]
        parser.add_argument(
            f"--{limit.name.removesuffix('_per_user').replace('_', '-')}",
            metavar=word,
            dest=limit.name,
            type=values.or_none(_read(limit)),
            default=argparse.SUPPRESS,
            help=f"{limit.about}{example}; none: give it back",
        )
    public = parser.add_mutually_exclusive_group()
    public.add_argument(
        "--no-public",
        dest="allow_public",
        action="store_false",
        default=argparse.SUPPRESS,
        help="her services may not be made public",
    )
    public.add_argument(
        "--public",
        dest="allow_public",
        action="store_const",
        const=None,
        default=argparse.SUPPRESS,
        help="take --no-public back",
    )
    parser.add_argument("--clear", action="store_true", help="give back everything that was taken here")


def _notice(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "text", metavar="TEXT", nargs="*", help=f"what to say, in one line of at most {LONGEST_NOTICE} characters"
    )
    parser.add_argument("--remove", action="store_true", help="take the notice back")


def _stop(parser: Parser) -> None:
    name_argument(parser)


#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "admin list": (
        "show all services, and what their owners have and may have",
        "On a hub, this is for its administrators, as are all verbs of admin.",
        _nothing,
    ),
    "admin gpus": (
        "show which GPUs there are, and who has them",
        "Notebooks and other containers of the Hub's machine count, too.",
        _nothing,
    ),
    "admin limits": (
        "show what a user has and may have, or take some of it from her",
        "What is set here holds at once, beside what the installation says, and only takes away: more than that "
        "gives, nobody gets. What is there already stays.",
        _limits,
    ),
    "admin notice": ("say something about a service to whoever looks at it", "", _notice),
    "admin stop": ("stop a service of any owner; she may start it again", "", _stop),
}
