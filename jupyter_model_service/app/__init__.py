"""The gateway as a program: ``jupyter model-service gateway`` or ``python -m jupyter_model_service.app``.

Exit status 0 after an orderly end, 1 when it cannot run (one sentence on stderr says why), 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import copy
import difflib
import http.client
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

from jupyter_core.application import JupyterApp
from traitlets import Bool, TraitError
from traitlets.config import Config
from traitlets.config.loader import ArgumentError, KVArgParseConfigLoader

from .._version import __version__
from ..config import GatewaySettings, HubService, ModelService, hub_service
from ..discovery import GatewayFile, find_gateway, wait_until_gone
from ..errors import InvalidRequest, ModelServiceError
from .files import DataDirectory
from .logs import configure
from .options import check_names, in_file, refused_value, where_only
from .supervisor import supervise, supervised

if TYPE_CHECKING:
    from ..adapters.at_rest import AtRest
    from .assembly import Assemble

__all__ = ["GatewayApp", "main"]

_ALL = " --help lists them all."
_STOP_PATIENCE = 60.0  # seconds for open calls, then the replicas' own stop_timeout


class _StrictLoader(KVArgParseConfigLoader):
    """traitlets only warns about an option that it does not know; a typo must not be dropped in silence."""

    def _handle_unrecognized_alias(self, arg: str) -> NoReturn:
        near = difflib.get_close_matches(arg, [*GatewayApp.aliases, *GatewayApp.flags], n=1)
        raise InvalidRequest(f"There is no option --{arg}." + (f" Did you mean --{near[0]}?" if near else _ALL))

    def _add_arguments(self, *given: Any, **named: Any) -> None:
        super()._add_arguments(*given, **named)
        # Instead of its usage line, which names everything but what is wrong.
        self.parser.error = self._refuse  # type: ignore[method-assign]

    def _refuse(self, message: str) -> NoReturn:
        unknown = re.match(r"argument --([\w-]+): expected one argument", message)
        if unknown and unknown[1] not in GatewayApp.aliases:
            self._handle_unrecognized_alias(unknown[1])
        raise InvalidRequest(f"{message.removeprefix('argument ')}.{_ALL}")


class GatewayApp(JupyterApp):
    """Serve model folders of this user: endpoints, control API and everything that outlives a notebook."""

    name = "jupyter-model-service-gateway"
    version = __version__
    description = __doc__ or ""
    classes = [ModelService]  # noqa: RUF012
    aliases = {  # noqa: RUF012
        "data-dir": "ModelService.data_dir",
        "port": "ModelService.port",
        "ip": "ModelService.ip",
        "log-level": "Application.log_level",
        "config": "JupyterApp.config_file",
    }
    flags = {  # noqa: RUF012
        "keep": ({"ModelService": {"keep": True}}, "Stay when no Jupyter server is there."),
        "stop": ({"GatewayApp": {"stop_running": True}}, "End the gateway that runs, with its replicas."),
        "hub": ({"GatewayApp": {"hub": True}}, "Serve a JupyterHub, which starts this, or systemd or compose does."),
        "leave-replicas": (
            {"GatewayApp": {"leave_replicas": True}},
            "With --stop: leave the replicas running for the next gateway, which adopts them.",
        ),
    }

    _reads_files = False

    stop_running = Bool(False, help="End the gateway that runs instead of starting one.").tag(config=True)
    hub = Bool(False, help="Be the gateway of a JupyterHub; see the administrator's guide.").tag(config=True)
    leave_replicas = Bool(False, help="With stop_running: leave the replicas running.").tag(config=True)

    def _config_file_name_default(self) -> str:
        return "jupyter_model_service_config"

    def _create_loader(self, argv: list[str] | None, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _StrictLoader(argv, aliases, flags, classes=classes, log=self.log, subcommands=None)

    def update_config(self, config: Config) -> None:
        """What the command line or a configuration file holds; ``InvalidRequest`` says what is wrong in it."""
        if self._reads_files and self.stop_running:
            config = where_only(config)  # to end the one that runs, no other option of the next one has to be right
        check_names(config, (GatewayApp, ModelService), strict=not self._reads_files)
        try:
            super().update_config(config)
        except TraitError as error:
            raise refused_value(error, GatewayApp, config) from error

    def initialize(self, argv: Sequence[str] | None = None) -> None:
        """Command line over configuration files, nothing else: no migration, no files made."""
        self.parse_command_line(list(argv or ()))
        if self.extra_args:
            raise InvalidRequest(f"What is {self.extra_args[0]!r}? The gateway takes options only; --help lists them.")
        given: Config = copy.deepcopy(self.config)
        self._reads_files = True
        self.raise_config_file_errors = True  # traitlets' own way is a traceback, and to go on without the options
        try:
            self.load_config_file(suppress_errors=False)
        except InvalidRequest as error:
            raise self._of_file(error) from error
        except Exception as error:  # the file is a program of the user's: anything may come out of it
            told = f"The configuration file cannot be used: {type(error).__name__}: {error}."
            if not self.stop_running:
                raise InvalidRequest(told) from error
            print(f"{told} It is not looked at.", file=sys.stderr)
        self.update_config(given)

    def _of_file(self, error: InvalidRequest) -> InvalidRequest:
        return InvalidRequest(in_file(str(error), self.loaded_config_files, self.cli_config))

    def start(self) -> None:
        """Run until the end, or end the one that runs."""
        try:
            hub = hub_service() if self.hub else None
            settings = ModelService(parent=self).settings(hub)
        except TraitError as error:
            raise self._of_file(refused_value(error, ModelService, self.config)) from error
        if self.stop_running:
            stop_gateway(settings, leave_replicas=self.leave_replicas)
        else:
            self._serve(settings, hub)

    def _serve(self, settings: GatewaySettings, hub: HubService | None) -> None:
        # A umask that takes away the user's own rights (0777) would leave us files that we cannot open again. What it
        # says of others goes on to the model servers; our own files are for this user alone in any case.
        os.umask(os.umask(0o077) & 0o077)
        with DataDirectory(settings.data_dir, settings.scratch) as files:
            configure(cast(int, self.log_level), files.log_file)
            from .gateway import Gateway  # most of the program: not needed for --stop, nor when one runs already

            assemble, at_rest = _assembly(settings, hub, files)

            async def serve() -> None:
                await Gateway(settings, files, assemble, at_rest).run()

            _run(serve())


def _assembly(
    settings: GatewaySettings, hub: HubService | None, files: DataDirectory
) -> tuple[Assemble, Callable[[], AtRest] | None]:
    if hub is None:
        from .own_gateway import own_gateway

        return own_gateway(settings, files), None
    try:
        from .hub_gateway import hub_at_rest, hub_gateway
    except ImportError as error:
        raise InvalidRequest(
            f"{error.name} is not installed, and a hub's gateway needs it: pip install 'jupyter-model-service[hub]'."
        ) from error
    return hub_gateway(settings, hub, files), hub_at_rest(hub)


def stop_gateway(settings: GatewaySettings, *, leave_replicas: bool) -> None:
    """Ask the running gateway to end and wait until it has; ``ModelServiceError`` when it does not."""
    running = find_gateway(settings.data_dir)
    if running is None:
        print(f"No gateway runs for {settings.data_dir}.")
        return
    _ask_to_end(running, leave_replicas)
    wait_until_gone(running, _STOP_PATIENCE)
    print(f"The gateway (process {running.pid}) has ended.")


def _ask_to_end(running: GatewayFile, leave_replicas: bool) -> None:
    parts = urlsplit(running.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(
            "POST",
            "/api/v1/gateway/shutdown",
            json.dumps({"leave_replicas": leave_replicas}),
            {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"},
        )
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ModelServiceError(
            f"The gateway (process {running.pid}) does not answer at {running.url} ({error}): end it with "
            f"`kill {running.pid}`."
        ) from error
    finally:
        connection.close()
    if status != 202:
        raise ModelServiceError(f"The gateway (process {running.pid}) refused to end (status {status}).")


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # not on this platform: plain asyncio does the same, slower
        asyncio.run(main)
    else:
        uvloop.run(main)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status. A hub's gateway runs below a supervisor, which this process then
    is."""
    app = GatewayApp()
    try:
        given = list(sys.argv[1:] if argv is None else argv)
        app.initialize(given)
        if app.hub and not app.stop_running and not supervised():
            hub = hub_service()
            return supervise(given, (hub.host, hub.port))
        app.start()
    except (ArgumentError, TraitError, InvalidRequest) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except ModelServiceError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    except OSError as error:  # of whatever part: what the machine refuses is no fault that a traceback would help with
        print(
            f"The gateway cannot run: {error.filename or 'this machine'}: {error.strerror or error}.", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:  # before the gateway obeyed signals
        return 1
    except SystemExit as end:  # 0 after --help and --version; anything else is traitlets' refusal of an option
        return 2 if end.code else 0
    return 0
