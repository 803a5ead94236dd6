# A mail server for development that keeps what it gets as files. Built from the root of the repository:
#   DOCKER_BUILDKIT=1 docker build -f deploy/docker/smtp-sink.Dockerfile -t taskyard/smtp-sink .

FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

COPY requirements/build.txt requirements/smtp-sink.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/taskyard \
    && pip install --quiet --require-hashes -r requirements/build.txt \
    && pip --python /opt/taskyard/bin/python install --quiet --require-hashes -r requirements/smtp-sink.txt

COPY devstack devstack
RUN pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels ./devstack \
    && pip --python /opt/taskyard/bin/python install --quiet --no-deps --no-index wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/taskyard/lib


FROM python:3.11-slim

LABEL org.opencontainers.image.title="taskyard-smtp-sink" \
      org.opencontainers.image.description="A mail server for development: keeps mails as files, passes nothing on" \
      org.opencontainers.image.licenses="Apache-2.0"

# A new volume mounted here takes over the owner.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/taskyard/mails
COPY LICENSE /usr/share/doc/taskyard/
COPY --from=build /opt/taskyard /opt/taskyard
ENV PATH=/opt/taskyard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

USER 10001:10001
WORKDIR /var/lib/taskyard
STOPSIGNAL SIGTERM
EXPOSE 1025

# Does it greet?
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/1025 && read -r code _ <&3 && printf 'QUIT\\r\\n' >&3 && [ \"$code\" = 220 ]"]

ENTRYPOINT ["python", "-m", "taskyard_dev.smtp_sink"]
CMD ["--host", "0.0.0.0", "--port", "1025", "--dir", "/var/lib/taskyard/mails"]
