"""Alembic's scripts. Schemas are numbered (``0001``, ``0002``, …) and only go forward; see ``../schema.py``."""
