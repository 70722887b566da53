"""챗코알파카(ChatKoAlpaca)의 API 서버: 대화 API, 상태 확인, 대화 화면. / The API server of the tutorial's chatbot."""

import importlib.util
import os
from typing import Any, List

import torch
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, pipeline

KOALPACA_MODEL = os.environ["BACKEND_MODEL_PATH"]

torch.set_printoptions(precision=6)

app = FastAPI()

# transformers 5 dropped `load_in_8bit=True`; this is what took its place. Eight bits need a GPU and bitsandbytes.
EIGHT_BIT = torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes") is not None

model = AutoModelForCausalLM.from_pretrained(
    KOALPACA_MODEL,
    device_map="auto",
    quantization_config=BitsAndBytesConfig(load_in_8bit=True) if EIGHT_BIT else None,
)

pipe = pipeline(
    "text-generation",
    model=model,
    tokenizer=KOALPACA_MODEL,
)


class Message(BaseModel):
    role: str
    content: str


class ChatRequest(BaseModel):
    messages: List[Message]


BASE_CONTEXTS = [
    Message(
        role="맥락",
        content="KoAlpaca(코알파카)는 EleutherAI에서 개발한 Polyglot-ko 라는 한국어 모델을 기반으로, "
        "자연어 처리 연구자 Beomi가 개발한 모델입니다.",
    ),
    Message(role="맥락", content="ChatKoAlpaca(챗코알파카)는 KoAlpaca를 채팅형으로 만든 것입니다."),
    Message(role="명령어", content="친절한 AI 챗봇인 ChatKoAlpaca 로서 답변을 합니다."),
    Message(
        role="명령어",
        content="인사에는 짧고 간단한 친절한 인사로 답하고, 아래 대화에 간단하고 짧게 답해주세요.",
    ),
]

# How the roles of a chat API are called in the prompt that the model was trained with.
ROLES = {"user": "질문", "assistant": "답변", "system": "명령어"}

LAST_MESSAGES = 20


def preprocess_messages(messages: List[Message]) -> List[Message]:
    """The base contexts, then the last messages with the prompt's own names for the roles."""
    recent = [
        Message(role=ROLES.get(message.role, message.role), content=message.content.strip())
        for message in messages[-LAST_MESSAGES:]
    ]
    return BASE_CONTEXTS + [message for message in recent if message.content]


def flatten_messages(messages: List[Message]) -> str:
    """One prompt: a paragraph for each message, and the beginning of the answer that the model is to write."""
    paragraphs = [f"### {message.role}: {message.content}" for message in messages]
    return "\n\n".join([*paragraphs, "### 답변:"])


def postprocess(answer: List[Any]) -> str:
    """The answer alone: a model that goes on with the next paragraph of the dialogue is cut there."""
    text = answer[0]["generated_text"].split("###")[0].strip()
    return text or "죄송해요, 답변을 만들지 못했어요."


@app.post("/api/chat")
async def chat(req: ChatRequest) -> StreamingResponse:
    messages = preprocess_messages(req.messages)
    conversation_history = flatten_messages(messages)
    ans = pipe(
        conversation_history,
        do_sample=True,
        max_new_tokens=512,
        temperature=0.7,
        top_p=0.9,
        return_full_text=False,
        eos_token_id=2,
    )
    msg = postprocess(ans)

    async def iterator():
        yield msg.strip().encode("utf-8")

    return StreamingResponse(iterator())


@app.get("/health")
async def health() -> Response:
    return JSONResponse(content={"healthy": True})


@app.exception_handler(404)
async def custom_404_handler(_, __):
    return RedirectResponse("/404.html")


app.mount(
    "/",
    StaticFiles(directory=os.path.join(KOALPACA_MODEL, "..", "chatbot-ui"), html=True),
    name="html",
)
