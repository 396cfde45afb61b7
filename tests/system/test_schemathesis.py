"""schemathesis over the document of a running service, with all of its checks.

    FUZZ_EXAMPLES=600 python -m pytest tests/system/test_schemathesis.py -s

runs more than 5,000 cases. Without the variable there are few for each operation.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.servers import Server

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
# Small, so that generated requests reach the limits and the texts are short.
SETTINGS = {"engines": 1, "slots": 4, "queue": 8, "max_prompt": 300, "max_length": 100, "max_text": 300}
CHOICES = 1 * 4 + 8


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with a key and low limits."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("alpha")
    started = Server(tiny / "models", api_keys_file=keys, **SETTINGS)
    yield started
    started.stop()


@pytest.mark.timeout(3600)
def test_every_response_is_as_documented(guarded: Server, tiny: Path, tmp_path: Path) -> None:
    manifest = json.loads((tiny / "models/tiny/1/assets.extra/manifest.json").read_text())
    of_the_model = {name: manifest[name] for name in ("layers", "units", "vocabulary")}
    result = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/system/schemathesis.toml"),
            *("run", f"http://127.0.0.1:{guarded.port}/openapi.json", "--checks", "all", "--no-color"),
            *("--max-examples", str(EXAMPLES), "--header", "Authorization: Bearer alpha"),
        ],
        cwd=ROOT,
        env=os.environ
        | {"SCHEMATHESIS_LIMITS": json.dumps(SETTINGS | of_the_model | {"choices": CHOICES}), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    (cases,) = re.findall(r"(\d+) generated", result.stdout)
    assert int(cases) > 15 * 7
    assert "Traceback" not in guarded.log()
