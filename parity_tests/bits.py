"""The one comparison of rates in the tests: float32 bits, and nothing looser."""

from __future__ import annotations

import numpy as np


def differing(actual, expected) -> np.ndarray:
    """Where two float32 sequences differ in any bit; any NaN equals any NaN."""
    a, b = (np.atleast_1d(np.asarray(x, np.float32)) for x in (actual, expected))
    if a.shape != b.shape:
        raise AssertionError(f"{a.shape} rates against {b.shape}")
    return (a.view(np.int32) != b.view(np.int32)) & ~(np.isnan(a) & np.isnan(b))


def assert_same_bits(actual, expected, steps=None, context: object = "") -> None:
    """Fail with the first difference, its step and its surroundings."""
    __tracebackhide__ = True
    wrong = np.flatnonzero(differing(actual, expected))
    if not wrong.size:
        return
    a, b = (np.atleast_1d(np.asarray(x, np.float32)).astype(float) for x in (actual, expected))
    steps = np.arange(a.size) if steps is None else np.asarray(steps)
    lines = [f"step {steps[i]}: {float(a[i])!r}, expected {float(b[i])!r}" for i in wrong[:3]]
    raise AssertionError(
        f"{wrong.size} of {a.size} rates differ in bits; {context}\n" + "\n".join(lines)
    )
