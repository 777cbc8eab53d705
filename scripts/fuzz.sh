#!/usr/bin/env bash
# Fuzzes the parsers that strangers reach first, each for some seconds and as many at a time as there are processors:
# scripts/fuzz.sh [SECONDS] (60). What is found is kept in target/fuzz/artifacts and fails the run; the corpus in
# target/fuzz/corpus grows from run to run.
#
# libFuzzer's instrumentation needs no nightly compiler, and the address sanitizer, which does, finds little in a
# workspace without unsafe code.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
out=$PWD/target/fuzz
target=$(rustc --version --verbose | sed -n 's/^host: //p')
flags=(--cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4
  -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table
  -C llvm-args=-sanitizer-coverage-trace-compares -C debug-assertions -C codegen-units=1)
for manifest in crates/*/fuzz/Cargo.toml; do
  RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$out cargo build --quiet --release --locked --target "$target" \
    --manifest-path "$manifest"
done

fuzz() { # fuzz FILE-OF-A-TARGET
  local name seeds log
  name=$(basename "$1" .rs)
  mkdir -p "$out/corpus/$name" "$out/artifacts/$name"
  local folders=("$out/corpus/$name")
  seeds=$(dirname "$1")/../seeds/$name
  [ ! -d "$seeds" ] || folders+=("$seeds")
  log=$out/$name.log
  if ! "$out/$target/release/$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 \
    -artifact_prefix="$out/artifacts/$name/" "${folders[@]}" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf 'fuzz: %s found something; it is in %s\n' "$name" "$out/artifacts/$name" >&2
    return 1
  fi
  printf 'fuzz: %s: %s\n' "$name" "$(tail -n 1 "$log")"
}
export -f fuzz
export out target seconds
printf '%s\n' crates/*/fuzz/fuzz_targets/*.rs | xargs -P "$(nproc)" -I FILE bash -c 'fuzz FILE'
