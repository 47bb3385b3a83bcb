#!/usr/bin/env bash
# Explores schedules: every schedule of the shared primitives within a bound, with loom, and random schedules of a
# user's machines, with shuttle. Then plants defects that these tests have to find.
#
#   bash tests/schedules.sh [--only]
#
# The packages are built with a `--cfg` that exchanges their primitives, each in a folder of its own.
# QUINTET_PLANTED=N changes how many defects are planted (default 2, of nine); `--only` plants none.
# docs/model/concurrency.md describes the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

explore() {
  RUSTFLAGS="--cfg $1" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/$1" cargo test --locked -p "$2"
}

explore quintet_loom quintet-schedules
explore quintet_shuttle quintet-hub

[ "${1:-}" = --only ] ||
  cargo run --quiet --locked -p quintet-model --bin planted -- --sample "${QUINTET_PLANTED:-2}"
