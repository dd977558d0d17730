"""Lightning's loops, where they do not resume as they were.

Lightning 2.5 and 2.6 leave out a validation, or do only what was left of it, when they resume from a
checkpoint that was written as the batch before it ended, or before or within it.  What such a
checkpoint says of the loops is mended before it is written: the whole validation is done again.

Other resumes leave the counts of the loops wrong: an epoch is skipped, validations across epochs come
a batch early, or the next resume repeats what was done.  They are put right as training starts.

This is the only place that knows their private layout.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

KNOWN = ((2, 5), (2, 7))
"""From which Lightning on the layout and the way of restarting are known, and before which."""


def epochs_done(trainer: Any) -> int:
    """How many epochs have had all their batches, which is also the number of the running epoch.

    ``trainer.current_epoch`` lags behind where a training that is bounded by steps is resumed.
    """
    return int(trainer.fit_loop.epoch_progress.current.processed)


def within_epoch(trainer: Any) -> bool:
    """Whether an epoch has begun and had not all its batches."""
    epochs = trainer.fit_loop.epoch_progress.current
    return bool(epochs.started > epochs.processed)


def batches_begun(trainer: Any) -> int:
    """How many batches the training has begun; another number at each batch of a run."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


def last_batch_is_done(trainer: Any) -> bool:
    """Whether the epoch has had its last batch, though the callbacks may not have heard of it."""
    batches = trainer.fit_loop.epoch_loop.batch_progress
    return bool(batches.is_last_batch and batches.current.ready == batches.current.processed)


def recount(trainer: Any) -> None:
    """Put the loops' counts right after a resume; once, in ``on_train_start``."""
    fit = trainer.fit_loop
    if not fit.restarting or not _is_known(trainer):
        return
    epochs, batches = fit.epoch_progress, fit.epoch_loop.batch_progress
    total, current = batches.total, batches.current
    validation = fit.epoch_loop.val_loop
    if validation.restarted_mid_evaluation:  # what is repeated does not count twice
        counts = validation.batch_progress.total
        counts.ready = counts.started = counts.processed = counts.completed
    if epochs.current.processed < epochs.current.started:
        if current.ready != current.processed:  # the batch is repeated: do not count it twice
            for name in ("ready", "started"):
                begun = getattr(current, name) - current.completed
                setattr(total, name, getattr(total, name) - begun)
    elif fit.restarted_mid_epoch:
        # The last batch was done, and another epoch begins: let it have a start and a number.
        fit.reset_restart_stage()
    elif not fit.epoch_loop.restarted_on_train_batch_end:
        # Saved as an epoch started; or at its end, and bounded by steps.  The next one begins, and the
        # batches of the one before are not its own.
        if fit.restarted_on_epoch_end:  # Lightning would end that epoch a second time
            epochs.increment_completed()
            fit.reset_restart_stage()
        batches.reset_on_run()


def warn_unknown(trainer: Any, who: str) -> None:
    """Say that the training resumes in a way that is not known."""
    if not _is_known(trainer) and trainer.is_global_zero:
        warnings.warn(
            f"{who} goes on from a checkpoint under Lightning {_version(trainer)}, and lrparity knows only "
            "how 2.5 and 2.6 resume. Others may repeat or leave out a batch, a validation or an epoch, "
            "after which the learning rate may not be that of a training that was not interrupted.",
            UserWarning,
            stacklevel=3,
        )


class EndedBatch(NamedTuple):
    """A batch that is done, while the callbacks hear of it in ``on_train_batch_end``."""

    number: int  # within the epoch
    outputs: Any  # what the hook is given
    batch: Any
    known: bool  # whether the two were found


def ended_batch(trainer: Any) -> EndedBatch | None:
    """The batch that is done and whose ``on_train_batch_end`` is under way; None if it is not.

    A checkpoint may be written by a callback that stands before ours.  What it is about is in the
    frame of Lightning's loop.
    """
    batches = trainer.fit_loop.epoch_loop.batch_progress.current
    if not batches.ready == batches.processed == batches.completed + 1:
        return None
    for frame in _frames():
        names = frame.f_locals if frame.f_code.co_name == "advance" else {}
        if names.get("self") is trainer.fit_loop.epoch_loop and "batch_output" in names:
            return EndedBatch(batches.ready - 1, names["batch_output"], names.get("batch"), True)
    return EndedBatch(batches.ready - 1, None, None, False)


def _frames() -> Iterator[FrameType]:
    """The functions that are running, and those that the exception being handled has left."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
    error = sys.exception()
    trace = None if error is None else error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def mend(trainer: Any, checkpoint: dict[str, Any], *, validated_at: int) -> bool:
    """Make a checkpoint that would lose a validation repeat it.

    Args:
        trainer: which is writing it.
        checkpoint: it.
        validated_at: :func:`batches_begun` when the last validation ended.

    Returns:
        False if it needed mending and this Lightning's layout is not known: it is as it was.
    """
    loops = checkpoint.get("loops")
    fit = loops.get("fit_loop") if isinstance(loops, Mapping) else None
    if fit is None or trainer.sanity_checking:
        return True
    if not _validation_is_cut(trainer, validated_at):
        return True
    if not _is_known(trainer):
        return False
    try:
        batches = fit["epoch_loop.batch_progress"]
        validation = fit["epoch_loop.val_loop.batch_progress"]
        for counts in (batches["total"], batches["current"]):
            counts["completed"] = counts["processed"]
        # Lightning takes this for a validation that was interrupted in its first batch.
        validation["total"] |= {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        validation["current"] = dict.fromkeys(validation["current"], 0)
        validation["is_last_batch"] = False
    except (KeyError, TypeError):
        return False
    return True


def _validation_is_cut(trainer: Any, validated_at: int) -> bool:
    """Whether a validation is due or under way after a batch that is done."""
    loop = trainer.fit_loop.epoch_loop
    batches, epochs = loop.batch_progress.current, trainer.fit_loop.epoch_progress.current
    if validated_at == batches_begun(trainer) or not 0 < batches.ready == batches.processed:
        return False
    if epochs.started != epochs.processed + 1:  # the epoch is over, with its validations
        return False
    if trainer.validating:
        return True
    try:
        return bool(loop._should_check_val_fx(trainer.fit_loop._data_fetcher))
    except (AttributeError, TypeError):
        return bool(trainer.enable_validation)


def _is_known(trainer: Any) -> bool:
    try:
        major, minor = (int(part) for part in _version(trainer).split(".")[:2])
    except ValueError:
        return False
    return KNOWN[0] <= (major, minor) < KNOWN[1]


def _version(trainer: Any) -> str:
    for kind in type(trainer).__mro__:  # the user may have made a subclass
        name = kind.__module__.partition(".")[0]
        if name in ("lightning", "pytorch_lightning"):
            return str(getattr(sys.modules[name], "__version__", ""))
    return "of an unknown version"


def warn_lost(trainer: Any, who: str, what: str) -> None:
    """Say what a checkpoint loses."""
    if trainer.is_global_zero:
        warnings.warn(
            f"{who} cannot make this checkpoint whole: a training that resumes from it will go on without "
            f"{what}. The loops of this version of Lightning are not known to lrparity. Write checkpoints "
            "at the end of a validation, or update lrparity.",
            UserWarning,
            stacklevel=3,
        )
