"""``ScheduleHyperparameter``: momentum, weight decay, betas, any number in a param group, by a schedule."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity.controllers import OnConfigChange
from lrparity.lr_scheduler._entry import Groups, find_entry, find_places
from lrparity.lr_scheduler._groups import check_optimizer
from lrparity.lr_scheduler._schedule_lr import BLOCK, Count, ScheduleLike, checked_last_epoch
from lrparity.lr_scheduler._state import (
    described,
    differences,
    distinct,
    fingerprint,
    which_distinct,
)
from lrparity.lr_scheduler._updates import UpdateCounter
from lrparity.schedules import FunctionSchedule, LearningRateSchedule, Numerics, as_schedule
from lrparity.schedules._schedule import NUMERICS, is_shipped_formula

STATE_FORMAT = "lrparity.ScheduleHyperparameter"
STATE_VERSION = 1
STATE_TYPES: dict[str, type] = {
    "key": str,
    "last_epoch": int,
    "last_value": list,
    "numerics": str,
    "schedules": list,
    "group_schedules": list,
    "schedule_values": list,
    "pending_updates": int,
    "fingerprint": str,
}


class ScheduleHyperparameter:
    """Drive a hyper-parameter of an optimizer by a schedule: momentum, weight decay, a beta.

    After construction and after k calls of ``step()`` each driven param group holds::

        group[name] = float32(schedule(k))          group[name][index], where it holds several

    as a Python float, which is the value of a float32 variable, as Keras' hyper-parameters are (a
    tensor is filled in place).  It is always computed from k.  The learning rate is
    :class:`ScheduleLR`'s, and neither looks at the other.

    Args:
        optimizer: the optimizer to drive.
        name: the entry of its param groups: ``"momentum"``, ``"weight_decay"``, ``"betas"``,
            ``"alpha"``, ... Keras' ``"beta_1"``, ``"beta_2"``, ``"rho"`` and ``"epsilon"`` are taken for
            what torch calls ``betas[0]``, ``betas[1]``, ``alpha`` and ``eps``.
        schedule: a schedule, or a function of the step that returns the value, for all driven
            groups; or a list with one for each.
        index: which value, where the entry holds several: 0 is beta_1.
        groups: the places or the names (``group["name"]``) of the groups to drive.  None: all, those
            included that join later.  Leave out the groups that weight decay shall not touch.
        numerics: ``"eager"`` or ``"graph"``, as in :class:`ScheduleLR`.
        count: ``"calls"``: every ``step()`` is one step.  ``"updates"``: a ``step()`` advances by the
            optimizer's real updates since the one before.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        on_config_change: what ``load_state_dict`` does when the state was saved under another
            configuration: ``"raise"``, or ``"use_new"`` to go on from the saved step under this one.

    Attributes:
        last_epoch: the step that the current values belong to; the only counter.

    **Which Keras this is.**  In a compiled ``fit`` of Keras 3 and of tf_keras' new optimizers
    ``momentum`` and ``weight_decay`` are Python numbers, baked into the train step when it is traced: a
    callback that sets them afterwards changes nothing, without a word.  They are settable in Keras up
    to 2.10, in ``tf_keras.optimizers.legacy``, and where the step runs eagerly.  There
    ``K.set_value(optimizer.momentum, value)`` rounds to float32, as here.

    **Momentum 0.**  Once its momentum is scheduled, :class:`lrparity.optim.SGD` keeps its velocity at a
    momentum of 0, too, as the legacy optimizer does; ``torch.optim.SGD`` (and Keras 3, eagerly) leaves
    a stale buffer.  A legacy optimizer constructed with ``momentum=0.0`` ignores every later one; here
    they count.

    **Precision.**  With float64 parameters the value is still the float32 one: 0.9 is held as
    0.8999999761581421, and ``1 - beta`` is that of it.

    **State** is plain, versioned Python, loads under ``torch.load(weights_only=True)``, and carries the
    configuration with a fingerprint.  What the groups held before is kept in them, as
    ``initial_momentum``, ``initial_beta_1`` and the like.

    **Lightning** takes torch's own kind of scheduler only from ``configure_optimizers``, which writes
    ``lr``, and this is none: use ``lrparity.callbacks.ScheduleHyperparameter``.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer, or ``schedule`` no schedule or function.
        ValueError: there is no such entry or group, or it is the learning rate; as many schedules as
            groups are needed; the first value is out of range: momentum from 0 to 1, betas from 0 to
            below 1, weight decay at least 0.  A later one is an error of the ``step()`` that gets there.

    Source of the semantics: ``_set_hyper`` in tf_keras/src/optimizers/legacy/optimizer_v2.py, 2.21.
    torch cycles the momentum within ``OneCycleLR`` and ``CyclicLR`` only.

    >>> import torch
    >>> from lrparity.schedules import OneCycle, OneCycleMomentum
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.95)
    >>> momentum = ScheduleHyperparameter(
    ...     optimizer, "momentum", OneCycleMomentum(OneCycle((0.01, 0.1), n_iter=4))
    ... )
    >>> for _ in range(4):
    ...     print(round(optimizer.param_groups[0]["momentum"], 4))
    ...     optimizer.step()
    ...     momentum.step()
    0.95
    0.8567
    0.8688
    0.9217
    """

    def __init__(
        self,
        optimizer: Optimizer,
        name: str,
        schedule: ScheduleLike | Sequence[ScheduleLike],
        *,
        index: int | None = None,
        groups: Groups | None = None,
        numerics: Numerics = "eager",
        count: Count = "calls",
        last_epoch: int = -1,
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.last_epoch = checked_last_epoch(last_epoch)
        self.numerics = cast("Numerics", check.choice("numerics", numerics, NUMERICS))
        self.count = cast("Count", check.choice("count", count, ("calls", "updates")))
        self.on_config_change = check.choice(
            "on_config_change", on_config_change, ("raise", "use_new")
        )
        self._places = find_places(groups, optimizer)
        self.entry = find_entry(name, index, self._driven())
        self._one_for_all = not isinstance(schedule, list | tuple)
        self._schedules = self._per_group(schedule)
        self._distinct, self._which = distinct(self._schedules), which_distinct(self._schedules)
        self._shipped = all(is_shipped_formula(one) for one in self._distinct)
        self._block_start, self._block = 0, [np.empty(0, np.float32)] * len(self._distinct)
        self._last: list[float] = []
        self._counter: UpdateCounter | None = None
        values = self._values_of(self.last_epoch + 1)
        self._keep_initial()
        self._write(self.last_epoch + 1, values)
        if self.count == "updates":
            self._counter = UpdateCounter(optimizer)

    def _per_group(
        self, schedule: ScheduleLike | Sequence[ScheduleLike]
    ) -> list[LearningRateSchedule]:
        groups = len(self._driven())
        if not isinstance(schedule, list | tuple):
            return [as_schedule(schedule)] * groups
        if len(schedule) != groups:
            raise ValueError(
                "Argument `schedule` must be one schedule, or a list with one for each driven param "
                f"group. Received: {len(schedule)} schedules for {groups} param groups."
            )
        schedules = [as_schedule(one, f"schedule[{i}]") for i, one in enumerate(schedule)]
        if len({one.unit for one in schedules}) > 1:
            raise ValueError(
                "The schedules of one hyper-parameter must count the same, because one step() steps "
                f"them all. Received units {[one.unit for one in schedules]}. Write the ones per epoch "
                "as schedules of the update, or the other way round."
            )
        return schedules

    @property
    def unit(self) -> str:
        """What the schedule counts."""
        return self._schedules[0].unit

    # --- stepping ---------------------------------------------------------------------------------

    def step(self) -> None:
        """Go on to the next step and write its values; once per update, or per epoch.

        Raises:
            ValueError: a value is out of its range, or a group was added to a list of schedules.  The
                step is not done then.
        """
        updates = 1 if self._counter is None else self._counter.take()
        if not updates:
            return
        try:
            self._go_to(self.last_epoch + (updates if self.unit == "update" else 1))
        except BaseException:
            if self._counter is not None:
                self._counter.pending += updates
            raise

    def get_last_value(self) -> list[float]:
        """The values that were written last, one for each driven param group."""
        return list(self._last)

    def _go_to(self, step: int) -> None:
        """Write the values of a step."""
        self._write(step, self._values_of(step))

    def _write(self, step: int, values: list[float]) -> None:
        self.entry.write(self._driven(), values)
        self.last_epoch, self._last = step, values

    def _keep_initial(self) -> None:
        """Note in each group what it held before; optim.SGD sees by it that its momentum is driven."""
        for group in self._driven():
            if (held := self.entry.held(group)) is not None:
                group.setdefault(f"initial_{self.entry.label}", float(held))

    def _driven(self) -> list[dict[str, Any]]:
        groups = self.optimizer.param_groups
        return groups if self._places is None else [groups[i] for i in self._places]

    def _values_of(self, step: int) -> list[float]:
        """The value of each driven group, in its range."""
        self._admit_groups()
        distinct_values = self._asked(step)
        for value in distinct_values:
            self.entry.refuse(value, f"at step {step}")
        return [distinct_values[which] for which in self._which]

    def _admit_groups(self) -> None:
        groups, known = len(self._driven()), len(self._schedules)
        if groups == known:
            return
        if not self._one_for_all:
            raise ValueError(
                f"The optimizer has {groups} param groups, and `schedule` is a list of {known}, one for "
                "each. Pass one schedule for all, or name the groups it drives: groups=[...]."
            )
        self._schedules = [self._schedules[0]] * groups
        self._which = [0] * groups
        self._keep_initial()

    def _asked(self, step: int) -> list[float]:
        """What the distinct schedules say: many steps ahead where that is safe, else asked once."""
        index = step - self._block_start
        if not 0 <= index < len(self._block[0]):
            self._block = self._block_from(step)
            self._block_start, index = step, 0
        return [float(column[index]) for column in self._block]

    def _block_from(self, step: int) -> list[Any]:
        if self._shipped:
            steps = np.arange(step, step + BLOCK)
            with contextlib.suppress(Exception):  # of the step itself it comes again
                return [one(steps, numerics=self.numerics) for one in self._distinct]
        return [[self._single(one, step)] for one in self._distinct]

    def _single(self, schedule: LearningRateSchedule, step: int) -> float:
        if isinstance(schedule, FunctionSchedule) and self.numerics == "eager":
            return schedule.rate(step)
        return schedule(step, numerics=self.numerics)

    # --- state ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state as plain Python: the counter, and what decides the values."""
        schedules = [described(one) for one in self._distinct]
        state: dict[str, Any] = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "key": self.entry.key,
            "index": self.entry.index,
            "groups": None if self._places is None else list(self._places),
            "last_epoch": self.last_epoch,
            "last_value": self.get_last_value(),
            "numerics": self.numerics,
            "schedules": schedules,
            "group_schedules": self._group_schedules(),
            "schedule_values": self._asked(self.last_epoch),
            "pending_updates": 0 if self._counter is None else self._counter.pending,
        }
        return state | {"fingerprint": _fingerprint(state)}

    def _group_schedules(self) -> list[int]:
        """Which schedule each group has; one for all is for those that will join, too."""
        return [0] if self._one_for_all else list(self._which)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned, and write its values.

        Raises:
            ValueError: the state is another class's, damaged, of an unknown version, or (unless
                ``on_config_change="use_new"``) was saved under another schedule, entry or groups; for a
                bare function, if its value at the saved step is another one now.  Nothing is changed
                then.
        """
        state = checked_state(state_dict)
        self._admit_groups()
        if self.on_config_change == "raise":
            self._check_unchanged(state)
        self._keep_initial()  # the optimizer's own state may be older than this schedule
        self._go_to(state["last_epoch"])
        if self._counter is not None:
            self._counter.pending = state["pending_updates"]

    def _check_unchanged(self, state: Mapping[str, Any]) -> None:
        own = {
            "key": self.entry.key,
            "index": self.entry.index,
            "groups": self._places,
            "numerics": self.numerics,
            "schedules": [described(one) for one in self._distinct],
            "group_schedules": self._group_schedules(),
        }
        changes = [
            f"{name}: saved {state[name]!r}, now {own[name]!r}"
            for name in ("key", "index", "groups")
            if state[name] != own[name]
        ]
        changes += differences(state, own)
        if not changes:
            step, saved = state["last_epoch"], state["schedule_values"]
            if repr(values := self._asked(step)) != repr(saved):
                changes.append(f"values at step {step}: saved {saved}, now {values}")
        if changes:
            raise ValueError(
                "The state was saved under another configuration: "
                + "; ".join(changes)
                + f". Construct {type(self).__name__} as it was, or with "
                'on_config_change="use_new" to go on from the saved step under the new one.'
            )

    def __getstate__(self) -> dict[str, Any]:
        pending = None if self._counter is None else self._counter.pending
        return self.__dict__ | {"_counter": pending}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.count == "updates":
            self._counter = UpdateCounter(self.optimizer, pending=state["_counter"])

    def __repr__(self) -> str:
        shown = repr(self._distinct[0]) if len(self._distinct) == 1 else repr(self._schedules)
        return f"{type(self).__name__}({self.entry.label!r}, {shown}, last_epoch={self.last_epoch})"


def checked_state(state: Any) -> Mapping[str, Any]:
    """The state itself, if it is whole and ours."""
    if not isinstance(state, Mapping) or state.get("format") != STATE_FORMAT:
        keys = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"This is not the state of a ScheduleHyperparameter (it has {keys}).")
    if state.get("version") != STATE_VERSION:
        raise ValueError(
            f"The state has version {state.get('version')!r}; this lrparity reads version "
            f"{STATE_VERSION}. Load it with the lrparity that saved it, or a newer one."
        )
    for name, kind in STATE_TYPES.items():
        if type(state.get(name)) is not kind:
            raise ValueError(f"The state is damaged: {name!r} is {state.get(name)!r:.200}.")
    for name in ("last_value", "schedule_values"):
        if not all(type(value) is float for value in state[name]):
            raise ValueError(f"The state is damaged: {name!r} is {state[name]!r:.200}.")
    if not (0 <= state["last_epoch"] < 2**62 and 0 <= state["pending_updates"] < 2**62):
        raise ValueError("The state is damaged: a count is out of range.")
    for one in state["schedules"]:
        if not isinstance(one, dict) or not isinstance(one.get("config", ""), dict | None):
            raise ValueError(f"The state is damaged: 'schedules' is {state['schedules']!r:.200}.")
    if state["fingerprint"] != _fingerprint(state):
        raise ValueError("The state is damaged: its configuration does not fit its fingerprint.")
    return state


def _fingerprint(state: Mapping[str, Any]) -> str:
    """A digest of what decides the values."""
    which = [state.get("key"), state.get("index"), state.get("groups"), state["group_schedules"]]
    return fingerprint(state["schedules"], which, state["numerics"])
