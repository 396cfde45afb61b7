"""`retrain` and `schedule`: what happens at night."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from training.commands.options import UserPath, models_option, runs_option, use_devices
from training.files import require_writable
from training.retraining.config import Nightly
from training.retraining.record import FAILED, INTERRUPTED, PUBLISHED, REFUSED, UNCHANGED, last_night
from training.terminal import quietly, stop_on_signal

# The gravest decides: a refusal is nobody's mistake, a failure somebody has to look at.
EXIT_CODES = {PUBLISHED: 0, UNCHANGED: 0, REFUSED: 3, INTERRUPTED: 1, FAILED: 1}

config_option = click.option(
    "--config",
    "path",
    type=UserPath(path_type=Path, dir_okay=False),
    default="nightly.toml",
    help="Which models, from what text, for how long.",
)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
@runs_option
@models_option
def retrain(names: tuple[str, ...], path: Path, runs: Path, models: Path) -> None:
    """Spend one night on the models of --config, or on those named: train on what is new, publish what is not worse.

    Exit code 0: published, or nothing was new; 3: the gate refused; 1: a night failed or was interrupted.
    """
    jobs = Nightly.read(path).chosen(names)
    for job in jobs:
        require_writable(runs / job.name, "--runs")
        require_writable(models / job.name, "--models")
    use_devices()
    with quietly():
        from training.retraining.retrain import retrain as spend_a_night

    codes = []
    with stop_on_signal() as should_stop:
        for job in jobs:
            night = spend_a_night(job, runs=runs, models=models, should_stop=should_stop)
            version = f" as version {night.version}" if night.version else ""
            click.echo(f"{job.name}: {night.decision}{version} after {night.seconds:,.0f} s. {night.reason}")
            codes.append(EXIT_CODES[night.decision])
            if should_stop():
                break
    sys.exit(1 if 1 in codes else max(codes))


@click.command()
@config_option
@runs_option
@models_option
@click.option("--metrics-port", type=click.IntRange(0, 65535), default=9101, help="For Prometheus; 0: none.")
def schedule(path: Path, runs: Path, models: Path, metrics_port: int) -> None:
    """Spend every night as `retrain` does, at the time that --config says; at once, if the last one was missed.

    SIGTERM ends it: a night under way is saved, and gone on with by the next.
    """
    from prometheus_client import REGISTRY, start_http_server

    from training.retraining.metrics import Nights
    from training.retraining.schedule import Schedule, is_due

    nightly = Nightly.read(path)
    names = [job.name for job in nightly.model]
    if metrics_port:
        REGISTRY.register(Nights(models, names))
        start_http_server(metrics_port)
    folders = ["--config", str(path), "--runs", str(runs), "--models", str(models)]
    every_night = Schedule([sys.executable, "-m", "training", "retrain", *folders], nightly.at, nightly.time_zone)
    last = [last_night(models, name) for name in names]
    at_once = is_due(last, nightly.at, nightly.time_zone, datetime.now(UTC))
    when = f"at {nightly.at:%H:%M} {nightly.time_zone}{', and now' if at_once else ''}"
    click.echo(f"Nights for {', '.join(names)} {when}.")
    every_night.run(at_once=at_once)
