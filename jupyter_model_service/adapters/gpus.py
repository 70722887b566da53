"""Which GPUs this machine lets us use, from NVIDIA's management library where it is installed."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Mapping, Sequence

from jupyter_model_service.core.sentences import counted


def gpu_ids(environment: Mapping[str, str] | None = None, count: int | None = None) -> Sequence[str]:
    """Names for ``CUDA_VISIBLE_DEVICES``: those that this process was given, else every device by its number in
    PCI order. Empty where there is no GPU or no driver. ``count``: how many there are, for those who know."""
    if count is None:
        count = _count()
    given = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
    if given is None or count == 0:
        return [str(index) for index in range(count)]
    return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]


def _count() -> int:
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    if library.nvmlInit_v2() != 0:
        return 0
    count = ctypes.c_uint(0)
    with contextlib.suppress(AttributeError):
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            count.value = 0
    library.nvmlShutdown()
    return count.value


def shortage(wanted: int, free: int, all_there_are: int) -> str:
    """``1 GPU is needed, and none of this machine's 2 is free.``"""
    needed = f"{counted(wanted, 'GPU')} {'is' if wanted == 1 else 'are'} needed"
    return f"{needed}, and {free or 'none'} of this machine's {all_there_are} {'is' if free < 2 else 'are'} free."
