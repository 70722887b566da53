"""The Hub's side: ``from jupyter_model_service.hub import install`` in a ``jupyterhub_config.py``."""
