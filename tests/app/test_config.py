"""Options, their documentation, and what is refused before anything starts."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

import jupyter_model_service
from jupyter_model_service.app import main
from jupyter_model_service.config import ModelService
from jupyter_model_service.core.revision import SnapshotLimits
from jupyter_model_service.core.syslog import Place
from jupyter_model_service.errors import InvalidRequest

ROOT = Path(jupyter_model_service.__file__).parent
OPTIONS = sorted(set(ModelService.class_trait_names(config=True)) - {"config", "parent", "log"})


def settings(**options: object) -> object:
    return ModelService(config=Config({"ModelService": options})).settings()


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_documented_with_its_default_and_meaning(name: str) -> None:
    """The page has the very words of the option's help."""
    trait = ModelService.class_traits(config=True)[name]
    page = (ROOT.parent / "docs" / "configuration.md").read_text()
    assert f"| `ModelService.{name}` | `{trait.default()!r}` | {trait.help} |" in page


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_addresses_are_taken(ip: str) -> None:
    assert settings(ip=ip).host == ip  # type: ignore[attr-defined]
    assert settings(ip="localhost").host == "127.0.0.1"  # type: ignore[attr-defined]


@pytest.mark.parametrize("ip", ["0.0.0.0", "", "::", "192.168.1.5", "example.org", "*"])
def test_any_other_address_is_refused_in_one_sentence(ip: str) -> None:
    with pytest.raises(InvalidRequest, match="loopback") as caught:
        settings(ip=ip)
    assert "\n" not in str(caught.value)


def test_zero_means_never_abandoned() -> None:
    assert settings(abandon_after=0.0).abandon_after is None  # type: ignore[attr-defined]
    assert settings().abandon_after == 900.0  # type: ignore[attr-defined]


def test_what_is_kept_of_folders_can_be_limited() -> None:
    usual = settings()
    assert usual.snapshots == SnapshotLimits()  # type: ignore[attr-defined]
    few = settings(snapshot_bytes=1, snapshot_files=2, snapshot_file_bytes=3, revisions_kept=4)
    assert few.snapshots == SnapshotLimits(bytes=1, files=2, file_bytes=3)  # type: ignore[attr-defined]
    assert few.revisions_kept == 4  # type: ignore[attr-defined]


def test_prometheus_queries_are_checked_before_anything_starts() -> None:
    assert settings().prometheus is None  # type: ignore[attr-defined]
    given = settings(
        prometheus_url="https://prometheus.example.org/prom",
        prometheus_queries={"load": 'sum(busy{s="{service}"})'},
        prometheus_interval=30.0,
        prometheus_token_file="~/token",
    ).prometheus  # type: ignore[attr-defined]
    assert (given.url, given.interval, given.timeout) == ("https://prometheus.example.org/prom", 30.0, 5.0)
    assert given.token_file == Path.home() / "token"
    assert given.queries["load"].about("alice", "chat", []) == 'sum(busy{s="chat"})'


def test_the_access_log_is_in_the_data_directory_unless_it_is_said_where(tmp_path: Path) -> None:
    usual = settings(data_dir=str(tmp_path))
    assert (usual.access_log, usual.access_log_bytes) == ("", 64 << 20)  # type: ignore[attr-defined]

    def where(given: str) -> object:
        return settings(data_dir=str(tmp_path), access_log=given).access_log  # type: ignore[attr-defined]

    assert where("calls.log") == str(tmp_path / "calls.log")
    assert where("/var/log/calls.log") == "/var/log/calls.log"
    assert where("~/calls.log") == str(Path.home() / "calls.log")
    assert where("-") == "-"


def test_the_audit_log_is_kept_for_a_day_or_longer_and_copied_where_it_is_said(tmp_path: Path) -> None:
    usual: Any = settings(data_dir=str(tmp_path))
    assert (usual.audit_kept, usual.audit_log, usual.audit_syslog) == (365 * 86400.0, "", None)
    given: Any = settings(data_dir=str(tmp_path), audit_kept=0.0, audit_log="a.jsonl", audit_syslog="/dev/log")
    assert (given.audit_kept, given.audit_log) == (None, str(tmp_path / "a.jsonl"))
    assert given.audit_syslog == Place(path="/dev/log")
    for options, why in (
        ({"audit_kept": 3600.0}, "audit_kept = 3600 is refused: it must be 86400"),
        ({"audit_syslog": "logs:514"}, "audit_syslog: 'logs:514' is neither a socket"),
        ({"audit_log": "-", "access_log": "-"}, "audit_log and access_log are both '-'"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            settings(**options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"prometheus_url": "", "prometheus_queries": {"load": "up"}}, "prometheus_url is not"),
        ({"prometheus_url": "prometheus:9090"}, "looks like http://127.0.0.1:9090"),
        ({"prometheus_url": "http://x/?a=1"}, "looks like"),
        ({"prometheus_url": "http://me:secret@x"}, "prometheus_token_file"),
        ({"prometheus_queries": {"my load": "up"}}, "the name 'my load', which no rule could use"),
        ({"prometheus_queries": {"load": "up_{service}"}}, "The query load has {service} outside quotes"),
    ],
)
def test_what_cannot_be_asked_of_prometheus_is_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        settings(**{"prometheus_url": "http://127.0.0.1:9090", **options})
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_data_directory_is_absolute(tmp_path: Path) -> None:
    """The gateway's working directory is another than the user's."""
    assert settings(data_dir="some/where").data_dir == Path.cwd() / "some" / "where"  # type: ignore[attr-defined]
    assert settings(data_dir="~/x").data_dir == Path.home() / "x"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--prot=3"],
        ["--prot", "3"],
        ["extra"],
        ["--port=abc"],
        ["--port=70000"],
        ["--port=-1"],
        ["--ip=0.0.0.0"],
        ["--ModelService.attach_timeout=0"],
        ["--ModelService.max_replicas_per_service=1000"],
    ],
)
def test_wrong_usage_is_refused_with_status_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is started or made."""
    folder = tmp_path / "data"
    assert main([*arguments, f"--data-dir={folder}"]) == 2
    said = capsys.readouterr().err
    assert said.strip()
    assert said.count("\n") == 1, "one sentence, no usage lines"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("ModelService.prot=1", "There is no option ModelService.prot. Did you mean ModelService.port?"),
        ("ModelServce.port=1", "There are no options of ModelServce. Did you mean ModelService?"),
        (
            "GatewayApp.stop_runing=1",
            "There is no option GatewayApp.stop_runing. Did you mean GatewayApp.stop_running?",
        ),
        (
            "ModelService.max_replicas_per_service=1000",
            "ModelService.max_replicas_per_service = 1000 is refused: it must be a whole number from 1 to 100.",
        ),
        ("ModelService.port='x'", "ModelService.port = x is refused: it must be a whole number from 0 to 65535."),
        ("ModelService.keep='maybe'", "ModelService.keep = maybe is refused: it must be True or False."),
        (
            "ModelService.attach_timeout=0.5",
            "ModelService.attach_timeout = 0.5 is refused: it must be a number, 1 or more.",
        ),
    ],
)
def test_a_misspelt_option_and_a_wrong_value_are_refused_in_one_sentence(
    option: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the file, which is named, as on the command line; nothing of it, nor of traitlets' words, is left out."""
    file = tmp_path / "config.py"
    file.write_text(f"c.{option}\n")
    plain = option.replace("'", "")
    for arguments, told in (([f"--config={file}"], f"{file}: {sentence}"), ([f"--{plain}"], sentence)):
        assert main([*arguments, f"--data-dir={tmp_path / 'data'}"]) == 2
        assert capsys.readouterr() == ("", told + "\n")
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("c.ModelService.acces_log = 'a'", ""),
        ("c.ModelService.port = 70000", ""),
        ("c.ModelService.port = ", "The configuration file cannot be used: SyntaxError: "),
    ],
)
def test_a_mistake_in_the_file_keeps_no_gateway_from_being_stopped(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the next one is to be does not matter for the end of this one, but for where it is."""
    file, data = tmp_path / "config.py", tmp_path / "data"
    file.write_text(f"c.ModelService.data_dir = {str(data)!r}\n{text}\n")
    assert main([f"--config={file}", "--stop", *([f"--data-dir={data}"] if said else [])]) == 0
    out, err = capsys.readouterr()
    assert out == f"No gateway runs for {data}.\n"
    assert err.startswith(said)
    assert bool(err) is bool(said)


def test_the_options_of_other_programs_may_stand_in_a_shared_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``jupyter_config.py`` is read by every Jupyter program; on our own command line they are a mistake."""
    file = tmp_path / "config.py"
    file.write_text("c.ServerApp.port = 3\nc.ModelServiceExtension.keep = True\nc.Application.log_level = 10\n")
    assert main([f"--config={file}", "--stop", f"--data-dir={tmp_path / 'data'}"]) == 0
    assert main(["--ServerApp.port=3", "--stop", f"--data-dir={tmp_path / 'data'}"]) == 2
    assert "There are no options of ServerApp." in capsys.readouterr().err


def test_a_broken_configuration_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its options would be dropped in silence otherwise."""
    file = tmp_path / "config.py"
    file.write_text("c.ModelService.port = \n")
    assert main([f"--config={file}", f"--data-dir={tmp_path / 'data'}"]) == 2
    assert "configuration file" in capsys.readouterr().err.splitlines()[-1]


def test_help_names_every_short_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for option in ("--keep", "--stop", "--leave-replicas", "--data-dir", "--port", "--ip", "--log-level", "--config"):
        assert option in said


def test_stopping_nothing_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stop", f"--data-dir={tmp_path}"]) == 0
    assert "No gateway runs" in capsys.readouterr().out


def test_only_the_edges_read_the_environment() -> None:
    """``config.py`` for the gateway; the clients' address, the Hub's side and what a replica inherits are edges
    of their own, and the supervisor hands its socket on by the environment. The gateway's web, front, engine and core
    take settings as arguments."""
    for folder in ("web", "front", "engine", "core", "app"):
        paths = [path for path in (ROOT / folder).rglob("*.py") if path.name != "supervisor.py"]
        assert paths, folder
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text())):
                assert not (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")), path
