"""The command line. Words in, words out; what is done stands in the folders beside this one.

The modules that load TensorFlow are imported where they are used: `--help` and a mistyped flag answer at once.
"""

import io
import os
import sys

import click

from training.commands import corpora, hints, nights, store, train, use
from training.errors import ReportedError


def main() -> None:
    """Run one command. Exit code 0: done; 1: failed, with one sentence on stderr; 2: wrong usage; 3: refused."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that is not UTF-8, or a character that the terminal's encoding lacks, is shown as an escape.
        sys.stdout.reconfigure(
            errors="backslashreplace", line_buffering=True
        )  # who reads a pipe or a log sees an evaluation when it is done
    try:
        cli(prog_name=hints.program())
    except (ReportedError, OSError) as error:  # what a person can mend, and a disk that is full or not theirs
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110})
def cli() -> None:
    """Train character-level recurrent networks on your own text, and use what was trained."""


COMMANDS = (
    *(train.train, use.sample, use.evaluate, use.report, nights.retrain, nights.schedule),
    *(store.list_models, store.publish, store.rollback, store.prune, corpora.corpus_group),
)
for command in COMMANDS:
    cli.add_command(command)
