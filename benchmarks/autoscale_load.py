"""What is replayed: calls with the moment at which each comes and the seconds that a replica takes for it."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

SHAPES = ("step", "steady", "ramp", "bursts", "day")


@dataclass(frozen=True)
class Load:
    """``calls``: (seconds since the beginning, seconds of work), in order. ``step_at``: when more is asked for."""

    name: str
    calls: list[tuple[float, float]]
    seconds: float
    step_at: float = 0.0


def rate_of(shape: str, low: float, high: float, seconds: float) -> tuple[Callable[[float], float], float, float]:
    """Calls per second at each moment, the whole length, and when the load first rises.

    step: 300 s of ``low``, ``seconds`` of ``high``, 600 s of ``low``. ramp: up for half of the time and down again.
    bursts: 30 s of ``high`` every 300 s. day: a sine from ``low`` to ``high`` and back, with a lunch break.
    """
    if shape == "step":
        return (lambda t: high if 300.0 <= t < 300.0 + seconds else low), seconds + 900.0, 300.0
    if shape == "steady":
        return (lambda t: high), seconds, 0.0
    if shape == "ramp":
        return (lambda t: low + (high - low) * (1.0 - abs(2.0 * t / seconds - 1.0))), seconds, 0.0
    if shape == "bursts":
        return (lambda t: high if t % 300.0 >= 270.0 else low), seconds, 270.0

    def day(t: float) -> float:
        part = t / seconds
        height = 0.5 - 0.5 * math.cos(2.0 * math.pi * part)
        return low + (high - low) * height * (0.6 if 0.48 < part < 0.54 else 1.0)

    return day, seconds, 0.0


def service_times(kind: str, mean: float, rng: random.Random) -> Iterator[float]:
    """``fixed``, ``exp`` (coefficient of variation 1) or ``heavy`` (log-normal with 2: a few calls take very long)."""
    spread = math.sqrt(math.log(1.0 + 2.0**2))
    while True:
        if kind == "fixed":
            yield mean
        elif kind == "exp":
            yield rng.expovariate(1.0 / mean)
        else:
            yield mean * math.exp(rng.gauss(-spread * spread / 2.0, spread))


def shape(name: str, *, low: float, high: float, seconds: float, mean: float, kind: str, seed: int) -> Load:
    """Poisson arrivals by thinning: the same seed gives the same calls to every rule."""
    rng = random.Random(f"{name} {seed}")
    rate, whole, step_at = rate_of(name, low, high, seconds)
    peak = max(low, high)
    works = service_times(kind, mean, random.Random(f"work {name} {seed}"))
    calls: list[tuple[float, float]] = []
    at = rng.expovariate(peak)
    while at < whole:
        if rng.random() * peak < rate(at):
            calls.append((at, next(works)))
        at += rng.expovariate(peak)
    return Load(name, calls, whole, step_at)


def trace(path: Path, *, speed: float, prompt_rate: float = 2000.0, token_rate: float = 40.0) -> Load:
    """A file with columns TIMESTAMP, ContextTokens, GeneratedTokens (the Azure LLM inference traces). ``speed`` makes
    the calls come so many times as fast; what each takes stays: context / 2000 + generated / 40 seconds."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    begin = moment(rows[0]["TIMESTAMP"])
    calls = sorted(
        (
            (moment(row["TIMESTAMP"]) - begin) / speed,
            int(row["ContextTokens"]) / prompt_rate + int(row["GeneratedTokens"]) / token_rate,
        )
        for row in rows
    )
    return Load(f"{path.stem[:24]} {speed:g}x", calls, calls[-1][0])


def moment(text: str) -> float:
    """Seconds; the files have seven digits after the point, one more than ``fromisoformat`` of Python 3.10 takes."""
    whole, _, part = text.partition(".")
    return datetime.fromisoformat(whole).timestamp() + float(f"0.{part or 0}")
