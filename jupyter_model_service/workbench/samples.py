"""Sample requests that are kept with a model folder, in ``model-requests.json``."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import InvalidRequest
from ..wire.workbench import KeptRequests, SampleRequest, SampleRequests

__all__ = ["FILE", "keep_samples", "read_samples", "samples_text", "write_file"]

FILE = "model-requests.json"
VERSION = 1
MAX_BYTES = 4 << 20  # a picture or a minute of sound, in base64, is 1 to 2 MB
DEEPEST = 100  # brackets of a body in each other; JSON's writers and readers end at 200 to 1000

#: ``.`` and ``..`` as segments, however written: a browser resolves them, and the call goes somewhere else.
_DOTS = re.compile(r"(?:/|%2f|%5c)(?:\.|%2e){1,2}(?=$|/|%2f|%5c)", re.IGNORECASE)

#: Headers that hold what a folder, which others get copies of, should not.
_SECRETS = re.compile(
    r"(proxy-)?authorization|cookie|(x-)?(api|access|auth|csrf|xsrf|session|id)[-_]?(key|token)|xsrf-?token|x-(token|secret|key)"
    r"|.*[-_](secret|password)",
    re.IGNORECASE,
)


def read_samples(folder: Path) -> list[SampleRequest]:
    """Those that the folder keeps; none without the file. ``InvalidRequest`` says what is wrong with it."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for its writer; a link may lead anywhere.
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidRequest(f"{FILE} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    with open(descriptor, "rb") as file:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        content = file.read(MAX_BYTES + 1) if regular else b""
    if not regular:
        raise InvalidRequest(f"{FILE} is not a regular file.")
    if len(content) > MAX_BYTES:
        raise InvalidRequest(f"{FILE} is larger than {MAX_BYTES >> 20} MiB: keep large inputs in files of their own.")
    return samples_from(content)


def samples_from(content: bytes) -> list[SampleRequest]:
    try:
        data = json.loads(content)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise InvalidRequest(f"{FILE} is no JSON{f' (line {line})' if line else ''}.") from None
    except RecursionError:
        raise InvalidRequest(f"{FILE} is nested too deep: a body may be nested {DEEPEST} deep.") from None
    if not isinstance(data, dict) or not isinstance(data.get("requests"), list):
        raise InvalidRequest(f'{FILE} must hold {{"version": {VERSION}, "requests": [...]}}.')
    if data.get("version") != VERSION:
        raise InvalidRequest(f"{FILE} is of version {ascii(data.get('version'))[:20]}, and this one reads {VERSION}.")
    return checked(data["requests"])


def checked(requests: Sequence[Any]) -> list[SampleRequest]:
    """``InvalidRequest`` for the first that is wrong. Names differ, since a request is asked for by its name."""
    try:
        found = SampleRequests.model_validate({"requests": list(requests)}).requests
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(each) for each in first["loc"])
        raise InvalidRequest(f"{FILE}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None
    names = [request.name for request in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"Two sample requests are called {name!r}: give each a name of its own.")
    for request in found:
        check(request)
    return found


def check(request: SampleRequest) -> None:
    """What a call cannot be made of."""
    target = request.path
    if not target.startswith("/") or any(c.isspace() or not c.isprintable() for c in target):
        raise InvalidRequest(f"{target[:80]!r} is no path of a call: it begins with / and has no blanks.")
    below = target.partition("?")[0]
    if "\\" in below or _DOTS.search(below):
        raise InvalidRequest(f"{target[:80]!r} is no path of a call: it has no backslashes and no segments of dots.")
    for name, value in request.headers.items():
        legal = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not legal or any(ord(c) < 32 or 127 <= ord(c) < 160 or ord(c) > 255 for c in value):
            raise InvalidRequest(f"The header {name[:40]!r} of {request.name!r} cannot be sent.")
    if _depth(request.body) > DEEPEST:
        raise InvalidRequest(f"The body of {request.name!r} is nested more than {DEEPEST} deep, which no call can be.")
    try:
        json.dumps(request.body, ensure_ascii=False).encode()
    except ValueError:
        raise InvalidRequest(f"The body of {request.name!r} has half a character in it and cannot be sent.") from None


def _depth(value: Any) -> int:
    """Of lists and mappings in each other; without recursion, which ends where they do not."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def samples_text(requests: Sequence[SampleRequest]) -> str:
    kept = [request.model_dump(exclude_defaults=True) | {"method": request.method} for request in requests]
    ordered = [
        {key: each[key] for key in ("name", "method", "path", "headers", "body") if key in each} for each in kept
    ]
    lines = ",\n".join("    " + json.dumps(each, ensure_ascii=False) for each in ordered)
    return f'{{\n  "version": {VERSION},\n  "requests": [\n{lines}\n  ]\n}}\n'


def keep_samples(folder: Path, requests: Sequence[SampleRequest]) -> KeptRequests:
    """In the place of those that are there; without any, the file goes. Headers that hold secrets are left out, but for
    those that the file has already: somebody has written them there."""
    found = checked([request.model_dump() for request in requests])
    left_out = _leave_secrets_out(found, folder)
    text = samples_text(found)
    if len(text.encode()) > MAX_BYTES:
        raise InvalidRequest(f"The sample requests have more than {MAX_BYTES >> 20} MiB: keep fewer, or smaller ones.")
    try:
        if found:
            write_file(folder / FILE, text, over=True)
        else:
            (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidRequest(f"{FILE} cannot be written: {(error.strerror or str(error)).lower()}.") from None
    return KeptRequests(requests=found, left_out=left_out)


def _leave_secrets_out(requests: Sequence[SampleRequest], folder: Path) -> list[str]:
    """Their names."""
    try:
        there = {(name, value) for request in read_samples(folder) for name, value in request.headers.items()}
    except InvalidRequest:
        there = set()
    names = []
    for request in requests:
        for header in [each for each in request.headers.items() if _SECRETS.fullmatch(each[0]) and each not in there]:
            del request.headers[header[0]]
            names.append(header[0])
    return sorted(set(names))


def write_file(path: Path, text: str, *, over: bool) -> None:
    """A link of that name is never followed: it is in the way, or with ``over`` replaced itself. ``FileExistsError``
    where something is in the way. What is replaced keeps its rights: a file that nobody else may read stays so."""
    if not over:
        _write(path, text, None)
        return
    try:
        there = path.lstat().st_mode
    except FileNotFoundError:
        there = 0
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write(fresh, text, stat.S_IMODE(there) & 0o777 if stat.S_ISREG(there) else None)
    try:
        os.replace(fresh, path)
    except BaseException:
        fresh.unlink()
        raise


def _write(path: Path, text: str, mode: int | None) -> None:
    """``None``: as new files are."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666 if mode is None else 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(text)
    except BaseException:
        path.unlink()
        raise
