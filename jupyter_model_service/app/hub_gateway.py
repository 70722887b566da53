"""The parts of a hub's gateway: replicas are named servers of the JupyterHub, the Hub's tokens say who calls.

It acts with the service's own token and never ends replicas at its own end: the next gateway takes them over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from ..adapters.at_rest import AtRest
from ..adapters.definition_file import GivenDefinitions
from ..adapters.host_gpus import HostGpus, LeasesWithHostGpus
from ..adapters.hub_api import HubApi
from ..adapters.hub_identity import HubIdentity
from ..adapters.hub_jobs import HubJobs
from ..adapters.hub_looks import HubLooks
from ..adapters.hub_oauth import HubOauth, OauthClient
from ..adapters.hub_policies import HubPolicies
from ..adapters.hub_servers import HubServers
from ..adapters.hub_storage import HubStorage
from ..adapters.hub_tokens import HubTokens
from ..adapters.hub_users import HubUsers
from ..adapters.key_file import SealError, read_key
from ..adapters.launch_hub import HubLauncher
from ..adapters.lease import TcpLeases
from ..adapters.sealing import Sealer
from ..adapters.visits import SealedVisits
from ..config import GatewaySettings, HubService
from ..core.effective import token_life
from ..core.hub_options import CONTROL_PORT
from ..core.policy import policy_to_plain
from ..engine.callers import Callers
from ..engine.engine import Engine
from ..engine.overrides import Overrides
from ..engine.settings import EngineSettings
from ..engine.tokens import EndpointTokens
from ..errors import Conflict, Forbidden, InvalidRequest, NotFound
from ..front.settings import FrontSettings
from ..web.audit import picture
from ..web.page_session import PageSessions
from .assembly import Assemble, Assembly, Site
from .files import DataDirectory
from .gateway import ended
from .offers import hub_offer
from .own_deeds import Looked
from .supervisor import bind, inherited_listener

__all__ = ["hub_at_rest", "hub_gateway"]

log = logging.getLogger(__name__)


def hub_gateway(settings: GatewaySettings, hub: HubService, files: DataDirectory) -> Assemble:
    async def assemble(site: Site) -> Assembly:
        try:
            key = await asyncio.to_thread(read_key, hub.key_file)
            sealer = Sealer(key)
        except SealError as error:
            raise InvalidRequest(str(error)) from error
        listener = inherited_listener()
        if listener is None:
            listener = await asyncio.to_thread(bind, hub.host, hub.port)
        site.undo.callback(listener.close)
        log.info("%s", who_reaches_whom(hub))
        api = HubApi(hub.api_url, hub.api_token, clock=site.clock)
        site.undo.push_async_callback(ended, "the connections to the Hub", api.close, 5.0)
        users = HubUsers(api, site.clock, files.path / "owners.json")
        servers = HubServers(api, sealer, site.clock)
        issuer = HubTokens(api, site.clock, user=hub.token_user, name_of=users.name_of)
        tokens = EndpointTokens(site.store, site.clock, {}, issuer, site.uses.token, site.uses.token_today)
        identity = HubIdentity(
            api,
            site.clock,
            endpoints=tokens,
            system_user=hub.token_user,
            meet=users.meet,
            doubt=users.doubt,
            members=users.members,
            looked=users.looked_within,
            service_name=hub.service_name,
        )
        site.undo.push_async_callback(ended, "questions to the Hub", identity.close, 5.0)
        client = OauthClient(hub.oauth_client, hub.service_name, hub.oauth_authorize, hub.oauth_callback)
        oauth = HubOauth(hub.api_url, hub.api_token, client)
        site.undo.push_async_callback(ended, "the connections of sign-ins", oauth.close, 5.0)

        def sessions(callers: Callers) -> PageSessions:
            return PageSessions(
                oauth,
                callers,
                SealedVisits(key, site.clock, "page"),
                site.clock,
                prefix=hub.prefix,
                secure=hub.base.startswith("https:"),
            )

        policies = HubPolicies(hub.policy, users)
        overrides = Overrides(site.store.access, site.clock, users.exists)
        await overrides.load()
        policies.overrides = overrides.of
        tokens.life = lambda owner, asked: token_life(policies.of(owner), owner, asked)
        launcher = HubLauncher(api, servers, users, policies, site.clock, host=hub.host_has)
        gpus = HostGpus(site.clock)
        site.undo.push_async_callback(ended, "figures of GPUs", gpus.stop, 5.0)
        jobs = HubJobs(servers)
        looks = HubLooks(jobs, hub.token_user, site.clock, gpus)
        site.undo.push_async_callback(ended, "the look at GPUs", looks.stop, 5.0)
        beside = _Beside(users, issuer, launcher, servers, tokens, identity)
        return Assembly(
            mode="hub",
            owner=hub.service_name,
            listener=listener,
            base=hub.base,
            prefix=hub.prefix,
            launcher=launcher,
            leases=LeasesWithHostGpus(TcpLeases(), gpus, launcher.gpus_of),
            storage=HubStorage(servers, users, hub.policy, files.path / "volumes.json", jobs),
            definitions=GivenDefinitions(),
            tokens=tokens,
            identity=identity,
            settings=EngineSettings(
                max_replicas=settings.max_replicas,
                revisions_kept=settings.revisions_kept,
                audit_kept=settings.audit_kept,
                launch_timeout=_LAUNCH_SECONDS,
                first_look=_FIRST_LOOK_SECONDS,
                contact_patience=_CONTACT_SECONDS,
                stopped_where="on the Hub's page or by its idle culler",
            ),
            front=FrontSettings(
                trusted_proxies=hub.trusted_proxies,
                shared_origin=True,
                own_cookie=False,
                page_help=_PAGE_HELP,
                share_per_service=hub.share_per_service,
                share_per_owner=hub.share_per_owner,
            ),
            hosts=hub.hosts,
            sessions=sessions,
            visits=None if hub.hosts is None else SealedVisits(key, site.clock),
            attach=_attach,
            attached=lambda: 0,
            kept=lambda: True,
            rules=policies,
            overrides=overrides,
            looks=looks,
            offer=hub_offer(policies, settings.max_replicas, hub.host_has, hub.site_images),
            shared=True,
            may_end=False,
            begin=beside.begin,
            configured=_configured(hub),
            told=lambda: [f"hub: {'does not answer' if users.problem else 'answers'}"],
        )

    return assemble


def hub_at_rest(hub: HubService) -> Callable[[], AtRest]:
    """Of the key that the Hub has as well, so that there is one key to keep."""
    return lambda: AtRest(read_key(hub.key_file), hub.key_file)


_PAGE_HELP = (
    "This service is private. Programs call it with a token, as 'Authorization: Bearer TOKEN'. For its pages to be "
    "opened in a browser, services need hosts of their own, where people sign in: an administrator of this Hub gives "
    'them one with endpoints_url="https://*.models.example.org" (docs/admin.md, "A host for each service").'
)
# A killed container may answer nothing at all, not even a refusal, and its replacement must be asked for within 3 s.
_CONTACT_SECONDS = 1.5
_FIRST_LOOK_SECONDS = 2.0  # for a Hub that is away; a gateway that was killed keeps callers waiting meanwhile
_REMOVAL_SECONDS = 30.0  # for the services of a user who is gone; a Hub that is away keeps nobody else's waiting
_LAUNCH_SECONDS = 660.0  # above the launcher's own limit: an image may have to be pulled first


def who_reaches_whom(hub: HubService) -> str:
    """For the log: a firewall between two of them shows only as silence."""
    return (
        f"the Hub's proxy and notebooks must reach this gateway at {hub.host}:{hub.port}; it must reach the Hub's API "
        f"at {hub.api_url}, and each replica at its own address, TCP port {CONTROL_PORT} (the next one where the model "
        "has that one) and the model's; replicas need to reach none of these (docs/admin.md, networks and firewall)"
    )


def _configured(hub: HubService) -> dict[str, Any]:
    """By install(), as far as it says what people may do."""
    return {
        "policy": policy_to_plain(hub.policy),
        "trusted_proxies": list(hub.trusted_proxies),
        "share_per_service": hub.share_per_service,
        "share_per_owner": hub.share_per_owner,
        "audit_kept": hub.audit_kept,
    }


def _attach(pid: int, create_time: float, keep: bool) -> NoReturn:
    raise Forbidden("No Jupyter server attaches to a hub's gateway: it stays without.")


class _Beside:
    """What runs beside the engine: the look at users, the tidying of tokens and of records, the reports of activity."""

    def __init__(
        self,
        users: HubUsers,
        issuer: HubTokens,
        launcher: HubLauncher,
        servers: HubServers,
        tokens: EndpointTokens,
        identity: HubIdentity,
    ) -> None:
        self._users = users
        self._issuer = issuer
        self._launcher = launcher
        self._servers = servers
        self._tokens = tokens
        self._identity = identity

    def begin(self, engine: Engine, undo: contextlib.AsyncExitStack) -> None:
        async def gone(owner: str, why: str) -> None:
            for view in engine.services(owner):
                log.warning("removing service %s/%s: %s", owner, view.name, why)
                was = picture(Looked(engine, self._tokens), owner, view.name)
                with contextlib.suppress(NotFound, Conflict):  # it is being deleted already
                    await engine.delete(owner, view.name)
                engine.audit.own("delete_service", f"{owner}/{view.name}", before=was, after={"why": why})
                self._tokens.forget(view.id)
            # Until then the next user of that name manages nothing: she would see what is just being removed.
            end = time.monotonic() + _REMOVAL_SECONDS
            while engine.services(owner) and time.monotonic() < end:
                await asyncio.sleep(0.1)
            if left := engine.services(owner):
                raise Conflict(f"{len(left)} services of {owner} are still being removed.")

        def oldest(owner: str) -> float | None:
            return min((view.created_at for view in engine.services(owner)), default=None)

        def renamed(owner: str, why: str) -> None:
            log.warning("services of %s: %s", owner, why)
            engine.audit.own("keep_services", owner, after={"why": why})

        engine.sharings.made, engine.sharings.seen = self._users.made, self._users.seen
        self._identity.came = engine.sharings.came
        self._users.start(lambda: {view.owner for view in engine.services()}, gone, oldest=oldest, renamed=renamed)
        undo.push_async_callback(ended, "the look at users", self._users.stop, 5.0)
        self._issuer.start(self._tokens.ids)
        undo.push_async_callback(ended, "the tidying of tokens", self._issuer.stop, 5.0)
        self._run("activity", self._launcher.report_activity(), undo)
        self._run("records that were left", self._servers.remove_left(), undo)

    @staticmethod
    def _run(name: str, work: Coroutine[Any, Any, None], undo: contextlib.AsyncExitStack) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        undo.push_async_callback(ended, name, stop, 5.0)
