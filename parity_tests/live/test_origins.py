"""Schedules of other packages against the rates that were recorded out of them, or against TensorFlow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import origins
from bits import assert_same_bits, differing
from lrparity import schedules
from lrparity.schedules import LearningRateSchedule, _cyclical, _legacy, _power
from lrparity.schedules._arithmetic import AllDouble
from lrparity.schedules._formula import ConfiguredSchedule

# --- which class of ours is which of theirs -------------------------------------------------------


class _OneDraw(_legacy.NoisyLinearCosineDecay, abstract=True):
    """The goldens of the noisy schedule have one draw for all steps."""

    def _draws(self, moment):
        return np.float32(self.noise[0])


def _one_draw(config: dict) -> LearningRateSchedule:
    return _OneDraw(**config | {"noise": [config["noise"]]})


def _renamed(cls: type, old: str, new: str) -> Callable[[dict], LearningRateSchedule]:
    return lambda config: cls(**{new if k == old else k: v for k, v in config.items()})


def _from_first_version(cls: type) -> Callable[[dict], LearningRateSchedule]:
    return _renamed(cls, "learning_rate", "initial_learning_rate")


def _with_function(config: dict) -> LearningRateSchedule:
    function = eval(f"lambda x: {config['scale_fn']}")
    return _cyclical.CyclicalLearningRate(**config | {"scale_fn": function})


def _same(cls: type) -> Callable[[dict], LearningRateSchedule]:
    return lambda config: cls(**config)


def _inner(spec: Any) -> Any:
    """The schedule that one of theirs is made of; a number is a constant."""
    if not isinstance(spec, dict):
        return spec
    name, config = spec["class_name"], spec["config"]
    if name.endswith("DecayWithOffset") and not hasattr(schedules, name):
        return _later(getattr(schedules, name.removesuffix("WithOffset")))(config)
    return getattr(schedules, name)(**config)


def _later(cls: type) -> Callable[[dict], LearningRateSchedule]:
    def build(config: dict) -> LearningRateSchedule:
        rest = {name: value for name, value in config.items() if name != "offset"}
        return schedules.Offset(cls(**rest), config["offset"], cast=True)

    return build


def _around(cls: type, name: str) -> Callable[[dict], LearningRateSchedule]:
    return lambda config: cls(**config | {name: _inner(config[name])})


def _create_optimizer(config: dict) -> LearningRateSchedule:
    """transformers' function of this name makes an optimizer with this schedule."""
    warm, initial = config["num_warmup_steps"], config["init_lr"]
    steps, end = config["num_train_steps"] - warm, initial * config["min_lr_ratio"]
    decay = schedules.PolynomialDecay(initial, steps, end, power=config["power"])
    return schedules.TransformersWarmUp(initial, decay, warm) if warm else decay


def _warm_up_decay(config: dict) -> LearningRateSchedule:
    """Batch-scaled image classification, of tf-models' older part."""
    base, warm, target = _inner(config["lr_schedule"]), config["warmup_steps"], config["warmup_lr"]
    target = base.initial_learning_rate if target is None else target
    return schedules.WarmUp(base, warm, target, shift=False, line="product") if warm else base


ADDONS, MODELS, LEGACY = "tensorflow-addons", "tf-models-official", "tf-models-official-legacy"
OURS: dict[tuple[str, str], Callable[[dict], LearningRateSchedule]] = {
    (ADDONS, "CyclicalLearningRate"): _with_function,
    (ADDONS, "TriangularCyclicalLearningRate"): _same(_cyclical.TriangularCyclicalLearningRate),
    (ADDONS, "Triangular2CyclicalLearningRate"): _same(_cyclical.Triangular2CyclicalLearningRate),
    (ADDONS, "ExponentialCyclicalLearningRate"): _same(_cyclical.ExponentialCyclicalLearningRate),
    (MODELS, "DirectPowerDecay"): _same(_power.DirectPowerDecay),
    (MODELS, "PowerAndLinearDecay"): _same(_power.PowerAndLinearDecay),
    (MODELS, "PowerDecayWithOffset"): _same(_power.PowerDecayWithOffset),
    (MODELS, "StepCosineDecayWithOffset"): _same(_power.StepCosineDecayWithOffset),
    **{
        (MODELS, f"{name}WithOffset"): _later(getattr(schedules, name))
        for name in ("PolynomialDecay", "ExponentialDecay", "PiecewiseConstantDecay", "CosineDecay")
    },
    (MODELS, "LinearWarmup"): _around(schedules.LinearWarmup, "after_warmup_lr_sched"),
    (MODELS, "PolynomialWarmUp"): _around(schedules.PolynomialWarmUp, "after_warmup_lr_sched"),
    (MODELS, "WarmUp"): _around(schedules.BertWarmUp, "decay_schedule_fn"),
    (LEGACY, "xlnet.WarmUp"): _around(schedules.TransformersWarmUp, "decay_schedule_fn"),
    ("transformers", "WarmUp"): _around(schedules.TransformersWarmUp, "decay_schedule_fn"),
    ("transformers", "create_optimizer"): _create_optimizer,
    (LEGACY, "WarmupDecaySchedule"): _warm_up_decay,
    (LEGACY, "WarmUpAndPolyDecay"): _same(_power.WarmUpAndPolyDecay),
    (LEGACY, "LearningRateSchedule"): _renamed(
        _power.InverseSquareRoot, "initial_learning_rate", "learning_rate"
    ),
    ("tf-keras", "LinearCosineDecay"): _same(_legacy.LinearCosineDecay),
    ("tf-keras", "NoisyLinearCosineDecay"): _one_draw,
    ("tensorflow-compat-v1", "linear_cosine_decay"): _from_first_version(_legacy.LinearCosineDecay),
    ("tensorflow-compat-v1", "natural_exp_decay"): _from_first_version(_legacy.NaturalExpDecay),
    ("tensorflow-compat-v1", "piecewise_constant"): _same(schedules.PiecewiseConstantDecay),
    **{
        ("tensorflow-compat-v1", old): _from_first_version(cls)
        for old, cls in (
            ("exponential_decay", schedules.ExponentialDecay),
            ("inverse_time_decay", schedules.InverseTimeDecay),
            ("polynomial_decay", schedules.PolynomialDecay),
            ("cosine_decay", schedules.CosineDecay),
            ("cosine_decay_restarts", schedules.CosineDecayRestarts),
        )
    },
}

# What is recorded of a package beside, and has no counterpart with the same bits.
OTHERS = {
    (LEGACY, "CosineDecayWithWarmup"): "climbs again after its end, and so does the one below",
    (LEGACY, "CosineLearningRateWithLinearWarmup"): "WarmUpCosineDecay(slope=False) ends at 0",
    (
        LEGACY,
        "StepLearningRateWithLinearWarmup",
    ): "changes at a step, PiecewiseConstantDecay after it",
    (LEGACY, "PiecewiseConstantDecayWithWarmup"): "asks for the step in float32 after its warm-up",
    ("keras-swa", "SWA"): "computes with the rate as numpy.float32, by the version of NumPy",
}


def test_every_recording_is_compared_or_said_not_to_be():
    found = {(case.origin, case.cls) for case in origins.cases()}
    assert found == set(OURS) | set(OTHERS)
    assert not set(OURS) & set(OTHERS)


def recorded(which: tuple[str, str]) -> list[tuple[LearningRateSchedule, np.ndarray, Any]]:
    """Our schedule, the steps in the dtype of the recording, and the recording."""
    rows = []
    for case in origins.cases(*which):
        steps = case.steps.astype(np.float32) if case.float_steps else case.steps
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some recorded arguments are odd on purpose
            rows.append((OURS[which](dict(case.config)), steps, case))
    assert len(rows) >= 40, f"no goldens of {which}: run `make goldens`"
    return rows


by_class = pytest.mark.parametrize("which", OURS, ids="-".join)


# --- the bits -------------------------------------------------------------------------------------


@by_class
def test_the_recorded_bits(which):
    for schedule, steps, case in recorded(which):
        assert_same_bits(schedule(steps), case.eager, steps, f"{case}, eager")
        graph = schedule(steps, numerics="graph")
        assert_same_bits(graph, case.graph, steps, f"{case}, graph")


@by_class
def test_the_recorded_bits_one_by_one(which):
    for schedule, steps, case in recorded(which)[:8]:
        assert_same_bits([schedule(step) for step in steps], case.eager, steps, case)
        singly = [schedule(step, numerics="graph") for step in steps]
        assert_same_bits(singly, case.graph, steps, case)


# --- negative controls: each comparison must be able to fail --------------------------------------

# Constants alone have one numerics, and DirectPowerDecay's differ for a few exponents only.
ONE_NUMERICS = {
    (MODELS, "DirectPowerDecay"),
    (MODELS, "PiecewiseConstantDecayWithOffset"),
    ("tensorflow-compat-v1", "piecewise_constant"),
}


def rejections(which: tuple[str, str], mutant: Callable) -> int:
    """How many of the recordings tell a mutant from the origin."""
    rejected = 0
    for schedule, steps, case in recorded(which):
        with np.errstate(all="ignore"):
            rates = np.broadcast_to(np.float32(mutant(schedule, steps)), steps.shape)
        rejected += bool(differing(rates, case.eager).any())
    return rejected


@by_class
def test_a_step_too_late_is_rejected(which):
    assert rejections(which, lambda schedule, steps: schedule(steps + 1)) >= 30


@by_class
def test_float64_rounded_once_is_rejected(which):
    def mutant(schedule, steps):
        return schedule._at(AllDouble, steps).value

    assert isinstance(recorded(which)[0][0], ConfiguredSchedule)
    assert rejections(which, mutant) >= (0 if which in ONE_NUMERICS else 5)


@pytest.mark.parametrize("which", sorted({*OURS} - ONE_NUMERICS), ids="-".join)
def test_the_other_numerics_are_rejected(which):
    assert rejections(which, lambda schedule, steps: schedule(steps, numerics="graph")) >= 3


@pytest.mark.parametrize(
    ("which", "arguments"),
    [
        ((ADDONS, "ExponentialCyclicalLearningRate"), lambda s: {"step_size": s.step_size + 1}),
        ((ADDONS, "TriangularCyclicalLearningRate"), lambda s: {"step_size": s.step_size * 1.001}),
        ((LEGACY, "LearningRateSchedule"), lambda s: {"warmup_steps": s.warmup_steps + 1}),
        ((LEGACY, "WarmUpAndPolyDecay"), lambda s: {"decay_start_steps": s.decay_start_steps + 1}),
        ((MODELS, "PowerDecayWithOffset"), lambda s: {"offset": s.offset + 1}),
        ((MODELS, "StepCosineDecayWithOffset"), lambda s: {"offset": s.offset + 1}),
        (("tf-keras", "LinearCosineDecay"), lambda s: {"beta": s.beta + 1e-6}),
        (
            ("tensorflow-compat-v1", "natural_exp_decay"),
            lambda s: {"decay_rate": s.decay_rate + 1e-5},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_changed_argument_is_rejected(which, arguments):
    def mutant(schedule, steps):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return type(schedule)(**schedule.get_config() | arguments(schedule))(steps)

    assert rejections(which, mutant) >= 20


# --- the Transformer's tutorial, which is no package ----------------------------------------------


def _noam_in_tensorflow(config: dict) -> Callable:
    """The formula in TensorFlow's operations, made as the tutorials and TensorFlowASR make it."""
    import tensorflow as tf

    width = tf.constant(config["d_model"], tf.float32)
    if config["roots"] == "rsqrt":
        slope = config["warmup_steps"] ** -1.5

        def tutorial(step):
            count = tf.cast(step, tf.float32)
            return tf.math.rsqrt(width) * tf.minimum(tf.math.rsqrt(count), count * slope)

        return tutorial
    scale = tf.constant(config["scale"], tf.float32)
    warmup_steps = tf.constant(config["warmup_steps"], tf.float32)

    def asr(step):
        count = tf.cast(step, tf.float32)
        rate = scale * (width**-0.5 * tf.minimum(count**-0.5, count * warmup_steps**-1.5))
        if config["maximum"] is not None:
            rate = tf.minimum(config["maximum"], rate)
        return rate if config["minimum"] is None else tf.maximum(config["minimum"], rate)

    return asr


def _noam(rng) -> dict:
    config = {
        "d_model": int(rng.choice([128, 144, 256, 512, 1024, rng.integers(1, 3000)])),
        "warmup_steps": int(rng.choice([1, 10, 41, 4000, 10_000, rng.integers(1, 30_000)])),
        "roots": str(rng.choice(["rsqrt", "pow"])),
    }
    if config["roots"] == "pow":
        top = (config["d_model"] * config["warmup_steps"]) ** -0.5
        config |= {
            "scale": float(rng.choice([1.0, 2.0, 0.7, rng.uniform(0.01, 3)])),
            "minimum": [None, 0.1 * top][rng.integers(2)],
            "maximum": [None, 0.6 * top][rng.integers(2)],
        }
    return config


def _noam_steps(config: dict, rng) -> np.ndarray:
    end = config["warmup_steps"]
    places = [0, 1, 2, 3, end - 1, end, end + 1, 2**24, 2**24 + 1]
    return np.unique([*places, *rng.integers(0, 3 * end + 50, 30).tolist()])


@pytest.mark.keras
def test_noam_has_the_bits_of_the_operations(seed):
    import keras_side

    rng = np.random.default_rng([seed, 17])
    rejected = 0
    for _ in range(16):
        config = _noam(rng)
        schedule, twin = _power.Noam(**config), _noam_in_tensorflow(config)
        steps = _noam_steps(config, rng)
        context = f"seed {seed}, {schedule!r}"
        expected = keras_side.eager(twin, steps)
        assert_same_bits(schedule(steps), expected, steps, f"{context}, eager")
        graph = schedule(steps, numerics="graph")
        assert_same_bits(graph, keras_side.traced(twin, steps), steps, f"{context}, graph")
        assert schedule(0) == float(np.float32(config.get("minimum") or 0.0))
        other = _power.Noam(**config | {"roots": {"pow": "rsqrt", "rsqrt": "pow"}[config["roots"]]})
        rejected += bool(differing(other(steps), expected).any())
    assert rejected >= 8, "the two kinds of roots could not be told apart"
