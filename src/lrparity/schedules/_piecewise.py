"""Lists of epochs or updates in Python: straight lines between points, and steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Number
from lrparity.schedules._formula import Arithmetic, ConfiguredSchedule, PythonSchedule
from lrparity.schedules._schedule import UNITS, Unit

Comparison = Literal[">", ">=", "<", "<="]

ARITHMETIC = ("float64", "float32")
COMPARISONS = (">", ">=", "<", "<=")


@dataclass(frozen=True, repr=False)
class PiecewiseLinear(ConfiguredSchedule):
    """Straight lines from point to point, as ``numpy.interp`` draws them.

    ::

        lr = values[0]                                          where step <= boundaries[0]
             slope * (step - boundaries[i]) + values[i]         where boundaries[i] <= step < boundaries[i+1]
             values[-1]                                         where step >= boundaries[-1]
        slope = (values[i+1] - values[i]) / (boundaries[i+1] - boundaries[i])

    Args:
        boundaries: the steps of the points, strictly increasing.
        values: the rates there, one for each boundary.
        unit: what the step counts, ``"update"`` or ``"epoch"``.
        arithmetic: ``"float64"``: Python's, as ``numpy.interp`` in a callback.  ``"float32"``:
            TensorFlow's, in both numerics; the slopes are Python's all the same.
        name: without effect.

    Before the first point and after the last one the rate is constant.  Functions that begin at 0
    without saying so have a point ``(0, 0.0)``: write it.

    Raises:
        ValueError: the two lists are empty or of different length, the boundaries do not increase or
            are not finite, a value is not finite in float32, or the ``unit`` or ``arithmetic`` is unknown.
        TypeError: an argument is not a sequence of real numbers.

    Source: ``numpy.interp(step, boundaries, values)``, which such callbacks call; ``piecewise_linear``
    in bert4keras/backend.py has the same order of operations in float32, and multiplies updates with
    it.  torch's ``LinearLR`` is one such line, multiplied step by step.

    >>> schedule = PiecewiseLinear([0, 1000, 2000], [0.0, 0.1, 0.01])
    >>> [round(schedule(k), 6) for k in (0, 500, 1000, 1500, 2000, 9999)]
    [0.0, 0.05, 0.1, 0.055, 0.01, 0.01]
    """

    boundaries: Sequence[float]
    values: Sequence[float]
    unit: Unit = "update"
    arithmetic: Arithmetic = "float64"
    name: str | None = "PiecewiseLinear"

    def __post_init__(self) -> None:
        boundaries = check.increasing("boundaries", self.boundaries)
        values = tuple(
            check.schedule_rate("values", one) for one in check.listed("values", self.values)
        )
        if len(boundaries) != len(values) or not values:
            raise ValueError(
                "`boundaries` and `values` must have one length, of at least 1: the points that the "
                f"lines go through. Received: boundaries={list(boundaries)} of length "
                f"{len(boundaries)} and values={list(values)} of length {len(values)}."
            )
        self._settle(
            boundaries=boundaries,
            values=values,
            unit=check.choice("unit", self.unit, UNITS),
            arithmetic=check.choice("arithmetic", self.arithmetic, ARITHMETIC),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        x = np.array(self.boundaries, np.float64)
        y = np.array(self.values, np.float64)
        if len(y) == 1:
            return number.constant(self.values[0])
        slopes = np.diff(y) / np.diff(x)
        i = (np.searchsorted(x, step.value, side="right") - 1).clip(0, len(slopes) - 1)
        begin, height = number.table(x[i]), number.table(y[i])
        line = number.table(slopes[i]) * (step - begin) + height
        first, last = number.constant(y[0]), number.constant(y[-1])
        held = number.chosen(step.value >= x[-1], last, line)
        return number.chosen(step.value <= x[0], first, held)


@dataclass(frozen=True, repr=False)
class MultiStepDecay(PythonSchedule):
    """One rate between two milestones, as an ``if`` for each milestone says it.

    ::

        n = how many milestones m have been passed:
            comparison ">":     step + offset >  m          comparison "<=": the same
            comparison ">=":    step + offset >= m          comparison "<":  the same
        lr = initial_learning_rate * factor ** n            factor a number
             initial_learning_rate * factor[n]              factor a list

    The comparison is the one that stands in the function to be translated:
    ``if epoch > 80: lr *= 0.1`` is ``">"``; ``if epoch <= 80: return 0.1`` is ``"<="``, and that a
    milestone has been passed is then what is *not* returned at.

    Args:
        initial_learning_rate: the rate before the first milestone.  1.0, with the rates themselves as
            ``factor``, for lists of rates.
        milestones: steps, strictly increasing, not necessarily whole.
        factor: a number, multiplied once per milestone; or a list with a factor for each level, one
            more than milestones.  A list of the same length as ``milestones`` leaves out the first
            level's 1.
        comparison: ``">"``, ``">="``, ``"<"`` or ``"<="``.
        offset: added to the step before it is compared; 1 for functions that count from 1.
        unit: what the step counts, ``"epoch"`` or ``"update"``.
        name: without effect.

    There is no end; before the first milestone, and at negative steps, the rate is the first.

    Raises:
        ValueError: the milestones do not increase or are not finite, ``factor`` has another length, a
            rate is not finite in float32, or ``comparison`` or ``unit`` is unknown.
        TypeError: an argument is not a real number, or not a sequence of them.

    Source: ``lr_schedule`` in examples/cifar10_resnet.py, keras 2.2.4 (``">"`` with a list of factors),
    and ``LearningRateScheduler`` functions of that kind.  torch's ``MultiStepLR(milestones, gamma)``
    changes at a milestone, which is ``">="``, and multiplies step by step.
    :class:`PiecewiseConstantDecay` is the schedule that TensorFlow computes, ``"<="``.

    >>> schedule = MultiStepDecay(1e-3, [80, 120], [0.1, 0.01])
    >>> [round(schedule(epoch), 6) for epoch in (80, 81, 120, 121)]
    [0.001, 0.0001, 0.0001, 1e-05]
    >>> listed = MultiStepDecay(1.0, [3, 7], [1e-3, 1e-4, 1e-5], comparison="<")
    >>> [round(listed(epoch), 6) for epoch in (2, 3, 6, 7)]
    [0.001, 0.0001, 0.0001, 1e-05]
    """

    initial_learning_rate: float
    milestones: Sequence[float]
    factor: float | Sequence[float]
    comparison: Comparison = ">"
    offset: float = 0
    unit: Unit = "epoch"
    name: str | None = "MultiStepDecay"

    def __post_init__(self) -> None:
        milestones = check.increasing("milestones", self.milestones)
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            milestones=milestones,
            factor=self._factors(len(milestones)),
            comparison=check.choice("comparison", self.comparison, COMPARISONS),
            offset=check.number("offset", self.offset),
            unit=check.choice("unit", self.unit, UNITS),
            name=check.text("name", self.name),
        )

    def _factors(self, milestones: int) -> float | tuple[float, ...]:
        factor: Any = self.factor
        if not check.is_list(factor):
            return float(check.number("factor", factor))
        factors = tuple(check.schedule_rate("factor", one) for one in factor)
        if len(factors) not in (milestones, milestones + 1):
            raise ValueError(
                f"Argument `factor` must be a number, or a list of {milestones + 1}, one for each "
                f"level of {milestones} milestones (the first, 1, may be left out). "
                f"Received: factor={list(factors)} of length {len(factors)}."
            )
        return factors

    def _formula(self, number: type[Number], step: Number) -> Number:
        moment = (step + self.offset).value
        side: Literal["left", "right"] = "left" if self.comparison in (">", "<=") else "right"
        passed = np.searchsorted(np.array(self.milestones, np.float64), moment, side=side)
        levels = self.initial_learning_rate * self._levels(number)
        return number.variable(levels.value[passed])

    def _levels(self, number: type[Number]) -> Number:
        n = len(self.milestones)
        if isinstance(self.factor, Sequence):
            return number.variable(np.array((1.0, *self.factor)[-n - 1 :], np.float64))
        return number.constant(self.factor).power(number.variable(np.arange(n + 1)))
