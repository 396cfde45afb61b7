"""The command line: parses flags, calls the packages beside this one, and prints. Knows how none of them works.

Modules that load TensorFlow are imported inside the functions that need them, so that `--help` and a mistyped flag
answer at once.
"""

import os
import sys

import click

from training.commands import corpora, evaluate, hints, report, retraining, sample, store, train
from training.errors import ReportedError
from training.files import sentence
from training.terminal import exit_on_ctrl_c, failed_output, make_printing_safe


def main(*commands: click.Command) -> None:
    """Run one command: one of ours, or of `commands`.

    Exit code 0: done; 1: failed, with one sentence on stderr; 2: wrong usage; 3: refused; 4: another worker was lost;
    130, 143, 129: stopped by SIGINT, SIGTERM, SIGHUP.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow logs at every import
    for command in commands:
        cli.add_command(command)
    make_printing_safe()
    exit_on_ctrl_c()
    try:
        cli(prog_name=hints.program())
    except ReportedError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, or a file that may not be read or written
        print(f"Error: {sentence(error)}", file=sys.stderr)
        sys.exit(1)
    finally:
        if lost := failed_output():
            print(f"Error: Some of the output is lost: {lost.strerror}.", file=sys.stderr)
            sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110})
def cli() -> None:
    """Train character-level recurrent networks on your own text, publish them, and generate text."""


for command in (
    *(train.train, sample.sample, evaluate.evaluate, report.report, retraining.retrain, retraining.schedule),
    *(store.list_models, store.publish, store.rollback, store.prune, corpora.corpus_group),
):
    cli.add_command(command)
