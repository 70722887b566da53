"""The arguments of the verbs about autoscaling."""

from __future__ import annotations

from collections.abc import Callable

from ..core.bounds import MOST_REPLICAS
from . import values
from .parser import Parser, name_argument

LAST_DECISIONS = 5


def _counts(parser: Parser, fewest: str, most: str) -> None:
    parser.add_argument("--min", metavar="N", type=values.number(0, MOST_REPLICAS), help=f"the fewest {fewest}")
    parser.add_argument("--max", metavar="N", type=values.number(1, MOST_REPLICAS), help=f"the most {most}")


def _autoscale(parser: Parser) -> None:
    name_argument(parser)
    _counts(
        parser,
        "replicas (1 at first); with 0, a service without calls gives its GPU back, and the next call waits for a "
        "replica",
        "replicas (1 at first)",
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--target-concurrency",
        metavar="X",
        type=values.concurrency,
        help="calls at once that each replica is to have; auto: 70 %% of the definition's serving.concurrency, "
        "or 5.6 (default: auto)",
    )
    target.add_argument(
        "--no-target", dest="target", action="store_false", default=None, help="only rules and schedules count"
    )
    parser.add_argument(
        "--idle-after",
        metavar="TIME",
        type=values.patience,
        help="with --min 0: without a call for so long, no replica is kept (15m at first)",
    )
    parser.add_argument(
        "--down-delay",
        metavar="TIME",
        type=values.span,
        help="replicas that were needed within so long are kept (5m at first)",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--off", action="store_true", help="end autoscaling; the number of replicas stays as it is, rules are forgotten"
    )
    what.add_argument("--resume", action="store_true", help="go on after a `scale` by hand")


def _rule_add(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--metric",
        metavar="M",
        required=True,
        help="such as gpu_util, concurrency, calls_per_second, latency_p95, memory or prometheus:NAME; all of them are "
        "in docs/autoscaling-reference.md",
    )
    parser.add_argument(
        "--above", metavar="X", type=values.threshold, help="add replicas above this, such as 80, 1.5s or 8g"
    )
    parser.add_argument("--below", metavar="Y", type=values.threshold, help="take replicas away below this")
    parser.add_argument(
        "--step", metavar="N", type=values.number(1, MOST_REPLICAS), help="how many at a time (default: 1)"
    )
    parser.add_argument(
        "--cooldown", metavar="S", type=values.span, help="then the rule rests for so long (default: 300, which is 5m)"
    )
    parser.add_argument(
        "--window", metavar="S", type=values.patience, help="the value is the mean of so long (default: 60, or 1m)"
    )
    _counts(parser, "that this rule asks for", "that this rule asks for")


def _rule_remove(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument("rule", metavar="RULE", help="its id, as `rule list` shows it")


def _schedule_add(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "when", metavar="WHEN", help='such as "Mon-Fri 08:00-19:00", or cron\'s five fields with --for: "0 8 * * 1-5"'
    )
    parser.add_argument(
        "--for",
        metavar="TIME",
        dest="duration",
        type=values.patience,
        help="with cron's fields: for how long, such as 11h",
    )
    _counts(parser, "replicas while it is active", "replicas while it is active")
    parser.add_argument(
        "--timezone", metavar="Z", help="whose clock, such as Asia/Seoul (default: that of the machine you type on)"
    )


def _schedule_remove(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument("schedule", metavar="SCHEDULE", help="its id, as `schedule list` shows it")


def _explain(parser: Parser) -> None:
    name_argument(parser)
    parser.add_argument(
        "--last",
        metavar="N",
        type=values.number(1, MOST_REPLICAS),
        default=LAST_DECISIONS,
        help=f"the last N decisions (default: {LAST_DECISIONS}); those that differ in their figures only are one",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with new decisions, until Ctrl-C")


#: verb → (summary, more for its --help, its arguments)
VERBS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "autoscale": (
        "let the number of replicas follow the calls",
        "Shows the policy when no option is given; what is not given stays as it is. --min and --max are enough: there "
        "is nothing else that has to be tuned.",
        _autoscale,
    ),
    "rule add": (
        "scale by a metric, too",
        "Above one threshold replicas are added, below the other they are taken away, between the bounds of "
        "`autoscale`. Of all rules and the target, the largest number counts.",
        _rule_add,
    ),
    "rule list": ("list the rules of a service", "", name_argument),
    "rule remove": ("remove a rule", "", _rule_remove),
    "schedule add": (
        "have other bounds at certain times",
        "While it is active, its --min and --max take the place of the service's; where several are active, the "
        "largest of each count.",
        _schedule_add,
    ),
    "schedule list": ("list the schedules of a service", "", name_argument),
    "schedule remove": ("remove a schedule", "", _schedule_remove),
    "explain": (
        "tell why a service has as many replicas as it has",
        "For the last decisions of the autoscaler: what was measured, what the target and each rule wanted, which "
        "bound cut it, and why nothing happened.",
        _explain,
    ),
}
GROUPS = {
    "rule": "add, list or remove the rules that a service scales by",
    "schedule": "add, list or remove times at which a service has other bounds",
}
