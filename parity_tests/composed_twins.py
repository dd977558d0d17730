"""Compositions and warm-ups as a Keras project writes them: in TensorFlow's operations.

:func:`twin` turns a schedule of lrparity into a function of a step tensor.  The parts are Keras' own
schedule classes; what joins them is written here, independently of lrparity's arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lrparity import schedules

Function = Callable[[Any], Any]
KERAS = keras.optimizers.schedules


def twin(part: schedules.LearningRateSchedule | float) -> Function:
    """The schedule in TensorFlow; a number is a constant."""
    if not isinstance(part, schedules.LearningRateSchedule):
        return lambda step: tf.constant(part, tf.float32)
    name = type(part).__name__
    if hasattr(KERAS, name):
        return getattr(KERAS, name)(**part.get_config())
    return TWINS[name](part)


def single(step: Any) -> Any:
    return tf.cast(step, tf.float32)


def whole_or_single(step: Any, number: float) -> tuple[Any, Any]:
    """The step and a number in one dtype: whole if both are."""
    if isinstance(number, int) and tf.as_dtype(step.dtype).is_integer:
        return tf.convert_to_tensor(step), tf.constant(number, step.dtype)
    return single(step), tf.constant(number, tf.float32)


def constant(part: schedules.Constant) -> Function:
    return lambda step: tf.constant(part.learning_rate, tf.float32)


def join(part: schedules.Join) -> Function:
    functions = [twin(one) for one in part.schedules]
    starts = (0, *part.boundaries) if part.restart else (0,) * len(functions)

    def rate(step: Any) -> Any:
        result = functions[0](step)
        for function, start, edge in zip(functions[1:], starts[1:], part.boundaries, strict=True):
            after = step > edge if part.inclusive else step >= edge
            result = tf.where(after, function(step - start), result)
        return result

    return rate


def product(part: schedules.Product) -> Function:
    functions = [twin(one) for one in part.schedules]

    def rate(step: Any) -> Any:
        result = functions[0](step)
        for function in functions[1:]:
            result = result * function(step)
        return result

    return rate


def scale(part: schedules.Scale) -> Function:
    function = twin(part.schedule)
    return lambda step: function(step) * part.factor


def offset(part: schedules.Offset) -> Function:
    function = twin(part.schedule)

    def rate(step: Any) -> Any:
        local = step - part.offset
        if part.minimum is not None:
            local = tf.maximum(local, part.minimum)
        return function(single(local) if part.cast else local)

    return rate


def clip(part: schedules.Clip) -> Function:
    function = twin(part.schedule)

    def rate(step: Any) -> Any:
        result = function(step)
        if part.minimum is not None:
            result = tf.maximum(result, twin(part.minimum)(step))
        if part.maximum is not None:
            result = tf.minimum(result, twin(part.maximum)(step))
        return result

    return rate


def hold(part: schedules.Hold) -> Function:
    function = twin(part.schedule)

    def rate(step: Any) -> Any:
        local = step
        if part.start is not None:
            local = tf.maximum(*whole_or_single(local, part.start))
        if part.stop is not None:
            local = tf.minimum(*whole_or_single(local, part.stop))
        return function(local)

    return rate


def repeat(part: schedules.Repeat) -> Function:
    function = twin(part.schedule)
    return lambda step: function(tf.math.floormod(*whole_or_single(step, part.period)))


def per_update(part: schedules.PerUpdate) -> Function:
    assert isinstance(part.schedule, schedules.PerEpoch)
    function = twin(part.schedule.schedule)  # inside the graph it would be rewritten: eager only

    def rate(step: Any) -> Any:
        if not part.staircase:
            return function(single(step) / part.steps_per_epoch)
        if isinstance(part.steps_per_epoch, int):
            return function(step // part.steps_per_epoch)
        return function(tf.floor(single(step) / part.steps_per_epoch))

    return rate


def warmed_up(
    base: Any,
    warmup_steps: int,
    *,
    start: float = 0.0,
    target: float | None = None,
    power: float = 1.0,
    counter: str = "step",
    shift: bool,
    inclusive: bool = False,
    line: str = "fraction",
) -> Function:
    function = twin(base)
    if target is None and isinstance(base, float):
        target = base
    # A class asks the base for it in its constructor.
    top = (
        function(tf.constant(0 if shift else warmup_steps, tf.int64)) if target is None else target
    )
    slope = (float(top) - start) / warmup_steps

    def rate(step: Any) -> Any:
        passed = single(step)
        if counter == "step + 1":
            passed = passed + 1.0
        elif counter == "max(step, 1)":
            passed = tf.maximum(passed, 1.0)
        if line == "slope":
            warm = slope * passed + start
        elif line == "product":
            warm = (top - start) * passed / warmup_steps + start
        else:
            warm = (top - start) * tf.pow(passed / warmup_steps, power) + start
        during = step <= warmup_steps if inclusive else step < warmup_steps
        return tf.cond(
            during,
            lambda: warm,
            lambda: function(step - warmup_steps if shift else step),
        )

    return rate


def warm_up(part: schedules.WarmUp) -> Function:
    return warmed_up(
        part.schedule,
        part.warmup_steps,
        start=part.initial_learning_rate,
        target=part.warmup_target,
        power=part.power,
        counter=part.counter,
        shift=part.shift,
        inclusive=part.inclusive,
        line=part.line,
    )


def warm_up_cosine(part: schedules.WarmUpCosineDecay) -> Function:
    base, start = part.learning_rate_base, part.warmup_learning_rate
    warmup, plateau = part.warmup_steps, part.hold_base_rate_steps

    def rate(step: Any) -> Any:
        moment = single(step)
        length = float(part.total_steps - warmup - plateau)
        angle = tf.constant(np.pi, tf.float32) * (moment - warmup - plateau) / length
        result = 0.5 * base * (1 + tf.cos(angle))
        if plateau:
            result = tf.where(step > warmup + plateau, result, base)
        if warmup:
            lines = {
                "slope": (base - start) / warmup * moment + start,
                "fraction": (base - start) * (moment / warmup) + start,
                "product": (base - start) * moment / warmup + start,
            }
            result = tf.where(step < warmup, lines[part.line], result)
        return tf.where(step > part.total_steps, 0.0, result)

    return rate


def linear_decay(part: schedules.LinearDecay) -> Function:
    start, end, length = part.initial_learning_rate, part.end_learning_rate, part.decay_steps

    def rate(step: Any) -> Any:
        passed = tf.minimum(single(step), tf.constant(length, tf.float32))
        if part.line == "slope":
            return (end - start) / length * passed + start
        if part.line == "product":
            return (end - start) * passed / length + start
        return (end - start) * (passed / length) + start

    return rate


def piecewise_linear(part: schedules.PiecewiseLinear) -> Function:
    x, y = part.boundaries, part.values
    slopes = [(y[i + 1] - y[i]) / (x[i + 1] - x[i]) for i in range(len(x) - 1)]

    def rate(step: Any) -> Any:
        moment = single(step)
        result = tf.constant(y[0], tf.float32)
        for i, slope in enumerate(slopes):
            line = slope * (moment - float(x[i])) + y[i]
            result = tf.where(moment >= x[i], line, result)
        return tf.where(moment >= x[-1], y[-1], result)

    return rate


def sum_of(part: schedules.Sum) -> Function:
    functions = [twin(one) for one in part.schedules]

    def rate(step: Any) -> Any:
        result = functions[0](step)
        for function in functions[1:]:
            result = result + function(step)
        return result

    return rate


TWINS: dict[str, Callable[[Any], Function]] = {
    "Constant": constant,
    "Join": join,
    "Product": product,
    "Sum": sum_of,
    "Scale": scale,
    "Offset": offset,
    "Clip": clip,
    "Hold": hold,
    "Repeat": repeat,
    "PerUpdate": per_update,
    "LinearDecay": linear_decay,
    "PiecewiseLinear": piecewise_linear,
    "WarmUp": warm_up,
    "WarmUpCosineDecay": warm_up_cosine,
}
