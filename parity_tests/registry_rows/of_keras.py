"""Rows of Keras' six schedules and the two of the tutorials."""

from __future__ import annotations

import numpy as np

from lrparity import lr_scheduler, schedules
from registry_rows.case import Case, Config
from registry_rows.draws import length, log, one_of, rate


def exponential(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "decay_steps": length(rng),
        "decay_rate": one_of(rng, 0.96, 0.5, 0.1, 0.9, 1.0, low=0.01, high=1.3),
        "staircase": bool(rng.integers(2)),
    }


def inverse(rng) -> Config:
    return exponential(rng) | {"decay_rate": one_of(rng, 0.5, 1.0, 1e-3, low=0.0, high=5.0)}


def polynomial(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "decay_steps": length(rng),
        "end_learning_rate": float(rng.choice([0.0, 1e-4, rate(rng)])),
        "power": one_of(rng, 0, 0.5, 1, 2, 3, 4, -0.5, -1, low=0.1, high=6.0),
        "cycle": bool(rng.integers(2)),
    }


def piecewise(rng) -> Config:
    n = int(rng.integers(1, 7))
    span = int(log(rng, 20, 1e6))
    edges = np.sort(rng.choice(span, n, replace=False))
    whole = bool(rng.integers(2))
    boundaries = [int(b) if whole else float(b) + float(rng.uniform()) for b in edges]
    return {"boundaries": boundaries, "values": [rate(rng) for _ in range(n + 1)]}


def cosine(rng) -> Config:
    config = {
        "initial_learning_rate": rate(rng),
        "decay_steps": length(rng),
        "alpha": one_of(rng, 0.0, 0.1, 0.01, 1.0, low=0.0, high=1.2),
    }
    if rng.integers(2):
        warm = int(rng.choice([0, 1, 5, int(log(rng, 1, 1e5))]))
        start = float(rng.choice([0.0, config["initial_learning_rate"]]))
        config |= {
            "initial_learning_rate": start,
            "warmup_target": rate(rng),
            "warmup_steps": warm,
        }
    return config


def restarts(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "first_decay_steps": length(rng),
        "t_mul": one_of(rng, 1.0, 1.1, 1.5, 2.0, 3.0, 0.9, low=0.6, high=3.0),
        "m_mul": one_of(rng, 1.0, 0.9, 0.5, low=0.0, high=1.2),
        "alpha": one_of(rng, 0.0, 0.1, low=0.0, high=0.6),
    }


def _time_based(rng) -> Config:
    config = {
        "initial_learning_rate": rate(rng),
        "decay": one_of(rng, 0.0, 1e-3, 1e-6, 0.1 / 60, low=0.0, high=0.5),
        "keras_version": str(rng.choice(["2.3.1", "2.15", "1.2.2", "2.21"])),
    }
    if rng.integers(3) == 0:
        config |= {"unit": "epoch"}
    return config


def _step(rng) -> Config:
    return {
        "initial_learning_rate": rate(rng),
        "drop": one_of(rng, 0.5, 0.1, 0.2, low=0.05, high=1.1),
        "epochs_drop": float(rng.choice([10.0, 5.0, 1.0, 7.0, rng.uniform(0.5, 30)])),
        "offset": int(rng.integers(2)),
    }


ROWS = (
    Case(
        schedules.ExponentialDecay,
        lr_scheduler.ExponentialDecayLR,
        exponential,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 0.9},
            {
                "initial_learning_rate": 0.1,
                "decay_steps": 41,
                "decay_rate": 0.5,
                "staircase": True,
            },
        ),
        lambda c: c["decay_steps"],
        "ExponentialDecay",
    ),
    Case(
        schedules.InverseTimeDecay,
        lr_scheduler.InverseTimeDecayLR,
        inverse,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
            {
                "initial_learning_rate": 0.3,
                "decay_steps": 41,
                "decay_rate": 0.7,
                "staircase": True,
            },
        ),
        lambda c: c["decay_steps"],
        "InverseTimeDecay",
    ),
    Case(
        schedules.PolynomialDecay,
        lr_scheduler.PolynomialDecayLR,
        polynomial,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 50, "end_learning_rate": 0.01},
            {"initial_learning_rate": 0.1, "decay_steps": 50, "power": 0.5},
            {"initial_learning_rate": 0.1, "decay_steps": 20, "power": 2.0, "cycle": True},
        ),
        lambda c: c["decay_steps"],
        "PolynomialDecay",
    ),
    Case(
        schedules.PiecewiseConstantDecay,
        lr_scheduler.PiecewiseConstantDecayLR,
        piecewise,
        (
            {"boundaries": [10, 40], "values": [0.1, 0.05, 0.01]},
            {"boundaries": [10.7], "values": [0.1, 0.3]},
            {"boundaries": [], "values": [0.2]},
        ),
        lambda c: (c["boundaries"] or [10])[0],
        "PiecewiseConstantDecay",
        per_group=False,
    ),
    Case(
        schedules.CosineDecay,
        lr_scheduler.CosineDecayLR,
        cosine,
        (
            {"initial_learning_rate": 0.1, "decay_steps": 60, "alpha": 0.01},
            {
                "initial_learning_rate": 0.01,
                "decay_steps": 40,
                "warmup_target": 0.4,
                "warmup_steps": 15,
            },
        ),
        lambda c: c.get("warmup_steps", 0) + c["decay_steps"],
        "CosineDecay",
    ),
    Case(
        schedules.CosineDecayRestarts,
        lr_scheduler.CosineDecayRestartsLR,
        restarts,
        (
            {"initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.1},
            {"initial_learning_rate": 0.1, "first_decay_steps": 15, "t_mul": 1.0, "m_mul": 0.8},
            {"initial_learning_rate": 0.1, "first_decay_steps": 8, "m_mul": 0.9, "alpha": 0.1},
        ),
        lambda c: c["first_decay_steps"],
        "CosineDecayRestarts",
    ),
    Case(
        schedules.TimeBasedDecay,
        lr_scheduler.TimeBasedDecayLR,
        _time_based,
        (
            {"initial_learning_rate": 0.1, "decay": 0.1 / 60},
            {"initial_learning_rate": 0.1, "decay": 1e-3, "keras_version": "2.3.1"},
            {"initial_learning_rate": 0.1, "decay": 1e-3, "unit": "epoch"},
            {"initial_learning_rate": 0.1, "decay": 1e-3, "unit": "epoch", "compounding": True},
        ),
        lambda c: 10,
        None,
    ),
    Case(
        schedules.StepDecay,
        lr_scheduler.StepDecayLR,
        _step,
        (
            {"initial_learning_rate": 0.1, "drop": 0.5, "epochs_drop": 10},
            {"initial_learning_rate": 0.1, "drop": 0.5, "epochs_drop": 10.0, "offset": 0},
        ),
        lambda c: c["epochs_drop"],
        None,
    ),
)
