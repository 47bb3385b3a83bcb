#!/usr/bin/env bash
# The software that the files of packaging/ are for, for the tests of these files: Prometheus with promtool,
# systemd-analyze, nginx and openssl.
#   tests/packaging/run.sh [command …]       (default: cargo test -p quintet --test cli packaging)
# Unpacks them below `target/packaging`, or installs them, from the system's packages if they are missing; exports the paths of the programs, and runs the command.
set -euo pipefail

cd "$(dirname "$0")/../.."
source tests/prerequisites.sh

# Refreshes the lists of packages.
refresh() {
  local sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo apt-get update -qq >&2
}

# The package would install and start a service of the system; only its programs are needed.
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
  home=${CARGO_TARGET_DIR:-target}/packaging
  if [[ ! -x $home/usr/bin/promtool ]]; then
    rm -rf "$home"
    mkdir -p "$home"
    (
      cd "$home"
      apt-get download -qq prometheus >&2 || { refresh && apt-get download -qq prometheus >&2; }
      dpkg-deb --extract prometheus_*.deb .
    )
  fi
  PATH=$(cd "$home" && pwd)/usr/bin:$PATH
fi
export PROMTOOL PROMETHEUS
PROMTOOL=$(command -v promtool)
PROMETHEUS=$(command -v prometheus)

# In a container without systemd, the package brings its tools, and starts nothing.
command -v systemd-analyze >/dev/null || system_packages systemd
PATH=$PATH:/usr/sbin
for program in nginx openssl; do
  command -v $program >/dev/null || system_packages $program
done
SYSTEMD_ANALYZE=$(command -v systemd-analyze)
# A variable NGINX would be read by nginx itself.
NGINX_PROGRAM=$(command -v nginx)
export SYSTEMD_ANALYZE NGINX_PROGRAM

[[ $# -gt 0 ]] || set -- cargo test --quiet --locked -p quintet --test cli packaging
"$@"
