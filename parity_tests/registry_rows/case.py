"""What a row of the registry is."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lrparity import lr_scheduler, schedules

Config = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A schedule class, how to draw arguments for it, and what it is compared with.

    Attributes:
        cls: the schedule class.
        scheduler: its torch class; None where ``ScheduleLR(optimizer, schedule)`` is.
        draw: arguments from a random generator.
        examples: fixed arguments; the first is the plainest.
        period: a number of steps around whose multiples things happen.
        keras: the name in ``keras.optimizers.schedules``, or None.
        per_group: whether the torch class can take each group's own rate.
        graph: whether numerics="graph" is known.
    """

    cls: type[schedules.LearningRateSchedule]
    scheduler: type[lr_scheduler.ScheduleLR] | None
    draw: Callable[[np.random.Generator], Config]
    examples: tuple[Config, ...]
    period: Callable[[Config], float]
    keras: str | None = None
    per_group: bool = True
    graph: bool = True

    @property
    def name(self) -> str:
        return self.cls.__name__

    def generator(self, seed: int) -> np.random.Generator:
        """Random numbers of this case alone, so that adding a case moves no other."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])

    def steps(self, config: Config, rng: np.random.Generator, n: int = 40) -> np.ndarray:
        """Random steps, each multiple of the period with its neighbours, the far and the negative."""
        period = self.period(config)
        edges = [int(period * i) + d for i in range(8) for d in (-1, 0, 1, 2)]
        far = [2**24 - 1, 2**24, 2**24 + 1, 2**24 + 3, 2**31 + 5, 10**12 + 1]
        random = rng.integers(0, max(int(5 * period), 8 * n) + 10, n + 10)
        return np.unique(np.concatenate([random, edges, far, [-1, -7]]))

    def build(self, config: Config) -> schedules.LearningRateSchedule:
        return self.cls(**config)

    def scheduler_on(
        self, optimizer: torch.optim.Optimizer, config: Config, **options: Any
    ) -> lr_scheduler.ScheduleLR:
        """The schedule as a scheduler: by its own torch class, or by the general one."""
        if self.scheduler is None:
            return lr_scheduler.ScheduleLR(optimizer, self.build(config), **options)
        return self.scheduler(optimizer, **config, **options)
