"""The command line. Words in, words out; what is done stands in the folders beside this one.

The modules that load TensorFlow are imported where they are used: `--help` and a mistyped flag answer at once.
"""

import os
import sys

import click

from training.commands import corpora, hints, retraining, store, train, use
from training.errors import ReportedError
from training.files import sentence
from training.terminal import end_plainly_on_ctrl_c, failed_output, print_what_can_be_printed


def main() -> None:
    """Run one command.

    Exit code 0: done; 1: failed, with one sentence on stderr; 2: wrong usage; 3: refused; 130, 143, 129: stopped by
    SIGINT, SIGTERM, SIGHUP.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    print_what_can_be_printed()
    end_plainly_on_ctrl_c()
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
    """Train character-level recurrent networks on your own text, and use what was trained."""


COMMANDS = (
    *(train.train, use.sample, use.evaluate, use.report, retraining.retrain, retraining.schedule),
    *(store.list_models, store.publish, store.rollback, store.prune, corpora.corpus_group),
)
for command in COMMANDS:
    cli.add_command(command)
