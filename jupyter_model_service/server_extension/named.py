"""The address of all services, as OpenAI's clients want one."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.message import Refusal
from ..core.openai import error_fields
from .handlers import EndpointHandler

__all__ = ["NamedHandler"]


class NamedHandler(EndpointHandler):
    """``model-service/v1/…``: for the service that the body names, which the front reads. What an answer says of the
    root of its server (``Location: /v1/files/1``) is below ``model-service/`` here."""

    def endpoint(self) -> str:
        return ""

    def error_fields(self, status: int, code: str, message: str) -> Mapping[str, str | None]:
        return error_fields(Refusal(status, code, message))
