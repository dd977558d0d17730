"""The case registry: one row for each schedule, over which every generic test runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lrparity import lr_scheduler, schedules

Config = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A schedule class, how to draw arguments for it, and what it is compared with.

    Attributes:
        cls: the schedule class.
        scheduler: its torch class; None where ``ScheduleLR(optimizer, schedule)`` is.
        draw: arguments from a random generator.
        examples: fixed arguments; the first is the plainest.
        period: a number of steps around whose multiples things happen.
        keras: the name in ``keras.optimizers.schedules``, or None.
        per_group: whether the torch class can take each group's own rate.
        graph: whether numerics="graph" is known.
    """

    cls: type[schedules.LearningRateSchedule]
    scheduler: type[lr_scheduler.ScheduleLR] | None
    draw: Callable[[np.random.Generator], Config]
    examples: tuple[Config, ...]
    period: Callable[[Config], float]
    keras: str | None = None
    per_group: bool = True
    graph: bool = True

    @property
    def name(self) -> str:
        return self.cls.__name__

    def generator(self, seed: int) -> np.random.Generator:
        """Random numbers of this case alone, so that adding a case moves no other."""
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])

    def steps(self, config: Config, rng: np.random.Generator, n: int = 40) -> np.ndarray:
        """Random steps, each multiple of the period with its neighbours, the far and the negative."""
        period = self.period(config)
        edges = [int(period * i) + d for i in range(8) for d in (-1, 0, 1, 2)]
        far = [2**24 - 1, 2**24, 2**24 + 1, 2**24 + 3, 2**31 + 5, 10**12 + 1]
        random = rng.integers(0, max(int(5 * period), 8 * n) + 10, n + 10)
        return np.unique(np.concatenate([random, edges, far, [-1, -7]]))

    def build(self, config: Config) -> schedules.LearningRateSchedule:
        return self.cls(**config)

    def scheduler_on(
        self, optimizer: torch.optim.Optimizer, config: Config, **options: Any
    ) -> lr_scheduler.ScheduleLR:
        """The schedule as a scheduler: by its own torch class, or by the general one."""
        if self.scheduler is None:
            return lr_scheduler.ScheduleLR(optimizer, self.build(config), **options)
        return self.scheduler(optimizer, **config, **options)


def _log(rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _rate(rng) -> float:
    return float(rng.choice([0.1, 0.01, 1e-3, 1.0, _log(rng, 1e-6, 2.0)]))


def _length(rng) -> float:
    """A number of steps: favourites, 1, awkward reciprocals, anything, and fractions."""
    awkward = [41, 47, 55, 61, 82, 83, 94, 97, 107, 109, 1172]
    pick = rng.integers(5)
    if pick == 0:
        return int(rng.choice([1, 2, 3, 7, 10, 100, 1000, 10_000, 100_000]))
    if pick == 1:
        return int(rng.choice(awkward))
    if pick == 2:
        return float(rng.uniform(0.3, 300))
    return int(_log(rng, 1, 1e6))


def _or(rng, *favourites: float, low: float, high: float) -> float:
    return float(rng.choice([*favourites, rng.uniform(low, high)]))


def _exponential(rng) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "decay_rate": _or(rng, 0.96, 0.5, 0.1, 0.9, 1.0, low=0.01, high=1.3),
        "staircase": bool(rng.integers(2)),
    }


def _inverse(rng) -> Config:
    return _exponential(rng) | {"decay_rate": _or(rng, 0.5, 1.0, 1e-3, low=0.0, high=5.0)}


def _polynomial(rng) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "end_learning_rate": float(rng.choice([0.0, 1e-4, _rate(rng)])),
        "power": _or(rng, 0, 0.5, 1, 2, 3, 4, -0.5, -1, low=0.1, high=6.0),
        "cycle": bool(rng.integers(2)),
    }


def _piecewise(rng) -> Config:
    n = int(rng.integers(1, 7))
    span = int(_log(rng, 20, 1e6))
    edges = np.sort(rng.choice(span, n, replace=False))
    whole = bool(rng.integers(2))
    boundaries = [int(b) if whole else float(b) + float(rng.uniform()) for b in edges]
    return {"boundaries": boundaries, "values": [_rate(rng) for _ in range(n + 1)]}


def _cosine(rng) -> Config:
    config = {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "alpha": _or(rng, 0.0, 0.1, 0.01, 1.0, low=0.0, high=1.2),
    }
    if rng.integers(2):
        warm = int(rng.choice([0, 1, 5, int(_log(rng, 1, 1e5))]))
        start = float(rng.choice([0.0, config["initial_learning_rate"]]))
        config |= {
            "initial_learning_rate": start,
            "warmup_target": _rate(rng),
            "warmup_steps": warm,
        }
    return config


def _restarts(rng) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "first_decay_steps": _length(rng),
        "t_mul": _or(rng, 1.0, 1.1, 1.5, 2.0, 3.0, 0.9, low=0.6, high=3.0),
        "m_mul": _or(rng, 1.0, 0.9, 0.5, low=0.0, high=1.2),
        "alpha": _or(rng, 0.0, 0.1, low=0.0, high=0.6),
    }


def _time_based(rng) -> Config:
    config = {
        "initial_learning_rate": _rate(rng),
        "decay": _or(rng, 0.0, 1e-3, 1e-6, 0.1 / 60, low=0.0, high=0.5),
        "keras_version": str(rng.choice(["2.3.1", "2.15", "1.2.2", "2.21"])),
    }
    if rng.integers(3) == 0:
        config |= {"unit": "epoch"}
    return config


def _step(rng) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "drop": _or(rng, 0.5, 0.1, 0.2, low=0.05, high=1.1),
        "epochs_drop": float(rng.choice([10.0, 5.0, 1.0, 7.0, rng.uniform(0.5, 30)])),
        "offset": int(rng.integers(2)),
    }


# --- schedules made of schedules ----------------------------------------------------------------

KERAS_DRAWS = (
    (schedules.ExponentialDecay, _exponential),
    (schedules.InverseTimeDecay, _inverse),
    (schedules.PolynomialDecay, _polynomial),
    (schedules.PiecewiseConstantDecay, _piecewise),
    (schedules.CosineDecay, _cosine),
    (schedules.CosineDecayRestarts, _restarts),
)


def _base(rng) -> schedules.LearningRateSchedule:
    cls, draw = KERAS_DRAWS[int(rng.integers(len(KERAS_DRAWS)))]
    return cls(**draw(rng))


def _part(rng) -> schedules.LearningRateSchedule | float:
    return _rate(rng) if rng.integers(4) == 0 else _base(rng)


def _parts(rng) -> list[schedules.LearningRateSchedule | float]:
    """Parts of the update, or now and then of the epoch, which Python computes."""
    count = int(rng.integers(2, 5))
    if rng.integers(3):
        return [_part(rng) for _ in range(count)]
    return [schedules.PerEpoch(_base(rng)) for _ in range(count)]


def _factors(rng) -> list[schedules.LearningRateSchedule | float]:
    """Constants first: elsewhere numerics="graph" is not known."""
    return sorted(_parts(rng), key=lambda one: not isinstance(one, float))


def _join(rng) -> Config:
    parts = _parts(rng)
    boundaries = np.sort(rng.choice(int(_log(rng, 20, 1e5)), len(parts) - 1, replace=False))
    return {
        "schedules": parts,
        "boundaries": boundaries.tolist(),
        "restart": bool(rng.integers(2)),
        "inclusive": bool(rng.integers(2)),
    }


def _offset(rng) -> Config:
    return {
        "schedule": _base(rng),
        "offset": int(rng.choice([-1, 0, 1, 5, int(_log(rng, 1, 1e5))])),
        "minimum": [None, 0, 1][int(rng.integers(3))],
        "cast": bool(rng.integers(2)),
    }


def _clip(rng) -> Config:
    low, high = sorted((_rate(rng), _rate(rng)))
    bounds = ({"minimum": low}, {"maximum": high}, {"minimum": low, "maximum": high})
    return {"schedule": _base(rng)} | bounds[int(rng.integers(3))]


def _hold(rng) -> Config:
    start, stop = sorted((int(_log(rng, 1, 1e3)), int(_log(rng, 1, 1e5))))
    bounds = ({"start": start}, {"stop": stop}, {"start": start, "stop": stop})
    return {"schedule": _base(rng)} | bounds[int(rng.integers(3))]


def _repeat(rng) -> Config:
    return {"schedule": _base(rng), "period": _length(rng)}


def _per_epoch(rng) -> Config:
    return {"schedule": _base(rng), "arithmetic": str(rng.choice(["float64", "float32"]))}


def _per_update(rng) -> Config:
    epochs = schedules.PerEpoch(**_per_epoch(rng))
    return {
        "schedule": epochs,
        "steps_per_epoch": _length(rng),
        "staircase": bool(rng.integers(2)),
    }


# --- warm-ups -----------------------------------------------------------------------------------


def _warm_steps(rng) -> float:
    return int(rng.choice([1, 2, 5, 10, 41, 500, int(_log(rng, 1, 1e5))]))


def _warm_up(rng) -> Config:
    slope = rng.integers(4) == 0
    return {
        "schedule": _part(rng),
        "warmup_steps": _warm_steps(rng),
        "warmup_target": None if rng.integers(2) else _rate(rng),
        "initial_learning_rate": float(rng.choice([0.0, 1e-5, _rate(rng)])),
        "power": 1.0 if slope else _or(rng, 1.0, 1.0, 2.0, 0.5, low=0.1, high=3.0),
        "shift": bool(rng.integers(2)),
        "counter": str(rng.choice(["step", "step + 1", "max(step, 1)"])),
        "inclusive": bool(rng.integers(2)),
        "slope": bool(slope),
    }


def _linear_warm_up(rng) -> Config:
    return {
        "after_warmup_lr_sched": _part(rng),
        "warmup_steps": _warm_steps(rng),
        "warmup_learning_rate": float(rng.choice([0.0, 0.0067, _rate(rng)])),
    }


def _polynomial_warm_up(rng) -> Config:
    return {
        "after_warmup_lr_sched": _part(rng),
        "warmup_steps": _warm_steps(rng),
        "power": _or(rng, 1.0, 2.0, 0.5, low=0.1, high=3.0),
    }


def _transformer_warm_up(rng) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_schedule_fn": _part(rng),
        "warmup_steps": _warm_steps(rng),
        "power": _or(rng, 1.0, 2.0, 0.5, low=0.1, high=3.0),
    }


def _warm_up_cosine(rng) -> Config:
    warm, hold = (int(rng.choice([0, 1, 7, int(_log(rng, 1, 1e4))])) for _ in range(2))
    return {
        "learning_rate_base": _rate(rng),
        "total_steps": warm + hold + int(_log(rng, 1, 1e5)),
        "warmup_learning_rate": float(rng.choice([0.0, 1e-5, _rate(rng)])),
        "warmup_steps": warm,
        "hold_base_rate_steps": hold,
        "slope": bool(rng.integers(2)),
    }


COSINE = schedules.CosineDecay(0.1, 60)
EXPONENTIAL = schedules.ExponentialDecay(0.1, 20, 0.5)
HALVED = schedules.StepDecay(0.1, 0.5, 7)


CASES = (
    Case(
        schedules.ExponentialDecay,
        lr_scheduler.ExponentialDecayLR,
        _exponential,
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
        _inverse,
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
        _polynomial,
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
        _piecewise,
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
        _cosine,
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
        _restarts,
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
    Case(
        schedules.Constant,
        None,
        lambda rng: {"learning_rate": _rate(rng), "unit": str(rng.choice(["update", "epoch"]))},
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
        lambda rng: {"schedules": _parts(rng)},
        ({"schedules": [0.01, EXPONENTIAL]}, {"schedules": [HALVED, 0.3]}),
        lambda c: 20,
        per_group=False,
        graph=False,
    ),
    Case(
        schedules.Scale,
        None,
        lambda rng: {"schedule": _base(rng), "factor": _or(rng, 2.0, 0.1, low=0.0, high=9.0)},
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
        lambda rng: {"schedule": _base(rng)},
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
            {"schedule": HALVED, "warmup_steps": 5, "slope": True, "counter": "step + 1"},
            {"schedule": 0.1, "warmup_steps": 7},
        ),
        lambda c: c["warmup_steps"],
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
            {"learning_rate_base": 0.1, "total_steps": 50, "warmup_steps": 8, "slope": False},
        ),
        lambda c: c["warmup_steps"] + c["hold_base_rate_steps"] or c["total_steps"],
        per_group=False,
    ),
)


def has_twin(case: Case, config: Config) -> bool:
    """Whether Keras can evaluate it; without boundaries it fails with an IndexError."""
    return case.keras is not None and config.get("boundaries") != []


KERAS_CASES = tuple(case for case in CASES if case.keras)
GRAPH_CASES = tuple(case for case in CASES if case.graph)
EXAMPLES = tuple((case, config) for case in CASES for config in case.examples)


def example_id(example: tuple[Case, Config]) -> str:
    case, config = example
    return f"{case.name}{case.examples.index(config)}"
