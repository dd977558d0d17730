"""Keras' learning-rate callbacks for Lightning.

Lightning comes under two import names with classes of their own, and each trainer, module and
``LightningCLI`` knows its own.  The rule here does not depend on the order of imports:

- ``lrparity.callbacks.lightning_pytorch`` holds the callbacks for ``lightning.pytorch``,
  ``lrparity.callbacks.pytorch_lightning`` those for ``pytorch_lightning``;
- ``lrparity.callbacks`` is the first of the two where ``lightning`` is installed, else the second.
  The environment variable ``LRPARITY_LIGHTNING``, set to ``lightning.pytorch`` or
  ``pytorch_lightning``, decides otherwise.

Checkpoints are the same for both.  From Lightning 2.6 on the callbacks of either run in a trainer of
the other, and only ``isinstance`` and ``LightningCLI`` can tell.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

_HOUSES = {
    "lightning.pytorch": "lrparity.callbacks.lightning_pytorch",
    "pytorch_lightning": "lrparity.callbacks.pytorch_lightning",
}


def _house() -> str:
    """The module that the rule picks."""
    wanted = os.environ.get("LRPARITY_LIGHTNING", "")
    if wanted:
        if wanted not in _HOUSES:
            raise ImportError(
                f"LRPARITY_LIGHTNING is {wanted!r}; it must be one of {', '.join(map(repr, _HOUSES))}, "
                "or not be set."
            )
        return _HOUSES[wanted]
    for name, module in _HOUSES.items():
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return module
    raise ImportError(
        "lrparity.callbacks needs Lightning, and neither `lightning` nor `pytorch_lightning` is "
        "installed: pip install 'lrparity[lightning]'"
    )


if TYPE_CHECKING:
    from lrparity.callbacks.lightning_pytorch import (
        BatchLearningRateScheduler,
        LearningRateRecorder,
        LearningRateScheduler,
        LossDrivenLR,
        RanksDifferError,
        ReduceLROnPlateau,
        ScheduleHyperparameter,
        ScheduleLR,
        SnapshotEnsemble,
    )

__all__ = [
    "BatchLearningRateScheduler",
    "LearningRateRecorder",
    "LearningRateScheduler",
    "LossDrivenLR",
    "RanksDifferError",
    "ReduceLROnPlateau",
    "ScheduleHyperparameter",
    "ScheduleLR",
    "SnapshotEnsemble",
]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: whoever names a house's module loads only that Lightning.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_house()), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
