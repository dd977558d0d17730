"""The plateau controller beside the live callbacks of Keras and tf_keras, on real optimizers."""

from __future__ import annotations

import contextlib
import importlib
import math
import random
import types
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import plateau_goldens as goldens
from lrparity.controllers import ReduceLROnPlateau, resolve_mode
from plateau_keras import MESSAGE, drive, live_rate
from plateau_traces import bits, float32, generate

pytestmark = [
    pytest.mark.keras,
    # A rate near the largest float32 times a factor, and metrics beyond it
    pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"),
]
NUMPY_MAJOR = int(np.__version__.partition(".")[0])
VERSIONS = {"keras": "3.15", "tf_keras": "2.21"}


@pytest.fixture(params=VERSIONS)
def module(request):
    # tf_keras says by the logger that an epoch has no metric
    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    yield importlib.import_module(request.param)
    tf.get_logger().setLevel(level)


def live(module, trace, optimizer=None):
    callback = module.callbacks.ReduceLROnPlateau
    return drive(trace, callback, optimizer or module.optimizers.SGD(), live_rate())


def assert_parity(module, traces):
    version, optimizer = VERSIONS[module.__name__], module.optimizers.SGD()
    for trace in traces:
        theirs, printed = live(module, trace, optimizer)
        ours, assigned = goldens.simulate(trace, version, NUMPY_MAJOR)
        assert goldens.same(theirs, ours), (
            f"{trace.to_line()}\n{module.__name__}: {theirs.to_text()}\nlrparity: {ours.to_text()}"
        )
        if module is keras:  # the messages show the rate before it is rounded
            assert [float(text) for text in printed] == assigned


def test_a_thousand_traces(module, seed):
    assert_parity(module, generate(seed, 1_000))


@pytest.mark.long
def test_ten_thousand_traces(module, seed):
    assert_parity(module, generate(seed + 1, 10_000))


def test_a_wrong_version_is_found(module, seed):
    """Negative control: on random traces each of the two is told from the other's rule."""
    (other,) = set(VERSIONS.values()) - {VERSIONS[module.__name__]}
    differing = 0
    for trace in generate(seed, 100):
        ours, _ = goldens.simulate(trace, other, NUMPY_MAJOR)
        differing += not goldens.same(live(module, trace)[0], ours)
    assert differing > 10


def fit_traces():
    """A few traces in which something happens, with one fit and with two."""
    traces = [replace(t, monitor="val_loss") for t in generate(11, 120) if t.mode != "auto"]
    busy = [
        trace
        for trace in traces
        if all(len(goldens.simulate(trace, v)[0].reductions) > 2 for v in VERSIONS.values())
    ]
    return [t for t in busy if len(t.fits) == 1][:2] + [t for t in busy if len(t.fits) == 2][:3]


@pytest.mark.parametrize("trace", fit_traces(), ids=lambda t: f"{t.mode}-{len(t.fits)}")
def test_inside_model_fit(module, trace):
    class Metric(module.callbacks.Callback):
        """Puts the trace's metric into the logs, and notes the rate that an epoch begins with."""

        def __init__(self, values):
            super().__init__()
            self.values, self.rates = values, []

        def on_epoch_begin(self, epoch, logs=None):
            self.rates.append(live_rate().fget(self.model.optimizer))

        def on_epoch_end(self, epoch, logs=None):
            if self.values[epoch] is not None:
                logs[trace.monitor] = self.values[epoch]

    model = module.Sequential([module.layers.Dense(1)])
    model.compile(optimizer=module.optimizers.SGD(trace.learning_rate), loss="mse")
    plateau = module.callbacks.ReduceLROnPlateau(
        monitor=trace.monitor,
        factor=np.float64(trace.factor) if trace.float64_factor else trace.factor,
        patience=trace.patience,
        mode=trace.mode,
        min_delta=trace.min_delta,
        cooldown=trace.cooldown,
        min_lr=trace.min_lr,
    )
    rates, x = [], np.zeros((2, 1), np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Learning rate reduction is conditioned")
        for values in trace.fits:
            metric = Metric(values)
            model.fit(x, x, epochs=len(values), verbose=0, callbacks=[metric, plateau])
            rates += metric.rates
    rates.append(live_rate().fget(model.optimizer))
    ours, _ = goldens.simulate(trace, VERSIONS[module.__name__], NUMPY_MAJOR)
    expected, changes = [bits(float32(trace.learning_rate))], dict(ours.reductions)
    for epoch in range(len(rates) - 1):
        expected.append(changes.get(epoch, expected[-1]))
    assert [bits(rate) for rate in rates] == expected


def test_several_rates_under_one_counter(seed, capsys):
    """Keras 3.15's MultiOptimizer: each rate may fall or not, and the counter is one."""
    rng = random.Random(seed)
    partly = 0
    optimizers = [keras.optimizers.SGD(name=name) for name in ("first", "second", "third")]
    model = types.SimpleNamespace(
        optimizer=types.SimpleNamespace(optimizers=optimizers), metrics=[]
    )
    for trace in generate(seed, 200):
        if trace.mode == "auto" or trace.factor <= 0:
            continue
        # Rates below, at and above min_lr
        other = trace.min_lr * rng.choice((0.5, 1.0, 3.0)) or trace.learning_rate / 7
        lrs = [float32(lr) for lr in (trace.learning_rate, other, 0.1)]
        arguments = {
            "factor": trace.factor,
            "patience": trace.patience,
            "mode": trace.mode,
            "min_delta": trace.min_delta,
            "cooldown": trace.cooldown,
            "min_lr": trace.min_lr,
        }
        theirs = keras.callbacks.ReduceLROnPlateau(monitor="metric", verbose=1, **arguments)
        theirs.set_model(model)
        ours = ReduceLROnPlateau(**arguments)
        for optimizer, lr in zip(optimizers, lrs, strict=True):
            optimizer.learning_rate = lr
        capsys.readouterr()
        for epoch, begins, metric in trace.epochs:
            if metric is None:
                continue
            if begins:
                theirs.on_train_begin()
                ours.reset()
            theirs.on_epoch_end(epoch, {"metric": metric})
            decision = ours.update(metric, lrs)
            reduced = dict(MESSAGE.findall(capsys.readouterr().out))
            assert decision.changed == bool(reduced)
            partly += 0 < len(reduced) < len(lrs)
            for optimizer, assigned in zip(optimizers, decision.assigned, strict=True):
                if optimizer.name in reduced:
                    assert assigned == float(reduced[optimizer.name])
            lrs = list(decision.lrs)
            assert [bits(live_rate().fget(o)) for o in optimizers] == [bits(lr) for lr in lrs]
            assert (ours.wait, ours.cooldown_counter) == (theirs.wait, theirs.cooldown_counter)
    assert partly > 20


def test_a_real_multi_optimizer():
    model = keras.Sequential(
        [keras.layers.Dense(2, name="encoder"), keras.layers.Dense(1, name="head")]
    )
    rates = {"default": 0.1, "special": 0.02}
    by_name = {name: keras.optimizers.SGD(rate, name=name) for name, rate in rates.items()}
    optimizers = keras.optimizers.OptimizerMap(
        by_name["default"], {".*encoder.*": by_name["special"]}
    )
    model.compile(optimizer=keras.optimizers.MultiOptimizer(optimizers), loss="mse")
    x = np.zeros((4, 3), np.float32)
    callback = keras.callbacks.ReduceLROnPlateau("loss", factor=0.3, patience=2, min_lr=0.005)
    history = model.fit(x, x[:, :1], epochs=12, verbose=0, callbacks=[callback]).history
    ours, lrs = ReduceLROnPlateau(factor=0.3, patience=2, min_lr=0.005), list(rates.values())
    for epoch, loss in enumerate(history["loss"]):
        for name, lr in zip(rates, lrs, strict=True):
            assert history[f"learning_rate_{name}"][epoch] == float32(lr)
        lrs = list(ours.update(loss, lrs).lrs)
    assert lrs == [float32(0.005)] * 2


# What Keras makes of extreme numbers.


@pytest.mark.parametrize(
    ("mode", "metrics"),
    [
        ("min", (2e-40, 1e-40, 1e-44)),
        ("min", (1e-40, 0.0, -1e-40)),
        ("max", (0.0, 1e-40, 1.1e-38)),
        ("max", (1e-40, 1.2e-38, 1.3e-38)),
        ("min", (1.2e-38, 1.17549429e-38, 1.17549435e-38, 1e-38)),
        ("max", (-math.inf, -math.inf, 0.0, math.inf, math.inf)),
        ("min", (math.inf, 1.0, math.nan, 0.5, -math.inf, -math.inf)),
        ("min", (math.nan, 1.0, 0.5)),
        ("max", (3.4028234663852886e38, 3.4028234663852886e38, math.inf)),
    ],
)
def test_extreme_metrics(module, mode, metrics):
    for min_delta in (0.0, 1e-40, 1e-4):
        (trace,) = generate(0, 1)
        trace = replace(
            trace,
            mode=mode,
            monitor="val_loss",
            factor=0.1,
            float64_factor=False,
            patience=1,
            cooldown=0,
            min_delta=min_delta,
            min_lr=0.0,
            learning_rate=1e-36,
            fits=(metrics,),
        )
        assert_parity(module, [trace])


@pytest.mark.parametrize("metrics", [(1e39, 1e38), (1.0, 1e39), (-1e300, 0.0)])
def test_keras_3_fails_on_metrics_beyond_float32_and_we_take_them_as_infinite(metrics):
    callback = keras.callbacks.ReduceLROnPlateau("loss", mode="min")
    callback.set_model(types.SimpleNamespace(optimizer=keras.optimizers.SGD()))
    callback.on_train_begin()
    callback.on_epoch_end(0, {"loss": metrics[0]})
    with pytest.raises(ValueError, match="out of range"):
        callback.on_epoch_end(1, {"loss": metrics[1]})
    huge, infinite = ReduceLROnPlateau(patience=1), ReduceLROnPlateau(patience=1)
    for metric in metrics:
        as_infinite = metric if math.isfinite(float32(metric)) else math.copysign(math.inf, metric)
        assert huge.update(metric, [0.1]).changed == infinite.update(as_infinite, [0.1]).changed, (
            metric
        )


@pytest.mark.parametrize("lr", [1e-37, 1.2e-38, 1e-39, 1e-44, 1.4e-45])
def test_subnormal_rates_are_kept(module, lr):
    (trace,) = generate(0, 1)
    trace = replace(
        trace,
        mode="min",
        monitor="loss",
        factor=0.3,
        patience=1,
        cooldown=0,
        min_lr=0.0,
        learning_rate=lr,
        fits=((1.0,) * 30,),
    )
    assert_parity(module, [trace])
    assert len(live(module, trace)[0].reductions) > 0


@pytest.mark.parametrize(("lr", "reduces"), [(math.inf, True), (math.nan, False)])
def test_a_rate_that_is_not_finite_is_refused_here_and_not_in_keras(module, lr, reduces):
    """Keras "reduces" infinity to infinity and leaves NaN alone; neither trains anything."""
    (trace,) = generate(0, 1)
    trace = replace(trace, mode="min", patience=1, learning_rate=lr, min_lr=0.0, fits=((1.0,) * 9,))
    assert bool(live(module, trace)[0].reductions) == reduces
    with pytest.raises(ValueError, match=r"`lrs\[0\]`"):
        ReduceLROnPlateau().update(1.0, [lr])


def converted(trace, convert):
    fits = (tuple(None if m is None else convert(m) for m in fit) for fit in trace.fits)
    return replace(trace, fits=tuple(fits))


def test_metrics_of_other_types(module, seed):
    """An int counts as the float, as in Keras; NumPy's types do where Keras hands them on as such.

    Keras' ``fit`` hands Python floats to its callbacks.  From 3.11 on a ``np.float64`` that a user's
    callback puts into the logs is compared in float64, which nothing here can know.
    """
    types_ = [int, float]
    if VERSIONS[module.__name__] == "2.21":
        types_ += [np.float64, np.asarray]
    for trace in generate(seed, 60):
        whole = converted(trace, lambda m: m if not math.isfinite(m) else float(int(m * 7)))
        for convert in types_:
            finite = converted(whole, lambda m: convert(m) if math.isfinite(m) else m)  # noqa: B023
            theirs, _ = live(module, finite)
            ours, _ = goldens.simulate(finite, VERSIONS[module.__name__], NUMPY_MAJOR)
            assert goldens.same(theirs, ours), finite.to_line()


# "auto": what live Keras makes of a metric's name, and of what the metric says of itself.

DIRECTIONS = {"up": True, "down": False, None: None}


class Unnamed(keras.metrics.Metric):
    """A user's metric, which says nothing of itself."""

    def __init__(self, name="unnamed"):
        super().__init__(name=name)

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return 0.0


METRICS = [
    (keras.metrics.MeanSquaredError(name="mse"), "mse"),
    (keras.metrics.MeanSquaredError(name="mse"), "val_mse"),
    (keras.metrics.BinaryAccuracy(name="accuracy"), "val_accuracy"),
    (keras.metrics.AUC(name="auc"), "val_auc"),
    (keras.metrics.AUC(name="loss"), "loss"),
    (keras.metrics.AUC(name="auc"), "val_loss"),
    (keras.metrics.AUC(name="auc"), "val_val_loss"),
    (keras.metrics.RootMeanSquaredError(name="acc"), "acc"),
    (keras.metrics.F1Score(name="f1"), "val_f1"),
    (keras.metrics.R2Score(name="r2"), "r2"),
    (keras.metrics.CosineSimilarity(name="cosine"), "cosine"),
    (keras.metrics.KLDivergence(name="kld"), "kld"),
    (keras.metrics.TruePositives(name="positives"), "positives"),
    (Unnamed(), "unnamed"),
    (Unnamed("accuracy"), "accuracy"),
    (Unnamed("loss"), "loss"),
    (keras.metrics.AUC(name="auc"), "learning_rate"),
    (keras.metrics.AUC(name="auc"), "elsewhere"),
    (keras.metrics.AUC(name="auc"), ""),
]


def warned(mode, words):
    """Where an unknown mode is met: the warning must come then, and only then."""
    return pytest.warns(UserWarning, match=words) if mode == "lowest" else contextlib.nullcontext()


MODES = [
    *(("auto", *row) for row in METRICS),
    *((mode, *METRICS[i]) for mode in ("min", "max", "lowest") for i in (0, 3, -1)),
]


@pytest.mark.parametrize(("mode", "metric", "monitor"), MODES, ids=lambda v: getattr(v, "name", v))
def test_modes_of_metrics(mode, metric, monitor):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", metrics=[metric])
    model.train_on_batch(np.zeros((2, 1)), np.zeros((2, 1)))
    with warned(mode, "mode 'lowest' is unknown"):
        callback = keras.callbacks.ReduceLROnPlateau(monitor, mode=mode)
    callback.set_model(model)
    try:
        callback._set_monitor_op()
        expected = {keras.ops.less: "min", keras.ops.greater: "max"}[callback.monitor_op]
    except ValueError:
        expected = ValueError
    said = (
        getattr(metric, "_direction", None) if monitor.removeprefix("val_") == metric.name else None
    )
    with warned(mode, "`mode`='lowest'"):
        if expected is ValueError:
            with pytest.raises(ValueError, match="cannot tell whether the metric"):
                resolve_mode(mode, monitor, "3.15", higher_is_better=DIRECTIONS[said])
        else:
            assert resolve_mode(mode, monitor, higher_is_better=DIRECTIONS[said]) == expected


@pytest.mark.parametrize("mode", ["auto", "min", "max", "lowest"])
@pytest.mark.parametrize(
    "monitor", ["loss", "val_loss", "acc", "val_acc", "accuracy", "val_auc", "ACC", "vaccine", ""]
)
def test_modes_by_name(mode, monitor):
    import tf_keras

    level = tf.get_logger().level
    tf.get_logger().setLevel("FATAL")
    callback = tf_keras.callbacks.ReduceLROnPlateau(monitor, mode=mode)
    tf.get_logger().setLevel(level)
    expected = "min" if callback.best == math.inf else "max"
    with warned(mode, "`mode`='lowest'"):
        for version in ("2.15", "1.2.2", "3.10"):
            assert resolve_mode(mode, monitor, version) == expected


@pytest.mark.parametrize("factor", [1.0, 1.5, math.inf, 2])
def test_both_refuse_a_factor_of_1_or_more(module, factor):
    with pytest.raises(ValueError, match="factor >= 1"):
        module.callbacks.ReduceLROnPlateau(factor=factor)
    with pytest.raises(ValueError, match="`factor`"):
        ReduceLROnPlateau(factor=factor)
