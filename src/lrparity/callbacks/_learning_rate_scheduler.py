"""``LearningRateScheduler`` and ``BatchLearningRateScheduler``.  No Lightning is imported here."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from lrparity import _validation as check
from lrparity.callbacks._arguments import checked_initial_update
from lrparity.callbacks._closed_loop import ClosedLoop, OnChange, enter_epoch
from lrparity.callbacks._loops import ended_batch, epochs_done
from lrparity.callbacks._optimizers import raw_optimizers, updates_before
from lrparity.controllers import Decision, EpochFunction
from lrparity.controllers._epoch_function import check_unit
from lrparity.lr_scheduler._updates import UpdateCounter
from lrparity.schedules import LearningRateSchedule

At = Literal["begin", "end"]
Index = Literal["update", "batch"]


class LearningRateScheduler(ClosedLoop):
    """Set the learning rate at the start of every epoch by a function, as Keras' callback does.

    Epoch e, counted from 0, is trained at ``fn(e)``, or at ``fn(e, lr)`` where the function takes two
    arguments; see :class:`lrparity.controllers.EpochFunction` for when it does, what it may return and
    how it is rounded.  ``lr`` is the rate that the optimizer holds, so that a reduction by
    ``ReduceLROnPlateau`` is seen, and overwritten by a function of the epoch alone.

    Args:
        schedule: the function, or a schedule of the unit ``"epoch"``.
        verbose: 1 prints a line for each epoch, as Keras does.
        optimizer: set the rate of this one only, by its place in what ``configure_optimizers`` returns
            or by its class as ``LearningRateMonitor`` names it.  None: of all; a function of two
            arguments is asked for each rate.
        on_change: a function that is called as ``on_change(trainer, pl_module, decision)`` each time.
        name: tells two of these apart in a checkpoint that are alike otherwise.

    The function is asked once for each epoch, on every rank, before the epoch's first update; also for
    an epoch whose start Lightning does not announce after a resume.  After a resume in the middle of an
    epoch it is not asked again for that one.  A second ``fit`` of one trainer goes on counting epochs,
    as ``trainer.current_epoch`` does, where Keras counts from ``initial_epoch`` again.

    Raises:
        TypeError: ``schedule`` is no such function; when training starts, another scheduler drives the
            optimizer.
        ValueError: ``schedule`` counts updates; the function returned no finite float; when training
            starts, an optimizer that is not there; on resume, a damaged state.

    Source: keras/src/callbacks/learning_rate_scheduler.py, 3.15.1.  torch's ``LambdaLR`` multiplies a
    factor into the first rate instead, and is stepped at the end of an epoch.

    >>> from lrparity.callbacks import LearningRateScheduler
    >>> def halve_every_ten(epoch, lr):
    ...     return lr * 0.5 if epoch and epoch % 10 == 0 else lr
    >>> LearningRateScheduler(halve_every_ten)
    LearningRateScheduler(halve_every_ten)
    """

    def __init__(
        self,
        schedule: Callable[..., float],
        verbose: int | bool = 0,
        *,
        optimizer: int | str | None = None,
        on_change: OnChange | None = None,
        name: str | None = None,
    ) -> None:
        check_unit(
            schedule,
            "epoch",
            "schedule",
            "The callback ScheduleLR asks it for the update; if its steps are meant as epochs, pass "
            'FunctionSchedule(schedule, unit="epoch").',
        )
        self.schedule = schedule
        super().__init__(
            "LearningRateScheduler",
            EpochFunction(schedule, "schedule"),
            optimizer=optimizer,
            on_change=on_change,
            verbose=verbose,
            key={"optimizer": optimizer},
            name=name,
        )

    def _forget(self) -> None:
        super()._forget()
        self._served = -1  # the epoch that the function was asked for last

    def _start(self, trainer: Any, pl_module: Any, going_on: bool) -> None:
        if not going_on:
            self._served = -1

    def _acts_first(self) -> bool:
        return True

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Set the rate of the epoch."""
        self._serve(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate of an epoch whose start Lightning has left out."""
        self._serve(trainer, pl_module)

    def _serve(self, trainer: Any, pl_module: Any) -> None:
        epoch = epochs_done(trainer)
        if self._served == epoch or not self._running:
            return
        enter_epoch(trainer, pl_module)
        self._served = epoch
        self._decide(trainer, pl_module, epoch)

    def _tell(self, trainer: Any, decision: Decision) -> None:
        rates = dict.fromkeys(decision.assigned)
        print(
            f"\nEpoch {epochs_done(trainer) + 1}: LearningRateScheduler setting learning rate to "
            f"{', '.join(map(str, rates))}."
        )

    def _own_state(self) -> dict[str, Any]:
        return {"served": self._served}

    def _check_own_state(self, state: Mapping[str, Any]) -> None:
        if type(state.get("served")) is not int:
            raise self._damaged("served", state.get("served"))

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._served = state["served"]

    def __repr__(self) -> str:
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        return f"{type(self).__name__}({_named(self.schedule)}{chosen})"


class BatchLearningRateScheduler(ClosedLoop):
    """Set the learning rate batch by batch by a function.

    Keras has no class for it: it is the twin of ``LambdaCallback(on_batch_begin=...)`` and of
    ``LambdaCallback(on_batch_end=...)`` with a function that assigns ``optimizer.learning_rate``.

    - ``at="begin"``: update k uses ``fn(k)``.
    - ``at="end"``: after update k the rate becomes ``fn(k)``, which update k + 1 uses; update 0 keeps
      the optimizer's own rate.

    ``fn(k, lr)`` gets the rate that the optimizer holds where it takes two arguments; see
    :class:`lrparity.controllers.EpochFunction`.

    Args:
        fn: returns the learning rate.
        at: ``"begin"`` or ``"end"`` of a batch.
        index: ``"update"``: k counts the real updates of the optimizer over the whole training, as
            ``callbacks.ScheduleLR`` does.  ``"batch"``: k is the batch within the epoch, which Keras
            hands its callbacks and which begins at 0 in each epoch; every batch counts, an accumulated
            one too.
        optimizer: as in ``LearningRateScheduler``; updates are counted for each on its own.
        verbose: 1 prints a line each time.
        initial_update: the update to begin with where no checkpoint tells it.
        on_change: a function that is called as ``on_change(trainer, pl_module, decision)`` each time.
        name: tells two of these apart in a checkpoint that are alike otherwise.

    The function is asked once for each k, in order, on every rank.  The counts are part of every
    checkpoint, so a resume goes on where it was.

    Raises:
        TypeError: ``fn`` is no such function; when training starts, a schedule drives the optimizer.
        ValueError: an unknown option; ``fn`` is a schedule of epochs; the function returned no finite
            float; when training starts, an optimizer that is not there, or a training that goes on
            without a count; on resume, a damaged state.

    Source: keras/src/callbacks/lambda_callback.py, 3.15.1, for when it acts.

    A warm-up over the first epochs and an exponential decay after it, per batch::

        steps_per_epoch, warmup_epochs = 391, 5
        warmup = warmup_epochs * steps_per_epoch

        def rate(k):
            if k < warmup:
                return 0.1 * (k + 1) / warmup
            return 0.1 * 0.9999 ** (k - warmup)

        trainer = Trainer(callbacks=[BatchLearningRateScheduler(rate)])

    >>> from lrparity.callbacks import BatchLearningRateScheduler
    >>> def rate(k):
    ...     return 0.1 * 0.999**k
    >>> BatchLearningRateScheduler(rate, at="end")
    BatchLearningRateScheduler(rate, at='end', index='update')
    """

    def __init__(
        self,
        fn: Callable[..., float],
        at: At = "begin",
        index: Index = "update",
        *,
        optimizer: int | str | None = None,
        verbose: int | bool = 0,
        initial_update: int | None = None,
        on_change: OnChange | None = None,
        name: str | None = None,
    ) -> None:
        self.fn = fn
        self.at = cast("At", check.choice("at", at, ("begin", "end")))
        self.index = cast("Index", check.choice("index", index, ("update", "batch")))
        check_unit(
            fn,
            "update",
            "fn",
            "The callbacks LearningRateScheduler and ScheduleLR ask it for the epoch.",
        )
        if self.index == "batch" and isinstance(fn, LearningRateSchedule):
            raise ValueError(
                f"Argument `fn` is a schedule that counts updates, {fn!r}, and would be asked for the batch "
                'within the epoch. Pass index="update", or use the callback ScheduleLR.'
            )
        self.initial_update = checked_initial_update(initial_update)
        super().__init__(
            "BatchLearningRateScheduler",
            EpochFunction(fn),
            optimizer=optimizer,
            on_change=on_change,
            verbose=verbose,
            key={"at": at, "index": index, "optimizer": optimizer},
            name=name,
        )
        self.controller: EpochFunction

    def _forget(self) -> None:
        super()._forget()
        self._updates: dict[int, int] = {}  # the real updates of each optimizer
        self._served: dict[int, int] = {}  # those that the function was asked for
        self._served_batch = (-1, -1)  # the epoch, and the batch in it
        self._ended_batch = (-1, -1)  # a batch that was done when the state was saved
        self._counters: list[UpdateCounter] = []
        self._counted: Any = None  # the trainer's list of optimizers, to see when it is another

    # --- hooks -------------------------------------------------------------------------------------

    def _acts_first(self) -> bool:
        return self.at == "begin"

    def _start(self, trainer: Any, pl_module: Any, going_on: bool) -> None:
        if not going_on and not self._updates:
            begin = 0
            if self.index == "update":
                begin = updates_before(trainer, self._kind, "the function", self.initial_update)
            self._updates = dict.fromkeys(self._places(trainer), begin)
            self._served = dict.fromkeys(self._places(trainer), begin)
        if not going_on:
            self._served_batch = self._ended_batch = (-1, -1)
        self._watch(trainer)
        due = self.index == "update" or self._ended_batch[1] >= 0
        if going_on and self.at == "end" and due:  # the checkpoint was written before our turn
            self._serve_batch(trainer, pl_module, *self._ended_batch)

    def _watch(self, trainer: Any) -> None:
        """Count the updates of the optimizers that are there now."""
        for counter in self._counters:
            counter.remove()
        self._counters, self._counted = [], trainer.optimizers
        if self.index == "batch":
            return
        this, of_trainer = weakref.ref(self), weakref.ref(trainer)
        optimizers = raw_optimizers(trainer)
        for place in self._places(trainer):
            self._updates.setdefault(place, 0)
            self._served.setdefault(place, 0)

            def before(place: int = place) -> None:
                # Lightning's finders put other callbacks into the trainer while they try something.
                alive, training = this(), of_trainer()
                if alive is not None and training is not None and alive in training.callbacks:
                    alive._before_step(training, place)

            def after(place: int = place) -> None:
                alive, training = this(), of_trainer()
                if alive is not None and training is not None and alive in training.callbacks:
                    alive._updates[place] += 1

            self._counters.append(
                UpdateCounter(optimizers[place], before_step=before, after_update=after)
            )

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Let the decisions of the epoch before come first."""
        enter_epoch(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate of the batch, at="begin"."""
        if not self._running:
            return
        enter_epoch(trainer, pl_module)
        if self._counted is not trainer.optimizers:
            self._watch(trainer)
        if self.at == "begin":
            self._serve_batch(trainer, pl_module, epochs_done(trainer), batch_idx)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate of what comes after the batch, at="end"."""
        if self._running and self.at == "end":
            self._serve_batch(trainer, pl_module, epochs_done(trainer), batch_idx)

    def _serve_batch(self, trainer: Any, pl_module: Any, epoch: int, batch_idx: int) -> None:
        if self.index == "update":
            for place in self._places(trainer):
                self._serve(trainer, pl_module, place)
            return
        moment = (epoch, batch_idx)
        if moment != self._served_batch:  # a batch may be repeated after a resume
            self._served_batch = moment
            self._decide(trainer, pl_module, batch_idx)

    def _before_step(self, trainer: Any, place: int) -> None:
        """An optimizer may step several times in a batch, in manual optimization."""
        self._serve(trainer, trainer.lightning_module, place)

    def _serve(self, trainer: Any, pl_module: Any, place: int) -> None:
        """Ask the function for the update that begins, or for the one that has ended."""
        due = self._updates[place] + (self.at == "begin")
        if self._served[place] < due:
            self._served[place] = due
            self._decide(trainer, pl_module, due - 1, among=[place])

    def _stop(self) -> None:
        super()._stop()
        for counter in self._counters:
            counter.remove()
        self._counters, self._counted = [], None

    def _tell(self, trainer: Any, decision: Decision) -> None:
        rates = dict.fromkeys(decision.assigned)
        print(f"BatchLearningRateScheduler: {decision.reason}: {', '.join(map(str, rates))}")

    # --- state -------------------------------------------------------------------------------------

    def _look(self, trainer: Any) -> None:
        ended = ended_batch(trainer)
        self._ended_batch = (-1, -1) if ended is None else (epochs_done(trainer), ended.number)

    def _own_state(self) -> dict[str, Any]:
        return {
            "updates": {str(place): count for place, count in self._updates.items()},
            "served": {str(place): count for place, count in self._served.items()},
            "served_batch": list(self._served_batch),
            "ended_batch": list(self._ended_batch),
        }

    def _check_own_state(self, state: Mapping[str, Any]) -> None:
        for name in ("updates", "served"):
            counts = state.get(name)
            if not isinstance(counts, Mapping) or not all(
                isinstance(place, str) and place.isdecimal() and type(count) is int and count >= 0
                for place, count in counts.items()
            ):
                raise self._damaged(name, counts)
        for name in ("served_batch", "ended_batch"):
            batch = state.get(name)
            if not isinstance(batch, list) or [type(one) for one in batch] != [int, int]:
                raise self._damaged(name, batch)

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._updates = {int(place): count for place, count in state["updates"].items()}
        self._served = {int(place): count for place, count in state["served"].items()}
        self._served_batch = (state["served_batch"][0], state["served_batch"][1])
        self._ended_batch = (state["ended_batch"][0], state["ended_batch"][1])

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_counters": [], "_counted": None}

    def __repr__(self) -> str:
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        return f"{type(self).__name__}({_named(self.fn)}, at={self.at!r}, index={self.index!r}{chosen})"


def _named(function: Any) -> str:
    return str(getattr(function, "__name__", repr(function)))
