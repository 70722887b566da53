"""What can be asked for now, so that a form shows nothing that would be refused."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["GpuOffer", "OfferInfo"]


class GpuOffer(BaseModel):
    """``free`` is what no replica of this gateway holds; what else runs on these GPUs is not counted."""

    total: int
    free: int


class OfferInfo(BaseModel):
    """For the caller who asks. ``None`` of a limit: there is none that is known here."""

    containers: bool = Field(description="replicas are containers: an image can be named, CPUs and memory are limits")
    images: list[str] | None = Field(
        default=None, description="names or patterns (*, ?) that may be asked for; null: the caller's own, or any"
    )
    own_image: str | None = Field(default=None, description="the image of the caller's notebook, where it has one")
    gpus: GpuOffer | None = Field(default=None, description="null: there is none, or how many are free is not known")
    max_gpus_per_replica: int | None = None
    max_replicas: int = Field(description="that one service may have")
    services_left: int | None = Field(
        default=None, description="services that she may have beside those that she has; null: any number"
    )
    cpus: float | None = Field(default=None, description="the most that a replica may ask for")
    memory: int | None = Field(default=None, description="bytes; the most that a replica may ask for")
    longest_token: float | None = Field(default=None, description="seconds; the most that a token of hers lives")
    public: bool = Field(default=True, description="a service may be open to anybody")
    public_set_by: str | None = Field(default=None, description="who said that none may be")
