"""The arithmetic against TensorFlow's own scalar operations on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bits import assert_same_bits, differing
from lrparity import float32

pytestmark = pytest.mark.keras

UNARY = {
    "cos": (float32.cos, tf.cos),
    "sin": (float32.sin, tf.sin),
    "exp": (float32.exp, tf.exp),
    "log": (float32.log, tf.math.log),
    "sqrt": (float32.sqrt, tf.sqrt),
    "floor": (float32.floor, tf.floor),
    "ceil": (float32.ceil, tf.math.ceil),
}
BINARY = {
    "add": (float32.add, tf.add),
    "subtract": (float32.subtract, tf.subtract),
    "multiply": (float32.multiply, tf.multiply),
    "divide": (float32.divide, tf.divide),
    "power": (float32.power, tf.pow),
    "minimum": (float32.minimum, tf.minimum),
    "maximum": (float32.maximum, tf.maximum),
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, np.inf, -np.inf, np.nan, 3e38, -3e38, 1.2e-38, -1.2e-38]


def arguments(rng, n: int) -> np.ndarray:
    """Everyday numbers, all magnitudes, and the special ones, none subnormal."""
    everyday = rng.uniform(-10, 10, n)
    magnitudes = rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-37, 38, n)
    return float32.flush(np.float32(np.concatenate([everyday, magnitudes, SPECIAL])))


@pytest.mark.parametrize("name", UNARY)
def test_one_argument(name, seed):
    ours, theirs = UNARY[name]
    x = arguments(np.random.default_rng(seed), 300)
    expected = [theirs(tf.constant(a)).numpy() for a in x]
    with np.errstate(all="ignore"):
        assert_same_bits(ours(x), expected, x, f"{name}, seed {seed}")
        assert_same_bits([ours(a) for a in x], expected, x, f"{name}, seed {seed}")


@pytest.mark.parametrize("name", BINARY)
def test_two_arguments(name, seed):
    ours, theirs = BINARY[name]
    rng = np.random.default_rng(seed)
    x, y = arguments(rng, 300), rng.permutation(arguments(rng, 300))
    if name == "power":  # the bases and exponents of schedules, and everything else
        x[:200], y[:200] = rng.uniform(0, 1.2, 200), rng.uniform(0, 300, 200)
    expected = [theirs(tf.constant(a), tf.constant(b)).numpy() for a, b in zip(x, y, strict=True)]
    with np.errstate(all="ignore"):
        assert_same_bits(ours(x, y), expected, x, f"{name}, seed {seed}")
        singly = [ours(a, b) for a, b in zip(x, y, strict=True)]
        assert_same_bits(singly, expected, x, f"{name}, seed {seed}")


def test_results_in_the_subnormal_range_are_zero_in_both():
    x = np.float32([1e-30, 1.5e-38, -1.5e-38, 1e-20, 0.5])
    y = np.float32([1e-10, 1.2e-38, -1.2e-38, 1e19, 130.0])
    for ours, theirs in ((float32.multiply, tf.multiply), (float32.subtract, tf.subtract)):
        expected = [
            theirs(tf.constant(a), tf.constant(b)).numpy() for a, b in zip(x, y, strict=True)
        ]
        assert_same_bits(ours(x, y), expected, x)
    assert (
        float32.power(x[-1], y[-1]) == tf.pow(tf.constant(x[-1]), tf.constant(y[-1])).numpy() == 0
    )


def test_tensorflows_own_vectors_would_not_do():
    """Negative control: TensorFlow computes a whole vector with other last bits than scalars."""
    x = np.random.default_rng(0).uniform(0, 3, 4000).astype(np.float32)
    assert differing(tf.cos(tf.constant(x)).numpy(), float32.cos(x)).sum() > 10
