"""The Keras twins and lrparity, given equal losses: equal bits, in a real ``model.fit`` as well."""

from __future__ import annotations

import math
import types

import keras
import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import keras_twins as twins
from bits import assert_same_bits
from lightning_side import QUIET
from lrparity import callbacks
from lrparity.controllers import EpochFunction, LossDriven

pytestmark = pytest.mark.keras


def held(optimizer) -> float:
    return float(optimizer.learning_rate)


def on_its_own(callback, lr=0.5):
    """A callback on a real optimizer, without any training."""
    optimizer = keras.optimizers.SGD(lr)
    callback.set_model(types.SimpleNamespace(optimizer=optimizer))
    return optimizer


# --- beside the controllers -----------------------------------------------------------------------


def reciprocal(loss):
    return 1 / (1 + abs(loss))


RULES = [
    {},
    {"scale": -1.0},
    {"scale": 0.3, "min_lr": 0.06, "max_lr": 0.2},
    {"function": reciprocal, "scale": 2.0},
    {"function": lambda loss: float(np.float32(loss) ** 2), "max_lr": 1.0},
    {"scale": 30.0, "non_finite": "keep"},
    {"scale": 30.0, "non_finite": "initial"},
]


@pytest.mark.parametrize("rule", RULES)
def test_loss_driven_beside_its_controller(rule, seed):
    random = np.random.default_rng(seed)
    losses = np.float32(random.exponential(1.0, 300)).astype(float)
    if "non_finite" in rule:
        losses[random.integers(0, 300, 12)] = [math.nan, math.inf, -math.inf, 3e38] * 3
    twin = twins.LossDriven(0.05, **rule)
    optimizer = on_its_own(twin)
    ours = LossDriven(0.05, **rule)
    twin.on_train_begin()
    lrs = list(ours.start([0.5]).lrs)
    rates = [(lrs[0], held(optimizer))]
    for batch, loss in enumerate(losses):
        twin.on_train_batch_end(batch, {"loss": loss})
        lrs = list(ours.update(loss, lrs).lrs)
        rates.append((lrs[0], held(optimizer)))
    assert_same_bits(*zip(*rates, strict=True), context=rule)
    assert len(set(rates)) > 20
    assert [loss for _, loss in twin.followed] == pytest.approx(losses, nan_ok=True)


@pytest.mark.parametrize("at", ["begin", "end"])
def test_batch_schedule_beside_its_controller(at):
    def fn(k, lr):
        return lr * 0.99 if k % 7 else 0.1 * math.exp(-k / 50)

    twin = twins.BatchSchedule(fn, at, with_rate=True)
    optimizer = on_its_own(twin)
    ours, lrs, rates = EpochFunction(fn), [held(optimizer)], []
    for k in range(200):
        twin.on_train_batch_begin(k)
        twin.on_train_batch_end(k)
        lrs = list(ours.update(k, lrs).lrs)
        rates.append((lrs[0], held(optimizer)))
    assert_same_bits(*zip(*rates, strict=True))


# --- in a training whose losses are the same ------------------------------------------------------

BATCH_SIZE, ROWS, EPOCHS = 5, 33, 4
BATCHES = math.ceil(ROWS / BATCH_SIZE)


def prescribed(seed: int) -> np.ndarray:
    """A number per row; the first of a batch is its loss."""
    return np.random.default_rng(seed).exponential(0.7, (ROWS, 1)).astype(np.float32)


def rates_of_keras(twin, losses) -> list[float]:
    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(held(self.model.optimizer))

    rates, inputs = [], keras.Input((1,))
    outputs = keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)(inputs)
    model = twins.KeepsLoss(inputs, outputs)
    model.compile(
        keras.optimizers.SGD(0.5),
        loss=lambda labels, predictions: labels[:1, 0] + 0.0 * predictions[:1, 0],
        jit_compile=False,
    )
    model.fit(
        np.zeros_like(losses),
        losses,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        shuffle=False,
        validation_data=(np.zeros_like(losses), losses[::-1]),
        validation_batch_size=BATCH_SIZE,
        callbacks=[twin, Watch()],
        verbose=0,
    )
    return rates


class Prescribed(pl.LightningModule):
    """Its losses do not depend on its weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.rates = []

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
        optimizer.register_step_pre_hook(
            lambda stepped, *_: self.rates.append(stepped.param_groups[0]["lr"])
        )
        return optimizer

    def loss_of(self, batch):
        return batch[0, 0] + 0.0 * self.weight

    def training_step(self, batch, batch_idx):
        return self.loss_of(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss_of(batch), batch_size=len(batch))


def rates_of_lightning(callback, losses) -> list[float]:
    def loader(values):
        return torch.utils.data.DataLoader(torch.from_numpy(values.copy()), BATCH_SIZE)

    module = Prescribed()
    trainer = pl.Trainer(max_epochs=EPOCHS, callbacks=[callback], num_sanity_val_steps=0, **QUIET)
    trainer.fit(module, loader(losses), loader(losses[::-1]))
    return module.rates


@pytest.mark.parametrize(
    ("source", "every"),
    [
        ("batch", None),
        ("running", None),
        ("epoch", None),
        ("metric", None),
        ("dataset", None),
        ("dataset", 3),
    ],
)
def test_loss_driven_in_a_training(source, every, seed):
    losses = prescribed(seed)
    evaluate = twins.mean_loss(
        lambda labels, predictions: labels[:1, 0], losses[::2], losses[::2], batch_size=4
    )
    twin = twins.LossDriven(0.05, source, scale=-1.0, evaluate=evaluate, every_n_updates=every)
    over_data = source == "dataset"
    ours = callbacks.LossDrivenLR(
        0.05,
        source=source,
        monitor="val_loss" if source == "metric" else None,
        dataset=OfRows(losses[::2]) if over_data else None,
        loss_fn=Prescribed.loss_of if over_data else None,
        dataset_batch_size=4 if over_data else 256,
        every_n_updates=every,
        scale=-1.0,
    )
    rates = rates_of_lightning(ours, losses)
    assert_same_bits(rates, rates_of_keras(twin, losses), context=source)
    assert len(rates) == EPOCHS * BATCHES
    assert len(set(rates)) == {"batch": BATCHES + 1, "running": BATCHES + 1}.get(source, 2)


class OfRows(torch.utils.data.Dataset):
    """The rows of an array."""

    def __init__(self, values):
        self.values = torch.from_numpy(values.copy())

    def __len__(self):
        return len(self.values)

    def __getitem__(self, row):
        return self.values[row]
