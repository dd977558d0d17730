"""Formulas that several recipes share, stated in TensorFlow's operations or in Python, without lrparity.

What returns tensors takes an int64 scalar, as an optimizer's counter is; the rest takes a Python int.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras.optimizers import schedules as live

from recipes.statements import Tensor

Rate = Callable[[Any], Any]


def keras(name: str, *arguments: Any, **more: Any) -> Tensor:
    """A schedule of the Keras that is installed."""
    return Tensor(getattr(live, name)(*arguments, **more))


def single(step: Any) -> tf.Tensor:
    return tf.cast(step, tf.float32)


# --- in TensorFlow --------------------------------------------------------------------------------


def over(base: Rate | float, warm: int, start: float = 0.0) -> Tensor:
    """A line up to what the base is at its end; the base does not know of it."""

    def rate(step):
        rule = base if callable(base) else lambda _: tf.constant(base, tf.float32)
        if step >= warm:
            return rule(step)
        return start + single(step) / warm * (rule(warm) - start)

    return Tensor(rate)


def bert(top: float, base: Rate, warm: int) -> Tensor:
    """A line to ``top``, then the base at the step itself."""

    def rate(step):
        return base(step) if step >= warm else top * (single(step) / warm)

    return Tensor(rate)


def before(top: float, base: Rate | float, warm: int, last_warm: int | None = None) -> Tensor:
    """A line to ``top``, then the base from its own beginning on.

    ``last_warm`` is the last step of the line, if that is not ``warm - 1``.
    """
    edge = warm - 1 if last_warm is None else last_warm

    def rate(step):
        if step <= edge:
            return top * (single(step) / warm)
        return base(step - warm) if callable(base) else tf.constant(base, tf.float32)

    return Tensor(rate)


def from_one(base: Rate, warm: int, power: float = 1.0) -> Tensor:
    """A power of the step from 1 on, up to what the base is at its end, then the base."""

    def rate(step):
        if step >= warm:
            return base(step)
        return base(warm) * tf.pow(tf.maximum(single(step), 1.0) / warm, power)

    return Tensor(rate)


def levels(values: Sequence[float], starts: Sequence[float]) -> Rate:
    """Constant from each start on."""

    def rate(step):
        passed = sum(bool(single(step) >= start) for start in starts)
        return tf.constant(values[passed], tf.float32)

    return rate


def keras_io_cosine(base: float, total: int, warm: int, start: float = 0.0) -> Tensor:
    """The warm-up and cosine of keras.io's examples: 0 after the end."""

    def rate(step):
        s = single(step)
        if s > total:
            return tf.constant(0.0)
        if s < warm:
            return (base - start) / warm * s + start
        angle = tf.constant(np.float32(np.pi)) * (s - warm) / float(total - warm)
        return 0.5 * base * (1.0 + tf.cos(angle))

    return Tensor(rate)


def kerascv_cosine(top: float, total: int, warm: int, hold: int) -> Tensor:
    """The same with a plateau, as in KerasCV's training script."""

    def rate(step):
        s = single(step)
        if s > total:
            return tf.constant(0.0)
        if s < warm:
            return top * (s / warm)
        if s <= warm + hold:
            return tf.constant(top)
        angle = tf.constant(np.float32(np.pi)) * (s - warm - hold) / float(total - warm - hold)
        return 0.5 * top * (1.0 + tf.cos(angle))

    return Tensor(rate)


def triangles(low: float, high: float, size: float, height: Rate) -> Rate:
    """Cycles of Addons; ``height`` gets the number of the cycle and the step."""

    def rate(step):
        s = single(step)
        cycle = tf.floor(1.0 + s / (2.0 * single(size)))
        x = tf.abs(s / single(size) - 2.0 * cycle + 1.0)
        span = tf.constant(high) - tf.constant(low)
        return low + span * tf.maximum(0.0, 1.0 - x) * height(cycle, s)

    return rate


def noam(width: float, warm: int) -> Rate:
    """The Transformer of the tutorials."""

    def rate(step):
        s = single(step)
        rise, fall = s * warm**-1.5, tf.math.rsqrt(s)
        return tf.math.rsqrt(single(width)) * tf.minimum(fall, rise)

    return rate


def powers(width: float, warm: int, scale: float) -> Rate:
    """The Transformer of TensorFlowASR, made of powers."""

    def rate(step):
        s = single(step)
        rise, fall = s * single(warm) ** -1.5, s**-0.5
        return scale * (single(width) ** -0.5 * tf.minimum(fall, rise))

    return rate


# --- in Python ------------------------------------------------------------------------------------


def below(bounds: Sequence[float], values: Sequence[float]) -> Callable[[float], float]:
    """``if x < bound: return value``, one after another."""

    def rate(x):
        for bound, value in zip(bounds, values, strict=False):
            if x < bound:
                return value
        return values[-1]

    return rate


def up_to(bounds: Sequence[float], values: Sequence[float]) -> Callable[[float], float]:
    """``if x <= bound: return value``, one after another."""

    def rate(x):
        for bound, value in zip(bounds, values, strict=False):
            if x <= bound:
                return value
        return values[-1]

    return rate


def exceeding(base: float, bounds: Sequence[float], factors: Sequence[float]) -> Callable:
    """``if x > bound: lr *= factor``, the highest bound first, and only once."""

    def rate(x):
        for bound, factor in sorted(zip(bounds, factors, strict=True), reverse=True):
            if x > bound:
                return base * factor
        return base

    return rate


def triangle(low: float, high: float, size: float, height: Callable[[float, int], float]) -> Rate:
    """The callback of cycles; ``height`` gets the number of the cycle and the step."""

    def rate(k):
        cycle = math.floor(1 + k / (2 * size))
        x = abs(k / size - 2 * cycle + 1)
        return low + (high - low) * max(0, 1 - x) * height(cycle, k)

    return rate


def cosine_after(warm: int, hold: int, total: int, base: float, start: float) -> Callable:
    """The widely copied callback: a line, a plateau, a cosine, and 0 after the end."""

    def rate(k):
        if k > total:
            return 0.0
        if k < warm:
            return (base - start) / warm * k + start
        if k <= warm + hold:
            return base
        return 0.5 * base * (1 + math.cos(math.pi * (k - warm - hold) / (total - warm - hold)))

    return rate
