"""Run as a program: the GPUs of this machine, one JSON list on standard output. A process of its own, because NVIDIA's
library may hang for seconds while a driver loads, or crash, and neither may happen to the Hub."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any


def main() -> int:
    try:
        import pynvml
    except ImportError:
        print("the package nvidia-ml-py is not installed beside the Hub", file=sys.stderr)
        return 1
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        print("[]")  # a machine without NVIDIA's driver
        return 0
    except pynvml.NVMLError as error:
        print(f"NVIDIA's library says: {error}", file=sys.stderr)
        return 1
    try:
        found = [_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        print(f"NVIDIA's library says: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


def _gpu(pynvml: Any, index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    parts = False
    with contextlib.suppress(pynvml.NVMLError):  # most GPUs cannot be divided
        parts = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    return {
        "index": index,
        "id": _text(pynvml.nvmlDeviceGetUUID(handle)),
        "name": _text(pynvml.nvmlDeviceGetName(handle)),
        "memory": int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        "parts": parts,
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


if __name__ == "__main__":
    sys.exit(main())
