"""A rate for each layer: what Keras code multiplies, in which order, against the groups' rates."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import keras_side
from bits import assert_same_bits, differing
from lrparity import schedules
from lrparity.lr_scheduler import ScheduleLR
from lrparity.optim import layer_decay, param_groups
from registry import KERAS_CASES

pytestmark = pytest.mark.keras


def rates_of(optimizer, scheduler, steps):
    """Each group's rate at each step."""
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return np.float32(seen).T


def layers(n=4):
    return torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(n)])


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_a_schedule_times_the_decay_of_the_layer(case, seed):
    """lr_t * decay_factor, as in tf-models' ViT optimizer, where lr_t is the schedule's tensor."""
    rng, steps = case.generator(seed), 25
    for _ in range(4):
        config, decay = case.draw(rng), float(rng.uniform(0.3, 0.95))
        module = layers()
        scales = layer_decay(module, decay, ["0", "1", "2"])
        optimizer = torch.optim.SGD(param_groups(module, scales), lr=1.0)
        ours = rates_of(optimizer, ScheduleLR(optimizer, case.build(config)), steps)
        twin = keras_side.schedule_of(case.keras, config)
        for i, rates in enumerate(ours):
            factor = decay ** (3 - i)
            theirs = [float(twin(tf.constant(k, tf.int64)) * factor) for k in range(steps)]
            assert_same_bits(rates, theirs, context=f"seed {seed}, {config}, layer {i}")


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """What people write in Keras for want of a multiplier."""

    def __init__(self, schedule, factor):
        self.schedule, self.factor = schedule, factor

    def __call__(self, step):
        return self.schedule(step) * self.factor

    def get_config(self):
        return {"schedule": self.schedule, "factor": self.factor}


def test_a_compiled_fit_multiplies_into_the_formula():
    """There ``Scale`` in each group has the applied bits, and a product afterwards has not."""
    module, factors, steps = layers(2), (0.3, 1.0), 60
    cosine = schedules.CosineDecay(0.1, 70)
    twin = keras.optimizers.schedules.CosineDecay(0.1, 70)
    _, applied = keras_side.fit(keras.optimizers.SGD(Scaled(twin, 0.3)), steps)
    each = [schedules.Scale(cosine, factor) for factor in factors]
    groups = param_groups(module, {"0": 1.0})
    optimizer = torch.optim.SGD(groups, lr=1.0)
    ours = rates_of(optimizer, ScheduleLR(optimizer, each, numerics="graph"), steps)
    assert_same_bits(ours[0], applied)
    optimizer = torch.optim.SGD(param_groups(module, {"0": 0.3}), lr=1.0)
    afterwards = rates_of(optimizer, ScheduleLR(optimizer, cosine, numerics="graph"), steps)
    assert 0 < differing(afterwards[0], applied).sum() < steps
    assert np.allclose(afterwards[0], applied, rtol=2e-7)


def test_a_multiplier_beside_decay_comes_first():
    """keras-lr-multiplier hands the optimizer lr * multiplier, which then divides by its decay."""
    rate, decay, multiplier = 0.1, 1e-2, 0.3
    iterations = tf.range(100, dtype=tf.float32)
    theirs = (tf.constant(rate) * multiplier) * (1.0 / (1.0 + decay * iterations))
    module = layers(2)
    optimizer = torch.optim.SGD(param_groups(module, {"0": multiplier}), lr=1.0)
    base = schedules.TimeBasedDecay(rate, decay, keras_version="2.3.1")
    scaled = rates_of(optimizer, ScheduleLR(optimizer, base), 100)
    assert 10 < differing(scaled[0], theirs.numpy()).sum() < 90
    multiplied = float(np.float32(rate) * np.float32(multiplier))
    own = schedules.TimeBasedDecay(multiplied, decay, keras_version="2.3.1")
    optimizer = torch.optim.SGD(param_groups(module, {"0": 1.0}), lr=1.0)
    exact = rates_of(optimizer, ScheduleLR(optimizer, [own, base]), 100)
    assert_same_bits(exact[0], theirs.numpy())
