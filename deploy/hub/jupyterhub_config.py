"""A site like many: JupyterHub on one Linux machine, DockerSpawner, a home volume for each user.

`make hub` starts it (deploy/hub/run.py sets the variables below). All that the model service asks for are the import
and the `install(…)` at the end.
"""

import os
from pathlib import Path

from jupyter_model_service.hub import install

c = get_config()  # noqa: F821 - JupyterHub gives it
network, address = os.environ["DEMO_NETWORK"], os.environ["DEMO_ADDRESS"]  # and this machine's own address there
folder, image = os.environ["DEMO_FOLDER"], os.environ["DEMO_IMAGE"]

# People reach the Hub's proxy on this machine only; containers reach the Hub at the network's own address.
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['DEMO_PORT']}"
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = f"http://{address}:{os.environ['DEMO_HUB_PORT']}"
c.JupyterHub.db_url = f"sqlite:///{folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = f"{folder}/cookie-secret"
c.JupyterHub.cleanup_servers = False  # replicas go on serving while the Hub restarts
c.ConfigurableHTTPProxy.command = [os.environ["DEMO_PROXY"]]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['DEMO_PROXY_API_PORT']}"

c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["DEMO_PASSWORD"]
c.Authenticator.allowed_users = {"alice", "bob", "carol", "dave"}
c.Authenticator.admin_users = {"admin"}
c.JupyterHub.load_groups = {"class": {"users": ["carol", "dave"]}}  # alice's; bob is in no group

c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.image = image
c.DockerSpawner.network_name = network
c.DockerSpawner.prefix = os.environ["DEMO_PREFIX"]
c.DockerSpawner.volumes = {os.environ["DEMO_PREFIX"] + "-{username}": "/home/jovyan"}
c.JupyterHub.allow_named_servers = True

# For the tour: it starts a user's notebook and acts in her name, as she would in her browser.
c.JupyterHub.services = [{"name": "tour", "api_token": os.environ["DEMO_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "tour", "services": ["tour"], "scopes": ["list:users", "servers", "admin:server_state", "tokens"]}
]

installed = install(
    c,
    network=os.environ["DEMO_REPLICAS_NETWORK"],  # one of their own: no notebook reaches a model's port
    allowed_images=[image],
    # This machine's pip settings and certificates, so that a replica can install packages at its start.
    model_volumes=[os.environ["DEMO_PIP_VOLUME"]],
    gateway_address=f"{address}:{os.environ['DEMO_GATEWAY_PORT']}",
    # A host for each service, where its pages have an origin of their own and people sign in.
    endpoints_url=os.environ["DEMO_PAGES"],
    # What differs for the class; whoever is over a limit is told so, and who set it.
    rules=[{"groups": ["class"], "max_replicas_per_user": 1, "allow_public": False}],
    # Whose word on who calls is believed: that of the Hub's proxy, and of nobody else. Here all call from this machine.
    trusted_proxies=[os.environ["DEMO_PROXY_ADDRESS"]],
    access_log="access.jsonl",  # one line for each call, with the caller's address
    data_dir=f"{folder}/model-service",
)
# Labels what the service makes on this engine, so that the tour can remove it at its end.
Path(folder, "hub-label").write_text(installed.settings.hub)
