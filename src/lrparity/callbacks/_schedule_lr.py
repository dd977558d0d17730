"""``ScheduleLR``: any schedule as a Lightning callback.  No Lightning is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from lrparity.callbacks._arguments import checked_log
from lrparity.callbacks._counting import Count
from lrparity.callbacks._driver import Driver, checked_driver_state
from lrparity.callbacks._optimizers import optimizer_names, raw_optimizers
from lrparity.callbacks._scheduled import (
    Scheduled,
    _no_trainer,  # noqa: F401 (pickles of 0.1.0 name it here)
)
from lrparity.lr_scheduler import OnConfigChange
from lrparity.lr_scheduler._schedule_lr import ScheduleLike
from lrparity.schedules import Numerics


class ScheduleLR(Scheduled[Driver]):
    """Drive the optimizers of a Lightning ``Trainer`` by a schedule, with the bits of Keras.

    Update k of an optimizer, counted from 0, uses::

        lr = float32(schedule(k)) * float32(lr_scale)

    rounded to float32, where ``lr_scale`` is the param group's own entry (default 1).  A schedule of
    the unit ``"epoch"`` is asked for the epoch instead, ``trainer.current_epoch``, before its first
    update.  Only real updates count, for each optimizer on its own: an accumulated batch, a step
    that AMP skipped (of a fused optimizer, too), one without any gradient, and the steps of the other
    optimizers do not.  ``trainer.global_step`` counts the last three.

    Args:
        schedule: a schedule, or a function of the step that returns the rate, for all optimizers; or
            a list with one for each param group; or a mapping from optimizers to any of these.  An
            optimizer is named by its place in what ``configure_optimizers`` returns, or by its class
            as ``LearningRateMonitor`` does: ``"SGD"``, a second one ``"SGD-1"``.  A mapping leaves
            the optimizers that it does not name alone.
        optimizer: drive only this one, named in the same way.  None: all of them, or those of the
            mapping.
        numerics: ``"eager"``: the rates that Keras reports; ``"graph"``: those that a compiled
            ``model.fit`` applies.
        count: ``"update"``: the schedule is asked for the number of updates before.
            ``"micro_batch"``: for that of batches before, as Keras does under
            ``gradient_accumulation_steps``: an update after n batches in all uses ``schedule(n - 1)``.
        initial_update: the update (or batch) to begin with where no checkpoint tells it: 0 in a
            fresh training.
        on_config_change: what a resume under another schedule does: ``"raise"``, or ``"use_new"`` to
            go on from the saved update under this one, to extend a training, say.
        log: log the rate of every batch by itself, as ``"learning_rate"`` or under the name given;
            with several optimizers or param groups ``"learning_rate/SGD"``, ``".../pg2"``.
        prog_bar: show what ``log`` logs in the progress bar.

    **When.**  The rate of the next update is written as soon as an update is done, and that of an
    epoch before the other callbacks hear of it (this callback moves itself to the front of
    ``trainer.callbacks``): ``LearningRateMonitor`` and the progress bar are right wherever they
    stand.  In ``on_train_epoch_end`` an optimizer holds the rate of the update to come, as with
    Lightning's own schedulers.

    **Resume.**  The counts are part of every checkpoint, so the rates after a resume are those of
    the training that was not interrupted.  A second ``fit`` of one trainer goes on counting, as
    ``trainer.current_epoch`` does; another trainer, and a copy, starts anew.  What Lightning's finders
    (of a rate, of a batch size) try in between does not count.  A checkpoint that was written
    without this callback holds no count: with automatic optimisation ``trainer.global_step`` stands
    in, with a warning; otherwise ``initial_update`` is asked for.

    **Groups.**  One that joins while training, as with ``BackboneFinetuning``, keeps the ratio of its
    ``lr`` to the schedule; when its ``lr`` is set again, by who added it, it takes on the new
    ratio.  ``lr_scale`` may be changed at any time.  Setting the ``lr`` of another group lasts for one
    update, with a warning.

    **Function.**  It is called once for each step, in order, in one process.  If it fails for a step
    that has no update any more, that is no error.

    **Wrappers.**  An optimizer that keeps another one as ``optimizer`` or ``base_optimizer`` (SAM,
    Lookahead) is one: a step of either counts, a step within a step does not.  Weights that change
    without a step that can be seen are remarked at the end of the epoch.

    Raises:
        TypeError: an argument of another type.
        ValueError: an unknown option; when training starts, an optimizer that is not there, one that
            has a scheduler from ``configure_optimizers`` or is driven by two of these callbacks, a
            list of another length than the param groups; on resume, a state that was saved under
            another schedule or ``lr_scale``, or that is damaged.
        RuntimeError: the training of another trainer, which has this callback too, goes on.

    Source of the semantics: keras/src/optimizers/base_optimizer.py, 3.15.1.  It takes the place of
    torch's schedulers in ``configure_optimizers``, which count what Lightning steps.

    >>> import torch
    >>> from lrparity.callbacks import ScheduleLR
    >>> from lrparity.schedules import CosineDecay
    >>> ScheduleLR(CosineDecay(0.1, decay_steps=1000), log=True)
    ScheduleLR(CosineDecay(initial_learning_rate=0.1, decay_steps=1000))
    """

    _KIND = "ScheduleLR"
    _WHAT = "learning rate"

    def __init__(
        self,
        schedule: ScheduleLike
        | list[ScheduleLike]
        | dict[int | str, ScheduleLike | list[ScheduleLike]],
        optimizer: int | str | None = None,
        *,
        numerics: Numerics = "eager",
        count: Count = "update",
        initial_update: int | None = None,
        on_config_change: OnConfigChange = "raise",
        log: bool | str = False,
        prog_bar: bool = False,
    ) -> None:
        super().__init__(
            schedule,
            optimizer,
            numerics=numerics,
            count=count,
            initial_update=initial_update,
            on_config_change=on_config_change,
            log_name=checked_log(log),
            prog_bar=prog_bar,
        )
        self._scales: dict[int, list[float | None]] = {}  # as configure_optimizers has made them

    def set_multiplier(self, multiplier: float, *, min_lr: float = 0.0) -> None:
        """Multiply every rate of the schedules by this from now on; see ``lr_scheduler.ScheduleLR``.

        ``callbacks.ReduceLROnPlateau`` does so by itself.

        Raises:
            RuntimeError: no training is going on.
            ValueError: not finite in float32, or negative.
        """
        if not self._drivers:
            raise RuntimeError(
                "set_multiplier() needs an optimizer to act on: call it while training, from "
                "on_train_start to on_train_end."
            )
        for driver in self._drivers.values():
            driver.set_multiplier(multiplier, min_lr=min_lr)

    # --- what is driven, and by what ---------------------------------------------------------------

    def _is_peer(self, callback: Any) -> bool:
        return isinstance(callback, ScheduleLR)

    def _check_plan(
        self, trainer: Any, driven: Mapping[int, ScheduleLike | list[ScheduleLike]]
    ) -> None:
        optimizers = raw_optimizers(trainer)
        self._scales = {i: _scales_of(optimizers[i]) for i in driven}
        _check_no_scheduler(trainer, driven)
        for other in self._others(trainer):
            if shared := driven.keys() & other._plan(trainer).keys():
                name = optimizer_names(optimizers)[min(shared)]
                raise ValueError(
                    f"Two ScheduleLR callbacks drive the optimizer {name!r}. Give each another "
                    "`optimizer`, or give one of them a mapping of all."
                )

    def _make_driver(
        self,
        i: int,
        optimizer: Optimizer,
        name: str,
        schedule: ScheduleLike | list[ScheduleLike],
        state: dict[str, Any] | None,
        **how: Any,
    ) -> Driver:
        driver = Driver(
            optimizer,
            name,
            schedule,
            numerics=self.numerics,
            count=self.count,
            on_config_change=self.on_config_change,
            state=state if self._restored else None,
            scales=self._scales.get(i, _scales_of(optimizer)),
            **how,
        )
        if state is not None and not self._restored:
            multiplier = state["scheduler"]["multiplier"]
            if multiplier != 1.0:
                driver.set_multiplier(multiplier, min_lr=state["scheduler"]["min_lr"])
        return driver

    def _held_by(self, driver: Driver) -> list[float | None]:
        return [float(group["lr"]) for group in driver.optimizer.param_groups]

    def _checked_driver_state(self, state: Any) -> dict[str, Any]:
        return checked_driver_state(state)

    def __repr__(self) -> str:
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        return f"{type(self).__name__}({self.schedule!r}{chosen})"


def _scales_of(optimizer: Optimizer) -> list[float | None]:
    """Each group's ``lr_scale`` entry."""
    scales = (group.get("lr_scale") for group in optimizer.param_groups)
    return [None if scale is None else float(scale) for scale in scales]


def _with_held(optimizer: Any) -> list[Any]:
    """An optimizer, and the one that it keeps, if any."""
    return [one for one in (optimizer, getattr(optimizer, "optimizer", None)) if one is not None]


def _check_no_scheduler(trainer: Any, driven: Mapping[int, Any]) -> None:
    optimizers = raw_optimizers(trainer)
    for config in trainer.lr_scheduler_configs:
        scheduled = _with_held(getattr(config.scheduler, "optimizer", None))
        for i in driven:
            if any(one is other for one in scheduled for other in _with_held(optimizers[i])):
                name, kind = optimizer_names(optimizers)[i], type(config.scheduler).__name__
                raise ValueError(
                    f"The optimizer {name!r} has a learning-rate scheduler from configure_optimizers "
                    f"({kind}), and the callback ScheduleLR drives it too: each would overwrite the "
                    "other's rates. To keep the callback, return the optimizer alone from "
                    f"configure_optimizers; to keep {kind}, take ScheduleLR out of the trainer's "
                    "callbacks, or name another optimizer with `optimizer`."
                )
