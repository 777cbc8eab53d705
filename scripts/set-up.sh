#!/usr/bin/env bash
# Installs and starts what `make demo` and `make test` need and this machine does not have: a C compiler, git, a Docker
# Engine and Docker Compose v2; for the tests also Podman, a user who runs engines without root, a registry, GnuPG,
# PostgreSQL, HAProxy, a Kubernetes control plane and Helm below target/kubernetes, what git checks signatures with, the
# Git libraries that devices may fetch with, below target/git-clients, and schemathesis below target/schemathesis; for the
# benchmark nginx and fcgiwrap instead of Docker. Says clearly what is missing when it cannot. Safe to run again: what is
# there is left alone.
# Usage: scripts/set-up.sh build|demo|test|ci|crash|postgres|bench
set -euo pipefail

purpose=${1:?usage: scripts/set-up.sh build|demo|test|ci|crash|postgres|bench}
cd "$(dirname "$0")/.."
state=${GANTRY_SET_UP_DIR:-target/set-up}
mkdir -p "$state"
# Package managers keep their caches in a home.
export HOME=${HOME:-~}

say() { printf 'set-up: %s\n' "$*"; }
fail() {
  printf 'set-up: %s\n' "$@" >&2
  exit 1
}

# Runs a command; its output is only shown when it fails.
quietly() {
  local log=$state/last.log
  "$@" >"$log" 2>&1 && return
  tail -n 30 "$log" >&2
  return 1
}

apt_updated=no
install_packages() {
  command -v apt-get >/dev/null || fail "cannot install $*: this is not Debian (no apt-get)." "Install it by hand and run again."
  [ "$(id -u)" = 0 ] || fail "cannot install $*: not root." "Run again as root, or install it by hand."
  if [ $apt_updated = no ]; then
    say "reading the package lists"
    quietly apt-get update || fail "apt-get update failed (see above); is the network there?"
    apt_updated=yes
  fi
  say "installing $*"
  quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
    fail "could not install $* (see above)."
}

need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null || install_packages "$2"
}

need_rust() {
  command -v cargo >/dev/null && return
  [ -x "$HOME/.cargo/bin/cargo" ] && fail "cargo is in ~/.cargo/bin, which is not in PATH." "Run: export PATH=\$HOME/.cargo/bin:\$PATH"
  fail "Rust is missing." "Install it with rustup (https://rustup.rs) and run again."
}

# Unpacks packages of the next Debian into a folder of ours, for what Debian 12 does not have; they need only a libc that
# Debian 12 has. The package lists of that release are kept apart: the machine's own are not touched.
from_debian_13() { # from_debian_13 TO PACKAGE...
  local to=$1 mirror apart=$PWD/$state/debian-13
  shift
  say "fetching $* from Debian 13"
  mirror=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' 'Created-By: Packages' | head -n 1)
  [ -n "$mirror" ] || fail "no Debian mirror is configured; cannot fetch $*." "Install it by hand and run again."
  mkdir -p "$apart/lists/partial" "$apart/cache/archives/partial"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie main\n' "$mirror" >"$apart/sources.list"
  local deb options=(-o "Dir::Etc::sourcelist=$apart/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$apart/lists" -o "Dir::Cache=$apart/cache" -o APT::Sandbox::User=root)
  quietly apt-get "${options[@]}" update || fail "cannot read the package list of Debian 13 (see above)."
  (cd "$apart" && quietly_in_here apt-get "${options[@]}" download "$@") ||
    fail "cannot download $* of Debian 13 (see above)."
  for deb in "$apart"/*.deb; do dpkg-deb --extract "$deb" "$to"; done
  rm -rf "$apart"
}

install_compose() {
  install_packages ca-certificates
  if apt-cache show docker-compose 2>/dev/null | grep -q '^Version: 2\.'; then
    install_packages docker-compose
    return
  fi
  local unpacked=$PWD/$state/compose
  from_debian_13 "$unpacked" docker-compose
  install -D -m 0755 "$unpacked/usr/libexec/docker/cli-plugins/docker-compose" \
    /usr/local/lib/docker/cli-plugins/docker-compose
  rm -rf "$unpacked"
}

quietly_in_here() {
  local log
  log=$("$@" 2>&1) && return
  printf '%s\n' "$log" >&2
  return 1
}

need_docker() {
  if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then
    if [ -n "${DOCKER_HOST:-}" ]; then
      fail "DOCKER_HOST is $DOCKER_HOST, but no Docker Engine answers there."
    fi
    command -v dockerd >/dev/null || install_packages docker.io
    command -v iptables >/dev/null || install_packages iptables
    start_docker
  fi
  docker compose version >/dev/null 2>&1 || install_compose
  docker compose version >/dev/null 2>&1 || fail "'docker compose' still does not work; install Docker Compose v2 by hand."
}

start_docker() {
  docker info >/dev/null 2>&1 && return
  if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
    say "starting the Docker Engine with systemd"
    quietly systemctl start docker || fail "systemctl start docker failed (see above)."
  else
    say "starting the Docker Engine (dockerd; its log is $state/dockerd.log)"
    rm -f /var/run/docker.pid
    setsid nohup dockerd >"$state/dockerd.log" 2>&1 </dev/null &
  fi
  local deadline=$((SECONDS + 60))
  until docker info >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      tail -n 15 "$state/dockerd.log" >&2 || true
      fail "the Docker Engine did not answer within 60 seconds (its last lines are above)."
    fi
    sleep 0.2
  done
}

# The other engines that the tests drive: Podman, and Podman and Docker without root. The tests start them themselves.
need_other_engines() {
  local packages=()
  command -v podman >/dev/null || packages+=(podman)
  [ -x /usr/lib/podman/netavark ] || packages+=(netavark)
  [ -x /usr/lib/podman/aardvark-dns ] || packages+=(aardvark-dns)
  command -v runc >/dev/null || packages+=(runc)
  command -v newuidmap >/dev/null || packages+=(uidmap)
  command -v slirp4netns >/dev/null || packages+=(slirp4netns)
  command -v rootlesskit >/dev/null || packages+=(rootlesskit)
  [ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"
  PATH=$PATH:/usr/share/docker.io/contrib command -v dockerd-rootless.sh >/dev/null ||
    fail "dockerd-rootless.sh is missing; it comes with Docker." "Install it by hand and run again."
  id -u gantry-rootless >/dev/null 2>&1 || {
    say "adding the user gantry-rootless, who runs engines without root in the tests"
    quietly useradd --no-create-home --shell /usr/sbin/nologin gantry-rootless || fail "could not add the user (see above)."
  }
  # As udev leaves it; where no udev runs, only root may open it.
  [ ! -c /dev/net/tun ] || chmod 0666 /dev/net/tun
}

need_deny() {
  local version=0.20.2
  command -v cargo-deny >/dev/null && return
  say "building cargo-deny $version (some minutes, once)"
  quietly cargo install --locked cargo-deny --version "$version" --debug || fail "could not install cargo-deny (see above)."
}

# The Go that is there, if it is as new as a go.mod asks for. Otherwise that of Debian 13 fetches the one that is asked
# for, from where it finds all modules.
need_go_of() { # need_go_of GO_MOD
  local needed there apart=$PWD/$state/go
  needed=$(sed -n 's/^go //p' "$1")
  there=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//; s/ .*//') || true
  if [ -n "$there" ] && printf '%s\n%s\n' "$needed" "$there" | sort --check=quiet --version-sort; then
    export GOTOOLCHAIN=local
    return
  fi
  [ -x "$apart/usr/lib/go-1.24/bin/go" ] || from_debian_13 "$apart" golang-1.24-go golang-1.24-src
  export PATH=$apart/usr/lib/go-1.24/bin:$PATH GOTOOLCHAIN=go$needed
}

# The languages of the Git libraries that the tests drive.
need_languages() {
  local packages=()
  # Debian's Python comes without what makes a virtual environment.
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  command -v node >/dev/null || packages+=(nodejs)
  command -v npm >/dev/null || packages+=(npm)
  command -v javac >/dev/null || packages+=(openjdk-17-jdk-headless)
  command -v mvn >/dev/null || packages+=(maven)
  [ ${#packages[@]} = 0 ] || install_packages ca-certificates "${packages[@]}"
}

# Installs a Git library, and beside it the program of the tests that drives it, called `follow`. The stamp tells from
# which files. The package managers are asked for what is pinned there and find their registries as they always do.
need_git_client() { # need_git_client LIBRARY HOW
  local from=crates/gantry-server/tests/git_clients/$1 to=$PWD/target/git-clients/$1 stamp
  stamp=$(cd "$from" && sha256sum -- *)
  [ "$(cat "$to/stamp" 2>/dev/null)" = "$stamp" ] && return
  say "installing $1, a Git library that the tests drive"
  rm -rf "$to"
  mkdir -p "$to"
  cp "$from"/* "$to"
  (cd "$to" && quietly_in_here "$2") || fail "could not install $1 (see above)."
  printf '%s\n' "$stamp" >"$to/stamp"
}

install_python_client() {
  python3 -m venv venv &&
    venv/bin/python -m pip install --no-deps --only-binary :all: -r requirements.txt
}

install_node_client() {
  npm ci --ignore-scripts --no-audit --no-fund
}

install_go_client() {
  go build -buildvcs=false -o follow .
}

install_java_client() {
  mvn --batch-mode --strict-checksums dependency:copy-dependencies -DoutputDirectory=lib &&
    javac -cp 'lib/*' -d classes Follow.java
}

need_git_clients() {
  need_languages
  need_git_client pygit2 install_python_client
  need_git_client dulwich install_python_client
  need_git_client isomorphic-git install_node_client
  need_git_client go-git install_go_client
  need_git_client jgit install_java_client
}

# What asks both APIs by their OpenAPI documents, in target/schemathesis. The stamp is what was installed.
need_schemathesis() {
  local from=crates/gantry-server/tests/openapi/requirements.txt to=$PWD/target/schemathesis
  cmp --silent "$from" "$to/stamp" && return
  say "installing schemathesis, which asks both APIs by their documents in the tests"
  rm -rf "$to"
  mkdir -p "$to"
  cp "$from" "$to"
  (cd "$to" && quietly_in_here install_python_client) || fail "could not install schemathesis (see above)."
  cp "$from" "$to/stamp"
}

# What the tests of Helm components run on, in target/kubernetes: `cluster` (etcd, the API server, the controllers and
# made-up nodes in one program), `helm-3` and `helm-4`. The stamp tells from which files, and by which Go, they were
# built. Debian's etcd is too old for the API server.
need_kubernetes() {
  local from=scripts/kubernetes to=$PWD/target/kubernetes stamp
  stamp=$(cd "$from" && sha256sum go.mod go.sum cluster/main.go)
  [ "$(cat "$to/stamp" 2>/dev/null)" = "$stamp" ] && return
  say "building a Kubernetes control plane and Helm (five minutes or more, once)"
  rm -rf "$to"
  mkdir -p "$to"
  (cd "$from" && quietly_in_here build_kubernetes "$to") || fail "could not build Kubernetes and Helm (see above)."
  printf '%s\n' "$stamp" >"$to/stamp"
}

build_kubernetes() { # build_kubernetes TO
  local module build=(go build -mod=readonly -buildvcs=false -trimpath)
  version_of() { go list -m -f '{{.Version}}' "$1"; }
  "${build[@]}" -ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$(version_of k8s.io/kubernetes)" \
    -o "$1/cluster" ./cluster || return
  for module in helm.sh/helm/v3 helm.sh/helm/v4; do
    "${build[@]}" -ldflags="-s -w -X $module/internal/version.version=$(version_of "$module")" \
      -o "$1/helm-${module##*/v}" "$module/cmd/helm" || return
  done
}

# The tests make clusters of their own. The package makes one more, and starts it where systemd runs.
need_postgres() {
  local there
  there=$(ls /usr/lib/postgresql 2>/dev/null | sort --numeric-sort | tail -n 1)
  [ "${there:-0}" -ge 15 ] && [ -x "/usr/lib/postgresql/$there/bin/initdb" ] || install_packages postgresql
}

need_haproxy() {
  command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || install_packages haproxy
}

# The packages start servers of their own where systemd runs; the benchmark uses the programs only.
need_peer() {
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || install_packages nginx-light
  command -v fcgiwrap >/dev/null || [ -x /usr/sbin/fcgiwrap ] || install_packages fcgiwrap
}

need_rust
command -v cc >/dev/null || install_packages gcc libc6-dev
need git git
need curl curl
case $purpose in
build)
  say "ready: $(cargo --version)"
  exit
  ;;
demo) need_docker ;;
test)
  need_docker
  need_other_engines
  # `git` calls ssh-keygen to check who signed a commit.
  need ssh-keygen openssh-client
  # For the container image of the client.
  need strip binutils
  # It kills the device client at the steps of its choice.
  need strace strace
  # The tests push packages to a registry of their own and sign them. The package starts one more where systemd runs; the
  # tests use the program only.
  need docker-registry docker-registry
  # A load balancer before several servers.
  need_haproxy
  need gpg gnupg
  need_postgres
  need_go_of scripts/kubernetes/go.mod
  need_git_clients
  need_schemathesis
  need_kubernetes
  ;;
crash)
  need_docker
  need strace strace
  ;;
ci)
  need_docker
  need_deny
  # For libFuzzer.
  need g++ g++
  ;;
postgres)
  need_postgres
  say "ready: $(cargo --version), PostgreSQL of $(ls -d /usr/lib/postgresql/* | tail -n 1)"
  exit
  ;;
bench)
  need_peer
  say "ready: $(git --version), $(PATH=$PATH:/usr/sbin nginx -v 2>&1), fcgiwrap"
  exit
  ;;
*) fail "unknown purpose '$purpose': build, demo, test, ci, crash, postgres or bench" ;;
esac
say "ready: $(git --version), Docker Engine $(docker version --format '{{.Server.Version}}'), $(docker compose version)"
