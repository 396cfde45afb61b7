"""The runs of one model on disk. Knows nothing of training.

runs/<name>/candidate/  the run in progress; if it is interrupted, the next retraining run resumes it
runs/<name>/served/     the run of the served version; its validation text is the reference for the next one
runs/<name>/refused/    the last run that the gate refused
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.corpus import Corpus
from training.errors import DamagedRun, InputError
from training.learning.folder import PLAN, Plan


class Folders:
    """The three folders in `runs/<name>`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.candidate, self.served, self.refused = root / "candidate", root / "served", root / "refused"

    def keep_candidate_as(self, folder: Path) -> None:
        """Make the candidate the run in `folder`, in place of the one there."""
        if folder.exists():
            shutil.rmtree(folder)
        self.candidate.rename(folder)

    def served_corpus(self) -> Corpus | None:
        """The text of the served version's run, or None without that run.

        Raises:
            InputError: the run is damaged.
        """
        with self._reading_served():
            plan = plan_in(self.served)
            return plan.open_corpus(self.served) if plan else None

    def reference(self, name: str, version: int | None) -> NDArray[np.int32]:
        """Validation ids of the run that became this version of model `name`; empty without that run.

        Raises:
            InputError: the run is damaged.
        """
        with self._reading_served():
            plan = plan_in(self.served)
            if plan is None or plan.version_of(name) != version:
                return np.zeros(0, np.int32)
            return plan.open_corpus(self.served).validation

    @contextmanager
    def _reading_served(self) -> Iterator[None]:
        """The served run is needed, so that its held-out text stays held out: only the user may do without it."""
        try:
            yield
        except DamagedRun as error:
            raise InputError(
                f"{error.fact}: restore {self.served} from a backup, or remove it; without it, text that it held out "
                "may be trained on, and the next version is compared on the fresh text only."
            ) from error


def plan_in(folder: Path) -> Plan | None:
    """The plan of the run in `folder`, or None without a run."""
    return Plan.load(folder) if (folder / PLAN).exists() else None
