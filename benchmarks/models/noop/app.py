"""The trivial work that serving systems are compared on: a no-op answer, a 0.1 s one, and a stream of events.

Event streams carry the server's clock, so that a caller on the same machine can tell how long each took.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/health")
async def health() -> dict[str, bool]:
    return {"healthy": True}


@app.post("/noop")
async def noop() -> dict[str, object]:
    return {"model": "noop", "pid": os.getpid(), "version": 1, "y": [0.25, 0.5]}


@app.post("/slow")
async def slow() -> dict[str, object]:
    await asyncio.sleep(0.1)
    return {"model": "noop", "pid": os.getpid(), "version": 1, "y": [0.25, 0.5]}


@app.get("/events")
async def events(count: int = 50, per_second: float = 20.0) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for number in range(count):
            await asyncio.sleep(1 / per_second)
            yield f"data: {number} {time.time():.7f}\n\n".encode()

    return StreamingResponse(body(), media_type="text/event-stream")
