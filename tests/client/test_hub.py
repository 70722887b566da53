"""Clients in a server of a hub: which gateway and token they use, and what they tell a gateway that cannot read folders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_model_service.cli import main
from jupyter_model_service.client import AsyncClient, Client
from jupyter_model_service.discovery import explicit_gateway
from jupyter_model_service.errors import DefinitionError, InvalidRequest

from .fake_gateway import FakeGateway, service

TEXT = "models:\n  - name: demo\n    service: {port: 8000}\n"


@pytest.fixture(params=["sync", "async", "cli"])
def way(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    """A hub's gateway, and the environment that a server of the hub has."""
    with FakeGateway(token="hub-token-of-ada") as fake:
        info = {"version": "0", "mode": "hub", "owner": "ada", "pid": 1, "launcher": "hub", "started_at": 1.0}
        fake.answers["GET", "api/v1/"] = (200, info, {})
        monkeypatch.setenv("MODEL_SERVICE_URL", fake.url)
        monkeypatch.delenv("MODEL_SERVICE_TOKEN", raising=False)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", fake.token)
        monkeypatch.setenv("JUPYTER_IMAGE_SPEC", "site/notebook:7")
        yield fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "model-definition.yml").write_text(TEXT)
    return made


def sent(gateway: FakeGateway, path: str) -> Any:
    return [body for _, asked, _, body in gateway.requests if asked == path][-1]


def do(way: str, verb: str, *given: str, **options: Any) -> Any:
    """The same by each of the three faces."""
    if way == "cli":
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        detached = ["--detach"] if verb in ("create", "update") else []
        return main([verb, *given, *words, *detached])
    if way == "sync":
        with Client() as client:
            return getattr(client, verb)(*given, **options)

    async def call() -> Any:
        async with AsyncClient() as client:
            return await getattr(client, verb)(*given, **options)

    return asyncio.run(call())


def test_the_servers_own_token_is_used_where_none_is_given() -> None:
    there = {"MODEL_SERVICE_URL": "http://gw/", "JUPYTERHUB_API_TOKEN": "hers"}
    assert explicit_gateway(there) == ("http://gw/", "hers")
    assert explicit_gateway({**there, "MODEL_SERVICE_TOKEN": "given"}) == ("http://gw/", "given")
    assert explicit_gateway({"JUPYTERHUB_API_TOKEN": "hers"}) is None


def test_create_sends_the_definition_and_the_notebooks_image(way: str, gateway: FakeGateway, folder: Path) -> None:
    do(way, "create", str(folder))
    body = sent(gateway, "api/v1/services")
    assert body["folder"] == str(folder)
    assert body["definition"] == {"file": "model-definition.yml", "text": TEXT}
    assert body["image"] == "site/notebook:7"


def test_an_image_that_was_asked_for_is_not_replaced(way: str, gateway: FakeGateway, folder: Path) -> None:
    do(way, "create", str(folder), image="other:1")
    assert sent(gateway, "api/v1/services")["image"] == "other:1"


def test_update_reads_the_folder_again_and_keeps_the_image(way: str, gateway: FakeGateway, folder: Path) -> None:
    """Without a folder it is that of the active revision, which the gateway says."""
    revisions = [
        {"number": 1, "created_at": 1.0, "folder": "/gone", "model_name": "demo"},
        {"number": 2, "created_at": 2.0, "folder": str(folder), "model_name": "demo"},
    ]
    gateway.services["ada/demo"] = service("demo", revision=2, revisions=revisions)
    gateway.answers["POST", "api/v1/services/ada/demo/update"] = (202, service("demo", revision=3), {})
    do(way, "update", "demo", cpu=2) if way == "cli" else do(way, "update", "demo", cpus=2)
    body = sent(gateway, "api/v1/services/ada/demo/update")
    assert body["definition"]["text"] == TEXT
    assert body["folder"] == str(folder)
    assert "image" not in body


def test_an_update_of_nothing_but_the_files_reads_the_folder_again(
    way: str, gateway: FakeGateway, folder: Path
) -> None:
    revision = {"number": 1, "created_at": 1.0, "folder": str(folder), "model_name": "demo"}
    gateway.services["ada/demo"] = service("demo", revisions=[revision])
    gateway.answers["POST", "api/v1/services/ada/demo/update"] = (202, service("demo", revision=2), {})
    do(way, "update", "demo")
    assert sent(gateway, "api/v1/services/ada/demo/update")["definition"]["text"] == TEXT


def test_validate_sends_the_definition(way: str, gateway: FakeGateway, folder: Path) -> None:
    answer = {"name": "demo", "definition": {}, "warnings": []}
    gateway.answers["POST", "api/v1/validate"] = (200, answer, {})
    do(way, "validate", str(folder))
    assert sent(gateway, "api/v1/validate") == {
        "folder": str(folder),
        "definition": {"file": "model-definition.yml", "text": TEXT},
    }


def test_a_folder_without_a_definition_is_said_before_anything_is_asked_for(
    way: str, gateway: FakeGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of a gateway that reads the folder itself."""
    sentence = f"{tmp_path}: the folder has no model-definition.yaml, which says how to serve it"
    if way == "cli":
        assert do(way, "create", str(tmp_path)) == 1
        assert sentence in capsys.readouterr().err
    else:
        with pytest.raises(DefinitionError, match="the folder has no") as caught:
            do(way, "create", str(tmp_path))
        assert caught.value.message == sentence
    assert not [path for method, path, _, _ in gateway.requests if method == "POST"]


@pytest.mark.parametrize("word", [{"public": True}, {"visibility": "public"}, {"visibility": "private"}], ids=str)
def test_making_a_service_public_reads_no_folder(gateway: FakeGateway, word: dict[str, Any]) -> None:
    gateway.services["ada/demo"] = service("demo")
    gateway.answers["POST", "api/v1/services/ada/demo/update"] = (202, service("demo", public=True), {})
    do("sync", "update", "demo", **word)
    assert sent(gateway, "api/v1/services/ada/demo/update") == word


def test_a_gateway_that_reads_folders_itself_is_sent_none(way: str, gateway: FakeGateway, folder: Path) -> None:
    """``MODEL_SERVICE_URL`` may also name one's own gateway."""
    status, info, headers = gateway.answers["GET", "api/v1/"]  # type: ignore[misc]
    gateway.answers["GET", "api/v1/"] = (status, {**info, "mode": "embedded"}, headers)
    do(way, "create", str(folder))
    assert not {"definition", "image"} & sent(gateway, "api/v1/services").keys()


@pytest.mark.parametrize("mode", ["hub", "embedded"])
def test_a_bare_name_is_mounted_as_a_volume_on_a_hub_and_as_a_folder_elsewhere(
    way: str, gateway: FakeGateway, folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """``./weights`` is a folder everywhere: a hub's gateway then says that only volumes can be mounted."""
    status, info, headers = gateway.answers["GET", "api/v1/"]  # type: ignore[misc]
    gateway.answers["GET", "api/v1/"] = (status, {**info, "mode": mode}, headers)
    monkeypatch.chdir(folder)
    given = ["weights:/a:ro", "./weights:/b"]
    if way == "cli":
        main(["create", str(folder), "--detach", "--mount", given[0], "--mount", given[1]])
    else:
        do(way, "create", str(folder), mounts=given)
    bare = "weights" if mode == "hub" else str(folder / "weights")
    assert sent(gateway, "api/v1/services")["mounts"] == [
        {"source": bare, "target": "/a", "read_only": True},
        {"source": str(folder / "weights"), "target": "/b", "read_only": False},
    ]


@pytest.mark.parametrize("mode", ["hub", "embedded"])
def test_a_whole_volume_is_served_with_the_definition_of_the_working_directory(
    way: str, gateway: FakeGateway, folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """``volume:NAME`` on a hub; elsewhere that is the name of a folder like any other."""
    status, info, headers = gateway.answers["GET", "api/v1/"]  # type: ignore[misc]
    gateway.answers["GET", "api/v1/"] = (status, {**info, "mode": mode}, headers)
    gateway.answers["POST", "api/v1/validate"] = (200, {"name": "demo", "definition": {}, "warnings": []}, {})
    monkeypatch.chdir(folder)
    do(way, "create", "volume:weights")
    body = sent(gateway, "api/v1/services")
    do(way, "validate", "volume:weights")
    assert sent(gateway, "api/v1/validate").items() <= body.items()
    if mode == "embedded":
        assert (body["folder"], "definition" in body) == (str(folder / "volume:weights"), False)
        return
    assert body["folder"] == "volume:weights"
    assert body["definition"] == {"file": "model-definition.yml", "text": TEXT}
    assert body["image"] == "site/notebook:7"


def test_an_update_of_a_volumes_service_takes_no_definition_that_happens_to_be_near(
    way: str, gateway: FakeGateway, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named again, the volume says which is meant."""
    revision = {"number": 1, "created_at": 1.0, "folder": "volume:weights", "model_name": "demo"}
    gateway.services["ada/demo"] = service("demo", revisions=[revision])
    gateway.answers["POST", "api/v1/services/ada/demo/update"] = (202, service("demo", revision=2), {})
    monkeypatch.chdir(folder)
    sentence = "name it again, where its model-definition.yaml is: update demo volume:weights."
    if way == "cli":
        assert do(way, "update", "demo") == 1
        assert sentence in " ".join(capsys.readouterr().err.split())
    else:
        with pytest.raises(InvalidRequest, match="name it again"):
            do(way, "update", "demo")
    do(way, "update", "demo", "volume:weights")
    body = sent(gateway, "api/v1/services/ada/demo/update")
    assert (body["folder"], body["definition"]["text"]) == ("volume:weights", TEXT)


@pytest.mark.parametrize(
    ("user", "owner", "told"), [("ada", "ada", True), ("ada", "bob", None), (None, "ada", None), ("bob", "ada", None)]
)
def test_a_changed_folder_is_noticed_in_the_users_own_server_only(
    way: str, gateway: FakeGateway, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], user: str | None, owner: str, told: bool | None,
) -> None:  # fmt: skip
    if user is None:
        monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    else:
        monkeypatch.setenv("JUPYTERHUB_USER", user)
    files = {"kind": "copy", "source": "snapshot", "path": "ms-1-r1", "fingerprint": "0" * 64, "files": 2}
    revision = {"number": 1, "created_at": 1.0, "folder": str(folder), "model_name": "demo", "files": files}
    gateway.services[f"{owner}/demo"] = service("demo", owner=owner, revisions=[revision])
    if way == "cli":
        do(way, "info", f"{owner}/demo")
        page = capsys.readouterr().out
        assert ("folder changed since revision 1 (" in page) == bool(told)
        assert "snapshot of 2 files, 0 B, in volume ms-1-r1" in page
    else:
        assert do(way, "get", f"{owner}/demo").folder_changed is told
