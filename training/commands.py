"""The command line. Words in, words out; what is done stands in the folders beside this file.

The modules that load TensorFlow are imported where they are used: `--help` and a mistyped flag answer at once.
"""

import os
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from training.data.catalogue import CATALOGUE
from training.data.corpus import Corpus, prepare
from training.errors import InputError, ReportedError
from training.flags import config_of, config_options
from training.learning.folder import CORPUS, Plan, discard, is_unfinished, locked
from training.presets import PRESETS
from training.terminal import quietly, stop_on_signal

if TYPE_CHECKING:
    from training.learning.network import NetworkWeights
    from training.release.published import PublishedModel

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
START = re.compile(NAME.pattern + r"(/[1-9][0-9]*)?")


def main() -> None:
    """Run one command. Exit code 0: done; 1: failed, with one sentence on stderr; 2: wrong usage."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    try:
        cli(prog_name="python -m training")
    except (ReportedError, OSError) as error:  # what a person can mend, and a disk that is full or not theirs
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110})
def cli() -> None:
    """Train character-level recurrent networks on your own text, and use what was trained."""


def _name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not NAME.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} must be 1 to 64 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit."
        )
    return value


def _start(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not START.fullmatch(value):
        raise click.BadParameter(f"{value!r} must be NAME or NAME/VERSION of a published model.")
    return value


models_option = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default="models",
    help="Folder of published models.",
)
runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    help="Folder of runs.",
)
model_argument = click.argument("name", callback=_name)
corpus_help = "A file (also .gz .bz2 .xz .zip), a folder, a glob pattern or - for stdin; repeat the flag for several."


@cli.command()
@click.option("--name", required=True, callback=_name, help="What the model is to be called.")
@click.option("--corpus", multiple=True, help=corpus_help)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Settings of an experiment; flags go before them.")
@click.option(
    "--init-from", metavar="NAME[/VERSION]", callback=_start, help="Start from the weights of a published model."
)
@config_options
@click.option("--resume", is_flag=True, help="Go on with the run of this name; takes all its settings from there.")
@click.option("--restart", is_flag=True, help="Discard the unfinished run of this name and begin anew.")
@runs_option
@models_option
@click.pass_context
def train(context: click.Context, /, name: str, runs: Path, models: Path, **options: Any) -> None:
    """Train a model on your text and publish it as the next version."""
    folder = runs / name
    with locked(folder):
        if options["resume"]:
            _refuse_settings(context)
            plan = Plan.load(folder)
            if plan.published:
                raise InputError(f"The run in {folder} is finished, published as {plan.published}: nothing to resume.")
            _train(plan, plan.open_corpus(folder), name=name, folder=folder, models=models, resume=True)
        else:
            plan, corpus, weights = _planned(context, options, folder, models)
            _train(plan, corpus, name=name, folder=folder, models=models, resume=False, start_from=weights)


@cli.command()
@model_argument
@click.option("--prompt", default="", help="Text to go on from.")
@click.option("--temperature", type=click.FloatRange(0, 5), default=1.0, help="0: the likeliest character always.")
@click.option("--length", type=click.IntRange(min=1), default=500, help="Characters to write.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Same seed, same text.  [default: drawn]")
@models_option
def sample(name: str, prompt: str, temperature: float, length: int, seed: int | None, models: Path) -> None:
    """Write text to the terminal, from the newest version of a published model."""
    model = _published(models, name)
    seed = int.from_bytes(os.urandom(7)) if seed is None else seed
    click.echo(prompt, nl=False)
    for text in model.generate(prompt, length=length, temperature=temperature, seed=seed):
        click.echo(text, nl=False)
        sys.stdout.flush()
    click.echo()
    click.echo(f"seed {seed}", err=True)


@cli.command()
@model_argument
@click.option("--corpus", required=True, multiple=True, help=corpus_help)
@click.option("--encoding", default="utf-8", help="Encoding of the files.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["train", "validation", "test"]),
    default=["validation", "test"],
    help="Of the corpus that the model was trained on: the part to read; repeat the flag for several.",
)
@models_option
def evaluate(name: str, corpus: tuple[str, ...], encoding: str, parts: tuple[str, ...], models: Path) -> None:
    """Say how well the newest version predicts a text, its state carried through all of it."""
    model = _published(models, name)  # first: it loads TensorFlow, quietly
    from training.release.score import score

    for part, loss, unknown in score(model, corpus, encoding=encoding, parts=parts):
        click.echo(
            f"{name} {model.manifest['version']}, {part}: {loss.nats_per_char:.4f} nats/char, "
            f"{loss.bits_per_char:.4f} bits/char, perplexity {loss.perplexity:.3f}, "
            f"{loss.characters:,} characters, {unknown:,} unknown"
        )


@cli.command()
@model_argument
@runs_option
def report(name: str, runs: Path) -> None:
    """Write one page about a run: loss curves, n-gram baselines, the samples as they evolved."""
    from training.report.write import write_report

    click.echo(f"Wrote {write_report(runs / name)}")


@cli.group("corpus")
def corpus_group() -> None:
    """The blog post's corpora: what they are and where they come from."""


@corpus_group.command("list")
def list_corpora() -> None:
    """Name every corpus with its size and licence."""
    for entry in CATALOGUE.values():
        size = f"{entry.bytes / 1e6:.1f} MB" if entry.bytes else "size unknown"
        click.echo(f"{entry.name:12} {size:>12}  {entry.licence}")


@corpus_group.command("fetch")
@click.argument("name", type=click.Choice(list(CATALOGUE)))
@click.option(
    "--to", type=click.Path(path_type=Path, file_okay=False), default="corpora", help="Folder to put it into."
)
def fetch_corpus(name: str, to: Path) -> None:
    """Download the corpus of a preset; a download that was interrupted goes on."""
    from training.data.fetch import fetch

    with tqdm(unit="B", unit_scale=True, disable=None) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = fetch(CATALOGUE[name], to, say=lambda sentence: bar.write(sentence), progress=progress)
    click.echo(f"Train on it: python -m training train --name {name} --preset {name} --corpus {path}")


def _refuse_settings(context: click.Context) -> None:
    given = click.core.ParameterSource.COMMANDLINE
    own = {"name", "runs", "models", "resume"}
    for key in context.params:
        if key not in own and context.get_parameter_source(key) == given:
            flag = key.replace("_", "-")
            raise click.UsageError(f"--resume takes every setting from the run itself: leave out --{flag}.")


def _planned(
    context: click.Context, options: dict[str, Any], folder: Path, models: Path
) -> tuple[Plan, Corpus, "NetworkWeights | None"]:
    """The plan of a new run, its text and first weights. Of an old run only the copy of its text may be replaced."""
    if not options["corpus"]:
        raise click.UsageError("Missing option '--corpus': the text to learn from.")
    if not options["restart"] and is_unfinished(folder):
        raise InputError(f"{folder} holds an unfinished run: --resume goes on with it, --restart discards it.")
    if options["init_from"]:
        _use_devices()  # to load the parent is to compute
    parent = _published(models, *options["init_from"].split("/")) if options["init_from"] else None
    config = config_of(context, options, options["preset"], parent.manifest["config"] if parent else None)
    vocabulary, weights = (parent.vocabulary, parent.weights()) if parent else (None, None)
    corpus = prepare(options["corpus"], config, folder / CORPUS, vocabulary=vocabulary, extend=parent is not None)
    start = f"{parent.manifest['name']}/{parent.manifest['version']}" if parent else None
    return Plan(config, options["corpus"], corpus.key, start), corpus, weights


def _train(
    plan: Plan,
    corpus: Corpus,
    *,
    name: str,
    folder: Path,
    models: Path,
    resume: bool,
    start_from: "NetworkWeights | None" = None,
) -> None:
    _use_devices()
    with quietly():
        from training.learning.run import TrainingRun
        from training.learning.run import train as take_to_the_end
        from training.release.publish import Release, publish

    run = TrainingRun(plan.config, corpus, folder, start_from=start_from)
    if resume:
        run.restore()
    else:
        discard(folder)
        plan.save(folder)
        for note in corpus.notes:
            click.echo(note)
    click.echo(
        f"{len(corpus):,} {'bytes' if plan.config.unit == 'byte' else 'characters'}, "
        f"{len(corpus.vocabulary) - 1:,} of them distinct; "
        f"{run.parameters:,} parameters; step {run.step:,} of {run.total_steps:,}."
    )
    with stop_on_signal() as should_stop:
        finished = take_to_the_end(run, should_stop)
    if not finished:
        click.echo(f"Stopped at step {run.step:,} of {run.total_steps:,}; the run is saved. Go on with:", err=True)
        click.echo(f"python -m training train --name {name} --resume", err=True)
        sys.exit(1)
    place = publish(Release(name, run.result(), plan.config, corpus, parent=plan.parent_of(name)), models)
    replace(plan, published=str(place)).save(folder)
    click.echo(f"Published {place}. Try: python -m training sample {name}")


@cache
def _use_devices() -> None:
    """Set this process up for training: once, and before anything is computed."""
    with quietly():
        from training.learning.backend import use_devices

    use_devices()


def _published(models: Path, name: str, version: str | None = None) -> "PublishedModel":
    with quietly():
        from training.release.published import PublishedModel, version_folder

    return PublishedModel(version_folder(models, name, version))
