#!/bin/sh
# Runs the suite and reports each rule with lava-test-case; arguments go to `ipcns run`.
set -eu
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

status=0
node harness/bin/ipcns.mjs run --out "$out" "$@" || status=$?
case $status in
  0) result=pass ;;
  77) result=skip ;;
  *) result=fail ;;
esac
# First the run itself: without it a run that broke before its first rule would look like nothing at all.
lava-test-case ipcns-run --result "$result"
if [ -e "$out/results.json" ]; then
  # The report is a script of lava-test-set and lava-test-case.
  node harness/bin/ipcns.mjs report "$out" --lava --out - >"$out/lava.sh"
  sh "$out/lava.sh"
fi
