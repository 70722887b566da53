"""What was begun is found by the next gateway, whatever was in the midst of being written."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from jupyter_model_service.adapters.begun_files import BegunFiles
from jupyter_model_service.core.audit import Entry
from jupyter_model_service.errors import StoreError

FIRST = Entry(5.0, "ann", "10.0.0.1", "scale_service", "ann/chat", 0, before={"replicas": 1}, request_id="r1")
SECOND = Entry(6.0, "bob\n", "", "create_service", status=0, after={"name": "x"})


def test_what_was_begun_is_there_until_it_is_removed(tmp_path: Path) -> None:
    async def body() -> None:
        files = BegunFiles(tmp_path / "begun")
        assert await files.left() == []
        second, first = await files.add(SECOND), await files.add(FIRST)
        assert await BegunFiles(tmp_path / "begun").left() == [(first, FIRST), (second, SECOND)]
        assert stat.S_IMODE((tmp_path / "begun" / first).stat().st_mode) == 0o600
        await files.remove(first)
        await files.remove(first)
        (tmp_path / "begun" / "half").write_text('{"at": 5')
        assert await files.left() == [(second, SECOND)]
        assert os.listdir(tmp_path / "begun") == [second]

    asyncio.run(body())


def test_where_it_cannot_be_noted_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "begun").touch()
    with pytest.raises(StoreError, match=r"What is begun cannot be noted in .*begun: Not a directory"):
        asyncio.run(BegunFiles(tmp_path / "begun").add(FIRST))
