"""One network, trained by Keras' model.fit and by Lightning's Trainer.fit with lrparity.

Usage: make demo, or python examples/demo.py --help.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

NEEDED = {
    "lrparity": "lrparity",
    "numpy": "numpy",
    "torch": "torch",
    "lightning": "lightning",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf_keras": "tf_keras",
    "sklearn": "scikit-learn",
    "matplotlib": "matplotlib",
}
RECIPE_NAMES = (
    "time-based",
    "drop-based",
    "exponential",
    "cosine",
    "restarts",
    "plateau",
    "loss-driven",
)
DEFAULT_SEED = 0
DEFAULT_EPOCHS = 50


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {line} (--help lists the options)\n")


def arguments(argv: list[str] | None) -> tuple[Parser, argparse.Namespace]:
    parser = Parser(
        prog="demo.py",
        description="Train one network on real data by Keras' model.fit, by Lightning's Trainer.fit "
        "and by a plain torch loop with lrparity, from the same weights, on the same batches, under "
        "the same learning-rate recipes; then count the learning-rate bits that differ and measure "
        "how far the weights are apart.  Takes about a minute.",
        epilog="Exit status: 0 if no bit differs (where the rate follows the loss: none that the losses "
        "do not explain) and, for the default data and seed, all weights are within 1e-5; 1 if not; 2 if "
        "something is missing or wrong with the options or the data.  "
        'With make, pass options like this: make demo DEMO="--epochs 10 --recipes cosine restarts".',
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="train on this CSV file of the UCI ionosphere data (34 numbers and g or b per row) "
        "instead of scikit-learn's bundled breast-cancer data",
    )
    where.add_argument(
        "--download",
        action="store_true",
        help="fetch the ionosphere data from the UCI archive, check it, keep it in DIR, train on it",
    )
    parser.add_argument(
        "--recipes",
        nargs="+",
        metavar="NAME",
        default=list(RECIPE_NAMES),
        help=f"only these of: {', '.join(RECIPE_NAMES)}",
    )
    parser.add_argument(
        "--epochs", type=positive, default=DEFAULT_EPOCHS, help="epochs per training (%(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=natural,
        default=DEFAULT_SEED,
        help="of the split and the initial weights (%(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="train from N seeds, SEED and those after it; the further ones add a table of weight "
        "distances, which are reported and not judged",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-report"),
        metavar="DIR",
        help="where report.json, demo.png and the trajectories go (%(default)s)",
    )
    options = parser.parse_args(argv)
    unknown = [name for name in options.recipes if name not in RECIPE_NAMES]
    if unknown:
        parser.error(f"no recipe {unknown[0]!r}; there are {', '.join(RECIPE_NAMES)}")
    return parser, options


def positive(text: str) -> int:
    number = natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1; found 0")
    return number


def natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to 999999999; found {text!r}"
        )
    return int(text)


def main(argv: list[str] | None = None) -> int:
    started = time.monotonic()
    parser, options = arguments(argv)
    missing = [package for module, package in NEEDED.items() if not _installed(module)]
    if missing:
        parser.error(
            f"not installed: {', '.join(missing)}. `make demo` installs everything by itself; else: "
            "pip install -e '.[lightning,keras,plot]' scikit-learn"
        )

    from demo_parts.data import DataError

    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if not os.access(options.out, os.W_OK):
            parser.error(f"{options.out} is not writable")
        table = _table(options)
    except (DataError, OSError) as error:
        parser.error(str(error))
    print("loading TensorFlow, Keras, torch and Lightning ...", flush=True)
    try:
        from demo_parts import keras_side

        keras_side.prepare()
    except ImportError as error:
        parser.error(str(error))
    return run(options, table, started)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _table(options: argparse.Namespace) -> Any:
    from demo_parts import data

    if options.download:
        path = options.out / "ionosphere.csv"
        data.download_ionosphere(path)
        return data.ionosphere(path)
    return data.breast_cancer() if options.data is None else data.ionosphere(options.data)


def run(options: argparse.Namespace, table: Any, started: float) -> int:
    import torch

    from demo_parts import comparison, data, lightning_side, picture, report
    from demo_parts.progress import Progress, counted
    from demo_parts.recipes import RECIPES

    torch.set_num_threads(1)
    lightning_side.silence()

    chosen = [recipe for recipe in RECIPES if recipe.name in options.recipes]
    seeds = range(options.seed, options.seed + options.seeds)
    # Some networks amplify the last bit of a sum, so that other seeds and data are not judged.
    standard = table.name == "breast cancer" and options.epochs <= DEFAULT_EPOCHS
    gate_weights = standard and options.seed == DEFAULT_SEED

    splits = {seed: data.split(table, seed) for seed in seeds}
    first = splits[options.seed]
    print(report.versions())
    print(
        f"{table.name} data ({table.source}): {len(first.inputs)} rows to train on, "
        f"{len(first.validation_inputs)} to validate, {first.columns} columns\n"
        f"network: {first.columns} relu units, 1 sigmoid unit; batches of {data.BATCH_SIZE}; "
        f"{counted(options.epochs, 'epoch')}; seed {options.seed}\n"
    )
    trainings = [
        (kind(options.epochs, options.epochs * split.updates_per_epoch), split)
        for split in splits.values()
        for kind in chosen
    ]
    titles = [
        recipe.title + (f", seed {split.seed}" if len(seeds) > 1 else "")
        for recipe, split in trainings
    ]
    progress = Progress(titles, options.epochs)
    outcomes = [train(recipe, split, progress) for recipe, split in trainings]
    of_first_seed = [one for one in outcomes if one.seed == options.seed]

    print(f"\n{report.table(of_first_seed)}\n\n{report.footnotes(of_first_seed)}\n")
    if len(seeds) > 1:
        print(f"{report.seeds_table(outcomes)}\n")

    failed = comparison.failures(of_first_seed, gate_weights=gate_weights)
    further = [one for one in outcomes if one.seed != options.seed]
    failed += comparison.failures(further, gate_weights=False)
    picture.save(options.out / "demo.png", of_first_seed, first, gate_weights=gate_weights)
    report.save(options.out, outcomes, first, failed, gate_weights=gate_weights)

    print(report.verdict(outcomes, of_first_seed, failed, gate_weights=gate_weights))
    seconds = time.monotonic() - started
    print(
        f"demo.png, report.json and the trajectories are in {options.out}; {seconds:.0f} s in all"
    )
    return comparison.exit_status(failed)


def train(recipe: Any, split: Any, progress: Any) -> Any:
    """Train one network in four ways, from the same weights and on the same batches."""
    from demo_parts import data, keras_side, lightning_side, torch_side
    from demo_parts.comparison import Outcome

    weights = data.initial_weights(split.columns, split.seed)
    about = {"recipe": recipe.name, "data": split.table.name, "seed": split.seed}

    progress.begin_recipe()
    progress.begin("Keras model.fit")
    keras = keras_side.train(recipe, split, weights, about, progress)
    progress.end()
    progress.begin("Lightning Trainer.fit, twice")
    lightning = lightning_side.train(recipe, split, weights, about, progress)
    progress.end()
    progress.begin("torch loop with lrparity")
    torch_loop = torch_side.train_with_lrparity(recipe, split, weights, about, progress)
    progress.end()
    progress.begin("torch loop, torch.optim.SGD")
    rates = torch_loop.applied.learning_rate.tolist()
    torch_sgd = torch_side.train_with_torch_sgd(recipe, split, weights, rates, about, progress)
    progress.end()
    return Outcome(recipe, split.seed, keras, lightning, torch_loop, torch_sgd)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
