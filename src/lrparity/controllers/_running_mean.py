"""``RunningMean``: the loss of an epoch so far, as Keras' callbacks see it."""

from __future__ import annotations

import numpy as np


class RunningMean:
    """The mean of values weighted by size, with the bits of Keras' ``Mean`` metric.

    It is what Keras' callbacks find in ``logs["loss"]``: the mean over the epoch so far.  For each batch::

        total = float32(total + float32(value * size));  count = float32(count + size)

    and the mean is ``float32(total / count)``.  Begin a new one with each epoch.

    Source: keras/src/metrics/reduction_metrics.py, 3.15.1.

    >>> mean = RunningMean()
    >>> for loss, size in ((2.0, 3), (5.0, 3), (10.0, 1)):
    ...     mean.add(loss, size)
    >>> mean.result()
    4.4285712242126465
    """

    def __init__(self) -> None:
        self.total, self.count = np.float32(0.0), np.float32(0.0)

    def add(self, value: float, size: float) -> None:
        """Take in a batch.

        Args:
            value: the mean over its samples, such as its loss.
            size: how many samples it has.
        """
        with np.errstate(all="ignore"):
            self.total = self.total + np.float32(value) * np.float32(size)
            self.count = self.count + np.float32(size)

    def result(self) -> float | None:
        """The mean so far, a Python float with a float32 value; None before the first batch."""
        if not self.count:
            return None
        with np.errstate(all="ignore"):
            return float(self.total / self.count)

    def state(self) -> list[float]:
        """Total and count, for a checkpoint."""
        return [float(self.total), float(self.count)]

    def load(self, state: list[float]) -> None:
        """Go on from :meth:`state`."""
        self.total, self.count = np.float32(state[0]), np.float32(state[1])
