#!/bin/sh
# SPDX-License-Identifier: MIT
# kselftest / KernelCI: runs the suite, writes KTAP on standard output and ends with kselftest's statuses:
# 0 pass, 1 fail, 4 skip. (2 and 3 mean "expected failure" and "unexpected pass" there, so a suite that
# broke is a failure.) Everything else is written as KTAP diagnostics.
# Variables: IPCNS_HOME, the project's directory (default: two levels above this file);
# IPCNS_PROFILE (default: default). Arguments go to `ipcns run`.
set -u
home=${IPCNS_HOME:-$(dirname "$0")/../..}

skip() {
  echo 'KTAP version 1'
  echo "1..0 # SKIP $1"
  exit 4
}

command -v node >/dev/null || skip 'Node.js is not installed'
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' ||
  skip 'Node.js is older than 20'
[ -d "$home/node_modules" ] || skip 'the packages of ipcns are not installed (npm ci)'

out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT

node "$home/harness/bin/ipcns.mjs" run --profile "${IPCNS_PROFILE:-default}" --out "$out" "$@" \
  >"$out/output.txt" 2>&1
status=$?

if [ "$status" -eq 77 ]; then
  skip 'nothing that applies here could run'
fi
if ! node "$home/harness/bin/ipcns.mjs" report "$out" --ktap --out - >"$out/report.ktap" 2>>"$out/output.txt"; then
  echo 'KTAP version 1'
  sed 's/^/# /' "$out/output.txt"
  echo 'Bail out! ipcns wrote no report'
  exit 1
fi
cat "$out/report.ktap"
if [ "$status" -eq 0 ]; then exit 0; fi
sed 's/^/# /' "$out/output.txt"
exit 1
