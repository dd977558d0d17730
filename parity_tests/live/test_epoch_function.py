"""``EpochFunction`` beside the live ``LearningRateScheduler`` of Keras and tf_keras."""

from __future__ import annotations

import functools
import importlib
import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from bits import assert_same_bits
from lrparity import schedules
from lrparity.controllers import EpochFunction

pytestmark = pytest.mark.keras


@pytest.fixture(params=["keras", "tf_keras"])
def module(request):
    return importlib.import_module(request.param)


def live(module, fn, lr, epochs):
    """The rates that Keras sets, on a real optimizer."""
    optimizer = module.optimizers.SGD(lr)
    callback = module.callbacks.LearningRateScheduler(fn)
    callback.set_model(types.SimpleNamespace(optimizer=optimizer))
    rates = []
    for epoch in range(epochs):
        callback.on_epoch_begin(epoch)
        rates.append(float(optimizer.learning_rate.numpy()))
    return rates


def ours(fn, lr, epochs):
    controller, lrs, rates = EpochFunction(fn), [lr], []
    for epoch in range(epochs):
        lrs = list(controller.update(epoch, lrs).lrs)
        rates += lrs
    return rates


class Halving:
    def __call__(self, epoch, lr):
        return lr * 0.5 if epoch % 3 == 2 else lr

    def by_epoch(self, epoch):
        return 0.3 / (1 + epoch)

    @staticmethod
    def static(epoch, lr):
        return lr * 0.7

    @classmethod
    def of_class(cls, epoch, lr=0.2):
        return lr * 0.9


def step_decay(epoch):
    return 0.1 * math.pow(0.5, math.floor((1 + epoch) / 10.0))


def with_default(epoch, factor=0.25):
    return factor * 0.9**epoch  # Keras hands it the rate


def two_with_defaults(epoch, lr, drop=0.5, every=4):
    return lr * drop if epoch and epoch % every == 0 else lr


def any_number(*arguments):
    return 0.1 / len(arguments) / (1 + arguments[0])


def passed_on(*args, **kwargs):
    return two_with_defaults(*args, **kwargs)


@functools.wraps(step_decay)
def wrapped(*arguments):
    return step_decay(*arguments)


def keyword_only(epoch, *, factor=0.5):
    return 0.1 * factor**epoch


def named_otherwise(a, b, /):
    return b * 0.99 + a * 1e-6


FUNCTIONS = {
    "compounding": lambda epoch, lr: lr * 0.99,
    "compounding exp": lambda epoch, lr: lr if epoch < 10 else lr * math.exp(-0.1),
    "compounding NumPy": lambda epoch, lr: lr * np.exp(-0.01),
    "compounding float32": lambda epoch, lr: np.float32(lr) * np.float32(0.99),
    "step decay": step_decay,
    "default": with_default,
    "two and defaults": two_with_defaults,
    "*args": any_number,
    "*args, **kwargs": passed_on,
    "keyword only": keyword_only,
    "positional only": named_otherwise,
    "partial": functools.partial(two_with_defaults, drop=0.3),
    "partial to one": functools.partial(lambda base, epoch: base / (1 + epoch), 0.7),
    "callable": Halving(),
    "bound": Halving().by_epoch,
    "static": Halving.static,
    "class method": Halving.of_class,
    "dict.get": {epoch: 0.1 / (1 + epoch) for epoch in range(0, 200, 3)}.get,
    "list": [0.5 / (1 + epoch) for epoch in range(200)].__getitem__,
    "cached": functools.lru_cache(step_decay),
    "wraps": wrapped,
    "rounded to 0": lambda epoch, lr: lr * 1e-9,
    "schedule": schedules.CosineDecay(0.1, 150),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_bits_of_200_epochs(module, name):
    fn = FUNCTIONS[name]
    theirs = live(module, fn, 0.1, 200)
    assert_same_bits(ours(fn, 0.1, 200), theirs, context=name)
    if name != "rounded to 0":
        assert len(set(theirs)) > 10


def test_float64_compounds_differently():
    """Negative control: without the rounding to float32 each epoch, most rates have other bits."""
    rates = [0.1 * 0.99 ** (epoch + 1) for epoch in range(200)]
    with pytest.raises(AssertionError, match="differ in bits"):
        assert_same_bits(rates, live(keras, lambda epoch, lr: lr * 0.99, 0.1, 200))


@pytest.mark.parametrize(
    "value",
    [0.1, np.float32(0.1), np.float64(0.1), -0.1, 0.0, 1e-45, 1e-40, 1e-300],
    ids=repr,
)
def test_values_that_all_accept(module, value):
    assert_same_bits(ours(lambda epoch: value, 0.5, 1), live(module, lambda epoch: value, 0.5, 1))


@pytest.mark.parametrize(
    "value",
    [1, 0, True, None, "0.1", 0.1j, [0.1], np.int64(1), np.longdouble(0.1), np.array([0.1])],
    ids=repr,
)
def test_values_that_all_refuse(module, value):
    with pytest.raises(ValueError, match=r"should be (a )?float"):
        live(module, lambda epoch: value, 0.5, 1)
    with pytest.raises(ValueError, match="must return a float"):
        ours(lambda epoch: value, 0.5, 1)


@pytest.mark.parametrize(
    "value",
    [np.array(0.1), np.array(0.1, np.float32), torch.tensor(0.1), np.float16(0.1)],
    ids=repr,
)
def test_scalars_that_only_we_accept(module, value):
    with pytest.raises(ValueError, match=r"should be (a )?float"):
        live(module, lambda epoch: value, 0.5, 1)
    assert_same_bits(ours(lambda epoch: value, 0.5, 1), [float(value)])


def test_a_tensor_of_tensorflow():
    """tf_keras accepts it, Keras 3 does not."""
    import tf_keras

    value = tf.constant(0.1)
    assert_same_bits(ours(lambda e: value, 0.5, 1), live(tf_keras, lambda e: value, 0.5, 1))
    with pytest.raises(ValueError, match="should be a float"):
        live(keras, lambda epoch: value, 0.5, 1)
    for other in (tf.constant(1), tf.constant([0.1])):
        with pytest.raises(ValueError, match="must return a float"):
            ours(lambda epoch: other, 0.5, 1)  # noqa: B023


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # tf_keras' of 1e39
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_values_that_only_keras_accepts(module, value):
    assert not math.isfinite(live(module, lambda epoch: value, 0.5, 1)[0])
    with pytest.raises(ValueError, match="finite in float32"):
        ours(lambda epoch: value, 0.5, 1)


def test_keras_hides_an_error_of_the_function_and_we_do_not():
    def wrong(epoch, lr=None):
        return 0.1 if lr is None else lr + None

    assert live(keras, wrong, 0.5, 1) == [float(np.float32(0.1))]
    with pytest.raises(TypeError, match="NoneType"):
        ours(wrong, 0.5, 1)


def test_several_rates():
    """Keras 3.15's MultiOptimizer: each optimizer's own rate is asked about."""
    optimizers = [keras.optimizers.SGD(lr) for lr in (0.1, 0.02, 0.1)]
    model = types.SimpleNamespace(optimizer=types.SimpleNamespace(optimizers=optimizers))
    for fn in (FUNCTIONS["compounding"], step_decay):
        callback, controller = keras.callbacks.LearningRateScheduler(fn), EpochFunction(fn)
        callback.set_model(model)
        lrs = [float(optimizer.learning_rate.numpy()) for optimizer in optimizers]
        for epoch in range(30):
            callback.on_epoch_begin(epoch)
            lrs = list(controller.update(epoch, lrs).lrs)
            assert_same_bits(lrs, [float(o.learning_rate.numpy()) for o in optimizers])


def test_inside_model_fit(module):
    model = module.Sequential([module.layers.Dense(1)])
    model.compile(optimizer=module.optimizers.SGD(0.1), loss="mse")
    fn = FUNCTIONS["compounding"]
    callback = module.callbacks.LearningRateScheduler(fn)
    x = np.zeros((2, 1), np.float32)
    history = model.fit(x, x, epochs=20, verbose=0, callbacks=[callback]).history
    key = "learning_rate" if module is keras else "lr"
    assert_same_bits(ours(fn, 0.1, 20), history[key])
