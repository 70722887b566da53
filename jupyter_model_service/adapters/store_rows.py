"""Between records and rows: what is stored of each record, and how it comes back."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Row

from jupyter_model_service.core.grants import PathRule
from jupyter_model_service.core.limits import Limits
from jupyter_model_service.core.revision import Revision, revision_from_plain, revision_to_plain
from jupyter_model_service.core.scaling.policy import Autoscaling, Rule, Schedule
from jupyter_model_service.ports import EventRecord, Notice, Placement, ReplicaRecord, ServiceRecord, TokenRecord

from .at_rest import AtRest
from .store_sealed import opened_environment, opened_secret, sealed_content, sealed_secret


def service_row(record: ServiceRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "owner": record.owner,
        "name": record.name,
        "public": record.public,
        "running": record.running,
        "replicas": record.replicas,
        "active": record.active,
        "stable": record.stable,
        "created_at": record.created_at,
        "error": record.error,
        "note": record.note,
        "restarted_at": record.restarted_at,
        "former": list(record.former),
        "restarts": record.restarts,
        "autoscaling": None if record.autoscaling is None else dataclasses.asdict(record.autoscaling),
        "notice": None if record.notice is None else dataclasses.asdict(record.notice),
        "origins": list(record.origins),
        "last_call_at": record.last_call_at,
        "began_at": record.began_at,
    }


def service_from(row: Row[Any]) -> ServiceRecord:
    there = {
        "former": tuple(row.former),
        "autoscaling": _autoscaling(row.autoscaling),
        "notice": None if row.notice is None else Notice(**row.notice),
        "origins": tuple(row.origins),
    }
    return ServiceRecord(**{**row._mapping, **there})


def _autoscaling(plain: Any) -> Autoscaling | None:
    """As it was written, not as somebody wrote it: what came later has its defaults, and nothing is checked again. A
    policy that today's checks would refuse must not keep the gateway from starting."""
    if plain is None:
        return None
    rules = tuple(Rule(**rule) for rule in plain.get("rules", ()))
    schedules = tuple(Schedule(**schedule) for schedule in plain.get("schedules", ()))
    return Autoscaling(**{**plain, "rules": rules, "schedules": schedules})


def revision_row(service: ServiceRecord, revision: Revision, at_rest: AtRest) -> dict[str, Any]:
    return {
        "service_id": service.id,
        "number": revision.number,
        "content": sealed_content(revision_to_plain(revision), service.owner, service.id, at_rest),
    }


def revision_from(row: Row[Any], service: ServiceRecord, at_rest: AtRest) -> Revision:
    pairs, unread = opened_environment(row.content, service.owner, service.id, row.number, at_rest)
    return dataclasses.replace(revision_from_plain({**row.content, "environment": pairs}), unread=tuple(unread))


def replica_row(record: ReplicaRecord, at_rest: AtRest) -> dict[str, Any]:
    placement = record.placement
    return {
        "id": record.id,
        "service_id": record.service_id,
        "revision": record.revision,
        "secret": sealed_secret(record.secret, record.id, record.service_id, record.revision, at_rest),
        "placement": None
        if placement is None
        else {
            "handle": dict(placement.handle),
            "control": list(placement.control),
            "address": list(placement.address),
        },
        "created_at": record.created_at,
    }


def replica_from(row: Row[Any], at_rest: AtRest) -> ReplicaRecord:
    plain = row.placement
    return ReplicaRecord(
        id=row.id,
        service_id=row.service_id,
        revision=row.revision,
        secret=opened_secret(row.secret, row.id, row.service_id, row.revision, at_rest),
        placement=None
        if plain is None
        else Placement(handle=plain["handle"], control=_address(plain["control"]), address=_address(plain["address"])),
        created_at=row.created_at,
    )


def _address(plain: Any) -> tuple[str, int]:
    host, port = plain
    return str(host), int(port)


def token_row(record: TokenRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "service_id": record.service_id,
        "name": record.name,
        "digest": record.digest,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "last_used_at": record.last_used_at,
        "limits": limits_plain(record.limits),
        "day": record.day,
        "calls": record.calls,
        "rules": rules_plain(record.rules),
        "family": record.family,
        "created_by": record.created_by,
    }


def token_from(row: Row[Any]) -> TokenRecord:
    limits = None if row.limits is None else Limits(**row.limits)
    return TokenRecord(**{**row._mapping, "limits": limits, "rules": tuple(map(_rule, row.rules))})


def rules_plain(rules: tuple[PathRule, ...]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(rule) for rule in rules]


def _rule(plain: Any) -> PathRule:
    methods = plain["methods"]
    return PathRule(plain["path"], None if methods is None else tuple(methods))


def limits_plain(limits: Limits | None) -> dict[str, Any] | None:
    return None if limits is None else dataclasses.asdict(limits)


def event_row(record: EventRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "at": record.at,
        "service_id": record.service_id,
        "kind": record.kind,
        "message": record.message,
        "replica": record.replica,
        "details": dict(record.details),
        "audience": record.audience,
        "others": record.others,
    }


def event_from(row: Row[Any]) -> EventRecord:
    return EventRecord(**row._mapping)
