"""Closed loops on real data: ``model.fit`` of Keras beside ``Trainer.fit``, from the same weights.

Two trainings in two frameworks sum in another order, so their losses differ in the last bits.  What a
rule *decides* is the same nevertheless, unless a metric lies so close to a threshold that the last
bits turn it: each test of a plateau states how close they come, and fails before that could happen.
A rate that *is* a function of the loss differs as far as the losses do, and no farther:

    With x = abs(scale) * abs(loss_keras - loss_lightning), the rates eta0 * exp(scale * loss), computed
    in float64 with an error of some 2**-50 and rounded to float32 with one of 2**-24, differ by at
    most (expm1(x) + 2**-23) * (1 + 2**-20) of the smaller one.
"""

from __future__ import annotations

import functools
import math

import keras
import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import TensorDataset

import keras_twins as twins
from bits import assert_same_bits
from demo_parts.comparison import closest_call, share_of_bound
from demo_parts.run import distance, running_means
from lrparity import callbacks
from side_by_side import BATCHES, Training, in_keras, in_lightning, split

pytestmark = pytest.mark.keras

NUMPY_MAJOR = int(np.__version__.partition(".")[0])
LOSSES_APART = 1e-6
"""How far the losses of the two sides may be apart; measured: up to 9e-8."""
WEIGHTS_APART = 1e-5
"""How far the final weights may be apart, relative to the largest; measured: up to 3e-7."""


def assert_same_training(keras_side: Training, ours: Training) -> None:
    """Metrics and weights are those of one training but for the last bits."""
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(
            keras_side.metrics[name], ours.metrics[name], rtol=0, atol=LOSSES_APART
        )
    assert distance(keras_side.weights, ours.weights) < WEIGHTS_APART


def changes(rates: list[float]) -> list[int]:
    """The epochs that begin at another rate than the one before."""
    firsts = np.array(rates[::BATCHES])
    return [int(epoch) for epoch in 1 + np.flatnonzero(np.diff(firsts))]


# --- plateau --------------------------------------------------------------------------------------


PLATEAUS = {
    # improvements become smaller than min_delta after a few epochs
    "val_loss": {
        "monitor": "val_loss",
        "factor": 0.3,
        "patience": 2,
        "min_delta": 5e-3,
        "cooldown": 2,
        "min_lr": 1e-3,
    },
    # a step of the accuracy is 1/188
    "val_accuracy": {
        "monitor": "val_accuracy",
        "factor": 0.5,
        "patience": 2,
        "mode": "max",
        "min_delta": 1e-3,
    },
    # "auto" goes by the name, in Keras 2 as here under its version
    "val_accuracy, auto": {"monitor": "val_accuracy", "factor": 0.3, "patience": 3},
}


@pytest.mark.parametrize(
    ("module", "version", "case"),
    [
        ("keras", "3.15", "val_loss"),
        ("keras", "3.15", "val_accuracy"),
        ("tf_keras", "2.21", "val_accuracy, auto"),
    ],
)
def test_plateau(module, version, case):
    arguments, epochs = PLATEAUS[case], 16
    theirs = twin_plateau(module, **arguments)
    keras_side = in_keras([theirs], epochs, lr=0.05, module=module)
    mine = callbacks.ReduceLROnPlateau(**arguments, keras_version=version, numpy_major=NUMPY_MAJOR)
    ours = in_lightning([mine], epochs, lr=0.05)

    # Not within rounding of the threshold
    name, min_delta = arguments["monitor"], arguments.get("min_delta", 1e-4)
    values = [np.array(side.metrics[name]) for side in (keras_side, ours)]
    apart = np.abs(values[0] - values[1]).max()
    assert closest_call(keras_side.metrics[name], min_delta, higher=name == "val_accuracy") > max(
        20 * apart, 1e-5
    )

    assert len(changes(ours.rates)) >= 3
    assert changes(ours.rates) == changes(keras_side.rates)
    assert_same_bits(ours.rates, keras_side.rates)
    assert (mine.controller.wait, mine.controller.cooldown_counter) == (
        theirs.wait,
        theirs.cooldown_counter,
    )
    assert mine.controller.best == pytest.approx(theirs.best, abs=LOSSES_APART)
    assert_same_training(keras_side, ours)


def twin_plateau(module, **arguments):
    house = keras if module == "keras" else pytest.importorskip(module)
    return house.callbacks.ReduceLROnPlateau(**arguments)


def test_plateau_under_another_versions_rule_is_found():
    """Negative control: Keras before 2.1.6 reduces one epoch later, and the test above would see it."""
    arguments = PLATEAUS["val_loss"]
    ours, other = (
        in_lightning([callbacks.ReduceLROnPlateau(**arguments, keras_version=version)], 10, lr=0.05)
        for version in ("3.15", "2.1.5")
    )
    assert changes(ours.rates)[0] + 1 == changes(other.rates)[0]


# --- a function of the epoch ----------------------------------------------------------------------


def inverse(epoch):
    return 0.1 / (1 + epoch)


def compounding(epoch, lr):
    return lr * 0.9 if epoch else lr


@pytest.mark.parametrize("fn", [inverse, compounding])
def test_epoch_function(fn):
    keras_side = in_keras([keras.callbacks.LearningRateScheduler(fn)], 6)
    ours = in_lightning([callbacks.LearningRateScheduler(fn)], 6)
    assert changes(ours.rates) == [1, 2, 3, 4, 5]
    assert_same_bits(ours.rates, keras_side.rates)
    assert_same_training(keras_side, ours)


@functools.cache
def with_plateau(side: str, fn, plateau_first: bool) -> Training:
    arguments = {"monitor": "val_loss", "factor": 0.3, "patience": 1, "min_delta": 0.01}
    house = keras.callbacks if side == "keras" else callbacks
    plateau = house.ReduceLROnPlateau(**arguments)
    scheduler = house.LearningRateScheduler(fn)
    both = [plateau, scheduler] if plateau_first else [scheduler, plateau]
    return (in_keras if side == "keras" else in_lightning)(both, 8)


@pytest.mark.parametrize("plateau_first", [True, False])
@pytest.mark.parametrize("fn", [inverse, compounding])
def test_epoch_function_and_plateau_in_both_orders(fn, plateau_first):
    keras_side, ours = (with_plateau(side, fn, plateau_first) for side in ("keras", "lightning"))
    metrics = np.array([side.metrics["val_loss"] for side in (keras_side, ours)])
    apart = np.abs(metrics[0] - metrics[1]).max()
    assert closest_call(keras_side.metrics["val_loss"], 0.01) > max(20 * apart, 1e-5)
    assert_same_bits(ours.rates, keras_side.rates)
    assert_same_training(keras_side, ours)
    alone = [np.float32(inverse(epoch)) for epoch in range(8)]
    if fn is inverse:  # overwrites every reduction before an update sees it
        assert_same_bits(ours.rates[::BATCHES], alone)
    else:  # compounds it
        rates = np.array(ours.rates[::BATCHES])
        reduced = np.flatnonzero(rates[1:] < 0.5 * rates[:-1])
        assert len(reduced) >= 3
        np.testing.assert_allclose(rates[reduced + 1] / rates[reduced], 0.3 * 0.9, rtol=1e-6)


# --- a rate per batch -----------------------------------------------------------------------------


WARMUP = 2 * BATCHES


def warmup(k):
    return 0.1 * (k + 1) / WARMUP if k < WARMUP else 0.1 * 0.99 ** (k - WARMUP)


def shrinking(k, lr):
    return lr * math.exp(-0.01) if k % 3 else lr * 1.01


@pytest.mark.parametrize("index", ["update", "batch"])
@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("fn", [warmup, shrinking])
def test_batch_schedule(fn, at, index):
    epochs, lr = 3, 0.02
    twin = twins.BatchSchedule(fn, at, index, with_rate=fn is shrinking)
    keras_side = in_keras([twin], epochs, lr=lr)
    ours = in_lightning([callbacks.BatchLearningRateScheduler(fn, at, index)], epochs, lr=lr)
    assert len(ours.rates) == twin.updates == epochs * BATCHES
    assert_same_bits(ours.rates, keras_side.rates)
    assert len(set(ours.rates)) >= BATCHES
    assert_same_training(keras_side, ours)
    if fn is warmup:
        ks = np.arange(epochs * BATCHES) - (at == "end")
        expected = [lr if k < 0 else fn(int(k % BATCHES if index == "batch" else k)) for k in ks]
        assert_same_bits(ours.rates, expected)


# --- a rate that follows the loss -----------------------------------------------------------------


def bound(loss: float, other: float, scale: float) -> float:
    """How far the rates of two losses may be apart, relative to the smaller one; see above."""
    return (math.expm1(abs(scale) * abs(loss - other)) + 2**-23) * (1 + 2**-20)


def follow(source: str, scale: float, every: int | None, epochs: int):
    """Both trainings, and what both followed: (updates done, loss) each time that a rate was set."""
    table = split()
    evaluate = twins.mean_loss(
        keras.losses.binary_crossentropy, table.inputs, table.labels, batch_size=256
    )
    twin = twins.LossDriven(0.05, source, scale=scale, evaluate=evaluate, every_n_updates=every)
    keras_side = in_keras([twin], epochs)

    decided, evaluated = [], []

    def loss_fn(module, batch):
        assert not module.training
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(module.network(inputs), labels)
        evaluated.append((loss.item(), len(labels)))
        return loss

    def note(trainer, module, decision):
        decided.append((len(module.done.rates), decision.lrs[0]))

    of_source = {"source": source}
    if source == "metric":
        of_source = {"monitor": "val_loss"}
    elif source == "dataset":
        rows = TensorDataset(torch.from_numpy(table.inputs), torch.from_numpy(table.labels))
        of_source = {"dataset": rows, "loss_fn": loss_fn, "every_n_updates": every}
    ours = in_lightning(
        [callbacks.LossDrivenLR(0.05, **of_source, scale=scale, on_change=note)], epochs
    )
    assert decided.pop(0) == (0, float(np.float32(0.05)))
    losses = {
        "batch": [loss for loss, _ in ours.batch_losses],
        "running": ours.running_losses,
        "epoch": ours.running_losses[BATCHES - 1 :: BATCHES],
        "metric": ours.metrics["val_loss"],
        "dataset": running_means(evaluated, batches=2)[1::2],  # of 256 rows and of 125
    }[source]
    # Each side's rate is the function of its own loss, to the bit.
    for rates, own in (
        ([lr for _, lr in decided], losses),
        (
            [keras_side.rates[at] for at, _ in twin.followed[:-1]],
            [x for _, x in twin.followed[:-1]],
        ),
    ):
        assert_same_bits(rates, [0.05 * math.exp(scale * loss) for loss in own])
    followed = [(at, loss) for (at, _), loss in zip(decided, losses, strict=True)]
    return keras_side, ours, twin.followed, followed


SOURCES = [
    # source, scale, every_n_updates
    ("batch", 1.0, None),
    ("running", 1.0, None),
    ("running", -1.0, None),
    ("epoch", 2.0, None),
    ("metric", 1.0, None),
    ("dataset", -1.0, None),
    ("dataset", 1.0, 5),
]


@pytest.mark.parametrize(("source", "scale", "every"), SOURCES)
def test_loss_driven(source, scale, every):
    epochs = 8
    keras_side, ours, theirs, mine = follow(source, scale, every, epochs)

    # The same decisions: as many, after the same updates.
    assert [updates for updates, _ in theirs] == [updates for updates, _ in mine]
    each = {"batch": epochs * BATCHES, "running": epochs * BATCHES, "dataset": epochs}
    assert len(mine) == (epochs * BATCHES // every if every else each.get(source, epochs))

    # The same losses but for the last bits.
    apart = max(abs(a - b) for (_, a), (_, b) in zip(theirs, mine, strict=True))
    assert apart <= LOSSES_APART

    # The rates of every update, within what the losses explain.
    allowed = np.zeros(len(ours.rates))
    for (updates, one), (_, two) in zip(theirs, mine, strict=True):
        allowed[updates:] = bound(one, two, scale)
    a, b = np.array(keras_side.rates), np.array(ours.rates)
    assert (np.abs(a - b) <= allowed * np.minimum(a, b)).all()
    losses = ([loss for _, loss in side] for side in (theirs, mine))
    assert share_of_bound(a, b, *losses, scale, every=mine[0][0]) <= 1  # what the demo judges by
    assert allowed.max() <= 1.01 * (abs(scale) * LOSSES_APART + 2**-23)

    # Not vacuous: rates of other moments are farther apart.
    assert len(set(ours.rates)) > epochs - 2
    shifted = np.roll(b, BATCHES)
    assert not (np.abs(a - shifted) <= allowed * np.minimum(a, shifted)).all()

    assert_same_training(keras_side, ours)


@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_accumulated_batches_are_followed_by_their_own_loss(accumulate):
    """Lightning hands callbacks the loss divided by ``accumulate_grad_batches``."""
    decided = []
    follower = callbacks.LossDrivenLR(
        0.05,
        source="batch",
        on_change=lambda trainer, module, decision: decided.append(decision.lrs[0]),
    )
    ours = in_lightning([follower], 3, accumulate=accumulate)
    assert len(ours.rates) == 3 * math.ceil(BATCHES / accumulate)
    losses = [loss for loss, _ in ours.batch_losses]
    expected = [0.05, *(0.05 * math.exp(loss) for loss in losses)]
    if accumulate != 3:  # a division by a power of two loses nothing
        assert_same_bits(decided, expected)
        return
    for lr, loss in zip(decided[1:], losses, strict=True):
        near = float(np.nextafter(np.float32(loss), np.float32(np.inf)))
        rate = 0.05 * math.exp(loss)
        assert abs(lr - rate) <= bound(loss, near, 1.0) * min(lr, rate)
