#!/usr/bin/env bash
# Applies deploy/k8s to a disposable Kubernetes cluster of one node, sends real work through the API, rolls, scales and
# deletes what serves it, removes all that it made, and prints what it saw.
#
# `make k8s-smoke`. Needs bash, a kubectl with kustomize 5 (`make k8s-tools`; KUBECTL names another one), a cluster that
# KUBECONFIG leads to, and in the node's container engine the images taskyard/{api,worker,worker-geo,scheduler}:TAG,
# redis:7 and postgres:17. Settings, all optional but the first:
#   KUBECONFIG           of the cluster; ~/.kube/config is never read
#   K8S_SMOKE_CONTEXT    the name of its current context, where that does not say that it is a test one
#   K8S_SMOKE_TAG        of the images (k8s-smoke)
#   K8S_SMOKE_OVERLAY    what is applied (tests/deploy/k8s-1.20 where the cluster is older than 1.25)
#   K8S_SMOKE_KEEP=yes   leave everything where it is, to look at it
# docs/kubernetes.md says how to get such a cluster. Exit codes: 0 all is well; 1 something is not, with the logs;
# 3 there is no cluster that may be used.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/smoke_shell.sh
. "$ROOT/deploy/smoke_shell.sh"
WORK=$(mktemp -d)
APP=taskyard
# Whoever calls the API is in a namespace of its own, as the controller of an Ingress is.
CALLER=taskyard-smoke
TAG=${K8S_SMOKE_TAG:-k8s-smoke}
DEPLOYMENTS=(api worker worker-geo scheduler)
ECHOES=1000
SINGLES=20
STARTED=
DELETED=0

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
ledger() { app exec "$POSTGRES" -- psql -U taskyard -d taskyard -qAtc "$1"; }
pods_of() { # COMPONENT
    app get pods -l "app.kubernetes.io/component=$1" --field-selector=status.phase=Running \
        -o jsonpath='{range .items[?(@.metadata.deletionTimestamp=="")]}{.metadata.name}{"\n"}{end}'
}

# ---------------------------------------------------------------- the cluster

choose_cluster() {
    [ -n "$KUBECTL" ] || no_cluster "there is no kubectl here: run 'make k8s-tools'."
    [ -n "${KUBECONFIG:-}" ] || no_cluster "KUBECONFIG is not set. Name the file of a disposable cluster:" \
        "everything this run makes is removed at its end (docs/kubernetes.md says how to get one)."
    CONTEXT=$("$KUBECTL" config current-context 2>/dev/null) || no_cluster "$KUBECONFIG has no current context."
    case "$CONTEXT" in
        "${K8S_SMOKE_CONTEXT:-}" | kind-* | k3d-* | minikube | *smoke* | *test*) ;;
        *) no_cluster "the context '$CONTEXT' does not look like a test cluster." \
            "If nothing on it matters, say so: K8S_SMOKE_CONTEXT=$CONTEXT" ;;
    esac
    # Nodes of the name Ready do not help: the cluster has to answer.
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
