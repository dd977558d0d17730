"""What the side-by-side examples need before they begin, and the table at their end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from demo_parts import data
from demo_parts.run import Weights, distance
from lrparity.trajectory import Trajectory, compare


def begin(
    description: str, options: Mapping[str, Mapping[str, Any]] | None = None, *, epochs: int = 50
) -> tuple[Any, ...]:
    """The inputs and labels in the order of the file, and for how many epochs to train.

    Args:
        description: of the example.
        options: further options, by their names, and what argparse wants to know of each; their values
            are returned as well.
        epochs: the default.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog="Exit status: 0 if Keras and Lightning agree; 1 if not; 2 if something is wrong with "
        "the options or the data.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a CSV file of the UCI ionosphere data, which the tutorial trains on; without it, "
        "scikit-learn's bundled breast-cancer data",
    )
    parser.add_argument(
        "--epochs", type=int, default=epochs, help="how long to train (%(default)s)"
    )
    further = [parser.add_argument(name, **about).dest for name, about in (options or {}).items()]
    chosen = parser.parse_args()
    if chosen.epochs < 1:
        parser.error(f"--epochs must be at least 1; found {chosen.epochs}")
    try:
        table = data.breast_cancer() if chosen.data is None else data.ionosphere(chosen.data)
    except data.DataError as error:
        parser.error(str(error))

    from demo_parts import keras_side, lightning_side

    keras_side.prepare()
    lightning_side.silence()
    torch.set_num_threads(1)  # so small a network only waits for a second one
    rows, columns = table.features.shape
    print(f"{table.name} data, {rows} rows of {columns} numbers, {chosen.epochs} epochs\n")
    return *scaled(table), chosen.epochs, *(getattr(chosen, name) for name in further)


def scaled(table: data.Table) -> tuple[data.Array, data.Array]:
    """The columns within -1 to 1, which ionosphere's are from the start, and the labels."""
    largest = np.abs(table.features).max(axis=0)
    largest[largest == 0] = 1.0
    return (table.features / largest).astype(np.float32), table.labels.astype(np.float32)[:, None]


def loaders(
    inputs: data.Array, labels: data.Array, batch_size: int, validation_split: float
) -> tuple[DataLoader, DataLoader]:
    """The batches to train on and those to validate on, cut where Keras cuts."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels)
    cut = int(len(x) * (1 - validation_split))
    training, validation = TensorDataset(x[:cut], y[:cut]), TensorDataset(x[cut:], y[cut:])
    return DataLoader(training, batch_size), DataLoader(validation, batch_size)


def changes(run: Trajectory) -> list[int]:
    """After which epochs, counted from 1, the next one begins at another rate."""
    epochs = len(run.metrics["loss"])
    firsts = run.learning_rate[:: len(run) // epochs]
    return [epoch for epoch in range(1, epochs) if firsts[epoch] != firsts[epoch - 1]]


def report(keras: Trajectory, ours: Trajectory, keras_weights: Weights, weights: Weights) -> int:
    """Print both trainings side by side; the exit status: 0 if no bit of a rate differs."""
    epochs = len(keras.metrics["loss"])
    print("       learning rate, first batch        loss         validation accuracy")
    print("epoch        Keras    Lightning     Keras  Lightning     Keras  Lightning")
    for epoch in sorted({0, *range(4, epochs, 5), epochs - 1}):
        update = epoch * len(keras) // epochs
        print(
            f"{epoch + 1:5}",
            *(f"{run.learning_rate[update]!s:>12}" for run in (keras, ours)),
            *(
                f"{run.metrics[name][epoch]:{width}.4f}"
                for name in ("loss", "val_accuracy")
                for run, width in ((keras, 9), (ours, 10))
            ),
        )
    found = compare(keras, ours)
    print(f"\n{found}")
    print(f"final weights: max|dw| / max|w| = {distance(keras_weights, weights):.1e}")
    return 0 if found.identical else 1
