"""The callbacks for ``import lightning.pytorch``; see :mod:`lrparity.callbacks`."""

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint

from lrparity.callbacks import (
    _learning_rate_scheduler,
    _loss_driven_lr,
    _recorder,
    _reduce_lr_on_plateau,
    _schedule_hyperparameter,
    _schedule_lr,
    _snapshot_ensemble,
)
from lrparity.callbacks._ranks import RanksDifferError


class BatchLearningRateScheduler(_learning_rate_scheduler.BatchLearningRateScheduler, Callback):
    __doc__ = _learning_rate_scheduler.BatchLearningRateScheduler.__doc__


class LearningRateRecorder(_recorder.LearningRateRecorder, Callback):
    __doc__ = _recorder.LearningRateRecorder.__doc__


class LearningRateScheduler(_learning_rate_scheduler.LearningRateScheduler, Callback):
    __doc__ = _learning_rate_scheduler.LearningRateScheduler.__doc__


class LossDrivenLR(_loss_driven_lr.LossDrivenLR, Callback):
    __doc__ = _loss_driven_lr.LossDrivenLR.__doc__


class ReduceLROnPlateau(_reduce_lr_on_plateau.ReduceLROnPlateau, Callback):
    __doc__ = _reduce_lr_on_plateau.ReduceLROnPlateau.__doc__


class ScheduleHyperparameter(_schedule_hyperparameter.ScheduleHyperparameter, Callback):
    __doc__ = _schedule_hyperparameter.ScheduleHyperparameter.__doc__


class ScheduleLR(_schedule_lr.ScheduleLR, Callback):
    __doc__ = _schedule_lr.ScheduleLR.__doc__


class _SnapshotSaver(_snapshot_ensemble.SnapshotSaver, Checkpoint):
    __doc__ = _snapshot_ensemble.SnapshotSaver.__doc__


class SnapshotEnsemble(_snapshot_ensemble.SnapshotEnsemble, Callback):
    __doc__ = _snapshot_ensemble.SnapshotEnsemble.__doc__
    SAVER = _SnapshotSaver


__all__ = [
    "BatchLearningRateScheduler",
    "LearningRateRecorder",
    "LearningRateScheduler",
    "LossDrivenLR",
    "RanksDifferError",
    "ReduceLROnPlateau",
    "ScheduleHyperparameter",
    "ScheduleLR",
    "SnapshotEnsemble",
]
