#!/usr/bin/env bash
# The long campaigns: the checks of tests/run.sh on a larger scale. Takes hours on two cores.
#
#   bash tests/campaign.sh
#
# QUINTET_CAMPAIGN_KILLS=N changes how often the service is killed (default 500), QUINTET_CAMPAIGN_STRIKES=N
# how often its disk fails, it is killed or its power is cut (default 500), QUINTET_CAMPAIGN_SCHEDULES=N the
# factor of random schedules over CI (default 200), QUINTET_CAMPAIGN_FUZZ_SECONDS=N how
# long each fuzz target runs (default 720).
# QUINTET_CAMPAIGN_SEEDS=N changes how many seeds the simulated network plays (default 5000), from
# QUINTET_SIM_SEED on (default 1).
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()
# Runs all parts in order, also after a failure.
step() {
  printf '\n== %s\n' "$1"
  ("${@:2}") || failed+=("$1")
}

# Each cfg has a target folder of its own, as in tests/schedules.sh.
under() {
  RUSTFLAGS="--cfg $1" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/$1" cargo test --locked --release "${@:2}"
}
schedules() {
  LOOM_MAX_PREEMPTIONS=0 under quintet_loom -p quintet-schedules --test registry --test tail --test tickets &&
    LOOM_MAX_PREEMPTIONS=4 under quintet_loom -p quintet-schedules --test drain --test signal
}
random_schedules() {
  QUINTET_CAMPAIGN_SCHEDULES="${QUINTET_CAMPAIGN_SCHEDULES:-200}" under quintet_shuttle -p quintet-hub
}
properties() {
  PROPTEST_CASES=20000 cargo test --locked --release -p quintet-kernel &&
    PROPTEST_CASES=20000 cargo test --locked --release --lib --workspace --exclude quintet-model &&
    PROPTEST_CASES=2000 cargo test --locked --release --test user -- machine isolation &&
    PROPTEST_CASES=200 cargo test --locked --release --test gateway -- isolation &&
    PROPTEST_CASES=2000 bash tests/postgres/run.sh cargo test --locked --release --test journal --test audit
}
kills() {
  traces=$(mktemp -d)
  trap 'rm -rf "$traces"' EXIT
  TRACE_FOLDER="$traces" QUINTET_CAMPAIGN_KILLS="${QUINTET_CAMPAIGN_KILLS:-500}" \
    QUINTET_CAMPAIGN_ERASURES=100 QUINTET_CAMPAIGN_STEERS=300 \
    bash tests/postgres/run.sh cargo test --locked --release --test crash -- --nocapture &&
    cargo run --locked --release -p quintet-model --bin accept -- "$traces"
}
kernel_mutants() {
  { cargo mutants --version >/dev/null 2>&1 || cargo install cargo-mutants --locked; } &&
    cargo mutants -p quintet-kernel
}

step "every schedule, without a bound on preemptions; of two scenes, with more than in CI" schedules
step "random schedules of the hub" random_schedules
step "large models" cargo test --locked --release -p quintet-model -- --include-ignored
step "properties, many cases" properties
step "fuzzing, an hour" bash fuzz/run.sh
step "kills, and what the service did meanwhile, against its specification" kills
step "disks that fail, kills, power cuts" \
  env QUINTET_CAMPAIGN_STRIKES="${QUINTET_CAMPAIGN_STRIKES:-500}" \
  cargo test --locked --release --test faults -- --nocapture
step "a reader that is a million events and a gigabyte behind" \
  env QUINTET_CAMPAIGN_EVENTS=1000000 QUINTET_CAMPAIGN_EVENT_BYTES=900 \
  cargo test --locked --release --test crash readers -- --nocapture --test-threads=1
step "packages, as a registry takes them" cargo publish --workspace --dry-run --locked
step "mutants of the kernel" kernel_mutants
step "defects of the shell" cargo run --locked -p quintet-model --bin planted
step "seeds of the simulated network" \
  env QUINTET_SIM_SEEDS="${QUINTET_CAMPAIGN_SEEDS:-5000}" cargo test --locked --release --test sim seeds -- --nocapture

if [ ${#failed[@]} -gt 0 ]; then
  printf '\nFAILED: %s\n' "${failed[@]}"
  exit 1
fi
printf '\nEverything held.\n'
