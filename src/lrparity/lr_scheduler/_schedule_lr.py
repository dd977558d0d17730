"""``ScheduleLR``: any schedule as a torch ``LRScheduler``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrparity import _validation as check
from lrparity import float32
from lrparity.controllers import OnConfigChange
from lrparity.lr_scheduler._accelerate import (
    accelerate_calls_per_update,
    accelerate_repeats_calls,
)
from lrparity.lr_scheduler._governed import governed
from lrparity.lr_scheduler._groups import (
    check_optimizer,
    edited_in_place,
    lr_scale,
    lr_scales,
    make_patchable,
    write_rates,
)
from lrparity.lr_scheduler._lightning import (
    LightningWatch,
    refuse_calls_per_epoch,
    watch_lightning,
)
from lrparity.lr_scheduler._state import (
    STATE_FORMAT,
    STATE_VERSION,
    checked,
    described,
    differences,
    distinct,
    fingerprint,
    which_distinct,
)
from lrparity.lr_scheduler._updates import UpdateCounter
from lrparity.schedules import (
    FunctionSchedule,
    LearningRateSchedule,
    Numerics,
    as_schedule,
)
from lrparity.schedules._schedule import NUMERICS, is_shipped_formula

Count = Literal["calls", "updates"]
ScheduleLike = LearningRateSchedule | Callable[[int], float]

TORCH_HAS_UPDATE_LR = hasattr(LRScheduler, "_update_lr")  # not before 2.9

BLOCK = 4096
"""Shipped schedules are pure, so their rates are computed this many steps at a time."""


class ScheduleLR(LRScheduler):
    """Drive an optimizer's learning rates by a schedule, with the bits of Keras.

    After construction and after k calls of ``step()`` each param group holds::

        lr = float32(schedule(k)) * float32(multiplier) * float32(lr_scale)

    rounded to float32 after each product, as a Python float (a tensor ``lr`` is filled in place).
    The rate is always computed from k: editing ``group["lr"]`` by hand lasts until the next
    ``step()``, and no order of evaluation, resume or ``SequentialLR`` changes it.

    Args:
        optimizer: the optimizer to drive.
        schedule: a schedule, or a function of the step that returns the *rate* (not a factor), for
            all groups whatever their ``lr``; or a list with one for each group.  A function counts
            updates; ``FunctionSchedule(fn, unit="epoch")`` says that it counts epochs.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.  The name is
            torch's; it counts whatever ``step()`` is called for.
        numerics: ``"eager"``: the rates that Keras reports; ``"graph"``: those that a compiled
            ``model.fit`` applies.
        count: ``"calls"``: every ``step()`` is one step, as in torch.  ``"updates"``: a ``step()``
            advances by the optimizer's real updates since the one before, so that a step that AMP
            skipped, one without gradients, or a wrapper that calls ``step()`` several times does
            not count.  (Per epoch, that is one epoch if there was any update.)
        on_config_change: what ``load_state_dict`` does when the state was saved under another
            schedule: ``"raise"``, or ``"use_new"`` to go on from the saved step under this one.

    Attributes:
        last_epoch: the step that the current rates belong to; the only counter.
        multiplier, min_lr: 1 and 0 unless :meth:`set_multiplier` was called.

    **Groups.**  ``group["lr_scale"]`` (timm's convention, default 1) scales a group for good and may
    be changed at any time.  A group added later keeps the ``lr`` that it comes with: it adopts
    ``lr_scale = lr / (schedule(k) * multiplier)`` of the first group's schedule.  Where a list of
    schedules was given, give it one with :meth:`add_schedule` instead.

    **Plateaus.**  :class:`ReduceLROnPlateau` on the same optimizer multiplies the schedule.

    **Accelerate.**  Its wrapper calls ``step()`` once per process for one update; those calls are
    recognised and count once.

    **Lightning** calls ``step()`` once per epoch unless its config says ``"interval": "step"``:
    return :meth:`lightning_config`.  As long as the callers of ``step()`` leave it open whether they
    call in the unit of the schedule, they are looked at and the updates are counted.  A config with
    ``"interval": "step"`` and a ``frequency`` other than 1 is taken as it is.

    **State** is plain Python and versioned, loads under ``torch.load(weights_only=True)``, and
    carries the schedule's config with a fingerprint.  Loading it writes the rates to the groups.

    ``ChainedScheduler`` and torch's schedulers on the same optimizer do not combine with this one,
    which always writes its own rate: the last to step wins, silently.  Use :meth:`set_multiplier`,
    or ``SequentialLR``, which works.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer, or ``schedule`` no schedule or function.
        ValueError: as many schedules as groups are needed; an unknown option; ``last_epoch`` < -1.

    Source of the semantics: keras/src/optimizers/base_optimizer.py, 3.15.1: update k (from 0) uses
    ``schedule(k)``.  torch's ``LambdaLR`` multiplies a float64 factor into the base rate instead.

    >>> import torch
    >>> from lrparity.schedules import PiecewiseConstantDecay
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer = torch.optim.SGD([weight], lr=1.0)
    >>> scheduler = ScheduleLR(optimizer, PiecewiseConstantDecay([1], [0.5, 0.25]))
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: ScheduleLike | Sequence[ScheduleLike],
        *,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        check_optimizer(optimizer)
        last_epoch = checked_last_epoch(last_epoch)
        self.numerics = cast("Numerics", check.choice("numerics", numerics, NUMERICS))
        self.count = cast("Count", check.choice("count", count, ("calls", "updates")))
        self.on_config_change = check.choice(
            "on_config_change", on_config_change, ("raise", "use_new")
        )
        self.multiplier, self.min_lr = 1.0, 0.0
        self._written: list[float] = []
        self._table_written = False
        self._asked_step = -1
        self._answers: list[tuple[LearningRateSchedule, float]] = []
        self._set_schedules(self._per_group(optimizer, schedule))
        self._one_for_all = not isinstance(schedule, list | tuple)
        self._first_step_done = False
        self._repeated_calls = 0  # of Accelerate's wrapper for one update
        self._forget_table()
        self._counter: UpdateCounter | None = None
        self._watch: LightningWatch | None = None  # until the unit of the calls is settled
        if last_epoch >= 0:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", float(group["lr"]))
        make_patchable(optimizer)
        self._governed = governed(optimizer)
        super().__init__(optimizer, last_epoch)
        self._governed.join(self)
        self.base_lrs = [float(lr) for lr in self.base_lrs]
        if self.count == "updates":
            self._counter = UpdateCounter(optimizer)
        self._watch_lightning()

    @staticmethod
    def _per_group(
        optimizer: Optimizer, schedule: ScheduleLike | Sequence[ScheduleLike]
    ) -> list[LearningRateSchedule]:
        groups = len(optimizer.param_groups)
        if not isinstance(schedule, list | tuple):
            return [as_schedule(schedule)] * groups
        if len(schedule) != groups:
            raise ValueError(
                "Argument `schedule` must be one schedule, or a list with one for each param group. "
                f"Received: {len(schedule)} schedules for {groups} param groups."
            )
        schedules = [as_schedule(one, f"schedule[{i}]") for i, one in enumerate(schedule)]
        if len({one.unit for one in schedules}) > 1:
            raise ValueError(
                "The schedules of one scheduler must count the same, because one step() steps them "
                f"all. Received units {[one.unit for one in schedules]}. Write the ones per epoch as "
                "schedules of the update, or the other way round."
            )
        return schedules

    def _set_schedules(self, schedules: list[LearningRateSchedule]) -> None:
        self._schedules = schedules  # one for each group
        self._distinct = distinct(schedules)
        self._which = which_distinct(schedules)
        self._shipped = all(is_shipped_formula(one) for one in self._distinct)

    # --- stepping ---------------------------------------------------------------------------------

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step and write its rates into the param groups.

        Args:
            epoch: the step to jump to instead, an integer; deprecated in torch, with its warning.

        Raises:
            ValueError: a param group was added that cannot be given a rate.
            TypeError: ``epoch`` is no integer; a schedule takes no metric.
            RuntimeError: Lightning calls it once for several updates, and the schedule counts
                updates, or several times in an epoch, and it counts epochs.  No step is done then.
                Or Accelerate calls it through another scheduler, which counts each call.
        """
        # The hot path: one look-up in a table of rates, one assignment per group.  A group whose lr
        # is still the very object that was written has not been edited, added, loaded or made a
        # tensor; whatever else is out of the ordinary leaves _fast_size at 0.
        k = self.last_epoch + 1
        index = k - self._table_start
        if epoch is None and 0 < index < self._fast_size:
            if self._uniform:
                column = self._columns[0]
                last, rate = column[index - 1], column[index]
                for group in self.optimizer.param_groups:
                    if group["lr"] is not last or "lr_scale" in group:
                        break
                    group["lr"] = rate
                else:
                    self.last_epoch = k
                    self._step_count += 1
                    return
            elif self._write_columns(index):
                self.last_epoch = k
                self._step_count += 1
                return
        self._step_slowly(epoch)

    def _write_columns(self, index: int) -> bool:
        """Write groups of different rates, unless one of them needs a closer look."""
        groups, columns, last = self.optimizer.param_groups, self._columns, index - 1
        if len(groups) != len(columns):
            return False
        if self._scaled:
            scales = self._seen_scales
            for group, column, scale in zip(groups, columns, scales, strict=True):
                if group["lr"] is not column[last] or group.get("lr_scale") is not scale:
                    return False
                group["lr"] = column[index]
        else:
            for group, column in zip(groups, columns):  # noqa: B905 (strict costs, and is checked)
                if group["lr"] is not column[last] or "lr_scale" in group:
                    return False
                group["lr"] = column[index]
        return True

    def _step_slowly(self, epoch: int | None) -> None:
        if self._step_count == 0:  # the constructor's own call
            self._step_in_torch(epoch)
            return
        check_epoch(self, epoch)
        if epoch is None:  # a jump, such as SequentialLR's, is no step in any unit
            self._check_unit_of_calls()
        if not self._first_step_done:
            self._first_step_done = True
            self._forget_table()
        calls = accelerate_calls_per_update(self)
        self._repeated_calls = (self._repeated_calls + 1) % calls
        if calls > 1 and self._repeated_calls != 1:
            return
        before = self.last_epoch, self._step_count
        updates = 1 if self._counter is None or epoch is not None else self._counter.take()
        if updates == 0:
            return
        try:
            if self._schedules[0].unit == "update":
                self.last_epoch += updates - 1
            self._step_in_torch(epoch)
        except BaseException:  # a user's function failed, say: the step is not done
            self.last_epoch, self._step_count = before
            if self._counter is not None:
                self._counter.pending += updates
            raise
        if self._watch is not None:
            self._watch.stepped()

    def _watch_lightning(self, pending: int = 0) -> None:
        self._watch = None
        if self.count == "calls":
            self._watch = watch_lightning(self.optimizer, self._schedules[0].unit, pending)

    def _check_unit_of_calls(self) -> None:
        """Refuse Lightning's calls in another unit, as long as their unit is not settled."""
        if self._watch is None and not self._first_step_done:
            self._watch_lightning()  # Lightning was loaded after this was constructed
        if self._watch is not None and self._watch.settled(self):
            self._watch.stop()
            self._watch = None
            self._forget_table()
        updates = 0 if self._counter is None else self._counter.pending
        if updates > 1 and self._schedules[0].unit == "update":  # at a rate that was not theirs
            refuse_calls_per_epoch(self, updates)

    def _be_driven(self) -> None:
        """Whoever calls ``step()`` from here on knows when to: nothing more is checked."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self._first_step_done = True
        self._step_count = max(self._step_count, 2)  # torch checks the first call
        self._choose_way()

    def _step_in_torch(self, epoch: int | None) -> None:
        """Torch's own step: its warnings about the order of calls, then :meth:`_update_lr`."""
        if TORCH_HAS_UPDATE_LR:
            super().step(epoch)
            return
        self._adopt_new_groups()
        super().step(epoch)  # writes what get_lr() says
        self._write_rates()
        if epoch is not None:
            self._forget_updates()

    def _update_lr(self, epoch: int | None = None) -> None:
        """Write the rates of the next step, or of step ``epoch``; ``SequentialLR`` calls this too."""
        self._adopt_new_groups()
        self.last_epoch = self.last_epoch + 1 if epoch is None else int(epoch)
        self._write_rates()
        if epoch is not None:
            self._forget_updates()

    def _forget_updates(self) -> None:
        """Count anew from here: what was counted before belongs to another step."""
        if self._counter is not None:
            self._counter.take()
        if self._watch is not None:
            self._watch.stepped()

    def _write_rates(self) -> None:
        rates = self._rates()
        write_rates(self.optimizer.param_groups, rates)
        self._governed.take_turn(self)
        self._written = rates
        self._table_written = True

    def _rates(self) -> list[float]:
        """The rates of the current step, looked up, or computed with those that follow."""
        seen = tuple(group.get("lr_scale") for group in self.optimizer.param_groups)
        index = self.last_epoch - self._table_start
        fresh = not edited_in_place(seen) and seen == self._seen_scales
        if not (fresh and 0 <= index < self._table_size):
            self._fill_table(seen)
            index = 0
        return [column[index] for column in self._columns]

    def get_lr(self) -> list[float | Tensor]:
        """The rates of the current step, computed anew; ``get_last_lr()`` tells those last written."""
        self._adopt_new_groups()
        return list(self._rates())

    def get_last_lr(self) -> list[float | Tensor]:
        """The rates that the last ``step()`` wrote, one float for each param group."""
        return self._last_lr

    @property
    def _last_lr(self) -> list[float | Tensor]:  # torch's name for it
        index = self.last_epoch - self._table_start
        if self._table_written and 0 <= index < self._table_size:
            return [column[index] for column in self._columns]
        return list(self._written)

    @_last_lr.setter
    def _last_lr(self, rates: Sequence[float | Tensor]) -> None:
        self._written = [float(rate) for rate in rates]

    def _forget_table(self) -> None:
        if self._table_written:
            self._last_lr = self._last_lr  # from the table into the list
            self._table_written = False
        self._columns: list[list[float]] = []  # for each group the rates from _table_start on
        self._table_start = self._table_size = self._fast_size = 0
        self._seen_scales: tuple[Any, ...] = ()
        self._uniform = self._scaled = self._as_they_are = False

    def _block(self) -> list[NDArray[np.float32]] | None:
        """The rates of many steps, or None where one must be asked for at a time.

        A function of the user's may look at the training or count its calls, and it or a list of
        numbers may end some steps ahead.
        """
        if not self._shipped:
            return None
        steps = np.arange(self.last_epoch, self.last_epoch + BLOCK)
        try:
            return [one(steps, numerics=self.numerics) for one in self._distinct]
        except Exception:  # of the step itself it comes again
            return None

    def _fill_table(self, seen_scales: tuple[Any, ...]) -> None:
        """Compute the rates from ``last_epoch`` on: a block of them if that is safe, else one."""
        scales = [lr_scale(scale, i) for i, scale in enumerate(seen_scales)]
        rates = self._block()
        if rates is None:
            singles = [self._rate(one, self.last_epoch) for one in self._distinct]
            single = self._table_size == 1 and self._as_they_are
            if single and seen_scales == self._seen_scales:
                self._refill(singles)
                return
            rates = [np.array([rate], np.float32) for rate in singles]
        self._forget_table()  # not before a user's function has answered
        self._first_rates = [float(column[0]) for column in rates]
        columns: dict[tuple[int, float], list[float]] = {}
        keys = list(zip(self._which, scales, strict=True))
        for which, scale in keys:
            if (which, scale) not in columns:
                columns[which, scale] = _product(self._multiplied(rates[which]), scale).tolist()
        self._columns = [columns[key] for key in keys]
        self._table_start, self._table_size = self.last_epoch, len(self._columns[0])
        self._seen_scales = seen_scales
        self._scaled = any(scale is not None for scale in seen_scales)
        self._uniform = len(columns) == 1 and not self._scaled
        self._as_they_are = self.multiplier == 1.0 == max(scales) == min(scales)
        self._choose_way()

    def _refill(self, rates: list[float]) -> None:
        """The same table for another single step, whose rates no factor changes."""
        if self._table_written:
            self._last_lr = self._last_lr
            self._table_written = False
        self._first_rates, self._table_start = rates, self.last_epoch
        for column, which in zip(self._columns, self._which, strict=True):
            column[0] = rates[which]

    def _choose_way(self) -> None:
        # The first step() and, under Accelerate, counting updates, or as long as Lightning may be
        # the wrong caller, every one goes the slow way.
        plain = self._first_step_done and self.count == "calls" and self._watch is None
        plain = plain and not accelerate_repeats_calls() and not edited_in_place(self._seen_scales)
        self._fast_size = self._table_size if plain else 0

    def _rate(self, schedule: LearningRateSchedule, k: int) -> float:
        """What a schedule says of step k; a function is asked once for each step."""
        if self._asked_step != k:
            self._asked_step, self._answers = k, []
        for asked, answer in self._answers:
            if asked is schedule:
                return answer
        if isinstance(schedule, FunctionSchedule) and self.numerics == "eager":
            answer = schedule.rate(k)
        else:
            answer = schedule(k, numerics=self.numerics)
        self._answers.append((schedule, answer))
        return answer

    def _multiplied(self, rates: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.multiplier == 1.0:
            return rates
        product = _product(rates, self.multiplier)
        if not self.min_lr:
            return product
        return np.maximum(product, np.minimum(rates, np.float32(self.min_lr)))

    # --- multiplier and groups --------------------------------------------------------------------

    def set_multiplier(self, multiplier: float, *, min_lr: float = 0.0) -> None:
        """Multiply every rate of the schedule by this from now on, and write the current rates.

        This is how a plateau acts on a scheduled optimizer.  The multiplier takes no rate below
        ``min_lr``, though the schedule by itself may fall below it; each group then holds::

            lr = max(float32(schedule(k) * multiplier), min(schedule(k), min_lr)) * lr_scale

        It replaces the multiplier and the bound before, is part of the state, and is rounded to
        float32, as is the bound.  In a ``SequentialLR`` call it on each scheduler that it shall act
        on: the one whose turn it is writes its rates.

        Raises:
            ValueError: not finite in float32, or negative.
            TypeError: not a real number.
        """
        factor = _not_negative("multiplier", multiplier)
        bound = _not_negative("min_lr", min_lr)
        self._multiply(factor, bound, write=self._governed.schedule is self)

    def _multiply(self, multiplier: float, min_lr: float, *, write: bool) -> None:
        self._adopt_new_groups()  # at the rates before
        self.multiplier, self.min_lr = float(np.float32(multiplier)), float(np.float32(min_lr))
        self._forget_table()
        if write:
            self._write_rates()

    def _unscaled_rates(self) -> list[float]:
        """The rate of each group at the current step, without its ``lr_scale``."""
        self._adopt_new_groups()
        rates = np.array(self._rates_of_step(self.last_epoch), np.float32)
        multiplied = self._multiplied(rates).tolist()
        return [multiplied[which] for which in self._which]

    def _effective_multiplier(self) -> float:
        """The multiplier that gives the current rates without ``min_lr``; the largest of several."""
        rates = np.array(self._rates_of_step(self.last_epoch), np.float32)
        bounded = self._multiplied(rates)
        if not self.min_lr or not (rates > 0).any():
            return self.multiplier
        ratios = bounded[rates > 0].astype(np.float64) / rates[rates > 0].astype(np.float64)
        return max(self.multiplier, float(ratios.max()))

    def add_schedule(self, schedule: ScheduleLike) -> None:
        """Give the next param group that was, or will be, added a schedule of its own."""
        if len(self._schedules) > len(self.optimizer.param_groups):
            raise ValueError(
                f"There are {len(self._schedules)} schedules for "
                f"{len(self.optimizer.param_groups)} param groups already. Add the group first."
            )
        self._set_schedules([*self._schedules, as_schedule(schedule)])
        self._one_for_all = False
        self._forget_table()

    def _adopt_new_groups(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) == len(self._schedules) == len(self.base_lrs):
            return
        if len(groups) < len(self._schedules):
            self._forget_removed_groups(len(groups))
        for i in range(len(self._schedules), len(groups)):
            if not self._one_for_all:
                raise ValueError(
                    f"Param group {i} was added to an optimizer that has a list of schedules. Call "
                    "scheduler.add_schedule(schedule) for it before scheduler.step()."
                )
            if "lr_scale" not in groups[i]:
                groups[i]["lr_scale"] = self._adopted_scale(i)
            self._set_schedules([*self._schedules, self._schedules[0]])
        for group in groups[len(self.base_lrs) :]:
            self.base_lrs.append(float(group.setdefault("initial_lr", self.base_lrs[0])))

    def _forget_removed_groups(self, left: int) -> None:
        if len(self._distinct) > 1:  # whose schedule is gone cannot be told
            raise ValueError(
                f"The optimizer has {left} param groups, where the scheduler has "
                f"{len(self._schedules)} schedules. Construct a new scheduler, with "
                f"last_epoch={self.last_epoch - 1}, after removing a group."
            )
        self._set_schedules(self._schedules[:left])
        del self.base_lrs[left:]
        self._forget_table()

    def _adopted_scale(self, i: int) -> float:
        k = max(self.last_epoch, 0)
        unscaled = np.array([self._rate(self._schedules[0], k)], np.float32)
        rate = float(self._multiplied(unscaled)[0])
        own = float(self.optimizer.param_groups[i]["lr"])
        if rate == 0.0 or not math.isfinite(own / rate):
            raise ValueError(
                f"Param group {i} was added with lr={own} at step {k}, where the schedule's rate is "
                f"{rate}: no lr_scale follows from that. Give the group an 'lr_scale' entry."
            )
        return own / rate

    def lightning_config(self) -> dict[str, Any]:
        """What ``configure_optimizers`` returns as ``"lr_scheduler"`` so that Lightning steps right.

        Without it Lightning calls :meth:`step` once per epoch, which for a schedule of the update
        raises when an epoch had several.  For a ``SequentialLR`` over such schedulers write the same
        dict with the ``SequentialLR`` in it.

        >>> import torch
        >>> from lrparity.schedules import ExponentialDecay
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> scheduler = ScheduleLR(optimizer, ExponentialDecay(0.1, 100, 0.5))
        >>> config = scheduler.lightning_config()
        >>> config["interval"], config["frequency"]
        ('step', 1)
        """
        interval = "epoch" if self._schedules[0].unit == "epoch" else "step"
        return {"scheduler": self, "interval": interval, "frequency": 1}

    # --- state ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state as plain Python: counter, multiplier, scales, and the schedules' configs."""
        self._adopt_new_groups()
        schedules = [described(schedule) for schedule in self._distinct]
        group_schedules = list(self._which)
        return {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "last_epoch": self.last_epoch,
            "_step_count": self._step_count,
            "_last_lr": self.get_last_lr(),
            "base_lrs": [float(rate) for rate in self.base_lrs],
            "multiplier": self.multiplier,
            "min_lr": self.min_lr,
            "lr_scales": lr_scales(self.optimizer.param_groups),
            "numerics": self.numerics,
            "schedules": schedules,
            "group_schedules": group_schedules,
            "schedule_rates": self._rates_of_step(self.last_epoch),
            "pending_updates": 0 if self._counter is None else self._counter.pending,
            "fingerprint": fingerprint(schedules, group_schedules, self.numerics),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned.

        Raises:
            ValueError: the state is another class's, damaged, of an unknown version, of another
                number of groups, or (unless ``on_config_change="use_new"``) was saved under another
                schedule, numerics or ``lr_scale``; for a bare function, if the rate that it gave
                at the saved step is not the rate that it gives now.  Nothing is changed then.
        """
        state = checked(state_dict)
        groups = self.optimizer.param_groups
        if not len(state["group_schedules"]) == len(state["lr_scales"]) == len(groups):
            raise ValueError(
                f"The state was saved for {len(state['group_schedules'])} param groups; the "
                f"optimizer has {len(groups)}. Add the missing groups before loading."
            )
        before = self._schedules, list(self.base_lrs)
        added = [group for group in groups[len(self._schedules) :] if "lr_scale" not in group]
        try:
            for group, scale in zip(groups, state["lr_scales"], strict=True):
                if any(group is one for one in added):  # it was added in the saved run too
                    group["lr_scale"] = scale
            self._adopt_new_groups()
            if self.on_config_change == "raise":
                self._check_unchanged(state)
        except ValueError:
            for group in added:
                group.pop("lr_scale", None)
            self._set_schedules(before[0])
            self.base_lrs = before[1]
            self._forget_table()
            raise
        for group, scale in zip(groups, state["lr_scales"], strict=True):
            if scale != 1.0:
                group.setdefault("lr_scale", scale)
        self.last_epoch = state["last_epoch"]
        self._step_count = state["_step_count"]
        self._last_lr = state["_last_lr"]
        self.multiplier, self.min_lr = state["multiplier"], state["min_lr"]
        self._first_step_done, self._repeated_calls = False, 0
        self._forget_table()
        if self._counter is not None:
            self._counter.pending = state["pending_updates"]
        self._watch_lightning()
        if self.last_epoch >= 0:
            self._write_rates()

    def _rates_of_step(self, k: int) -> list[float]:
        """The rate of each distinct schedule at step k, without multiplier and scale."""
        if k < 0:  # it waits for its turn in a SequentialLR
            return []
        if k == self._table_start and self._table_size:  # a function is asked once for each step
            return list(self._first_rates)
        return [self._rate(one, k) for one in self._distinct]

    def _check_unchanged(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        changes = differences(state, own)
        for i, (group, saved) in enumerate(
            zip(self.optimizer.param_groups, state["lr_scales"], strict=True)
        ):
            if "lr_scale" in group and lr_scale(group["lr_scale"], i) != saved:
                changes.append(f"lr_scale of group {i}: saved {saved!r}, now {group['lr_scale']!r}")
        if not changes:
            k, saved_rates = state["last_epoch"], state["schedule_rates"]
            rates = self._rates_of_step(k)
            if repr(rates) != repr(saved_rates):  # repr: NaN is NaN, and every bit shows
                changes.append(f"rates at step {k}: saved {saved_rates}, now {rates}")
        if changes:
            raise ValueError(
                "The state was saved under another configuration: "
                + "; ".join(changes)
                + '. Construct the scheduler as it was, or with on_config_change="use_new" to go on '
                "from the saved step under the new one."
            )

    def __getstate__(self) -> dict[str, Any]:
        pending = None if self._counter is None else self._counter.pending
        watched = None if self._watch is None else self._watch.pending
        turn = self._governed.has_turn(self)
        return self.__dict__ | {"_counter": pending, "_watch": watched, "_governed": turn}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._governed = governed(self.optimizer)
        self._governed.join(self)
        if state["_governed"]:
            self._governed.take_turn(self)
        if self.count == "updates":
            self._counter = UpdateCounter(self.optimizer, pending=state["_counter"])
        if state["_watch"] is not None:
            self._first_step_done = False  # Lightning may be loaded here or not: ask again
            self._watch_lightning(pending=state["_watch"])

    def __repr__(self) -> str:
        shown = repr(self._distinct[0]) if len(self._distinct) == 1 else repr(self._schedules)
        bound = f", min_lr={self.min_lr}" if self.min_lr else ""
        factor = f", multiplier={self.multiplier}{bound}" if self.multiplier != 1.0 else ""
        return f"{type(self).__name__}({shown}, last_epoch={self.last_epoch}{factor})"


def checked_last_epoch(last_epoch: Any) -> int:
    """A step, or -1."""
    if isinstance(last_epoch, bool) or not isinstance(last_epoch, Integral) or last_epoch < -1:
        raise ValueError(
            "Argument `last_epoch` must be an integer >= -1: -1 starts at step 0, k - 1 at step k. "
            f"Received: last_epoch={last_epoch!r}."
        )
    return int(last_epoch)


def check_epoch(scheduler: LRScheduler, epoch: Any) -> None:
    """Refuse what is neither an integer nor nothing."""
    if epoch is not None and (isinstance(epoch, bool) or not isinstance(epoch, Integral)):
        raise TypeError(  # it is what users of a plateau pass
            f"{type(scheduler).__name__}.step() takes no metric, only an integer `epoch` to jump to. "
            f"Received: {epoch!r}. Call step() without an argument."
        )


def _not_negative(name: str, value: Any) -> float:
    rate = check.rate(name, value)
    if rate < 0:
        raise ValueError(f"Argument `{name}` must be >= 0. Received: {name}={value!r}.")
    return rate


def _product(rates: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    if factor == 1.0:
        return rates
    with np.errstate(all="ignore"):
        return cast("NDArray[np.float32]", float32.multiply(rates, np.float32(factor)))
