# Two images: `service` serves models, `training` trains them.  docker build --target service .
FROM python:3.12-slim AS base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp charloom \
 && install --directory --owner charloom --group charloom /models /runs /corpora /corpora/mine
# PYTHONPATH: the script /venv/bin/charloom finds the packages in /app.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /app
# Python as process 1 would neither pass signals on nor reap orphaned processes.
ENTRYPOINT ["tini", "--"]


FROM base AS packages
RUN apt-get update \
 && apt-get install --yes --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*
# Set to any value: TensorFlow with CUDA instead of the build for CPUs, four gigabytes more.
ARG GPU=
COPY requirements.txt .
RUN if [ -n "$GPU" ]; then \
        sed -i -e 's/^tensorflow-cpu==\([^;]*\);.*/tensorflow[and-cuda]==\1/' -e '/^tensorflow==/d' requirements.txt; \
    fi \
 && python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --requirement requirements.txt \
 && rm -rf /venv/lib/python3.12/site-packages/tensorflow/include \
 # 219 MB of symbols that only a debugger reads.
 && strip --strip-unneeded /venv/lib/python3.12/site-packages/tensorflow/libtensorflow_*.so.2


FROM packages AS service-packages
COPY requirements-redis.txt requirements-objectstore.txt ./
RUN pip --python /venv/bin/python install --no-cache-dir \
        --requirement requirements-redis.txt --requirement requirements-objectstore.txt
# Serving needs neither Keras nor TensorFlow's files for compiling against it: half a gigabyte less.
RUN pip --python /venv/bin/python uninstall --yes keras h5py libclang namex optree rich markdown-it-py mdurl pygments


FROM base AS service
COPY --from=service-packages /venv /venv
COPY --chown=charloom models /models
COPY charloom.py /venv/bin/charloom
COPY service service
# The root file system is read-only, so no start could keep its compiled modules for the next one.
RUN python -m compileall -q service
USER charloom
# The worker's heartbeat file is in memory: the root file system is read-only, and a slow disk would end the worker.
ENV CHARLOOM_MODELS=/models CHARLOOM_HOST=* PORT=8000 GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm"
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz', timeout=4)"]
CMD ["charloom", "serve"]


FROM packages AS training-packages
COPY requirements-training.txt requirements-objectstore.txt ./
RUN pip --python /venv/bin/python install --no-cache-dir \
        --requirement requirements-training.txt --requirement requirements-objectstore.txt


FROM base AS training
COPY --from=training-packages /venv /venv
# No models: of two new containers, only the service's may fill their empty volume, or both write the same files.
COPY charloom.py /venv/bin/charloom
COPY training training
USER charloom
EXPOSE 9101
CMD ["charloom", "schedule", "--config", "nightly.toml", "--models", "/models", "--runs", "/runs"]
