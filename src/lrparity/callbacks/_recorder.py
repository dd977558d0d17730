"""``LearningRateRecorder``: what a Lightning training did, as a trajectory.  No Lightning is imported."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from lrparity import _validation as check
from lrparity.callbacks._arguments import (
    check_writable,
    checked_metrics,
    checked_path,
    checked_state,
)
from lrparity.callbacks._epoch_metrics import EpochMetrics
from lrparity.callbacks._optimizers import (
    BASE,
    optimizer_names,
    raw_optimizers,
    series_names,
    unseen_steps,
)
from lrparity.callbacks._rates import (
    Doubles,
    RatesInFile,
    RatesInMemory,
    read_side_file,
)
from lrparity.callbacks._track import Track
from lrparity.trajectory import (
    MAXIMUM_VALUES,
    Plain,
    Reading,
    Trajectory,
    TrajectoryError,
    provenance,
)

STATE_VERSION = 1


class LearningRateRecorder:
    """Record the learning rate of every update and the metrics of every epoch of a Lightning training.

    The result is a :class:`~lrparity.trajectory.Trajectory`: :attr:`trajectory`, during the training
    too, and a file if there is a ``path``.  Compare it with one recorded from Keras, or with
    another training.

    Args:
        path: the file to write when the training ends or fails.  Its folder is made if it is not
            there.  A file that is there is replaced then, and not before.  A relative path starts
            at the working directory in which the first training begins.
        metrics: True for every metric of ``trainer.callback_metrics``, False for none, or the names
            of those to record.
        reading: which rate of an update is recorded.  ``"reported"``: ``lr`` of the param group.
            ``"applied"``: what the optimizer multiplied by, where it says so in its
            ``"learning_rate_used"`` entry, as ``lrparity.optim.SGD`` with ``decay=`` does, else
            ``lr``.

    **Rates** are counted in updates: entry k is the rate that update k of the optimizer used,
    whatever changes it in between, in any order of the callbacks.  A micro-batch that only
    accumulates, a step that AMP skips and a step without gradients are no updates.  One optimizer is
    the series ``"learning_rate"``; several are ``"learning_rate/SGD"``, ``"learning_rate/SGD-1"``, ...,
    each with its own count.  Further param groups are ``".../pg2"`` or ``".../<name of the group>"``.  A
    group that joins during training has NaN up to then.  A warning names an optimizer whose ``step``
    nobody calls in a whole epoch, as where code of its own updates the weights.

    **Metrics** are counted in epochs, from 0: the last value that was put into
    ``trainer.callback_metrics`` in that epoch, and NaN where there was none.  A float32 metric keeps
    its value.  What is no number, as a confusion matrix, is left out, with a warning if it was asked
    for by its name.

    **LearningRateMonitor**, Lightning's own, logs what stands in the optimizer at every n-th batch or
    epoch to a logger, which it needs; it counts batches, and its values are those that come next.

    **Memory and files.**  Without ``path`` a rate takes 8 bytes of memory, and so it does in each
    checkpoint; recording stops with a warning at ``MAXIMUM_VALUES`` rates (10**8).  With ``path`` they go to
    ``<path>.part`` in blocks: memory holds one block of 4096 updates, a checkpoint holds counts and
    checksums, and a training that is killed loses at most a block, which :meth:`read_part` reads.
    To write the final file, and to go on from it, takes some 75 bytes per rate for a moment; then
    the ``.part`` goes.  A run too large for the final file keeps it, with a warning, and so does one
    whose file cannot be written any more at the end.  :attr:`trajectory` of a finished training stays
    in memory up to a million rates; beyond, it is read from the file, which has to lie there still.

    **Resume.**  A training that goes on from a checkpoint goes on recording, to the same
    trajectory as without the interruption.  The rates before are looked for in ``<path>.part`` and
    ``<path>``, and where those lay when the checkpoint was written; checksums prove them.  Where they
    are not there, a warning says so and they are NaN.  The checkpoint's entry goes by the name of the
    file, not its folder, so that the folder may change from run to run.  Epoch means of a training
    that is resumed within an epoch are those of the rest of it: that is how Lightning resumes.
    A checkpoint that is restored within the training takes the recording back with it: the trial steps
    of Lightning's batch size and learning rate finders, at whatever epoch they run, are not in it.

    **Several processes.**  With ``path`` only the process of rank 0 records rates and writes;
    :attr:`trajectory` of the others raises ``RuntimeError``.  Without, each has its own.

    Further ``fit`` calls of a trainer go on where the last one ended.  Another trainer starts
    anew, and has to wait for the end of the training before.  ``fast_dev_run`` records, and writes no
    file.

    Raises:
        TypeError: an argument has another type.
        ValueError: ``reading`` is another word; a name is empty; a state is damaged or another's; two
            recorders of a trainer have one ``path``.
        OSError: the file cannot be written, or something that is no regular file has its name; only
            before the training starts, for later it is a warning.
        RuntimeError: another trainer, which is training, has this recorder.

    >>> import torch
    >>> from lightning.pytorch import LightningModule, Trainer
    >>> from lrparity.callbacks.lightning_pytorch import LearningRateRecorder
    >>> class Halving(LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = torch.nn.Linear(1, 1)
    ...     def training_step(self, batch):
    ...         loss = self.layer(batch).square().mean()
    ...         self.log("ones", torch.ones(()), on_step=False, on_epoch=True, batch_size=1)
    ...         return loss
    ...     def configure_optimizers(self):
    ...         optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
    ...         return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]
    >>> recorder = LearningRateRecorder()
    >>> trainer = Trainer(max_epochs=2, callbacks=[recorder], accelerator="cpu", logger=False,
    ...                   enable_checkpointing=False, enable_progress_bar=False,
    ...                   enable_model_summary=False)
    >>> trainer.fit(Halving(), torch.utils.data.DataLoader(torch.ones(2, 1)))
    >>> recorder.trajectory
    <Trajectory of 4 updates, reported: learning_rate 0.5 -> 0.25; ones of 2 epochs>
    >>> recorder.trajectory.learning_rate.tolist()
    [0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        metrics: bool | list[str] = True,
        reading: Reading = "reported",
    ) -> None:
        self.path = checked_path(path)
        self.metrics = checked_metrics(metrics)
        self.reading = cast("Reading", check.choice("reading", reading, get_args(Reading)))
        file = None if self.path is None else Path(self.path).name
        # Kept, because Lightning asks for it before every hook.
        self._state_key = f"LearningRateRecorder{ {'file': file, 'reading': self.reading}!r}"
        self._trainer: Callable[[], Any] | None = None
        self._fitting = True
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._rates: RatesInMemory | RatesInFile = (
            RatesInMemory() if self.path is None else RatesInFile(self.path)
        )
        self._epochs = EpochMetrics(self.metrics)
        self._provenance: dict[str, Plain] = {}
        self._tracks: list[Track] = []
        self._optimizers: Any = None
        self._running = self._goes_on = self._elsewhere = self._stopped = self._saved = False
        self._restored = self._unseen_told = False

    @property
    def trajectory(self) -> Trajectory:
        """What has been recorded so far.

        Raises:
            RuntimeError: rank 0 has it.
        """
        if self._elsewhere:
            raise RuntimeError(
                f"LearningRateRecorder(path={self.path!r}) records in the process of rank 0 only. Read "
                "`trajectory` where trainer.is_global_zero, or load the file after the training."
            )
        return self._assembled(self._rates.values())

    @staticmethod
    def read_part(path: str | os.PathLike[str]) -> dict[str, Doubles]:
        """The rates in the ``.part`` file of a training that runs, was killed, or was too large.

        Args:
            path: of the ``.part`` file.

        Returns:
            the rates of each series, up to the last block that is whole.

        Raises:
            ValueError: it is another file.
            OSError: it cannot be read.
        """
        return read_side_file(path)

    # --- hooks -------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find out before the training whether the file can be written."""
        before = None if self._trainer is None else self._trainer()
        if before is not trainer and _is_training(before):
            path = "" if self.path is None else ", with a `path` of its own"
            raise RuntimeError(
                f"This LearningRateRecorder, {self!r}, is still in use: another trainer is training "
                f"with it. Pass a copy to this trainer{path}; one recorder records one training."
            )
        self._fitting, self._saved = stage == "fit", False
        if not self._fitting:
            return
        if self._trainer is not None and before is not trainer:
            self._begin_anew()
        self._trainer = weakref.ref(trainer)
        if self.path is None:
            return
        path = self.path
        if isinstance(self._rates, RatesInFile):
            self._rates.settle_path()
            path = self._rates.result
            _check_only(self, path, trainer)
            if trainer.fast_dev_run:
                self._rates = RatesInMemory()  # a trial must not replace the file of a real run
        self._elsewhere = not trainer.is_global_zero and not trainer.fast_dev_run
        if not self._elsewhere:
            check_writable(path)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin."""
        self._detach()
        self._stopped = False
        self._provenance = _provenance_of(trainer)
        begun = trainer.global_step > 0 or trainer.fit_loop.total_batch_idx >= 0
        if begun and not self._goes_on and trainer.is_global_zero:
            resumed = getattr(trainer, "ckpt_path", None) is not None
            why = (
                f"The training goes on from a checkpoint without the state of {self!r}, "
                f"{self.state_key!r}"
                if resumed
                else f"The trainer has trained before, without {self!r}"
            )
            _warn(
                f"{why}: index 0 of the recording is the first update after trainer.global_step = "
                f"{trainer.global_step}."
            )
        self._goes_on = True
        if isinstance(self._rates, RatesInFile) and not self._elsewhere:
            self._rates.begin()
        self._epochs.begin_training(trainer)
        self._running = True

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Complete the metrics of the epoch before."""
        if self._running:
            self._epochs.begin_epoch(trainer)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Watch the optimizers: only now, behind the step hooks that others set as training started."""
        self._catch_up(trainer)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Catch up with what other callbacks have restored or exchanged as the batch began."""
        self._catch_up(trainer)

    def _catch_up(self, trainer: Any) -> None:
        if trainer.optimizers is not self._optimizers and (self._running or self._restored):
            if self._restored:
                self._go_on(trainer)
            self._attach(trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the means of the epoch after its last batch, for a checkpoint may be written now."""
        if self._running:
            self._epochs.end_batch(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what is stale."""
        if self._running and not trainer.sanity_checking:
            self._epochs.begin_validation(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the metrics of the validation."""
        if self._running and not trainer.sanity_checking:
            self._epochs.end_validation(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the metrics of the epoch."""
        if self._running:
            self._epochs.end_epoch(trainer)
            self._flush()
            self._tell_unseen(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End, and write the file."""
        if not self._running:
            return
        self._epochs.end_training(trainer)
        self._detach()
        message = self._epochs.missing(trainer.callback_metrics)
        if message and trainer.is_global_zero:
            _warn(message)
        self._save()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End, and write the file; what goes wrong here must not hide the exception."""
        running = self._running
        if not self._is_ours(trainer) or not (running or self._restored):
            return
        self._detach()
        try:
            # To ask for metrics may mean to wait for the other processes.
            if running and trainer.world_size == 1:
                self._epochs.end_training(trainer)
            self._save()
        except Exception as error:
            _warn(f"LearningRateRecorder could not write {self.path!r}: {error}")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the file where nothing was left to train, as after a kill at the very end."""
        if self._goes_on and not self._saved:
            self._provenance = self._provenance or _provenance_of(trainer)
            self._save()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave the optimizers alone, however the training has ended."""
        if self._is_ours(trainer):
            self._detach()

    # --- state -------------------------------------------------------------------------------------

    @property
    def state_key(self) -> str:
        """The entry in a checkpoint: the same in another folder, and with other metrics."""
        return self._state_key

    def state_dict(self) -> dict[str, Any]:
        """Plain data: the metrics, and the rates or, with ``path``, their counts and checksums."""
        if self._running and self._trainer is not None:
            self._epochs.catch_up(self._trainer())
        return {
            "format": "lrparity.callbacks.LearningRateRecorder",
            "version": STATE_VERSION,
            "rates": self._rates.state_dict(),
            "metrics": self._epochs.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned, when training starts.

        In the middle of a training it is the next batch that goes on from there.

        Raises:
            ValueError: the state is another one's, damaged, or of an unknown version.
        """
        if not self._fitting:  # trainer.test(ckpt_path=...) is no reason to forget the training
            return
        checked_state(state_dict, "LearningRateRecorder", STATE_VERSION)
        epochs = EpochMetrics(self.metrics)
        epochs.load_state_dict(state_dict.get("metrics"))
        self._rates.load_state_dict(cast("Mapping[str, Any]", state_dict.get("rates")))
        self._epochs, self._goes_on = epochs, True
        if self._running:
            # What the tracks would go on with is gone.  The trainer has yet to restore its loops.
            self._release()
            self._running, self._restored, self._stopped = False, True, False

    def __getstate__(self) -> dict[str, Any]:
        # Lightning puts the module's `log` and `log_dict` here, and with them the whole module.
        lightnings = ("log", "log_dict")
        kept = {name: value for name, value in self.__dict__.items() if name not in lightnings}
        attached: dict[str, Any] = {
            "_tracks": [],
            "_optimizers": None,
            "_running": False,
            "_restored": False,
            "_trainer": None if self._trainer is None else _no_trainer,
        }
        return kept | attached

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.path!r}, metrics={self.metrics!r}, "
            f"reading={self.reading!r})"
        )

    # --- what the hooks do -------------------------------------------------------------------------

    def _is_ours(self, trainer: Any) -> bool:
        """Not one that :meth:`setup` has refused."""
        return self._trainer is not None and self._trainer() is trainer

    def _go_on(self, trainer: Any) -> None:
        """Go on from the state that was loaded in the middle of the training."""
        if isinstance(self._rates, RatesInFile) and not self._elsewhere:
            self._rates.begin_again()
        self._epochs.begin_training(trainer)
        self._running, self._restored = True, False

    def _tell_unseen(self, trainer: Any) -> None:
        """Warn, once, of the optimizers whose steps no hook sees: their series are just empty."""
        blind = [place for place, track in enumerate(self._tracks) if track.blind]
        seen = any(track.stepped for track in self._tracks)
        if not blind or seen or self._unseen_told or not trainer.is_global_zero:
            return
        self._unseen_told = True
        names = optimizer_names(raw_optimizers(trainer))
        unseen = [names[place] for place in blind]
        _warn(unseen_steps(unseen, trainer.current_epoch, "its learning rates are not recorded"))

    def _attach(self, trainer: Any) -> None:
        self._release()
        self._optimizers = trainer.optimizers
        if self._elsewhere or self._stopped:
            return
        optimizers = raw_optimizers(trainer)
        self._tracks = [
            Track(
                optimizer,
                self._rates,
                lambda place=place: series_names(optimizers)[place],  # type: ignore[misc]
                self._flush,
                applied=self.reading == "applied",
            )
            for place, optimizer in enumerate(optimizers)
        ]

    def _flush(self) -> None:
        if self._elsewhere:
            return
        self._rates.flush()
        if self._rates.full and not self._stopped:
            self._stopped = True
            for track in self._tracks:
                track.remove()
            _warn(
                f"LearningRateRecorder stops recording rates: {MAXIMUM_VALUES} are the most that it "
                "keeps in memory and that a trajectory file takes. Pass `path` to keep them all in a "
                "side file, or record fewer optimizers or param groups in one trainer."
            )

    def _release(self) -> None:
        """Let go of the optimizers."""
        for track in self._tracks:
            track.remove()
        self._tracks, self._optimizers = [], None

    def _detach(self) -> None:
        self._release()
        self._running = self._restored = False

    def _assembled(self, rates: Mapping[str, Doubles]) -> Trajectory:
        return Trajectory(
            rates or {BASE: []},
            reading=self.reading,
            metrics=self._epochs.values(),
            provenance=self._provenance or provenance("lightning"),
        )

    def _save(self) -> None:
        rates, self._saved = self._rates, True
        if self._elsewhere or not isinstance(rates, RatesInFile):
            return
        rates.flush()
        try:
            if rates.total() > MAXIMUM_VALUES:  # else the memory would be filled in vain
                raise TrajectoryError(f"it has more than {MAXIMUM_VALUES} values")
            values = rates.values()
            self._assembled(values).save(rates.result)
        except (TrajectoryError, OSError) as error:
            # The training is done and good: no reason to fail it.
            unwritten = rates.unwritten()
            but = f", but for the last {unwritten}, which it could not take" if unwritten else ""
            mend = (
                "Make a trajectory of each series, or of a part of them, and save that."
                if isinstance(error, TrajectoryError)
                else "Or save the recorder's `trajectory` to another path."
            )
            _warn(
                f"LearningRateRecorder could not write {rates.result!r}: {error}. The rates are in "
                f"{str(rates.path)!r}{but}: LearningRateRecorder.read_part reads it. {mend}"
            )
        else:
            rates.finish(values)


# --- what the trainer says -------------------------------------------------------------------------


def _provenance_of(trainer: Any) -> dict[str, Plain]:
    return provenance(
        "lightning",
        house=type(trainer).__module__.partition(".trainer")[0],
        optimizers=", ".join(optimizer_names(raw_optimizers(trainer))),
        precision=str(trainer.precision),
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        strategy=type(trainer.strategy).__name__,
        accelerator=type(trainer.accelerator).__name__,
        world_size=trainer.world_size,
    )


def _is_training(trainer: Any) -> bool:
    """Whether a trainer is within its ``fit``; one that failed or is gone is not."""
    state = getattr(trainer, "state", None)
    return getattr(state, "status", None) == "running" and getattr(state, "fn", None) == "fit"


def _no_trainer() -> None:
    """In place of the reference to the trainer in a copy, which records anew in any other."""


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)


def _check_only(recorder: LearningRateRecorder, path: str, trainer: Any) -> None:
    """No other recorder of the trainer writes the files of this one."""
    ours = {os.path.realpath(path), os.path.realpath(f"{path}.part")}
    for other in trainer.callbacks:
        if isinstance(other, LearningRateRecorder) and other is not recorder and other.path:
            theirs = {os.path.realpath(other.path), os.path.realpath(f"{other.path}.part")}
            if ours & theirs:
                raise ValueError(
                    f"Two LearningRateRecorders of this trainer write the file {path!r}: "
                    f"{recorder!r} and {other!r}. Give each a `path` of its own."
                )
