"""``gateway``: the one verb that only the command line has. Runs the gateway program, or looks after one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..client import calls
from ..client.address import Locator
from ..client.light import Connection
from ..commands.grammar import PROGRAM, Parser, UsageError
from ..commands.results import DoneResult, GatewayResult, Result
from ..discovery import find_gateway, start_gateway

_START_SECONDS = 30.0

SUMMARY = "run, start, show or stop the gateway"
DETAILS = (
    "Without options it runs here, until Ctrl-C; unless --keep is given, it also ends with the last Jupyter server "
    "that uses it, or after 60 s in which none came. It is what serves the endpoints; `create` and JupyterLab start "
    "one by themselves. Every option of its configuration may be given, too: "
    "--help-all lists them."
)


def arguments(parser: Parser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--background", action="store_true", help="start one that stays, and return when it answers")
    what.add_argument("--status", action="store_true", help="show the one that runs")
    what.add_argument("--stop", action="store_true", help="end the one that runs, and its replicas with it")
    parser.add_argument("--leave-replicas", action="store_true", help="with --stop: the next gateway takes them over")
    parser.add_argument(
        "--keep", action="store_true", help="stay when the last Jupyter server has ended, or none comes"
    )
    parser.add_argument("--hub", action="store_true", help="be the gateway of a JupyterHub: see docs/admin.md")
    parser.add_argument("--port", metavar="N", help="listen there (default: the port used last)")
    parser.add_argument("--log-level", metavar="LEVEL", help="such as DEBUG")


def handled_here(words: Sequence[str]) -> bool:
    """Whether a line is ours; all others are the gateway program's own."""
    return any(word in ("--background", "--status", "--json", "-h", "--help") for word in words)


def run_program(words: Sequence[str]) -> int:
    from ..app import main  # the whole gateway: only for those who run one

    return main(list(words))


def run(namespace: object) -> Result:
    """``--status`` and ``--background``."""
    data_dir = getattr(namespace, "data_dir", None)
    locator = Locator(data_dir=data_dir)
    if getattr(namespace, "status", False):
        return GatewayResult(Connection(locator).send(calls.info()))
    if not getattr(namespace, "background", False):
        raise UsageError("Use --json together with --status.", "gateway")
    if getattr(namespace, "port", None) or getattr(namespace, "log_level", None):
        raise UsageError(
            "In the background, options come from jupyter_model_service_config.py: --port and --log-level are for "
            "one that runs here.",
            "gateway",
        )
    directory = locator.data_dir if data_dir is None else Path(data_dir)
    before = find_gateway(directory)
    found = start_gateway(directory, keep=True, timeout=_START_SECONDS)
    told = f"The gateway runs at {found.url} (process {found.pid}). {PROGRAM} gateway --stop ends it."
    if before is not None and before.pid == found.pid:
        told = (
            f"The gateway runs already at {found.url} (process {found.pid}), with the options of its start; new ones "
            f"hold from the next: {PROGRAM} gateway --stop, then {PROGRAM} gateway --background."
        )
    return DoneResult(
        told,
        {"url": found.url, "pid": found.pid, "version": found.version},
    )
