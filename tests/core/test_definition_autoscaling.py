"""The block `serving.autoscaling` of a definition: read, stored, described for editors, its problems with their lines."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from jupyter_model_service.adapters.yaml_document import read_yaml
from jupyter_model_service.core.definition import (
    Definition,
    definition_from_plain,
    definition_to_plain,
    json_schema,
    parse,
)
from jupyter_model_service.core.definition.keys import SERVING
from jupyter_model_service.core.scaling.keys import AUTOSCALING, BACKEND_AI_RULE, RULE, SCHEDULE
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule
from jupyter_model_service.core.scaling.reading import autoscaling_to_plain
from jupyter_model_service.errors import DefinitionError

from .scaling.policies import policies
from .test_definition_parse import service

FILE = """\
models:
  - name: chat
    service:
      port: 8000
      serving:
        concurrency: 4
        autoscaling:
          min: 0
          max: 8
          target-concurrency: 3
          rules:
            - metric: gpu_util
              above: 80
            - metric_source: KERNEL
              metric_name: cpu_util
              threshold: "20"
              comparator: lt
              step_size: -1
          schedules:
            - when: Mon-Fri 08:00-19:00
              timezone: Asia/Seoul
              min: 2
            - when: 0 20 * * *
              duration: 3600
              max: 9
"""


def read(text: str) -> Definition:
    document = read_yaml(text)
    definition, warnings = parse(document.data, document.lines, document.spelling)
    assert warnings == ()
    return definition


def problems(text: str) -> list[tuple[int | None, str]]:
    """Of a file: the line, and where and what."""
    document = read_yaml(text)
    with pytest.raises(DefinitionError) as caught:
        parse(document.data, document.lines, document.spelling)
    place = "models[0].service.serving."
    return [(p.line, f"{p.where.removeprefix(place)}: {p.message}") for p in caught.value.problems]


def block(**keys: Any) -> dict[str, Any]:
    return service(serving={"autoscaling": {"max": 4, **keys}})


def fits(document: Any) -> bool:
    return Draft202012Validator(json_schema()).is_valid(document)


def is_right(document: Any) -> bool:
    try:
        parse(document)
    except DefinitionError:
        return False
    return True


def test_the_block_is_read_with_rules_in_both_words_and_schedules_in_both_forms() -> None:
    assert read(FILE).serving.autoscaling == Autoscaling(
        min=0,
        max=8,
        target_concurrency=3.0,
        rules=(Rule("r1", "gpu_util", above=80.0), Rule("r2", "cpu_util", below=20.0)),
        schedules=(
            Schedule("s1", "Mon-Fri 08:00-19:00", "Asia/Seoul", min=2),
            Schedule("s2", "0 20 * * *", duration=3600.0, max=9),
        ),
    )
    assert fits(read_yaml(FILE).data)


@pytest.mark.parametrize("value", [None, ...])
def test_a_definition_without_the_block_says_nothing_about_it(value: Any) -> None:
    serving = {"queue": 3} if value is ... else {"autoscaling": value}
    definition, warnings = parse(service(serving=serving))
    assert (definition.serving.autoscaling, warnings) == (None, ())


def test_an_empty_block_is_a_policy_with_the_defaults() -> None:
    definition, _ = parse(service(serving={"autoscaling": {}}))
    assert definition.serving.autoscaling == Autoscaling()


@pytest.mark.parametrize(
    ("path", "least", "warned"),
    [
        ("/", 0, True),
        ("/v1/models", 0, True),
        ("/", 1, False),
        ("/health", 0, False),
        ("/v2/health/ready", 0, False),
        ("/readyz?full=1", 0, False),
        ("/api/healthcheck/", 0, False),
    ],
)
def test_a_health_path_that_is_called_as_well_is_told_where_the_service_may_sleep(
    path: str, least: int, warned: bool
) -> None:
    """A look wakes nothing: ``GET /v1/models`` would be answered by 503 for as long as nobody calls something else."""
    serving = {"autoscaling": {"min": least, "max": 4}}
    _, warnings = parse(service(health_check={"path": path}, serving=serving))
    assert [(w.where, "wakes nothing" in w.message) for w in warnings] == (
        [("models[0].service.health_check.path", True)] if warned else []
    )


def test_every_problem_has_its_line() -> None:
    text = (
        FILE.replace("min: 0", "min: 9")
        .replace("above: 80", "abve: 80")
        .replace("step_size: -1", "step_size: 1")
        .replace("Asia/Seoul", "Seoul")
        .replace("duration: 3600", "duration: 3")
    )
    assert problems(text) == [
        (8, "autoscaling.min: is 9, above max, which is 8; lower it or raise max"),
        (12, "autoscaling.rules[0]: has no threshold; give above (adds replicas), below (takes them away), or both"),
        (13, "autoscaling.rules[0].abve: is not a known key; did you mean above?"),
        (18, "autoscaling.rules[1].step_size: would add replicas while the value is low, which no rule does here; write "
             "-1 to take 1 away, or max_threshold or min_threshold instead of the threshold"),
        (21, 'autoscaling.schedules[0].timezone: is "Seoul", which is no time zone; did you mean Asia/Seoul?'),
        (24, "autoscaling.schedules[1].duration: must be a number of at least 60 and at most 2678400, not 3"),
    ]  # fmt: skip


def test_the_line_of_an_entry_is_right_where_another_one_cannot_be_read() -> None:
    """Of the first rule and the first schedule nothing is left; the problems of the second ones stand at theirs."""
    text = FILE.replace("metric: gpu_util", "metric: [1]").replace("cpu_util", "cpu_utl")
    text = text.replace("when: Mon-Fri 08:00-19:00", "when: [1]").replace("max: 9", "min: 9")
    assert [(line, told.split(": ")[0]) for line, told in problems(text)] == [
        (12, "autoscaling.rules[0].metric"),
        (15, "autoscaling.rules[1].metric_name"),
        (20, "autoscaling.schedules[0].when"),
        (25, "autoscaling.schedules[1].min"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FILE.replace("autoscaling:", "autoscalng:"), (7, "autoscalng: is not a known key; did you mean autoscaling?")),
        (FILE.replace("        concurrency: 4", "        down_delay: 4"), (6, "down_delay: belongs in models[].service.serving.autoscaling; move it there (the indentation tells what it belongs to)")),
        (FILE.replace("          min: 0", "          above: 0"), (8, "autoscaling.above: belongs in models[].service.serving.autoscaling.rules[]; move it there (the indentation tells what it belongs to)")),
        (FILE.replace("          min: 0", "          queue: 0"), (8, "autoscaling.queue: belongs in models[].service.serving; move it there (the indentation tells what it belongs to)")),
        (FILE.replace("              timezone", "              metric"), (21, "autoscaling.schedules[0].metric: belongs in models[].service.serving.autoscaling.rules[]; move it there (the indentation tells what it belongs to)")),
        (FILE.replace("          max: 8", "          held: true"), (9, "autoscaling.held: is not known; known here: down_delay, idle_after, max, min, rules, schedules, target or target_concurrency")),
        (FILE.replace("            - metric: gpu_util\n              above: 80\n", "").replace("- metric_source", "  metric_source"), (11, "autoscaling.rules: must be a list, not a mapping; put `- ` before its first key")),
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_told(text: str, told: tuple[int, str]) -> None:
    document = read_yaml(text)
    try:
        found = parse(document.data, document.lines, document.spelling)[1]
    except DefinitionError as error:
        found = error.problems
    place = "models[0].service.serving."
    assert told in [(p.line, f"{p.where.removeprefix(place)}: {p.message}") for p in found]


def test_a_target_above_what_a_replica_takes_is_warned_of() -> None:
    document = read_yaml(FILE.replace("target-concurrency: 3", "target_concurrency: 6"))
    _, (warning,) = parse(document.data, document.lines, document.spelling)
    assert (warning.line, warning.severity) == (10, "warning")
    assert warning.message == (
        "is 6, but a replica takes only 4 calls at once (serving.concurrency): callers wait before there are more replicas"
    )


def test_a_comparator_with_equality_is_warned_of_and_taken() -> None:
    document = read_yaml(FILE.replace("comparator: lt", "comparator: le"))
    definition, (warning,) = parse(document.data, document.lines, document.spelling)
    assert definition == read(FILE)
    assert (warning.line, warning.severity) == (17, "warning")


@settings(deadline=None)
@given(policies())
def test_a_policy_is_the_same_in_a_document_and_when_it_is_stored(policy: Autoscaling) -> None:
    policy = dataclasses.replace(policy, held=False)  # nothing that a file says
    plain = autoscaling_to_plain(policy)
    del plain["held"]
    document = service(serving={"autoscaling": plain})
    definition, _ = parse(document)
    assert definition.serving.autoscaling == policy
    assert definition_from_plain(definition_to_plain(definition)) == definition
    assert fits(document)


def test_the_stored_form_has_plain_data_only() -> None:
    stored = definition_to_plain(read(FILE))["serving"]["autoscaling"]
    assert isinstance(stored["rules"], list)
    assert stored["rules"][0] == dataclasses.asdict(Rule("r1", "gpu_util", above=80.0))


@pytest.mark.parametrize("autoscaling", [3, {"colour": 1}, {"rules": [{}]}])
def test_what_is_no_stored_policy_is_no_stored_definition(autoscaling: Any) -> None:
    plain = {"name": "m", "model_path": "/m", "port": 1, "serving": {"autoscaling": autoscaling}}
    with pytest.raises(ValueError, match="this is not a stored definition"):
        definition_from_plain(plain)


def test_every_key_is_in_the_schema_with_its_kebab_case_twin() -> None:
    serving = json_schema()["properties"]["models"]["items"]["properties"]["service"]["properties"]["serving"]
    policy = serving["properties"]["autoscaling"]["properties"]
    for keys, properties in (
        (SERVING, serving["properties"]),
        (AUTOSCALING, policy),
        ((*RULE, *BACKEND_AI_RULE), policy["rules"]["items"]["properties"]),
        (SCHEDULE, policy["schedules"]["items"]["properties"]),
    ):
        assert set(properties) == {name for key in keys for name in (key.name, key.name.replace("_", "-"))}
        assert all(properties[key.name]["description"] == key.meaning for key in keys)


RULE_OF_THEIRS = {"metric_name": "cuda_util", "threshold": "80", "comparator": "gt"}
WHEN = {"when": "Mon 08:00-19:00", "min": 1}


@pytest.mark.parametrize(
    "document",
    [
        block(),
        block(rules=None, schedules=None, min=None),
        block(rules=[{"metric": "queued", "above": "1.5", "step": None}]),
        block(rules=[RULE_OF_THEIRS, {"metric-name": "cpu_util", "min-threshold": 3, "min_replicas": -1}]),
        block(schedules=[WHEN, {"when": "0 0 * * *", "duration": 60, "max": 2, "timezone": None}]),
        block(**{"idle-after": 60.5}),
    ],
)
def test_what_the_parser_takes_fits(document: Any) -> None:
    parse(document)
    assert fits(document)


@pytest.mark.parametrize(
    "document",
    [
        service(serving={"autoscaling": 3}),
        service(serving={"autoscaling": []}),
        block(min=-1),
        block(max=101),
        block(target="off"),
        block(target_concurrency=0),
        block(idle_after=0),
        block(down_delay=100_000),
        block(rules={}),
        block(rules=[3]),
        block(rules=[{"above": 3}]),
        block(rules=[{"metric": "queued"}]),
        block(rules=[{"metric": "queued", "above": "high"}]),
        block(rules=[{"metric": "queued", "above": 3, "step": 0}]),
        block(rules=[{"metric": "queued", "above": 3, "window": 1}]),
        block(rules=[{"metric": "queued", "above": 3, "id": "a b"}]),
        block(rules=[{**RULE_OF_THEIRS, "min_replicas": -2}]),
        block(schedules=[{"min": 1}]),
        block(schedules=[{"when": "Mon 08:00-19:00"}]),
        block(schedules=[{**WHEN, "max": 0}]),
        block(schedules=[{"when": "0 0 * * *", "duration": 59, "min": 1}]),
    ],
)
def test_what_the_parser_refuses_does_not_fit(document: Any) -> None:
    assert not is_right(document)
    assert not fits(document)
