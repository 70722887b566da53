#!/bin/sh
# lint | test | types of the panel, with the jlpm of .venv. Without a node that can do it, one line says what did not run.
# packages: only what each of them does first, for who then runs two of them at once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PATH=${VENV_BIN:-$here/../.venv/bin}:$PATH
node_will_do() {
  command -v node >/dev/null 2>&1 && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22 ? 0 : 1)'
}
if ! node_will_do; then
  [ "$1" = packages ] || echo "NOT RUN: $1 of the JupyterLab panel (eslint, prettier, tsc, jest): it needs Node.js 20.19 or newer of 20, or 22.12 or newer."
  [ "${MODEL_SERVICE_PANEL:-}" != required ]
  exit
fi
cd "$here"
# The build may have installed them already; yarn says nothing but errors and takes a second then.
[ node_modules/.yarn-state.yml -nt yarn.lock ] || jlpm install --immutable >node_modules.log 2>&1 || { tail -n 20 node_modules.log >&2; exit 1; }
rm -f node_modules.log
case $1 in
  lint) jlpm lint ;;
  test) jlpm test --silent ;;
  types) jlpm types ;;
  packages) ;;
  *) echo "lint, test, types or packages?" >&2; exit 2 ;;
esac
