#!/bin/sh
# What the services of compose.yaml run: `founder` or `member NAME`.
#
# The founder starts a network, makes a ticket for each name in
# TALKOOT_INVITE_NAMES and leaves it in TALKOOT_INVITES (a volume that all
# share). A member waits for its ticket and joins with it. Either one is a plain
# `talkoot up` at every later start. Settings are TALKOOT_* variables.
set -eu

usage() {
    echo "usage: talkoot-container founder | member NAME" >&2
    exit 2
}

home=${TALKOOT_HOME:?}
invites=${TALKOOT_INVITES:-/invites}
line=${TALKOOT_INVITE_LINE:-200GFT}
mkdir -p "$home"

# Makes the tickets as soon as the node answers, then ends.
invite_all() {
    until talkoot status >/dev/null 2>&1; do sleep 1; done
    for name in ${TALKOOT_INVITE_NAMES:-}; do
        if [ ! -e "$invites/$name" ]; then
            talkoot invite --ttl 7d --line "$line" >"$invites/.$name"
            mv "$invites/.$name" "$invites/$name"
        fi
    done
}

case "${1-}" in
    founder)
        # Beyond loopback HTTP wants a key; this one stays in the volume.
        if [ ! -e "$home/first-key" ] && [ "${TALKOOT_HTTP_LISTEN:-127.0.0.1}" != 127.0.0.1 ]; then
            (umask 077 && talkoot key new compose >"$home/first-key")
        fi
        invite_all &
        exec talkoot up
        ;;
    member)
        name=${2:?"$(usage)"}
        if [ -e "$home/data/network" ]; then
            exec talkoot up
        fi
        until [ -s "$invites/$name" ]; do sleep 1; done
        exec talkoot up --join "$(cat "$invites/$name")"
        ;;
    *) usage ;;
esac
