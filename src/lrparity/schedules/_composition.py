"""Schedules made of schedules.

A part is a schedule, a number (a constant rate), or a function of the step.  The parts of one whole
count the same unit.  The whole computes as its parts do: in float32 if TensorFlow computes all of
them, in Python's float64, rounded once at the end, as soon as a Python callback computes one; what
TensorFlow computes then enters as ``float(schedule(step))``.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import AllDouble, Graph, Moment, Number
from lrparity.schedules._formula import (
    Arithmetic,
    ComposedSchedule,
    ConfiguredSchedule,
    ScheduleLike,
    asked,
    counted_in_whole,
    joint_arithmetic,
    later,
    part,
    piecewise,
    raw,
)
from lrparity.schedules._schedule import UNITS, LearningRateSchedule, Unit


@dataclass(frozen=True, repr=False)
class Constant(ConfiguredSchedule):
    """The same rate for ever.

    ::

        lr = learning_rate

    Args:
        learning_rate: the rate.
        unit: what the step counts, without effect on the rate: ``"update"`` (float32) or
            ``"epoch"`` (Python's float64).  Inside another schedule a plain number does, and takes
            the unit and the arithmetic of its neighbours.
        name: without effect.

    It holds at every step, negative ones included.

    Raises:
        ValueError: the rate is not finite in float32; an unknown ``unit``.
        TypeError: the rate is not a real number.

    Source: a float as ``learning_rate`` of a Keras optimizer.  torch's ``ConstantLR`` multiplies by
    a factor for some steps and is something else.

    >>> Constant(0.1)(1000)
    0.10000000149011612
    """

    learning_rate: float
    unit: Unit = "update"
    name: str | None = None

    def __post_init__(self) -> None:
        unit = check.choice("unit", self.unit, UNITS)
        self._settle(
            learning_rate=check.schedule_rate("learning_rate", self.learning_rate),
            unit=unit,
            name=check.text("name", self.name),
            arithmetic="float32" if unit == "update" else "float64",
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        return number.constant(self.learning_rate)


@dataclass(frozen=True, repr=False)
class Join(ComposedSchedule):
    """One schedule after the other.

    ::

        lr = schedules[0](step)                      where                     step < boundaries[0]
             schedules[i](step - boundaries[i - 1])  where boundaries[i - 1] <= step < boundaries[i]
             schedules[-1](step - boundaries[-1])    where boundaries[-1]    <= step

    Args:
        schedules: the parts; a number is a constant.
        boundaries: the steps where the next one begins, strictly increasing, one fewer than there
            are schedules.
        restart: each part starts at its own 0, as written above.  False: each is asked for the step
            as it is.
        inclusive: a boundary still belongs to the part before it: ``<=`` for ``<`` and ``<`` for
            ``<=``, as in ``PiecewiseConstantDecay``.
        name: without effect.

    Below 0 the first part answers, past the last boundary the last one does.  A part is asked for
    its own steps only.

    Raises:
        ValueError: the numbers of schedules and boundaries do not fit; boundaries that do not
            increase or are not finite; parts that count different units.
        TypeError: an argument is not a list.

    Source: the ``if step < ...: ... else ...`` of hand-written Keras schedules.  torch's
    ``SequentialLR(milestones)`` does the same with schedulers, through their state.

    >>> from lrparity.schedules import CosineDecay
    >>> schedule = Join([0.1, CosineDecay(0.1, 100)], boundaries=[50])
    >>> [round(schedule(k), 6) for k in (0, 49, 50, 100, 150)]
    [0.1, 0.1, 0.1, 0.05, 0.0]
    """

    schedules: Sequence[ScheduleLike]
    boundaries: Sequence[float]
    restart: bool = True
    inclusive: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(schedules=self.schedules)
        boundaries = check.increasing("boundaries", self.boundaries)
        if len(boundaries) != len(self.schedules) - 1:
            raise ValueError(
                "The length of `boundaries` must be 1 less than the length of `schedules`. "
                f"Received: boundaries={list(boundaries)} of length {len(boundaries)} and "
                f"{len(self.schedules)} schedules."
            )
        self._settle(
            boundaries=boundaries,
            restart=check.flag("restart", self.restart),
            inclusive=check.flag("inclusive", self.inclusive),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        starts = (0, *self.boundaries) if self.restart else (0,) * len(self.schedules)

        def branch(one: Any, start: float) -> Any:
            return lambda inside: asked(one, number, later(inside, start, number))

        branches = [branch(*pair) for pair in zip(self.schedules, starts, strict=True)]
        return piecewise(number, moment, self.boundaries, branches, inclusive=self.inclusive)


@dataclass(frozen=True, repr=False)
class _Several(ComposedSchedule, abstract=True):
    """The arguments of ``Product`` and ``Sum``."""

    schedules: Sequence[ScheduleLike]
    name: str | None = None

    operation: ClassVar[Callable[[Number, Number], Number]]
    _made_of_rates = False  # a factor or a term may well be negative

    def __post_init__(self) -> None:
        self._settle_parts(schedules=self.schedules)
        self._settle(name=check.text("name", self.name))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        parts = [asked(one, number, moment) for one in self.schedules]  # type: ignore[arg-type]
        return functools.reduce(type(self).operation, parts)


@dataclass(frozen=True, repr=False)
class Product(_Several):
    """The product of schedules.

    ::

        lr = schedules[0](step) * schedules[1](step) * ...          rounded left to right

    Args:
        schedules: the factors; a number is a constant one.
        name: without effect.

    Raises:
        ValueError: factors that count different units; ``numerics="graph"`` with a constant after two
            schedules, which compiled TensorFlow may multiply into either.
        TypeError: not a list of schedules.

    Source: ``schedule(step) * factor(step)`` of hand-written Keras schedules.  torch's
    ``ChainedScheduler`` multiplies the factors of schedulers step by step.

    >>> from lrparity.schedules import ExponentialDecay
    >>> schedule = Product([ExponentialDecay(0.1, 10, 0.5), ExponentialDecay(1.0, 20, 0.5)])
    >>> round(schedule(20), 6)
    0.0125
    """

    operation = operator.mul

    def _at(self, number: type[Number], moment: Moment) -> Number:
        product, unknown = None, 0
        for one in self.schedules:
            rate = asked(one, number, moment)  # type: ignore[arg-type]
            constant = isinstance(one, float | Constant)
            if product is not None and unknown > 1 and constant:
                product = product.product_of_several()
            product = rate if product is None else product * rate
            unknown += not constant
        assert product is not None
        return product.product_of_several() if unknown > 1 else product


@dataclass(frozen=True, repr=False)
class Sum(_Several):
    """The sum of schedules.

    ::

        lr = schedules[0](step) + schedules[1](step) + ...          rounded left to right

    Args:
        schedules: the terms; a number is a constant one.
        name: without effect.

    Raises:
        ValueError: terms that count different units; ``numerics="graph"``, because compiled
            TensorFlow adds in an order that depends on the program around.
        TypeError: not a list of schedules.

    Source: ``min_lr + schedule(step)`` of hand-written Keras schedules.  torch has no such class.

    >>> from lrparity.schedules import ExponentialDecay
    >>> round(Sum([0.01, ExponentialDecay(0.1, 10, 0.5)])(10), 6)
    0.06
    """

    operation = operator.add

    def _at(self, number: type[Number], moment: Moment) -> Number:
        if number is Graph:
            raise ValueError(
                "numerics='graph' is not known for a Sum: TensorFlow adds up several terms in an "
                "order that depends on the program around them. Use numerics='eager'."
            )
        return super()._at(number, moment)


@dataclass(frozen=True, repr=False)
class Scale(ComposedSchedule):
    """A schedule times a number.

    ::

        lr = schedule(step) * factor

    Args:
        schedule: the schedule.
        factor: the number, such as ``batch_size / 256``.
        name: without effect.

    Raises:
        ValueError: the factor is NaN.
        TypeError: not a schedule, or not a number.

    Source: hand-written Keras schedules.  In torch a group's ``lr_scale`` does the same.

    >>> from lrparity.schedules import CosineDecay
    >>> round(Scale(CosineDecay(0.1, 100), 512 / 256)(50), 6)
    0.1
    """

    schedule: ScheduleLike
    factor: float
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(schedule=self.schedule)
        self._settle(factor=check.number("factor", self.factor), name=check.text("name", self.name))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        return asked(self.schedule, number, moment) * self.factor  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class Offset(ComposedSchedule):
    """A schedule that starts later.

    ::

        lr = schedule(max(step - offset, minimum))          without the max if minimum is None

    Args:
        schedule: the schedule.
        offset: steps to subtract; negative starts it earlier, ``-1`` counts from 1.
        minimum: the least step that the schedule is asked for; None asks it for negative ones too,
            as the ``...WithOffset`` classes of tf-models do.
        cast: hand the schedule a float32 step, as those do: ``PiecewiseConstantDecay`` then compares
            its boundaries in float32.
        name: without effect.

    Raises:
        ValueError: ``offset`` or ``minimum`` is NaN.
        TypeError: not a schedule, or not a number.

    Source: ``PolynomialDecayWithOffset`` and its like in official/modeling/optimization/
    lr_schedule.py of tf-models-official 2.20.  torch has no such class.

    >>> from lrparity.schedules import PolynomialDecay
    >>> schedule = Offset(PolynomialDecay(0.1, 10, end_learning_rate=0.0), 5, minimum=0)
    >>> [round(schedule(k), 6) for k in (0, 5, 10, 15)]
    [0.1, 0.1, 0.05, 0.0]
    """

    schedule: ScheduleLike
    offset: float
    minimum: float | None = None
    cast: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(schedule=self.schedule)
        minimum = self.minimum
        self._settle(
            offset=check.finite("offset", self.offset),
            minimum=None if minimum is None else check.finite("minimum", minimum),
            cast=check.flag("cast", self.cast),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        local = later(moment, self.offset, number)
        if self.minimum is not None:
            local = _clamped(local, self.minimum, math.inf, number)
        if self.cast:
            local = number.of_moment(local)
        return asked(self.schedule, number, local)  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class Clip(ComposedSchedule):
    """A schedule between bounds.

    ::

        lr = min(max(schedule(step), minimum), maximum)          without what is None

    Args:
        schedule: the schedule.
        minimum: the least rate, or a schedule of it.
        maximum: the greatest rate, or a schedule of it; it wins where both cannot be met.
        name: without effect.

    Raises:
        ValueError: neither bound is given; ``minimum`` is above ``maximum``; parts that count
            different units.
        TypeError: not schedules or numbers.

    Source: ``max(lr, min_lr)`` of hand-written Keras schedules.  torch has no such class.

    >>> from lrparity.schedules import ExponentialDecay
    >>> round(Clip(ExponentialDecay(0.1, 10, 0.5), minimum=0.01)(1000), 6)
    0.01
    """

    schedule: ScheduleLike
    minimum: ScheduleLike | None = None
    maximum: ScheduleLike | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        bounds = {
            name: value
            for name, value in (("minimum", self.minimum), ("maximum", self.maximum))
            if value is not None
        }
        if not bounds:
            raise ValueError("Clip needs `minimum`, `maximum` or both. Received neither.")
        self._settle_parts(schedule=self.schedule, **bounds)
        low, high = self.minimum, self.maximum
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise ValueError(
                "Argument `minimum` must not be above `maximum`. "
                f"Received: minimum={low}, maximum={high}."
            )
        self._settle(name=check.text("name", self.name))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        result = asked(self.schedule, number, moment)  # type: ignore[arg-type]
        if self.minimum is not None:
            result = result.maximum(asked(self.minimum, number, moment))  # type: ignore[arg-type]
        if self.maximum is not None:
            result = result.minimum(asked(self.maximum, number, moment))  # type: ignore[arg-type]
        return result


@dataclass(frozen=True, repr=False)
class Hold(ComposedSchedule):
    """A schedule whose step is held before a start and from an end on.

    ::

        lr = schedule(min(max(step, start), stop))          without what is None

    Args:
        schedule: the schedule.
        start: the step whose rate holds for all earlier ones.
        stop: the step whose rate holds for all later ones.
        name: without effect.

    Raises:
        ValueError: neither is given; ``start`` is after ``stop``.
        TypeError: not a schedule, or not numbers.

    Source: ``min(step, total_steps)`` of hand-written Keras schedules.  torch has no such class.

    >>> from lrparity.schedules import ExponentialDecay
    >>> schedule = Hold(ExponentialDecay(0.1, 10, 0.5), stop=20)
    >>> [round(schedule(k), 6) for k in (0, 10, 20, 30)]
    [0.1, 0.05, 0.025, 0.025]
    """

    schedule: ScheduleLike
    start: float | None = None
    stop: float | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.start is None and self.stop is None:
            raise ValueError("Hold needs `start`, `stop` or both. Received neither.")
        self._settle_parts(schedule=self.schedule)
        start = None if self.start is None else check.finite("start", self.start)
        stop = None if self.stop is None else check.finite("stop", self.stop)
        if start is not None and stop is not None and start > stop:
            raise ValueError(
                f"Argument `start` must not be after `stop`. Received: start={start}, stop={stop}."
            )
        self._settle(start=start, stop=stop, name=check.text("name", self.name))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        low = -math.inf if self.start is None else self.start
        high = math.inf if self.stop is None else self.stop
        return asked(self.schedule, number, _clamped(moment, low, high, number))  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class Repeat(ComposedSchedule):
    """A schedule that begins again every so many steps.

    ::

        lr = schedule(step % period)

    Args:
        schedule: the schedule of one period.
        period: steps from one beginning to the next; > 0.
        name: without effect.

    There is no end.  The remainder is never negative, so the cycles go on below 0.

    Raises:
        ValueError: ``period`` is not > 0.
        TypeError: not a schedule, or not a number.

    Source: ``epoch % period`` of hand-written Keras schedules.  torch's cyclic classes have a
    period of their own.

    >>> from lrparity.schedules import PolynomialDecay
    >>> schedule = Repeat(PolynomialDecay(0.1, 10, end_learning_rate=0.0), period=10)
    >>> [round(schedule(k), 6) for k in (0, 9, 10, 25)]
    [0.1, 0.01, 0.1, 0.05]
    """

    schedule: ScheduleLike
    period: float
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(schedule=self.schedule)
        self._settle(
            period=check.positive("period", self.period), name=check.text("name", self.name)
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        if counted_in_whole(moment, self.period):
            local = cast("Moment", np.mod(raw(moment), np.int64(self.period)))
        else:
            local = number.of_moment(moment) % self.period
        return asked(self.schedule, number, local)  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class PerEpoch(ConfiguredSchedule):
    """A schedule of Keras' that is asked for the epoch.

    ::

        lr = schedule(epoch)

    Args:
        schedule: a schedule of the update; its ``decay_steps`` and the like then count epochs.
        arithmetic: ``"float64"``: its formula in Python, as it is written out in a function for
            ``LearningRateScheduler``; rounded once, on assignment.  ``"float32"``: the schedule
            object itself, called with the epoch.
        name: without effect.

    Raises:
        ValueError: the schedule counts epochs already; an unknown ``arithmetic``.
        TypeError: not a schedule.

    Source: ``LearningRateScheduler(lambda epoch: ...)``, keras/src/callbacks/
    learning_rate_scheduler.py, 3.15.1.  In torch a scheduler counts what its ``step()`` is called for.

    >>> from lrparity.schedules import ExponentialDecay
    >>> schedule = PerEpoch(ExponentialDecay(3e-4, 1, 0.9))
    >>> schedule(3) == float(np.float32(3e-4 * 0.9**3))
    True
    """

    schedule: LearningRateSchedule
    arithmetic: Arithmetic = "float64"
    name: str | None = None

    unit = "epoch"

    def __post_init__(self) -> None:
        _settle_recounted(self, self.schedule)
        if self.schedule.unit == "epoch":
            raise ValueError(
                f"Argument `schedule` counts epochs already: {self.schedule!r}. Leave out PerEpoch."
            )
        self._settle(
            arithmetic=check.choice("arithmetic", self.arithmetic, ("float64", "float32")),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        if self.arithmetic == "float64":
            return _in_python(self.schedule, number, moment)
        # A callback calls the object eagerly, whatever the graph of the model.
        value = asked(self.schedule, number.in_branch(), moment).value
        return number.variable(value)


@dataclass(frozen=True, repr=False)
class InPython(ConfiguredSchedule):
    """A schedule of Keras' with its formula written out in Python.

    ::

        lr = schedule(step)          in Python's float64, rounded once, when Keras assigns it

    Args:
        schedule: the schedule; everything it is made of computes in float64 as well.
        name: without effect.

    This is what a callback computes that sets ``optimizer.learning_rate`` before each batch.  It
    differs from the schedule itself in last bits, and at an edge by a whole drop.

    Raises:
        TypeError: not a schedule.

    Source: ``LambdaCallback(on_train_batch_begin=...)``, keras/src/callbacks/lambda_callback.py,
    3.15.1.  torch's own schedulers compute in float64 too, most of them step by step.

    >>> from lrparity.schedules import ExponentialDecay
    >>> schedule = ExponentialDecay(0.1, 41, 0.96)
    >>> sum(schedule(k) != InPython(schedule)(k) for k in range(100))
    25
    """

    schedule: LearningRateSchedule
    name: str | None = None

    arithmetic = "float64"

    def __post_init__(self) -> None:
        _settle_recounted(self, self.schedule)
        self._settle(unit=self.schedule.unit, name=check.text("name", self.name))

    def _at(self, number: type[Number], moment: Moment) -> Number:
        return _in_python(self.schedule, number, moment)


@dataclass(frozen=True, repr=False)
class PerUpdate(ConfiguredSchedule):
    """A schedule of the epoch that is asked for each update.

    ::

        lr = schedule(step // steps_per_epoch)          with staircase
             schedule(step / steps_per_epoch)           without: the epoch with its fraction

    Args:
        schedule: a schedule of the epoch.
        steps_per_epoch: updates in an epoch; > 0.
        staircase: whole epochs only.
        name: without effect.

    Raises:
        ValueError: ``steps_per_epoch`` is not > 0; the schedule counts updates already.
        TypeError: not a schedule, or not a number.

    Source: callbacks that call ``schedule(epoch + batch / steps_per_epoch)`` before each batch.
    torch's ``CosineAnnealingWarmRestarts.step(epoch + i / iters)`` is its form of it.

    >>> from lrparity.schedules import StepDecay
    >>> schedule = PerUpdate(StepDecay(0.1, 0.5, 10), steps_per_epoch=100)
    >>> [round(schedule(k), 6) for k in (0, 899, 900)]
    [0.1, 0.1, 0.05]
    """

    schedule: LearningRateSchedule
    steps_per_epoch: float
    staircase: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        _settle_recounted(self, self.schedule)
        if self.schedule.unit != "epoch":
            raise ValueError(
                f"Argument `schedule` counts updates already: {self.schedule!r}. Leave out "
                "PerUpdate, or wrap a function as FunctionSchedule(function, unit='epoch')."
            )
        self._settle(
            unit="update",
            arithmetic=joint_arithmetic([self.schedule]),
            steps_per_epoch=check.positive("steps_per_epoch", self.steps_per_epoch),
            staircase=check.flag("staircase", self.staircase),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        if not self.staircase:
            epoch: Moment = number.of_moment(moment) / self.steps_per_epoch
        elif counted_in_whole(moment, self.steps_per_epoch):
            epoch = cast("Moment", np.floor_divide(raw(moment), np.int64(self.steps_per_epoch)))
        else:
            epoch = (number.of_moment(moment) / self.steps_per_epoch).floor()
        return asked(self.schedule, number, epoch)


def _settle_recounted(whole: ConfiguredSchedule, schedule: Any) -> None:
    made = part("schedule", schedule)
    if not isinstance(made, LearningRateSchedule):
        raise TypeError(
            "Argument `schedule` must be a LearningRateSchedule or a function of the step. "
            f"Received: schedule={schedule!r}. For one rate take Constant({schedule!r}, unit=...)."
        )
    whole._settle(schedule=made)


def _in_python(schedule: LearningRateSchedule, number: type[Number], moment: Moment) -> Number:
    inside = AllDouble.variable(moment.value) if isinstance(moment, Number) else moment
    return number.variable(asked(schedule, AllDouble, inside).value)


def _clamped(moment: Moment, low: float, high: float, number: type[Number]) -> Moment:
    bounds = [bound for bound in (low, high) if math.isfinite(bound)]
    if not counted_in_whole(moment, *bounds):
        result = number.of_moment(moment)
        if low > -math.inf:
            result = result.maximum(low)
        return result.minimum(high) if high < math.inf else result
    step: Any = raw(moment)
    if low > -math.inf:
        step = np.maximum(step, np.int64(low))
    return cast("Moment", np.minimum(step, np.int64(high)) if high < math.inf else step)
