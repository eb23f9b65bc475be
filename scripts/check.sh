#!/usr/bin/env bash
# The gate: every check that a change must pass, the same for people and CI.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/check.sh [--help]

Runs, and stops at the first that fails:
  format    cargo fmt --check
  clippy    all targets, warnings are errors
  tests     cargo nextest if it is installed, else cargo test
  doctests  the examples in the documentation
  docs      cargo doc; a broken link is an error
  clients   real OpenAI clients against four workers, if PyPI and npm are reachable
            (TALKOOT_SKIP_CLIENTS=1: not)
  browser   the dashboard in Chromium against four workers, if Chromium and npm are
            there (TALKOOT_SKIP_BROWSER=1: not)
  packaging linters of the image, the containers, the unit and the scripts, if PyPI
            is reachable
  deny      licences, sources, advisories, if cargo-deny is installed

After a change of the wire: TALKOOT_GOLDEN=write cargo test -p talkoot-protocol
TEXT
}

case "${1-}" in
    '') ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

# One profile and one feature set for all steps: dependencies are checked once
# (clippy, docs) and compiled once (tests). `-D warnings` goes to clippy and
# rustdoc alone, not through RUSTFLAGS, which would build everything again.
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
begun=$SECONDS

step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    if ! "$@"; then
        printf '\n== %s FAILED after %d s\n' "$name" $((SECONDS - start)) >&2
        exit 1
    fi
    printf '== %s ok, %d s\n' "$name" $((SECONDS - start))
}

step format cargo fmt --all --check
step clippy cargo clippy --workspace --all-targets --locked -- -D warnings
if cargo nextest --version >/dev/null 2>&1; then
    step tests cargo nextest run --workspace --locked
else
    step tests cargo test --workspace --locked --lib --bins --tests
fi
step doctests cargo test --workspace --locked --doc
step docs env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
# The program that the tests of processes were built with.
step clients python3 scripts/clients.py --program "${CARGO_TARGET_DIR:-target}/debug/talkoot-under-test"
step browser python3 scripts/browser.py --program "${CARGO_TARGET_DIR:-target}/debug/talkoot-under-test"
step packaging scripts/packaging.sh
if cargo deny --version >/dev/null 2>&1; then
    step deny cargo deny check
else
    printf '\n== deny skipped: cargo-deny is not installed\n'
fi

printf '\nall checks passed in %d s\n' $((SECONDS - begun))
