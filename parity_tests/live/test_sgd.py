"""``lrparity.optim.SGD`` beside ``keras.optimizers.SGD`` and tf_keras' legacy one."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch

from lrparity.optim import SGD

pytestmark = pytest.mark.keras

UPDATES = 60
SHAPES = ((7, 5), (33,), (1,), (4, 3, 9), (64, 100))
BOUND = 2e-6

CLIPS = ({}, {"clipnorm": 1.0}, {"clipvalue": 0.5}, {"global_clipnorm": 2.0})
RULES = [
    {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, **clip}
    for momentum, nesterov, weight_decay, clip in itertools.product(
        (0.0, 0.9), (False, True), (None, 0.01), CLIPS
    )
]


def initial_weights(dtype="float32"):
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape).astype(dtype) for shape in SHAPES]


def updates(dtype="float32"):
    """Per update a learning rate, which jumps, and gradients, some above each clipping limit."""
    generator = np.random.default_rng(1)
    for _ in range(UPDATES):
        lr = float(np.float32(0.1 * 10 ** generator.uniform(-2, 0.3)))
        size = generator.choice([0.01, 0.1, 1.0, 10.0])
        yield lr, [(size * generator.normal(size=shape)).astype(dtype) for shape in SHAPES]


def torch_weights(build, dtype="float32"):
    parameters = [torch.nn.Parameter(torch.from_numpy(w)) for w in initial_weights(dtype)]
    optimizer = build(parameters)
    for lr, gradients in updates(dtype):
        optimizer.param_groups[0]["lr"] = lr
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


def keras_weights(options, dtype="float32", *, compiled=False):
    variables = [keras.Variable(w, dtype=dtype) for w in initial_weights(dtype)]
    optimizer = keras.optimizers.SGD(learning_rate=0.1, **options)
    optimizer.build(variables)

    def apply(gradients):
        optimizer.apply(gradients, variables)

    apply = tf.function(apply) if compiled else apply
    for lr, gradients in updates(dtype):
        optimizer.learning_rate = lr
        apply([tf.constant(gradient) for gradient in gradients])
    return [variable.numpy() for variable in variables]


def relative_difference(ours, theirs):
    """The largest of max|dw| / max|w| of the variables, so that none hides behind a larger one."""
    return max(
        float(np.abs(np.float64(a) - np.float64(b)).max() / np.abs(np.float64(b)).max())
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("options", RULES, ids=str)
def test_weights_under_a_changing_rate(options, compiled):
    theirs = keras_weights(options, compiled=compiled)
    ours = torch_weights(lambda params: SGD(params, **options))
    assert relative_difference(ours, theirs) <= BOUND
    # A sum of squares depends on its order, and TensorFlow's compiler turns w * decay * rate into
    # w * (decay * rate).  All the rest has the bits.
    sums = "clipnorm" in options or "global_clipnorm" in options
    if not sums and not (compiled and options["weight_decay"]):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("clip", [{}, {"clipvalue": 0.5}], ids=str)
def test_other_dtypes_have_the_bits(dtype, clip):
    options = {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, **clip}
    ours = torch_weights(lambda params: SGD(params, **options), dtype)
    for a, b in zip(ours, keras_weights(options, dtype), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "weight_decay": 0.01},
    ],
    ids=str,
)
def test_torch_violates_the_bound(options):
    """Negative control: the same comparison tells torch's rule from Keras'."""
    theirs = keras_weights(options)
    ours = torch_weights(lambda params: torch.optim.SGD(params, lr=0.1, **options))
    assert relative_difference(ours, theirs) > 1000 * BOUND


def test_a_missing_gradient():
    variables = [keras.Variable(w) for w in initial_weights()]
    parameters = [torch.nn.Parameter(torch.from_numpy(w)) for w in initial_weights()]
    options = {"momentum": 0.9, "weight_decay": 0.01}
    theirs = keras.optimizers.SGD(learning_rate=0.1, **options)
    ours = SGD(parameters, lr=0.1, **options)
    for k, (_, gradients) in enumerate(itertools.islice(updates(), 6)):
        missing = k % 3
        kept = [None if i == missing else g for i, g in enumerate(gradients)]
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            theirs.apply([g if g is None else tf.constant(g) for g in kept], variables)
        for parameter, gradient in zip(parameters, kept, strict=True):
            parameter.grad = None if gradient is None else torch.from_numpy(gradient)
        ours.step()
    assert ours.iterations == int(theirs.iterations)
    for parameter, variable in zip(parameters, variables, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), variable.numpy())


@pytest.mark.parametrize("gradient", [0.0, np.inf, np.nan, 1e-30, 1e30])
@pytest.mark.parametrize("clip", CLIPS[1:], ids=str)
def test_clipping_of_extreme_gradients(clip, gradient):
    values = np.array([gradient, 1.0, -2.0], np.float32) if gradient else np.zeros(3, np.float32)
    variable = keras.Variable(np.zeros(3, np.float32))
    keras.optimizers.SGD(learning_rate=1.0, **clip).apply([tf.constant(values)], [variable])
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.grad = torch.from_numpy(values)
    SGD([parameter], lr=1.0, **clip).step()
    np.testing.assert_allclose(parameter.detach().numpy(), variable.numpy(), rtol=BOUND, atol=0)


# --- decay --------------------------------------------------------------------------------------

DECAYS = [(0.1, 0.001), (0.01, 1e-6), (0.5, 0.3), (3e-4, 7.0), (0.7, 1 / 3), (0.05, 0.05 / 60)]


@pytest.mark.parametrize(("lr", "decay"), DECAYS)
def test_rate_under_decay_has_the_bits_of_legacy_keras(lr, decay):
    """With gradient 1 and the weight set back to 0, the weight is the rate."""
    variable = tf.Variable(0.0)
    theirs = tf_keras.optimizers.legacy.SGD(learning_rate=lr, decay=decay)
    weight = torch.nn.Parameter(torch.zeros(()))
    weight.grad = torch.ones(())
    ours = SGD([weight], lr=lr, decay=decay)
    one = tf.constant(1.0)
    rates = []
    for _ in range(400):
        variable.assign(0.0)
        theirs.apply_gradients([(one, variable)])
        with torch.no_grad():
            weight.zero_()
        ours.step()
        assert weight.item() == float(variable.numpy()) == -ours.learning_rates_used[0]
        rates.append(-weight.item())
    assert rates[0] == float(np.float32(lr))
    assert rates[-1] < rates[0]


def test_decay_on_top_of_a_schedule():
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.7)
    variable = tf.Variable(0.0)
    theirs = tf_keras.optimizers.legacy.SGD(learning_rate=schedule, decay=0.01)
    weight = torch.nn.Parameter(torch.zeros(()))
    weight.grad = torch.ones(())
    ours = SGD([weight], lr=0.1, decay=0.01)
    for k in range(300):
        variable.assign(0.0)
        theirs.apply_gradients([(tf.constant(1.0), variable)])
        ours.param_groups[0]["lr"] = float(schedule(tf.cast(k, tf.float32)))
        with torch.no_grad():
            weight.zero_()
        ours.step()
        assert weight.item() == float(variable.numpy())


@pytest.mark.parametrize("nesterov", [False, True])
def test_weights_of_legacy_keras_with_decay(nesterov):
    options = {"momentum": 0.9, "nesterov": nesterov, "decay": 0.05}
    variables = [tf.Variable(w) for w in initial_weights()]
    theirs = tf_keras.optimizers.legacy.SGD(learning_rate=0.1, **options)
    for lr, gradients in updates():
        theirs.learning_rate = lr
        theirs.apply_gradients(zip(map(tf.constant, gradients), variables, strict=True))
    ours = torch_weights(lambda params: SGD(params, **options))
    assert relative_difference(ours, [v.numpy() for v in variables]) <= BOUND
