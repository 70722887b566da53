"""This machine's pip settings, as two files that a container can be given: ``pip.conf`` and ``ca.crt``.

    pip_settings.py FOLDER

An image built here, and a replica that installs a package at its start, use the package index that this machine
uses, and believe the certificate authorities that it believes. Neither belongs in an image: an index address may
hold a password, and the authorities may be those of one company. So both are mounted while they are needed.

What names files of this machine (``find-links``, ``file://`` indexes, client certificates) is left out.
"""

from __future__ import annotations

import ast
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

IN_CONTAINER = "/etc/pip-of-the-host"
NETWORK_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
DEBIAN_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


def settings_of(listed: str) -> dict[str, str]:
    """What ``pip config list`` printed, later lines (the environment's) over earlier ones, network settings only."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, equals, value = line.partition("=")
        name = key.rpartition(".")[2]
        if not equals or name not in (*NETWORK_SETTINGS, "cert"):
            continue
        try:
            words = str(ast.literal_eval(value)).split()
        except (ValueError, SyntaxError):
            continue
        reachable = [word for word in words if not word.startswith("file:")]
        if reachable:
            found[name] = "\n    ".join(reachable)
    return found


def authorities(cert: str | None) -> Path | None:
    for candidate in (cert, str(DEBIAN_AUTHORITIES), ssl.get_default_verify_paths().cafile):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None


def write(folder: Path, target: str = IN_CONTAINER) -> None:
    """Both files into ``folder``, for a container that sees it as ``target``."""
    folder.mkdir(parents=True, exist_ok=True)
    # Not isolated (-I): pip's settings in the environment count too.
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = settings_of(listed.stdout)
    bundle = authorities(settings.pop("cert", None))
    lines = ["[global]", "disable-pip-version-check = true"]
    lines += [f"{name} = {value}" for name, value in sorted(settings.items())]
    if bundle is not None:
        shutil.copyfile(bundle, folder / "ca.crt")
        lines.append(f"cert = {target}/ca.crt")
    (folder / "pip.conf").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
