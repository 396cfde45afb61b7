"""Training commands in a process that has served a model before, and so has imported parts of TensorFlow only."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.processes import ENVIRONMENT

PROGRAM = """
import sys
from pathlib import Path
from service.model.model import Model
from training.commands import main

Model(Path("models/tiny/1"))
assert "tensorflow" not in sys.modules
for arguments in (
    ["train", "--name", "other", "--corpus", "corpus.txt", "--batch-size", "4", "--steps", "3", "--force"],
    ["sample", "tiny", "--length", "20"],
):
    sys.argv = ["charloom", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
Model(Path("models/other/1"))
"""


def test_training_and_sampling_work_after_a_model_was_served(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr.decode()
