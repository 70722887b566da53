"""What a site's ``jupyterhub_config.py`` has set so far, and additions to it that leave it as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import entry_points
from typing import Any

from traitlets.config.loader import LazyConfigValue
from traitlets.utils.importstring import import_item


class WrongSetting(Exception):
    """Ends the Hub's start; one sentence that says what is wrong and what to do."""


class SiteConfig:
    """``c`` is traitlets' ``Config``: what is not set there has JupyterHub's default. Lazy values (``c.X.y.append``)
    are worked out upon the default, which is empty for all that is asked for here."""

    def __init__(self, c: Any) -> None:
        self._c = c

    def of_hub(self, name: str, default: Any = None) -> Any:
        """What ``c.JupyterHub`` says, or the default."""
        return self._of("JupyterHub", name, default)

    def of_spawners(self, site: type[Any], name: str) -> Any:
        """What the sections of this class and its bases say of a trait, the most special one first."""
        for base in site.__mro__:
            if (value := self._of(base.__name__, name, None)) is not None:
                return value
        return None

    def anywhere(self, name: str) -> list[tuple[str, Any]]:
        """Every section that sets this trait."""
        return [(section, self._c[section][name]) for section in sorted(self._c) if self._has(section, name)]

    def _has(self, section: str, name: str) -> bool:
        return section in self._c and isinstance(self._c[section], Mapping) and name in self._c[section]

    def _of(self, section: str, name: str, default: Any) -> Any:
        if not self._has(section, name):
            return default
        value = self._c[section][name]
        if isinstance(value, LazyConfigValue):
            return value.get_value({} if default is None else default)
        return value

    def set_hub(self, name: str, value: Any) -> None:
        setattr(self._c.JupyterHub, name, value)

    # --- lists and the like ---

    def add_service(self, service: Mapping[str, Any]) -> None:
        services = list(self.of_hub("services", []))
        if any(isinstance(each, Mapping) and each.get("name") == service["name"] for each in services):
            raise WrongSetting(
                f'There is a service called "{service["name"]}" in c.JupyterHub.services already: remove it, or give '
                "install() another service_name."
            )
        self.set_hub("services", [*services, dict(service)])

    def add_role(self, role: Mapping[str, Any]) -> None:
        roles = list(self.of_hub("load_roles", []))
        if any(each.get("name") == role["name"] for each in roles):
            raise WrongSetting(
                f'There is a role called "{role["name"]}" in c.JupyterHub.load_roles already: rename it, or give '
                "install() another service_name."
            )
        self.set_hub("load_roles", [*roles, dict(role)])

    def add_user_scopes(self, scopes: Collection[str], *, extra: bool) -> str:
        """For every user, on top of what the site gives: in its own "user" role, or beside JupyterHub's. ``extra``:
        this JupyterHub has ``extra_user_scopes`` (6.0), which it ignores once there is a role "user". Says where."""
        roles = [dict(role) for role in self.of_hub("load_roles", [])]
        own = next((role for role in roles if role.get("name") == "user"), None)
        if own is None or "scopes" not in own:
            if extra:
                given = self.of_hub("extra_user_scopes", set())
                self.set_hub("extra_user_scopes", {*given, *scopes})
                return "extra_user_scopes"
            if own is None:
                roles.append(own := {"name": "user"})
            own["scopes"] = ["self"]
        own["scopes"] = [*own["scopes"], *(scope for scope in scopes if scope not in own["scopes"])]
        self.set_hub("load_roles", roles)
        return 'the role "user" in load_roles'

    def add_custom_scopes(self, scopes: Mapping[str, Any]) -> None:
        there = dict(self.of_hub("custom_scopes", {}))
        if taken := sorted(there.keys() & scopes.keys()):
            raise WrongSetting(f"The scope {taken[0]} in c.JupyterHub.custom_scopes is the model service's: remove it.")
        self.set_hub("custom_scopes", {**there, **scopes})

    def spawner_class(self) -> type[Any] | None:
        """The class that the site names: itself, by its path, or by its entry point. ``None``: JupyterHub's own."""
        given = self.of_hub("spawner_class")
        if given is None or isinstance(given, type):
            return given
        name = str(given)
        for found in entry_points(group="jupyterhub.spawners"):
            if found.name.lower() == name.lower():
                return _class_of(found.load(), name)
        try:
            return _class_of(import_item(name), name)
        except ImportError as error:
            raise WrongSetting(f"c.JupyterHub.spawner_class is {name!r}, which cannot be imported: {error}.") from None


def _class_of(found: Any, name: str) -> type[Any]:
    if not isinstance(found, type):
        raise WrongSetting(f"c.JupyterHub.spawner_class is {name!r}, which is no class.")
    return found
