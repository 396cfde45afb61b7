"""The flags of `train`: one for each field of TrainConfig, its default from there, and how they become a configuration.

A preset and the model to start from set what no flag was given for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import click

from training.config import CHOICES, OF_THE_PARENT, TrainConfig
from training.errors import InputError
from training.presets import PRESETS

HELP = {
    "unit": "Symbol: a Unicode character, or a byte of any file at all.",
    "normalization": "Unicode normal form of the text.",
    "encoding": "Encoding of the files; auto: UTF-8, and of a file that is not the encoding that it looks like.",
    "min_count": "Occurrences below which a symbol is left out of the vocabulary.",
    "split": "Shares of the text, in order: training, validation, test (char-rnn: train_frac, val_frac).",
    "split_by": "Unit of the split: the text as it stands, each file of it, or lines or files, shuffled by --seed.",
    "cell": "Recurrent cell (char-rnn: model).",
    "layers": "Recurrent layers (char-rnn: num_layers).",
    "units": "Hidden size of each layer (char-rnn: rnn_size).",
    "embedding": "Embedding size; 0: one-hot input, as in char-rnn.",
    "input_dropout": "Dropout on the inputs of the bottom layer.",
    "dropout": "Dropout between two layers (char-rnn: dropout, with --output-dropout).",
    "output_dropout": "Dropout on the outputs of the top layer.",
    "weight_dropout": "Dropout on the recurrent weights (DropConnect).",
    "batch_size": "Streams that read the text in parallel (char-rnn: batch_size).",
    "window": "Truncated-BPTT window, in characters (char-rnn: seq_length).",
    "epochs": "Passes over the training text (char-rnn: max_epochs).",
    "steps": "Optimisation steps of the run, whatever --epochs says; 0: as many as the epochs have.",
    "minutes": "Time of the whole command; the steps that fit take the place of --epochs and --steps; 0: no limit.",
    "optimizer": "Optimizer; char-rnn has rmsprop.",
    "learning_rate": "Peak learning rate (char-rnn: learning_rate).",
    "schedule": "How the rate falls: to 0 on half a cosine, not at all, step by epoch, or where the loss stands still.",
    "warmup_steps": "Steps over which the rate rises linearly to its peak.",
    "decay_rate": "Factor on the rate each time that step or plateau lowers it (char-rnn: learning_rate_decay).",
    "decay_after": "Epochs (step) or evaluations without a new best (plateau) before the rate falls "
    "(char-rnn: learning_rate_decay_after).",
    "grad_clip": "Limit of the gradient; 0: none (char-rnn: grad_clip, value by value).",
    "clip_by": "Whether --grad-clip limits the norm of the whole gradient, or each value of it.",
    "weight_decay": "Decoupled weight decay: share of a weight that a step takes away, times the rate.",
    "ema": "Decay of the running average of the weights that is evaluated and published; 0: none.",
    "cold_start": "Probability of resetting a stream's state at the start of a window.",
    "precision": "Number format of matrix products.",
    "eval_every": "Epochs between evaluations, and at least 25 steps (char-rnn: eval_val_every, in steps).",
    "eval_chars": "Symbols of the validation part that an evaluation reads, at most.",
    "patience": "Evaluations without a new best that end the run early; 0: never.",
    "seed": "Decides every random number of the run (char-rnn: seed).",
}

# The sections of `train --help`, in order; a flag that is named in none of them stands under the last.
SECTIONS = {
    "Text": ("corpus", "unit", "normalization", "encoding", "min_count", "split", "split_by"),
    "Network": ("cell", "layers", "units", "embedding", "init_from"),
    "Regularisation": (
        *("input_dropout", "dropout", "output_dropout", "weight_dropout"),
        *("weight_decay", "ema", "cold_start"),
    ),
    "Optimisation": (
        *("batch_size", "window", "epochs", "steps", "minutes", "optimizer", "learning_rate", "schedule"),
        *("warmup_steps", "decay_rate", "decay_after", "grad_clip", "clip_by", "precision"),
    ),
    "Watching": ("eval_every", "eval_chars", "patience"),
    "Run": (),
}


class GroupedCommand(click.Command):
    """A command whose help has its flags in `SECTIONS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section with the flags that belong to it; overrides click's one list."""
        section_of = {name: section for section, names in SECTIONS.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record:
                rows[section_of.get(parameter.name or "", "Run")].append(record)
        for section, records in rows.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records)


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one flag for each field of TrainConfig."""
    for field in reversed(fields(TrainConfig)):
        options: dict[str, Any] = {"default": field.default, "help": HELP[field.name]}
        if field.name == "split":
            options |= {"default": ",".join(f"{part:g}" for part in TrainConfig().split), "callback": _split}
        elif field.name in CHOICES:
            options["type"] = click.Choice(CHOICES[field.name])
        command = click.option(f"--{field.name.replace('_', '-')}", **options)(command)
    return command


def config_of(
    context: click.Context, options: Mapping[str, Any], preset: str | None, parent: Mapping[str, Any] | None
) -> TrainConfig:
    """The configuration of these flags; `parent` is that of the model to start from.

    Raises:
        click.UsageError: a value is out of its range, or a flag contradicts the parent.
    """
    given = {name: options[name] for name in HELP}
    by_hand = {name for name in given if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}
    implied = dict(PRESETS[preset]) if preset else {}
    if parent is not None:
        defaults = TrainConfig()
        fixed = {name: parent.get(name, getattr(defaults, name)) for name in OF_THE_PARENT}
        for name in sorted(by_hand & set(fixed)):
            if given[name] != fixed[name]:
                flag = name.replace("_", "-")
                raise click.UsageError(
                    f"--{flag} {given[name]} contradicts --init-from, whose model has {fixed[name]}."
                )
        implied |= fixed
    try:
        return TrainConfig(**(given | {name: value for name, value in implied.items() if name not in by_hand}))
    except InputError as error:
        raise click.UsageError(str(error)) from None


def _split(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        parts = tuple(float(part) for part in value.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3 or not all(map(math.isfinite, parts)):
        raise click.BadParameter(f"{value!r} must be three numbers, for example 0.9,0.05,0.05.")
    return parts
