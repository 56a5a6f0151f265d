#!/usr/bin/env bash
# One question about one image with curl: ask.sh IMAGE QUESTION
# BASE_URL, MODEL and API_KEY say where and as whom; jq writes and reads the JSON.
set -euo pipefail

base="${BASE_URL:-http://127.0.0.1:8080/v1}"
image="$1"
question="$2"

# By files: an image is longer than an argument may be.
body="$(mktemp)"
trap 'rm -f "$body"' EXIT
base64 < "$image" | tr -d '\n' | jq --raw-input --slurp \
    --arg model "${MODEL:-micro}" --arg question "$question" '{
        model: $model,
        messages: [{role: "user", content: [
            {type: "image_url", image_url: {url: ("data:image/png;base64," + .)}},
            {type: "text", text: $question}
        ]}],
        seed: 0,
        visionthink: {mode: "adaptive"}
    }' > "$body"

ask() {
    curl --silent --show-error --fail-with-body "$base/chat/completions" \
        --header "content-type: application/json" \
        --header "authorization: Bearer ${API_KEY:-none}" \
        "$@"
}

reply="$(ask --data-binary "@$body")"
jq --raw-output '"answer: " + .choices[0].message.content, "decision: " + .visionthink.samples[0].decision' <<< "$reply"

# A stream of events: the pieces of the answer, joined again.
streamed="$(jq '.stream = true' "$body" | ask --no-buffer --data-binary @- | sed -n 's/^data: \({.*\)/\1/p' \
    | jq --raw-output --join-output '.choices[0].delta.content // ""')"
echo "streamed: $streamed"
