"""The gateway of ``mixed_load.py``: the program itself, and figures of its inside when they are asked for.

``python mixed_watch.py FILE ARGUMENTS…`` runs ``jupyter_model_service.app`` with the arguments. At SIGUSR1 it collects
garbage, gives free memory back to the system, and writes to FILE how much it then has, and how many objects live of
each kind of which something could be left behind. Nothing of the program is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

#: Must be none of them when nobody calls.
OF_CALLS = ("Call", "Attempt", "Turn", "Heart", "Body", "Downstream", "Reader", "Upstream")
#: May be there, but no more than before.
OTHERS = ("Task", "Future", "Handle", "TimerHandle", "Pool", "Desk", "Backend", "Endpoint", "Event", "socket")

#: Pools, each with its most threads: they begin a thread where all that they have are busy, up to that, and keep it.
POOLS = {"asyncio": min(32, (os.cpu_count() or 1) + 4), "local-launcher": 8, "store": 1}


def figures() -> dict[str, Any]:
    for _ in range(3):
        gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # of glibc only
        ctypes.CDLL(None).malloc_trim(0)
    kinds = Counter(type(each).__name__ for each in gc.get_objects())
    process = psutil.Process()
    workers = [thread for thread in threading.enumerate() if thread.name.rpartition("_")[0] in POOLS]
    return {
        "rss_mb": round(process.memory_info().rss / 1e6, 1),
        "descriptors": process.num_fds(),
        "threads": threading.active_count() - len(workers),
        "workers": len(workers),
        "tasks": len(asyncio.all_tasks(_loop())),
        "objects": sum(kinds.values()),
        **{kind: kinds[kind] for kind in (*OF_CALLS, *OTHERS)},
    }


def _loop() -> Any:
    """The one that runs: a signal's handler is called in its thread, between two steps of it."""
    return asyncio.get_running_loop()


def write(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(figures()))
    os.replace(new, path)


def main() -> int:
    path = Path(sys.argv[1])
    signal.signal(signal.SIGUSR1, lambda *_: write(path))
    from jupyter_model_service.app import main as run

    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
