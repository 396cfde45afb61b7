"""`evaluate`: the loss of a published version on a text, its standard error, and its difference from another one."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.options import corpus_help, models_option, published, version_reference
from training.commands.selection import selection_of, selection_options
from training.learning.evaluate import BLOCK, COLD_WINDOW

if TYPE_CHECKING:
    from training.release.published import PublishedModel
    from training.release.score import Score


@click.command()
@click.argument("name", metavar="NAME[/VERSION]", callback=version_reference)
@click.option("--corpus", required=True, multiple=True, help=corpus_help)
@click.option("--encoding", default="utf-8", help="Encoding of the files.")
@selection_options
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["train", "validation", "test"]),
    help="Part of the corpus that the model was trained on; repeat the flag for several.  "
    "[default: validation, and test if it has one]",
)
@click.option(
    "--against",
    metavar="NAME[/VERSION]",
    callback=version_reference,
    help="Another published model: the difference of the two losses, paired by blocks.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    help="Of the products, as CHARLOOM_PRECISION sets it for the service; without --against, bfloat16 is compared with "
    "float32.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list with an object for each part.")
@models_option
def evaluate(
    name: str,
    corpus: tuple[str, ...],
    encoding: str,
    parts: tuple[str, ...],
    against: str | None,
    precision: str,
    as_json: bool,
    models: Path,
    **options: Any,
) -> None:
    """Measure the loss of a published model, by default its newest version, on a text.

    The state is carried through the whole text. The standard error is that of the losses of blocks of 1,000 characters.
    Beside it is the loss in cold windows of 256 characters, which nanoGPT reports.
    """
    # Before the next import, which would show TensorFlow's output.
    model = published(models, *name.split("/"), precision=precision)
    if precision != "float32" and not against:
        against = name
    other = published(models, *against.split("/")) if against else None
    from training.release.score import score

    objects = []
    for scored in score(model, corpus, encoding=encoding, parts=parts, selection=selection_of(options), against=other):
        if scored.warning:
            click.echo(f"Warning: {scored.warning}", err=True)
        if as_json:
            objects.append(_object(scored, model, other))
        else:
            click.echo(_block(scored, model, other))
    if as_json:
        click.echo(json.dumps(objects, indent=1))


def _block(scored: "Score", model: "PublishedModel", other: "PublishedModel | None") -> str:
    """The lines of one part."""
    loss, unit = scored.loss, model.manifest["unit"]
    symbols = "bytes" if unit == "byte" else "characters"
    lines = [
        f"{_shown(model)}, {scored.part}: {loss.nats_per_char:.4f} nats/{unit}, "
        f"{loss.bits_per_char:.4f} bits/{unit}, perplexity {loss.perplexity:.3f}, "
        f"{loss.characters:,} {symbols}, {scored.unknown:,} unknown"
    ]
    if math.isfinite(loss.standard_error):
        lines.append(
            f"  standard error {loss.standard_error:.4f} nats/{unit}, over {len(loss.blocks):,} blocks of {BLOCK:,} "
            f"{symbols}"
        )
    if scored.cold:
        windows = f"{len(scored.cold.blocks):,} cold windows of {COLD_WINDOW} {symbols}"
        lines.append(f"  {_with_error(scored.cold.nats_per_char, scored.cold.standard_error)} nats/{unit} in {windows}")
    if scored.against and other:
        mean, error = scored.difference
        paired = " (paired by blocks)" if math.isfinite(error) else ""
        lines.append(
            f"  {_with_error(abs(mean), error)} nats/{unit} {'less' if mean < 0 else 'more'} than "
            f"{_shown(other)}, which has {scored.against.nats_per_char:.4f}{paired}"
        )
    return "\n".join(lines)


def _shown(model: "PublishedModel") -> str:
    """The name and version, and the precision of the products if it is not float32."""
    version = f"{model.manifest['name']} {model.manifest['version']}"
    return version if model.precision == "float32" else f"{version} in {model.precision}"


def _with_error(value: float, error: float) -> str:
    return f"{value:.4f} ± {error:.4f}" if math.isfinite(error) else f"{value:.4f}"


def _object(scored: "Score", model: "PublishedModel", other: "PublishedModel | None") -> dict[str, Any]:
    """The numbers of one part for JSON."""
    loss, cold, against = scored.loss, scored.cold, scored.against
    fields: dict[str, Any] = {"model": model.manifest["name"], "version": model.manifest["version"]}
    fields |= {"precision": model.precision, "part": scored.part}
    fields |= loss.to_json() | {"perplexity": loss.perplexity, "unknown": scored.unknown}
    fields |= {"standard_error": _finite(loss.standard_error), "blocks": len(loss.blocks)}
    fields["cold_256"] = cold and {
        "nats_per_char": cold.nats_per_char,
        "standard_error": _finite(cold.standard_error),
        "windows": len(cold.blocks),
    }
    fields["against"] = (
        against
        and other
        and {
            "model": other.manifest["name"],
            "version": other.manifest["version"],
            "precision": other.precision,
            "nats_per_char": against.nats_per_char,
            "difference": scored.difference[0],
            "standard_error": _finite(scored.difference[1]),
        }
    )
    return fields


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
