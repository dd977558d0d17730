"""SIGKILL at random moments: the runs that follow go on with the rates of a run that was not killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bits import assert_same_bits
from kill_side import KILLS_OF_A_RUN, checked_rates, killed_runs, main, train
from lightning_side import ForgetsOne, Tiny
from lrparity import lr_scheduler
from lrparity.callbacks import LearningRateRecorder, ScheduleLR
from lrparity.schedules import CosineDecay, StepDecay
from lrparity.trajectory import Trajectory

PER_UPDATE = CosineDecay(0.1, 90)
PER_EPOCH = StepDecay(0.5, 0.5, 2)
BATCHES, EPOCHS = 7, 8


@dataclass(frozen=True)
class Case:
    """A training that is killed; as in ``test_resume``."""

    rate: Callable[[int, int, int], float]  # of the optimizer, the update's number, the epoch
    module: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[Any]] = list
    trainer: dict[str, Any] = field(default_factory=dict)

    def begin(self, folder: Path, every: int, kill: tuple[str, Any, Any]) -> None:
        """In a forked process."""
        callbacks = [LearningRateRecorder(folder / "trajectory.json"), *self.callbacks()]
        module = Tiny(BATCHES, log=folder / "log", **self.module)
        train(folder, every, kill, callbacks, module, max_epochs=EPOCHS, **self.trainer)


def by_number(optimizer: int, number: int, epoch: int) -> float:
    return PER_UPDATE(number)


def by_epoch(optimizer: int, number: int, epoch: int) -> float:
    return PER_EPOCH(epoch)


def by_either(optimizer: int, number: int, epoch: int) -> float:
    return PER_EPOCH(epoch) if optimizer else PER_UPDATE(number)


CASES = {
    "update": Case(by_number, callbacks=lambda: [ScheduleLR(PER_UPDATE)]),
    "AMP, accumulated": Case(
        by_number,
        {"overflows": (3,)},
        lambda: [ScheduleLR(PER_UPDATE)],
        {"amp": True, "accumulate_grad_batches": 2},
    ),
    "manual": Case(
        by_either,
        {"optimizers": 2, "manual": True},
        lambda: [ScheduleLR({0: PER_UPDATE, 1: PER_EPOCH})],
    ),
    "epoch": Case(
        by_epoch, callbacks=lambda: [ScheduleLR(PER_EPOCH)], trainer={"val_check_interval": 3}
    ),
    "scheduler": Case(
        by_number,
        {"scheduler": lambda optimizer: lr_scheduler.ScheduleLR(optimizer, PER_UPDATE)},
    ),
}


MUTANTS = {"mutant": Case(by_number, callbacks=lambda: [ForgetsOne(PER_UPDATE)])}


def check_run(run: dict[str, Any], context: object) -> None:
    """Every update of every process of a run has the schedule's rate, and so has the recording."""
    rates = checked_rates(run, (CASES | MUTANTS)[run["case"]].rate, context)
    trajectory = Trajectory.load(Path(run["folder"]) / "trajectory.json")
    names = ["learning_rate"] if len(rates) == 1 else ["learning_rate/SGD", "learning_rate/SGD-1"]
    for expected, name in zip(rates, names, strict=True):
        assert_same_bits(trajectory.rates[name], expected, context=(context, name))


@pytest.mark.parametrize("kills", [10, pytest.param(150, marks=pytest.mark.long)])
def test_killed_at_random(kills, seed, tmp_path):
    for run in killed_runs(__file__, tmp_path, seed, kills, CASES):
        check_run(run, f"seed {seed}: {run}")


@pytest.mark.long
def test_a_mutant_is_noticed(seed, tmp_path):
    noticed = 0
    for run in killed_runs(__file__, tmp_path, seed, 3 * KILLS_OF_A_RUN, MUTANTS):
        try:
            check_run(run, seed)
        except AssertionError as error:
            assert "rates differ in bits" in str(error)  # noqa: PT017 (not every run resumed)
            noticed += 1
    assert noticed, seed


if __name__ == "__main__":
    begins = {name: case.begin for name, case in (CASES | MUTANTS).items()}
    main(begins, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
