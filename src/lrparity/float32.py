"""Float32 arithmetic exactly as TensorFlow performs it on a CPU.

Keras computes learning rates on scalar float32 tensors.  Three things make its bits:

1. every operation rounds to float32 (NumPy's ``+ - * /``, ``sqrt`` and comparisons do the same);
2. ``cos``, ``sin``, ``exp``, ``log`` and ``pow`` are the C library's ``cosf``, ``sinf``, ``expf``,
   ``logf`` and ``powf`` (NumPy and torch ship other implementations, with other last bits);
3. TensorFlow runs its kernels with subnormal numbers flushed to zero.  The functions flush their
   results; an argument that may be subnormal goes through :func:`flush` first, as schedules do it.

The functions here take and return ``numpy.float32`` scalars or arrays.  An array gives the bits of
its elements one by one, at the speed of a few NumPy operations: the function is evaluated in
float64, and the C library is asked only where that cannot settle the rounding.

**Where the C library cannot be bound** (no ``ctypes``, no dynamic ``libm``) the five functions are
computed in float64 and rounded once.  That differs from TensorFlow by one unit in the last place on
up to 0.35 % of the steps of a schedule, so the first such call issues :class:`CLibraryWarning`, and
:func:`c_library` (which every trajectory's provenance records) says ``bound=False``.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import math
import os
import sys
import warnings
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "PI",
    "SMALLEST_NORMAL",
    "CLibrary",
    "CLibraryWarning",
    "Float32",
    "add",
    "c_library",
    "ceil",
    "cos",
    "divide",
    "exp",
    "floor",
    "flush",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "power",
    "sin",
    "single",
    "sqrt",
    "subtract",
    "ulp_distance",
]

Array = NDArray[np.float32]
Float32 = np.float32 | Array

SMALLEST_NORMAL = np.finfo(np.float32).tiny
"""Results smaller than this in magnitude become zero, as in TensorFlow."""

PI = np.float32(math.pi)


class CLibraryWarning(RuntimeWarning):
    """The C math library could not be bound; results may differ from Keras in the last bit."""


@dataclass(frozen=True)
class CLibrary:
    """Which C math library answers, as :func:`c_library` reports it.

    Attributes:
        name: ``"glibc"``, ``"musl"``, ``"libSystem"``, ``"ucrt"``, ``"libm"`` or ``"none"``.
        version: the version where the library tells it, else ``""``.
        bound: False means that float64 rounded once stands in for it.
        fast_arrays: True where the library's published error bounds are known (glibc from 2.28 on),
            so that arrays need the C function only near a rounding boundary.  Elsewhere arrays call
            it for every element: slower, the same bits.
    """

    name: str
    version: str
    bound: bool
    fast_arrays: bool


# --- one number ---------------------------------------------------------------------------------


def single(value: float) -> float:
    """The value as a float32 variable holds it: rounded once, infinite beyond, subnormals kept.

    It is ``float(np.float32(value))``, without the warning and in an eighth of the time.

    >>> single(0.1), single(1e39)
    (0.10000000149011612, inf)
    """
    return array("f", (value,))[0]


# --- the four operations ------------------------------------------------------------------------


def flush(x: Float32) -> Float32:
    """Turn subnormal numbers into zeros of the same sign.

    >>> float(flush(np.float32(1e-40))), float(flush(np.float32(1e-30)))
    (0.0, 1.0000000031710769e-30)
    """
    if isinstance(x, np.ndarray):
        small = np.abs(x) < SMALLEST_NORMAL
        return np.where(small, np.copysign(np.float32(0), x), x) if small.any() else x
    return x * np.float32(0) if -SMALLEST_NORMAL < x < SMALLEST_NORMAL else x


def add(x: Float32, y: Float32) -> Float32:
    """``x + y``."""
    return flush(x + y)


def subtract(x: Float32, y: Float32) -> Float32:
    """``x - y``."""
    return flush(x - y)


def multiply(x: Float32, y: Float32) -> Float32:
    """``x * y``."""
    return flush(x * y)


def divide(x: Float32, y: Float32) -> Float32:
    """``x / y``."""
    return flush(x / y)


def sqrt(x: Float32) -> Float32:
    """The square root, correctly rounded."""
    return np.sqrt(x)


def floor(x: Float32) -> Float32:
    """The largest integer not above ``x``, as float32."""
    return np.floor(x)


def ceil(x: Float32) -> Float32:
    """The smallest integer not below ``x``, as float32."""
    return np.ceil(x)


def minimum(x: Float32, y: Float32) -> Float32:
    """The smaller of the two."""
    return np.minimum(x, y)


def maximum(x: Float32, y: Float32) -> Float32:
    """The larger of the two."""
    return np.maximum(x, y)


# --- the C library's functions ------------------------------------------------------------------


def cos(x: Float32) -> Float32:
    """``cosf(x)``, x in radians.

    >>> float(cos(np.float32(1.0)))
    0.5403022766113281
    """
    return _evaluate(_COS, x)


def sin(x: Float32) -> Float32:
    """``sinf(x)``, x in radians."""
    return _evaluate(_SIN, x)


def exp(x: Float32) -> Float32:
    """``expf(x)``."""
    return _evaluate(_EXP, x)


def log(x: Float32) -> Float32:
    """``logf(x)``, the natural logarithm."""
    return _evaluate(_LOG, x)


def power(x: Float32, y: Float32) -> Float32:
    """``powf(x, y)``, with a subnormal result flushed to zero.

    >>> float(power(np.float32(0.96), np.float32(2.5)))
    0.902979850769043
    """
    return _evaluate(_POW, x, y)


def c_library() -> CLibrary:
    """The C math library in use; binds it on the first call."""
    return _library()[0]


# --- comparison ---------------------------------------------------------------------------------


def ulp_distance(x: Any, y: Any) -> NDArray[np.int64]:
    """How many float32 numbers lie between ``x`` and ``y``, elementwise; 0 means equal.

    Both zeros count as equal here and so do any two NaN; a NaN against a number is the largest int64.

    >>> ulp_distance(np.float32(1.0), np.nextafter(np.float32(1.0), np.float32(2.0))).item()
    1
    """
    a, b = np.asarray(x, np.float32), np.asarray(y, np.float32)
    distance = np.abs(_ordered(a) - _ordered(b))
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    distance = np.where(nan_a & nan_b, 0, distance)
    return np.where(nan_a ^ nan_b, np.iinfo(np.int64).max, distance)


def _ordered(x: Array) -> NDArray[np.int64]:
    """Map float32 to integers that have the same order and are one apart for neighbours."""
    bits = np.ascontiguousarray(x).view(np.int32).astype(np.int64).reshape(x.shape)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


# --- binding and evaluation ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Function:
    """One C function, its float64 counterpart, and how far it may stray before its one rounding.

    ``uncertainty(result)`` bounds the relative error of the double that glibc (from 2.28 on) rounds
    to float32, for arguments up to ``domain`` in magnitude; beyond it the C function is asked.
    """

    name: str
    arity: int
    scalar64: Callable[..., float]
    array64: Callable[..., NDArray[np.float64]]
    uncertainty: Callable[[NDArray[np.float64]], Any]
    domain: float = math.inf


def _power64(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return math.inf
    except ValueError:  # 0 ** negative is inf in C, negative ** fraction is NaN
        return math.inf if x == 0 else math.nan


def _extended(function: Callable[[float], float], at_zero: float) -> Callable[[float], float]:
    """Give a ``math`` function C's answers where Python raises."""

    def evaluate(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return math.inf
        except ValueError:
            return at_zero if x == 0 else math.nan

    return evaluate


def _constant(bound: float) -> Callable[[NDArray[np.float64]], float]:
    return lambda _: bound


def _trigonometric(result: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two polynomials: the one for results near +-1 is 50 times as exact as the other."""
    return np.where(np.abs(result) > 0.71, 1e-10, 4.4e-9)


def _exponential(result: NDArray[np.float64]) -> Any:
    return 2.0 * 2.0**-33 * np.abs(np.log(np.abs(result))) + 2.0 * 2.0**-34


# In glibc's words (sysdeps/ieee754/flt-32): logf errs by 1.957 * 2**-26, expf by 1.69 * 2**-34, powf
# by 1.83 * 2**-33 of y * log(x) and then as expf.  Over every float32 argument (60 million random
# pairs for powf) these were 1.924, 1.690 and 99 % of the bound; cosf and sinf erred by 3.98e-9, and
# by 7.3e-11 where the result is above 0.71, for all arguments up to 6.  A tenth is added to each.
_COS = _Function("cosf", 1, _extended(math.cos, 1.0), np.cos, _trigonometric, domain=6.0)
_SIN = _Function("sinf", 1, _extended(math.sin, 0.0), np.sin, _trigonometric, domain=6.0)
_EXP = _Function("expf", 1, _extended(math.exp, 1.0), np.exp, _constant(1.9 * 2.0**-34))
_LOG = _Function("logf", 1, _extended(math.log, -math.inf), np.log, _constant(2.2 * 2.0**-26))
_POW = _Function("powf", 2, _power64, np.power, _exponential)
_FUNCTIONS = (_COS, _SIN, _EXP, _LOG, _POW)

LIBRARY_VARIABLE = "LRPARITY_C_LIBRARY"


def _candidates() -> list[tuple[str, str]]:
    """Names under which the process's own C math library can be opened, best first."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return [] if named == "none" else [("libm", named)]
    if sys.platform == "win32":
        return [("ucrt", "ucrtbase")]
    if sys.platform == "darwin":
        return [("libSystem", "/usr/lib/libSystem.B.dylib")]
    found = ctypes.util.find_library("m")
    return [("glibc", "libm.so.6"), ("musl", "libc.so")] + ([("libm", found)] if found else [])


def _glibc_version() -> str:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError, OSError):
        return ""
    return version if name == "glibc" else ""


def _bind(path: str) -> dict[str, Callable[..., float]]:
    library = ctypes.CDLL(path)
    functions: dict[str, Callable[..., float]] = {}
    for function in _FUNCTIONS:
        c_function = getattr(library, function.name)
        c_function.restype = ctypes.c_float
        c_function.argtypes = [ctypes.c_float] * function.arity
        functions[function.name] = c_function
    answers = functions["cosf"](0.0), functions["logf"](1.0), functions["powf"](2.0, 3.0)
    if answers != (1.0, 0.0, 8.0):
        raise OSError(f"{path} answers cosf(0), logf(1), powf(2, 3) with {answers}")
    return functions


@functools.cache
def _library() -> tuple[CLibrary, dict[str, Callable[..., float]]]:
    """Bind the C library once per process."""
    failures = []
    for name, path in _candidates():
        try:
            functions = _bind(path)
        except (OSError, AttributeError) as error:
            failures.append(str(error))
            continue
        version = _glibc_version() if name == "glibc" else ""
        known = tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (2, 28)
        return CLibrary(name, version, bound=True, fast_arrays=known), functions
    reason = "; ".join(failures) or f"{LIBRARY_VARIABLE}={os.environ.get(LIBRARY_VARIABLE)!r}"
    warnings.warn(
        f"no C math library could be bound ({reason}): cos, sin, exp, log and pow are float64 "
        "rounded once, which differs from Keras in the last bit of up to 0.35 % of a schedule's "
        f"steps. Name the library in the environment variable {LIBRARY_VARIABLE} to mend it.",
        CLibraryWarning,
        stacklevel=4,
    )
    rounded = {f.name: _rounded(f.scalar64) for f in _FUNCTIONS}
    return CLibrary("none", "", bound=False, fast_arrays=False), rounded


def _rounded(function: Callable[..., float]) -> Callable[..., float]:
    return lambda *arguments: float(np.float32(function(*arguments)))


def _evaluate(function: _Function, *arguments: Float32) -> Float32:
    if not any(isinstance(argument, np.ndarray) for argument in arguments):
        return flush(np.float32(_library()[1][function.name](*arguments)))
    arrays = np.broadcast_arrays(*arguments)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    with np.errstate(all="ignore"):
        return flush(_evaluate_runs(function, flat).reshape(arrays[0].shape))


def _evaluate_runs(function: _Function, arguments: list[Array]) -> Array:
    """Evaluate each run of equal arguments once: staircases and held ends are made of them."""
    if not arguments[0].size:
        return arguments[0].copy()
    changes = np.ones(arguments[0].size, bool)
    changes[1:] = arguments[0][1:] != arguments[0][:-1]
    for argument in arguments[1:]:
        changes[1:] |= argument[1:] != argument[:-1]
    starts = np.flatnonzero(changes)
    if starts.size > 0.9 * changes.size:
        return _evaluate_array(function, arguments)
    lengths = np.diff(starts, append=changes.size)
    return np.repeat(_evaluate_array(function, [a[starts] for a in arguments]), lengths)


def _evaluate_array(function: _Function, arguments: list[Array]) -> Array:
    library, c_functions = _library()
    c_function = c_functions[function.name]
    if not library.fast_arrays:
        return _each(c_function, arguments)
    result = function.array64(*(argument.astype(np.float64) for argument in arguments))
    slack = np.abs(result) * function.uncertainty(result)
    rates: Array = (result - slack).astype(np.float32)
    # NaN, infinities and results about the smallest normal number go to the C function too; what is
    # clearly below it is flushed to a zero of its sign.
    unsettled = rates != (result + slack).astype(np.float32)
    size = np.abs(result)
    unsettled |= ~(size > 2.0 * float(SMALLEST_NORMAL))
    vanishing = size < 0.5 * float(SMALLEST_NORMAL)
    if vanishing.any():
        rates[vanishing] = np.copysign(np.float32(0), result[vanishing].astype(np.float32))
        unsettled &= ~vanishing
    if function.domain < math.inf:
        unsettled |= np.abs(arguments[0]) > function.domain
    where = np.flatnonzero(unsettled)
    if where.size:
        rates[where] = _each(c_function, [argument[where] for argument in arguments])
    return rates


def _each(c_function: Callable[..., float], arguments: list[Array]) -> Array:
    values = map(c_function, *(argument.tolist() for argument in arguments))
    return np.fromiter(values, np.float32, arguments[0].size)
