"""Seven learning-rate recipes, as one writes them for Keras, for Lightning and for a torch loop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch.optim.lr_scheduler import LRScheduler

from lrparity import callbacks
from lrparity.lr_scheduler import (
    CosineDecayLR,
    CosineDecayRestartsLR,
    ExponentialDecayLR,
    LossDrivenLR,
    ReduceLROnPlateau,
    StepDecayLR,
)
from lrparity.optim import SGD
from lrparity.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    Numerics,
    StepDecay,
    TimeBasedDecay,
)

Parameters = Iterable[torch.nn.Parameter]


class Recipe:
    """A learning-rate recipe for a training of so many epochs and updates.

    Which ``numerics``?  ``"eager"`` gives the rates that Keras reports, ``"graph"`` those that a
    compiled ``model.fit`` applies.  A rate that a callback assigns is the same in both.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    momentum: ClassVar[float] = 0.9
    scheduler_steps_per: ClassVar[Literal["update", "epoch"]] = "update"
    """After what the torch loop calls ``scheduler.step()``."""
    scheduler_goes_by: ClassVar[str | None] = None
    """The metric that it calls it with."""
    follows_loss: ClassVar[float | None] = None
    """Where the rate is a function of the loss, its last bits included: what the loss is scaled by."""

    def __init__(self, epochs: int, updates: int) -> None:
        self.epochs = epochs
        self.updates = updates

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """The Keras that has it (``keras`` or ``tf_keras``), the optimizer, and callbacks."""
        raise NotImplementedError

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """The arguments of ``lrparity.optim.SGD``, and the callback for the Trainer."""
        raise NotImplementedError

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The optimizer, and the scheduler if the recipe needs one."""
        raise NotImplementedError


class TimeBased(Recipe):
    """``decay=`` of Keras' old optimizers: the rate falls with every update, not every epoch."""

    name = "time-based"
    title = "time-based decay"
    momentum = 0.8

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """An argument of the old optimizers; Keras 3 ignores it."""
        import tf_keras

        optimizer = tf_keras.optimizers.legacy.SGD(
            learning_rate=0.1, momentum=0.8, decay=0.1 / self.epochs
        )
        return tf_keras, optimizer, []

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """A schedule of the update; ``SGD(decay=...)`` does it as well, without a callback."""
        schedule = TimeBasedDecay(0.1, decay=0.1 / self.epochs)
        return {"lr": 0.1, "momentum": 0.8}, callbacks.ScheduleLR(schedule, numerics=numerics)

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The same argument as in Keras; no scheduler is needed."""
        return SGD(parameters, lr=0.1, momentum=0.8, decay=0.1 / self.epochs), None


class DropBased(Recipe):
    """A callback that halves the rate every ten epochs."""

    name = "drop-based"
    title = "drop-based decay"
    scheduler_steps_per = "epoch"

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """A function of the epoch, in a callback."""
        import keras

        def halve_every_ten_epochs(epoch: int) -> float:
            return 0.1 * 0.5 ** math.floor((1 + epoch) / 10)

        callback = keras.callbacks.LearningRateScheduler(halve_every_ten_epochs)
        return keras, keras.optimizers.SGD(0.1, momentum=0.9), [callback]

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """A schedule that knows that it counts epochs."""
        schedule = StepDecay(0.1, drop=0.5, epochs_drop=10)
        return {"lr": 0.1, "momentum": 0.9}, callbacks.ScheduleLR(schedule, numerics=numerics)

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """A scheduler that steps once per epoch."""
        optimizer = SGD(parameters, lr=0.1, momentum=0.9)
        return optimizer, StepDecayLR(optimizer, drop=0.5, epochs_drop=10, numerics=numerics)


class Exponential(Recipe):
    """A staircase down by a tenth every 41 updates: 41 is where Keras drops one update late."""

    name = "exponential"
    title = "exponential decay"

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """A schedule in place of the rate."""
        import keras

        schedule = keras.optimizers.schedules.ExponentialDecay(
            0.05, decay_steps=41, decay_rate=0.9, staircase=True
        )
        return keras, keras.optimizers.SGD(schedule, momentum=0.9), []

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """The same arguments as in Keras."""
        schedule = ExponentialDecay(0.05, decay_steps=41, decay_rate=0.9, staircase=True)
        return {"lr": 0.05, "momentum": 0.9}, callbacks.ScheduleLR(schedule, numerics=numerics)

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The same arguments; the initial rate is the optimizer's own."""
        optimizer = SGD(parameters, lr=0.05, momentum=0.9)
        scheduler = ExponentialDecayLR(
            optimizer, decay_steps=41, decay_rate=0.9, staircase=True, numerics=numerics
        )
        return optimizer, scheduler


class Cosine(Recipe):
    """Half a cosine after a linear warm-up over the first tenth of the updates."""

    name = "cosine"
    title = "cosine with warm-up"

    def __init__(self, epochs: int, updates: int) -> None:
        super().__init__(epochs, updates)
        self.warmup_steps = max(1, updates // 10)
        self.decay_steps = max(1, updates - self.warmup_steps)

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """From 0 to 0.1, then down to a hundredth of that."""
        import keras

        schedule = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=self.decay_steps,
            alpha=0.01,
            warmup_target=0.1,
            warmup_steps=self.warmup_steps,
        )
        return keras, keras.optimizers.SGD(schedule, momentum=0.9), []

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """The same arguments as in Keras."""
        schedule = CosineDecay(
            0.0,
            decay_steps=self.decay_steps,
            alpha=0.01,
            warmup_target=0.1,
            warmup_steps=self.warmup_steps,
        )
        return {"lr": 0.0, "momentum": 0.9}, callbacks.ScheduleLR(schedule, numerics=numerics)

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The same arguments as in Keras; the warm-up starts at the optimizer's own rate."""
        optimizer = SGD(parameters, lr=0.0, momentum=0.9)
        scheduler = CosineDecayLR(
            optimizer,
            decay_steps=self.decay_steps,
            alpha=0.01,
            warmup_target=0.1,
            warmup_steps=self.warmup_steps,
            numerics=numerics,
        )
        return optimizer, scheduler


class Restarts(Recipe):
    """Three cosines, each twice as long and 0.8 times as high as the one before."""

    name = "restarts"
    title = "cosine restarts"

    def __init__(self, epochs: int, updates: int) -> None:
        super().__init__(epochs, updates)
        self.first_decay_steps = math.ceil(updates / 7)

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """Restarts after 1/7 and 3/7 of the updates."""
        import keras

        schedule = keras.optimizers.schedules.CosineDecayRestarts(
            0.05, first_decay_steps=self.first_decay_steps, t_mul=2.0, m_mul=0.8, alpha=0.01
        )
        return keras, keras.optimizers.SGD(schedule, momentum=0.9), []

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """The same arguments as in Keras."""
        schedule = CosineDecayRestarts(
            0.05, first_decay_steps=self.first_decay_steps, t_mul=2.0, m_mul=0.8, alpha=0.01
        )
        return {"lr": 0.05, "momentum": 0.9}, callbacks.ScheduleLR(schedule, numerics=numerics)

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The same arguments as in Keras."""
        optimizer = SGD(parameters, lr=0.05, momentum=0.9)
        scheduler = CosineDecayRestartsLR(
            optimizer,
            first_decay_steps=self.first_decay_steps,
            t_mul=2.0,
            m_mul=0.8,
            alpha=0.01,
            numerics=numerics,
        )
        return optimizer, scheduler


class Plateau(Recipe):
    """Halve the rate when the validation loss has not improved for three epochs."""

    name = "plateau"
    title = "plateau"
    scheduler_steps_per = "epoch"
    scheduler_goes_by = "val_loss"
    min_delta: ClassVar[float] = 1e-3

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """A callback."""
        import keras

        callback = keras.callbacks.ReduceLROnPlateau(
            monitor="val_loss",
            factor=0.5,
            patience=3,
            min_delta=self.min_delta,
            cooldown=1,
            min_lr=0.001,
        )
        return keras, keras.optimizers.SGD(0.1, momentum=0.9), [callback]

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """The same arguments as in Keras."""
        callback = callbacks.ReduceLROnPlateau(
            monitor="val_loss",
            factor=0.5,
            patience=3,
            min_delta=self.min_delta,
            cooldown=1,
            min_lr=0.001,
        )
        return {"lr": 0.1, "momentum": 0.9}, callback

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The loop calls ``scheduler.step(val_loss)``, so that there is nothing to monitor."""
        optimizer = SGD(parameters, lr=0.1, momentum=0.9)
        scheduler = ReduceLROnPlateau(
            optimizer, factor=0.5, patience=3, min_delta=self.min_delta, cooldown=1, min_lr=0.001
        )
        return optimizer, scheduler


class LossDriven(Recipe):
    """``0.05 * exp(loss)`` after each batch, by the mean loss of the epoch so far."""

    name = "loss-driven"
    title = "loss-driven"
    scheduler_goes_by = "loss"
    follows_loss = 1.0

    def in_keras(self) -> tuple[Any, Any, list[Any]]:
        """A callback of one's own; ``logs["loss"]`` is the mean of the epoch so far."""
        import keras

        optimizer = keras.optimizers.SGD(0.05, momentum=0.9)

        def follow(batch: int, logs: Any) -> None:
            optimizer.learning_rate = 0.05 * math.exp(logs["loss"])

        return keras, optimizer, [keras.callbacks.LambdaCallback(on_train_batch_end=follow)]

    def in_lightning(self, numerics: Numerics) -> tuple[dict[str, Any], Any]:
        """The mean is taken in float32, as Keras does."""
        return {"lr": 0.05, "momentum": 0.9}, callbacks.LossDrivenLR(0.05, source="running")

    def in_torch(
        self, parameters: Parameters, numerics: Numerics
    ) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The loop calls ``scheduler.step(loss)`` with its own mean."""
        optimizer = SGD(parameters, lr=0.05, momentum=0.9)
        return optimizer, LossDrivenLR(optimizer)


RECIPES: tuple[type[Recipe], ...] = (
    TimeBased,
    DropBased,
    Exponential,
    Cosine,
    Restarts,
    Plateau,
    LossDriven,
)
