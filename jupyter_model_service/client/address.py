"""Which gateway a client talks to, and where that one went when it does not answer any more."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..discovery import default_data_dir, explicit_gateway, find_gateway
from ..errors import GatewayUnavailable, InvalidRequest

_START_IT = "`jupyter model-service gateway --background` starts one, and so does `jupyter model-service create`."


@dataclass(frozen=True)
class Address:
    """``url`` ends with a slash and may have a path (``https://hub/services/model-service/``)."""

    url: str
    token: str = field(repr=False)

    @property
    def loopback(self) -> bool:
        """A proxy from the environment (``HTTP_PROXY``) is of no use on the way to this machine itself."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


class Locator:
    """Finds the gateway when first asked and remembers it: an explicit address, ``MODEL_SERVICE_URL``, or the
    runtime file of this user's own gateway, in this order. The file is read again when the gateway does not
    answer or no longer knows the token: both change when a gateway is restarted."""

    def __init__(self, url: str | None = None, token: str | None = None, data_dir: str | Path | None = None) -> None:
        if (url is None) != (token is None):
            raise InvalidRequest("Give both url and token of the gateway, or neither to use your own gateway.")
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._fixed = _checked(url, token) if url is not None and token is not None else None
        self._known: Address | None = self._fixed

    def current(self) -> Address:
        """Raises ``GatewayUnavailable`` when none runs."""
        if self._known is None:
            self._known = self._find()
        return self._known

    def moved(self) -> bool:
        """Look again; true when the gateway is now somewhere else, or has another token, so that it is worth asking."""
        if self._fixed is not None:
            return False
        before, self._known = self._known, None
        self._known = self._find()
        return self._known != before

    def forget(self) -> None:
        """The next look finds it anew."""
        self._known = self._fixed

    @property
    def explicit(self) -> bool:
        """Whether somebody named the gateway, so that starting one here would be no help."""
        return self._fixed is not None or (self._data_dir is None and explicit_gateway() is not None)

    @property
    def shown(self) -> str:
        """For ``repr``: never the token."""
        return str(self.data_dir) if self._known is None else self._known.url

    @property
    def data_dir(self) -> Path:
        return default_data_dir() if self._data_dir is None else self._data_dir

    def _find(self) -> Address:
        named = explicit_gateway() if self._data_dir is None else None
        if named is not None:
            self._fixed = _checked(*named)
            return self._fixed
        found = find_gateway(self.data_dir)
        if found is None:
            raise GatewayUnavailable(f"No model-service gateway runs for {self.data_dir}: {_START_IT}")
        return Address(found.url, found.token)


def _checked(url: str, token: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidRequest(f"{url!r} is no address of a gateway: it looks like http://127.0.0.1:8000/.")
    if parts.username or parts.password:
        raise InvalidRequest("The gateway's address must hold no user or password: the token goes with every call.")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequest("The gateway's token holds characters that no token has.")
    return Address(url.rstrip("/") + "/", token)
