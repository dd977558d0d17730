"""What the callbacks share that have a schedule's value written before each update.

No Lightning is imported here.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity.callbacks._arguments import (
    checked_initial_update,
    checked_schedule,
    checked_selector,
    checked_state,
)
from lrparity.callbacks._counting import Count, CountingDriver, counts_epochs
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

AnyDriver = TypeVar("AnyDriver", bound=CountingDriver)


class Scheduled(Generic[AnyDriver]):
    """Drives optimizers of a ``Trainer``: when, which, from where on, and what of it is saved.

    A subclass says what is written, by the driver that it makes.
    """

    _KIND: ClassVar[str]
    """What messages and states call it."""
    _WHAT: str
    """What it drives."""

    def __init__(
        self,
        schedule: Any,
        optimizer: int | str | None,
        *,
        numerics: Numerics,
        count: Count,
        initial_update: int | None,
        on_config_change: OnConfigChange,
        log_name: str | None,
        prog_bar: bool,
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
        self._log_name = log_name
        self._prog_bar = check.flag("prog_bar", prog_bar)
        if self._prog_bar and self._log_name is None:
            raise ValueError("Argument `prog_bar`=True shows what `log` logs: pass log=True too.")
        self._drivers: dict[int, AnyDriver] = {}
        self._states: dict[int, dict[str, Any]] = {}  # of each optimizer, while none is driven
        self._restored = False  # the states come from a checkpoint
        self._fits = True  # and not: tests, with the state of some checkpoint
        self._trainer: Callable[[], Any] | None = None
        self._optimizers: Any = None  # the trainer's list, to see when it is another
        self._silent = False  # whether it has been remarked that no update is seen
        self._changes: dict[int, int] = {}
        self._steps: dict[int, int] = {}
        # Kept, because Lightning asks for it before every hook.
        self._state_key = self._made_state_key()

    def _made_state_key(self) -> str:
        return f"{self._KIND}{{'optimizer': {self._which_optimizers()!r}}}"

    def _which_optimizers(self) -> int | str | None:
        if isinstance(self.schedule, dict):
            return ",".join(sorted(map(str, self.schedule)))
        return self.optimizer

    @property
    def state_key(self) -> str:
        """Tells callbacks for different optimizers apart in a checkpoint."""
        return self._state_key

    @property
    def updates(self) -> dict[int, int]:
        """The real updates that each driven optimizer has made, by its place."""
        states = {i: driver.updates for i, driver in self._drivers.items()}
        return states or {i: state["updates"] for i, state in self._states.items()}

    # --- what a subclass says -----------------------------------------------------------------------

    def _is_peer(self, callback: Any) -> bool:
        """Whether another callback is of this kind."""
        raise NotImplementedError

    def _others(self, trainer: Any) -> list[Any]:
        """The other callbacks of this kind."""
        return [one for one in trainer.callbacks if self._is_peer(one) and one is not self]

    def _check_plan(
        self, trainer: Any, driven: Mapping[int, ScheduleLike | list[ScheduleLike]]
    ) -> None:
        """Refuse what cannot be driven, or is driven by somebody else."""
        raise NotImplementedError

    def _make_driver(
        self,
        i: int,
        optimizer: Optimizer,
        name: str,
        schedule: ScheduleLike | list[ScheduleLike],
        state: dict[str, Any] | None,
        **how: Any,
    ) -> AnyDriver:
        """The driver of the optimizer at place i, with the arguments of ``CountingDriver`` in ``how``.

        ``state`` is what the training before left; a checkpoint's if ``_restored``.
        """
        raise NotImplementedError

    def _held_by(self, driver: AnyDriver) -> list[float | None]:
        """What each param group holds, to be logged; None: nothing of this callback's."""
        raise NotImplementedError

    def _checked_driver_state(self, state: Any) -> dict[str, Any]:
        """A driver's state, if it is whole."""
        raise NotImplementedError

    # --- hooks -------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Come before all who look at the rate, and forget what another trainer did."""
        self._fits = stage == "fit"
        if not self._fits:
            return
        if self._trainer is not None and (before := self._trainer()) is not trainer:
            if self._drivers and before is not None:
                raise RuntimeError(
                    f"This {self._KIND} is still in use by another trainer, whose training goes on. "
                    "Give each its own: copy.deepcopy(callback)."
                )
            self._states, self._restored, self._drivers = {}, False, {}
        self._trainer = weakref.ref(trainer)
        # A new list: Lightning is going through the old one.
        others = [callback for callback in trainer.callbacks if callback is not self]
        first = [callback for callback in others if self._is_peer(callback)]
        rest = [callback for callback in others if not self._is_peer(callback)]
        trainer.callbacks = [self, *first, *rest]

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Listen to load_state_dict() again."""
        self._fits = True

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find a mistake before anything is computed."""
        self._check_plan(trainer, self._plan(trainer))

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

        drivers: dict[int, AnyDriver] = {}
        try:
            for i, schedule in self._plan(trainer).items():
                state = self._states.get(i)
                updates, micro_batches = self._begin_at(trainer, names[i], schedule, state)
                drivers[i] = self._make_driver(
                    i,
                    optimizers[i],
                    names[i],
                    schedule,
                    state,
                    epoch=trainer.current_epoch,
                    updates=updates,
                    micro_batches=micro_batches,
                    listens=listens,
                    warn=warn,
                )
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
            for name, value in zip(names[i], self._held_by(driver), strict=True):
                if value is None:
                    continue
                pl_module.log(
                    name,
                    value,
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
                unseen, trainer.current_epoch, f"its {self._WHAT} stays where it is"
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
            "format": f"lrparity.callbacks.{self._KIND}",
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
        states = checked_state(state_dict, self._KIND, STATE_VERSION).get("optimizers")
        if not isinstance(states, Mapping) or not all(_is_place(i) for i in states):
            raise ValueError(
                f"The state of {self._KIND} is damaged: 'optimizers' is {states!r:.200}."
            )
        loaded = {int(i): self._checked_driver_state(state) for i, state in states.items()}
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

    # --- what to drive -----------------------------------------------------------------------------

    def _plan(self, trainer: Any) -> dict[int, ScheduleLike | list[ScheduleLike]]:
        """Which optimizers are driven, by their places, and by what."""
        optimizers = raw_optimizers(trainer)
        if not any(optimizer.param_groups for optimizer in optimizers):  # Lightning makes a mock
            raise ValueError(
                f"{self._KIND} has nothing to drive: configure_optimizers returns no optimizer."
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
                self._KIND,
                "the schedule",
                self.initial_update,
                name=name,
                batches=self.count == "micro_batch",
            )
        return begin, begin


def _no_trainer() -> None:
    """Stands for the trainer of what a callback was copied from."""


def _is_place(key: Any) -> bool:
    return isinstance(key, str) and key.isdecimal() and len(key) < 9
