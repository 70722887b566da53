"""What people may say at most, where it is checked in more than one place: in the fields of the control API, on the
command line, in forms, in the engine. The panel has them from the API's document. Others stand with what they are of:
``limits`` (calls), ``grants`` (paths and methods), ``cors`` (origins), ``policy_limits`` (the administrator's).
"""

from __future__ import annotations

# Of one service, and of each of its replicas. Half a thousandth of a CPU no engine gives, and in less than a MiB
# nothing starts: whoever writes 32 means GiB.
MOST_REPLICAS = 100
MOST_GPUS = 64
LEAST_CPUS, MOST_CPUS = 0.001, 1024
LEAST_MEMORY, MOST_MEMORY = 1 << 20, 1 << 60  # bytes

LONGEST_PERSON = 255  # characters of the name of a user or a group; the Hub's own
LONGEST_NOTICE = 500  # characters

LONGEST_LABEL = 100  # characters of the name of a token
LONGEST_TOKEN = 10 * 365 * 86400  # seconds until a token has expired
LONGEST_OVERLAP = 30 * 86400  # seconds for which a token goes on beside the one that takes its place
