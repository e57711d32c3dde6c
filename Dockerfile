# creditstream: the worker and every other command (`docker run … creditstream migrate`).
# Tags are pinned, digests are not: no registry could be asked where this was written. For production, pin what
# `docker buildx imagetools inspect python:3.11.13-slim-bookworm` prints.
FROM python:3.11.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all:
WORKDIR /build
COPY requirements/build.txt requirements/runtime.txt requirements/
# What the program needs, with the lock's hashes; in a layer of its own that seldom changes.
RUN python -m venv /opt/creditstream \
    && /opt/creditstream/bin/pip install --require-hashes -r requirements/runtime.txt \
    && pip install --require-hashes -r requirements/build.txt
COPY pyproject.toml ./
COPY scripts/sbom.py scripts/
COPY creditstream creditstream
COPY agents agents
COPY schemas schemas
COPY tables tables
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/creditstream/bin/pip install --no-deps dist/*.whl \
    && python scripts/sbom.py /opt/creditstream \
    && /opt/creditstream/bin/pip uninstall --yes pip setuptools

FROM python:3.11.13-slim-bookworm
RUN groupadd --system --gid 10001 creditstream \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/creditstream --no-create-home creditstream \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/creditstream
COPY --from=build /opt/creditstream /opt/creditstream
ENV PATH=/opt/creditstream/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CREDITSTREAM_DATA_DIR=/var/lib/creditstream/data
# The only place that is written to: run it with a read-only root.
VOLUME /var/lib/creditstream
WORKDIR /var/lib/creditstream
USER 10001:10001
EXPOSE 6066
# Exec form: the worker itself is process 1 and gets the SIGTERM, upon which it drains within 30 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["faust", "-A", "creditstream"]
CMD ["worker"]
