"""GPUs given to replicas beside what other containers of a real engine hold. Containers with device requests are made
here and not started, which takes NVIDIA's runtime."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_model_service.core.gpu_pool import Gpu
from jupyter_model_service.core.hub_options import ReplicaOptions
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.hub import gpus as gpus_module
from jupyter_model_service.hub.container import ReplicaContainer, driver_for
from jupyter_model_service.hub.context import LABEL
from jupyter_model_service.hub.docker_calls import DockerCalls
from jupyter_model_service.hub.gpus import GpuPool, read_inventory

from .deployment import TEST_LABEL

GPUS = [Gpu(number, f"GPU-{number}aaaa", "Fake", 80 << 30) for number in range(4)]
IDS = [gpu.id for gpu in GPUS]


class OwnContainers(DockerCalls):
    """The engine as if it had no containers but this test's."""

    def __init__(self, client: Any, label: str) -> None:
        super().__init__(client)
        self._label = label

    async def __call__(self, method: str, *args: Any, **named: Any) -> Any:
        if method == "containers":
            named["filters"] = {**named["filters"], "label": self._label}
        return await super().__call__(method, *args, **named)


class Host:
    """The engine, with containers that ask for GPUs; ``now`` is the pool's clock."""

    def __init__(self, engine: Any, image: str) -> None:
        self.engine, self.image = engine, image
        self.session = secrets.token_hex(4)
        self.docker = OwnContainers(engine.api, f"{TEST_LABEL}={self.session}")
        self.now = 0.0

    def pool(self, allowed: list[str] | None = None) -> GpuPool:
        return GpuPool(allowed, inventory=lambda: GPUS, monotonic=lambda: self.now)

    def container(
        self, *, start: bool = False, env: dict[str, str] | None = None, replica: str | None = None, **request: Any
    ) -> Any:
        labels = {TEST_LABEL: self.session}
        if replica is not None:
            labels |= {f"{LABEL}owner": "alice", f"{LABEL}service": "koalpaca", f"{LABEL}replica": replica}
        requests = [docker.types.DeviceRequest(capabilities=[["gpu"]], **request)] if request else []
        made = self.engine.containers.create(
            self.image, ["sleep", "600"], environment=env, labels=labels, device_requests=requests, network_mode="none"
        )
        if start:
            made.start()
        return made

    def notebook(self, user: str, **request: Any) -> Any:
        return self.container(env={"JUPYTERHUB_USER": user}, **request)

    def close(self) -> None:
        for container in self.engine.containers.list(
            all=True, filters={"label": f"{TEST_LABEL}={self.session}"}, ignore_removed=True
        ):
            container.remove(force=True)


@pytest.fixture
def host(docker_engine: Any, base_image: str) -> Iterator[Host]:
    made = Host(docker_engine, base_image)
    yield made
    made.close()


async def take(pool: GpuPool, host: Host, wanted: int, replica: str, user: str | None = None) -> list[str]:
    return await pool.take(wanted, replica, host.docker, label=f"alice/{replica}", user=user)


def test_parallel_takes_never_give_one_device_twice(host: Host) -> None:
    """Thirty replicas at once on four GPUs of which a notebook has one: three get theirs, the others the reason."""
    host.notebook("alice", count=1)
    pool = host.pool()

    async def body() -> list[Any]:
        takes = [take(pool, host, 1, f"r{number}") for number in range(30)]
        return await asyncio.gather(*takes, return_exceptions=True)

    ends = asyncio.run(body())
    given = [end for end in ends if isinstance(end, list)]
    refused = [end for end in ends if isinstance(end, LaunchError)]
    assert sorted(given) == [[IDS[1]], [IDS[2]], [IDS[3]]]
    assert len(refused) == 27
    assert {error.stage for error in refused} == {"gpus"}
    assert {str(error) for error in refused} == {
        "no GPU free: 1 in use by a notebook of alice, 1 by alice/r2, 1 by alice/r1, 1 by alice/r0"
    }


def test_the_sentence_names_the_holders(host: Host) -> None:
    """Notebooks by their user, also when she is the one who asks, services by their names, others by theirs."""
    host.notebook("alice", count=2)
    host.container(device_ids=["2", IDS[3]], replica="koalpaca-abc123")
    pool = host.pool()
    for user, whose in ((None, "alice"), ("bob", "alice"), ("alice", "yours")):
        with pytest.raises(LaunchError) as caught:
            asyncio.run(take(pool, host, 1, "r", user))
        assert str(caught.value) == f"no GPU free: 2 in use by a notebook of {whose}, 2 by alice/koalpaca"


def test_every_way_of_asking_counts(host: Host) -> None:
    """All of them, by number and by UUID; a container that asks for none holds none; what ends is free again."""
    pool = host.pool()
    host.container(start=True)
    every = host.container(count=-1)
    with pytest.raises(LaunchError, match="no GPU free: 4 in use by the container"):
        asyncio.run(take(pool, host, 1, "r"))
    every.remove()
    host.container(device_ids=["3"])
    host.container(device_ids=["GPU-2aa"])
    assert asyncio.run(take(pool, host, 2, "r")) == [IDS[1], IDS[0]]


def test_a_look_has_every_gpu_with_whoever_holds_it(host: Host) -> None:
    """Also one that replicas may not have, one that was chosen and has no container yet, and one that nobody has."""
    host.container(env={"JUPYTERHUB_USER": "alice", "JUPYTERHUB_SERVER_NAME": "big"}, device_ids=["0"])
    pool = host.pool(["1", "2", "3"])
    assert asyncio.run(take(pool, host, 1, "r1")) == [IDS[3]]
    seen = asyncio.run(pool.look(host.docker))
    assert [gpu for gpu, _ in seen] == GPUS
    holders = [[(each.label, each.user, each.server) for each in holders] for _, holders in seen]
    assert holders == [[("a notebook of alice", "alice", "big")], [], [], [("alice/r1", None, None)]]


def test_a_choice_is_remembered_until_its_container_is_seen_and_gone(host: Host) -> None:
    """Asked again, it is the same; its container takes its place; when that is gone, or was never made, it is free."""
    pool = host.pool(["0"])
    assert asyncio.run(take(pool, host, 1, "r1")) == [IDS[0]]
    assert asyncio.run(take(pool, host, 1, "r1")) == [IDS[0]]
    with pytest.raises(LaunchError, match="1 in use by alice/r1"):
        asyncio.run(take(pool, host, 1, "r2"))
    container = host.container(device_ids=[IDS[0]], replica="r1")
    with pytest.raises(LaunchError, match="1 in use by alice/koalpaca"):
        asyncio.run(take(pool, host, 1, "r2"))
    assert asyncio.run(take(pool, host, 1, "r1")) == [IDS[0]]
    container.remove(force=True)
    assert asyncio.run(take(pool, host, 1, "r2")) == [IDS[0]]
    with pytest.raises(LaunchError, match="1 in use by alice/r2"):
        asyncio.run(take(pool, host, 1, "r1"))
    pool.give_back("r2")
    assert asyncio.run(take(pool, host, 1, "r3")) == [IDS[0]]
    host.now += 601  # its container never came
    assert asyncio.run(take(pool, host, 1, "r4")) == [IDS[0]]


def test_a_container_that_never_starts_does_not_hold_a_gpu_for_ever(host: Host) -> None:
    """One that is being started may be just made; one that could not be started stays so."""
    pool = host.pool()
    host.notebook("alice", count=-1)
    with pytest.raises(LaunchError, match="no GPU free"):
        asyncio.run(take(pool, host, 1, "r"))
    host.now += 59
    with pytest.raises(LaunchError, match="no GPU free"):
        asyncio.run(take(pool, host, 1, "r"))
    host.now += 2
    assert asyncio.run(take(pool, host, 1, "r")) == [IDS[3]]


def test_only_allowed_gpus_are_given(host: Host) -> None:
    """By number or UUID; wanting more than there are is final, and says which are not there."""
    pool = host.pool(["1", IDS[2], "9"])
    assert asyncio.run(take(pool, host, 2, "r")) == [IDS[2], IDS[1]]
    with pytest.raises(LaunchError) as caught:
        asyncio.run(take(pool, host, 3, "s"))
    assert (caught.value.stage, str(caught.value)) == (
        "gpus_never",
        "3 GPUs are wanted, and this Docker host has 2 to give (the setting names 9, which cannot be given)",
    )
    with pytest.raises(LaunchError, match="this Docker host has no GPU to give"):
        asyncio.run(take(host.pool([]), host, 1, "r"))
    assert asyncio.run(take(host.pool([]), host, 0, "r")) == []


def test_gpus_named_by_the_administrator_are_trusted_where_none_can_be_counted(host: Host) -> None:
    """The Hub may run in a container that sees no GPU."""
    pool = GpuPool(["0", "1"], inventory=list)
    host.notebook("alice", count=1)
    assert asyncio.run(take(pool, host, 1, "r")) == ["1"]
    with pytest.raises(LaunchError, match="no GPU to give"):
        asyncio.run(take(GpuPool(None, inventory=list), host, 1, "r"))


class Notebook(DockerCalls):
    """An engine with one container, a notebook that asks for GPUs like this."""

    def __init__(self, **request: Any) -> None:
        self._request = {"Capabilities": [["gpu"]], **request}

    async def __call__(self, method: str, *args: Any, **named: Any) -> Any:
        if method == "containers":
            return [{"Id": "n", "State": "running"}]
        config = {"Env": ["JUPYTERHUB_USER=bob"]}
        return {"Id": "n", "Name": "/nb", "Config": config, "HostConfig": {"DeviceRequests": [self._request]}}


@pytest.mark.parametrize(
    ("allowed", "request_"),
    [
        (["0", "1"], {"DeviceIDs": ["GPU-1bbbbbbb-1"]}),
        (["GPU-1bbbbbbb-1", "GPU-0aaaaaaa-0"], {"DeviceIDs": ["1"]}),
        (["GPU-3ddddddd-3"], {"Count": 1}),
    ],
)
def test_a_gpu_named_in_two_ways_is_not_given_twice(allowed: list[str], request_: dict[str, Any]) -> None:
    """Where the Hub sees no GPU it cannot know that they are the same one."""
    with pytest.raises(LaunchError, match=r"in use by a notebook of bob .*by number everywhere, or by UUID") as caught:
        asyncio.run(GpuPool(allowed, inventory=list).take(1, "r", Notebook(**request_), label="a/b"))
    assert caught.value.stage == "gpus"


def test_a_setting_of_both_kinds_gives_nothing_where_none_can_be_counted() -> None:
    """And all of them where they can be."""
    allowed, notebook = ["0", IDS[1]], Notebook(DeviceIDs=["3"])
    with pytest.raises(LaunchError, match="names 0 and GPU-1aaaa, which may be one GPU") as caught:
        asyncio.run(GpuPool(allowed, inventory=list).take(1, "r", notebook, label="a/b"))
    assert caught.value.stage == "gpus_never"
    assert asyncio.run(GpuPool(allowed, inventory=list).take(0, "r", notebook, label="a/b")) == []
    counted = GpuPool(allowed, inventory=lambda: GPUS)
    assert asyncio.run(counted.take(2, "r", notebook, label="a/b")) == [IDS[1], IDS[0]]


def test_an_engine_that_does_not_answer_gives_no_gpu() -> None:
    """What is in use is not known then, so nothing is free."""
    client = docker.APIClient(base_url="unix:///nonexistent/docker.sock", version="1.41")
    pool = GpuPool(None, inventory=lambda: GPUS)
    with pytest.raises(LaunchError, match="The Docker engine does not say which GPUs are in use"):
        asyncio.run(pool.take(1, "r", DockerCalls(client), label="a/b"))


# --- what a replica sees of them ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (None, None),  # NVIDIA's runtime puts in compute and utility
        ("", None),
        ("all", None),
        ("compute,utility", None),
        ("compute, utility,video", None),
        ("compute", "compute,utility"),
        ("graphics, compute", "graphics,compute,utility"),
    ],
)
def test_a_replicas_runner_can_see_how_busy_its_gpus_are(
    docker_engine: Any, base_image: str, chosen: str | None, wanted: str | None
) -> None:
    """An image that names its own parts of the driver gets the one for that in addition, and loses none."""
    calls = DockerCalls(docker_engine.api)
    tag = f"jms-test-driver:{secrets.token_hex(4)}"
    line = "" if chosen is None else f"ENV NVIDIA_DRIVER_CAPABILITIES={chosen!r}\n"
    docker_engine.images.build(fileobj=io.BytesIO(f"FROM {base_image}\n{line}".encode()), tag=tag)
    try:
        assert asyncio.run(driver_for(calls, tag)) == wanted
    finally:
        docker_engine.images.remove(tag, force=True)


def test_the_device_request_names_no_part_of_the_driver() -> None:
    """Docker would set the variable to just that part, and the replica could not compute."""
    options = ReplicaOptions("a", "ms-c-0", "a", "c", "0", "c-0", "5e", 1, None, {"command": ["x"]}, 8000, gpus=1)
    made = ReplicaContainer("n", "h", "net", "image", options, gpus=["GPU-1"], driver="compute,utility")
    arguments = made.create_arguments(docker.APIClient(base_url="http://127.0.0.1:1", version="1.41"))
    (request,) = arguments["host_config"]["DeviceRequests"]
    assert (request["DeviceIDs"], request["Capabilities"]) == (["GPU-1"], [["gpu"]])
    assert arguments["environment"]["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert "NVIDIA_VISIBLE_DEVICES" not in arguments["environment"]
    without = ReplicaContainer("n", "h", "net", "image", options, driver="compute,utility").environment()
    assert "NVIDIA_DRIVER_CAPABILITIES" not in without
    assert without["NVIDIA_VISIBLE_DEVICES"] == "void"


# --- NVML --------------------------------------------------------------------------------------------

NVML = r"""
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInitWithFlags(unsigned flags) { if (getenv("FAKE_HANG")) sleep(600); if (getenv("FAKE_CRASH")) abort(); return getenv("FAKE_INIT") ? atoi(getenv("FAKE_INIT")) : 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int error) { return "fake error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { if (getenv("FAKE_LOST")) return 15; *count = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) { *device = (void *)(long)(i + 1); return 0; }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned size) { snprintf(uuid, size, "GPU-%ld", (long)device - 1); return 0; }
int nvmlDeviceGetName(void *device, char *name, unsigned size) { strncpy(name, "Fake H200", size); return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory_t *m) { m->total = 80ULL << 30; return 0; }
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later) { if ((long)device == 1) return 3; *now = *later = (long)device == 3; return 0; }
"""


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler for a stand-in of NVML")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(NVML)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", folder / "nvml.c"]
    subprocess.run(command, check=True, timeout=60)
    return folder


def inventory(**environment: str) -> str:
    """What ``read_inventory`` gives in a process with this environment."""
    code = """
from jupyter_model_service.hub import gpus
from jupyter_model_service.errors import LaunchError
gpus.INVENTORY_SECONDS = 3.0
try: print([(g.index, g.id, g.name, g.memory >> 30, g.parts) for g in gpus.read_inventory()])
except LaunchError as error: print(error.stage, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nvml_counts_the_gpus(nvml: Path) -> None:
    """With the real package and a stand-in for NVIDIA's library."""
    assert inventory(LD_LIBRARY_PATH=str(nvml)) == str(
        [
            (0, "GPU-0", "Fake H200", 80, False),
            (1, "GPU-1", "Fake H200", 80, False),
            (2, "GPU-2", "Fake H200", 80, True),
        ]
    )


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"FAKE_INIT": "9"}, "[]"),  # the library without a driver
        ({"FAKE_INIT": "4"}, "gpus The GPUs of the Docker host cannot be counted: NVIDIA's library says: "),
        ({"FAKE_LOST": "1"}, "gpus The GPUs of the Docker host cannot be counted: NVIDIA's library says: "),
        ({"FAKE_CRASH": "1"}, "gpus The GPUs of the Docker host cannot be counted: its reader ended with status -6."),
        ({"FAKE_HANG": "1"}, "gpus NVIDIA's driver does not say within 3 s which GPUs there are."),
    ],
)
def test_a_faulty_nvml_is_a_sentence(nvml: Path, fault: dict[str, str], says: str) -> None:
    """It may fail, crash or hang: the Hub goes on, and hears of it in time."""
    began = time.monotonic()
    assert inventory(LD_LIBRARY_PATH=str(nvml), **fault).startswith(says)
    assert time.monotonic() - began < 30


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has NVIDIA's driver")
def test_a_machine_without_a_driver_has_no_gpus() -> None:
    assert read_inventory() == []


def test_the_machine_is_asked_once_a_minute(host: Host) -> None:
    """And at each look while there is none, as when the driver is still loading."""
    asked = []
    there: list[Gpu] = []

    def count() -> list[Gpu]:
        asked.append(host.now)
        return list(there)

    pool = GpuPool(None, inventory=count, monotonic=lambda: host.now)
    for host.now in (0.0, 1.0, 2.0, 3.0, 61.0, 64.0):
        if host.now == 1.0:
            there[:] = GPUS
        with contextlib.suppress(LaunchError):
            asyncio.run(take(pool, host, 1, f"r{host.now}"))
    assert asked == [0.0, 1.0, 64.0]
    assert gpus_module.INVENTORY_KEPT == 60.0
