"""Thin adapters: one outside thing per module. They implement the protocols in ``ports``."""
