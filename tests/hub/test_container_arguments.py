"""What a replica's container is made with: the arguments themselves, which no engine is needed for."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace
from typing import Any

import docker
import pytest

from jupyter_model_service.core.hub_options import ReplicaOptions, ReplicaStorage, VolumeMount
from jupyter_model_service.errors import LaunchError
from jupyter_model_service.hub.container import FROM_SITE, SPEC_BYTES, SPEC_MOST, ReplicaContainer, _with_tag

OPTIONS = ReplicaOptions("a", "ms-c-000001", "a", "c", "0" * 32, "c-000001", "5e", 1, None, {"command": ["x"]}, 8000)
GPU = "GPU-0aaaaaaa-bbbb"

ALWAYS = {"NetworkMode": "replicas", "SecurityOpt": ["no-new-privileges"], "RestartPolicy": {"Name": "no"}}


def replica(options: ReplicaOptions = OPTIONS, **more: Any) -> ReplicaContainer:
    return ReplicaContainer("n", "h", "replicas", "image", options, **more)


def arguments(wanted: ReplicaContainer) -> dict[str, Any]:
    """For an engine that is never asked."""
    return wanted.create_arguments(docker.APIClient(base_url="http://127.0.0.1:1", version="1.41"))


def host(wanted: ReplicaContainer) -> dict[str, Any]:
    """What is set of the host's configuration."""
    return {key: value for key, value in arguments(wanted)["host_config"].items() if value not in (None, [], {})}


def spec_of(wanted: ReplicaContainer) -> dict[str, Any]:
    return dict(json.loads(wanted.environment()["MODEL_SERVICE_SPEC"]))


# --- GPUs --------------------------------------------------------------------------------------------


def test_gpus_are_asked_for_by_id_and_whole() -> None:
    """Exactly these, by the one capability that NVIDIA's runtime needs, and never a count."""
    made = arguments(replica(gpus=[GPU, "1"]))
    assert made["host_config"]["DeviceRequests"] == [
        {"Driver": "", "Count": 0, "DeviceIDs": [GPU, "1"], "Capabilities": [["gpu"]], "Options": {}}
    ]
    assert set(made["environment"]) == {"MODEL_SERVICE_SPEC"}


def test_a_replica_without_gpus_sees_none() -> None:
    """Also where NVIDIA's runtime is the engine's default, or the site's, and the image asks for all."""
    for wanted in (replica(), replica(driver="compute,utility"), replica(from_site={"runtime": "nvidia"})):
        made = arguments(wanted)
        assert made["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"
        assert "NVIDIA_DRIVER_CAPABILITIES" not in made["environment"]
        assert "DeviceRequests" not in made["host_config"]


# --- what is the site's ------------------------------------------------------------------------------

OF_THE_SITE = {
    "cgroup_parent": ("/site", "CgroupParent", "/site"),
    "cpuset_cpus": ("0,1", "CpusetCpus", "0,1"),
    "cpuset_mems": ("0", "CpusetMems", "0"),
    "dns": (["10.0.0.53"], "Dns", ["10.0.0.53"]),
    "dns_opt": (["ndots:1"], "DnsOptions", ["ndots:1"]),
    "dns_search": (["example.org"], "DnsSearch", ["example.org"]),
    "extra_hosts": ({"mirror": "10.0.0.9"}, "ExtraHosts", ["mirror:10.0.0.9"]),
    "init": (True, "Init", True),
    "log_config": ({"Type": "local", "Config": {}}, "LogConfig", {"Type": "local", "Config": {}}),
    "runtime": ("runsc", "Runtime", "runsc"),
    "shm_size": ("2g", "ShmSize", 2 << 30),
    "storage_opt": ({"size": "10G"}, "StorageOpt", {"size": "10G"}),
    "ulimits": ([{"Name": "nofile", "Soft": 9, "Hard": 9}], "Ulimits", [{"Name": "nofile", "Soft": 9, "Hard": 9}]),
}


@pytest.mark.parametrize("name", sorted(FROM_SITE | set(OF_THE_SITE)))
def test_what_a_site_says_of_its_engine_holds_for_replicas(name: str) -> None:
    """Name servers, the runtime and limits are needed by every container there; nothing else changes with them."""
    given, key, there = OF_THE_SITE[name]
    assert host(replica(from_site={name: given})) == {**host(replica()), key: there}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("binds", ["/home/alice:/home/jovyan"]),
        ("mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}]),
        ("privileged", True),
        ("cap_add", ["SYS_ADMIN"]),
        ("devices", ["/dev/kvm"]),
        ("device_requests", [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]),
        ("group_add", ["docker"]),
        ("network_mode", "host"),
        ("pid_mode", "host"),
        ("ipc_mode", "host"),
        ("volumes_from", ["other"]),
        ("port_bindings", {8000: 8000}),
        ("security_opt", ["seccomp=unconfined"]),
        ("restart_policy", {"Name": "always"}),
        ("auto_remove", True),
        ("mem_limit", "1g"),
    ],
)
def test_what_a_site_gives_to_notebooks_does_not_reach_replicas(name: str, given: Any) -> None:
    assert host(replica(from_site={name: given})) == host(replica())


# --- what is always so -------------------------------------------------------------------------------


def test_without_wishes_nothing_but_the_network_and_two_locks() -> None:
    """No volume, no port, no limit of ours; the site's hold for what is not asked for elsewhere."""
    made = host(replica())
    assert {key: made.get(key) for key in ALWAYS} == ALWAYS
    assert not {"Binds", "Mounts", "Memory", "CpuQuota", "PortBindings", "Privileged", "CapAdd"} & set(made)
    assert arguments(replica())["user"] is None


def test_limits_and_user_are_those_that_were_allowed() -> None:
    """CPUs as microseconds of each 100 ms."""
    made = arguments(replica(cpus=1.5, memory=3 << 30, run_as="1000:100"))
    assert (made["host_config"]["CpuPeriod"], made["host_config"]["CpuQuota"]) == (100_000, 150_000)
    assert made["host_config"]["Memory"] == 3 << 30
    assert made["user"] == "1000:100"


def test_only_named_volumes_are_mounted_and_models_read_only() -> None:
    """And nothing of the image is written into one that is empty."""
    options = replace(
        OPTIONS,
        storage=ReplicaStorage("snapshot", "ms-000000000000-r1"),
        mounts=(VolumeMount("cache", "/cache", False), VolumeMount("data", "/data")),
    )
    common = {"Type": "volume", "VolumeOptions": {"NoCopy": True}}
    assert host(replica(options))["Mounts"] == [
        {**common, "Source": "cache", "Target": "/cache", "ReadOnly": False},
        {**common, "Source": "data", "Target": "/data", "ReadOnly": True},
        {**common, "Source": "ms-000000000000-r1", "Target": "/models", "ReadOnly": True},
    ]


@pytest.mark.parametrize(("port", "control"), [(8000, 39777), (39777, 39778), (39778, 39777)])
def test_the_runner_listens_where_the_model_does_not(port: int, control: int) -> None:
    wanted = replica(replace(OPTIONS, port=port))
    assert wanted.control_port == control
    assert spec_of(wanted)["control"] == {"host": "0.0.0.0", "port": control}


def test_who_it_is_and_its_secret_are_not_for_the_specification_to_say() -> None:
    """Whatever stands there, the runner gets ours."""
    spec = {"command": ["x"], "replica": "other", "secret": "known", "control": {"host": "0.0.0.0", "port": 1}}
    told = spec_of(replica(replace(OPTIONS, spec=spec)))
    assert (told["replica"], told["secret"], told["control"]["port"]) == ("c-000001", "5e", 39777)
    assert told["command"] == ["x"]


# --- long specifications -----------------------------------------------------------------------------


def environment(text: str) -> dict[str, str]:
    return replica(replace(OPTIONS, spec={"command": ["x"], "text": text})).environment()


def noise(length: int) -> str:
    return "".join(random.Random(0).choices("0123456789abcdef", k=length))


def test_a_long_specification_is_compressed() -> None:
    """Up to 100 KiB it is JSON as it is; beyond that what the runner unpacks."""
    plain = environment("x" * (SPEC_BYTES - 1000))["MODEL_SERVICE_SPEC"]
    assert json.loads(plain)["command"] == ["x"]
    text = "x" * SPEC_BYTES
    long = environment(text)["MODEL_SERVICE_SPEC"]
    assert len(long) < 2000
    assert json.loads(zlib.decompress(base64.b64decode(long)))["text"] == text


def test_one_that_the_kernel_would_not_take_is_refused_with_a_sentence() -> None:
    """128 KiB for one variable with its name: the longest that passes still fits, the next is not tried."""
    passing = environment(noise(160_000))["MODEL_SERVICE_SPEC"]
    assert SPEC_BYTES < len(passing) <= SPEC_MOST
    assert len("MODEL_SERVICE_SPEC=") + SPEC_MOST + 1 <= 128 * 1024
    with pytest.raises(LaunchError, match=r"too long .* 127 KiB at most\): put large texts into files") as caught:
        environment(noise(240_000))
    assert caught.value.stage == "container"


# --- names of images ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "pulled"),
    [
        ("koalpaca", ("koalpaca", "latest")),
        ("koalpaca:2", ("koalpaca", "2")),
        ("a/b/c", ("a/b/c", "latest")),
        ("host:5000/name", ("host:5000/name", "latest")),
        ("host:5000/name:tag", ("host:5000/name", "tag")),
        ("name@sha256:0a", ("name", "sha256:0a")),
        ("host:5000/name@sha256:0a", ("host:5000/name", "sha256:0a")),
    ],
)
def test_an_image_is_pulled_by_name_and_tag(image: str, pulled: tuple[str, str]) -> None:
    """Without a tag the engine would pull every one; a port is no tag."""
    assert _with_tag(image) == pulled
