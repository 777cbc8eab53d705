#!/usr/bin/env bash
# Runs every test: units, the programs against each other, and the main job end to end with Docker and git.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build-hello-image.sh >/dev/null
# The end-to-end tests start the programs, so these have to be there before the first test runs.
cargo build --workspace --bins
scripts/build-device-image.sh gantry-device:test "${CARGO_TARGET_DIR:-target}/debug/gantry-device" >/dev/null
cargo test --workspace --no-fail-fast
# Once more on the other engine, what goes as far as the database.
GANTRY_TEST_DATABASE=postgres cargo test --no-fail-fast --package fleet-store --package gantry-server --test stories
