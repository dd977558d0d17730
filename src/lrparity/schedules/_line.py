"""Straight lines, in the orders of operations that people write them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Number
from lrparity.schedules._formula import FormulaSchedule

Line = Literal["fraction", "slope", "product"]
LINES = ("fraction", "slope", "product")


def ramp(
    number: type[Number],
    passed: Number,
    warmup_steps: float,
    start: float,
    target: Number | float,
    *,
    power: float = 1.0,
    line: Line = "fraction",
) -> Number:
    """From ``start`` to ``target`` in ``warmup_steps``, if straight in one of three orders."""
    if line == "slope":  # Python computes it, once
        top = float(target.value) if isinstance(target, Number) else target
        return (top - start) / warmup_steps * passed + start
    # Two Python floats are subtracted in Python; what a schedule answered is a tensor.
    difference = target - start if isinstance(target, Number) else number.constant(target - start)
    if line == "product":
        # This way round, because TensorFlow lets 1 / warmup_steps join the difference.
        return passed * difference / warmup_steps + start
    return difference * (passed / warmup_steps).power(power) + start


@dataclass(frozen=True, repr=False)
class LinearDecay(FormulaSchedule):
    """A straight line from one rate to another, in the order of operations that a project has.

    ::

        s = min(step, decay_steps)
        lr = (end - initial) * (s / decay_steps) + initial      line="fraction"
             (end - initial) / decay_steps * s + initial        line="slope"
             (end - initial) * s / decay_steps + initial        line="product"

    with initial = ``initial_learning_rate`` and end = ``end_learning_rate``.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: updates until the end; > 0, not necessarily whole.
        end_learning_rate: the rate from ``step >= decay_steps`` on; above the initial one it rises.
        line: which of the three; they differ in last bits.  ``end - initial``, and the slope, are
            Python's float64.
        name: without effect.

    Float32, in both numerics; ``InPython(...)`` and ``PerEpoch(...)`` have it in float64.  Keras'
    own line, ``(initial - end) * (1 - s / decay_steps) + end``, is :class:`PolynomialDecay`.  A
    negative step extrapolates.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an unknown ``line``, an argument is NaN, or a rate is
            not finite in float32.
        TypeError: an argument is not a real number.

    Source: hand-written Keras schedules; the slope in RectifiedAdam of TensorFlow Addons 0.23.
    torch's ``LinearLR(start_factor, end_factor, total_iters)`` multiplies step by step in float64.

    >>> schedule = LinearDecay(0.1, decay_steps=4, end_learning_rate=0.02)
    >>> [round(schedule(k), 6) for k in (0, 1, 2, 3, 4, 5)]
    [0.1, 0.08, 0.06, 0.04, 0.02, 0.02]
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0
    line: Line = "fraction"
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay_steps=check.positive("decay_steps", self.decay_steps),
            end_learning_rate=check.schedule_rate("end_learning_rate", self.end_learning_rate),
            line=check.choice("line", self.line, LINES),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        passed = step.minimum(self.decay_steps)
        initial, end = self.initial_learning_rate, self.end_learning_rate
        return ramp(number, passed, self.decay_steps, initial, end, line=self.line)
