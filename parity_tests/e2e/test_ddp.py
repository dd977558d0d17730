"""Two processes under Lightning, over gloo: each rank counts for itself, and they agree."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch
import torch

from bits import assert_same_bits
from ddp_side import BATCHES, Rank, leave, run, told
from lightning_side import Tiny, make_trainer
from lrparity import lr_scheduler
from lrparity.schedules import CosineDecay, StepDecay
from lrparity.trajectory import Trajectory

PER_UPDATE = CosineDecay(0.1, 40)
PER_EPOCH = StepDecay(0.5, 0.5, 1)
EPOCHS = 3
OVERFLOWS = (1, 2)  # on rank 1 only
SAVED_AT = 7


# --- in the processes -------------------------------------------------------------------------------


class Training(Rank):
    """Everything that one rank does."""

    def watched(self, name: str) -> list[Any]:
        """The callbacks of a training that is looked at in every way."""
        return [
            self.pl.callbacks.LearningRateMonitor("step"),
            self.ours.ScheduleLR(PER_UPDATE, log="by itself"),
            self.ours.LearningRateRecorder(self.folder / f"{name}.json"),
            self.pl.callbacks.ModelCheckpoint(
                self.folder / name,
                "{step}",
                every_n_train_steps=SAVED_AT,
                save_top_k=-1,
            ),
        ]

    def fit_and_resume(self) -> None:
        for name, path in (("whole", None), ("resumed", f"whole/step={SAVED_AT}.ckpt")):
            logger = self.pl.loggers.CSVLogger(self.folder, f"{name} log", "")
            self.fit(
                name,
                self.watched(name if path is None else "whole"),
                ckpt_path=path and self.folder / path,
                logger=logger,
                log_every_n_steps=1,
            )

    def everything(self) -> None:
        schedule_lr = self.ours.ScheduleLR
        self.fit_and_resume()
        self.fit(
            "AMP",
            [schedule_lr(PER_UPDATE)],
            {"overflows": OVERFLOWS},
            amp=True,
        )
        self.fit(
            "manual",
            [schedule_lr({0: PER_UPDATE, 1: PER_EPOCH})],
            {"optimizers": 2, "manual": True},
        )
        self.fit("epoch", [schedule_lr(PER_EPOCH)], accumulate_grad_batches=2)
        self.fit("scheduler", [], {"scheduler": make_scheduler})
        self.fit("edited", [schedule_lr(PER_UPDATE), edit(self.pl)])
        self.fit("unknown", [schedule_lr(PER_UPDATE, optimizer="Adam")])


def make_scheduler(optimizer: Any) -> Any:
    return lr_scheduler.ScheduleLR(optimizer, PER_UPDATE)


def edit(house: Any) -> Any:
    """Sets the rate by hand before update 3."""

    class Edit(house.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 3:
                trainer.optimizers[0].param_groups[0]["lr"] = 0.5

    return Edit()


def main(folder: Path, house: str, what: str) -> None:
    torch.set_num_threads(1)
    if what == "spawn":
        training = Training(folder, house, "ddp_spawn")
        callback = training.ours.ScheduleLR(PER_UPDATE)
        trainer = make_trainer([callback, Note(folder)], devices=2, strategy="ddp_spawn")
        trainer.fit(Tiny(2 * BATCHES))
        assert callback.updates == {}, "what the processes counted stays with them"
        return
    getattr(Training(folder, house), what)()
    leave()


class Note(lightning.pytorch.Callback):
    """Writes down a rank's updates where it happens: a spawned process keeps its module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        told = {"updates": [list(one) for one in pl_module.updates], "done": pl_module.done}
        (self.folder / f"spawned-{trainer.global_rank}.json").write_text(json.dumps(told))


# --- in the process of the test ---------------------------------------------------------------------


def check(
    folder: Path,
    name: str,
    done: list[int],
    rate: Callable[..., float] = lambda _, number, *__: PER_UPDATE(number),
    first: int = 0,
) -> None:
    """Both ranks made all the updates, at the schedule's rates."""
    one, other = told(folder, name)
    assert one["updates"] == other["updates"], name
    for i, count in enumerate(done):
        updates = [update for update in one["updates"] if update[0] == i]
        assert [update[1] for update in updates] == list(range(first, count)), (name, i)
        rates = [update[4][0] for update in updates]
        assert_same_bits(rates, [rate(*update) for update in updates], context=(name, i))


def check_resume(folder: Path) -> None:
    """One training of two processes, and one that goes on from its checkpoint."""
    updates = BATCHES * EPOCHS
    check(folder, "whole", [updates])
    check(folder, "resumed", [updates], first=SAVED_AT)
    expected = [PER_UPDATE(k) for k in range(updates)]
    for name, first in (("whole", 0), ("resumed", SAVED_AT)):
        with (folder / f"{name} log" / "metrics.csv").open() as lines:
            rows = list(csv.DictReader(lines))
        for column in ("lr-SGD", "by itself"):
            logged = [float(row[column]) for row in rows if row[column]]
            assert_same_bits(logged, expected[first:], context=(name, column))
    # The training that went on recorded to the same file, and rank 0 alone wrote it.
    recorded = Trajectory.load(folder / "whole.json")
    assert_same_bits(recorded.learning_rate, expected)
    assert {path.name for path in folder.glob("whole.json*")} == {"whole.json"}
    ours = [one["warnings"] for one in told(folder, "whole") + told(folder, "resumed")]
    assert not [text for texts in ours for text in texts if "rate" in text.lower()]


def test_two_processes(tmp_path):
    run(__file__, tmp_path, "lightning.pytorch", "everything")
    check_resume(tmp_path)
    updates = BATCHES * EPOCHS
    # The gradients are reduced, so both ranks skip what overflowed on one.
    check(tmp_path, "AMP", [updates - EPOCHS * len(OVERFLOWS)])
    check(
        tmp_path,
        "manual",
        [updates, EPOCHS * 3],
        lambda optimizer, number, _, epoch, *__: (
            PER_EPOCH(epoch) if optimizer else PER_UPDATE(number)
        ),
    )
    check(tmp_path, "epoch", [EPOCHS * 3], lambda _, __, ___, epoch, *____: PER_EPOCH(epoch))
    check(tmp_path, "scheduler", [updates])
    edited = [
        [text for text in one["warnings"] if "set the learning rate" in text]
        for one in told(tmp_path, "edited")
    ]
    assert [len(texts) for texts in edited] == [1, 0]  # rank 0 speaks for all
    for one in told(tmp_path, "unknown"):  # and nobody trains on alone
        assert "names the optimizer 'Adam'" in one["error"]
        assert not one["updates"]


def test_the_other_lightning(tmp_path):
    run(__file__, tmp_path, "pytorch_lightning", "fit_and_resume")
    check_resume(tmp_path)


def test_spawned_processes(tmp_path):
    run(__file__, tmp_path, "lightning.pytorch", "spawn")
    check(tmp_path, "spawned", [BATCHES * EPOCHS])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
