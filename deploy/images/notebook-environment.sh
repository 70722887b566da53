#!/bin/sh
# Runs once, as root, in a container of the base image: a user as docker-stacks' images have one, and her environment,
# which belongs to root, as theirs does on most sites.
set -eu
useradd --create-home --uid 1000 --shell /bin/bash jovyan
# JupyterLab's terminals are login shells, for which /etc/profile sets a PATH of its own.
echo 'PATH=/opt/nb/bin:$PATH' >/etc/profile.d/notebook.sh
install -m 755 /steps/start.sh /usr/local/bin/start.sh
python3 -m venv --without-pip /opt/nb
# A wheel is a zip with a package in it that Python can run; venv has no ensurepip on Debian.
python3 "$(ls /etc/pip-of-the-host/pip-*.whl)/pip" --python /opt/nb/bin/python install --quiet --root-user-action ignore pip
/opt/nb/bin/python -m pip install --quiet --root-user-action ignore -r "$1"
