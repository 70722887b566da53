"""What this process may run out of while it connects: it says nothing about the other side."""

from __future__ import annotations

import errno

# No descriptor in this process or this machine, no memory for a socket, no local port to connect from.
OUR_LACK = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
