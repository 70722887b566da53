"""The one grammar of the command line and the notebook magics: verbs, their options, and what each means.

Built on argparse, but nothing here prints or exits: a wrong line raises :class:`UsageError` (one sentence), ``--help``
raises :class:`HelpShown` with the text. ``docs/cli.md`` is generated from these tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from ..client.calls import parse_mount
from ..core.bounds import MOST_GPUS, MOST_REPLICAS
from . import access_grammar, admin_grammar, audit_grammar, scaling_grammar, token_grammar, values, workbench_grammar
from .parser import PROGRAM, HelpShown, Parser, UsageError, name_argument, near, waiting_arguments

__all__ = ["PROGRAM", "VERBS", "HelpShown", "Parser", "UsageError", "build_parser", "parse", "verb_parsers"]

_ABOUT = (
    "Serve a model folder (code, weights and a model-definition.yaml) as an HTTP endpoint with replicas, health checks "
    "and tokens. Begin with: create FOLDER."
)
_DEFAULT_TAIL = 100


# --- options that several verbs share ----------------------------------------------------------------------


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
        "--memory", metavar="SIZE", type=values.memory, help="memory of each replica, such as 512m or 8g"
    )
    parser.add_argument("--gpus", metavar="N", type=values.number(0, MOST_GPUS), help="GPUs of each replica")
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
        "--replicas",
        metavar="N",
        type=values.number(0, MOST_REPLICAS),
        default=1,
        help="copies of the model server (default: 1)",
    )
    _revision(parser)
    access_grammar.visibility_arguments(parser, new=True)
    waiting_arguments(parser, copies=True)


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


def _get_endpoint(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--openai", action="store_true", help="the base URL for OpenAI's clients, which find a service by its name"
    )


def _scale(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "replicas", metavar="REPLICAS", type=values.number(0, MOST_REPLICAS), help="how many; 0 keeps only the endpoint"
    )
    waiting_arguments(parser)


def _update(parser: Parser) -> None:
    name_argument(parser)
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
    access_grammar.visibility_arguments(parser)
    waiting_arguments(parser, copies=True)


def _rollback(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "revision",
        metavar="REVISION",
        nargs="?",
        type=values.number(1, 10**9),
        help="default: the one that was fully up before the active one",
    )
    waiting_arguments(parser)


def _restart(parser: Parser) -> None:
    name_argument(parser)
    waiting_arguments(parser)


def _stop(parser: Parser) -> None:
    name_argument(parser)
    waiting_arguments(parser, "stopped")


def _logs(parser: Parser) -> None:
    name_argument(parser)
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
    name_argument(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new events, until Ctrl-C")
    parser.add_argument(
        "--tail", metavar="N", type=values.number(1, 1000), default=50, help="the last N events (default: 50)"
    )


def _delete(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    waiting_arguments(parser, "gone")


Arguments = Callable[[Parser], None]
#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Arguments]] = {
    **workbench_grammar.VERBS,
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
    "scale": (
        "change the number of replicas",
        "Replicas that leave finish the calls that they have. On a service that scales by itself, the number is held "
        "until `autoscale NAME --resume`.",
        _scale,
    ),
    **scaling_grammar.VERBS,
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
    "get-endpoint": ("print the endpoint's URL", "", _get_endpoint),
    **token_grammar.VERBS,
    **access_grammar.VERBS,
    **audit_grammar.VERBS,
    **admin_grammar.VERBS,
    "logs": ("show what a replica printed", "", _logs),
    "events": ("show what happened to a service, and why", "", _events),
    "delete": ("remove a service with its tokens and history", "The model folder stays as it is.", _delete),
}


#: The first word of verbs of two words → what they are about
GROUPS = {**scaling_grammar.GROUPS, **audit_grammar.GROUPS}


def build_parser(extra: dict[str, tuple[str, str, Arguments]] | None = None, program: str = PROGRAM) -> Parser:
    """``extra`` are verbs of one face only (the command line's ``gateway``)."""
    parser = Parser(prog=program, description=_ABOUT, epilog=f"{program} VERB --help tells more about one verb.")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs", parser_class=Parser, required=True)
    groups: dict[str, Any] = {}
    for verb, (summary, details, arguments) in {**VERBS, **(extra or {})}.items():
        about = f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        group, _, action = verb.rpartition(" ")
        if group and group not in groups:
            groups[group] = _group(subparsers, group, program)
        siblings = groups[group] if group else subparsers
        sub = siblings.add_parser(action, help=summary, description=about, prog=f"{program} {verb}")
        arguments(sub)
        sub.add_argument("--json", action="store_true", help="print JSON, as the HTTP API answers")
        sub.add_argument(
            "--data-dir", metavar="DIR", help="the gateway's folder (default: model-service in Jupyter's data)"
        )
    return parser


def _group(subparsers: Any, group: str, program: str) -> Any:
    """``rule``, of which ``add``, ``list`` and ``remove`` are verbs of two words."""
    summary = GROUPS[group]
    sub = subparsers.add_parser(
        group, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", prog=f"{program} {group}"
    )
    return sub.add_subparsers(dest="action", metavar="VERB", title="verbs", parser_class=Parser, required=True)


def parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """Like ``parse_args``, with near names for what nobody knows."""
    known = verb_parsers(parser)
    named = [word for word in words if not word.startswith("-")]
    _check_known(named[:1], {verb.partition(" ")[0] for verb in known}, None)
    if named and named[0] in GROUPS:
        group = named[0] + " "
        _check_known(named[1:2], {verb.removeprefix(group) for verb in known if verb.startswith(group)}, named[0])
    arguments, unknown = parser.parse_known_args(list(words))
    if "action" in arguments:
        arguments.verb = f"{arguments.verb} {arguments.action}"
        del arguments.action
    if unknown:
        options = [option for action in known[arguments.verb]._actions for option in action.option_strings]
        word = unknown[0].partition("=")[0]
        hint = near(word, options) if word.startswith("-") else ""
        kind = "option" if word.startswith("-") else "argument"
        raise UsageError(f"{arguments.verb} takes no {kind} {_short(word)!r}.{hint}", arguments.verb)
    return arguments


def _check_known(words: Sequence[str], known: set[str], group: str | None) -> None:
    if words and words[0] not in known:
        where = f" of {group}" if group else ""
        raise UsageError(f"There is no verb {_short(words[0])!r}{where}.{near(words[0], sorted(known))}", group)


def verb_parsers(parser: Parser) -> dict[str, Parser]:
    """By verb, those of two words (``rule add``) too."""
    found: dict[str, Parser] = {}
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for verb, sub in action.choices.items():
            nested = verb_parsers(sub)
            found.update({f"{verb} {each}": nested[each] for each in nested} or {verb: sub})
    return found


def _short(word: str) -> str:
    return word if len(word) <= 60 else word[:57] + "..."
