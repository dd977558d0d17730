"""The torch side: a plain training loop, and nothing that lrparity would need on top of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import torch

from demo_parts.data import BATCH_SIZE, Split
from demo_parts.network import make_network, weights_of
from demo_parts.progress import Progress
from demo_parts.recipes import Recipe
from demo_parts.run import Run, Weights
from lrparity.lr_scheduler import ScheduleLR
from lrparity.trajectory import Trajectory, provenance

loss_function = torch.nn.BCEWithLogitsLoss()


def fit(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    scheduler_steps_per: Literal["update", "epoch"],
    scheduler_goes_by: str | None,
    epochs: int,
    data: Split,
    log: Log,
) -> None:
    """Train the network."""

    def step() -> None:
        if scheduler_goes_by is None:
            scheduler.step()
        else:
            scheduler.step(log.latest[scheduler_goes_by])

    batches = list(
        zip(
            torch.from_numpy(data.inputs).split(BATCH_SIZE),
            torch.from_numpy(data.labels).split(BATCH_SIZE),
            strict=True,
        )
    )
    for epoch in range(epochs):
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = loss_function(network(inputs), labels)
            loss.backward()
            optimizer.step()
            log.after_update(optimizer, loss, len(labels))
            if scheduler is not None and scheduler_steps_per == "update":
                step()
        log.after_epoch(epoch, network, data)
        if scheduler is not None and scheduler_steps_per == "epoch":
            step()


def train_with_lrparity(
    recipe: Recipe, data: Split, weights: Weights, about: dict[str, str | int], progress: Progress
) -> Run:
    """Train under the rates that Keras applies."""
    network = make_network(weights)
    optimizer, scheduler = recipe.in_torch(network.parameters(), "graph")
    log = Log(progress)
    when, by = recipe.scheduler_steps_per, recipe.scheduler_goes_by
    fit(network, optimizer, scheduler, when, by, recipe.epochs, data, log)
    return log.run({**about, "optimizer": "lrparity.optim.SGD", "numerics": "graph"})


def train_with_torch_sgd(
    recipe: Recipe,
    data: Split,
    weights: Weights,
    rates: list[float],
    about: dict[str, str | int],
    progress: Progress,
) -> Run:
    """Train with torch's own SGD under the very same rates; only the update rule is another."""
    network = make_network(weights)
    optimizer = torch.optim.SGD(network.parameters(), lr=rates[0], momentum=recipe.momentum)
    scheduler = ScheduleLR(optimizer, lambda k: rates[min(k, len(rates) - 1)])
    log = Log(progress)
    fit(network, optimizer, scheduler, "update", None, recipe.epochs, data, log)
    return log.run({**about, "optimizer": "torch.optim.SGD"})


class Log:
    """Writes down what the loop did: the rate of each update, and each epoch's metrics."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.latest: dict[str, float] = {}  # what a scheduler may go by
        self.metrics: dict[str, list[float]] = defaultdict(list)
        self.weights: list[Weights] = []
        self.loss_sum, self.rows = 0.0, 0

    def after_update(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor, rows: int) -> None:
        """Write down the rate that the update used, and the batch's loss."""
        group = optimizer.param_groups[0]
        # lrparity's SGD says what it multiplied by: with decay= that is less than group["lr"].
        self.rates.append(float(group.get("learning_rate_used", group["lr"])))
        self.loss_sum += loss.item() * rows
        self.rows += rows
        self.latest["loss"] = self.loss_sum / self.rows  # the mean of the epoch so far
        self.losses.append(self.latest["loss"])

    @torch.no_grad()
    def after_epoch(self, epoch: int, network: torch.nn.Module, data: Split) -> None:
        """Write down the metrics, as Keras defines them, and the weights."""
        loss = self.latest["loss"]
        self.loss_sum, self.rows = 0.0, 0
        logits = network(torch.from_numpy(data.validation_inputs))
        labels = torch.from_numpy(data.validation_labels)
        right = (logits > 0) == (labels > 0.5)
        self.metrics["loss"].append(loss)
        self.latest["val_loss"] = loss_function(logits, labels).item()
        self.metrics["val_loss"].append(self.latest["val_loss"])
        self.metrics["val_accuracy"].append(right.double().mean().item())
        self.weights.append(weights_of(network))
        self.progress.epoch(epoch, loss)

    def run(self, about: dict[str, str | int]) -> Run:
        """What was written down."""
        origin = provenance("torch", **about)
        applied = Trajectory(self.rates, reading="applied", metrics=self.metrics, provenance=origin)
        return Run(applied, self.weights, losses=self.losses)
