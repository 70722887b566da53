"""For the whole suite."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# Under nohup, or as a background job of a script, SIGINT is ignored, and every program that a test starts inherits that:
# what is tested with Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples are judged by what they show, not by how long a busy machine takes for one of them (200 ms by default).
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# Files with a Hub in common (tests/hub/conftest.py, TOGETHER); each of the other files is a group of its own.
_GROUPS = {
    "tests/hub/test_launcher_contract.py": "hubs of the launcher",
    "tests/hub/test_spawner.py": "hubs of the launcher",
    "tests/hub/test_service.py": "hubs of services",
    "tests/hub/test_survival_replicas.py": "hubs of services",
    "tests/hub/test_service_apart.py": "hubs of services",
    "tests/hub/test_survival_hub.py": "hubs of services",
}


def _group(nodeid: str) -> str:
    file = nodeid.split("::", 1)[0]
    return _GROUPS.get(file, file)


def _turn(group: str, places: dict[str, list[str]]) -> float:
    """When a group's turn comes, from 0 to 1: what takes minutes first, what mostly waits (for Hubs) beside what computes."""
    if group in _GROUPS.values():
        return -2
    if group.startswith(("tests/e2e/", "tests/ui/")):
        return -1
    kind = "hub" if group.startswith("tests/hub/") else "rest"
    share = 0.7 if kind == "hub" else 1  # the last ones take seconds, so that no worker is left with minutes alone
    return share * places[kind].index(group) / len(places[kind])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = list(dict.fromkeys(_group(item.nodeid) for item in items))
    hub = [group for group in groups if group.startswith("tests/hub/")]
    places = {"hub": hub, "rest": [group for group in groups if group not in hub]}
    turns = {group: _turn(group, places) for group in groups}
    items.sort(key=lambda item: (turns[_group(item.nodeid)], _group(item.nodeid)))


class _ByGroup(LoadScopeScheduling):
    """For several workers (`make test`): a free one takes the next group, whole and in order.

    xdist's own ``--dist loadgroup`` marks the tests by changing their ids, which pytest 9.2 no longer takes from there:
    every test went to the next free worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """A hook of xdist: which tests go to which worker."""
    config.option.loadscopereorder = False  # by the number of tests: a file of seven with a Hub takes four minutes
    return _ByGroup(config, log)


NVML = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef struct { unsigned gpu, memory; } use_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { char uuid[64]; unsigned use; unsigned long long used, total; } device_t;
static device_t now[16];
static int look(void) {
    FILE *file = fopen(FIGURES, "r"); int n = 0;
    if (!file) return 0;
    while (n < 16 && fscanf(file, "%63s %u %llu %llu", now[n].uuid, &now[n].use, &now[n].used, &now[n].total) == 4) n++;
    fclose(file); return n;
}
static device_t *of(void *device) { look(); return &now[(long)device - 1]; }
int nvmlInit_v2(void) { if (getenv("FAKE_HANG")) sleep(600); if (getenv("FAKE_CRASH")) abort(); return getenv("FAKE_FAIL") ? 9 : 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = look(); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { if ((int)i >= look()) return 2; *device = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    for (int i = 0, n = look(); i < n; i++) if (!strcmp(now[i].uuid, uuid)) { *device = (void *)(long)(i + 1); return 0; }
    return 2;
}
int nvmlDeviceGetUtilizationRates(void *device, use_t *use) { use->gpu = of(device)->use; use->memory = 0; return use->gpu > 100 ? 3 : 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory_t *m) { device_t *d = of(device); m->total = d->total; m->used = d->used; m->free = d->total - d->used; return 0; }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned size) { strncpy(uuid, of(device)->uuid, size); return 0; }
"""


class FakeNvml:
    """A stand-in for NVIDIA's management library, whose devices and figures a test changes while it is in use.

    ``environment`` makes gateways and runners load it. Their variable ``FAKE_HANG``, ``FAKE_CRASH`` or ``FAKE_FAIL`` makes
    it hang, crash or fail at its first call.
    """

    def __init__(self, folder: Path, compiler: str) -> None:
        folder.mkdir()
        self._devices: dict[str, tuple[int, int, int]] = {}
        self._one_at_a_time = threading.Lock()
        self.figures = folder / "figures"  # a line for each device: UUID, percent, bytes used, bytes in all
        self.library = str(folder / "libnvidia-ml.so.1")
        (folder / "nvml.c").write_text(NVML)
        command = [
            compiler,
            "-shared",
            "-fPIC",
            f'-DFIGURES="{self.figures}"',
            "-o",
            self.library,
            str(folder / "nvml.c"),
        ]
        subprocess.run(command, check=True, timeout=60)
        self.environment = {"MODEL_SERVICE_NVML": self.library, "LD_LIBRARY_PATH": str(folder)}
        self.figures.touch()

    def show(self, uuid: str, utilization: int, used: int = 1 << 30, total: int = 8 << 30) -> None:
        """From now on; a device that was not there comes last. One above 100 % does not tell, as a divided one (MIG)."""
        with self._one_at_a_time:
            self._devices[uuid] = (utilization, used, total)
            lines = (" ".join(map(str, (uuid, *figures))) + "\n" for uuid, figures in self._devices.items())
            new = self.figures.with_suffix(".new")
            new.write_text("".join(lines))
            new.replace(self.figures)


def _fake_nvml(folder: Path) -> FakeNvml | None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    return None if compiler is None else FakeNvml(folder, compiler)


@pytest.fixture
def fake_nvml(tmp_path: Path) -> FakeNvml:
    if (made := _fake_nvml(tmp_path / "nvml")) is None:
        pytest.skip("needs a C compiler for a stand-in of NVML")
    return made


@pytest.fixture(scope="module")
def shared_nvml(tmp_path_factory: pytest.TempPathFactory) -> FakeNvml | None:
    """One for all tests of a module, of which most need none: ``None`` where there is no C compiler."""
    return _fake_nvml(tmp_path_factory.mktemp("nvml") / "nvml")
