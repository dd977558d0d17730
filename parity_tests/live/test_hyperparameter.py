"""A momentum that changes while training, against live Keras: where it can, and where it cannot.

Settable hyper-parameters are those of tf_keras' legacy optimizers.  Keras 3 and tf_keras' new ones hold
Python numbers, which the compiled train step was traced with.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch

from bits import assert_same_bits
from lrparity import optim
from lrparity.lr_scheduler import ScheduleHyperparameter, ScheduleLR
from lrparity.schedules import (
    CosineDecay,
    CosineOneCycle,
    OneCycle,
    OneCycleLR,
    OneCycleMomentum,
    PiecewiseLinear,
)

pytestmark = pytest.mark.keras

BATCHES = 60
CYCLES = {
    "OneCycleLR": OneCycleLR(BATCHES, 1, 1, 0.1),
    "CosineOneCycle": CosineOneCycle(0.1, BATCHES),
    "OneCycle": OneCycle((0.01, 0.1), BATCHES),
}
FROM_ZERO = PiecewiseLinear([0, 20, 40, 50], [0.0, 0.9, 0.0, 0.5])
"""A warm-up of the momentum, and a rest at 0 in between."""


def set_it(optimizer, name, value):
    """As callbacks do: a variable of the legacy optimizers, else an attribute."""
    held = getattr(optimizer, name)
    if hasattr(held, "assign"):
        tf_keras.backend.set_value(held, value)
    else:
        setattr(optimizer, name, value)


def keras_fit(module, optimizer, values, data, **compiled):
    """Train, with each hyper-parameter set as each batch begins; the weights, and what was held."""
    keras = importlib.import_module(module)
    inputs, targets = data
    network = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    network.build((None, inputs.shape[1]))
    network.compile(optimizer, loss="mse", **compiled)
    held, trajectory = [], []

    class Set(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            for name, schedule in values.items():
                set_it(self.model.optimizer, name, schedule(batch))
            held.append([float(np.asarray(getattr(self.model.optimizer, one))) for one in values])

        def on_train_batch_end(self, batch, logs=None):
            trajectory.append(self.model.get_weights()[0].ravel())

    network.fit(inputs, targets, batch_size=4, shuffle=False, callbacks=[Set()], verbose=0)
    return np.array(trajectory), np.array(held, np.float32)


def torch_fit(kind, options, values, rate, data, names=None):
    """The same by torch, every hyper-parameter driven by its schedule."""
    inputs, targets = (torch.from_numpy(one) for one in data)
    weight = torch.nn.Parameter(torch.ones(inputs.shape[1], 1))
    optimizer = kind([weight], **{"lr": 0.1} | options)
    driven = [
        ScheduleHyperparameter(optimizer, (names or {}).get(name, name), schedule)
        for name, schedule in values.items()
    ]
    if rate is not None:
        driven.append(ScheduleLR(optimizer, rate))
    trajectory, held = [], []
    for batch, target in zip(inputs.split(4), targets.split(4), strict=True):
        held.append([one.get_last_value()[0] for one in driven[: len(values)]])
        optimizer.zero_grad()
        (batch @ weight - target).square().mean().backward()
        optimizer.step()
        for one in driven:
            one.step()
        trajectory.append(weight.detach().numpy().ravel().copy())
    return np.array(trajectory), np.array(held, np.float32)


@pytest.fixture
def data(seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(4 * BATCHES, 5)).astype(np.float32)
    return inputs, (inputs @ rng.normal(size=(5, 1)) + 1).astype(np.float32)


def distance(one, other):
    return np.abs(one - other).max() / np.abs(one).max()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("name", [*CYCLES, "from zero"])
def test_legacy_sgd_whose_momentum_is_cycled(name, nesterov, data):
    rate = CYCLES.get(name, CosineDecay(0.05, BATCHES))
    momentum = FROM_ZERO if name == "from zero" else OneCycleMomentum(rate)
    options = {"momentum": 0.9, "nesterov": nesterov}
    legacy = tf_keras.optimizers.legacy.SGD(0.1, **options)
    driven = {"learning_rate": rate, "momentum": momentum}
    theirs, held = keras_fit("tf_keras", legacy, driven, data)
    ours, values = torch_fit(optim.SGD, options, {"momentum": momentum}, rate, data)
    assert_same_bits(values[:, 0], held[:, 1])
    assert_same_bits(values[:, 0], momentum(np.arange(BATCHES)))
    assert distance(theirs, ours) < 2e-6
    wrong, _ = torch_fit(optim.SGD, options, {}, rate, data)  # the momentum left where it was
    assert distance(theirs, wrong) > 1e-3


def test_legacy_adam_whose_beta_1_is_cycled(data):
    rate = CYCLES["OneCycle"]
    beta = OneCycleMomentum(rate)
    legacy = tf_keras.optimizers.legacy.Adam(0.1, epsilon=1e-30)  # its place differs from torch's
    theirs, held = keras_fit("tf_keras", legacy, {"learning_rate": rate, "beta_1": beta}, data)
    ours, values = torch_fit(torch.optim.Adam, {"eps": 1e-30}, {"beta_1": beta}, rate, data)
    assert_same_bits(values[:, 0], held[:, 1])
    assert distance(theirs, ours) < 1e-5
    wrong, _ = torch_fit(torch.optim.Adam, {"eps": 1e-30}, {}, rate, data)
    assert distance(theirs, wrong) > 1e-3


@pytest.mark.parametrize("module", ["keras", "tf_keras"])
def test_a_compiled_fit_has_the_momentum_that_it_was_traced_with(module, data):
    keras = importlib.import_module(module)
    cycled = OneCycleMomentum(CYCLES["OneCycle"])
    still = keras_fit(module, keras.optimizers.SGD(0.01, momentum=cycled(0)), {}, data)[0]
    optimizer = keras.optimizers.SGD(0.01, momentum=cycled(0))
    ignored = keras_fit(module, optimizer, {"momentum": cycled}, data)[0]
    assert np.array_equal(still, ignored)
    assert optimizer.momentum == cycled(BATCHES - 1)  # and yet it shows what was set
    optimizer = keras.optimizers.SGD(0.01, momentum=cycled(0))
    eager = keras_fit(module, optimizer, {"momentum": cycled}, data, run_eagerly=True)[0]
    options = {"momentum": 0.9, "lr": 0.01}
    ours, _ = torch_fit(optim.SGD, options, {"momentum": cycled}, None, data)
    assert distance(eager, ours) < 2e-6
    assert distance(eager, still) > 1e-3


def test_weight_decay_in_eager_steps_of_keras_3(data):
    import keras

    decay = CosineDecay(0.5, BATCHES)
    options = {"momentum": 0.9, "weight_decay": 0.5}
    optimizer = keras.optimizers.SGD(0.01, **options)
    theirs, _ = keras_fit("keras", optimizer, {"weight_decay": decay}, data, run_eagerly=True)
    ours, _ = torch_fit(optim.SGD, options | {"lr": 0.01}, {"weight_decay": decay}, None, data)
    assert distance(theirs, ours) < 2e-6
    wrong, _ = torch_fit(optim.SGD, options | {"lr": 0.01}, {}, None, data)
    assert distance(theirs, wrong) > 1e-3


def test_where_momentum_0_differs_between_kerases():
    """The legacy optimizer keeps its velocity at 0; Keras 3, eagerly, leaves it as it was."""
    values = [0.9, 0.5, 0.0, 0.5]
    data = np.ones((16, 1), np.float32), np.full((16, 1), -1e6, np.float32)

    def moves(weights):
        return np.diff(weights.ravel(), prepend=1.0) / (weights.ravel()[0] - 1.0)

    import keras

    for module, optimizer, expected in (
        ("tf_keras", tf_keras.optimizers.legacy.SGD(1e-6, momentum=0.9), [1, 1.5, 1, 1.5]),
        ("tf_keras", tf_keras.optimizers.SGD(1e-6, momentum=0.9), [1, 1.5, 1, 1.5]),
        ("keras", keras.optimizers.SGD(1e-6, momentum=0.9), [1, 1.5, 1, 1.75]),
        ("tf_keras", tf_keras.optimizers.legacy.SGD(1e-6, momentum=0.0), [1, 1, 1, 1]),
    ):
        weights, _ = keras_fit(
            module, optimizer, {"momentum": values.__getitem__}, data, run_eagerly=True
        )
        np.testing.assert_allclose(moves(weights), expected, rtol=1e-4)


def test_legacy_momentum_is_a_float32_variable():
    legacy = tf_keras.optimizers.legacy.SGD(0.1, momentum=0.9)
    legacy._create_all_weights([tf.Variable(0.0)])
    tf_keras.backend.set_value(legacy.momentum, 0.85)
    assert legacy.momentum.dtype == tf.float32
    assert float(legacy.momentum) == 0.8500000238418579
