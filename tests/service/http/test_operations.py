from types import SimpleNamespace

import pytest
from flask import Flask

from service.http import errors, operations


@pytest.mark.parametrize(
    ("faults", "status"), [([], 200), (["Thread engine-0 has ended.", "Thread poller has ended."], 503)]
)
def test_readyz_says_which_threads_have_ended_or_are_stuck(faults: list[str], status: int) -> None:
    app = Flask(__name__)
    errors.register(app)
    ready = SimpleNamespace(manifest=SimpleNamespace(name="a", version=1))
    store = SimpleNamespace(ready=lambda: ready, refusals=list)
    app.register_blueprint(operations.blueprint(store, SimpleNamespace(has_begun=False), lambda: faults))
    response = app.test_client().get("/readyz")
    assert response.status_code == status
    if faults:
        assert response.json["error"]["message"] == " ".join(faults)
