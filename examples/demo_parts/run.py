"""What a training leaves behind, whichever framework did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lrparity.trajectory import Trajectory

Weights = list[NDArray[np.float32]]
"""Kernel and bias of the hidden layer, then of the output unit, kernels as (inputs, units)."""


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        applied: the learning rates that the updates multiplied by, with the losses and accuracies.
        weights: the weights after each epoch.
        reported: the learning rates that the framework shows; None where nobody asked for them.
        losses: after each update the mean loss of the epoch so far, which a rate may follow.
        losses_reported: the same of the training whose rates are ``reported``, if that is another one.
    """

    applied: Trajectory
    weights: list[Weights]
    reported: Trajectory | None = None
    losses: list[float] = field(default_factory=list)
    losses_reported: list[float] = field(default_factory=list)

    @property
    def validation_accuracy(self) -> float:
        """After the last epoch."""
        return float(self.applied.metrics["val_accuracy"][-1])


def running_means(losses: Sequence[tuple[float, int]], batches: int) -> list[float]:
    """After each batch the mean loss of its epoch so far, in the float32 of Keras' metric.

    Args:
        losses: of each batch, and how many rows it has.
        batches: of an epoch.

    >>> running_means([(2.0, 3), (5.0, 1), (1.0, 3), (3.0, 1)], batches=2)
    [2.0, 2.75, 1.0, 1.5]
    """
    means = []
    for at, (loss, rows) in enumerate(losses):
        if at % batches == 0:
            total = count = np.float32(0)
        total += np.float32(loss) * np.float32(rows)
        count += np.float32(rows)
        means.append(float(total / count))
    return means


def distances(reference: Run, other: Run) -> NDArray[np.float64]:
    """After each epoch, the largest difference of a weight relative to the largest weight."""
    return np.array(
        [distance(one, two) for one, two in zip(reference.weights, other.weights, strict=True)]
    )


def distance(reference: Weights, other: Weights) -> float:
    """The largest difference of a weight relative to the largest weight: max|dw| / max|w|."""
    largest = max(float(np.abs(weight).max()) for weight in reference)
    pairs = zip(reference, other, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs) / largest
