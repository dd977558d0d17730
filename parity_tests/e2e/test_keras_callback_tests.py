"""What Keras' own tests of its callbacks check, told again: the same rates in Keras and in Lightning.

After keras/src/callbacks/reduce_lr_on_plateau_test.py and learning_rate_scheduler_test.py, 3.15.1.  They
assert a handful of final rates; here every epoch of both sides counts.
"""

from __future__ import annotations

import keras
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from bits import assert_same_bits
from lightning_side import QUIET
from lrparity import callbacks
from lrparity.callbacks import LearningRateRecorder, ScheduleLR
from lrparity.schedules import PolynomialDecay

pytestmark = pytest.mark.keras

ROWS, INPUTS, CLASSES = 10, 3, 2


@pytest.fixture
def data(seed):
    """Training and validation: rows of three numbers, and one of two classes as 0 and 1."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(2, ROWS, INPUTS)).astype(np.float32)
    classes = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, (2, ROWS))]
    return list(zip(inputs, classes, strict=True))


def in_keras(data, callbacks, epochs, lr=0.1, fits=1) -> list[float]:
    """The rate of each epoch, and the one that is left at the end."""

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    rates = []
    model = keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(CLASSES)])
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(lr))
    for _ in range(fits):
        model.fit(
            *data[0],
            validation_data=data[1],
            epochs=epochs,
            callbacks=[*callbacks, Watch()],
            verbose=0,
        )
    return [*rates, float(model.optimizer.learning_rate)]


class Regression(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.LazyLinear(5), torch.nn.LazyLinear(CLASSES))
        self.lr = lr
        self.layers(torch.zeros(1, INPUTS))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def training_step(self, batch, batch_idx):
        loss = torch.nn.functional.mse_loss(self.layers(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", torch.nn.functional.mse_loss(self.layers(batch[0]), batch[1]))


def in_lightning(data, ours, epochs, lr=0.1, fits=1) -> list[float]:
    """The same of a Trainer; each epoch has one update."""
    recorder = LearningRateRecorder()
    trainer = pl.Trainer(
        max_epochs=0,
        callbacks=[*ours, recorder],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        **QUIET,
    )
    loaders = [DataLoader(TensorDataset(*map(torch.from_numpy, part)), ROWS) for part in data]
    module = Regression(lr)
    for _ in range(fits):
        trainer.fit_loop.max_epochs += epochs
        trainer.fit(module, *loaders)
    return [
        *recorder.trajectory.learning_rate.tolist(),
        trainer.optimizers[0].param_groups[0]["lr"],
    ]


# --- ReduceLROnPlateau ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "epochs", "last"),
    [
        ({"min_delta": 100}, 2, 0.01),
        ({"min_delta": 10, "min_lr": 0.005}, 4, 0.005),
        ({"min_delta": 100, "cooldown": 2}, 4, 0.001),
    ],
    ids=["reduces", "honours min_lr", "cooldown"],
)
def test_plateau(data, arguments, epochs, last):
    arguments = {"patience": 1, "factor": 0.1, "monitor": "val_loss", **arguments}
    theirs = in_keras(data, [keras.callbacks.ReduceLROnPlateau(**arguments)], epochs)
    ours = in_lightning(data, [callbacks.ReduceLROnPlateau(**arguments)], epochs)
    assert len(ours) == epochs + 1
    assert_same_bits(ours, theirs)
    assert ours[-1] == pytest.approx(last, rel=1e-6)


def test_plateau_forgets_between_two_fits(data):
    arguments = {"monitor": "loss", "factor": 0.1, "patience": 2, "min_delta": 100, "cooldown": 2}
    theirs = keras.callbacks.ReduceLROnPlateau(**arguments)
    ours = callbacks.ReduceLROnPlateau(**arguments)
    rates = in_lightning(data, [ours], 4, fits=3)
    assert_same_bits(rates, in_keras(data, [theirs], 4, fits=3))
    assert len(set(rates)) == 4
    rule = ours.controller
    assert (rule.wait, rule.cooldown_counter) == (theirs.wait, theirs.cooldown_counter)
    for callback in (theirs, rule):
        callback.best, callback.wait, callback.cooldown_counter = 0.5, 3, 2
    theirs.on_train_begin()
    rule.reset()
    for callback in (theirs, rule):
        assert (callback.best, callback.wait, callback.cooldown_counter) == (None, 0, 0)


# --- LearningRateScheduler ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "lr", "epochs", "last"),
    [
        (lambda epoch: 1.0 / (2.0 + epoch), 0.01, 3, 0.25),
        (lambda epoch, lr: lr / 2, 0.03, 2, 0.0075),
        (lambda epoch, lr: 0.5, 0.01, 1, 0.5),
    ],
    ids=["epoch", "epoch and rate", "constant"],
)
def test_epoch_function(data, fn, lr, epochs, last):
    theirs = in_keras(data, [keras.callbacks.LearningRateScheduler(fn)], epochs, lr)
    ours = in_lightning(data, [callbacks.LearningRateScheduler(fn)], epochs, lr)
    assert_same_bits(ours, theirs)
    assert ours[-1] == float(np.float32(last))


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounded", [True, False], ids=["rounded", "compounding"])
@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "LearningRateScheduler"])
def test_what_they_print(data, capsys, name, rounded):
    if name == "ReduceLROnPlateau":
        arguments = {"factor": 0.1 if rounded else 0.3, "patience": 1, "min_delta": 100}
    else:
        arguments = {"schedule": (lambda e: 1 / (1 + e)) if rounded else (lambda e, lr: lr * 0.9)}
    printed = []
    for house, train in ((keras.callbacks, in_keras), (callbacks, in_lightning)):
        train(data, [getattr(house, name)(**arguments, verbose=1)], 4)
        printed.append([line for line in capsys.readouterr().out.splitlines() if name in line])
    assert printed[0] == printed[1]
    assert len(printed[0]) >= 3


@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "LearningRateScheduler"])
def test_an_optimizer_with_a_schedule_is_refused(data, name):
    """``ReduceLROnPlateau`` multiplies the schedule unless it is told to do as Keras does."""
    arguments = {"schedule": lambda epoch, lr: lr / 2}
    if name == "ReduceLROnPlateau":
        arguments = {"patience": 1, "min_delta": 100}
    decay = keras.optimizers.schedules.PolynomialDecay(0.1, decay_steps=10)
    with pytest.raises(TypeError, match="created with a `LearningRateSchedule`"):
        in_keras(data, [getattr(keras.callbacks, name)(**arguments)], 2, lr=decay)
    if name == "ReduceLROnPlateau":
        arguments["on_schedule"] = "raise"
    mine = getattr(callbacks, name)(**arguments)
    with pytest.raises(TypeError, match="schedule"):
        in_lightning(data, [ScheduleLR(PolynomialDecay(0.1, decay_steps=10)), mine], 2)


def test_the_rate_is_in_the_record(data):
    """What Keras writes to ``history["learning_rate"]``, `LearningRateRecorder` writes down."""
    model = keras.Sequential([keras.layers.Dense(CLASSES)])
    model.compile(loss="mse", optimizer="sgd")

    def fn(epoch, lr):
        return 0.5 / (1 + epoch)

    scheduler = keras.callbacks.LearningRateScheduler(fn)
    history = model.fit(*data[0], callbacks=[scheduler], epochs=3, verbose=0).history
    recorded = in_lightning(data, [callbacks.LearningRateScheduler(fn)], 3)[:-1]
    assert recorded == history["learning_rate"]
