#!/usr/bin/env bash
# Runs the Autobahn test suite against the service's own listener, handshake and socket:
#
#   bash tests/autobahn/run.sh
#
# The suite is a Python 2.7 program and runs with no other version. Python is the first of:
# $AUTOBAHN_PYTHON; `python2.7` or `pypy` on the path; a 2.7 of pyenv, which builds one if there is none
# (`pyenv install 2.7.18`: a C compiler and the headers of zlib and OpenSSL). Debian has packaged none since
# version 12. Where there is none, this script exits with code 3. The suite itself comes
# from PyPI and is kept under `target/autobahn`.
#
# The limit of a message is raised to 16 MiB for the cases 9.*. Cases 12.* and 13.* are about compression,
# which the service does not offer.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
home=$target/autobahn
mkdir -p "$home"
home=$(cd "$home" && pwd)

python2() {
    local candidate
    for candidate in "${AUTOBAHN_PYTHON:-}" python2.7 pypy "$HOME"/.pyenv/versions/2.7*/bin/python; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c 'import sys, ssl, zlib; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    if command -v pyenv >/dev/null 2>&1; then
        pyenv install --skip-existing 2.7.18 >&2 && echo "$(pyenv root)/versions/2.7.18/bin/python" && return
    fi
    cat >&2 <<'MISSING'
tests/autobahn/run.sh: Python 2.7 is needed for the Autobahn test suite and is not installed.
Install pyenv (https://github.com/pyenv/pyenv) and run `pyenv install 2.7.18`, or set AUTOBAHN_PYTHON.
MISSING
    return 3
}

if [ ! -x "$home/venv/bin/wstest" ]; then
    python=$(python2) || exit $?
    rm -rf "$home/virtualenv" "$home/venv"
    "$python" -m pip --disable-pip-version-check install --quiet --target "$home/virtualenv" 'virtualenv<20.22' 2>"$home/pip.log" ||
        { cat "$home/pip.log" >&2; exit 1; }
    PYTHONPATH="$home/virtualenv" "$python" -m virtualenv --quiet "$home/venv"
    "$home/venv/bin/pip" --disable-pip-version-check install --quiet autobahntestsuite==25.10.1 2>"$home/pip.log" ||
        { cat "$home/pip.log" >&2; exit 1; }
fi

cargo build --quiet --locked -p quintet --example autobahn_echo
address=$home/address
rm -rf "$address" "$home/reports"
"$target/debug/examples/autobahn_echo" 127.0.0.1:0 >"$address" &
echo=$!
trap 'kill "$echo" 2>/dev/null || true' EXIT
until [ -s "$address" ]; do
    kill -0 "$echo" 2>/dev/null || { echo "tests/autobahn/run.sh: the echo server has ended" >&2; exit 1; }
    sleep 0.05
done

cat >"$home/spec.json" <<SPEC
{
    "outdir": "$home/reports",
    "servers": [{"agent": "quintet", "url": "ws://$(cat "$address")"}],
    "cases": ["*"],
    "exclude-cases": ["12.*", "13.*"],
    "exclude-agent-cases": {}
}
SPEC
(cd "$home" && venv/bin/wstest -m fuzzingclient -s spec.json >"$home/wstest.log" 2>&1) ||
    { tail -20 "$home/wstest.log" >&2; exit 1; }
python3 tests/autobahn/cases.py "$home/reports/index.json"
