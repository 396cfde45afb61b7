"""The flags of `train`: one for each field of TrainConfig, its default from there, and how they become a configuration.

A preset and the model to start from set what no flag was given for.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import click

from training.config import CHOICES, OF_THE_PARENT, TrainConfig
from training.errors import InputError
from training.presets import PRESETS

HELP = {
    "unit": "What a symbol is: a Unicode character, or a byte of any file at all.",
    "normalization": "Unicode normal form of the text.",
    "encoding": "Encoding of the files; auto: UTF-8, and of a file that is not the encoding that it looks like.",
    "min_count": "Occurrences below which a symbol is left out of the vocabulary.",
    "split": "Shares of the text, in order: training, validation, test.",
    "split_by": "What the split cuts: the text as it stands, each file of it, or lines or files, shuffled by --seed.",
    "cell": "Kind of recurrent layer.",
    "layers": "Recurrent layers.",
    "units": "Units in each layer.",
    "embedding": "Numbers that stand for one symbol; 0: one-hot.",
    "input_dropout": "Share of the bottom layer's inputs dropped while training.",
    "dropout": "Share of the outputs dropped between two layers.",
    "output_dropout": "Share of the top layer's outputs dropped.",
    "weight_dropout": "Share of recurrent weights dropped (DropConnect).",
    "batch_size": "Streams that read the text side by side.",
    "window": "Characters that a gradient reaches back.",
    "epochs": "Times that the training text is read.",
    "steps": "Optimisation steps of the run, whatever --epochs says; 0: as many as the epochs have.",
    "minutes": "Time of the whole command; the steps that fit take the place of --epochs and --steps; 0: no limit.",
    "optimizer": "What turns gradients into steps.",
    "learning_rate": "The highest rate.",
    "schedule": "How the rate falls: to 0 on half a cosine, not at all, step by epoch, or where the loss stands still.",
    "warmup_steps": "Steps in which the rate rises to its highest.",
    "decay_rate": "Factor on the rate each time that step or plateau lowers it.",
    "decay_after": "Epochs (step) or evaluations without a new best (plateau) before the rate falls.",
    "grad_clip": "Limit of the gradient; 0: none.",
    "clip_by": "What --grad-clip limits: the norm of the whole gradient, or each value of it.",
    "weight_decay": "Share of a weight that a step takes away, times the rate.",
    "ema": "Decay of the running average of the weights that is evaluated and published; 0: none.",
    "cold_start": "Chance that a stream forgets at a window's start.",
    "precision": "What matrix products are computed in.",
    "eval_every": "Epochs between evaluations, and at least 25 steps.",
    "eval_chars": "Symbols of the validation part that an evaluation reads, at most.",
    "patience": "Evaluations without a new best that end the run early; 0: never.",
    "seed": "Decides every random number of the run.",
}


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
    if len(parts) != 3:
        raise click.BadParameter(f"{value!r} must be three numbers, for example 0.9,0.05,0.05.")
    return parts
