#!/usr/bin/env bash
# Makes a Python environment of the peers: setup.sh [DIR [REQUIREMENTS [OVERRIDES]]], by default target/peers from
# requirements.txt. OVERRIDES replaces what packages themselves pin. Does nothing when DIR already holds what is asked for.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
env="${1:-${CARGO_TARGET_DIR:-$here/../../target}/peers}"
requirements="$here/${2:-requirements.txt}"
stamp="$env/requirements.installed"

if [[ -x "$env/bin/python" ]] && cmp --silent "$requirements" "$stamp"; then
    exit 0
fi

echo "making $env: several GB, once" >&2
if command -v uv >/dev/null; then
    uv=uv
    uv venv --quiet --allow-existing "$env"
else
    # pip has no overrides.
    python3 -m venv "$env"
    "$env/bin/python" -m pip install --quiet uv
    uv="$env/bin/uv"
fi
overrides=()
if [[ -n "${3:-}" ]]; then
    overrides=(--override "$here/$3")
fi
"$uv" pip install --quiet --python "$env/bin/python" --requirement "$requirements" "${overrides[@]}"
cp "$requirements" "$stamp"
