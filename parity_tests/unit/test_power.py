"""Powers of the step: ends, special values and bad input."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

from bits import differing
from lrparity.schedules._power import (
    DirectPowerDecay,
    InverseSquareRoot,
    Noam,
    PowerAndLinearDecay,
    PowerDecayWithOffset,
    StepCosineDecayWithOffset,
    WarmUpAndPolyDecay,
)


def rounded(value: float) -> float:
    return float(np.float32(value))


# --- the Transformer ------------------------------------------------------------------------------


def test_the_two_transformers_are_one_curve():
    steps = np.arange(20_000)
    multiplied, noam = InverseSquareRoot(1.0, 4000, 512), Noam(512)
    np.testing.assert_allclose(multiplied(steps), noam(steps), rtol=3e-7)
    assert differing(multiplied(steps), noam(steps)).sum() > 1000
    assert differing(noam(steps), Noam(512, roots="pow")(steps)).sum() > 1000
    for schedule in (multiplied, noam):
        assert schedule(0) == 0.0
        assert schedule(4000) == max(schedule(steps))
        assert schedule(3999) < schedule(4000) > schedule(4001)


def test_the_width_may_be_left_out():
    assert InverseSquareRoot(1.0, 16)(16) == 0.25
    assert InverseSquareRoot(1.0, 16, 4)(16) == 0.125
    assert InverseSquareRoot(0.5, 16, None)(64) == 0.0625


def test_before_the_start():
    assert InverseSquareRoot(1.0, 16)(-1) < 0
    for roots in ("rsqrt", "pow"):
        assert math.isnan(Noam(512, roots=roots)(-1))


def test_bounds():
    capped = Noam(64, 100, minimum=1e-3, maximum=5e-3)
    rates = capped(np.arange(50_000))
    assert capped(0) == rounded(1e-3) == rates.min()
    assert capped(100) == rounded(5e-3) == rates.max()
    assert capped(50_000) == rounded(1e-3)
    assert Noam(64, 100, minimum=1.0, maximum=0.5)(100) == 1.0  # the cap comes first
    assert Noam(64, 100, scale=2.0)(100) == 2 * Noam(64, 100)(100)
    assert Noam(64, 100, scale=0.0)(100) == 0.0


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: InverseSquareRoot(1.0, 0), "warmup_steps.*> 0"),
        (lambda: InverseSquareRoot(1.0, 10, 0), "hidden_size.*> 0"),
        (lambda: InverseSquareRoot(1.0, 10, -4), "hidden_size.*> 0"),
        (lambda: InverseSquareRoot(math.inf, 10), "learning_rate.*finite"),
        (lambda: Noam(0), "d_model.*> 0"),
        (lambda: Noam(512, 0), "warmup_steps.*> 0"),
        (lambda: Noam(512, scale=math.inf), "scale.*finite"),
        (lambda: Noam(512, minimum=math.nan), "minimum"),
        (lambda: Noam(512, maximum=math.inf), "maximum.*finite"),
        (lambda: Noam(512, roots="sqrt"), "'rsqrt', 'pow'"),
        (lambda: DirectPowerDecay(math.inf), "initial_learning_rate.*finite"),
        (lambda: DirectPowerDecay(0.1, math.nan), "power"),
        (lambda: PowerAndLinearDecay(0.1, math.nan), "total_decay_steps"),
        (lambda: PowerAndLinearDecay(0.1, 10, offset=math.nan), "offset"),
        (
            lambda: PowerDecayWithOffset(0.1, pre_offset_learning_rate=math.inf),
            "pre_offset.*finite",
        ),
        (lambda: WarmUpAndPolyDecay(0), "batch_size.*> 0"),
        (lambda: WarmUpAndPolyDecay(2048, warmup_steps=-1), "warmup_steps.*>= 0"),
        (lambda: WarmUpAndPolyDecay(2048, decay_steps=-1), "decay_steps.*>= 0"),
        (lambda: WarmUpAndPolyDecay(2048, learning_rate=1e39), "learning_rate.*finite"),
    ],
)
def test_bad_arguments(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_texts_are_no_numbers():
    for build in (lambda: Noam("512"), lambda: InverseSquareRoot(1.0, 10, "512")):
        with pytest.raises(TypeError, match="'512'"):
            build()


# --- TensorFlow Models ----------------------------------------------------------------------------


def test_the_first_steps_of_a_power():
    for schedule in (
        DirectPowerDecay(0.1, -0.5),
        PowerAndLinearDecay(0.1, 1000, -0.5),
    ):
        assert schedule(-5) == schedule(0) == schedule(1) == rounded(0.1)
        assert schedule(2) < schedule(1)
    assert DirectPowerDecay(0.1)(7) == float(np.float32(0.1) * np.float32(7))  # it grows
    assert DirectPowerDecay(0.1, 0)(7) == rounded(0.1)


def test_the_end_of_power_and_linear():
    schedule = PowerAndLinearDecay(0.1, 100, -0.5, 0.1, offset=5)
    plain = DirectPowerDecay(0.1, -0.5)
    assert schedule(5 + 90) == plain(90)
    assert schedule(5 + 91) < plain(91)
    assert schedule(5 + 99) > 0
    assert [schedule(5 + k) for k in (100, 101, 10**6)] == [0.0] * 3
    assert schedule(5) == schedule(0) == plain(0)
    for total, fraction in ((100, 0.0), (0, 0.1), (100, -0.1), (-100, 0.1)):
        for_ever = PowerAndLinearDecay(0.1, total, -0.5, fraction)
        assert for_ever(10**6) == plain(10**6)


def test_before_and_after_the_offset():
    schedule = PowerDecayWithOffset(0.1, -0.5, 10, 0.2)
    assert [schedule(k) for k in (-3, 0, 10)] == [rounded(0.2)] * 3
    assert schedule(11) == rounded(0.1)
    assert PowerDecayWithOffset(0.5, 1.0, 10, 2.0)(100) == 2.0  # the cap
    assert PowerDecayWithOffset(0.1, -0.5)(0) == 1e6
    assert PowerDecayWithOffset(0.1, -0.5, 2.5, 0.2)(3) == rounded(0.1)


def test_nan_from_the_last_boundary_on():
    schedule = StepCosineDecayWithOffset([0, 10, 30], [1.0, 0.5, 0.1], offset=4)
    rates = schedule(np.arange(60))
    assert np.isfinite(rates[:34]).all()
    assert np.isnan(rates[34:]).all()
    for boundary, value in ((0, 1.0), (10, 0.5)):
        assert schedule(4 + boundary) == value
    assert rounded(0.1) < schedule(4 + 29) < 0.11
    assert schedule(3) == schedule(5)  # the first cosine goes on to the left
    assert math.isnan(schedule(34, numerics="graph"))


def test_odd_boundaries_warn():
    with pytest.warns(UserWarning, match="NaN everywhere"):
        single = StepCosineDecayWithOffset([0], [0.1])
    assert np.isnan(single(np.arange(5))).all()
    with pytest.warns(UserWarning, match="Let the first be 0"):
        schedule = StepCosineDecayWithOffset([100, 110], [1.0, 0.5])
    assert (schedule(0), schedule(10)) == (1.0, 0.5)
    assert math.isnan(schedule(110))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        StepCosineDecayWithOffset([0, 10], [1.0, 0.5])
    assert not caught


@pytest.mark.parametrize(
    ("boundaries", "values", "error", "words"),
    [
        ([0, 10], [0.1], ValueError, "the same"),
        ([], [], ValueError, "at least 1"),
        ([0, 10, 10], [0.1, 0.2, 0.3], ValueError, "increase"),
        ([0, 20, 10], [0.1, 0.2, 0.3], ValueError, "increase"),
        ([0, math.nan], [0.1, 0.2], ValueError, "boundaries"),
        ([0, 10], [0.1, math.inf], ValueError, "values"),
        ([0, "10"], [0.1, 0.2], TypeError, "boundaries"),
        (10, [0.1], TypeError, "boundaries"),
        ([0, 10], "ab", TypeError, "values"),
    ],
)
def test_bad_boundaries(boundaries, values, error, words):
    with pytest.raises(error, match=words):
        StepCosineDecayWithOffset(boundaries, values)


def test_the_four_parts_of_the_embeddings_rate():
    schedule = WarmUpAndPolyDecay(4096, 2.0, 1.0, 10, 100, 20)
    assert schedule(0) == schedule(130) == rounded(0.01)
    assert schedule(9) == rounded(1.8)
    assert schedule(10) == schedule(20) == 2.0
    assert schedule(21) < 2.0
    assert schedule(70) == 0.5
    assert all(low >= high for low, high in itertools.pairwise(schedule(np.arange(20, 140))))
    no_fall = WarmUpAndPolyDecay(2048, 2.0, 1.0, 10, 0, 20)
    assert no_fall(10**6) == 1.0


def test_no_warm_up_is_no_decay():
    with pytest.warns(UserWarning, match="warmup_steps=1"):
        schedule = WarmUpAndPolyDecay(2048, 2.0, 1e-3, 0, 100, 20)
    assert set(schedule(np.arange(300)).tolist()) == {rounded(1e-3)}  # below the floor, too
    assert WarmUpAndPolyDecay(2048, 2.0, 1.0, 1, 100, 20)(1) == 1.0
