"""An application with the routes that use a model, on a fake one, for the tests of this folder."""

from pathlib import Path
from typing import Any

from flask import Flask

from service.config import Config
from service.engine.scheduler import Scheduler
from service.http import access, analysis, completions, errors, generate, tokens
from service.http.delivery import OpenStreams
from service.store.store import Store
from tests.service.fakes import FakeModel


def app_of(model: FakeModel, scheduler: Scheduler, folder: Path, **settings: Any) -> Flask:
    """The store is `folder`, where `model` is the only version of the only model."""
    (folder / "fake" / "1").mkdir(parents=True)
    app = Flask(__name__)
    errors.register(app)
    access.name_requests(app)
    store = Store(folder, None, lambda version: model)  # type: ignore[arg-type, return-value]
    config = Config(models=folder, **({"engines": 1, "slots": 1, "queue": 0} | settings))
    streams = OpenStreams(config, scheduler)
    app.register_blueprint(generate.blueprint(config, store, streams))
    app.register_blueprint(completions.blueprint(config, store, streams))
    app.register_blueprint(tokens.blueprint(config, store))
    app.register_blueprint(analysis.blueprint(config, store, streams, scheduler))
    return app
