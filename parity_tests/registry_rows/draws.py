"""Arguments from a random generator: the ingredients of every row."""

from __future__ import annotations

import numpy as np


def log(rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def rate(rng) -> float:
    return float(rng.choice([0.1, 0.01, 1e-3, 1.0, log(rng, 1e-6, 2.0)]))


def length(rng) -> float:
    """A number of steps: favourites, 1, awkward reciprocals, anything, and fractions."""
    awkward = [41, 47, 55, 61, 82, 83, 94, 97, 107, 109, 1172]
    pick = rng.integers(5)
    if pick == 0:
        return int(rng.choice([1, 2, 3, 7, 10, 100, 1000, 10_000, 100_000]))
    if pick == 1:
        return int(rng.choice(awkward))
    if pick == 2:
        return float(rng.uniform(0.3, 300))
    return int(log(rng, 1, 1e6))


def one_of(rng, *favourites: float, low: float, high: float) -> float:
    return float(rng.choice([*favourites, rng.uniform(low, high)]))
