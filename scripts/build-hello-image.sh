#!/usr/bin/env bash
# Builds the container image gantry-hello:1 of the example application from scratch: one static program, no base image
# and no registry.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc --version --verbose | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --package hello-server --profile hello --target "$target"
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "${CARGO_TARGET_DIR:-target}/$target/hello/hello-server" examples/hello/server/Dockerfile "$context"
docker build --quiet --tag gantry-hello:1 "$context" 2>"$context.log" ||
  { cat "$context.log" >&2; rm -f "$context.log"; exit 1; }
rm -f "$context.log"
