"""A peer without HTTP: llama.cpp with continuous batching, through `llama-cpp-python`. Needs that package and `gguf`.

    python -m bench.peers.llama --threads 2          a turn on each line of stdin, a result on stdout

The network is a transformer of nanoGPT's size for a text of characters: 6 layers, 384 wide, 6 heads, a context of 256.
It has random weights in float32. All streams are sequences of one batch: a step decodes a character of each. A text
that fills the context continues with an empty one, which costs nothing; llama.cpp's own server computes half of the
context again.
"""

import argparse
import ctypes
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

from bench.workload import lengths

LAYERS, WIDTH, HEADS, CONTEXT, SYMBOLS = 6, 384, 6, 256, 65
WEIGHTS_STD = 0.02  # GPT-2's


def write_network(path: Path) -> None:
    """Write a GPT-2 of the size above in llama.cpp's format."""
    writer, generator = gguf.GGUFWriter(path, "gpt2"), np.random.default_rng(0)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(4 * WIDTH)
    writer.add_head_count(HEADS)
    writer.add_context_length(CONTEXT)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(SYMBOLS)
    for name, shape in _shapes().items():
        is_matrix = len(shape) == 2
        tensor = generator.normal(0, WEIGHTS_STD, shape) if is_matrix else np.full(shape, "norm.weight" in name)
        writer.add_tensor(name, tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shapes() -> dict[str, tuple[int, ...]]:
    """The tensors; a matrix is [outputs, inputs]."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (SYMBOLS, WIDTH),
        "position_embd.weight": (CONTEXT, WIDTH),
    }
    matrices = {"attn_qkv": (3 * WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH)}
    matrices |= {"ffn_up": (4 * WIDTH, WIDTH), "ffn_down": (WIDTH, 4 * WIDTH)}
    for layer in range(LAYERS):
        for name, shape in matrices.items():
            shapes[f"blk.{layer}.{name}.weight"] = shape
            shapes[f"blk.{layer}.{name}.bias"] = shape[:1]
        for name in ("attn_norm", "ffn_norm"):
            shapes |= dict.fromkeys((f"blk.{layer}.{name}.weight", f"blk.{layer}.{name}.bias"), (WIDTH,))
    return shapes | dict.fromkeys(("output_norm.weight", "output_norm.bias"), (WIDTH,))


class Streams:
    """N sequences of one llama.cpp context, each with a text under way."""

    def __init__(self, model: Any, streams: int, threads: int, seed: int) -> None:
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = CONTEXT * streams, streams
        settings.n_batch = settings.n_ubatch = max(streams, 32)
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, settings)
        assert self._context, "llama.cpp made no context"
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(streams, 0, 1)
        self._batch.n_tokens = streams
        for stream in range(streams):
            self._batch.n_seq_id[stream], self._batch.seq_id[stream][0], self._batch.logits[stream] = 1, stream, 1
        self._tokens, self._positions = (
            np.ctypeslib.as_array(array, (streams,)) for array in (self._batch.token, self._batch.pos)
        )
        self._tokens[:] = self._positions[:] = 0
        self._lengths, self._generator = lengths(seed), np.random.default_rng(seed)
        self._missing = np.array([next(self._lengths) for _ in range(streams)])

    def step(self) -> None:
        """One character for every stream."""
        if failure := llama_cpp.llama_decode(self._context, self._batch):
            raise SystemExit(f"llama_decode returned {failure}.")
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), (len(self._tokens), SYMBOLS))
        self._tokens[:] = self._sampled(logits)
        self._positions += 1
        self._missing -= 1
        for stream in np.flatnonzero((self._missing == 0) | (self._positions == CONTEXT)).tolist():
            self._empty(stream)

    def close(self) -> None:
        """Free the memory."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)

    def _sampled(self, logits: Any) -> Any:
        """A symbol for each row of logits [N, V], at temperature 1; the fastest way from the binding."""
        weights = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
        drawn = self._generator.random(len(weights), np.float32) * weights[:, -1]
        return np.minimum((weights <= drawn[:, None]).sum(1), SYMBOLS - 1)

    def _empty(self, stream: int) -> None:
        """Begin a context, with the next text if this one is complete."""
        llama_cpp.llama_memory_seq_rm(self._memory, stream, -1, -1)
        self._positions[stream] = 0
        if not self._missing[stream]:
            self._missing[stream], self._tokens[stream] = next(self._lengths), 0


def turn(model: Any, threads: int, job: dict[str, Any]) -> dict[str, float]:
    """Characters/s of all streams together."""
    streams = Streams(model, job["streams"], threads, job["seed"])
    _steps(streams, job["warm_s"])
    started = time.perf_counter()
    steps = _steps(streams, job["seconds"])
    speed = steps * job["streams"] / (time.perf_counter() - started)
    streams.close()
    return {"characters_per_second": speed}


def _steps(streams: Streams, seconds: float) -> int:
    """Step for so many seconds; returns the number of steps."""
    steps, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        streams.step()
        steps += 1
    return steps


@llama_cpp.llama_log_callback
def _ignore(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    pass


def main() -> None:
    """Run the turn on each line of stdin."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    llama_cpp.llama_log_set(_ignore, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.gguf"
        write_network(path)
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    facts = {"version": llama_cpp.__version__, "parameters": llama_cpp.llama_model_n_params(model)}
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(facts if "ready" in job else turn(model, arguments.threads, job)), flush=True)


if __name__ == "__main__":
    main()
