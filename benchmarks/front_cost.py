"""What one call costs the front itself, of two or more checkouts in turn:

    python benchmarks/front_cost.py before=../before after=. [--log] [--core 1] [--rounds 60]

A front with four replicas, an endpoint token and metrics serves 32 connections between fake sockets, so that no
kernel and no other process takes part. Of each checkout three processes (with other hashes, and so other places in
memory) do short rounds in random order on one core; the least of their CPU times hardly sees what else the machine
does. ``--log``: calls are noted for the access log, too, and not written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOKEN = "jms_" + "t" * 43
CALL = b"GET /endpoints/o/s/ HTTP/1.1\r\nHost: 127.0.0.1:1234\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nContent-Length: 57\r\n\r\n" + b"x" * 57
CALLERS, TURNS, PROCESSES = 32, 20, 3  # a round is CALLERS x TURNS calls


class Socket:
    """As far as the front sees one; what is written goes to ``then``."""

    def __init__(self, then: Any) -> None:
        self.write = then

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 5) if name == "peername" else None

    def nothing(self) -> None: ...

    pause_reading = resume_reading = close = abort = nothing


async def child(log: bool) -> None:
    """A round for each line that comes, and its nanoseconds per call."""
    from jupyter_model_service.adapters.clock import SystemClock
    from jupyter_model_service.adapters.metrics import PrometheusMeter
    from jupyter_model_service.core.definition import Serving
    from jupyter_model_service.core.routing import Backend, Endpoint, RoutingTable
    from jupyter_model_service.engine.tokens import EndpointTokens, digest_of
    from jupyter_model_service.front.access_log import AccessLog
    from jupyter_model_service.front.downstream import Downstream
    from jupyter_model_service.front.server import Front, FrontSettings
    from jupyter_model_service.front.upstream import Upstream
    from jupyter_model_service.ports import TokenRecord
    from jupyter_model_service.testing import MemoryStore

    clock, routing, noted = SystemClock(), RoutingTable(), AccessLog() if log else None
    backends = [Backend(f"s-{number}", 1, "127.0.0.1", 9) for number in range(4)]
    routing.put(Endpoint("o", "s", False, Serving(), backends, wanted=True))
    counting: dict[str, Any] = {}
    store = MemoryStore()
    with contextlib.suppress(ImportError):  # a checkout of before calls were counted
        from jupyter_model_service.engine.uses import Uses

        counting["tally"] = Uses(store, clock).token
    tokens = EndpointTokens(store, clock, {}, **counting)
    tokens._add(TokenRecord("t", "s", "benchmark", digest_of(TOKEN)), "o/s")
    known: dict[str, Any] = {"identity": tokens}
    with contextlib.suppress(ImportError):  # a checkout of before one class said whose a token is
        from jupyter_model_service.engine.callers import Callers

        known = {"callers": Callers(tokens, clock)}
    front = Front(
        routing=routing,
        **known,
        meter=PrometheusMeter(routing=routing, services=list, clock=clock),
        web_socket="",
        settings=FrontSettings(pool_idle=1e6, keep_alive=1e6),
        access_log=noted,
    )
    asked: list[Upstream] = []
    answers: list[bytes] = []
    callers = [Downstream(front) for _ in range(CALLERS)]
    for caller in callers:
        caller.connection_made(Socket(answers.append))  # type: ignore[arg-type]
    for backend in backends:
        pool = front.pool(backend)
        for _ in range(CALLERS):
            replica = Upstream(pool)
            replica.connection_made(Socket(lambda _, replica=replica: asked.append(replica)))  # type: ignore[arg-type]
            replica.idle_since = time.monotonic()
            pool._idle.append(replica)

    async def turns(number: int) -> None:
        for _ in range(number):
            for caller in callers:
                caller.data_received(CALL)
            await asyncio.sleep(0)
            waiting, asked[:] = asked[:], []
            for replica in waiting:
                replica.data_received(ANSWER)
            await asyncio.sleep(0)
            assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * CALLERS, answers
            answers.clear()
        if noted is not None:
            noted.entries.clear()

    await turns(300)
    for _ in sys.stdin:
        await turns(5)
        before = time.thread_time_ns()
        await turns(TURNS)
        print((time.thread_time_ns() - before) / (TURNS * CALLERS), flush=True)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--log", action="store_true")
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        import uvloop

        uvloop.run(child(given.log))
        return
    os.sched_setaffinity(0, {given.core})
    command = [sys.executable, __file__, "--child", *(["--log"] if given.log else [])]
    folders = dict(text.split("=", 1) for text in given.checkouts)
    each: list[tuple[str, Any, list[float]]] = []
    for name, folder in folders.items():
        for number in range(PROCESSES):
            found = {**os.environ, "PYTHONPATH": str(Path(folder).resolve()), "PYTHONHASHSEED": str(number)}
            pipe = subprocess.PIPE
            each.append((name, subprocess.Popen(command, env=found, stdin=pipe, stdout=pipe, text=True), []))
    for _ in range(given.rounds):
        for _, process, times in random.sample(each, len(each)):
            process.stdin.write("\n")
            process.stdin.flush()
            times.append(float(process.stdout.readline()))
    for _, process, _ in each:
        process.stdin.close()
        process.wait()
    first = None
    for name in folders:
        least = statistics.mean(min(times) for whose, _, times in each if whose == name) / 1000
        first = first or least
        print(f"{name:12} {least:6.2f} µs per call, {least / first:.3f} of {next(iter(folders))}")


if __name__ == "__main__":
    main()
