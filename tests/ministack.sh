#!/bin/sh
# The binary against ministack, a local AWS: real signatures, policies of assumed roles that are enforced, notifications
# as S3 and SNS send them. Needs python3 and, the first time, PyPI; touches nothing outside target/ and the loopback.
set -eu

cd "$(dirname "$0")/.."
folder="${CARGO_TARGET_DIR:-target}/ministack"
venv="$folder/venv"
packages="ministack==1.5.33 boto3==1.43.106"

mkdir -p "$folder"
if [ "$(cat "$venv/packages" 2>/dev/null)" != "$packages" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # shellcheck disable=SC2086 # a list of words
    "$venv/bin/pip" install --quiet --disable-pip-version-check $packages
    echo "$packages" > "$venv/packages"
fi

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
BIND_HOST=127.0.0.1 GATEWAY_PORT="$port" AUTH=true "$venv/bin/ministack" > "$folder/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! "$venv/bin/python" tests/ministack_setup.py "http://127.0.0.1:$port" "$folder/setup.json"; then
    echo "ministack could not be set up; it said:" >&2
    tail -n 40 "$folder/log" >&2
    exit 1
fi
MINISTACK_SETUP="$(cd "$folder" && pwd)/setup.json" cargo test --test ministack "$@"
