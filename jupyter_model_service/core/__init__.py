"""Pure decisions on plain data: no clock, loop, disk, socket or log. ``now`` is always a parameter."""
