"""The autoscaler at work: looks at each service every two seconds, and at once when a call comes to one that is asleep
or a start fails; asks ``core.scaling.decide``, and does what that says.

What it keeps is in memory (``state.Scaled``) and begins anew with the gateway: then no count falls before a whole
window has been seen. Only changes are stored, as the count and as events. Scaling up counts on what the owner may have
and on the room that there is: neither is asked while the count stays or falls.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from ..core.backoff import Retry
from ..core.definition import Definition
from ..core.replica import LEAVING
from ..core.scaling import reading, schedules
from ..core.scaling.decide import Memory, decide, target_of
from ..core.scaling.policy import Autoscaling
from ..core.scaling.signals import Bounds, Decision, Limit, Sample, Wish
from ..core.sentences import counted, duration
from ..errors import ModelServiceError
from ..ports import AskedQuery, Queries
from . import resting, sampling
from .callers_reason import AT_LIMIT, NO_ROOM
from .controller import Controller
from .history import Histories
from .journal import Journal
from .routes import none_because, update_endpoint
from .sampling import TICK, Look
from .state import Decided, Parts, Replica, Scaled, Service
from .steady import found_steady, goes_on, no_more_steady
from .tasks import Tasks
from .turns import Turns
from .unknown import explained, why_unknown
from .views import is_rolling

log = logging.getLogger(__name__)

BATCH = 20  # services in one turn of the loop: about 1 ms
LIMIT_KEPT = 10.0  # seconds that what an owner may have is not asked again
EVENTS_READ = 300  # of a service, for what its starts took
BOUNDS_KEPT = 3600.0  # seconds; they say themselves when they change, and a machine's clock may be set


class Scaling:
    """``histories`` get a point of every service, autoscaled or not, each :data:`TICK`."""

    def __init__(
        self,
        parts: Parts,
        tasks: Tasks,
        controller: Controller,
        journal: Journal,
        turns: Turns,
        queries: Queries,
        histories: Histories,
    ) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._tasks = tasks
        self._controller = controller
        self._journal = journal
        self._turns = turns
        self._queries = queries
        self._histories = histories
        self._failed: set[Service] = set()
        self._most_said = f"a service can have {counted(parts.settings.max_replicas, 'replica')} at most"
        controller.on_published = self._published
        controller.on_ready = self._replica_ready
        controller.on_failed = self._replica_failed

    def start(self) -> None:
        """The world is known: from now on counts are decided about."""
        self._tasks.start("autoscaling", self._run())
        self._tasks.start("past of autoscaling", self._remember())

    # --- when ---

    async def _run(self) -> None:
        """A few services at a time, spread over the tick: calls go first. Each is looked at every :data:`TICK`."""
        while True:
            began = self._clock.monotonic()
            services = list(self._controller.services.values())
            asked: list[AskedQuery] = []
            batches = max(1, math.ceil(len(services) / BATCH))
            share = TICK / batches
            for number in range(batches):
                for service in services[number * BATCH : (number + 1) * BATCH]:
                    self._safely(service, self._tick)
                    asked += sampling.asked(service)
                if number == batches - 1:
                    self._queries.want(asked)
                await self._clock.sleep(max(share / 4, began + (number + 1) * share - self._clock.monotonic()))

    async def _remember(self) -> None:
        """What is stored of the time before the gateway was started: what starts took, of those services whose callers
        may have to wait for one, and which rules have fired and rest."""
        for service in list(self._controller.services.values()):
            policy = service.record.autoscaling
            if policy is None:
                continue
            unlearnt = policy.may_sleep and service.endpoint.start_seconds is None
            if not (unlearnt or policy.rules):
                continue
            try:
                events = await self._parts.store.events(service.id, 0, EVENTS_READ)
            except ModelServiceError as error:
                log.warning("What starts took and which rules rest cannot be read: %s", error)
                return
            resting.remember(service, events, self._clock.now(), self._clock.monotonic())
            if unlearnt and service.endpoint.start_seconds is None:
                for event in events:
                    if isinstance(seconds := event.details.get("start_seconds"), (int, float)):
                        sampling.learn_start(service, seconds)

    def unknown(self, service: Service, metric: str) -> str:
        """Why a figure of its replicas is not known now, as a clause; empty where it is, or where none is ready."""
        seen = sampling.look(service, self._clock.monotonic())
        if metric not in sampling.OF_REPLICAS or not seen.ready:
            return ""
        return why_unknown(metric, service, seen, self._queries) if getattr(seen, metric) is None else ""

    def _tick(self, service: Service) -> None:
        now = self._clock.monotonic()
        seen = sampling.look(service, now)
        sampling.mark(service, now)
        self._histories.of(service.id).add(self._clock.now(), sampling.point(service, seen))
        self.consider(service, seen)

    def _safely(self, service: Service, look: Callable[[Service], None]) -> None:
        if service.deleting:
            return
        try:
            look(service)
        except Exception:  # one service's trouble must not stop the others
            log.exception("Autoscaling of service %s failed", service.key)
            self._controller.faults.append(f"{service.key}: autoscaling failed")

    def _published(self, service: Service) -> None:
        service.endpoint.on_call = lambda: self._called(service)

    def _called(self, service: Service) -> None:
        """By the front: there is no replica for a call. Afterwards the endpoint says whether there will be one."""
        if not service.asleep:
            return
        if service.unseen or not self._controller.acting:
            service.endpoint.unavailable = none_because(service, "it cannot be woken while the gateway starts or ends")
            return
        self.consider(service, called=True)
        now = self._clock.monotonic()
        update_endpoint(service, now)
        if service.record.replicas:
            self._parts.meter.cold_start(service.record.owner, service.record.name)
        elif now >= service.endpoint.retry_at and service.scaled.decisions[-1].decision.bound:
            limit = service.scaled.limit
            why = AT_LIMIT if limit is not None and now < limit[1] else NO_ROOM
            service.endpoint.unavailable = none_because(service, why)  # not what it says to those who do not call

    def _replica_ready(self, replica: Replica) -> None:
        replica.service.scaled.waking = False
        if not replica.adopted:
            sampling.learn_start(replica.service, self._clock.monotonic() - replica.created)

    def _replica_failed(self, replica: Replica) -> None:
        """In the middle of its change of phase: looked at when that is over."""
        if not self._failed:
            asyncio.get_running_loop().call_soon(self._after_failures)
        self._failed.add(replica.service)

    def _after_failures(self) -> None:
        failed, self._failed = self._failed, set()
        for service in sorted(failed, key=lambda s: s.key):
            if self._start_failed(service):
                self._back_to_sleep(service)
                continue
            if not self._comes(service):
                service.endpoint.woken_at = None  # who waits does so for the next one, like anybody
            self._safely(service, self.consider)

    # --- what ---

    def bounds(self, service: Service, policy: Autoscaling) -> Bounds:
        """Those of ``policy`` now."""
        scaled, now = service.scaled, self._clock.now()
        kept = scaled.bounds
        if (
            kept is not None
            and scaled.bounds_of is policy
            and 0 <= now - scaled.bounds_at < BOUNDS_KEPT
            and (kept.changes_at is None or now < kept.changes_at)
        ):
            return kept
        scaled.bounds, scaled.bounds_of, scaled.bounds_at = schedules.bounds(policy, now), policy, now
        if scaled.bounds != kept:
            self._controller.touch(service)
        return scaled.bounds

    def consider(self, service: Service, seen: Look | None = None, *, called: bool = False) -> None:
        """Decide about it now, if there is anything to decide. ``called``: a call waits for its first replica."""
        record, scaled = service.record, service.scaled
        policy = record.autoscaling
        if policy is None or service.deleting or service.unseen or not self._controller.acting:
            return
        bounds = self.bounds(service, policy)
        if not record.running or record.error is not None:
            scaled.memory = scaled.steady = None  # when it runs again, nothing is known of its calls
            return
        seen = seen or sampling.look(service, self._clock.monotonic())
        if scaled.steady is not None:
            if not called and goes_on(service, scaled.steady, policy, bounds, seen, self._queries):
                scaled.steady.at, scaled.decisions[-1].at = seen.at, self._clock.now()
                return
            no_more_steady(service)
        sample = explained(sampling.take(service, seen, self._queries), service, seen, self._queries)
        if called:
            sample = replace(sample, queued=max(1, sample.queued))
        decision = self._decide(service, policy, bounds, sample, seen.at)
        self._keep(service, decision)
        if decision.changed:
            self._apply(service, decision)
        elif not called:
            found_steady(service, policy, bounds, sample, decision)

    def _decide(self, service: Service, policy: Autoscaling, bounds: Bounds, sample: Sample, now: float) -> Decision:
        scaled, current = service.scaled, service.record.replicas
        before = scaled.memory or Memory.fresh(now, current)
        concurrency = service.active.definition.serving.concurrency
        target = target_of(policy, concurrency)

        def decided(limit: Limit) -> Decision:
            decision, scaled.memory = decide(
                policy,
                target,
                sample,
                before,
                now,
                current=current,
                bounds=bounds,
                limit=limit,
                concurrency=concurrency,
            )
            return decision

        limit = self._limit(service, now)
        decision = decided(limit)
        if decision.count > current and (allowed := self._allowed(service, decision.count, now)) < decision.count:
            assert scaled.limit is not None
            decision = decided(replace(scaled.limit[0], count=allowed))
        retry = service.retry(service.record.active)
        if current and retry.refusals and decision.bound is None:
            bound = _room(service, retry)
            decision = replace(decision, bound=bound, reason=f"{decision.reason}, but {bound}")
        return decision

    def _limit(self, service: Service, now: float) -> Limit:
        """What is known without asking anybody."""
        record, most = service.record, self._parts.settings.max_replicas
        retry = service.retry(record.active)
        if not record.replicas and now < retry.next_at:
            return Limit(0, f"{_last_start(retry)}; the next is tried in {duration(retry.next_at - now)}")
        if record.replicas and (retry.refusals or (retry.room is not None and is_rolling(service))):
            return Limit(record.replicas, _room(service, retry))
        if service.scaled.limit is not None and now < service.scaled.limit[1]:
            known = service.scaled.limit[0]
            return replace(known, count=max(known.count, record.replicas))
        return Limit(max(most, record.replicas), self._most_said)

    def _allowed(self, service: Service, wanted: int, now: float) -> int:
        """The most up to ``wanted`` that the owner may have beside the other services."""
        low, high = service.record.replicas, wanted
        why = self._refusal(service, wanted)
        if why is None:
            return wanted
        while high - low > 1:
            middle = (low + high) // 2
            said = self._refusal(service, middle)
            low, high, why = (middle, high, why) if said is None else (low, middle, said)
        service.scaled.limit = Limit(low, why.rstrip(".")), now + LIMIT_KEPT
        return low

    def _refusal(self, service: Service, replicas: int) -> str | None:
        try:
            self._turns.allowed_for(service, service.active, replicas=replicas)
        except ModelServiceError as error:
            return str(error)
        return None

    def check(self, definition: Definition) -> None:
        """Raises ``InvalidRequest`` for a policy of a definition that is none here: it looks at a query that the
        administrator has not allowed."""
        if definition.serving.autoscaling is not None:
            reading.check(definition.serving.autoscaling, queries=self._queries.names)

    def changed(self, service: Service, before: int | None = None, why: str = "") -> None:
        """Its policy, or whether it runs, is another than before. So may be its count, that was ``before``: ``why``, in
        a clause."""
        scaled, policy = service.scaled, service.record.autoscaling
        if policy is None:
            service.scaled = Scaled(marks=scaled.marks, tick=scaled.tick)
            return
        self.bounds(service, policy)
        scaled.limit = scaled.idle_since = None
        scaled.waking = False
        count = service.record.replicas
        if before is not None and count != before:
            now, reason = self._clock.monotonic(), f"from {before} to {count}: {why}"
            self._keep(service, Decision(now, before, count, reason, bounds=scaled.bounds))

    # --- doing it ---

    def _keep(self, service: Service, decision: Decision) -> None:
        """The last one of a row that differs in its figures only stands for the row."""
        decisions, at = service.scaled.decisions, self._clock.now()
        since, gist = at, _gist(decision)
        if decisions and not decision.changed and decisions[-1].gist == gist:
            since = decisions.pop().since
        decisions.append(Decided(decision, at, since, gist))

    def _apply(self, service: Service, decision: Decision) -> None:
        service.scaled.idle_since = decision.at if decision.count == 0 else None
        service.scaled.waking = decision.count > 0 and (decision.before == 0 or service.scaled.waking)
        self._controller.decide(service, replicas=decision.count)
        self._parts.meter.scaled(service.record.owner, service.record.name, decision.before, decision.count)
        if 0 in (decision.before, decision.count) and service.retry(service.record.active).refusals > 1:
            return  # one more attempt without room is no news
        details: dict[str, Any] = {
            "before": decision.before,
            "replicas": decision.count,
            "wishes": [asdict(wish) for wish in decision.wishes],
            "measured": dict(decision.measured),
            "bound": decision.bound,
            "fired": resting.fired(service, decision),
        }
        self._journal.add(service, "service.autoscaled", f"scaled {decision.reason}", details=details)

    # --- a start from zero that fails ---

    def _start_failed(self, service: Service) -> bool:
        """Whether it was to wake and nothing of it lives: those that wait are told why, and the next call tries again.

        Not when its owner started it, who is to be told that it fails; not when the plan gives the revision up now, and
        not while a GPU of ours is just being given back.
        """
        record, policy = service.record, service.record.autoscaling
        if not service.scaled.waking or policy is None or policy.held or not record.replicas or not record.running:
            return False
        if record.error is not None or service.deleting or self.bounds(service, policy).min > 0:
            return False
        retry = service.retry(record.active)
        if retry.tired and (not retry.ever_ready or record.stable not in (None, record.active)):
            return False
        return not self._comes(service)

    def _comes(self, service: Service) -> bool:
        """Whether a replica of it is on its way, or waits for a GPU of ours that is just being given back."""
        if any(r.live() for r in service.replicas.values()):
            return True
        return service.retry(service.record.active).refusals > 0 and any(
            replica.placed and replica.phase in LEAVING and replica.revision.resources.gpus
            for service in self._controller.services.values()
            for replica in service.replicas.values()
        )

    def _back_to_sleep(self, service: Service) -> None:
        now, current = self._clock.monotonic(), service.record.replicas
        said = _last_start(service.retry(service.record.active))
        decision = Decision(
            now,
            current,
            0,
            f"from {current} to 0: {said}; the next call tries again",
            (Wish("start", 0, said),),
            bounds=service.scaled.bounds,
        )
        self._keep(service, decision)
        self._apply(service, decision)
        update_endpoint(service, now)


def _gist(decision: Decision) -> object:
    """What a decision comes to, without its figures."""
    wishes = tuple((wish.source, wish.count) for wish in decision.wishes)
    return decision.before, decision.count, wishes, decision.bounds, decision.bound is None


def _room(service: Service, retry: Retry) -> str:
    placed = sum(r.live() and r.record.placement is not None for r in service.replicas.values())
    return f"there is room for {placed} just now: {retry.refusal}"


def _last_start(retry: Retry) -> str:
    return f"the last start failed: {(retry.refusal if retry.refusals else retry.reason).rstrip('.')}"
