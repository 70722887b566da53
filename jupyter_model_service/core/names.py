"""Names that stand in URLs: of services and of their owners.

A service's name is the same in every mode, so it obeys the narrowest: on a hub it becomes part of a named
server's name and of a host name, where only lower-case letters, digits and single hyphens are safe.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ..errors import InvalidRequest

MAX_SERVICE_NAME = 20
SERVICE_NAME_PATTERN = r"(?!.{21})[a-z][a-z0-9]*(-[a-z0-9]+)*"  # to be matched whole; also valid in JSON Schema

# Host names and first path steps that belong to the gateway, where each service may have a host of its own.
RESERVED_SERVICE_NAMES = frozenset({"api", "endpoints", "health", "hub", "metrics", "v1", "www"})

_FALLBACK = "model"


def check_service_name(name: str) -> None:
    """Raises ``InvalidRequest`` with one sentence that says what is wrong with ``name``."""
    if name in RESERVED_SERVICE_NAMES:
        raise InvalidRequest(f'The service name "{name}" is reserved; choose another, such as "{name}-{_FALLBACK}".')
    if re.fullmatch(SERVICE_NAME_PATTERN, name):
        return
    if not name:
        raise InvalidRequest('The service name is empty; give one such as "tiny-chat".')
    if len(name) > MAX_SERVICE_NAME:
        problem = f"is {len(name)} characters long, and {MAX_SERVICE_NAME} are the most"
    elif not re.match("[a-z]", name):
        problem = "must begin with a lower-case letter"
    elif re.search("[^a-z0-9-]", name):
        problem = "must have only lower-case letters, digits and hyphens"
    else:
        problem = "must have hyphens only one by one between letters and digits"
    raise InvalidRequest(f'The service name "{_short(name)}" {problem}; "{service_name_from(name)}" would do.')


def is_service_name(name: str) -> bool:
    """Whether it has the form of one; reserved ones have, too."""
    return re.fullmatch(SERVICE_NAME_PATTERN, name) is not None


def service_name_from(model_name: str) -> str:
    """The default name of a service for a model: always valid, ``model`` when nothing of the name can be kept."""
    slug = _slug(model_name)
    if slug and not slug[0].isalpha():
        slug = f"{_FALLBACK}-{slug}"  # 7b-chat: model-7b-chat
    if len(slug) > MAX_SERVICE_NAME:
        # A name is cut between words if that keeps at least half of what may stay.
        cut = slug[: MAX_SERVICE_NAME + 1].rfind("-")
        slug = slug[: cut if cut >= MAX_SERVICE_NAME // 2 else MAX_SERVICE_NAME].rstrip("-")
    if not slug:
        return _FALLBACK
    return f"{slug}-{_FALLBACK}" if slug in RESERVED_SERVICE_NAMES else slug


def owner_from(user: str) -> str:
    """What stands for ``user`` in URLs. A name of letters, digits and inner ``._-`` stays as it is; any other
    becomes a slug with 64 bits of the name's hash behind a tilde, which no name has that stays as it is: nobody gets
    another user's owner by choosing a name, nor by trying some billions."""
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", user):
        return user
    digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_slug(user)[:40].strip('-') or 'user'}~{digest}"


def _slug(text: str) -> str:
    """ASCII, lower case, words joined by single hyphens: ``KoAlpaca-5.8B-model`` → ``koalpaca-5-8b-model``."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii").lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _short(name: str) -> str:
    """A wrong name may be anything; it is quoted so that the sentence stays one readable line."""
    readable = "".join(c if c.isprintable() else "?" for c in name)
    return readable if len(readable) <= 40 else readable[:37] + "..."
