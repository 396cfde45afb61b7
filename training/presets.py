"""Presets: the experiments of the blog post and two others, as settings of TrainConfig.

Those of the post follow "The Unreasonable Effectiveness of Recurrent Neural Networks" (Karpathy 2015). Settings that
the post does not give are the defaults of char-rnn's train.lua: one-hot input, RMSProp at 0.002, lowered by 3 % an
epoch after the tenth, 50 streams of 50 characters, gradient values clipped at 5, 50 epochs, a split of 95 / 5.
Networks that the post does not describe have the size of the one for Shakespeare.
"""

from typing import Any

_CHAR_RNN: dict[str, Any] = {
    "layers": 2, "units": 128, "embedding": 0, "dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0,
    "batch_size": 50, "window": 50, "epochs": 50, "optimizer": "rmsprop", "learning_rate": 2e-3, "schedule": "step",
    "decay_rate": 0.97, "decay_after": 10, "warmup_steps": 0, "grad_clip": 5.0, "clip_by": "value", "weight_decay": 0.0,
    "split": (0.95, 0.05, 0.0),
}  # fmt: skip

_SHAKESPEARE = _CHAR_RNN | {"layers": 3, "units": 512}
_BYTES: dict[str, Any] = {"unit": "byte", "normalization": "none"}

PRESETS: dict[str, dict[str, Any]] = {
    # "8000 baby names"; the network is not described. With char-rnn's defaults it does worse than a 4-gram model on a
    # text this short (docs/experiments.md). Lines are shuffled because the list is in alphabetical order.
    "names": {
        **_CHAR_RNN,
        "dropout": 0.3,
        "output_dropout": 0.3,
        "weight_dropout": 0.3,
        "batch_size": 10,
        "epochs": 40,
        "optimizer": "adam",
        "learning_rate": 4e-3,
        "schedule": "cosine",
        "split_by": "line",
        "split": (0.9, 0.05, 0.05),
    },
    # "a 2-layer LSTM with 512 hidden nodes (approx. 3.5 million parameters), and with dropout of 0.5 after each layer
    # [...] batches of 100 examples and truncated backpropagation through time of length 100 characters"
    "paul-graham": _CHAR_RNN | {"units": 512, "dropout": 0.5, "output_dropout": 0.5, "batch_size": 100, "window": 100},
    # "a 3-layer RNN with 512 hidden nodes on each layer"
    "shakespeare": _SHAKESPEARE,
    # "the first 96MB for training, the rest for validation" of 100 MB of bytes; the network is not described.
    "wikipedia": _SHAKESPEARE | _BYTES | {"split": (0.96, 0.04, 0.0)},
    # "a multilayer LSTM" on 16 MB of LaTeX
    "latex": _SHAKESPEARE,
    # "3-layer LSTMs [...] approximately 10 million parameters" on 474 MB of C: that is 3 x 700 at about 100 symbols.
    "linux": _SHAKESPEARE | _BYTES | {"units": 700, "split": (0.9, 0.05, 0.05)},
    # The text and the split of "Visualizing and Understanding Recurrent Networks" (arXiv 1506.02078), not its network:
    # our recipe for 3.2 MB and two hours on two cores, where 2 x 512 reads the text some fifty times. Evaluations are
    # rare because each one reads 300,000 characters.
    "war-and-peace": {
        "units": 512,
        "weight_dropout": 0.3,
        "learning_rate": 3e-3,
        "ema": 0.998,
        "precision": "mixed_bfloat16",
        "split": (0.8, 0.1, 0.1),
        "minutes": 115.0,
        "eval_every": 3.0,
    },
    # Not from the post: a quick trial, about a minute for a megabyte on a laptop.
    "tiny": {
        "layers": 1,
        "units": 128,
        "embedding": 32,
        "dropout": 0.0,
        "output_dropout": 0.0,
        "weight_dropout": 0.0,
        "batch_size": 32,
        "window": 50,
        "epochs": 4,
        "learning_rate": 5e-3,
    },
}
