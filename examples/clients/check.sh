#!/usr/bin/env bash
# Installs OpenAI's packages and asks the same of a running server with every client: check.sh PROGRAM [CONFIG]
# Each has to print the same three lines; without CONFIG, where the embedded model is served, the answer of `PROGRAM ask`.
# A client whose package manager or tool is not here is skipped, and said to be.
set -euo pipefail

program="$(realpath "$1")"
config="${2:+$(realpath "$2")}"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$here/../.."
env="${CARGO_TARGET_DIR:-$root/target}/clients"
mkdir -p "$env"
served=micro

if [[ -z "$config" ]]; then
    # The example of an embedded model, on a port that is free.
    config="$env/serve.toml"
    { cat "$root/configs/serve-embedded.toml"; printf '\n[server]\nlisten = "127.0.0.1:0"\n'; } > "$config"
else
    served="$(sed -n 's/^model = "\(.*\)".*/\1/p' "$config" | head -n 1)"
fi

cd "$root"
exec 3< <(exec "$program" serve --config "$config")
server=$!
trap 'kill "$server" 2> /dev/null || true' EXIT
read -r -u 3 _ _ address
export BASE_URL="$address/v1" MODEL="$served"
for _ in $(seq 100); do
    if curl --silent --fail "$address/ready" > /dev/null; then break; fi
    sleep 0.2
done

python() {
    if [[ ! -x "$env/python/bin/python" ]]; then python3 -m venv "$env/python"; fi
    "$env/python/bin/python" -m pip install --quiet --requirement "$here/requirements.txt"
    "$env/python/bin/python" "$here/ask.py" "$@"
}

javascript() {
    # An import is looked up from where the file lies.
    cp "$here/package.json" "$here/ask.mjs" "$env/"
    npm install --silent --no-audit --no-fund --prefix "$env"
    node "$env/ask.mjs" "$@"
}

missing() {
    for tool in "$@"; do command -v "$tool" > /dev/null || { echo "$tool"; return; }; done
}

ran=0
ask_all() { # IMAGE QUESTION DECISION
    local expected=""
    if [[ "$served" == micro ]]; then
        expected="$("$program" ask --image "$1" "$2")"
        expected="$(printf 'answer: %s\ndecision: %s\nstreamed: %s' "$expected" "$3" "$expected")"
    fi
    local client name found
    for client in "ask.sh curl jq" "python python3" "javascript node npm"; do
        read -r name tools <<< "$client"
        # shellcheck disable=SC2086 # a list of words
        lacks="$(missing $tools)"
        if [[ -n "$lacks" ]]; then echo "skipped: $name, there is no $lacks"; continue; fi
        if [[ "$name" == ask.sh ]]; then found="$("$here/ask.sh" "$1" "$2")"; else found="$("$name" "$1" "$2")"; fi
        expected="${expected:-$found}"
        if [[ "$found" != "$expected" ]]; then
            printf '%s: “%s” has\n%s\nexpected\n%s\n' "$name" "$2" "$found" "$expected" >&2
            exit 1
        fi
        echo "$name: “$2” $(tr '\n' ' ' <<< "$found")"
        ran=$((ran + 1))
    done
}

examples="$root/crates/serve/page/examples"
ask_all "$examples/document-11.png" "What is the title?" direct
ask_all "$examples/chart-1.png" "What number is under the blue bar?" resize
if ((ran == 0)); then echo "no client could be run" >&2; exit 1; fi
