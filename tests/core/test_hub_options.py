"""What gateway and spawner say to each other: everything survives JSON, and nothing that is wrong is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_model_service.core.hub_options import (
    CollectOptions,
    LookOptions,
    Options,
    ReplicaOptions,
    ReplicaStorage,
    SnapshotOptions,
    Summary,
    VolumeMount,
    enveloped,
    is_job_server,
    job_server,
    options_from_plain,
    replica_of,
    sealed_in,
    server_name,
    volume_name,
)
from jupyter_model_service.core.names import SERVICE_NAME_PATTERN

services = st.from_regex(SERVICE_NAME_PATTERN, fullmatch=True)
replicas = st.builds("{}-{}".format, services, st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=6))
numbers = st.text("0123456789abcdef", min_size=12, max_size=12)
ids = st.text("0123456789abcdef", min_size=32, max_size=32)
words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.isprintable)
volumes = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}", fullmatch=True)
images = st.none() | st.sampled_from(["quay.io/jupyter/base-notebook:2024-01-01", "a", "r:5000/b@sha256:" + "0" * 64])
paths = st.lists(st.from_regex(r"[a-z0-9_ ]{1,8}", fullmatch=True), min_size=1, max_size=4).map(
    lambda steps: "/" + "/".join(steps)
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def replica_options(draw: st.DrawFn) -> ReplicaOptions:
    replica = draw(replicas)
    spec = draw(st.dictionaries(words, plain, max_size=4))
    assume(not {"replica", "secret", "control"} & set(spec))
    mounts = draw(
        st.lists(st.builds(VolumeMount, volumes, paths, st.booleans()), max_size=3, unique_by=lambda m: m.target)
    )
    storage = draw(st.none() | st.builds(ReplicaStorage, st.sampled_from(["snapshot", "volume"]), volumes))
    assume(storage is None or all(mount.target != "/models" for mount in mounts))
    return ReplicaOptions(
        user=draw(words),
        server=server_name(replica),
        owner=draw(words),
        service=replica.rpartition("-")[0],
        service_id=draw(ids),
        replica=replica,
        secret=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        revision=draw(st.integers(1, 10**6)),
        image=draw(images),
        spec=spec,
        port=draw(st.integers(1, 65535)),
        cpus=draw(st.none() | st.floats(0.001, 1000)),
        memory=draw(st.none() | st.integers(1, 1 << 50)),
        gpus=draw(st.integers(0, 64)),
        storage=storage,
        mounts=tuple(mounts),
    )


jobs = numbers.map(job_server)
snapshots = st.builds(
    SnapshotOptions,
    user=words,
    server=jobs,
    service_id=ids,
    revision=st.integers(1, 10**6),
    folder=paths,
    image=images,
    exclude=st.lists(words, max_size=4).map(tuple),
    limit_bytes=st.integers(0, 1 << 50),
    limit_files=st.integers(0, 1 << 30),
)
collects = st.builds(CollectOptions, user=words, server=jobs, keep=st.lists(volumes, max_size=4).map(tuple))
looks = st.builds(LookOptions, user=words, server=jobs)
options = st.one_of(replica_options(), snapshots, collects, looks)


@given(options)
def test_all_options_survive_json(wish: Options) -> None:
    assert options_from_plain(json.loads(json.dumps(wish.to_plain()))) == wish


@given(options, st.data())
def test_a_field_more_or_less_is_an_error(wish: Options, data: st.DataObject) -> None:
    """Every field is required, and none is passed over: a newer gateway must not lose what it asked for."""
    plain = wish.to_plain()
    without = data.draw(st.sampled_from(sorted(plain)))
    with pytest.raises(ValueError):
        options_from_plain({key: value for key, value in plain.items() if key != without})
    extra = data.draw(words.filter(lambda name: name not in plain))
    with pytest.raises(ValueError):
        options_from_plain({**plain, extra: None})


@given(options, plain, st.data())
def test_no_value_of_another_kind_gets_through(wish: Options, value: Any, data: st.DataObject) -> None:
    """Whatever stands in a field: a value of ours comes out, equal to what went in, or a ValueError."""
    plain = wish.to_plain()
    name = data.draw(st.sampled_from(sorted(plain)))
    sentence = ""
    try:
        again = options_from_plain({**plain, name: value}).to_plain()
    except ValueError as error:
        sentence = str(error)
    else:
        assert again[name] == value
    assert "\n" not in sentence
    assert len(sentence) < 300


@given(plain)
def test_anything_at_all_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError):
        options_from_plain(value if isinstance(value, dict) else {"do": value})


def a_replica(**more: Any) -> dict[str, Any]:
    wish = ReplicaOptions(
        user="alice",
        server="ms-chat-abc123",
        owner="alice",
        service="chat",
        service_id="0" * 32,
        replica="chat-abc123",
        secret="1" * 64,
        revision=1,
        image=None,
        spec={"command": ["x"]},
        port=8000,
    )
    return {**wish.to_plain(), **more}


@pytest.mark.parametrize(
    "wrong",
    [
        {"server": "ms-chat-abc124"},
        {"server": "ms-job-0123456789ab"},
        {"server": ""},
        {"secret": "1" * 63},
        {"secret": "1" * 64 + "\n"},
        {"secret": "G" * 64},
        {"image": "-v /:/host image"},
        {"image": "a b"},
        {"image": ""},
        {"port": 0},
        {"port": 65536},
        {"port": True},
        {"port": "8000"},
        {"cpus": float("nan")},
        {"cpus": float("inf")},
        {"cpus": 0},
        {"memory": -1},
        {"memory": 1.5},
        {"gpus": -1},
        {"spec": {"secret": "2" * 64}},
        {"spec": {"control": {"host": "0.0.0.0", "port": 1}}},
        {"spec": {"replica": "other-abc123"}},
        {"spec": None},
        {"storage": {"kind": "bind", "volume": "v"}},
        {"storage": {"kind": "volume", "volume": "/etc"}},
        {"storage": {"kind": "volume", "volume": "v", "subfolder": ".."}},
        {"mounts": [{"source": "/", "target": "/host", "read_only": False}]},
        {"mounts": [{"source": "v", "target": "host", "read_only": False}]},
        {"mounts": [{"source": "v", "target": "/a/../b", "read_only": False}]},
        {"mounts": [{"source": "v", "target": "/", "read_only": False}]},
        {"mounts": [{"source": "v", "target": "/a", "read_only": 0}]},
        {"mounts": [{"source": "v", "target": "/a"}]},
        {"mounts": [{"source": s, "target": "/a", "read_only": True} for s in "vw"]},
        {
            "mounts": [{"source": "v", "target": "/models", "read_only": True}],
            "storage": {"kind": "volume", "volume": "w"},
        },
        {"user": "a\nb"},
        {"privileged": True},
        {"do": "snapshot"},
        {"do": ["replica"]},
    ],
)
def test_what_could_do_harm_is_an_error(wrong: dict[str, Any]) -> None:
    assert options_from_plain(a_replica())
    with pytest.raises(ValueError):
        options_from_plain(a_replica(**wrong))


def test_no_secret_is_shown() -> None:
    """Neither a repr nor the sentence of an error tells the secret or the specification."""
    wish = options_from_plain(a_replica(spec={"environment": {"KEY": "hush"}}))
    assert "1111" not in repr(wish)
    assert "hush" not in repr(wish)
    with pytest.raises(ValueError) as caught:
        options_from_plain(a_replica(secret="1" * 63))
    assert "1111" not in str(caught.value)


# --- names -------------------------------------------------------------------------------------------


@given(replicas)
def test_a_replicas_server_has_a_valid_name_and_tells_the_replica(replica: str) -> None:
    """JupyterHub 6: at most 30 of [a-z0-9-], begins with a letter, no double hyphen, none at the end."""
    name = server_name(replica)
    assert len(name) <= 30
    assert replica_of(name) == replica
    assert not is_job_server(name)


@given(numbers)
def test_a_jobs_server_is_no_replicas(number: str) -> None:
    assert is_job_server(job_server(number))
    assert replica_of(job_server(number)) is None
    assert len(job_server(number)) <= 30


@pytest.mark.parametrize(
    "name", ["", "ms-", "ms-abc", "ms-a-12345", "ms-a-1234567", "ms-A-123456", "a-123456", "ms--123456"]
)
def test_other_names_are_no_replicas(name: str) -> None:
    assert replica_of(name) is None


def test_a_service_called_job_is_no_job() -> None:
    assert replica_of("ms-job-abc123") == "job-abc123"
    assert not is_job_server("ms-job-abc123")


def test_a_volume_is_named_after_service_and_revision() -> None:
    assert volume_name("0123456789abcdef" * 2, 12) == "ms-0123456789ab-r12"


# --- the envelope ------------------------------------------------------------------------------------


def test_the_envelope_holds_what_anybody_may_read_and_what_nobody_may() -> None:
    body = enveloped(Summary("chat", 3, "img", 1), "xyz")
    assert body == {
        "model_service": {
            "v": 1,
            "summary": {"service": "chat", "revision": 3, "image": "img", "gpus": 1},
            "sealed": "xyz",
        }
    }
    assert sealed_in(json.loads(json.dumps(body))) == "xyz"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model_service": None},
        {"model_service": []},
        {"model_service": {"v": 1, "summary": {}, "sealed": ""}},
        {"model_service": {"v": 1, "summary": {}, "sealed": 5}},
        {"model_service": {"v": 2, "summary": {}, "sealed": "x"}},
        {"model_service": {"v": True, "summary": {}, "sealed": "x"}},
        {"model_service": {"v": 1, "summary": [], "sealed": "x"}},
        {"model_service": {"v": 1, "sealed": "x"}},
        {"model_service": {"v": 1, "summary": {}, "sealed": "x", "image": "y"}},
        {"model_service": {"v": 1, "summary": {}, "sealed": "x"}, "image": "y"},
        {"model_service": {"v": 1, "summary": {}, "sealed": "x" * (1 << 21)}},
    ],
)
def test_another_envelope_is_an_error(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        sealed_in(body)
