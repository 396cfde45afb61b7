"""Wires the service together. gunicorn runs `service.app:create_app()`."""

import atexit
import logging
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from service.config import Config
from service.cpus import computes_bfloat16
from service.engine.prefix_cache import PrefixCache
from service.engine.scheduler import Scheduler
from service.http import (
    access,
    analysis,
    completions,
    cors,
    docs,
    errors,
    generate,
    models,
    openai_models,
    operations,
    page,
    schemas,
    security,
    tokens,
)
from service.http.delivery import OpenStreams
from service.http.formats import escape
from service.model.model import Model
from service.model.saved_model import configure_threads
from service.object_storage import Bucket
from service.server import garbage, logs
from service.server.shutdown import Drain
from service.store.mirror import Mirror
from service.store.store import NoModel, NotFound, Store

# gunicorn ends a worker that does not report for 120 s; it reports only once the application is created.
FIRST_COPY_S = 60.0

log = logging.getLogger(__name__)


class PlainJson(DefaultJSONProvider):
    """JSON with its fields in the order of the source, escaped like the events of a stream."""

    sort_keys = False
    ensure_ascii = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Serialize the body of a response that is not a stream."""
        return escape(super().dumps(obj, **kwargs))


def create_app(config: Config | None = None) -> Flask:
    """The service as a WSGI application, with its engines running and its default model loaded."""
    config = config or Config.from_env()
    with logs.stderr_as_records():
        configure_threads(config.engines)
    if config.precision == "bfloat16" and not computes_bfloat16():
        log.warning(
            "CHARLOOM_PRECISION is bfloat16, and this processor has no instructions for it: float32 would be faster."
        )
    store = _store(config)
    cache = PrefixCache(config.cache_mb * 2**20)
    scheduler = Scheduler(
        engines=config.engines,
        slots=config.slots,
        queue=config.queue,
        chunk=config.chunk,
        cache=cache,
        call_s=config.call_ms / 1000,
    )
    atexit.register(scheduler.close)  # an engine inside TensorFlow must not outlive the interpreter
    app = Flask(__name__, static_folder=None)
    app.json = PlainJson(app)
    _add_extensions(app, config, store, scheduler)
    _add_checks(app, config)
    _add_routes(app, config, store, scheduler)
    try:
        store.get()
    except (NoModel, NotFound) as error:
        log.warning("%s /readyz answers 503 until a model is loaded.", error)
    store.start_polling(config.poll_seconds)
    atexit.register(store.close)  # a load inside TensorFlow must not outlive the interpreter either
    return app


def _store(config: Config) -> Store:
    """The store of the model folder, or of a bucket. Waits until the bucket is copied, or `FIRST_COPY_S`."""
    load = partial(_load, config.precision)
    if isinstance(config.models, Path):
        return Store(config.models, config.default_model, load)
    mirror = Mirror(Bucket(config.models), config.models_cache)
    mirror.start(FIRST_COPY_S)
    return Store(mirror.folder, config.default_model, load, mirror=mirror)


def _add_extensions(app: Flask, config: Config, store: Store, scheduler: Scheduler) -> None:
    """Add the values that the server's worker uses (see `service.server.worker`)."""
    app.extensions["drain"] = Drain(scheduler, config.drain_seconds)
    app.extensions["faults"] = lambda: [*scheduler.faults(), *store.faults()]
    app.extensions["admin_port"] = config.admin_port
    app.extensions["max_body_bytes"] = schemas.max_body_bytes(config)
    app.extensions["max_body_bytes_of"] = schemas.max_body_bytes_of(config)


def _add_routes(app: Flask, config: Config, store: Store, scheduler: Scheduler) -> None:
    streams = OpenStreams(config, scheduler)
    for blueprint in (
        generate.blueprint(config, store, streams),
        completions.blueprint(config, store, streams),
        tokens.blueprint(config, store),
        analysis.blueprint(config, store, streams, scheduler),
        models.blueprint(store),
        openai_models.blueprint(store),
        docs.blueprint(config),
        page.blueprint(),
        operations.blueprint(store, app.extensions["drain"], app.extensions["faults"]),
    ):
        app.register_blueprint(blueprint)


def _add_checks(app: Flask, config: Config) -> None:
    """Add error responses, security headers, request ids, CORS, keys, rate limits and proxies to every request."""
    errors.register(app)
    security.register(app)
    access.name_requests(app)
    cors.register(app, config.origins())
    access.register(app, config)
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask documents it
            app.wsgi_app, x_for=config.trusted_proxies, x_proto=config.trusted_proxies
        )


def _load(precision: str, folder: Path) -> Model:
    model = Model(folder, precision)
    garbage.collect_and_freeze()
    return model
