"""A shell of IPython's without a frontend, and a gateway that a test scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ..client.fake_gateway import FakeGateway


@dataclass
class Ran:
    """``error`` is what the cell raised, ``result`` its last value."""

    result: Any
    error: BaseException | None
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MODEL_SERVICE_URL", "MODEL_SERVICE_TOKEN"):
            patch.delenv(name, raising=False)
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path / name.lower()))
        yield


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGateway]:
    with FakeGateway(tmp_path / "jupyter_data_dir" / "model-service") as fake:
        yield fake


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """With the magics loaded; nothing of it is left."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    try:
        assert shell.run_cell("%load_ext jupyter_model_service").success
        yield shell
    finally:
        InteractiveShell.clear_instance()


@pytest.fixture
def cell(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Ran]:
    """Run one cell."""

    def run(text: str) -> Ran:
        capsys.readouterr()
        done = shell.run_cell(text)
        out, err = capsys.readouterr()
        return Ran(done.result, done.error_in_exec or done.error_before_exec, out, err)

    return run
