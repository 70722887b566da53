"""What it costs to decide whether a call may go on, when its token is known already.

    python benchmarks/access.py            # a table; status 1 where a decision takes more than 5 µs
    python benchmarks/access.py --limit 3
    python benchmarks/access.py --runs 1   # whether it works: that says nothing of what it costs, nor does its status

A decision is what the front does for each call: the Authorization header is looked at for its token, the token's
caller is found, and the caller is judged for one service: with the call's path and its headers (those of OpenAI's
program) where the token is for some paths, and counted where it has limits. The parts are the gateway's own, among
1,000 tokens and 1,000 shares; only the Hub is not asked, since each token was met a moment before. Of several runs the
one with the least counts, as what the work itself takes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.hub_identity import HubIdentity
from jupyter_model_service.adapters.hub_models import HubUser
from jupyter_model_service.adapters.hub_users import Met
from jupyter_model_service.adapters.key_file import new_key
from jupyter_model_service.adapters.visits import SealedVisits
from jupyter_model_service.core.access import denied
from jupyter_model_service.core.definition import Definition, Serving
from jupyter_model_service.core.forwarding import bearer_token
from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.message import RequestHead
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.routing import Endpoint
from jupyter_model_service.core.sharing import Share, Sharing
from jupyter_model_service.core.visits import visit_said
from jupyter_model_service.engine.tokens import EndpointTokens
from jupyter_model_service.ports import Identity, ServiceRecord
from jupyter_model_service.testing import MemoryStore

LIMIT = 5.0  # µs
MANY = 1_000
CALLS, RUNS = 1_000, 200
SYSTEM = "model-service-tokens"
FETCH = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
HEADERS = [
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"OpenAI/Python 2.8.1"),
    *((f"X-Stainless-{name}".encode(), b"x") for name in ("Arch", "Async", "Lang", "OS", "Package-Version", "Runtime")),
    (b"X-Stainless-Read-Timeout", b"600"),
    (b"X-Stainless-Retry-Count", b"0"),
]
VISITS = frozenset({"access:services!service=model-service"})


class Known:
    """A Hub that knows these tokens."""

    def __init__(self, users: dict[str, HubUser]) -> None:
        self._users = users

    async def user_of(self, token: str, *, patience: float = 0.0) -> HubUser | None:
        return self._users.get(token)


async def met(name: str, *, within: float) -> Met:
    return Met(True, "2026-01-01", time.monotonic())


def decide(identity: Identity, head: RequestHead, endpoint: Endpoint) -> bool:
    token = bearer_token(head.authorization)
    caller = None if token is None else identity.known(token)
    if denied(caller, endpoint, False, head, head.target) is not None:
        return False
    if caller is None or caller.allowance is None:
        return True
    if caller.allowance.admit(time.monotonic_ns(), time.time()) is not None:
        return False
    caller.allowance.release(0.1)
    return True


def service(sharing: Sharing) -> Endpoint:
    return Endpoint("alice", "chat", False, Serving(), sharing=sharing)


async def endpoint_tokens(
    rules: tuple[PathRule, ...] = (), limits: Limits | None = None
) -> tuple[EndpointTokens, list[str]]:
    store = MemoryStore()
    record = ServiceRecord("s", "alice", "chat", False, True, 1, 1, None, 0.0)
    await store.add_service(record, Revision(1, "/m", Definition("m", "/m", 8000), 0.0))
    tokens = EndpointTokens(store, SystemClock(), {})
    made = [(await tokens.generate("s", "alice/chat", f"t{n}", None, limits, rules=rules))[1] for n in range(MANY)]
    return tokens, made


def visited(visits: SealedVisits, identity: Identity, head: RequestHead, endpoint: Endpoint) -> bool:
    """As the front does for each call of somebody who has signed in to a service's pages, whose head is a new one."""
    head.visit = None
    sealed = visit_said(head, "https://chat--alice.models.example.org")
    visit = None if sealed is None else visits.known(sealed)
    caller = None if visit is None else identity.known(visit.token)
    return denied(caller, endpoint, True, head, b"/ask") is None


def visitor() -> tuple[SealedVisits, RequestHead]:
    """One of a thousand, who has signed in to the page of a service that is shared with her, and its script calls."""
    visits = SealedVisits(new_key(), SystemClock())
    sealed = [visits.seal("s", f"token-{n}", time.time() + 3600.0) for n in range(MANY)]
    for each in sealed:
        visits.resolve(each)
    said = {"Accept": "*/*", "Accept-Language": "en", "Referer": "https://chat--alice.models.example.org/", **FETCH}
    headers = [(name.encode(), value.encode()) for name, value in said.items()]
    cookies = [f"theme=dark; __Host-model-service-visit={sealed[500]}".encode()]
    return visits, RequestHead(b"POST", 11, b"/ask", headers=headers, cookies=cookies)


class Case(NamedTuple):
    """``wanted`` has to come out. ``most``: how many times the limit it may take, as it is of several kinds at once."""

    identity: Identity
    token: str
    endpoint: Endpoint
    wanted: bool
    target: bytes = b"/ask"
    most: float = 1.0


async def cases() -> dict[str, Case]:
    own, made = await endpoint_tokens()
    limits = Limits(calls_per_second=1_000_000.0, in_flight=10, calls_per_day=1_000_000_000_000)
    limited, few = await endpoint_tokens(limits=limits)
    one, path = await endpoint_tokens((PathRule("/ask", ("POST",)),))
    below, tree = await endpoint_tokens((PathRule("/v1/*", ("POST",)),))
    rules = tuple(PathRule(f"/v1/models/{n}/*", ("GET", "POST")) for n in range(20))
    many, paths = await endpoint_tokens(rules)
    all_of_it, each = await endpoint_tokens(rules, limits)
    groups = tuple(f"g{n}" for n in range(20))
    users = {f"token-{n}": HubUser(f"user{n}", scopes=VISITS, groups=groups) for n in range(MANY)}
    users["alices"] = HubUser("alice", scopes=frozenset({"access:servers!server=alice/"}))
    hub = HubIdentity(Known(users), SystemClock(), endpoints=own, system_user=SYSTEM, meet=met)
    for token in users:
        await hub.resolve(token)
    people = Sharing({f"user{n}": Share("user", f"user{n}") for n in range(MANY)})
    classes = Sharing({}, {f"g{n}": Share("group", f"g{n}") for n in range(MANY)})
    nobody = Sharing({}, {f"h{n}": Share("group", f"h{n}") for n in range(MANY)})
    alone = service(Sharing())
    last = b"/v1/models/19/caf%C3%A9?limit=20"
    return {
        "a token of the endpoint": Case(own, made[500], alone, True),
        "… with limits": Case(limited, few[500], alone, True),
        "… for one path": Case(one, path[500], alone, True),
        "… for all below one, called as caf%C3%A9": Case(below, tree[500], alone, True, b"/v1/caf%C3%A9"),
        "… for 20 paths, of which the last one counts": Case(many, paths[500], alone, True, b"/v1/models/19/x"),
        "… for these, limited, as caf%C3%A9?limit=20": Case(all_of_it, each[500], alone, True, last, 1.5),
        "… for these, and the call is for no such path": Case(many, paths[500], alone, False, b"/v1/models/20/x"),
        "the owner's token of the Hub": Case(hub, "alices", alone, True),
        "shared with the user": Case(hub, "token-500", service(people), True),
        "shared with one of her 20 groups": Case(hub, "token-500", service(classes), True),
        "shared with others, she is in 20 groups": Case(hub, "token-500", service(nobody), False),
        "a token that nobody has": Case(hub, "token-none", service(people), False),
    }


def microseconds(work: Callable[[], Any], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        best = min(best, time.perf_counter() - began)
    return best / CALLS * 1e6


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=LIMIT, help="µs that a decision may take")
    parser.add_argument(
        "--runs", type=int, default=RUNS, help=f"of {CALLS:,} decisions; fewer than {RUNS} judge nothing"
    )
    given = parser.parse_args(argv)
    limit = given.limit if given.runs >= RUNS else float("inf")
    over, found = 0, asyncio.run(cases())
    hub, _, shared, *_ = found["shared with the user"]
    visits, head = visitor()
    if not visited(visits, hub, head, shared):
        raise SystemExit("a visitor's decision is wrong, so that its cost says nothing")
    cost = microseconds(lambda: visited(visits, hub, head, shared), given.runs)
    over += cost > limit
    print(f"{'signed in to its page':46} {cost:6.2f} µs{'  more than ' + format(limit, 'g') if cost > limit else ''}")
    for name, (identity, token, endpoint, wanted, target, most) in found.items():
        head = RequestHead(b"POST", 11, target, headers=HEADERS, authorization=[b"Bearer " + token.encode()])
        if decide(identity, head, endpoint) is not wanted:
            raise SystemExit(f"{name}: the decision is wrong, so that its cost says nothing")
        cost = microseconds(lambda i=identity, h=head, e=endpoint: decide(i, h, e), given.runs)  # type: ignore[misc]
        over += cost > limit * most
        print(f"{name:46} {cost:6.2f} µs{'  more than ' + format(limit * most, 'g') if cost > limit * most else ''}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
