# shellcheck shell=sh
# Sourced by the tests: makes sure of Node.js and of the project's packages; exits 77 when there is no way.

node_is_new() {
  command -v node >/dev/null &&
    node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)'
}

if ! node_is_new; then
  apt-get install -y --no-install-recommends nodejs npm >&2 || true
fi
if ! node_is_new; then
  echo "SKIP: Node.js 20 or newer is not to be had here"
  exit 77
fi
if [ ! -d node_modules ]; then
  npm ci >&2
fi

# Runs the suite and keeps its reports; the status is that of the run (77: nothing could run).
# Its only argument, if any, is handed on.
conformance() {
  node harness/bin/ipcns.mjs run --out "$AUTOPKGTEST_ARTIFACTS/ipcns" ${1:+"$1"}
}
