#!/usr/bin/env bash
# The main job of Gantry, shown on real parts: an operator deploys, a device fetches its desired state from Git, a real
# container runs, and the status comes back. Exits 0 only if each step was seen to hold, and stops what it started.
#
#   KEEP=1                leaves it running and prints how to look around
#   GANTRY_DEMO_PORT      where gantry-server listens (8443)
#   GANTRY_DEMO_HTTP_PORT where the container answers (18080)
#
# gantry-server and gantry-device are started again when they end early, as systemd would do. So either can be killed at
# any time, and the demo still has to finish.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${GANTRY_DEMO_PORT:-8443}
http_port=${GANTRY_DEMO_HTTP_PORT:-18080}
work=$PWD/target/demo
project=com-gantry-hello-hello
url=https://localhost:$port
export GANTRY_CONFIG=$work/operator.toml
# Nothing of the surroundings may have a say.
unset GANTRY_URL GANTRY_TOKEN GANTRY_CA GIT_SSL_CAINFO GIT_SSL_CAPATH

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '  %s\n' "$*"; }
fail() {
  printf '\ndemo: %s\n' "$*" >&2
  exit 1
}

# Shows a command and runs it, indented; keeps what it printed in $output. Each command here may be given twice, so one
# that may have missed the fleet manager (9 from gantry, 1 or 128 from git) is given again once that answers.
run() {
  printf '\n  $ %s\n' "$(printf '%q ' "$@" | sed "s|$work|\$work|g; s|$PWD/||g")"
  local status attempts=0
  while :; do
    status=0
    "$@" 2>&1 | tee "$work/output" | sed -u 's/^/    /' || status=${PIPESTATUS[0]}
    attempts=$((attempts + 1))
    [[ $status =~ ^(1|9|128)$ && $attempts -lt 5 ]] || break
    note "(again, once the fleet manager answers)"
    wait_until 30 "gantry-server to answer" server_answers
  done
  output=$(cat "$work/output")
  [ $status = 0 ] || fail "that command exited with $status"
}

expect() { # expect WHAT TEXT: the last output has TEXT
  [[ $output == *"$2"* ]] || fail "expected $1 ('$2') in what was printed"
}

wait_until() { # wait_until SECONDS WHAT COMMAND...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "waited in vain for: $what (logs are in $work)"
    sleep 0.1
  done
}

server_answers() { curl --silent --fail --max-time 5 --cacert "$work/server/ca.pem" "$url/readyz"; }

supervised=()
supervise() { # supervise NAME COMMAND...: runs it, and again when it ends before we stop it
  local name=$1
  shift
  (
    child=
    trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
    stopping=
    while [ -z "$stopping" ]; do
      "$@" >>"$work/$name.log" 2>&1 &
      child=$!
      status=0
      wait $child || status=$?
      # A signal ends `wait` early: wait for the program itself.
      while kill -0 $child 2>/dev/null; do wait $child || status=$?; done
      [ -n "$stopping" ] || {
        echo "demo: $name ended with status $status; starting it again" >>"$work/$name.log"
        sleep 0.3
      }
    done
  ) &
  supervised+=($!)
}

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  if [ "${KEEP:-}" = 1 ] && [ $status = 0 ]; then
    look_around
    return
  fi
  for pid in "${supervised[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${supervised[@]}"; do wait "$pid" 2>/dev/null || true; done
  remove_containers
  if [ $status != 0 ]; then
    for log in "$work"/gantry-*.log; do
      [ -e "$log" ] || continue
      printf '\n--- the last lines of %s\n' "$log" >&2
      tail -n 15 "$log" >&2
    done
  fi
  stop_engine
  exit $status
}

# The containers of the demo's deployment, told by the project name that gantry-device gives them.
remove_containers() {
  local containers networks
  containers=$(docker ps --all --quiet --filter label=com.docker.compose.project=$project 2>/dev/null || true)
  [ -z "$containers" ] || docker rm --force $containers >/dev/null
  networks=$(docker network ls --quiet --filter label=com.docker.compose.project=$project 2>/dev/null || true)
  [ -z "$networks" ] || docker network rm $networks >/dev/null
}

stop_engine() {
  [ -n "$engine_pid" ] || return 0
  kill -TERM "$engine_pid" 2>/dev/null || return 0
  while kill -0 "$engine_pid" 2>/dev/null; do sleep 0.1; done
}

look_around() {
  cat <<TEXT

It is left running. Look around:
  export PATH=$PWD/target/debug:\$PATH GANTRY_CONFIG=$GANTRY_CONFIG
  gantry client list
  gantry deploy com-gantry-hello --to press-7 --set greeting=Servus --wait
  curl http://localhost:$http_port/
  gantry-device --config $work/device.toml status
  tail -f $work/gantry-server.log $work/gantry-device.log
Stop it (what you have deployed would run on without the client, so remove that first) with:
  gantry deployment remove com-gantry-hello --wait
  kill ${supervised[*]}
TEXT
}

for taken in "$port" "$http_port"; do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$taken") 2>/dev/null ||
    fail "something listens on port $taken already; choose others with GANTRY_DEMO_PORT and GANTRY_DEMO_HTTP_PORT."
done
engine_was_running=no
docker info >/dev/null 2>&1 && engine_was_running=yes
scripts/set-up.sh demo
engine_pid=
if [ $engine_was_running = no ] && [ ! -d /run/systemd/system ]; then
  engine_pid=$(cat /var/run/docker.pid 2>/dev/null || true)
fi
rm -rf "$work"
mkdir -p "$work"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

title "Building"
note "cargo build (the first time takes some minutes)"
cargo build --bins
export PATH=$PWD/target/debug:$PATH
note "the container image gantry-hello:1, from scratch"
scripts/build-hello-image.sh >/dev/null

title "1. The fleet manager starts on an empty data directory"
cat >"$work/server.toml" <<TOML
data_dir = "$work/server"
listen = "127.0.0.1:$port"
public_url = "$url"
TOML
supervise gantry-server gantry-server --config "$work/server.toml"
wait_until 30 "gantry-server to answer" server_answers
note "its log:"
sed 's/^/    /' "$work/gantry-server.log"
run ls -l "$work/server"
run gantry login "$url" --ca "$work/server/ca.pem" --token-file "$work/server/administrator.token"

title "2. A device onboards, waits, and is let in"
cat >"$work/device.toml" <<TOML
state_dir = "$work/device"

[server]
url = "$url"
ca = "$work/server/ca.pem"

[device]
id = "press-7"
vendor = "Example Machines"
model_number = "EM-100"
serial_number = "0007"

[polling]
interval = "1s"
TOML
supervise gantry-device gantry-device --config "$work/device.toml" run
client_listed() { gantry client list | grep -q "$1"; }
wait_until 30 "the device to wait for approval" client_listed waiting
run gantry client list
expect "a waiting client" waiting
run gantry-device --config "$work/device.toml" fingerprint
fingerprint=$output
run gantry client show press-7
expect "the fingerprint that the device shows" "$fingerprint"
run gantry client approve press-7 --reason "fingerprint compared on the machine"
expect "an approved client" approved
capabilities_reported() { gantry client show press-7 -o json | grep -q '"serialNumber": *"0007"'; }
wait_until 30 "the device to report its capabilities" capabilities_reported
run gantry client show press-7
expect "the reported serial number" 0007

title "3. An operator adds an application and deploys it"
run gantry application add examples/hello
ordered=$(date +%s%N)
run gantry deploy com-gantry-hello --to press-7 --set greeting=Hello --set "port=$http_port" --reason "first try" --wait
installed=$(date +%s%N)
expect "the state installed" installed
seconds=$(awk "BEGIN { printf \"%.1f\", ($installed - $ordered) / 1e9 }")
run gantry-device --config "$work/device.toml" status

title "4. The container answers with the greeting"
run curl --silent --show-error --fail --max-time 10 "http://localhost:$http_port/"
[ "$output" = Hello ] || fail "the container answered '$output', not 'Hello'"

title "5. The desired state is a Git repository"
run gantry-device --config "$work/device.toml" repository
repository=$(sed -n 's/^url: *//p' <<<"$output")
[ -n "$repository" ] || fail "gantry-device did not name its repository"
run git clone -c "http.sslCAInfo=$work/server/ca.pem" -c credential.helper= \
  -c "credential.helper=!gantry-device --config '$work/device.toml' git-credential" "$repository" "$work/clone"
run git -C "$work/clone" log --format=medium
expect "who ordered it" "Gantry-Operator: admin"
expect "why it was ordered" "first try"
expect "its version" "Margo-Manifest-Version: 2"
run git -C "$work/clone" ls-files
run git -C "$work/clone" fsck --strict

title "6. An update gives a new revision"
deployment=com-gantry-hello
run gantry deployment update $deployment --set greeting=Moin --wait
expect "the state installed" installed
run curl --silent --show-error --fail --max-time 10 "http://localhost:$http_port/"
[ "$output" = Moin ] || fail "the container answered '$output', not 'Moin'"
run gantry desired-state log press-7
run git -C "$work/clone" pull --ff-only
run git -C "$work/clone" diff HEAD~1 -- deployments
expect "the new greeting" Moin

title "7. Removal"
run gantry deployment remove $deployment --wait
expect "the state removing" removing
expect "the state removed" removed
run docker ps --all --filter name=com-gantry-hello --format '{{.Names}} {{.Status}}'
[ -z "$output" ] || fail "a container is left"
run gantry desired-state show press-7
run git -C "$work/clone" pull --ff-only
run cat "$work/clone/manifest.json"
expect "an empty manifest" '"bundle":null'
expect "an empty manifest" '"deployments":[]'

title "Done: each step was seen to hold"
echo "From order to installed: $seconds seconds"
