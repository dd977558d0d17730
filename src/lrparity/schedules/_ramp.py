"""Ramp up, sustain, decay: the function of the epoch that notebooks for TPUs hand round."""

from __future__ import annotations

from dataclasses import dataclass

from lrparity import _validation as check
from lrparity.schedules._arithmetic import Number
from lrparity.schedules._formula import PythonSchedule


@dataclass(frozen=True, repr=False)
class RampSustainDecay(PythonSchedule):
    """Up linearly, hold, then fall by a factor per epoch towards a rate that is never reached.

    ::

        e < ramp:              lr = (max_lr - start_lr) / ramp * e + start_lr
        e < ramp + sustain:    lr = max_lr
        otherwise:             lr = (max_lr - min_lr) * exp_decay ** (e - ramp - sustain) + min_lr

    where e is the epoch, from 0, ramp is ``rampup_epochs`` and sustain is ``sustain_epochs``.

    Args:
        start_lr: the rate of epoch 0.
        max_lr: the rate at the top; the notebooks multiply it by the number of replicas.
        min_lr: what the decay tends to.
        rampup_epochs: epochs of the ramp; 0 begins at the top.
        sustain_epochs: epochs at the top.  The first epoch after the ramp is at ``max_lr`` even with
            0, because the decay begins there with ``exp_decay ** 0``.
        exp_decay: the factor of each epoch.
        name: without effect.

    The unit is the epoch, counted from 0.  There is no end.  A negative epoch extrapolates downwards;
    without a ramp it counts as sustained or, upwards, as decay.

    Raises:
        ValueError: ``rampup_epochs`` or ``sustain_epochs`` is negative, or an argument is NaN.
        TypeError: an argument is not a real number.

    Source: ``lrfn`` of the notebooks "Getting started with 100+ flowers on TPU" and "Five flowers with
    Keras and Xception on TPU", M. Görner, 2020; Keras ships no such class.  torch's
    ``SequentialLR([LinearLR, ConstantLR, ExponentialLR])`` has the shape, and decays towards 0.

    >>> schedule = RampSustainDecay(1e-5, 5e-5, 1e-5, rampup_epochs=5, sustain_epochs=2, exp_decay=0.8)
    >>> [round(schedule(epoch) * 1e5, 4) for epoch in (0, 1, 4, 5, 7, 8, 20)]
    [1.0, 1.8, 4.2, 5.0, 5.0, 4.2, 1.2199]
    """

    start_lr: float
    max_lr: float
    min_lr: float
    rampup_epochs: float
    sustain_epochs: float
    exp_decay: float
    name: str | None = "RampSustainDecay"

    unit = "epoch"

    def __post_init__(self) -> None:
        self._settle(
            start_lr=check.schedule_rate("start_lr", self.start_lr),
            max_lr=check.schedule_rate("max_lr", self.max_lr),
            min_lr=check.schedule_rate("min_lr", self.min_lr),
            rampup_epochs=check.not_negative("rampup_epochs", self.rampup_epochs),
            sustain_epochs=check.not_negative("sustain_epochs", self.sustain_epochs),
            exp_decay=float(check.number("exp_decay", self.exp_decay)),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        ramp, sustain = self.rampup_epochs, self.sustain_epochs
        decay = number.constant(self.exp_decay).power(step - ramp - sustain)
        falling = (self.max_lr - self.min_lr) * decay + self.min_lr
        top = number.constant(self.max_lr)
        after = number.chosen(step.value < ramp + sustain, top, falling)
        if not ramp:
            return after
        rising = (self.max_lr - self.start_lr) / ramp * step + self.start_lr
        return number.chosen(step.value < ramp, rising, after)
