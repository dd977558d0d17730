"""One cycle: up to the highest rate, down again, and a tail far below where it began.

Five callbacks go by the name, and no two have the same rates.  All compute in Python's float64, and
Keras rounds what they assign.  Only the learning rate is here; the phases stand apart from the rates,
because the momentum of the same callbacks mirrors them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Number
from lrparity.schedules._formula import PythonSchedule


@dataclass(frozen=True, repr=False)
class OneCycleLR(PythonSchedule):
    """Up and down linearly, then down to a hundredth: the callback of keras-one-cycle.

    ::

        n = epochs * num_samples // batch_size
        mid = int(n * (1 - end_percentage) / 2)
        s = scale_percentage, or end_percentage if that is None
        k <= mid:            p = k / mid;                      lr = max_lr * (1 + p * (100 s - 1)) * s
        mid < k <= 2 mid:    p = 1 - (k - mid) / mid;          lr = max_lr * (1 + p * (100 s - 1)) * s
        2 mid < k <= n:      p = (k - 2 mid) / (n - 2 mid);    lr = max_lr * (1 - p * 99 / 100) * s

    where k counts updates from 0.

    Args:
        num_samples: samples per epoch.
        batch_size: samples per update.  From a generator of ``steps`` batches the callback counts
            batches: ``num_samples=steps, batch_size=1``.
        epochs: as many as the ``fit``.
        max_lr: ten times the rate at the start with the default scale.  The highest rate is
            ``100 * s**2`` times it, so that only ``s = 0.1`` peaks at ``max_lr``.
        end_percentage: the part of the updates that the tail takes, 0 to 1.
        scale_percentage: s; 0 to 1.
        name: without effect.

    The unit is the update.  A last batch that is not full makes more updates than n: the callback
    then starts over, at k = 1 and not at 0, and so it does in a longer ``fit``.  A negative step
    extrapolates downwards.

    Raises:
        ValueError: a percentage is not between 0 and 1, a count is not whole or below 1, or the
            cycle has no update (the callback divides by 0 then).
        TypeError: an argument is not a real number.

    Source: clr.py in titu1994/keras-one-cycle, commit 0f8b873; older versions took ``num_samples`` and
    ``batch_size`` as this class does.  torch's ``OneCycleLR`` goes along cosines unless
    ``anneal_strategy="linear"``, divides by a ``div_factor``, and has a tail with ``three_phase``
    only, at fractional steps.

    >>> schedule = OneCycleLR(num_samples=1000, batch_size=10, epochs=1, max_lr=0.1)
    >>> [round(schedule(k), 6) for k in (0, 45, 90, 95, 100, 101)]
    [0.01, 0.1, 0.01, 0.00505, 0.0001, 0.012]
    """

    num_samples: int
    batch_size: int
    epochs: int
    max_lr: float
    end_percentage: float = 0.1
    scale_percentage: float | None = None
    name: str | None = "OneCycleLR"

    def __post_init__(self) -> None:
        scale = self.scale_percentage
        self._settle(
            num_samples=check.whole_number("num_samples", self.num_samples, 1),
            batch_size=check.whole_number("batch_size", self.batch_size, 1),
            epochs=check.whole_number("epochs", self.epochs, 1),
            max_lr=check.schedule_rate("max_lr", self.max_lr),
            end_percentage=check.fraction("end_percentage", self.end_percentage),
            scale_percentage=None if scale is None else check.fraction("scale_percentage", scale),
            name=check.text("name", self.name),
        )
        if not self._middle:
            raise ValueError(
                "A cycle needs an update up and one down. Received: "
                f"num_samples={self.num_samples}, batch_size={self.batch_size}, "
                f"epochs={self.epochs}, which makes {self._iterations} updates, and "
                f"end_percentage={self.end_percentage}. Train longer, or lower end_percentage."
            )

    @property
    def _iterations(self) -> int:
        return self.epochs * self.num_samples // self.batch_size

    @property
    def _middle(self) -> int:
        return int(self._iterations * (1.0 - self.end_percentage) / 2.0)

    def _phases(self, number: type[Number], step: Number) -> tuple[Any, Number, Number]:
        """Where the tail is, how far up the triangle a step stands, and how far down the tail."""
        n, middle = self._iterations, self._middle
        k = number.chosen(step.value > n, (step - 1.0) % n + 1.0, step)
        falls = 1.0 - (k - middle) / middle
        height = number.chosen(k.value > middle, falls, k / middle)
        return k.value > 2 * middle, height, (k - 2 * middle) / (n - 2 * middle)

    def _formula(self, number: type[Number], step: Number) -> Number:
        s = self.end_percentage if self.scale_percentage is None else self.scale_percentage
        in_tail, height, depth = self._phases(number, step)
        triangle = self.max_lr * (1.0 + height * (s * 100 - 1.0)) * s
        tail = self.max_lr * (1.0 + depth * (1.0 - 100.0) / 100.0) * s
        return number.chosen(in_tail, tail, triangle)


@dataclass(frozen=True, repr=False)
class OneCycleScheduler(PythonSchedule):
    """Up and down linearly, then down to a thousandth: the callback of Géron's notebooks.

    ::

        start = start_rate or max_rate / 10
        last = last_rate or start / 1000
        half = (iterations - (last_iterations or iterations // 10 + 1)) // 2
        k < half:        from start (k = 0)         to max_rate (k = half)
        k < 2 half:      from max_rate (k = half)   to start (k = 2 half)
        otherwise:       from start (k = 2 half)    to last (k = iterations)
        lr = (rate2 - rate1) * (k - k1) / (k2 - k1) + rate1

    where k counts updates from 0.

    Args:
        iterations: updates of the whole training.
        max_rate: the highest rate.
        start_rate: the rate at step 0; None means a tenth of ``max_rate``.  So does 0.
        last_iterations: updates of the tail; None means a tenth of all, and one.  So does 0.
        last_rate: the rate at ``iterations``; None means a thousandth of the start.  So does 0.
        hold: whether ``last_rate`` is held from ``iterations`` on, as in the first notebooks.  The
            later ones go on falling at the same pace, below 0 soon.
        name: without effect.

    The unit is the update; the callback sets a batch's rate at its beginning.  The last batch is
    ``iterations - 1``, one update before ``last_rate``.  A negative step extrapolates downwards.

    Raises:
        ValueError: ``iterations`` is no whole number of at least 1, or ``last_iterations`` no whole
            number up to it; an argument is NaN.
        TypeError: an argument is not a real number.

    Source: 11_training_deep_neural_networks.ipynb in ageron/handson-ml2 and handson-ml3, A. Géron.
    torch's ``OneCycleLR`` goes along cosines unless ``anneal_strategy="linear"``, begins at
    ``max_lr / div_factor`` with a factor of 25, and has a tail with ``three_phase`` only.

    >>> schedule = OneCycleScheduler(100, max_rate=0.1)
    >>> [round(schedule(k), 6) for k in (0, 22, 44, 88, 94, 99, 100)]
    [0.01, 0.055, 0.1, 0.01, 0.005005, 0.000843, 1e-05]
    """

    iterations: int
    max_rate: float
    start_rate: float | None = None
    last_iterations: int | None = None
    last_rate: float | None = None
    hold: bool = False
    name: str | None = "OneCycleScheduler"

    def __post_init__(self) -> None:
        start, last, tail = self.start_rate, self.last_rate, self.last_iterations
        iterations = check.whole_number("iterations", self.iterations, 1)
        tail = None if tail is None else check.whole_number("last_iterations", tail, 0)
        if tail and tail > iterations:
            raise ValueError(
                f"Argument `last_iterations` must be at most `iterations`={iterations}: the tail is "
                f"a part of it. Received: last_iterations={self.last_iterations!r}."
            )
        self._settle(
            iterations=iterations,
            max_rate=check.schedule_rate("max_rate", self.max_rate),
            start_rate=None if start is None else check.schedule_rate("start_rate", start),
            last_iterations=tail,
            last_rate=None if last is None else check.schedule_rate("last_rate", last),
            hold=check.flag("hold", self.hold),
            name=check.text("name", self.name),
        )

    def _phases(self) -> tuple[int, int]:
        """The updates of the peak and of the beginning of the tail."""
        half = (self.iterations - (self.last_iterations or self.iterations // 10 + 1)) // 2
        return half, 2 * half

    def _formula(self, number: type[Number], step: Number) -> Number:
        peak, tail = self._phases()
        highest = self.max_rate
        start = self.start_rate or highest / 10
        last = self.last_rate or start / 1000
        up = _between(step, 0, peak, start, highest)
        down = _between(step, peak, tail, highest, start)
        out = _between(step, tail, self.iterations, start, last)
        out = out.maximum(last) if self.hold else out
        return number.chosen(step.value < peak, up, number.chosen(step.value < tail, down, out))


def _between(step: Number, first: int, last: int, rate1: float, rate2: float) -> Number:
    """The straight line through two points."""
    return (rate2 - rate1) * (step - first) / (last - first) + rate1


@dataclass(frozen=True, repr=False)
class CosineOneCycle(PythonSchedule):
    """Up and down along half cosines, as fastai does it: the callback of A. van Wyk.

    ::

        low = lr_max / div_factor;    end = lr_max / (div_factor * final_div_factor)
        first = steps * phase_1_pct;  second = steps - first        (not rounded)
        k < first:   lr = lr_max + (low - lr_max) / 2 * (cos(pi * (k / first)) + 1)
        otherwise:   j = k - (the number of updates from 1 that are < first)
                     lr = end + (lr_max - end) / 2 * (cos(pi * (j / second)) + 1)
        k = 0:       lr = low

    where k counts updates from 0.  The second phase begins at j = 1, so that ``lr_max`` itself is
    never used and the end comes one update early: with the defaults at ``steps - 1``, the last one.

    Args:
        lr_max: the highest rate, which the two halves meet at.
        steps: updates of the whole training.
        phase_1_pct: the part of them that goes up, 0 up to below 1.
        div_factor: how many times lower the rate begins.
        final_div_factor: how many times lower than its beginning it ends.  The callback has 1e4.
        name: without effect.

    The unit is the update.  Past the end the cosine climbs back.  A negative step mirrors the first
    phase.

    Raises:
        ValueError: ``steps``, ``div_factor`` or ``final_div_factor`` is not > 0, ``phase_1_pct`` is
            not in [0, 1), or an argument is NaN.
        TypeError: an argument is not a real number.

    Source: ``OneCycleScheduler`` in A. van Wyk's notebook "tf2-super-convergence-with-the-1cycle-policy",
    2019.  torch's ``OneCycleLR(max_lr, total_steps, pct_start, div_factor, final_div_factor)`` has the
    same shape and defaults, peaks at ``pct_start * total_steps - 1`` and refuses to go past the end.
    :class:`OneCycle` ends at 0 and has no gap at the peak.

    >>> schedule = CosineOneCycle(0.1, steps=100)
    >>> [round(schedule(k), 6) for k in (0, 15, 29, 30, 99, 100)]
    [0.004, 0.052, 0.099737, 0.09995, 0.0, 5.1e-05]
    """

    lr_max: float
    steps: float
    phase_1_pct: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    name: str | None = "CosineOneCycle"

    def __post_init__(self) -> None:
        self._settle(
            lr_max=check.schedule_rate("lr_max", self.lr_max),
            steps=check.positive("steps", self.steps),
            phase_1_pct=_first_part("phase_1_pct", self.phase_1_pct),
            div_factor=check.positive("div_factor", self.div_factor),
            final_div_factor=check.positive("final_div_factor", self.final_div_factor),
            name=check.text("name", self.name),
        )

    def _phases(self, number: type[Number], step: Number) -> tuple[Any, Number]:
        """Where the second phase is, and how far a step is in its phase."""
        first = self.steps * self.phase_1_pct
        before = max(math.ceil(first) - 1, 0)
        second = (step - before) / (self.steps - first)
        rises = (step.value < first) | (step.value <= 0)
        return ~rises, number.chosen(rises, step / first, second)

    def _formula(self, number: type[Number], step: Number) -> Number:
        low = self.lr_max / self.div_factor
        end = self.lr_max / (self.div_factor * self.final_div_factor)
        falls, part = self._phases(number, step)
        height = (number.PI * part).cos() + 1
        up = self.lr_max + (low - self.lr_max) / 2.0 * height
        down = end + (self.lr_max - end) / 2.0 * height
        at_low = (step.value == 0) | (self.phase_1_pct == 0)
        begun = number.chosen(at_low, number.constant(low), up)
        return number.chosen(falls, down, begun)


def _first_part(name: str, value: Any) -> float:
    """A fraction that leaves something for the second phase."""
    result = check.fraction(name, value)
    if result == 1:
        raise ValueError(
            f"Argument `{name}` must be below 1, to leave updates for the second phase. "
            f"Received: {name}={value!r}."
        )
    return result


@dataclass(frozen=True, repr=False)
class OneCycle(PythonSchedule):
    """Up along a half cosine, and down along another one to 0: keras_one_cycle_clr's callback.

    ::

        x = k / n_iter
        x < f:       lr = (cos(x * pi / f - pi) + 1) * (high - low) / 2 + low
        otherwise:   lr = (cos((x - f) * pi / (1 - f)) + 1) / 2 * high

    where low, high are the ``lr_range``, f is ``phase_one_fraction``, and k counts updates from 0.

    Args:
        lr_range: the rate at step 0 and the highest rate.
        n_iter: updates of the whole training, ``epochs * ceil(samples / batch_size)``.
        phase_one_fraction: the part of them that goes up, 0 up to below 1.
        name: without effect.

    The unit is the update; the callback sets a batch's rate at its beginning.  Past the end the
    cosine climbs back.  A negative step mirrors the first phase.

    Raises:
        ValueError: ``lr_range`` is not a pair, ``n_iter`` is not > 0, ``phase_one_fraction`` is not
            in [0, 1), or an argument is NaN.
        TypeError: an argument is not a real number, or ``lr_range`` not a sequence of them.

    Source: keras_one_cycle_clr/one_cycle.py in psklight/keras_one_cycle_clr, commit 6393861.  torch's
    ``OneCycleLR`` is the same shape with ``div_factor=high / low`` and a large ``final_div_factor``,
    stretched to ``total_steps - 1``.

    >>> schedule = OneCycle((0.01, 0.1), n_iter=100)
    >>> [round(schedule(k), 6) for k in (0, 15, 30, 65, 100)]
    [0.01, 0.055, 0.1, 0.05, 0.0]
    """

    lr_range: Sequence[float]
    n_iter: float
    phase_one_fraction: float = 0.3
    name: str | None = "OneCycle"

    def __post_init__(self) -> None:
        pair: Any = self.lr_range
        if isinstance(pair, str) or not isinstance(pair, Sequence | np.ndarray):
            raise TypeError(
                "Argument `lr_range` must be a pair, the rate at the start and the highest one. "
                f"Received: lr_range={pair!r}."
            )
        if len(pair) != 2:
            raise ValueError(
                "Argument `lr_range` must be a pair, the rate at the start and the highest one. "
                f"Received: lr_range={pair!r} of length {len(pair)}."
            )
        self._settle(
            lr_range=tuple(check.schedule_rate("lr_range", one) for one in pair),
            n_iter=check.positive("n_iter", self.n_iter),
            phase_one_fraction=_first_part("phase_one_fraction", self.phase_one_fraction),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        low, high = self.lr_range
        rises, angle = self._phases(number, step)
        height = angle.cos() + 1
        return number.chosen(rises, height * (high - low) / 2.0 + low, height / 2.0 * high)

    def _phases(self, number: type[Number], step: Number) -> tuple[Any, Number]:
        """Where the first phase is, and the angle that a step has in its phase."""
        f = self.phase_one_fraction
        x = step / self.n_iter
        rises = x.value < f
        up, down = x * number.PI / f - number.PI, (x - f) * number.PI / (1 - f)
        return rises, number.chosen(rises, up, down)


@dataclass(frozen=True, repr=False)
class TriangularOneCycle(PythonSchedule):
    """Up to the highest rate linearly, and down far below the start: ktrain's one cycle.

    ::

        cycle = floor(1 + k / (2 * step_size))
        x = abs(k / step_size - 2 * cycle + 1)
        b = final_lr   where (k mod 2 * step_size) / step_size > 1,   base_lr elsewhere
        lr = b + (max_lr - b) * max(0, 1 - x)

    where k counts updates from 0.

    Args:
        max_lr: the highest rate, at ``step_size``.
        step_size: updates up, and updates down.  ``fit_onecycle`` takes
            ``ceil(updates of the training / 2)``, ``autofit`` half an epoch.
        base_lr: the rate at step 0; None means a tenth of ``max_lr``, as ktrain has it.
        final_lr: the rate that the second half goes down to; None means a thousandth of ``max_lr``,
            as ktrain has it.
        name: without effect.

    The unit is the update.  At ``2 * step_size`` it starts again from ``base_lr``, for ever.  A
    negative step is in the cycle before.

    Raises:
        ValueError: ``step_size`` is below 1, or an argument is NaN.
        TypeError: an argument is not a real number.

    Source: ``fit_onecycle`` and ``autofit`` in ktrain/core.py and ``CyclicLR`` in
    ktrain/lroptimize/triangular.py, A. Maiya; the changes that ``reduce_on_plateau`` makes to it
    depend on the run and are not here.  torch's ``CyclicLR`` goes down to where it came from.

    >>> schedule = TriangularOneCycle(0.1, step_size=50)
    >>> [round(schedule(k), 6) for k in (0, 25, 50, 75, 99, 100)]
    [0.01, 0.055, 0.1, 0.05005, 0.002098, 0.01]
    """

    max_lr: float
    step_size: float
    base_lr: float | None = None
    final_lr: float | None = None
    name: str | None = "TriangularOneCycle"

    def __post_init__(self) -> None:
        base, final = self.base_lr, self.final_lr
        step_size = check.number("step_size", self.step_size)
        if step_size < 1:
            raise ValueError(
                "Argument `step_size` must be at least 1, an update up and one down. "
                f"Received: step_size={self.step_size!r}."
            )
        self._settle(
            max_lr=check.schedule_rate("max_lr", self.max_lr),
            step_size=step_size,
            base_lr=None if base is None else check.schedule_rate("base_lr", base),
            final_lr=None if final is None else check.schedule_rate("final_lr", final),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        base = self.max_lr / 10 if self.base_lr is None else self.base_lr
        final = self.max_lr / 1000 if self.final_lr is None else self.final_lr
        cycle = (1 + step / (2 * self.step_size)).floor()
        x = (step / self.step_size - 2 * cycle + 1).absolute()
        over = (step % (2 * self.step_size) / self.step_size).value > 1
        bottom = number.chosen(over, number.constant(final), number.constant(base))
        return bottom + (self.max_lr - bottom) * (1 - x).maximum(0)
