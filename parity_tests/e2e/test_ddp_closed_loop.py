"""Two processes under Lightning, over gloo: the closed loops decide alike on both, and none waits."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from bits import assert_same_bits
from closed_loop_side import MeasuringTraining, noise
from ddp_side import Rank, leave, run, show_where_it_hangs, this_rank, told
from lrparity.controllers import ReduceLROnPlateau as Rule

EPOCHS, BATCHES = 3, 3  # of each rank
SIZES = (1, 3)  # the samples of a batch, by rank
TIMEOUT = 120.0


# --- in the processes -------------------------------------------------------------------------------


class Ranked(MeasuringTraining):
    """Its losses differ from rank to rank, and its metric as it is told.

    Args:
        metric: how ``"metric"`` is logged: ``"differs"``, ``"same"`` on both ranks, ``"owned"`` by
            rank 0 alone, ``"nan"`` on rank 1, ``"late"`` in on_train_epoch_end; ``""``: not at all.
        empty: rank 1 has nothing to validate.
    """

    def __init__(self, *args: Any, metric: str = "", empty: bool = False, **arguments: Any) -> None:
        super().__init__(*args, logged=(), **arguments)
        self.metric, self.empty = metric, empty
        self.allow_zero_length_dataloader_with_multiple_devices = empty
        self.noted: list[list[float]] = []  # the epoch and the value of this rank

    def log_metric(self, *key: int) -> None:
        epoch, batches = self.place()
        value = epoch + 0.4 * noise(epoch, batches, *key)
        if self.metric in ("differs", "late"):
            value += 0.3 * this_rank()
        if self.metric == "nan" and this_rank():
            value = math.nan
        if self.metric != "owned" or not this_rank():
            self.log("metric", value, batch_size=1)

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        if self.metric and self.metric != "late":
            self.log_metric(batch_idx)

    def on_validation_end(self) -> None:
        self.note()

    def on_train_epoch_end(self) -> None:
        if self.metric == "late":
            self.log_metric()
            self.note()

    def note(self) -> None:
        if "metric" in self.trainer.callback_metrics:
            epoch = float(self.trainer.current_epoch)
            self.noted.append([epoch, float(self.trainer.callback_metrics["metric"])])

    def offset(self, batch_idx: int) -> float:
        return loss_of(this_rank(), self.place()[0], batch_idx)

    def val_dataloader(self) -> Any:
        if self.empty:  # Lightning leaves the loaders as they are
            return DataLoader([torch.ones(())] * (0 if this_rank() else 2), batch_size=None)
        return DataLoader([torch.ones(())] * 4, batch_size=None)


def loss_of(rank: int, epoch: int, batch: int) -> float:
    return 0.5 + 0.25 * rank + 0.2 * noise(rank, epoch, batch)


def size_of(batch: Any) -> int:
    return SIZES[this_rank()]


def loss_by_rank(module: Any, batch: Any) -> torch.Tensor:
    return batch[0].mean() * (0.1 + 0.01 * module.done[0] + 0.02 * this_rank())


class Trainings(Rank):
    TRAINING = Ranked

    def save_at(self, hook: str, n: int, path: Path) -> Any:
        """A plain callback that writes one checkpoint; it comes first."""
        left = [n]

        def save(self: Any, trainer: Any, *_: Any) -> None:
            left[0] -= 1
            if left[0] == -1:
                trainer.save_checkpoint(path)

        return type("Save", (self.pl.callbacks.Callback,), {hook: save})()

    def edit(self) -> Any:
        """Sets the rate of rank 1 by hand."""

        def on_train_batch_start(self: Any, trainer: Any, *_: Any) -> None:
            if this_rank():
                trainer.optimizers[0].param_groups[0]["lr"] = 0.5

        return type(
            "Edit", (self.pl.callbacks.Callback,), {"on_train_batch_start": on_train_batch_start}
        )()

    def plateau(self, **arguments: Any) -> Any:
        return self.ours.ReduceLROnPlateau("metric", 0.7, 0, mode="min", min_delta=0.0, **arguments)

    def follow(self, **arguments: Any) -> Any:
        return self.ours.LossDrivenLR(0.1, scale=0.3, **arguments)

    def train(self, name: str, callbacks: list[Any], **arguments: Any) -> None:
        module = {"batches": 2 * BATCHES} | arguments.pop("module", {})
        self.fit(name, callbacks, module, **arguments)

    def resumed(self, name: str, make: Callable[[], Any], hook: str, n: int, **module: Any) -> None:
        """A whole training that writes a checkpoint, and one that goes on from it."""
        path = self.folder / f"{name}.ckpt"
        self.train(f"{name}, whole", [self.save_at(hook, n, path), make()], module=module)
        self.train(f"{name}, resumed", [make()], module=module, ckpt_path=path)

    def metrics(self) -> None:
        for kind in ("differs", "same", "owned", "late"):
            self.train(kind, [self.follow(monitor="metric")], module={"metric": kind})
        self.train("nan", [self.plateau()], module={"metric": "nan"})
        self.train("none", [self.plateau()])
        self.train(
            "each validation",
            [self.follow(monitor="metric", when="validation")],
            module={"metric": "differs"},
        )

    def everything(self) -> None:
        self.metrics()
        self.train(
            "empty",
            [self.follow(monitor="metric")],
            module={"metric": "differs", "empty": True, "batches": BATCHES},
            use_distributed_sampler=False,
        )
        self.train("edited", [self.plateau(), self.edit()], module={"metric": "same"})
        for source in ("batch", "running", "epoch"):
            make = lambda source=source: self.follow(source=source, batch_size=size_of)  # noqa: E731
            self.resumed(source, make, "on_train_batch_end", 4)
        data = TensorDataset(torch.ones(3))
        self.train("data set", [self.follow(dataset=data, loss_fn=loss_by_rank)])
        for hook in ("on_validation_end", "on_train_epoch_end"):
            make = lambda: self.follow(monitor="metric")  # noqa: E731
            self.resumed(hook, make, hook, 1, metric="differs")


def main(folder: Path, house: str, what: str) -> None:
    torch.set_num_threads(1)
    show_where_it_hangs(0.8 * TIMEOUT)
    getattr(Trainings(folder, house), what)()
    leave()


# --- in the process of the test ---------------------------------------------------------------------


def f32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def rate(loss: float) -> float:
    return f32(0.1 * math.exp(0.3 * loss))


def weighted(values: list[float], sizes: tuple[float, ...] = (1, 1)) -> float:
    products = (value * size for value, size in zip(values, sizes, strict=True))
    return math.fsum(products) / math.fsum(sizes)


def rates(folder: Path, name: str) -> list[float]:
    """Those of all updates, which are the same on both ranks."""
    one, other = told(folder, name)
    assert not one["error"] + other["error"], name
    assert one["updates"] == other["updates"], name
    assert len(one["updates"]) == BATCHES * EPOCHS or "resumed" in name, name
    return [update[4][0] for update in one["updates"]]


def by_epoch(values: list[float], first: float = f32(0.1)) -> list[float]:
    """What follows the value of each epoch, for each update."""
    return [lr for one in [first, *map(rate, values[:-1])] for lr in [one] * BATCHES]


def values(folder: Path, name: str) -> list[tuple[float, ...]]:
    """The metric of each epoch on the ranks that had it."""
    one, other = (dict(map(tuple, rank["noted"])) for rank in told(folder, name))
    return [
        tuple(rank[epoch] for rank in (one, other) if epoch in rank)
        for epoch in map(float, range(EPOCHS))
    ]


def check_metrics(folder: Path) -> None:
    for name in ("differs", "late", "each validation"):
        pairs = values(folder, name)
        assert all(len(set(pair)) == 2 for pair in pairs), name
        assert_same_bits(
            rates(folder, name), by_epoch([weighted([*pair]) for pair in pairs]), context=name
        )
    for name, ranks in (("same", 2), ("owned", 1)):
        held = values(folder, name)
        assert all(len(one) == ranks and len(set(one)) == 1 for one in held), (name, held)
        assert_same_bits(rates(folder, name), by_epoch([one[0] for one in held]), context=name)
    rule, lr, expected = Rule(factor=0.7, patience=0, mode="min", min_delta=0.0), 1.0, []
    for _ in range(EPOCHS):
        expected += [lr] * BATCHES
        lr = rule.update(math.nan, [lr]).lrs[0]
    assert_same_bits(rates(folder, "nan"), expected, context="nan")
    assert rates(folder, "none") == [1.0] * BATCHES * EPOCHS
    missing = [
        [text for text in one["warnings"] if "goes by the metric 'metric'" in text]
        for one in told(folder, "none")
    ]
    assert [len(texts) for texts in missing] == [1, 0]  # rank 0 speaks for all


def check_losses(folder: Path) -> None:
    places = [(epoch, batch) for epoch in range(EPOCHS) for batch in range(BATCHES)]
    of_batches, running, of_epochs = [], [], []
    for epoch, batch in places:
        if not batch:
            total, count = np.float32(0), np.float32(0)
            own = [[np.float32(0), np.float32(0)] for _ in SIZES]
        losses = [f32(loss_of(rank, epoch, batch)) for rank in range(2)]
        of_batches.append(weighted(losses, SIZES))
        total += np.float32(of_batches[-1]) * np.float32(sum(SIZES))
        count += np.float32(sum(SIZES))
        running.append(float(total / count))
        for mean, loss, size in zip(own, losses, SIZES, strict=True):
            mean[0] += np.float32(loss) * np.float32(size)
            mean[1] += np.float32(size)
        if batch == BATCHES - 1:
            means = [float(mean[0] / mean[1]) for mean in own]
            of_epochs.append(weighted(means, tuple(float(mean[1]) for mean in own)))
    expected = {
        "batch": [f32(0.1), *map(rate, of_batches[:-1])],
        "running": [f32(0.1), *map(rate, running[:-1])],
        "epoch": by_epoch(of_epochs),
    }
    for source, numbers in expected.items():
        assert_same_bits(rates(folder, f"{source}, whole"), numbers, context=source)
        assert_same_bits(rates(folder, f"{source}, resumed"), numbers[5:], context=source)
    over_data = [
        weighted([f32(0.1 + 0.01 * done + 0.02 * rank) for rank in range(2)])
        for done in range(BATCHES, BATCHES * EPOCHS + 1, BATCHES)
    ]
    assert_same_bits(rates(folder, "data set"), by_epoch(over_data), context="data set")


def test_two_processes(tmp_path):
    run(__file__, tmp_path, "lightning.pytorch", "everything", timeout=TIMEOUT)
    check_metrics(tmp_path)
    check_losses(tmp_path)
    held = values(tmp_path, "empty")
    assert all(len(one) == 1 for one in held)  # what rank 0 has is everybody's
    assert_same_bits(rates(tmp_path, "empty"), by_epoch([one[0] for one in held]))
    for one in told(tmp_path, "edited"):  # nobody trains on alone
        assert one["error"].startswith("RanksDifferError: The learning rates of rank 1 are not")
        assert len(one["updates"]) == BATCHES
    for hook in ("on_validation_end", "on_train_epoch_end"):
        whole, rest = rates(tmp_path, f"{hook}, whole"), rates(tmp_path, f"{hook}, resumed")
        assert_same_bits(rest, whole[2 * BATCHES :], context=hook)
        assert len(rest) == BATCHES


def test_the_other_lightning(tmp_path):
    run(__file__, tmp_path, "pytorch_lightning", "metrics", timeout=TIMEOUT)
    check_metrics(tmp_path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
