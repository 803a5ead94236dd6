# What the smoke runs share: how they speak, and how they end. Sourced by deploy/smoke.sh and deploy/k8s-smoke.sh.
# shellcheck shell=bash

NAME=$(basename "$0" .sh)
BEGUN=$SECONDS
STEP=

if [ -t 1 ]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi
step() {
    STEP=$*
    printf '\n%s%s%s\n' "$BOLD" "$STEP" "$PLAIN"
}
# Never with a command substitution as its argument that may fail: bash would not notice.
line() { printf '  %-34s %s\n' "$1" "$2"; }
fail() {
    printf '\n%s: %s\n' "$NAME" "$*" >&2
    exit 1
}
# The end, whichever. STARTED: there is something to show the logs of; show_logs and take_down are the run's own.
finish() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    if [ "$code" -ge 128 ]; then
        printf '\n%s: told to stop at "%s"\n' "$NAME" "$STEP" >&2
    elif [ "$code" -ne 0 ]; then
        [ -z "$STARTED" ] || show_logs || :
        printf '\n%s: FAILED at "%s" after %d s\n' "$NAME" "$STEP" $((SECONDS - BEGUN)) >&2
    fi
    take_down || :
    rm -rf "$WORK"
    exit "$code"
}
