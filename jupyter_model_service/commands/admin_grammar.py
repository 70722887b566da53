"""The arguments of the verbs of administrators."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..client.units import parse_duration
from . import values
from .parser import Parser, name_argument

_COUNT = values.number(0, 1_000_000)
_TIME = values.checked(parse_duration)

#: Fields of ``wire.LimitsChange`` → option, its word, how it is read, its help
_OPTIONS: dict[str, tuple[str, str, Callable[[str], Any], str]] = {
    "max_services_per_user": (
        "--max-services",
        "N",
        _COUNT,
        "her services, also those without a replica",
    ),
    "max_replicas_per_user": ("--max-replicas", "N", _COUNT, "replicas of all her services together"),
    "max_gpus_per_user": ("--max-gpus", "N", _COUNT, "GPUs of all her services together"),
    "max_gpus_per_replica": ("--max-gpus-per-replica", "N", _COUNT, "GPUs of one replica"),
    "max_cpus": ("--max-cpus", "N", values.cpus, "CPUs of one replica"),
    "max_memory": ("--max-memory", "SIZE", values.memory, "memory of one replica, such as 8g"),
    "longest_token": ("--longest-token", "TIME", _TIME, "until a new token has expired, such as 7d"),
    "idle_limit": ("--idle-limit", "TIME", _TIME, "without a call until a service is stopped"),
    "longest_life": ("--longest-life", "TIME", _TIME, "from its start until a service is stopped"),
}
LIMITS = (*_OPTIONS, "allow_public")


def _nothing(parser: Parser) -> None:
    pass


def _limits(parser: Parser) -> None:
    parser.add_argument("user", metavar="USER", type=values.whom, help="the Hub's name of the user")
    for field, (option, word, read, about) in _OPTIONS.items():
        parser.add_argument(
            option,
            metavar=word,
            dest=field,
            type=values.or_none(read),
            default=argparse.SUPPRESS,
            help=f"{about}; none: give it back",
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
    parser.add_argument("text", metavar="TEXT", nargs="*", help="what to say, in one line of at most 500 characters")
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
