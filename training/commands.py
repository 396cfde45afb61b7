"""The command line. Words in, words out; what is done stands in the folders beside this file.

The modules that load TensorFlow are imported where they are used: `--help` and a mistyped flag answer at once.
"""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from training.config import TrainConfig
from training.data.corpus import Corpus, read_corpus
from training.data.vocabulary import Vocabulary
from training.errors import InputError, ReportedError
from training.learning.folder import PLAN, Plan, discard, locked

DEFAULTS = TrainConfig()
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def main() -> None:
    """Run one command. Exit code 0: done; 1: failed, with one sentence on stderr; 2: wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    try:
        cli(prog_name="python -m training")
    except (ReportedError, OSError) as error:  # what a person can mend, and a disk that is full or not theirs
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def cli() -> None:
    """Train character-level LSTMs on your own text, and use what was trained."""


def _name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} must be 1 to 64 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit."
        )
    return value


def _split(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        parts = tuple(float(part) for part in value.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3:
        raise click.BadParameter(f"{value!r} must be three numbers, for example 0.9,0.05,0.05.")
    return parts


models_option = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default="models",
    help="Folder of published models.",
)
model_argument = click.argument("name", callback=_name)
corpus_help = "File or folder of text; repeat the flag for several."


@cli.command()
@click.option("--name", required=True, callback=_name, help="What the model is to be called.")
@click.option("--corpus", multiple=True, type=click.Path(path_type=Path), help=corpus_help)
@click.option("--encoding", default="utf-8", help="Encoding of the files.")
@click.option("--layers", default=DEFAULTS.layers, help="LSTM layers.")
@click.option("--units", default=DEFAULTS.units, help="Units in each layer.")
@click.option("--embedding", default=DEFAULTS.embedding, help="Numbers that stand for one character.")
@click.option("--dropout", default=DEFAULTS.dropout, help="Share of a layer's outputs dropped while training.")
@click.option("--weight-dropout", default=DEFAULTS.weight_dropout, help="Share of recurrent weights dropped likewise.")
@click.option("--batch-size", default=DEFAULTS.batch_size, help="Streams that read the text side by side.")
@click.option("--window", default=DEFAULTS.window, help="Characters that a gradient reaches back.")
@click.option("--epochs", default=DEFAULTS.epochs, help="Times that the training text is read.")
@click.option("--learning-rate", default=DEFAULTS.learning_rate, help="Adam's highest rate; falls to 0 on a cosine.")
@click.option("--warmup-steps", default=DEFAULTS.warmup_steps, help="Steps in which the rate rises to its highest.")
@click.option("--grad-clip", default=DEFAULTS.grad_clip, help="Highest norm of the gradient.")
@click.option("--cold-start", default=DEFAULTS.cold_start, help="Chance that a stream forgets at a window's start.")
@click.option("--eval-every", default=DEFAULTS.eval_every, help="Epochs between evaluations, and at least 25 steps.")
@click.option(
    "--split",
    default=",".join(f"{part:g}" for part in DEFAULTS.split),
    callback=_split,
    help="Shares of the text, in order: training, validation, test.",
)
@click.option("--seed", default=DEFAULTS.seed, help="Decides every random number of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run of this name; takes all its settings from there.")
@click.option("--restart", is_flag=True, help="Discard the unfinished run of this name and begin anew.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    help="Folder of runs in progress.",
)
@models_option
@click.pass_context
def train(context: click.Context, /, name: str, runs: Path, models: Path, **options: Any) -> None:
    """Train a model on your text and publish it as the next version."""
    folder = runs / name
    with locked(folder):
        plan = _resumed(context, folder) if options["resume"] else _planned(folder, options)
        _train(plan, plan.read_corpus(), name=name, folder=folder, models=models, resume=options["resume"])


@cli.command()
@model_argument
@click.option("--prompt", default="", help="Text to go on from.")
@click.option("--temperature", type=click.FloatRange(0, 5), default=1.0, help="0: the likeliest character always.")
@click.option("--length", type=click.IntRange(min=1), default=500, help="Characters to write.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Same seed, same text.  [default: drawn]")
@models_option
def sample(name: str, prompt: str, temperature: float, length: int, seed: int | None, models: Path) -> None:
    """Write text to the terminal, from the newest version of a published model."""
    with _quietly():
        from training.release.published import PublishedModel, newest_version

    model = PublishedModel(newest_version(models, name))
    seed = int.from_bytes(os.urandom(7)) if seed is None else seed
    click.echo(prompt, nl=False)
    for text in model.generate(prompt, length=length, temperature=temperature, seed=seed):
        click.echo(text, nl=False)
        sys.stdout.flush()
    click.echo()
    click.echo(f"seed {seed}", err=True)


@cli.command()
@model_argument
@click.option("--corpus", required=True, multiple=True, type=click.Path(path_type=Path), help=corpus_help)
@click.option("--encoding", default="utf-8", help="Encoding of the files.")
@models_option
def evaluate(name: str, corpus: tuple[Path, ...], encoding: str, models: Path) -> None:
    """Say how well the newest version predicts a text, its state carried through all of it.

    Of the corpus that the model was trained on, only the parts that it did not learn from are read.
    """
    with _quietly():
        from training.learning.evaluate import evaluate as measure
        from training.release.published import PublishedModel, newest_version

    text = read_corpus(corpus, encoding=encoding)
    model = PublishedModel(newest_version(models, name))
    ids = model.vocabulary.encode(text.text)
    trained_on = model.manifest["corpus"]
    parts = {"text": (0, len(ids))}
    if text.fingerprints == [file["sha256"] for file in trained_on["files"]]:
        parts = {part: trained_on["split"][part] for part in ("validation", "test")}
    for part, (start, stop) in parts.items():
        if start < stop:
            loss = measure(model.read, model.cold_state, ids[start:stop])
            click.echo(
                f"{name} {model.manifest['version']}, {part}: {loss.nats_per_char:.4f} nats/char, "
                f"{loss.bits_per_char:.4f} bits/char, perplexity {loss.perplexity:.3f}, "
                f"{loss.characters:,} characters, {int((ids[start:stop] == 0).sum()):,} unknown"
            )


def _planned(folder: Path, options: dict[str, Any]) -> Plan:
    """The plan of a new run. Nothing of an old one is lost yet."""
    if not options["corpus"]:
        raise click.UsageError("Missing option '--corpus': the text to learn from.")
    if (folder / PLAN).exists() and not options["restart"] and Plan.load(folder).published is None:
        raise InputError(f"{folder} holds an unfinished run: --resume goes on with it, --restart discards it.")
    try:
        config = TrainConfig(**{field.name: options[field.name] for field in fields(TrainConfig)})
    except InputError as error:
        raise click.UsageError(str(error)) from None
    paths = tuple(str(path.absolute()) for path in options["corpus"])
    return Plan(config, corpus=paths, encoding=options["encoding"], fingerprints=())


def _resumed(context: click.Context, folder: Path) -> Plan:
    given = click.core.ParameterSource.COMMANDLINE
    own = {"name", "runs", "models", "resume"}
    clashing = [key for key in context.params if key not in own and context.get_parameter_source(key) == given]
    if clashing:
        flag = clashing[0].replace("_", "-")
        raise click.UsageError(f"--resume takes every setting from the run itself: leave out --{flag}.")
    plan = Plan.load(folder)
    if plan.published:
        raise InputError(f"The run in {folder} is finished, published as {plan.published}: nothing to resume.")
    return plan


def _train(plan: Plan, corpus: Corpus, *, name: str, folder: Path, models: Path, resume: bool) -> None:
    with _quietly():
        from training.learning.run import TrainingRun
        from training.learning.run import train as take_to_the_end
        from training.learning.step import use_one_core_per_replica
        from training.release.publish import Release, publish

    use_one_core_per_replica()
    vocabulary = Vocabulary.of(corpus.text)
    run = TrainingRun(plan.config, corpus, vocabulary, folder)
    if resume:
        run.restore()
    else:
        discard(folder)
        plan = replace(plan, fingerprints=tuple(corpus.fingerprints))
        plan.save(folder)
    click.echo(
        f"{len(corpus.text):,} characters, {len(vocabulary) - 1:,} of them distinct; "
        f"{run.parameters:,} parameters; step {run.step:,} of {run.total_steps:,}."
    )
    with _stop_on_signal() as should_stop:
        finished = take_to_the_end(run, should_stop)
    if not finished:
        click.echo(f"Stopped at step {run.step:,} of {run.total_steps:,}; the run is saved. Go on with:", err=True)
        click.echo(f"python -m training train --name {name} --resume", err=True)
        sys.exit(1)
    place = publish(Release(name, run.result(), plan.config, corpus, vocabulary), models)
    replace(plan, published=str(place)).save(folder)
    click.echo(f"Published {place}. Try: python -m training sample {name} --prompt 'The '")


@contextmanager
def _quietly() -> Iterator[None]:
    """Hold back what TensorFlow writes to stderr while it is imported: it greets before it reads any setting.

    It writes from C++, so the file descriptor itself is turned aside; what it wrote is shown if the import fails.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        terminal = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(terminal, aside.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM asks for a stop between two steps; a second one kills at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
