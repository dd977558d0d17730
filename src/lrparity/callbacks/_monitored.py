"""Callbacks that decide by a metric: one decision for each value, on every rank, over resumes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from lrparity import _validation as check
from lrparity.callbacks._closed_loop import ClosedLoop, OnChange, enter_epoch, settle
from lrparity.callbacks._loops import (
    batches_begun,
    epochs_done,
    last_batch_is_done,
    mend,
    warn_lost,
)
from lrparity.callbacks._monitor import Monitor, nearest
from lrparity.callbacks._ranks import agree, together
from lrparity.controllers import Controller, Decision

WHENS = ("epoch", "validation")


class Monitored(ClosedLoop):
    """Decides once for each fresh value of a metric.

    A value is *pending* from when it comes until it is decided on.  It comes with a validation, with the
    last batch of an epoch (the mean of a metric of training), at the epoch's end, or after the
    callbacks' turn there; it is decided on at the epoch's end, or in order before the next epoch.
    Pending values are part of the state, so that each is decided on once, whenever a checkpoint was
    written.
    """

    def __init__(
        self,
        kind: str,
        controller: Controller,
        *,
        monitor: Any,
        strict: Any,
        when: Any,
        optimizer: int | str | None,
        on_change: OnChange | None,
        verbose: Any,
        key: dict[str, Any],
        name: str | None,
    ) -> None:
        if not isinstance(monitor, str) or not monitor:
            raise TypeError(
                "Argument `monitor` must be the name of a metric, as it is logged. Received: "
                f"monitor={monitor!r}."
            )
        self.monitor = monitor
        self.strict = check.flag("strict", strict)
        self.when = check.choice("when", when, WHENS)
        self.last_decision: Decision | None = None
        self._told_missing = False
        super().__init__(
            kind,
            controller,
            optimizer=optimizer,
            on_change=on_change,
            verbose=verbose,
            key=key,
            name=name,
        )

    def _forget(self) -> None:
        super()._forget()
        self._values = Monitor(self.monitor)
        self._pending: tuple[int, float] | None = None  # epoch and value, the same on all ranks
        self._decided = -1  # the epoch that was decided on last
        self._validated_at = -1  # the batches that had begun when a validation ended last
        self._whole = False  # whether the epoch has begun in this process
        self._had_value = False  # whether it has had a value
        self._had_any = False  # whether any epoch of the training has
        self._is_validations = (
            False  # whether that of the open epoch is a validation's, in the state
        )
        self._late = False  # whether values come after the callbacks' turn at an epoch's end
        self._lost = -1  # the epoch whose value may have come after the checkpoint was written

    # --- hooks -------------------------------------------------------------------------------------

    def _start(self, trainer: Any, pl_module: Any, going_on: bool) -> None:
        self._values = Monitor(self.monitor)
        self._values.begin_training(trainer)
        self._whole, self._lost = False, -1
        done = epochs_done(trainer)
        if not going_on:
            self._pending, self._decided = None, done - 1
            self._validated_at = -1
            return
        self._values.is_validations = self._is_validations and self._entered == done
        if self.when == "validation":
            self._decide_validation(trainer, pl_module)
        elif self._pending is None and self._decided < done - 1:
            self._lost = done - 1

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Decide what is left to decide of the epoch before."""
        enter_epoch(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Decide what is left to decide where Lightning left out the start of the epoch."""
        if self._entered != epochs_done(trainer):
            enter_epoch(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the mean of a metric of training after the last batch: a checkpoint may be written."""
        if self.when == "epoch":
            self._values.end_batch(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what is stale."""
        if self._running and not trainer.sanity_checking:
            self._values.begin_validation(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Take what the validation has."""
        if not self._running or trainer.sanity_checking:
            return
        seen = self._validated_at == batches_begun(trainer)
        if self.when == "validation":
            self._values.take()  # what training had
        self._values.end_validation(trainer)
        self._validated_at = batches_begun(trainer)
        if self.when == "validation":
            if seen:  # as a checkpoint was written; or another callback has had it repeated
                self._values.take()
            self._decide_validation(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Take what the epoch has, and decide if it is this one's turn."""
        if not self._running:
            return
        self._values.end_epoch(trainer)
        settle(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Decide what is left to decide."""
        if self._running:
            enter_epoch(trainer, pl_module)
            by_metric = self._needs_validation()
            if by_metric and epochs_done(trainer) and not (self._had_any or self._told_missing):
                self._complain(trainer)  # no epoch was to have a validation
        super().on_train_end(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Have Lightning do a validation that it would leave out when it resumes."""
        if not (self._running or self._interrupted) or not self._needs_validation():
            return
        if not mend(trainer, checkpoint, validated_at=self._validated_at):
            warn_lost(trainer, self._kind, "the validation that is due")

    def _needs_validation(self) -> bool:
        """Whether the metric may come from a validation."""
        return True

    # --- deciding ----------------------------------------------------------------------------------

    def _prepare(self, trainer: Any, pl_module: Any) -> None:
        """A value has come and will be decided on."""

    def _agree(self, trainer: Any) -> None:
        """Make what this rank has pending for all of them; every rank comes here as often."""
        local, epoch = self._values.take(), self._values.epoch
        value = agree(trainer, local, self._held(trainer), f"the metric {self.monitor!r}")
        if value is not None and epoch > self._decided:
            self._pending = (epoch, value)

    def _finish_epoch(self, trainer: Any, pl_module: Any, *, final: bool) -> bool:
        done = epochs_done(trainer) - 1
        if self._decided >= done:
            return True
        if final:
            self._values.catch_up(trainer)
        if self.when == "validation":
            # Each value was decided on as it came; what is left is to say that none has come.
            if final:
                self._tell_missing(trainer)
                self._decided = done
            return True
        self._agree(trainer)
        self._late = self._late or self._values.late
        if self._late and self._lost >= 0:
            self._tell_lost(trainer)
        if self._pending is None:
            if not final:
                return False
            self._tell_missing(trainer)
        else:
            self._decide_pending(trainer, pl_module)
        self._decided = done
        return True

    def _decide_pending(self, trainer: Any, pl_module: Any) -> None:
        _, value = cast("tuple[int, float]", self._pending)
        self._pending = None
        self._had_value = self._had_any = True
        self._prepare(trainer, pl_module)
        self.last_decision = self._decide(trainer, pl_module, value)

    def _decide_validation(self, trainer: Any, pl_module: Any) -> None:
        self._agree(trainer)
        if self._pending is not None:
            self._decide_pending(trainer, pl_module)

    def _begin_epoch(self, trainer: Any) -> None:
        self._values.begin_epoch(trainer)
        self._whole, self._had_value = True, False

    def _tell_missing(self, trainer: Any) -> None:
        """Say that an epoch has had no value, if it should have had one."""
        expected = self._values.validated or not trainer.enable_validation
        if self._whole and expected and not self._had_value:
            self._complain(trainer)

    def _complain(self, trainer: Any) -> None:
        available = sorted(trainer.callback_metrics)
        if self._values.refused is not None:
            why = f"is no number: {self._values.refused}."
        elif self.when == "validation" and self.monitor in available:
            why = (
                "no validation has had when it ended: it comes from training, or from a callback that "
                'stands behind this one; pass when="epoch".'
            )
        elif self.monitor not in available:
            why = "is not there." + nearest(self.monitor, available)
        elif isinstance(trainer.callback_metrics[self.monitor], Tensor):
            why = "has no new value."
        else:
            why = "has no new value; what is written there by hand has to be a tensor, a new one each time."
        message = (
            f"{self._kind} goes by the metric {self.monitor!r}, which {why} After epoch "
            f"{epochs_done(trainer) - 1} trainer.callback_metrics has {available}."
        )
        if self.strict:
            raise RuntimeError(f"{message} Log it by self.log({self.monitor!r}, ...).")
        if not self._told_missing and trainer.is_global_zero:
            warnings.warn(
                f"{message} The learning rate is left as it is; strict=True makes this an error.",
                UserWarning,
                stacklevel=2,
            )
        self._told_missing = True

    def _tell_lost(self, trainer: Any) -> None:
        """Say that a checkpoint was written between an epoch's end and its value."""
        message = (
            f"{self._kind} could not decide after epoch {self._lost}: the checkpoint was written before "
            f"the metric {self.monitor!r} of that epoch came, and Lightning does not do the end of an "
            "epoch again. The learning rate may differ from that of a training that was not interrupted. "
            "A ModelCheckpoint that saves at the end of an epoch comes after the metric; or log it "
            "earlier, in on_validation_epoch_end."
        )
        self._lost = -1
        if self.strict:
            raise RuntimeError(message)
        if trainer.is_global_zero:
            warnings.warn(message, UserWarning, stacklevel=2)

    # --- state -------------------------------------------------------------------------------------

    def _look(self, trainer: Any) -> None:
        validating = self._values.in_validation
        if self.when == "epoch" and not validating and last_batch_is_done(trainer):
            self._values.end_batch(trainer)
        if self.when == "epoch" or validating:
            self._values.catch_up(trainer)
        if validating and not self._values.in_validation:
            self._validated_at = batches_begun(trainer)
        if together(trainer):  # in writing the checkpoint
            self._agree(trainer)
        elif (value := self._values.take()) is not None and self._values.epoch > self._decided:
            self._pending = (self._values.epoch, value)

    def _own_state(self) -> dict[str, Any]:
        return {
            "pending": None if self._pending is None else list(self._pending),
            "decided": self._decided,
            "validated_at": self._validated_at,
            "is_validations": self._values.is_validations,
            "late": self._late or self._values.late,
            "had_any": self._had_any,
        }

    def _check_own_state(self, state: Mapping[str, Any]) -> None:
        pending = state.get("pending", 0)
        sound = pending is None or (
            isinstance(pending, list)
            and len(pending) == 2
            and type(pending[0]) is int
            and type(pending[1]) is float
        )
        if not sound:
            raise self._damaged("pending", pending)
        for name in ("decided", "validated_at"):
            if type(state.get(name)) is not int:
                raise self._damaged(name, state.get(name))
        for name in ("is_validations", "late", "had_any"):
            if type(state.get(name)) is not bool:
                raise self._damaged(name, state.get(name))

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        pending = state["pending"]
        self._pending = None if pending is None else (pending[0], pending[1])
        self._decided, self._validated_at = state["decided"], state["validated_at"]
        self._is_validations, self._late = state["is_validations"], state["late"]
        self._had_any = state["had_any"]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_values": Monitor(self.monitor)}
