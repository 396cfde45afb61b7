"""The flags of `train`: one for each field of TrainConfig, with its default, and the configuration that they make.

Flags on the command line win over a preset, and a preset wins over the defaults.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import click

from training.config import CHOICES, INHERITED, TrainConfig, with_decay_of_optimizer
from training.errors import InputError
from training.presets import PRESETS

HELP = {
    "unit": "Symbol: a Unicode character, or a byte of any file.",
    "normalization": "Unicode normalization of the text.",
    "encoding": "Encoding of the files; auto: UTF-8, or a guess for a file that is not UTF-8.",
    "min_count": "Occurrences that a symbol needs to get into the vocabulary.",
    "split": "Shares of the text: training, validation, test (char-rnn: train_frac, val_frac).",
    "split_by": "Split the text as one (char), each file by itself, or lines or files shuffled by --seed.",
    "leave_out": "Part I of N of the training text (every Nth block), as I/N, that is not trained on: for a model of "
    "--teachers.",
    "cell": "Recurrent cell (char-rnn: model).",
    "layers": "Recurrent layers (char-rnn: num_layers).",
    "units": "Hidden size of each layer (char-rnn: rnn_size).",
    "embedding": "Embedding size; 0: one-hot input, as in char-rnn.",
    "input_dropout": "Dropout on the inputs of the bottom layer.",
    "dropout": "Dropout between two layers (char-rnn: dropout, with --output-dropout).",
    "output_dropout": "Dropout on the outputs of the top layer.",
    "weight_dropout": "Dropout on the recurrent weights (DropConnect).",
    "batch_size": "Streams that are trained in parallel (char-rnn: batch_size).",
    "window": "Truncated-BPTT window, in characters (char-rnn: seq_length).",
    "epochs": "Passes over the training text (char-rnn: max_epochs).",
    "steps": "Optimisation steps of the run, in place of --epochs; 0: as many as --epochs has.",
    "minutes": "Time limit of the whole command, in place of --epochs and --steps; 0: none.",
    "optimizer": "Optimizer; char-rnn uses rmsprop.",
    "learning_rate": "Peak learning rate (char-rnn: learning_rate).",
    "schedule": "Learning rate: half a cosine to 0, constant, lowered by epoch (step) or at a stalled loss (plateau).",
    "warmup_steps": "Steps of linear warm-up to the peak rate; at most a tenth of the run's steps.",
    "decay_rate": "Factor by which step and plateau lower the rate (char-rnn: learning_rate_decay).",
    "decay_after": "Epochs (step) or evaluations without a new best (plateau) before the rate is lowered "
    "(char-rnn: learning_rate_decay_after).",
    "grad_clip": "Gradient clipping threshold; 0: none (char-rnn: grad_clip, by value).",
    "clip_by": "Clip the norm of the whole gradient, or each of its values.",
    "weight_decay": "Decoupled weight decay of all weights but biases and the embedding; other optimizers than adamw "
    "have 0 unless it is given.",
    "ema": "Decay of the moving average of the weights that is evaluated and published; 0: none.",
    "cold_start": "Probability of resetting a stream's state at the start of a window.",
    "precision": "Number format of matrix products; on a CPU, networks of fewer than 256 units use float32.",
    "teacher_weight": "Weight of the --teachers' probabilities in the corpus's targets; its symbols have the rest.",
    "teacher_share": "Share of each batch that reads a text which the --teachers write.",
    "teacher_chars": "Symbols of that text.",
    "eval_every": "Epochs between evaluations, at least 25 steps (char-rnn: eval_val_every, in steps).",
    "eval_chars": "Most symbols of the validation part that an evaluation reads.",
    "patience": "Evaluations without a new best that end the run early; 0: never.",
    "seed": "Seed of every random number of the run (char-rnn: seed).",
}

# The sections of `train --help`, in order. The last one also has every flag that is listed in none.
SECTIONS = {
    "Text": (
        "corpus",
        "include",
        "exclude",
        "skip_unreadable",
        "unit",
        "normalization",
        "encoding",
        "min_count",
        "split",
        "split_by",
    ),
    "Network": ("cell", "layers", "units", "embedding", "init_from"),
    "Regularisation": (
        *("input_dropout", "dropout", "output_dropout", "weight_dropout"),
        *("weight_decay", "ema", "cold_start"),
    ),
    "Optimisation": (
        *("batch_size", "window", "epochs", "steps", "minutes", "optimizer", "learning_rate", "schedule"),
        *("warmup_steps", "decay_rate", "decay_after", "grad_clip", "clip_by", "precision"),
    ),
    "Distillation": ("teachers", "teacher_weight", "teacher_share", "teacher_chars", "leave_out"),
    "Watching": ("eval_every", "eval_chars", "patience"),
    "Run": (),
}


class GroupedCommand(click.Command):
    """A command without arguments, whose help groups its flags by `SECTIONS`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the flags. Further arguments are most often the files of a pattern that the shell has expanded."""
        ctx.allow_extra_args = True
        super().parse_args(ctx, args)
        if ctx.args:
            ctx.fail(
                f"{ctx.args[0]!r} belongs to no flag: --corpus takes one entry, so put a pattern in quotes or repeat "
                "--corpus."
            )
        return ctx.args

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of flags for each section; overrides click's single list."""
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
    """Add one flag for each field of TrainConfig to a command."""
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
    """The configuration that the flags make.

    Args:
        context: Of the command, to tell flags that were given from defaults.
        options: Flag name -> value, with the defaults.
        preset: A name in PRESETS, or None.
        parent: Configuration of the model that training starts from, or None.

    Raises:
        click.UsageError: a value is out of range, or a flag contradicts the parent.
    """
    given = {name: options[name] for name in HELP}
    explicit = {name for name in given if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}
    implied = dict(PRESETS[preset]) if preset else {}
    if parent is not None:
        defaults = TrainConfig()
        fixed = {name: parent.get(name, getattr(defaults, name)) for name in INHERITED}
        for name in sorted(explicit & set(fixed)):
            if given[name] != fixed[name]:
                flag = name.replace("_", "-")
                raise click.UsageError(
                    f"--{flag} {given[name]} contradicts --init-from, whose model has {fixed[name]}."
                )
        implied |= fixed
    if explicit & {"epochs", "steps"}:
        implied.pop("minutes", None)  # of a preset
    chosen = with_decay_of_optimizer(implied | {name: given[name] for name in explicit})
    try:
        return TrainConfig(**(given | chosen))
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
