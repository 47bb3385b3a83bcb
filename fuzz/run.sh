#!/usr/bin/env bash
# Fuzzes every target, one after another, for an hour in all:
#
#   bash fuzz/run.sh [target …]
#
# QUINTET_CAMPAIGN_FUZZ_SECONDS=N gives each target N seconds (default 450). Findings are written to
# fuzz/artifacts; new inputs stay in target/fuzz-corpus and can be merged into fuzz/corpus with
# QUINTET_FUZZ_KEEP=1. docs/model/results.md has the results of the last campaign.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() { printf 'fuzz/run.sh: %s\n' "$1" >&2; exit 1; }
cargo +nightly --version >/dev/null 2>&1 ||
  missing "a nightly compiler is not installed: rustup toolchain install nightly --profile minimal"
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

seconds="${QUINTET_CAMPAIGN_FUZZ_SECONDS:-450}"
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  targets=(calculator journal_readback kernel_steps legacy_decoder questions rehearsal_scripts resume_cursors wire_decoder)
fi

# The code has no `unsafe`: a sanitizer would find nothing, and a build without one takes half as long.
fuzz() { cargo +nightly fuzz run -s none "$@"; }

failed=0
for target in "${targets[@]}"; do
  found="target/fuzz-corpus/$target"
  log="target/fuzz-$target.log"
  mkdir -p "$found"
  dictionary=()
  [ -f "fuzz/dictionaries/$target.dict" ] && dictionary=("-dict=fuzz/dictionaries/$target.dict")
  if ! fuzz "$target" "$found" "fuzz/corpus/$target" -- "${dictionary[@]}" -max_total_time="$seconds" \
    -max_len=4096 -timeout=20 -print_final_stats=1 >"$log" 2>&1; then
    failed=1
    grep -m 3 -A 2 'panicked\|ERROR' "$log" || true
  fi
  printf '%s: %s executions, %s\n' "$target" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -1)"
  if [ -n "${QUINTET_FUZZ_KEEP:-}" ]; then
    fuzz "$target" "fuzz/corpus/$target" "$found" -- -merge=1 -use_counters=0 -max_len=2048 >>"$log" 2>&1
  fi
done
exit "$failed"
