"""Schedules of TensorFlow 1 that Keras has no more."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lrparity import _validation as check
from lrparity.float32 import Float32
from lrparity.schedules._arithmetic import Graph, Moment, Number
from lrparity.schedules._formula import FormulaSchedule, raw
from lrparity.schedules._keras import DecayPerSteps

BLOCK = 256
"""Draws that are made at a time."""


@dataclass(frozen=True, repr=False)
class NaturalExpDecay(DecayPerSteps):
    """Multiply the rate by ``exp(-decay_rate)`` every ``decay_steps`` updates.

    ::

        p = step / decay_steps          (floor(p) if staircase)
        lr = initial_learning_rate * exp(-decay_rate) ** p

    where ``exp(-decay_rate)`` is rounded to float32 before it is raised to p.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: updates per factor; > 0, not necessarily whole.
        decay_rate: the rate of decay; negative makes the rate grow.
        staircase: decay in jumps; see :class:`ExponentialDecay` about the step of a jump.
        name: kept for the origin's sake; without effect.

    There is no end: the rate falls for ever.  A negative step extrapolates upwards.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an argument is NaN, or ``initial_learning_rate`` is
            not finite in float32.
        TypeError: an argument is not a real number.

    Source: natural_exp_decay in tensorflow/python/keras/optimizer_v2/legacy_learning_rate_decay.py,
    2.21, which ``tf.compat.v1.train`` exports; its ``learning_rate`` is ``initial_learning_rate``
    here.  torch's ``ExponentialLR(gamma=exp(-decay_rate / decay_steps))`` comes within 1e-7.

    >>> schedule = NaturalExpDecay(0.1, decay_steps=10, decay_rate=0.5)
    >>> [round(schedule(k), 6) for k in (0, 5, 10, 20)]
    [0.1, 0.07788, 0.060653, 0.036788]
    """

    def _formula(self, number: type[Number], step: Number) -> Number:
        factor = number.constant(-self.decay_rate).exp()
        return self.initial_learning_rate * factor.power(self.periods(step))


@dataclass(frozen=True, repr=False)
class LinearCosineDecay(FormulaSchedule):
    """A line to 0 times a cosine, for searches of optimizers (Bello et al., 2017).

    ::

        s = min(step, decay_steps)
        linear = (decay_steps - s) / decay_steps
        cosine = 0.5 * (1 + cos(pi * 2 * num_periods * s / decay_steps))
        lr = initial_learning_rate * ((alpha + linear) * cosine + beta)

    Args:
        initial_learning_rate: the rate that all is a fraction of.  At step 0 the rate is
            ``initial_learning_rate * (1 + alpha + beta)``.
        decay_steps: updates until the end; > 0, not necessarily whole.
        num_periods: periods of the cosine on the way; 0.5 is half a cosine.
        alpha: added to the line, as a fraction.
        beta: added to the product, as a fraction.
        name: kept for the origin's sake; without effect.

    From ``step >= decay_steps`` on the rate is held.  A negative step extrapolates.

    Raises:
        ValueError: ``decay_steps`` is not > 0, an argument is NaN, or ``initial_learning_rate`` is
            not finite in float32.
        TypeError: an argument is not a real number.

    Source: tf_keras/src/optimizers/schedules/learning_rate_schedule.py, 2.21, which does not export
    it; ``tf.compat.v1.train.linear_cosine_decay`` has the same formula.  torch has no such class.

    >>> schedule = LinearCosineDecay(0.1, decay_steps=100)
    >>> [round(schedule(k), 6) for k in (0, 50, 100, 200)]
    [0.1001, 0.0251, 0.0001, 0.0001]
    """

    initial_learning_rate: float
    decay_steps: float
    num_periods: float = 0.5
    alpha: float = 0.0
    beta: float = 0.001
    name: str | None = None

    def __post_init__(self) -> None:
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay_steps=check.positive("decay_steps", self.decay_steps),
            num_periods=check.number("num_periods", self.num_periods),
            alpha=check.number("alpha", self.alpha),
            beta=check.number("beta", self.beta),
            name=check.text("name", self.name),
        )

    def _formula(self, number: type[Number], step: Number) -> Number:
        s, length = step.minimum(self.decay_steps), number.constant(self.decay_steps)
        linear = self.alpha + (length - s) / length
        cosine = _cosine(number, s / length, self.num_periods)
        return self.initial_learning_rate * (linear * cosine + self.beta)


@dataclass(frozen=True, repr=False)
class NoisyLinearCosineDecay(FormulaSchedule):
    """:class:`LinearCosineDecay` with noise on the line, less of it as time passes.

    ::

        s = min(step, decay_steps)
        linear = (decay_steps - s) / decay_steps
                 + normal[step] * sqrt(initial_variance / (1 + s) ** variance_decay)
        cosine = 0.5 * (1 + cos(pi * 2 * num_periods * s / decay_steps))
        lr = initial_learning_rate * ((alpha + linear) * cosine + beta)

    Args:
        initial_learning_rate: the rate that all is a fraction of.
        decay_steps: updates until the end; > 0, not necessarily whole.
        initial_variance: the variance of the noise at step 0, of a fraction; >= 0.
        variance_decay: the power by which the variance falls.
        num_periods: periods of the cosine on the way; 0.5 is half a cosine.
        alpha: added to the line, as a fraction.
        beta: added to the product, as a fraction.
        noise: a seed, >= 0, of standard-normal draws; or the draws themselves, one for each of the
            steps 0, 1, 2, ....
        name: kept for the origin's sake; without effect.

    TensorFlow draws anew whenever the schedule is called, so that even reading the rate changes the
    next one; such noise cannot be reproduced.  Here it is a pure function of the seed and the step,
    the same in any order and after any resume; the rest has TensorFlow's bits for the same draws.
    A fractional step has the draw of the whole one below.

    From ``step >= decay_steps`` on only the noise still changes, times the cosine of the end, which
    is 0 for the default ``num_periods``.  A negative step gives NaN or inf.

    Raises:
        ValueError: ``decay_steps`` is not > 0, ``initial_variance`` or the seed is negative, an
            argument is NaN, or ``initial_learning_rate`` is not finite in float32; when called:
            ``noise`` has no draw for the step.
        TypeError: an argument is not a real number.

    Source: tf_keras/src/optimizers/schedules/learning_rate_schedule.py, 2.21, which does not export
    it and has ``seed`` in place of ``noise``; ``tf.compat.v1.train.noisy_linear_cosine_decay`` has
    the same formula.  torch has no such class.

    >>> schedule = NoisyLinearCosineDecay(0.1, decay_steps=100, noise=[0.0, 1.0, -1.0])
    >>> [round(schedule(k), 6) for k in (0, 1, 2)]
    [0.1001, 0.1817, 0.024151]
    >>> seeded = NoisyLinearCosineDecay(0.1, decay_steps=100, noise=7)
    >>> seeded(2) == seeded([0, 1, 2]).tolist()[2]
    True
    """

    initial_learning_rate: float
    decay_steps: float
    initial_variance: float = 1.0
    variance_decay: float = 0.55
    num_periods: float = 0.5
    alpha: float = 0.0
    beta: float = 0.001
    noise: int | Sequence[float] = 0
    name: str | None = None

    def __post_init__(self) -> None:
        variance = check.number("initial_variance", self.initial_variance)
        if variance < 0:
            raise ValueError(
                "Argument `initial_variance` must be >= 0. "
                f"Received: initial_variance={self.initial_variance!r}."
            )
        self._settle(
            initial_learning_rate=check.schedule_rate(
                "initial_learning_rate", self.initial_learning_rate
            ),
            decay_steps=check.positive("decay_steps", self.decay_steps),
            initial_variance=variance,
            variance_decay=check.number("variance_decay", self.variance_decay),
            num_periods=check.number("num_periods", self.num_periods),
            alpha=check.number("alpha", self.alpha),
            beta=check.number("beta", self.beta),
            noise=_noise(self.noise),
            name=check.text("name", self.name),
        )

    def _at(self, number: type[Number], moment: Moment) -> Number:
        s, length = number.of_moment(moment).minimum(self.decay_steps), self.decay_steps
        variance = self.initial_variance / (1.0 + s).power(self.variance_decay)
        noise = number.variable(self._draws(moment)) * variance.sqrt()
        linear = (length - s) / length
        if issubclass(number, Graph) and self.alpha:
            # A sum of three numbers that nothing else needs is one operation, in this order.
            linear = (self.alpha + noise) + linear
        else:
            linear = self.alpha + (linear + noise)
        cosine = _cosine(number, s / length, self.num_periods)
        return self.initial_learning_rate * (linear * cosine + self.beta)

    def _draws(self, moment: Moment) -> Float32:
        """The standard-normal draw of each step."""
        given = np.asarray(raw(moment))
        steps = given if given.dtype.kind == "i" else np.floor(given).astype(np.int64)
        if isinstance(self.noise, int):
            blocks, places = np.divmod(steps, BLOCK)
            draws = np.empty(steps.shape, np.float32)
            for block in np.unique(blocks).tolist():
                here = blocks == block
                draws[here] = _block(self.noise, block)[places[here]]
            return cast("Float32", draws[()])
        outside = steps[(steps < 0) | (steps >= len(self.noise))]
        if outside.size:
            raise ValueError(
                f"Argument `noise` has {len(self.noise)} draws, for the steps 0 to "
                f"{len(self.noise) - 1}. Received: step={outside.flat[0]}. Give more draws, or a seed."
            )
        if not steps.ndim:
            return np.float32(self.noise[int(steps)])
        return cast("Float32", np.array(self.noise, np.float32)[steps])


def _cosine(number: type[Number], passed: Number, num_periods: float) -> Number:
    fraction = (2.0 * number.constant(num_periods)) * passed
    return 0.5 * (1.0 + (number.PI * fraction).cos())


# --- noise ----------------------------------------------------------------------------------------


def _noise(value: Any) -> int | tuple[float, ...]:
    """A seed, or draws."""
    if isinstance(value, list | tuple) or np.ndim(value):
        return tuple(float(check.number("noise", draw)) for draw in value)
    seed = check.number("noise", value)
    if isinstance(seed, float) or seed < 0:
        raise ValueError(
            "Argument `noise` must be a seed, a whole number >= 0, or a list of draws. "
            f"Received: noise={value!r}."
        )
    return seed


@functools.lru_cache(maxsize=64)
def _block(seed: int, block: int) -> NDArray[np.float32]:
    """The draws of the steps from ``BLOCK * block`` on.

    One word of the counter-based generator Philox for each step makes a uniform number in (0, 1),
    and that a normal one; so a draw depends on nothing but the seed and the step.
    """
    counter = block * (BLOCK // 4) % 2**256  # a count of the generator's makes four words
    words = np.random.Philox(key=seed, counter=counter).random_raw(BLOCK)
    uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return np.array([NormalDist().inv_cdf(u) for u in uniform.tolist()], np.float32)
