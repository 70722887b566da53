"""``engine/DESIGN.md`` draws the replica table: the drawing is generated from the table, never by hand."""

from __future__ import annotations

from pathlib import Path

import jupyter_model_service.engine
from jupyter_model_service.core.replica import TRANSITIONS
from jupyter_model_service.engine import settings

DESIGN = Path(jupyter_model_service.engine.__file__).parent / "DESIGN.md"
BEGIN, END = "<!-- drawn from core/replica.py -->\n", "<!-- end of drawing -->"


def drawing() -> str:
    """A line per phase: which event leads where; what changes nothing comes last."""
    lines = ["| phase | leads to | stays at |", "| --- | --- | --- |"]
    for phase, row in TRANSITIONS.items():
        goals: dict[str, list[str]] = {}
        for event, goal in row.items():
            goals.setdefault(goal.value, []).append(event.__name__)
        stays = ", ".join(goals.pop(phase.value, [])) or "–"
        leads = "; ".join(f"**{goal}**: {', '.join(events)}" for goal, events in goals.items()) or "–"
        lines.append(f"| {phase} | {leads} | {stays} |")
    return "\n".join(lines) + "\n"


def test_the_drawing_is_in_step_with_the_table() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    drawn = text.partition(BEGIN)[2].partition(END)[0]
    assert drawn == drawing(), f"put this between the two marks of {DESIGN.name}:\n{drawing()}"


def test_the_page_stays_a_page_and_names_every_module() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    modules = {path.stem for path in DESIGN.parent.glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in text} == set()


def test_the_figures_on_the_page_are_those_of_the_settings() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    figures = settings.EngineSettings()
    assert f"first answer of its runner within {figures.first_contact:g} s" in text
    assert f"out of contact for {figures.contact_patience:g} s" in text
