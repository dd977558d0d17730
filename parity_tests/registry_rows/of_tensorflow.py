"""Rows of the schedules that other TensorFlow packages have."""

from __future__ import annotations

import numpy as np

from lrparity import schedules
from registry_rows.case import Case, Config
from registry_rows.draws import length, log, one_of, rate
from registry_rows.of_keras import exponential

# --- draw functions -------------------------------------------------------------------------------


def _cyclical(rng) -> Config:
    return {
        "initial_learning_rate": float(rng.choice([0.0, rate(rng)])),
        "maximal_learning_rate": rate(rng),
        "step_size": length(rng),
        "scale_mode": str(rng.choice(["cycle", "iterations"])),
    }


def _cyclical_scaled(rng) -> Config:
    scale = schedules.ExponentialDecay(1.0, length(rng), one_of(rng, 0.5, 0.99, low=0.1, high=1.1))
    return _cyclical(rng) | {"scale_fn": scale}


def _cyclical_exponential(rng) -> Config:
    return _cyclical(rng) | {"gamma": one_of(rng, 1.0, 0.9999, 0.96, low=0.5, high=1.001)}


def _cyclic(rng) -> Config:
    config = {
        "base_lr": rate(rng),
        "max_lr": rate(rng),
        "step_size": length(rng),
        "mode": str(rng.choice(["triangular", "triangular2", "exp_range"])),
        "gamma": one_of(rng, 1.0, 0.9999, low=0.5, high=1.001),
    }
    if rng.integers(3) == 0:
        config |= {
            "scale_fn": schedules.StepDecay(1.0, one_of(rng, 0.5, low=0.1, high=1.1), 2.0),
            "scale_mode": str(rng.choice(["cycle", "iterations"])),
        }
    return config


def _power(rng) -> float:
    return one_of(rng, -0.5, 1.0, 0.5, 2.0, 3.0, -1.0, 0, low=-2.0, high=3.0)


def _inverse_square_root(rng) -> Config:
    return {
        "learning_rate": rate(rng),
        "warmup_steps": length(rng),
        "hidden_size": [None, 512, int(rng.integers(1, 3000))][rng.integers(3)],
    }


def _noam(rng) -> Config:
    config = {
        "d_model": int(rng.choice([128, 512, 1024, rng.integers(1, 3000)])),
        "warmup_steps": length(rng),
        "roots": str(rng.choice(["rsqrt", "pow"])),
    }
    if rng.integers(2):
        top = float(config["d_model"] * config["warmup_steps"]) ** -0.5
        config |= {
            "scale": one_of(rng, 1.0, 0.7, 2.0, low=0.01, high=3.0),
            "minimum": 0.1 * top,
            "maximum": 0.6 * top,
        }
    return config


def _direct_power(rng) -> Config:
    return {"initial_learning_rate": rate(rng), "power": _power(rng)}


def _power_and_linear(rng) -> Config:
    return _direct_power(rng) | {
        "total_decay_steps": length(rng),
        "linear_decay_fraction": one_of(rng, 0.0, 0.1, 0.5, 1.0, low=0.01, high=1.0),
        "offset": int(rng.choice([0, 1, 41, int(log(rng, 1, 1e4))])),
    }


def _power_with_offset(rng) -> Config:
    return _direct_power(rng) | {
        "offset": int(rng.choice([0, 1, 41, int(log(rng, 1, 1e4))])),
        "pre_offset_learning_rate": float(rng.choice([1e6, rate(rng)])),
    }


def _step_cosine(rng) -> Config:
    n = int(rng.integers(1, 6))
    edges = np.sort(rng.choice(np.arange(1, int(log(rng, 20, 1e6))), n, replace=False))
    return {
        "boundaries": [0, *edges.tolist()],
        "values": [rate(rng) for _ in range(n + 1)],
        "offset": int(rng.choice([0, 1, 41, int(log(rng, 1, 1e4))])),
    }


def _warm_up_and_poly(rng) -> Config:
    warm = max(1, int(length(rng)))
    return {
        "batch_size": int(rng.choice([2048, 65536, 100, 3000])),
        "decay_exp": one_of(rng, 2.0, 1.0, 0.5, low=0.1, high=3.0),
        "learning_rate": float(rng.choice([40.0, 1.25, log(rng, 0.01, 100)])),
        "warmup_steps": warm,
        "decay_steps": int(length(rng)),
        "decay_start_steps": warm + int(rng.choice([0, int(length(rng))])),
    }


def _natural_exp(rng) -> Config:
    return exponential(rng) | {"decay_rate": one_of(rng, 0.5, 1.0, 1e-3, low=-0.1, high=5.0)}


def _linear_cosine(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "decay_steps": length(rng),
        "num_periods": one_of(rng, 0.5, 1.0, 2.5, low=0.1, high=5.0),
        "alpha": one_of(rng, 0.0, 0.1, low=0.0, high=1.0),
        "beta": one_of(rng, 0.001, 0.0, low=0.0, high=0.5),
    }


def _noisy_linear_cosine(rng) -> Config:
    return _linear_cosine(rng) | {
        "initial_variance": one_of(rng, 1.0, 0.1, 0.0, low=0.0, high=2.0),
        "variance_decay": one_of(rng, 0.55, 0.5, 1.0, 2.0, low=0.1, high=1.5),
        "noise": int(rng.integers(2**40)),
    }


# --- rows -----------------------------------------------------------------------------------------

TRIANGLE = {"initial_learning_rate": 0.01, "maximal_learning_rate": 0.1, "step_size": 13}

ROWS = (
    Case(
        schedules.CyclicalLearningRate,
        None,
        _cyclical_scaled,
        (
            TRIANGLE | {"scale_fn": schedules.ExponentialDecay(1.0, 2, 0.9)},
            TRIANGLE
            | {"scale_fn": schedules.InverseTimeDecay(1.0, 9, 0.4), "scale_mode": "iterations"},
        ),
        lambda c: 2 * c["step_size"],
        per_group=False,
    ),
    Case(
        schedules.TriangularCyclicalLearningRate,
        None,
        _cyclical,
        (TRIANGLE, TRIANGLE | {"step_size": 3.5, "scale_mode": "iterations"}),
        lambda c: 2 * c["step_size"],
        per_group=False,
    ),
    Case(
        schedules.Triangular2CyclicalLearningRate,
        None,
        _cyclical,
        (TRIANGLE, TRIANGLE | {"step_size": 3.5}),
        lambda c: 2 * c["step_size"],
        per_group=False,
    ),
    Case(
        schedules.ExponentialCyclicalLearningRate,
        None,
        _cyclical_exponential,
        (
            TRIANGLE | {"gamma": 0.97},
            TRIANGLE | {"step_size": 3.5, "scale_mode": "cycle", "gamma": 0.9},
        ),
        lambda c: 2 * c["step_size"],
        per_group=False,
    ),
    Case(
        schedules.CyclicLR,
        None,
        _cyclic,
        (
            {"base_lr": 0.01, "max_lr": 0.1, "step_size": 13.0},
            {"base_lr": 0.01, "max_lr": 0.1, "step_size": 7, "mode": "triangular2"},
            {
                "base_lr": 0.01,
                "max_lr": 0.1,
                "step_size": 13.0,
                "mode": "exp_range",
                "gamma": 0.98,
            },
        ),
        lambda c: 2 * c["step_size"],
        per_group=False,
    ),
    Case(
        schedules.InverseSquareRoot,
        None,
        _inverse_square_root,
        (
            {"learning_rate": 0.5, "warmup_steps": 20},
            {"learning_rate": 2.0, "warmup_steps": 41, "hidden_size": 512},
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.Noam,
        None,
        _noam,
        (
            {"d_model": 128, "warmup_steps": 20},
            {
                "d_model": 144,
                "warmup_steps": 41,
                "scale": 0.7,
                "minimum": 1e-3,
                "maximum": 5e-3,
                "roots": "pow",
            },
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.DirectPowerDecay,
        None,
        _direct_power,
        (
            {"initial_learning_rate": 0.1, "power": -0.5},
            {"initial_learning_rate": 0.1, "power": -0.3},
        ),
        lambda c: 10,
        per_group=False,
    ),
    Case(
        schedules.PowerAndLinearDecay,
        None,
        _power_and_linear,
        (
            {"initial_learning_rate": 0.1, "total_decay_steps": 60, "power": -0.5},
            {
                "initial_learning_rate": 0.1,
                "total_decay_steps": 50,
                "power": -0.3,
                "linear_decay_fraction": 0.5,
                "offset": 8,
            },
        ),
        lambda c: c["total_decay_steps"],
        per_group=False,
    ),
    Case(
        schedules.PowerDecayWithOffset,
        None,
        _power_with_offset,
        (
            {"initial_learning_rate": 0.1, "power": -0.5, "pre_offset_learning_rate": 0.2},
            {
                "initial_learning_rate": 0.1,
                "power": -0.3,
                "offset": 20,
                "pre_offset_learning_rate": 0.08,
            },
        ),
        lambda c: c.get("offset", 0) or 10,
        per_group=False,
    ),
    Case(
        schedules.StepCosineDecayWithOffset,
        None,
        _step_cosine,
        (
            {"boundaries": [0, 30, 1000], "values": [0.1, 0.05, 0.01]},
            {"boundaries": [0, 7, 20, 1000], "values": [0.1, 0.2, 0.05, 0.01], "offset": 3},
        ),
        lambda c: c["boundaries"][1],
        per_group=False,
    ),
    Case(
        schedules.WarmUpAndPolyDecay,
        None,
        _warm_up_and_poly,
        (
            {
                "batch_size": 2048,
                "learning_rate": 0.5,
                "warmup_steps": 7,
                "decay_steps": 50,
                "decay_start_steps": 12,
            },
            {
                "batch_size": 512,
                "decay_exp": 0.5,
                "learning_rate": 1.25,
                "warmup_steps": 41,
                "decay_steps": 30,
                "decay_start_steps": 41,
            },
        ),
        lambda c: c["warmup_steps"],
        per_group=False,
    ),
    Case(
        schedules.NaturalExpDecay,
        None,
        _natural_exp,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 0.5},
            {
                "initial_learning_rate": 0.1,
                "decay_steps": 41,
                "decay_rate": 0.5,
                "staircase": True,
            },
        ),
        lambda c: c["decay_steps"],
        per_group=False,
    ),
    Case(
        schedules.LinearCosineDecay,
        None,
        _linear_cosine,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 60},
            {
                "initial_learning_rate": 0.1,
                "decay_steps": 41,
                "num_periods": 2.5,
                "alpha": 0.1,
                "beta": 0.01,
            },
        ),
        lambda c: c["decay_steps"],
        per_group=False,
    ),
    Case(
        schedules.NoisyLinearCosineDecay,
        None,
        _noisy_linear_cosine,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 60},
            {
                "initial_learning_rate": 0.1,
                "decay_steps": 41,
                "initial_variance": 0.1,
                "num_periods": 2.5,
                "alpha": 0.5,
                "noise": 7,
            },
        ),
        lambda c: c["decay_steps"],
        per_group=False,
    ),
)
