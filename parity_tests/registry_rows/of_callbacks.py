"""Rows of the schedules that callbacks compute in Python."""

from __future__ import annotations

from lrparity import schedules
from registry_rows.case import Case, Config
from registry_rows.draws import length, log, one_of, rate
from registry_rows.of_keras import piecewise


def _whole(rng, low: int, high: int) -> int:
    return int(log(rng, low, high))


def _one_cycle_lr(rng) -> Config:
    return {
        "num_samples": _whole(rng, 100, 1e6),
        "batch_size": int(rng.choice([1, 16, 32])),
        "epochs": int(rng.integers(1, 50)),
        "max_lr": rate(rng),
        "end_percentage": one_of(rng, 0.1, 0.0, 0.2, low=0.0, high=0.7),
        "scale_percentage": [None, float(rng.uniform(0.01, 1))][rng.integers(2)],
    }


def _one_cycle_scheduler(rng) -> Config:
    iterations = _whole(rng, 1, 1e6)
    return {
        "iterations": iterations,
        "max_rate": rate(rng),
        "start_rate": [None, rate(rng)][rng.integers(2)],
        "last_iterations": [None, int(rng.integers(1, iterations + 1))][rng.integers(2)],
        "last_rate": [None, rate(rng)][rng.integers(2)],
        "hold": bool(rng.integers(2)),
    }


def _cosine_one_cycle(rng) -> Config:
    return {
        "lr_max": rate(rng),
        "steps": length(rng),
        "phase_1_pct": one_of(rng, 0.3, 0.0, 0.5, low=0.0, high=0.99),
        "div_factor": one_of(rng, 25.0, 10.0, low=1.0, high=50.0),
        "final_div_factor": one_of(rng, 1e4, 1.0, low=1.0, high=1e5),
    }


def _one_cycle(rng) -> Config:
    return {
        "lr_range": sorted([rate(rng), rate(rng)]),
        "n_iter": length(rng),
        "phase_one_fraction": one_of(rng, 0.3, 0.0, 0.5, low=0.0, high=0.99),
    }


def _triangular_one_cycle(rng) -> Config:
    return {
        "max_lr": rate(rng),
        "step_size": max(length(rng), 1),
        "base_lr": [None, rate(rng)][rng.integers(2)],
        "final_lr": [None, rate(rng)][rng.integers(2)],
    }


def _one_cycle_momentum(rng) -> Config:
    made = {
        schedules.OneCycleLR: _one_cycle_lr,
        schedules.CosineOneCycle: _cosine_one_cycle,
        schedules.OneCycle: _one_cycle,
        schedules.TriangularOneCycle: _triangular_one_cycle,
    }
    cls = list(made)[rng.integers(len(made))]
    low, high = sorted(rng.uniform(0, 1, 2).tolist())
    return {
        "schedule": cls(**made[cls](rng)),
        "minimum_momentum": one_of(rng, 0.85, 0.0, low=0.0, high=low),
        "maximum_momentum": one_of(rng, 0.95, 0.9, low=max(high, 0.85), high=1.0),
    }


def _cycle_of(schedule: schedules.LearningRateSchedule) -> float:
    if isinstance(schedule, schedules.OneCycleLR):
        return schedule.epochs * schedule.num_samples // schedule.batch_size
    if isinstance(schedule, schedules.CosineOneCycle):
        return schedule.steps
    return schedule.n_iter if isinstance(schedule, schedules.OneCycle) else schedule.step_size


def _snapshot_cosine(rng) -> Config:
    epochs = _whole(rng, 1, 2000)
    cycles = int(rng.integers(1, epochs + 1))
    return {"n_epochs": epochs, "n_cycles": cycles, "lr_max": rate(rng)}


def _cosine_annealing(rng) -> Config:
    return {
        "t_max": length(rng),
        "eta_max": rate(rng),
        "eta_min": float(rng.choice([0.0, rate(rng)])),
        "unit": str(rng.choice(["epoch", "update"])),
    }


def _sgdr_scheduler(rng) -> Config:
    return {
        "min_lr": float(rng.choice([0.0, rate(rng)])),
        "max_lr": rate(rng),
        "steps_per_epoch": float(rng.choice([1, 10, rng.integers(1, 3000), rng.uniform(1, 300)])),
        "lr_decay": one_of(rng, 1.0, 0.9, 0.8, low=0.5, high=0.95),
        "cycle_length": int(rng.integers(1, 12)),
        "mult_factor": one_of(rng, 1, 2, 1.5, 1.05, low=0.3, high=2.5),
    }


def _inclusive_restarts(rng) -> Config:
    return {
        "lr_high": rate(rng),
        "lr_low": float(rng.choice([0.0, 1e-8, rate(rng)])),
        "initial_period": _whole(rng, 1, 1000),
        "period_mult": one_of(rng, 1, 2, 1.5, 1.25, low=1.0, high=3.0),
        "high_lr_mult": one_of(rng, 1.0, 0.97, low=0.5, high=0.99),
        "unit": str(rng.choice(["epoch", "update"])),
    }


def _cosine_rests(rng) -> Config:
    base, m_mul = rate(rng), one_of(rng, 0.5, 1.0, low=0.1, high=1.0)
    return {
        "lr_base": base,
        "first_restart_step": int(rng.integers(1, 60)),
        "m_mul": m_mul,
        "t_mul": one_of(rng, 1.0, 1.5, 2.0, low=1.0, high=3.0),
        "lr_min": float(rng.choice([1e-6, base * m_mul, base / 100])),
        "lr_warmup": float(rng.choice([-1, rate(rng)])),
        "warmup_steps": int(rng.choice([0, 1, 5])),
        "cooldown_steps": int(rng.choice([0, 1, 3])),
    }


def _ramp(rng) -> Config:
    return {
        "start_lr": rate(rng),
        "max_lr": rate(rng),
        "min_lr": rate(rng),
        "rampup_epochs": int(rng.choice([0, 1, 5, rng.integers(0, 30)])),
        "sustain_epochs": int(rng.choice([0, 1, rng.integers(0, 30)])),
        "exp_decay": one_of(rng, 0.8, 0.9, low=0.1, high=1.0),
    }


def _piecewise_linear(rng) -> Config:
    config = piecewise(rng)
    return {
        "boundaries": [0, *(b + 1 for b in config["boundaries"])],
        "values": config["values"],
        "unit": str(rng.choice(["epoch", "update"])),
        "arithmetic": str(rng.choice(["float64", "float32"])),
    }


def _multi_step(rng) -> Config:
    config = piecewise(rng)
    n = len(config["boundaries"])
    factors = rng.uniform(0.001, 1.0, n + int(rng.integers(2))).tolist()
    return {
        "initial_learning_rate": rate(rng),
        "milestones": config["boundaries"],
        "factor": [one_of(rng, 0.1, 0.5, 0.2, low=0.05, high=1.1), factors][rng.integers(2)],
        "comparison": str(rng.choice([">", ">=", "<", "<="])),
        "offset": int(rng.choice([0, 1, -3, 40])),
        "unit": str(rng.choice(["epoch", "update"])),
    }


ROWS = (
    Case(
        schedules.OneCycleLR,
        None,
        _one_cycle_lr,
        (
            {"num_samples": 500, "batch_size": 10, "epochs": 2, "max_lr": 0.1},
            {
                "num_samples": 505,
                "batch_size": 10,
                "epochs": 1,
                "max_lr": 0.1,
                "end_percentage": 0.2,
                "scale_percentage": 0.3,
            },
        ),
        lambda c: c["epochs"] * c["num_samples"] // c["batch_size"],
        None,
        per_group=False,
    ),
    Case(
        schedules.OneCycleScheduler,
        None,
        _one_cycle_scheduler,
        (
            {"iterations": 60, "max_rate": 0.1},
            {"iterations": 40, "max_rate": 0.1, "start_rate": 0.02, "hold": True},
            {
                "iterations": 50,
                "max_rate": 0.1,
                "start_rate": 0.05,
                "last_iterations": 20,
                "last_rate": 0.001,
            },
        ),
        lambda c: c["iterations"],
        None,
        per_group=False,
    ),
    Case(
        schedules.CosineOneCycle,
        None,
        _cosine_one_cycle,
        (
            {"lr_max": 0.1, "steps": 60},
            {"lr_max": 0.1, "steps": 50, "phase_1_pct": 0.25, "div_factor": 10.0},
        ),
        lambda c: c["steps"],
        None,
        per_group=False,
    ),
    Case(
        schedules.OneCycle,
        None,
        _one_cycle,
        (
            {"lr_range": [0.01, 0.1], "n_iter": 60},
            {"lr_range": [0.01, 0.1], "n_iter": 50, "phase_one_fraction": 0.5},
        ),
        lambda c: c["n_iter"],
        None,
        per_group=False,
    ),
    Case(
        schedules.TriangularOneCycle,
        None,
        _triangular_one_cycle,
        (
            {"max_lr": 0.1, "step_size": 30},
            {"max_lr": 0.1, "step_size": 12.5, "base_lr": 0.05, "final_lr": 0.01},
        ),
        lambda c: c["step_size"],
        None,
        per_group=False,
    ),
    Case(
        schedules.OneCycleMomentum,
        None,
        _one_cycle_momentum,
        (
            {"schedule": schedules.OneCycleLR(500, 10, 1, 0.1)},
            {"schedule": schedules.CosineOneCycle(0.1, 60), "minimum_momentum": 0.8},
            {"schedule": schedules.OneCycle((0.01, 0.1), 60), "maximum_momentum": 0.99},
            {"schedule": schedules.TriangularOneCycle(0.1, 30)},
        ),
        lambda c: _cycle_of(c["schedule"]),
        None,
        per_group=False,
    ),
    Case(
        schedules.SnapshotCosine,
        None,
        _snapshot_cosine,
        (
            {"n_epochs": 60, "n_cycles": 4, "lr_max": 0.1},
            {"n_epochs": 50, "n_cycles": 3, "lr_max": 0.2},
        ),
        lambda c: c["n_epochs"] // c["n_cycles"],
        None,
        per_group=False,
    ),
    Case(
        schedules.CosineAnnealing,
        None,
        _cosine_annealing,
        (
            {"t_max": 50, "eta_max": 0.1, "eta_min": 0.001},
            {"t_max": 20, "eta_max": 0.1, "unit": "update"},
        ),
        lambda c: c["t_max"],
        None,
        per_group=False,
    ),
    Case(
        schedules.SGDRScheduler,
        None,
        _sgdr_scheduler,
        (
            {"min_lr": 0.001, "max_lr": 0.1, "steps_per_epoch": 5, "cycle_length": 2},
            {
                "min_lr": 0.001,
                "max_lr": 0.1,
                "steps_per_epoch": 4.5,
                "lr_decay": 0.9,
                "cycle_length": 1,
                "mult_factor": 1.5,
            },
        ),
        lambda c: c["steps_per_epoch"] * c["cycle_length"],
        None,
        per_group=False,
    ),
    Case(
        schedules.InclusiveCosineRestarts,
        None,
        _inclusive_restarts,
        (
            {"lr_high": 0.1, "lr_low": 0.001, "initial_period": 10},
            {
                "lr_high": 0.1,
                "lr_low": 0.001,
                "initial_period": 9,
                "period_mult": 1.5,
                "high_lr_mult": 0.97,
                "unit": "update",
            },
        ),
        lambda c: c["initial_period"] + 1,
        None,
        per_group=False,
    ),
    Case(
        schedules.CosineLrSchedulerEpoch,
        None,
        _cosine_rests,
        (
            {"lr_base": 0.1, "first_restart_step": 8, "lr_min": 1e-3, "warmup_steps": 3},
            {"lr_base": 0.1, "first_restart_step": 8, "m_mul": 0.5, "lr_min": 0.05},
            {"lr_base": 0.1, "first_restart_step": 6, "lr_min": 1e-3, "cooldown_steps": 2},
        ),
        lambda c: c["first_restart_step"],
        None,
        per_group=False,
    ),
    Case(
        schedules.RampSustainDecay,
        None,
        _ramp,
        (
            {
                "start_lr": 1e-5,
                "max_lr": 5e-5,
                "min_lr": 1e-5,
                "rampup_epochs": 5,
                "sustain_epochs": 2,
                "exp_decay": 0.8,
            },
            {
                "start_lr": 1e-5,
                "max_lr": 5e-5,
                "min_lr": 1e-5,
                "rampup_epochs": 0,
                "sustain_epochs": 0,
                "exp_decay": 0.9,
            },
        ),
        lambda c: max(c["rampup_epochs"], 1),
        None,
        per_group=False,
    ),
    Case(
        schedules.PiecewiseLinear,
        None,
        _piecewise_linear,
        (
            {"boundaries": [0, 20, 50], "values": [0.0, 0.1, 0.01]},
            {"boundaries": [10, 40.5], "values": [0.1, 0.01], "unit": "epoch"},
            {"boundaries": [10], "values": [0.1]},
            {"boundaries": [0, 9, 30], "values": [0.0, 0.1, 0.01], "arithmetic": "float32"},
        ),
        lambda c: c["boundaries"][-1],
        None,
        per_group=False,
    ),
    Case(
        schedules.MultiStepDecay,
        None,
        _multi_step,
        (
            {"initial_learning_rate": 0.1, "milestones": [20, 40], "factor": 0.1},
            {
                "initial_learning_rate": 1.0,
                "milestones": [3, 7],
                "factor": [1e-3, 1e-4, 1e-5],
                "comparison": "<",
            },
            {
                "initial_learning_rate": 0.1,
                "milestones": [20, 40],
                "factor": [0.5, 0.1],
                "comparison": ">=",
                "offset": 1,
                "unit": "update",
            },
        ),
        lambda c: c["milestones"][0],
        None,
        per_group=False,
    ),
)
