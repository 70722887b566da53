"""The front alone, with as many services and replicas in its table as asked; ``front.py`` starts it and calls it.

Tokens, metrics and balancing are the gateway's own; only the engine is not there, as 10,000 replicas would need one
process each. They share the upstream's port here, and each has its own connections.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

from front_upstream import HOSTS

from jupyter_model_service.adapters.clock import SystemClock
from jupyter_model_service.adapters.metrics import PrometheusMeter
from jupyter_model_service.core.access import Caller
from jupyter_model_service.core.definition import Serving
from jupyter_model_service.core.routing import Backend, Endpoint, RoutingTable
from jupyter_model_service.engine.callers import Callers
from jupyter_model_service.engine.tokens import EndpointTokens, digest_of
from jupyter_model_service.front.server import Front
from jupyter_model_service.testing import MemoryStore

TOKEN = "jms_benchmark"


def routes(services: int, replicas: int, port: int) -> RoutingTable:
    table = RoutingTable()
    for number in range(services):
        hosts = [HOSTS[(number * replicas + each) % len(HOSTS)] for each in range(replicas)]
        backends = [Backend(f"s{number}-{each}", 1, host, port) for each, host in enumerate(hosts)]
        table.put(Endpoint("o", f"s{number}", False, Serving(), backends, wanted=True))
    return table


async def serve(services: int, replicas: int, behind: int) -> None:
    clock = SystemClock()
    routing = routes(services, replicas, behind)
    caller = Caller("token:benchmark", invokes_of=frozenset({"o"}))
    front = Front(
        routing=routing,
        callers=Callers(EndpointTokens(MemoryStore(), clock, {digest_of(TOKEN): caller}), clock),
        meter=PrometheusMeter(routing=routing, services=list, clock=clock),
        web_socket="",
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await front.start(listening)
    print(listening.getsockname()[1], flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await front.stop(0)


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, required=True)
    parser.add_argument("--replicas", type=int, required=True)
    parser.add_argument("--behind", type=int, required=True, help="the port of what answers")
    given = parser.parse_args()
    uvloop.run(serve(given.services, given.replicas, given.behind))


if __name__ == "__main__":
    main()
