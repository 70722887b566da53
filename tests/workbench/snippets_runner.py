"""Runs cells in IPython's terminal shell, with stubs in the place of what would send something; tells what each said.

``canary`` is in the namespace, and so is ``os.system`` watched: neither is ever called by a cell that only sends."""

from __future__ import annotations

import io
import json
import os
import sys
import types
from typing import Any

from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config

from jupyter_model_service.notebook import calling, magics

told: list[dict[str, Any]] = []
canaries: list[str] = []


def sing(*given: Any) -> None:
    canaries.append(repr(given))


class Quiet:
    """An answer without anything in it."""

    text = ""

    def raise_for_status(self) -> None: ...

    def __iter__(self) -> Any:
        return iter(())


class Method:
    """Of OpenAI's client, however deep."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Method:
        return Method(f"{self._name}.{name}")

    def __call__(self, **given: Any) -> Quiet:
        told.append({"called": self._name, "given": given})
        return Quiet()


def sending(method: str) -> Any:
    def send(url: str, **given: Any) -> Quiet:
        plain = {key: value.decode("latin-1") if isinstance(value, bytes) else value for key, value in given.items()}
        told.append({"method": method, "url": url, **plain})
        return Quiet()

    return send


requests, openai = types.ModuleType("requests"), types.ModuleType("openai")
for verb in ("get", "head", "post", "put", "patch", "delete", "options"):
    setattr(requests, verb, sending(verb.upper()))
openai.OpenAI = lambda **given: Method("")  # type: ignore[attr-defined]
sys.modules.update(requests=requests, openai=openai)
calling.call = lambda arguments, cell, **_: told.append({**vars(arguments), "cell": cell})  # type: ignore[assignment]
os.system = sing  # type: ignore[assignment]

shell: Any = TerminalInteractiveShell.instance(
    config=Config(HistoryManager={"enabled": False}, TerminalInteractiveShell={"simple_prompt": True})
)
magics.load(shell)
shell.register_magic_function(lambda line, cell: told.append({"line": line, "cell": cell}), "cell", "bash")
shell.system = shell.system_raw = shell.getoutput = sing
out, sys.stdout = sys.stdout, io.StringIO()
ran = []
for source in json.load(sys.stdin):
    told.clear()
    canaries.clear()
    shell.user_ns.update(canary=sing, count="EXPANDED")
    done = shell.run_cell(source)
    error = done.error_before_exec or done.error_in_exec
    ran.append({"told": list(told), "canaries": list(canaries), "error": None if error is None else repr(error)})
json.dump(ran, out)
