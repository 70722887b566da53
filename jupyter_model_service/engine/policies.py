"""What an owner may say about autoscaling: set, change and end the policy, and let it go on after a scale by hand.

Each change takes its turn like every other command. A count that the new policy does not allow is brought within its
bounds in the same write, not at the next look: who sets ``min`` to 2 need not wait for it. What would raise it beyond
what the owner may have is refused, as a scale by hand is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..core.scaling import reading, schedules
from ..core.scaling.checks import doubts_of
from ..core.scaling.keys import MOST_REPLICAS
from ..core.scaling.policy import Autoscaling
from ..core.sentences import counted, duration
from ..errors import Conflict, InvalidRequest
from ..ports import Clock, Queries, ServiceRecord
from .counts import settled
from .scaling import Scaling
from .state import Changed, Service
from .turns import Turns

Made = Callable[[Service], tuple[Autoscaling, str]]
"""The policy that a service is to have, and what to tell of it; raises what is wrong with it."""


class Policies:
    def __init__(self, clock: Clock, turns: Turns, scaling: Scaling, queries: Queries) -> None:
        self._clock = clock
        self._turns = turns
        self._scaling = scaling
        self._queries = queries

    async def set(self, owner: str, name: str, policy: Autoscaling | Mapping[str, Any] | None) -> Changed:
        """In the place of the former policy; ``None`` ends autoscaling, and the count stays as it is. What was scaled
        by hand stays held. ``InvalidRequest`` with a sentence for each problem."""
        service = self._turns.find(owner, name)
        if policy is None:
            return Changed(await self._turns.in_turn(self._end(service)))
        if isinstance(policy, Autoscaling):
            reading.check(policy, queries=self._queries.names)
            wanted = policy
        else:
            wanted = reading.autoscaling_from_plain(policy, queries=self._queries.names)

        def made(service: Service) -> tuple[Autoscaling, str]:
            former = service.record.autoscaling
            held = former is not None and former.held
            return replace(wanted, held=held), f"autoscaled: {described(wanted)}"

        return await self._change(service, made)

    async def adjust(self, owner: str, name: str, changes: Mapping[str, Any]) -> Changed:
        """What is given of the policy, as JSON (``null``: the default); all else is as it is when its turn has come, so
        that two who change different things at once lose nothing. A service without a policy gets one."""

        def made(service: Service) -> tuple[Autoscaling, str]:
            former = service.record.autoscaling
            plain = reading.autoscaling_to_plain(former) if former is not None else {}
            plain |= {key.replace("-", "_"): value for key, value in changes.items()}
            held = former is not None and former.held
            policy = reading.autoscaling_from_plain({**plain, "held": held}, queries=self._queries.names)
            if former is None and changes.get("max") is None and policy.min == policy.max and not policy.schedules:
                raise InvalidRequest(
                    f"Service {service.key} is not autoscaled, and its min and max would both be {policy.min}: nothing "
                    "would ever change the count. Say with max how many replicas there may be."
                )
            return policy, f"autoscaled: {described(policy)}"

        return await self._change(self._turns.find(owner, name), made)

    async def resume(self, owner: str, name: str) -> Changed:
        """After a scale by hand. Where nothing is held, nothing changes."""
        service = self._turns.find(owner, name)
        if not _policy(service).held:
            return Changed(service)

        def made(service: Service) -> tuple[Autoscaling, str]:
            return replace(_policy(service), held=False), "autoscaling goes on"

        return await self._change(service, made)

    async def add_rule(self, owner: str, name: str, plain: Mapping[str, Any]) -> Changed:
        """In our words or Backend.AI's. A service that is not autoscaled gets a policy with this rule, if the rule says
        how many replicas there may be; its calls count then, too, as in any other policy."""

        def made(service: Service) -> tuple[Autoscaling, str]:
            policy = service.record.autoscaling
            if policy is None:
                return self._of_rule(service, plain)
            more = reading.with_rule(policy, plain, queries=self._queries.names)
            return more, f"autoscaling: rule {more.rules[-1].id} on {more.rules[-1].metric} was added"

        return await self._change(self._turns.find(owner, name), made)

    def _of_rule(self, service: Service, plain: Mapping[str, Any]) -> tuple[Autoscaling, str]:
        widest = Autoscaling(0, MOST_REPLICAS, target=False)
        rule = reading.with_rule(widest, plain, queries=self._queries.names).rules[0]
        if rule.max is None:
            raise InvalidRequest(
                f"Service {service.key} is not autoscaled: say with the rule's max how many replicas there may be, or "
                "set a policy first."
            )
        policy = Autoscaling(1 if rule.min is None else rule.min, rule.max, rules=(rule,))
        reading.check(policy, queries=self._queries.names)
        return policy, f"autoscaled: {described(policy)}; rule {rule.id} on {rule.metric} was added"

    async def remove_rule(self, owner: str, name: str, id: str) -> Changed:
        def made(service: Service) -> tuple[Autoscaling, str]:
            return reading.without_rule(_policy(service), id), f"autoscaling: rule {id} was removed"

        return await self._change(self._turns.find(owner, name), made)

    async def add_schedule(self, owner: str, name: str, plain: Mapping[str, Any]) -> Changed:
        """A service that is not autoscaled gets a policy whose bounds are its count, and as much more or less as the
        schedule asks for."""

        def made(service: Service) -> tuple[Autoscaling, str]:
            policy = service.record.autoscaling
            more = self._of_schedule(service, plain) if policy is None else reading.with_schedule(policy, plain)
            added = more.schedules[-1]
            before = "autoscaling" if policy is not None else f"autoscaled: {described(more)}"
            link = ": " if policy is not None else "; "
            return more, f"{before}{link}schedule {added.id} ({added.when}, {added.timezone}) was added"

        return await self._change(self._turns.find(owner, name), made)

    def _of_schedule(self, service: Service, plain: Mapping[str, Any]) -> Autoscaling:
        """The schedule stays as it was written: a ``max`` put into it would beat the one that is set later."""
        count = max(1, service.record.replicas)
        schedule = reading.with_schedule(Autoscaling(0, MOST_REPLICAS), plain).schedules[0]
        least = count if schedule.min is not None or schedule.max is None else min(count, schedule.max)
        most = count if schedule.min is None or schedule.max is not None else max(count, schedule.min)
        return Autoscaling(least, most, schedules=(schedule,))

    async def remove_schedule(self, owner: str, name: str, id: str) -> Changed:
        def made(service: Service) -> tuple[Autoscaling, str]:
            return reading.without_schedule(_policy(service), id), f"autoscaling: schedule {id} was removed"

        return await self._change(self._turns.find(owner, name), made)

    # --- inside ---

    async def _change(self, service: Service, made: Made) -> Changed:
        async def body() -> Changed:
            self._turns.check_there(service)
            former = service.record.autoscaling
            policy, message = made(service)
            now = self._clock.now()
            before = count = service.record.replicas
            what, why = message, ""
            may_rise = self._may_rise(service, policy, now)

            def change(record: ServiceRecord) -> ServiceRecord:
                nonlocal before, count, why
                before = record.replicas
                count, why = settled(policy, before, now)
                if count > before and not may_rise:
                    count, why = before, ""
                return replace(record, autoscaling=policy, replicas=count)

            await self._turns.want(service, change)
            if policy.held:
                message += f"; held at {counted(count, 'replica')}, as scaled by hand, until it is resumed"
            elif why:
                message += f"; scaled to {counted(count, 'replica')}: {why}"
            self._scaling.changed(service, before, f"{what}; {why}")
            self._turns.told(service, "service.autoscaling", message)
            return Changed(service, (*_notices(former, policy), *self._doubts(service, former, policy)))

        return await self._turns.in_turn(body())

    def _may_rise(self, service: Service, policy: Autoscaling, now: float) -> bool:
        """Raises ``InvalidRequest`` where ``policy`` asks for more than the owner may have, and for more than its
        former did. Where the former asked for as much, she was limited after it: all else of it can be changed, and
        the count stays as low as it was left."""
        record, former = service.record, service.record.autoscaling
        count, _ = settled(policy, record.replicas, now)
        if count <= record.replicas or not record.running:
            return True
        try:
            self._turns.allowed_for(service, service.active, replicas=count)
        except InvalidRequest:
            if former is None or former.held or schedules.bounds(former, now).min < count:
                raise
            return False
        return True

    def _doubts(self, service: Service, former: Autoscaling | None, policy: Autoscaling) -> Iterator[str]:
        """Of its new rules."""
        for rule in policy.rules:
            if former is not None and rule in former.rules:
                continue
            for (end,), message in doubts_of(rule):
                yield f"Rule {rule.id}: {end} {message}"
            if why := self._scaling.unknown(service, rule.metric):
                yield (
                    f"Rule {rule.id}: {rule.metric} is unknown here now ({why}); while it is, the number of replicas "
                    "does not fall, and never to zero."
                )

    async def _end(self, service: Service) -> Service:
        if service.record.autoscaling is None:
            return service
        await self._turns.want(service, lambda record: replace(record, autoscaling=None))
        self._scaling.changed(service)
        message = f"autoscaled no more: {counted(service.record.replicas, 'replica')} until somebody scales it"
        self._turns.told(service, "service.autoscaling", message)
        return service


def _notices(former: Autoscaling | None, policy: Autoscaling) -> tuple[str, ...]:
    if former is None and policy.target and (policy.rules or policy.schedules):
        return (
            f"It was not autoscaled before, and is now: {described(policy)}. `autoscale` sets other bounds; its "
            "--no-target leaves the number to rules and schedules alone.",
        )
    return ()


def _policy(service: Service) -> Autoscaling:
    policy = service.record.autoscaling
    if policy is None:
        raise Conflict(f"Service {service.key} is not autoscaled.")
    return policy


def described(policy: Autoscaling) -> str:
    """In one clause."""
    said = [f"{policy.min} to {counted(policy.max, 'replica')}"]
    if policy.target and policy.target_concurrency is not None:
        said.append(f"{policy.target_concurrency:g} calls at once for each")
    elif policy.target:
        said.append("by its calls")
    if policy.rules:
        said.append(counted(len(policy.rules), "rule"))
    if policy.schedules:
        said.append(counted(len(policy.schedules), "schedule"))
    if policy.may_sleep:
        said.append(f"none when it was idle for {duration(policy.idle_after)}")
    return ", ".join(said)
