"""The disk space that a run needs, computed from its configuration before any network is made."""

from pathlib import Path

from training.config import TrainConfig
from training.files import require_space
from training.network.layer import CELLS

BYTES_PER_NUMBER = 4
OPTIMIZER_COPIES = 2  # AdamW's two moments; other optimizers keep fewer
GRAPH_BYTES = 1_000_000  # the graph and the manifest of a version


def parameters_of(config: TrainConfig, symbols: int) -> int:
    """The number of trained numbers of a network over V `symbols`."""
    gates, units = CELLS[config.cell].gates, config.units
    width = config.embedding or symbols
    layers = 0
    for _ in range(config.layers):
        layers += gates * units * (width + units + 1) + (units if config.cell == "gru" else 0)
        width = units
    return config.embedding * symbols + layers + (units + 1) * symbols


def require_disk_space(
    config: TrainConfig, symbols: int, store: Path, run: Path | None = None, *, saved: bool = False
) -> None:
    """Check that there is enough free space for a version in `store`, and for checkpoints in `run` if it is given.

    A checkpoint is written beside the one before it; `saved` says that there is one already.

    Raises:
        InputError: a disk has less free space; names the folders, the need and the free space.
    """
    size = BYTES_PER_NUMBER * parameters_of(config, symbols)
    needs = {store: size + GRAPH_BYTES}
    if run is not None:
        copies = 2 + OPTIMIZER_COPIES + (config.ema > 0)  # the weights, the best weights, the optimizer, the average
        needs[run] = copies * size * (1 if saved else 2)
    require_space(needs, f"A network of {parameters_of(config, symbols):,} parameters")
