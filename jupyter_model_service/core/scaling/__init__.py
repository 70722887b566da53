"""How many replicas a service should have, and why: policy, signals, schedules and the decision. All of it is pure."""
