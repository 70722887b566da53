#!/bin/sh
# The entrypoint of the notebook images: like docker-stacks' start.sh it replaces itself with what it is given.
exec "$@"
