"""``ScheduleHyperparameter``: momentum, weight decay, betas, ... as a Lightning callback.

No Lightning is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch.optim import Optimizer

from lrparity.callbacks._arguments import checked_log
from lrparity.callbacks._counting import Count, CountingDriver, checked_counts
from lrparity.callbacks._optimizers import optimizer_names, raw_optimizers
from lrparity.callbacks._scheduled import Scheduled
from lrparity.lr_scheduler import OnConfigChange
from lrparity.lr_scheduler import ScheduleHyperparameter as TorchScheduleHyperparameter
from lrparity.lr_scheduler._entry import Entry, check_name, find_entry, find_places, named_entry
from lrparity.lr_scheduler._hyperparameter import checked_state
from lrparity.lr_scheduler._schedule_lr import ScheduleLike
from lrparity.schedules import Numerics


class HyperparameterDriver(CountingDriver):
    """Writes ``schedule(k)`` into an entry of the param groups before update k.

    Args:
        optimizer, name, schedule, count: as in :class:`CountingDriver`, and so is ``how``.
        scheduler: makes what writes, for an optimizer, a schedule and the last step done.
        on_config_change: as in ``lr_scheduler.ScheduleHyperparameter``.
        state: what :meth:`state_dict` returned and a checkpoint brought back, or None.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        name: str,
        schedule: ScheduleLike | list[ScheduleLike],
        scheduler: Callable[..., TorchScheduleHyperparameter],
        *,
        count: Count,
        on_config_change: OnConfigChange,
        state: Mapping[str, Any] | None,
        **how: Any,
    ) -> None:
        super().__init__(optimizer, name, "ScheduleHyperparameter", schedule, count=count, **how)
        begin = self._step
        if state is not None:
            self._go_on_from(state, count, on_config_change)
            begin = state["scheduler"]["last_epoch"]
        self.scheduler = scheduler(optimizer, schedule, last_epoch=begin - 1)
        if state is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self._write(self._step)
        self._start()

    def _held(self) -> list[Any]:
        """The values that the groups hold, as the objects that they are: an edit is another."""
        return [self.scheduler.entry.held(group) for group in self.scheduler._driven()]

    def _write(self, step: int) -> None:
        self.scheduler._go_to(step)
        self._written = self._held()

    def _advance(self) -> None:
        self._write(self._step)

    def _take_over_changes(self) -> None:
        """Have the groups driven that have joined, and see what somebody else has set."""
        held, written = self._held(), self._written
        if len(held) != len(written):
            self._write(self._step)
            return
        for i, (now, before) in enumerate(zip(held, written, strict=True)):
            if now is not before and now != self.scheduler.get_last_value()[i]:
                self._remark(i, now)
        self._written = held

    def _remark(self, i: int, value: Any) -> None:
        if self._warned:
            return
        self._warned = True
        label = self.scheduler.entry.label
        self._warn(
            f"Something else set {label!r} of the optimizer {self.name!r} to {value} before update "
            f"{self.updates}, where the schedule says {self.scheduler.get_last_value()[i]}. It lasts for "
            f"that update only, because {self._who} writes the value of every update. Drop one of them."
        )

    def state_dict(self) -> dict[str, Any]:
        """Counters and the scheduler's state, plain Python."""
        return self._counts() | {"scheduler": self.scheduler.state_dict()}


class ScheduleHyperparameter(Scheduled[HyperparameterDriver]):
    """Drive a hyper-parameter of a ``Trainer``'s optimizers by a schedule: momentum, weight decay, a beta.

    Update k of an optimizer, counted from 0, uses::

        group[name] = float32(schedule(k))          group[name][index], where it holds several

    What counts, when it is written, how it resumes and what is done about groups that join is as in
    :class:`ScheduleLR`, beside which it stands, or beside a scheduler from ``configure_optimizers``.

    Args:
        name: the entry of the param groups: ``"momentum"``, ``"weight_decay"``, ``"betas"``, ...  Keras'
            ``"beta_1"``, ``"beta_2"``, ``"rho"`` and ``"epsilon"`` are taken for torch's.
        schedule: a schedule, or a function of the step that returns the value, for all optimizers;
            or a list with one for each driven param group; or a mapping from optimizers to these.
        optimizer: drive only this one: its place in what ``configure_optimizers`` returns, or its
            class.  None: all of them, or those of the mapping; each must have the entry.
        index: which value, where the entry holds several: 0 is beta_1.
        groups: the places or names of the param groups to drive; None: all, those included that join.
        numerics, count, initial_update: as in :class:`ScheduleLR`.
        on_config_change: what a resume under another configuration does: ``"raise"``, or ``"use_new"``.
        log: log the value of every batch, as ``"momentum"``, ``"beta_1"``, ..., or under the name given.
        prog_bar: show what ``log`` logs in the progress bar.

    The values are float32, as Keras' hyper-parameters are.  For which Keras has such a callback, and
    what else is to be known of momentum, see ``lrparity.lr_scheduler.ScheduleHyperparameter``.

    Raises:
        TypeError: an argument of another type.
        ValueError: an unknown option; the learning rate as ``name``; when training starts, an optimizer
            without the entry, two callbacks for one entry, a value out of range; on resume, a state
            that was saved under another configuration, or that is damaged.

    Source of the semantics: ``K.set_value(optimizer.momentum, ...)`` in a callback, as
    clr.py in titu1994/keras-one-cycle does; the momentum of tf_keras' legacy optimizers, 2.21.

    >>> from lrparity.callbacks import ScheduleHyperparameter
    >>> from lrparity.schedules import OneCycle, OneCycleMomentum
    >>> ScheduleHyperparameter("beta_1", OneCycleMomentum(OneCycle((0.01, 0.1), 1000)), log=True)
    ScheduleHyperparameter('beta_1', OneCycleMomentum(schedule=OneCycle(lr_range=[0.01, 0.1], n_iter=1000)))
    """

    _KIND = "ScheduleHyperparameter"

    def __init__(
        self,
        name: str,
        schedule: ScheduleLike
        | list[ScheduleLike]
        | dict[int | str, ScheduleLike | list[ScheduleLike]],
        optimizer: int | str | None = None,
        *,
        index: int | None = None,
        groups: int | str | list[int | str] | None = None,
        numerics: Numerics = "eager",
        count: Count = "update",
        initial_update: int | None = None,
        on_config_change: OnConfigChange = "raise",
        log: bool | str = False,
        prog_bar: bool = False,
    ) -> None:
        check_name(name, index)
        self.name, self.index, self.groups = name, index, groups
        self._WHAT = named_entry(name, index).label
        super().__init__(
            schedule,
            optimizer,
            numerics=numerics,
            count=count,
            initial_update=initial_update,
            on_config_change=on_config_change,
            log_name=self._WHAT if log is True else checked_log(log),
            prog_bar=prog_bar,
        )

    def _made_state_key(self) -> str:
        which = {
            "name": self._WHAT,
            "groups": self.groups,
            "optimizer": self._which_optimizers(),
        }
        return f"{self._KIND}{which!r}"

    # --- what is driven, and by what ---------------------------------------------------------------

    def _is_peer(self, callback: Any) -> bool:
        return isinstance(callback, ScheduleHyperparameter)

    def _targets(self, trainer: Any) -> dict[int, tuple[Entry, set[int]]]:
        """For each driven optimizer the entry, and the places of the groups that are there now."""
        optimizers = raw_optimizers(trainer)
        targets = {}
        for i in self._plan(trainer):
            groups = optimizers[i].param_groups
            try:
                places = find_places(self.groups, optimizers[i])
                driven = range(len(groups)) if places is None else places
                entry = find_entry(self.name, self.index, [groups[place] for place in driven])
            except ValueError as error:
                raise ValueError(
                    f"{self._KIND} cannot drive the optimizer {optimizer_names(optimizers)[i]!r}: "
                    f"{error}"
                ) from None
            targets[i] = entry, set(driven)
        return targets

    def _check_plan(
        self, trainer: Any, driven: Mapping[int, ScheduleLike | list[ScheduleLike]]
    ) -> None:
        targets, names = self._targets(trainer), optimizer_names(raw_optimizers(trainer))
        for other in self._others(trainer):
            theirs = other._targets(trainer)
            for i in targets.keys() & theirs.keys():
                (entry, places), (their_entry, their_places) = targets[i], theirs[i]
                if entry == their_entry and places & their_places:
                    raise ValueError(
                        f"Two {self._KIND} callbacks drive {entry.label!r} of the optimizer "
                        f"{names[i]!r}. Give each another `optimizer` or other `groups`."
                    )
        for config in trainer.lr_scheduler_configs:
            if not getattr(config.scheduler, "cycle_momentum", False):
                continue
            for i, (entry, _) in targets.items():
                cycled = entry in (Entry("momentum", None), Entry("betas", 0))
                if cycled and config.scheduler.optimizer is raw_optimizers(trainer)[i]:
                    raise ValueError(
                        f"{type(config.scheduler).__name__} from configure_optimizers cycles the "
                        f"momentum of the optimizer {names[i]!r}, and {self._KIND} drives "
                        f"{entry.label!r}, too. Construct the scheduler with cycle_momentum=False."
                    )

    def _make_driver(
        self,
        i: int,
        optimizer: Optimizer,
        name: str,
        schedule: ScheduleLike | list[ScheduleLike],
        state: dict[str, Any] | None,
        **how: Any,
    ) -> HyperparameterDriver:
        def scheduler(
            of: Optimizer, by: ScheduleLike | list[ScheduleLike], last_epoch: int
        ) -> TorchScheduleHyperparameter:
            return TorchScheduleHyperparameter(
                of,
                self.name,
                by,
                index=self.index,
                groups=self.groups,
                numerics=self.numerics,
                last_epoch=last_epoch,
                on_config_change=self.on_config_change,
            )

        return HyperparameterDriver(
            optimizer,
            name,
            schedule,
            scheduler,
            count=self.count,
            on_config_change=self.on_config_change,
            state=state if self._restored else None,
            **how,
        )

    def _held_by(self, driver: HyperparameterDriver) -> list[float | None]:
        driven, entry = driver.scheduler._driven(), driver.scheduler.entry
        return [
            float(entry.held(group)) if any(group is one for one in driven) else None
            for group in driver.optimizer.param_groups
        ]

    def _checked_driver_state(self, state: Any) -> dict[str, Any]:
        checked_counts(state, self._KIND, ("updates", "micro_batches"))
        checked_state(state.get("scheduler"))
        return cast("dict[str, Any]", dict(state))

    def __repr__(self) -> str:
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        return f"{type(self).__name__}({self._WHAT!r}, {self.schedule!r}{chosen})"
