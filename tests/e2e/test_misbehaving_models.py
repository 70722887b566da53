"""Model servers that never come up, exit, flood, leak or refuse to end: the right state, a clear reason, no rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jupyter_model_service import wire
from jupyter_model_service.client import Client
from jupyter_model_service.errors import Conflict, DefinitionError, InvalidRequest, ModelServiceError, NotFound

from .conftest import Gateway, eventually

Model = Callable[..., Path]


def failed(client: Client, name: str) -> Callable[[], wire.ServiceInfo | None]:
    def look() -> wire.ServiceInfo | None:
        service = client.get(name)
        return service if service.state == "failed" else None

    return look


def test_a_model_that_exits_at_once_fails_with_its_last_words_and_stops_burning(client: Client, model: Model) -> None:
    client.create(str(model()), name="m", environment={"EXIT_CODE": "3"})
    service = eventually(failed(client, "m"), "the service is failed", 60)
    assert "3" in (service.reason or "")
    assert "the weights are missing" in (service.reason or "")
    assert service.replicas.ready == 0
    exits = [r.exit for r in service.replica_list if r.exit is not None]
    assert exits, "the replicas that failed can still be looked at"
    assert exits[-1].code == 3
    assert any("weights are missing" in line for line in exits[-1].tail)


def test_a_model_that_never_opens_its_port_fails_after_its_grace(client: Client, model: Model) -> None:
    client.create(str(model(initial_delay=1)), name="m", environment={"OPEN_AFTER": "never"})
    service = eventually(failed(client, "m"), "the service is failed", 90)
    assert "within 1" in (service.reason or "")


def test_a_model_that_answers_500_on_health_is_never_ready(client: Client, model: Model) -> None:
    client.create(str(model(initial_delay=1)), name="m", environment={"HEALTH_STATUS": "500"})
    service = eventually(failed(client, "m"), "the service is failed", 90)
    assert "500" in (service.reason or "")


def test_a_model_that_ignores_sigterm_is_ended_all_the_same(client: Client, gateway: Gateway, model: Model) -> None:
    definition = (model() / "model-definition.yaml").read_text() + "    serving:\n      stop_timeout: 1\n"
    client.create(str(model(definition=definition)), name="m", environment={"IGNORE_SIGTERM": "1"})
    client.wait_ready("m", timeout=60)
    assert len(gateway.processes()) >= 2, "runner and model"
    client.delete("m")
    eventually(lambda: not gateway.processes(), "nothing left", 15)


def test_100_mb_of_log_leave_memory_and_disk_bounded(client: Client, gateway: Gateway, model: Model) -> None:
    client.create(str(model()), name="m", environment={"FLOOD_MB": "100"})
    service = client.wait_ready("m", timeout=90)
    pid = service.replica_list[0].pid
    assert pid is not None
    runner = psutil.Process(pid).parent()
    assert runner is not None
    assert runner.memory_info().rss < 64 << 20
    used = sum(f.stat().st_size for f in gateway.data_dir.rglob("*") if f.is_file() and not f.is_symlink())
    assert used < 40 << 20
    assert client.logs("m", tail=5).lines[-1] == "listening"


def test_leaked_children_end_with_their_replica(client: Client, gateway: Gateway, model: Model) -> None:
    client.create(str(model()), name="m", environment={"LEAK": "3"})
    client.wait_ready("m", timeout=60)
    assert len(gateway.processes()) >= 5, "runner, model and three sleepers of sessions of their own"
    client.scale("m", 0)
    eventually(lambda: not gateway.processes(), "nothing left", 15)


def test_a_failing_pre_start_action_fails_the_start_and_says_which(client: Client, model: Model) -> None:
    definition = (
        (model() / "model-definition.yaml")
        .read_text()
        .replace(
            "    start_command:",
            "    pre_start_actions:\n    - action: log\n      args: {message: hello}\n    - action: run_command\n"
            "      args: {command: [python, -c, 'raise SystemExit(\"no such index\")']}\n    start_command:",
        )
    )
    client.create(str(model(definition=definition)), name="m")
    service = eventually(failed(client, "m"), "the service is failed", 60)
    assert "no such index" in (service.reason or "")
    assert "2" in (service.reason or ""), "which of the actions it was"


def test_a_model_that_listens_for_the_whole_network_is_stopped(client: Client, model: Model) -> None:
    definition = (
        (model() / "model-definition.yaml")
        .read_text()
        .replace("start_command: [python,", "start_command: [env, ANY=1, python,")
        .replace('"8000"]', '"8000", --host=0.0.0.0.]')  # a spelling that no rewriting knows
    )
    folder = model(definition=definition)
    source = (folder / "server.py").read_text().replace("options.host, options.port", '"0.0.0.0", options.port')
    (folder / "server.py").write_text(source)
    client.create(str(folder), name="m")
    service = eventually(failed(client, "m"), "the service is failed", 60)
    assert "0.0.0.0" in (service.reason or "")


@pytest.mark.parametrize("port", [0, 1, 2000, 2001, 70000, "many"])
def test_impossible_ports_are_refused_with_the_line(client: Client, model: Model, port: object) -> None:
    text = (model() / "model-definition.yaml").read_text().replace("port: 8000", f"port: {json.dumps(port)}")
    folder = model(definition=text)
    with pytest.raises(DefinitionError) as raised:
        client.create(str(folder), name="m")
    assert any("port" in p.where and p.line for p in raised.value.problems)
    assert client.list() == []


def test_bad_folders_and_definitions_are_refused_and_change_nothing(
    client: Client, model: Model, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    both = model("both")
    (both / "model-definition.yml").write_text((both / "model-definition.yaml").read_text())
    broken = model("broken", definition="models:\n- name: [unclosed\n")
    cases = {
        str(tmp_path / "nowhere"): "nowhere",
        str(empty): "model-definition.yaml",
        str(both): "both",
        str(broken): "model-definition.yaml:3:",
    }
    for folder, said in cases.items():
        with pytest.raises(ModelServiceError) as raised:
            client.create(folder, name="m")
        assert said in str(raised.value), str(raised.value)
        assert raised.value.status in (400, 422)
    assert client.list() == []


def test_bad_requests_are_refused_and_change_nothing(client: Client, model: Model) -> None:
    folder = str(model())
    for name in ("x" * 300, "a/b", "Ünïcode", "-x", "x--y", ""):
        with pytest.raises(ModelServiceError):
            client.create(folder, name=name)
    with pytest.raises(InvalidRequest):
        client.create(folder, name="m", replicas=-1)
    with pytest.raises(InvalidRequest):
        client.create(folder, name="m", replicas=100000)
    with pytest.raises(InvalidRequest):
        client.create(folder, name="m", image="quay.io/jupyter/base-notebook")
    with pytest.raises(InvalidRequest):
        client.create(folder, name="m", gpus=63)
    assert client.list() == []
    client.create(folder, name="m", replicas=0)
    with pytest.raises(Conflict):
        client.create(folder, name="m")
    with pytest.raises(InvalidRequest):
        client.scale("m", -1)
    with pytest.raises(NotFound):
        client.get("other")
    with pytest.raises(ModelServiceError):
        client.rollback("m", 9)
    service = client.get("m")
    assert (service.replicas.want, service.revision) == (0, 1)


def test_pip_in_a_replica_leaves_the_users_environment_alone(
    client: Client, gateway: Gateway, model: Model, tmp_path: Path
) -> None:
    """The pin of the replica differs from what the user has: both see their own."""
    import subprocess
    import zipfile

    wheel = tmp_path / "wheels" / "idna-0.0.1-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("idna/__init__.py", "__version__ = '0.0.1'\n")
        archive.writestr("idna-0.0.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: idna\nVersion: 0.0.1\n")
        archive.writestr(
            "idna-0.0.1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("idna-0.0.1.dist-info/RECORD", "")

    def freeze() -> str:
        return subprocess.run(
            [sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True, check=True
        ).stdout

    before = freeze()
    assert "idna==" in before
    definition = (
        (model() / "model-definition.yaml")
        .read_text()
        .replace(
            "    start_command: [python, /models/server.py",
            "    pre_start_actions:\n    - action: run_command\n"
            f"      args: {{command: [pip3, install, --no-index, --no-deps, {json.dumps(str(wheel))}]}}\n"
            "    - action: run_command\n"
            "      args: {command: [python, -c, 'import idna; print(\"seen\", idna.__version__)']}\n"
            "    start_command: [python, /models/server.py",
        )
    )
    client.create(str(model(definition=definition)), name="m")
    client.wait_ready("m", timeout=90)
    assert any(line == "seen 0.0.1" for line in client.logs("m", tail=1000).lines)
    assert freeze() == before
