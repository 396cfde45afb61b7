"""`python -m training`."""

import sys

from training.packages import missing_package


def main() -> None:
    """Run the command line; a package that is not installed ends it with one sentence and exit code 1."""
    try:
        from training.commands import main as run

        run()
    except ModuleNotFoundError as error:
        print(f"Error: {missing_package(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
