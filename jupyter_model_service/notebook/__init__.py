"""``%load_ext jupyter_model_service``: the verbs of the command line as magics whose results show themselves.

The layer above the command line: same grammar, same verbs, same sentences; besides the text there is HTML. IPython is
imported by nobody but those who load this; ``deploying`` works without it.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]


def load(shell: Any) -> None:
    from . import magics

    magics.load(shell)


def unload(shell: Any) -> None:
    from . import magics

    magics.unload(shell)
