"""Writes the tables of ``docs/autoscaling-reference.md`` from the tables of metrics and keys that the software reads.
``--check``: only tells whether they are what would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated_parts import main

from jupyter_model_service.core.scaling.keys import BACKEND_AI_RULE
from jupyter_model_service.core.scaling.metrics import BACKEND_AI_METRICS, METRICS, REFUSED_METRICS

PAGE = Path(__file__).with_name("autoscaling-reference.md")


def metrics() -> str:
    rows = ["| metric | unit | of | meaning |", "| --- | --- | --- | --- |"]
    for metric in METRICS.values():
        of = "a replica" if metric.of == "replicas" else "the service"
        rows.append(f"| `{metric.name}` | {metric.unit} | {of} | {metric.meaning} |")
    return "\n".join(rows)


def backend_ai_keys() -> str:
    rows = ["| Backend.AI's key | what becomes of it |", "| --- | --- |"]
    rows += [f"| `{key.name}` | {key.meaning} |" for key in BACKEND_AI_RULE]
    return "\n".join(rows)


def backend_ai_metrics() -> str:
    rows = ["| Backend.AI's metric | here |", "| --- | --- |"]
    rows += [f"| `{theirs}` | `{ours}` |" for theirs, ours in BACKEND_AI_METRICS.items()]
    rows += [f"| `{theirs}` | refused: it {reason} |" for theirs, reason in REFUSED_METRICS.items()]
    return "\n".join(rows)


PARTS = {"metrics": metrics, "backend_ai_keys": backend_ai_keys, "backend_ai_metrics": backend_ai_metrics}


if __name__ == "__main__":
    sys.exit(main(__file__, PAGE, PARTS))
