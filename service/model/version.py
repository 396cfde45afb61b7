"""The name of one version of a model."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class ModelVersion:
    """A model's name and a version's number; shown as `name/number`."""

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"

    @property
    def labels(self) -> tuple[str, str]:
        """For a metric's `model` and `version`."""
        return self.name, str(self.number)
