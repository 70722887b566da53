"""The commands of the documents, run as they stand there, in an empty folder with a Jupyter data directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..e2e.scaling_site import model_folder

ROOT = Path(__file__).parents[2]
#: Blocks marked ``bash`` and ``python`` are executed; ``sh`` and ``console`` are only shown (installing, looking).
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


def script(page: Path) -> str:
    """One shell script of the whole page: later blocks see what earlier ones made."""
    lines = ["set -euo pipefail"]
    for kind, text in blocks(page):
        lines.append(text if kind == "bash" else f"{sys.executable} - <<'PAGE'\n{text}PAGE")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("page", "before", "answer"),
    [
        ("docs/quickstart.md", "", '{"score":3}'),
        ("docs/first-model.md", "", '{"outputs": [0]}'),
        ("docs/autoscaling.md", "jupyter model-service create model -n chat", "2 of 2 replicas"),
    ],
)
def test_the_commands_of_the_page_work_as_written(page: str, before: str, answer: str, tmp_path: Path) -> None:
    """``before`` makes what the page is about, where the page does not do it itself."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
    }
    work = tmp_path / "work"
    work.mkdir()
    if before:
        model_folder(work / "model")
    try:
        done = subprocess.run(
            ["bash", "-c", f"{before}\n{script(ROOT / page)}"],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=270,
        )
    finally:
        stop = [sys.executable, "-m", "jupyter_model_service.cli", "gateway", "--stop"]
        subprocess.run(stop, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert answer in done.stdout


def test_every_link_between_the_documents_leads_somewhere() -> None:
    links = [
        (page, target)
        for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")]
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
        if not target.startswith(("http:", "https:"))
    ]
    assert {page.parent.name for page, _ in links} >= {ROOT.name, "docs"}
    assert [f"{page.name} links to {target}" for page, target in links if not (page.parent / target).exists()] == []


def test_every_dependency_has_its_reason() -> None:
    """Those of the package and of its part for a Hub, each at the beginning of a row."""
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    told = (ROOT / "docs" / "dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["hub"]]
    named = {name.strip() for row in re.findall(r"^\| ([\w, -]+?) \|", told, re.MULTILINE) for name in row.split(",")}
    assert {re.split(r"[<>=;]", each)[0].strip() for each in wanted} <= named


def test_binder_opens_what_exists() -> None:
    """A binder build cannot run here; its steps name only what is in the repository."""
    assert "examples/tiny-chat" in (ROOT / "binder" / "start").read_text()
    assert (ROOT / "examples" / "tiny-chat" / "model-definition.yaml").exists()
    for step in ("postBuild", "start"):
        assert os.access(ROOT / "binder" / step, os.X_OK)
        assert subprocess.run(["bash", "-n", str(ROOT / "binder" / step)]).returncode == 0
