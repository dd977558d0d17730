"""The arithmetic: scalars against arrays, against the C library, and without one."""

from __future__ import annotations

import ctypes
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bits import assert_same_bits
from lrparity import float32

FUNCTIONS = {
    "cosf": (float32.cos, 1),
    "sinf": (float32.sin, 1),
    "expf": (float32.exp, 1),
    "logf": (float32.log, 1),
    "powf": (float32.power, 2),
}
DOMAINS = {
    "cosf": [(-4.0, 4.0), (0.0, math.pi), (1.5, 1.6), (-1e6, 1e6)],
    "sinf": [(-4.0, 4.0), (3.1, 3.2), (-1e6, 1e6)],
    "expf": [(-20.0, 20.0), (-110.0, 95.0), (-1e-3, 1e-3)],
    "logf": [(0.5, 2.0), (0.99, 1.01), (1.0, 1e6), (1e-38, 1e-30)],
    "powf": [((0.0, 1.0), (0.0, 200.0)), ((0.9, 1.1), (-900.0, 900.0)), ((0.0, 50.0), (-8, 8))],
}


def c_function(name):
    function = getattr(ctypes.CDLL(None), name)
    function.restype = ctypes.c_float
    function.argtypes = [ctypes.c_float] * FUNCTIONS[name][1]
    return function


def arguments(name, rng, n):
    for domain in DOMAINS[name]:
        ranges = domain if isinstance(domain[0], tuple) else (domain,)
        yield [rng.uniform(low, high, n).astype(np.float32) for low, high in ranges]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scalars_and_arrays_have_the_bits_of_the_c_library(name, seed):
    rng = np.random.default_rng(seed)
    reference, (function, _) = c_function(name), FUNCTIONS[name]
    for columns in arguments(name, rng, 20_000):
        expected = np.array([reference(*row) for row in zip(*columns, strict=True)], np.float32)
        expected = float32.flush(expected)
        assert_same_bits(function(*columns), expected, context=f"{name}, seed {seed}")
        singly = [function(*(column[i] for column in columns)) for i in range(200)]
        assert_same_bits(singly, expected[:200])


@pytest.mark.long
@pytest.mark.parametrize("round_", range(20))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bounds_of_the_c_library_hold_in_bulk(name, round_, seed):
    rng = np.random.default_rng(seed + round_)
    reference, (function, _) = c_function(name), FUNCTIONS[name]
    for columns in arguments(name, rng, 2_000_000):
        values = map(reference, *(column.tolist() for column in columns))
        expected = float32.flush(np.fromiter(values, np.float32, columns[0].size))
        assert_same_bits(function(*columns), expected, context=f"{name}, seed {seed + round_}")


SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.0, -2.5, 1e-45, 3e38], np.float32
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name):
    function, arity = FUNCTIONS[name]
    grid = [axis.ravel() for axis in np.meshgrid(*[SPECIAL] * arity)]
    bulk = function(*grid)
    singly = [function(*row) for row in zip(*grid, strict=True)]
    assert_same_bits(bulk, singly)


@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1, max_size=20))
def test_operations_agree_on_scalars_and_arrays(pairs):
    x, y = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        for operation in (
            float32.add,
            float32.subtract,
            float32.multiply,
            float32.divide,
            float32.minimum,
            float32.maximum,
        ):
            bulk = operation(x, y)
            assert_same_bits(bulk, [operation(a, b) for a, b in zip(x, y, strict=True)])
            if operation not in (float32.minimum, float32.maximum):
                assert not ((np.abs(bulk) < float32.SMALLEST_NORMAL) & (bulk != 0)).any()


def test_shapes_broadcast_and_runs_are_kept():
    x = np.float32([[0.5], [0.25]])
    y = np.repeat(np.float32([1, 2, 3]), 1000)
    result = float32.power(x, y)
    assert result.shape == (2, 3000)
    assert_same_bits(result[:, [0, 1000, 2999]].ravel(), [0.5, 0.25, 0.125, 0.25, 0.0625, 0.015625])
    assert float32.cos(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert isinstance(float32.cos(np.float32(0)), np.float32)


def test_numpys_own_functions_would_not_do(seed):
    """Negative control: why the C library is asked."""
    x = np.random.default_rng(0).uniform(0, math.pi, 4000).astype(np.float32)
    rounded = np.cos(x.astype(np.float64)).astype(np.float32)
    assert (rounded.view(np.int32) != float32.cos(x).view(np.int32)).sum() > 0


def test_ulp_distance():
    one = np.float32(1)
    assert float32.ulp_distance(one, np.nextafter(one, np.float32(0))) == 1
    assert float32.ulp_distance(0.0, -0.0) == 0
    assert float32.ulp_distance(np.float32(1e-45), np.float32(-1e-45)) == 2
    assert float32.ulp_distance(math.nan, math.nan) == 0
    assert float32.ulp_distance(math.nan, 1.0) == np.iinfo(np.int64).max
    assert float32.ulp_distance([1.0, 2.0], [1.0, 4.0]).tolist() == [0, 2**23]


def test_the_library_is_told():
    library = float32.c_library()
    assert library.bound
    assert library.name in {"glibc", "musl", "libSystem", "ucrt", "libm"}


WITHOUT = """
import warnings, numpy as np
from lrparity import float32
from lrparity.schedules import CosineDecay, ExponentialDecay
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    a = ExponentialDecay(0.1, 7, 0.9)(np.arange(1000))
    b = CosineDecay(0.1, 1000)(np.arange(1000))
    CosineDecay(0.1, 1000)(3)
assert [w.category for w in caught] == [float32.CLibraryWarning], caught
library = float32.c_library()
assert (library.name, library.bound) == ("none", False), library
np.save(OUT, np.stack([a, b]))
"""


@pytest.mark.parametrize("named", ["none", "no-such-library.so"])
def test_without_a_c_library_it_is_said_once_and_nearly_right(named, tmp_path, monkeypatch):
    from lrparity.schedules import CosineDecay, ExponentialDecay

    monkeypatch.setenv("LRPARITY_C_LIBRARY", named)
    out = tmp_path / "rates.npy"
    script = WITHOUT.replace("OUT", repr(str(out)))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    fallback = np.load(out)
    exact = np.stack(
        [ExponentialDecay(0.1, 7, 0.9)(np.arange(1000)), CosineDecay(0.1, 1000)(np.arange(1000))]
    )
    distance = float32.ulp_distance(fallback, exact)
    assert (distance > 0).mean() < 0.01
    assert distance.max() <= 64  # a cosine near -1 cancels: 1 ULP of it is many of 1 + cos


def test_an_unknown_libm_is_asked_for_every_element(monkeypatch):
    """Where no error bounds are known, arrays give the same bits, only slower."""
    library, functions = float32._library()
    slow = (
        float32.CLibrary(library.name, library.version, bound=True, fast_arrays=False),
        functions,
    )
    x = np.linspace(0, math.pi, 5000, dtype=np.float32)
    fast = float32.cos(x)
    monkeypatch.setattr(float32, "_library", lambda: slow)
    assert_same_bits(float32.cos(x), fast)


def test_no_warning_from_extreme_arguments():
    from lrparity.schedules import CosineDecayRestarts, ExponentialDecay

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ExponentialDecay(1e30, 1, 1e30)(np.arange(50))
        ExponentialDecay(1e30, 1, 1e30)(40)
        CosineDecayRestarts(0.1, 10, t_mul=0.5)(np.arange(100))
