"""The measured model in PyTorch: `nn.LSTM` with our weights, checked before it is timed."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

MOST_NATS_APART = 1e-4
SECONDS_TO_CHOOSE = 0.2
RESERVED = 0

State = Any
"""h and c, both [L, N, H]."""


class TorchNetwork:
    """Embedding, `nn.LSTM` and a linear layer."""

    def __init__(self, path: Path) -> None:
        """Read the file of `bench.subject`.

        Raises:
            SystemExit: the network does not reproduce the logprobs of the artifact.
        """
        arrays = np.load(path)
        self.characters = "".join(map(chr, arrays["points"]))  # of each id; 0 is never sampled
        self._ids = {character: id_ for id_, character in enumerate(self.characters) if id_}
        self.layers = sum(name.startswith("bias_") for name in arrays)
        symbols, width = arrays["embedding"].shape
        self.units = len(arrays["output_kernel"])
        self._embedding = torch.nn.Embedding(symbols, width)
        self._lstm = torch.nn.LSTM(width, self.units, self.layers)
        self._output = torch.nn.Linear(self.units, symbols)
        self._set_weights(arrays)
        for part in (self._embedding, self._lstm, self._output):
            part.eval()
        self.nats_apart = self._nats_apart(arrays["checked_symbols"], arrays["checked_logprobs"])
        if not self.nats_apart <= MOST_NATS_APART:
            raise SystemExit(f"The peer's logprobs are {self.nats_apart} nats from the artifact's: another network.")

    def encode(self, text: str) -> list[int]:
        """Ids of a text; 0 for unknown characters."""
        return [self._ids.get(character, RESERVED) for character in text]

    @torch.inference_mode()
    def read(self, ids: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Logits [T, N, V] after each of ids [T, N], and the state after the last; None is the zero state."""
        hidden, state = self._lstm(self._embedding(ids), state)
        return self._output(hidden), state

    def initial_state(self, rows: int) -> State:
        """Zeros."""
        return tuple(torch.zeros(self.layers, rows, self.units) for _ in range(2))

    def choose_kernels(self, rows: int) -> bool:
        """Let PyTorch use oneDNN if it is faster for so many rows; returns whether it is.

        oneDNN is the default, but for one step of few rows, reordering the weights for it takes several times as long
        as the step.
        """
        speeds = {}
        for enabled in (True, False):
            torch.backends.mkldnn.set_flags(enabled)
            speeds[enabled] = self._steps_per_second(rows)
        torch.backends.mkldnn.set_flags(speeds[True] > speeds[False])
        return speeds[True] > speeds[False]

    def _steps_per_second(self, rows: int) -> float:
        ids, state = torch.zeros(1, rows, dtype=torch.long), self.initial_state(rows)
        self.read(ids, state)
        steps, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < SECONDS_TO_CHOOSE:
            self.read(ids, state)
            steps += 1
        return steps / passed

    @torch.no_grad()
    def _set_weights(self, arrays: Any) -> None:
        self._embedding.weight.copy_(torch.from_numpy(arrays["embedding"]))
        self._output.weight.copy_(torch.from_numpy(arrays["output_kernel"].T.copy()))
        self._output.bias.copy_(torch.from_numpy(arrays["output_bias"]))
        parameters = dict(self._lstm.named_parameters())
        for layer in range(self.layers):
            ours = {"weight_ih": f"kernel_{layer}", "weight_hh": f"recurrent_{layer}", "bias_ih": f"bias_{layer}"}
            for theirs, name in ours.items():
                gates = _in_pytorch_order(arrays[name].T.copy())
                parameters[f"{theirs}_l{layer}"].copy_(torch.from_numpy(gates))
            parameters[f"bias_hh_l{layer}"].zero_()

    def _nats_apart(self, symbols: Any, logprobs: Any) -> float:
        """The largest difference from the known logprobs of a text."""
        previous = torch.from_numpy(np.concatenate([[RESERVED], symbols[:-1]]).astype(np.int64))
        logits, _ = self.read(previous[:, None], None)
        found = torch.log_softmax(logits[:, 0], dim=1).numpy()[np.arange(len(symbols)), symbols]
        return float(np.abs(found - logprobs).max())


def _in_pytorch_order(gates: Any) -> Any:
    """Ours are input, forget, output, candidate along the first axis; theirs have the candidate before the output."""
    input_, forget, output, candidate = np.split(gates, 4)
    return np.concatenate([input_, forget, candidate, output])


def draw(logits: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A symbol for each row of logits [N, V], never the reserved one, and its logprob."""
    allowed = logits.clone()
    allowed[:, RESERVED] = -torch.inf
    symbols = torch.multinomial(torch.softmax(allowed, dim=1), 1, generator=generator)
    return symbols[:, 0], torch.log_softmax(logits, dim=1).gather(1, symbols)[:, 0]
