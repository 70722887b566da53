"""A Chromium that does not notice when a network interface of the machine comes or goes.

It drops its connections then, those to this machine too (``ERR_NETWORK_CHANGED``), and tests with a Docker engine beside
these make and remove interfaces all the time. There is no switch for it, so the kernel's messages are kept from it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>
int bind(int fd, const struct sockaddr *address, socklen_t size) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    struct sockaddr_nl quiet;
    if (!real) real = dlsym(RTLD_NEXT, "bind");
    if (address && address->sa_family == AF_NETLINK && size >= sizeof quiet) {
        memcpy(&quiet, address, sizeof quiet);
        quiet.nl_groups = 0;
        return real(fd, (struct sockaddr *)&quiet, sizeof quiet);
    }
    return real(fd, address, size);
}
"""


def quiet_network(folder: Path) -> dict[str, str]:
    """What to add to Chromium's environment; nothing where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return {}
    (folder / "quiet.c").write_text(SOURCE)
    library = folder / "quiet.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "quiet.c"), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return {"LD_PRELOAD": str(library)}
