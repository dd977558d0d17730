"""One optimizer under its schedule, update by update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer

from lrparity.callbacks._counting import Count, CountingDriver, checked_counts
from lrparity.controllers import OnConfigChange
from lrparity.lr_scheduler._groups import edited_in_place
from lrparity.lr_scheduler._schedule_lr import ScheduleLike, ScheduleLR
from lrparity.lr_scheduler._state import checked
from lrparity.schedules import Numerics


class Driver(CountingDriver):
    """Writes ``schedule(k)`` into the param groups before update k, and counts the updates.

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
        super().__init__(
            optimizer,
            name,
            "ScheduleLR",
            schedule,
            count=count,
            epoch=epoch,
            updates=updates,
            micro_batches=micro_batches,
            listens=listens,
            warn=warn,
        )
        self._scales = scales
        self.first_groups = len(optimizer.param_groups)
        self._one_for_all = not isinstance(schedule, list)
        if state is not None:
            self._go_on_from(state, count, on_config_change)
            self._restore_scales(state["scales"], on_config_change)
            self.first_groups = state["first_groups"]
        held, joined = [float(lr) for lr in self._held()], self._set_aside(state)
        self.scheduler = self._make_scheduler(schedule, numerics, on_config_change, state)
        self._note()
        if state is not None:
            self._go_on_with(held, joined, state["scheduler"]["_last_lr"])
        self._start()

    def _make_scheduler(
        self,
        schedule: ScheduleLike | list[ScheduleLike],
        numerics: Numerics,
        on_config_change: OnConfigChange,
        state: Mapping[str, Any] | None,
    ) -> ScheduleLR:
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

    def _advance(self) -> None:
        try:
            self.scheduler.step()
        finally:
            self._rates = self._held()

    def _write(self, step: int) -> None:
        self.scheduler._update_lr(step)
        self._note()

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

    def state_dict(self) -> dict[str, Any]:
        """Counters and the scheduler's state, plain Python."""
        if self._failure is None:  # a ratio that was set since the last update would be lost
            self._take_over_changes()
        return self._counts() | {
            "first_groups": self.first_groups,
            "scales": self._scales,
            "scheduler": self.scheduler.state_dict(),
        }


def checked_driver_state(state: Any) -> dict[str, Any]:
    """A driver's state, if it is whole."""
    checked_counts(state, "ScheduleLR", ("updates", "micro_batches", "first_groups"))
    scales = state.get("scales")
    if not isinstance(scales, list) or not all(s is None or type(s) is float for s in scales):
        raise ValueError(f"The state of ScheduleLR is damaged: 'scales' is {scales!r:.200}.")
    checked(state.get("scheduler"))
    return cast("dict[str, Any]", dict(state))
