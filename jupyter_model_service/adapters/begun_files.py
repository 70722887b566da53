"""What was begun and is to be in the audit log, one file for each. Implements ``ports.Begun``.

A gateway that is killed between a change and its entry leaves the file, and the next one writes the entry.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ..core.audit import Entry, bounded, plain
from ..errors import NoSpace, StoreError
from .daemon_threads import in_thread
from .private_file import write_private

__all__ = ["BegunFiles"]

log = logging.getLogger(__name__)


class BegunFiles:
    """``folder`` is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def add(self, entry: Entry) -> str:
        return await in_thread("what is begun", self._add, bounded(entry))

    async def remove(self, key: str) -> None:
        await in_thread("what was begun", self._remove, key)

    async def left(self) -> Sequence[tuple[str, Entry]]:
        return await in_thread("what was begun", self._left)

    # --- in a thread ---

    def _add(self, entry: Entry) -> str:
        key = secrets.token_hex(8)
        text = json.dumps(plain(entry))
        try:
            try:
                write_private(self._folder / key, text)
            except FileNotFoundError:
                self._folder.mkdir(mode=0o700)
                write_private(self._folder / key, text)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise (NoSpace if full else StoreError)(
                f"What is begun cannot be noted in {self._folder}: {error.strerror}."
            ) from error
        return key

    def _remove(self, key: str) -> None:
        try:
            os.unlink(self._folder / key)
        except FileNotFoundError:
            pass
        except OSError as error:  # the next gateway finds its entry in the log, and tries again
            log.warning("%s cannot be removed: %s", self._folder / key, error.strerror)

    def _left(self) -> list[tuple[str, Entry]]:
        found: list[tuple[str, Entry]] = []
        names = {field.name for field in dataclasses.fields(Entry)}
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            try:
                given = json.loads(path.read_text(encoding="utf-8"))
                found.append((path.name, Entry(**{name: given[name] for name in names})))
            except (OSError, ValueError, KeyError, TypeError) as error:  # not written whole: then nothing was done yet
                log.warning("%s is not what was begun (%s), and is left out", path, error)
                self._remove(path.name)
        return sorted(found, key=lambda each: each[1].at)
