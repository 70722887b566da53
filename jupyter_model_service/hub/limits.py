"""The limit of named servers, with replicas beside it: the first thing that the Hub asks when somebody wants one.

It is asked before there is a record of the server, so that what only our service may start is refused here already.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from jupyterhub import orm
from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.utils import maybe_future
from tornado import web

from ..core.hub_options import KEY, SERVER_PREFIX
from .spawner import ModelServiceMixin, reserved_name

LATE = "The Hub's spawner_class was set again after install() of the model service: call install() at the end."

Limit = int | Callable[[Any], Any]


class NamedServerLimit:
    """For ``c.JupyterHub.named_server_limit_per_user``. ``site`` is the site's own: a number or a function of the
    handler. Our service has no limit of this kind, and a user's replicas come on top of hers."""

    def __init__(self, site: Limit, service_name: str) -> None:
        self.site = site
        self.service_name = service_name

    async def __call__(self, handler: Any) -> int:
        who = handler.current_user
        if isinstance(who, orm.Service) and who.name == self.service_name:
            if not issubclass(handler.settings["spawner_class"], ModelServiceMixin):
                raise web.HTTPError(500, LATE)
            return 0
        asked = isinstance(handler, UserServerAPIHandler)
        if asked and handler.request.method in ("POST", "PUT", "PATCH") and _wants_ours(handler):
            raise web.HTTPError(403, reserved_name())
        limit = await maybe_future(self.site(handler)) if callable(self.site) else self.site
        if limit <= 0:
            return int(limit)
        user = handler.find_user(handler.path_args[0]) if asked else who
        if user is None or isinstance(user, orm.Service):
            return int(limit)
        return int(limit) + sum(1 for name in user.orm_spawners if name.startswith(SERVER_PREFIX))


def _wants_ours(handler: Any) -> bool:
    """A name of ours for a new or a renamed server, or options under our key."""
    names = list(handler.path_args[1:2])
    try:
        body = json.loads(handler.request.body or b"null")
    except ValueError:
        body = None
    if isinstance(body, dict):
        options = body.get("user_options")
        if KEY in body or (isinstance(options, dict) and KEY in options):
            return True
        if handler.request.method == "PATCH":
            names = [body.get("name")]
    return any(isinstance(name, str) and name.startswith(SERVER_PREFIX) for name in names)
