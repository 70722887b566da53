"""Who may do what with a service, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..commands.grammar import PROGRAM
from ..commands.results import AccessResult
from .text import Paint, clean, columns, moment
from .tokens import limits

Json = Mapping[str, Any]

#: What stands above the columns of :func:`cells`.
COLUMNS = ("Kind", "Name", "Role", "Limits for each", "Shared", "By")


def access_page(result: AccessResult, paint: Paint) -> str:
    told = result.access
    lines = [f"{clean(result.service)} is {told['visibility']}."]
    if said := forbidden(told):
        lines.append(clean(said))
    lines += [clean(sentence) for sentence in told["always"]]
    if told["origins"]:
        lines.append(clean(origins(told["origins"])))
    if (person := told.get("person")) is not None:
        lines += ["", f"{clean(person['name'])}: {person_role(person)}"]
        lines += [f"  {clean(why)}" for why in person["why"]]
    if told["shares"]:
        rows = [[clean(cell) for cell in cells(share)] for share in told["shares"]]
        lines += ["", columns([each.upper() for each in COLUMNS], rows, paint)]
        lines += [clean(former(share)) for share in told["shares"] if share.get("former")]
    elif result.people:
        lines += ["", f"It is shared with nobody: {PROGRAM} share {clean(result.service)} --user USER does that."]
    else:
        generate = f"{PROGRAM} generate-token {clean(result.service)}"
        lines += ["", f"There is nobody here to share it with: {generate} lets a program call it."]
    return "\n".join(lines)


def forbidden(told: Json) -> str:
    """Whether, and by whom, it may not be made public."""
    if told["public_allowed"]:
        return ""
    return f"It may not be made public: so says {told['set_by'] or 'the administrator'}."


def origins(listed: Iterable[str]) -> str:
    return f"Pages of {', '.join(listed)} may call it from a browser, with a token."


def former(share: Json) -> str:
    """Of a share that lets nobody in any more."""
    name = share["name"]
    return f"{name} (former) was deleted, and another user has the name: unshare --user {name} takes it back."


def person_role(person: Json) -> str:
    # Administrators and holders of scopes may more, as a sentence above says; who they are, owners are not told.
    role = str(person["role"] or "nothing by a share")
    # A gateway of before that told it tells none.
    return f"{role}, and {perhaps} if in such a group" if (perhaps := person.get("perhaps")) else role


def cells(share: Json) -> list[str]:
    """One row of a table."""
    return [
        share["kind"],
        f"{share['name']} (former)" if share.get("former") else share["name"],  # an older gateway does not say
        share["role"],
        limits(share) or "-",
        moment(share["created_at"]),
        share["created_by"] or "-",
    ]


def role(service: Json) -> str:
    """Hers who asked: a gateway that tells none has one user."""
    return str(service.get("role") or "owner")


def visibility(service: Json) -> str:
    """In one word: private, shared or public. Of what one may only call it is not told; but that is shared."""
    if "public" not in service:
        return "shared"
    return "public" if service["public"] else str(service.get("visibility") or "private")


def fact(service: Json) -> str:
    said = {
        "private": "private: with a token",
        "shared": "shared: with a token, and for those whom it is shared with",
        "public": "public",
    }
    mine = role(service)
    yours = "" if mine == "owner" else f"; you are its {mine}"
    return said.get(visibility(service), visibility(service)) + yours
