"""What the names and values of environment variables may be."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidRequest

_SHOWN = 40  # characters of a wrong name in a sentence


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises ``InvalidRequest`` for what no program can be given (``execve`` takes ``NAME=VALUE`` that ends with NUL)
    and for names that are no single readable line. Values are never shown: they may be secrets."""
    for name, value in environment.items():
        if not name:
            raise InvalidRequest("An environment variable has an empty name: give it one, or take it away.")
        if "=" in name or not name.isprintable():
            readable = "".join(c if c.isprintable() else "?" for c in name)
            readable = readable if len(readable) <= _SHOWN else readable[: _SHOWN - 3] + "..."
            what = 'has "="' if "=" in name else "has control characters"
            raise InvalidRequest(
                f'The name of the environment variable "{readable}" {what}: use letters, digits and underscores.'
            )
        if "\0" in value:
            raise InvalidRequest(
                f"The value of the environment variable {name} has a NUL character, which no program can be given: "
                "take it out."
            )
