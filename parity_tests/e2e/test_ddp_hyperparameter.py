"""``ScheduleHyperparameter`` in two processes: each rank counts for itself, and they agree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from bits import assert_same_bits
from ddp_side import BATCHES, Rank, leave, run, told
from lightning_side import TinyTraining
from lrparity.schedules import CosineDecay, StepDecay

DECAY = CosineDecay(1e-2, 25, alpha=0.1)
PER_EPOCH = StepDecay(0.5, 0.5, 1)
RATE = CosineDecay(0.1, 40)
EPOCHS = 3
OVERFLOWS = (1, 2)  # on rank 1 only
SAVED_AT = 7


class NotedTraining(TinyTraining):
    """What the weight decay was at each real update."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.noted: list[float] = []

    def note_if_moved(self, i: int, optimizer: Any) -> None:
        held, before = optimizer.param_groups[0]["weight_decay"], len(self.updates)
        super().note_if_moved(i, optimizer)
        if len(self.updates) > before:
            self.noted.append(held)


class Training(Rank):
    """Everything that one rank does."""

    TRAINING = NotedTraining

    def everything(self) -> None:
        def callbacks(schedule: Any = DECAY) -> list[Any]:
            driven = self.ours.ScheduleHyperparameter("weight_decay", schedule)
            return [driven, self.ours.ScheduleLR(RATE)]

        saver = self.pl.callbacks.ModelCheckpoint(
            self.folder / "whole", "{step}", every_n_train_steps=SAVED_AT, save_top_k=-1
        )
        self.fit("whole", [*callbacks(), saver])
        path = self.folder / f"whole/step={SAVED_AT}.ckpt"
        self.fit("resumed", callbacks(), ckpt_path=path)
        self.fit("AMP", callbacks(), {"overflows": OVERFLOWS}, amp=True)
        self.fit("epoch", callbacks(PER_EPOCH), accumulate_grad_batches=2)


def check(folder: Path, name: str, values: list[float]) -> None:
    """Both ranks made the updates, with these values."""
    one, other = told(folder, name)
    assert one["error"] == other["error"] == ""
    assert one["updates"] == other["updates"], name
    assert one["noted"] == other["noted"], name
    assert_same_bits(one["noted"], values, context=name)


def test_two_processes(tmp_path):
    run(__file__, tmp_path, "lightning.pytorch", "everything")
    updates = BATCHES * EPOCHS
    check(tmp_path, "whole", [DECAY(k) for k in range(updates)])
    check(tmp_path, "resumed", [DECAY(k) for k in range(SAVED_AT, updates)])
    check(tmp_path, "AMP", [DECAY(k) for k in range(updates - EPOCHS * len(OVERFLOWS))])
    check(tmp_path, "epoch", [PER_EPOCH(k // 3) for k in range(3 * EPOCHS)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    getattr(Training(Path(sys.argv[1]), sys.argv[2]), sys.argv[3])()
    leave()
