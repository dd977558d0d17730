"""Cyclical learning rates: the schedules of TensorFlow Addons, and the callback before them.

The triangle is the same in all of them, operation by operation; TensorFlow computes the first four
in float32, Python the last in float64.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Number
from lrparity.schedules._formula import FormulaSchedule, PythonSchedule, asked
from lrparity.schedules._schedule import LearningRateSchedule, as_schedule

ScaleMode = Literal["cycle", "iterations"]
Mode = Literal["triangular", "triangular2", "exp_range"]

SCALE_MODES = ("cycle", "iterations")
MODES = ("triangular", "triangular2", "exp_range")


def triangle(
    number: type[Number],
    step: Number,
    low: float,
    high: float,
    step_size: float,
    scale_mode: ScaleMode,
    scale: Callable[[Number], Number],
) -> Number:
    """Up from ``low`` to ``high`` in ``step_size`` steps and down again; ``scale`` damps the height."""
    size, bottom = number.constant(step_size), number.constant(low)
    cycle = (1.0 + step / (2.0 * size)).floor()
    x = (step / size - 2.0 * cycle + 1.0).absolute()
    height = scale(cycle if scale_mode == "cycle" else step)
    return bottom + (number.constant(high) - bottom) * (1.0 - x).maximum(0.0) * height


def _unscaled(x: Number) -> Number:
    return x.constant(1.0)


def _halved(x: Number) -> Number:
    return 1.0 / x.constant(2.0).power(x - 1.0)


def _scale_mode(value: Any) -> ScaleMode:
    if value not in SCALE_MODES:
        raise ValueError(
            "Argument `scale_mode` must be 'cycle' or 'iterations'. "
            f"Received: scale_mode={value!r}. The origin takes any other word for 'iterations': "
            "pass that."
        )
    return cast("ScaleMode", value)


# --- TensorFlow Addons ----------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class _Cyclical(FormulaSchedule, abstract=True):
    """The two that halve, or do not, and what the third shares with them."""

    initial_learning_rate: float
    maximal_learning_rate: float
    step_size: float
    scale_mode: ScaleMode = "cycle"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            maximal_learning_rate=check.schedule_rate(
                "maximal_learning_rate", self.maximal_learning_rate
            ),
            step_size=check.positive("step_size", self.step_size),
            scale_mode=_scale_mode(self.scale_mode),
            name=check.text("name", vars(self)["name"]),  # each class's last argument
        )

    def _scale(self, x: Number) -> Number:
        raise NotImplementedError

    def _formula(self, number: type[Number], step: Number) -> Number:
        low, high = self.initial_learning_rate, self.maximal_learning_rate
        return triangle(number, step, low, high, self.step_size, self.scale_mode, self._scale)


@dataclass(frozen=True, repr=False)
class CyclicalLearningRate(FormulaSchedule):
    """Go up and down between two rates, with a height that a function of yours scales.

    ::

        cycle = floor(1 + step / (2 * step_size))                 1, 2, 3, ...
        x = |step / step_size - 2 * cycle + 1|                    1, down to 0, up to 1
        n = cycle    (step if scale_mode is "iterations")
        lr = initial_learning_rate
             + (maximal_learning_rate - initial_learning_rate) * max(0, 1 - x) * scale_fn(n)

    Args:
        initial_learning_rate: the rate at the feet, ``step = 2 * step_size * i``.
        maximal_learning_rate: the rate at the tops, where ``scale_fn`` gives 1.
        step_size: updates from a foot to the next top; > 0, not necessarily whole.
        scale_fn: a function of one number, or a schedule; it must depend on that number alone.
            One that only adds, subtracts, multiplies, divides and raises to powers, such as
            ``lambda n: 1 / (2.0 ** (n - 1))``, is computed as TensorFlow computes it, in both
            numerics.  Any other is called with Python floats, and its results are rounded to
            float32.
        scale_mode: what ``scale_fn`` is asked for: ``"cycle"``, the number of the cycle from 1 on,
            or ``"iterations"``, the step as a float.
        name: kept for the origin's sake; without effect.

    There is no end.  A negative step continues the triangles to the left, as cycle 0, -1, ...

    Raises:
        ValueError: ``step_size`` is not > 0, an unknown ``scale_mode`` (the origin takes it for
            ``"iterations"``), an argument is NaN, or a rate is not finite in float32.
        TypeError: an argument is not a real number, or ``scale_fn`` not a function of one.

    Source: tensorflow_addons/optimizers/cyclical_learning_rate.py, 0.23.  There ``"iterations"``
    needs an optimizer that counts in floats (the legacy ones), or a ``scale_fn`` that casts.

    torch's ``CyclicLR(base_lr, max_lr, step_size_up, scale_fn=...)`` is the same in float64; unless
    told ``cycle_momentum=False`` it changes the momentum too.

    >>> schedule = CyclicalLearningRate(0.1, 0.5, step_size=4, scale_fn=lambda n: 1 / n)
    >>> [round(schedule(k), 6) for k in (0, 2, 4, 6, 8, 12, 16, 20)]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.1, 0.233333]
    """

    initial_learning_rate: float
    maximal_learning_rate: float
    step_size: float
    scale_fn: Callable[..., Any]
    scale_mode: ScaleMode = "cycle"
    name: str | None = "CyclicalLearningRate"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            maximal_learning_rate=check.schedule_rate(
                "maximal_learning_rate", self.maximal_learning_rate
            ),
            step_size=check.positive("step_size", self.step_size),
            scale_fn=_scale_function(self.scale_fn),
            scale_mode=_scale_mode(self.scale_mode),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        low, high = self.initial_learning_rate, self.maximal_learning_rate
        scale = functools.partial(_traced, self.scale_fn)
        return triangle(number, step, low, high, self.step_size, self.scale_mode, scale)


@dataclass(frozen=True, repr=False)
class TriangularCyclicalLearningRate(_Cyclical):
    """Go up and down between two rates for ever, in straight lines.

    ::

        cycle = floor(1 + step / (2 * step_size))
        x = |step / step_size - 2 * cycle + 1|
        lr = initial_learning_rate
             + (maximal_learning_rate - initial_learning_rate) * max(0, 1 - x)

    Args:
        initial_learning_rate: the rate at the feet, ``step = 2 * step_size * i``.
        maximal_learning_rate: the rate at the tops, half-way between.
        step_size: updates from a foot to the next top; > 0, not necessarily whole.
        scale_mode: without effect here, as nothing is scaled; ``"cycle"`` or ``"iterations"``.
        name: kept for the origin's sake; without effect.

    There is no end.  A negative step continues the triangles to the left.

    Raises:
        ValueError: ``step_size`` is not > 0, an unknown ``scale_mode``, an argument is NaN, or a
            rate is not finite in float32.
        TypeError: an argument is not a real number.

    Source: tensorflow_addons/optimizers/cyclical_learning_rate.py, 0.23.

    torch's ``CyclicLR(base_lr, max_lr, step_size_up)`` is the same in float64; unless told
    ``cycle_momentum=False`` it changes the momentum too.

    >>> schedule = TriangularCyclicalLearningRate(0.1, 0.5, step_size=4)
    >>> [round(schedule(k), 6) for k in (0, 1, 2, 4, 6, 8, 10, 12)]
    [0.1, 0.2, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5]
    """

    name: str | None = "TriangularCyclicalLearningRate"

    def _scale(self, x: Number) -> Number:
        return _unscaled(x)


@dataclass(frozen=True, repr=False)
class Triangular2CyclicalLearningRate(_Cyclical):
    """Go up and down between two rates, half as high each time.

    ::

        cycle = floor(1 + step / (2 * step_size))
        x = |step / step_size - 2 * cycle + 1|
        n = cycle    (step if scale_mode is "iterations")
        lr = initial_learning_rate
             + (maximal_learning_rate - initial_learning_rate) * max(0, 1 - x) / 2 ** (n - 1)

    where the last factor is ``1 / 2 ** (n - 1)``, computed first.

    Args:
        initial_learning_rate: the rate at the feet, ``step = 2 * step_size * i``.
        maximal_learning_rate: the rate at the first top.
        step_size: updates from a foot to the next top; > 0, not necessarily whole.
        scale_mode: ``"cycle"`` halves the height once per cycle; ``"iterations"``, which is hardly
            ever meant, at every step.
        name: kept for the origin's sake; without effect.

    There is no end.  A negative step continues to the left, twice as high each time.

    Raises:
        ValueError: ``step_size`` is not > 0, an unknown ``scale_mode``, an argument is NaN, or a
            rate is not finite in float32.
        TypeError: an argument is not a real number.

    Source: tensorflow_addons/optimizers/cyclical_learning_rate.py, 0.23, where ``"iterations"``
    needs an optimizer that counts in floats.

    torch's ``CyclicLR(base_lr, max_lr, step_size_up, mode="triangular2")`` is the same in float64;
    unless told ``cycle_momentum=False`` it changes the momentum too.

    >>> schedule = Triangular2CyclicalLearningRate(0.1, 0.5, step_size=4)
    >>> [round(schedule(k), 6) for k in (0, 4, 8, 12, 16, 20)]
    [0.1, 0.5, 0.1, 0.3, 0.1, 0.2]
    """

    name: str | None = "Triangular2CyclicalLearningRate"

    def _scale(self, x: Number) -> Number:
        return _halved(x)


@dataclass(frozen=True, repr=False)
class ExponentialCyclicalLearningRate(_Cyclical):
    """Go up and down between two rates, with a height that falls by ``gamma`` at every step.

    ::

        cycle = floor(1 + step / (2 * step_size))
        x = |step / step_size - 2 * cycle + 1|
        n = step     (cycle if scale_mode is "cycle")
        lr = initial_learning_rate
             + (maximal_learning_rate - initial_learning_rate) * max(0, 1 - x) * gamma ** n

    Args:
        initial_learning_rate: the rate at the feet, ``step = 2 * step_size * i``.
        maximal_learning_rate: the rate at the tops, were it not for ``gamma``.
        step_size: updates from a foot to the next top; > 0, not necessarily whole.
        scale_mode: whether ``gamma`` counts ``"iterations"`` or, from 1 on, the ``"cycle"``.
        gamma: the factor.  Its default of 1 changes nothing.
        name: kept for the origin's sake; without effect.

    There is no end.  A negative step continues to the left.

    Raises:
        ValueError: ``step_size`` is not > 0, an unknown ``scale_mode``, an argument is NaN, or a
            rate is not finite in float32.
        TypeError: an argument is not a real number.

    Source: tensorflow_addons/optimizers/cyclical_learning_rate.py, 0.23.  There its default
    ``scale_mode`` fails with every optimizer that counts in integers; these are the rates of those
    that count in floats.

    torch's ``CyclicLR(base_lr, max_lr, step_size_up, mode="exp_range", gamma=...)`` is the same in
    float64; unless told ``cycle_momentum=False`` it changes the momentum too.

    >>> schedule = ExponentialCyclicalLearningRate(0.1, 0.5, step_size=4, gamma=0.9)
    >>> [round(schedule(k), 6) for k in (0, 4, 8, 12, 16)]
    [0.1, 0.36244, 0.1, 0.212972, 0.1]
    """

    scale_mode: ScaleMode = "iterations"
    gamma: float = 1.0
    name: str | None = "ExponentialCyclicalLearningRate"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            maximal_learning_rate=check.schedule_rate(
                "maximal_learning_rate", self.maximal_learning_rate
            ),
            step_size=check.positive("step_size", self.step_size),
            scale_mode=_scale_mode(self.scale_mode),
            gamma=check.number("gamma", self.gamma),
            name=check.text("name", self.name),
        )

    def _scale(self, x: Number) -> Number:
        return x.constant(self.gamma).power(x)


# --- the callback ---------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class CyclicLR(PythonSchedule):
    """The callback ``CyclicLR``: up and down between two rates, in Python's float64.

    ::

        cycle = floor(1 + step / (2 * step_size))
        x = |step / step_size - 2 * cycle + 1|
        lr = base_lr + (max_lr - base_lr) * max(0, 1 - x) * scale
        scale = 1                     mode "triangular"
                1 / 2 ** (cycle - 1)  mode "triangular2"
                gamma ** step         mode "exp_range"
                scale_fn(cycle)       with a scale_fn  (scale_fn(step) if scale_mode is "iterations")

    rounded to float32 when Keras assigns it.

    Args:
        base_lr: the rate at the feet, ``step = 2 * step_size * i``.
        max_lr: the rate at the tops, where the scale is 1.
        step_size: updates from a foot to the next top; > 0, not necessarily whole.
        mode: as above; without effect if there is a ``scale_fn``.
        gamma: the factor of ``"exp_range"``.
        scale_fn: a function of one number, or a schedule; it gets Python floats and must depend on
            them alone.  At step 0 in ``"iterations"`` it is not asked, as in the callback.
        scale_mode: what ``scale_fn`` is asked for; without effect if there is none.
        name: without effect.

    The unit is the update: the callback sets the rate at the end of each batch for the next one, and
    goes on where it was in a second ``fit``.  There is no end.

    Raises:
        ValueError: ``step_size`` is not > 0, an unknown ``mode`` or ``scale_mode`` (the callback
            fails late, or takes it for ``"iterations"``), an argument is NaN, or a rate is not
            finite in float32.
        TypeError: an argument is not a real number, or ``scale_fn`` not a function of one.

    Source: clr_callback.py of bckenstler/CLR, and
    keras_contrib/callbacks/cyclical_learning_rate.py of keras-contrib; one formula.

    torch's ``CyclicLR(base_lr, max_lr, step_size_up)`` does this in float64, keeps float64, and
    unless told ``cycle_momentum=False`` changes the momentum too.

    >>> schedule = CyclicLR(base_lr=0.1, max_lr=0.5, step_size=4, mode="triangular2")
    >>> [round(schedule(k), 6) for k in (0, 4, 8, 12, 16, 20)]
    [0.1, 0.5, 0.1, 0.3, 0.1, 0.2]
    """

    base_lr: float = 0.001
    max_lr: float = 0.006
    step_size: float = 2000.0
    mode: Mode = "triangular"
    gamma: float = 1.0
    scale_fn: Callable[..., Any] | None = None
    scale_mode: ScaleMode = "cycle"
    name: str | None = "CyclicLR"

    def __post_init__(self) -> None:
        self._settle(
            base_lr=check.schedule_rate("base_lr", self.base_lr),
            max_lr=check.schedule_rate("max_lr", self.max_lr),
            step_size=check.positive("step_size", self.step_size),
            mode=check.choice("mode", self.mode, MODES),
            gamma=float(check.number("gamma", self.gamma)),
            scale_fn=None if self.scale_fn is None else _scale_function(self.scale_fn),
            scale_mode=_scale_mode(self.scale_mode),
            name=check.text("name", self.name),
        )

    def _scaling(self) -> tuple[ScaleMode, Callable[[Number], Number]]:
        if isinstance(self.scale_fn, LearningRateSchedule):
            return self.scale_mode, functools.partial(_traced, self.scale_fn)
        if self.scale_fn is not None:
            return self.scale_mode, functools.partial(_called, self._height)
        if self.mode == "exp_range":
            return "iterations", lambda step: step.constant(self.gamma).power(step)
        return "cycle", _unscaled if self.mode == "triangular" else _halved

    def _height(self, n: float) -> Any:
        if n == 0 and self.scale_mode == "iterations":  # the callback starts with base_lr itself
            return 1.0
        return cast("Callable[..., Any]", self.scale_fn)(n)

    def _formula(self, number: type[Number], step: Number) -> Number:
        mode, scale = self._scaling()
        return triangle(number, step, self.base_lr, self.max_lr, self.step_size, mode, scale)


# --- functions of the user's ----------------------------------------------------------------------


def _scale_function(value: Any) -> Callable[..., Any]:
    schedule = as_schedule(value, "scale_fn")  # which says what is wrong with it
    return schedule if schedule is value else cast("Callable[..., Any]", value)


class _Tensor:
    """What TensorFlow hands to a function: it can be calculated with, but not looked at."""

    __slots__ = ("number",)
    __array_ufunc__ = None

    def __init__(self, number: Number) -> None:
        self.number = number

    def _lifted(self, other: object) -> Number:
        if isinstance(other, _Tensor):
            return other.number
        if isinstance(other, bool) or not isinstance(other, numbers.Real):
            raise TypeError(f"{other!r} is no number")
        return self.number.constant(other)

    def __add__(self, other: object) -> _Tensor:
        return _Tensor(self.number + self._lifted(other))

    def __radd__(self, other: object) -> _Tensor:
        return _Tensor(self._lifted(other) + self.number)

    def __sub__(self, other: object) -> _Tensor:
        return _Tensor(self.number - self._lifted(other))

    def __rsub__(self, other: object) -> _Tensor:
        return _Tensor(self._lifted(other) - self.number)

    def __mul__(self, other: object) -> _Tensor:
        return _Tensor(self.number * self._lifted(other))

    def __rmul__(self, other: object) -> _Tensor:
        return _Tensor(self._lifted(other) * self.number)

    def __truediv__(self, other: object) -> _Tensor:
        return _Tensor(self.number / self._lifted(other))

    def __rtruediv__(self, other: object) -> _Tensor:
        return _Tensor(self._lifted(other) / self.number)

    def __pow__(self, other: object) -> _Tensor:
        return _Tensor(self.number.power(self._lifted(other)))

    def __rpow__(self, other: object) -> _Tensor:
        return _Tensor(self._lifted(other).power(self.number))

    def _unknown(self, *_: object) -> Any:
        raise TypeError("the value is not known yet")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __hash__ = _unknown


def _traced(function: Callable[..., Any], x: Number) -> Number:
    """The function as TensorFlow meets it: its operations where it has no others, else its values."""
    if isinstance(function, LearningRateSchedule):
        return asked(function, type(x), x)
    try:
        result = function(_Tensor(x))
    except (TypeError, AttributeError):
        return _called(function, x)
    return result.number if isinstance(result, _Tensor) else x.constant(_real(result, "a number"))


def _called(function: Callable[..., Any], x: Number) -> Number:
    """The function of each different value, in Python's floats."""
    values, where = np.unique(x.value, return_inverse=True)
    results = [_result(function, value) for value in values.tolist()]
    return x.variable(
        np.array(results, np.asarray(x.value).dtype)[where].reshape(x.value.shape)[()]
    )


def _result(function: Callable[..., Any], value: float) -> float:
    return _real(function(value), value)


def _real(result: Any, value: object) -> float:
    if type(result) is float:
        return result
    plain = result.item() if hasattr(result, "item") else result
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise TypeError(
            "Argument `scale_fn` must be a function that returns one real number. It returned "
            f"{result!r} of type {type(result).__name__} for {value!r}."
        )
    return float(plain)
