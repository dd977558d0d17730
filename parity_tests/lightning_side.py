"""What the tests under Lightning train, and their own account of the updates.

An update is real if it moved a weight, and its rate is by how far: every weight is 0 before each
update and its gradient a power of two, so that ``-weight / gradient`` is the rate to the bit.
Nothing of lrparity's is asked.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from lrparity.callbacks import ScheduleLR

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
"""A Trainer that only trains."""

RESUMED_WITHIN_AN_EPOCH = pytest.mark.filterwarnings(
    # That is what is tested, and the account goes by updates, not by batches.
    "ignore:You're resuming from a checkpoint that ended before the epoch ended"
)


class Update(NamedTuple):
    """One change of the weights by one optimizer."""

    optimizer: int
    number: int  # this optimizer's updates before, over all runs
    batch: int  # the micro-batches before, as Lightning counts them over all runs
    epoch: int  # trainer.current_epoch
    rates: tuple[float | None, ...]  # of each param group; None: it was not moved
    shown: tuple[float, ...]  # the groups' "lr" at that moment
    batch_idx: int  # within the epoch


class TinyTraining:
    """One weight for each optimizer, and a backbone that belongs to none; for either Lightning.

    Args:
        batches: of an epoch.
        optimizers: how many; the first steps at each batch, the others at every second one.
        manual: manual optimization, which several optimizers need.
        overflows: the ``batch_idx`` whose gradients are infinite.
        scheduler: makes the scheduler of an optimizer in ``configure_optimizers``.
        fused: the optimizers' own argument.
        log: a file to append each update to, so that it outlives a SIGKILL.
    """

    def __init__(
        self,
        batches: int = 5,
        *,
        optimizers: int = 1,
        manual: bool = False,
        overflows: Iterable[int] = (),
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        fused: bool = False,
        log: Path | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = not manual
        self.weights = torch.nn.ParameterList([torch.zeros(1) for _ in range(optimizers)])
        self.backbone = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.backbone.weight)
        self.batches, self.overflows = batches, frozenset(overflows)
        self.scheduler, self.fused, self.log_path = scheduler, fused, log
        self.updates: list[Update] = []
        self.done = [0] * optimizers  # real updates over all runs
        self.done_before = [0] * optimizers  # those of the runs before this one

    def configure_optimizers(self) -> Any:
        made = [torch.optim.SGD([weight], lr=1.0, fused=self.fused) for weight in self.weights]
        for i, optimizer in enumerate(made):
            optimizer.register_step_post_hook(
                lambda stepped, *_, i=i: self.note_if_moved(i, stepped)
            )
        if self.scheduler is None:
            return made
        configs = [self.scheduler(optimizer).lightning_config() for optimizer in made]
        return made, configs

    @torch.no_grad()
    def note_if_moved(self, i: int, optimizer: torch.optim.Optimizer) -> None:
        """Read off the rates of an update, and set the weights back to 0."""
        rates = []
        for group in optimizer.param_groups:
            weight = group["params"][0]
            assert torch.isfinite(weight).all(), "an overflowed step was not skipped"
            moved = weight.grad is not None and weight.item() != 0.0
            rates.append(-(weight / weight.grad).item() if moved else None)
            weight.zero_()
        if not any(rates):
            return
        progress = self.trainer.fit_loop.epoch_loop.batch_progress
        update = Update(
            optimizer=i,
            number=self.done[i],
            batch=progress.total.processed,
            epoch=self.trainer.current_epoch,
            rates=tuple(rates),
            shown=tuple(float(group["lr"]) for group in optimizer.param_groups),
            batch_idx=progress.current.ready - 1,
        )
        self.done[i] += 1
        self.updates.append(update)
        if self.log_path is not None:
            append_line(self.log_path, f"{i} {update.number} {update.epoch} {rates[0]!r}")

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> Any:
        loss = (sum(weight.sum() for weight in self.weights) + self.backbone.weight.sum()) * batch
        if batch_idx in self.overflows:
            loss.register_hook(lambda gradient: gradient * torch.inf)
        loss = loss + self.offset(batch_idx)
        if self.automatic_optimization:
            return loss
        made = self.optimizers()
        made = made if isinstance(made, list) else [made]
        for optimizer in made:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for i, optimizer in enumerate(made):
            if i and batch_idx % 2:
                continue
            optimizer.step()
            if self.scheduler is not None:
                schedulers = self.lr_schedulers()
                (schedulers if isinstance(schedulers, list) else [schedulers])[i].step()
        return loss.detach()

    def offset(self, batch_idx: int) -> float:
        """What the loss is: the weights are 0, and add nothing to it."""
        return 0.0

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        pass

    def train_dataloader(self) -> Any:
        # batch_size=None: Lightning takes a bare list for a collection of loaders.
        return DataLoader([torch.ones(())] * self.batches, batch_size=None)

    def val_dataloader(self) -> Any:
        return DataLoader([torch.ones(())] * 2, batch_size=None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["account"] = list(self.done)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.done = list(checkpoint["account"])
        self.done_before = list(self.done)


class Tiny(TinyTraining, pl.LightningModule):
    """For ``import lightning``."""


def append_line(path: Path, line: str) -> None:
    """Append in one system call, which a SIGKILL does not tear."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, (line + "\n").encode())
    finally:
        os.close(descriptor)


def make_trainer(
    callbacks: Sequence[Any] = (), *, amp: bool = False, house: Any = pl, **arguments: Any
) -> Any:
    """A quiet trainer of three epochs on the CPU, of either Lightning."""
    if amp:
        scaler = torch.amp.GradScaler("cpu")
        precision = importlib.import_module(f"{house.__name__}.plugins.precision")
        arguments["plugins"] = [precision.MixedPrecision("16-mixed", "cpu", scaler)]
    checkpointing = any(isinstance(one, house.callbacks.ModelCheckpoint) for one in callbacks)
    own = {"max_epochs": 3, "enable_checkpointing": checkpointing, "num_sanity_val_steps": 0}
    return house.Trainer(callbacks=list(callbacks), **QUIET | own | arguments)


class ForgetsOne(ScheduleLR):
    """Saves one update too few: what the tests of resume must notice."""

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        for one in state["optimizers"].values():
            one["updates"] = max(one["updates"] - 1, 0)
        return state
