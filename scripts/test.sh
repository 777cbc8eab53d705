#!/usr/bin/env bash
# Runs every test: units, the programs against each other, and the main job end to end with Docker and git; then once
# more on PostgreSQL what goes as far as the database.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build-hello-image.sh >/dev/null
# The end-to-end tests start the programs, so these have to be there before the first test runs.
cargo build --workspace --bins
scripts/build-device-image.sh gantry-device:test "${CARGO_TARGET_DIR:-target}/debug/gantry-device" >/dev/null
# The stories wait for programs, containers and polls for more than half of their time.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((2 * $(nproc)))}"
cargo test --workspace --no-fail-fast

# Not by way of `cargo test --package`, which would build everything anew with fewer features.
built=$(cargo test --workspace --no-run --message-format json 2>/dev/null)
for package in crates/fleet-store crates/gantry-server; do
  stories=$(sed -n "s~.*\"src_path\":\"$PWD/$package/tests/stories/main.rs\".*\"executable\":\"\([^\"]*\)\".*~\1~p" <<<"$built")
  printf '     Running the stories of %s on PostgreSQL\n' "$package"
  (cd "$package" && GANTRY_TEST_DATABASE=postgres "${stories:?were not built}")
done
