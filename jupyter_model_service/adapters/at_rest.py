"""What is secret in the state database is sealed there, so that a dump or a copy of the file alone tells none of it.

On a hub under the key that gateway and Hub share. A user's own gateway has one of its own beside the database: whoever
can read the whole folder can read the secrets, as she could read them in the processes of the replicas.
"""

from __future__ import annotations

from pathlib import Path

from .key_file import SealError, make_key
from .sealing import Sealer, key_for

__all__ = ["AtRest", "own_at_rest"]


class AtRest:
    """``key`` as :func:`.key_file.new_key` makes one, from ``key_file``. ``about`` names the place of a secret (which
    column, of which row): sealed, it is opened as that and no other."""

    def __init__(self, key: str, key_file: Path) -> None:
        self.key_file = key_file
        self._sealer = Sealer(key_for("state database", key))

    def seal(self, plain: str, about: str) -> str:
        """In ASCII, another one each time."""
        return self._sealer.seal({"about": about, "plain": plain})

    def open(self, sealed: str, about: str) -> str:
        """``SealError`` where it was sealed with another key, as something else, or not at all."""
        found = self._sealer.open(sealed)
        if found.get("about") != about or not isinstance(found.get("plain"), str):
            raise SealError("What is sealed there is of another row.")
        return str(found["plain"])


def own_at_rest(key_file: Path) -> AtRest:
    """With the key in this file, which is made if there is none. ``SealError`` where it cannot be used."""
    return AtRest(make_key(key_file), key_file)
