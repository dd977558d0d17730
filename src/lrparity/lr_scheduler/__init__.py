"""Keras' schedules and rules as torch ``LRScheduler`` classes, for loops, Fabric, Accelerate, Lightning.

>>> import torch
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
>>> scheduler = ExponentialDecayLR(optimizer, decay_steps=100, decay_rate=0.5)
>>> for _ in range(100):
...     optimizer.step()
...     scheduler.step()
>>> scheduler.get_last_lr()
[0.05000000074505806]
"""

from lrparity.controllers import OnConfigChange
from lrparity.lr_scheduler._controlled import (
    EpochFunctionLR,
    LossDrivenLR,
    OnSchedule,
    ReduceLROnPlateau,
)
from lrparity.lr_scheduler._hyperparameter import ScheduleHyperparameter
from lrparity.lr_scheduler._named import (
    CosineDecayLR,
    CosineDecayRestartsLR,
    ExponentialDecayLR,
    InverseTimeDecayLR,
    PiecewiseConstantDecayLR,
    PolynomialDecayLR,
    StepDecayLR,
    TimeBasedDecayLR,
)
from lrparity.lr_scheduler._schedule_lr import Count, ScheduleLR

__all__ = [
    "CosineDecayLR",
    "CosineDecayRestartsLR",
    "Count",
    "EpochFunctionLR",
    "ExponentialDecayLR",
    "InverseTimeDecayLR",
    "LossDrivenLR",
    "OnConfigChange",
    "OnSchedule",
    "PiecewiseConstantDecayLR",
    "PolynomialDecayLR",
    "ReduceLROnPlateau",
    "ScheduleHyperparameter",
    "ScheduleLR",
    "StepDecayLR",
    "TimeBasedDecayLR",
]
