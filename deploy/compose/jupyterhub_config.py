"""JupyterHub in a container beside its proxy (docker-compose.yml), DockerSpawner, a home volume for each user.

The part that the model service asks for is the last one: the import and ``install(…)``.
"""

import os
from pathlib import Path

from jupyter_model_service.hub import install

c = get_config()  # noqa: F821 - JupyterHub gives it
name, image = os.environ["HUB_NAME"], os.environ["NOTEBOOK_IMAGE"]

# The Hub's API listens in the notebooks' network only: hub-api is this container's name there.
c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.public_url = os.environ["PUBLIC_URL"]
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = "http://hub-api:8081"
c.JupyterHub.db_url = "sqlite:////srv/jupyterhub/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = "/srv/jupyterhub/cookie-secret"
c.ConfigurableHTTPProxy.should_start = False  # it is a container of its own, and serves on while the Hub restarts
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
c.JupyterHub.cleanup_servers = False  # so do notebooks and replicas

# Your authenticator comes here.
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["HUB_PASSWORD"]
c.SharedPasswordAuthenticator.admin_password = os.environ.get("HUB_ADMIN_PASSWORD", "")
c.Authenticator.allowed_users = set(os.environ["HUB_USERS"].split())
c.Authenticator.admin_users = set(os.environ.get("HUB_ADMINS", "").split())

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = image
c.DockerSpawner.network_name = f"{name}-notebooks"
c.DockerSpawner.prefix = name
c.DockerSpawner.volumes = {f"{name}-home-{{username}}": "/home/jovyan"}
c.DockerSpawner.remove = True
c.JupyterHub.allow_named_servers = True

# Who has this name in the notebooks' network runs the gateway: this container, or the one of gateway-apart.yml.
gateway = os.environ.get("GATEWAY") or "model-service"
installed = install(
    c,
    network=f"{name}-replicas",  # one of their own: no notebook reaches a model's port
    allowed_images=[image],
    gateway_address=f"{gateway}:8910",
    managed=gateway == "model-service",
    # What the proxy says of who calls is believed: each has her own address in logs, and in the limit on wrong tokens.
    # None where the container is older than this file, so that a Hub still restarts until the deployment is made anew.
    trusted_proxies=os.environ.get("PROXY_ADDRESS", "").split(),
    data_dir="/srv/model-service",
)
# What the service makes on the engine has this label; remove.sh reads it.
Path("/srv/model-service/label").write_text(installed.settings.hub)
