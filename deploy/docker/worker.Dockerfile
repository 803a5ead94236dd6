# A worker. Built from the root of the repository:
#   DOCKER_BUILDKIT=1 docker build -f deploy/docker/worker.Dockerfile -t taskyard/worker .
#
# --build-arg KITS=mail,files: the kits that the image carries, folders of kits/taskyard_kits; empty for none.
# --build-arg LOCK=worker: the libraries that it carries, those of requirements/worker.txt.
# --build-arg LICENSES=Apache-2.0: the licences of its kits and of libraries that bind the whole, as SPDX writes them.

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The environment, without pip; it is moved to the final stage as it is. The requirements come before the
# sources, so that a change of code builds without the index.
ARG LOCK=worker
COPY requirements/build.txt requirements/${LOCK}.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/taskyard \
    && pip install --quiet --require-hashes -r requirements/build.txt \
    && pip --python /opt/taskyard/bin/python install --quiet --require-hashes -r requirements/${LOCK}.txt

COPY clients/python clients/python
COPY shared shared
COPY kits kits
COPY services/worker services/worker
# The folders of the other kits go, and their entry points with them.
ARG KITS=mail,files,data,health,webhooks,notifications,users,models,payments,analytics,reports,maintenance,diagnostics
RUN set -eu; \
    wanted=" $(echo "$KITS" | tr , ' ') "; \
    present=$(cd kits/taskyard_kits && echo */ | tr -d /); \
    for kit in $wanted; do case " $present " in *" $kit "*) ;; *) \
        echo "KITS: there is no kit '$kit'; there are: $present" >&2; exit 1 ;; esac; done; \
    for kit in $present; do case "$wanted" in *" $kit "*) ;; *) \
        rm -r "kits/taskyard_kits/$kit"; sed -i "/^$kit = \"taskyard_kits\./d" kits/pyproject.toml ;; esac; done
# Nobody may write bytecode later on, so all of it is made now; the sources never change, so nobody needs
# to compare times at start.
RUN pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels ./clients/python ./shared ./kits ./services/worker \
    && pip --python /opt/taskyard/bin/python install --quiet --no-deps --no-index wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/taskyard/lib
# A kit whose library is not in the lock, or that needs another kit, ends the build.
RUN TASKYARD_KITS="$KITS" TASKYARD_DIAGNOSTICS=true /opt/taskyard/bin/taskyard-worker types --strict


FROM python:3.11-slim

ARG LICENSES=Apache-2.0
LABEL org.opencontainers.image.title="taskyard-worker" \
      org.opencontainers.image.description="Taskyard's worker: a supervisor and its children" \
      org.opencontainers.image.licenses="${LICENSES}"

# A new volume mounted here takes over the owner.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/taskyard/storage
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/taskyard/temp
COPY LICENSE /usr/share/doc/taskyard/
COPY --from=build /opt/taskyard /opt/taskyard
ENV PATH=/opt/taskyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TASKYARD_LOG_FORMAT=json \
    TASKYARD_METRICS_HOST=0.0.0.0 \
    TASKYARD_HEALTH_FILE=/tmp/taskyard-worker.alive \
    TASKYARD_STORAGE_DIR=/var/lib/taskyard/storage \
    TASKYARD_TEMP_DIR=/var/lib/taskyard/temp

USER 10001:10001
WORKDIR /var/lib/taskyard
STOPSIGNAL SIGTERM
EXPOSE 9000

# The main loop touches the file about once a second; looking at it costs no start of Python.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD test -n "$(find "$TASKYARD_HEALTH_FILE" -newermt "15 seconds ago")"

ENTRYPOINT ["taskyard-worker"]
CMD ["run"]
