"""``%model_service VERB …`` and ``%%model_service NAME [path]``: the words of the command line, results that show
themselves, and one line for what goes wrong."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from IPython.core.error import UsageError as ShellUsageError
from IPython.display import display

from ..cli.text import clean
from ..client.address import Locator
from ..client.light import Connection
from ..commands import HelpShown, Session, StoppedWatching, UsageError, build_parser, parse, run
from ..commands.results import ServiceResult, TokenResult
from ..commands.workbench import DryRunResult
from ..errors import DefinitionError, LaunchError, ModelServiceError
from . import calling
from .cards import Problems, Shown, service_card, shown
from .completing import complete
from .following import Place, observer_for, somebody_there
from .words import MAGIC, NAME, in_words

__all__ = ["Magics", "load", "unload"]

_COMPLETED = (MAGIC, f"%{MAGIC}", NAME)


class Magics:
    """Both magics of one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def line(self, line: str = "") -> Any:
        """Serve a model folder as an HTTP endpoint: the verbs of ``jupyter model-service``.

        %model_service --help lists them, %model_service VERB --help tells more about one. The result is given back:
        service = %model_service create FOLDER
        """
        return self._told(lambda: self._line(line), MAGIC)

    def cell(self, line: str, cell: str) -> Any:
        """Send the cell to a service and show its answer as it comes: %%model_service NAME [PATH] [--method METHOD]

        A cell that is JSON is sent as JSON, any other as text; one that is blank as a GET. The answer is given back
        with .status, .headers, .text, .json(), .events, .first_byte and .seconds. %%model_service --help has the
        options.
        """
        return self._told(lambda: self._cell(line, cell), f"%{MAGIC}")

    # --- what they do --------------------------------------------------------------------------------------

    def _line(self, line: str) -> Any:
        parser = build_parser(program=MAGIC)
        words = _words(line)
        if not words:
            raise HelpShown(parser.format_help())
        arguments = parse(parser, words)
        if getattr(arguments, "follow", False) and not somebody_there(self._shell):
            raise UsageError("Nobody could end it here: leave --follow out.", arguments.verb)
        session = Session(Connection(Locator(data_dir=arguments.data_dir)), observer_for(self._shell))
        try:
            result = run(session, arguments)
        except KeyboardInterrupt as stop:
            if getattr(arguments, "follow", False) and not isinstance(stop, StoppedWatching):
                return None  # as it is meant to end
            raise
        face = shown(result, quiet=getattr(arguments, "quiet", False))
        if not result.ok:
            _fail(face)
        if arguments.json and not isinstance(result, TokenResult):  # whose JSON has the token
            return face.data
        return face if face.text() else None

    def _cell(self, line: str, cell: str) -> Any:
        parser = calling.build_parser()
        arguments, unknown = parser.parse_known_args(_words(line))
        if unknown:
            raise UsageError(f"%{MAGIC} takes no {unknown[0][:60]!r}.")
        place = Place() if getattr(self._shell, "kernel", None) is not None else None
        return calling.call(arguments, cell, place=place, write=_write)

    # --- how it is told ------------------------------------------------------------------------------------

    def _told(self, work: Callable[[], Any], magic: str) -> Any:
        try:
            return work()
        except HelpShown as help_shown:
            print(help_shown.text.rstrip())
            return None
        except UsageError as error:
            verb = (error.verb or "").removeprefix(magic).strip()
            more = f"{magic} {verb} --help".replace("  ", " ")
            raise ShellUsageError(in_words(f"{clean(error.message)} See: {more}")) from None
        except DefinitionError as error:
            if len(error.problems) == 1 and error.problems[0].line is None:
                _one_line(error, str(error.problems[0]))
            _show(Problems(error.problems))
            count = len(error.problems)
            _one_line(error, f"{count} {'problem' if count == 1 else 'problems'} of the folder, shown above.")
        except ModelServiceError as error:
            _one_line(error, error.message)
        except StoppedWatching as stopped:
            _one_line(stopped, stopped.sentence)
        except KeyboardInterrupt as error:
            _one_line(error, f"Interrupted before an answer came; {MAGIC} list shows what there is.")


_show: Any = display  # which has no types


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The line cannot be read: {str(error).lower()}.") from None


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _fail(face: Shown) -> NoReturn:
    """A service that failed stops "Run all" and papermill; why is shown first, with the end of its log."""
    _show(face)
    result = face.result
    if isinstance(result, DryRunResult):
        raise LaunchError(str(result.state["sentence"]), stage="dry-run")
    assert isinstance(result, ServiceResult)
    assert result.outcome is not None
    raise LaunchError(f"{result.service['name']}: {result.outcome.reason}", stage="start")


def _one_line(error: BaseException, sentence: str) -> NoReturn:
    """The error as it is, for ``except``; IPython shows the one line in the place of a traceback."""
    told = in_words(" ".join(clean(line) for line in sentence.splitlines()))
    error.args = (told,)
    error._render_traceback_ = lambda: [f"{type(error).__name__}: {told}"]  # type: ignore[attr-defined]
    raise error from None


# --- the extension ---------------------------------------------------------------------------------------


def with_body(lines: list[str]) -> list[str]:
    """A cell that is our magic and nothing else gets a blank body, which is a GET: IPython runs no cell magic without
    one."""
    if lines and lines[0].split()[:1] == [f"%{MAGIC}"] and not "".join(lines[1:]):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines


#: So that it has no part in whether a cell is complete: on a terminal, the body is typed after the first line.
with_body.has_side_effects = True  # type: ignore[attr-defined]


def load(shell: Any) -> None:
    magics = Magics(shell)
    if with_body not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(with_body)
    shell.register_magic_function(magics.line, magic_kind="line", magic_name=NAME)
    shell.register_magic_function(magics.cell, magic_kind="cell", magic_name=NAME)
    for word in _COMPLETED:
        shell.set_hook("complete_command", _completions, str_key=word)
    formatter = shell.display_formatter.formatters["text/html"]
    formatter.for_type_by_name("jupyter_model_service.wire", "ServiceInfo", _service_html)


def unload(shell: Any) -> None:
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop(NAME, None)
    if with_body in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(with_body)
    for word in _COMPLETED:
        shell.strdispatchers["complete_command"].strs.pop(word, None)
    shell.display_formatter.formatters["text/html"].pop("jupyter_model_service.wire.ServiceInfo", None)


def _completions(shell: Any, event: Any) -> Sequence[str]:
    return complete(event.line, event.symbol)


def _service_html(service: Any) -> str:
    """What ``client.get(NAME)`` gives back, as a card."""
    return service_card(service.model_dump(mode="json"))
