"""The callbacks for ``import pytorch_lightning``; see :mod:`lrparity.callbacks`."""

from pytorch_lightning import Callback

from lrparity.callbacks import _recorder, _schedule_lr


class LearningRateRecorder(_recorder.LearningRateRecorder, Callback):
    __doc__ = _recorder.LearningRateRecorder.__doc__


class ScheduleLR(_schedule_lr.ScheduleLR, Callback):
    __doc__ = _schedule_lr.ScheduleLR.__doc__


__all__ = ["LearningRateRecorder", "ScheduleLR"]
