"""The scripts that make the engine and the images: what they say when something is missing, and what they leave out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .deployment import ROOT

ENGINE, BUILD = str(ROOT / "deploy" / "engine.sh"), str(ROOT / "deploy" / "images" / "build.sh")
NO_ENGINE = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_check_says_in_one_sentence_that_no_engine_answers(docker_engine: Any) -> None:
    """Nothing is started by ``--check``; the sentence says how to start one."""
    told = run(ENGINE, "--check", env=NO_ENGINE)
    assert told.returncode == 1
    assert told.stderr == "No Docker engine answers (docker version). Start one: deploy/engine.sh, as root.\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_who_is_not_root_is_told_so(docker_engine: Any) -> None:
    """Only root can start an engine."""
    told = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", ENGINE, env=NO_ENGINE)
    assert told.returncode == 1
    assert "only root can start one" in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_running_engine_is_used(docker_engine: Any) -> None:
    """The script starts none beside the one that answers."""
    told = run(ENGINE)
    assert (told.returncode, told.stdout) == (0, f"Docker engine {docker_engine.version()['Version']} answers.\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine")
@pytest.mark.skipif(os.path.exists("/run/systemd/system"), reason="the service manager starts it here")
def test_an_engine_that_is_started_holds_no_lock_of_who_started_it(tmp_path: Path) -> None:
    """It runs on when its caller is long gone; what the caller had locked would stay so. With stand-ins of both programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    open_files = tmp_path / "open"
    for name, does in (
        ("docker", f"[ ! -s {open_files} ] || echo 99.0"),
        ("dockerd", f"ls -l /proc/$$/fd >{open_files}.now; mv {open_files}.now {open_files}"),
        ("iptables", "true"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    lock = tmp_path / "lock"
    told = run("flock", str(lock), ENGINE, env=environment)
    assert told.stdout.startswith("Docker engine 99.0 started")
    assert f"{lock}\n" not in open_files.read_text()


def test_a_long_step_shows_a_sign_of_life_and_nobody_waits_for_it() -> None:
    """Its words and its exit status are the command's; what it says beside goes to the standard error."""
    alive = [str(ROOT / "deploy" / "alive.sh"), "one thing"]
    told = run(*alive, "sh", "-c", "sleep 2.5; echo done; exit 3", env={**os.environ, "ALIVE_EVERY": "1"})
    assert (told.returncode, told.stdout) == (3, "done\n")
    first, *beats = told.stderr.splitlines()
    assert (first, [beat.split()[:2] for beat in beats]) == ("one thing …", [["…", "for"]] * 2)
    began = time.monotonic()
    assert run(*alive, "true", env={**os.environ, "ALIVE_EVERY": "50"}).stderr == "one thing …\n"
    assert time.monotonic() - began < 20


def test_an_unknown_line_is_refused_before_anything_is_built() -> None:
    told = run(BUILD, "hub7")
    assert (told.returncode, told.stderr) == (1, "There is no image line hub7; there are: hub6 hub5 site.\n")


def test_an_image_is_built_once_for_one_state_of_the_package(
    docker_engine: Any, base_image: str, tmp_path: Path
) -> None:
    """It is found by the hash of what it is made of; a changed module makes another, with its own tag."""
    left_out = shutil.ignore_patterns("__pycache__", "labextension")
    for part in ("deploy", "jupyter_model_service"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE", "labextension/hatch_build.py", "labextension/install.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    build = str(tmp_path / "deploy" / "images" / "build.sh")
    first = run(build, "hub6").stdout.split()

    again = run(build, "hub6")
    assert (again.stdout.split(), again.stderr) == (first, "")
    (tmp_path / "jupyter_model_service" / "added.py").write_text("value = 4711\n")
    other = run(build, "hub6").stdout.split()[-1]

    (tmp_path / "jupyter_model_service" / "added.py").unlink()  # the plain tag is to stay with what is tested
    try:
        assert other != first[-1]
        said = docker_engine.containers.run(
            other, ["python3", "-c", "from jupyter_model_service import added; print(added.value)"], remove=True
        )
        assert said == b"4711\n"
    finally:
        run(build, "hub6").check_returncode()
        docker_engine.images.remove(other, force=True)


def test_nothing_of_the_host_is_in_the_images(
    docker_engine: Any, notebook_image: Callable[[int], str], site_image: str
) -> None:
    """Its pip settings and certificates were mounted for the build only; the package and its extension are there."""
    script = (
        "env; find /etc/pip-of-the-host /source /steps -mindepth 1; find / -xdev -name 'pip*.conf' 2>/dev/null; true"
    )
    for image in (notebook_image(6), site_image):
        told = docker_engine.containers.run(image, ["sh", "-c", script], remove=True).decode().splitlines()
        assert [line for line in told if not line.startswith(("PATH=", "HOME=", "SHELL=", "HOSTNAME=", "PWD="))] == []


def test_a_terminal_of_jupyterlab_finds_the_commands_of_the_notebook(
    docker_engine: Any, notebook_image: Callable[[int], str]
) -> None:
    """It is a login shell, the one that ``SHELL`` names: what ``docker exec`` finds, it need not."""
    command = ["sh", "-c", "\"$SHELL\" -l -c 'command -v jupyter; echo $BASH'"]
    told = docker_engine.containers.run(notebook_image(6), command, remove=True).decode().split()
    assert told == ["/opt/nb/bin/jupyter", "/bin/bash"]


def test_the_hubs_image_has_all_that_its_containers_start(docker_engine: Any, site_image: str) -> None:
    """Hub, proxy with a node of its own, spawner and gateway; no pip settings are needed to start them."""
    script = (
        "jupyterhub --version && configurable-http-proxy --version && node --version && "
        "python -c 'import dockerspawner, pynvml, jupyter_model_service.hub, jupyter_model_service.app' && echo all"
    )
    told = docker_engine.containers.run(site_image, ["sh", "-c", script], remove=True).decode().splitlines()
    assert told[0].startswith("6.")
    assert told[-1] == "all"


def test_settings_for_containers_name_no_file_of_the_host(tmp_path: Path) -> None:
    """Network settings of pip are taken over, the certificates copied; local folders and indexes are left out."""
    (tmp_path / "own.crt").write_text("certificates")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_EXTRA_INDEX_URL": "file:///opt/index https://more.example/simple",
        "PIP_FIND_LINKS": "/opt/wheels",
        "PIP_CERT": str(tmp_path / "own.crt"),
    }
    command = [sys.executable, str(ROOT / "deploy" / "images" / "pip_settings.py"), str(tmp_path / "out")]

    subprocess.run(command, env=environment, check=True, timeout=60)

    assert (tmp_path / "out" / "ca.crt").read_text() == "certificates"
    assert (tmp_path / "out" / "pip.conf").read_text().splitlines() == [
        "[global]",
        "disable-pip-version-check = true",
        "extra-index-url = https://more.example/simple",
        "index-url = https://index.example/simple",
        "cert = /etc/pip-of-the-host/ca.crt",
    ]
