"""The first process of every replica. A stranger to this package: standard library only, one file."""

from __future__ import annotations

from pathlib import Path

__all__ = ["RUNNER", "runner_command"]

RUNNER = Path(__file__).with_name("runner.py")


def runner_command(python: str, spec: Path) -> list[str]:
    """How to run the installed runner on this machine, with the interpreter whose packages a replica sees.

    Imported rather than run as a script: Python keeps the compiled form of modules only, and compiling the file
    at each start costs 35 ms and 3 MB. ``-I -S``: a broken ``.pth`` of the user's environment must not keep
    the runner from starting; it finds that environment's packages by itself.
    """
    load = f"import sys; sys.path.insert(0, {str(RUNNER.parent)!r}); import runner; sys.exit(runner.main(sys.argv[1:]))"
    return [python, "-I", "-S", "-c", load, "--spec", str(spec)]
