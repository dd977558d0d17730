"""What the tests of the closed loops train: metrics and losses that depend on where the training is.

Each is a number of the epoch and the batch alone, so that a training that goes on from a checkpoint
has those of one that was not interrupted.  Nothing of lrparity's is asked.
"""

from __future__ import annotations

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from bits import assert_same_bits
from lightning_side import TinyTraining, Update, make_trainer
from resume_side import HOOKS, Saver

OURS = ("ReduceLROnPlateau", "LearningRateScheduler", "BatchLearningRateScheduler", "LossDrivenLR")


def noise(*key: object) -> float:
    """A number in [0, 1) that nobody guesses, and that is the same each time."""
    return zlib.crc32(repr(key).encode()) / 2**32


class MeasuringTraining(TinyTraining):
    """Logs metrics that grow from epoch to epoch, each in the place that its name says.

    Args:
        logged: ``"val_loss"``, the mean over a validation; ``"val_end"``, in on_validation_epoch_end;
            ``"train_loss"``, the mean over an epoch; ``"train_end"``, in the module's own
            on_train_epoch_end; ``"both"``, in training and in validation; ``"odd"``, in the
            validations of odd epochs.
        saver: saves in the module's own hooks.
    """

    def __init__(
        self,
        batches: int = 5,
        *,
        logged: Collection[str] = ("val_loss",),
        saver: Saver | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(batches, **arguments)
        self.logged, self.saver = set(logged), saver

    def place(self) -> tuple[int, int]:
        """The epoch, and how many batches of it have begun."""
        loop = self.trainer.fit_loop
        return loop.epoch_progress.current.processed, loop.epoch_loop.batch_progress.current.ready

    def log_if_wanted(self, name: str, *key: int, **options: Any) -> None:
        if name in self.logged:
            epoch, batches = self.place()
            value = epoch + 0.05 * batches + 0.04 * noise(name, epoch, batches, *key)
            self.log(name, value, batch_size=1, **options)

    def offset(self, batch_idx: int) -> float:
        return 0.5 + 0.5 * noise(self.place()[0], batch_idx)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log_if_wanted("train_loss", on_step=False, on_epoch=True)
        self.log_if_wanted("both", on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log_if_wanted("val_loss", batch_idx)
        self.log_if_wanted("both", batch_idx)
        if self.place()[0] % 2:
            self.log_if_wanted("odd", batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.log_if_wanted("val_end")
        self.save("on_validation_epoch_end")

    def on_train_epoch_end(self) -> None:
        self.log_if_wanted("train_end")
        self.save("on_train_epoch_end")

    def save(self, hook: str) -> None:
        if self.saver is not None:
            self.saver.save(hook, self.trainer)


for _hook in HOOKS:
    if _hook not in vars(MeasuringTraining) and _hook != "on_sanity_check_start":
        setattr(MeasuringTraining, _hook, lambda self, *_, hook=_hook, **__: self.save(hook))


class Measuring(MeasuringTraining, pl.LightningModule):
    """For ``import lightning``."""


def by_number(update: Update) -> Any:
    return update.number


def by_epoch(update: Update) -> Any:
    return update.epoch


def by_batch(update: Update) -> Any:
    return update.epoch, update.batch_idx


@dataclass(frozen=True)
class Run:
    """What came of a training."""

    module: Any
    callbacks: list[Any]

    @property
    def updates(self) -> list[Update]:
        return self.module.updates

    def decided(self) -> list[dict[str, Any]]:
        """What the controllers remember, and the rates that are left."""
        states = [one.state_dict() for one in self.callbacks if type(one).__name__ in OURS]
        return [{name: state[name] for name in ("controller", "rates")} for state in states]


@dataclass(frozen=True)
class Case:
    """A way to train, as in ``test_resume``.

    Attributes:
        callbacks: makes the callbacks.
        key: by what an update has its rate, where Lightning repeats a batch; None: by both the epoch
            and the updates, which then do not go together as they did.
        module: arguments of the module.
        trainer: arguments of the trainer.
        other_after: the hooks after a save in which Lightning does not go on as it would have.
        late: whether the metric comes after the callbacks' turn at an epoch's end.
        inexact: whether the rates after a checkpoint, by its loops, need not be those of the whole.
    """

    callbacks: Callable[[], list[Any]]
    key: Callable[[Update], Any] | None = by_number
    module: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    other_after: tuple[str, ...] = ()
    inexact: Callable[[dict[str, Any]], bool] = lambda loops: False
    late: bool = False

    def fit(
        self,
        ckpt_path: Path | None = None,
        *,
        before: Iterable[Any] = (),
        more: Iterable[Any] = (),
        saver: Saver | None = None,
        **trainer: Any,
    ) -> Run:
        """Train, from a checkpoint if one is given, with everything fresh."""
        module, callbacks = Measuring(**self.module, saver=saver), self.callbacks()
        made = make_trainer([*before, *callbacks, *more], **self.trainer | trainer)
        made.fit(module, ckpt_path=ckpt_path)
        return Run(module, callbacks)


RESUMES: Counter[str] = Counter()
"""How many there were, by what could be said of them."""


def check_resumed(
    case: Case, whole: Run, path: Path, hook: str = "", *, place: str = "", **trainer: Any
) -> str:
    """Go on from a checkpoint, to where the whole went: the rates are those of the whole.

    Returns:
        ``"exact"``; ``"by key"`` where Lightning repeats batches, or ``"repeated"`` where there is no
        key; ``"told"`` where a value is lost, with a warning; or ``"inexact"``, without a look.
    """
    __tracebackhide__ = True
    RESUMES["wrong"] += 1
    result = _check_resumed(case, whole, path, hook, place, trainer)
    RESUMES.update({"wrong": -1, result: 1})
    return result


def _check_resumed(
    case: Case, whole: Run, path: Path, hook: str, place: str, trainer: dict[str, Any]
) -> str:
    __tracebackhide__ = True
    loops = torch.load(path, weights_only=True)["loops"]["fit_loop"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resumed = case.fit(path, **trainer)
    told = [str(one.message) for one in caught if "could not decide" in str(one.message)]
    assert bool(told) == (case.late and is_lost(loops, hook, place)), (path.name, told)
    if told:
        return "told"
    if case.inexact(loops):
        return "inexact"
    if hook in case.other_after and case.key is None:
        return "repeated"
    if hook in case.other_after:
        expected = {(one.optimizer, case.key(one)): one for one in whole.updates}
        for update in resumed.updates:
            same = expected.get((update.optimizer, case.key(update)))
            if same is not None:
                assert update.rates == same.rates, (path.name, update, same)
        return "by key"
    rest = [u for u in whole.updates if u.number >= resumed.module.done_before[u.optimizer]]
    assert [tell(u) for u in resumed.updates] == [tell(u) for u in rest], path.name
    for update, same in zip(resumed.updates, rest, strict=True):
        assert_same_bits(update.rates, same.rates, context=(path.name, update, same))
        assert_same_bits(update.shown, same.shown, context=(path.name, update, same))
    assert resumed.decided() == whole.decided(), path.name
    return "exact"


def tell(update: Update) -> tuple[int, ...]:
    """Which update it is."""
    return update.optimizer, update.number, update.epoch, update.batch_idx


def is_lost(loops: dict[str, Any], hook: str, place: str) -> bool:
    """Whether a metric of the module's own on_train_epoch_end had not come, and does not any more.

    Lightning does not do the end of an epoch again; nor does it where the checkpoint was written as the
    last batch ended, unless a validation is due.
    """
    if hook == "on_train_epoch_end":
        return place != "module"
    batches = loops["epoch_loop.batch_progress"]["current"]
    return is_over(loops) and batches["completed"] < batches["processed"]


def is_over(loops: dict[str, Any]) -> bool:
    """Whether the last batch of the epoch is done."""
    epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]
    done = batches["current"]["ready"] == batches["current"]["processed"]
    return epochs["started"] > epochs["processed"] and batches["is_last_batch"] and done


def within_an_epoch(loops: dict[str, Any]) -> bool:
    """Lightning forgets what a mean over an epoch of training has had."""
    epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]
    begun = epochs["started"] > epochs["processed"] and batches["current"]["processed"] > 0
    return begun and not is_over(loops)
