"""One network on real data, by ``model.fit`` and by ``Trainer.fit``: what both did, update by update.

The network, the data and the weights are the demo's.  The Lightning side trains by Keras' rule,
``lrparity.optim.SGD``, and its rates are what its optimizer holds when it steps.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from demo_parts import data
from demo_parts.keras_side import rows as keras_rows
from demo_parts.lightning_side import Classifier, rows
from demo_parts.network import make_network, weights_of
from demo_parts.run import Weights, running_means
from keras_twins import KeepsLoss
from lightning_side import QUIET

BATCHES = 14
"""Batches per epoch: 13 of 28 rows and one of 17."""
MOMENTUM = 0.9


@functools.cache
def split() -> data.Split:
    return data.split(data.breast_cancer(), seed=0)


@dataclass
class Training:
    """What one side did.

    Attributes:
        rates: the rate of each update, as the optimizer holds it.
        batch_losses: the loss of each batch and its number of rows, from Lightning only.
        metrics: per epoch.
        weights: after the last update.
    """

    rates: list[float] = field(default_factory=list)
    batch_losses: list[tuple[float, int]] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    weights: Weights = field(default_factory=list)

    @property
    def running_losses(self) -> list[float]:
        """After each batch the mean of the epoch so far."""
        return running_means(self.batch_losses, BATCHES)


@functools.cache
def compiled(module: str) -> tuple[Any, Any]:
    """The network of ``keras`` or ``tf_keras``, compiled once; and its optimizer."""
    keras = importlib.import_module(module)
    columns = split().columns
    inputs = keras.Input((columns,))
    hidden = keras.layers.Dense(columns, activation="relu")(inputs)
    outputs = keras.layers.Dense(1, activation="sigmoid")(hidden)
    model = (KeepsLoss if module == "keras" else keras.Model)(inputs, outputs)
    optimizer = keras.optimizers.SGD(momentum=MOMENTUM)
    model.compile(optimizer, loss="binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def in_keras(
    callbacks: Sequence[Any], epochs: int, *, lr: float = 0.1, module: str = "keras"
) -> Training:
    """Train by ``model.fit`` of ``keras`` or ``tf_keras``, from the start."""
    done, table = Training(), split()
    model, optimizer = compiled(module)
    for variable, value in zip(
        model.trainable_variables, data.initial_weights(table.columns, seed=0), strict=True
    ):
        variable.assign(value)
    for variable in optimizer.variables:  # velocities, the count of updates
        variable.assign(np.zeros_like(variable.numpy()))
    optimizer.learning_rate = lr

    class Watch(importlib.import_module(module).callbacks.Callback):
        """Comes last, so that it sees what the update will use."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            done.rates.append(float(optimizer.learning_rate))

    history = model.fit(
        keras_rows(table.inputs, table.labels, data.BATCH_SIZE),
        epochs=epochs,
        shuffle=False,
        validation_data=keras_rows(
            table.validation_inputs, table.validation_labels, len(table.validation_labels)
        ),
        callbacks=[*callbacks, Watch()],
        verbose=0,
    )
    done.metrics = history.history
    done.weights = [np.array(variable) for variable in model.trainable_variables]
    return done


class Watched(Classifier):
    """The demo's module, which writes down what it did."""

    def __init__(self, network: torch.nn.Module, **sgd: Any) -> None:
        super().__init__(network, **sgd)
        self.done = Training()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = super().configure_optimizers()
        optimizer.register_step_pre_hook(
            lambda stepped, *_: self.done.rates.append(float(stepped.param_groups[0]["lr"]))
        )
        return optimizer

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.done.batch_losses.append((loss.item(), len(batch[0])))
        return loss

    def on_train_epoch_end(self) -> None:
        for name in ("loss", "val_loss", "val_accuracy"):
            value = float(self.trainer.callback_metrics[name])
            self.done.metrics.setdefault(name, []).append(value)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """So small a network only waits for a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def in_lightning(
    callbacks: Sequence[Any],
    epochs: int,
    *,
    lr: float = 0.1,
    accumulate: int = 1,
) -> Training:
    """Train by ``Trainer.fit``, by the rule of Keras' SGD."""
    table = split()
    network = make_network(data.initial_weights(table.columns, seed=0))
    module = Watched(network, lr=lr, momentum=MOMENTUM)
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        accumulate_grad_batches=accumulate,
        num_sanity_val_steps=0,
        **QUIET,
    )
    validation = rows(
        table.validation_inputs, table.validation_labels, len(table.validation_labels)
    )
    trainer.fit(module, rows(table.inputs, table.labels, data.BATCH_SIZE), validation)
    module.done.weights = weights_of(network)
    return module.done
