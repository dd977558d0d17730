"""The callbacks that answer training: which values count, when they act, and what they refuse."""

from __future__ import annotations

import copy
import csv
import math
import pickle
import random
import re
from collections import UserDict
from dataclasses import dataclass
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import (
    LearningRateFinder,
    LearningRateMonitor,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy

from bits import assert_same_bits
from lightning_side import Tiny, make_trainer
from lrparity import controllers, lr_scheduler
from lrparity.callbacks import (
    BatchLearningRateScheduler,
    LearningRateRecorder,
    LearningRateScheduler,
    LossDrivenLR,
    RanksDifferError,
    ReduceLROnPlateau,
    ScheduleLR,
)
from lrparity.callbacks._loss import size_of
from lrparity.lr_scheduler._governed import governed
from lrparity.schedules import CosineDecay, ExponentialDecay, PiecewiseConstantDecay, StepDecay

FLAT = [1.0] * 20
BATCHES = 2


class Logs(Tiny):
    """Logs a value of a list in each validation, or where it is told to."""

    def __init__(
        self,
        values: list[float] = FLAT,
        *,
        name: str = "val_loss",
        where: str = "validation",
        **more,
    ) -> None:
        super().__init__(more.pop("batches", BATCHES), **more)
        self.values, self.name, self.where = list(values), name, where
        self.validations = 0

    def log_value(self, index: int | None = None) -> None:
        i = self.trainer.fit_loop.epoch_progress.current.ready - 1 if index is None else index
        value = self.values[i]
        if value is not None:
            self.log(self.name, torch.tensor(value, dtype=torch.float64), batch_size=1)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.where == "validation" and not self.trainer.sanity_checking:
            self.log_value()
        if self.where == "each validation" and not self.trainer.sanity_checking:
            self.log_value(self.validations)

    def on_validation_epoch_end(self) -> None:
        if self.where == "validation's end" and not self.trainer.sanity_checking:
            self.log_value()

    def on_validation_end(self) -> None:
        self.validations += not self.trainer.sanity_checking

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> Any:
        if self.where == "training":
            self.log(self.name, self.values[self.current_epoch], on_step=False, on_epoch=True)
        if self.where == "training and validation":
            self.log(self.name, 100.0 - self.trainer.global_step, on_step=True, on_epoch=True)
        return super().training_step(batch, batch_idx)

    def on_train_epoch_end(self) -> None:
        if self.where == "epoch's end":
            self.log_value(self.current_epoch)


def rates(module: Tiny) -> list[float]:
    return [update.rates[0] for update in module.updates]


def epoch_rates(module: Tiny, optimizer: int = 0) -> list[float]:
    """The rate of each epoch, which its updates share."""
    found: dict[int, set[float]] = {}
    for update in module.updates:
        if update.optimizer == optimizer:
            found.setdefault(update.epoch, set()).add(update.rates[0])
    assert all(len(one) == 1 for one in found.values()), found
    return [one.pop() for one in found.values()]


def simulated(
    rule: controllers.Controller, values: list[float | None], lr: float = 1.0
) -> list[float]:
    """What the rule says for the epochs, one more than there are values."""
    lrs = [lr]
    for value in values:
        lrs.append(lrs[-1] if value is None else rule.update(value, [lrs[-1]]).lrs[0])
    return lrs


def fit(module: Tiny, *callbacks: Any, **trainer: Any) -> Tiny:
    make_trainer(callbacks, **trainer).fit(module)
    return module


# --- which values count -----------------------------------------------------------------------------

PLACES = ["validation", "validation's end", "training", "epoch's end"]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("first", [True, False])
def test_plateau_goes_by_the_metric_wherever_it_is_logged(where, first, seed):
    rng = np.random.default_rng(seed)
    values = np.float32(rng.uniform(0.9, 1.1, 14)).tolist()
    plateau = ReduceLROnPlateau("metric", 0.3, 2, mode="min", cooldown=1)
    monitor = LearningRateRecorder()
    module = Logs(values, name="metric", where=where)
    fit(module, *((plateau, monitor) if first else (monitor, plateau)), max_epochs=14)
    rule = controllers.ReduceLROnPlateau(0.3, 2, "min", cooldown=1)
    expected = simulated(rule, values)
    assert_same_bits(epoch_rates(module), expected[:14], context=(seed, where))
    assert plateau.controller.state_dict() == rule.state_dict()
    assert governed(module.optimizers().optimizer).rates() == expected[14:]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_stale_value_does_not_count(every):
    module = fit(
        Logs(),
        ReduceLROnPlateau(factor=0.5, patience=2),
        max_epochs=12,
        check_val_every_n_epoch=every,
    )
    values = [1.0 if (e + 1) % every == 0 else None for e in range(12)]
    expected = simulated(controllers.ReduceLROnPlateau(0.5, 2), values)
    assert epoch_rates(module) == expected[:12]


def test_an_epoch_without_a_value_changes_nothing():
    values = [1.0, None, 1.0, None, None, 1.0, 1.0, 0.5]
    with pytest.warns(UserWarning, match="which has no new value"):
        module = fit(Logs(values), ReduceLROnPlateau(factor=0.5, patience=2), max_epochs=8)
    expected = simulated(controllers.ReduceLROnPlateau(0.5, 2), values)
    assert epoch_rates(module) == expected[:8]


def test_the_sanity_check_does_not_count():
    class LogsInTheSanityCheck(Logs):
        def validation_step(self, batch, batch_idx):
            self.log("val_loss", 1.0 if self.trainer.sanity_checking else self.values[0])

    module = LogsInTheSanityCheck([2.0])
    plateau = ReduceLROnPlateau(factor=0.5, patience=1)
    fit(module, plateau, max_epochs=1, num_sanity_val_steps=2)
    assert plateau.controller.best == 2.0
    assert plateau.controller.wait == 0


def test_the_last_of_several_validations_counts():
    values = [5.0, 1.0, 0.1, 1.0, 0.1, 1.0, 0.1, 1.0]
    module = Logs(values, where="each validation", batches=4)
    fit(module, ReduceLROnPlateau(factor=0.5, patience=1), max_epochs=4, val_check_interval=0.5)
    assert epoch_rates(module) == [1.0, 1.0, 0.5, 0.25]


def test_when_validation_each_counts_at_once():
    values = [5.0, 6.0, 6.0, 4.0, 4.0, 4.0]
    module = Logs(values, where="each validation", batches=4)
    plateau = ReduceLROnPlateau(factor=0.5, patience=1, when="validation")
    fit(module, plateau, max_epochs=3, val_check_interval=0.5)
    assert rates(module) == [1.0] * 4 + [0.5] * 2 + [0.25] * 2 + [0.25] * 2 + [0.125] * 2
    assert plateau.controller.wait == 0


def test_a_validation_goes_before_training_that_logs_the_same_name():
    class Both(Logs):
        def validation_step(self, batch, batch_idx):
            self.log_value()

    module = Both(name="loss", where="training and validation")
    fit(module, ReduceLROnPlateau("loss", 0.5, 1), max_epochs=4)
    assert epoch_rates(module) == [1.0, 1.0, 0.5, 0.25]  # training's falls all the time


def test_a_value_that_another_callback_writes_counts():
    class Writes(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            trainer.callback_metrics["mine"] = torch.tensor(1.0)

    module = fit(
        Tiny(BATCHES), Writes(), ReduceLROnPlateau("mine", 0.5, 1, mode="min"), max_epochs=4
    )
    assert epoch_rates(module) == [1.0, 1.0, 0.5, 0.25]


def test_nan_does_what_the_version_does():
    values = [math.nan, 1.0, 0.9, 0.8, 0.7]
    for version in ("2.15", "3.10", "3.15"):
        module = fit(
            Logs(values),
            ReduceLROnPlateau(factor=0.5, patience=1, keras_version=version),
            max_epochs=5,
        )
        rule = controllers.ReduceLROnPlateau(0.5, 1, keras_version=version)
        assert_same_bits(epoch_rates(module), simulated(rule, values)[:5], context=version)


# --- metrics that are missing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val_los", r"is not there\. Did you mean 'val_loss'\?"),
        ("val/loss", r"Did you mean 'val_loss'\?"),
        ("elsewhere", r"is not there\. After epoch 0 trainer\.callback_metrics has \['val_loss'\]"),
    ],
)
def test_a_missing_metric_is_told_once(monitor, message, recwarn):
    module = fit(Logs(), ReduceLROnPlateau(monitor, mode="min", patience=1), max_epochs=3)
    told = [one for one in recwarn if "goes by the metric" in str(one.message)]
    assert len(told) == 1
    assert re.search(message, str(told[0].message)), told[0].message
    assert set(rates(module)) == {1.0}
    with pytest.raises(RuntimeError, match=message):
        fit(Logs(), ReduceLROnPlateau(monitor, mode="min", strict=True), max_epochs=3)


def test_no_validation_at_all_is_told():
    with pytest.warns(UserWarning, match="'val_loss', which is not there"):
        fit(Logs(), ReduceLROnPlateau(), max_epochs=2, limit_val_batches=0)


def test_a_metric_that_is_not_due_yet_is_no_error():
    module = fit(
        Logs(), ReduceLROnPlateau(patience=1, strict=True), max_epochs=4, check_val_every_n_epoch=2
    )
    assert len(epoch_rates(module)) == 4


def test_a_metric_of_training_and_when_validation():
    with pytest.warns(UserWarning, match='comes from training.*pass when="epoch"'):
        fit(
            Logs(name="a", where="training"),
            ReduceLROnPlateau("a", mode="min", when="validation"),
            max_epochs=2,
        )


def test_what_is_no_number_is_told():
    class Writes(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            trainer.callback_metrics["mine"] = torch.ones(3)

    with pytest.warns(UserWarning, match="'mine', which is no number: tensor"):
        fit(Tiny(BATCHES), Writes(), ReduceLROnPlateau("mine", mode="min"), max_epochs=1)


# --- direction ---------------------------------------------------------------------------------------


class LogsMetric(Tiny):
    """Logs a torchmetrics object."""

    def __init__(self, metric: Any, name: str) -> None:
        super().__init__(BATCHES)
        self.metric, self.name = metric, name

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.metric.update(*([torch.tensor([1])] * (2 if self.name == "val_hit" else 1)))
        self.log(self.name, self.metric)


def test_auto_asks_the_metric():
    plateau = ReduceLROnPlateau("val_hit", 0.5, 1)
    module = fit(LogsMetric(BinaryAccuracy(), "val_hit"), plateau, max_epochs=4)
    assert plateau.controller.mode == "max"
    assert epoch_rates(module) == [1.0, 1.0, 0.5, 0.25]
    with pytest.raises(ValueError, match=r"'val_mean' is better when higher.*Pass mode='max'"):
        fit(LogsMetric(MeanMetric(), "val_mean"), ReduceLROnPlateau("val_mean"), max_epochs=1)


def test_auto_asks_a_metric_of_the_module_by_its_name():
    class Computes(Tiny):
        def __init__(self):
            super().__init__(BATCHES)
            self.acc = BinaryAccuracy()

        def validation_step(self, batch, batch_idx):
            self.log("val_acc", self.acc(torch.tensor([1]), torch.tensor([1])))

    plateau = ReduceLROnPlateau("val_acc")
    fit(Computes(), plateau, max_epochs=1)
    assert plateau.controller.mode == "max"


def test_auto_of_old_versions_goes_by_the_name():
    for monitor, mode in (("val_acc", "max"), ("accident_loss", "max"), ("val_auc", "min")):
        assert ReduceLROnPlateau(monitor, keras_version="3.10").controller.mode == mode
    with pytest.warns(UserWarning, match="`mode`='mni' is none of"):
        assert ReduceLROnPlateau(mode="mni").mode == "auto"


# --- order -------------------------------------------------------------------------------------------


def absolute(epoch: int) -> float:
    return 0.5**epoch


def compounding(epoch: int, lr: float) -> float:
    return lr * 0.75 if epoch else lr


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("plateau_first", [True, False])
@pytest.mark.parametrize("function", [absolute, compounding])
def test_epoch_function_and_plateau(where, plateau_first, function):
    """The plateau acts at the epoch's end, the function at the next one's start, in either order."""
    pair = [ReduceLROnPlateau("m", 0.1, 1, mode="min"), LearningRateScheduler(function)]
    module = Logs(name="m", where=where)
    fit(module, *(pair if plateau_first else pair[::-1]), max_epochs=5)
    rule, lr, expected = controllers.ReduceLROnPlateau(0.1, 1), 1.0, []
    epochs = controllers.EpochFunction(function)
    for epoch in range(5):
        lr = epochs.update(epoch, [lr]).lrs[0]
        expected.append(lr)
        lr = rule.update(1.0, [lr]).lrs[0]
    assert_same_bits(epoch_rates(module), expected, context=(where, plateau_first))


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("plateau_first", [True, False])
def test_two_deciders_at_an_epochs_end_act_in_list_order(where, plateau_first):
    """Even where the metric of the first one comes late."""
    plateau = ReduceLROnPlateau("m", 0.5, 1, mode="min")
    driven = LossDrivenLR(0.25, source="epoch")  # its loss is 0: the rate is always 0.25
    pair = [plateau, driven] if plateau_first else [driven, plateau]
    module = fit(Logs(name="m", where=where), *pair, max_epochs=4)
    expected = [0.25] * 4 if plateau_first else [0.25, 0.25, 0.125, 0.125]
    assert epoch_rates(module) == expected


def test_two_plateaus_in_one_run():
    one = ReduceLROnPlateau("a", 0.5, 1, mode="min")
    two = ReduceLROnPlateau("b", 0.1, 2, mode="max")
    assert one.state_key != two.state_key

    class Two(Tiny):
        def validation_step(self, batch, batch_idx):
            self.log_dict({"a": 1.0, "b": 1.0})

    module = fit(Two(BATCHES), one, two, max_epochs=4)
    rules = [controllers.ReduceLROnPlateau(0.5, 1), controllers.ReduceLROnPlateau(0.1, 2, "max")]
    lr, expected = 1.0, []
    for _ in range(4):
        expected.append(lr)
        for rule in rules:
            lr = rule.update(1.0, [lr]).lrs[0]
    assert_same_bits(epoch_rates(module), expected)


# --- functions of the epoch and of the batch ---------------------------------------------------------


def test_epoch_function_rounds_and_feeds_back():
    module = fit(Tiny(1), LearningRateScheduler(lambda epoch, lr: lr * 0.99), max_epochs=50)
    expected, lr = [], 1.0
    for _ in range(50):
        lr = float(np.float32(lr * 0.99))
        expected.append(lr)
    assert_same_bits(epoch_rates(module), expected)


def test_a_schedule_of_epochs_is_a_function_of_the_epoch():
    schedule = StepDecay(0.5, 0.5, 2)
    module = fit(Tiny(1), LearningRateScheduler(schedule), max_epochs=6)
    assert epoch_rates(module) == [schedule(e) for e in range(6)]
    with pytest.raises(ValueError, match=r"counts updates.*ScheduleLR asks it for the update"):
        LearningRateScheduler(ExponentialDecay(0.1, 10, 0.5))
    with pytest.raises(ValueError, match=r"counts epochs.*LearningRateScheduler and ScheduleLR"):
        BatchLearningRateScheduler(schedule)
    with pytest.raises(ValueError, match=r"asked for the batch within the epoch.*index=.update"):
        BatchLearningRateScheduler(ExponentialDecay(0.1, 10, 0.5), index="batch")
    with pytest.raises(ValueError, match=r"counts updates.*FunctionSchedule"):
        lr_scheduler.EpochFunctionLR(Tiny().configure_optimizers()[0], CosineDecay(0.1, 10))


def test_a_tensor_is_a_rate():
    module = fit(Tiny(1), LearningRateScheduler(lambda e: torch.tensor(0.1)), max_epochs=1)
    assert rates(module) == [float(np.float32(0.1))]
    with pytest.raises(ValueError, match=r"must return a float.*Return float"):
        fit(Tiny(1), LearningRateScheduler(lambda e: 1), max_epochs=1)


def asked(log: list[int]) -> Any:
    def rate(k: int) -> float:
        log.append(k)
        return 0.5**k

    return rate


BATCHWISE = {
    ("begin", "update"): lambda k, batch: 0.5**k,
    ("begin", "batch"): lambda k, batch: 0.5**batch,
    ("end", "update"): lambda k, batch: 0.5 ** (k - 1) if k else 1.0,
    ("end", "batch"): lambda k, batch: 0.5 ** ((batch - 1) % 3) if k else 1.0,
}


@pytest.mark.parametrize(("at", "index"), BATCHWISE)
def test_batch_function(at, index):
    log: list[int] = []
    module = fit(Tiny(3), BatchLearningRateScheduler(asked(log), at, index), max_epochs=3)
    expected = [BATCHWISE[at, index](k, k % 3) for k in range(9)]
    assert rates(module) == expected
    assert log == (list(range(9)) if index == "update" else [0, 1, 2] * 3)


@pytest.mark.parametrize("at", ["begin", "end"])
def test_batch_function_and_accumulated_batches(at):
    """Updates are real ones; `batch` counts each batch, and the last rate before an update is its."""
    module = fit(
        Tiny(3),
        BatchLearningRateScheduler(lambda k: 0.5**k, at),
        max_epochs=2,
        accumulate_grad_batches=2,
    )
    assert rates(module) == ([1.0, 0.5, 0.25, 0.125] if at == "begin" else [1.0, 1.0, 0.5, 0.25])
    module = fit(
        Tiny(3),
        BatchLearningRateScheduler(lambda k: 0.5**k, at, "batch"),
        max_epochs=2,
        accumulate_grad_batches=2,
    )
    assert rates(module) == ([0.5, 0.25] * 2 if at == "begin" else [1.0, 0.5] * 2)


def test_batch_function_skips_what_amp_skips():
    log: list[int] = []
    module = Tiny(4, overflows=(1,))
    fit(module, BatchLearningRateScheduler(asked(log)), max_epochs=2, amp=True)
    assert rates(module) == [0.5**k for k in range(6)]
    assert log == list(range(6))


def test_batch_function_of_two_optimizers_counts_each():
    module = Tiny(4, optimizers=2, manual=True)
    fit(module, BatchLearningRateScheduler(lambda k: 0.5**k), max_epochs=1)
    of = [[u.rates[0] for u in module.updates if u.optimizer == i] for i in range(2)]
    assert of == [[1.0, 0.5, 0.25, 0.125], [1.0, 0.5]]
    module = Tiny(4, optimizers=2, manual=True)
    fit(module, BatchLearningRateScheduler(lambda k: 0.5**k, optimizer="SGD-1"), max_epochs=1)
    of = [[u.rates[0] for u in module.updates if u.optimizer == i] for i in range(2)]
    assert of == [[1.0] * 4, [1.0, 0.5]]


@pytest.mark.parametrize("at", ["begin", "end"])
def test_batch_function_and_several_updates_in_a_batch(at):
    class Twice(Tiny):
        def training_step(self, batch, batch_idx):
            for _ in range(2):
                super().training_step(batch, batch_idx)

    module = fit(
        Twice(2, manual=True), BatchLearningRateScheduler(lambda k: 0.5**k, at), max_epochs=2
    )
    expected = [0.5**k for k in range(8)]
    assert rates(module) == (expected if at == "begin" else [1.0, *expected[:7]])


def test_batch_function_of_the_rate():
    module = fit(
        Tiny(3), BatchLearningRateScheduler(lambda k, lr: lr * 0.9 if k else lr), max_epochs=2
    )
    expected = [1.0]
    while len(expected) < 6:
        expected.append(float(np.float32(expected[-1] * 0.9)))
    assert_same_bits(rates(module), expected)


def test_initial_update():
    module = Tiny(2)
    fit(module, BatchLearningRateScheduler(lambda k: 0.5**k, initial_update=3), max_epochs=1)
    assert rates(module) == [0.125, 0.0625]


# --- loss-driven -------------------------------------------------------------------------------------


class Losses(Tiny):
    """The loss of update k is ``losses[k]``, for batches of different sizes; its gradient is 1."""

    sizes = (3, 3, 1)

    def __init__(self, losses: list[float], *, as_dict: bool = False, **more: Any) -> None:
        super().__init__(3, **more)
        self.losses, self.as_dict = losses, as_dict
        self.seen = 0

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> Any:
        value = self.losses[self.seen]
        self.seen += 1
        if value is None:
            return None
        loss = super().training_step(torch.ones(()), batch_idx)
        loss = loss + value if self.automatic_optimization else torch.tensor(value)
        self.log("train", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return {"loss": loss} if self.as_dict else loss

    def train_dataloader(self) -> Any:
        batches = [torch.zeros(n) for n in self.sizes]
        return torch.utils.data.DataLoader(batches, batch_size=None)


LOSSES = [2.0, 5.0, 1.5, 0.5, 0.25, 3.0]


def driven(losses: list[float | None], **rule: Any) -> list[float]:
    """The rates after each of the losses, the initial one first."""
    controller = controllers.LossDriven(0.01, **rule)
    lrs = [controller.start([1.0]).lrs[0]]
    for loss in losses:
        lrs.append(lrs[-1] if loss is None else controller.update(loss, lrs[-1:]).lrs[0])
    return lrs


def running_means(losses: list[float], sizes: list[int]) -> list[float]:
    total = count = np.float32(0)
    means = []
    for loss, size in zip(losses, sizes, strict=True):
        total = total + np.float32(loss) * np.float32(size)
        count = count + np.float32(size)
        means.append(float(total / count))
    return means


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("as_dict", [False, True])
def test_loss_of_the_batch(manual, as_dict):
    module = Losses(LOSSES, manual=manual, as_dict=as_dict)
    fit(module, LossDrivenLR(0.01, source="batch"), max_epochs=2)
    assert_same_bits(rates(module), driven(LOSSES)[:6])


def test_running_mean_of_the_epoch():
    module = fit(Losses(LOSSES), LossDrivenLR(0.01), max_epochs=2)
    means = running_means(LOSSES[:3], [3, 3, 1]) + running_means(LOSSES[3:], [3, 3, 1])
    assert_same_bits(rates(module), driven(means)[:6])


def test_loss_of_the_epoch():
    module = fit(Losses(LOSSES), LossDrivenLR(0.01, source="epoch"), max_epochs=2)
    expected = driven([running_means(LOSSES[:3], [3, 3, 1])[-1]])
    assert_same_bits(epoch_rates(module), expected)


def test_a_monitored_loss():
    values = [1.0, 0.5, 0.25]
    module = fit(Logs(values), LossDrivenLR(0.01, monitor="val_loss"), max_epochs=3)
    assert_same_bits(epoch_rates(module), driven(values)[:3])


def test_a_batch_size_of_ones_own():
    module = fit(Losses(LOSSES[:3]), LossDrivenLR(0.01, batch_size=lambda batch: 1), max_epochs=1)
    assert_same_bits(rates(module), driven(running_means(LOSSES[:3], [1, 1, 1]))[:3])


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulation_is_undone(accumulate):
    module = fit(
        Losses(LOSSES),
        driver := LossDrivenLR(0.01, source="batch"),
        max_epochs=2,
        accumulate_grad_batches=accumulate,
    )
    told = float(np.float32(LOSSES[-1]) / np.float32(accumulate) * np.float32(accumulate))
    assert driver.last_decision.lrs == (driven([told])[-1],)
    if accumulate == 2:
        assert told == LOSSES[-1]
        assert_same_bits(rates(module), [driven(LOSSES)[k] for k in (1, 2, 4, 5)])


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_batch_without_a_loss_changes_nothing():
    losses = [2.0, None, 1.5, 0.5, None, 3.0]
    module = fit(Losses(losses), LossDrivenLR(0.01, source="batch"), max_epochs=2)
    expected = [
        rate for rate, loss in zip(driven(losses), losses, strict=False) if loss is not None
    ]
    assert_same_bits(rates(module), expected)

    class ReturnsNone(Tiny):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)

    with pytest.raises(ValueError, match="under manual optimization it returned none"):
        fit(ReturnsNone(2, manual=True), LossDrivenLR(0.01), max_epochs=1)


def test_scale_bounds_and_function():
    for rule in (
        {"scale": -1.0},
        {"max_lr": 0.05, "min_lr": 0.02},
        {"function": lambda loss: 1.0 / (1.0 + loss)},
    ):
        module = fit(Losses(LOSSES), LossDrivenLR(0.01, source="batch", **rule), max_epochs=2)
        assert_same_bits(rates(module), driven(LOSSES, **rule)[:6], context=rule)


def test_a_loss_that_is_not_finite():
    losses = [1.0, math.inf, 2.0]
    with pytest.raises(FloatingPointError, match=r"the loss is inf.*`max_lr`"):
        fit(Losses(losses), LossDrivenLR(0.01, source="batch"), max_epochs=1)
    module = fit(
        Losses(losses), LossDrivenLR(0.01, source="batch", non_finite="keep"), max_epochs=1
    )
    assert_same_bits(rates(module), [driven(losses[:1])[k] for k in (0, 1, 1)])


DATA = torch.utils.data.TensorDataset(torch.arange(5.0))


class Modes(Tiny):
    """A module with a part that is in eval mode for good."""

    def __init__(self) -> None:
        super().__init__(2)
        self.frozen = torch.nn.Dropout()
        self.drop = torch.nn.Dropout()
        self.draws: list[float] = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.frozen.eval()
        self.draws.append(torch.rand(()).item())


def test_loss_over_a_data_set():
    seen = []

    def loss_fn(module, batch):
        seen.append((module.training, torch.is_grad_enabled(), module.frozen.training))
        torch.rand(7)
        return batch[0].mean() / 10

    draws = []
    for callback in (
        [],
        [LossDrivenLR(0.01, dataset=DATA, loss_fn=loss_fn, dataset_batch_size=2)],
    ):
        torch.manual_seed(0)
        module = fit(Modes(), *callback, max_epochs=3)
        draws.append(module.draws)
        assert module.drop.training
        assert not module.frozen.training
    assert draws[0] == draws[1]  # training draws the same numbers
    assert set(seen) == {(False, False, False)}
    value = running_means([0.05, 0.25, 0.4], [2, 2, 1])[-1]
    assert_same_bits(epoch_rates(module), driven([value, value])[:3])


def test_loss_over_a_data_set_after_every_n_updates():
    losses = iter([0.1, 0.2, 0.3])
    module = fit(
        Tiny(5),
        LossDrivenLR(
            0.01,
            dataset=torch.utils.data.DataLoader(DATA, batch_size=5),
            loss_fn=lambda module, batch: next(losses),
            every_n_updates=2,
        ),
        max_epochs=1,
    )
    expected = driven([0.1, 0.2])
    assert_same_bits(rates(module), [expected[k] for k in (0, 0, 1, 1, 2)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "metric"}, "pass `monitor`"),
        ({"monitor": "a", "dataset": DATA}, "two sources"),
        ({"source": "batch", "monitor": "a"}, "does not use `monitor`"),
        ({"source": "dataset"}, "needs `dataset`, and `loss_fn`"),
        ({"dataset": DATA}, "needs `dataset`, and `loss_fn`"),
        ({"every_n_updates": 2}, "belong to `dataset`"),
        ({"source": "loss"}, "`source` must be one of"),
        ({"dataset": DATA, "loss_fn": len, "every_n_updates": 0}, "integer >= 1"),
        ({"dataset": DATA, "loss_fn": len, "dataset_batch_size": 1.5}, "integer >= 1"),
        ({"min_lr": 2.0, "max_lr": 1.0}, "`min_lr` must not exceed"),
        ({"non_finite": "ignore"}, "`non_finite` must be one of"),
        ({"function": "log"}, "`function` must be one of"),
    ],
)
def test_loss_driven_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossDrivenLR(0.1, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"dataset": [1, 2], "loss_fn": len},
        {"batch_size": 3},
        {"function": 3},
        {"initial_learning_rate": "0.1"},
    ],
)
def test_loss_driven_types(arguments):
    with pytest.raises(TypeError):
        LossDrivenLR(**arguments)


# --- with schedules ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False])
def test_plateau_multiplies_a_schedule(first):
    schedule = ExponentialDecay(0.1, 1, 0.9)
    plateau, driver = ReduceLROnPlateau(factor=0.5, patience=1), ScheduleLR(schedule)
    module = fit(Logs(), *((plateau, driver) if first else (driver, plateau)), max_epochs=5)
    factors = [1.0, 1.0, 0.5, 0.25, 0.125]
    expected = [np.float32(schedule(k)) * np.float32(factors[k // 2]) for k in range(10)]
    assert_same_bits(rates(module), expected)
    assert plateau.last_decision.lrs == (float(np.float32(schedule(10)) * np.float32(0.0625)),)


def test_min_lr_bounds_the_product_and_not_the_schedule():
    schedule = ExponentialDecay(0.1, 1, 0.5)
    module = Logs(batches=1)
    fit(
        module,
        ScheduleLR(schedule),
        ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.01),
        max_epochs=8,
    )
    multiplier, expected = np.float32(1.0), []
    rule = controllers.ReduceLROnPlateau(0.1, 1, min_lr=0.01)
    for k in range(8):
        own = np.float32(schedule(k))
        rate = max(own * multiplier, min(own, np.float32(0.01)))
        expected.append(rate)
        following = np.float32(schedule(k + 1))
        held = max(following * multiplier, min(following, np.float32(0.01)))
        if rule.update(1.0, [float(held)]).changed:
            multiplier = np.float32(float(multiplier) * 0.1)
    assert_same_bits(rates(module), expected)
    assert min(rates(module)) < 0.01  # by the schedule


def test_plateau_multiplies_a_scheduler_of_the_module():
    schedule = ExponentialDecay(0.1, 1, 0.9)
    module = Logs(scheduler=lambda optimizer: lr_scheduler.ScheduleLR(optimizer, schedule))
    fit(module, ReduceLROnPlateau(factor=0.5, patience=1), max_epochs=4)
    factors = [1.0, 1.0, 0.5, 0.25]
    expected = [np.float32(schedule(k)) * np.float32(factors[k // 2]) for k in range(8)]
    assert_same_bits(rates(module), expected)


def test_on_schedule_raise_is_keras_type_error():
    plateau = ReduceLROnPlateau(patience=1, on_schedule="raise")
    module = Logs()
    with pytest.raises(TypeError, match=r'a schedule drives.*on_schedule="multiply"'):
        fit(module, plateau, ScheduleLR(CosineDecay(0.1, 10)), max_epochs=4)
    assert module.updates[-1].epoch == 1  # at the first reduction, as in Keras


SETTERS = [
    lambda: LearningRateScheduler(absolute),
    lambda: BatchLearningRateScheduler(absolute),
    lambda: LossDrivenLR(0.1),
]


@pytest.mark.parametrize("make", SETTERS)
def test_who_sets_rates_refuses_a_schedule(make):
    with pytest.raises(TypeError, match="drives it by a schedule"):
        fit(Tiny(), make(), ScheduleLR(CosineDecay(0.1, 10)))
    with pytest.raises(TypeError, match="configure_optimizers returns a scheduler"):
        fit(Tiny(scheduler=lambda o: lr_scheduler.ScheduleLR(o, CosineDecay(0.1, 10))), make())


def test_another_house_s_scheduler_is_refused():
    class Foreign(torch.optim.lr_scheduler.StepLR):
        def lightning_config(self):
            return {"scheduler": self}

    with pytest.raises(TypeError, match="returns a scheduler, Foreign, that would"):
        fit(Tiny(scheduler=lambda optimizer: Foreign(optimizer, 1)), ReduceLROnPlateau())


def test_one_is_scheduled_and_the_other_governed():
    module = Tiny(4, optimizers=2, manual=True)
    fit(
        module,
        ScheduleLR(CosineDecay(0.1, 10), optimizer=0),
        LearningRateScheduler(absolute, optimizer="SGD-1"),
        max_epochs=2,
    )
    assert epoch_rates(module, 1) == [1.0, 0.5]


# --- optimizers, groups, tensors ---------------------------------------------------------------------


def test_several_optimizers_share_one_counter():
    class Two(Logs):
        def configure_optimizers(self):
            made = super().configure_optimizers()
            made[1].param_groups[0]["lr"] = 0.001
            return made

    module = Two(optimizers=2, manual=True)
    plateau = ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.001)
    fit(module, plateau, max_epochs=4)
    small = float(np.float32(0.001))
    assert_same_bits(epoch_rates(module, 0), [1.0, 1.0, np.float32(0.1), np.float32(0.01)])
    assert_same_bits(epoch_rates(module, 1), [0.001, 0.001, 0.001, 0.001], context=small)
    assert plateau.controller.wait == 0


def test_an_optimizer_that_is_not_there():
    with pytest.raises(ValueError, match=r"names the optimizer 'Adam'.*There are: 0 \('SGD'\)"):
        fit(Tiny(), ReduceLROnPlateau(optimizer="Adam"))


def test_lr_scale_and_tensor_lr():
    class Scaled(Logs):
        def configure_optimizers(self):
            made = super().configure_optimizers()
            group = made[0].param_groups[0]
            group["lr_scale"], group["lr"] = 0.3, torch.tensor(0.3)
            self.tensor = group["lr"]
            return made

    module = fit(Scaled(), ReduceLROnPlateau(factor=0.5, patience=1), max_epochs=4)
    expected = [np.float32(0.5**n) * np.float32(0.3) for n in (0, 0, 1, 2)]
    assert_same_bits(epoch_rates(module), expected)
    assert module.tensor is module.optimizers().param_groups[0]["lr"]


# --- messages, hooks, logging ------------------------------------------------------------------------


def test_verbose_prints_what_keras_prints(capsys):
    fit(Logs(), ReduceLROnPlateau(factor=0.1, patience=1, verbose=1), max_epochs=2)
    assert "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.1.\n" in capsys.readouterr().out
    fit(Tiny(1), LearningRateScheduler(lambda e: 0.3, verbose=1), max_epochs=1)
    assert (
        "Epoch 1: LearningRateScheduler setting learning rate to 0.3.\n" in capsys.readouterr().out
    )
    fit(Logs(), ReduceLROnPlateau(factor=0.1, patience=1), max_epochs=2)
    assert "reducing" not in capsys.readouterr().out


def test_on_change_gets_the_decision_after_the_rate_is_set():
    seen = []

    def on_change(trainer, module, decision):
        held = module.optimizers().param_groups[0]["lr"]
        seen.append((trainer.current_epoch, held, decision.lrs, decision.changed))
        assert "no improvement" in decision.reason

    fit(Logs(), ReduceLROnPlateau(factor=0.5, patience=2, on_change=on_change), max_epochs=5)
    assert seen == [(2, 0.5, (0.5,), True), (4, 0.25, (0.25,), True)]
    with pytest.raises(TypeError, match="`on_change` must be a function"):
        ReduceLROnPlateau(on_change=3)


@pytest.mark.parametrize("first", [True, False])
def test_learning_rate_monitor_and_recorder_are_right(first, tmp_path):
    monitor, recorder = LearningRateMonitor("epoch"), LearningRateRecorder()
    ours = [ReduceLROnPlateau(factor=0.5, patience=1)]
    callbacks = [*ours, monitor, recorder] if first else [monitor, recorder, *ours]
    logger = CSVLogger(tmp_path)
    trainer = make_trainer(callbacks, max_epochs=4, logger=logger, log_every_n_steps=1)
    module = Logs()
    trainer.fit(module)
    assert recorder.trajectory.learning_rate.tolist() == rates(module)
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open() as file:
        logged = [float(row["lr-SGD"]) for row in csv.DictReader(file) if row["lr-SGD"]]
    assert logged == epoch_rates(module)


# --- several fits, copies, trials --------------------------------------------------------------------


@pytest.mark.parametrize(("version", "best"), [("3.14", 1.0), ("3.15", 2.0), ("2.15", 2.0)])
def test_a_second_fit_starts_as_the_version_does_and_keeps_the_rate(version, best):
    plateau = ReduceLROnPlateau(factor=0.5, patience=1, keras_version=version)
    module = Logs([1.0, 1.0, 2.0, 2.0, 2.0])
    trainer = make_trainer([plateau], max_epochs=2)
    trainer.fit(module)
    assert plateau.controller.best == 1.0
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module)
    assert epoch_rates(module)[:3] == [1.0, 1.0, 0.5]
    assert plateau.controller.best == best


def test_a_state_that_is_loaded_while_training_is_no_resume_of_the_next_fit():
    plateau = ReduceLROnPlateau(factor=0.5, patience=3)

    class Restores(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            plateau.load_state_dict(plateau.state_dict())

    module = Logs()
    trainer = make_trainer([plateau, Restores()], max_epochs=3)
    trainer.fit(module)
    assert plateau.controller.wait == 2
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module)
    assert plateau.controller.wait == 0  # Keras' on_train_begin


def test_a_second_fit_of_another_rate_takes_that():
    class Changing(Logs):
        lr = 1.0

        def configure_optimizers(self):
            made = super().configure_optimizers()
            made[0].param_groups[0]["lr"] = self.lr
            return made

    module, plateau = Changing(), ReduceLROnPlateau(factor=0.5, patience=1)
    trainer = make_trainer([plateau], max_epochs=2)
    trainer.fit(module)
    module.lr = 0.25
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module)
    assert epoch_rates(module) == [1.0, 1.0, 0.25]


def test_another_trainer_starts_anew():
    plateau = ReduceLROnPlateau(factor=0.5, patience=2)
    for _ in range(2):
        module = fit(Logs(), plateau, max_epochs=4)
        assert epoch_rates(module) == [1.0, 1.0, 1.0, 0.5]


def test_a_trainer_that_trains_keeps_its_callback():
    plateau = ReduceLROnPlateau()

    class Steals(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            make_trainer([plateau], max_epochs=1).fit(Logs())

    with pytest.raises(RuntimeError, match=r"still in use by another trainer.*deepcopy"):
        fit(Logs(), plateau, Steals())


MAKERS = [
    lambda: ReduceLROnPlateau(factor=0.5, patience=2),
    lambda: LearningRateScheduler(compounding),
    lambda: BatchLearningRateScheduler(absolute),
    lambda: LossDrivenLR(0.1, source="epoch"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_copies_and_pickles_start_anew(make):
    callback = make()
    whole = rates(fit(Logs(), callback, max_epochs=4))
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert rates(fit(Logs(), other, max_epochs=4)) == whole
        assert repr(other) == repr(callback)


def test_a_learning_rate_finder_is_no_training():
    class Found(Logs):
        lr = 1.0

        def configure_optimizers(self):
            made = super().configure_optimizers()
            made[0].param_groups[0]["lr"] = self.lr
            return made

    for make in MAKERS:
        finder = LearningRateFinder(num_training_steps=5, update_attr=False)
        module = Found(batches=4)
        trainer = make_trainer([finder, make()], max_epochs=3, enable_checkpointing=False)
        trainer.fit(module)
        found = module.updates[-12:]
        plain = fit(Found(batches=4), make(), max_epochs=3)
        assert [u.rates for u in found] == [u.rates for u in plain.updates]


def test_testing_by_a_checkpoint_changes_nothing(tmp_path):
    plateau = ReduceLROnPlateau(factor=0.5, patience=2)

    class Tested(Logs):
        def test_step(self, batch, batch_idx):
            pass

        def test_dataloader(self):
            return self.val_dataloader()

    module = Tested()
    trainer = make_trainer([plateau], max_epochs=2)
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module)
    state = plateau.state_dict()
    trainer.test(module, ckpt_path=tmp_path / "one.ckpt", verbose=False, weights_only=True)
    assert plateau.state_dict() == state


# --- what a review has found -------------------------------------------------------------------------


class Batch(UserDict):
    """As tokenizers return."""


@dataclass
class Rows:
    scale: torch.Tensor
    x: torch.Tensor


class Graphs:
    num_graphs = 7


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(7, 2),
        {"x": torch.zeros(7, 2)},
        Batch(scale=torch.ones(()), x=torch.zeros(7, 2)),
        Rows(torch.ones(()), torch.zeros(7)),
        [["a", "b"], np.zeros((7, 1))],
        list("abcdefg"),
        Graphs(),
        torch.nn.utils.rnn.pack_sequence([torch.zeros(3)] * 7),
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_sizes_of_batches(batch):
    assert size_of(batch) == 7


def test_a_size_that_cannot_be_told():
    assert size_of(torch.ones(())) == 1
    for batch in (object(), {}, {"a": None}):
        with pytest.raises(ValueError, match=r"cannot be told.*Pass `batch_size`"):
            size_of(batch)


def test_a_second_fit_after_a_group_has_joined():
    class Joins(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            groups = trainer.optimizers[0].param_groups
            if trainer.current_epoch % 2 == 1 and len(groups) == 1:
                params = pl_module.backbone.parameters()
                trainer.optimizers[0].add_param_group({"params": params, "lr": 0.1})

    for make in MAKERS:
        module = Logs()
        trainer = make_trainer([Joins(), make()], max_epochs=2)
        trainer.fit(module)
        trainer.fit_loop.max_epochs = 4
        trainer.fit(module)
        assert len(module.optimizers().param_groups) == 2


def test_a_group_that_joins_takes_no_other_optimizer_s_initial_rate():
    class Two(Tiny):
        def configure_optimizers(self):
            made = super().configure_optimizers()
            made[0].param_groups[0]["lr"], made[1].param_groups[0]["lr"] = 0.5, 0.125
            return made

        def on_train_epoch_start(self):
            if self.current_epoch == 1:
                group = {"params": self.backbone.parameters(), "lr": 0.0625}
                self.optimizers()[0].add_param_group(group)

    module = Two(2, optimizers=2, manual=True)
    fit(module, LossDrivenLR(function=lambda loss: 2.0, source="epoch"), max_epochs=3)
    held = [[group["lr"] for group in one.param_groups] for one in module.optimizers()]
    assert held == [[1.0, 0.125], [0.25]]


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_the_data_set_in_the_trainer_s_precision(precision):
    class Dense(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            return self.layer(batch[0]).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1.0)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(COLUMN, batch_size=2)

    driver = LossDrivenLR(0.1, dataset=COLUMN, loss_fn=lambda m, b: m.layer(b[0]).square().mean())
    make_trainer([driver], max_epochs=1, precision=precision).fit(Dense())
    assert driver.last_decision.metric > 0


COLUMN = torch.utils.data.TensorDataset(torch.ones(4, 1))


def test_the_data_set_is_no_training():
    seen = []

    class Transfers(Tiny):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            seen.append((self.trainer.training, self.trainer.validating))
            return batch

    driver = LossDrivenLR(0.1, dataset=DATA, loss_fn=lambda m, b: b[0].mean() / 100)
    fit(Transfers(1), driver, max_epochs=1, limit_val_batches=0)
    assert seen == [(True, False), (False, True)]


class Draws(torch.utils.data.Dataset):
    """A transform that draws from every generator."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return np.random.rand() + random.random() + torch.rand(()).item()  # noqa: NPY002


def test_the_data_set_draws_no_numbers_of_the_training():
    generator = torch.Generator().manual_seed(0)
    loader = torch.utils.data.DataLoader(Draws(), shuffle=True, generator=generator)

    class Notes(Tiny):
        drawn: ClassVar[list] = []

        def on_train_batch_start(self, batch, batch_idx):
            self.drawn.append((torch.rand(()).item(), random.random(), np.random.rand()))  # noqa: NPY002
            self.drawn.append(torch.randperm(5, generator=generator).tolist())

    runs = []
    for more in ([], [LossDrivenLR(0.1, dataset=loader, loss_fn=lambda m, b: b.mean() / 10)]):
        torch.manual_seed(0), random.seed(0), np.random.seed(0), generator.manual_seed(0)  # noqa: NPY002
        Notes.drawn = []
        fit(Notes(2), *more, max_epochs=3)
        runs.append(Notes.drawn)
    assert runs[0] == runs[1]


def test_the_training_loader_with_persistent_workers_is_left_alone():
    loader = torch.utils.data.DataLoader(
        torch.arange(6.0), num_workers=1, persistent_workers=True, batch_size=1
    )
    seen = []

    class Notes(Tiny):
        def training_step(self, batch, batch_idx):
            seen.append(batch.item())
            return super().training_step(torch.ones(()), batch_idx)

        def train_dataloader(self):
            return loader

    driver = LossDrivenLR(
        0.1, dataset=loader, loss_fn=lambda m, b: 0.0 * b.mean(), every_n_updates=2
    )
    fit(Notes(6), driver, max_epochs=1, limit_val_batches=0)
    assert seen == list(range(6))


def test_a_loss_fn_that_returns_something_else():
    with pytest.raises(ValueError, match=r"`loss_fn` must return the mean loss.*of type dict"):
        fit(
            Tiny(1),
            LossDrivenLR(0.1, dataset=DATA, loss_fn=lambda m, b: {"loss": 1.0}),
            max_epochs=1,
        )


def test_a_schedule_at_min_lr_is_left_alone():
    class Two(Logs):
        def configure_optimizers(self):
            made = super().configure_optimizers()
            made[0].param_groups[0]["lr"] = 1.0
            return made

    module = Two(optimizers=2, manual=True)
    low = PiecewiseConstantDecay([100], [0.25, 0.125])
    fit(
        module,
        ScheduleLR(low, optimizer="SGD-1"),
        ReduceLROnPlateau(factor=0.5, patience=1, min_lr=0.25),
        max_epochs=4,
    )
    assert epoch_rates(module, 0) == [1.0, 1.0, 0.5, 0.25]
    assert epoch_rates(module, 1) == [0.25] * 4


def test_two_plateaus_with_bounds_on_one_schedule_do_what_they_do_without():
    def plateaus():
        return [
            ReduceLROnPlateau(factor=0.25, patience=2, min_lr=0.5, name="one"),
            ReduceLROnPlateau(factor=0.5, patience=3, name="two"),
        ]

    constant = PiecewiseConstantDecay([1000], [1.0, 0.5])
    plain = fit(Logs(), *plateaus(), max_epochs=9)
    scheduled = fit(Logs(), ScheduleLR(constant), *plateaus(), max_epochs=9)
    assert epoch_rates(plain) == epoch_rates(scheduled)
    assert len(set(epoch_rates(plain))) > 2


def test_verbose_names_the_epoch_that_ended(capsys):
    plateau = ReduceLROnPlateau("m", 0.5, 1, verbose=1, mode="min")
    fit(Logs(name="m", where="epoch's end"), plateau, max_epochs=3)
    told = [line for line in capsys.readouterr().out.splitlines() if "reducing" in line]
    assert [line.split(":")[0] for line in told] == ["Epoch 2", "Epoch 3"]


def test_a_scheduler_that_comes_while_training_is_told():
    averaging = StochasticWeightAveraging(0.05, swa_epoch_start=2)
    with pytest.warns(
        UserWarning, match="A scheduler, SWALR, has come to the optimizer 'SGD' while"
    ):
        fit(Tiny(2), averaging, LearningRateScheduler(lambda epoch: 0.5), max_epochs=4)


@pytest.mark.parametrize(
    ("make", "every"),
    [
        (lambda: BatchLearningRateScheduler(absolute), "step"),
        (MAKERS[1], "step"),
        (MAKERS[1], "epoch"),
    ],
)
def test_a_monitor_that_stands_before_is_right_too(make, every, tmp_path):
    logger = CSVLogger(tmp_path)
    module = Tiny(2)
    make_trainer(
        [LearningRateMonitor(every), make()], max_epochs=3, logger=logger, log_every_n_steps=1
    ).fit(module)
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open() as file:
        logged = [float(row["lr-SGD"]) for row in csv.DictReader(file) if row["lr-SGD"]]
    assert logged == rates(module)[:: 1 if every == "step" else 2]


def test_the_initial_rate_does_not_compound_over_fits():
    module = Logs()
    trainer = make_trainer([LossDrivenLR(function=lambda loss: 2.0, source="epoch")], max_epochs=2)
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module)
    assert epoch_rates(module) == [1.0, 2.0, 1.0, 2.0]


def test_two_alike_need_names():
    with pytest.raises(RuntimeError, match="state_key"):
        make_trainer([ReduceLROnPlateau(), ReduceLROnPlateau(patience=3)])
    make_trainer([ReduceLROnPlateau(), ReduceLROnPlateau(patience=3, name="slow")])
    with pytest.raises(TypeError, match="`name` must be a string"):
        ReduceLROnPlateau(name=3)


def test_a_misspelt_metric_is_told_in_the_end_even_if_no_epoch_validates():
    with pytest.warns(UserWarning, match="'val_los', which is not there"):
        fit(
            Logs(),
            ReduceLROnPlateau("val_los", mode="min"),
            max_epochs=2,
            check_val_every_n_epoch=9,
        )


def test_a_value_by_hand_that_is_no_tensor():
    class Writes(pl.Callback):
        def on_validation_end(self, trainer, pl_module):
            trainer.callback_metrics["mine"] = 3

    with pytest.warns(UserWarning, match="has to be a tensor, a new one each time"):
        fit(Tiny(2), Writes(), ReduceLROnPlateau("mine", mode="min"), max_epochs=3)


def test_numpy_by_version():
    for version, numpy_major in (("2.6", 1), ("2.15", 1), ("2.17", 1), ("2.18", 2), ("2.21", 2)):
        assert ReduceLROnPlateau(keras_version=version).controller.numpy_major == numpy_major
    assert ReduceLROnPlateau(keras_version="2.15", numpy_major=2).controller.numpy_major == 2


def test_a_start_moves_no_bit_that_float32_holds():
    class Scaled(Logs):
        def configure_optimizers(self):
            made = super().configure_optimizers()
            made[0].param_groups[0].update(lr=0.1, lr_scale=0.3)
            return made

    module = fit(Scaled(batches=1), ReduceLROnPlateau(), max_epochs=1)
    assert rates(module) == [float(np.float32(0.1))]


@pytest.mark.parametrize("version", [2.1, None, "x"])
def test_a_version_that_is_none(version):
    with pytest.raises(ValueError, match="`keras_version`"):
        ReduceLROnPlateau(epsilon=0.1, keras_version=version)


# --- arguments and states ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"factor": 1.0}, ValueError, "`factor` of ReduceLROnPlateau must be < 1.0"),
        ({"keras_version": "2.4"}, ValueError, "was not checked"),
        ({"keras_version": "4.0"}, ValueError, "was not checked"),
        ({"when": "batch"}, ValueError, "`when` must be one of"),
        ({"on_schedule": "ignore"}, ValueError, "`on_schedule` must be one of"),
        ({"monitor": ""}, TypeError, "`monitor` must be the name"),
        ({"monitor": 3}, TypeError, "`monitor` must be the name"),
        ({"verbose": "yes"}, ValueError, "`verbose` must be 0 or 1"),
        ({"strict": "yes"}, TypeError, "`strict` must be True or False"),
        ({"optimizer": 1.5}, TypeError, "`optimizer` must be an integer"),
        ({"epsilon": 0.1}, ValueError, "Keras 3.15 ignores it"),
        ({"epsilon": 0.1, "min_delta": 0.2, "keras_version": "2.0"}, ValueError, "two names"),
    ],
)
def test_plateau_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ReduceLROnPlateau(**arguments)


def test_epsilon_of_old_versions():
    assert ReduceLROnPlateau(epsilon=0.1, keras_version="2.0.9").controller.min_delta == 0.1
    with pytest.warns(UserWarning, match="called `min_delta` from Keras 2.1.6"):
        assert ReduceLROnPlateau(epsilon=0.1, keras_version="2.3").controller.min_delta == 0.1


def test_state_keys():
    keys = [make().state_key for make in MAKERS]
    assert keys == [
        "ReduceLROnPlateau{'monitor': 'val_loss', 'mode': 'auto', 'optimizer': None}",
        "LearningRateScheduler{'optimizer': None}",
        "BatchLearningRateScheduler{'at': 'begin', 'index': 'update', 'optimizer': None}",
        "LossDrivenLR{'source': 'epoch', 'monitor': None, 'optimizer': None}",
    ]


@pytest.mark.parametrize("make", MAKERS)
def test_damaged_states_are_refused(make):
    callback = make()
    state = callback.state_dict()
    callback.load_state_dict(copy.deepcopy(state))
    for name in state:
        for value in (None, "x", -1, [1], {"0": "x"}, {}):
            if type(value) is type(state[name]) and value in (-1, {}):
                continue  # it is sound
            if value is None and name in ("pending", "coming"):
                continue
            if (name, value) == ("sizes", [1]):
                continue
            with pytest.raises(ValueError, match="state"):
                callback.load_state_dict(copy.deepcopy(state) | {name: value})
    with pytest.raises(ValueError, match="not the state of lrparity's"):
        callback.load_state_dict({})


def test_another_configuration_is_refused_on_resume(tmp_path):
    fit(Logs(), plateau := ReduceLROnPlateau(factor=0.5, patience=2), max_epochs=2)
    state = plateau.state_dict()
    with pytest.raises(ValueError, match=r"factor: saved 0\.5, now 0\.1"):
        ReduceLROnPlateau(factor=0.1, patience=2).load_state_dict(state)
    new = ReduceLROnPlateau(factor=0.1, patience=2, on_config_change="use_new")
    new.load_state_dict(state)
    assert (new.controller.best, new.controller.factor) == (1.0, 0.1)


def test_no_optimizer_is_an_error():
    class NoOptimizer(Tiny):
        def configure_optimizers(self):
            return None

    with (
        pytest.warns(UserWarning, match="returned `None`"),
        pytest.raises(ValueError, match="nothing to govern"),
    ):
        fit(NoOptimizer(), ReduceLROnPlateau())


def test_the_error_of_ranks_has_a_name():
    assert issubclass(RanksDifferError, RuntimeError)
