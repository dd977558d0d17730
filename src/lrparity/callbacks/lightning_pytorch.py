"""The callbacks for ``import lightning.pytorch``; see :mod:`lrparity.callbacks`."""

from lightning.pytorch import Callback

from lrparity.callbacks import _recorder, _schedule_lr


class LearningRateRecorder(_recorder.LearningRateRecorder, Callback):
    __doc__ = _recorder.LearningRateRecorder.__doc__


class ScheduleLR(_schedule_lr.ScheduleLR, Callback):
    __doc__ = _schedule_lr.ScheduleLR.__doc__


__all__ = ["LearningRateRecorder", "ScheduleLR"]
