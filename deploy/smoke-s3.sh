#!/usr/bin/env bash
# Starts a real S3 server in a container (Ceph's gateway, in memory) and runs the tests of the storage against it.
#
# `make smoke-s3`, and a part of `make smoke`. Needs .venv and a running Docker engine. The container and its image tag
# are its own and removed at the end. Exit codes: 0 all is well; 1 something is not; 3 there is no engine to use.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
NAME="taskyard-s3-$$"
KEY=tests SECRET=tests-secret
BEGUN=$SECONDS

docker info >/dev/null 2>&1 || {
    echo "smoke-s3: the Docker engine does not answer" >&2
    exit 3
}
finish() {
    docker rm --force "$NAME" >/dev/null 2>&1 || :
    docker rmi "$NAME" >/dev/null 2>&1 || :
}
trap finish EXIT

docker build --quiet --tag "$NAME" "$ROOT/deploy/s3-server" >/dev/null
docker run --detach --name "$NAME" --publish 127.0.0.1::7480 \
    --env ACCESS_KEY="$KEY" --env SECRET_KEY="$SECRET" "$NAME" >/dev/null
ADDRESS=$(docker port "$NAME" 7480 | head -n 1)
for _ in $(seq 120); do
    curl --silent --max-time 2 --output /dev/null "http://$ADDRESS/" && break
    sleep 1
done
curl --silent --fail --max-time 2 --output /dev/null "http://$ADDRESS/" || {
    docker logs "$NAME" >&2
    exit 1
}
printf 'smoke-s3: the server answers after %s s\n' "$((SECONDS - BEGUN))"

cd "$ROOT"
AWS_ACCESS_KEY_ID=$KEY AWS_SECRET_ACCESS_KEY=$SECRET AWS_EC2_METADATA_DISABLED=true \
    TASKYARD_TEST_S3_URL="s3://tests?endpoint=http://$ADDRESS" \
    .venv/bin/python -m pytest -q -n 0 -k server \
    tests/integration/storage/test_conformance.py tests/integration/storage/test_s3_server.py
