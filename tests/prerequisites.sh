# Installs what the tests with other software need. Sourced by the `run.sh` of each folder; has no effect by itself.

# Installs packages of the system.
system_packages() {
  echo "installing $*" >&2
  local sudo=
  [[ $(id -u) == 0 ]] || sudo=sudo
  $sudo apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Requires Node.js 20 or later.
need_node() {
  command -v node >/dev/null && command -v npm >/dev/null || system_packages nodejs npm
  if (($(node -p 'process.versions.node.split(".")[0]') < 20)); then
    echo "$0: needs Node.js 20 or later, and this is $(node --version)" >&2
    exit 1
  fi
}

# Exports CHROMIUM, the path of the browser.
need_chromium() {
  export CHROMIUM=${CHROMIUM:-$(command -v chromium || true)}
  if [[ -z $CHROMIUM ]]; then
    system_packages chromium
    CHROMIUM=$(command -v chromium)
  fi
}

# npm_packages FOLDER [option …]: installs the packages of a lock file, again only when it is newer than the installation.
npm_packages() {
  local folder=$1
  shift
  if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "$@" >&2)
  fi
}

# python_packages FOLDER REQUIREMENTS [option …]: the same for a virtual environment.
python_packages() {
  local venv=$1 requirements=$2
  shift 2
  python3 -c 'import ensurepip, venv' 2>/dev/null || system_packages python3 python3-venv
  if [[ ! $venv/installed -nt $requirements ]]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" --disable-pip-version-check install --quiet "$@" --requirement "$requirements" >&2
    touch "$venv/installed"
  fi
}
