"""What stands before the gateway of `make hub` where people open the pages of services."""

from __future__ import annotations

import asyncio
import socket
import threading


class Ingress(threading.Thread):
    """What stands before a site's endpoints: it passes connections at ``port`` of this machine on to the gateway.

    Browsers take every name below ``localhost`` for this machine, so that no DNS and no TLS is needed to show what a
    site has at ``https://*.models.example.org``: a host for each service, where its pages have an origin of their own.

    It calls from 127.0.0.1, as those whom it passes on do. At the address that is taken by default the gateway believes
    the Hub's proxy, and there each of them could say that she is somebody else: this passes on what they say of it.
    """

    def __init__(self, port: int, address: str, gateway: int) -> None:
        super().__init__(name="ingress", daemon=True)
        self.gateway = address, gateway
        self.bound = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = int(self.bound.getsockname()[1])

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._pass_on, sock=self.bound) as server:
            await server.serve_forever()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self.gateway, local_addr=("127.0.0.1", 0))
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except OSError:
            writer.close()  # the gateway is not up, or one of the two has gone

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
