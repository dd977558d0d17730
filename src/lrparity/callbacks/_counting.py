"""What drives one optimizer, update by update: it counts, and writes what the next update uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch.optim import Optimizer

from lrparity.lr_scheduler._schedule_lr import ScheduleLike
from lrparity.lr_scheduler._updates import UpdateCounter

Count = Literal["update", "micro_batch"]


class CountingDriver:
    """Counts the updates of an optimizer, and has the value of each written before it.

    What the next update uses is written as soon as an update is done, so that whoever looks between
    two updates sees what is to come.  A subclass says how to write it; once it can, it calls
    :meth:`_start`.

    Args:
        optimizer: the one whose param groups decide.
        name: what messages call it.
        who: the callback that drives it, for messages.
        schedule: for all its param groups, or a list with one for each.
        count: what a schedule of the unit ``"update"`` counts.
        epoch: the current epoch.
        updates, micro_batches: what was done before; the state's, if there is one.
        listens: whether the steps of the optimizer are the trainer's, and not a trial's.
        warn: issues a warning, where warnings are to be issued.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        name: str,
        who: str,
        schedule: ScheduleLike | list[ScheduleLike],
        *,
        count: Count,
        epoch: int,
        updates: int,
        micro_batches: int,
        listens: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self.optimizer, self.name, self._who = optimizer, name, who
        self.updates, self.micro_batches = updates, micro_batches
        self.steps = 0  # goes up with each step that is seen, be it an update or not
        self.per_epoch = counts_epochs(schedule)
        self._listens, self._listening = listens, True
        self._counts_micro_batches = count == "micro_batch"
        self._epoch = epoch
        self._failure: Exception | None = None
        self._warn, self._warned = warn, False

    def _go_on_from(self, state: Mapping[str, Any], count: Count, on_config_change: str) -> None:
        """Take over the counts of a state."""
        if state["count"] != count and on_config_change == "raise":
            raise ValueError(
                f"The state was saved with count={state['count']!r}, now count={count!r}. "
                f'Construct {self._who} as it was, or with on_config_change="use_new" to count the '
                "other from here on."
            )
        self.updates, self.micro_batches = state["updates"], state["micro_batches"]

    def _start(self) -> None:
        """Watch the optimizer from here on."""
        self._counter = UpdateCounter(
            self.optimizer, before_step=self._before_step, after_update=self._after_update
        )

    @property
    def _step(self) -> int:
        """What the schedule is asked for: the update, micro-batch or epoch that comes next."""
        if self.per_epoch:
            return self._epoch
        return self.micro_batches if self._counts_micro_batches else self.updates

    # --- what a subclass does ----------------------------------------------------------------------

    def _write(self, step: int) -> None:
        """Write what the schedule says of a step."""
        raise NotImplementedError

    def _advance(self) -> None:
        """Write what the schedule says of the next step."""
        raise NotImplementedError

    def _take_over_changes(self) -> None:
        """See what others have done to the param groups."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Counters and the scheduler's state, plain Python."""
        raise NotImplementedError

    # --- what happens ------------------------------------------------------------------------------

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
        """Write the value of an update that may never come: if there is none, that is no error yet."""
        try:
            self._advance()
        except Exception as error:
            unit = "micro-batch" if self._counts_micro_batches else "update"
            error.add_note(
                f"{self._who} asked the schedule of the optimizer {self.name!r} for {unit} {self._step}."
            )
            self._failure = error

    def _before_step(self) -> None:
        self._listening = self._listens()
        if not self._listening:
            return
        self.steps += 1
        if self._failure is not None:
            raise self._failure
        self._take_over_changes()

    def remove(self) -> None:
        """Let go of the optimizer."""
        self._counter.remove()

    def _counts(self) -> dict[str, Any]:
        """The counters' part of the state."""
        return {
            "count": "micro_batch" if self._counts_micro_batches else "update",
            "updates": self.updates,
            "micro_batches": self.micro_batches,
        }


def counts_epochs(schedule: ScheduleLike | list[ScheduleLike]) -> bool:
    """Whether a schedule is asked for the epoch; those of one list all count the same."""
    one = schedule[0] if isinstance(schedule, list) else schedule
    return getattr(one, "unit", "update") == "epoch"  # a bare function counts updates


def checked_counts(state: Any, who: str, names: tuple[str, ...]) -> None:
    """Refuse a driver's state whose counts are damaged."""
    for name in names:
        value = state.get(name) if isinstance(state, Mapping) else None
        if type(value) is not int or not 0 <= value < 2**62:
            raise ValueError(f"The state of {who} is damaged: {name!r} is {value!r:.200}.")
    if state.get("count") not in ("update", "micro_batch"):
        raise ValueError(f"The state of {who} is damaged: 'count' is {state.get('count')!r}.")
