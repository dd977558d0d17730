"""``EpochFunction``: a function of the epoch, and of the rate if it asks for it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lrparity import float32
from lrparity.controllers._controller import (
    Controller,
    Decision,
    decided,
    held,
    scalar,
)


class EpochFunction(Controller):
    """Set the rates to ``fn(epoch)``, or each to ``fn(epoch, lr)``, as ``LearningRateScheduler`` does.

    The function gets two arguments whenever it accepts two, parameters with a default included, which
    is what Keras does but for wrappers: ``inspect.signature(fn).bind(epoch, lr)`` decides, once and for
    all.
    (Keras calls with two and, on any ``TypeError``, calls again with one; an error from within the
    function is never hidden here.  So a wrapper ``lambda *args: f(*args)`` of a function of one argument
    gets two, and fails: ``functools.wraps`` lets it show the signature of ``f``.)  A callable without a
    signature gets one.

    What it returns is rounded to float32, and fed back rounded: ``lr * 0.99`` compounds the rounding
    of Keras, not of float64.  With several rates a function of ``(epoch, lr)`` is asked once for each
    that differs.

    Args:
        fn: returns the rate: a ``float``, ``np.float32``, or a floating tensor or array without
            dimensions.  A schedule serves as well.
        name: what messages call the argument.

    Raises:
        TypeError: ``fn`` is not callable, or takes neither one argument nor two.

    Source: keras/src/callbacks/learning_rate_scheduler.py, 3.15.1.  Up to 2.1.3 Keras passed the epoch
    alone.  torch's ``LambdaLR`` takes a factor and ``MultiplicativeLR`` a float64 one.

    >>> tenth = EpochFunction(lambda epoch, lr: lr * 0.1 if epoch else lr)
    >>> tenth.update(0, [0.1]).lrs
    (0.10000000149011612,)
    >>> tenth.update(1, [0.1]).lrs
    (0.009999999776482582,)
    """

    def __init__(self, fn: Callable[..., float], name: str = "fn") -> None:
        self.fn = fn
        self.takes_lr = takes_two(fn, name)

    def update(self, metric: Any, lrs: Sequence[float]) -> Decision:
        """Ask the function.

        Args:
            metric: the epoch, an integer counted from 0 (or whatever else the function counts).
            lrs: the rates that it may look at.

        Raises:
            ValueError: it returned something else than a finite float.
        """
        rates = held(lrs)
        if not self.takes_lr:
            answer = checked_rate(self.fn(metric), self.fn, (metric,))
            assigned = [answer] * len(rates)
        else:
            answers: dict[float, float] = {}
            for rate in rates:
                if rate not in answers:
                    answers[rate] = checked_rate(self.fn(metric, rate), self.fn, (metric, rate))
            assigned = [answers[rate] for rate in rates]
        name = getattr(self.fn, "__name__", type(self.fn).__name__)
        return decided(assigned, f"{name} at {metric}", metric)

    def get_config(self) -> dict[str, Any]:
        """Nothing: what a function computes cannot be told."""
        return {}

    def __repr__(self) -> str:
        return f"EpochFunction({self.fn!r})"


def takes_two(fn: Any, name: str) -> bool:
    """Whether a function is called with an index and a rate, or with the index alone.

    Raises:
        TypeError: it is not callable, or neither way.
    """
    if not callable(fn):
        raise TypeError(
            f"Argument `{name}` must be a function of an index, or of an index and the learning rate. "
            f"Received: {name}={fn!r}."
        )
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return False
    for arguments in ((0, 0.0), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise TypeError(
        f"Argument `{name}` must be a function of an index, or of an index and the learning rate. "
        f"Received: {name}={fn!r}, which takes {signature}."
    )


def check_unit(schedule: Any, unit: str, name: str, mend: str) -> None:
    """Refuse a schedule that counts something else than what it would be asked for.

    Raises:
        ValueError: it does.
    """
    counts = getattr(schedule, "unit", unit)
    if counts != unit:
        raise ValueError(
            f"Argument `{name}` is a schedule that counts {counts}s, {schedule!r}, and would be asked for "
            f"the {unit}. {mend}"
        )


def checked_rate(value: Any, fn: Any, arguments: tuple[Any, ...]) -> float:
    """What a user's function returned, if it is a rate: a Python float, not rounded yet.

    Raises:
        ValueError: it is no float, or not finite in float32.
    """
    plain = scalar(value)
    asked = f"{fn!r} was asked with {', '.join(map(repr, arguments))} and returned {value!r:.100}"
    if not isinstance(plain, float | np.floating) or isinstance(plain, np.longdouble):
        raise ValueError(
            f"The function must return a float, the learning rate: {asked} of type "
            f"{type(value).__name__}. Return float(...) of it."
        )
    result = float(plain)
    if not math.isfinite(float32.single(result)):
        raise ValueError(
            f"The function must return a learning rate that is finite in float32: {asked}."
        )
    return result
