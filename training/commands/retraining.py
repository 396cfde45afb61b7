"""`retrain` and `schedule`: retrain the models of nightly.toml once, or every day."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from training.commands.options import UserPath, models_option, runs_option, use_devices
from training.errors import ReportedError
from training.files import require_writable
from training.release.store import require_store
from training.retraining.config import NightlyConfig
from training.retraining.record import FAILED, INTERRUPTED, PUBLISHED, REFUSED, UNCHANGED, Record, last_completed
from training.terminal import quietly, stop_on_signal

EXIT_CODES = {PUBLISHED: 0, UNCHANGED: 0, REFUSED: 3, INTERRUPTED: 1, FAILED: 1}

config_option = click.option(
    "--config",
    "path",
    type=UserPath(path_type=Path, dir_okay=False),
    default="nightly.toml",
    help="The models to retrain, with their texts and time limits.",
)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
@runs_option
@models_option
def retrain(names: tuple[str, ...], path: Path, runs: Path, models: Path) -> None:
    """Retrain the models of --config once.

    With NAME, retrain only these. Each run starts from the served version, trains on the new text, and publishes a
    version if it is not worse.

    Exit code 0: published, or no new text; 3: the gate refused a version; 1: a run failed or was interrupted.
    """
    jobs = NightlyConfig.read(path).chosen(names)
    for job in jobs:
        require_writable(runs / job.name, "--runs")
        require_store(models, job.name)
    use_devices()
    with quietly():
        from training.retraining.retrain import retrain as retrain_model

    records: list[Record] = []
    with stop_on_signal() as should_stop:
        for job in jobs:
            records.append(retrain_model(job, runs=runs, models=models, should_stop=should_stop))
            click.echo(_sentence(records[-1]))
            if should_stop():
                break
    sys.exit(exit_code(records))


def exit_code(records: list[Record]) -> int:
    """The exit code of the whole command: a failure counts more than a refusal."""
    codes = [EXIT_CODES[record.decision] for record in records]
    return 1 if 1 in codes else max(codes)


def _sentence(record: Record) -> str:
    version = f" as version {record.version}" if record.version else ""
    return f"{record.model}: {record.decision}{version} after {record.seconds:,.0f} s. {record.reason}"


@click.command()
@config_option
@runs_option
@models_option
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=9101, help="Port for Prometheus; 0: none.")
def schedule(path: Path, runs: Path, models: Path, metrics_port: int) -> None:
    """Run `retrain` every day at the time in --config.

    A missed run is made up at once. SIGTERM stops the schedule; a run in progress is saved and resumed by the next one.
    """
    from prometheus_client import REGISTRY, start_http_server

    from training.retraining.metrics import RetrainingMetrics
    from training.retraining.schedule import Schedule, is_due

    config = NightlyConfig.read(path)
    names = [job.name for job in config.model]
    if metrics_port:
        REGISTRY.register(RetrainingMetrics(models, names))
        try:
            start_http_server(metrics_port)
        except OSError as error:
            raise ReportedError(f"--metrics-port {metrics_port} cannot be used: {error.strerror}.") from error
    folders = ["--config", str(path), "--runs", str(runs), "--models", str(models)]
    daily = Schedule([sys.executable, "-m", "training", "retrain", *folders], config.at, config.time_zone)
    last = [last_completed(models, name) for name in names]
    at_once = is_due(last, config.at, config.time_zone, datetime.now(UTC))
    when = f"{config.at:%H:%M} {config.time_zone}{', and now' if at_once else ''}"
    click.echo(f"Retraining {', '.join(names)} every day at {when}.")
    daily.run(at_once=at_once)
