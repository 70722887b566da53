#!/bin/sh
# Ends the deployment of docker-compose.yml with all that the Hub started beside it: notebooks, replicas, copiers.
# docker-compose down alone cannot: their containers are still in its networks.
#
#   ./remove.sh              homes, services, snapshots and the Hub's own data stay for the next `docker-compose up`
#   ./remove.sh --volumes    nothing stays
#
# To be started where .env is; -f files of docker-compose are to be named in COMPOSE_FILE.
set -eu
case "$*" in '' | --volumes) ;; *) echo "usage: $0 [--volumes]" >&2; exit 2 ;; esac
compose=docker-compose
command -v $compose >/dev/null 2>&1 || compose="docker compose"

name=$($compose config | sed -n 's/^ *name: \(.*\)-notebooks$/\1/p' | head -n 1)
[ -n "$name" ] || { echo "$compose config names no network that ends in -notebooks: is this deploy/compose?" >&2; exit 1; }
hub=$($compose ps --all --quiet hub)
label=
[ -z "$hub" ] || label=$(docker cp "$hub:/srv/model-service/label" - 2>/dev/null | tar -xO 2>/dev/null || true)

$compose stop # first, or the gateway would start its replicas anew
$compose rm --force
{
  docker ps --all --quiet --filter "network=$name-notebooks"
  docker ps --all --quiet --filter "network=$name-replicas"
  [ -z "$label" ] || docker ps --all --quiet --filter "label=org.jupyter.model-service.hub=$label"
} | sort -u | xargs -r docker rm --force --volumes
# shellcheck disable=SC2086 # no or one word
$compose down $*
[ "$*" = --volumes ] || exit 0
{
  docker volume ls --quiet --filter "name=^$name-home-"
  [ -z "$label" ] || docker volume ls --quiet --filter "label=org.jupyter.model-service.hub=$label"
} | sort -u | xargs -r docker volume rm
