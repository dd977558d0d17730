"""``ScheduleLR``: any schedule as a Lightning callback.  No Lightning is imported here."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any, cast

from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity.callbacks._arguments import (
    checked_initial_update,
    checked_log,
    checked_schedule,
    checked_selector,
    checked_state,
)
from lrparity.callbacks._driver import Count, Driver, checked_driver_state, counts_epochs
from lrparity.callbacks._optimizers import (
    changes,
    optimizer_names,
    pick,
    raw_optimizers,
    series_names,
    unseen_steps,
    updates_before,
)
from lrparity.lr_scheduler import OnConfigChange
from lrparity.lr_scheduler._schedule_lr import ScheduleLike
from lrparity.schedules import Numerics
from lrparity.schedules._schedule import NUMERICS

STATE_VERSION = 1


class ScheduleLR:
    """Drive the optimizers of a Lightning ``Trainer`` by a schedule, with the bits of Keras.

    Update k of an optimizer, counted from 0, uses::

        lr = float32(schedule(k)) * float32(lr_scale)

    rounded to float32, where ``lr_scale`` is the param group's own entry (default 1).  A schedule of
    the unit ``"epoch"`` is asked for the epoch instead, ``trainer.current_epoch``, before its first
    update.  Only real updates count, for each optimizer on its own: an accumulated batch, a step
    that AMP skipped (of a fused optimizer, too), one without any gradient, and the steps of the other
    optimizers do not.  ``trainer.global_step`` counts the last three.

    Args:
        schedule: a schedule, or a function of the step that returns the rate, for all optimizers; or
            a list with one for each param group; or a mapping from optimizers to any of these.  An
            optimizer is named by its place in what ``configure_optimizers`` returns, or by its class
            as ``LearningRateMonitor`` does: ``"SGD"``, a second one ``"SGD-1"``.  A mapping leaves
            the optimizers that it does not name alone.
        optimizer: drive only this one, named in the same way.  None: all of them, or those of the
            mapping.
        numerics: ``"eager"``: the rates that Keras reports; ``"graph"``: those that a compiled
            ``model.fit`` applies.
        count: ``"update"``: the schedule is asked for the number of updates before.
            ``"micro_batch"``: for that of batches before, as Keras does under
            ``gradient_accumulation_steps``: an update after n batches in all uses ``schedule(n - 1)``.
        initial_update: the update (or batch) to begin with where no checkpoint tells it: 0 in a
            fresh training.
        on_config_change: what a resume under another schedule does: ``"raise"``, or ``"use_new"`` to
            go on from the saved update under this one, to extend a training, say.
        log: log the rate of every batch by itself, as ``"learning_rate"`` or under the name given;
            with several optimizers or param groups ``"learning_rate/SGD"``, ``".../pg2"``.
        prog_bar: show what ``log`` logs in the progress bar.

    **When.**  The rate of the next update is written as soon as an update is done, and that of an
    epoch before the other callbacks hear of it (this callback moves itself to the front of
    ``trainer.callbacks``): ``LearningRateMonitor`` and the progress bar are right wherever they
    stand.  In ``on_train_epoch_end`` an optimizer holds the rate of the update to come, as with
    Lightning's own schedulers.

    **Resume.**  The counts are part of every checkpoint, so the rates after a resume are those of
    the training that was not interrupted.  A second ``fit`` of one trainer goes on counting, as
    ``trainer.current_epoch`` does; another trainer, and a copy, starts anew.  What Lightning's finders
    (of a rate, of a batch size) try in between does not count.  A checkpoint that was written
    without this callback holds no count: with automatic optimisation ``trainer.global_step`` stands
    in, with a warning; otherwise ``initial_update`` is asked for.

    **Groups.**  One that joins while training, as with ``BackboneFinetuning``, keeps the ratio of its
    ``lr`` to the schedule; when its ``lr`` is set again, by who added it, it takes on the new
    ratio.  ``lr_scale`` may be changed at any time.  Setting the ``lr`` of another group lasts for one
    update, with a warning.

    **Function.**  It is called once for each step, in order, in one process.  If it fails for a step
    that has no update any more, that is no error.

    **Wrappers.**  An optimizer that keeps another one as ``optimizer`` or ``base_optimizer`` (SAM,
    Lookahead) is one: a step of either counts, a step within a step does not.  Weights that change
    without a step that can be seen are remarked at the end of the epoch.

    Raises:
        TypeError: an argument of another type.
        ValueError: an unknown option; when training starts, an optimizer that is not there, one that
            has a scheduler from ``configure_optimizers`` or is driven by two of these callbacks, a
            list of another length than the param groups; on resume, a state that was saved under
            another schedule or ``lr_scale``, or that is damaged.
        RuntimeError: the training of another trainer, which has this callback too, goes on.

    Source of the semantics: keras/src/optimizers/base_optimizer.py, 3.15.1.  It takes the place of
    torch's schedulers in ``configure_optimizers``, which count what Lightning steps.

    >>> import torch
    >>> from lrparity.callbacks import ScheduleLR
    >>> from lrparity.schedules import CosineDecay
    >>> ScheduleLR(CosineDecay(0.1, decay_steps=1000), log=True)
    ScheduleLR(CosineDecay(initial_learning_rate=0.1, decay_steps=1000))
    """

    def __init__(
        self,
        schedule: ScheduleLike
        | list[ScheduleLike]
        | dict[int | str, ScheduleLike | list[ScheduleLike]],
        optimizer: int | str | None = None,
        *,
        numerics: Numerics = "eager",
        count: Count = "update",
        initial_update: int | None = None,
        on_config_change: OnConfigChange = "raise",
        log: bool | str = False,
        prog_bar: bool = False,
    ) -> None:
        self.schedule = checked_schedule(schedule)
        self.optimizer = checked_selector(optimizer, self.schedule)
        self.numerics = cast("Numerics", check.choice("numerics", numerics, NUMERICS))
        self.count = cast("Count", check.choice("count", count, ("update", "micro_batch")))
        self.initial_update = checked_initial_update(initial_update)
        self.on_config_change = cast(
            "OnConfigChange",
            check.choice("on_config_change", on_config_change, ("raise", "use_new")),
        )
        # Lightning sets an attribute `log` on every callback.
        self._log_name = checked_log(log)
        self._prog_bar = check.flag("prog_bar", prog_bar)
        if self._prog_bar and self._log_name is None:
            raise ValueError("Argument `prog_bar`=True shows what `log` logs: pass log=True too.")
        which = optimizer
        if isinstance(self.schedule, dict):
            which = ",".join(sorted(map(str, self.schedule)))
        # Kept, because Lightning asks for it before every hook.
        self._state_key = f"ScheduleLR{{'optimizer': {which!r}}}"
        self._drivers: dict[int, Driver] = {}
        self._states: dict[int, dict[str, Any]] = {}  # of each optimizer, while none is driven
        self._restored = False  # the states come from a checkpoint
        self._fits = True  # and not: tests, with the state of some checkpoint
        self._trainer: Callable[[], Any] | None = None
        self._optimizers: Any = None  # the trainer's list, to see when it is another
        self._scales: dict[int, list[float | None]] = {}  # as configure_optimizers has made them
        self._silent = False  # whether it has been remarked that no update is seen
        self._changes: dict[int, int] = {}
        self._steps: dict[int, int] = {}

    @property
    def state_key(self) -> str:
        """Tells callbacks for different optimizers apart in a checkpoint."""
        return self._state_key

    @property
    def updates(self) -> dict[int, int]:
        """The real updates that each driven optimizer has made, by its place."""
        states = {i: driver.updates for i, driver in self._drivers.items()}
        return states or {i: state["updates"] for i, state in self._states.items()}

    def set_multiplier(self, multiplier: float, *, min_lr: float = 0.0) -> None:
        """Multiply every rate of the schedules by this from now on; see ``lr_scheduler.ScheduleLR``.

        ``callbacks.ReduceLROnPlateau`` does so by itself.

        Raises:
            RuntimeError: no training is going on.
            ValueError: not finite in float32, or negative.
        """
        if not self._drivers:
            raise RuntimeError(
                "set_multiplier() needs an optimizer to act on: call it while training, from "
                "on_train_start to on_train_end."
            )
        for driver in self._drivers.values():
            driver.set_multiplier(multiplier, min_lr=min_lr)

    # --- hooks -------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Come before all who look at the rate, and forget what another trainer did."""
        self._fits = stage == "fit"
        if not self._fits:
            return
        if self._trainer is not None and (before := self._trainer()) is not trainer:
            if self._drivers and before is not None:
                raise RuntimeError(
                    "This ScheduleLR is still in use by another trainer, whose training goes on. "
                    "Give each its own: copy.deepcopy(callback)."
                )
            self._states, self._restored, self._drivers = {}, False, {}
        self._trainer = weakref.ref(trainer)
        # A new list: Lightning is going through the old one.
        others = [callback for callback in trainer.callbacks if callback is not self]
        first = [callback for callback in others if isinstance(callback, ScheduleLR)]
        rest = [callback for callback in others if not isinstance(callback, ScheduleLR)]
        trainer.callbacks = [self, *first, *rest]

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Listen to load_state_dict() again."""
        self._fits = True

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find a mistake before anything is computed."""
        driven = self._plan(trainer)
        optimizers = raw_optimizers(trainer)
        self._scales = {i: _scales_of(optimizers[i]) for i in driven}
        _check_no_scheduler(trainer, driven)
        others = [c for c in trainer.callbacks if isinstance(c, ScheduleLR) and c is not self]
        for other in others:
            if shared := driven.keys() & other._plan(trainer).keys():
                name = optimizer_names(optimizers)[min(shared)]
                raise ValueError(
                    f"Two ScheduleLR callbacks drive the optimizer {name!r}. Give each another "
                    "`optimizer`, or give one of them a mapping of all."
                )

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Write the first rates; what is written before, Lightning overwrites on resume."""
        self._release()
        if trainer.ckpt_path is not None and not self._restored:
            self._states = {}  # what this trainer did before is not what that checkpoint did
        self._drive(trainer)

    def _drive(self, trainer: Any) -> None:
        """Take the optimizers over, from where the states say."""
        optimizers = raw_optimizers(trainer)
        names = optimizer_names(optimizers)
        this = weakref.ref(self)
        of_trainer = weakref.ref(trainer)

        def listens() -> bool:
            # Lightning's finders put other callbacks into the trainer while they try something.
            alive = of_trainer()
            return alive is not None and this() in alive.callbacks

        def warn(message: str) -> None:
            if trainer.is_global_zero:
                warnings.warn(message, UserWarning, stacklevel=2)

        drivers: dict[int, Driver] = {}
        try:
            for i, schedule in self._plan(trainer).items():
                state = self._states.get(i)
                updates, micro_batches = self._begin_at(trainer, names[i], schedule, state)
                drivers[i] = driver = Driver(
                    optimizers[i],
                    names[i],
                    schedule,
                    numerics=self.numerics,
                    count=self.count,
                    on_config_change=self.on_config_change,
                    epoch=trainer.current_epoch,
                    updates=updates,
                    micro_batches=micro_batches,
                    state=state if self._restored else None,
                    scales=self._scales.get(i, _scales_of(optimizers[i])),
                    listens=listens,
                    warn=warn,
                )
                if state is not None and not self._restored:
                    multiplier = state["scheduler"]["multiplier"]
                    if multiplier != 1.0:
                        driver.set_multiplier(multiplier, min_lr=state["scheduler"]["min_lr"])
        except BaseException:
            for driver in drivers.values():
                driver.remove()
            raise
        self._drivers, self._states, self._restored = drivers, {}, False
        self._optimizers = trainer.optimizers
        self._note_weights()

    def _note_weights(self) -> None:
        """Remember how often weights were changed and updates were seen."""
        self._changes = {i: changes(driver.optimizer) for i, driver in self._drivers.items()}
        self._steps = {i: driver.steps for i, driver in self._drivers.items()}

    def _catch_up(self, trainer: Any) -> None:
        """Drive anew what was restored, or replaced, in the middle of a training."""
        if self._restored or (self._drivers and trainer.optimizers is not self._optimizers):
            self._release()
            self._drive(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Write the rates of the epoch."""
        self._catch_up(trainer)
        self._note_weights()
        for driver in self._drivers.values():
            driver.begin_epoch(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the rates of the batch, if asked to."""
        self._catch_up(trainer)
        if not batch_idx:  # whoever loads weights has done so
            self._note_weights()
        if self._log_name is None:
            return
        # self.log costs more than all the rest: only where somebody sees it.  (The last batch's rate
        # is what callback_metrics hold at the epoch's end.)
        connector = getattr(trainer, "_logger_connector", None)
        wanted = getattr(connector, "should_update_logs", True)
        if not (wanted or self._prog_bar or trainer.is_last_batch):
            return
        names = series_names(raw_optimizers(trainer), self._log_name)
        for i, driver in self._drivers.items():
            for name, group in zip(names[i], driver.optimizer.param_groups, strict=True):
                pl_module.log(
                    name,
                    float(group["lr"]),
                    on_step=True,
                    on_epoch=False,
                    prog_bar=self._prog_bar,
                    logger=bool(trainer.loggers),  # else Lightning warns
                    batch_size=1,
                )

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Catch up with what other callbacks have restored or exchanged as the batch began."""
        self._catch_up(trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the micro-batch."""
        for driver in self._drivers.values():
            driver.end_batch()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Notice weights that change without a step that can be seen."""
        unseen = [
            driver.name
            for i, driver in self._drivers.items()
            if changes(driver.optimizer) != self._changes.get(i)
        ]
        # Weights may change otherwise, too: one optimizer's clamp them while another's steps.
        seen = any(driver.steps != self._steps.get(i) for i, driver in self._drivers.items())
        if unseen and not seen and not self._silent:
            self._silent = True
            message = unseen_steps(
                unseen, trainer.current_epoch, "its learning rate stays where it is"
            )
            if trainer.is_global_zero:
                warnings.warn(message, UserWarning, stacklevel=2)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the optimizers alone."""
        self._release()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the optimizers alone; Lightning calls no on_train_end then."""
        if self._trainer is None or self._trainer() is not trainer:
            return  # another trainer was refused
        try:
            self._release()
        except Exception:  # what went wrong first is what the user should see
            for driver in self._drivers.values():
                driver.remove()
            self._drivers, self._states = {}, {}

    # --- state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The counts and the schedules' configs, plain Python."""
        states = {i: driver.state_dict() for i, driver in self._drivers.items()} or self._states
        return {
            "format": "lrparity.callbacks.ScheduleLR",
            "version": STATE_VERSION,
            "optimizers": {str(i): state for i, state in states.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned, when training starts.

        While the trainer validates, tests or predicts by a checkpoint, it changes nothing: the next
        ``fit`` goes on from the one before, as ``trainer.current_epoch`` does.

        Raises:
            ValueError: the state is another one's, damaged, or of an unknown version.
        """
        states = checked_state(state_dict, "ScheduleLR", STATE_VERSION).get("optimizers")
        if not isinstance(states, Mapping) or not all(_is_place(i) for i in states):
            raise ValueError(
                f"The state of ScheduleLR is damaged: 'optimizers' is {states!r:.200}."
            )
        loaded = {int(i): checked_driver_state(state) for i, state in states.items()}
        if not self._fits:
            return
        for driver in self._drivers.values():  # Lightning's finders restore what was before
            driver.remove()
        self._drivers, self._states, self._restored = {}, loaded, True
        if self._trainer is _no_trainer:
            self._trainer = None  # a copy that goes on by this state

    def _release(self) -> None:
        """Keep the counts, and let go of the optimizers."""
        if self._drivers:
            self._states = {i: driver.state_dict() for i, driver in self._drivers.items()}
            self._restored = False
        for driver in self._drivers.values():
            driver.remove()
        self._drivers = {}

    def __getstate__(self) -> dict[str, Any]:
        states = {i: driver.state_dict() for i, driver in self._drivers.items()} or self._states
        # `log` and `log_dict` are Lightning's, and methods of the whole module.
        kept = {k: v for k, v in self.__dict__.items() if k not in ("log", "log_dict")}
        trainer = None if self._trainer is None else _no_trainer
        return kept | {
            "_drivers": {},
            "_states": states,
            "_trainer": trainer,
            "_optimizers": None,
            "_changes": {},
        }

    def __repr__(self) -> str:
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        return f"{type(self).__name__}({self.schedule!r}{chosen})"

    # --- what to drive -----------------------------------------------------------------------------

    def _plan(self, trainer: Any) -> dict[int, ScheduleLike | list[ScheduleLike]]:
        """Which optimizers are driven, by their places, and by what."""
        optimizers = raw_optimizers(trainer)
        if not any(optimizer.param_groups for optimizer in optimizers):  # Lightning makes a mock
            raise ValueError(
                "ScheduleLR has nothing to drive: configure_optimizers returns no optimizer."
            )
        if isinstance(self.schedule, dict):
            plan: dict[int, ScheduleLike | list[ScheduleLike]] = {}
            for selector, schedule in self.schedule.items():
                i = pick(optimizers, selector, "schedule")
                if i in plan:
                    raise ValueError(
                        f"Argument `schedule` names the optimizer {optimizer_names(optimizers)[i]!r} "
                        f"twice, by its place and by its class: {list(self.schedule)}."
                    )
                plan[i] = schedule
            return plan
        if self.optimizer is not None:
            return {pick(optimizers, self.optimizer, "optimizer"): self.schedule}
        return dict.fromkeys(range(len(optimizers)), self.schedule)

    def _begin_at(
        self,
        trainer: Any,
        name: str,
        schedule: ScheduleLike | list[ScheduleLike],
        state: Mapping[str, Any] | None,
    ) -> tuple[int, int]:
        """The updates and micro-batches done before."""
        if state is not None:
            return state["updates"], state["micro_batches"]
        begin = self.initial_update or 0
        if not counts_epochs(schedule):
            begin = updates_before(
                trainer,
                "ScheduleLR",
                "the schedule",
                self.initial_update,
                name=name,
                batches=self.count == "micro_batch",
            )
        return begin, begin


def _no_trainer() -> None:
    """Stands for the trainer of what a callback was copied from."""


def _scales_of(optimizer: Optimizer) -> list[float | None]:
    """Each group's ``lr_scale`` entry."""
    scales = (group.get("lr_scale") for group in optimizer.param_groups)
    return [None if scale is None else float(scale) for scale in scales]


def _with_held(optimizer: Any) -> list[Any]:
    """An optimizer, and the one that it keeps, if any."""
    return [one for one in (optimizer, getattr(optimizer, "optimizer", None)) if one is not None]


def _is_place(key: Any) -> bool:
    return isinstance(key, str) and key.isdecimal() and len(key) < 9


def _check_no_scheduler(trainer: Any, driven: Mapping[int, Any]) -> None:
    optimizers = raw_optimizers(trainer)
    for config in trainer.lr_scheduler_configs:
        scheduled = _with_held(getattr(config.scheduler, "optimizer", None))
        for i in driven:
            if any(one is other for one in scheduled for other in _with_held(optimizers[i])):
                name, kind = optimizer_names(optimizers)[i], type(config.scheduler).__name__
                raise ValueError(
                    f"The optimizer {name!r} has a learning-rate scheduler from configure_optimizers "
                    f"({kind}), and the callback ScheduleLR drives it too: each would overwrite the "
                    "other's rates. To keep the callback, return the optimizer alone from "
                    f"configure_optimizers; to keep {kind}, take ScheduleLR out of the trainer's "
                    "callbacks, or name another optimizer with `optimizer`."
                )
