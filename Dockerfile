# syntax=docker/dockerfile:1
# One image for all roles: `docker run … qjb broker|worker|gateway|up`.
FROM python:3.13.9-slim-trixie AS build
WORKDIR /src
RUN python -m venv /opt/qjb
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY executors executors
COPY broker broker
# Compiled here, since nobody can write there later: a start without it takes a second longer.
RUN /opt/qjb/bin/pip install --no-cache-dir --compile .

FROM python:3.13.9-slim-trixie
RUN useradd --system --uid 10001 --home-dir /var/lib/qjb --create-home qjb \
 && install -d -o qjb -g qjb /var/lib/qjb/blobs
COPY --from=build /opt/qjb /opt/qjb
ENV PATH=/opt/qjb/bin:$PATH \
    QJB_DATA=/var/lib/qjb \
    QJB_HOST=0.0.0.0 \
    QJB_LOG_FORMAT=json
USER qjb
WORKDIR /var/lib/qjb
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["qjb"]
CMD ["up"]
