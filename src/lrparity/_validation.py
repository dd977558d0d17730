"""Checks of arguments: each error names the argument, the value, what is allowed, and the mend."""

from __future__ import annotations

import itertools
import math
import numbers
import operator
import sys
import warnings
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from lrparity import float32


def remark(message: str) -> None:
    """Warn at the line of the user's that called lrparity, however deep this is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("lrparity"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level + 1)


def number(name: str, value: Any) -> int | float:
    """A Python ``int`` or ``float`` from any real scalar; NaN, booleans and text are refused."""
    plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if isinstance(plain, bool) or not isinstance(plain, numbers.Real):
        raise TypeError(
            f"Argument `{name}` must be a real number. Received: {name}={value!r} of type "
            f"{type(value).__name__}. Pass a Python float or int."
        )
    result = int(plain) if isinstance(plain, numbers.Integral) else float(plain)
    if isinstance(result, int) and not -(2**63) <= result < 2**63:
        raise ValueError(
            f"Argument `{name}` must fit into int64. Received: {name}={value!r}. Pass a float."
        )
    if isinstance(result, float) and math.isnan(result):
        raise ValueError(
            f"Argument `{name}` must be a number. Received: {name}={value!r}, "
            "which would make every learning rate NaN."
        )
    if 0.0 < abs(result) < float(float32.SMALLEST_NORMAL):
        remark(
            f"`{name}`={value!r} is below the smallest normal float32 (1.18e-38); TensorFlow "
            "flushes it to 0 in arithmetic (though not as the base of a power), and lrparity takes "
            "it as 0. Pass 0 to silence this."
        )
    return result


def rate(name: str, value: Any) -> float:
    """A learning rate: a float that is finite in float32.  Integers become float, as documented."""
    result = float(number(name, value))
    with np.errstate(over="ignore"):
        finite = bool(np.isfinite(np.float32(result)))
    if not finite:
        raise ValueError(
            f"Argument `{name}` must be finite in float32 (at most 3.4e38). Received: {name}={value!r}."
        )
    return result


def schedule_rate(name: str, value: Any) -> float:
    """A learning rate of the schedule; a negative one is legal in Keras and never meant."""
    result = rate(name, value)
    if result < 0:
        remark(
            f"`{name}`={value!r} is negative: every update will go up the gradient. Keras accepts "
            "it and so does lrparity."
        )
    return result


def finite(name: str, value: Any) -> int | float:
    """A number of steps, whole or not, that is no infinity."""
    result = number(name, value)
    if math.isinf(result):
        raise ValueError(f"Argument `{name}` must be finite. Received: {name}={value!r}.")
    return result


def positive(name: str, value: Any) -> int | float:
    """A number of steps: more than 0, whole or not."""
    result = finite(name, value)
    if result <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value!r}.")
    return result


def not_negative(name: str, value: Any) -> int | float:
    """A number of steps, perhaps none."""
    result = finite(name, value)
    if result < 0:
        raise ValueError(f"Argument `{name}` must be >= 0, 0 for none. Received: {name}={value!r}.")
    return result


def is_list(value: Any) -> bool:
    """Whether it is a sequence of things, which text and an array of no dimension are not."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def listed(name: str, value: Any) -> Sequence[Any]:
    """A list, tuple or array of numbers, which are yet to be checked."""
    if not is_list(value):
        raise TypeError(f"Argument `{name}` must be a list of numbers. Received: {name}={value!r}.")
    return cast("Sequence[Any]", value)


def increasing(name: str, value: Any) -> tuple[int | float, ...]:
    """Finite steps in order, each once."""
    steps = tuple(number(name, one) for one in listed(name, value))
    if not all(map(math.isfinite, steps)):
        raise ValueError(
            f"Argument `{name}` must be finite. Received: {name}={list(steps)}. Leave out the last "
            "one to keep a rate for ever."
        )
    for low, high in itertools.pairwise(steps):
        if low >= high:
            raise ValueError(
                f"Argument `{name}` must increase from one to the next. Received: "
                f"{name}={list(steps)}, where {high!r} follows {low!r}. Sort them, and name each once."
            )
    return steps


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number; ``10.0`` will do, because ``numpy.ceil`` returns that."""
    result = number(name, value)
    if result < least or result % 1:
        raise ValueError(
            f"Argument `{name}` must be a whole number of at least {least}. "
            f"Received: {name}={value!r}."
        )
    return int(result)


def fraction(name: str, value: Any) -> float:
    """A part of the whole: from 0 to 1."""
    result = float(number(name, value))
    if not 0 <= result <= 1:
        raise ValueError(
            f"Argument `{name}` must be between 0 and 1, 0.1 for 10 percent. "
            f"Received: {name}={value!r}."
        )
    return result


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_ | int) or value not in (0, 1):
        raise TypeError(f"Argument `{name}` must be True or False. Received: {name}={value!r}.")
    return bool(value)


def text(name: str, value: Any) -> str | None:
    """A name, or None (tf_keras' default)."""
    if value is not None and not isinstance(value, str):
        raise TypeError(
            f"Argument `{name}` must be a string or None. Received: {name}={value!r}. "
            "Pass arguments by keyword if another one was meant."
        )
    return value


def integer(value: Any) -> int:
    """A plain int from any integer; TypeError, without words, for floats and booleans."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of a closed set of words."""
    if not isinstance(value, str) or value not in allowed:
        words = ", ".join(repr(word) for word in allowed)
        raise ValueError(f"Argument `{name}` must be one of {words}. Received: {name}={value!r}.")
    return str(value)
