#!/usr/bin/env bash
# Builds the container image of the device client. Usage: scripts/build-device-image.sh [TAG [PROGRAM]]; TAG is
# gantry-device:0.1, and without PROGRAM the client is built for devices. The base is made of this machine's docker
# command and Compose plugin, with no registry; GANTRY_DEVICE_BASE names another one, such as debian:trixie-slim.
set -euo pipefail
cd "$(dirname "$0")/.."

export HOME=${HOME:-~}
tag=${1:-gantry-device:0.1}
program=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  printf 'build-device-image: %s\n' "$*" >&2
  exit 1
}

# Its output is only shown when it fails.
quietly() {
  "$@" >"$work/log" 2>&1 && return
  cat "$work/log" >&2
  fail "$1 $2 failed (see above)"
}

compose_plugin() {
  local folder
  for folder in "$HOME/.docker" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker; do
    [ -x "$folder/cli-plugins/docker-compose" ] && echo "$folder/cli-plugins/docker-compose" && return
  done
  fail "the plugin 'docker compose' is missing; run scripts/set-up.sh test"
}

# A root file system of a shell, the docker command, its plugin, and the libraries of these and of the client.
make_base() { # make_base BASE
  local docker plugin each
  docker=$(command -v docker) || fail "docker is missing; run scripts/set-up.sh test"
  plugin=$(compose_plugin)
  local programs=(/bin/sh "$docker" "$plugin" "$work/context/gantry-device") libraries
  # A static program has none, of which ldd complains.
  libraries=$(for each in "${programs[@]}"; do ldd "$each" 2>/dev/null || true; done |
    grep -o '/[^ ]*\.so[^ ]*' | sort -u)
  local stamp
  stamp=$(stat --dereference --format '%n %s %Y' /bin/sh "$docker" "$plugin" $libraries | sha256sum | cut -d ' ' -f 1)
  [ "$(docker image inspect --format '{{.Config.Labels.stamp}}' "$1" 2>/dev/null)" = "$stamp" ] && return

  local root=$work/root library
  mkdir -p "$root"/usr/{bin,lib,lib64,local/bin,lib/docker/cli-plugins} "$root"/{etc,tmp,var/lib}
  ln -s usr/bin usr/lib usr/lib64 "$root"
  cp --dereference /bin/sh "$docker" "$root/usr/bin"
  cp "$plugin" "$root/usr/lib/docker/cli-plugins"
  for library in $libraries; do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference "$library" "$root$library"
  done
  tar --create --directory "$root" --owner 0 --group 0 . | docker import --change "LABEL stamp=$stamp" \
    --change 'ENV PATH=/usr/local/bin:/usr/bin' - "$1" >/dev/null
}

if [ -z "$program" ]; then
  cargo build --quiet --locked --package gantry-device --profile device
  program=${CARGO_TARGET_DIR:-target}/device/gantry-device
fi
mkdir "$work/context"
# What is only for debuggers would make the image several times as large.
strip --strip-all -o "$work/context/gantry-device" "$program"
base=${GANTRY_DEVICE_BASE:-}
if [ -z "$base" ]; then
  base=gantry-device-base:local
  make_base "$base"
fi
quietly docker build --build-arg "BASE=$base" --file deploy/device/Containerfile --tag "$tag" "$work/context"
echo "$tag, $(($(docker image inspect --format '{{.Size}}' "$tag") / 1000000)) MB"
