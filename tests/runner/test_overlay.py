"""A replica's own environment over the user's: pip writes into it only, and what it pins is what runs."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


def make_wheel(folder: Path, version: str) -> Path:
    """A wheel of ``tinyserve`` with a module, ``python -m`` and a console script, by hand: no index, no build."""
    info = f"tinyserve-{version}.dist-info"
    files = {
        "tinyserve/__init__.py": f'import sys\nVERSION = "{version}"\ndef main():\n    print("tinyserve", VERSION, "in", sys.prefix)\n',
        "tinyserve/__main__.py": "from . import main\nmain()\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinyserve\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntinyserve = tinyserve:main\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    path = folder / f"tinyserve-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def quietly(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_parent(folder: Path, base: str) -> Path:
    """A virtual environment with tinyserve 1.0 and an editable project, as a user would have it."""
    parent = folder / "parent with a space"
    quietly(base, "-m", "venv", parent)
    python = parent / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check"]
    quietly(*pip, make_wheel(folder, "1.0"))
    project = folder / "project"
    project.mkdir()
    (project / "mine.py").write_text("HERE = True\n")
    packages = quietly(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    Path(packages, "__editable__.mine.pth").write_text(f"{project}\n")
    return python


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Path, Path]:
    """``(parent's python, wheel of tinyserve 2.0)``"""
    folder = tmp_path_factory.mktemp("world")
    return make_parent(folder, sys.executable), make_wheel(folder, "2.0")


def install(wheel: Path, *options: str) -> dict:
    words = ["pip3", "install", "--no-index", "--no-deps", "-q", *options, str(wheel)]
    return {"action": "run_command", "args": {"command": words}}


LOOK = (
    "tinyserve; python -m tinyserve; python3 -m tinyserve;"
    " python -c 'import mine, sys, pip; print(mine.HERE, sys.prefix)'; pip list 2>/dev/null | grep -c tinyserve"
)


def test_the_replica_sees_the_parents_packages(start_runner, world, tmp_path):
    parent, _ = world
    runner = start_runner(["sh", "-c", LOOK], python=str(parent), overlay=str(tmp_path / "env"))
    assert runner.run_to_the_end()["code"] == 0
    assert runner.logged() == [f"tinyserve 1.0 in {tmp_path / 'env'}"] * 3 + [f"True {tmp_path / 'env'}", "1"]


@pytest.mark.parametrize("name", ["env", "an env with a space", "e" * 150])
def test_a_pin_wins_in_the_replica_and_the_parent_stays_as_it_is(start_runner, world, tmp_path, name):
    """Also where the path is too long for a ``#!`` line, or has a space."""
    parent, wheel = world
    before = quietly(parent, "-m", "pip", "freeze", "--all")
    runner = start_runner(
        ["sh", "-c", LOOK],
        python=str(parent),
        overlay=str(tmp_path / name),
        actions=[install(wheel)],
    )
    ended = runner.run_to_the_end()
    assert ended["code"] == 0, ended
    assert runner.logged()[-5:] == [f"tinyserve 2.0 in {tmp_path / name}"] * 3 + [f"True {tmp_path / name}", "1"]
    assert quietly(parent, "-m", "pip", "freeze", "--all") == before
    assert quietly(parent.with_name("tinyserve")).startswith("tinyserve 1.0 in ")


def test_settings_that_send_pip_elsewhere_are_not_followed(start_runner, world, tmp_path):
    parent, wheel = world
    runner = start_runner(
        ["tinyserve"],
        python=str(parent),
        overlay=str(tmp_path / "env"),
        actions=[install(wheel)],
        environ={"PIP_TARGET": str(tmp_path / "target"), "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"},
        environment={"PIP_PREFIX": str(tmp_path / "prefix"), "PYTHONHOME": "/nowhere"},
    )
    assert runner.run_to_the_end()["code"] == 0
    assert runner.logged()[-1] == f"tinyserve 2.0 in {tmp_path / 'env'}"
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "prefix").exists()


def test_a_pip_that_is_named_by_its_path_still_goes_to_the_replica(start_runner, world, tmp_path):
    parent, wheel = world
    action = install(wheel)
    action["args"]["command"][0] = str(parent.with_name("pip"))
    runner = start_runner(
        [str(parent), "-m", "tinyserve"], python=str(parent), overlay=str(tmp_path / "env"), actions=[action]
    )
    assert runner.run_to_the_end()["code"] == 0
    assert runner.logged()[-1] == f"tinyserve 2.0 in {tmp_path / 'env'}"
    assert quietly(parent.with_name("tinyserve")).startswith("tinyserve 1.0 in ")


def test_pip_cannot_remove_the_parents_packages(start_runner, world, tmp_path):
    parent, _ = world
    runner = start_runner(
        ["tinyserve"],
        python=str(parent),
        overlay=str(tmp_path / "env"),
        actions=[{"action": "run_command", "args": {"command": ["pip", "uninstall", "-y", "tinyserve"]}}],
    )
    runner.run_to_the_end()
    assert quietly(parent.with_name("tinyserve")).startswith("tinyserve 1.0 in ")


def test_an_existing_environment_is_used_again(start_runner, world, tmp_path):
    parent, wheel = world
    options = {"python": str(parent), "overlay": str(tmp_path / "env")}
    start_runner(["true"], actions=[install(wheel)], **options).run_to_the_end()
    again = start_runner(["tinyserve"], **options)
    assert again.run_to_the_end()["code"] == 0
    assert again.logged() == [f"tinyserve 2.0 in {tmp_path / 'env'}"]


def test_pip_is_there_even_if_the_parent_has_none(start_runner, tmp_path):
    bare = tmp_path / "bare"
    quietly(sys.executable, "-m", "venv", "--without-pip", bare)
    runner = start_runner(
        ["sh", "-c", "tinyserve; python -m pip --version"],
        python=str(bare / "bin" / "python"),
        overlay=str(tmp_path / "env"),
        actions=[install(make_wheel(tmp_path, "2.0"))],
    )
    ended = runner.run_to_the_end()
    assert ended["code"] == 0, ended
    assert runner.logged()[-2] == f"tinyserve 2.0 in {tmp_path / 'env'}"
    assert not list(bare.glob("lib/*/site-packages/*"))


def test_a_virtual_environment_that_sees_the_systems_packages_passes_them_on(start_runner, tmp_path):
    """The system here is a stand-in: a user site, which such an environment sees as well."""
    home = tmp_path / "home"
    seeing = tmp_path / "seeing"
    quietly(sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", seeing)
    below = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    user = home / ".local" / below
    user.mkdir(parents=True)
    (user / "users_own.py").write_text("")
    code = "import users_own, sys; print(users_own.__file__)"
    options = {"python": str(seeing / "bin" / "python"), "environ": {"HOME": str(home), "PYTHONUSERBASE": ""}}
    runner = start_runner(["python", "-c", code], overlay=str(tmp_path / "env"), **options)
    assert runner.run_to_the_end()["code"] == 0
    assert runner.logged() == [str(user / "users_own.py")]
    options["environ"]["PYTHONNOUSERSITE"] = "1"
    runner = start_runner(["python", "-c", code], overlay=str(tmp_path / "env2"), **options)
    assert runner.run_to_the_end()["code"] == 1
    assert "ModuleNotFoundError" in runner.logged()[-1]


SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.mark.skipif(not os.access(SYSTEM_PYTHON, os.X_OK), reason=f"needs {SYSTEM_PYTHON}")
def test_the_systems_python_can_be_the_parent(start_runner, tmp_path):
    """It may be kept from pip (EXTERNALLY-MANAGED) and have its packages in a place of its own."""
    dirs = quietly(SYSTEM_PYTHON, "-c", "import sys; print([p for p in sys.path if p.endswith('-packages')])")
    runner = start_runner(
        ["sh", "-c", "tinyserve; python -c 'import sys; print([p for p in sys.path if p.endswith(\"-packages\")])'"],
        python=SYSTEM_PYTHON,
        overlay=str(tmp_path / "env"),
        actions=[install(make_wheel(tmp_path, "2.0"))],
    )
    ended = runner.run_to_the_end()
    if "has neither pip nor ensurepip" in "".join(ended["tail"]):
        pytest.skip(f"{SYSTEM_PYTHON} has no pip and no ensurepip")
    assert ended["code"] == 0, ended
    first, last = runner.logged()[-2:]
    assert first == f"tinyserve 2.0 in {tmp_path / 'env'}"
    assert eval(last)[1:] == eval(dirs)


def test_an_environment_that_cannot_be_made_fails_the_start(start_runner, tmp_path):
    (tmp_path / "file").write_text("")
    ended = start_runner(["true"], overlay=str(tmp_path / "file" / "env")).run_to_the_end()
    assert (ended["stage"], ended["action"]) == ("prepare", None)
    assert ended["message"].startswith(f"cannot make the Python environment {tmp_path / 'file' / 'env'}")


def test_it_is_made_in_no_time(run_file, world, tmp_path):
    parent, _ = world
    code = (
        f"import sys, time; sys.path.insert(0, {str(run_file.parent)!r}); import runner\n"
        "t = time.perf_counter(); runner.Overlay(sys.argv[1]).prepare(); print(time.perf_counter() - t)"
    )
    best = min(float(quietly(parent, "-I", "-S", "-c", code, tmp_path / f"env{n}")) for n in range(3))
    assert best < 0.1


@pytest.mark.parametrize(
    "head",
    [
        "#!{bin}/python3\n",
        "#!{bin}/python -s\n",
        "#!/bin/sh\n'''exec' \"{bin}/python3.11\" \"$0\" \"$@\"\n' '''\n",  # pip, with a space in the path
        "#!/bin/sh\n'''exec' {bin}/python3.11 \"$0\" \"$@\"\n' '''\n",  # pip, with a long path
        "#!/bin/sh\n'''exec' '{bin}/python' \"$0\" \"$@\"\n' '''\n",  # uv
        "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python3' \"$0\" \"$@\"\n' '''\n",  # uv
    ],
)
def test_every_form_of_a_console_script_is_recognised(run_module, tmp_path, head):
    file = tmp_path / "tool"
    body = "import sys\nprint(sys.argv)\n"
    file.write_text(head.replace("{bin}", "/some/bin") + body)
    assert run_module.script_body(str(file), {b"/some/bin"}) == body.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"#!/usr/bin/env python3\n",
        b"#!/other/bin/python3\n",
        b"#!/some/bin/perl\n",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"",
        b"#!\n",
    ],
)
def test_programs_of_others_are_left_where_they_are(run_module, tmp_path, content):
    file = tmp_path / "tool"
    file.write_bytes(content)
    assert run_module.script_body(str(file), {b"/some/bin"}) is None
