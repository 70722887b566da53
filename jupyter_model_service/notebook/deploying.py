"""``deploy``: from a model in memory to a service, by way of a folder that is an ordinary model folder afterwards."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..cli.text import clean
from ..client import calls
from ..client.address import Locator
from ..client.light import Connection
from ..client.waiting import failure
from ..commands import Observer, Session, StoppedWatching, run
from ..commands.results import ServiceResult
from ..core.hub_options import is_volume
from ..core.names import check_service_name
from ..discovery import find_gateway
from ..errors import Conflict, InvalidRequest, LaunchError, ModelServiceError, NotFound
from ..workbench.export import Wishes, Written, family_of, save, write_folder
from .cards import ServiceShown
from .following import observer_for
from .masking import masked
from .steps import Steps
from .words import NAME, in_words

if TYPE_CHECKING:
    from ..wire import Visibility

__all__ = ["Deployed", "deploy"]

WAIT_SECONDS = 900.0  # for a service to become ready, unless told otherwise


class Deployed(ServiceShown):
    """The service that a model became; shows itself as text and as a card. ``folder`` is its model folder."""

    folder: Path

    @property
    def _call(self) -> str:
        return f'Client().call("{self.name}", "predict", json={{"inputs": …}})'


def deploy(
    model: Any,
    *,
    name: str,
    example: Any = None,
    folder: str | Path | None = None,
    replicas: int | None = None,
    public: bool | None = None,
    visibility: Visibility | None = None,
    allow_pickle: bool = False,
    trusted: Sequence[str] = (),
    method: str | None = None,
    dynamic_batch: bool = True,
    image: str | None = None,
    environment: Mapping[str, str] | None = None,
    cpus: float | None = None,
    memory: int | str | None = None,
    gpus: int | None = None,
    timeout: float = WAIT_SECONDS,
    data_dir: str | Path | None = None,
) -> Deployed:
    """Make a service of a fitted scikit-learn estimator, a ``torch.nn.Module`` or a pipeline of transformers.

    The model is saved in a format that needs no pickle of Python objects (skops, ``torch.export``, safetensors) to a
    folder (default: one called ``name`` in the working directory, or the one that the service has) with a ``serve.py``,
    a ``model-definition.yaml``, ``requirements.txt`` and, of ``example``, a sample request. A service of it is created,
    or the one of that name is updated, and waited for, ``timeout`` seconds at most. What somebody else wrote is never
    written over, and a file of the folder that you changed stays as it is.

    ``replicas`` (1) and ``visibility`` (``"private"``, or ``"public"``, which ``public=True`` says, too) stay as they
    are in an update unless given. For estimators: ``method`` to be called (``predict``), types that are ``trusted``
    besides those that skops knows as safe, ``allow_pickle`` where skops cannot save the model. For modules:
    ``dynamic_batch=False`` keeps the batch of ``example``.

    Raises the errors of :mod:`jupyter_model_service.errors`: ``InvalidRequest`` where the model cannot be saved,
    ``Conflict`` where the folder is somebody else's, ``LaunchError`` with the end of the log where it does not come up,
    ``WaitTimeout``.
    """
    wishes = Wishes(
        example, method, (trusted,) if isinstance(trusted, str) else tuple(trusted), allow_pickle, dynamic_batch
    )
    options = {"image": image, "environment": environment, "cpus": cpus, "memory": memory, "gpus": gpus, "mounts": None}
    wanted = argparse.Namespace(
        name=name,
        replicas=replicas,
        public=public,
        visibility=visibility,
        timeout=timeout,
        detach=False,
        json=False,
        **options,
    )
    steps = Steps(observer_for(_shell()), str(name)[:80])
    session = Session(Connection(Locator(data_dir=data_dir)), cast(Observer, steps))
    try:
        return _deployed(session, steps, model, wishes, wanted, folder)
    except (ModelServiceError, StoppedWatching) as error:
        told = f"{type(error).__name__}: {_in_words(str(error))}"
        error._render_traceback_ = lambda: told.splitlines()  # type: ignore[union-attr]  # IPython's: no traceback
        raise
    finally:
        steps.failed()  # unless they ended before


def _deployed(
    session: Session, steps: Steps, model: Any, wishes: Wishes, wanted: argparse.Namespace, folder: str | Path | None
) -> Deployed:
    if not isinstance(wanted.name, str):
        raise InvalidRequest('The service\'s name is a text, such as name="iris".')
    check_service_name(wanted.name)
    family_of(model)
    steps.tell("checking the model")
    wishes = dataclasses.replace(wishes, tell=steps.tell)
    there = _existing(session, wanted.name)
    place = _place(wanted.name, folder, there)
    written, saved = write_folder(place, wanted.name, lambda into: save(model, into, wishes))
    for sentence in (*_told(written), *saved.notices):
        session.observer.notice(sentence)
    wanted.folder = str(place)
    steps.tell("starting the service")
    result = _served(session, wanted, there)
    if result.outcome is not None and not result.ok:
        raise LaunchError(masked(clean(str(failure(result.service, result.outcome)))), stage="start")
    face = Deployed(result)
    face.folder = place
    return face


def _existing(session: Session, name: str) -> Mapping[str, Any] | None:
    locator = session.connection.locator
    if not locator.explicit and find_gateway(locator.data_dir) is None:
        return None  # one is started when the folder is written
    try:
        found: Mapping[str, Any] = session.send(calls.get(session.connection.key(name)))
    except NotFound:
        return None
    return found


def _place(name: str, folder: str | Path | None, there: Mapping[str, Any] | None) -> Path:
    """The folder that was said, that of the service, or one of its name."""
    if folder is not None:
        return Path(os.path.abspath(Path(folder).expanduser()))
    if there is None:
        return Path.cwd() / name
    now = next(each["folder"] for each in there["revisions"] if each["number"] == there["revision"])
    if is_volume(now) or not os.path.isdir(now):
        raise Conflict(f"Service {name} exists and serves {now}, which is not here: give another name, or a folder=.")
    return Path(now)


def _told(written: Written) -> list[str]:
    shown = [name for name in written.files if "/" not in name]
    shown += sorted({f"{name.partition('/')[0]}/" for name in written.files if "/" in name})
    told = [f"Wrote {', '.join(shown)} to {_shown(written.folder)}."]
    if written.kept:
        told.append(
            f"You changed {', '.join(written.kept)}, so that it stays as it is: see that it fits the new model."
        )
    return told


def _shown(folder: Path) -> str:
    """Beside the notebook, its name alone: outputs are kept, and need not tell where somebody works."""
    return folder.name if folder.parent == Path.cwd() else str(folder)


def _served(session: Session, wanted: argparse.Namespace, there: Mapping[str, Any] | None) -> ServiceResult:
    if there is None:
        wanted.verb, wanted.replicas = "create", 1 if wanted.replicas is None else wanted.replicas
        return _run(session, wanted)
    wanted.verb = "update"
    result = _run(session, wanted)
    if result.ok and wanted.replicas not in (None, result.service["replicas"]["want"]):
        wanted.verb = "scale"
        return _run(session, wanted)
    return result


def _run(session: Session, wanted: argparse.Namespace) -> ServiceResult:
    result = run(session, wanted)
    assert isinstance(result, ServiceResult)
    return result


def _shell() -> Any:
    """That of IPython, if this runs in one: it is not imported for that."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _in_words(text: str) -> str:
    """A verb is a magic only where the magics are loaded."""
    loaded = getattr(getattr(_shell(), "magics_manager", None), "magics", {}).get("line", {})
    return in_words(text) if NAME in loaded else masked(text)
