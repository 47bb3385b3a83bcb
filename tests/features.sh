#!/usr/bin/env bash
# Checks that the library builds without warnings with fewer cargo features than its default ones: with none, and with `--each` also
# with each of them alone.
#
#   bash tests/features.sh [--each]
set -euo pipefail
cd "$(dirname "$0")/.."

check() { cargo clippy --quiet --locked -p quintet --lib --no-default-features "$@" -- -D warnings; }

check
if [ "${1:-}" = --each ]; then
  for feature in agui agui-server assistant cli jwks llm mcp page postgres prometheus; do
    printf 'feature %s alone\n' "$feature"
    check --features "$feature"
  done
fi
