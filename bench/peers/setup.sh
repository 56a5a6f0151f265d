#!/usr/bin/env bash
# Makes the Python environment of the peers: setup.sh [DIR], by default target/peers.
# Does nothing when DIR already holds what requirements.txt asks for.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
env="${1:-${CARGO_TARGET_DIR:-$here/../../target}/peers}"
stamp="$env/requirements.installed"

if [[ -x "$env/bin/python" ]] && cmp --silent "$here/requirements.txt" "$stamp"; then
    exit 0
fi

echo "making $env: several GB, once" >&2
if command -v uv >/dev/null; then
    uv venv --quiet --allow-existing "$env"
    uv pip install --quiet --python "$env/bin/python" --requirement "$here/requirements.txt"
else
    python3 -m venv "$env"
    "$env/bin/python" -m pip install --quiet --requirement "$here/requirements.txt"
fi
cp "$here/requirements.txt" "$stamp"
