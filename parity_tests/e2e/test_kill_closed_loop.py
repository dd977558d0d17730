"""SIGKILL at random moments: the closed loops go on with the rates of a run that was not killed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from closed_loop_side import Measuring
from kill_side import KILLS_OF_A_RUN, checked_rates, killed_runs, main, train
from lightning_side import make_trainer
from lrparity.callbacks import (
    BatchLearningRateScheduler,
    LearningRateScheduler,
    LossDrivenLR,
    ReduceLROnPlateau,
    ScheduleLR,
)
from lrparity.schedules import CosineDecay

BATCHES, EPOCHS = 5, 8
TWICE = {"accumulate_grad_batches": 2}


@dataclass(frozen=True)
class Case:
    """A training that is killed; as in ``test_resume_closed_loop``."""

    callbacks: Callable[[], list[Any]]
    module: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)

    def begin(self, folder: Path, every: int, kill: tuple[str, Any, Any]) -> None:
        """In a forked process."""
        module = Measuring(BATCHES, log=folder / "log", **self.module)
        train(folder, every, kill, self.callbacks(), module, max_epochs=EPOCHS, **self.trainer)

    def rates(self) -> dict[tuple[int, int], tuple[int, float]]:
        """Epoch and rate of each update of each optimizer, in a training that goes through."""
        module = Measuring(BATCHES, **self.module)
        make_trainer(self.callbacks(), max_epochs=EPOCHS, **self.trainer).fit(module)
        return {(one.optimizer, one.number): (one.epoch, one.rates[0]) for one in module.updates}


def by_the_epoch(epoch: int, lr: float) -> float:
    return lr * (0.9 + 0.01 * epoch)


def by_the_count(k: int, lr: float) -> float:
    return lr * (0.95 + 0.001 * (k % 7))


def loss_by_updates(module: Any, batch: Any) -> torch.Tensor:
    return batch[0].mean() * (0.1 + 0.01 * module.done[0])


def plateau(monitor: str = "val_loss", **arguments: Any) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(monitor, 0.7, 0, mode="min", min_delta=0.0, **arguments)


DATA = torch.utils.data.TensorDataset(torch.ones(3))
CASES = {
    "plateau": Case(lambda: [plateau()], trainer=TWICE),
    "each validation": Case(
        lambda: [plateau(when="validation")], trainer={"val_check_interval": 2}
    ),
    "metric": Case(
        lambda: [LossDrivenLR(0.1, monitor="val_loss", scale=0.1)],
        trainer={"check_val_every_n_epoch": None, "val_check_interval": 3},
    ),
    "late, epoch": Case(
        lambda: [plateau("train_end"), LearningRateScheduler(by_the_epoch)],
        {"logged": ("train_end", "val_loss")},
    ),
    "schedule, plateau": Case(lambda: [ScheduleLR(CosineDecay(0.1, 60)), plateau()]),
    "batch": Case(
        lambda: [BatchLearningRateScheduler(by_the_count, "end")],
        {"overflows": (3,)},
        TWICE | {"amp": True},
    ),
    "manual": Case(
        lambda: [BatchLearningRateScheduler(by_the_count, index="batch")],
        {"optimizers": 2, "manual": True},
    ),
    "running": Case(lambda: [LossDrivenLR(0.1, scale=0.3)]),
    "loss of an epoch": Case(lambda: [LossDrivenLR(0.1, source="epoch", scale=0.3)]),
    "data set": Case(
        lambda: [LossDrivenLR(0.1, dataset=DATA, loss_fn=loss_by_updates, every_n_updates=2)]
    ),
}


class ForgetsMeans(LossDrivenLR):
    """Begins the mean of an epoch anew."""

    def _own_state(self) -> dict[str, Any]:
        return super()._own_state() | {"means": [[0.0, 0.0]]}


MUTANTS = {"mutant": Case(lambda: [ForgetsMeans(0.1, scale=0.3)])}


def check_run(run: dict[str, Any], context: object) -> None:
    """Every update of every process of a run has the rate, and the epoch, of the one that went through."""
    expected = (CASES | MUTANTS)[run["case"]].rates()

    def rate(optimizer: int, number: int, epoch: int) -> float:
        in_epoch, result = expected[optimizer, number]
        assert in_epoch == epoch, (context, optimizer, number)
        return result

    done = [len(rates) for rates in checked_rates(run, rate, context)]
    assert sum(done) == len(expected), context


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.long)])
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
