"""How good the lines of a model are: how many are new, how many are plausible, and its loss beside n-gram models'.

    python -m bench.names NAME[/VERSION] --corpus FILE [--lines 1000] [--temperature 1] [--seed 1]

For a published model of a list, such as names, one a line. A line is new if the training part does not contain it, and
plausible if each of its groups of three characters does occur there, the ends of the line included. The same share of
the held-out lines is a measure of how strict that is. Losses are those of the held-out part, in nats per character.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.prepare import prepare
from training.learning.evaluate import evaluate
from training.release.published import PublishedModel
from training.release.store import version_folder
from training.report.ngrams import baselines

GROUP = 3
MAX_LINE_CHARS = 200  # on average, after which sampling ends


def groups(line: str) -> set[str]:
    """The groups of `GROUP` characters of a line and its ends."""
    text = f"\n{line}\n"
    return {text[at : at + GROUP] for at in range(len(text) - GROUP + 1)}


def shares(lines: list[str], training: list[str], held_out: list[str]) -> dict[str, float]:
    """The shares of `lines` that are new, plausible, both, and in the held-out part.

    Also the share of held-out lines that are plausible.
    """
    known, real = set(training), set(held_out)
    known_groups = set[str]().union(*map(groups, known))

    def share(chosen: list[bool]) -> float:
        return sum(chosen) / max(1, len(chosen))

    def is_plausible(line: str) -> bool:
        return groups(line) <= known_groups

    return {
        "new": share([line not in known for line in lines]),
        "plausible": share([is_plausible(line) for line in lines]),
        "new and plausible": share([line not in known and is_plausible(line) for line in lines]),
        "in the held-out part": share([line in real for line in lines]),
        "different from each other": len(set(lines)) / max(1, len(lines)),
        "plausible among the held-out lines": share([is_plausible(line) for line in held_out]),
    }


def generated(model: PublishedModel, count: int, *, temperature: float, seed: int) -> Iterator[str]:
    """`count` complete lines that are not empty, or fewer if the model hardly ever ends a line."""
    rest = ""
    for text in model.generate("\n", length=count * MAX_LINE_CHARS, temperature=temperature, seed=seed):
        *complete, rest = (rest + text).split("\n")
        for line in filter(None, complete):
            yield line
            count -= 1
            if not count:
                return


def measure(model: PublishedModel, paths: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The shares and losses of a model on its own text."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig.from_json(model.manifest["config"])
        corpus = prepare(paths, config, Path(folder), vocabulary=model.vocabulary)
        if corpus.fingerprints != [file["sha256"] for file in model.manifest["corpus"]["files"]]:
            raise SystemExit(f"{', '.join(paths)} is not the text that the model was trained on.")
        held_out = corpus.test if len(corpus.test) else corpus.validation
        training, other = (
            [line for line in model.vocabulary.decode(ids).split("\n") if line]
            for ids in (corpus.training, corpus.ids[corpus.split.validation[0] :])
        )
        lines = list(generated(model, arguments.lines, temperature=arguments.temperature, seed=arguments.seed))
        losses = {"network": evaluate(model.read, model.initial_state, held_out).nats_per_char}
        grams = baselines(corpus.training, held_out, len(model.vocabulary))
        losses |= {f"{order}-gram": nats for order, nats in grams.items()}
        return {"lines": len(lines), "shares": shares(lines, training, other), "nats_per_char": losses}


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", metavar="NAME[/VERSION]")
    parser.add_argument("--corpus", action="append", required=True)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, default=Path("bench/results/names.json"))
    arguments = parser.parse_args()
    model = PublishedModel(version_folder(arguments.models, *arguments.model.split("/")))
    found = measure(model, arguments.corpus, arguments)
    print(f"{found['lines']:,} lines at temperature {arguments.temperature:g}, seed {arguments.seed}")
    for name, share in found["shares"].items():
        print(f"  {share:6.1%}  {name}")
    print("nats per character on the held-out part")
    for name, nats in found["nats_per_char"].items():
        print(f"  {nats:.4f}  {name}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
