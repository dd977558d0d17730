"""The two arithmetics of a Keras schedule: one text of a formula, two readings of it.

:class:`Eager` does each operation as it is written, rounded to float32: that is what Keras reports.
:class:`Graph` does what is left after TensorFlow's graph optimiser (grappler) has rewritten the
formula: that is what a compiled ``model.fit`` applies.  A formula is written once over numbers of
either kind; scalars and arrays are both welcome.

Grappler's rewriting, as far as learning rates meet it (TensorFlow 2.21, measured):

- division by a constant becomes multiplication by its float32 reciprocal;
- a constant factor moves into a product that already has one, and the two are multiplied first,
  unless the product is used more than once (:meth:`Number.shared` says so);
- ``x + 0`` and ``1 * x`` vanish;
- ``pow`` with a constant exponent of 1, 2, 3, 1/2, -1/2 or -1 becomes products and roots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, Self, TypeAlias, cast

import numpy as np

from lrparity import float32
from lrparity.float32 import Float32

Numerics = Literal["eager", "graph"]
Operand: TypeAlias = "Number | float | Float32"

ONE = np.float32(1)
ZERO = np.float32(0)


def constant32(value: Any) -> np.float32:
    """A hyper-parameter as the float32 constant that it becomes in Keras."""
    if isinstance(value, int):  # in one rounding, as a tensor of int64 is cast
        return np.int64(value).astype(np.float32)
    with np.errstate(over="ignore"):
        return np.float32(float32.flush(np.float32(value)))


class Number(ABC):
    """A float32 number, or an array of them, in one of the two arithmetics."""

    __slots__ = ()
    __array_ufunc__ = None  # so that numpy.float32 * Number asks the Number

    @classmethod
    @abstractmethod
    def variable(cls, value: Float32) -> Self:
        """A number that is known only when the step is."""

    @classmethod
    @abstractmethod
    def constant(cls, value: float | Float32) -> Self:
        """A hyper-parameter."""

    @property
    @abstractmethod
    def value(self) -> Float32:
        """The float32 result."""

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

    @abstractmethod
    def shared(self) -> Self:
        """The same number, marked as used more than once."""

    @abstractmethod
    def in_branch(self) -> type[Number]:
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

    def floor(self) -> Self:
        return self.variable(float32.floor(self.value))

    def ceil(self) -> Self:
        return self.variable(float32.ceil(self.value))

    def cos(self) -> Self:
        return self.variable(float32.cos(self.value))

    def minimum(self, other: Operand) -> Self:
        return self.variable(float32.minimum(self.value, self.lift(other).value))

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


class Eager(Number):
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

    def in_branch(self) -> type[Number]:
        return Eager


class Graph(Number):
    """The arithmetic that TensorFlow's graph optimiser leaves.

    A number is ``(factor * first) * second``, where ``factor`` is a constant that further constants
    still join, and ``factor`` and ``second`` may be absent.
    """

    __slots__ = ("_factor", "_first", "_is_constant", "_second")

    def __init__(
        self,
        first: Float32,
        *,
        factor: np.float32 | None = None,
        second: Float32 | None = None,
        is_constant: bool = False,
    ) -> None:
        self._first = first
        self._factor = factor
        self._second = second
        self._is_constant = is_constant

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
        return self._folded(other, float32.add(self.value, other.value))

    def _subtract(self, other: Graph) -> Graph:
        if other._is(ZERO):
            return self
        return self._folded(other, float32.subtract(self.value, other.value))

    def _scaled(self, factor: Float32) -> Graph:
        if self._factor is not None:
            factor = float32.multiply(factor, self._factor)
        return Graph(self._first, factor=np.float32(factor), second=self._second)

    def _multiply(self, other: Graph) -> Graph:
        if self._is_constant and other._is_constant:
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
        return self._folded(other, float32.divide(self.value, other.value))

    def power(self, exponent: Operand) -> Graph:
        lifted = self.lift(exponent)
        x, y = self.value, lifted.value
        if self._is_constant or not lifted._is_constant:
            return self._folded(lifted, float32.power(x, y))
        if y == 1:
            return self
        if y == 2:
            return Graph(float32.multiply(x, x))
        if y == 3:
            return Graph(x, second=float32.multiply(x, x))
        if y == np.float32(0.5):
            return Graph(float32.sqrt(x))
        if y == np.float32(-0.5):
            return Graph(float32.divide(ONE, float32.sqrt(x)))
        if y == -1:
            return Graph(float32.divide(ONE, x))
        return Graph(float32.power(x, y))

    def shared(self) -> Graph:
        return Graph(self.value, is_constant=self._is_constant)

    def in_branch(self) -> type[Number]:
        return Eager


ARITHMETICS: dict[str, type[Number]] = {"eager": Eager, "graph": Graph}
