"""One optimizer under its schedule, update by update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from torch import Tensor
from torch.optim import Optimizer

from lrparity.controllers import OnConfigChange
from lrparity.lr_scheduler._groups import edited_in_place
from lrparity.lr_scheduler._schedule_lr import ScheduleLike, ScheduleLR
from lrparity.lr_scheduler._state import checked
from lrparity.lr_scheduler._updates import UpdateCounter
from lrparity.schedules import Numerics

Count = Literal["update", "micro_batch"]


class Driver:
    """Writes ``schedule(k)`` into the param groups before update k, and counts the updates.

    The rate of the next update is written as soon as an update is done, so that whoever looks
    between two updates sees the rate of the one to come.

    Args:
        optimizer: the one whose param groups decide.
        name: what messages call it.
        schedule: for all its param groups, or a list with one for each.
        numerics, on_config_change: as in ``lr_scheduler.ScheduleLR``.
        count: what a schedule of the unit ``"update"`` counts.
        epoch: the current epoch.
        updates, micro_batches: what was done before; the state's, if there is one.
        state: what :meth:`state_dict` returned and a checkpoint brought back, or None.
        scales: the groups' ``lr_scale`` as the user has written them, before a checkpoint's.
        listens: whether the steps of the optimizer are the trainer's, and not a trial's.
        warn: issues a warning, where warnings are to be issued.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        name: str,
        schedule: ScheduleLike | list[ScheduleLike],
        *,
        numerics: Numerics,
        count: Count,
        on_config_change: OnConfigChange,
        epoch: int,
        updates: int,
        micro_batches: int,
        state: Mapping[str, Any] | None,
        scales: list[float | None],
        listens: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self.optimizer, self.name = optimizer, name
        self.updates, self.micro_batches = updates, micro_batches
        self.steps = 0  # goes up with each step that is seen, be it an update or not
        self._scales = scales
        self._listens, self._listening = listens, True
        self.first_groups = len(optimizer.param_groups)
        self._one_for_all = not isinstance(schedule, list)
        self._counts_micro_batches = count == "micro_batch"
        self._epoch = epoch
        self._failure: Exception | None = None
        self._warn, self._warned = warn, False
        if state is not None:
            if state["count"] != count and on_config_change == "raise":
                raise ValueError(
                    f"The state was saved with count={state['count']!r}, now count={count!r}. "
                    'Construct ScheduleLR as it was, or with on_config_change="use_new" to count the '
                    "other from here on."
                )
            self._restore_scales(state["scales"], on_config_change)
            self.updates, self.micro_batches = state["updates"], state["micro_batches"]
            self.first_groups = state["first_groups"]
        held, joined = [float(lr) for lr in self._held()], self._set_aside(state)
        self.scheduler = self._make_scheduler(schedule, numerics, on_config_change, state)
        self._note()
        if state is not None:
            self._go_on_with(held, joined, state["scheduler"]["_last_lr"])
        self._counter = UpdateCounter(
            optimizer, before_step=self._before_step, after_update=self._after_update
        )

    def _make_scheduler(
        self,
        schedule: ScheduleLike | list[ScheduleLike],
        numerics: Numerics,
        on_config_change: OnConfigChange,
        state: Mapping[str, Any] | None,
    ) -> ScheduleLR:
        self.per_epoch = counts_epochs(schedule)
        begin = state["scheduler"]["last_epoch"] if state is not None else self._step
        scheduler = ScheduleLR(
            self.optimizer,
            schedule,
            last_epoch=begin - 1,
            numerics=numerics,
            on_config_change=on_config_change,
        )
        if state is not None:
            scheduler.load_state_dict(state["scheduler"])
        scheduler._be_driven()
        if self._step != begin:  # another epoch, or the schedule had failed at this step
            scheduler._update_lr(self._step)
        return scheduler

    def _set_aside(self, state: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Take off the groups that joined after the state was saved: it knows nothing of them."""
        groups = self.optimizer.param_groups
        if state is None or not self._one_for_all:
            return []
        saved = len(state["scheduler"]["lr_scales"])
        joined = groups[saved:]
        del groups[saved:]
        return joined

    def _go_on_with(
        self, held: list[float], joined: list[dict[str, Any]], saved: list[float]
    ) -> None:
        """Take over what others have done since the state was restored, in the middle of a fit."""
        groups = self.optimizer.param_groups
        for i in range(self.first_groups, len(groups)):
            if held[i] != saved[i] and not isinstance(groups[i]["lr"], Tensor):
                groups[i]["lr"] = held[i]
        groups.extend(joined)
        self._take_over_changes()

    def _restore_scales(self, saved: list[float | None], on_config_change: OnConfigChange) -> None:
        """Notice where the user has changed a scale: the checkpoint's has taken its place."""
        for i, (old, new) in enumerate(zip(saved, self._scales, strict=False)):
            if old == new:
                continue
            if on_config_change == "raise":
                raise ValueError(
                    f"The training began with lr_scale={old} in param group {i} of {self.name!r}, and "
                    f"the optimizer is now made with lr_scale={new}. Make it as it was, or construct "
                    'ScheduleLR with on_config_change="use_new" to go on under the new one.'
                )
            if new is None:
                self.optimizer.param_groups[i].pop("lr_scale", None)
            else:
                self.optimizer.param_groups[i]["lr_scale"] = new

    @property
    def _step(self) -> int:
        """What the schedule is asked for: the update, micro-batch or epoch that comes next."""
        if self.per_epoch:
            return self._epoch
        return self.micro_batches if self._counts_micro_batches else self.updates

    def _held(self) -> list[Any]:
        """The rates that the optimizer holds, as the objects that they are: an edit is another."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _note(self) -> None:
        """Remember what the groups hold, to see who else writes."""
        self._rates = self._held()
        self._seen_scales = [group.get("lr_scale") for group in self.optimizer.param_groups]
        self._live_scales = edited_in_place(self._seen_scales)

    def _untouched(self) -> bool:
        """Whether the groups hold the very objects that they held; made to be quick."""
        groups, rates = self.optimizer.param_groups, self._rates
        if self._live_scales or len(groups) != len(rates):
            return False
        for group, rate, scale in zip(groups, rates, self._seen_scales):  # noqa: B905 (strict costs)
            if group["lr"] is not rate or group.get("lr_scale") is not scale:
                return False
        return True

    # --- what happens ------------------------------------------------------------------------------

    def set_multiplier(self, multiplier: float, *, min_lr: float = 0.0) -> None:
        """See ``lr_scheduler.ScheduleLR.set_multiplier``."""
        self.scheduler.set_multiplier(multiplier, min_lr=min_lr)
        self._note()

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins, counted from 0."""
        self._epoch = epoch
        if self.per_epoch:
            self._write(epoch)

    def end_batch(self) -> None:
        """A micro-batch is done."""
        self.micro_batches += 1
        if self._counts_micro_batches and not self.per_epoch:
            self._write_next()

    def _after_update(self) -> None:
        if not self._listening:
            return
        self._take_over_changes()  # of within the closure, which is all of training_step
        self.steps += 1  # the step may have begun before it was watched
        self.updates += 1
        if not self._counts_micro_batches and not self.per_epoch:
            self._write_next()

    def _write_next(self) -> None:
        """Write the rate of an update that may never come: if there is none, that is no error yet."""
        try:
            self.scheduler.step()
        except Exception as error:
            unit = "micro-batch" if self._counts_micro_batches else "update"
            error.add_note(
                f"ScheduleLR asked the schedule of the optimizer {self.name!r} for {unit} {self._step}."
            )
            self._failure = error
        self._rates = self._held()

    def _write(self, step: int) -> None:
        self.scheduler._update_lr(step)
        self._note()

    def _before_step(self) -> None:
        self._listening = self._listens()
        if not self._listening:
            return
        self.steps += 1
        if self._failure is not None:
            raise self._failure
        self._take_over_changes()

    def _take_over_changes(self) -> None:
        """Admit param groups that have joined, and see which rates somebody else has set."""
        if self._untouched():
            return
        scales = [group.get("lr_scale") for group in self.optimizer.param_groups]
        rescaled = self._live_scales or scales != self._seen_scales
        groups, known = self.optimizer.param_groups, len(self._rates)
        if len(groups) > known and not self._one_for_all:
            raise ValueError(
                f"A param group was added to the optimizer {self.name!r} while training, and "
                f"`schedule` is a list of {known}, one for each group. Pass one schedule for all: a "
                "group that joins keeps the ratio of its lr to the schedule."
            )
        own = self.scheduler.get_last_lr()  # new ones, if somebody has set its multiplier
        edits = [
            (i, group["lr"])
            for i, (group, rate) in enumerate(zip(groups, self._rates, strict=False))
            if group["lr"] not in (rate, own[i])
        ]
        steered = [self._steered(i) for i, _ in edits if i >= self.first_groups]
        if any(steered) or rescaled or len(groups) != known:
            self._write(self._step)
        for i, lr in edits:
            if i < self.first_groups:
                groups[i]["lr"] = lr  # it lasts for this update
                self._remark(i, lr)
        self._note()

    def _steered(self, i: int) -> bool:
        """Take on the ratio that who added a group, such as BackboneFinetuning, has given it."""
        try:
            self.optimizer.param_groups[i]["lr_scale"] = self.scheduler._adopted_scale(i)
        except ValueError:  # the schedule is at 0: there is no ratio
            return False
        return True

    def _remark(self, i: int, lr: float) -> None:
        if self._warned:
            return
        self._warned = True
        self._warn(
            f"Something else set the learning rate of the optimizer {self.name!r}, param group {i}, to "
            f"{lr} before update {self.updates}, where the schedule says "
            f"{self.scheduler.get_last_lr()[i]}. It lasts for that update only, because ScheduleLR "
            "writes the rate of every update. Let one of them steer: scale a group for good by its "
            "'lr_scale' entry, or drop the other, or ScheduleLR."
        )

    def remove(self) -> None:
        """Let go of the optimizer."""
        self._counter.remove()

    def state_dict(self) -> dict[str, Any]:
        """Counters and the scheduler's state, plain Python."""
        if self._failure is None:  # a ratio that was set since the last update would be lost
            self._take_over_changes()
        return {
            "count": "micro_batch" if self._counts_micro_batches else "update",
            "updates": self.updates,
            "micro_batches": self.micro_batches,
            "first_groups": self.first_groups,
            "scales": self._scales,
            "scheduler": self.scheduler.state_dict(),
        }


def counts_epochs(schedule: ScheduleLike | list[ScheduleLike]) -> bool:
    """Whether a schedule is asked for the epoch; those of one list all count the same."""
    one = schedule[0] if isinstance(schedule, list) else schedule
    return getattr(one, "unit", "update") == "epoch"  # a bare function counts updates


def checked_driver_state(state: Any) -> dict[str, Any]:
    """A driver's state, if it is whole."""
    for name in ("updates", "micro_batches", "first_groups"):
        value = state.get(name) if isinstance(state, Mapping) else None
        if type(value) is not int or not 0 <= value < 2**62:
            raise ValueError(f"The state of ScheduleLR is damaged: {name!r} is {value!r:.200}.")
    scales = state.get("scales")
    if not isinstance(scales, list) or not all(s is None or type(s) is float for s in scales):
        raise ValueError(f"The state of ScheduleLR is damaged: 'scales' is {scales!r:.200}.")
    if state.get("count") not in ("update", "micro_batch"):
        raise ValueError(f"The state of ScheduleLR is damaged: 'count' is {state.get('count')!r}.")
    checked(state.get("scheduler"))
    return cast("dict[str, Any]", dict(state))
