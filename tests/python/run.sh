#!/usr/bin/env bash
# The Python client: format, lints, types, unit and property tests, the package as published, and end to end against a
# real server.
#   tests/python/run.sh path/to/quintet [pytest argument ...]
# Without a binary (`-` in its place), the tests that need a server are skipped. Installs from PyPI what is missing.
set -euo pipefail

quintet=${1:-}
if [[ $quintet != - && ! -x $quintet ]]; then
  echo "usage: tests/python/run.sh path/to/quintet [pytest argument ...]" >&2
  exit 2
fi
if [[ $quintet != - ]]; then
  CLIENTS_TEST_BINARY=$(realpath "$quintet")
  export CLIENTS_TEST_BINARY
fi
shift
cd "$(dirname "$0")/../../clients/python"

source ../../tests/prerequisites.sh
python_packages .venv requirements-test.txt

.venv/bin/ruff check --quiet .
.venv/bin/ruff format --check --quiet .
MYPYPATH=src .venv/bin/mypy --no-error-summary

# The package as users get it: built, checked, and installed in place of its sources.
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
.venv/bin/python -m build --no-isolation --outdir "$built" . >/dev/null
.venv/bin/twine check --strict "$built"/* >/dev/null
.venv/bin/pip --disable-pip-version-check install --quiet --force-reinstall --no-deps "$built"/*.whl
# Its types, as a program that uses it gets them; and itself, in an environment with its dependencies alone.
program='import quintet; client: quintet.Quintet; answer: int = client.ask("t", "x")'
seen=$(cd "$built" && "$OLDPWD/.venv/bin/mypy" --strict --no-error-summary --cache-dir "$built/mypy" -c "$program" || true)
[[ $seen == *'expression has type "str", variable has type "int"'* ]] || { echo "the types of the wheel: $seen" >&2; exit 1; }
python3 -m venv "$built/clean"
"$built/clean/bin/pip" --disable-pip-version-check install --quiet --constraint requirements-test.txt "$built"/*.whl
export CLIENTS_TEST_PYTHON=$built/clean/bin/python

timeout 300 .venv/bin/python -m pytest -q -p no:cacheprovider "$@"
