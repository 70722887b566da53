"""What people may say at most: where one of those who check it takes a value, all do; the panel's are the API's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from jupyter_model_service.client.tokens import parse_overlap
from jupyter_model_service.commands import build_parser
from jupyter_model_service.commands.parser import UsageError
from jupyter_model_service.core import bounds
from jupyter_model_service.core.cors import MOST_ORIGINS, check_origins
from jupyter_model_service.core.grants import LONGEST_PATH, MOST_METHODS, MOST_RULES, PathRule, check_rules
from jupyter_model_service.core.limits import (
    LEAST_PER_SECOND,
    MOST_IN_FLIGHT,
    MOST_PER_DAY,
    MOST_PER_SECOND,
    Limits,
    check_limits,
)
from jupyter_model_service.core.names import MAX_SERVICE_NAME
from jupyter_model_service.core.token_checks import check_expiry, check_name, check_overlap
from jupyter_model_service.engine.sharing import _check_name
from jupyter_model_service.errors import InvalidRequest
from jupyter_model_service.web.queries import AccessQuery, AuditListQuery
from jupyter_model_service.wire import CreateRequest, ScaleRequest, UpdateRequest
from jupyter_model_service.wire.access import OriginsRequest
from jupyter_model_service.wire.admin import NoticeRequest
from jupyter_model_service.wire.tokens import (
    LimitsSpec,
    PathRuleSpec,
    RotateRequest,
    TokenChange,
    TokenRequest,
)

PACKAGE = Path(__file__).parents[2] / "jupyter_model_service"
Check = Callable[[Any], object]


def api(model: type[BaseModel], field: str, **rest: Any) -> Check:
    return lambda value: model.model_validate({**rest, field: value})


def line(*words: str) -> Check:
    """With the value at the end; as people write a number, without exponents."""
    return lambda value: build_parser().parse_args([*words[:-1], f"{words[-1]}={_written(value)}"])


def argument(*words: str) -> Check:
    return lambda value: build_parser().parse_args([*words, _written(value)])


def _written(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9f}"


def texts(count: int) -> list[str]:
    return [f"m{place}" for place in range(count)]


#: What it is, the least and the most that is taken, a step beyond each of which nothing is, and who checks it.
CHECKED: dict[str, tuple[float | None, float, float, tuple[Check, ...]]] = {
    "calls per second": (
        LEAST_PER_SECOND,
        MOST_PER_SECOND,
        0.0001,
        (
            lambda value: check_limits(Limits(calls_per_second=value)),
            api(LimitsSpec, "calls_per_second"),
            line("generate-token", "demo", "--calls-per-second"),
            line("limit-token", "demo", "t", "--calls-per-second"),
            line("share", "demo", "--user", "bob", "--calls-per-second"),
        ),
    ),
    "calls in flight": (
        1,
        MOST_IN_FLIGHT,
        1,
        (
            lambda value: check_limits(Limits(in_flight=value)),
            api(LimitsSpec, "in_flight"),
            line("generate-token", "demo", "--in-flight"),
            line("share", "demo", "--user", "bob", "--in-flight"),
        ),
    ),
    "calls per day": (
        1,
        MOST_PER_DAY,
        1,
        (
            lambda value: check_limits(Limits(calls_per_day=value)),
            api(LimitsSpec, "calls_per_day"),
            line("generate-token", "demo", "--calls-per-day"),
            line("share", "demo", "--user", "bob", "--calls-per-day"),
        ),
    ),
    "replicas": (
        0,
        bounds.MOST_REPLICAS,
        1,
        (
            api(CreateRequest, "replicas", folder="/m"),
            api(ScaleRequest, "replicas"),
            line("create", "/m", "--replicas"),
            argument("scale", "demo"),
        ),
    ),
    "GPUs": (
        0,
        bounds.MOST_GPUS,
        1,
        (api(CreateRequest, "gpus", folder="/m"), api(UpdateRequest, "gpus"), line("create", "/m", "--gpus")),
    ),
    "CPUs": (
        bounds.LEAST_CPUS,
        bounds.MOST_CPUS,
        0.0001,
        (api(CreateRequest, "cpus", folder="/m"), api(UpdateRequest, "cpus"), line("create", "/m", "--cpu")),
    ),
    "memory": (
        bounds.LEAST_MEMORY,
        bounds.MOST_MEMORY,
        1 << 19,
        (api(CreateRequest, "memory", folder="/m"), api(UpdateRequest, "memory"), line("create", "/m", "--memory")),
    ),
    "life of a token": (
        None,
        bounds.LONGEST_TOKEN,
        1,
        (check_expiry, api(TokenRequest, "expires_in"), api(RotateRequest, "expires_in")),
    ),
    "overlap": (
        0,
        bounds.LONGEST_OVERLAP,
        1,
        (check_overlap, api(RotateRequest, "overlap"), lambda value: parse_overlap(f"{value}s")),
    ),
    "name of a token": (
        0,
        bounds.LONGEST_LABEL,
        1,
        (lambda count: check_name("x" * count), lambda count: TokenRequest(name="x" * count)),
    ),
    "name of a person": (
        1,
        bounds.LONGEST_PERSON,
        1,
        (lambda count: _check_name("user", "x" * count), lambda count: AccessQuery(user="x" * count)),
    ),
    "paths of a token": (
        0,
        MOST_RULES,
        1,
        (
            lambda count: check_rules([PathRule(f"/{each}") for each in texts(count)]),
            lambda count: TokenRequest(rules=[PathRuleSpec(path=f"/{each}") for each in texts(count)]),
            lambda count: TokenChange(rules=[PathRuleSpec(path=f"/{each}") for each in texts(count)]),
        ),
    ),
    "methods of a path": (
        1,
        MOST_METHODS,
        1,
        (
            lambda count: check_rules([PathRule("/x", tuple(f"M{'X' * place}" for place in range(count)))]),
            lambda count: PathRuleSpec(path="/x", methods=texts(count)),
            lambda count: TokenChange(methods=texts(count)),
        ),
    ),
    "path of a token": (
        None,
        LONGEST_PATH,
        1,
        (
            lambda count: check_rules([PathRule("/" + "x" * (count - 1))]),
            lambda count: PathRuleSpec(path="/" + "x" * (count - 1)),
        ),
    ),
    "origins": (
        0,
        MOST_ORIGINS,
        1,
        (
            lambda count: check_origins([f"https://{each}.example.org" for each in texts(count)]),
            lambda count: OriginsRequest(origins=texts(count)),
        ),
    ),
    "notice": (1, bounds.LONGEST_NOTICE, 1, (lambda count: NoticeRequest(text="x" * count),)),
}


def takes(check: Check, value: Any) -> bool:
    try:
        check(value)
    except (ValueError, InvalidRequest, UsageError):
        return False
    return True


@pytest.mark.parametrize("what", CHECKED)
def test_all_who_check_it_take_the_same(what: str) -> None:
    least, most, step, checks = CHECKED[what]
    within = [most] if least is None else [least, most]
    without = [most + step] if least is None or least < step else [least - step, most + step]
    for value in within:
        assert [takes(check, value) for check in checks] == [True] * len(checks), value
    for value in without:
        assert [takes(check, value) for check in checks] == [False] * len(checks), value


def test_fields_of_our_pages_hold_what_is_taken_and_no_more() -> None:
    lengths = {
        (page, name): int(length)
        for page in ("limits", "index", "audit")
        for name, length in re.findall(
            r'<input [^>]*name="(user|text|who|action|about)"[^>]*maxlength="(\d+)"',
            (PACKAGE / "web" / "templates" / f"{page}.html").read_text("utf-8"),
        )
    }
    asked = {name: _longest(AuditListQuery, field) for name, field in (("who", "who"), ("action", "action"))}
    assert lengths == {
        ("limits", "user"): bounds.LONGEST_PERSON,
        ("index", "text"): bounds.LONGEST_NOTICE,
        ("audit", "who"): asked["who"],
        ("audit", "action"): asked["action"],
        ("audit", "about"): _longest(AuditListQuery, "service"),
    }


def _longest(model: type[BaseModel], field: str) -> int:
    schema = model.model_json_schema()["properties"][field]
    return next(int(each["maxLength"]) for each in schema["anyOf"] if "maxLength" in each)


def test_the_panel_takes_names_of_services_as_long_as_they_may_be() -> None:
    values = PACKAGE.parent / "labextension" / "src" / "deploy" / "values.ts"
    assert f"const LONGEST_NAME = {MAX_SERVICE_NAME};" in values.read_text("utf-8")
