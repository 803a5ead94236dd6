# A scheduler. Built from the root of the repository:
#   DOCKER_BUILDKIT=1 docker build -f deploy/docker/scheduler.Dockerfile -t taskyard/scheduler .

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The environment, without pip; it is moved to the final stage as it is. The requirements come before the
# sources, so that a change of code builds without the index.
COPY requirements/build.txt requirements/scheduler.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/taskyard \
    && pip install --quiet --require-hashes -r requirements/build.txt \
    && pip --python /opt/taskyard/bin/python install --quiet --require-hashes -r requirements/scheduler.txt

COPY clients/python clients/python
COPY shared shared
COPY services/scheduler services/scheduler
# Nobody may write bytecode later on, so all of it is made now; the sources never change, so nobody needs
# to compare times at start.
RUN pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels ./clients/python ./shared ./services/scheduler \
    && pip --python /opt/taskyard/bin/python install --quiet --no-deps --no-index wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/taskyard/lib


FROM python:3.11-slim

LABEL org.opencontainers.image.title="taskyard-scheduler" \
      org.opencontainers.image.description="Taskyard's scheduler: one leader, any number of standbys" \
      org.opencontainers.image.licenses="Apache-2.0"

# A new volume mounted here takes over the owner.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/taskyard/storage
COPY LICENSE /usr/share/doc/taskyard/
COPY --from=build /opt/taskyard /opt/taskyard
ENV PATH=/opt/taskyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TASKYARD_LOG_FORMAT=json \
    TASKYARD_METRICS_HOST=0.0.0.0 \
    TASKYARD_STORAGE_DIR=/var/lib/taskyard/storage \
    TASKYARD_HEALTH_FILE=/tmp/taskyard-scheduler.alive

USER 10001:10001
WORKDIR /var/lib/taskyard
STOPSIGNAL SIGTERM
EXPOSE 9000

# The main loop touches the file about once a second; looking at it costs no start of Python.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD test -n "$(find "$TASKYARD_HEALTH_FILE" -newermt "15 seconds ago")"

ENTRYPOINT ["taskyard-scheduler"]
CMD ["run"]
