"""The one grammar of the command line and the notebook magics: verbs, their options, and what each means.

Built on argparse, but nothing here prints or exits: a wrong line raises :class:`UsageError` (one sentence), ``--help``
raises :class:`HelpShown` with the text. ``docs/cli.md`` is generated from these tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from ..client.calls import parse_mount
from ..client.units import parse_expiry, parse_size
from ..client.waiting import WAIT_SECONDS
from ..errors import ModelServiceError
from . import values

PROGRAM = "jupyter model-service"
_ABOUT = (
    "Serve a model folder (code, weights and a model-definition.yaml) as an HTTP endpoint with replicas, health checks "
    "and tokens. Begin with: create FOLDER."
)
_DEFAULT_TAIL = 100


class UsageError(ModelServiceError):
    """The line itself is wrong; ``verb`` is the one whose ``--help`` would tell."""

    code = "usage"
    status = 400

    def __init__(self, message: str, verb: str | None = None) -> None:
        super().__init__(message)
        self.verb = verb


class HelpShown(Exception):
    """Somebody asked for help: ``text`` is what to show."""

    def __init__(self, text: str) -> None:
        super().__init__("help was asked for")
        self.text = text


class _Format(argparse.HelpFormatter):
    """The same text on every terminal, wide enough for the longest verb."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=26, width=100)


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises where the original prints and exits."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Format)
        super().__init__(**options, allow_abbrev=False)

    @property
    def verb(self) -> str | None:
        return self.prog.removeprefix(PROGRAM).strip() or None

    def error(self, message: str) -> NoReturn:
        raise UsageError(_sentence(message), self.verb)

    def print_help(self, file: Any = None) -> NoReturn:
        raise HelpShown(self.format_help())


def _sentence(message: str) -> str:
    """argparse's message without its jargon, as a sentence."""
    message = message.removeprefix("argument ").replace(
        "the following arguments are required:", "what is missing here:"
    )
    return (message[:1].upper() + message[1:]).rstrip(".") + "."


def near(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'create'?"``, or nothing."""
    import difflib  # only where something is wrong

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""


# --- options that several verbs share ----------------------------------------------------------------------


def _name(parser: Parser, text: str = "the service: NAME, or OWNER/NAME for somebody else's") -> None:
    parser.add_argument("name", metavar="NAME", type=values.service, help=text)


def _waiting(parser: Parser, what: str = "ready", *, copies: bool = False) -> None:
    only = ", only until the folder's files are copied" if copies else ""
    parser.add_argument("--detach", action="store_true", help=f"do not wait until the service is {what}{only}")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=values.patience,
        default=WAIT_SECONDS,
        help="wait no longer than this, such as 90s, 10m or 2h (default: 1h); the service goes on all the same",
    )


def _revision(parser: Parser) -> None:
    parser.add_argument(
        "--env",
        metavar="K=V",
        dest="environment",
        action="append",
        type=values.variable,
        help="an environment variable of the model server; K alone passes your own value on; may be repeated",
    )
    parser.add_argument(
        "--mount",
        metavar="SRC:DST[:ro]",
        dest="mounts",
        action="append",
        type=values.checked(parse_mount),
        help="a folder (on a hub: the name of a volume) besides the model folder; may be repeated",
    )
    parser.add_argument("--cpu", metavar="N", dest="cpus", type=values.cpus, help="CPUs of each replica")
    parser.add_argument(
        "--memory", metavar="SIZE", type=values.checked(parse_size), help="memory of each replica, such as 512m or 8g"
    )
    parser.add_argument("--gpus", metavar="N", type=values.number(0, 64), help="GPUs of each replica")
    parser.add_argument("--image", metavar="IMAGE", help="container image, where replicas are containers")


# --- the verbs -------------------------------------------------------------------------------------------


def _validate(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=values.folder, help="the model folder")


def _create(parser: Parser) -> None:
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=values.folder,
        help="the model folder: it holds a model-definition.yaml",
    )
    parser.add_argument(
        "-n",
        "--name",
        metavar="NAME",
        type=values.new_name,
        help="lower-case letters, digits and dashes, 20 at most (default: the model's)",
    )
    parser.add_argument(
        "--replicas", metavar="N", type=values.number(0, 100), default=1, help="copies of the model server (default: 1)"
    )
    _revision(parser)
    parser.add_argument("--public", action="store_true", help="anybody who reaches the endpoint may call it")
    _waiting(parser, copies=True)


def _list(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print the names only")


def _info(parser: Parser) -> None:
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        type=values.service,
        help="the service (default: about the gateway itself)",
    )


def _scale(parser: Parser) -> None:
    _name(parser)
    parser.add_argument(
        "replicas", metavar="REPLICAS", type=values.number(0, 100), help="how many; 0 keeps only the endpoint"
    )
    _waiting(parser)


def _update(parser: Parser) -> None:
    _name(parser)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=values.folder,
        help="another model folder (default: the same, read again)",
    )
    _revision(parser)
    parser.add_argument(
        "--no-env", dest="environment", action="store_const", const=[], help="take all environment variables away"
    )
    parser.add_argument("--no-mounts", dest="mounts", action="store_const", const=[], help="take all mounts away")
    access = parser.add_mutually_exclusive_group()
    access.add_argument(
        "--public", dest="public", action="store_true", default=None, help="open the endpoint to anybody"
    )
    access.add_argument("--private", dest="public", action="store_false", default=None, help="demand a token again")
    _waiting(parser, copies=True)


def _rollback(parser: Parser) -> None:
    _name(parser)
    parser.add_argument(
        "revision",
        metavar="REVISION",
        nargs="?",
        type=values.number(1, 10**9),
        help="default: the one that was fully up before the active one",
    )
    _waiting(parser)


def _restart(parser: Parser) -> None:
    _name(parser)
    _waiting(parser)


def _stop(parser: Parser) -> None:
    _name(parser)
    _waiting(parser, "stopped")


def _generate_token(parser: Parser) -> None:
    _name(parser)
    parser.add_argument("--name", metavar="LABEL", dest="label", default="", help="what the token is for, for the list")
    parser.add_argument(
        "--expires",
        metavar="TIME",
        type=values.checked(parse_expiry),
        default="30d",
        help="such as 2h, 3d or never (default: 30d)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the token there (mode 0600) instead of showing it")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the token only")


def _revoke_token(parser: Parser) -> None:
    _name(parser)
    parser.add_argument("token", metavar="TOKEN", help="the token's id or its label, as `tokens` lists them")


def _logs(parser: Parser) -> None:
    _name(parser)
    parser.add_argument("--replica", metavar="ID", help="default: the one that tells most")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new lines, until Ctrl-C")
    parser.add_argument(
        "--tail",
        metavar="N",
        type=values.tail,
        default=_DEFAULT_TAIL,
        help=f"the last N lines, or all (default: {_DEFAULT_TAIL})",
    )


def _events(parser: Parser) -> None:
    _name(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new events, until Ctrl-C")
    parser.add_argument(
        "--tail", metavar="N", type=values.number(1, 1000), default=50, help="the last N events (default: 50)"
    )


def _delete(parser: Parser) -> None:
    _name(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    _waiting(parser, "gone")


Arguments = Callable[[Parser], None]
#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Arguments]] = {
    "validate": (
        "check a model folder and change nothing",
        "Every problem is listed with its line. Starts a gateway if none runs.",
        _validate,
    ),
    "create": (
        "make a service of a model folder",
        "Shows how far the copy of the folder is, then what each replica is doing until the service is ready, and "
        "how to call it. Ctrl-C during the copy gives it up, and nothing is made; later it stops the watching, not the "
        "service. Starts a gateway if none runs.",
        _create,
    ),
    "list": ("list your services", "", _list),
    "info": ("show a service: state, replicas, revisions, endpoint", "", _info),
    "scale": ("change the number of replicas", "Replicas that leave finish the calls that they have.", _scale),
    "update": (
        "make the next revision and roll over to it",
        "The folder is read again, and its files are kept. What is left out stays as it is; --env and --mount replace "
        "the former ones. New replicas are ready before old "
        "ones leave. If the new revision does not come up, the old one goes on serving.",
        _update,
    ),
    "rollback": (
        "return to an earlier revision",
        "It has the files that it kept of its folder, whatever became of that since; what it only links to, such as "
        "large weights, is as it is now.",
        _rollback,
    ),
    "restart": ("replace every replica, new ones first", "", _restart),
    "stop": ("end all replicas; endpoint and tokens stay", "", _stop),
    "start": ("start a stopped or failed service again", "", _restart),
    "get-endpoint": ("print the endpoint's URL", "", _name),
    "generate-token": (
        "make a token that may call one endpoint",
        "The token is shown this once; only its hash is kept. Send it as `Authorization: Bearer TOKEN`.",
        _generate_token,
    ),
    "tokens": ("list a service's tokens and when each was last used", "", _name),
    "revoke-token": ("make a token invalid at once", "", _revoke_token),
    "logs": ("show what a replica printed", "", _logs),
    "events": ("show what happened to a service, and why", "", _events),
    "delete": ("remove a service with its tokens and history", "The model folder stays as it is.", _delete),
}


def build_parser(extra: dict[str, tuple[str, str, Arguments]] | None = None, program: str = PROGRAM) -> Parser:
    """``extra`` are verbs of one face only (the command line's ``gateway``)."""
    parser = Parser(prog=program, description=_ABOUT, epilog=f"{program} VERB --help tells more about one verb.")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser, required=True)
    for verb, (summary, details, arguments) in {**VERBS, **(extra or {})}.items():
        about = f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        sub = subparsers.add_parser(verb, help=summary, description=about, prog=f"{program} {verb}")
        arguments(sub)
        sub.add_argument("--json", action="store_true", help="print JSON, as the HTTP API answers")
        sub.add_argument(
            "--data-dir", metavar="DIR", help="the gateway's folder (default: model-service in Jupyter's data)"
        )
    return parser


def parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """Like ``parse_args``, with near names for what nobody knows."""
    known = verb_parsers(parser)
    verb = next((word for word in words if not word.startswith("-")), None)
    if verb is not None and verb not in known:
        raise UsageError(f"There is no verb {_short(verb)!r}.{near(verb, known)}")
    arguments, unknown = parser.parse_known_args(list(words))
    if unknown:
        options = [option for action in known[arguments.verb]._actions for option in action.option_strings]
        word = unknown[0].partition("=")[0]
        hint = near(word, options) if word.startswith("-") else ""
        kind = "option" if word.startswith("-") else "argument"
        raise UsageError(f"{arguments.verb} takes no {kind} {_short(word)!r}.{hint}", arguments.verb)
    return arguments


def verb_parsers(parser: Parser) -> dict[str, Parser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _short(word: str) -> str:
    return word if len(word) <= 60 else word[:57] + "..."
