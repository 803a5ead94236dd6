#!/usr/bin/env bash
# Applies deploy/k8s to a disposable Kubernetes cluster of one node, sends real work through the API, rolls, scales and
# deletes what serves it, removes all that it made, and prints what it saw.
#
# `make k8s-smoke`. Needs bash, a kubectl with kustomize 5 (`make k8s-tools`; KUBECTL names another one), a cluster that
# KUBECONFIG leads to, and in the node's container engine the images taskyard/{api,worker,worker-geo,scheduler,console}:k8s-smoke,
# redis:7 and postgres:17. Settings, all optional but the first:
#   KUBECONFIG           of the cluster; ~/.kube/config is never read
#   K8S_SMOKE_CONTEXT    the name of its current context, where that does not say that it is a test one
#   K8S_SMOKE_OVERLAY    what is applied (tests/deploy/k8s-1.20 where the cluster is older than 1.27)
#   K8S_SMOKE_KEEP=yes   leave everything where it is, to look at it
# docs/contributing/manifests.md says how to get such a cluster. Exit codes: 0 all is well; 1 something is not, with the
# logs; 3 there is no cluster that may be used.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/smoke_shell.sh
. "$ROOT/deploy/smoke_shell.sh"
WORK=$(mktemp -d)
APP=taskyard
# Whoever calls the API is in a namespace of its own, as the controller of an Ingress is.
CALLER=taskyard-smoke
DEPLOYMENTS=(api worker worker-geo scheduler console)
ECHOES=1000
SINGLES=20
MINE=taskyard-smoke=yes
STARTED=


KUBECTL=${KUBECTL:-}
if [ -z "$KUBECTL" ]; then
    KUBECTL=$(command -v "$ROOT/.k8s-tools/bin/kubectl" || command -v kubectl || :)
fi

no_cluster() {
    printf 'k8s-smoke: %s\n' "$@" >&2
    rm -rf "$WORK"
    exit 3
}
kube() { "$KUBECTL" --request-timeout=60s "$@"; }
app() { kube -n "$APP" "$@"; }
in_caller() { kube -n "$CALLER" exec caller -- "$@"; }
work() { in_caller python /smoke/smoke_work.py "$@"; }
look() { in_caller python /smoke/k8s_work.py "$@"; }
ledger() { app exec postgres-0 -- psql -U taskyard -d taskyard -qAtc "$1"; }
pods() { # QUESTION [COMPONENT]
    app get pods ${2:+-l "app.kubernetes.io/component=$2"} -o json | python3 "$ROOT/deploy/k8s_pods.py" "$1"
}

# ---------------------------------------------------------------- the cluster

choose_cluster() {
    [ -n "$KUBECTL" ] || no_cluster "there is no kubectl here: run 'make k8s-tools'."
    [ -n "${KUBECONFIG:-}" ] || no_cluster "KUBECONFIG is not set. Name the file of a disposable cluster:" \
        "everything this run makes is removed at its end (docs/contributing/manifests.md says how to get one)."
    CONTEXT=$("$KUBECTL" config current-context 2>/dev/null) || no_cluster "$KUBECONFIG has no current context."
    case "$CONTEXT" in
        "${K8S_SMOKE_CONTEXT:-}" | kind-* | k3d-* | minikube | *smoke* | *test*) ;;
        *) no_cluster "the context '$CONTEXT' does not look like a test cluster." \
            "If nothing on it matters, say so: K8S_SMOKE_CONTEXT=$CONTEXT" ;;
    esac
    NODES=$(kube get nodes -o jsonpath='{.items[*].metadata.name}' 2>"$WORK/error") ||
        no_cluster "the cluster of the context '$CONTEXT' does not answer: $(tail -1 "$WORK/error")"
    [ "$(wc -w <<<"$NODES")" = 1 ] || no_cluster "the cluster has not one node but: $NODES"
    local namespace
    for namespace in "$APP" "$CALLER"; do
        ! kube get namespace "$namespace" >/dev/null 2>&1 ||
            no_cluster "there is a namespace '$namespace' already, and this run would remove it."
    done
    VERSION=$(kube get nodes -o jsonpath='{.items[0].status.nodeInfo.kubeletVersion}')
    RUNTIME=$(kube get nodes -o jsonpath='{.items[0].status.nodeInfo.containerRuntimeVersion}')
}

# ---------------------------------------------------------------- the end, whichever

show_logs() {
    app get pods -o wide
    app get events --sort-by=.lastTimestamp | tail -40
    local pod
    for pod in $(app get pods -o name); do
        printf '\n---- %s\n' "$pod"
        app logs --tail 40 --all-containers "$pod" || :
    done
} >&2 2>&1

take_down() {
    [ -n "$STARTED" ] || return 0
    STARTED=
    if [ "${K8S_SMOKE_KEEP:-}" = yes ]; then
        printf '\nk8s-smoke: kept, as K8S_SMOKE_KEEP says. To remove it: kubectl delete namespace %s %s\n' "$APP" "$CALLER"
        return 0
    fi
    # The directories of the volumes, once nobody writes to them any more.
    "$KUBECTL" delete namespace "$APP" --ignore-not-found --timeout=300s >"$WORK/down.log" 2>&1 || cat "$WORK/down.log" >&2
    kube -n "$CALLER" exec node -- rm -rf /node/taskyard-smoke >/dev/null 2>&1 || :
    "$KUBECTL" delete namespace "$CALLER" --ignore-not-found --timeout=180s >"$WORK/down.log" 2>&1 ||
        cat "$WORK/down.log" >&2
    "$KUBECTL" delete persistentvolume -l "$MINE" --ignore-not-found --timeout=180s >"$WORK/down.log" 2>&1 ||
        cat "$WORK/down.log" >&2
}

check_nothing_left() {
    take_down
    local left
    left=$(kube get namespaces,persistentvolumes -l "$MINE" -o name; kube get namespace "$APP" "$CALLER" --ignore-not-found -o name)
    [ -z "$left" ] || fail "left behind: $left"
    line "left behind" "nothing: no namespace, no object in one, no volume"
}

# ---------------------------------------------------------------- steps

write_secrets() {
    local file
    (
        umask 077
        mkdir "$WORK/secrets"
        python3 - "$WORK/secrets" <<'PYTHON'
import base64
import secrets
import sys
from pathlib import Path

database, tasks, redis = (secrets.token_hex(16) for _ in range(3))
values = {
    "taskyard-database": f"TASKYARD_DATABASE_URL=postgresql://taskyard:{database}@postgres:5432/taskyard",
    "taskyard-task-database": f"TASKYARD_TASK_DATABASE_URL=postgresql://taskyard_task:{tasks}@postgres:5432/taskyard",
    "taskyard-redis": f"TASKYARD_REDIS_URL=redis://:{redis}@redis:6379/0",
    "taskyard-secret-keys": f"TASKYARD_SECRET_KEYS={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}",
    "taskyard-console": f"TASKYARD_CONSOLE_SECRETS={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}",
    "taskyard-bootstrap-key": f"TASKYARD_BOOTSTRAP_KEY=ty_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}",
    "taskyard-postgres": f"POSTGRES_PASSWORD={database}",
    "taskyard-redis-server": f"REDIS_PASSWORD={redis}",
}
for name, value in values.items():
    Path(sys.argv[1], name).write_text(f"{value}\n", "utf-8")
PYTHON
    )
    for file in "$WORK"/secrets/*; do
        app create secret generic "$(basename "$file")" --from-env-file="$file" >/dev/null
    done
    kube -n "$CALLER" create secret generic key \
        --from-literal=SMOKE_KEY="$(sed 's/^TASKYARD_BOOTSTRAP_KEY=//' "$WORK/secrets/taskyard-bootstrap-key")" >/dev/null
    kube -n "$CALLER" create configmap scripts \
        --from-file="$ROOT/deploy/smoke_work.py" --from-file="$ROOT/deploy/smoke_load.py" \
        --from-file="$ROOT/deploy/k8s_work.py" >/dev/null
    line "secrets" "$(find "$WORK/secrets" -type f -printf '%f\n' | sort | xargs)"
}

choose_overlay() {
    local minor
    minor=$(sed -E 's/^v1\.([0-9]+).*/\1/' <<<"$VERSION")
    OVERLAY=tests/deploy/k8s-smoke
    [ "$minor" -ge 27 ] || OVERLAY=tests/deploy/k8s-1.20
    OVERLAY=${K8S_SMOKE_OVERLAY:-$OVERLAY}
    "$KUBECTL" kustomize "$ROOT/$OVERLAY" >"$WORK/all.yaml" 2>"$WORK/error" ||
        fail "$OVERLAY cannot be rendered: $(tail -1 "$WORK/error")"
    line "manifests" "$OVERLAY, $(grep -c '^kind: ' "$WORK/all.yaml") objects"
    # What the overlay changes for an older cluster, as it lists it.
    awk '/^# [0-9]+\. / { on = 1 } /^[^#]/ { on = 0 } on { sub(/^# /, "    "); print }' "$ROOT/$OVERLAY/kustomization.yaml"
}

apply() {
    local began=$SECONDS
    local own="$ROOT/tests/deploy/k8s-smoke/caller"
    kube apply -f "$ROOT/deploy/k8s/base/namespace.yaml" -f "$own/namespace.yaml" >/dev/null
    write_secrets
    kube apply -f "$own/node.yaml" -f "$own/pod.yaml" >/dev/null
    kube -n "$CALLER" wait --for=condition=ready --timeout=60s pod/node pod/caller >/dev/null
    "$KUBECTL" apply -f "$WORK/all.yaml" >"$WORK/apply.log" 2>&1 || { cat "$WORK/apply.log" >&2; fail "not applied"; }
    ! grep -i warning "$WORK/apply.log" || fail "the cluster warns of what it was given"
    app wait --for=condition=complete --timeout=240s job -l app.kubernetes.io/component=migrate >/dev/null
    line "migrated after" "$((SECONDS - began)) s"
    wait_rolled_out 300
    line "all ready after" "$((SECONDS - began)) s: $(pods ready | wc -l) pods"
    local told
    told=$(pods order)
    line "migration before the services" "$told"
}

wait_rolled_out() { # SECONDS
    local deployment
    for deployment in "${DEPLOYMENTS[@]}"; do
        "$KUBECTL" -n "$APP" rollout status --timeout="$1s" "deployment/$deployment" >"$WORK/rollout.log" 2>&1 ||
            { cat "$WORK/rollout.log" >&2; fail "$deployment is not rolled out after $1 s"; }
    done
}

check_confined() {
    local pod container
    while read -r pod container _; do
        # shellcheck disable=SC2016 # expanded over there
        app exec "$pod" -c "$container" -- sh -c '[ "$(id -u)" = 10001 ] && ! touch /opt/taskyard/x /x 2>/dev/null' ||
            fail "$pod runs as root or may write to its image"
        app exec "$pod" -c "$container" -- sh -c '! test -e /var/run/secrets/kubernetes.io' || fail "$pod has a token of the cluster"
    done < <(pods addresses)
    line "confined" "user 10001, read-only root, no token of the cluster: every pod of ours"
}

# What is shown by how the services behave, and not by what their environment holds.
check_settings() {
    local told url=https://support.example.org/k8s-smoke
    told=$(look refused --path /api/v1/tasks/00000000-0000-4000-8000-000000000000)
    [ "$told" = "404 $url" ] || fail "TASKYARD_SUPPORT_URL of the ConfigMap is not what the API shows: $told"
    line "ConfigMap read" "the API shows its support_url, the workers ran diagnostics.* as it allows"
    told=$(look sealed)
    line "Secrets read" "the API takes the key of taskyard-bootstrap-key; $told"
}

send_work() {
    local told
    told=$(work echo --count "$ECHOES" --singles "$SINGLES")
    line "echo tasks" "$told"
    told=$(work raster)
    line "raster" "$told"
    told=$(work panel --within 240)
    line "panel" "$told"
}

three_workers() {
    local hosts
    hosts=$(work workers --queue default --count 3)
    [ "$(sort <<<"$hosts")" = "$(pods ready worker | sort)" ] || fail "the workers that beat are not the pods: $hosts"
    line "three workers beat" "$(xargs <<<"$hosts")"
}

scale() { # COUNT; returns when the pods are there, or gone
    local deadline=$((SECONDS + 240))
    app scale deployment/worker --replicas="$1" >/dev/null
    while [ "$(app get pods -l app.kubernetes.io/component=worker -o name | wc -l)" != "$1" ] ||
        [ "$(pods ready worker | wc -l)" != "$1" ]; do
        [ $SECONDS -lt $deadline ] || fail "not $1 workers after 240 s"
        sleep 1
    done
}

scale_to_zero() {
    local began=$SECONDS told
    work sleepers --count 60 --seconds 4 --tag scaled
    work running --host "$(pods ready worker | head -1)" --tag scaled >/dev/null
    scale 0
    line "kubectl scale --replicas=0" "no worker after $((SECONDS - began)) s, while 60 tasks of 4 s ran and waited"
    work sleepers --count 500 --seconds 0.01 --tag scaled
    told=$(look states --tag scaled)
    line "without a worker" "$told"
    began=$SECONDS
    scale 3
    work wait-for --tag scaled --count 560 --within 120
    line "kubectl scale --replicas=3" "all 560 succeeded $((SECONDS - began)) s later"
}

# As KEDA's metrics-api scaler does: the figure divided by a target is the number of replicas, 0 once it has been 0 for a
# while. The next figure is read before the pods of the one before are there.
scale_by_load() {
    local queues=high_priority,default,low_priority target=20 most=3 idle=10
    local deadline=$((SECONDS + 240)) began=$SECONDS total want=0 has=0 seen=0 steps=0 since=
    scale 0
    work sleepers --count 200 --seconds 1 --tag autoscaled
    while :; do
        [ $SECONDS -lt $deadline ] || fail "the load is not gone after 240 s: $steps"
        total=$(look total --queues "$queues")
        want=$(((total + target - 1) / target))
        [ "$want" -le $most ] || want=$most
        # Workers that drain give their work back; taking one away only when all is done is KEDA's way from N to 0.
        if [ "$total" -gt 0 ]; then since=; [ "$want" -ge "$has" ] || want=$has; else since=${since:-$SECONDS}; fi
        [ "$total" -gt 0 ] || [ $((SECONDS - since)) -ge $idle ] || want=$has
        if [ "$want" != "$has" ]; then
            app scale deployment/worker --replicas="$want" >/dev/null
            steps+=" -> $want (load $total, after $((SECONDS - began)) s)"
            has=$want
        fi
        [ "$has" -le "$seen" ] || seen=$has
        [ "$seen" = 0 ] || [ "$has" -gt 0 ] || break
        sleep 2
    done
    line "replicas by GET /load" "$steps"
    work wait-for --tag autoscaled --count 200 --within 10
    line "tasks" "all 200 succeeded, $(lost "t.tags @> ARRAY['autoscaled']") by another attempt"
    scale 3
}

lost() { # SQL of which tasks
    ledger "SELECT count(*) FROM task_attempt a JOIN task t ON t.id = a.task_id WHERE a.outcome <> 'succeeded' AND $1"
}

load_begin() { # TAG
    in_caller rm -f /tmp/stop
    in_caller python /smoke/smoke_load.py --tag "$1" --until /tmp/stop >"$WORK/load" 2>"$WORK/load.errors" &
    LOADER=$!
    look begun --tag "$1"
}

load_end() { # TAG
    local count
    in_caller touch /tmp/stop
    wait "$LOADER" || { cat "$WORK/load.errors" >&2; fail "under load: $(cat "$WORK/load")"; }
    line "load" "$(cat "$WORK/load")"
    count=$(sed -nE 's/^[0-9]+ requests: ([0-9]+) x 20[0-9];.*/\1/p' "$WORK/load")
    work wait-for --tag "$1" --count "$count" --within 150
    line "accepted tasks" "all $count succeeded; $(lost "t.tags @> ARRAY['$1']") attempts were not the last of their task"
}

rolling_update() {
    local began=$SECONDS deployment hosts
    load_begin rolled
    for deployment in "${DEPLOYMENTS[@]}"; do
        app rollout restart "deployment/$deployment" >/dev/null
    done
    wait_rolled_out 600
    line "every Deployment replaced" "${DEPLOYMENTS[*]} in $((SECONDS - began)) s, all at once"
    load_end rolled
    hosts=$(work workers --queue default --count 3)
    [ "$(sort <<<"$hosts")" = "$(pods ready worker | sort)" ] || fail "the workers that beat are not the pods: $hosts"
    line "GET /workers" "shows the three new ones"
}

delete_pod() { # HOW, GRACE, SECONDS of each task, TAG
    local victim begun began=$SECONDS
    victim=$(pods ready worker | head -1)
    work sleepers --count 48 --seconds "$3" --tag "$4"
    begun=$(work running --host "$victim" --tag "$4")
    [ "$begun" -gt 0 ] || fail "the worker to delete ran nothing"
    "$KUBECTL" -n "$APP" delete pod "$victim" --wait=false --grace-period="$2" ${5:+--force} >/dev/null 2>&1
    work wait-for --tag "$4" --count 48 --within 150
    line "$1" "it ran $begun of 48 tasks; all 48 succeeded after $((SECONDS - began)) s, $(lost "t.tags @> ARRAY['$4']") by another attempt"
    wait_rolled_out 120
}

redis_gone() {
    local began told
    load_begin no-redis
    app scale statefulset/redis --replicas=0 >/dev/null
    app wait --for=delete pod/redis-0 --timeout=60s >/dev/null
    began=$SECONDS
    sleep 60
    told=$(look states --tag no-redis)
    app scale statefulset/redis --replicas=1 >/dev/null
    "$KUBECTL" -n "$APP" rollout status --timeout=120s statefulset/redis >/dev/null
    line "Redis gone for" "$((SECONDS - began)) s; the ledger at its end: $told"
    load_end no-redis
    told=$(pods restarts)
    line "nothing was started again" "$told"
}

logs_and_metrics() {
    local pod container address addresses='' lines=0 count broken=0
    while read -r pod container address; do
        app logs "$pod" -c "$container" >"$WORK/log"
        count=$(wc -l <"$WORK/log")
        [ "$count" -gt 0 ] || fail "$pod says nothing"
        lines=$((lines + count))
        # Each line is a JSON object.
        python3 -c 'import json, sys; [json.loads(line)["event"] for line in sys.stdin]' <"$WORK/log" 2>/dev/null ||
            fail "$pod writes what is not JSON: $(grep -vm1 '^{' "$WORK/log")"
        broken=$((broken + $(grep -c 'Traceback' "$WORK/log" || :)))
        addresses+=",$address"
    done < <(pods addresses)
    line "logs" "$lines lines of all pods, each one JSON; tracebacks: $broken"
    count=$(look metrics --addresses "${addresses#,}")
    line "metrics" "$count"
}

check_ledger() {
    local submitted found
    in_caller cat /tmp/ids | sort >"$WORK/sent"
    submitted=$(wc -l <"$WORK/sent")
    found=$(ledger "SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM task WHERE schedule_id IS NULL GROUP BY state) s")
    line "submitted over HTTP" "$submitted"
    line "in the ledger" "$found"
    [ "$found" = "succeeded $submitted" ] || fail "submitted $submitted, the ledger says $found"
    ledger 'SELECT id FROM task WHERE schedule_id IS NULL ORDER BY id::text' | sort >"$WORK/kept"
    cmp -s "$WORK/sent" "$WORK/kept" || fail "the ledger's ids are not those that were answered"
    line "id by id" "the same"
    found=$(ledger 'SELECT count(*) FROM outbox')
    [ "$found" = 0 ] || fail "$found rows are left in the outbox"
    found=$(work health)
    line "GET /health/detailed" "$found"
}

main() {
    choose_cluster
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    step "Cluster"
    line "context" "$CONTEXT, node $NODES, Kubernetes $VERSION, $RUNTIME"
    choose_overlay
    line "not shown here" "NetworkPolicies, where the cluster's network does not enforce them; nodes that are drained"
    STARTED=yes

    step "Start"
    apply
        check_confined
    step "Work, through the Service of the Ingress"
    send_work
    check_settings
    step "Three workers"
    three_workers
    step "No worker for a while"
    scale_to_zero
    step "Every Deployment rolled under load"
    rolling_update
    step "A worker's pod deleted"
    delete_pod "in the middle of tasks" 45 4 deleted
    delete_pod "killed at once" 0 4 killed force
    step "Redis gone under load"
    redis_gone
    step "Workers from 0 to N to 0 by the load"
    scale_by_load
    step "Logs and metrics"
    logs_and_metrics
    step "The ledger"
    check_ledger
    step "The end"
    check_nothing_left
    printf '\n%sk8s-smoke: all is well, after %d s%s\n' "$BOLD" $((SECONDS - BEGUN)) "$PLAIN"
}

main "$@"
