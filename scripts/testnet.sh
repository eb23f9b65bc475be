#!/usr/bin/env bash
# Four workers and an asker on this machine answer one prompt through layer
# shards, and all of them hold the same books.
#
#   ./scripts/testnet.sh [--workers 4] [--model DIR] [--max-tokens N] [--json] [--keep] [PROMPT]
#
# Builds the release program (progress on stderr; the first time takes some
# minutes), then hands over to `talkoot testnet`, which starts, asks, checks and
# stops everything. Exit 0 only if the answer came and the books hold.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
caller="$PWD"

if ! command -v cargo >/dev/null; then
    echo "testnet.sh: cargo is missing; install Rust from https://rustup.rs" >&2
    exit 1
fi

echo "building talkoot (release) …" >&2
# The toolchain file is found from the working directory.
cd "$root"
cargo build --release --locked --package talkoot >&2

program="${CARGO_TARGET_DIR:-$root/target}/release/talkoot"
# Paths in the arguments are relative to where the caller stands.
cd "$caller"
exec "$program" testnet "$@"
