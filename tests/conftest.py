"""For the whole suite."""

from __future__ import annotations

import signal

# Under nohup, or as a background job of a script, SIGINT is ignored, and every program that a test starts inherits that:
# what is tested with Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
