"""What is added to a site: the spawner, the service, its scopes; each step notes what it did."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.hub_scopes import AUDIT, INVOKE, MANAGE
from .install_checks import Note
from .limits import NamedServerLimit
from .private_files import token_in, write_private
from .settings import HubSettings
from .site_config import SiteConfig
from .spawner import spawner_class

__all__ = ["add_scopes", "add_service", "limit_servers", "service_scopes", "set_spawner", "user_scopes"]


def set_spawner(site: SiteConfig, spawner: type[Any], settings: HubSettings, note: Note) -> None:
    site.set_hub("spawner_class", spawner_class(spawner, settings))
    note(
        f"spawner_class is {spawner.__name__} with the model service in front, for servers whose names begin "
        'with "ms-".'
    )


def limit_servers(site: SiteConfig, name: str, note: Note) -> None:
    own = site.of_hub("named_server_limit_per_user", 0)
    site.set_hub("named_server_limit_per_user", NamedServerLimit(own, name))
    yours = "your function" if callable(own) else f"your {own}" if own else "no limit, as before"
    note(
        f"named_server_limit_per_user ({yours}) is for the users' own servers; replicas do not count, and have "
        "max_replicas_per_user."
    )


def add_service(
    site: SiteConfig, settings: HubSettings, told: Mapping[str, Any], note: Note, *, managed: bool, data_dir: Path
) -> Path | None:
    """The file with the service's token, where the Hub does not run the gateway."""
    name = settings.service_name
    # The Hub's menu leads to its page, which is everybody's: each sees hers there, administrators all. Whoever signs in
    # to it gives away nothing by that but who she is; and, on the page of the audit log, whether she is an auditor.
    service: dict[str, Any] = {"name": name, "url": settings.gateway, "display": True, "oauth_no_confirm": True}
    service["oauth_client_allowed_scopes"] = [AUDIT]
    if managed:
        service["command"] = [sys.executable, "-m", "jupyter_model_service.app", "--hub"]
        # Which process the gateway is to end with: it may be killed before that one can look.
        service["environment"] = {"MODEL_SERVICE_HUB": json.dumps(told), "MODEL_SERVICE_PARENT": str(os.getpid())}
        site.add_service(service)
        note(
            f'services has one more, "{name}": the Hub runs the gateway at {settings.gateway}, with its data '
            f"in {data_dir}."
        )
        return None
    path = data_dir / "api-token"
    service["api_token"] = token_in(path)
    # Quoted as systemd's EnvironmentFile and a shell take it; JSON has no single quote of its own but in texts.
    text = json.dumps(told).replace("'", "\\u0027")
    write_private(data_dir / "gateway.env", f"MODEL_SERVICE_HUB='{text}'\n")
    site.add_service(service)
    note(
        f'services has one more, "{name}"; the gateway is not run by the Hub: start it at {settings.gateway} '
        f"with {data_dir / 'gateway.env'} and the token in {path}."
    )
    return path


def add_scopes(site: SiteConfig, name: str, token_user: str, note: Note) -> None:
    from jupyterhub.app import JupyterHub

    site.add_custom_scopes(
        {
            INVOKE: {"description": "Call the endpoints of models"},
            MANAGE: {"description": "Create, change and remove services of models", "subscopes": [INVOKE]},
            AUDIT: {"description": "Read who did what with services of models, and what was denied to whom"},
        }
    )
    note(
        f"custom_scopes has three more: {INVOKE}, to call endpoints, {MANAGE}, to manage services, which contains the "
        f"former, and {AUDIT}, to read the audit log, which nobody holds until a role of yours gives it."
    )
    site.add_role(
        {
            "name": name,
            "description": "The gateway of the model service",
            "services": [name],
            "scopes": service_scopes(token_user),
        }
    )
    site.add_role(
        {
            "name": f"{name}-tokens",
            "description": "Holds the tokens of the model service's endpoints; nobody logs in as this user",
            "users": [token_user],
            "scopes": [INVOKE],
        }
    )
    extra = "extra_user_scopes" in JupyterHub.class_trait_names()
    given = user_scopes(name)
    where = site.add_user_scopes(given, extra=extra)
    note(
        f'load_roles has two more: by "{name}" the service of that name holds '
        f'{", ".join(service_scopes(token_user))}; by "{name}-tokens" the user "{token_user}" holds '
        f"{INVOKE}, and no person may be able to log in as it."
    )
    note(f"every user holds {' and '.join(given)}, by {where}.")


def user_scopes(service_name: str) -> list[str]:
    """What every user may do: manage her own services, and use with a token that may access this service what is
    shared with her."""
    return [f"{MANAGE}!user", f"access:services!service={service_name}"]


def service_scopes(token_user: str) -> list[str]:
    """What the gateway's own token may do at the Hub, and no more."""
    return [
        "servers",  # start, stop and remove the replicas of whoever asks, and read which there are
        "list:users",  # one look at all replicas after a start of the gateway, and notice users who are gone
        "read:users",  # when a user was made (one of the same name inherits nothing), and which groups she is in
        "admin:server_state",  # where the replica is, or why it could not be started
        "users:activity",  # a replica that answers calls is not idle
        f"tokens!user={token_user}",  # the endpoints' tokens, of the one user that holds nothing else
    ]
