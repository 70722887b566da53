"""What ``serving.affinity`` is worth to a language model: how much of its prompts it has in its cache, by how calls
find their replica.

A simulation, the same each time: the gateway's own choice (``core/affinity.py``, ``core/balance.py``,
``core/prompt.py``) for invented conversations on invented replicas, each with a prefix cache as vLLM has one (blocks of
16 tokens, the least recently used leave). A word is a token here.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from jupyter_model_service.core import affinity, balance, prompt
from jupyter_model_service.core.affinity import Affinity
from jupyter_model_service.core.routing import Backend

BLOCK = 16
PREFILL = 0.0002  # seconds for a token of a prompt that is not in the cache
DECODE = 0.02  # for one of the answer
WAYS = {
    "least busy (no affinity)": None,
    "prefix": Affinity("prefix", None, affinity.CHARACTERS, affinity.BOUND),
    "prefix, characters: 400 (only the system prompt)": Affinity("prefix", None, 400, affinity.BOUND),
    "prefix, bound: 100 (none)": Affinity("prefix", None, affinity.CHARACTERS, 100.0),
}


@dataclass
class Conversation:
    messages: list[dict[str, str]]
    turns: int


@dataclass
class Cache:
    """Of one replica; ``blocks`` are named by all that stands before their end."""

    size: int
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def read(self, tokens: list[str]) -> int:
        """How many of the first ones were there; all of them are afterwards."""
        names, name = [], 0
        for at in range(0, len(tokens) - BLOCK + 1, BLOCK):
            name = hash((name, *tokens[at : at + BLOCK]))
            names.append(name)
        found = next((n for n, name in enumerate(names) if name not in self.blocks), len(names))
        for name in reversed(names):  # the last ones leave first
            self.blocks[name] = None
            self.blocks.move_to_end(name)
        while len(self.blocks) > self.size:
            self.blocks.popitem(last=False)
        return found * BLOCK


def words(random: Random, number: int) -> str:
    return " ".join(f"{random.getrandbits(20):05x}" for _ in range(number))


def arrivals(random: Random, options: argparse.Namespace) -> Iterator[tuple[float, int, Conversation]]:
    systems = [words(random, random.randint(100, 800)) for _ in range(options.systems)]
    now = 0.0
    for number in range(options.conversations):
        now += random.expovariate(options.rate)
        which = min(int(random.paretovariate(1.0)) - 1, len(systems) - 1)  # the first one is half of them
        turns = min(1 + int(random.expovariate(1 / 5)), 20)
        yield now, number, Conversation([{"role": "system", "content": systems[which]}], turns)


def simulate(wish: Affinity | None, options: argparse.Namespace) -> tuple[float, float, float]:
    """The share of the prompts' tokens that was in a cache; the mean seconds of prefill; how many calls the busiest
    replica had at once, in means of all of them at that moment, on average over the calls."""
    random = Random(options.seed)
    backends = [Backend(f"chat-{n}", 1, "", 0) for n in range(options.replicas)]
    caches = {backend.replica: Cache(options.cache // BLOCK) for backend in backends}
    events: list[tuple[float, int, Conversation | Backend]] = list(arrivals(random, options))
    heapq.heapify(events)
    order, calls, read, known, first, crowd = len(events), 0, 0, 0, 0.0, 0.0
    while events:
        now, _, what = heapq.heappop(events)
        if isinstance(what, Backend):
            what.in_flight -= 1
            continue
        what.messages.append({"role": "user", "content": words(random, random.randint(10, 150))})
        body = json.dumps({"model": "m", "messages": what.messages}).encode()
        key = b""
        if wish is not None:
            key = affinity.digest(prompt.beginning(body, wish.characters or 0, whole=True) or b"")
        backend = affinity.pick(wish, key, backends, now, None) if wish else balance.pick(backends, now, None)
        assert backend is not None
        backend.in_flight += 1
        backend.started += 1
        tokens = " ".join(message["content"] for message in what.messages).split()
        there = caches[backend.replica].read(tokens)
        answer = random.randint(50, 300)
        wait = (len(tokens) - there) * PREFILL
        calls, read, known, first = calls + 1, read + len(tokens), known + there, first + wait
        busy = [each.in_flight for each in backends]
        crowd += max(busy) * len(busy) / sum(busy)
        end = now + wait + answer * DECODE
        heapq.heappush(events, (end, order, backend))
        what.messages.append({"role": "assistant", "content": words(random, answer)})
        what.turns -= 1
        if what.turns:
            heapq.heappush(events, (end + random.expovariate(1 / 20), order + 1, what))
        order += 2
    return known / read, first / calls, crowd / calls


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--cache", type=int, default=100_000, help="tokens that a replica's cache holds")
    parser.add_argument("--conversations", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=2.0, help="new ones per second")
    parser.add_argument("--systems", type=int, default=50, help="different system prompts")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def main() -> None:
    options = parser().parse_args()
    print("| a call goes to | of its prompt in the cache | mean time of prefill | busiest replica, of the mean |")
    print("| --- | --- | --- | --- |")
    for name, wish in WAYS.items():
        share, first, crowd = simulate(wish, options)
        print(f"| {name} | {share:.0%} | {first * 1000:.0f} ms | {crowd:.2f} × |")


if __name__ == "__main__":
    main()
