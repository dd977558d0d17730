"""What the callbacks have in common that change rates in answer to training."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from torch.optim.lr_scheduler import LRScheduler

from lrparity.callbacks._arguments import checked_selector, checked_state
from lrparity.callbacks._loops import epochs_done, recount, warn_unknown, within_epoch
from lrparity.callbacks._optimizers import optimizer_names, pick, raw_optimizers
from lrparity.callbacks._schedule_lr import ScheduleLR
from lrparity.controllers import Controller, Decision
from lrparity.lr_scheduler._governed import Governed, governed
from lrparity.lr_scheduler._schedule_lr import ScheduleLR as TorchScheduleLR

OnChange = Callable[[Any, Any, Decision], Any]
STATE_VERSION = 1


class ClosedLoop:
    """A callback that lets a controller decide, and sets the rates of some optimizers.

    Several of these act in the order of ``trainer.callbacks``.  As in Keras, what is decided at an
    epoch's end is decided before any of them hears of the next epoch, even where its metric comes late
    (see :func:`settle`).

    Args:
        kind: the public name of the class.
        controller: what decides.
        optimizer: the one that it governs, by its place or name; None: all, under one counter.
        on_change: called as ``on_change(trainer, pl_module, decision)`` once rates were set.
        verbose: 1 prints what Keras prints.
        key: what tells two instances apart in a checkpoint.
        name: what does where that is the same.
    """

    MULTIPLIES: ClassVar[bool] = False
    """Whether a schedule may drive the same optimizer."""
    CARRIES_ON: ClassVar[bool] = True
    """Whether a second fit goes on at the rates of the first."""

    def __init__(
        self,
        kind: str,
        controller: Controller,
        *,
        optimizer: int | str | None,
        on_change: OnChange | None,
        verbose: Any,
        key: dict[str, Any],
        name: str | None,
    ) -> None:
        self._kind = kind
        self.controller = controller
        self.optimizer = checked_selector(optimizer, None)
        if on_change is not None and not callable(on_change):
            raise TypeError(
                "Argument `on_change` must be a function of the trainer, the module and the Decision, "
                f"or None. Received: on_change={on_change!r}."
            )
        self.on_change = on_change
        if isinstance(verbose, str) or verbose not in (0, 1, 2):  # Keras' own values
            raise ValueError(f"Argument `verbose` must be 0 or 1. Received: verbose={verbose!r}.")
        self.verbose = int(verbose)
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(f"Argument `name` must be a string or None. Received: name={name!r}.")
        named = {} if name is None else {"name": name}
        distinct = ", ".join(f"{one!r}: {value!r}" for one, value in (key | named).items())
        self._state_key = f"{kind}{{{distinct}}}"
        self._trainer: Callable[[], Any] | None = None
        self._module: Callable[[], Any] | None = None
        self._fits = True  # and not: tests, with the state of some checkpoint
        self._as_made = controller.state_dict()
        self._forget()

    def _forget(self) -> None:
        """Be as constructed; what another trainer did plays no part."""
        self.controller.load_state_dict(self._as_made, on_config_change="use_new")
        self._begun = False  # a training has begun, or a state of one was loaded
        self._restored = False  # since the last training
        self._running = False
        self._interrupted = False  # by an exception, after which a checkpoint may be written
        self._entered = -1  # the epoch that was begun last
        self._finishing = False  # whether what is decided belongs to the epoch that is done
        self._told_newcomers = False
        self._rates: dict[int, list[float]] = {}  # of each optimizer, as the last fit left them
        self._first_rates: dict[int, list[float]] = {}  # and as it had found them

    @property
    def state_key(self) -> str:
        """Tells callbacks of one class apart in a checkpoint."""
        return self._state_key

    # --- hooks -------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Forget what another trainer did."""
        self._fits = stage == "fit"
        if not self._fits:
            return
        before = None if self._trainer is None else self._trainer()
        if self._trainer is not None and before is not trainer:
            if self._running and before is not None:
                raise RuntimeError(
                    f"This {self._kind} is still in use by another trainer, whose training goes on. Give "
                    "each its own: copy.deepcopy(callback)."
                )
            self._forget()
        self._trainer = weakref.ref(trainer)
        if self._acts_first():
            # LearningRateMonitor looks at the start of an epoch or a batch.  A new list: Lightning is
            # going through the old one.  The closed loops keep their order.
            others = [one for one in trainer.callbacks if not isinstance(one, ScheduleLR)]
            first = [one for one in others if isinstance(one, ClosedLoop) and one._acts_first()]
            schedules = [one for one in trainer.callbacks if isinstance(one, ScheduleLR)]
            rest = [one for one in others if not any(one is other for other in first)]
            trainer.callbacks = [*schedules, *first, *rest]

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find a mistake before anything is computed."""
        places = self._places(trainer)
        if not self.MULTIPLIES:
            _refuse_schedules(self._kind, trainer, places)
        _refuse_foreign_schedulers(self._kind, trainer, places)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Go on from a checkpoint, or do what Keras does as ``fit`` begins."""
        going_on = self._restored and self._begun
        begun_before = trainer.global_step > 0 or trainer.fit_loop.total_batch_idx >= 0
        self._running, self._restored, self._interrupted = True, False, False
        if not going_on:
            self._entered = epochs_done(trainer) if within_epoch(trainer) else -1
        if next(loops(trainer)) is self:
            recount(trainer)
            if going_on:
                warn_unknown(trainer, self._kind)
        targets = dict(self._targets(trainer))
        if going_on:
            for place, one in targets.items():
                if place in self._rates:
                    one.restore(self._rates[place])
        else:
            if begun_before and trainer.ckpt_path is not None and trainer.is_global_zero:
                warnings.warn(
                    f"The training goes on from a checkpoint without the state of {self!r}, "
                    f"{self.state_key!r}: it starts anew.",
                    UserWarning,
                    stacklevel=2,
                )
            self._carry_on(targets, pl_module)
            self._new_run()
        self._module = weakref.ref(pl_module)
        self._begun = True
        self._start(trainer, pl_module, going_on)

    def _carry_on(self, targets: dict[int, Governed], pl_module: Any) -> None:
        """Hold float32 rates, and keep them over a second fit, as Keras' optimizer does.

        Lightning makes new optimizers for each.
        """
        found = {place: one.rates() for place, one in targets.items()}
        same = self._module is not None and self._module() is pl_module
        for place, one in targets.items():
            if one.schedule is not None:
                continue
            kept, now = self._rates.get(place, []), found[place]
            goes_on = same and self.CARRIES_ON and self._first_rates.get(place) == now
            if goes_on and len(kept) >= len(now):
                one.write(kept[: len(now)])  # a group that has joined will join again
            else:
                one.round()
        self._first_rates = found

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the rates for a second fit."""
        self._rates = {place: one.rates() for place, one in self._targets(trainer)}
        self._stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Let go; Lightning calls no on_train_end then, and others may write a checkpoint yet."""
        if self._trainer is None or self._trainer() is not trainer:
            return
        if self._running:
            self._interrupted = True
            # What went wrong first is what the user should see.
            with contextlib.suppress(Exception):
                self._rates = self._bases(trainer)
                self._look(trainer)
        self._stop()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Listen to load_state_dict() again."""
        self._fits = True
        if self._trainer is not None and self._trainer() is trainer:
            self._stop()

    # --- what the classes fill in ------------------------------------------------------------------

    def _acts_first(self) -> bool:
        """Whether it sets rates as an epoch or a batch starts, before others look at them."""
        return False

    def _new_run(self) -> None:
        """Do what Keras' callback does in ``on_train_begin``."""
        self.controller.reset()

    def _start(self, trainer: Any, pl_module: Any, going_on: bool) -> None:
        """The training begins, or goes on from a checkpoint."""

    def _stop(self) -> None:
        self._running = False

    def _finish(self, trainer: Any, pl_module: Any, *, final: bool) -> bool:
        self._finishing = True
        try:
            return self._finish_epoch(trainer, pl_module, final=final)
        finally:
            self._finishing = False

    def _told_epoch(self, trainer: Any) -> int:
        """The epoch that a decision belongs to, counted from 1, as Keras' messages do."""
        return epochs_done(trainer) + (not self._finishing)

    def _tell_newcomers(self, trainer: Any) -> None:
        """Remark, once, a scheduler that came while training, as StochasticWeightAveraging's does."""
        if self._told_newcomers or not trainer.is_global_zero:
            return
        for place, scheduler in _schedulers(trainer, self._places(trainer)):
            if not all(isinstance(part, TorchScheduleLR) for part in _parts(scheduler)):
                self._told_newcomers = True
                name = optimizer_names(raw_optimizers(trainer))[place]
                warnings.warn(
                    f"A scheduler, {type(scheduler).__name__}, has come to the optimizer {name!r} while "
                    f"training, and {self._kind} acts on it too: each overwrites the other's rates, or "
                    "goes on from them. Let one of them steer.",
                    UserWarning,
                    stacklevel=2,
                )
                return

    def _finish_epoch(self, trainer: Any, pl_module: Any, *, final: bool) -> bool:
        """Decide what is to be decided at the end of the epoch that is done.

        Args:
            trainer: which trains.
            pl_module: what it trains.
            final: whether the next epoch begins, so that no metric of this one comes any more.

        Returns:
            Whether it is settled; False where its metric may still come.
        """
        return True

    def _begin_epoch(self, trainer: Any) -> None:
        """Another epoch begins, and every decision of the one before is taken."""

    # --- deciding ----------------------------------------------------------------------------------

    def _places(self, trainer: Any) -> list[int]:
        optimizers = raw_optimizers(trainer)
        if not any(optimizer.param_groups for optimizer in optimizers):  # Lightning makes a mock
            raise ValueError(
                f"{self._kind} has nothing to govern: configure_optimizers returns no optimizer."
            )
        if self.optimizer is not None:
            return [pick(optimizers, self.optimizer, "optimizer")]
        return list(range(len(optimizers)))

    def _targets(self, trainer: Any) -> list[tuple[int, Governed]]:
        # Asked for each time: Lightning's finders put other optimizers in their places.
        optimizers = raw_optimizers(trainer)
        return [(place, governed(optimizers[place])) for place in self._places(trainer)]

    def _bases(self, trainer: Any) -> dict[int, list[float]]:
        return {place: one.bases() for place, one in self._targets(trainer)}

    def _held(self, trainer: Any) -> list[float]:
        """The rates that are governed, of all optimizers, for other ranks to compare; none alone."""
        if trainer.world_size == 1:
            return []
        return [rate for _, one in self._targets(trainer) for rate in one.rates()]

    def _decide(
        self, trainer: Any, pl_module: Any, metric: Any, *, among: Sequence[int] | None = None
    ) -> Decision:
        """Ask the controller, and set the rates.

        Args:
            trainer: which trains.
            pl_module: what it trains.
            metric: what the controller is told.
            among: the places of the optimizers that it is about; None: all that are governed.
        """
        targets = [
            (place, one) for place, one in self._targets(trainer) if among is None or place in among
        ]
        held = [one.rates() for _, one in targets]
        sizes = [len(rates) for rates in held]
        decision = self.controller.update(metric, [rate for rates in held for rate in rates])
        if not decision.changed:
            return decision
        return self._apply(trainer, pl_module, decision, [one for _, one in targets], sizes)

    def _apply(
        self,
        trainer: Any,
        pl_module: Any,
        decision: Decision,
        targets: list[Governed],
        sizes: list[int],
    ) -> Decision:
        """Set the rates, and tell who wants to know; what was really set."""
        begin = 0
        for one, size in zip(targets, sizes, strict=True):
            lrs = decision.lrs[begin : begin + size]
            if one.schedule is None:
                one.write(lrs)
            elif list(lrs) != one.rates():  # the rule leaves rates at min_lr alone
                self._multiply(one)
            begin += size
        # The schedule's product has bits of its own.
        if any(one.schedule is not None for one in targets):
            lrs = tuple(rate for one in targets for rate in one.rates())
            decision = dataclasses.replace(decision, lrs=lrs, assigned=lrs)
        if self.verbose and trainer.is_global_zero:
            self._tell(trainer, decision)
        if self.on_change is not None:
            self.on_change(trainer, pl_module, decision)
        return decision

    def _multiply(self, one: Governed) -> None:
        """Act on an optimizer that a schedule drives."""
        raise TypeError(
            f"{self._kind} cannot set the learning rate of an optimizer that a schedule drives "
            f"({one.schedule!r}): the schedule would overwrite it, and Keras refuses it too. Drop one "
            "of them."
        )

    def _tell(self, trainer: Any, decision: Decision) -> None:
        """Print what Keras prints."""

    # --- state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next decisions depend on; plain Python."""
        trainer = None if self._trainer is None else self._trainer()
        rates = self._rates
        if self._running and trainer is not None:
            self._look(trainer)
            rates = self._bases(trainer)
        return {
            "format": f"lrparity.callbacks.{self._kind}",
            "version": STATE_VERSION,
            "begun": self._begun,
            "entered": self._entered,
            "rates": {str(place): list(one) for place, one in rates.items()},
            "controller": self.controller.state_dict(),
            **self._own_state(),
        }

    def _look(self, trainer: Any) -> None:
        """A checkpoint is written: take in what has come already."""

    def _own_state(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned, when training starts.

        While the trainer validates, tests or predicts by a checkpoint, it changes nothing.

        Raises:
            ValueError: the state is another one's, damaged, of an unknown version, or was saved under
                other arguments.
        """
        state = checked_state(state_dict, self._kind, STATE_VERSION)
        rates = state.get("rates")
        if not isinstance(rates, Mapping) or not all(
            isinstance(place, str)
            and place.isdecimal()
            and isinstance(ones, list)
            and all(type(rate) is float for rate in ones)
            for place, ones in rates.items()
        ):
            raise ValueError(f"The state of {self._kind} is damaged: 'rates' is {rates!r:.200}.")
        if type(state.get("begun")) is not bool:
            raise ValueError(
                f"The state of {self._kind} is damaged: 'begun' is {state.get('begun')!r:.200}."
            )
        if type(state.get("entered")) is not int:
            raise self._damaged("entered", state.get("entered"))
        self._check_own_state(state)
        self.controller.check_state(state.get("controller"))
        if not self._fits:
            return
        self._load_controller(state["controller"])
        self._load_own_state(state)
        # In the middle of a training, as Lightning's finders do, it goes on from there at once.
        self._begun, self._restored = state["begun"], not self._running
        self._entered = state["entered"]
        self._rates = {int(place): list(ones) for place, ones in rates.items()}
        if self._trainer is no_trainer:
            self._trainer = None  # a copy that goes on by this state

    def _load_controller(self, state: Mapping[str, Any]) -> None:
        self.controller.load_state_dict(state)

    def _check_own_state(self, state: Mapping[str, Any]) -> None:
        """Refuse what :meth:`_own_state` cannot have returned."""

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`_own_state` returned."""

    def _damaged(self, name: str, value: Any) -> ValueError:
        return ValueError(f"The state of {self._kind} is damaged: {name!r} is {value!r:.200}.")

    def __getstate__(self) -> dict[str, Any]:
        # `log` and `log_dict` are Lightning's, and methods of the whole module.
        kept = {k: v for k, v in self.__dict__.items() if k not in ("log", "log_dict")}
        trainer = None if self._trainer is None else no_trainer
        return kept | {
            "_trainer": trainer,
            "_module": None,
            "_running": False,
            "_interrupted": False,
        }


def no_trainer() -> None:
    """Stands for the trainer of what a callback was copied from."""


def loops(trainer: Any) -> Iterator[ClosedLoop]:
    """The closed loops of a trainer, in their order."""
    return (one for one in trainer.callbacks if isinstance(one, ClosedLoop))


def settle(trainer: Any, pl_module: Any) -> None:
    """An epoch is done: decide, in order, up to the first whose metric may still come."""
    for one in loops(trainer):
        if one._running and not one._finish(trainer, pl_module, final=False):
            return


def enter_epoch(trainer: Any, pl_module: Any) -> None:
    """An epoch begins: first every decision of the one before is taken, in order.

    Every closed loop calls it, from the start of an epoch and from that of a batch, because Lightning
    leaves the former out on some resumes; the first one does the work.
    """
    epoch = epochs_done(trainer)
    late = [one for one in loops(trainer) if one._running and one._entered != epoch]
    for one in late:
        one._finish(trainer, pl_module, final=True)
    for one in late:
        one._entered = epoch
        one._tell_newcomers(trainer)
        one._begin_epoch(trainer)


def _refuse_schedules(kind: str, trainer: Any, places: list[int]) -> None:
    optimizers = raw_optimizers(trainer)
    names = optimizer_names(optimizers)
    mend = "Keras refuses to set the rate of an optimizer with a schedule, too. Drop one of them."
    for callback in trainer.callbacks:
        if isinstance(callback, ScheduleLR):
            for place in places:
                if place in callback._plan(trainer):
                    raise TypeError(
                        f"{kind} sets the learning rate of the optimizer {names[place]!r}, and the "
                        f"callback {callback!r} drives it by a schedule. {mend}"
                    )
    for place, scheduler in _schedulers(trainer, places):
        raise TypeError(
            f"{kind} sets the learning rate of the optimizer {names[place]!r}, and "
            f"configure_optimizers returns a scheduler for it, {type(scheduler).__name__}. {mend}"
        )


def _refuse_foreign_schedulers(kind: str, trainer: Any, places: list[int]) -> None:
    names = optimizer_names(raw_optimizers(trainer))
    for place, scheduler in _schedulers(trainer, places):
        for part in _parts(scheduler):
            if not isinstance(part, TorchScheduleLR):
                raise TypeError(
                    f"{kind} acts on the optimizer {names[place]!r}, for which configure_optimizers "
                    f"returns a scheduler, {type(part).__name__}, that would overwrite its rates or "
                    "compound them. Use a schedule of lrparity (lrparity.lr_scheduler.ScheduleLR, or "
                    "the callback ScheduleLR), which it multiplies; or drop one of them."
                )


def _parts(scheduler: Any) -> list[Any]:
    """A scheduler, or what a SequentialLR is made of."""
    return list(getattr(scheduler, "_schedulers", [scheduler]))


def _schedulers(trainer: Any, places: list[int]) -> Iterator[tuple[int, LRScheduler]]:
    """The schedulers of ``configure_optimizers`` that step these optimizers."""
    optimizers = raw_optimizers(trainer)
    for config in trainer.lr_scheduler_configs:
        scheduled = getattr(config.scheduler, "optimizer", None)
        held = (scheduled, getattr(scheduled, "optimizer", None))
        for place in places:
            if any(one is optimizers[place] for one in held if one is not None):
                yield place, config.scheduler
