#!/bin/sh
# Runs the suite for tmt and says the result in tmt's words (results.yaml, `result: custom`).
set -eu
: "${TMT_TEST_DATA:?is set by tmt}"

# tmt copies the whole repository when it fetches it from a URL, and this directory alone when it runs from a
# checkout: so IPCNS_HOME or what is above this file or, in the end, a clone of IPCNS_URL.
home=${IPCNS_HOME:-$(cd "$(dirname "$0")" && pwd)}
while [ ! -e "$home/package.json" ] && [ "$home" != / ]; do home=$(dirname "$home"); done
if [ "$home" = / ] && [ -n "${IPCNS_URL:-}" ]; then
  home=$(mktemp -d)
  git clone --depth 1 "$IPCNS_URL" "$home"
fi
if [ ! -e "$home/package.json" ]; then
  echo "the project is not above $0, and neither IPCNS_HOME nor IPCNS_URL names it" >&2
  exit 2
fi
cd "$home"
if [ ! -d node_modules ]; then npm ci; fi

status=0
node harness/bin/ipcns.mjs run --profile "${IPCNS_PROFILE:-default}" --out "$TMT_TEST_DATA/ipcns" \
  >"$TMT_TEST_DATA/output.txt" 2>&1 || status=$?
cat "$TMT_TEST_DATA/output.txt"

# Of a run that came to its end, each rule is a result of its own.
if [ "$status" -eq 0 ] || [ "$status" -eq 1 ]; then
  node harness/bin/ipcns.mjs report "$TMT_TEST_DATA/ipcns" --tmt --out - >"$TMT_TEST_DATA/results.json"
  exit 0
fi
case $status in
  77) result=skip note='nothing that applies here could run' ;;
  *) result=error note="the suite broke, status $status" ;;
esac
{
  echo '- name: /'
  echo "  result: $result"
  echo "  note: [\"$note\"]"
  echo '  log: [output.txt]'
} >"$TMT_TEST_DATA/results.yaml"
