"""What the tests of resume share: savers in every hook, interrupts, and the checkpoints' triggers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_side import RESUMED_WITHIN_AN_EPOCH

IGNORED = [
    RESUMED_WITHIN_AN_EPOCH,
    # The callback that wrote the checkpoint is not wanted in the run that goes on.
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used"),
    # OnExceptionCheckpoint makes Lightning look for something to go on from, and there is nothing.
    pytest.mark.filterwarnings("ignore:.*was called without a model. The last model of the prev"),
    pytest.mark.filterwarnings("ignore:.*is set, but there is no last checkpoint available"),
    # Which weights a checkpoint holds under manual optimization makes no difference here.
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
]

HOOKS = (
    "on_sanity_check_start",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
    "on_train_epoch_end",
    "on_train_end",
)
DROPS_AN_EPOCH = "on_train_epoch_start"
"""Lightning 2.6.6 trains no batch, or not all, of an epoch in whose start the checkpoint was saved."""
BETWEEN_OPTIMIZERS = "on_before_optimizer_step"
"""The batch is repeated, and with it the step of the optimizer before."""


class Saver(pl.Callback):
    """Saves in every hook, each time; plain, and wherever it stands in the list.

    Args:
        folder: where to.
        place: where it stands.
        wanted: the calls of which hooks to save at; None: at all.
    """

    def __init__(
        self, folder: Path, place: str, wanted: Collection[tuple[str, int]] | None = None
    ) -> None:
        self.folder, self.place, self.wanted, self.calls = folder, place, wanted, Counter()

    def save(self, hook: str, trainer: Any) -> None:
        if self.wanted is None or (hook, self.calls[hook]) in self.wanted:
            trainer.save_checkpoint(self.folder / f"{hook} {self.calls[hook]} {self.place}.ckpt")
        self.calls[hook] += 1


class Interrupter(pl.Callback):
    """Ends the training at the n-th call of one hook, and counts the calls of all."""

    def __init__(self, cause: str = "", hook: str = "", n: int = 0) -> None:
        self.cause, self.hook, self.n, self.calls = cause, hook, n, Counter()

    def interrupt(self, hook: str) -> None:
        self.calls[hook] += 1
        if hook != self.hook or self.calls[hook] != self.n + 1:
            return
        if self.cause == "exception":
            raise ZeroDivisionError
        if self.cause == "KeyboardInterrupt":
            raise KeyboardInterrupt
        assert callable(signal.getsignal(signal.SIGTERM)), "it would end the tests"
        os.kill(os.getpid(), signal.SIGTERM)


for _hook in HOOKS:
    setattr(Saver, _hook, lambda self, trainer, *_, hook=_hook, **__: self.save(hook, trainer))
    setattr(Interrupter, _hook, lambda self, *_, hook=_hook, **__: self.interrupt(hook))

CAUSES = {
    "exception": ZeroDivisionError,
    "KeyboardInterrupt": SystemExit,  # that is what Lightning makes of it
    "SIGTERM": SIGTERMException,
}

TRIGGERS: dict[str, dict[str, Any]] = {
    "every step": {"every_n_train_steps": 1},
    "every 2 steps": {"every_n_train_steps": 2},
    "every 3 steps": {"every_n_train_steps": 3},
    "every 5 steps": {"every_n_train_steps": 5},
    "by the clock": {"train_time_interval": timedelta(0)},
    "validation end": {"save_on_train_epoch_end": False, "every_n_epochs": 1},
    "epoch end": {"save_on_train_epoch_end": True, "every_n_epochs": 1},
}
