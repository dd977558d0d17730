"""The shipped parts that are no schedules, as an expression names them.

They hold what the runner hands to the real ones: controllers, torch schedulers and ``optim.SGD``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ReduceLROnPlateau:
    """The plateau, with Keras' arguments and defaults."""

    monitor: str = "val_loss"
    factor: float = 0.1
    patience: int = 10
    mode: str = "auto"
    min_delta: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0


@dataclass(frozen=True)
class LearningRateScheduler:
    """A schedule of the epoch, or a function of the epoch and the rate, before each epoch."""

    fn: Callable[..., float]


@dataclass(frozen=True)
class BatchLearningRateScheduler:
    """A function of the update and the rate, before each update, or after it (``at="end"``)."""

    fn: Callable[..., float]
    at: str = "begin"


@dataclass(frozen=True)
class ScheduleLR:
    """``ScheduleLR``: one schedule for all groups, or a list of one for each.

    ``lr_scales`` are the groups' ``lr_scale`` entries; ``optimizers`` is how many follow the same.
    """

    schedule: Any
    lr_scales: Sequence[float] = ()
    optimizers: int = 1

    @property
    def schedules(self) -> list[Any]:
        """The schedule of each group."""
        if isinstance(self.schedule, list):
            return self.schedule
        return [self.schedule] * max(len(self.lr_scales), 1)


@dataclass(frozen=True)
class ScheduleHyperparameter:
    """A schedule of another entry of the param groups, such as the momentum."""

    name: str
    schedule: Any
    index: int | None = None


@dataclass(frozen=True)
class SGD:
    """``optim.SGD`` with Keras' old ``decay=``, which acts on top of the rate that others set."""

    lr: float
    decay: float = 0.0
    keras_version: str = "2.3.1"


PARTS: dict[str, Callable[..., Any]] = {
    part.__name__: part
    for part in (
        ReduceLROnPlateau,
        LearningRateScheduler,
        BatchLearningRateScheduler,
        ScheduleLR,
        ScheduleHyperparameter,
        SGD,
    )
}
