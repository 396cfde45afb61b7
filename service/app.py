"""Wiring, nothing else. gunicorn runs `service.app:create_app()`."""

import atexit
import logging

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from service.artifact.model import Model, configure_threads
from service.artifact.store import NoModel, NotFound, Store
from service.config import Config
from service.generation.scheduler import Scheduler
from service.http import access, catalogue, errors, generate, operations, schemas

log = logging.getLogger(__name__)


class PlainJson(DefaultJSONProvider):
    """JSON in the order in which it was written, with every character as itself."""

    sort_keys = False
    ensure_ascii = False


def create_app(config: Config | None = None) -> Flask:
    """The service as a WSGI application, its engines running and its default model loaded."""
    config = config or Config.from_env()
    configure_threads(config.engines)
    store = Store(config.models, config.default_model, Model)
    scheduler = Scheduler(engines=config.engines, slots=config.slots, queue=config.queue, chunk=config.chunk)
    atexit.register(scheduler.close)  # an engine inside TensorFlow must not outlive the interpreter
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = schemas.max_body_bytes(config)
    app.json = PlainJson(app)
    errors.register(app)
    access.register(app, config)
    app.register_blueprint(generate.blueprint(config, store, scheduler))
    app.register_blueprint(catalogue.blueprint(store))
    app.register_blueprint(operations.blueprint(store))
    try:
        store.get()
    except (NoModel, NotFound) as error:
        log.warning("%s Until then /readyz says so.", error)
    return app
