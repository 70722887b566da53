"""Sizes as JupyterHub's configuration has them: ``"2G"``, ``"512M"``, or a number of bytes."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_of(value: object) -> int | None:
    """In bytes; ``None`` stays ``None``. ``ValueError`` for anything else."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1 << 60:
        return int(value)
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)([KMGT]?)", value.strip()) if isinstance(value, str) else None
    size = int(float(match.group(1)) * _UNITS[match.group(2)]) if match else 0
    if not 0 < size <= 1 << 60:
        raise ValueError(f'{value!r} is no size such as "20G"')
    return size
