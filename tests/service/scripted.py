"""A byte model written without training: a SavedModel with the contract's signature and predictable texts.

At temperature 0 it repeats a script. At any other temperature it draws bytes of the script by the uniform alone. The
logprob of a byte is that of its share of the script. The state counts the sampled symbols.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SCRIPT = "aé😀\n€".encode() + b"\xf0\x9f\x98z\xff\xed\xa0\x80\xc3"
VOCABULARY = sorted(set(SCRIPT) | set(range(32, 127)))
PROBE_PROMPT, PROBE_SEED, PROBE_SAMPLED = "é?", 4, 30


class Scripted(tf.Module):
    """A module with `state_tensors` states of one unit, all with the same count."""

    def __init__(self, state_tensors: int) -> None:
        super().__init__()
        self.script = tf.constant([id_of(byte) for byte in SCRIPT])
        self.logprobs = tf.Variable([logprob_of(byte) for byte in [None, *VOCABULARY]], name="logprobs")
        rows, steps = (None,), (None, None)
        signature = {"previous": (rows, tf.int32), "given": (steps, tf.int32), "given_length": (rows, tf.int32)}
        signature |= {"length": (rows, tf.int32), "uniforms": (steps, tf.float32), "temperature": (rows, tf.float32)}
        signature |= {"top_k": (rows, tf.int32), "top_p": (rows, tf.float32)}
        signature |= {"bias": ((None, len(VOCABULARY) + 1), tf.float32)}
        signature |= {"state": ((state_tensors, None, 1), tf.float32)}
        specs = [tf.TensorSpec(shape, kind, name) for name, (shape, kind) in signature.items()]
        self.advance, self.advance_top = (
            tf.function(partial(self._advance, guesses=guesses), input_signature=specs) for guesses in (0, 5)
        )

    def _advance(
        self, previous, given, given_length, length, uniforms, temperature, top_k, top_p, bias, state, *, guesses
    ):  # fmt: skip
        t = tf.range(tf.shape(given)[1])[None]  # [1, K]
        places = tf.cast(state[0], tf.int32) + t - given_length[:, None]  # [N, K] of the sampled symbols
        drawn = tf.cast(uniforms * float(len(SCRIPT)), tf.int32)
        chosen = tf.where(temperature[:, None] == 0, tf.math.floormod(places, len(SCRIPT)), drawn)
        symbols = tf.where(t < given_length[:, None], given, tf.gather(self.script, chosen))
        symbols = tf.where(t < length[:, None], symbols, 0)
        last = tf.gather(symbols, tf.maximum(length - 1, 0), batch_dims=1)
        outputs = {
            "symbols": symbols,
            "logprobs": tf.where(t < length[:, None], tf.gather(self.logprobs, symbols), 0.0),
            "previous": tf.where(length > 0, last, previous),
            "state": state + tf.cast(tf.maximum(length - given_length, 0), tf.float32)[None, :, None],
        }
        if guesses:  # always the first ids
            top = tf.broadcast_to(tf.range(1, guesses + 1), tf.concat([tf.shape(symbols), [guesses]], axis=0))
            outputs |= {"top_symbols": top, "top_logprobs": -tf.cast(top, tf.float32)}
        return outputs


def id_of(byte: int) -> int:
    return VOCABULARY.index(byte) + 1 if byte in VOCABULARY else 0


def logprob_of(byte: int | None) -> float:
    """The logprob of a byte; one that is not in the script counts as half a byte of it."""
    return math.log((SCRIPT.count(byte) if byte in SCRIPT else 0.5) / len(SCRIPT)) if byte is not None else -9.0


def bytes_written(count: int, *, temperature: float, seed: int) -> bytes:
    """The first `count` bytes that a stream samples, by a second computation."""
    if temperature == 0:
        return (SCRIPT * (count // len(SCRIPT) + 1))[:count]
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(count, dtype=np.float32)
    return bytes(SCRIPT[int(uniform * np.float32(len(SCRIPT)))] for uniform in uniforms)


def write_version(
    models: Path,
    name: str = "scripted",
    *,
    cell: str = "gru",
    layers: int = 1,
    logprobs: Any = None,
    has_guesses: bool = False,
    **changes: Any,
) -> Path:
    """Write a valid version `models/<name>/1` with the weights `logprobs` [V] and `changes` of its manifest.

    `has_guesses`: it has the function `advance_top`.
    """
    folder = models / name / "1"
    module = Scripted(2 * layers if cell == "lstm" else layers)
    if logprobs is not None:
        module.logprobs.assign(logprobs)
    (models / name).mkdir(parents=True, exist_ok=True)
    functions = {"advance": module.advance} | ({"advance_top": module.advance_top} if has_guesses else {})
    tf.saved_model.save(module, str(folder), signatures=functions)
    sampled = bytes_written(PROBE_SAMPLED, temperature=1, seed=PROBE_SEED)
    probe_bytes = PROBE_PROMPT.encode() + sampled
    manifest = {
        "format": 1,
        "name": name,
        "version": 1,
        "unit": "byte",
        "normalization": "none",
        "vocabulary": [None, *VOCABULARY],
        "cell": cell,
        "layers": layers,
        "units": 1,
        "dtype": "float32",
        "probe": {
            "prompt": PROBE_PROMPT,
            "seed": PROBE_SEED,
            "symbols": [id_of(byte) for byte in probe_bytes],
            "logprobs": [logprob_of(byte if id_of(byte) else None) for byte in probe_bytes],
        },
    }
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "manifest.json").write_text(json.dumps(manifest | changes))
    return folder
