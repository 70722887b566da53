"""The query parameters of the extension's own routes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PathQuery"]


class PathQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: str = Field(default="", description="of a folder or its definition file, as in Jupyter's contents API")
