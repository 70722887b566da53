"""``install(c, network=…)`` in a site's ``jupyterhub_config.py``: the service, its scopes, the spawner, the limits.

It adds to what the site has set and changes nothing else; what it did is said on the Hub's log. A setting that is
wrong, or with which this cannot work, ends the Hub's start with one sentence.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters.key_file import SealError, make_key
from ..adapters.sealing import Sealer
from ..core.crowding import SHARE_PER_OWNER, SHARE_PER_SERVICE
from ..core.policy import SERVICES, SNAPSHOT_FILES, Policy, host_to_plain, of_any_registry, policy_to_plain
from . import given, given_rules
from . import install_checks as checks
from . import install_steps as steps
from .addresses import Addresses
from .host_facts import as_notebooks_have, host_of, offered_images
from .own_hosts import notes_on_hosts
from .settings import HubSettings
from .site_config import SiteConfig, WrongSetting
from .token_user import missing_account

log = logging.getLogger("jupyter_model_service.hub")


@dataclass(frozen=True)
class Installed:
    """What :func:`install` did, for those who want to look at it. ``notes`` are the lines that it has logged."""

    settings: HubSettings
    gateway_settings: Mapping[str, Any]
    api_token_file: Path | None
    notes: Sequence[str]


def install(
    c: Any,
    *,
    network: str,
    allowed_images: Iterable[str] | None = None,
    max_services_per_user: int | None = SERVICES,
    max_replicas_per_user: int | None = 10,
    gpus: str | Iterable[str | int] | None = None,
    max_gpus_per_user: int | None = None,
    max_gpus_per_replica: int | None = None,
    max_cpus: float | None = None,
    max_memory: str | int | None = None,
    model_volumes: Mapping[str, Mapping[str, Any]] | Iterable[str] = (),
    snapshot_bytes_per_user: str | int = "20G",
    snapshot_files: int = SNAPSHOT_FILES,
    allow_public: bool = True,
    users: Collection[str] | None = None,
    groups: Collection[str] | None = None,
    longest_token: str | float | None = None,
    idle_limit: str | float | None = None,
    longest_life: str | float | None = None,
    rules: Iterable[Mapping[str, Any]] = (),
    service_name: str = "model-service",
    gateway_address: str | None = None,
    endpoints_url: str | None = None,
    managed: bool = True,
    key_file: str | Path | None = None,
    data_dir: str | Path = "model-service",
    token_user: str | None = None,
    trusted_proxies: Iterable[str] = (),
    share_per_service: float = SHARE_PER_SERVICE,
    share_per_owner: float = SHARE_PER_OWNER,
    access_log: str | Path | None = None,
    access_log_bytes: str | int | None = "64M",
    audit_kept: str | float | None = "365d",
    audit_log: str | Path | None = None,
    audit_syslog: str | None = None,
) -> Installed:
    """Let the users of this Hub serve models. Call it at the end of ``jupyterhub_config.py``; ``c`` is its ``c``.

    ``network``: the Docker network of the replicas. ``allowed_images``: names or patterns; without them a replica may
    run what its owner's notebook runs and what the site offers. ``max_services_per_user``: with those that are stopped
    or have no replica. ``gpus``: ``None`` for none, ``"all"``, or numbers or
    UUIDs of those that replicas may have. ``max_cpus`` and ``max_memory``: of one replica; without them as much as a
    notebook here. ``model_volumes``: volumes that may be mounted whole, or a mapping of their names to ``{"users",
    "groups", "writable"}``. ``users`` and ``groups``: who may serve, everybody by default.
    ``longest_token``: how long a token of an endpoint lives at most (``"30d"``); ``idle_limit`` and ``longest_life``:
    after how long without a call, and after its start, a service is stopped. ``rules``: what differs for some, such as
    ``{"groups": ["ds"], "max_gpus_per_user": 4}``. ``gateway_address``:
    ``host:port`` at which containers and the Hub's proxy reach the gateway; by default the host's own address in the
    network, port 8910. ``endpoints_url``: an address of the endpoints' own, or one such as
    ``https://*.models.example.org`` for a host of its own for each service. ``managed``: the Hub runs the gateway.
    ``data_dir``: of the gateway, with its key. ``trusted_proxies``: addresses or networks of proxies before the
    gateway that say truly who calls. ``share_per_service``: of the callers for whom there is room, those whom one
    service may have, ``share_per_owner`` those of all of one owner's services together. ``access_log``: a file in
    ``data_dir``, or ``"-"``, for a line of each call; at ``access_log_bytes`` it is begun anew. ``audit_kept``: how
    long entries of the audit log are kept, ``None`` for ever; ``audit_log``: a file to which it is copied;
    ``audit_syslog``: ``/dev/log`` or ``udp://HOST:PORT``, where it goes, too.

    Raises ``SystemExit`` with one sentence, which ends the Hub's start.
    """
    try:
        policy = Policy(
            allowed_images=given.limit_of("allowed_images", allowed_images),
            max_services_per_user=given.limit_of("max_services_per_user", max_services_per_user),
            max_replicas_per_user=given.limit_of("max_replicas_per_user", max_replicas_per_user),
            max_gpus_per_user=given.limit_of("max_gpus_per_user", max_gpus_per_user),
            max_gpus_per_replica=given.limit_of("max_gpus_per_replica", max_gpus_per_replica),
            max_cpus=given.limit_of("max_cpus", max_cpus),
            max_memory=given.limit_of("max_memory", max_memory),
            model_volumes=given.volumes_of(model_volumes),
            snapshot_bytes_per_user=given.setting_size_of("snapshot_bytes_per_user", snapshot_bytes_per_user) or 0,
            snapshot_files=given.count_of("snapshot_files", snapshot_files) or 0,
            allow_public=given.limit_of("allow_public", allow_public),
            users=None if users is None else given.names_of("users", users),
            groups=None if groups is None else given.names_of("groups", groups),
            longest_token=given.limit_of("longest_token", longest_token),
            idle_limit=given.limit_of("idle_limit", idle_limit),
            longest_life=given.limit_of("longest_life", longest_life),
            rules=given_rules.rules_of(rules),
        )
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", service_name):
            raise WrongSetting(f"service_name {service_name!r} must be lower-case letters, digits and hyphens.")
        installation = _Installation(SiteConfig(c), network, service_name, managed, Path(data_dir).absolute())
        of_calls = given.access_log_of(access_log, access_log_bytes)
        return installation.run(
            policy=policy,
            gpus=given.gpus_of(gpus),
            gateway_address=gateway_address,
            endpoints_url=given.url_of("endpoints_url", endpoints_url),
            key_file=None if key_file is None else Path(key_file).absolute(),
            token_user=token_user or f"{service_name}-tokens",
            trusted_proxies=given.networks_of("trusted_proxies", trusted_proxies),
            share_per_service=given.share_of("share_per_service", share_per_service),
            share_per_owner=given.share_of("share_per_owner", share_per_owner),
            access_log=of_calls,
            audit=given.audit_of(audit_kept, audit_log, audit_syslog, of_calls),
        )
    except (WrongSetting, SealError) as error:
        raise SystemExit(f"The model service cannot be installed: {error}") from None


class _Installation:
    def __init__(self, site: SiteConfig, network: str, service_name: str, managed: bool, data_dir: Path) -> None:
        self._site = site
        self._network = network
        self._name = service_name
        self._managed = managed
        self._data_dir = data_dir
        self._notes: list[str] = []

    def run(
        self,
        *,
        policy: Policy,
        gpus: tuple[str, ...] | None,
        gateway_address: str | None,
        endpoints_url: str | None,
        key_file: Path | None,
        token_user: str,
        trusted_proxies: tuple[str, ...],
        share_per_service: float,
        share_per_owner: float,
        access_log: Mapping[str, Any],
        audit: Mapping[str, Any],
    ) -> Installed:
        spawner = checks.check_spawner(self._site, self._note)
        checks.check_hub(self._site, self._note)
        if (sentence := missing_account(self._site, token_user)) is not None:
            raise WrongSetting(sentence)
        facts, engine = checks.look_at_network(self._site, spawner, self._network, self._note)
        address = given.address_of(gateway_address or checks.default_address(facts))
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WrongSetting(f"the data_dir {self._data_dir} cannot be made: {error.strerror}.") from None
        key_path = key_file or self._data_dir / "sealing.key"
        key = make_key(key_path)
        settings = HubSettings(
            network=self._network,
            policy=policy,
            hub=hashlib.sha256(f"hub|{key}".encode()).hexdigest()[:12],
            sealer=Sealer(key),
            gateway=f"http://{address}",
            service_name=self._name,
            gpus=gpus,
        )
        addresses = Addresses.of(self._site, self._name, address.rpartition(":")[0])
        told = {
            "v": 1,
            "gateway": settings.gateway,
            "api_url": addresses.api_url,
            "prefix": addresses.prefix,
            "public_url": addresses.public_url,
            "key_file": str(key_path),
            "data_dir": str(self._data_dir),
            "policy": policy_to_plain(as_notebooks_have(policy, self._site, spawner)),
            "host": host_to_plain(host_of(engine, gpus)),
            "site_images": offered_images(self._site, spawner),
            "endpoints_url": endpoints_url,
            "token_user": token_user,
            "service_name": self._name,
            "hub": settings.hub,
            "trusted_proxies": list(trusted_proxies),
            "share_per_service": share_per_service,
            "share_per_owner": share_per_owner,
            **access_log,
            **audit,
            **({} if self._managed else {"api_token_file": str(self._data_dir / "api-token")}),
        }
        steps.set_spawner(self._site, spawner, settings, self._note)
        steps.limit_servers(self._site, self._name, self._note)
        token_file = steps.add_service(
            self._site, settings, told, self._note, managed=self._managed, data_dir=self._data_dir
        )
        steps.add_scopes(self._site, self._name, token_user, self._note)
        public = bool(self._site.of_hub("public_url"))
        for sentence in notes_on_hosts(endpoints_url, addresses.public_url, given=public):
            self._note(sentence)
        if loose := of_any_registry(policy):
            self._note(
                f"allowed_images has {', '.join(loose)}: * stands for slashes, too, so images of any registry fit. "
                "Write the registry's whole name and a slash before the first *, as in registry.example.org/*."
            )
        if not trusted_proxies:
            self._note(
                "trusted_proxies is empty: all who come through the Hub's proxy have its one address, in the logs and "
                "in the limit on wrong tokens, so that one who guesses holds up whoever is new there. Name the address "
                "from which that proxy calls (the audit log has it of everybody meanwhile), where nobody else can call "
                "from it (docs/admin.md)."
            )
        for note in self._notes:
            log.warning("Model service: %s", note)
        return Installed(settings, told, token_file, tuple(self._notes))

    def _note(self, text: str) -> None:
        self._notes.append(text)
