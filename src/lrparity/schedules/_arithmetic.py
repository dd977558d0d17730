"""The arithmetics of a schedule: one text of a formula, three readings of it.

:class:`Eager` does each operation as it is written, rounded to float32: that is what Keras reports.
:class:`Graph` does what is left after TensorFlow's graph optimiser (grappler) has rewritten the
formula: that is what a compiled ``model.fit`` applies.  :class:`Double` is Python's float64, the
arithmetic of callbacks.  A formula is written once over numbers of any kind; scalars and arrays are
both welcome.

Grappler's rewriting, as far as learning rates meet it (TensorFlow 2.21, measured):

- division by a constant becomes multiplication by its float32 reciprocal;
- a constant factor moves into a product that already has one, and the two are multiplied first,
  unless the product is used more than once (:meth:`Number.shared` says so);
- ``x + 0`` and ``1 * x`` vanish;
- a constant joins a difference of two unknowns that nothing else reads: ``(x - y) + c`` becomes
  ``x + (c - y)``;
- ``x / sqrt(y)`` becomes ``x`` times the reciprocal root of ``y``;
- ``pow`` with a constant exponent of 0, 1, 2, 3, 1/2, -1/2 or -1 becomes products and roots.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from lrparity import float32
from lrparity.float32 import Float32

Numerics = Literal["eager", "graph"]
Float64 = np.float64 | NDArray[np.float64]
Real = Float32 | Float64
Step = np.number[Any] | NDArray[Any]
"""A step as it comes from the caller: int64 or float32, one or an array of them."""
Moment: TypeAlias = "Step | Number"
"""When a schedule is asked for: a step as it came, or one that a formula around it has changed."""
Operand: TypeAlias = "Number | float | Float32 | Float64"

ONE = np.float32(1)
ZERO = np.float32(0)


def constant32(value: Any) -> np.float32:
    """A hyper-parameter as the float32 constant that it becomes in Keras."""
    if isinstance(value, int):  # in one rounding, as a tensor of int64 is cast
        return np.int64(value).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.float32(float32.flush(np.float32(value)))


class Number(ABC):
    """A number, or an array of them, in one of the arithmetics."""

    __slots__ = ()
    __array_ufunc__ = None  # so that numpy.float32 * Number asks the Number

    PI: ClassVar[np.float32 | float]

    @classmethod
    @abstractmethod
    def variable(cls, value: Any) -> Self:
        """A number that is known only when the step is."""

    @classmethod
    @abstractmethod
    def constant(cls, value: Any) -> Self:
        """A hyper-parameter."""

    @classmethod
    @abstractmethod
    def table(cls, values: Any) -> Self:
        """Hyper-parameters that were looked up, a different one for each step."""

    @classmethod
    def of_moment(cls, moment: Moment) -> Self:
        """The step as a number: in float32 it loses its last bits beyond 2**24, as in Keras."""
        return moment if isinstance(moment, cls) else cls.variable(moment)

    @classmethod
    def chosen(cls, condition: Any, yes: Self, no: Self) -> Self:
        """``tf.where(condition, yes, no)``: both are computed, one is taken."""
        return cls.variable(np.where(condition, yes.value, no.value)[()])

    @property
    @abstractmethod
    def value(self) -> Any:
        """The result, in the precision of the arithmetic."""

    @abstractmethod
    def _add(self, other: Self) -> Self: ...

    @abstractmethod
    def _subtract(self, other: Self) -> Self: ...

    @abstractmethod
    def _multiply(self, other: Self) -> Self: ...

    @abstractmethod
    def _divide(self, other: Self) -> Self: ...

    @abstractmethod
    def power(self, exponent: Operand) -> Self:
        """``self ** exponent``, TensorFlow's ``pow``."""

    def product_of_several(self) -> Self:
        """The same number, marked as a product of numbers that the step decides.

        TensorFlow lets a constant join one of them, and which one depends on the names that its
        operations have in somebody's program.
        """
        return self

    def late_constant(self) -> Self:
        """The same number, marked as one that does not depend on the step after all.

        TensorFlow finds it out after other constants have met, so that what they make together is
        not told.
        """
        return self

    @abstractmethod
    def shared(self) -> Self:
        """The same number, marked as used more than once."""

    @classmethod
    @abstractmethod
    def in_branch(cls) -> type[Number]:
        """The arithmetic inside a ``tf.cond``, whose operands arrive as unknown inputs."""

    def lift(self, other: Operand) -> Self:
        """Another operand in this arithmetic; plain numbers are constants."""
        return other if isinstance(other, type(self)) else self.constant(cast("float", other))

    def __add__(self, other: Operand) -> Self:
        return self._add(self.lift(other))

    def __radd__(self, other: Operand) -> Self:
        return self.lift(other)._add(self)

    def __sub__(self, other: Operand) -> Self:
        return self._subtract(self.lift(other))

    def __rsub__(self, other: Operand) -> Self:
        return self.lift(other)._subtract(self)

    def __mul__(self, other: Operand) -> Self:
        return self._multiply(self.lift(other))

    def __rmul__(self, other: Operand) -> Self:
        return self.lift(other)._multiply(self)

    def __truediv__(self, other: Operand) -> Self:
        return self._divide(self.lift(other))

    def __rtruediv__(self, other: Operand) -> Self:
        return self.lift(other)._divide(self)

    def __pow__(self, exponent: Operand) -> Self:
        return self.power(exponent)

    def __rpow__(self, base: Operand) -> Self:
        return self.lift(base).power(self)

    def __mod__(self, other: Operand) -> Self:
        """Python's ``x % y``, which has the sign of y."""
        return self.variable(np.mod(self.value, self.lift(other).value))

    def floor(self) -> Self:
        return self.variable(np.floor(self.value))

    def ceil(self) -> Self:
        return self.variable(np.ceil(self.value))

    def absolute(self) -> Self:
        return self.variable(np.abs(self.value))

    def minimum(self, other: Operand) -> Self:
        return self.variable(np.minimum(self.value, self.lift(other).value))

    def maximum(self, other: Operand) -> Self:
        return self.variable(np.maximum(self.value, self.lift(other).value))

    def sqrt(self) -> Self:
        return self.variable(np.sqrt(self.value))

    def rsqrt(self) -> Self:
        """``1 / sqrt(x)``, in two roundings as TensorFlow's ``rsqrt``."""
        return self.variable(self.constant(1.0).value / np.sqrt(self.value))

    @abstractmethod
    def cos(self) -> Self: ...

    @abstractmethod
    def exp(self) -> Self: ...

    @abstractmethod
    def floor_log(self, base: Self) -> Self:
        """``floor(log(self) / log(base))`` for a constant base."""


class _Single(Number):
    """What the two float32 arithmetics share."""

    __slots__ = ()

    PI = float32.PI

    @property
    @abstractmethod
    def value(self) -> Float32: ...

    @classmethod
    def table(cls, values: Any) -> Self:
        return cls.variable(float32.flush(np.asarray(values).astype(np.float32)[()]))

    @classmethod
    def of_moment(cls, moment: Moment) -> Self:
        if isinstance(moment, cls):
            return moment
        step = moment.value if isinstance(moment, Number) else moment
        return cls.variable(step.astype(np.float32))

    def cos(self) -> Self:
        return self.variable(float32.cos(self.value))

    def exp(self) -> Self:
        return self.variable(float32.exp(self.value))

    def floor_log(self, base: Self) -> Self:
        """``floor(log(self) / log(base))`` for a constant base.

        The quotient of two float32 logarithms falls just below a whole number now and then, which
        is why Keras' restarts come one step late there.
        """
        x, log_base = self.value, float32.log(base.value)
        if not isinstance(x, np.ndarray):
            return (self.variable(float32.log(x)) / self.constant(log_base)).floor()
        # Only where float64 finds the quotient near a whole number can float32's floor differ: two
        # roundings and logf err by less than 2.5e-7 of it together.
        quotient = np.log(x.astype(np.float64)) / np.float64(log_base)
        slack = 4e-7 * np.abs(quotient)
        floors = np.floor(quotient - slack)
        near = np.flatnonzero(~(floors == np.floor(quotient + slack)))
        result = floors.astype(np.float32)
        if near.size:
            logs = self.variable(float32.log(x.reshape(-1)[near]))
            result.reshape(-1)[near] = (logs / self.constant(log_base)).floor().value
        return self.variable(result)


class Eager(_Single):
    """Every operation as written, rounded to float32."""

    __slots__ = ("_value",)

    def __init__(self, value: Float32) -> None:
        self._value = value

    @classmethod
    def variable(cls, value: Float32) -> Eager:
        return cls(value)

    @classmethod
    def constant(cls, value: float | Float32) -> Eager:
        return cls(constant32(value))

    @property
    def value(self) -> Float32:
        return self._value

    def _add(self, other: Eager) -> Eager:
        return Eager(float32.add(self._value, other._value))

    def _subtract(self, other: Eager) -> Eager:
        return Eager(float32.subtract(self._value, other._value))

    def _multiply(self, other: Eager) -> Eager:
        return Eager(float32.multiply(self._value, other._value))

    def _divide(self, other: Eager) -> Eager:
        return Eager(float32.divide(self._value, other._value))

    def power(self, exponent: Operand) -> Eager:
        return Eager(float32.power(self._value, self.lift(exponent)._value))

    def shared(self) -> Eager:
        return self

    @classmethod
    def in_branch(cls) -> type[Number]:
        return Eager


class Graph(_Single):
    """The arithmetic that TensorFlow's graph optimiser leaves.

    A number is ``(factor * first) * second``, where ``factor`` is a constant that further constants
    still join, and ``factor`` and ``second`` may be absent.  Two marks are read by the very next
    operation only: that it is a difference of two unknowns, and that it is a root of something.
    """

    __slots__ = (
        "_difference",
        "_factor",
        "_first",
        "_is_constant",
        "_of_several",
        "_radicand",
        "_second",
        "_shifted",
    )

    def __init__(
        self,
        first: Float32,
        *,
        factor: np.float32 | None = None,
        second: Float32 | None = None,
        is_constant: bool = False,
        difference: tuple[Float32, Float32] | None = None,
        radicand: Float32 | None = None,
        shifted: tuple[np.float32, Callable[..., Float32], Float32] | None = None,
    ) -> None:
        self._first = first
        self._factor = factor
        self._second = second
        self._is_constant = is_constant
        self._difference = difference
        self._radicand = radicand
        self._of_several = False
        self._shifted = shifted  # a constant, plus or minus, an unknown

    @classmethod
    def _shift(cls, constant: Float32, sign: Callable[..., Float32], x: Float32) -> Graph:
        return cls(sign(constant, x), shifted=(np.float32(constant), sign, x))

    @classmethod
    def variable(cls, value: Float32) -> Graph:
        return cls(value)

    @classmethod
    def constant(cls, value: float | Float32) -> Graph:
        return cls(constant32(value), is_constant=True)

    @property
    def value(self) -> Float32:
        result = self._first
        if self._factor is not None:
            result = float32.multiply(self._factor, result)
        if self._second is not None:
            result = float32.multiply(result, self._second)
        return result

    def _is(self, value: np.float32) -> bool:
        return self._is_constant and bool(self._first == value)

    def _folded(self, other: Graph, result: Float32) -> Graph:
        return Graph(result, is_constant=self._is_constant and other._is_constant)

    def _add(self, other: Graph) -> Graph:
        if other._is(ZERO):
            return self
        if self._is(ZERO):
            return other
        for number, constant in ((self, other), (other, self)):
            if constant._is_constant and number._difference is not None:
                minuend, subtrahend = number._difference
                return Graph(float32.add(float32.subtract(constant._first, subtrahend), minuend))
            if constant._is_constant and number._shifted is not None:
                inner, sign, x = number._shifted
                return self._shift(float32.add(inner, constant._first), sign, x)
            if constant._is_constant and not number._is_constant:
                return self._shift(constant._first, float32.add, number.value)
        return self._folded(other, float32.add(self.value, other.value))

    def _subtract(self, other: Graph) -> Graph:
        if other._is(ZERO):
            return self
        x, y = self.value, other.value
        if self._is_constant and other._is_constant:
            return self._folded(other, float32.subtract(x, y))
        if other._is_constant:
            inner, sign, x = self._shifted or (ZERO, float32.add, x)
            return self._shift(float32.subtract(inner, y), sign, x)
        if self._is_constant:
            inner, sign, y = other._shifted or (ZERO, float32.add, y)
            opposite = float32.add if sign is float32.subtract else float32.subtract
            return self._shift(float32.subtract(x, inner), opposite, y)
        return Graph(float32.subtract(x, y), difference=(x, y))

    def _refuse_several(self) -> None:
        if self._of_several:
            raise ValueError(
                "numerics='graph' is not known for a constant times a product of schedules, or times "
                "PolynomialDecay(power=0): what it joins depends on the program around. Put the "
                "constant first, Product([constant, schedule, schedule]), or use numerics='eager'."
            )

    def product_of_several(self) -> Graph:
        product = Graph(self.value)
        product._of_several = True
        return product

    def late_constant(self) -> Graph:
        constant = Graph(self.value, is_constant=True)
        constant._of_several = True
        return constant

    def _scaled(self, factor: Float32) -> Graph:
        self._refuse_several()
        if self._factor is not None:
            factor = float32.multiply(factor, self._factor)
        return Graph(self._first, factor=np.float32(factor), second=self._second)

    def _multiply(self, other: Graph) -> Graph:
        if self._is_constant and other._is_constant:
            self._refuse_several()
            other._refuse_several()
            return Graph(float32.multiply(self._first, other._first), is_constant=True)
        if other._is_constant:
            return other._multiply(self)
        if self._is_constant:
            return other if self._is(ONE) else other._scaled(self._first)
        scaled, plain = (self, other) if self._factor is not None else (other, self)
        if scaled._second is None:
            return Graph(scaled._first, factor=scaled._factor, second=plain.value)
        return Graph(float32.multiply(scaled.value, plain.value))

    def _divide(self, other: Graph) -> Graph:
        if other._is_constant and not self._is_constant:
            return self._multiply(Graph(float32.divide(ONE, other._first), is_constant=True))
        if other._radicand is not None:
            return self._multiply(Graph(other._radicand).rsqrt())
        return self._folded(other, float32.divide(self.value, other.value))

    def sqrt(self) -> Graph:
        return Graph(float32.sqrt(self.value), radicand=self.value)

    def power(self, exponent: Operand) -> Graph:
        lifted = self.lift(exponent)
        x, y = self.value, lifted.value
        if self._is_constant or not lifted._is_constant:
            return self._folded(lifted, float32.power(x, y))
        if y == 0:
            return self.constant(1.0)
        if y == 1:
            return self
        if y == 2:
            return Graph(float32.multiply(x, x))
        if y == 3:
            return Graph(x, second=float32.multiply(x, x))
        if y == np.float32(0.5):
            return self.sqrt()
        if y == np.float32(-0.5):
            return self.rsqrt()
        if y == -1:
            return Graph(float32.divide(ONE, x))
        return Graph(float32.power(x, y))

    def shared(self) -> Graph:
        return Graph(self.value, is_constant=self._is_constant)

    @classmethod
    def in_branch(cls) -> type[Number]:
        return Eager


class Double(Number):
    """Python's float64, as callbacks compute; the result is rounded when Keras assigns it.

    A part that TensorFlow computes stays float32 and enters exactly, as ``float(schedule(step))``.
    """

    __slots__ = ("_value",)

    PI = math.pi
    keeps_parts: ClassVar[bool] = True

    def __init__(self, value: Float64) -> None:
        self._value = value

    @classmethod
    def variable(cls, value: Any) -> Self:
        return cls(np.asarray(value, np.float64)[()])

    @classmethod
    def constant(cls, value: Any) -> Self:
        return cls(np.float64(value))

    @classmethod
    def table(cls, values: Any) -> Self:
        return cls.variable(values)

    @property
    def value(self) -> Float64:
        return self._value

    def _add(self, other: Self) -> Self:
        return self.variable(self._value + other._value)

    def _subtract(self, other: Self) -> Self:
        return self.variable(self._value - other._value)

    def _multiply(self, other: Self) -> Self:
        return self.variable(self._value * other._value)

    def _divide(self, other: Self) -> Self:
        return self.variable(self._value / other._value)

    def power(self, exponent: Operand) -> Self:
        return self.variable(_each(_power64, self._value, self.lift(exponent)._value))

    def cos(self) -> Self:
        return self.variable(_each(_cos64, self._value))

    def exp(self) -> Self:
        return self.variable(_each(_exp64, self._value))

    def floor_log(self, base: Self) -> Self:
        return (
            self.variable(_each(_log64, self._value)) / self.variable(_each(_log64, base._value))
        ).floor()

    def shared(self) -> Self:
        return self

    @classmethod
    def in_branch(cls) -> type[Number]:
        return cls


class AllDouble(Double):
    """Float64 throughout: a formula of Keras written out in Python."""

    __slots__ = ()

    keeps_parts = False


def _each(function: Callable[..., float], *arguments: Float64) -> Float64:
    """Python's own function of every element: NumPy's have other last bits.

    A run of equal arguments, such as a staircase is made of, is computed once.
    """
    arrays = np.broadcast_arrays(*arguments)
    if not arrays[0].ndim:
        return np.float64(function(*(array.item() for array in arrays)))
    flat = [array.ravel() for array in arrays]
    begins = np.ones(flat[0].size, bool)
    if begins.size:
        begins[1:] = np.any([one[1:] != one[:-1] for one in flat], axis=0)
    starts = np.flatnonzero(begins)
    rows = zip(*(one[starts].tolist() for one in flat), strict=True)
    results = np.array([function(*row) for row in rows], np.float64)
    if starts.size < begins.size:
        results = np.repeat(results, np.diff(starts, append=begins.size))
    return results.reshape(arrays[0].shape)


def _power64(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.inf if base == 0 else math.nan


def _cos64(x: float) -> float:
    return math.cos(x) if math.isfinite(x) else math.nan


def _exp64(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _log64(x: float) -> float:
    if x > 0:
        return math.log(x)
    return -math.inf if x == 0 else math.nan


ARITHMETICS: dict[str, type[Number]] = {"eager": Eager, "graph": Graph}
