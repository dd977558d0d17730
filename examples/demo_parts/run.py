"""What a training leaves behind, whichever framework did it."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    applied: Trajectory
    weights: list[Weights]
    reported: Trajectory | None = None

    @property
    def validation_accuracy(self) -> float:
        """After the last epoch."""
        return float(self.applied.metrics["val_accuracy"][-1])


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
