"""The momentum of the one-cycle callbacks: down while the rate goes up, and up again.

Each callback has a formula of its own for it, over the phases of its rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Number
from lrparity.schedules._formula import PythonSchedule, part
from lrparity.schedules._one_cycle import (
    CosineOneCycle,
    OneCycle,
    OneCycleLR,
    TriangularOneCycle,
)
from lrparity.schedules._schedule import LearningRateSchedule


@dataclass(frozen=True, repr=False)
class OneCycleMomentum(PythonSchedule):
    """The momentum, or beta_1, that a one-cycle callback cycles against its rate.

    ::

        OneCycleLR           m = high - p * (high - low)                          high in the tail
        CosineOneCycle       m = low + (high - low) / 2 * (cos(pi * part) + 1)    k < first, and
                             m = high + (low - high) / 2 * (cos(pi * part) + 1)
        OneCycle             m = (cos(angle) + 1) * (low - high) / 2 + high       x < f, and
                             m = (cos(angle) + 1) / 2 * (low - high) + high
        TriangularOneCycle   m = high - p * (high - low)                          one update early

    where low, high are the arguments, and p, part, angle where the rate's step stands in its phase.

    Args:
        schedule: the schedule of the rate.
        minimum_momentum: the momentum at the highest rate.
        maximum_momentum: the momentum at the start and at the end.
        name: without effect.

    The unit is the update.  ktrain (``TriangularOneCycle``) asks for the triangle of the next update,
    and leaves the optimizer's own beta_1 at update 0; here that has the value of the formula.  Below
    0 and past the end it is as the schedule's own phases go on.

    Raises:
        ValueError: a momentum is not between 0 and 1, or they are the wrong way round.
        TypeError: the schedule is not one of the four.

    Source: clr.py in titu1994/keras-one-cycle, commit 0f8b873; A. van Wyk's notebook
    "tf2-super-convergence-with-the-1cycle-policy", 2019; keras_one_cycle_clr/one_cycle.py in
    psklight/keras_one_cycle_clr, commit 6393861, whose ``momentum_range`` is ``(high, low)``;
    ktrain/lroptimize/triangular.py, A. Maiya.  torch's ``OneCycleLR`` cycles the momentum with the
    rate, unless told ``cycle_momentum=False``.

    >>> from lrparity.schedules import OneCycleLR
    >>> momentum = OneCycleMomentum(OneCycleLR(num_samples=1000, batch_size=10, epochs=1, max_lr=0.1))
    >>> [round(momentum(k), 4) for k in (0, 9, 45, 81, 90, 99)]
    [0.95, 0.93, 0.85, 0.93, 0.95, 0.95]
    """

    schedule: LearningRateSchedule
    minimum_momentum: float = 0.85
    maximum_momentum: float = 0.95
    name: str | None = "OneCycleMomentum"

    def __post_init__(self) -> None:
        schedule = part("schedule", self.schedule)
        if type(schedule) not in _FORMULAS:
            raise TypeError(
                "Argument `schedule` must be one whose callback cycles the momentum: "
                f"{', '.join(cls.__name__ for cls in _FORMULAS)}. Received: schedule={schedule!r}. "
                "For another one write the momentum as a schedule: the triangles of CyclicLR the "
                "other way round are CyclicLR(0.95, 0.85, step_size), straight lines PiecewiseLinear."
            )
        low = check.fraction("minimum_momentum", self.minimum_momentum)
        high = check.fraction("maximum_momentum", self.maximum_momentum)
        if low > high:
            raise ValueError(
                "Argument `minimum_momentum` must not be above `maximum_momentum`. "
                f"Received: minimum_momentum={low}, maximum_momentum={high}. Exchange them."
            )
        self._settle(
            schedule=schedule,
            minimum_momentum=low,
            maximum_momentum=high,
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        formula = _FORMULAS[type(self.schedule)]
        return formula(self.schedule, number, step, self.minimum_momentum, self.maximum_momentum)


def _against_a_triangle(
    schedule: OneCycleLR, number: type[Number], step: Number, low: float, high: float
) -> Number:
    in_tail, height, _ = schedule._phases(number, step)
    return number.chosen(in_tail, number.constant(high), high - height * (high - low))


def _against_two_phases(
    schedule: CosineOneCycle, number: type[Number], step: Number, low: float, high: float
) -> Number:
    rises, part = schedule._phases(number, step)
    height = (number.PI * part).cos() + 1
    down = low + (high - low) / 2.0 * height
    up = high + (low - high) / 2.0 * height
    at_start = (step.value == 0) | (schedule.phase_1_pct == 0)
    begun = number.chosen(at_start, number.constant(high), down)
    return number.chosen(rises, up, begun)


def _against_two_cosines(
    schedule: OneCycle, number: type[Number], step: Number, low: float, high: float
) -> Number:
    falls, angle = schedule._phases(number, step)
    height = angle.cos() + 1
    swing = low - high
    return number.chosen(falls, height * swing / 2.0 + high, height / 2.0 * swing + high)


def _one_update_early(
    schedule: TriangularOneCycle, number: type[Number], step: Number, low: float, high: float
) -> Number:
    size = schedule.step_size
    k = (step + 1) % (2 * size)
    over = (k / size).value > 1
    height = number.chosen(over, 1 - (k - size) / size, k / size)
    return high - height * (high - low)


_FORMULAS: dict[type, Callable[[Any, type[Number], Number, float, float], Number]] = {
    OneCycleLR: _against_a_triangle,
    CosineOneCycle: _against_two_phases,
    OneCycle: _against_two_cosines,
    TriangularOneCycle: _one_update_early,
}
