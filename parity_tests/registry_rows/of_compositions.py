"""Rows of schedules that are made of schedules, warm-ups among them."""

from __future__ import annotations

import numpy as np

from lrparity import schedules
from registry_rows.case import Case, Config
from registry_rows.draws import length, log, one_of, rate
from registry_rows.of_keras import cosine, exponential, inverse, piecewise, polynomial, restarts

# --- schedules made of schedules ----------------------------------------------------------------

KERAS_DRAWS = (
    (schedules.ExponentialDecay, exponential),
    (schedules.InverseTimeDecay, inverse),
    (schedules.PolynomialDecay, polynomial),
    (schedules.PiecewiseConstantDecay, piecewise),
    (schedules.CosineDecay, cosine),
    (schedules.CosineDecayRestarts, restarts),
)


def base(rng) -> schedules.LearningRateSchedule:
    cls, draw = KERAS_DRAWS[int(rng.integers(len(KERAS_DRAWS)))]
    return cls(**draw(rng))


def part(rng) -> schedules.LearningRateSchedule | float:
    return rate(rng) if rng.integers(4) == 0 else base(rng)


def parts(rng) -> list[schedules.LearningRateSchedule | float]:
    """Parts of the update, or now and then of the epoch, which Python computes."""
    count = int(rng.integers(2, 5))
    if rng.integers(3):
        return [part(rng) for _ in range(count)]
    return [schedules.PerEpoch(base(rng)) for _ in range(count)]


def _factors(rng) -> list[schedules.LearningRateSchedule | float]:
    """Constants first: elsewhere numerics="graph" is not known."""
    return sorted(parts(rng), key=lambda one: not isinstance(one, float))


def _join(rng) -> Config:
    pieces = parts(rng)
    boundaries = np.sort(rng.choice(int(log(rng, 20, 1e5)), len(pieces) - 1, replace=False))
    return {
        "schedules": pieces,
        "boundaries": boundaries.tolist(),
        "restart": bool(rng.integers(2)),
        "inclusive": bool(rng.integers(2)),
    }


def _offset(rng) -> Config:
    return {
        "schedule": base(rng),
        "offset": int(rng.choice([-1, 0, 1, 5, int(log(rng, 1, 1e5))])),
        "minimum": [None, 0, 1][int(rng.integers(3))],
        "cast": bool(rng.integers(2)),
    }


def _clip(rng) -> Config:
    low, high = sorted((rate(rng), rate(rng)))
    bounds = ({"minimum": low}, {"maximum": high}, {"minimum": low, "maximum": high})
    return {"schedule": base(rng)} | bounds[int(rng.integers(3))]


def _hold(rng) -> Config:
    start, stop = sorted((int(log(rng, 1, 1e3)), int(log(rng, 1, 1e5))))
    bounds = ({"start": start}, {"stop": stop}, {"start": start, "stop": stop})
    return {"schedule": base(rng)} | bounds[int(rng.integers(3))]


def _repeat(rng) -> Config:
    return {"schedule": base(rng), "period": length(rng)}


def _per_epoch(rng) -> Config:
    return {"schedule": base(rng), "arithmetic": str(rng.choice(["float64", "float32"]))}


def _per_update(rng) -> Config:
    epochs = schedules.PerEpoch(**_per_epoch(rng))
    return {
        "schedule": epochs,
        "steps_per_epoch": length(rng),
        "staircase": bool(rng.integers(2)),
    }


# --- warm-ups -----------------------------------------------------------------------------------


def _warm_steps(rng) -> float:
    return int(rng.choice([1, 2, 5, 10, 41, 500, int(log(rng, 1, 1e5))]))


def _warm_up(rng) -> Config:
    line = str(rng.choice(["fraction", "fraction", "slope", "product"]))
    return {
        "schedule": part(rng),
        "warmup_steps": _warm_steps(rng),
        "warmup_target": None if rng.integers(2) else rate(rng),
        "initial_learning_rate": float(rng.choice([0.0, 1e-5, rate(rng)])),
        "power": 1.0 if line != "fraction" else one_of(rng, 1.0, 1.0, 2.0, 0.5, low=0.1, high=3.0),
        "shift": bool(rng.integers(2)),
        "counter": str(rng.choice(["step", "step + 1", "max(step, 1)"])),
        "inclusive": bool(rng.integers(2)),
        "line": line,
    }


def _linear_decay(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "decay_steps": length(rng),
        "end_learning_rate": float(rng.choice([0.0, 5e-5, rate(rng)])),
        "line": str(rng.choice(["fraction", "slope", "product"])),
    }


def _linear_warm_up(rng) -> Config:
    return {
        "after_warmup_lr_sched": part(rng),
        "warmup_steps": _warm_steps(rng),
        "warmup_learning_rate": float(rng.choice([0.0, 0.0067, rate(rng)])),
    }


def _polynomial_warm_up(rng) -> Config:
    return {
        "after_warmup_lr_sched": part(rng),
        "warmup_steps": _warm_steps(rng),
        "power": one_of(rng, 1.0, 2.0, 0.5, low=0.1, high=3.0),
    }


def _transformer_warm_up(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "decay_schedule_fn": part(rng),
        "warmup_steps": _warm_steps(rng),
        "power": one_of(rng, 1.0, 2.0, 0.5, low=0.1, high=3.0),
    }


def _warm_up_cosine(rng) -> Config:
    warm, hold = (int(rng.choice([0, 1, 7, int(log(rng, 1, 1e4))])) for _ in range(2))
    return {
        "learning_rate_base": rate(rng),
        "total_steps": warm + hold + int(log(rng, 1, 1e5)),
        "warmup_learning_rate": float(rng.choice([0.0, 1e-5, rate(rng)])),
        "warmup_steps": warm,
        "hold_base_rate_steps": hold,
        "line": str(rng.choice(["fraction", "slope", "product"])),
    }


COSINE = schedules.CosineDecay(0.1, 60)
EXPONENTIAL = schedules.ExponentialDecay(0.1, 20, 0.5)
HALVED = schedules.StepDecay(0.1, 0.5, 7)


ROWS = (
    Case(
        schedules.Constant,
        None,
        lambda rng: {"learning_rate": rate(rng), "unit": str(rng.choice(["update", "epoch"]))},
        ({"learning_rate": 0.1}, {"learning_rate": 0.1, "unit": "epoch"}),
        lambda c: 10,
        per_group=False,
    ),
    Case(
        schedules.Join,
        None,
        _join,
        (
            {"schedules": [0.1, COSINE], "boundaries": [20]},
            {
                "schedules": [EXPONENTIAL, COSINE, EXPONENTIAL],
                "boundaries": [9, 30],
                "restart": False,
                "inclusive": True,
            },
            {"schedules": [HALVED, schedules.PerEpoch(COSINE), 0.05], "boundaries": [4, 40.5]},
        ),
        lambda c: c["boundaries"][0],
        per_group=False,
    ),
    Case(
        schedules.Product,
        None,
        lambda rng: {"schedules": _factors(rng)},
        ({"schedules": [0.5, EXPONENTIAL, COSINE]}, {"schedules": [HALVED, 0.3]}),
        lambda c: 20,
        per_group=False,
    ),
    Case(
        schedules.Sum,
        None,
        lambda rng: {"schedules": parts(rng)},
        ({"schedules": [0.01, EXPONENTIAL]}, {"schedules": [HALVED, 0.3]}),
        lambda c: 20,
        per_group=False,
        graph=False,
    ),
    Case(
        schedules.Scale,
        None,
        lambda rng: {"schedule": base(rng), "factor": one_of(rng, 2.0, 0.1, low=0.0, high=9.0)},
        ({"schedule": EXPONENTIAL, "factor": 0.3}, {"schedule": HALVED, "factor": 2}),
        lambda c: 20,
        per_group=False,
    ),
    Case(
        schedules.Offset,
        None,
        _offset,
        (
            {"schedule": COSINE, "offset": 10},
            {"schedule": EXPONENTIAL, "offset": -1},
            {"schedule": HALVED, "offset": 12.5, "minimum": 0},
            {"schedule": COSINE, "offset": 10, "cast": True},
        ),
        lambda c: abs(c["offset"]) + 1,
        per_group=False,
    ),
    Case(
        schedules.Clip,
        None,
        _clip,
        (
            {"schedule": EXPONENTIAL, "minimum": 0.01},
            {"schedule": HALVED, "minimum": 0.02, "maximum": 0.07},
            {"schedule": EXPONENTIAL, "minimum": None, "maximum": COSINE},
        ),
        lambda c: 20,
        per_group=False,
    ),
    Case(
        schedules.Hold,
        None,
        _hold,
        (
            {"schedule": EXPONENTIAL, "start": 5, "stop": 30},
            {"schedule": HALVED, "stop": 30.5},
        ),
        lambda c: c.get("stop") or c["start"],
        per_group=False,
    ),
    Case(
        schedules.Repeat,
        None,
        _repeat,
        (
            {"schedule": COSINE, "period": 40},
            {"schedule": HALVED, "period": 17},
            {"schedule": EXPONENTIAL, "period": 8.5},
        ),
        lambda c: c["period"],
        per_group=False,
    ),
    Case(
        schedules.PerEpoch,
        None,
        _per_epoch,
        (
            {"schedule": COSINE},
            {"schedule": EXPONENTIAL, "arithmetic": "float32"},
            {"schedule": schedules.WarmUp(COSINE, 5)},
        ),
        lambda c: 20,
        per_group=False,
    ),
    Case(
        schedules.PerUpdate,
        None,
        _per_update,
        (
            {"schedule": HALVED, "steps_per_epoch": 3},
            {"schedule": HALVED, "steps_per_epoch": 3, "staircase": False},
            {
                "schedule": schedules.PerEpoch(EXPONENTIAL, arithmetic="float32"),
                "steps_per_epoch": 2.5,
            },
        ),
        lambda c: c["steps_per_epoch"],
        per_group=False,
    ),
    Case(
        schedules.InPython,
        None,
        lambda rng: {"schedule": base(rng)},
        ({"schedule": COSINE}, {"schedule": schedules.WarmUp(EXPONENTIAL, 5)}),
        lambda c: 20,
        per_group=False,
    ),
    Case(
        schedules.WarmUp,
        None,
        _warm_up,
        (
            {"schedule": COSINE, "warmup_steps": 10},
            {
                "schedule": EXPONENTIAL,
                "warmup_steps": 12,
                "warmup_target": 0.2,
                "initial_learning_rate": 1e-3,
                "power": 2.0,
                "shift": False,
                "counter": "max(step, 1)",
                "inclusive": True,
            },
            {"schedule": HALVED, "warmup_steps": 5, "line": "slope", "counter": "step + 1"},
            {"schedule": 0.1, "warmup_steps": 7},
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.LinearDecay,
        None,
        _linear_decay,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 40},
            {
                "initial_learning_rate": 0.1,
                "decay_steps": 33,
                "end_learning_rate": 5e-5,
                "line": "slope",
            },
            {
                "initial_learning_rate": 0.0,
                "decay_steps": 7,
                "end_learning_rate": 1,
                "line": "product",
            },
        ),
        lambda c: c["decay_steps"],
        per_group=False,
    ),
    Case(
        schedules.LinearWarmup,
        None,
        _linear_warm_up,
        (
            {
                "after_warmup_lr_sched": COSINE,
                "warmup_steps": 10,
                "warmup_learning_rate": 0.0067,
            },
            {"after_warmup_lr_sched": 0.1, "warmup_steps": 10, "warmup_learning_rate": 0.0},
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.PolynomialWarmUp,
        None,
        _polynomial_warm_up,
        (
            {"after_warmup_lr_sched": COSINE, "warmup_steps": 10},
            {"after_warmup_lr_sched": 0.1, "warmup_steps": 10, "power": 2.0},
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.BertWarmUp,
        None,
        _transformer_warm_up,
        (
            {"initial_learning_rate": 0.1, "decay_schedule_fn": COSINE, "warmup_steps": 10},
            {
                "initial_learning_rate": 0.1,
                "decay_schedule_fn": 0.1,
                "warmup_steps": 10,
                "power": 0.5,
            },
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.TransformersWarmUp,
        None,
        _transformer_warm_up,
        (
            {"initial_learning_rate": 0.1, "decay_schedule_fn": COSINE, "warmup_steps": 10},
            {
                "initial_learning_rate": 0.1,
                "decay_schedule_fn": 0.1,
                "warmup_steps": 10,
                "power": 0.5,
            },
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.WarmUpCosineDecay,
        None,
        _warm_up_cosine,
        (
            {"learning_rate_base": 0.1, "total_steps": 60},
            {
                "learning_rate_base": 0.1,
                "total_steps": 50,
                "warmup_learning_rate": 1e-3,
                "warmup_steps": 8,
                "hold_base_rate_steps": 5,
            },
            {"learning_rate_base": 0.1, "total_steps": 50, "warmup_steps": 8, "line": "fraction"},
        ),
        lambda c: c["warmup_steps"] + c["hold_base_rate_steps"] or c["total_steps"],
        per_group=False,
    ),
)
