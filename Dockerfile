# One image for CPU and CUDA: torch brings its CUDA libraries, the host its driver (docker run --gpus all).
# The steps are those of `make`; see docs/deployment.md.
ARG BASE=python:3.11-slim
FROM ${BASE}

RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*

WORKDIR /srv/streamtrans
COPY . .
RUN make setup EXTRAS=
RUN useradd --system --no-create-home streamtrans
USER streamtrans

EXPOSE 8765
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s CMD [".venv/bin/python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:8765/readyz', timeout=5)"]
ENTRYPOINT [".venv/bin/streamtrans"]
CMD ["serve", "--host", "0.0.0.0"]
