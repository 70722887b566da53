"""What holds for the owner of a service on a hub: rules of the installation, by the groups that the Hub last told."""

from __future__ import annotations

from collections.abc import Callable

from ..core.effective import Effective, Override, effective
from ..core.policy import Policy
from .hub_users import HubUsers

__all__ = ["HubPolicies"]


class HubPolicies:
    """Implements ``ports.Rules``. ``overrides`` tells what an administrator said of a user of the Hub."""

    def __init__(self, policy: Policy, users: HubUsers) -> None:
        self._policy = policy
        self._users = users
        self.overrides: Callable[[str], Override | None] = lambda user: None

    def user(self, owner: str) -> str:
        user = self._users.known(owner)
        return owner if user is None else user.name

    def knows(self, owner: str) -> bool:
        return self._users.known(owner) is not None

    def of(self, owner: str | None) -> Effective:
        user = self._users.known(owner) if owner is not None else None
        if user is None:  # nothing is started for her, either
            return effective(self._policy, "", ())
        return effective(self._policy, user.name, user.groups, self.overrides(user.name))
