"""What every schedule is: a frozen value, called with a step, that answers with a learning rate."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import numbers
import struct
from collections.abc import Callable
from typing import Any, Literal, Self, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrparity import float32
from lrparity._validation import choice
from lrparity.schedules._arithmetic import Numerics, Step

Unit = Literal["update", "epoch"]
Rates = NDArray[np.float32]

_FLOAT32 = struct.Struct("f")

UNITS = ("update", "epoch")
NUMERICS = ("eager", "graph")


class LearningRateSchedule:
    """A learning rate as a function of the update, or of the epoch; the base of all schedules.

    Derive from it for a schedule of your own, as you would in Keras: define ``__call__(self, step)``,
    which gets a Python ``int`` (or ``float``) and returns a number, and ``get_config(self)`` if it is
    to be saved.  The base then adds what the shipped schedules have:

    - the result is rounded to float32 and returned as a Python ``float``;
    - an array of steps gives a float32 array, evaluated step by step;
    - ``numerics="graph"`` raises, because only shipped formulas are known to TensorFlow's rewriting.

    Attributes:
        unit: ``"update"`` (the step counts changes of the weights by one optimizer, from 0) or
            ``"epoch"`` (it counts epochs, from 0).  Set it in your class; default ``"update"``.

    Source: keras/src/optimizers/schedules/learning_rate_schedule.py, 3.15.1.  torch has no
    counterpart: its ``LRScheduler`` is tied to an optimizer and counts for itself.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / 2 ** (step // 10)
    >>> Halving()(25)
    0.02500000037252903
    >>> Halving()(np.array([0, 10, 20])).tolist()
    [0.10000000149011612, 0.05000000074505806, 0.02500000037252903]
    """

    unit: Unit = "update"
    __annotations__["unit"] = Unit  # jsonargparse looks the name up where a derived class stands

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        own = cls.__dict__.get("__call__")
        if own is not None:
            cls.__call__ = _user_call(own)  # type: ignore[method-assign]

    @overload
    def __call__(self, step: float, *, numerics: Numerics = "eager") -> float: ...

    @overload
    def __call__(self, step: ArrayLike, *, numerics: Numerics = "eager") -> Rates: ...

    def __call__(self, step: Any, *, numerics: Numerics = "eager") -> float | Rates:
        """The learning rate of a step, or of an array of steps.

        Args:
            step: an integer (int64 in Keras) or a float (float32 there), or an array of either.
                What happens below 0 and past the end is said by each class.
            numerics: ``"eager"``: what Keras reports, ``float(optimizer.learning_rate)``.
                ``"graph"``: what a compiled ``model.fit`` on a CPU applies.

        Returns:
            A Python float that holds the exact float32 value; for an array, a float32 array of the
            same shape with the same bits.
        """
        choice("numerics", numerics, NUMERICS)
        steps = as_steps(step)
        with np.errstate(all="ignore"):
            rates = self._rates(steps, numerics)
        return np.asarray(rates, np.float32) if isinstance(steps, np.ndarray) else float(rates)

    def _rates(self, step: Step, numerics: Numerics) -> np.float32 | Rates:
        raise NotImplementedError(
            f"{type(self).__name__} defines no `__call__(self, step)`. Define it, or use one of the "
            "schedules in lrparity.schedules."
        )

    def _parts(self) -> tuple[LearningRateSchedule, ...]:
        """The schedules that it is made of."""
        return ()

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments by name, in Keras' order."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no `get_config(self)`. Define it to return the "
            "constructor arguments as a dict; saving and comparing schedules needs it."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the schedule from what :meth:`get_config` returned."""
        return cls(**config)


def _user_call(own: Callable[..., Any]) -> Callable[..., Any]:
    """Give a user's ``__call__(self, step)`` the contract of the shipped schedules."""

    @functools.wraps(own)
    def call(
        self: LearningRateSchedule, step: Any, *, numerics: Numerics = "eager"
    ) -> float | Rates:
        choice("numerics", numerics, NUMERICS)
        if numerics == "graph":
            raise ValueError(
                f"numerics='graph' is not known for {type(self).__name__}: how TensorFlow rewrites "
                "a formula can be told for shipped schedules only. Use numerics='eager'."
            )
        steps = as_steps(step)
        if not isinstance(steps, np.ndarray):
            return rounded_rate(own(self, steps.item()), type(self).__name__, steps)
        rates = [rounded_rate(own(self, k), type(self).__name__, k) for k in steps.ravel().tolist()]
        return np.array(rates, np.float32).reshape(steps.shape)

    return call


def rounded_rate(value: Any, name: str, step: Any) -> float:
    """What a user's function returned, rounded to float32."""
    plain = plain_rate(value, name, step)
    try:  # an eighth of the time of numpy.float32 without its overflow warning
        return cast("float", _FLOAT32.unpack(_FLOAT32.pack(plain))[0])
    except OverflowError:
        return math.copysign(math.inf, plain)


def plain_rate(value: Any, name: str, step: Any) -> float:
    """What a user's function returned, checked: one real number."""
    plain = value
    if hasattr(value, "item"):
        with contextlib.suppress(ValueError, RuntimeError):  # an array or tensor of several
            plain = value.item()
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise TypeError(
            f"{name} must return a learning rate, one real number. "
            f"Received: {value!r} of type {type(value).__name__} at step {step}."
        )
    if math.isnan(plain):
        raise ValueError(f"{name} must return a learning rate. Received: {value!r} at step {step}.")
    try:
        return float(plain)
    except OverflowError:  # an integer of 309 digits
        return math.inf if cast("float", plain) > 0 else -math.inf


def is_shipped_formula(schedule: LearningRateSchedule) -> bool:
    """Whether it is a pure formula, which may be evaluated ahead and in bulk."""
    return type(schedule).__call__ is LearningRateSchedule.__call__ and all(
        is_shipped_formula(part) for part in schedule._parts()
    )


def as_steps(step: Any) -> Step:
    """A step, or an array of steps, in the dtype that Keras would see: int64 or float32."""
    array = np.asarray(step)
    if array.dtype.kind in "iu":
        if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"`step` must fit into int64. Received: step={step!r}.")
        steps = array.astype(np.int64)
    elif array.dtype.kind == "f":
        if np.isnan(array).any():
            raise ValueError(f"`step` must not be NaN. Received: step={step!r}.")
        with np.errstate(over="ignore"):
            steps = np.asarray(float32.flush(array.astype(np.float32)))
    elif array.dtype == object and isinstance(step, int):
        raise ValueError(f"`step` must fit into int64. Received: step={step!r}.")
    else:
        raise TypeError(
            "`step` must be an integer, a float, or an array of either. "
            f"Received: step={step!r} of type {type(step).__name__}."
        )
    return steps if steps.ndim else steps[()]


class FunctionSchedule(LearningRateSchedule):
    """A bare function of the step, ``fn(step) -> float``, as a schedule.

    Wherever lrparity takes a schedule, a function will do; this is what it is wrapped in.  Wrap it
    yourself to say that it counts epochs.

    Args:
        function: called with a Python int; returns one real number.  It is called once per step, in
            order and never ahead, so it may look at the state of the training.
        unit: ``"update"`` or ``"epoch"``.

    A function cannot be saved: a scheduler's state keeps the rate it gave instead, and compares.

    >>> FunctionSchedule(lambda epoch: 0.1 * 0.9**epoch, unit="epoch")(2)
    0.08100000023841858
    """

    def __init__(self, function: Callable[..., Any], unit: Unit = "update") -> None:
        if not callable(function):
            raise TypeError(f"`function` must be callable. Received: function={function!r}.")
        self.function = function
        self.unit = cast("Unit", choice("unit", unit, UNITS))

    def __call__(self, step: float) -> float:  # type: ignore[override]
        return self.rate(step)

    def rate(self, step: float) -> float:
        """The function's value, checked and rounded, without the detours of a call."""
        return rounded_rate(self.function(step), "The function of the step", step)

    def plain(self, step: float) -> float:
        """The function's value, checked but not rounded: a part of what Python computes."""
        return plain_rate(self.function(step), "The function of the step", step)

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"{self!r} wraps a function, which has no config. Derive a class from "
            "LearningRateSchedule, with get_config, to make it saveable."
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionSchedule) and (
            (self.function, self.unit) == (other.function, other.unit)
        )

    def __hash__(self) -> int:
        return hash((self.function, self.unit))

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", None) or repr(self.function)
        return f"FunctionSchedule({name}, unit={self.unit!r})"


def as_schedule(value: Any, name: str = "schedule") -> LearningRateSchedule:
    """Accept a schedule or a bare function of the step.

    >>> as_schedule(lambda step: 0.1).unit
    'update'
    """
    if isinstance(value, LearningRateSchedule):
        return value
    houses = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if hasattr(value, "get_config") and houses & {"keras", "tf_keras", "tensorflow"}:
        raise TypeError(
            f"Argument `{name}` is a Keras object, {type(value).__name__}. For a schedule of Keras' "
            f"take lrparity.schedules.{type(value).__name__}.from_config(it.get_config()); derive "
            "one of your own from lrparity.schedules.LearningRateSchedule."
        )
    if isinstance(value, type) or not callable(value):
        mend = f" Instantiate it: {value.__name__}(...)." if isinstance(value, type) else ""
        raise TypeError(
            f"Argument `{name}` must be a LearningRateSchedule or a function of the step. "
            f"Received: {name}={value!r}.{mend}"
        )
    try:
        inspect.signature(value).bind(0)
    except TypeError as error:
        raise TypeError(
            f"Argument `{name}` must be callable with one argument, the step; {value!r} is not: "
            f"{error}. Write it as a function of the step alone; one that needs the current rate "
            "depends on the run and is no schedule."
        ) from None
    except ValueError:  # built in C, without a signature
        pass
    return FunctionSchedule(value)
