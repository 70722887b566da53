"""Jobs of the Hub's process: short-lived named servers that run nothing, whose state says what they came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..core.hub_options import JobOptions, Summary
from ..errors import LaunchError
from .hub_servers import HubServers, ServerState

__all__ = ["HubJobs"]


class HubJobs:
    """Those of one gateway. ``under_way`` are the servers that are being waited for: any other of that kind is one that
    a killed gateway waited for."""

    def __init__(self, servers: HubServers) -> None:
        self._servers = servers
        self.under_way: set[str] = set()

    async def run(
        self,
        options: JobOptions,
        what: str,
        limit: float,
        tell: Callable[[ServerState], None] | None = None,
        waits: Callable[[], None] = lambda: None,
    ) -> Mapping[str, object]:
        """What the job came to; its server is gone then. Raises what :meth:`HubServers.start` does."""
        self.under_way.add(options.server)
        settle = True
        try:
            state = await self._servers.start(
                options,
                Summary(what),
                done=lambda state: state.result is not None,
                limit=limit,
                tell=tell,
                waits=lambda reason: waits(),
            )
            settle = False
            return state.result or {}
        except LaunchError:
            settle = False
            raise
        finally:
            await self._servers.clean(options.user, options.server, settle=settle)
            self.under_way.discard(options.server)
