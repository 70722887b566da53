"""A command that waits until no other runs under the same lock: `make -j2` would have two pips in one environment.

    python deploy/in_turn.py LOCK COMMAND…

LOCK is a file, made where there is none. The lock goes with the command, however that ends.
"""

import fcntl
import os
import sys

lock = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o644)
fcntl.flock(lock, fcntl.LOCK_EX)
os.set_inheritable(lock, True)  # the command has it; what that starts does not, as Python hands no files on
os.execvp(sys.argv[2], sys.argv[2:])
