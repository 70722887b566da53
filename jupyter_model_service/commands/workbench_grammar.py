"""The verbs for a folder that is not served yet: ``init`` and ``dry-run``."""

from __future__ import annotations

from ..errors import InvalidRequest
from ..workbench.kinds import KINDS, kind_named
from . import values
from .parser import Parser

__all__ = ["VERBS"]

_KINDS = ", ".join(kind.name for kind in KINDS)
_SECONDS = 300.0


@values.checked
def _kind(text: str) -> str:
    return kind_named(text).name


@values.checked
def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidRequest(f"{text[:60]!r} sets nothing: write FIELD=VALUE.")
    return name, value


def _init(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=values.folder, help="the model folder; it is made if need be")
    parser.add_argument(
        "--kind", metavar="KIND", type=_kind, help=f"one of {_KINDS} (default: what the folder looks like)"
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        dest="fields",
        action="append",
        type=_field,
        default=[],
        help="what is known of the model, such as app=main:api or port=9000; may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")


def _dry_run(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=values.folder, help="the model folder")
    parser.add_argument(
        "--request",
        metavar="NAME",
        help="which of the sample requests in model-requests.json to send (default: the first)",
    )
    parser.add_argument("--path", metavar="PATH", help="send a call to this path instead, such as /predict?top=3")
    parser.add_argument("--body", metavar="TEXT", help="the body of that call, which then is a POST; JSON or any text")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=values.patience,
        default=_SECONDS,
        help="give up after this, such as 90s or 10m (default: 5m)",
    )


VERBS = {
    "init": (
        "write a model-definition.yaml, and a server where there is none",
        "What the folder holds decides what is written, unless --kind says it: "
        + "; ".join(f"{kind.name} ({', '.join(field.name for field in kind.fields)})" for kind in KINDS)
        + ". In parentheses is what --set can set. A definition that is there already is left alone.",
        _init,
    ),
    "dry-run": (
        "start a folder's server here, call it once, and stop it",
        "Nothing is deployed and no gateway is needed: the server runs in this environment, on a free port, as a "
        "replica on this machine would. Shown are its phases, its answer, and the end of its log if it does not work.",
        _dry_run,
    ),
}
