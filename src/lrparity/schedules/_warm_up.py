"""Warm-ups: a schedule that begins low, under the names by which people know them.

All are one formula: a ramp up to ``warmup_steps``, then a base schedule.  They differ in where the
ramp ends, in how the step is counted on it, and in whether the base is asked for the step itself
(then there may be a jump at the hand-over) or for the steps since the warm-up (shifted).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Double, Eager, Graph, Moment, Number
from lrparity.schedules._formula import (
    ComposedSchedule,
    FormulaSchedule,
    Part,
    ScheduleLike,
    asked,
    is_int64,
    later,
    piecewise,
)
from lrparity.schedules._line import LINES, Line, ramp

Counter = Literal["step", "step + 1", "max(step, 1)"]
COUNTERS = ("step", "step + 1", "max(step, 1)")


class _WarmedUp(ComposedSchedule, abstract=True):
    """The formula that all warm-ups share."""

    def _warmed_up(
        self,
        number: type[Number],
        moment: Moment,
        schedule: Part,
        warmup_steps: float,
        *,
        start: float = 0.0,
        target: float | None,
        power: float = 1.0,
        counter: Counter = "step",
        shift: bool,
        inclusive: bool = False,
        line: Line = "fraction",
    ) -> Number:
        def warm(inside: Moment) -> Number:
            passed = _counted(number.of_moment(inside), counter)
            top = (
                self._handed_over(number, schedule, warmup_steps, shift)
                if target is None
                else target
            )
            return ramp(number, passed, warmup_steps, start, top, power=power, line=line)

        def base(inside: Moment) -> Number:
            local = later(inside, warmup_steps, number) if shift else inside
            return asked(schedule, number, local)

        if not warmup_steps:
            return number.variable(base(moment).value)
        return piecewise(number, moment, [warmup_steps], [warm, base], inclusive=inclusive)

    def _handed_over(
        self, number: type[Number], schedule: Part, warmup_steps: float, shift: bool
    ) -> Number:
        """The base's rate where the warm-up ends.

        A constructor asks for it once, eagerly; to the graph it is an input, and no constant.
        """
        arithmetic = number if issubclass(number, Double) else Eager
        known = self.__dict__.setdefault("_tops", {})
        if arithmetic.__name__ not in known:
            at = 0 if shift else warmup_steps
            moment = np.int64(at) if is_int64(at) else np.float32(at)
            known[arithmetic.__name__] = asked(schedule, arithmetic, moment).value
        return number.variable(known[arithmetic.__name__])


def _counted(step: Number, counter: Counter) -> Number:
    if counter == "step":
        return step
    return step + 1.0 if counter == "step + 1" else step.maximum(1.0)


@dataclass(frozen=True, repr=False)
class WarmUp(_WarmedUp):
    """Rise to a schedule, along a power of the time: the wrapper that every Keras project writes.

    ::

        p = counter / warmup_steps
        lr = (warmup_target - initial_learning_rate) * p ** power + initial_learning_rate
                                             where step < warmup_steps     (<= if inclusive)
             schedule(step - warmup_steps)   otherwise                     (schedule(step) if not shift)

    Args:
        schedule: the base; a number is a constant, a function of the step is welcome.
        warmup_steps: length of the warm-up, in the unit of the base; 0 means none.
        warmup_target: where the ramp ends.  None is the base's rate at the hand-over:
            ``schedule(0)`` if shifted, else ``schedule(warmup_steps)``, asked for once, ahead.
        initial_learning_rate: where it starts.
        power: 1 is linear.
        shift: ask the base for the steps since the warm-up.  False asks it for the step itself.
        counter: what the ramp counts: ``"step"`` from 0, so that the first update has
            ``initial_learning_rate``; ``"step + 1"``; or ``"max(step, 1)"``, which makes the first
            two equal and never 0.
        inclusive: the step ``warmup_steps`` itself still belongs to the ramp.
        line: the order of operations of a linear ramp, which decides its last bits.
            ``"fraction"``: as above.  ``"slope"``: ``(target - start) / warmup_steps * counter +
            start``, with the slope in Python's float64, as keras.io's ``WarmUpCosine``.
            ``"product"``: ``(target - start) * counter / warmup_steps + start``.
        name: without effect.

    It computes in float32 if TensorFlow computes the base, in both numerics, and else in Python's
    float64.  The difference of two plain numbers is taken in float64 first, as Python does; what a
    schedule answers is a float32 tensor.  A negative step extrapolates.  Past its end the base
    answers.

    Raises:
        ValueError: ``warmup_steps`` is negative, or 0 with ``inclusive``; another ``line`` with a
            power; an unknown ``counter`` or ``line``; a rate is not finite in float32.
        TypeError: an argument of the wrong kind.

    Source: ``WarmUp`` in optimization_tf.py of transformers 4.57.1 (shifted, the default here) and in
    official/nlp/optimization.py of tf-models-official 2.20 (not shifted), among many.  torch's
    ``LinearLR`` warms up by a factor of the group's rate and is chained by ``SequentialLR``, which
    shifts.

    >>> from lrparity.schedules import PolynomialDecay
    >>> schedule = WarmUp(PolynomialDecay(0.1, 100, end_learning_rate=0.0), warmup_steps=10)
    >>> [round(schedule(k), 6) for k in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    schedule: ScheduleLike
    warmup_steps: float
    warmup_target: float | None = None
    initial_learning_rate: float = 0.0
    power: float = 1.0
    shift: bool = True
    counter: Counter = "step"
    inclusive: bool = False
    line: Line = "fraction"
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(schedule=self.schedule)
        warmup_steps = check.not_negative("warmup_steps", self.warmup_steps)
        target = self.warmup_target
        power = check.number("power", self.power)
        if check.flag("inclusive", self.inclusive) and not warmup_steps:
            raise ValueError(
                "Argument `warmup_steps` must be > 0 if `inclusive`, for the ramp would be one step "
                f"of no length. Received: warmup_steps={self.warmup_steps!r}."
            )
        line = check.choice("line", self.line, LINES)
        if line != "fraction" and power != 1:
            raise ValueError(
                f"Argument `power` must be 1 with line={line!r}, which is straight. "
                f"Received: power={power}."
            )
        self._settle(
            warmup_steps=warmup_steps,
            warmup_target=None if target is None else check.schedule_rate("warmup_target", target),
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            power=power,
            shift=check.flag("shift", self.shift),
            counter=check.choice("counter", self.counter, COUNTERS),
            inclusive=bool(self.inclusive),
            line=line,
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        target = self.warmup_target
        if target is None and isinstance(self.schedule, float):
            target = self.schedule
        return self._warmed_up(
            number,
            moment,
            self.schedule,  # type: ignore[arg-type]
            self.warmup_steps,
            start=self.initial_learning_rate,
            target=target,
            power=self.power,
            counter=self.counter,
            shift=self.shift,
            inclusive=self.inclusive,
            line=self.line,
        )


@dataclass(frozen=True, repr=False)
class LinearWarmup(_WarmedUp):
    """A straight line up to a schedule, which is asked for the step itself.

    ::

        lr = warmup_learning_rate + step / warmup_steps * (final - warmup_learning_rate)
                                                   where step < warmup_steps
             after_warmup_lr_sched(step)           otherwise
        final = after_warmup_lr_sched(warmup_steps)          asked for once, ahead

    Args:
        after_warmup_lr_sched: the base; a number is a constant.
        warmup_steps: updates of the warm-up; 0 means none.
        warmup_learning_rate: the rate at step 0.
        name: without effect.

    Float32, in both numerics, unless Python computes the base.  A negative step extrapolates; past
    its end the base answers.

    Raises:
        ValueError: ``warmup_steps`` is negative; a rate is not finite in float32.
        TypeError: an argument of the wrong kind.

    Source: ``LinearWarmup`` in official/modeling/optimization/lr_schedule.py of tf-models-official
    2.20.  torch's ``LinearLR`` with ``SequentialLR`` shifts the base; this does not.

    >>> from lrparity.schedules import CosineDecay
    >>> schedule = LinearWarmup(CosineDecay(0.1, 100), 10, warmup_learning_rate=0.0)
    >>> [round(schedule(k), 6) for k in (0, 5, 9, 10, 50)]
    [0.0, 0.048776, 0.087798, 0.097553, 0.05]
    """

    after_warmup_lr_sched: ScheduleLike
    warmup_steps: float
    warmup_learning_rate: float
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(after_warmup_lr_sched=self.after_warmup_lr_sched)
        self._settle(
            warmup_steps=check.not_negative("warmup_steps", self.warmup_steps),
            warmup_learning_rate=check.schedule_rate(
                "warmup_learning_rate", self.warmup_learning_rate
            ),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        return self._warmed_up(
            number,
            moment,
            self.after_warmup_lr_sched,  # type: ignore[arg-type]
            self.warmup_steps,
            start=self.warmup_learning_rate,
            target=None,
            shift=False,
        )


@dataclass(frozen=True, repr=False)
class PolynomialWarmUp(_WarmedUp):
    """A power of the time up to a schedule, which is asked for the step itself.

    ::

        lr = after_warmup_lr_sched(warmup_steps) * (max(step, 1) / warmup_steps) ** power
                                                   where step < warmup_steps
             after_warmup_lr_sched(step)           otherwise

    Args:
        after_warmup_lr_sched: the base; a number is a constant.
        warmup_steps: updates of the warm-up; 0 means none.
        power: 1 is linear.
        name: without effect.

    Steps 0 and 1 have the same rate, which is not 0.  Float32, in both numerics, unless Python
    computes the base.

    Raises:
        ValueError: ``warmup_steps`` is negative; a rate is not finite in float32.
        TypeError: an argument of the wrong kind.

    Source: ``PolynomialWarmUp`` in official/modeling/optimization/lr_schedule.py of
    tf-models-official 2.20.  torch has no such class.

    >>> schedule = PolynomialWarmUp(0.1, 10, power=2.0)
    >>> [round(schedule(k), 6) for k in (0, 1, 5, 10)]
    [0.001, 0.001, 0.025, 0.1]
    """

    after_warmup_lr_sched: ScheduleLike
    warmup_steps: float
    power: float = 1.0
    name: str | None = "PolynomialWarmup"

    def __post_init__(self) -> None:
        self._settle_parts(after_warmup_lr_sched=self.after_warmup_lr_sched)
        self._settle(
            warmup_steps=check.not_negative("warmup_steps", self.warmup_steps),
            power=check.number("power", self.power),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        return self._warmed_up(
            number,
            moment,
            self.after_warmup_lr_sched,  # type: ignore[arg-type]
            self.warmup_steps,
            target=None,
            power=self.power,
            counter="max(step, 1)",
            shift=False,
        )


@dataclass(frozen=True, repr=False)
class _TransformerWarmUp(_WarmedUp, abstract=True):
    """The arguments of the two ``WarmUp`` classes of the transformer projects."""

    initial_learning_rate: float
    decay_schedule_fn: ScheduleLike
    warmup_steps: float
    power: float = 1.0
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle_parts(decay_schedule_fn=self.decay_schedule_fn)
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            warmup_steps=check.not_negative("warmup_steps", self.warmup_steps),
            power=check.number("power", self.power),
            name=check.text("name", self.name),
        )

    def _with(self, number: type[Number], moment: Moment, *, shift: bool) -> Number:
        return self._warmed_up(
            number,
            moment,
            self.decay_schedule_fn,  # type: ignore[arg-type]
            self.warmup_steps,
            target=self.initial_learning_rate,
            power=self.power,
            shift=shift,
        )


@dataclass(frozen=True, repr=False)
class BertWarmUp(_TransformerWarmUp):
    """BERT's ``WarmUp``: the base is asked for the step itself.

    ::

        lr = initial_learning_rate * (step / warmup_steps) ** power     where step < warmup_steps
             decay_schedule_fn(step)                                    otherwise

    Args:
        initial_learning_rate: where the warm-up ends.
        decay_schedule_fn: the base; where it is below ``initial_learning_rate`` by then, the rate
            jumps down at the hand-over, which is meant.
        warmup_steps: updates of the warm-up; 0 means none.
        power: 1 is linear.
        name: without effect.

    The first update has the rate 0.  Float32, in both numerics, unless Python computes the base.

    Raises:
        ValueError: ``warmup_steps`` is negative; a rate is not finite in float32.
        TypeError: an argument of the wrong kind.

    Source: ``WarmUp`` in official/nlp/optimization.py of tf-models-official 2.20.  torch has no such
    class; see :class:`TransformersWarmUp` for the shifted form.

    >>> from lrparity.schedules import PolynomialDecay
    >>> schedule = BertWarmUp(3e-5, PolynomialDecay(3e-5, 100, end_learning_rate=0.0), 10)
    >>> [round(schedule(k) * 1e5, 6) for k in (0, 9, 10, 100)]
    [0.0, 2.7, 2.7, 0.0]
    """

    def _at(self, number: type[Number], moment: Moment) -> Number:
        return self._with(number, moment, shift=False)


@dataclass(frozen=True, repr=False)
class TransformersWarmUp(_TransformerWarmUp):
    """The ``WarmUp`` of transformers: the base is asked for the steps since the warm-up.

    ::

        lr = initial_learning_rate * (step / warmup_steps) ** power     where step < warmup_steps
             decay_schedule_fn(step - warmup_steps)                     otherwise

    Args:
        initial_learning_rate: where the warm-up ends.
        decay_schedule_fn: the base.  ``create_optimizer`` takes ``PolynomialDecay(init_lr,
            num_train_steps - num_warmup_steps, init_lr * min_lr_ratio, power=power)``.
        warmup_steps: updates of the warm-up; 0 means none.
        power: 1 is linear.
        name: without effect.

    The first update has the rate 0.  Float32, in both numerics, unless Python computes the base.

    Raises:
        ValueError: ``warmup_steps`` is negative; a rate is not finite in float32.
        TypeError: an argument of the wrong kind.

    Source: ``WarmUp`` in optimization_tf.py of transformers 4.57.1.  In torch the same project's
    ``get_linear_schedule_with_warmup`` has these numbers in float64.

    >>> from lrparity.schedules import PolynomialDecay
    >>> schedule = TransformersWarmUp(3e-5, PolynomialDecay(3e-5, 100, end_learning_rate=0.0), 10)
    >>> [round(schedule(k) * 1e5, 6) for k in (0, 9, 10, 60, 110)]
    [0.0, 2.7, 3.0, 1.5, 0.0]
    """

    def _at(self, number: type[Number], moment: Moment) -> Number:
        return self._with(number, moment, shift=True)


@dataclass(frozen=True, repr=False)
class WarmUpCosineDecay(FormulaSchedule):
    """A straight line up, a plateau, and half a cosine down to 0, in its common forms.

    ::

        lr = warm                                                     where step < w
             learning_rate_base                                       where w <= step <= w + h
             0.5 * learning_rate_base * (1 + cos(pi * (step - w - h) / (total_steps - w - h)))
             0                                                        where step > total_steps
        warm = (learning_rate_base - warmup_learning_rate) / w * step + warmup_learning_rate

    with w = ``warmup_steps`` and h = ``hold_base_rate_steps``.

    Args:
        learning_rate_base: the rate after the warm-up.
        total_steps: updates of all, the warm-up and the plateau *included*.
        warmup_learning_rate: the rate at step 0.
        warmup_steps: updates of the warm-up; 0 means none.
        hold_base_rate_steps: updates of the plateau.
        line: the order of operations of the warm-up.  ``"slope"``: as written, with the slope in
            Python's float64 (keras.io's and the callback's).  ``"fraction"``: ``(base - start) *
            (step / w) + start`` (KerasCV's).  ``"product"``: ``(base - start) * step / w + start``.
        name: without effect.

    It computes in float32, in both numerics: keras.io's ``WarmUpCosine``, KerasCV's
    ``WarmUpCosineDecay``.  The widely copied callback ``WarmUpCosineDecayScheduler`` is
    ``InPython(WarmUpCosineDecay(...))``.  A negative step extrapolates.

    Raises:
        ValueError: ``total_steps`` is not more than the warm-up and the plateau together; a length
            is negative; a rate is not finite in float32.
        TypeError: an argument is not a real number.

    Source: examples/vision/masked_image_modeling.py of keras.io; examples/training/classification/
    imagenet/basic_training.py of KerasCV 0.9; the callback has many copies.  Keras'
    :class:`CosineDecay` with ``warmup_target`` has no plateau, and holds its end instead of 0.
    torch chains ``LinearLR`` and ``CosineAnnealingLR``, step by step in float64.

    >>> schedule = WarmUpCosineDecay(0.1, 110, warmup_steps=10)
    >>> [round(schedule(k), 6) for k in (0, 5, 10, 60, 110, 111)]
    [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    """

    learning_rate_base: float
    total_steps: float
    warmup_learning_rate: float = 0.0
    warmup_steps: float = 0
    hold_base_rate_steps: float = 0
    line: Line = "slope"
    name: str | None = None

    def __post_init__(self) -> None:
        total = check.positive("total_steps", self.total_steps)
        warm = check.not_negative("warmup_steps", self.warmup_steps)
        hold = check.not_negative("hold_base_rate_steps", self.hold_base_rate_steps)
        if total <= warm + hold:
            raise ValueError(
                "Argument `total_steps` counts the warm-up and the plateau too, and must be more "
                f"than both. Received: total_steps={self.total_steps!r}, warmup_steps={warm!r}, "
                f"hold_base_rate_steps={hold!r}."
            )
        self._settle(
            learning_rate_base=check.schedule_rate("learning_rate_base", self.learning_rate_base),
            total_steps=total,
            warmup_learning_rate=check.schedule_rate(
                "warmup_learning_rate", self.warmup_learning_rate
            ),
            warmup_steps=warm,
            hold_base_rate_steps=hold,
            line=check.choice("line", self.line, LINES),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        base, w, h = self.learning_rate_base, self.warmup_steps, self.hold_base_rate_steps
        over = step.value > self.total_steps
        if number is not Graph:  # what is over needs no cosine
            step = number.chosen(over, number.constant(self.total_steps), step)
        angle = number.PI * (step - w - h) / (self.total_steps - w - h)
        result = 0.5 * base * (1.0 + angle.cos())
        if h:
            result = number.chosen(step.value > w + h, result, number.constant(base))
        if w:
            start = self.warmup_learning_rate
            warm = ramp(number, step, w, start, base, line=self.line)
            result = number.chosen(step.value < w, warm, result)
        return number.chosen(over, number.constant(0.0), result)
