#!/usr/bin/env bash
# Fuzzes the parsers that strangers reach first, each for some seconds: scripts/fuzz.sh [SECONDS] (60). What is found is
# kept in target/fuzz/artifacts and fails the run; the corpus in target/fuzz/corpus grows from run to run.
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
RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$out cargo build --quiet --release --locked --target "$target" \
  --manifest-path crates/git-serve/fuzz/Cargo.toml

for file in crates/git-serve/fuzz/fuzz_targets/*.rs; do
  name=$(basename "$file" .rs)
  mkdir -p "$out/corpus/$name" "$out/artifacts/$name"
  folders=("$out/corpus/$name")
  [ ! -d "crates/git-serve/fuzz/seeds/$name" ] || folders+=("crates/git-serve/fuzz/seeds/$name")
  log=$out/$name.log
  if ! "$out/$target/release/$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=512 \
    -artifact_prefix="$out/artifacts/$name/" "${folders[@]}" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    printf 'fuzz: %s found something; it is in %s\n' "$name" "$out/artifacts/$name" >&2
    exit 1
  fi
  printf 'fuzz: %s: %s\n' "$name" "$(tail -n 1 "$log")"
done
