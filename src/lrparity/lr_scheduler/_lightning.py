"""Lightning's trainer, which steps a scheduler once per epoch unless its config says otherwise.

Nothing is imported: where Lightning is not loaded, nobody calls from it, and nothing is watched.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, NamedTuple

from torch.optim import Optimizer

from lrparity.lr_scheduler._updates import UpdateCounter
from lrparity.schedules._schedule import Unit

HOUSES = ("lightning.pytorch", "pytorch_lightning")
DEPTH = 48
"""How many frames above ``step()`` are looked at; Lightning's own wrappers are some ten."""

RARE_HOOKS = frozenset(
    {
        "configure_optimizers",
        "on_fit_start",
        "on_train_start",
        "on_train_epoch_start",
        "on_train_epoch_end",
        "on_validation_start",
        "on_validation_epoch_start",
        "on_validation_epoch_end",
        "on_validation_end",
        "on_train_end",
        "on_fit_end",
    }
)
"""Hooks that are not called for each batch: a ``step()`` from them is not one per update."""


class Caller(NamedTuple):
    """From where in Lightning ``step()`` was called, if not for each update by hand."""

    hook: str | None  # None: by the trainer, from the scheduler's config, which the rest tells
    interval: str = ""
    frequency: int = 1
    batches: float = 1  # in an epoch; infinite where Lightning does not know
    several: bool = False  # whether an epoch has several updates


class LightningWatch:
    """Whether Lightning steps a scheduler in the unit that its schedule counts.

    It cannot be told before ``step()`` is called, and a call per epoch is wrong only if the epoch
    has several updates: they are counted until the question is settled.

    Args:
        optimizer: the scheduler's, which is not kept alive.
        unit: what the schedule counts.
        pending: the updates since the scheduler's last step.
    """

    def __init__(self, optimizer: Optimizer, unit: Unit, pending: int = 0) -> None:
        self._counter = UpdateCounter(optimizer, pending) if unit == "update" else None

    @property
    def pending(self) -> int:
        """The updates since the scheduler's last step."""
        return 0 if self._counter is None else self._counter.pending

    def stepped(self) -> None:
        """The scheduler has gone on: count from here."""
        if self._counter is not None:
            self._counter.take()

    def stop(self) -> None:
        """Take the counter off the optimizer."""
        if self._counter is not None:
            self._counter.remove()

    def settled(self, scheduler: object) -> bool:
        """Whether the calls of ``scheduler.step()`` need no more watching, to judge by this one.

        Raises:
            RuntimeError: it is called in another unit than the schedule's.
        """
        caller = _caller(sys._getframe(1))
        if caller is None:
            return True
        if self._counter is None:
            return self._settled_per_epoch(scheduler, caller)
        if caller.interval == "step":  # a frequency was written by hand, and is meant
            return True
        if self.pending > 1:
            raise RuntimeError(_once_for_several_updates(scheduler, caller, self.pending))
        return False

    @staticmethod
    def _settled_per_epoch(scheduler: object, caller: Caller) -> bool:
        if caller.hook is not None:
            return False
        if caller.interval != "step" or caller.frequency > 1:
            return True
        if caller.several:
            raise RuntimeError(_several_times_an_epoch(scheduler, caller))
        return False


def refuse_calls_per_epoch(scheduler: object, updates: int) -> None:
    """Refuse a ``step()`` that Lightning calls per epoch, after so many updates at stale rates.

    Raises:
        RuntimeError: it does.
    """
    caller = _caller(sys._getframe(1))
    if caller is not None and caller.interval != "step":
        raise RuntimeError(_once_for_several_updates(scheduler, caller, updates))


def watch_lightning(optimizer: Optimizer, unit: Unit, pending: int = 0) -> LightningWatch | None:
    """A watch, where Lightning is loaded and so may turn out to be the caller."""
    if any(house in sys.modules for house in HOUSES):
        return LightningWatch(optimizer, unit, pending)
    return None


def _caller(frame: FrameType | None) -> Caller | None:
    """Who in Lightning called, through ``SequentialLR`` or a module's own hook, say.

    None: nobody, or a hook that is called for each batch and steps as it thinks right.
    """
    for _ in range(DEPTH):
        if frame is None:
            return None
        if str(frame.f_globals.get("__name__")).startswith(HOUSES):
            if frame.f_code.co_name == "_update_learning_rates":
                return _configured(frame.f_locals)
            hook = frame.f_locals.get("hook_name")
            if hook is not None and hook != "lr_scheduler_step":
                return Caller(hook) if hook in RARE_HOOKS else None
        frame = frame.f_back
    return None


def _configured(names: dict[str, Any]) -> Caller:
    trainer, config = names["self"].trainer, names["config"]
    batches = trainer.num_training_batches
    return Caller(
        hook=None,
        interval=names["interval"],
        frequency=config.frequency,
        batches=batches,
        several=batches > trainer.accumulate_grad_batches,
    )


def _once_for_several_updates(scheduler: object, caller: Caller, updates: int) -> str:
    if caller.hook is None:
        seen = "Lightning called step() at the end of an epoch (interval='epoch', its default)"
        mend = (
            "Return scheduler.lightning_config() as 'lr_scheduler' from configure_optimizers, which "
            'is {"scheduler": scheduler, "interval": "step"}; or, as under LightningCLI, which '
            "always steps per epoch, use the callback lrparity.callbacks.ScheduleLR(schedule) "
            "instead of a scheduler."
        )
    else:
        seen = f"step() was called in {caller.hook}"
        mend = (
            "Call scheduler.step() after each optimizer.step() in training_step; or, with automatic "
            "optimization, return scheduler.lightning_config() as 'lr_scheduler' from "
            'configure_optimizers, which is {"scheduler": scheduler, "interval": "step"}; or use '
            "the callback lrparity.callbacks.ScheduleLR(schedule) instead of a scheduler."
        )
    return (
        f"{seen}, with {updates} updates since the last step(); but {scheduler!r} counts updates, "
        f"one for each step(). {mend} A schedule whose steps are meant as epochs says so: "
        'FunctionSchedule(schedule, unit="epoch").'
    )


def _several_times_an_epoch(scheduler: object, caller: Caller) -> str:
    endless = caller.batches == float("inf")
    many = "an unknown number of" if endless else f"{caller.batches:.0f}"
    return (
        f"Lightning called step() after an update (interval='step'), and an epoch has {many} "
        f"batches; but {scheduler!r} counts epochs, one for each step(). Return "
        "scheduler.lightning_config() as 'lr_scheduler' from configure_optimizers, which is "
        '{"scheduler": scheduler, "interval": "epoch"}. Where the epochs of the schedule are '
        'parts of one of Lightning\'s, {"interval": "step", "frequency": <batches of a part>} is '
        "taken as it is."
    )
