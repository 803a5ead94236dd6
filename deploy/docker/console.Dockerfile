# The console. Built from the root of the repository:
#   DOCKER_BUILDKIT=1 docker build -f deploy/docker/console.Dockerfile -t taskyard/console .

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The environment, without pip; it is moved to the final stage as it is. The requirements come before the
# sources, so that a change of code builds without the index.
COPY requirements/build.txt requirements/console.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/taskyard \
    && pip install --quiet --require-hashes -r requirements/build.txt \
    && pip --python /opt/taskyard/bin/python install --quiet --require-hashes -r requirements/console.txt

COPY clients/python clients/python
COPY shared shared
COPY services/console services/console
# Nobody may write bytecode later on, so all of it is made now; the sources never change, so nobody needs
# to compare times at start.
RUN pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels ./clients/python ./shared ./services/console \
    && pip --python /opt/taskyard/bin/python install --quiet --no-deps --no-index wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/taskyard/lib


FROM python:3.11-slim

LABEL org.opencontainers.image.title="taskyard-console" \
      org.opencontainers.image.description="Taskyard's console: the API in a browser" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY LICENSE /usr/share/doc/taskyard/
COPY --from=build /opt/taskyard /opt/taskyard
ENV PATH=/opt/taskyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TASKYARD_LOG_FORMAT=json \
    TASKYARD_METRICS_HOST=0.0.0.0 \
    TASKYARD_CONSOLE_HOST=0.0.0.0

USER 10001:10001
WORKDIR /tmp
STOPSIGNAL SIGTERM
EXPOSE 8100 9000

# A request over bash's own sockets instead of a start of Python: does the event loop turn?
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${TASKYARD_CONSOLE_PORT:-8100} && printf 'GET /health/live HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["taskyard-console"]
CMD ["serve"]
