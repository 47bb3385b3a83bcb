#!/usr/bin/env bash
# The TypeScript client: unit and property tests, the package as published, and end to end against a real server.
#   tests/clients/run.sh path/to/quintet [test-file ...]
# Without a binary (`-` in its place), the tests that need a server are skipped. Installs from npm what is missing.
set -euo pipefail

quintet=${1:-}
if [[ $quintet != - && ! -x $quintet ]]; then
  echo "usage: tests/clients/run.sh path/to/quintet [test-file ...]" >&2
  exit 2
fi
if [[ $quintet != - ]]; then
  CLIENTS_TEST_BINARY=$(realpath "$quintet")
  export CLIENTS_TEST_BINARY
fi
shift
cd "$(dirname "$0")/../../clients/typescript"

source ../../tests/prerequisites.sh
need_node
need_chromium
npm_packages .

node scripts/build.mjs
rm -rf .test
node node_modules/typescript/bin/tsc -p tsconfig.test.json
tests=()
for name in "${@:-*}"; do
  name=${name##*/}
  for file in .test/${name%%.test.*}.test.js; do tests+=("$file"); done
done
exec timeout 300 node --test --test-timeout=120000 --test-reporter=spec "${tests[@]}"
