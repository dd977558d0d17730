"""TensorFlow 1's decays: ends, and a noise that is a pure function of the step."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from bits import assert_same_bits, differing
from lrparity import float32, schedules
from lrparity.lr_scheduler import ScheduleLR
from lrparity.schedules._legacy import (
    LinearCosineDecay,
    NaturalExpDecay,
    NoisyLinearCosineDecay,
)


def test_the_base_of_the_natural_decay_is_rounded():
    steps = np.arange(200)
    rate = float(float32.exp(np.float32(-0.3)))
    for numerics in ("eager", "graph"):
        assert_same_bits(
            NaturalExpDecay(0.1, 41, 0.3, staircase=True)(steps, numerics=numerics),
            schedules.ExponentialDecay(0.1, 41, rate, True)(steps, numerics=numerics),
        )
    once = np.array([0.1 * math.exp(-0.3 * k / 41) for k in steps], np.float32)
    assert differing(NaturalExpDecay(0.1, 41, 0.3)(steps), once).any()
    assert NaturalExpDecay(0.1, 10, 0)(50) == float(np.float32(0.1))
    assert NaturalExpDecay(0.1, 10, -0.5)(10) > 0.1
    with pytest.raises(ValueError, match="decay_steps"):
        NaturalExpDecay(0.1, 0, 0.5)


def test_the_ends_of_the_line():
    schedule = LinearCosineDecay(0.5, 64, alpha=0.0, beta=0.25)
    assert schedule(0) == 0.625
    assert schedule(64) == schedule(65) == schedule(10**9) == 0.125
    assert LinearCosineDecay(0.5, 64, num_periods=1.0, alpha=0.5, beta=0.0)(64) == 0.25
    assert LinearCosineDecay(0.5, 64, num_periods=0.0, beta=0.0)(32) == 0.25
    for cls in (LinearCosineDecay, NoisyLinearCosineDecay):
        with pytest.raises(ValueError, match="decay_steps"):
            cls(0.1, 0)


# --- noise ----------------------------------------------------------------------------------------


def noisy(noise=0, **arguments) -> NoisyLinearCosineDecay:
    return NoisyLinearCosineDecay(0.1, 1000, noise=noise, **arguments)


def test_no_variance_is_no_noise():
    steps = np.arange(1200)
    for numerics in ("eager", "graph"):
        silent = noisy(3, initial_variance=0.0)(steps, numerics=numerics)
        assert_same_bits(silent, LinearCosineDecay(0.1, 1000)(steps, numerics=numerics))
    assert_same_bits(noisy([0.0] * 1200)(steps), LinearCosineDecay(0.1, 1000)(steps))


def test_the_draws_are_normal_and_differ_by_seed():
    n = 40_000
    draws = {seed: noisy(seed)._draws(np.arange(n)).astype(float) for seed in (0, 1, 2**63 - 1)}
    for values in draws.values():
        assert abs(values.mean()) < 5 / math.sqrt(n)
        assert abs(values.std() - 1) < 0.02
        assert abs((np.abs(values) < 1).mean() - 0.6827) < 0.012
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.025
        assert 3.5 < np.abs(values).max() < 6
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 0.025


def test_a_draw_depends_on_seed_and_step_alone():
    steps = np.arange(2000)
    bulk = noisy(7)(steps)
    order = np.random.default_rng(0).permutation(2000)
    assert_same_bits(noisy(7)(steps[order]), bulk[order])
    assert_same_bits([noisy(7)(int(k)) for k in steps[::37]], bulk[::37])
    assert_same_bits(noisy(7)(steps.reshape(40, 50)).ravel(), bulk)
    for twin in (copy.deepcopy(noisy(7)), pickle.loads(pickle.dumps(noisy(7)))):
        assert_same_bits(twin(steps), bulk)
    assert differing(noisy(8)(steps), bulk)[:1000].mean() > 0.99
    far = noisy(7)._draws(np.array([-1, -257, 2**62, 2**62 + 1]))
    assert np.isfinite(far).all()
    assert len(set(far.tolist())) == 4
    assert noisy(7)(5.75) != noisy(7)(5)  # later on the line, with the draw of step 5
    assert noisy(7)._draws(np.float32(5.75)) == noisy(7)._draws(np.int64(5))


RECORDED = [
    1.1362472772598267,
    -0.5377773642539978,
    -0.20164360105991364,
    0.3830464482307434,
    -0.7145899534225464,
    -0.4845120906829834,
]


def test_the_draws_of_a_seed_stay_what_they_are():
    """A trained model's rates must be found again with the next version, too."""
    draws = noisy(7)._draws(np.array([0, 1, 2, 255, 256, 10**6]))
    assert draws.tolist() == RECORDED
    code = (
        "import numpy as np; from lrparity.schedules._legacy import NoisyLinearCosineDecay as N; "
        "print(N(0.1, 1000, noise=7)._draws(np.array([10**6, 256, 1, 0])).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([RECORDED[i] for i in (5, 4, 1, 0)])


def test_draws_of_ones_own():
    draws = np.random.default_rng(1).standard_normal(300)
    listed, steps = noisy(draws.tolist()), np.arange(300)
    rates = listed(steps)
    assert listed == noisy(draws) == noisy(tuple(draws.tolist()))
    assert_same_bits([listed(int(k)) for k in steps], rates)
    variance = np.float32(1) / float32.power(np.float32(1 + 7), np.float32(0.55))
    linear = np.float32(993) / np.float32(1000) + np.float32(draws[7]) * np.sqrt(variance)
    cosine = np.float32(LinearCosineDecay(1.0, 1000, beta=0.0)(7)) / (
        np.float32(993) / np.float32(1000)
    )
    np.testing.assert_allclose(rates[7], 0.1 * (linear * cosine + 0.001), rtol=1e-5)
    for bad, step in ((300, 300), (301, 301), (-1, -1), ([5, 300, 301], 300)):
        with pytest.raises(ValueError, match=rf"300 draws.*0 to 299.*step={step}\. Give more"):
            listed(bad)


def test_a_list_of_draws_may_end_with_the_training():
    for noise in (7, [0.5, -0.5, 1.0, 0.0, 2.0]):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = noisy(noise)
        scheduler = ScheduleLR(optimizer, schedule)
        rates = []
        for step in range(5):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step < 4:
                scheduler.step()
        assert_same_bits(rates, schedule(np.arange(5)))


@pytest.mark.parametrize(
    ("noise", "error"),
    [
        (-1, ValueError),
        (1.5, ValueError),
        (2**63, ValueError),
        (math.nan, ValueError),
        (None, TypeError),
        ("7", TypeError),
        (True, TypeError),
        ([0.1, "x"], TypeError),
        ([0.1, math.nan], ValueError),
        ([[0.1], [0.2]], TypeError),
    ],
    ids=repr,
)
def test_bad_noise(noise, error):
    with pytest.raises(error, match="noise"):
        noisy(noise)


def test_bad_variance():
    with pytest.raises(ValueError, match=r"initial_variance.*>= 0"):
        noisy(initial_variance=-0.1)
    with pytest.raises(ValueError, match="variance_decay"):
        noisy(variance_decay=math.nan)


def test_before_the_start_is_no_rate():
    assert not math.isfinite(noisy(7)(-1))
    assert math.isnan(noisy(7)(-2))
