"""The Jupyter server extension: configuration, routes, and the life of the link to the gateway."""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_server.extension.application import ExtensionApp
from tornado.ioloop import IOLoop
from traitlets import Bool, Unicode

from ..client.address import Address
from ..discovery import default_data_dir, explicit_gateway
from .control import ControlHandler
from .handlers import EndpointHandler
from .link import GatewayLink, HubLink, Link
from .named import NamedHandler
from .workbench import WORKBENCH, Workbench


class ModelServiceExtension(ExtensionApp):
    """Forwards ``model-service/…`` of this Jupyter server to the user's gateway."""

    name = "jupyter_model_service"
    description = "Serve model folders from this Jupyter server."

    keep = Bool(
        False,
        help="Leave the gateway and its replicas running when the last Jupyter server of this user ends.",
    ).tag(config=True)
    data_dir = Unicode(
        "",
        help="Folder of the gateway's state; empty: 'model-service' in the Jupyter data directory.",
    ).tag(config=True)

    link: Link
    workbench: Workbench

    def initialize_settings(self) -> None:
        self.workbench = self.settings["model_service_workbench"] = Workbench()
        hub = _hub_link()
        if hub is not None:
            self.link = self.settings["model_service_link"] = hub
            return
        folder = Path(self.data_dir) if self.data_dir else default_data_dir()
        self.link = self.settings["model_service_link"] = GatewayLink(folder, keep=self.keep, log=self.log)
        # Services that were running when the user left come back with the first Jupyter server.
        resume = (folder / "state.db").exists()
        IOLoop.current().add_callback(self._start_link, resume)

    async def _start_link(self, resume: bool) -> None:
        self.link.start()
        if resume:
            try:
                await self.link.ensure()
            except Exception as error:  # told, not fatal: Jupyter itself must come up
                self.log.warning("model-service: %s", error)

    def initialize_handlers(self) -> None:
        self.handlers.extend(
            [
                (r"/model-service/(endpoints/[^/]+/[^/]+(?:/.*)?)", EndpointHandler),
                (r"/model-service/(v1/.*)", NamedHandler),
                (r"/model-service/((?:api/v1|health|metrics)(?:/.*)?|)", ControlHandler),
                *WORKBENCH,
            ]
        )

    async def stop_extension(self) -> None:
        await self.workbench.stop()
        await self.link.stop()


def _hub_link() -> HubLink | None:
    """In a server that a hub started, where the hub has a gateway."""
    owner = os.environ.get("JUPYTERHUB_USER", "")
    named = explicit_gateway() if owner else None
    return None if named is None else HubLink(Address(named[0].rstrip("/") + "/", named[1]), owner)
