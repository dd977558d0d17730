"""SIGKILL at random moments: no snapshot is lost, torn, or of other weights than without the kills."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from kill_side import KILLS_OF_A_RUN, checked_rates, killed_runs, main, train
from lightning_side import Tiny
from lrparity.callbacks import SnapshotEnsemble
from lrparity.schedules import SnapshotCosine

BATCHES, EPOCHS, CYCLES = 7, 8, 4
COSINE = SnapshotCosine(EPOCHS, CYCLES, 0.1)


class IgnoresLoad(SnapshotEnsemble):
    """Resumes the rates and knows of no snapshot before."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"taken": [], "kept": []})


@dataclass(frozen=True)
class Case:
    """A training that is killed."""

    module: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    kind: Callable[..., SnapshotEnsemble] = SnapshotEnsemble

    def begin(self, folder: Path, every: int, kill: tuple[str, Any, Any]) -> None:
        """In a forked process."""
        ensemble = self.kind(EPOCHS, CYCLES, 0.1, dirpath=folder / "snapshots", **self.options)
        module = Tiny(BATCHES, log=folder / "log", **self.module)
        train(folder, every, kill, [ensemble], module, max_epochs=EPOCHS, **self.trainer)


CASES = {
    "plain": Case(),
    "last_k": Case(options={"last_k": 2}),
    "accumulated": Case(trainer={"accumulate_grad_batches": 2}),
    "manual": Case({"optimizers": 2, "manual": True}),
}
MUTANTS = {"mutant": Case(kind=IgnoresLoad)}


def check_run(run: dict[str, Any], context: object) -> None:
    """The files of every cycle are there and whole, and the last one knows them all."""
    case = (CASES | MUTANTS)[run["case"]]
    checked_rates(run, lambda optimizer, number, epoch: COSINE(epoch), context)
    folder = Path(run["folder"]) / "snapshots"
    last_k = case.options.get("last_k", CYCLES)
    kept = range(CYCLES - last_k + 1, CYCLES + 1)
    assert {path.name for path in folder.iterdir()} == {f"snapshot_{k}.ckpt" for k in kept}, context
    per_epoch = 4 if case.trainer else BATCHES
    for cycle in kept:
        content = torch.load(folder / f"snapshot_{cycle}.ckpt", weights_only=True)
        (state,) = (s for key, s in content["callbacks"].items() if "SnapshotEnsemble" in key)
        assert [one["cycle"] for one in state["taken"]] == list(range(1, cycle + 1)), context
        assert [one["epoch"] for one in state["taken"]] == list(range(1, 2 * cycle, 2)), context
        assert content["account"][0] == 2 * cycle * per_epoch, context
        assert state["taken"][-1]["updates"][0] == 2 * cycle * per_epoch, context


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.long)])
def test_killed_at_random(kills, seed, tmp_path):
    for run in killed_runs(__file__, tmp_path, seed, kills, CASES):
        check_run(run, f"seed {seed}: {run}")


@pytest.mark.long
def test_a_mutant_is_noticed(seed, tmp_path):
    noticed = 0
    for run in killed_runs(__file__, tmp_path, seed, 3 * KILLS_OF_A_RUN, MUTANTS):
        try:
            check_run(run, seed)
        except AssertionError:
            noticed += 1
    assert noticed, seed


if __name__ == "__main__":
    begins = {name: case.begin for name, case in (CASES | MUTANTS).items()}
    main(begins, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
