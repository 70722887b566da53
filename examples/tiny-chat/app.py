"""The model server of tiny-chat: a streamed chat API, a health check and a chat page.

By hand: pip install -r requirements.txt; uvicorn --app-dir examples/tiny-chat app:app --port 8000
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import emoji
from fastapi import FastAPI
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field
from tiny_model import TinyModel

FOLDER = Path(os.environ.get("BACKEND_MODEL_PATH") or Path(__file__).resolve().parent)
PACE = float(os.environ.get("TINY_CHAT_PACE", "0.02"))  # seconds from word to word: it is to look like thinking

app = FastAPI(title="tiny-chat")
model = TinyModel.load(FOLDER / "weights.json")


class Message(BaseModel):
    role: str
    content: str = Field(max_length=20_000)


class ChatRequest(BaseModel):
    messages: list[Message] = Field(min_length=1, max_length=200)


async def spoken(questions: list[str]) -> AsyncIterator[str]:
    for n, word in enumerate(model.reply(questions)):
        if n:
            await asyncio.sleep(PACE)
        yield (" " if n else "") + emoji.emojize(word, language="alias")


@app.post("/api/chat")
async def chat(request: ChatRequest) -> StreamingResponse:
    questions = [message.content for message in request.messages if message.role == "user"]
    return StreamingResponse(spoken(questions or [request.messages[-1].content]), media_type="text/plain")


@app.get("/health")
async def health() -> dict[str, object]:
    return {"healthy": True, "sequences": model.size}


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(FOLDER / "index.html")
