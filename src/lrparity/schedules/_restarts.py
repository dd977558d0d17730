"""Cosines that Python callbacks draw: one after another, with or without both of their ends.

What differs between them is not the cosine but where a cycle ends: :class:`SnapshotCosine` never
reaches its lowest rate, :class:`InclusiveCosineRestarts` does, and :class:`SGDRScheduler` does so in
the first batch of the next cycle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Moment, Number
from lrparity.schedules._formula import PythonSchedule, asked, raw
from lrparity.schedules._keras import CosineDecay, CosineDecayRestarts
from lrparity.schedules._schedule import UNITS, Unit

MOST_CYCLES = 10**6
"""Cycles that are followed one by one; more of them would not end in reasonable time."""


@dataclass(frozen=True, repr=False)
class SnapshotCosine(PythonSchedule):
    """Equal half cosines from the highest rate, as snapshot ensembles are trained.

    ::

        c = n_epochs // n_cycles
        lr = lr_max / 2 * (cos(pi * (epoch mod c) / c) + 1)

    Args:
        n_epochs: epochs of the whole training.
        n_cycles: how many cosines, one for each snapshot.
        lr_max: the rate that each begins with.
        name: without effect.

    The unit is the epoch, counted from 0.  A cycle's last epoch is ``c - 1``, so that 0 is never
    reached.  Past ``n_epochs`` it goes on cycling, and so it does within them, for
    ``n_epochs % n_cycles`` epochs, if they do not divide.  Negative epochs are in the cycles before.

    Raises:
        ValueError: ``n_cycles`` is above ``n_epochs`` (the callback divides by 0 then), a count is
            not whole or below 1, or ``lr_max`` is not finite in float32.
        TypeError: an argument is not a real number.

    Source: ``SnapshotCallbackBuilder(nb_epochs, nb_snapshots, init_lr)`` in keras_contrib/callbacks/
    snapshot.py and titu1994/Snapshot-Ensembles.  torch's ``CosineAnnealingWarmRestarts(T_0)`` has the
    same cycles, written as ``eta_min + (lr - eta_min) * (1 + cos) / 2``.

    >>> schedule = SnapshotCosine(100, n_cycles=5, lr_max=0.1)
    >>> [round(schedule(epoch), 6) for epoch in (0, 10, 19, 20, 100)]
    [0.1, 0.05, 0.000616, 0.1, 0.1]
    """

    n_epochs: int
    n_cycles: int
    lr_max: float
    name: str | None = "SnapshotCosine"

    unit = "epoch"

    def __post_init__(self) -> None:
        n_epochs = check.whole_number("n_epochs", self.n_epochs, 1)
        n_cycles = check.whole_number("n_cycles", self.n_cycles, 1)
        if n_cycles > n_epochs:
            raise ValueError(
                f"Argument `n_cycles` must be at most `n_epochs`={n_epochs}: a cycle is an epoch or "
                f"more. Received: n_cycles={self.n_cycles!r}. Train longer, or take fewer cycles."
            )
        self._settle(
            n_epochs=n_epochs,
            n_cycles=n_cycles,
            lr_max=check.schedule_rate("lr_max", self.lr_max),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        cycle = self.n_epochs // self.n_cycles
        inner = number.PI * (step % cycle) / cycle
        return self.lr_max / 2 * (inner.cos() + 1)


@dataclass(frozen=True, repr=False)
class CosineAnnealing(PythonSchedule):
    """Half a cosine between two rates per epoch, which climbs back afterwards.

    ::

        lr = eta_min + (eta_max - eta_min) * (1 + cos(pi * epoch / t_max)) / 2

    Args:
        t_max: epochs from ``eta_max`` down to ``eta_min``.
        eta_max: the rate of epoch 0.
        eta_min: the lowest rate, at epoch ``t_max``; with ``t_max`` epochs of training the last one
            is ``t_max - 1``, above it.
        unit: what the step counts, ``"epoch"`` or ``"update"``.
        name: without effect.

    Past ``t_max`` it climbs back, and so on for ever.  Negative epochs mirror.

    Raises:
        ValueError: ``t_max`` is not > 0, an argument is NaN, a rate is not finite in float32, or
            ``unit`` is unknown.
        TypeError: an argument is not a real number.

    Source: ``CosineAnnealingScheduler(T_max, eta_max, eta_min)`` in 4uiiurz1/keras-cosine-annealing.
    torch's ``CosineAnnealingLR(T_max, eta_min)`` has the same rates, derived each from the one before.
    Keras' :class:`CosineDecay` holds its last rate, and its ``alpha`` is a fraction.

    >>> schedule = CosineAnnealing(100, eta_max=0.1, eta_min=0.01)
    >>> [round(schedule(epoch), 6) for epoch in (0, 50, 99, 100, 150)]
    [0.1, 0.055, 0.010022, 0.01, 0.055]
    """

    t_max: float
    eta_max: float
    eta_min: float = 0.0
    unit: Unit = "epoch"
    name: str | None = "CosineAnnealing"

    def __post_init__(self) -> None:
        self._settle(
            t_max=check.positive("t_max", self.t_max),
            eta_max=check.schedule_rate("eta_max", self.eta_max),
            eta_min=check.schedule_rate("eta_min", self.eta_min),
            unit=check.choice("unit", self.unit, UNITS),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        cosine = 1 + (number.PI * step / self.t_max).cos()
        return self.eta_min + (self.eta_max - self.eta_min) * cosine / 2


# --- cycles of growing length ---------------------------------------------------------------------


class _Place(NamedTuple):
    """Where steps stand: in which cycle, how long after its beginning, and the cycle's period."""

    cycle: NDArray[np.float64]
    since: NDArray[np.float64]
    period: NDArray[np.float64]


def _place(
    step: NDArray[np.float64],
    first: float,
    grown: Callable[[float], float],
    length: Callable[[float], float],
) -> _Place:
    """The place of each step, if a cycle of a period has a length and the next one has a grown period."""
    starts, periods = [0.0], [float(first)]
    furthest = float(step.max()) if step.size else 0.0
    repeats = 0.0
    while starts[-1] + length(periods[-1]) <= furthest:
        following = grown(periods[-1])
        if following == periods[-1]:  # all further ones are like this one
            repeats = length(following)
            break
        if len(starts) > MOST_CYCLES:
            raise ValueError(
                f"The restarts are followed cycle by cycle, up to the {MOST_CYCLES}th. "
                f"Received: step={furthest:.0f}, beyond it."
            )
        starts.append(starts[-1] + length(periods[-1]))
        periods.append(following)
    index = (np.searchsorted(starts, step, side="right") - 1).clip(0)
    cycle, since = index.astype(np.float64), step - np.array(starts)[index]
    if repeats:
        more = np.where(index == len(starts) - 1, np.floor(since / repeats), 0.0).clip(0)
        cycle, since = cycle + more, since - more * repeats
    return _Place(cycle, since, np.array(periods)[index])


def _heights(
    number: type[Number], highest: float, factor: float, cycle: NDArray[np.float64]
) -> Number:
    """``highest``, multiplied by ``factor`` once per cycle, in float64 as the callbacks do."""
    if factor == 1 or not cycle.size:
        return number.constant(highest)
    many = min(int(cycle.max()), MOST_CYCLES)
    heights = np.multiply.accumulate([highest, *[factor] * many])
    beyond = many == MOST_CYCLES and heights[-1] != heights[-2]
    if beyond and cycle.max() > many:
        raise ValueError(
            f"The highest rate is multiplied cycle by cycle, up to the {MOST_CYCLES}th. "
            f"Received a step in cycle {cycle.max():.0f}."
        )
    return number.variable(heights[np.minimum(cycle, many).astype(np.int64)])


@dataclass(frozen=True, repr=False)
class SGDRScheduler(PythonSchedule):
    """Cosine annealing with warm restarts per batch: the callback of J. Jordan's article.

    ::

        k = 0:        lr = max_lr
        otherwise:    b = batches trained since the restart before batch k - 1
                      lr = min_lr + 0.5 * (max - min_lr) * (1 + cos(b / (steps_per_epoch * length) * pi))
        restart, after the last batch of each ``length`` epochs:
                      b = 0;  length = ceil(length * mult_factor);  max = max * lr_decay

    where k counts updates from 0.

    A batch's end sets the next batch's rate, and only then the epoch's end restarts.  So **the first
    batch of each cycle but the first trains at min_lr**, the end of the cycle before, and the second
    one is already a batch below ``max``, which no batch but the very first has.

    Args:
        min_lr: the lowest rate.
        max_lr: the highest rate.
        steps_per_epoch: batches per epoch.  If it is not whole, ``samples / batch_size``, Keras trains
            the next whole number of batches, and the cosine passes its end by a part of one.
        lr_decay: the factor of the highest rate at each restart; ktrain's default is 0.9.
        cycle_length: epochs of the first cycle.
        mult_factor: how much longer each cycle is, rounded up to whole epochs.
        name: without effect.

    The unit is the update.  There is no end.  A negative step mirrors the first cycle.

    Raises:
        ValueError: ``cycle_length`` is not a whole number of at least 1 (the callback never restarts
            then), ``steps_per_epoch`` or ``mult_factor`` is not > 0, or an argument is NaN; when
            called, for a step beyond a million cycles.
        TypeError: an argument is not a real number.

    Source: J. Jordan, "Setting the learning rate of your neural network", 2018;
    ktrain/lroptimize/sgdr.py in amaiya/ktrain, commit 2a98352.  torch's
    ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)`` restarts in time, has no decay, and takes
    whole factors only.

    >>> schedule = SGDRScheduler(0.01, 0.1, steps_per_epoch=10, cycle_length=1)
    >>> [round(schedule(k), 6) for k in (0, 5, 9, 10, 11, 20, 30, 31)]
    [0.1, 0.055, 0.012202, 0.01, 0.099446, 0.055, 0.01, 0.099861]
    """

    min_lr: float
    max_lr: float
    steps_per_epoch: float
    lr_decay: float = 1
    cycle_length: int = 10
    mult_factor: float = 2
    name: str | None = "SGDRScheduler"

    def __post_init__(self) -> None:
        self._settle(
            min_lr=check.schedule_rate("min_lr", self.min_lr),
            max_lr=check.schedule_rate("max_lr", self.max_lr),
            steps_per_epoch=check.positive("steps_per_epoch", self.steps_per_epoch),
            lr_decay=check.number("lr_decay", self.lr_decay),
            cycle_length=check.whole_number("cycle_length", self.cycle_length, 1),
            mult_factor=check.positive("mult_factor", self.mult_factor),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        step = np.asarray(raw(moment), np.float64)
        batches = math.ceil(self.steps_per_epoch)
        before = _place(
            step - 1,  # the batch whose end has set the rate
            self.cycle_length,
            lambda epochs: float(np.ceil(epochs * self.mult_factor)),
            lambda epochs: epochs * batches,
        )
        highest = _heights(number, self.max_lr, self.lr_decay, before.cycle)
        part = number.variable(before.since + 1) / number.variable(
            self.steps_per_epoch * before.period
        )
        cosine = 1 + (part * number.PI).cos()
        rate = self.min_lr + 0.5 * (highest - self.min_lr) * cosine
        return number.chosen(step == 0, number.constant(self.max_lr), rate)


@dataclass(frozen=True, repr=False)
class InclusiveCosineRestarts(PythonSchedule):
    """Half cosines that include both of their ends: a cycle of n has n + 1 rates.

    ::

        t = steps since the last restart;  a restart follows t = period
        lr = lr_low + 0.5 * (high - lr_low) * (1 + cos(pi * t / period))
        restart:    period = period * period_mult       (unit "update": int(period * period_mult))
                    high = high * high_lr_mult

    Args:
        lr_high: the rate at step 0.
        lr_low: the rate at the end of each cycle.
        initial_period: steps from the first rate of the first cycle to its last one.
        period_mult: how much longer each period is.  For ``unit="epoch"`` a period that is not whole
            is never completed: there is no further restart, and the cosine climbs back.
        high_lr_mult: the factor of the highest rate at each restart; 0.97 in keras-transformer, 1 in
            EfficientDet.
        unit: what the step counts.  ``"epoch"`` is keras-transformer's function, ``"update"``
            EfficientDet's callback, which cuts the periods to whole ones.
        name: without effect.

    There is no end.  A negative step mirrors the first cycle; keras-transformer's function refuses it.

    Raises:
        ValueError: ``initial_period`` is not a whole number of at least 1, ``period_mult`` is not
            > 0, or below 1 with ``unit="update"`` (periods would shrink to 0), an argument is NaN, or
            ``unit`` is unknown; when called, for a step beyond a million cycles.
        TypeError: an argument is not a real number.

    Source: ``CosineLRSchedule`` in example/utils.py of kpot/keras-transformer, commit 7e937ff, and
    ``CosineAnnealingScheduler`` in callbacks.py of xuannianz/EfficientDet, commit d6cb9ed.  The latter
    starts two updates after its ``start_iteration``, from the float32 rate that the optimizer has until
    then; NumPy 2 subtracts ``lr_low`` from that in float32, NumPy 1 in float64, as here.  torch's
    ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)`` leaves the low end out.

    >>> schedule = InclusiveCosineRestarts(0.1, 0.01, initial_period=4)
    >>> [round(schedule(epoch), 6) for epoch in (0, 2, 4, 5, 9, 13, 14)]
    [0.1, 0.055, 0.01, 0.1, 0.055, 0.01, 0.1]
    """

    lr_high: float
    lr_low: float
    initial_period: int
    period_mult: float = 2
    high_lr_mult: float = 1.0
    unit: Unit = "epoch"
    name: str | None = "InclusiveCosineRestarts"

    def __post_init__(self) -> None:
        unit = check.choice("unit", self.unit, UNITS)
        mult = check.positive("period_mult", self.period_mult)
        if unit == "update" and mult < 1:
            raise ValueError(
                "Argument `period_mult` must be at least 1 with unit='update', where periods are cut "
                f"to whole ones and would shrink to 0. Received: period_mult={self.period_mult!r}."
            )
        self._settle(
            lr_high=check.schedule_rate("lr_high", self.lr_high),
            lr_low=check.schedule_rate("lr_low", self.lr_low),
            initial_period=check.whole_number("initial_period", self.initial_period, 1),
            period_mult=mult,
            high_lr_mult=float(check.number("high_lr_mult", self.high_lr_mult)),
            unit=unit,
            name=check.text("name", self.name),
        )

    def _grown(self, period: float) -> float:
        grown = period * self.period_mult
        return grown if self.unit == "epoch" else float(math.floor(grown))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        here = _place(
            np.asarray(raw(moment), np.float64),
            self.initial_period,
            self._grown,
            lambda period: period + 1 if period.is_integer() else math.inf,
        )
        highest = _heights(number, self.lr_high, self.high_lr_mult, here.cycle)
        since, period = number.variable(here.since), number.variable(here.period)
        by_epoch = self.unit == "epoch"
        angle = number.PI * since / period if by_epoch else number.PI * (since / period)
        return self.lr_low + 0.5 * (highest - self.lr_low) * (1 + angle.cos())


@dataclass(frozen=True, repr=False)
class CosineLrSchedulerEpoch(PythonSchedule):
    """Keras' cosine restarts per epoch, with a warm-up before and a rest at the lowest rate between.

    ::

        e < warmup_steps:    lr = low + (lr_base - low) * e / warmup_steps;  low = lr_warmup, or lr_min
        then, four times:    a cycle of CosineDecayRestarts(lr_base, first_restart_step, t_mul, m_mul,
                             alpha=lr_min / lr_base), which does not count the warm-up and the rests
                             cooldown_steps epochs at lr_min
        afterwards:          lr_min

    where e is the epoch, from 0.

    Args:
        lr_base: the rate after the warm-up.
        first_restart_step: epochs of the first cycle.
        m_mul: how much higher each cycle starts.  With ``lr_min == lr_base * m_mul`` there is one
            cycle only, ``CosineDecay(lr_base, first_restart_step, alpha=lr_min / lr_base)``, of the
            epoch itself: the warm-up then covers its beginning and does not shift it.
        t_mul: how much longer each cycle is; the cycles' ends are cut to whole epochs.
        lr_min: the lowest rate.
        lr_warmup: the rate of epoch 0 with a warm-up; none > 0 means ``lr_min``.
        warmup_steps: epochs of the warm-up.
        cooldown_steps: epochs of each rest.
        name: without effect.

    The unit is the epoch.  The cosines are float32, as Keras computes them, the warm-up is Python's
    float64.  After the fourth rest the rate stays at ``lr_min``.

    Raises:
        ValueError: ``first_restart_step`` or ``t_mul`` is not > 0, ``lr_base`` is 0,
            ``warmup_steps`` or ``cooldown_steps`` is no whole number, or an argument is NaN.
        TypeError: an argument is not a real number.

    Source: myCallbacks.py in leondgarse/Keras_insightface, commit 03cb43f.  torch's
    ``CosineAnnealingWarmRestarts`` has neither warm-up nor rests, nor an ``m_mul``.

    >>> schedule = CosineLrSchedulerEpoch(0.1, 4, lr_min=1e-3, warmup_steps=2)
    >>> [round(schedule(epoch), 6) for epoch in (0, 1, 2, 4, 5, 6, 7, 15, 16)]
    [0.001, 0.0505, 0.1, 0.0505, 0.015498, 0.001, 0.0505, 0.001, 0.02575]
    """

    lr_base: float
    first_restart_step: float
    m_mul: float = 0.5
    t_mul: float = 2.0
    lr_min: float = 1e-6
    lr_warmup: float = -1
    warmup_steps: int = 0
    cooldown_steps: int = 1
    name: str | None = "CosineLrSchedulerEpoch"

    unit = "epoch"

    def __post_init__(self) -> None:
        base = check.schedule_rate("lr_base", self.lr_base)
        if base == 0:
            raise ValueError(
                "Argument `lr_base` must not be 0: the lowest rate is a fraction of it. "
                f"Received: lr_base={self.lr_base!r}."
            )
        self._settle(
            lr_base=base,
            first_restart_step=check.positive("first_restart_step", self.first_restart_step),
            m_mul=check.number("m_mul", self.m_mul),
            t_mul=check.positive("t_mul", self.t_mul),
            lr_min=check.schedule_rate("lr_min", self.lr_min),
            lr_warmup=check.rate("lr_warmup", self.lr_warmup),
            warmup_steps=check.whole_number("warmup_steps", self.warmup_steps, 0),
            cooldown_steps=check.whole_number("cooldown_steps", self.cooldown_steps, 0),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        step = number.of_moment(moment)
        rate = self._decayed(number, step)
        if not self.warmup_steps:
            return rate
        low = self.lr_warmup if self.lr_warmup > 0 else self.lr_min
        warm = low + (self.lr_base - low) * step / self.warmup_steps
        return number.chosen(step.value < self.warmup_steps, warm, rate)

    def _decayed(self, number: type[Number], step: Number) -> Number:
        alpha, length = self.lr_min / self.lr_base, self.first_restart_step
        if self.lr_min == self.lr_base * self.m_mul:
            return asked(CosineDecay(self.lr_base, length, alpha), number, step)
        restarts = CosineDecayRestarts(self.lr_base, length, self.t_mul, self.m_mul, alpha)
        ends = self._ends()
        rests = np.searchsorted(ends, step.value, side="right") % len(ends)
        trained = step - number.variable(self.cooldown_steps * rests) - self.warmup_steps
        decayed = asked(restarts, number, trained)
        resting = step.value >= ends[rests] - self.cooldown_steps
        return number.chosen(resting, number.constant(self.lr_min), decayed)

    def _ends(self) -> NDArray[np.int64]:
        """The epochs after each of the four rests."""
        lengths = [self.first_restart_step * self.t_mul**i for i in range(5)]
        return np.array(
            [
                self.warmup_steps
                + int(sum(lengths[:i]) + self.cooldown_steps * (i - 1))
                + self.cooldown_steps
                for i in range(1, 5)
            ]
        )
