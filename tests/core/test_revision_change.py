"""What comes of a change: what was said is changed, and everything else is as it was."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from jupyter_model_service.core.definition import Definition
from jupyter_model_service.core.revision import Mount, Resources, Revision
from jupyter_model_service.core.revision_change import RevisionChange, make_revision
from jupyter_model_service.errors import InvalidRequest

OLD, NEW = Definition("old", "/m", 8000), Definition("new", "/m", 9000)
FORMER = Revision(
    4,
    "/old",
    OLD,
    1.0,
    image="i:1",
    environment=(("A", "1"), ("B", "2")),
    mounts=(Mount("/d", "/data"),),
    resources=Resources(2.0, 1 << 30, 1),
)


def made(change: RevisionChange, former: Revision | None = FORMER) -> Revision:
    return make_revision(change, former, 5, "/new", NEW, 9.0)


def test_of_the_first_one_all_is_the_default_but_what_was_said() -> None:
    assert made(RevisionChange(), None) == Revision(5, "/new", NEW, 9.0)
    found = made(RevisionChange(image="i:2", environment={"B": "2", "A": "1"}, gpus=1), None)
    assert (found.image, found.environment, found.resources) == ("i:2", (("A", "1"), ("B", "2")), Resources(gpus=1))


@pytest.mark.parametrize(
    ("said", "comes"),
    [
        ({}, {}),
        ({"image": "i:2"}, {"image": "i:2"}),
        ({"environment": {"C": "3"}}, {"environment": (("C", "3"),)}),
        ({"environment": {}}, {"environment": ()}),
        ({"mounts": []}, {"mounts": ()}),
        ({"mounts": [Mount("/e", "/data", True)]}, {"mounts": (Mount("/e", "/data", True),)}),
        ({"cpus": 4.0}, {"resources": Resources(4.0, 1 << 30, 1)}),
        ({"memory": 1 << 20}, {"resources": Resources(2.0, 1 << 20, 1)}),
        ({"gpus": 0}, {"resources": Resources(2.0, 1 << 30, 0)}),
    ],
)
def test_what_was_not_said_stays(said: dict[str, Any], comes: dict[str, Any]) -> None:
    """Nothing and none are not the same; folder and definition were read anew."""
    fresh = replace(FORMER, number=5, folder="/new", definition=NEW, created_at=9.0)
    assert made(RevisionChange(**said)) == replace(fresh, **comes)
    assert RevisionChange(**said).empty == (not said)


def test_each_field_is_one_that_may_be_said() -> None:
    """Whoever adds one decides what comes of it, and adds it above."""
    names = {"folder", "image", "environment", "mounts", "cpus", "memory", "gpus", "definition"}
    assert {field.name for field in fields(RevisionChange)} == names


def test_what_cannot_be_kept_as_nobody_knows_it_any_more_has_to_be_said() -> None:
    lost = replace(FORMER, unread=("A",))
    with pytest.raises(InvalidRequest, match="the environment variable A cannot be read any more"):
        made(RevisionChange(image="i:2"), lost)
    assert made(RevisionChange(environment={"A": "9"}), lost) == replace(
        made(RevisionChange()), environment=(("A", "9"),)
    )


def test_an_environment_that_no_program_can_be_given_is_no_change() -> None:
    with pytest.raises(InvalidRequest):
        RevisionChange(environment={"A=B": "1"})
