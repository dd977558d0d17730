"""The Lightning side: a module and a ``Trainer`` as anybody writes them, and two callbacks."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.utilities.warnings import PossibleUserWarning
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from demo_parts.data import BATCH_SIZE, Split
from demo_parts.network import make_network, weights_of
from demo_parts.progress import Progress
from demo_parts.recipes import Recipe
from demo_parts.run import Run, Weights, running_means
from lrparity.callbacks import LearningRateRecorder
from lrparity.optim import SGD
from lrparity.schedules import Numerics
from lrparity.trajectory import Reading, Trajectory


def silence() -> None:
    """Keep Lightning's remarks from the screen, which interest whoever trains once; no others."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # devices, tips
    # Worker processes for the data loaders: ours hold a few hundred rows.
    warnings.filterwarnings("ignore", ".*does not have many workers", PossibleUserWarning)
    # lightning/pytorch/utilities/_pytree.py, 2.6, calls what torch 2.13 deprecates.
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)


class Classifier(lightning.LightningModule):
    """A network that ends in a logit, trained by Keras' SGD; the metrics are those of Keras."""

    def __init__(self, network: torch.nn.Module, **sgd: Any) -> None:
        super().__init__()
        self.network, self.sgd = network, sgd

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer alone: the schedule is a callback of the Trainer."""
        return SGD(self.parameters(), **self.sgd)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        """The loss of a batch; Lightning averages over the rows of an epoch, as Keras does."""
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(self.network(inputs), labels)
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        """Loss and accuracy after an epoch."""
        inputs, labels = batch
        logits = self.network(inputs)
        right = (logits > 0) == (labels > 0.5)
        loss = binary_cross_entropy_with_logits(logits, labels)
        metrics = {"val_loss": loss, "val_accuracy": right.float().mean()}
        self.log_dict(metrics, batch_size=len(labels))


def train(
    recipe: Recipe, data: Split, weights: Weights, about: dict[str, str | int], progress: Progress
) -> Run:
    """Train under the rates that Keras reports, then anew under those that it applies."""
    reported, first = fit(recipe, "eager", "reported", data, weights, about, progress)
    applied, second = fit(recipe, "graph", "applied", data, weights, about, progress)
    losses, losses_reported = (
        running_means(one.losses, data.updates_per_epoch) for one in (second, first)
    )
    return Run(applied, second.weights, reported, losses, losses_reported)


def fit(
    recipe: Recipe,
    numerics: Numerics,
    reading: Reading,
    data: Split,
    weights: Weights,
    about: dict[str, str | int],
    progress: Progress,
) -> tuple[Trajectory, Keeper]:
    """Train the network by ``Trainer.fit``; the rates and metrics, and what else was kept."""
    sgd, callback = recipe.in_lightning(numerics)
    recorder, keeper = LearningRateRecorder(reading=reading), Keeper(progress)
    trainer = lightning.Trainer(
        max_epochs=recipe.epochs,
        callbacks=[callback, recorder, keeper],
        accelerator="cpu",  # on a GPU the sums have other bits
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    training = rows(data.inputs, data.labels, BATCH_SIZE)
    validation = rows(data.validation_inputs, data.validation_labels, len(data.validation_labels))
    trainer.fit(Classifier(make_network(weights), **sgd), training, validation)
    run = recorder.trajectory
    origin = {**run.provenance, **about, "optimizer": "lrparity.optim.SGD", "numerics": numerics}
    return dataclasses.replace(run, provenance=origin), keeper


def rows(inputs: Any, labels: Any, batch_size: int) -> DataLoader[Any]:
    """Batches of rows in their order, as Keras takes them with ``shuffle=False``."""
    table = TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels))
    return DataLoader(table, batch_size)


class Keeper(lightning.Callback):
    """Keeps each batch's loss and each epoch's weights, and tells how far the training is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.losses: list[tuple[float, int]] = []
        self.weights: list[Weights] = []

    def on_train_batch_end(
        self, trainer: Any, pl_module: Classifier, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write down the loss, and of how many rows it is."""
        self.losses.append((outputs["loss"].item(), len(batch[0])))

    def on_train_epoch_end(self, trainer: Any, pl_module: Classifier) -> None:
        """Copy the weights."""
        self.weights.append(weights_of(pl_module.network))
        self.progress.epoch(trainer.current_epoch, float(trainer.callback_metrics["loss"]))
