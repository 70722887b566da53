"""``%load_ext jupyter_model_service``: the verbs of the command line as magics whose results show themselves.

The layer above the command line: same grammar, same verbs, same sentences; besides the text there is HTML. IPython is
imported by nobody but those who load this.
"""

from __future__ import annotations

from .magics import load, unload

__all__ = ["load", "unload"]
