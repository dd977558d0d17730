"""The two decays of the classic Keras tutorials: time-based and drop-based."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from lrparity import _validation as check
from lrparity.float32 import Float32
from lrparity.schedules._arithmetic import Eager, Moment, Number, Step
from lrparity.schedules._formula import ConfiguredSchedule, PythonSchedule, raw
from lrparity.schedules._schedule import UNITS, Unit

MOST_COMPOUNDED = 10**8
MOST_KEPT = 2**21

DecayRule = Literal["division", "reciprocal"]


def decay_rule(keras_version: str) -> DecayRule:
    """Which of the two formulas the ``decay=`` of a Keras version is.

    Raises:
        ValueError: the version has no ``decay=``, or is no version.
        TypeError: it is no string.

    >>> decay_rule("2.3.1"), decay_rule("2.15")
    ('reciprocal', 'division')
    """
    if not isinstance(keras_version, str):
        raise TypeError(
            "Argument `keras_version` must be a string, because 2.10 is not 2.1. "
            f"Received: keras_version={keras_version!r}."
        )
    try:
        version = tuple(int(part) for part in keras_version.split("."))
    except ValueError:
        version = ()
    if (0, 1, 3) <= version < (2, 4):
        return "reciprocal"
    if (2, 4) <= version < (3,):
        return "division"
    mend = (
        " Keras 3 ignores `decay`; its counterpart there is InverseTimeDecay(lr, 1, decay)."
        if version >= (3,)
        else ""
    )
    raise ValueError(
        "Argument `keras_version` must name a Keras that has `decay=`: '0.1.3' to '2.3.1' for "
        "stand-alone Keras, '2.4' to '2.21' for tf.keras, its legacy optimizers and tf_keras. "
        f"Received: keras_version={keras_version!r}.{mend}"
    )


def time_based_decay(
    learning_rate: float, decay: float, iterations: Step, rule: DecayRule
) -> Float32:
    """The rate that ``decay=`` makes of ``learning_rate`` at an update, in float32.

    ``lrparity.optim.SGD`` uses it too.
    """
    return cast("Float32", _decayed(Eager, learning_rate, decay, iterations, rule).value)


def _decayed(
    number: type[Number], learning_rate: float, decay: float, iterations: Moment, rule: DecayRule
) -> Number:
    """The formula of ``decay=``.

    Source: ``_decayed_lr`` in tf_keras/src/optimizers/legacy/optimizer_v2.py, 2.21 (division);
    ``get_updates`` in keras/optimizers.py, 2.3.1 (reciprocal).
    """
    base = number.constant(learning_rate)
    denominator = 1.0 + decay * number.of_moment(iterations)
    return base / denominator if rule == "division" else base * (1.0 / denominator)


@dataclass(frozen=True, repr=False)
class TimeBasedDecay(ConfiguredSchedule):
    """The ``decay=`` of Keras' old optimizers, and the two other things that are called so.

    ::

        unit="update"                        lr / (1 + decay * iterations)          Keras 2.4 to 2.21
                                             lr * (1 / (1 + decay * iterations))    Keras up to 2.3.1
        unit="epoch"                         lr * 1 / (1 + decay * epoch)
        unit="epoch", compounding=True       lr[0] = lr;  lr[e] = lr[e - 1] * 1 / (1 + decay * e)

    where lr is ``initial_learning_rate``.

    - **Per update** is what ``SGD(lr, decay=...)`` *does*: ``iterations`` counts batches, not
      epochs, from the initial rate, in float32.  The two forms differ in their last bits.
    - **Per epoch** is what people write in a ``LearningRateScheduler`` to get the same per epoch.
    - **Compounding** is how the tutorials' table reads: each epoch divides the rate of the epoch
      before.  No Keras optimizer does it.

    The two per epoch are Python float64, rounded to float32 when Keras assigns them.

    Args:
        initial_learning_rate: the rate at step 0.
        decay: the tutorials take ``learning_rate / epochs``.
        keras_version: whose ``decay=`` is meant, for ``unit="update"``.
        unit: what the step counts.
        compounding: as above; needs ``unit="epoch"``.
        name: without effect.

    There is no end.  A compounding schedule is defined from epoch 0 on.

    Raises:
        ValueError: an unknown ``keras_version`` or ``unit``; ``compounding`` per update; a negative
            ``decay`` where Keras raises too (from 2.4 on; before, it ignores it: a warning here); a
            negative or fractional epoch of a compounding schedule; an argument is NaN.
        TypeError: an argument is not a real number.

    torch has no such class.  ``MultiplicativeLR(lambda e: 1 / (1 + decay * e))``, which circulates
    as a translation, is the compounding one.

    >>> per_update = TimeBasedDecay(0.1, 0.001)
    >>> [round(per_update(k), 6) for k in (0, 1, 2, 1000)]
    [0.1, 0.0999, 0.0998, 0.05]
    >>> table = TimeBasedDecay(0.1, 0.001, unit="epoch", compounding=True)
    >>> [round(table(epoch), 8) for epoch in range(5)]
    [0.1, 0.0999001, 0.0997007, 0.09940249, 0.09900647]
    """

    initial_learning_rate: float
    decay: float
    keras_version: str = "2.15"
    unit: Unit = "update"
    compounding: bool = False
    name: str | None = "TimeBasedDecay"

    def __post_init__(self) -> None:
        decay = float(check.number("decay", self.decay))
        unit = check.choice("unit", self.unit, UNITS)
        rule = decay_rule(self.keras_version)
        compounding = check.flag("compounding", self.compounding)
        if compounding and unit != "epoch":
            raise ValueError(
                "Argument `compounding` needs unit='epoch': no Keras compounds per update. "
                f"Received: unit={unit!r}."
            )
        if unit == "update":
            check_decay(decay, rule)
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay=decay,
            unit=unit,
            compounding=compounding,
            name=check.text("name", self.name),
            arithmetic="float32" if unit == "update" else "float64",
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        lr = self.initial_learning_rate
        if self.unit == "update":
            # `lr` and `decay` are variables in Keras' graph: nothing is folded, one arithmetic.
            decay = self.decay if self.decay > 0 else 0.0
            number = number.in_branch()
            return _decayed(number, lr, decay, raw(moment), decay_rule(self.keras_version))
        if not self.compounding:
            return lr / (1.0 + self.decay * number.of_moment(moment))
        return number.variable(self._compounded(np.asarray(raw(moment), np.float64)))

    def _compounded(self, epochs: NDArray[np.float64]) -> NDArray[np.float64]:
        if epochs.size and ((epochs < 0).any() or (epochs != np.floor(epochs)).any()):
            raise ValueError(
                "A compounding schedule is defined for the epochs 0, 1, 2, ... "
                f"Received: {epochs.tolist()!r}."
            )
        if epochs.size and epochs.max() > MOST_COMPOUNDED:
            raise ValueError(
                "A compounding schedule is computed epoch by epoch, up to epoch "
                f"{MOST_COMPOUNDED}. Received: {epochs.tolist()!r}."
            )
        last = int(epochs.max()) if epochs.size else 0
        # Of a power of two, so that the steps of a loop, or of a bulk, find it made.
        make = _compounding if last < MOST_KEPT else _compounding.__wrapped__
        table = make(self.initial_learning_rate, self.decay, 1 << last.bit_length())
        return table[epochs.astype(np.int64)]


@functools.lru_cache(maxsize=4)
def _compounding(initial: float, decay: float, epochs: int) -> NDArray[np.float64]:
    """The rates of the first epochs, each divided out of the one before."""
    factors = 1.0 + decay * np.arange(epochs)
    factors[0] = initial
    rates: NDArray[np.float64] = np.divide.accumulate(factors)
    return rates


def check_decay(decay: float, rule: DecayRule) -> None:
    """Refuse a negative ``decay`` where Keras does; say that it is ignored where Keras ignores it."""
    if decay >= 0:
        return
    if rule == "division":
        raise ValueError(
            f"Argument `decay` must not be negative. Received: decay={decay!r}. "
            "For a growing rate take InverseTimeDecay with a negative decay_rate."
        )
    warnings.warn(
        f"`decay`={decay!r} is negative: Keras up to 2.3.1 ignores it, and so does lrparity.",
        UserWarning,
        stacklevel=4,
    )


@dataclass(frozen=True, repr=False)
class StepDecay(PythonSchedule):
    """Multiply the rate by ``drop`` every ``epochs_drop`` epochs, as the tutorials' callback does.

    ::

        lr = initial_learning_rate * drop ** floor((offset + epoch) / epochs_drop)

    in Python float64, rounded to float32 when Keras assigns it.

    Args:
        initial_learning_rate: the rate that the drops start from.
        drop: the factor of each drop.
        epochs_drop: epochs from one drop to the next; > 0, not necessarily whole.
        offset: 1 is the tutorials' form, which counts epochs from 1, so that the first drop comes
            after ``epochs_drop - 1`` epochs.  0 is the plain ``floor(epoch / epochs_drop)``.
        name: without effect.

    The unit is the epoch, counted from 0.  There is no end.  A negative epoch extrapolates upwards.

    Raises:
        ValueError: ``epochs_drop`` is not > 0, or an argument is NaN.
        TypeError: an argument is not a real number.

    Source: the drop-based ``LearningRateScheduler`` function of the classic tutorials; Keras ships
    no such class.  torch's ``StepLR(step_size, gamma)`` is the form with ``offset=0``, multiplied
    step by step.

    >>> schedule = StepDecay(0.1, drop=0.5, epochs_drop=10)
    >>> [round(schedule(epoch), 6) for epoch in (0, 8, 9, 18, 19)]
    [0.1, 0.1, 0.05, 0.05, 0.025]
    >>> round(StepDecay(0.1, drop=0.5, epochs_drop=10, offset=0)(9), 6)
    0.1
    """

    initial_learning_rate: float
    drop: float
    epochs_drop: float
    offset: float = 1
    name: str | None = "StepDecay"

    unit = "epoch"

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            drop=float(check.number("drop", self.drop)),
            epochs_drop=check.positive("epochs_drop", self.epochs_drop),
            offset=check.number("offset", self.offset),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        drops = ((self.offset + step) / self.epochs_drop).floor()
        return self.initial_learning_rate * number.constant(self.drop).power(drops)
