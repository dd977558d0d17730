"""Which metrics belong to which epoch.

``trainer.callback_metrics`` keeps a value until another one takes its place, so that a stale value
looks like a fresh one.  What tells them apart is the object: Lightning puts in a new one each time.
Three things make it less simple than that:

- What the module logs in its own ``on_train_epoch_end`` comes after the callbacks' hook.  It is taken
  when the checkpoint is written, when the next epoch starts, or when the training ends.
- In the middle of an epoch the mean of a training metric stands under the same name as its value in
  the last batch.  So only what a validation put in is taken there, and after the last batch the means
  are asked from Lightning's results, which a checkpoint written from then on has to contain:
  Lightning forgets them when it resumes.  A metric that cannot be computed yet comes at the epoch's end.
- What others write into ``callback_metrics`` between the end of an epoch and the recorder's next turn
  counts for the epoch to come, as LearningRateMonitor means it.
"""

from __future__ import annotations

import difflib
import math
import warnings
from array import array
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrparity.callbacks._rates import damaged, is_text, shown
from lrparity.trajectory import MAXIMUM_VALUES


class EpochMetrics:
    """One number per epoch and metric; NaN where an epoch has none.

    Args:
        wanted: True for all metrics, False for none, or the names of some.
    """

    def __init__(self, wanted: bool | list[str]) -> None:
        self._wanted = wanted
        self._values: dict[str, array[float]] = {}
        self._epochs = 0
        self._refused: set[str] = set()
        self._forget()

    def _forget(self) -> None:
        """Drop what belongs to a running training."""
        self._epoch = self._processed = 0
        self._seen: dict[str, Any] = {}
        self._before_validation: dict[str, Any] | None = None

    # --- what happens, in the order in which it does -------------------------------------------------

    def begin_training(self, trainer: Any) -> None:
        """What is there now is stale."""
        self._forget()
        self._enter(trainer)
        self._seen = dict(trainer.callback_metrics)

    def begin_epoch(self, trainer: Any) -> None:
        """An epoch begins, and the one before is over."""
        current = dict(trainer.callback_metrics)
        self._complete(trainer, current)
        logged = _logged_in_training(trainer)
        # Lightning has put in what training logged once more since the epoch's end.
        self._seen |= {n: value for n, value in current.items() if logged is None or n in logged}
        self._enter(trainer)

    def end_batch(self, trainer: Any) -> None:
        """A batch is done; after the last one the means of the epoch are there."""
        if self._wanted and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._write(_means(trainer, self._wanted))

    def begin_validation(self, trainer: Any) -> None:
        """A validation begins in the training."""
        self.end_batch(trainer)  # what the module logged in its own on_train_batch_end
        self._before_validation = dict(trainer.callback_metrics)

    def end_validation(self, trainer: Any) -> None:
        """A validation is done."""
        if self._before_validation is not None:
            self._write(fresh(trainer.callback_metrics, self._before_validation))
        self._before_validation = None

    def end_epoch(self, trainer: Any) -> None:
        """The batches of an epoch and its validation are done."""
        current = dict(trainer.callback_metrics)
        self._write(fresh(current, self._seen))
        self._seen = current
        self._epochs = max(self._epochs, self._epoch + 1)

    def catch_up(self, trainer: Any) -> None:
        """A checkpoint is being written, or the training ends: take what is there already."""
        if self._before_validation is not None:
            self._write(fresh(trainer.callback_metrics, self._before_validation))
        elif trainer.fit_loop.epoch_progress.current.processed > self._processed:
            if self._epochs <= self._epoch:
                self.end_epoch(trainer)  # whoever saves comes before the recorder
            else:
                self._complete(trainer, dict(trainer.callback_metrics))

    def end_training(self, trainer: Any) -> None:
        """Let go of the values."""
        self.catch_up(trainer)
        self._forget()

    def _enter(self, trainer: Any) -> None:
        self._epoch = trainer.current_epoch
        self._processed = trainer.fit_loop.epoch_progress.current.processed

    def _complete(self, trainer: Any, current: dict[str, Any]) -> None:
        """Add to an epoch what was logged at its end, after the recorder's turn."""
        late = _logged_in_training(trainer, "on_train_epoch_end")
        if self._epochs > self._epoch and late != set():
            values = fresh(current, self._seen)
            self._write({n: v for n, v in values.items() if late is None or n in late})

    # --- the values ----------------------------------------------------------------------------------

    def _write(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if self._wanted is True or (self._wanted and name in self._wanted):
                self._write_one(name, value)

    def _write_one(self, name: str, value: Any) -> None:
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            if name not in self._refused and self._wanted is not True:
                warnings.warn(
                    f"LearningRateRecorder was asked for the metric {name!r} and has to leave it out: "
                    f"{value!r:.100} in trainer.callback_metrics is no number.",
                    UserWarning,
                    stacklevel=2,
                )
            self._refused.add(name)
            return
        values = self._values.setdefault(name, array("d"))
        values.extend([math.nan] * (self._epoch + 1 - len(values)))
        values[self._epoch] = number

    def values(self) -> dict[str, NDArray[np.float64]]:
        """Every metric, from epoch 0 on; all of one length."""
        names = list(self._wanted) if isinstance(self._wanted, list) else sorted(self._values)
        length = max([self._epochs, *(len(self._values.get(name, ())) for name in names)])
        result = {}
        for name in names if self._wanted else ():
            recorded = self._values.get(name, array("d"))
            result[name] = np.full(length, np.nan)
            result[name][: len(recorded)] = recorded
        return result

    def missing(self, available: Collection[str]) -> str | None:
        """What to say about names that were asked for and never came; None if there are none."""
        if not isinstance(self._wanted, list) or not self._epochs:
            return None
        known = self._values.keys() | self._refused
        missing = [name for name in self._wanted if name not in known]
        if not missing:
            return None
        near = [n for name in missing for n in difflib.get_close_matches(name, available, 1)]
        hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        return (
            f"LearningRateRecorder was asked for the metrics {missing!r}, which no epoch had; they are "
            f"NaN. trainer.callback_metrics has {sorted(available)!r}.{hint}"
        )

    def state_dict(self) -> dict[str, Any]:
        """The values, plain Python."""
        values = {name: values.tolist() for name, values in self._values.items()}
        return {"epochs": self._epochs, "values": values}

    def load_state_dict(self, state: Any) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            ValueError: it is damaged.
        """
        epochs = state.get("epochs") if isinstance(state, Mapping) else None
        values = state.get("values") if isinstance(state, Mapping) else None
        if type(epochs) is not int or not isinstance(values, Mapping):
            raise damaged(f"'metrics' is {shown(state)}")
        if not 0 <= epochs <= MAXIMUM_VALUES:  # no memory for what a damaged number claims
            raise damaged(f"'metrics' is {shown(state)}")
        for name, numbers in values.items():
            if not is_text(name) or not isinstance(numbers, list):
                raise damaged(f"the metric {shown(name)} is {shown(numbers)}")
            if not all(type(number) is float for number in numbers):
                raise damaged(f"the metric {shown(name)} is {shown(numbers)}")
        self._values = {name: array("d", numbers) for name, numbers in values.items()}
        self._epochs = epochs

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_seen": {}, "_before_validation": None}


def fresh(current: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """What was put in since."""
    return {n: v for n, v in current.items() if n and (n not in before or before[n] is not v)}


# --- what only Lightning's own results know ------------------------------------------------------
#
# Their layout is private (the same since Lightning 1.5).  Where it is another one, nothing breaks:
# metrics that come at an epoch's very end are then told apart by their objects alone, and the means
# of a checkpoint between the last batch and the epoch's end are missing.


def _logged_in_training(trainer: Any, hook: str = "") -> set[str] | None:
    """The names that ``self.log`` was given in training, or in one hook of it; None: unknown."""
    try:
        metas = [result.meta for result in trainer.fit_loop.epoch_loop._results.values()]
        names = {meta.name for meta in metas if meta.fx.startswith(hook)}
    except (AttributeError, TypeError):
        return None
    return names | {f"{name}_{kind}" for name in names for kind in ("step", "epoch")}


def _means(trainer: Any, wanted: bool | list[str]) -> dict[str, Any]:
    """What Lightning will report for the epoch that has had its last batch; computed and not kept."""
    try:
        results = trainer.fit_loop.epoch_loop._results
        items = [
            (item, results._forked_name(item, False), item._computed, item.meta.sync.should)
            for _, item in results.valid_items()
        ]
    except (AttributeError, TypeError):
        return {}
    means: dict[str, Any] = {}
    for item, names, computed, should in items:
        if wanted is not True and (not wanted or set(wanted).isdisjoint(names)):
            continue
        try:
            value = results._get_cache(item, on_step=False)
        except Exception:  # the metric gets its last update later: the epoch's end will have it
            if getattr(item.value, "_is_synced", False):
                item.value.unsync()  # torchmetrics does not when `compute` fails
            value = None
        # More may be logged: Lightning has to compute again, as it would without the recorder.
        item._computed, item.meta.sync.should = computed, should
        if isinstance(value, torch.Tensor):
            means |= dict.fromkeys(names, value)
    return means
