# What the smoke runs share: how they speak. Sourced by deploy/smoke.sh and deploy/k8s-smoke.sh.
# shellcheck shell=bash

NAME=$(basename "$0" .sh)
# Read by the ends of the runs.
# shellcheck disable=SC2034
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
