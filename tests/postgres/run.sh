#!/usr/bin/env bash
# A PostgreSQL server, version 15 or later, for the tests of the journal in a database.
#   tests/postgres/run.sh [command …]       (default: cargo test -p quintet --test journal)
# Installs PostgreSQL from the system's packages if it is missing, starts a server in a temporary folder on a Unix socket,
# exports its address and the path of its folder, runs the command, and stops the server. The server syncs as in operation.
set -euo pipefail

cd "$(dirname "$0")"
source ../prerequisites.sh

newest() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; }
if [[ -z $(newest) ]]; then
  # Without a cluster of the system, which would be started at once.
  system_packages postgresql-common
  sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  system_packages postgresql
fi
bin=$(newest)
version=$(basename "$(dirname "$bin")")
if ((version < 15)); then
  echo "$0: needs PostgreSQL 15 or later, and this is $version" >&2
  exit 1
fi

# The server refuses to run as root.
folder=$(mktemp -d)
as_owner=()
if [[ $(id -u) == 0 ]]; then
  chown postgres "$folder"
  as_owner=(runuser -u postgres --)
fi
server() { (cd / && "${as_owner[@]}" "$bin/pg_ctl" --pgdata="$folder/data" --log="$folder/log" --silent --wait "$@"); }
stop() {
  server --mode=immediate stop || true
  rm -rf "$folder"
}
trap stop EXIT

(cd / && "${as_owner[@]}" "$bin/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --no-locale >"$folder/initdb.log") ||
  { cat "$folder/initdb.log" >&2; exit 1; }
cat >>"$folder/data/postgresql.conf" <<SETTINGS
listen_addresses = ''
unix_socket_directories = '$folder'
max_connections = 300
SETTINGS
server start || { cat "$folder/log" >&2; exit 1; }
chmod 755 "$folder"

export POSTGRES_ADDRESS="postgres://postgres@${folder//\//%2F}/postgres"
export POSTGRES_BIN=$bin POSTGRES_FOLDER=$folder
cd ../..
[[ $# -gt 0 ]] || set -- cargo test --quiet --locked -p quintet --test journal
status=0
"$@" || status=$?
if ((status != 0)); then
  tail -40 "$folder/log" >&2
fi
exit "$status"
