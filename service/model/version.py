"""The name of a model with the number of one of its versions, as one value. Knows nothing of files or memory."""

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
        """The values of a metric's labels `model` and `version`."""
        return self.name, str(self.number)
