"""The address of all services, as OpenAI's clients want one."""

from __future__ import annotations

from .handlers import EndpointHandler

__all__ = ["NamedHandler"]


class NamedHandler(EndpointHandler):
    """``model-service/v1/…``: for the service that the body names, which the front reads. What an answer says of the
    root of its server (``Location: /v1/files/1``) is below ``model-service/`` here."""

    def endpoint(self) -> str:
        return ""
