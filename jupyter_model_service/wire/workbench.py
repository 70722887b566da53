"""The JSON of the Jupyter server extension's own routes: what can be done beside the notebook before anything is
deployed.

These routes lie below ``model-service/workbench/v1/`` of the Jupyter server, where the control API's are forwarded from
``model-service/api/v1/…``. One document has both: ``jupyter_model_service.server_extension.openapi.openapi_document()``
returns it, with paths relative to ``model-service/`` (``/api/v1/services``, ``/workbench/v1/site``), and the panel's
types are generated from it. What only travels in the event stream of a dry run (``DryRunPhase``, ``DryRunLog``,
``DryRunAnswer``, ``DryRunOutcome``) is among its schemas, too.

A ``path`` is one of Jupyter's contents: relative to the root of its file browser, with slashes, empty for the root
itself. Errors are ``wire.ErrorAnswer`` as everywhere.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from . import ExitInfo, ProblemInfo

__all__ = [
    "CheckInfo",
    "CheckRequest",
    "DraftFile",
    "DraftInfo",
    "DraftRequest",
    "DryRunAnswer",
    "DryRunLog",
    "DryRunOutcome",
    "DryRunPhase",
    "DryRunRequest",
    "DryRunStarted",
    "DryRunState",
    "FieldInfo",
    "FieldValue",
    "FolderInfo",
    "GuessInfo",
    "KeptRequests",
    "KindInfo",
    "NoteInfo",
    "SampleRequest",
    "SampleRequests",
    "SiteInfo",
]

FieldValue = str | int | bool
Outcome = Literal["running", "passed", "failed", "stopped"]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SampleRequest(_Request):
    """A call that shows what the model does. Kept in the folder's ``model-requests.json``."""

    name: str = Field(min_length=1, max_length=100)
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str = Field(max_length=4096, description="with the query, from the endpoint on: /predict?top=3")
    headers: dict[str, str] = {}
    body: Any = Field(
        default=None, description="a text is sent as it is; anything else as JSON, with that Content-Type; null: none"
    )


class SampleRequests(_Request):
    """The first is what a dry run sends."""

    requests: list[SampleRequest] = Field(max_length=100)


class KeptRequests(BaseModel):
    """What the folder keeps now."""

    requests: list[SampleRequest]
    left_out: list[str] = Field(default=[], description="headers that hold secrets, and are not written into a folder")


# --- what can be written --------------------------------------------------------------------------------


class FieldInfo(BaseModel):
    """One thing to fill in. ``choice`` has ``choices``; ``file`` is a name in the folder; ``command`` is a line as one
    types it."""

    name: str
    label: str
    help: str
    type: Literal["text", "number", "choice", "file", "command"]
    default: FieldValue
    required: bool = False
    choices: list[str] = []


class KindInfo(BaseModel):
    """One kind of model that a definition can be drafted for; ``writes`` are the files that it may make."""

    name: str
    title: str
    help: str
    fields: list[FieldInfo]
    writes: list[str]


class GuessInfo(BaseModel):
    """A kind that fits what the folder holds, with what was found filled in; the best comes first."""

    kind: str
    reason: str
    fields: dict[str, FieldValue]


class SiteInfo(BaseModel):
    version: str
    mode: Literal["embedded", "hub"] = Field(description="hub: this server was started by a hub with a gateway")
    user: str
    root: str = Field(description="absolute folder of Jupyter's files; empty where they are in no folder")
    kinds: list[KindInfo]


class FolderInfo(BaseModel):
    """``path`` is the folder's, also when its definition file was asked for."""

    path: str
    folder: str = Field(description="absolute: what `create` takes")
    definition_file: str | None = Field(default=None, description="its name in the folder; null: it has none")
    definition: dict[str, Any] | None = Field(default=None, description="null: there is none that can be served")
    name: str | None = Field(default=None, description="the default name of a service made of it")
    problems: list[ProblemInfo] = Field(default=[], description="errors and warnings, of model-requests.json too")
    port_problem: ProblemInfo | None = Field(
        default=None,
        description="an error where no environment variable of the service has the value {port}; not in `problems`",
    )
    guesses: list[GuessInfo] = []
    requests: list[SampleRequest] = []


class CheckRequest(_Request):
    """A definition as it stands in an editor, not saved yet."""

    path: str = Field(description="the folder's")
    text: str = Field(max_length=1 << 20)


class CheckInfo(BaseModel):
    """As in `FolderInfo`, of the text."""

    problems: list[ProblemInfo] = []
    port_problem: ProblemInfo | None = None


class DraftRequest(_Request):
    path: str
    kind: str
    fields: dict[str, FieldValue] = {}
    write: bool = False
    force: bool = Field(default=False, description="write over files that are there")


class NoteInfo(BaseModel):
    """What a line of a drafted file is for; ``line`` counts from 1."""

    line: int
    text: str


class DraftFile(BaseModel):
    name: str
    text: str
    exists: bool = Field(description="the folder had one of this name before; without `force` it stays as it is")
    notes: list[NoteInfo] = []


class DraftInfo(BaseModel):
    """A definition that is there already is refused with 409, unless ``force``; other files that are there stay."""

    files: list[DraftFile]
    written: list[str] = []


# --- dry runs ----------------------------------------------------------------------------------------


class DryRunRequest(_Request):
    """Without ``request`` it is the folder's first sample, else the health check's path."""

    path: str
    request: SampleRequest | None = None
    timeout: float | None = Field(default=None, gt=0, le=3600, description="seconds for all of it (default: 300)")


class DryRunStarted(BaseModel):
    id: str


class DryRunPhase(BaseModel):
    """``starting``, ``preparing`` (pre-start actions), ``loading`` (until healthy), ``calling``, ``stopping``."""

    phase: Literal["starting", "preparing", "loading", "calling", "stopping"]
    sentence: str
    at: float = Field(description="seconds since the beginning")


class DryRunLog(BaseModel):
    """New lines of what the server printed; ``lost`` lines before them came too fast to be kept."""

    lines: list[str]
    lost: int = 0


class DryRunAnswer(BaseModel):
    """What came of the sample call. ``status`` is null when there was no answer, and ``problem`` says why."""

    request: SampleRequest
    status: int | None = None
    problem: str | None = None
    headers: dict[str, str] = {}
    body: str = Field(default="", description="the beginning, as text")
    truncated: bool = False
    first_byte: float | None = Field(default=None, description="seconds until the answer began")
    seconds: float = 0.0


class DryRunOutcome(BaseModel):
    outcome: Outcome
    sentence: str
    seconds: float
    exit: ExitInfo | None = Field(default=None, description="how the server ended, when it ended by itself")


class DryRunState(DryRunOutcome):
    """A dry run so far; ``log`` holds the last lines."""

    id: str
    path: str
    phases: list[DryRunPhase] = []
    log: list[str] = []
    answer: DryRunAnswer | None = None
