"""What Keras does not ship, as one writes it for Keras: callbacks that assign ``optimizer.learning_rate``.

They are the other side of ``lrparity.callbacks.BatchLearningRateScheduler`` and ``LossDrivenLR``, and
nothing of lrparity is in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

At = Literal["begin", "end"]
Index = Literal["update", "batch"]
Source = Literal["batch", "running", "epoch", "metric", "dataset"]


class BatchSchedule(keras.callbacks.Callback):
    """Set the rate before or after each batch to ``fn(k)``, or to ``fn(k, lr)``.

    Args:
        fn: the function.
        at: ``"begin"``: update k uses ``fn(k)``; ``"end"``: update k + 1 does.
        index: ``"update"``: k counts all batches of the training, each of which is an update;
            ``"batch"``: k is what Keras calls the batch, which begins at 0 in each epoch.
        with_rate: whether the function wants the rate.
    """

    def __init__(
        self,
        fn: Callable[..., float],
        at: At = "begin",
        index: Index = "update",
        *,
        with_rate: bool = False,
    ) -> None:
        super().__init__()
        self.fn, self.at, self.index, self.with_rate = fn, at, index, with_rate
        self.updates = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.at == "begin":
            self.assign(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.at == "end":
            self.assign(batch)
        self.updates += 1

    def assign(self, batch: int) -> None:
        optimizer = self.model.optimizer
        k = self.updates if self.index == "update" else batch
        rate = (float(optimizer.learning_rate),) if self.with_rate else ()
        optimizer.learning_rate = self.fn(k, *rate)


class LossDriven(keras.callbacks.Callback):
    """Let the rate follow the loss: ``initial_learning_rate * function(scale * loss)``.

    Args:
        initial_learning_rate: the rate until there is a loss.
        source: which loss: that of the ``"batch"``, for which the model has to be a `KeepsLoss`;
            ``"running"``: what Keras calls ``logs["loss"]`` after a batch; ``"epoch"``: what it calls so
            after an epoch; ``"metric"``: ``logs[monitor]`` after an epoch; ``"dataset"``:
            ``evaluate(model)``.
        function, scale, min_lr, max_lr: the rule.
        monitor: for ``"metric"``.
        evaluate: for ``"dataset"``.
        every_n_updates: evaluate after so many; None: after each epoch.
        non_finite: what a loss or a rate does that is NaN or infinite: ``"keep"`` the rate, or go back
            to the ``"initial"`` one.

    Attributes:
        followed: each time that a rate was set, the updates that were done, and the loss.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        source: Source = "running",
        *,
        function: Callable[[float], float] = math.exp,
        scale: float = 1.0,
        min_lr: float = -math.inf,
        max_lr: float = math.inf,
        monitor: str = "val_loss",
        evaluate: Callable[[Any], float] | None = None,
        every_n_updates: int | None = None,
        non_finite: Literal["keep", "initial"] = "keep",
    ) -> None:
        super().__init__()
        self.initial_learning_rate, self.source = initial_learning_rate, source
        self.function, self.scale = function, scale
        self.min_lr, self.max_lr = min_lr, max_lr
        self.monitor, self.evaluate, self.every = monitor, evaluate, every_n_updates
        self.non_finite = non_finite
        self.updates = 0
        self.followed: list[tuple[int, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.initial_learning_rate

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.updates += 1
        if self.source == "running":
            self.follow(logs["loss"])
        elif self.source == "batch":
            self.follow(float(self.model.batch_loss))
        elif self.source == "dataset" and self.every and self.updates % self.every == 0:
            self.follow(self.evaluate(self.model))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.source == "epoch":
            self.follow(logs["loss"])
        elif self.source == "metric":
            self.follow(logs[self.monitor])
        elif self.source == "dataset" and self.every is None:
            self.follow(self.evaluate(self.model))

    def follow(self, loss: float) -> None:
        self.followed.append((self.updates, loss))
        try:
            factor = self.function(self.scale * loss)
        except OverflowError:  # math.exp(1000)
            factor = math.inf
        rate = min(max(self.initial_learning_rate * factor, self.min_lr), self.max_lr)
        with np.errstate(over="ignore"):
            sound = math.isfinite(loss) and math.isfinite(np.float32(rate))
        if sound:
            self.model.optimizer.learning_rate = rate
        elif self.non_finite == "initial":
            self.model.optimizer.learning_rate = self.initial_learning_rate


class KeepsLoss(keras.Model):
    """A model that knows the loss of the batch just seen, which Keras 3 tells nobody.

    ``logs["loss"]`` is the mean over the epoch so far; to take it apart again would cost its last bits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_loss = keras.Variable(0.0, trainable=False, name="batch_loss")

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.batch_loss.assign(loss)
        return loss


def mean_loss(
    loss_of: Callable[[Any, Any], Any], inputs: np.ndarray, labels: np.ndarray, batch_size: int
) -> Callable[[Any], float]:
    """A function that evaluates a model over a fixed data set, in the middle of an epoch too.

    ``model.evaluate`` would reset the running means of the training.

    Args:
        loss_of: the loss of each sample, of the labels and the predictions.
        inputs, labels: the data set.
        batch_size: how many rows at a time.
    """

    def evaluate(model: Any) -> float:
        mean = keras.metrics.Mean()
        for begin in range(0, len(inputs), batch_size):
            rows = slice(begin, begin + batch_size)
            losses = loss_of(labels[rows], model(inputs[rows], training=False))
            mean.update_state(keras.ops.mean(losses), sample_weight=len(labels[rows]))
        return float(mean.result())

    return evaluate
