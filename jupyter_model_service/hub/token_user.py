"""The user of the Hub that holds the endpoints' tokens, where the Hub's users are accounts of its machine.

The Hub makes the user when it starts, since a role names it. An authenticator of local accounts (PAM, the default)
then demands an account of that name, and ends the Hub's start with a traceback where there is none.
"""

from __future__ import annotations

import pwd
from typing import Any

from .site_config import SiteConfig

__all__ = ["missing_account"]


def missing_account(site: SiteConfig, name: str) -> str | None:
    """The sentence for a site that needs an account called ``name`` and has none."""
    from jupyterhub.auth import Authenticator, LocalAuthenticator, PAMAuthenticator
    from jupyterhub.traitlets import EntryPointType
    from traitlets import HasTraits

    class Chosen(HasTraits):
        authenticator = EntryPointType(
            PAMAuthenticator, klass=Authenticator, entry_point_group="jupyterhub.authenticators"
        )

    given: Any = site.of_hub("authenticator_class")
    chosen = Chosen()
    try:
        if given is not None:
            chosen.authenticator = given
        found = chosen.authenticator
    except Exception:  # the Hub says better what is wrong with it, and does, a moment later
        return None
    if not (isinstance(found, type) and issubclass(found, LocalAuthenticator)):
        return None
    if site.of_spawners(found, "create_system_users"):
        return None
    try:
        pwd.getpwnam(name)
    except KeyError:
        return (
            f"the Hub's users are accounts of this machine ({found.__name__}), and the one that holds the endpoints' "
            f"tokens is none: useradd --system --no-create-home --shell /usr/sbin/nologin {name}."
        )
    return None
