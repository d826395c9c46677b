#!/bin/sh
# Runs the suite for tmt and says the result in tmt's words (results.yaml, `result: custom`).
set -eu
: "${TMT_TEST_DATA:?is set by tmt}"

# The suite is above this directory, wherever tmt has put the copy.
cd "$(dirname "$0")"
while [ ! -e package.json ]; do
  if [ "$PWD" = / ]; then
    echo "the project is not above $0" >&2
    exit 2
  fi
  cd ..
done

status=0
node harness/bin/ipcns.mjs run --profile "${IPCNS_PROFILE:-default}" --out "$TMT_TEST_DATA/ipcns" \
  >"$TMT_TEST_DATA/output.txt" 2>&1 || status=$?
cat "$TMT_TEST_DATA/output.txt"

case $status in
  0) result=pass note='the kernel conforms' ;;
  1) result=fail note='the kernel does not conform' ;;
  77) result=skip note='nothing that applies here could run' ;;
  *) result=error note="the suite broke, status $status" ;;
esac
{
  echo '- name: /'
  echo "  result: $result"
  echo "  note: [\"$note\"]"
  echo '  log:'
  for log in output.txt ipcns/junit.xml ipcns/results.json; do
    if [ -e "$TMT_TEST_DATA/$log" ]; then echo "    - $log"; fi
  done
} >"$TMT_TEST_DATA/results.yaml"
