#!/usr/bin/env bash
# Builds the containers, starts them, sends real work through the API, scales, kills, stops, and prints what it saw.
#
# `make smoke`. Needs bash, curl, python3, a running Docker engine, and docker-compose 1.29 or Compose v2.
# Everything it makes has a project name, ports, secrets and image tags of its own and is removed at the end,
# however it ends. Exit codes: 0 all is well; 1 something is not, with the logs; 3 there is no engine to use.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PROJECT="taskyard-smoke-$$"
TAG="smoke-$$"
WORK=$(mktemp -d)
STARTED=
KILLED=()
CALLERS=
SHORT_OF_MEMORY=
ECHOES=1000
SINGLES=20
FILE_MB=64

# Whatever the caller has set for a stack of their own is not meant for this one.
while read -r name; do unset "$name"; done < <(
    compgen -e | grep -E '^(TASKYARD_|POSTGRES_|REDIS_|COMPOSE_|API_|APP_ENV$|LOG_LEVEL$|SMOKE_)' || :
)

# shellcheck source=deploy/smoke_shell.sh
. "$ROOT/deploy/smoke_shell.sh"
no_engine() {
    printf 'smoke: %s\n' "$@" >&2
    rm -rf "$WORK"
    exit 3
}

# ---------------------------------------------------------------- the tools

# A client that can build with BuildKit: newer ones need the buildx plugin for it, older ones bring it along.
can_build() {
    local version
    version=$("$1" version --format '{{.Client.Version}}' 2>/dev/null) || [ -n "$version" ] || return 1
    [ "${version%%.*}" -lt 23 ] || "$1" buildx version >/dev/null 2>&1
}

choose_docker() {
    local found='' candidate
    for candidate in docker /usr/bin/docker /usr/local/bin/docker; do
        candidate=$(command -v "$candidate") || continue
        found=yes
        "$candidate" info >/dev/null 2>&1 || continue
        if can_build "$candidate"; then
            # Compose, too, is to call this one.
            mkdir "$WORK/bin" && ln -s "$candidate" "$WORK/bin/docker"
            PATH="$WORK/bin:$PATH"
            return
        fi
        found=no-buildx
    done
    case "$found" in
        yes) no_engine "the Docker engine does not answer." \
            "Start it (systemctl start docker, or dockerd as root) and see that 'docker info' works for this user." ;;
        no-buildx) no_engine "this docker client cannot build images: install its buildx plugin (docker-buildx)." ;;
        *) no_engine "there is no docker here. Install Docker Engine and Compose, start it, and try again." ;;
    esac
}

choose_compose() {
    if docker compose version >/dev/null 2>&1; then
        COMPOSE=(docker compose)
    elif docker-compose version >/dev/null 2>&1; then
        COMPOSE=(docker-compose)
    else
        no_engine "there is no Compose here: install docker-compose (1.29 or newer) or Docker's compose plugin."
    fi
}

compose() { # SECONDS COMMAND...
    timeout --foreground "$1" "${COMPOSE[@]}" --project-name "$PROJECT" --project-directory "$ROOT" \
        --env-file "$WORK/smoke.env" -f "$ROOT/docker-compose.yml" -f "$ROOT/deploy/smoke.compose.yml" "${@:2}"
}
work() { python3 "$ROOT/deploy/smoke_work.py" "$@"; }
containers() { docker ps -aq --filter "label=com.docker.compose.project=$PROJECT" "$@"; }
of_service() { containers --filter "label=com.docker.compose.service=$1" "${@:2}"; }
ledger() { docker exec "$(of_service postgres)" psql -U taskyard -d taskyard -qAtc "$1"; }

# ---------------------------------------------------------------- the end, whichever

show_logs() {
    local id state bad=()
    for id in $(containers); do
        state=$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$id")
        case "$state ${KILLED[*]-}" in "running 0 healthy "* | "exited 0 "* | *"$id"*) ;; *) bad+=("$id") ;; esac
    done
    # Nobody is ill, and still something went wrong: those who do the work may know.
    [ ${#bad[@]} -gt 0 ] || mapfile -t bad < <(of_service api && of_service worker && of_service scheduler)
    for id in "${bad[@]}"; do
        printf '\n---- %s\n' "$(docker inspect -f '{{.Name}} {{.State.Status}}, exit code {{.State.ExitCode}}{{if .State.Health}}, {{.State.Health.Status}}{{end}}' "$id")"
        docker logs --tail 60 "$id" 2>&1
    done >&2
}

take_down() {
    [ -n "$STARTED" ] || return 0
    STARTED=
    [ -z "$CALLERS" ] || kill "$CALLERS" 2>/dev/null || :
    compose 180 down --volumes --remove-orphans --timeout 10 >"$WORK/down.log" 2>&1 || cat "$WORK/down.log" >&2
    local images
    images=$(docker images -q --filter "reference=taskyard/*:$TAG" | sort -u)
    # shellcheck disable=SC2086
    [ -z "$images" ] || docker rmi -f $images >/dev/null 2>&1 || :
}

# ---------------------------------------------------------------- steps

write_secrets() {
    (
        umask 077
        python3 - >"$WORK/smoke.env" <<'PYTHON'
import base64
import secrets
import socket

with socket.socket() as probe, socket.socket() as other:
    for one, name in ((probe, "API_PORT"), (other, "CONSOLE_PORT")):
        one.bind(("127.0.0.1", 0))
        print(f"{name}={one.getsockname()[1]}")
print(f"POSTGRES_PASSWORD={secrets.token_hex(16)}")
print(f"POSTGRES_TASK_PASSWORD={secrets.token_hex(16)}")
print(f"REDIS_PASSWORD={secrets.token_hex(16)}")
print(f"TASKYARD_SECRET_KEYS={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}")
print(f"TASKYARD_CONSOLE_SECRETS={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}")
print(f"TASKYARD_BOOTSTRAP_KEY=ty_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}")
print("TASKYARD_DIAGNOSTICS=true")
# As in production, where development values would be refused.
print("APP_ENV=production")
PYTHON
        printf 'TASKYARD_TAG=%s\n' "$TAG" >>"$WORK/smoke.env"
        printf 'Authorization: Bearer %s\n' "$(value TASKYARD_BOOTSTRAP_KEY)" >"$WORK/headers"
        : >"$WORK/ids"
    )
    SMOKE_URL="http://127.0.0.1:$(value API_PORT)"
    SMOKE_KEY=$(value TASKYARD_BOOTSTRAP_KEY)
    SMOKE_IDS="$WORK/ids"
    export SMOKE_URL SMOKE_KEY SMOKE_IDS
}
value() { sed -n "s/^$1=//p" "$WORK/smoke.env"; }

build() {
    local began=$SECONDS name
    DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1 compose 1500 build >"$WORK/build.log" 2>&1 ||
        { tail -80 "$WORK/build.log" >&2; fail "the images do not build"; }
    line "built in" "$((SECONDS - began)) s"
    local base size
    base=$(docker image inspect -f '{{.Size}}' python:3.11-slim 2>/dev/null || echo 0)
    for name in api console worker worker-geo scheduler smtp-sink; do
        size=$(docker image inspect -f '{{.Size}}' "taskyard/$name:$TAG")
        line "taskyard/$name" "$((size / 1000000)) MB, $(((size - base) / 1000000)) MB of it on top of its base"
    done
}

up() {
    compose 300 up -d --no-build "$@" >"$WORK/up.log" 2>&1 ||
        { cat "$WORK/up.log" >&2; fail "the stack does not start"; }
}

# Every container is healthy, and migrate has come to its end.
wait_healthy() {
    local deadline=$((SECONDS + $1)) waiting id
    while :; do
        waiting=
        for id in $(containers); do
            case "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$id")" in
                "running 0 healthy" | "exited 0 ") ;;
                *) waiting+=" $(docker inspect -f '{{.Name}}' "$id")" ;;
            esac
        done
        [ -n "$waiting" ] || return 0
        [ $SECONDS -lt $deadline ] || fail "not healthy after $1 s:$waiting"
        sleep 0.5
    done
}

is_ready() { curl -fsS --max-time 5 -o /dev/null "$SMOKE_URL/health/ready" 2>/dev/null; }

# Each service began after what it needs was there: the tables, and a server that answers.
check_order() {
    local migrated service id began
    migrated=$(docker inspect -f '{{.State.FinishedAt}}' "$(of_service migrate)")
    for service in api worker worker-geo scheduler; do
        for id in $(of_service $service); do
            began=$(docker inspect -f '{{.State.StartedAt}}' "$id")
            [[ "$began" > "$migrated" ]] || fail "$service began at $began, the tables were there at $migrated"
        done
    done
    line "order" "migrate ended before any api, worker or scheduler began"
}

check_docs() {
    local page="$SMOKE_URL/docs" file=
    for file in $(curl -fsS --max-time 5 "$page" | grep -oE '"docs/[^"]+"' | tr -d '"'); do
        curl -fsS --max-time 5 -o /dev/null "$SMOKE_URL/$file" || fail "$page asks for $file, which is not there"
        line "documentation" "/$file"
    done
    [ -n "$file" ] || fail "$page shows nothing"
}

check_confined() {
    local id service
    for service in api console worker worker-geo scheduler smtp-sink; do
        for id in $(of_service $service); do
            # The very file system the image has: only volumes and /tmp take anything.
            docker exec "$id" sh -c '[ "$(id -u)" = 10001 ] && ! touch /opt/taskyard/x /x 2>/dev/null' ||
                fail "$service runs as root or may write to its image"
            docker exec "$id" sh -c '! command -v gcc' || fail "$service brings a compiler"
        done
    done
    line "confined" "user 10001, read-only root, no compiler: every container of ours"
}

# Of the image that runs it: kits by their entry points but for the common package's own (`taskyard.echo`), folders of
# taskyard_kits, and which of these can be imported.
CARRIED='
from importlib import metadata, util
from pathlib import Path

kits = sorted(point.name for point in metadata.entry_points(group="taskyard.kits") if point.name != "taskyard")
spec = util.find_spec("taskyard_kits")
folders = sorted(path.parent.name for path in Path(spec.origin).parent.glob("*/__init__.py")) if spec else []
modules = [name for name in ("taskyard_kits", "jinja2", "PIL", "rasterio") if util.find_spec(name)]
print("; ".join(" ".join(names) or "none" for names in (kits, folders, modules)))
'

# Which of our packages an image holds. The client comes with `taskyard`.
PACKAGES='
from importlib import util

names = ("taskyard", "taskyard_kits", "taskyard_api", "taskyard_console", "taskyard_worker", "taskyard_scheduler", "taskyard_dev")
print(*(name for name in names if util.find_spec(name)))
'

check_packages() {
    local service found
    local -A wanted=(
        [api]="taskyard taskyard_api" [console]="taskyard taskyard_console" [scheduler]="taskyard taskyard_scheduler" [smtp-sink]="taskyard_dev"
        [worker]="taskyard taskyard_kits taskyard_worker" [worker-geo]="taskyard taskyard_kits taskyard_worker"
    )
    for service in "${!wanted[@]}"; do
        found=$(docker run --rm --entrypoint python "taskyard/$service:$TAG" -c "$PACKAGES")
        [ "$found" = "${wanted[$service]}" ] || fail "$service carries $found, not ${wanted[$service]}"
        line "packages of $service" "$found"
    done
}

check_kits() {
    local id service found kits
    # Of these libraries, what the lock of each holds.
    local -A libraries=([worker]="jinja2 PIL" [worker-geo]="jinja2 rasterio")
    for service in api scheduler; do
        for id in $(of_service $service); do
            found=$(docker exec "$id" python -c "$CARRIED")
            [ "$found" = "none; none; none" ] || fail "$service carries task code: $found"
        done
        line "kits of $service" "none; no taskyard_kits, Jinja2, Pillow or rasterio"
    done
    for service in worker worker-geo; do
        kits=$(sed -n "s/^KITS_$service := //p" "$ROOT/Makefile" | tr ' ' '\n' | sort | xargs)
        for id in $(of_service $service); do
            found=$(docker exec "$id" python -c "$CARRIED")
            [ "$found" = "$kits; $kits; taskyard_kits ${libraries[$service]}" ] || fail "$service carries $found, not $kits"
        done
        line "kits of $service" "$kits"
    done
    found=$(docker image inspect -f '{{index .Config.Labels "org.opencontainers.image.licenses"}}' "taskyard/worker-geo:$TAG")
    line "licences of worker-geo" "$found"
}

build_worker() { # KITS IMAGE
    DOCKER_BUILDKIT=1 docker build --build-arg "KITS=$1" -t "$2" -f "$ROOT/deploy/docker/worker.Dockerfile" "$ROOT" \
        >"$WORK/build.log" 2>&1
}

check_one_kit() {
    local image="taskyard/worker-mail:$TAG" found types all
    all="send send_newsletter send_password_reset send_verification send_welcome"
    build_worker mail "$image" || { tail -80 "$WORK/build.log" >&2; fail "a worker with one kit does not build"; }
    found=$(docker run --rm --entrypoint python "$image" -c "$CARRIED")
    [ "${found%;*}" = "mail; mail" ] || fail "built with KITS=mail, the image carries $found"
    types=$(docker run --rm -e TASKYARD_DIAGNOSTICS=true "$image" types --strict --json |
        python3 -c 'import json, sys; print(*("{kit}: {name}".format(**t) for t in json.load(sys.stdin) if t["kit"] != "taskyard"))')
    # shellcheck disable=SC2086
    [ "$types" = "$(printf 'mail: email.%s\n' $all | paste -sd " ")" ] || fail "built with KITS=mail, it runs $types"
    line "built with KITS=mail" "only ${types//mail: /}"
    ! build_worker mail,postage "$image" || fail "an image with a kit that does not exist was built"
    grep -qF "there is no kit 'postage'" "$WORK/build.log" || { tail -80 "$WORK/build.log" >&2; fail "not told why"; }
    line "built with KITS=mail,postage" "refused: $(grep -oE -m1 "KITS: there is no kit 'postage'; .*" "$WORK/build.log")"
}

memory() {
    local id used=
    for id in $(of_service worker); do
        used+=", $(docker stats --no-stream --format '{{.MemUsage}}' "$id")" || fail "docker stats knows no $id"
    done
    line "memory of the workers" "${used#, }"
}

send_echoes() {
    local told
    told=$(work echo --count $ECHOES --singles $SINGLES)
    line "echo tasks" "$told"
}

make_file() {
    python3 - "$WORK/smoke.log" "$FILE_MB" <<'PYTHON'
import random
import sys

random.seed(7)
written, wanted = 0, int(sys.argv[2]) * 1_000_000
with open(sys.argv[1], "wb") as file:
    number = 0
    while written < wanted:
        number += 1
        if number % 50 == 0:
            text = b"\n"
        elif number % 10_007 == 0:
            text = b"not UTF-8: \xff\xfe\n"
        else:
            text = b"%012d GET /orders/%d %d\n" % (number, random.randrange(10**9), random.choice((200, 404)))
        file.write(text)
        written += len(text)
PYTHON
}

process_file() {
    make_file
    local began=$SECONDS answer item got want
    answer=$(curl -fsS --max-time 120 -X POST -T "$WORK/smoke.log" -H "@$WORK/headers" -H 'X-Filename: smoke.log' \
        -H 'Content-Type: text/plain' "$SMOKE_URL/api/v1/tree-items") || fail "the upload was refused"
    item=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["item_id"])' <<<"$answer")
    line "uploaded" "$FILE_MB MB in $((SECONDS - began)) s"
    got=$(work file --item "$item")
    want="$(wc -l <"$WORK/smoke.log") $(grep -ac '^$' "$WORK/smoke.log") $(grep -ac '^not UTF-8' "$WORK/smoke.log")"
    want="$want $(wc -c <"$WORK/smoke.log")"
    [ "${got% *}" = "$want" ] || fail "files.process_large_file counted $got, wc and grep count $want"
    line "counted as wc and grep do" "lines, blank, not UTF-8, bytes: ${got% *}; in ${got##* } s"
    memory
}

make_raster() {
    local told
    told=$(work raster)
    line "raster" "$told"
}

draw_panel() {
    local told
    told=$(work panel)
    line "panel" "$told"
}

# Below a path, as behind the proxy of production.
open_console() {
    local told
    told=$(python3 "$ROOT/deploy/smoke_console.py" "http://127.0.0.1:$(value CONSOLE_PORT)/console")
    line "console" "$told"
}

send_mail() {
    local sink subject="Smoke $$" message
    message=$(work mail --to ada@example.org --subject "$subject")
    sink=$(of_service smtp-sink)
    docker exec "$sink" grep -rqF "$message" /var/lib/taskyard/mails || fail "$message is not among the sink's mails"
    docker exec "$sink" sh -c 'cat /var/lib/taskyard/mails/*.eml' >"$WORK/mail"
    { grep -qF "Subject: $subject" "$WORK/mail" && grep -q 'text/plain' "$WORK/mail" && grep -q 'text/html' "$WORK/mail"; } ||
        fail "the mail in the sink is not the one that was sent"
    line "mail in the sink" "subject, text and HTML part; Message-ID $message"
}

# One replica after the other is told to stop, started again and found healthy, while callers go on. The proxy tries
# nothing twice: what a replica refuses or cuts is seen.
restart_api() {
    local id began=$SECONDS
    python3 "$ROOT/deploy/smoke_load.py" --wait --tag load --until "$WORK/enough" >"$WORK/load" &
    CALLERS=$!
    sleep 2
    for id in $(of_service api); do
        docker stop -t 30 "$id" >/dev/null
        [ "$(docker inspect -f '{{.State.ExitCode}}' "$id")" = 0 ] || fail "a replica that was told to stop ended with an error"
        docker start "$id" >/dev/null
        wait_healthy 60
        # Two checks of the proxy, a second apart, until it is given requests again.
        sleep 5
    done
    touch "$WORK/enough"
    wait "$CALLERS" || fail "a rolling restart of the API is noticed by callers: $(cat "$WORK/load")"
    CALLERS=
    line "api, one after the other" "$(of_service api | wc -l) replicas restarted in $((SECONDS - began)) s"
    line "requests meanwhile" "$(cat "$WORK/load")"
}

scale() {
    local began=$SECONDS hosts
    up --no-recreate --scale worker=3
    wait_healthy 120
    hosts=$(work workers --queue default --count 3)
    line "three workers beat after" "$((SECONDS - began)) s: $(tr '\n' ' ' <<<"$hosts")"
    memory
}

kill_worker() {
    local victim host begun began took lost others
    victim=$(of_service worker | head -1)
    host=$(docker inspect -f '{{.Config.Hostname}}' "$victim")
    work sleepers --count 72 --seconds 4 --tag kill-worker
    begun=$(work running --host "$host" --tag kill-worker)
    [ "$begun" -gt 0 ] || fail "the worker to kill ran nothing"
    docker kill -s KILL "$victim" >/dev/null
    began=$SECONDS
    KILLED+=("$victim")
    work wait-for --tag kill-worker --count 72 --within 120
    took=$((SECONDS - began))
    lost=$(ledger "SELECT count(*) FROM task_attempt WHERE outcome <> 'succeeded' AND worker LIKE '$host-%'")
    others=$(ledger "SELECT count(*) FROM task_attempt WHERE outcome <> 'succeeded' AND worker NOT LIKE '$host-%'")
    { [ "$lost" -ge 1 ] && [ "$others" = 0 ]; } || fail "attempts lost: $lost by the killed worker, $others by others"
    line "killed while it ran" "$begun of 72 tasks; all 72 succeeded $took s later, $lost of them by a second attempt"
    work workers --queue default --count 2 >/dev/null
    line "GET /workers" "shows two left"
}

run_out_of_memory() {
    line "wants 1500 MB of 512" "$(work too-large)"
    SHORT_OF_MEMORY=$(of_service worker | tr '\n' ' ')
    work workers --queue default --count 2 >/dev/null
    line "the workers" "are the same two"
}

kill_leader() {
    local host victim='' id next began late
    host=$(work leader)
    for id in $(of_service scheduler); do
        [ "$(docker inspect -f '{{.Config.Hostname}}' "$id")" != "$host" ] || victim=$id
    done
    [ -n "$victim" ] || fail "$host leads, which is none of the schedulers"
    work delayed --count 50 --delay 5 --tag kill-leader
    docker kill -s KILL "$victim" >/dev/null
    began=$SECONDS
    KILLED+=("$victim")
    next=$(work leader --other-than "$host" --within 20)
    line "leader killed" "$host; $next leads after about $((SECONDS - began)) s"
    work wait-for --tag kill-leader --count 50 --within 60
    late=$(work lateness --tag kill-leader)
    line "delayed tasks" "all 50 succeeded, the latest $late s after it was due"
}

check_ledger() {
    local submitted found
    submitted=$(wc -l <"$WORK/ids")
    found=$(ledger "SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM task GROUP BY state) s")
    line "submitted over HTTP" "$submitted"
    line "in the ledger" "$found"
    [ "$found" = "failed 1, succeeded $((submitted - 1))" ] || fail "submitted $submitted, the ledger says $found"
    found=$(ledger "SELECT (SELECT count(*) FROM outbox) || ' ' || (SELECT count(DISTINCT id) FROM task)")
    [ "$found" = "0 $submitted" ] || fail "outbox and tasks: $found"
    sort -u "$WORK/ids" >"$WORK/sent"
    ledger 'SELECT id FROM task ORDER BY id::text' | sort >"$WORK/kept"
    cmp -s "$WORK/sent" "$WORK/kept" || fail "the ledger's ids are not those that were answered"
    line "id by id" "the same"
    found=$(work health)
    line "GET /health/detailed" "$found"
}

stop() {
    local began=$SECONDS id code name ended=0
    for id in $(containers); do
        name=$(docker inspect -f '{{.Name}} {{.RestartCount}} {{.State.OOMKilled}}' "$id")
        case "$name" in
            *" 0 false") ;;
            # One of their children was, as it should be.
            *" 0 true") case " $SHORT_OF_MEMORY" in *" $id "*) ;; *) fail "out of memory: $name" ;; esac ;;
            *) fail "restarted: $name" ;;
        esac
    done
    compose 180 stop >"$WORK/stop.log" 2>&1 || { cat "$WORK/stop.log" >&2; fail "the stack does not stop"; }
    for id in $(containers); do
        code=$(docker inspect -f '{{.State.ExitCode}}' "$id")
        name=$(docker inspect -f '{{.Name}}' "$id")
        case " ${KILLED[*]} " in
            *" $id "*) [ "$code" = 137 ] || fail "$name was killed and ended with $code" ;;
            *) [ "$code" = 0 ] || fail "$name ended with exit code $code"; ended=$((ended + 1)) ;;
        esac
    done
    line "stopped in" "$((SECONDS - began)) s; $ended containers with exit code 0, the ${#KILLED[@]} killed ones with 137"
    containers | while read -r id; do docker logs "$id" 2>&1; done >"$WORK/logs"
    line "tracebacks in all logs" "$(grep -c 'Traceback (most recent call last)' "$WORK/logs" || :)"
}

check_nothing_left() {
    take_down
    local left label="label=com.docker.compose.project=$PROJECT"
    left="$(containers) $(docker volume ls -q --filter "$label") $(docker network ls -q --filter "$label")"
    left+=" $(docker images -q --filter "reference=taskyard/*:$TAG")"
    [ -z "${left// /}" ] || fail "left behind: $left"
    line "left behind" "nothing: no container, volume, network or image"
}

main() {
    choose_docker
    choose_compose
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    step "Engine"
    line "docker" "client $(docker version -f '{{.Client.Version}}'), engine $(docker version -f '{{.Server.Version}}')"
    line "compose" "$("${COMPOSE[@]}" version --short), as ${COMPOSE[*]}"
    write_secrets
    STARTED=yes

    step "Build"
    build
    step "Start"
    local began=$SECONDS
    up
    wait_healthy 180
    is_ready || fail "every container is healthy, and $SMOKE_URL/health/ready is not"
    line "healthy and ready after" "$((SECONDS - began)) s, $(containers --filter status=running | wc -l) containers"
    check_order
    check_confined
    check_docs
    step "Kits"
    check_packages
    check_kits
    check_one_kit
    step "Work"
    send_echoes
    process_file
    make_raster
    draw_panel
    send_mail
    open_console
    step "A rolling restart of the API"
    restart_api
    step "Three workers"
    scale
    step "One worker killed (SIGKILL)"
    kill_worker
    step "A task that is too large for its container"
    run_out_of_memory
    step "The leading scheduler killed (SIGKILL)"
    kill_leader
    step "The ledger"
    check_ledger
    step "Stop"
    stop
    check_nothing_left
    printf '\n%ssmoke: all is well, after %d s%s\n' "$BOLD" $((SECONDS - BEGUN)) "$PLAIN"
}

main "$@"
