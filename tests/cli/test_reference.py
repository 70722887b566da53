"""The grammar is whole: what can be typed can be run, and is explained."""

from __future__ import annotations

from jupyter_model_service.cli import gateway
from jupyter_model_service.commands import build_parser
from jupyter_model_service.commands.grammar import VERBS, verb_parsers
from jupyter_model_service.commands.verbs import _RUN


def test_every_verb_can_be_run_and_every_argument_is_explained() -> None:
    assert set(VERBS) == set(_RUN)
    parser = build_parser({"gateway": (gateway.SUMMARY, gateway.DETAILS, gateway.arguments)})
    for verb, sub in verb_parsers(parser).items():
        assert all(action.help for action in sub._actions), verb
