"""Powers of the step: the Transformer's inverse square root, and TensorFlow Models' power decays."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Graph, Moment, Number
from lrparity.schedules._formula import FormulaSchedule, later, piecewise

Roots = Literal["rsqrt", "pow"]

ROOTS = ("rsqrt", "pow")


# --- the Transformer ------------------------------------------------------------------------------


def _tensor(number: type[Number], value: float) -> Number:
    """What the origin made a tensor of in its constructor: no graph knows it as a constant."""
    return number.variable(number.constant(value).value)


@dataclass(frozen=True, repr=False)
class InverseSquareRoot(FormulaSchedule):
    """Rise linearly, then fall with the square root of the step: TensorFlow Models' Transformer.

    ::

        lr = learning_rate * hidden_size ** -0.5
             * min(1, step / warmup_steps) / sqrt(max(step, warmup_steps))

    without the second factor if ``hidden_size`` is None.

    Args:
        learning_rate: a factor, not a rate: the top is ``learning_rate / sqrt(warmup_steps)``
            (times ``hidden_size ** -0.5``), at ``step = warmup_steps``.
        warmup_steps: updates of the rise; > 0, not necessarily whole.
        hidden_size: the width of the model, or None.
        name: without effect.

    The rate is 0 at step 0 and rises while ``step < warmup_steps``; there is no end.  A negative
    step gives a negative rate.

    Raises:
        ValueError: ``warmup_steps`` or ``hidden_size`` is not > 0, an argument is NaN, or
            ``learning_rate`` is not finite in float32.
        TypeError: an argument is not a real number.

    Source: LearningRateSchedule in official/legacy/transformer/optimizer.py of
    tf-models-official, 2.20.  :class:`Noam` is the same curve from other operations, with other
    last bits.  torch has no such class; with ``LambdaLR`` it is float64.

    >>> schedule = InverseSquareRoot(2.0, warmup_steps=4, hidden_size=16)
    >>> [round(schedule(k), 6) for k in (0, 1, 2, 4, 16)]
    [0.0, 0.0625, 0.125, 0.25, 0.125]
    """

    learning_rate: float
    warmup_steps: float
    hidden_size: float | None = None
    name: str | None = "InverseSquareRoot"

    def __post_init__(self) -> None:
        size = self.hidden_size
        self._settle(
            learning_rate=check.schedule_rate("learning_rate", self.learning_rate),
            warmup_steps=check.positive("warmup_steps", self.warmup_steps),
            hidden_size=None if size is None else check.positive("hidden_size", size),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        warmup_steps = _tensor(number, self.warmup_steps)
        factor = self.learning_rate
        if self.hidden_size is not None:  # in Python
            factor *= self.hidden_size**-0.5
        risen = (step / warmup_steps).minimum(1.0)
        return factor * risen / step.maximum(warmup_steps).sqrt()


@dataclass(frozen=True, repr=False)
class Noam(FormulaSchedule):
    """Rise linearly, then fall with the square root of the step: the Transformer's tutorial.

    ::

        lr = scale * (d_model ** -0.5 * min(step ** -0.5, step * warmup_steps ** -1.5))
        lr = min(maximum, lr), then max(minimum, lr), where they are given

    Args:
        d_model: the width of the model; > 0.
        warmup_steps: updates of the rise; > 0, not necessarily whole.
        scale: a factor of the whole.
        minimum: a floor; it holds at step 0 too.
        maximum: a cap.  A floor above it wins.
        roots: ``"rsqrt"`` takes ``tf.math.rsqrt`` for the powers of -0.5 and Python's float64 for
            the one of -1.5, as the tutorials do; ``"pow"`` takes float32 powers, as TensorFlowASR
            does.  The two differ in their last bits.
        name: without effect.

    The rate is 0 at step 0, where ``step ** -0.5`` is infinite and loses.  There is no end.  A
    negative step gives NaN.

    Raises:
        ValueError: ``d_model`` or ``warmup_steps`` is not > 0, unknown ``roots``, an argument is
            NaN, or ``minimum`` or ``maximum`` is not finite in float32.
        TypeError: an argument is not a real number.

    Source: CustomSchedule of the tutorials of keras.io and TensorFlow Text (``"rsqrt"``, which have
    no ``scale`` and no bounds); TransformerSchedule in tensorflow_asr/optimizers/schedules.py of
    TensorFlowASR, 2.1 (``"pow"``).  :class:`InverseSquareRoot` is the same curve from other
    operations.  torch has no such class; with ``LambdaLR`` it is float64.

    >>> schedule = Noam(d_model=16, warmup_steps=4)
    >>> [round(schedule(k), 6) for k in (0, 1, 2, 4, 16)]
    [0.0, 0.03125, 0.0625, 0.125, 0.0625]
    """

    d_model: float
    warmup_steps: float = 4000
    scale: float = 1.0
    minimum: float | None = None
    maximum: float | None = None
    roots: Roots = "rsqrt"
    name: str | None = "Noam"

    def __post_init__(self) -> None:
        low, high = self.minimum, self.maximum
        self._settle(
            d_model=check.positive("d_model", self.d_model),
            warmup_steps=check.positive("warmup_steps", self.warmup_steps),
            scale=check.schedule_rate("scale", self.scale),
            minimum=None if low is None else check.schedule_rate("minimum", low),
            maximum=None if high is None else check.schedule_rate("maximum", high),
            roots=check.choice("roots", self.roots, ROOTS),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        width, scale = _tensor(number, self.d_model), _tensor(number, self.scale)
        if self.roots == "rsqrt":  # on a processor two roundings, of the root and of its reciprocal
            slope = number.constant(self.warmup_steps**-1.5)
            lr = width.rsqrt() * step.rsqrt().minimum(step * slope)
        else:
            slope = _tensor(number, self.warmup_steps).power(-1.5)
            lr = width.power(-0.5) * step.power(-0.5).minimum(step * slope)
        lr = scale * lr
        if self.maximum is not None:
            lr = lr.minimum(self.maximum)
        return lr if self.minimum is None else lr.maximum(self.minimum)


# --- TensorFlow Models ----------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class DirectPowerDecay(FormulaSchedule):
    """A power of the step.

    ::

        lr = initial_learning_rate * max(step, 1) ** power

    Args:
        initial_learning_rate: the rate at steps 0 and 1.
        power: the exponent.  The default of 1 *grows* linearly; a decay needs a negative one, and
            -0.5 is usual.
        name: kept for the origin's config; without effect.

    There is no end.  A negative step counts as 1.

    Raises:
        ValueError: an argument is NaN, or ``initial_learning_rate`` is not finite in float32.
        TypeError: an argument is not a real number.

    Source: official/modeling/optimization/lr_schedule.py of tf-models-official, 2.20.  torch has no
    such class.

    >>> schedule = DirectPowerDecay(0.1, power=-0.5)
    >>> [round(schedule(k), 6) for k in (0, 1, 4, 100)]
    [0.1, 0.1, 0.05, 0.01]
    """

    initial_learning_rate: float
    power: float = 1.0
    name: str | None = "DirectPowerDecay"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            power=check.number("power", self.power),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        return self.initial_learning_rate * step.maximum(1.0).power(self.power)


@dataclass(frozen=True, repr=False)
class PowerAndLinearDecay(FormulaSchedule):
    """A power of the step, brought linearly to 0 in the last part.

    ::

        s = step - offset
        lr = initial_learning_rate * max(s, 1) ** power
        length = total_decay_steps * linear_decay_fraction
        lr = max(0, lr * min(1, (total_decay_steps - s) / length))      where length > 0

    Args:
        initial_learning_rate: the rate up to ``s = 1``.
        total_decay_steps: updates, counted from ``offset``, until the rate is 0.
        power: the exponent.  The default of 1 *grows* linearly; -0.5 is usual.
        linear_decay_fraction: the part of ``total_decay_steps`` that the way to 0 takes.  0 (or a
            ``total_decay_steps`` of 0) leaves it out: the power goes on for ever.
        offset: the update that counts as 0.
        name: kept for the origin's config; without effect.

    From ``s >= total_decay_steps`` on the rate is 0.

    Raises:
        ValueError: an argument is NaN, or ``initial_learning_rate`` is not finite in float32.
        TypeError: an argument is not a real number.

    Source: official/modeling/optimization/lr_schedule.py of tf-models-official, 2.20.  torch has no
    such class.

    >>> schedule = PowerAndLinearDecay(0.1, 100, power=-0.5, linear_decay_fraction=0.5)
    >>> [round(schedule(k), 6) for k in (0, 1, 4, 50, 64, 100, 200)]
    [0.1, 0.1, 0.05, 0.014142, 0.009, 0.0, 0.0]
    """

    initial_learning_rate: float
    total_decay_steps: float
    power: float = 1.0
    linear_decay_fraction: float = 0.1
    offset: float = 0
    name: str | None = "PowerAndLinearDecay"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            total_decay_steps=check.number("total_decay_steps", self.total_decay_steps),
            power=check.number("power", self.power),
            linear_decay_fraction=check.number("linear_decay_fraction", self.linear_decay_fraction),
            offset=check.number("offset", self.offset),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        step = number.of_moment(later(moment, self.offset, number))
        lr = self.initial_learning_rate * step.maximum(1.0).power(self.power)
        length = self.total_decay_steps * self.linear_decay_fraction  # in Python
        if not length > 0:
            return lr
        left = (self.total_decay_steps - step) / length
        return (lr * left.minimum(1.0)).maximum(0.0)


@dataclass(frozen=True, repr=False)
class PowerDecayWithOffset(FormulaSchedule):
    """A fixed rate up to an offset, a power of the step after it.

    ::

        lr = pre_offset_learning_rate                                   where step <= offset
             initial_learning_rate * max(step - offset, 1) ** power     where step >  offset
        lr = min(lr, pre_offset_learning_rate)

    Args:
        initial_learning_rate: the rate at ``step = offset + 1``.
        power: the exponent.  The default of 1 *grows* linearly; -0.5 is usual.
        offset: the last update of the fixed rate.
        pre_offset_learning_rate: the fixed rate, and the cap of all others.  The default of 1e6 is
            meant to be covered by a warm-up of ``offset`` steps or more.
        name: kept for the origin's config; without effect.

    There is no end.

    Raises:
        ValueError: an argument is NaN, or a rate is not finite in float32.
        TypeError: an argument is not a real number.

    Source: official/modeling/optimization/lr_schedule.py of tf-models-official, 2.20.  torch has no
    such class.

    >>> schedule = PowerDecayWithOffset(0.1, -0.5, offset=10, pre_offset_learning_rate=0.2)
    >>> [round(schedule(k), 6) for k in (0, 10, 11, 14, 110)]
    [0.2, 0.2, 0.1, 0.05, 0.01]
    """

    initial_learning_rate: float
    power: float = 1.0
    offset: float = 0
    pre_offset_learning_rate: float = 1.0e6
    name: str | None = "PowerDecayWithOffset"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            power=check.number("power", self.power),
            offset=check.number("offset", self.offset),
            pre_offset_learning_rate=check.schedule_rate(
                "pre_offset_learning_rate", self.pre_offset_learning_rate
            ),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        offset, before = number.constant(self.offset), self.pre_offset_learning_rate
        after = (step - offset).maximum(1.0).power(self.power) * self.initial_learning_rate
        # The origin adds the two cases, one of them times 0.
        is_after = number.variable((step.value > offset.value).astype(step.value.dtype))
        return ((1.0 - is_after) * before + is_after * after).minimum(before)


@dataclass(frozen=True, repr=False)
class StepCosineDecayWithOffset(FormulaSchedule):
    """Half cosines from each value to the next, between boundaries.

    ::

        s = step - offset,  values[n] = 0,  first = boundaries[i], in the first part 0
        lr = (values[i] - values[i + 1])
             * (cos(pi * (s - first) / (boundaries[i + 1] - boundaries[i])) + 1) / 2
             + values[i + 1]                          where boundaries[i] <= s < boundaries[i + 1]
        lr = NaN                                      where s >= boundaries[-1]

    Args:
        boundaries: where the parts start, increasing.  The first should be 0: the first part counts
            from 0 whatever it is, and it is as long as ``boundaries[1] - boundaries[0]``.
        values: the rate at each boundary; as many as there are boundaries.
        offset: the update that counts as 0.
        name: kept for the origin's config; without effect.

    **From the last boundary on the rate is NaN**, in the origin too, which divides by 0 there: the
    last value is where the last cosine ends, and no update may come after it.  Before the first
    boundary the first cosine is continued, which rises again to the left.

    A single boundary (NaN everywhere) and a first boundary that is not 0 (a jump at the second) are
    accepted with a warning.

    Raises:
        ValueError: ``values`` is not as long as ``boundaries``, both are empty, the boundaries do
            not increase, an argument is NaN, or a value is not finite in float32.
        TypeError: an argument is not a sequence of real numbers.

    Source: official/modeling/optimization/lr_schedule.py of tf-models-official, 2.20.  torch has no
    such class; ``SequentialLR`` of ``CosineAnnealingLR`` comes near.

    >>> schedule = StepCosineDecayWithOffset([0, 100, 150], [1.0, 0.5, 0.1])
    >>> [round(schedule(k), 6) for k in (0, 50, 100, 125, 149, 150)]
    [1.0, 0.75, 0.5, 0.3, 0.100395, nan]
    """

    boundaries: Sequence[float]
    values: Sequence[float]
    offset: float = 0
    name: str | None = "StepCosineDecayWithOffset"

    def __post_init__(self) -> None:
        for argument in ("boundaries", "values"):
            given = getattr(self, argument)
            if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
                raise TypeError(
                    f"Argument `{argument}` must be a list of numbers. "
                    f"Received: {argument}={given!r}."
                )
        boundaries = tuple(check.number("boundaries", b) for b in self.boundaries)
        values = tuple(check.schedule_rate("values", value) for value in self.values)
        if len(boundaries) != len(values) or not values:
            raise ValueError(
                "The lengths of `boundaries` and `values` must be the same, and at least 1. "
                f"Received: boundaries={list(boundaries)} of length {len(boundaries)} and "
                f"values={list(values)} of length {len(values)}."
            )
        if any(not low < high for low, high in itertools.pairwise(boundaries)):
            raise ValueError(
                f"Argument `boundaries` must increase. Received: boundaries={list(boundaries)}. "
                "Sort them, each with its value."
            )
        for odd, what, mend in (
            (len(boundaries) == 1, "NaN everywhere", "Give the end as a boundary with its value."),
            (boundaries[0] != 0, "a first cosine of another length", "Let the first be 0."),
        ):
            if odd:
                warnings.warn(
                    f"`boundaries`={list(boundaries)} give {what}, in TensorFlow Models and so in "
                    f"lrparity. {mend}",
                    UserWarning,
                    stacklevel=3,
                )
        self._settle(
            boundaries=boundaries,
            values=values,
            offset=check.number("offset", self.offset),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        step = number.of_moment(later(moment, self.offset, number))
        starts = [number.constant(start).value for start in self.boundaries[1:]]
        parts = [functools.partial(self._part, number, i) for i in range(len(self.values))]
        # The choice is nothing for TensorFlow's graph optimiser: each part has its own steps.
        return number.variable(piecewise(number.in_branch(), step, starts, parts).value)

    def _part(self, number: type[Number], i: int, moment: Moment) -> Number:
        is_last = i == len(self.values) - 1
        value, following = self.values[i], 0.0 if is_last else self.values[i + 1]
        length = 0 if is_last else self.boundaries[i + 1] - self.boundaries[i]
        step = number.of_moment(moment)
        passed = step - self.boundaries[i] if i else step
        cosine = (number.PI * passed / length).cos() + 1.0
        return (value - following) * cosine / 2.0 + following


@dataclass(frozen=True, repr=False)
class WarmUpAndPolyDecay(FormulaSchedule):
    """Rise, hold, fall, and never below 0.01: TensorFlow Models' rate of embeddings.

    ::

        top = learning_rate * batch_size / 2048
        lr = top * step / warmup_steps                          where step < warmup_steps
             top                                                up to and including decay_start_steps
             max(0.0001, top * (1 - p) ** decay_exp)            where step > decay_start_steps
        lr = max(0.01, lr)
        p = min(step - decay_start_steps, decay_steps) / decay_steps

    Args:
        batch_size: the global size of a batch, which scales the rate linearly.
        decay_exp: the power of the fall.
        learning_rate: the top for a ``batch_size`` of 2048.
        warmup_steps: updates of the rise; >= 0.  With 0 the rate is ``top`` for ever, without fall
            and floor, as in the origin; 1 is a start at the top.
        decay_steps: updates of the fall; >= 0, 0 for none.
        decay_start_steps: the last update at the top.
        name: without effect.

    From ``step >= decay_start_steps + decay_steps`` on the rate is 0.01, whatever the top is.

    Raises:
        ValueError: ``batch_size`` is not > 0, a number of steps is negative, an argument is NaN, or
            ``learning_rate`` is not finite in float32.
        TypeError: an argument is not a real number.

    Source: official/recommendation/ranking/common.py of tf-models-official, 2.20, which divides
    whole steps in float64.  torch has no such class.

    >>> schedule = WarmUpAndPolyDecay(2048, 2.0, 1.0, 10, 100, 20)
    >>> [round(schedule(k), 6) for k in (0, 5, 10, 20, 70, 119, 500)]
    [0.01, 0.5, 1.0, 1.0, 0.25, 0.01, 0.01]
    """

    batch_size: float
    decay_exp: float = 2.0
    learning_rate: float = 40.0
    warmup_steps: float = 8000
    decay_steps: float = 12000
    decay_start_steps: float = 10000
    name: str | None = "WarmUpAndPolyDecay"

    def __post_init__(self) -> None:
        for argument in ("warmup_steps", "decay_steps"):
            steps = check.number(argument, getattr(self, argument))
            if steps < 0:
                raise ValueError(
                    f"Argument `{argument}` must be >= 0. Received: {argument}={steps!r}."
                )
            self._settle(**{argument: steps})
        if not self.warmup_steps and self.decay_steps:
            warnings.warn(
                "`warmup_steps`=0 means no decay either: TensorFlow Models returns the top rate for "
                "ever, and so does lrparity. Pass warmup_steps=1 to start at the top.",
                UserWarning,
                stacklevel=3,
            )
        self._settle(
            batch_size=check.positive("batch_size", self.batch_size),
            decay_exp=check.number("decay_exp", self.decay_exp),
            learning_rate=check.schedule_rate("learning_rate", self.learning_rate),
            decay_start_steps=check.number("decay_start_steps", self.decay_start_steps),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        top = self.learning_rate * (self.batch_size / 2048)  # in Python
        if not self.warmup_steps:
            return number.constant(top)
        step, start = number.of_moment(moment), number.constant(self.decay_start_steps)
        done = (step - start).minimum(self.decay_steps)
        left = (self.decay_steps - done) / self.decay_steps
        falling = (top * left.power(self.decay_exp)).maximum(0.0001)
        is_falling = (step.value > start.value) & (self.decay_steps > 0)
        lr = number.chosen(is_falling, falling, number.constant(top))
        is_rising = step.value < number.constant(self.warmup_steps).value
        return number.chosen(is_rising, self._rising(number, moment, top), lr).maximum(0.01)

    def _rising(self, number: type[Number], moment: Moment, top: float) -> Number:
        if isinstance(moment, Number) or moment.dtype.kind == "f":
            return number.of_moment(moment) / self.warmup_steps * top
        # TensorFlow divides integers in float64, where a graph has one constant of the two too.
        step = cast("Any", moment).astype(np.float64)
        if issubclass(number, Graph):
            rising = step * (1.0 / self.warmup_steps * top)
        else:
            rising = step / self.warmup_steps * top
        return number.of_moment(rising)
