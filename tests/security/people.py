"""Who comes: one token for each column of the matrix, made as people and programs get theirs."""

from __future__ import annotations

from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.testing.hub import FakeHub
from jupyter_model_service.testing.site import Site

USERS = ("alice", "oscar", "vera", "carol", "gina", "mallory", "audra", "admin")
COLUMNS = (
    "anonymous",
    "owner",  # alice, from her notebook
    "limited",  # alice, by a token that may access this service and nothing else
    "operator",  # oscar
    "viewer",  # vera
    "caller",  # carol
    "member",  # gina, of a group with which it is shared for calling
    "other",  # mallory
    "admin",
    "replica",  # the Hub's token for the server that a replica of alice's runs as, had it been left there
    "expired",  # alice's, at the Hub
    "revoked",  # an endpoint token of the service that was let in before
    "foreign",  # an endpoint token of a service of mallory's
    "token",  # an endpoint token of alice/chat
    "unknown",  # no token of anybody's
    "auditor",  # audra, by a token that reads the audit log of everything
)
#: Who comes with the cookie of a visit, all of alice/chat but for ``elsewhere``.
VISITORS = (
    "visitor",  # carol, with whom it is shared
    "owner",
    "stranger",  # mallory, with whom it is not
    "elsewhere",  # carol's visit of alice/open
    "ended",  # carol's, who has signed out at the Hub
    "late",  # … of yesterday
    "forged",  # sealed with another key
    "session",  # of our own pages, by another name
)
#: alice/own is private, alice/chat is shared, alice/open is public; mallory/hers is there for its token.
PRIVATE, SHARED, PUBLIC = "own", "chat", "open"


def people() -> FakeHub:
    hub = FakeHub(users=USERS, interrupt=0.02)
    hub.users["gina"].groups = ("class",)
    hub.users["admin"].admin = True
    return hub


async def everybody(site: Site) -> dict[str, str | None]:
    """The services are made and shared, and everybody's token is there; by column."""
    alice, mallory = site.notebook("alice"), site.notebook("mallory")
    for name in (PRIVATE, SHARED, PUBLIC):
        await site.deploy(name, alice, public=name == PUBLIC)
    await site.deploy("hers", mallory)
    for place, role in (("user/oscar", "operator"), ("user/vera", "viewer"), ("user/carol", "caller")):
        await _share(site, alice, place, role)
    await _share(site, alice, "group/class", "caller")
    return {
        "anonymous": None,
        "owner": alice,
        "limited": site.visitor("alice"),
        "operator": site.notebook("oscar"),
        "viewer": site.notebook("vera"),
        "caller": site.notebook("carol"),
        "member": site.notebook("gina"),
        "other": mallory,
        "admin": site.administrator(),
        "replica": site.of_a_replica("alice", "ms-chat-abc123"),
        "expired": site.expired("alice"),
        "revoked": await _revoked(site, alice),
        "foreign": (await _token(site, mallory, "mallory/hers"))["token"],
        "token": (await _token(site, alice, f"alice/{SHARED}"))["token"],
        "unknown": "0123456789abcdef0123456789abcdef",
        "auditor": site.auditor("audra"),
    }


async def visitors(site: Site) -> dict[str, str]:
    """The cookie of each, after :func:`everybody`."""
    found = (await site.api("GET", "services", token=site.administrator())).json()["services"]
    ids = {f"{each['owner']}/{each['name']}": each["id"] for each in found}
    chat, carol, gone = ids[f"alice/{SHARED}"], site.visitor("carol"), site.visitor("carol")
    site.sign_out("carol", gone)
    session = site.signed_in(carol).partition(";")[0].partition("=")[2]
    visit = site.visit(chat, carol)
    return {
        "visitor": visit,
        "owner": site.visit(chat, site.visitor("alice")),
        "stranger": site.visit(chat, site.visitor("mallory")),
        "elsewhere": site.visit(ids[f"alice/{PUBLIC}"], carol),
        "ended": site.visit(chat, gone),
        "late": site.visit(chat, carol, seconds=-1.0),
        "forged": site.visit(chat, carol, key=new_key()),
        "session": f"{visit.partition('=')[0]}={session}",
    }


async def _share(site: Site, owner: str, place: str, role: str) -> None:
    answer = await site.api("PUT", f"services/alice/{SHARED}/access/{place}", {"role": role}, token=owner)
    assert answer.status_code == 200, answer.text


async def _token(site: Site, owner: str, service: str) -> dict[str, str]:
    answer = await site.api("POST", f"services/{service}/tokens", {"name": "a program"}, token=owner)
    assert answer.status_code == 201, answer.text
    made: dict[str, str] = answer.json()
    return made


async def _revoked(site: Site, owner: str) -> str:
    made = await _token(site, owner, f"alice/{SHARED}")
    assert (await site.call(f"alice/{SHARED}", made["token"])).status_code == 503, "let in, and there is no replica"
    gone = await site.api("DELETE", f"services/alice/{SHARED}/tokens/{made['id']}", token=owner)
    assert gone.status_code == 204, gone.text
    return made["token"]
