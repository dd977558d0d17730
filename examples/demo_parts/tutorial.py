"""What the two tutorial examples need before they begin: options, data, and quiet frameworks."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from demo_parts import data


def begin(description: str) -> tuple[data.Array, data.Array, int]:
    """The inputs and labels in the order of the file, and for how many epochs to train."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Exit status: 0 if no bit of the learning rates differs; 1 if one does; 2 if "
        "something is wrong with the options or the data.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a CSV file of the UCI ionosphere data, which the tutorial trains on; without it, "
        "scikit-learn's bundled breast-cancer data",
    )
    parser.add_argument(
        "--epochs", type=int, default=50, help="how long to train (%(default)s, as in the tutorial)"
    )
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1; found {options.epochs}")
    try:
        table = data.breast_cancer() if options.data is None else data.ionosphere(options.data)
    except data.DataError as error:
        parser.error(str(error))

    from demo_parts import keras_side, lightning_side

    keras_side.prepare()
    lightning_side.silence()
    rows, columns = table.features.shape
    print(f"{table.name} data, {rows} rows of {columns} numbers, {options.epochs} epochs\n")
    return *scaled(table), options.epochs


def scaled(table: data.Table) -> tuple[data.Array, data.Array]:
    """The columns within -1 to 1, which ionosphere's are from the start, and the labels."""
    largest = np.abs(table.features).max(axis=0)
    largest[largest == 0] = 1.0
    return (table.features / largest).astype(np.float32), table.labels.astype(np.float32)[:, None]
