"""Cyclical rates: the callback's arithmetic, functions of the user's, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bits import assert_same_bits, differing
from lrparity import float32, schedules
from lrparity.lr_scheduler import ScheduleLR
from lrparity.schedules._cyclical import (
    CyclicalLearningRate,
    CyclicLR,
    ExponentialCyclicalLearningRate,
    Triangular2CyclicalLearningRate,
    TriangularCyclicalLearningRate,
)

SINGLE = (
    TriangularCyclicalLearningRate,
    Triangular2CyclicalLearningRate,
    ExponentialCyclicalLearningRate,
)


# --- the callback ---------------------------------------------------------------------------------


def callback_rates(n, base_lr, max_lr, step_size, scale_of, scale_mode):
    """The callback's loop: its rate at the start, then a new one at the end of each batch."""
    rates, iterations = [base_lr], 0.0
    while len(rates) < n:
        iterations += 1
        cycle = np.floor(1 + iterations / (2 * step_size))
        x = np.abs(iterations / step_size - 2 * cycle + 1)
        scale = scale_of(cycle if scale_mode == "cycle" else iterations)
        rates.append(base_lr + (max_lr - base_lr) * np.maximum(0, (1 - x)) * scale)
    return np.array(rates).astype(np.float32)


@pytest.mark.parametrize("size", [2000.0, 7, 41, 3.3, 0.7])
@pytest.mark.parametrize("rates", [(0.001, 0.006), (0.1, 0.02), (0.0, 1.7)])
def test_the_callback(size, rates):
    n = 600
    for options, scale, mode in (
        ({}, lambda n: 1.0, "cycle"),
        ({"mode": "triangular2"}, lambda n: 1 / (2.0 ** (n - 1)), "cycle"),
        ({"mode": "exp_range", "gamma": 0.9994}, lambda n: 0.9994**n, "iterations"),
        ({"scale_fn": lambda n: 0.5 * (1 + math.sin(n))}, lambda n: 0.5 * (1 + np.sin(n)), "cycle"),
        ({"scale_fn": lambda n: 1 / n, "scale_mode": "iterations"}, lambda n: 1 / n, "iterations"),
    ):
        expected = callback_rates(n, *rates, size, scale, mode)
        schedule = CyclicLR(*rates, size, **options)
        for numerics in ("eager", "graph"):
            assert_same_bits(schedule(np.arange(n), numerics=numerics), expected, context=schedule)
        assert_same_bits([schedule(k) for k in range(60)], expected[:60], context=schedule)


def test_the_callback_differs_from_the_schedule():
    steps = np.arange(300)
    python, tensorflow = CyclicLR(0.001, 0.006, 7), TriangularCyclicalLearningRate(0.001, 0.006, 7)
    assert differing(python(steps), tensorflow(steps)).sum() > 50
    np.testing.assert_allclose(python(steps), tensorflow(steps), rtol=1e-4)


def test_the_modes_ignore_what_they_do_not_need():
    steps = np.arange(50)
    plain = CyclicLR(0.1, 0.5, 4)
    assert_same_bits(CyclicLR(0.1, 0.5, 4, gamma=0.5, scale_mode="iterations")(steps), plain(steps))
    scaled = CyclicLR(0.1, 0.5, 4, mode="exp_range", scale_fn=lambda n: 1.0)
    assert_same_bits(scaled(steps), plain(steps))


# --- feet and tops --------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*SINGLE, CyclicLR])
def test_feet_and_tops(cls):
    schedule = cls(0.25, 0.75, 8)
    assert [schedule(k) for k in (0, 16, 32)] == [0.25] * 3
    assert schedule(8) == 0.75
    assert schedule(7) == schedule(9) < 0.75
    later = 0.5 if cls is Triangular2CyclicalLearningRate else 0.75
    assert schedule(24) == later
    assert schedule(-16) == 0.25


def test_one_update_per_side():
    schedule = TriangularCyclicalLearningRate(0.25, 0.75, 1)
    assert schedule([0, 1, 2, 3]).tolist() == [0.25, 0.75, 0.25, 0.75]


def test_downwards_and_flat():
    assert TriangularCyclicalLearningRate(0.75, 0.25, 2)([0, 1, 2, 3, 4]).tolist() == (
        [0.75, 0.5, 0.25, 0.5, 0.75]
    )
    assert set(TriangularCyclicalLearningRate(0.25, 0.25, 3)(np.arange(20)).tolist()) == {0.25}


# --- functions of the user's ----------------------------------------------------------------------


def test_a_function_that_only_calculates_is_computed_in_float32():
    steps = np.arange(400)
    for numerics in ("eager", "graph"):
        halved = CyclicalLearningRate(0.1, 0.7, 9, lambda n: 1 / (2.0 ** (n - 1)))
        builtin = Triangular2CyclicalLearningRate(0.1, 0.7, 9)
        assert_same_bits(halved(steps, numerics=numerics), builtin(steps, numerics=numerics))
        damped = CyclicalLearningRate(0.1, 0.7, 9, lambda n: 0.97**n, "iterations")
        builtin = ExponentialCyclicalLearningRate(0.1, 0.7, 9, gamma=0.97)
        assert_same_bits(damped(steps, numerics=numerics), builtin(steps, numerics=numerics))
    assert_same_bits(
        CyclicalLearningRate(0.1, 0.7, 9, lambda n: np.float32(1))(steps),
        TriangularCyclicalLearningRate(0.1, 0.7, 9)(steps),
    )


def test_every_operator_is_that_of_float32():
    f32 = np.float32
    n, c = f32(3), f32(0.7)
    for function, expected in (
        (lambda x: x + 0.7, n + c),
        (lambda x: 0.7 + x, n + c),
        (lambda x: x - 0.7, n - c),
        (lambda x: 0.7 - x, c - n),
        (lambda x: x * 0.7, n * c),
        (lambda x: 0.7 * x, n * c),
        (lambda x: x / 0.7, n / c),
        (lambda x: 0.7 / x, c / n),
        (lambda x: x**0.7, float32.power(n, c)),
        (lambda x: 0.7**x, float32.power(c, n)),
        (lambda x: x / x + x * x - x, f32(1) + n * n - n),
        (lambda x: np.float64(0.7) ** x, float32.power(c, n)),
    ):
        # the height is 1, so the rate at the top of the third cycle is the function of 3
        assert CyclicalLearningRate(0.0, 1.0, 1, function)(5) == float(expected)


def test_any_other_function_is_called_with_floats():
    seen = []

    def look(n):
        seen.append(n)
        return math.exp(-n) if n < 3 else 0.5

    schedule = CyclicalLearningRate(0.0, 1.0, 1, look)
    assert schedule([1, 3, 5, 7]).tolist() == [
        float(np.float32(math.exp(-1))),
        float(np.float32(math.exp(-2))),
        0.5,
        0.5,
    ]
    assert [n for n in seen if type(n) is float] == [1.0, 2.0, 3.0, 4.0]
    for function in (
        lambda n: 1.0 if n == 1 else 0.5,
        lambda n: 1.0 if n != 2 else 0.5,
        lambda n: {1.0: 1.0, 2.0: 0.5}[n],
        lambda n: max(1.5 - 0.5 * n, 0.0),
        lambda n: float(n) * -0.5 + 1.5,
        lambda n: -n / 2 + 1.5,
        lambda n: np.sqrt(1.25 - 0.5 * n + 0.25) if n == 1 and n else 0.5,
    ):
        assert CyclicalLearningRate(0.0, 1.0, 1, function)([1, 3]).tolist()[1] == 0.5


def test_each_cycle_is_asked_for_once():
    asked = []
    schedule = CyclicLR(0.1, 0.5, 50, scale_fn=lambda n: asked.append(n) or 1.0)
    schedule(np.arange(1000))
    assert asked == [float(n) for n in range(1, 11)]
    del asked[:]
    schedule = CyclicLR(
        0.1, 0.5, 50, scale_fn=lambda n: asked.append(n) or 1 / n, scale_mode="iterations"
    )
    assert schedule(0) == float(np.float32(0.1))
    assert not asked


def test_a_schedule_scales():
    steps = np.arange(100)
    decay = schedules.ExponentialDecay(1.0, 1, 0.9)
    with_schedule = CyclicalLearningRate(0.1, 0.7, 9, decay, "iterations")
    for numerics in ("eager", "graph"):
        assert_same_bits(
            with_schedule(steps, numerics=numerics),
            ExponentialCyclicalLearningRate(0.1, 0.7, 9, gamma=0.9)(steps, numerics=numerics),
        )
    assert CyclicalLearningRate.from_config(with_schedule.get_config()) == with_schedule
    python = CyclicLR(0.1, 0.7, 9, scale_fn=schedules.StepDecay(1.0, 0.5, 1.0, 0))
    assert python(27) == float(np.float32(0.1 + (0.7 - 0.1) * 0.25))
    assert eval(repr(python), vars(schedules) | {"CyclicLR": CyclicLR}) == python


def halved(n):
    return 1 / 2.0 ** (n - 1)


def test_a_function_goes_by_its_name_in_a_config():
    schedule = CyclicLR(0.1, 0.7, 9, scale_fn=halved)
    stored = schedules.serialize(schedule)
    assert stored["config"]["scale_fn"]["config"] == "halved"
    assert schedules.deserialize(stored, {"halved": halved}) == schedule
    with pytest.raises(ValueError, match="halved"):
        schedules.deserialize(stored)


def test_it_drives_an_optimizer():
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = CyclicalLearningRate(0.1, 0.7, 3, lambda n: 1 / n)
    scheduler = ScheduleLR(optimizer, schedule)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert_same_bits(rates, schedule(np.arange(20)))


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [*SINGLE, CyclicLR])
def test_bad_arguments(cls):
    first = "base_lr" if cls is CyclicLR else "initial_learning_rate"
    for arguments, words in (
        ((0.1, 0.5, 0), "step_size.*> 0"),
        ((0.1, 0.5, -3), "step_size.*> 0"),
        ((math.inf, 0.5, 3), f"{first}.*finite"),
        ((0.1, 1e39, 3), "max.*finite"),
    ):
        with pytest.raises(ValueError, match=words):
            cls(*arguments)
    for word in ("cycles", "iteration", "", None, 1, ["cycle"]):
        with pytest.raises(ValueError, match=r"'cycle' or 'iterations'.*pass that"):
            cls(0.1, 0.5, 3, scale_mode=word)


def test_bad_modes_of_the_callback():
    for word in ("triangle", "exp", None, 2):
        with pytest.raises(ValueError, match="'triangular', 'triangular2', 'exp_range'"):
            CyclicLR(mode=word)
    with pytest.raises(ValueError, match="gamma"):
        CyclicLR(gamma=math.nan)


@pytest.mark.parametrize("bad", [0.5, "halved", lambda: 1.0, lambda a, b: 1.0, [1.0]])
def test_bad_functions(bad):
    for build in (lambda: CyclicalLearningRate(0.1, 0.5, 3, bad), lambda: CyclicLR(scale_fn=bad)):
        with pytest.raises(TypeError, match="scale_fn"):
            build()


def test_a_scale_function_is_needed():
    with pytest.raises(TypeError, match="scale_fn"):
        CyclicalLearningRate(0.1, 0.5, 3, None)
    with pytest.raises(TypeError, match="scale_fn"):
        CyclicalLearningRate(0.1, 0.5, 3)


@pytest.mark.parametrize("bad", [None, "1", True, 1j, [1.0]], ids=repr)
def test_functions_that_return_no_number(bad):
    for schedule in (
        CyclicalLearningRate(0.1, 0.5, 3, lambda n: bad),
        CyclicLR(0.1, 0.5, 3, scale_fn=lambda n: bad),
    ):
        with pytest.raises(TypeError, match=r"scale_fn.*one real number"):
            schedule(2)


def test_errors_of_a_function_are_its_own():
    schedule = CyclicLR(0.1, 0.5, 3, scale_fn=lambda n: 1 / (n - 2))
    with pytest.raises(ZeroDivisionError):
        schedule(9)
    # As in TensorFlow, a division by zero that is calculated has a value.
    assert math.isnan(CyclicalLearningRate(0.1, 0.5, 3, lambda n: 1 / n, "iterations")(0))
