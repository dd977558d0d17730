"""The rules of Keras' metric-driven callbacks, as small state machines without any framework.

``decision = controller.update(metric, lrs)`` takes in one metric and the rates that it governs, and
says what they become and why.

>>> plateau = ReduceLROnPlateau(factor=0.5, patience=1)
>>> [plateau.update(loss, [0.1]).changed for loss in (1.0, 0.8, 0.9)]
[False, False, True]
"""

from lrparity.controllers._controller import Controller, Decision, OnConfigChange
from lrparity.controllers._epoch_function import EpochFunction
from lrparity.controllers._loss_driven import LossDriven, NonFinite
from lrparity.controllers._reduce_lr_on_plateau import (
    AutoMode,
    Mode,
    ReduceLROnPlateau,
    resolve_mode,
)
from lrparity.controllers._running_mean import RunningMean

__all__ = [
    "AutoMode",
    "Controller",
    "Decision",
    "EpochFunction",
    "LossDriven",
    "Mode",
    "NonFinite",
    "OnConfigChange",
    "ReduceLROnPlateau",
    "RunningMean",
    "resolve_mode",
]
