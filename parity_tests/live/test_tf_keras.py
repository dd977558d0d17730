"""tf_keras: the same schedules, and the legacy optimizers' ``decay=``."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import keras_side
from bits import assert_same_bits, differing
from lrparity import schedules
from registry import KERAS_CASES

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_schedules_have_the_bits_of_tf_keras(case, seed):
    rng = case.generator(seed)
    for _ in range(8):
        config = case.draw(rng)
        twin, schedule = keras_side.schedule_of(case.keras, config, "tf_keras"), case.build(config)
        steps = case.steps(config, rng, n=80)
        assert_same_bits(schedule(steps), keras_side.eager(twin, steps), steps, schedule)
        graph = schedule(steps, numerics="graph")
        assert_same_bits(graph, keras_side.traced(twin, steps), steps, f"{schedule!r}, graph")
        theirs = tf_keras.optimizers.schedules.serialize(twin)
        assert_same_bits(schedules.deserialize(theirs)(steps), schedule(steps), steps)


def test_fit_applies_what_it_reports_afterwards():
    """From 2.11 on the learning rate that tf_keras shows is that of the last update."""
    twin = tf_keras.optimizers.schedules.ExponentialDecay(0.1, 41, 0.5, staircase=True)
    optimizer = tf_keras.optimizers.SGD(twin)
    _, applied = keras_side.fit(optimizer, 90, module="tf_keras")
    schedule = schedules.ExponentialDecay(0.1, 41, 0.5, staircase=True)
    assert_same_bits(schedule(np.arange(90), numerics="graph"), applied)


@pytest.mark.parametrize(
    ("lr", "decay"), [(0.1, 0.1 / 60), (0.01, 1e-6), (0.3, 0.7), (0.1, 0.0), (1.0, 1e-3)]
)
def test_legacy_decay_reported_and_applied(lr, decay):
    optimizer = tf_keras.optimizers.legacy.SGD(learning_rate=lr, decay=decay)
    reported, applied = keras_side.fit(
        optimizer,
        200,
        module="tf_keras",
        report=lambda optimizer: float(optimizer._decayed_lr(tf.float32)),
    )
    schedule = schedules.TimeBasedDecay(lr, decay)
    assert_same_bits(schedule(np.arange(200)), reported)
    assert_same_bits(schedule(np.arange(200), numerics="graph"), applied)


def test_legacy_decay_far_out(seed):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        lr, decay = float(rng.uniform(1e-4, 1)), float(10 ** rng.uniform(-7, 0))
        optimizer = tf_keras.optimizers.legacy.SGD(learning_rate=lr, decay=decay)
        steps = [0, 1, 2**24, 2**24 + 1, 2**31 + 7, *rng.integers(0, 10**6, 150).tolist()]
        reported = []
        for step in steps:
            optimizer.iterations.assign(step)
            reported.append(float(optimizer._decayed_lr(tf.float32)))
        schedule = schedules.TimeBasedDecay(lr, decay)
        assert_same_bits(schedule(steps), reported, steps, f"seed {seed}, {schedule!r}")


def test_the_old_form_is_another_one():
    """Negative control: Keras up to 2.3.1 multiplies by the reciprocal, with other last bits."""
    steps = np.arange(200)
    new = schedules.TimeBasedDecay(0.1, 1e-3)(steps)
    old = schedules.TimeBasedDecay(0.1, 1e-3, keras_version="2.3.1")(steps)
    assert 20 < differing(new, old).sum() < 60
    iterations = tf.constant(steps, tf.float32)
    reciprocal = tf.constant(0.1) * (1.0 / (1.0 + tf.constant(1e-3) * iterations))
    assert_same_bits(old, reciprocal.numpy())


def test_legacy_refuses_a_negative_decay_and_so_do_we():
    with pytest.raises(ValueError, match="decay"):
        tf_keras.optimizers.legacy.SGD(decay=-0.1)
    with pytest.raises(ValueError, match="decay"):
        schedules.TimeBasedDecay(0.1, -0.1)
