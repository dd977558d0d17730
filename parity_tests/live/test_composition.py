"""Compositions and warm-ups against the same thing written in TensorFlow, as Keras projects do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import composed_twins
import keras_side
from bits import assert_same_bits, differing
from lrparity import schedules
from registry import CASES
from registry_rows.of_compositions import base

COMPOSED = [case for case in CASES if case.name in composed_twins.TWINS]


def drawn(case, rng):
    """A schedule that TensorFlow computes, with steps that matter: within the ramp above all."""
    while True:
        config = case.draw(rng)
        schedule = case.build(config)
        if schedule.unit == "update" and schedule.arithmetic == "float32":
            period = max(int(case.period(config)), 1)
            inside = rng.integers(0, period + 1, 12)
            steps = rng.permutation(case.steps(config, rng, n=10))[:32]
            return schedule, np.unique([*inside, *steps])


def known_in_graph(schedule, steps):
    """Its applied rates, or None where it says that they are not known."""
    try:
        return schedule(steps, numerics="graph")
    except ValueError as error:
        if "numerics='graph' is not known" in str(error):
            return None
        raise


@pytest.mark.parametrize("case", COMPOSED, ids=lambda case: case.name)
def test_reported_rates_have_no_differing_bit(case, seed):
    rng = case.generator(seed)
    for _ in range(12):
        schedule, steps = drawn(case, rng)
        expected = keras_side.eager(composed_twins.twin(schedule), steps)
        assert_same_bits(schedule(steps), expected, steps, f"seed {seed}, {schedule!r}")


# A schedule of the epoch is asked by a callback, never inside the graph.
IN_GRAPH = [case for case in COMPOSED if case.graph and case.name != "PerUpdate"]


@pytest.mark.parametrize("case", IN_GRAPH, ids=lambda case: case.name)
def test_applied_rates_have_no_differing_bit(case, seed):
    rng = case.generator(seed)
    known = 0
    for _ in range(12):
        schedule, steps = drawn(case, rng)
        actual = known_in_graph(schedule, steps)
        if actual is None:
            continue
        known += 1
        expected = keras_side.traced(composed_twins.twin(schedule), steps)
        assert_same_bits(actual, expected, steps, f"seed {seed}, {schedule!r}, graph")
        singly = [schedule(step, numerics="graph") for step in steps.tolist()]
        assert_same_bits(singly, expected, steps, f"seed {seed}, {schedule!r}, graph, one by one")
    assert known >= 8


def nested(rng, depth: int = 2):
    """A composition of compositions."""
    if not depth:
        return base(rng)
    parts = [nested(rng, depth - 1) for _ in range(2)]
    steps = int(rng.integers(1, 900))
    return (
        schedules.Scale(parts[0], float(rng.uniform(0.1, 3))),
        schedules.Clip(parts[0], minimum=1e-4),
        schedules.WarmUp(parts[0], steps),
        schedules.Offset(parts[0], steps),
        schedules.Hold(parts[0], stop=steps),
        schedules.Join(parts, [steps]),
        schedules.Repeat(parts[0], steps),
        schedules.Product([base(rng), parts[1]]),
    )[int(rng.integers(8))]


def test_nested_compositions_have_no_differing_bit(seed):
    rng = np.random.default_rng(seed)
    known = 0
    for _ in range(60):
        schedule = nested(rng)
        steps = np.unique(rng.integers(0, 2000, 20))
        twin = composed_twins.twin(schedule)
        message = f"seed {seed}, {schedule!r}"
        assert_same_bits(schedule(steps), keras_side.eager(twin, steps), steps, message)
        actual = known_in_graph(schedule, steps)
        if actual is None:
            continue
        known += 1
        assert_same_bits(actual, keras_side.traced(twin, steps), steps, f"{message}, graph")
    assert known > 40


class Twin(keras.optimizers.schedules.LearningRateSchedule):
    """A composition as an optimizer takes it."""

    def __init__(self, schedule):
        self.function = composed_twins.twin(schedule)

    def __call__(self, step):
        return self.function(step)


@pytest.mark.parametrize("case", IN_GRAPH, ids=lambda case: case.name)
def test_in_a_compiled_fit(case):
    for config in case.examples:
        schedule = case.build(config)
        if schedule.unit == "epoch" or schedule.arithmetic == "float64":
            continue
        optimizer = keras.optimizers.SGD(Twin(schedule))
        reported, applied = keras_side.fit(optimizer, 70)
        steps = np.arange(70)
        assert_same_bits(schedule(steps), reported, steps, repr(schedule))
        assert_same_bits(schedule(steps, numerics="graph"), applied, steps, repr(schedule))


def test_a_warm_up_one_step_off_is_seen():
    schedule = schedules.WarmUp(schedules.CosineDecay(0.1, 100), 10)
    steps = np.arange(40)
    twin = composed_twins.warmed_up(schedule.schedule, 11, shift=True)
    assert differing(schedule(steps), keras_side.eager(twin, steps)).sum() > 30
