"""What the names and values of environment variables may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import InvalidRequest

MOST_OF_ONE = 131_072  # bytes of NAME=VALUE with its closing NUL: MAX_ARG_STRLEN of Linux, 32 pages of 4 KiB
MOST_OF_ALL = 1 << 20  # of 2 MiB that a program's arguments and variables share there (a quarter of its stack of 8)
MOST_OF_NAMES = 16_384  # bytes: whoever lists services is told them of each revision, a dozen of which are kept
SET_BY_THE_RUNNER = ("BACKEND_MODEL_PATH",)
_OURS = "MODEL_SERVICE_"
_SHOWN = 40  # characters of a wrong name in a sentence


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises ``InvalidRequest`` for what no program can be given (``execve`` takes ``NAME=VALUE`` that ends with NUL,
    of a limited size), for names that are no single readable line, and for those whose value is not the user's to give.
    Values are never shown: they may be secrets."""
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
        if name in SET_BY_THE_RUNNER or name.startswith(_OURS):
            raise InvalidRequest(
                f"The environment variable {name} is set for each replica and cannot be given: take it away, or give "
                "the value another name."
            )
    if (names := sum(len(name.encode("utf-8", "surrogatepass")) for name in environment)) > MOST_OF_NAMES:
        raise InvalidRequest(
            f"The names of the environment variables have {names:,} bytes together, and {MOST_OF_NAMES:,} is the most: "
            "put what they are to tell into a file of the model folder."
        )
    check_sizes(environment)


def check_read(unread: Sequence[str]) -> None:
    """``InvalidRequest`` where values that a revision was given are not known any more (``Revision.unread``)."""
    if unread:
        one = len(unread) == 1
        raise InvalidRequest(
            f"The value{'' if one else 's'} of the environment variable{'' if one else 's'} {', '.join(unread)} cannot "
            f"be read any more, as the key by which {'it was' if one else 'they were'} sealed is gone, or the service "
            "was changed in the database by something else than the gateway: update the service with its environment "
            "(--env NAME=VALUE for each variable, or --no-env)."
        )


def check_sizes(environment: Mapping[str, str]) -> None:
    """``InvalidRequest`` for more than a program can be given."""
    sizes = {name: len(f"{name}={value}\0".encode("utf-8", "surrogatepass")) for name, value in environment.items()}
    for name, size in sizes.items():
        if size > MOST_OF_ONE:
            shown = name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "..."
            raise InvalidRequest(
                f"The environment variable {shown} has {size:,} bytes with its name, and a program can be given "
                f"{MOST_OF_ONE:,}: put the value into a file of the model folder."
            )
    if sum(sizes.values()) > MOST_OF_ALL:
        raise InvalidRequest(
            f"The environment variables have {sum(sizes.values()):,} bytes together, and a replica is given at most "
            f"{MOST_OF_ALL:,}: put large values into files of the model folder."
        )
