"""`python -m training`."""

import sys
from typing import TYPE_CHECKING

from training.packages import missing_package

if TYPE_CHECKING:
    from click import Command


def main(*commands: "Command") -> None:
    """Run the command line, with `commands` besides its own.

    A package that is not installed ends it with one sentence and exit code 1.
    """
    try:
        from training.commands import main as run

        run(*commands)
    except ModuleNotFoundError as error:
        print(f"Error: {missing_package(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
