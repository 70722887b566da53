"""From a definition to what one replica runs: its command, its actions, its working directory, its environment."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jupyter_model_service.errors import InvalidRequest

from .definition import Action, Definition
from .environment import check_sizes
from .revision import Revision
from .words import FOLDER, Place, Rewriter

OVERLAY = "/tmp/ms-env"  # of a replica in a container: whoever it runs as may write there
_OF_A_HUB = """
    ACTIVITY_URL ADMIN_ACCESS API_TOKEN API_URL BASE_URL CLIENT_ID COOKIE_HOST_PREFIX_ENABLED COOKIE_OPTIONS DEBUG
    DEFAULT_URL DISABLE_USER_CONFIG HOST OAUTH_ACCESS_SCOPES OAUTH_CALLBACK_URL OAUTH_CLIENT_ALLOWED_SCOPES OAUTH_SCOPES
    PUBLIC_HUB_URL PUBLIC_URL ROOT_DIR SERVER_NAME SERVICE_PREFIX SERVICE_URL SINGLEUSER_APP SSL_CERTFILE SSL_CLIENT_CA
    SSL_KEYFILE USER
"""
# What a Hub gives to each of its servers and no model needs; some of it is a token of the user.
HUB_VARIABLES = ("JPY_API_TOKEN", *(f"JUPYTERHUB_{name}" for name in _OF_A_HUB.split()))


@dataclass(frozen=True)
class RunPlan:
    """``argv`` is empty where the image's own command is to run. Results of actions (``{ref}``) are not in yet:
    the runner puts them in."""

    argv: tuple[str, ...]
    actions: tuple[Action, ...]
    cwd: str
    environment: Mapping[str, str]


def resolve(
    definition: Definition,
    *,
    service: str,
    replica: str,
    environment: Iterable[tuple[str, str]] = (),
    port: int | None = None,
    folder: str | None = None,
    host: str = "127.0.0.1",
) -> RunPlan:
    """What the replica runs, as declared, or (with ``port`` and ``folder``) as a process beside others.

    As declared, only ``{port}`` and ``{model_path}`` are replaced, and a relative model path is taken from ``/models``.
    As a process the rules of ``core.words`` hold
    for the start command; in the pre-start actions and in the values of variables, of these only those for
    the folder (file names, commands, values). Text that is written to files keeps everything but the braces.

    Backend.AI's variables, with a replica in the place of its session of one kernel: ``BACKEND_MODEL_PATH``;
    ``BACKEND_MODEL_NAME`` (the user's value, else the service's name); ``BACKENDAI_SESSION_ID``,
    ``_SESSION_NAME`` and ``_KERNEL_ID`` (the replica's id); ``BACKENDAI_SERVICE_PORTS``
    (``<model name>-<declared port>:inference:<port>``); ``BACKENDAI_CLUSTER_SIZE``, ``_ROLE``, ``_IDX`` and
    ``_LOCAL_RANK`` as in a cluster of one (its host names are left out: nothing would resolve them). Ours:
    ``MODEL_SERVICE_REPLICA``, ``MODEL_SERVICE_NAME``, ``MODEL_SERVICE_PORT`` and ``PORT``. A value that the user
    gives wins, but for ``BACKEND_MODEL_PATH`` and ours; ``PORT`` is ours only where the port is not the declared one.

    ``InvalidRequest`` when, as a process, there is no start command or nothing in it names the port.
    """
    here = folder is not None
    model_path = definition.model_path
    if folder is not None:
        folder = folder.rstrip("/") or "/"
    model_path = _mapped(model_path, FOLDER if folder is None else folder)
    place = Place(
        declared=definition.port,
        port=definition.port if port is None else port,
        model_path=model_path,
        folder=folder,
        host=host if here else None,
    )
    rewriter = Rewriter(place)
    argv = _argv(definition, rewriter)
    values = {name: rewriter.path(value) for name, value in environment}
    actions = tuple(_action(action, rewriter) for action in definition.pre_start_actions)
    if here and (refused := _refused(definition, argv, here=True, names_port=rewriter.names_port)):
        raise InvalidRequest(refused)
    return RunPlan(argv, actions, model_path, _environment(values, definition, place, service, replica))


def cannot_start(definition: Definition, *, here: bool, environment: Iterable[tuple[str, str]] = ()) -> str | None:
    """Why no replica of it could be started, in one sentence about its ``start_command``; ``None``: nothing is in the
    way. ``here`` as a process beside others, else in a container of its own. It is what :func:`resolve` and
    :func:`container_spec` refuse, known before there is a folder or a port."""
    folder, host = (FOLDER, "127.0.0.1") if here else (None, None)
    rewriter = Rewriter(Place(definition.port, definition.port, FOLDER, folder, host))
    try:
        argv = _argv(definition, rewriter)
    except InvalidRequest as error:
        return error.message
    for action in definition.pre_start_actions:
        _action(action, rewriter)
    for _, value in environment:
        rewriter.path(value)
    return _refused(definition, argv, here=here, names_port=rewriter.names_port)


def container_spec(revision: Revision, *, service: str, replica: str, abandon_after: float | None) -> dict[str, Any]:
    """The runner's specification (``runner/PROTOCOL.md``) for a container of its own: the declared port on all its
    addresses, the model folder at ``/models``. Without ``replica``, ``secret`` and ``control``, which are known where
    the container is made. ``abandon_after`` in seconds.

    ``InvalidRequest`` without a start command: the runner takes the place of the image's own.
    """
    definition = revision.definition
    plan = resolve(definition, service=service, replica=replica, environment=revision.environment)
    if refused := _refused(definition, plan.argv, here=False, names_port=True):
        raise InvalidRequest(refused)
    return {
        "protocol": 1,
        "directory": None,
        "cwd": plan.cwd,
        "environment": dict(plan.environment),
        "unset": [name for name in HUB_VARIABLES if name not in plan.environment],
        "overlay": OVERLAY,
        "actions": [{"action": a.kind, "args": dict(a.args), "ref": a.ref} for a in plan.actions],
        "command": list(plan.argv),
        "stop_grace": definition.serving.stop_timeout,
        "abandon_after": abandon_after,
    }


def _refused(definition: Definition, argv: Sequence[str], *, here: bool, names_port: bool) -> str | None:
    if not argv:
        reason = (
            "replicas are local processes here, there is no image whose own command could run"
            if here
            else "the image's own command does not run under our runner"
        )
        return f"The definition of {definition.name} has no start_command, and {reason}: add a start_command."
    if here and not names_port:
        return (
            f"Nothing in the start_command of {definition.name} says which port to listen on, and replicas on one "
            f"machine need a port each: write {{port}} where the port ({definition.port}) belongs, or set an "
            "environment variable whose value is {port}."
        )
    return None


def _argv(definition: Definition, rewriter: Rewriter) -> tuple[str, ...]:
    command = definition.start_command
    if command is None or not command or (isinstance(command, str) and not command.strip()):
        return ()
    if isinstance(command, str):
        if definition.shell:
            return (definition.shell, "-c", rewriter.script(command, serves=True))
        try:
            command = tuple(shlex.split(command))
        except ValueError as error:
            raise InvalidRequest(
                f"The start_command of {definition.name} cannot be split into words ({error}): close the quote, or "
                "write it as a list."
            ) from error
    return rewriter.arguments(command, serves=True)


def _action(action: Action, rewriter: Rewriter) -> Action:
    args: dict[str, Any] = {}
    for name, value in action.args.items():
        if action.kind == "run_command" and name == "command" and not isinstance(value, str):
            args[name] = list(rewriter.arguments(list(value), serves=False))
        elif (action.kind, name) in (("write_file", "filename"), ("mkdir", "path")):
            args[name] = rewriter.path(value)
        else:
            args[name] = _braces(value, rewriter)
    return replace(action, args=args)


def _braces(value: Any, rewriter: Rewriter) -> Any:
    if isinstance(value, str):
        return rewriter.text(value)
    if isinstance(value, (list, tuple)):
        return [_braces(item, rewriter) for item in value]
    return value


def _mapped(path: str, folder: str) -> str:
    """Where a path of the container is on this machine; a relative one is taken from the folder."""
    if path == FOLDER or path.startswith(f"{FOLDER}/"):
        return (folder + path[len(FOLDER) :]).rstrip("/") or "/"
    return path if path.startswith("/") else f"{folder}/{path}".rstrip("/")


def _environment(
    given: Mapping[str, str], definition: Definition, place: Place, service: str, replica: str
) -> Mapping[str, str]:
    values = {
        "BACKEND_MODEL_NAME": service,
        "BACKENDAI_SESSION_ID": replica,
        "BACKENDAI_SESSION_NAME": replica,
        "BACKENDAI_KERNEL_ID": replica,
        "BACKENDAI_SERVICE_PORTS": f"{definition.name}-{definition.port}:inference:{place.port}",
        "BACKENDAI_CLUSTER_SIZE": "1",
        "BACKENDAI_CLUSTER_ROLE": "main",
        "BACKENDAI_CLUSTER_IDX": "1",
        "BACKENDAI_CLUSTER_LOCAL_RANK": "0",
        "PORT": str(place.port),
    }
    values.update(given)
    values.update(
        BACKEND_MODEL_PATH=place.model_path,
        MODEL_SERVICE_REPLICA=replica,
        MODEL_SERVICE_NAME=service,
        MODEL_SERVICE_PORT=str(place.port),
    )
    if place.port != place.declared:
        values["PORT"] = str(place.port)
    check_sizes(values)  # once more: a path that was put in is longer than /models
    return values
