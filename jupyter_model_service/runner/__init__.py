"""The first process of every replica. A stranger to this package: standard library only, one file."""

from __future__ import annotations

import base64
import functools
import zlib
from pathlib import Path

__all__ = ["RUNNER", "packed", "runner_argument", "runner_command"]

RUNNER = Path(__file__).with_name("runner.py")


def runner_command(python: str, spec: Path) -> list[str]:
    """How to run the installed runner on this machine, with the interpreter whose packages a replica sees.

    Imported rather than run as a script: Python keeps the compiled form of modules only, and compiling the file
    at each start costs 35 ms and 3 MB. ``-I -S``: a broken ``.pth`` of the user's environment must not keep
    the runner from starting; it finds that environment's packages by itself.
    """
    load = f"import sys; sys.path.insert(0, {str(RUNNER.parent)!r}); import runner; sys.exit(runner.main(sys.argv[1:]))"
    return [python, "-I", "-S", "-c", load, "--spec", str(spec)]


@functools.lru_cache(maxsize=1)
def runner_argument() -> str:
    """The whole runner as the argument of ``python3 -I -S -c``, for places where no file can be handed over. A tenth
    of the 128 KiB that Linux allows for one argument (``MAX_ARG_STRLEN``)."""
    source = packed(RUNNER.read_text(encoding="utf-8"))
    unpack = f"zlib.decompress(base64.b64decode('{source}'))"
    return f"import base64,zlib;exec(compile({unpack},'runner.py','exec'))"


def packed(text: str) -> str:
    """As the runner takes its specification from the environment when it is long: base64 of zlib's output."""
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")
