"""``SnapshotEnsemble``: a checkpoint at the end of every learning-rate cycle.  No Lightning is imported.

Two callbacks share the work.  The one that the user makes stands first, as every ``ScheduleLR`` does,
and drives the rates; the saver, which it puts last, takes the snapshots when all others, the module and
``EarlyStopping`` and ``ModelCheckpoint`` too, have done what they do at an epoch's end.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from lrparity import _validation as check
from lrparity.callbacks._arguments import checked_state
from lrparity.callbacks._closed_loop import loops
from lrparity.callbacks._counting import Count
from lrparity.callbacks._loops import (
    batches_begun,
    epochs_done,
    mend,
    recount,
    warn_lost,
    warn_unknown,
    within_epoch,
)
from lrparity.callbacks._schedule_lr import ScheduleLR
from lrparity.callbacks._snapshots import (
    Snapshot,
    checked_folder,
    checked_taken,
    exists,
    file_names,
    fitting,
    inside,
    is_remote,
    numbers_in,
    parent,
    try_to_write,
)
from lrparity.lr_scheduler import OnConfigChange
from lrparity.lr_scheduler._schedule_lr import ScheduleLike
from lrparity.schedules import Numerics, SnapshotCosine

STATE_VERSION = 1


class SnapshotEnsemble(ScheduleLR):
    """Anneal the learning rate in cycles, and keep the weights that each of them ends with.

    ::

        c = n_epochs // n_cycles
        lr = lr_max / 2 * (cos(pi * (epoch mod c) / c) + 1)        epochs are counted from 0
        snapshot k, k = 1 ... n_cycles, after epoch k * c - 1

    With another ``schedule``, of any unit, the snapshots are taken at the same places, or after
    ``cycle_ends`` epochs.  :class:`lrparity.ensemble.SnapshotAverage` averages what they predict.

    Args:
        n_epochs: epochs of the whole training.
        n_cycles: how many cycles, and snapshots.
        lr_max: the rate that each cycle begins with.
        schedule: what drives the rates instead, as in :class:`ScheduleLR`; then without ``lr_max``.
        cycle_ends: after how many epochs in all each cycle of that schedule ends, ``[10, 30, 70]``;
            instead of ``n_epochs`` and ``n_cycles``.
        dirpath: the folder of the snapshots.  None: ``snapshots`` in the folder of the trainer's first
            logger and its version, else in ``default_root_dir``, beside where ``ModelCheckpoint`` writes.
        filename: their names without the suffix, a template with ``{cycle}``, from 1, or ``{epoch}``,
            from 0; ``"{cycle:02d}"`` formats.
        last_k: keep the newest k; a file goes when the one that takes its place has been written.  None
            keeps all.
        weights_only: write no states of optimizers, loops and callbacks.  No training can go on from
            such a file.
        overwrite: what happens to files of that name that are there when a training begins which did
            not write them: False refuses, True removes them.
        optimizer: drive only this one, by its place or its name; None: all.
        numerics: as in :class:`ScheduleLR`.
        count: as there.
        initial_update: as there.
        on_config_change: as there; ``"use_new"`` also allows other ends of cycles, to train for more of
            them.
        log: log the rate, as in :class:`ScheduleLR`.
        prog_bar: show it in the progress bar.

    **When.**  Lightning ends a cycle's last epoch, with its validation if it has one, and all other
    callbacks have heard of it, ``ModelCheckpoint`` last; then the snapshot is taken, by
    ``trainer.save_checkpoint``, on all ranks.  An epoch that ``max_steps`` or ``trainer.should_stop`` cuts
    short ends all the same, so it has a snapshot if it is the last of its cycle.  A training that ends
    earlier in a cycle has none of that cycle, and a warning says so.  If ``n_cycles`` does not divide
    ``n_epochs``, the remaining epochs begin a cosine that nobody keeps: there is a warning.

    **Resume.**  The snapshots that were taken are part of every checkpoint, of the snapshots too.  A
    training goes on from any of them, in mid-cycle, after a SIGKILL as well, to the snapshots of a training
    that was not interrupted: what had been lost is taken first thing, what is there is not taken again,
    and what was written by epochs that are trained again is replaced.  A validation that Lightning would
    leave out is repeated.  (A mean over an epoch's training batches is,
    after a resume within it, that of the rest: Lightning's way.)

    **Files.**  Each is written under another name first, so it is whole or not there.  A fresh training
    takes no folder with files of these names, nor does one that goes on in another folder than its
    checkpoint's.  ``fast_dev_run`` writes none.

    **Rates.**  It is a :class:`ScheduleLR`, with everything said there of when rates are written, of
    groups, of several optimizers, and of what counts.  Two for two optimizers each need file names of
    their own.

    Attributes:
        cycle_ends: after how many epochs each cycle ends.

    Raises:
        TypeError: an argument has another type.
        ValueError: arguments that do not go together or are out of range; whatever :class:`ScheduleLR`
            raises; on resume, other cycles than the checkpoint's.
        FileExistsError: see ``overwrite``.
        OSError: the folder cannot be written.

    Source: ``SnapshotCallbackBuilder(nb_epochs, nb_snapshots, init_lr)`` and ``SnapshotModelCheckpoint`` in
    keras_contrib/callbacks/snapshot.py, after Huang et al., "Snapshot Ensembles: Train 1, get M for
    free", 2017.  That one takes no snapshot after epoch 0, and one of every full cycle that the remaining
    epochs may hold; its builder also keeps the best weights, which here is ``ModelCheckpoint``'s
    business.  Lightning's ``ModelCheckpoint(every_n_epochs=c)`` beside torch's
    ``CosineAnnealingWarmRestarts`` knows of no cycle, names files by the epoch, and saves before the
    validation or after it depending on other options.

    >>> from lrparity.callbacks import SnapshotEnsemble
    >>> SnapshotEnsemble(60, n_cycles=3, lr_max=0.1).cycle_ends
    (20, 40, 60)
    >>> from lrparity.schedules import InclusiveCosineRestarts
    >>> growing = InclusiveCosineRestarts(0.1, 0.001, initial_period=9)           # 10, 19, 37 epochs
    >>> SnapshotEnsemble(schedule=growing, cycle_ends=[10, 29, 66], last_k=2).cycle_ends
    (10, 29, 66)
    """

    SAVER: ClassVar[type]
    """The saver's class, of the same Lightning."""

    def __init__(
        self,
        n_epochs: int | None = None,
        n_cycles: int | None = None,
        lr_max: float | None = None,
        *,
        schedule: ScheduleLike
        | list[ScheduleLike]
        | dict[int | str, ScheduleLike | list[ScheduleLike]]
        | None = None,
        cycle_ends: list[int] | None = None,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str = "snapshot_{cycle}",
        last_k: int | None = None,
        weights_only: bool = False,
        overwrite: bool = False,
        optimizer: int | str | None = None,
        numerics: Numerics = "eager",
        count: Count = "update",
        initial_update: int | None = None,
        on_config_change: OnConfigChange = "raise",
        log: bool | str = False,
        prog_bar: bool = False,
    ) -> None:
        self.cycle_ends = _ends(n_epochs, n_cycles, lr_max, schedule, cycle_ends)
        if schedule is None:
            # _ends has seen to it that none is missing.
            schedule = SnapshotCosine(n_epochs, n_cycles, lr_max)  # type: ignore[arg-type]
        super().__init__(
            schedule,
            optimizer,
            numerics=numerics,
            count=count,
            initial_update=initial_update,
            on_config_change=on_config_change,
            log=log,
            prog_bar=prog_bar,
        )
        self._state_key = self._state_key.replace("ScheduleLR", "SnapshotEnsemble", 1)
        self.dirpath = checked_folder(dirpath)
        self.filename = filename
        self._names = file_names(filename, self.cycle_ends)
        self.last_k = None if last_k is None else check.whole_number("last_k", last_k, 1)
        self.weights_only = check.flag("weights_only", weights_only)
        self.overwrite = check.flag("overwrite", overwrite)
        self._saver: Any = None
        self._running = False
        self._forget()

    def _forget(self) -> None:
        """Be as constructed; what another training did plays no part."""
        self._taken: list[Snapshot] = []
        self._kept: list[int] = []  # the cycles whose files are kept
        self._claimed: str | None = None  # the folder that this training writes to
        self._metrics: dict[str, float] = {}  # the last known: a trainer that resumes has none
        self._validated_at = -1
        self._loaded = False  # a state, since the last training
        self._ready = False  # the folder is taken, for this fit
        self._begun = False  # this fit has something to train
        self._told = False  # that it is too short

    @property
    def snapshots(self) -> list[Snapshot]:
        """Those that were taken and, by ``last_k``, kept, oldest first."""
        return [one for one in self._taken if one.cycle in self._kept]

    @property
    def paths(self) -> list[str]:
        """Their files."""
        return [one.path for one in self.snapshots]

    # --- hooks -------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Forget what another trainer did, and put the saver in its place."""
        before = self._trainer
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            if before is not None and before() is not trainer:
                self._forget()
            self._begun = self._running = self._loaded = self._told = self._ready = False
            self._saver = self.SAVER(self)
            others = [one for one in trainer.callbacks if not self._is_saver(one)]
            trainer.callbacks = [*others, self._saver]

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Take the saver out again: ``trainer.checkpoint_callback`` is a ``ModelCheckpoint``'s name."""
        super().teardown(trainer, pl_module, stage)
        trainer.callbacks = [one for one in trainer.callbacks if not self._is_saver(one)]

    def _is_saver(self, callback: Any) -> bool:
        return isinstance(callback, SnapshotSaver) and callback.ensemble is self

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Find a mistake before anything is computed."""
        super().on_fit_start(trainer, pl_module)
        mine = self._files(trainer)
        for other in _ensembles(trainer):
            if other is not self and (shared := mine & other._files(trainer)):
                raise ValueError(
                    f"Two SnapshotEnsemble callbacks would write {min(shared)!r}. Give each another "
                    "`filename`, or another `dirpath`."
                )
        # Some strategies restore this callback's state only after this.
        if not (trainer.strategy.restore_checkpoint_after_setup and trainer.ckpt_path):
            self._take_folder(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Have the epochs counted right, and write the first rates."""
        self._take_folder(trainer)
        if next(loops(trainer), None) is None and next(iter(_ensembles(trainer))) is self:
            recount(trainer)
        if self._loaded:
            warn_unknown(trainer, "SnapshotEnsemble")
        super().on_train_start(trainer, pl_module)
        self._begun = self._running = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the metrics: after a resume from here they are not there any more."""
        if self._running and not trainer.sanity_checking:
            self._validated_at = batches_begun(trainer)
            self._metrics |= numbers_in(trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the metrics before others write checkpoints; the saver will come last."""
        super().on_train_epoch_end(trainer, pl_module)
        self._metrics |= numbers_in(trainer.callback_metrics)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Let go, and say if a cycle was not completed."""
        super().on_train_end(trainer, pl_module)
        self._running = self._loaded = False
        done = epochs_done(trainer)
        complete = done >= self.cycle_ends[-1] or done in self.cycle_ends
        if complete or self._told or trainer.fast_dev_run or not trainer.is_global_zero:
            return
        cycle = sum(end <= done for end in self.cycle_ends)
        _warn(
            f"The training ended after {done} epochs, within cycle {cycle + 1} of "
            f"{len(self.cycle_ends)}, which ends after {self.cycle_ends[cycle]}: there is no snapshot of "
            "it. A training that goes on from a checkpoint completes it."
        )

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Have Lightning do a validation that it would leave out: a snapshot has its metrics."""
        if self._running and not mend(trainer, checkpoint, validated_at=self._validated_at):
            warn_lost(trainer, "SnapshotEnsemble", "the validation that is due")

    # --- what the saver calls, after all others ----------------------------------------------------

    def _settle(self, trainer: Any) -> None:
        """A training begins, or goes on: take the snapshot that was lost, if any."""
        if trainer.fast_dev_run:
            return
        self._tell_extent(trainer)
        done, within = epochs_done(trainer), within_epoch(trainer)
        begun_later = [
            cycle
            for cycle, end in enumerate(self.cycle_ends, 1)
            if (end < done or (end == done and within)) and not self._was_taken(end)
        ]
        if begun_later and trainer.is_global_zero:
            _warn(
                f"The training goes on after {done} epochs, and was begun without this SnapshotEnsemble, or "
                f"with other cycles: there are no snapshots of cycles {begun_later}."
            )
        if not within:
            self._end_epoch(trainer)

    def _end_epoch(self, trainer: Any) -> None:
        """An epoch is over: take a snapshot if it ends a cycle and there is none."""
        done = epochs_done(trainer)
        if done not in self.cycle_ends or self._was_taken(done) or trainer.fast_dev_run:
            return
        self._take_folder(trainer)  # where the training was over before it could go on
        assert self._claimed is not None
        cycle = self.cycle_ends.index(done) + 1
        snapshot = Snapshot(
            cycle=cycle,
            epoch=done - 1,
            updates=self.updates,
            path=inside(self._claimed, self._names[cycle - 1]),
            # Ranks that log each for itself still agree on what there is.
            metrics=trainer.strategy.broadcast(
                self._metrics | numbers_in(trainer.callback_metrics)
            ),
        )
        before = self._taken, self._kept
        # The snapshot's own state has it, so that a training goes on from it and does not take it again.
        self._taken = [*self._taken, snapshot]
        kept = [*self._kept, cycle]
        self._kept = kept if self.last_k is None else kept[-self.last_k :]
        try:
            trainer.save_checkpoint(snapshot.path, self.weights_only)
        except BaseException:
            self._taken, self._kept = before
            raise
        # Also those that a killed process had no time to remove.
        kept_paths = set(self.paths)
        for one in self._taken:
            if one.path not in kept_paths and trainer.is_global_zero and exists(one.path):
                trainer.strategy.remove_checkpoint(one.path)

    def _was_taken(self, end: int) -> bool:
        return any(one.epoch == end - 1 for one in self._taken)

    # --- files -------------------------------------------------------------------------------------

    def _folder(self, trainer: Any) -> str:
        """The folder to write to, the same on every rank."""
        if self.dirpath is not None:
            folder = self.dirpath
        else:
            base = trainer.default_root_dir
            parts: list[str] = []
            if trainer.loggers:
                logger = trainer.loggers[0]
                base = base if logger.save_dir is None else logger.save_dir
                version = logger.version
                parts = [
                    str(logger.name),
                    version if isinstance(version, str) else f"version_{version}",
                ]
            folder = "/".join([str(base).rstrip("/"), *parts, "snapshots"])
        if not is_remote(folder):
            folder = str(Path(folder).resolve())
        return str(trainer.strategy.broadcast(folder))

    def _files(self, trainer: Any) -> set[str]:
        """All that it will write."""
        folder = self._folder(trainer)
        return {inside(folder, name) for name in self._names}

    def _take_folder(self, trainer: Any) -> None:
        """Say that the folder is this training's, once, if nobody else's snapshots are there.

        Raises:
            FileExistsError: they are; on every rank.
            OSError: the folder cannot be written.
        """
        if self._ready or trainer.fast_dev_run:
            return
        if trainer.ckpt_path is not None and not self._loaded:
            self._forget()  # what this trainer did before is not what that checkpoint did
        folder = self._folder(trainer)
        own = {self._claimed, *(parent(one.path) for one in self._taken)}
        error: Exception | None = None
        if trainer.is_global_zero:
            try:
                found = [] if folder in own else fitting(folder, self.filename)
                if found and not self.overwrite:
                    raise FileExistsError(
                        f"{folder!r} holds {', '.join(found[:5])}{', ...' if len(found) > 5 else ''}, which "
                        "this training did not write. To go on with the training that did, pass one of its "
                        "checkpoints to trainer.fit(ckpt_path=...); to keep them, choose another `dirpath`; "
                        "to replace them, pass overwrite=True."
                    )
                try_to_write(folder)
                for name in found:
                    trainer.strategy.remove_checkpoint(inside(folder, name))
            except OSError as caught:
                error = caught
        error = trainer.strategy.broadcast(error)
        if error is not None:
            raise error
        self._claimed, self._ready = folder, True
        missing = [path for path in self.paths if not exists(path)]
        # With last_k they may have gone when the training had been further.
        if missing and self.last_k is None and trainer.is_global_zero:
            _warn(
                f"The snapshots {missing} are not there any more: somebody has moved or removed them. The "
                "training goes on without them."
            )

    def _tell_extent(self, trainer: Any) -> None:
        """Say if the training is longer or shorter than the cycles."""
        epochs, last = trainer.fit_loop.max_epochs, self.cycle_ends[-1]
        if epochs is None or epochs < 0 or epochs == last or not trainer.is_global_zero:
            return
        self._told = epochs < last
        if epochs > last:
            _warn(
                f"The training has {epochs} epochs, and the last cycle ends after {last}: the "
                f"{epochs - last} after it have no snapshot, and the weights at the end are not those of "
                f"the last one. Pass max_epochs={last} to the Trainer, or more cycles."
            )
        else:
            without = [c for c, end in enumerate(self.cycle_ends, 1) if end > epochs]
            _warn(
                f"The training has {epochs} epochs, and the last cycle ends after {last}: cycles {without} "
                f"will have no snapshot. Pass max_epochs={last} to the Trainer, or fewer cycles."
            )

    # --- state -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The counts, the schedule's config, and the snapshots that were taken, plain Python."""
        return {
            "format": "lrparity.callbacks.SnapshotEnsemble",
            "version": STATE_VERSION,
            "schedule": super().state_dict(),
            "cycle_ends": list(self.cycle_ends),
            "dirpath": self._claimed,
            "taken": [asdict(one) for one in self._taken],
            "kept": list(self._kept),
            "metrics": dict(self._metrics),
            "validated_at": self._validated_at,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned, when training starts.

        Raises:
            ValueError: the state is another one's, damaged, of an unknown version, or of other cycles.
        """
        state = checked_state(state_dict, "SnapshotEnsemble", STATE_VERSION)
        taken = checked_taken(state)
        ends = list(self.cycle_ends)
        if self._fits and state["cycle_ends"] != ends:
            if self.on_config_change == "raise":
                raise ValueError(
                    f"The training began with cycles that end after {state['cycle_ends']} epochs; they now "
                    f"end after {ends}. Make SnapshotEnsemble as it was, or with "
                    'on_config_change="use_new" to go on with the new ones.'
                )
            self._check_names(taken)
        super().load_state_dict(state.get("schedule"))  # type: ignore[arg-type]  # it is checked there
        if not self._fits:
            return
        self._taken, self._kept = taken, list(state["kept"])
        self._metrics = dict(state["metrics"])
        self._claimed, self._validated_at = state["dirpath"], state["validated_at"]
        self._loaded = True

    def _check_names(self, taken: Sequence[Snapshot]) -> None:
        """No new cycle may replace the snapshot of another one."""
        done = max((one.epoch + 1 for one in taken), default=0)
        to_come = {n for n, end in zip(self._names, self.cycle_ends, strict=True) if end > done}
        if clash := sorted(to_come & {Path(one.path).name for one in taken}):
            raise ValueError(
                f"The new cycles, which end after {list(self.cycle_ends)} epochs, would replace {clash}, "
                "which the training has taken in the old ones. Give them another `filename`."
            )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_saver": None, "_running": False}

    def __repr__(self) -> str:
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        ends = list(self.cycle_ends)
        return f"{type(self).__name__}(schedule={self.schedule!r}, cycle_ends={ends}{chosen})"


class SnapshotSaver:
    """Takes the snapshots of an ensemble when all other callbacks are done.

    Lightning calls what monitors and saves after the module's own ``on_train_epoch_end``; so the houses
    make this a ``Checkpoint``.
    """

    def __init__(self, ensemble: SnapshotEnsemble) -> None:
        self.ensemble = ensemble

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take up where the training is."""
        self.ensemble._settle(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Take a snapshot if a cycle ends."""
        self.ensemble._end_epoch(trainer)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the last one if the training had been over but for it: Lightning calls nothing else."""
        if not self.ensemble._begun:
            self.ensemble._end_epoch(trainer)


def _ensembles(trainer: Any) -> list[SnapshotEnsemble]:
    return [one for one in trainer.callbacks if isinstance(one, SnapshotEnsemble)]


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


# --- arguments --------------------------------------------------------------------------------------


def _ends(
    n_epochs: Any, n_cycles: Any, lr_max: Any, schedule: Any, cycle_ends: Any
) -> tuple[int, ...]:
    """After how many epochs each cycle ends."""
    equal = {"n_epochs": n_epochs, "n_cycles": n_cycles}
    given = {name: value for name, value in equal.items() if value is not None}
    if schedule is None:
        if cycle_ends is not None:
            raise ValueError(
                f"Argument `cycle_ends`={cycle_ends!r} is for a `schedule` of yours; without one the cycles "
                "are n_epochs // n_cycles epochs each. Pass a schedule, or drop it."
            )
        needed = equal | {"lr_max": lr_max}
        if missing := [name for name, value in needed.items() if value is None]:
            raise ValueError(
                f"Argument `{missing[0]}` is missing. Pass n_epochs, n_cycles and lr_max, or a `schedule` "
                "and its `cycle_ends`."
            )
    else:
        if lr_max is not None:
            raise ValueError(
                f"Arguments `lr_max`={lr_max!r} and `schedule` both say how high the rate is. Pass one."
            )
        if cycle_ends is not None:
            if given:
                raise ValueError(
                    f"Arguments `cycle_ends`={cycle_ends!r} and {given} both say where cycles end. Pass one."
                )
            return _checked_ends(cycle_ends)
        if len(given) < 2:
            raise ValueError(
                "With a `schedule` pass `cycle_ends`, after how many epochs each of its cycles ends, or "
                "`n_epochs` and `n_cycles`, if all are equally long."
            )
    n_epochs = check.whole_number("n_epochs", n_epochs, 1)
    n_cycles = check.whole_number("n_cycles", n_cycles, 1)
    if n_cycles > n_epochs:
        raise ValueError(
            f"Argument `n_cycles` must be at most `n_epochs`={n_epochs}: a cycle is an epoch or more. "
            f"Received: n_cycles={n_cycles!r}. Train longer, or take fewer cycles."
        )
    length, rest = divmod(n_epochs, n_cycles)
    if rest:
        warnings.warn(
            f"`n_epochs`={n_epochs} is no multiple of `n_cycles`={n_cycles}: each cycle has {length} "
            f"epochs, and the last {rest} have no snapshot. Pass n_epochs={length * n_cycles}, or "
            f"{(length + 1) * n_cycles}.",
            UserWarning,
            stacklevel=3,
        )
    return tuple(length * cycle for cycle in range(1, n_cycles + 1))


def _checked_ends(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise TypeError(
            "Argument `cycle_ends` must be a list of numbers of epochs, such as [10, 30, 70]. Received: "
            f"cycle_ends={value!r}."
        )
    ends = tuple(check.whole_number(f"cycle_ends[{i}]", one, 1) for i, one in enumerate(value))
    if any(later <= end for end, later in itertools.pairwise(ends)):
        raise ValueError(
            "Argument `cycle_ends` must increase: it counts epochs from the beginning of the training. "
            f"Received: cycle_ends={value!r}."
        )
    return ends
