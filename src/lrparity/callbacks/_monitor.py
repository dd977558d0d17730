"""One metric of the training, each value once, in the epoch that it belongs to."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from lrparity.callbacks._epoch_metrics import EpochMetrics, fresh


class Monitor(EpochMetrics):
    """The values of one metric as they come: of a validation, at an epoch's end, or later still.

    When they come, and how a stale one is told apart, is what ``EpochMetrics`` knows.  A metric that a
    validation of the epoch has is the validation's, even if training logs one of the same name.

    Args:
        name: of the metric.

    Attributes:
        value: the newest of the epoch, until :meth:`take`; None if there is none.
        validated: whether a validation was done in the epoch.
        refused: what the metric was, if it was no number.
        late: whether a value has come after the callbacks' turn at an epoch's end.
        is_validations: whether a validation of the epoch had it.
    """

    def __init__(self, name: str) -> None:
        super().__init__([name])
        self.name = name
        self.value: float | None = None
        self.validated = False
        self.refused: str | None = None
        self.late = self.is_validations = False

    def take(self) -> float | None:
        """The value, once."""
        value, self.value = self.value, None
        return value

    @property
    def epoch(self) -> int:
        """The epoch that the value belongs to, counted by those that are done before it."""
        return self._processed

    @property
    def in_validation(self) -> bool:
        """Whether a validation has begun and not been looked at."""
        return self._before_validation is not None

    def begin_epoch(self, trainer: Any) -> None:
        """An epoch begins, and what was not taken of the one before is gone."""
        super().begin_epoch(trainer)
        self.value, self.validated, self.is_validations = None, False, False

    def catch_up(self, trainer: Any) -> None:
        """A checkpoint is written, or an epoch is over for good: take what is there already."""
        before = self._before_validation
        if before is None:
            super().catch_up(trainer)
        elif self.name in fresh(trainer.callback_metrics, before):
            self.end_validation(trainer)  # who writes the checkpoint comes before us

    def end_validation(self, trainer: Any) -> None:
        """A validation is done."""
        before = self._before_validation
        if before is None:
            return
        self.validated = True
        if self.name in fresh(trainer.callback_metrics, before):
            self.is_validations = False  # a later validation goes before an earlier one
            super().end_validation(trainer)
            self.is_validations = True
        self._before_validation = None

    def _complete(self, trainer: Any, current: dict[str, Any]) -> None:
        before = self.take()
        super()._complete(trainer, current)
        self.late = self.late or self.value is not None
        if self.value is None:
            self.value = before

    def _write_one(self, name: str, value: Any) -> None:
        if self.is_validations:
            return
        try:
            self.value = float(value)
        except (TypeError, ValueError, RuntimeError):
            self.refused = f"{value!r:.100}"


def nearest(name: str, available: Collection[str]) -> str:
    """A hint at what may have been meant, or nothing.

    >>> nearest("val_los", ["val_loss", "train_loss"])
    " Did you mean 'val_loss'?"
    >>> nearest("val_loss", ["val/loss"])
    " Did you mean 'val/loss'?"
    >>> nearest("val_loss", ["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"])
    " Did you mean 'val_loss/dataloader_idx_0'?"
    >>> nearest("loss", [])
    ''
    """
    for one in available:
        if one.startswith((f"{name}/", f"{name}_")):
            return f" Did you mean {one!r}?"
    plain = {one.replace("/", "_").replace(".", "_").lower(): one for one in available}
    found = difflib.get_close_matches(name.replace("/", "_").replace(".", "_").lower(), plain, 1)
    return f" Did you mean {plain[found[0]]!r}?" if found else ""


def higher_is_better(trainer: Any, pl_module: Any, name: str) -> bool | None:
    """What a torchmetrics object that is logged under this name says of its direction, if anything."""
    plain = name.partition("/dataloader_idx_")[0].removesuffix("_epoch")
    for metric in (*_logged(trainer, plain), *_attributes(pl_module, plain)):
        direction = getattr(metric, "higher_is_better", None)
        if direction is not None:
            return bool(direction)
    return None


def _logged(trainer: Any, name: str) -> Iterator[Any]:
    """The objects that ``self.log`` was given; they are private, and the same since Lightning 1.5."""
    loop = trainer.fit_loop.epoch_loop
    for owner in (getattr(loop, "val_loop", None), loop):
        results = getattr(owner, "_results", None)
        for item in list(results.values()) if isinstance(results, dict) else ():
            meta = getattr(item, "meta", None)
            if getattr(meta, "name", None) == name:
                yield getattr(item, "value", None)


def _attributes(pl_module: Any, name: str) -> Iterator[Any]:
    """The module's metrics of that name, or of that name without ``val_``, as in Keras."""
    for wanted in (name, name.removeprefix("val_")):
        for path, module in pl_module.named_modules():
            if path.rpartition(".")[2] == wanted:
                yield module
