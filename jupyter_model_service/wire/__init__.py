"""The JSON of the control API, in one place: the server validates and documents with it, clients read with it.

Times are Unix seconds, sizes bytes. ``Service.state`` is one of ``starting``, ``ready``, ``idle`` (the autoscaler took
its replicas away: the next call starts one), ``degraded`` (one that served has failed or is doubtful, and nothing has
taken its place yet), ``updating``, ``stopped``, ``failed``, ``deleting``. A service that is scaled up is ``starting``
until the new ones are ready: all that served go on. A replica's ``phase`` is one of ``core.replica.Phase``. Unknown
fields in requests are refused, so that a typo is never dropped in silence. What is about autoscaling is in
``scaling.py``, about tokens in ``tokens.py``, about who may do what in ``access.py``, about who called in ``uses.py``,
what administrators see in ``admin.py`` and what was written down in ``audit.py``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from ..core.bounds import LEAST_CPUS, LEAST_MEMORY, MOST_CPUS, MOST_GPUS, MOST_MEMORY, MOST_REPLICAS
from .access import AccessInfo, AccessRole, SharedInfo, ShareInfo, Visibility
from .admin import EndInfo, NoticeInfo, Overview, OwnerUse
from .audit import AuditEntry, AuditList
from .offer import GpuOffer, OfferInfo
from .replica import ActionInfo, ExitInfo, GpuInfo, ReplicaInfo
from .request import Request
from .scaling import (
    AutoscalingChange,
    AutoscalingInfo,
    AutoscalingRequest,
    BoundsInfo,
    DecisionInfo,
    DecisionList,
    RuleInfo,
    RuleSpec,
    ScheduleInfo,
    ScheduleSpec,
    SeriesAnswer,
    SeriesList,
    WishInfo,
)
from .tokens import (
    LimitsInfo,
    LimitsSpec,
    NewToken,
    PathRuleInfo,
    PathRuleSpec,
    RotateRequest,
    TokenChange,
    TokenInfo,
    TokenList,
    TokenRequest,
)
from .uses import UseInfo, UseList

__all__ = [
    "AccessInfo",
    "ActionInfo",
    "AttachRequest",
    "AuditEntry",
    "AuditList",
    "AutoscalingChange",
    "AutoscalingInfo",
    "AutoscalingRequest",
    "BoundsInfo",
    "CopyInfo",
    "CreateRequest",
    "DecisionInfo",
    "DecisionList",
    "DefinitionText",
    "ErrorAnswer",
    "ErrorBody",
    "EventInfo",
    "EventList",
    "ExitInfo",
    "FilesInfo",
    "GatewayInfo",
    "GpuInfo",
    "GpuOffer",
    "LimitsInfo",
    "LimitsSpec",
    "LogAnswer",
    "MountInfo",
    "MountSpec",
    "NewToken",
    "NoticeInfo",
    "OfferInfo",
    "Overview",
    "OwnerUse",
    "PathRuleInfo",
    "PathRuleSpec",
    "ProblemInfo",
    "ReplicaCounts",
    "ReplicaInfo",
    "ResourcesInfo",
    "RevisionInfo",
    "RevisionOptions",
    "RollbackRequest",
    "RotateRequest",
    "RuleInfo",
    "RuleSpec",
    "ScaleRequest",
    "ScheduleInfo",
    "ScheduleSpec",
    "SeriesAnswer",
    "SeriesList",
    "ServiceInfo",
    "ServiceList",
    "ServiceState",
    "ShareInfo",
    "SharedInfo",
    "ShutdownRequest",
    "TokenChange",
    "TokenInfo",
    "TokenList",
    "TokenRequest",
    "UpdateRequest",
    "UseInfo",
    "UseList",
    "ValidateAnswer",
    "ValidateRequest",
    "Visibility",
    "WishInfo",
]

ServiceState = Literal["starting", "ready", "idle", "degraded", "updating", "stopped", "failed", "deleting"]


class MountSpec(Request):
    source: str
    target: str
    read_only: bool = False


class DefinitionText(Request):
    """The folder's definition file as the client read it; needed where the gateway cannot read the folder."""

    file: str = Field(description="its name in the folder, such as model-definition.yaml", max_length=100)
    text: str


class RevisionOptions(Request):
    """What ``create`` and ``update`` share. In an update, a field left out keeps its value; ``environment``
    and ``mounts`` replace the former ones when given."""

    folder: str | None = None
    definition: DefinitionText | None = None
    image: str | None = None
    environment: dict[str, str] | None = None
    mounts: list[MountSpec] | None = None
    cpus: float | None = Field(default=None, ge=LEAST_CPUS, le=MOST_CPUS)
    memory: int | None = Field(default=None, ge=LEAST_MEMORY, le=MOST_MEMORY, description="bytes")
    gpus: int | None = Field(default=None, ge=0, le=MOST_GPUS)


class CreateRequest(RevisionOptions):
    folder: str
    name: str | None = Field(default=None, description="default: made from the definition's model name")
    replicas: int = Field(default=1, ge=0, le=MOST_REPLICAS)
    public: bool = Field(default=False, description="callers need no token; as visibility in one word")
    visibility: Literal["private", "public"] | None = Field(
        default=None, description="public in one word; what is made is shared with nobody yet"
    )


class UpdateRequest(RevisionOptions):
    public: bool | None = Field(default=None, description="whether callers need no token; what is shared stays so")
    visibility: Visibility | None = Field(
        default=None,
        description="private: for its owner and whoever has a token, and what was shared is taken back; shared: for "
        "those, too, whom it is shared with; public: callers need no token, and what is shared stays so",
    )


class ScaleRequest(Request):
    replicas: int = Field(ge=0, le=MOST_REPLICAS)


class RollbackRequest(Request):
    revision: int | None = Field(
        default=None, ge=1, description="default: the one that was fully up before the active one"
    )


class ValidateRequest(Request):
    folder: str
    definition: DefinitionText | None = None


class AttachRequest(Request):
    """A Jupyter server tells the gateway that it is there; the gateway ends when the last one has gone."""

    pid: int
    create_time: float
    keep: bool = False


class ShutdownRequest(Request):
    """End the gateway. The replicas end with it, unless they are left for the next gateway to adopt."""

    leave_replicas: bool = False


# --- answers -----------------------------------------------------------------------------------------


class ProblemInfo(BaseModel):
    where: str
    message: str
    file: str | None = None
    line: int | None = None
    severity: str = "error"


class ErrorBody(BaseModel):
    code: str
    message: str
    problems: list[ProblemInfo] = []


class ErrorAnswer(BaseModel):
    error: ErrorBody


class MountInfo(BaseModel):
    source: str
    target: str
    read_only: bool = False


class ResourcesInfo(BaseModel):
    """What was asked for; ``not_enforced`` of the service says what the launcher does not hold to."""

    cpus: float | None = None
    memory: int | None = Field(default=None, description="bytes")
    gpus: int = 0


class FilesInfo(BaseModel):
    """What a revision has of its folder: a copy as it was when the revision was made, or the folder as it is now."""

    kind: Literal["copy", "live"] = "live"
    source: Literal["copy", "live", "snapshot", "volume"] = Field(
        default="live",
        description="what the replicas have: a copy in a folder of the gateway's, the folder itself, a copy in a "
        "volume of the revision, or a volume that is mounted as it is",
    )
    path: str | None = Field(default=None, description="where the copy is: a full path, or the name of a volume")
    files: int = Field(default=0, description="in the copy")
    bytes: int = Field(default=0, description="in the copy")
    linked: int = Field(default=0, description="links in the copy to files that are used as they are now")
    why: str | None = Field(default=None, description="why there is no copy")
    fingerprint: str | None = Field(
        default=None,
        description="of the folder when it was copied, where the gateway cannot look at it again: a client that can "
        "compares it with that of the folder now",
    )


class RevisionInfo(BaseModel):
    number: int
    created_at: float
    folder: str
    model_name: str
    image: str | None = None
    environment: list[str] = Field(default=[], description="names only: values may be secrets")
    mounts: list[MountInfo] = []
    resources: ResourcesInfo = ResourcesInfo()
    files: FilesInfo = FilesInfo()
    definition: dict[str, Any] = {}


class ReplicaCounts(BaseModel):
    want: int
    ready: int
    total: int


class ServiceInfo(BaseModel):
    id: str
    owner: str
    name: str
    state: ServiceState
    reason: str | None = None
    note: str | None = None
    endpoint: str
    public: bool
    replicas: ReplicaCounts
    revision: int
    stable_revision: int | None = None
    revisions: list[RevisionInfo] = []
    replica_list: list[ReplicaInfo] = []
    not_enforced: list[str] = []
    restarts: int = Field(default=0, description="replicas that had run, failed, and were replaced")
    created_at: float
    autoscaling: AutoscalingInfo | None = Field(
        default=None, description="null: the number of replicas is as it was set"
    )
    changed: list[str] | None = Field(
        default=None,
        description="the first few files of the folder that are not as the active revision keeps them; only where one "
        "service is asked for, null where that is not known",
    )
    folder_gone: bool = Field(
        default=False, description="the folder itself is not there any more; only where one service is asked for"
    )
    folder_changed: bool | None = Field(
        default=None,
        description="whether the folder is not as the active revision keeps it; null where that is not known. On a hub "
        "only the user's own server can know: the client there, or the Jupyter server that forwards, fills it in",
    )
    notices: list[str] = Field(
        default=[], description="in the answer to a change: what it did besides, or deserves a look, in sentences"
    )
    visibility: Visibility = Field(
        default="private", description="shared: with some users or groups; public: callers need no token"
    )
    role: AccessRole = Field(default="owner", description="what the caller may do with it")
    page: str | None = Field(
        default=None, description="where a browser opens it, at a host of its own; null: no browser could"
    )
    notice: NoticeInfo | None = Field(default=None, description="what an administrator has to say about it")
    ends: EndInfo | None = Field(
        default=None, description="that the administrator's policy will stop it soon; null: not within a day"
    )


class ServiceList(BaseModel):
    services: list[ServiceInfo]
    shared: list[SharedInfo] = Field(default=[], description="those that the caller may call, and not look into")


class ValidateAnswer(BaseModel):
    """A definition that can be served; ``warnings`` are what deserves a look (unknown keys, near names)."""

    name: str
    definition: dict[str, Any]
    warnings: list[ProblemInfo] = []


class EventInfo(BaseModel):
    id: int
    at: float
    service: str = Field(description="owner/name")
    kind: str
    message: str
    replica: str | None = None
    details: dict[str, Any] = {}


class CopyInfo(BaseModel):
    """How far the copy of a folder is, while a service or a revision is made of it. It is told in the event stream
    only: nothing is there yet that could be asked for it."""

    service: str = Field(description="owner/name, also of a service that is not made yet")
    folder: str
    revision: int
    files: int
    bytes: int
    of_files: int | None = Field(default=None, description="what it will come to, where that is known")
    of_bytes: int | None = None
    seconds: float = Field(description="since the beginning")
    over: bool = Field(default=False, description="it has ended, well or not; nothing follows")


class EventList(BaseModel):
    events: list[EventInfo]


class LogAnswer(BaseModel):
    replica: str
    lines: list[str]
    next: int
    lost: int = 0


class GatewayInfo(BaseModel):
    version: str
    mode: Literal["embedded", "hub"]
    owner: str
    pid: int
    launcher: str
    started_at: float
    keep: bool = False
    attached: int = 0
    people: bool = Field(default=False, description="whether there are users and groups to share services with")
    own_hosts: bool = Field(default=False, description="whether each service has a host of its own, for its pages")
    administration: str | None = Field(
        default=None, description="the address of the page for administrators of the hub; null: you are none"
    )
