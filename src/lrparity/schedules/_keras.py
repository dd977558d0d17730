"""Keras' six schedules.

Source of all: keras/src/optimizers/schedules/learning_rate_schedule.py, 3.15.1; the formulas are
the same from Keras 3.0.0 on, in tf.keras 2.x and in tf_keras.  ``float32(x)`` below is a rounding,
and so is every operation.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Double, Moment, Number, Step
from lrparity.schedules._formula import FormulaSchedule, raw


@dataclass(frozen=True, repr=False)
class DecayPerSteps(FormulaSchedule, abstract=True):
    """The arguments of ``ExponentialDecay`` and ``InverseTimeDecay``."""

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float
    staircase: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay_steps=check.positive("decay_steps", self.decay_steps),
            decay_rate=check.number("decay_rate", self.decay_rate),
            staircase=check.flag("staircase", self.staircase),
            name=check.text("name", self.name),
        )

    def periods(self, step: Number) -> Number:
        p = step / self.decay_steps
        return p.floor() if self.staircase else p


@dataclass(frozen=True, repr=False)
class ExponentialDecay(DecayPerSteps):
    """Multiply the rate by ``decay_rate`` every ``decay_steps`` updates.

    ::

        p = step / decay_steps          (floor(p) if staircase)
        lr = initial_learning_rate * decay_rate ** p

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: updates per factor of ``decay_rate``; > 0, not necessarily whole.
        decay_rate: the factor.  Negative gives NaN between whole p, as in Keras.
        staircase: decay in jumps, at each multiple of ``decay_steps``.
        name: kept for Keras' config; without effect.

    There is no end: the rate falls for ever.  A negative step extrapolates upwards.  With
    ``staircase`` the step of a jump depends on the numerics: ``decay_steps=41`` drops at step 41
    as reported and at 42 as applied, because compiled code multiplies by the float32 of 1/41.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an argument is NaN, or ``initial_learning_rate`` is
            not finite in float32.
        TypeError: an argument is not a real number.

    torch's ``ExponentialLR(gamma)`` multiplies once per ``step()`` in float64:
    ``gamma = decay_rate ** (1 / decay_steps)`` comes within 1e-7 of this one, without its bits.

    >>> schedule = ExponentialDecay(0.1, decay_steps=41, decay_rate=0.5, staircase=True)
    >>> [schedule(k) for k in (40, 41, 42)]
    [0.10000000149011612, 0.05000000074505806, 0.05000000074505806]
    >>> schedule(41, numerics="graph")
    0.10000000149011612
    """

    name: str | None = "ExponentialDecay"

    def _formula(self, number: type[Number], step: Number) -> Number:
        p = self.periods(step)
        return self.initial_learning_rate * number.constant(self.decay_rate).power(p)


@dataclass(frozen=True, repr=False)
class InverseTimeDecay(DecayPerSteps):
    """Divide the rate by a number that grows linearly.

    ::

        p = step / decay_steps          (floor(p) if staircase)
        lr = initial_learning_rate / (1 + decay_rate * p)

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: updates per unit of p; > 0, not necessarily whole.
        decay_rate: how fast the denominator grows; negative makes the rate grow, up to a pole.
        staircase: decay in jumps; see :class:`ExponentialDecay` about the step of a jump.
        name: kept for Keras' config; without effect.

    There is no end.  ``decay_steps=1`` is the ``decay=`` of Keras' old optimizers; see
    :class:`TimeBasedDecay`.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an argument is NaN, or ``initial_learning_rate`` is
            not finite in float32.
        TypeError: an argument is not a real number.

    torch has no such class.

    >>> schedule = InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)
    >>> [round(schedule(k), 6) for k in (0, 10, 20, 30)]
    [0.1, 0.066667, 0.05, 0.04]
    """

    name: str | None = "InverseTimeDecay"

    def _formula(self, number: type[Number], step: Number) -> Number:
        p = self.periods(step)
        return self.initial_learning_rate / (1.0 + self.decay_rate * p)


@dataclass(frozen=True, repr=False)
class PolynomialDecay(FormulaSchedule):
    """Go from one rate to another along a power of the remaining time.

    ::

        without cycle:  p = min(step, decay_steps) / decay_steps
        with cycle:     p = step / (decay_steps * ceil(step / decay_steps)),  ceil(0) read as 1
        lr = (initial_learning_rate - end_learning_rate) * (1 - p) ** power + end_learning_rate

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: updates until the end; > 0, not necessarily whole.
        end_learning_rate: the rate from ``step >= decay_steps`` on; absolute, not a fraction.
        power: 1 is linear.  0 keeps the initial rate for ever; a negative one gives inf at the end.
        cycle: start again with a cycle stretched to the next multiple of ``decay_steps``.  At a
            multiple the rate is ``end_learning_rate``; the jump up comes one step later.
        name: kept for Keras' config; without effect.

    A negative step extrapolates.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an argument is NaN, or a rate is not finite in
            float32.
        TypeError: an argument is not a real number.

    torch's ``PolynomialLR(total_iters, power)`` ends at 0 and multiplies step by step in float64.

    >>> schedule = PolynomialDecay(0.1, decay_steps=4, end_learning_rate=0.02)
    >>> [round(schedule(k), 6) for k in (0, 1, 2, 3, 4, 5)]
    [0.1, 0.08, 0.06, 0.04, 0.02, 0.02]
    """

    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str | None = "PolynomialDecay"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay_steps=check.positive("decay_steps", self.decay_steps),
            end_learning_rate=check.schedule_rate("end_learning_rate", self.end_learning_rate),
            power=check.number("power", self.power),
            cycle=check.flag("cycle", self.cycle),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        initial = number.constant(self.initial_learning_rate)
        end = number.constant(self.end_learning_rate)
        if self.cycle:
            cycles = (step / self.decay_steps).ceil()
            first = number.chosen(step.value == 0, number.constant(1), cycles)
            p = step / (self.decay_steps * first)
        else:
            p = step.minimum(self.decay_steps) / self.decay_steps
        rate = (initial - end) * (1.0 - p).power(self.power) + end
        return rate if self.power else rate.late_constant()


@dataclass(frozen=True, repr=False)
class PiecewiseConstantDecay(FormulaSchedule):
    """One rate up to and including each boundary, the next one after it.

    ::

        lr = values[0]   where               step <= boundaries[0]
             values[i]   where boundaries[i-1] < step <= boundaries[i]
             values[-1]  where               step >  boundaries[-1]

    Args:
        boundaries: steps, strictly increasing.  For an integer step (what Keras' optimizers count
            in) a boundary is cut to an integer, 10.7 to 10; for a float step it is not.
        values: the rates, one more than there are boundaries.
        name: kept for Keras' config; without effect.

    ``boundaries=[10]`` keeps ``values[0]`` for 11 updates, steps 0 to 10.  Without boundaries the
    rate is constant.  Unsorted boundaries are accepted with a warning and give what Keras gives: the
    sum of all values whose interval holds the step, 0 where there is none.

    Raises:
        ValueError: ``values`` is not one longer than ``boundaries``, a boundary is not finite, or a
            value is not finite in float32.
        TypeError: an argument is not a sequence of real numbers.

    torch's ``MultiStepLR(milestones)`` changes *at* a milestone, one step earlier than Keras, and
    multiplies: ``milestones=[b + 1 for b in boundaries]`` is the mapping.

    >>> schedule = PiecewiseConstantDecay([10, 20], [0.1, 0.05, 0.01])
    >>> [round(schedule(k), 6) for k in (0, 10, 11, 20, 21)]
    [0.1, 0.1, 0.05, 0.05, 0.01]
    """

    boundaries: Sequence[float]
    values: Sequence[float]
    name: str | None = "PiecewiseConstant"

    def __post_init__(self) -> None:
        for argument in ("boundaries", "values"):
            value = getattr(self, argument)
            if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
                raise TypeError(
                    f"Argument `{argument}` must be a list of numbers. "
                    f"Received: {argument}={value!r}."
                )
        boundaries = tuple(check.number("boundaries", b) for b in self.boundaries)
        values = tuple(check.schedule_rate("values", value) for value in self.values)
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of `boundaries` must be 1 less than the length of `values`. Received: "
                f"boundaries={list(boundaries)} of length {len(boundaries)} and "
                f"values={list(values)} of length {len(values)}."
            )
        for boundary in boundaries:
            if not math.isfinite(boundary):
                raise ValueError(
                    f"Argument `boundaries` must be finite. Received: {list(boundaries)}. "
                    "Leave out the last boundary to keep a rate for ever."
                )
        if any(low >= high for low, high in itertools.pairwise(boundaries)):
            warnings.warn(
                f"`boundaries`={list(boundaries)} do not increase: Keras adds up the values of all "
                "intervals that hold a step, and so does lrparity. Sort them.",
                UserWarning,
                stacklevel=3,
            )
        self._settle(boundaries=boundaries, values=values, name=check.text("name", self.name))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        # Nothing in it is for TensorFlow's graph optimiser to rewrite.
        step = raw(moment)
        values = [number.constant(value).value for value in self.values]
        if not self.boundaries:
            return number.constant(self.values[0])
        edges = [_edge(boundary, step, number) for boundary in self.boundaries]
        total = (step <= edges[0]) * values[0] + (step > edges[-1]) * values[-1]
        for low, high, value in zip(edges[:-1], edges[1:], values[1:-1], strict=True):
            total = total + ((step > low) & (step <= high)) * value
        return number.variable(total)


def _edge(boundary: float, step: Step, number: type[Number]) -> np.number[Any]:
    if issubclass(number, Double):  # Python compares exactly
        return np.float64(boundary)
    # Keras makes a tensor of a boundary first, float32 for a float, then casts it to the step's.
    tensor = np.float32(boundary) if isinstance(boundary, float) else np.int64(boundary)
    return tensor.astype(step.dtype)


@dataclass(frozen=True, repr=False)
class CosineDecay(FormulaSchedule):
    """Half a cosine from a rate down to a fraction of it, with an optional linear warm-up before.

    ::

        without warmup_target:
            s = min(step, decay_steps)
            lr = initial_learning_rate * decayed(s)
        with warmup_target:
            s = min(step, warmup_steps + decay_steps)
            lr = (warmup_target - initial_learning_rate) * (s / warmup_steps)
                 + initial_learning_rate                                 where s < warmup_steps
            lr = warmup_target * decayed(s - warmup_steps)               otherwise
        decayed(s) = (1 - alpha) * 0.5 * (1 + cos(pi * s / decay_steps)) + alpha

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: updates of the decay, the warm-up *not* included; > 0.
        alpha: what is left at the end, as a *fraction* of the rate that the decay starts from.
        name: kept for Keras' config; without effect.  Note that it comes fourth, as in Keras.
        warmup_target: the rate after the warm-up; None means no warm-up, whatever ``warmup_steps``.
        warmup_steps: updates of the warm-up.  0 with a target starts at the target.

    From ``step >= warmup_steps + decay_steps`` on the rate is held.  A negative step extrapolates.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an argument is NaN, or a rate is not finite in
            float32.
        TypeError: an argument is not a real number.

    torch's ``CosineAnnealingLR(T_max, eta_min)`` climbs back after ``T_max``, its ``eta_min`` is
    absolute (``alpha * initial_learning_rate``), and it has no warm-up.

    >>> schedule = CosineDecay(0.0, 100, alpha=0.1, warmup_target=0.4, warmup_steps=10)
    >>> [round(schedule(k), 6) for k in (0, 5, 10, 60, 110, 500)]
    [0.0, 0.2, 0.4, 0.22, 0.04, 0.04]
    """

    initial_learning_rate: float
    decay_steps: float
    alpha: float = 0.0
    name: str | None = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: float = 0

    def __post_init__(self) -> None:
        target = self.warmup_target
        if target is None and self.warmup_steps:
            warnings.warn(
                f"`warmup_steps`={self.warmup_steps!r} without `warmup_target` means no warm-up: "
                "Keras ignores it, and so does lrparity. Pass warmup_target.",
                UserWarning,
                stacklevel=3,
            )
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay_steps=check.positive("decay_steps", self.decay_steps),
            alpha=check.number("alpha", self.alpha),
            name=check.text("name", self.name),
            warmup_target=None if target is None else check.schedule_rate("warmup_target", target),
            warmup_steps=check.number("warmup_steps", self.warmup_steps),
        )

    def _decayed(self, step: Number) -> Number:
        cosine = 0.5 * (1.0 + (step.PI * (step / self.decay_steps)).cos())
        # 1 - alpha is Python's, in float64; it becomes float32 afterwards.
        return (1 - self.alpha) * cosine + self.alpha

    def _formula(self, number: type[Number], step: Number) -> Number:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._decayed(step.minimum(self.decay_steps))
        # The two halves stand in a tf.cond, which the graph optimiser does not look into.
        number = number.in_branch()
        warmup_steps = number.constant(self.warmup_steps)
        moment = number.variable(step.value).minimum(
            number.constant(self.decay_steps) + warmup_steps
        )
        initial = number.constant(self.initial_learning_rate)
        warm = (self.warmup_target - initial) * (moment / warmup_steps) + initial
        decayed = self.warmup_target * self._decayed(moment - warmup_steps)
        return number.chosen(moment.value < warmup_steps.value, warm, decayed)


@dataclass(frozen=True, repr=False)
class CosineDecayRestarts(FormulaSchedule):
    """Half cosines one after the other (SGDR), each ``t_mul`` times as long and ``m_mul`` as high.

    ::

        f = step / first_decay_steps
        t_mul == 1:  i = floor(f);                                   f = f - i
        otherwise:   i = floor(log(1 - f * (1 - t_mul)) / log(t_mul))
                     f = (f - (1 - t_mul ** i) / (1 - t_mul)) / t_mul ** i
        lr = initial_learning_rate * ((1 - alpha) * 0.5 * m_mul ** i * (1 + cos(pi * f)) + alpha)

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: updates of the first cycle; > 0.
        t_mul: how much longer each cycle is.  Below 1 the cycles end at
            ``first_decay_steps / (1 - t_mul)``, and from there on the rate is NaN, as in Keras.
        m_mul: how much higher each cycle starts.
        alpha: what is left at the end of a cycle, as a fraction of ``initial_learning_rate``; it is
            not multiplied by ``m_mul``.
        name: kept for Keras' config; without effect.

    There is no end.  Because i is computed in float32, some restarts come one step late, exactly
    where Keras' do: with ``t_mul=1.1`` the second one; with ``t_mul=2`` first the 13th.

    Raises:
        ValueError: ``first_decay_steps`` is not > 0, an argument is NaN, or a rate is not finite in
            float32.
        TypeError: an argument is not a real number.

    torch's ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)`` takes whole ``T_mult`` only, has
    no ``m_mul``, and restarts where float64 says.

    >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=10, t_mul=1.1)
    >>> [round(schedule(k), 6) for k in (9, 10, 20, 21, 22)]
    [0.002447, 0.1, 0.002025, 0.0, 0.098324]
    """

    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str | None = "SGDRDecay"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            first_decay_steps=check.positive("first_decay_steps", self.first_decay_steps),
            t_mul=check.number("t_mul", self.t_mul),
            m_mul=check.number("m_mul", self.m_mul),
            alpha=check.number("alpha", self.alpha),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        alpha = number.constant(self.alpha)
        t_mul = number.constant(self.t_mul)
        fraction = (step / self.first_decay_steps).shared()
        if t_mul.value == 1:
            restart = fraction.floor()
            fraction = fraction - restart
        else:
            restart = (1.0 - fraction * (1.0 - t_mul)).floor_log(t_mul)
            length = t_mul.power(restart)
            fraction = (fraction - (1.0 - length) / (1.0 - t_mul)) / length
        height = number.constant(self.m_mul).power(restart)
        cosine = (0.5 * height) * (1.0 + (number.PI * fraction).cos())
        return self.initial_learning_rate * ((1.0 - alpha) * cosine + alpha)
