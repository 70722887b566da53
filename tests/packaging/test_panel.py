"""The panel travels: built once, into the sdist and the wheel, which need no node any more; and without node everything
but the panel is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PANEL = ROOT / "jupyter_model_service" / "labextension"
SHARED = "share/jupyter/labextensions/jupyter-model-service"
needs_panel = pytest.mark.skipif(
    not (PANEL / "package.json").exists(), reason="the JupyterLab panel is not built (it needs Node.js 20.19 or newer)"
)


def copy_of_the_sources(folder: Path, *, panel: bool) -> Path:
    """What a clone holds, as far as the build looks at it, with the panel as it was built here."""
    clone = folder / "clone"
    skipped = shutil.ignore_patterns("__pycache__", "labextension", "node_modules", "lib", ".yarn", "*.tsbuildinfo")
    shutil.copytree(ROOT / "jupyter_model_service", clone / "jupyter_model_service", ignore=skipped)
    shutil.copytree(ROOT / "labextension", clone / "labextension", ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, clone / name)
    if panel:
        built = clone / "jupyter_model_service" / "labextension"
        shutil.copytree(PANEL, built, ignore=shutil.ignore_patterns("build_log.json", "*.map"))
        # Whoever works on the panel builds it by hand; what is judged here is how it travels.
        (built / ".made-from").write_text(hash_of(clone))
    return clone


def hash_of(clone: Path) -> str:
    """What the build hook says that the panel is made from."""
    spec = importlib.util.spec_from_file_location("hatch_build", clone / "labextension" / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hook = module.PanelHook(str(clone), {}, None, None, str(clone), "wheel")
    return str(hook._hash())


def build(clone: Path, target: str, without_node: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(clone / "dist")]
    return subprocess.run(command, cwd=clone, env={**without_node, **more}, capture_output=True, text=True, timeout=110)


@pytest.fixture
def without_node(tmp_path: Path) -> dict[str, str]:
    """An environment in which no node is found, nor jlpm."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env", "git"):
        found = shutil.which(name)
        if found is not None:
            (tools / name).symlink_to(found)
    environment = {**os.environ, "PATH": str(tools)}
    environment.pop("MODEL_SERVICE_PANEL", None)
    assert shutil.which("node", path=str(tools)) is None
    return environment


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@needs_panel
def test_an_sdist_and_the_wheel_made_of_it_install_the_panel_without_node(
    tmp_path: Path, without_node: dict[str, str]
) -> None:
    clone = copy_of_the_sources(tmp_path, panel=True)
    done = build(clone, "sdist", without_node)
    assert done.returncode == 0, done.stderr
    with tarfile.open(one(clone / "dist", "*.tar.gz")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    source = one(tmp_path / "unpacked", "*")
    assert (source / "labextension" / "src" / "index.ts").exists(), "the sources of the panel are in it"

    done = build(source, "wheel", without_node)
    assert done.returncode == 0, done.stderr
    wheel = one(source / "dist", "*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith((".map", "build_log.json")) or "node_modules" in name]
    assert len([name for name in names if name.endswith("static/style.js")]) == 1, "it is there once"

    # With the packages of this environment: only ours is installed, from the file alone.
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    install = [str(tmp_path / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], env=without_node, check=True, timeout=100)
    installed = tmp_path / "venv" / SHARED
    package = json.loads((installed / "package.json").read_text())
    assert (installed / package["jupyterlab"]["_build"]["load"]).is_file(), "JupyterLab finds what it loads first"
    assert json.loads((installed / "install.json").read_text())["packageName"] == "jupyter-model-service"
    assert (installed / "schemas" / "jupyter-model-service" / "panel.json").is_file()
    assert (tmp_path / "venv" / "etc/jupyter/jupyter_server_config.d").is_dir()


def test_a_clone_without_node_gives_a_wheel_without_the_panel_and_says_so_once(
    tmp_path: Path, without_node: dict[str, str]
) -> None:
    clone = copy_of_the_sources(tmp_path, panel=False)
    done = build(clone, "wheel", without_node)
    assert done.returncode == 0, done.stderr
    said = [line for line in (done.stdout + done.stderr).splitlines() if "panel" in line]
    assert len(said) == 1, said
    assert "Node.js" in said[0]
    assert "everything else is installed" in said[0]
    names = zipfile.ZipFile(one(clone / "dist", "*.whl")).namelist()
    assert any(name.endswith("jupyter_server_config.d/jupyter_model_service.json") for name in names)
    assert not any("labextensions" in name for name in names)


def test_what_is_published_is_never_without_the_panel(tmp_path: Path, without_node: dict[str, str]) -> None:
    clone = copy_of_the_sources(tmp_path, panel=False)
    for target, more in (("sdist", {}), ("wheel", {"MODEL_SERVICE_PANEL": "required"})):
        done = build(clone, target, without_node, **more)
        assert done.returncode != 0, f"{target} without the panel"
        assert "Node.js" in done.stdout + done.stderr


def test_panel_and_package_have_one_version() -> None:
    from jupyter_model_service import __version__

    assert json.loads((ROOT / "labextension" / "package.json").read_text())["version"] == __version__


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (ROOT / "labextension" / "yarn.lock").read_text()
