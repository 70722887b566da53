"""Where the Hub will be, from what its configuration says: for a gateway that the Hub does not tell, and for people."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .site_config import SiteConfig

_EVERYWHERE = ("", "*", "0.0.0.0", "::")


@dataclass(frozen=True)
class Addresses:
    """``api_url`` is where the Hub itself answers, ``public_url`` its proxy, ``prefix`` the path of our service there.
    Where the site names no address of its own, it is ``host``: that of this machine for containers."""

    api_url: str
    public_url: str
    prefix: str

    @classmethod
    def of(cls, site: SiteConfig, service_name: str, host: str) -> Addresses:
        bind = urlsplit(str(site.of_hub("bind_url", "http://:8000")))
        base = str(site.of_hub("base_url") or bind.path or "/").strip("/")
        base = f"/{base}/" if base else "/"
        return cls(
            api_url=f"{_hub(site, host)}{base}hub/api",
            public_url=_public(site, bind.scheme, _host_of(bind.netloc), bind.port, host),
            prefix=f"{base}services/{service_name}/",
        )


def _public(site: SiteConfig, scheme: str, ip: str, port: int | None, host: str) -> str:
    given = str(site.of_hub("public_url", "") or "")
    if given:
        parts = urlsplit(given)
        return f"{parts.scheme}://{parts.netloc}"
    ip = str(site.of_hub("ip") or ip)
    scheme = "https" if site.of_hub("ssl_cert") else scheme or "http"
    port = int(site.of_hub("port") or port or 8000)
    return f"{scheme}://{host if ip in _EVERYWHERE else _bracketed(ip)}:{port}"


def _hub(site: SiteConfig, host: str) -> str:
    connect, bind = (str(site.of_hub(name, "") or "") for name in ("hub_connect_url", "hub_bind_url"))
    if connect:
        parts = urlsplit(connect)
        return f"{parts.scheme}://{parts.netloc}"
    parts = urlsplit(bind if bind.startswith("http") else "http://")
    ip = str(site.of_hub("hub_connect_ip") or site.of_hub("hub_ip") or _host_of(parts.netloc))
    port = int(site.of_hub("hub_port") or parts.port or 8081)
    return f"{parts.scheme or 'http'}://{host if ip in _EVERYWHERE else _bracketed(ip)}:{port}"


def _host_of(netloc: str) -> str:
    """Also of ``:8000`` and ``*:8000``."""
    return netloc.rpartition("@")[2].rpartition(":")[0].strip("[]") if ":" in netloc else netloc


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
