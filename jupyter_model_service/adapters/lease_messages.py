"""A runner's JSON lines as the plain data of ``core/reports.py``.

A proven runner is still not trusted: in a container, the model beside it can read its secret and speak in its
place. So everything is checked for type and clipped in size; ``ValueError`` says what was wrong.
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Mapping
from typing import Any

from ..core.reports import Exit, GpuSample, LeaseSample, RunnerState

PHASES = ("preparing", "loading", "exited", "stopping")
STAGES = ("prepare", "serve")
TEXT = 2000  # characters of a label or message
TAIL_LINES = 50
LINE = 8192  # characters of a log line
GPUS = 64
PORTS = 64


def message_from(line: bytes) -> Mapping[str, Any]:
    try:
        message = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ValueError("a line that is not JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("t"), str):
        raise ValueError("a line that is no message")
    return message


def state_from(message: Mapping[str, Any]) -> RunnerState:
    return RunnerState(
        phase=_one_of("phase", message.get("phase"), PHASES),
        action=_count("action", message.get("action", 0)),
        actions=_count("actions", message.get("actions", 0)),
        label=_text("label", message.get("label", "")),
        model_pid=_optional(_count, "model_pid", message.get("model_pid")),
        prepared_after=_optional(_number, "prepared_after", message.get("prepared_after")),
        exit=_exit_from(message.get("exit")),
    )


def sample_from(message: Mapping[str, Any]) -> LeaseSample | None:
    """``None`` for a heartbeat without figures."""
    sample = LeaseSample(
        gpus=_optional(_gpus_from, "gpus", message.get("gpus")),
        rss=_optional(_count, "rss", message.get("rss")),
        cpu_seconds=_optional(_number, "cpu", message.get("cpu")),
        cpu_at=_optional(_number, "cpu_at", message.get("cpu_at")),
    )
    return None if sample.gpus is None and sample.rss is None and sample.cpu_seconds is None else sample


def ports_from(message: Mapping[str, Any]) -> tuple[tuple[str, int], ...] | None:
    """``None`` where the runner cannot see them."""
    ports = message.get("ports")
    if ports is None:
        return None
    if not isinstance(ports, list) or len(ports) > PORTS:
        raise ValueError("ports that are no list")
    return tuple(_port_from(each) for each in ports)


def log_piece_from(message: Mapping[str, Any]) -> tuple[list[str], int, int, bool]:
    """``(lines, next cursor, lines lost, whether more pieces follow)``."""
    lines = _lines(message.get("lines"), limit=100_000)
    following = _count("next", message.get("next"))
    return lines, following, _count("lost", message.get("lost", 0)), message.get("more") is True


def _gpus_from(name: str, gpus: Any) -> tuple[GpuSample, ...]:
    if not isinstance(gpus, list) or len(gpus) > GPUS:
        raise ValueError(f"{name} that are no list")
    return tuple(_gpu_from(gpu) for gpu in gpus)


def _gpu_from(gpu: Any) -> GpuSample:
    if not isinstance(gpu, dict):
        raise ValueError("a GPU that is no object")
    total = _count("memory_total", gpu.get("memory_total"))
    return GpuSample(
        uuid=_text("uuid", gpu.get("uuid"))[:100],
        utilization=min(_number("utilization", gpu.get("utilization")), 100.0),
        memory_used=min(_count("memory_used", gpu.get("memory_used")), total),
        memory_total=total,
    )


def _port_from(pair: Any) -> tuple[str, int]:
    match pair:
        case [str(host), int(port)] if not isinstance(port, bool) and 0 < port < 65536:
            return str(ipaddress.ip_address(host)), port  # whatever is none is a ValueError
    raise ValueError("a port that is none")


def _exit_from(exit: Any) -> Exit | None:
    if exit is None:
        return None
    if not isinstance(exit, dict):
        raise ValueError("an exit that is no object")
    signal = exit.get("signal")
    return Exit(
        stage=_one_of("stage", exit.get("stage"), STAGES),
        code=_optional(_count, "code", exit.get("code")),
        signal=None if signal is None else _text("signal", signal)[:40],
        oom=exit.get("oom") is True,
        action=_optional(_count, "action", exit.get("action")),
        message=_text("message", exit.get("message", "")),
        tail=tuple(_lines(exit.get("tail", []), limit=TAIL_LINES)),
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"an unknown {name}")
    return str(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a {name} that is no text")
    return value[:TEXT]


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"a {name} that is no count")
    return value


def _number(name: str, value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"a {name} that is no number")
    try:
        number = float(value)
    except OverflowError:  # a whole number of 400 digits
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"a {name} that is no number")
    return number


def _optional(read: Any, name: str, value: Any) -> Any:
    return None if value is None else read(name, value)


def _lines(value: Any, limit: int) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise ValueError("log lines that are no list of texts")
    return [line[:LINE] for line in value[-limit:]]
