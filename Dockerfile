# Two images: `service` answers requests, `training` makes what it serves.  docker build --target service .
FROM python:3.12-slim AS base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp charloom \
 && install --directory --owner charloom --group charloom /models /runs /corpora /corpora/mine
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /app
# Passes signals on and buries orphans: Python as process 1 does neither.
ENTRYPOINT ["tini", "--"]


FROM base AS packages
# Set to anything: TensorFlow with CUDA in the place of the one for CPUs, four gigabytes more.
ARG GPU=
COPY requirements.txt .
RUN if [ -n "$GPU" ]; then \
        sed -i -e 's/^tensorflow-cpu==\([^;]*\);.*/tensorflow[and-cuda]==\1/' -e '/^tensorflow==/d' requirements.txt; \
    fi \
 && python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --requirement requirements.txt \
 && rm -rf /venv/lib/python3.12/site-packages/tensorflow/include


FROM packages AS service-packages
# To serve takes neither Keras nor what TensorFlow brings for those who compile against it: half a gigabyte.
RUN pip --python /venv/bin/python uninstall --yes keras h5py libclang namex optree rich markdown-it-py mdurl pygments


FROM base AS service
COPY --from=service-packages /venv /venv
COPY --chown=charloom models /models
COPY service service
USER charloom
# The heartbeat's file is on memory: the root file system is read-only, and a slow disk would kill the worker.
ENV CHARLOOM_MODELS=/models CHARLOOM_HOST=* PORT=8000 GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm"
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz', timeout=4)"]
CMD ["python", "-m", "gunicorn", "--config", "service/gunicorn.conf.py"]


FROM packages AS training-packages
COPY requirements-training.txt .
RUN pip --python /venv/bin/python install --no-cache-dir --requirement requirements-training.txt


FROM base AS training
COPY --from=training-packages /venv /venv
COPY --chown=charloom models /models
COPY training training
USER charloom
EXPOSE 9101
CMD ["python", "-m", "training", "schedule", "--config", "nightly.toml", "--models", "/models", "--runs", "/runs"]
