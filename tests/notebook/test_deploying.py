"""``deploy`` from a model in memory to a service that answers, through a real gateway."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service import deploy
from jupyter_model_service.errors import Conflict, InvalidRequest, LaunchError
from jupyter_model_service.notebook.following import CardWatcher, Place
from jupyter_model_service.notebook.steps import Steps
from jupyter_model_service.workbench.export import Wishes, save, write_folder

from ..client.fake_gateway import FakeGateway, refusal, replica, service
from ..e2e.conftest import Gateway, gateway
from .conftest import Ran

__all__ = ["gateway"]  # the fixture

TRAIN = """
from sklearn.dummy import DummyClassifier
from jupyter_model_service import deploy
model = DummyClassifier(strategy="constant", constant={answer!r}).fit([[0], [1]], ["old", "new"])
service = deploy(model, name="constant", example=[[5]], data_dir={data_dir!r})
service
"""


def test_a_model_becomes_a_service_and_again_its_update(
    gateway: Gateway, cell: Callable[[str], Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data_dir = str(gateway.data_dir)
    client = gateway.client()
    shown = []
    for number, answer in enumerate(("old", "new"), start=1):
        ran = cell(TRAIN.format(answer=answer, data_dir=data_dir))
        assert ran.error is None, ran
        made = ran.result
        assert (made.ok, made.name, made.state, made.folder) == (
            True,
            "constant",
            "ready",
            tmp_path / "constant",
        )
        assert made.data["revision"] == number
        assert client.call("constant", "predict", json={"inputs": [[7]]}).json() == {"outputs": [answer]}
        shown += [repr(made), made._repr_mimebundle_()["text/html"], ran.out, ran.err]
    told = "\n".join(shown)
    steps = ["checking the model", "saving (skops)", "starting the service"]
    assert [line.split("  ")[-1] for line in (shown[2] + shown[3]).splitlines() if line.endswith(tuple(steps))] == steps
    assert (
        "Wrote model-definition.yaml, model-requests.json, model.skops, requirements.txt, serve.py to constant.\n"
        in told
    )
    assert 'Client().call("constant", "predict", json={"inputs": …})' in shown[0]
    assert client.token not in told
    assert "jmc_" not in told

    done = gateway.cli("create", str(tmp_path / "constant"), "-n", "other", "--detach")
    assert done.returncode == 0, done.stderr
    client.delete("constant")
    client.delete("other")


def test_one_that_does_not_come_up_is_told_with_its_reason_and_its_log(
    fake: FakeGateway, cell: Callable[[str], Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a few lines, without a traceback, and without the tokens that a log may have; a changed file is named."""
    from sklearn import linear_model as linear

    monkeypatch.chdir(tmp_path)
    model = linear.LinearRegression().fit([[1.0]], [1.0])
    write_folder(tmp_path / "constant", "constant", lambda into: save(model, into, Wishes([[1]])))
    (tmp_path / "constant" / "serve.py").write_text("raise SystemExit('broken by hand')")
    exit = {"stage": "start", "code": 1, "tail": ["broken by hand", "jms_" + "x" * 43]}
    fake.publish(
        "service",
        service(
            "constant",
            "failed",
            reason="replica constant-aaaaaa exited with code 1",
            replica_list=[replica("constant-aaaaaa", "failed", exit=exit)],
            revisions=[
                {"number": 1, "folder": str(tmp_path / "constant"), "created_at": 0.0, "model_name": "constant"}
            ],
        ),
    )
    ran = cell(TRAIN.format(answer="old", data_dir=str(fake.data_dir)))
    assert isinstance(ran.error, LaunchError)
    told = str(ran.error) + ran.out + ran.err
    assert "ada/constant: replica constant-aaaaaa exited with code 1" in str(ran.error)
    assert "broken by hand" in str(ran.error)
    assert "You changed serve.py, so that it stays as it is" in told
    assert "LaunchError: ada/constant" in ran.out + ran.err
    assert "Traceback" not in told
    assert "xxxx" not in told


def test_an_update_leaves_alone_what_is_not_said(
    fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the folder, wherever one works now; only what is said is changed, replicas after the model."""
    from sklearn import linear_model as linear

    monkeypatch.chdir(tmp_path)
    model = linear.LinearRegression().fit([[1.0]], [1.0])
    folder = str(tmp_path / "before" / "lines")
    revision = {"number": 1, "folder": folder, "created_at": 0.0, "model_name": "lines"}
    write_folder(Path(folder), "lines", lambda into: save(model, into, Wishes([[1]])))
    fake.publish("service", service("lines", want=2, revisions=[revision]))

    def scaled(body: Any) -> Any:
        fake.publish("service", service("lines", want=body["replicas"], revisions=[revision]))
        return 202, fake.services["ada/lines"], {}

    fake.answers["PUT", "api/v1/services/ada/lines/scale"] = scaled
    assert deploy(model, name="lines", data_dir=fake.data_dir).data["replicas"]["want"] == 2
    assert deploy(model, name="lines", replicas=3, public=True, data_dir=fake.data_dir).data["replicas"]["want"] == 3
    changes = [(path.rpartition("/")[2], body) for method, path, _, body in fake.requests if method != "GET"]
    assert changes == [
        ("update", {"folder": folder}),
        ("update", {"folder": folder, "public": True}),
        ("scale", {"replicas": 3}),
    ]
    assert not (tmp_path / "lines").exists()


def test_the_service_of_another_folder_is_left_alone(
    fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn import linear_model as linear

    model = linear.LinearRegression()  # not fitted, which would be told later
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "model-definition.yaml").write_text("models: []")
    monkeypatch.chdir(tmp_path)
    for where, reason in ((str(folder), "was not written by deploy"), (str(tmp_path / "gone"), "which is not here")):
        revision = {"number": 1, "folder": where, "created_at": 0.0, "model_name": "taken"}
        fake.publish("service", service("taken", revisions=[revision]))
        with pytest.raises(Conflict, match=reason):
            deploy(model, name="taken")
    assert sorted(os.listdir(folder)) == ["model-definition.yaml"]
    assert not (tmp_path / "taken").exists()


def test_a_name_that_no_service_can_have_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match=r'"My Model".*"my-model" would do'):
        deploy(object(), name="My Model")
    with pytest.raises(InvalidRequest, match=r"builtins\.object is none"):
        deploy(object(), name="mine")
    assert os.listdir(tmp_path) == []


class Seen(Place):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.shown = threading.Semaphore(0)

    def show(self, bundle: Any) -> None:
        assert bundle["text/plain"] in bundle["text/html"]
        self.texts.append(bundle["text/plain"])
        self.shown.release()


def test_what_goes_on_before_there_is_a_service_is_a_card_with_a_clock_that_ends_as_one_line() -> None:
    """From the first word on, also while nothing new is said; nothing is shown after the end."""
    seen = Seen()
    steps = Steps(CardWatcher(None, lambda: Seen()), "iris", lambda: seen)
    steps.tell("checking the model")
    assert seen.texts[0].startswith("iris: checking the model  (")
    steps.tell("exporting (torch.export)")
    for _ in range(4):
        assert seen.shown.acquire(timeout=30)
    assert all(text.startswith("iris: exporting (torch.export)  (") for text in seen.texts[1:])
    with steps.following("iris", "create"):
        told = list(seen.texts)
        assert told[-1].startswith("iris: checked and saved after ")
        steps.tell("too late")
    steps.failed()
    assert seen.texts == told


def test_a_model_that_cannot_be_saved_leaves_the_step_at_which_it_ended() -> None:
    seen = Seen()
    steps = Steps(CardWatcher(None, lambda: Seen()), "iris", lambda: seen)
    steps.tell("saving (skops)")
    steps.failed()
    assert seen.texts[-1].startswith("iris: ended while saving (skops) after ")


def test_what_stops_a_deploy_names_the_magic_where_there_is_one(fake: FakeGateway, cell: Callable[[str], Ran]) -> None:
    """And the shell's command where the magics are not loaded."""
    sentence = "Look with: jupyter model-service info mine"
    fake.answers["GET", "api/v1/services/ada/mine"] = refusal(409, "conflict", sentence)
    code = "from jupyter_model_service import deploy\nfrom sklearn.dummy import DummyClassifier\n"
    code += "deploy(DummyClassifier().fit([[0]], [1]), name='mine')"
    ran = cell(code)
    assert "Conflict: Look with: %model_service info mine\n" in ran.out + ran.err
    cell("%unload_ext jupyter_model_service")
    ran = cell(code)
    assert f"Conflict: {sentence}\n" in ran.out + ran.err
