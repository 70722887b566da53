"""The rules that are compared: ours is the real decision; the peers' are written anew from what they publish.

All aim at the same number of calls at once per replica (2.8 = 70 % of a cap of 4 unless told otherwise): what differs
is the rule. They see calls in flight and calls that wait, as their own data paths count both. All see at once that a
new replica is ready.
"""

from __future__ import annotations

import math
from collections import deque

from autoscale_world import Rule, Setting, View

from jupyter_model_service.core.scaling.decide import Memory, decide
from jupyter_model_service.core.scaling.policy import Autoscaling
from jupyter_model_service.core.scaling.signals import Bounds, Limit, Sample


class Window:
    """Means of calls at once (in flight and waiting) over the last seconds, exact between the moments of ``add``."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.points: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def add(self, view: View) -> None:
        self.points.append((view.now, view.in_flight_seconds + view.queued_seconds))
        while len(self.points) > 2 and self.points[1][0] <= view.now - self.longest:
            self.points.popleft()

    def mean(self, seconds: float) -> float:
        now, integral = self.points[-1]
        for at, before in reversed(self.points):
            if at < now and (at <= now - seconds or (at, before) == self.points[0]):
                return (integral - before) / (now - at)
        return 0.0


class Maximum:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.points: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> int:
        while self.points and self.points[-1][1] <= count:
            self.points.pop()
        self.points.append((now, count))
        while self.points[0][0] < now - self.seconds:
            self.points.popleft()
        return self.points[0][1]


class Ours:
    """The code that the gateway runs, with nothing set but bounds and the calls per replica."""

    def __init__(self, setting: Setting, *, down_delay: float = 300.0, name: str = "ours") -> None:
        self.name, self.tick = name, 2.0
        self.policy = Autoscaling(
            min=setting.least, max=setting.most, target_concurrency=setting.target, down_delay=down_delay
        )
        self.bounds = Bounds(setting.least, setting.most)
        self.limit = Limit(setting.most)
        self.target = setting.target
        self.memory = Memory.fresh(0.0, setting.initial)
        self.reasons: list[tuple[float, str]] = []

    def decide(self, view: View) -> int:
        sample = Sample(
            view.now,
            view.ready,
            view.starting,
            view.in_flight,
            view.queued,
            view.arrived,
            view.finished,
            view.busy_seconds,
            view.in_flight_seconds,
            view.last_call,
            start_seconds=view.start_seconds,
        )
        decision, self.memory = decide(
            self.policy,
            self.target,
            sample,
            self.memory,
            view.now,
            current=view.count,
            bounds=self.bounds,
            limit=self.limit,
        )
        if decision.changed:
            self.reasons.append((view.now, decision.reason))
        return decision.count


class Knative:
    """The Knative Pod Autoscaler: every 2 s, windows 60 s and 6 s, panic from 200 % of what is ready for 60 s, up at
    most 1000 times, down at most to half of what is ready; ``delay``: ``scale-down-delay``, 0 s by default."""

    def __init__(self, setting: Setting, *, delay: float = 0.0, name: str = "Knative") -> None:
        self.name, self.tick, self.target = name, 2.0, setting.target
        self.window = Window(60.0)
        self.delayed = Maximum(delay)
        self.panic_at: float | None = None
        self.panic_most = 0

    def decide(self, view: View) -> int:
        self.window.add(view)
        ready = max(1, view.ready)
        stable = self.bounded(math.ceil(self.window.mean(60.0) / self.target), ready)
        wanted = math.ceil(self.window.mean(6.0) / self.target)
        panic = self.bounded(wanted, ready)
        if wanted / ready >= 2.0:
            if self.panic_at is None:
                self.panic_most = 0
            self.panic_at = view.now
        elif self.panic_at is not None and view.now - self.panic_at > 60.0:
            self.panic_at = None
        count = stable
        if self.panic_at is not None:
            self.panic_most = max(self.panic_most, stable, panic)
            count = self.panic_most
        return self.delayed.add(view.now, count)

    @staticmethod
    def bounded(count: int, ready: int) -> int:
        return min(max(count, ready // 2), 1000 * ready)


class Hpa:
    """The Kubernetes HPA v2 on calls at once per replica: every 15 s, no change within 10 %, up by the larger of 100 %
    and 4 replicas in 15 s, down to the largest of 300 s. Its metric is the mean of the last 15 s; replicas that are
    not ready yet count as idle ones."""

    def __init__(self, setting: Setting) -> None:
        self.name, self.tick, self.target, self.setting = "HPA", 15.0, setting.target, setting
        self.window = Window(15.0)
        self.recommended = Maximum(300.0)

    def decide(self, view: View) -> int:
        self.window.add(view)
        ratio = self.window.mean(15.0) / (self.target * max(1, view.count))
        count = view.count if abs(ratio - 1.0) <= 0.1 else math.ceil(max(1, view.count) * ratio)
        highest = self.recommended.add(view.now, max(self.setting.least, min(self.setting.most, count)))
        if count >= view.count:
            return min(count, max(2 * view.count, view.count + 4))
        return min(view.count, highest)


class RayServe:
    """Ray Serve's autoscaling_config: calls of the last 30 s, told every 10 s; up after 30 s in which each look asked
    for more, down after 600 s in which each asked for fewer. (Its loop runs every 0.1 s; here every 0.5 s.)"""

    def __init__(self, setting: Setting) -> None:
        self.name, self.tick, self.target, self.setting = "Ray Serve", 0.5, setting.target, setting
        self.window = Window(30.0)
        self.pushed_at = -math.inf
        self.total = 0.0
        self.since: tuple[int, float] = (0, 0.0)

    def decide(self, view: View) -> int:
        self.window.add(view)
        if view.now - self.pushed_at >= 10.0:
            self.total, self.pushed_at = self.window.mean(30.0), view.now
        count = max(self.setting.least, min(self.setting.most, math.ceil(self.total / self.target)))
        if view.count == 0:
            return 1 if view.queued else 0
        direction = (count > view.count) - (count < view.count)
        if direction != self.since[0]:
            self.since = (direction, view.now)
        if direction and view.now - self.since[1] >= (30.0 if direction > 0 else 600.0):
            self.since = (0, view.now)
            return count
        return view.count


class Oracle:
    """No rule at all: ``count`` replicas from the first tick on. What no rule that starts cold can be better than."""

    def __init__(self, setting: Setting, count: int, name: str = "all at once") -> None:
        self.name, self.tick, self.count = name, 2.0, count

    def decide(self, view: View) -> int:
        return self.count


def all_rules(setting: Setting) -> list[Rule]:
    return [
        Ours(setting),
        Knative(setting),
        Knative(setting, delay=300.0, name="Knative+300s"),
        Hpa(setting),
        RayServe(setting),
    ]
