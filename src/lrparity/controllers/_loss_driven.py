"""``LossDriven``: a learning rate that follows the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

from lrparity import _validation as check
from lrparity import float32
from lrparity.controllers._controller import (
    Controller,
    Decision,
    decided,
    held,
    metric_value,
    unchanged,
    unflushed,
)

NonFinite = Literal["raise", "keep", "initial"]
FUNCTIONS: dict[str, Callable[[float], float]] = {"exp": math.exp}


class LossDriven(Controller):
    """Set the rates to ``initial_learning_rate * function(scale * loss)``.

    With the default function that is ``eta = eta0 * exp(loss)``: the higher the loss, the larger the
    steps; ``scale=-1`` turns it around.  Until the first loss is known the rates are
    ``initial_learning_rate``: call :meth:`start` for them.  Computed in Python float64 and rounded to
    float32 when assigned, as a Keras callback that says ``optimizer.learning_rate = ...`` does (a
    function that returns ``np.float32`` makes no difference here, where ``eta0 * function(loss)`` would
    be a float32 product under NumPy 2)::

        lr = float32(min(max(eta0 * function(scale * loss), min_lr), max_lr))

    Args:
        initial_learning_rate: ``eta0`` for all rates; None: each rate's own, as it is at the start.
        function: ``"exp"``, or a function of the scaled loss that returns a factor.
        scale: multiplies the loss.
        min_lr, max_lr: bounds of the result; None: none.
        non_finite: what to do with a loss that is NaN or infinite, or a rate that is not finite in
            float32 after the bounds (``exp(100)``): ``"raise"``; ``"keep"`` the rates as they are; or
            go back to the ``"initial"`` ones.

    Raises:
        ValueError: a rate that is not finite in float32, ``min_lr > max_lr``, an unknown option.
        TypeError: an argument of another type.

    Source: none in Keras, which has no such callback; the twin is a callback that assigns
    ``initial_learning_rate * math.exp(logs["loss"])``.

    >>> rule = LossDriven(0.1)
    >>> rule.start([0.5]).lrs
    (0.10000000149011612,)
    >>> rule.update(0.5, [0.1]).lrs
    (0.16487212479114532,)
    """

    _REMEMBERED: ClassVar[tuple[str, ...]] = ("initial_lrs",)

    def __init__(
        self,
        initial_learning_rate: float | None = None,
        function: Literal["exp"] | Callable[[float], float] = "exp",
        *,
        scale: float = 1.0,
        min_lr: float | None = None,
        max_lr: float | None = None,
        non_finite: NonFinite = "raise",
    ) -> None:
        self.initial_learning_rate = (
            None
            if initial_learning_rate is None
            else unflushed(check.schedule_rate, "initial_learning_rate", initial_learning_rate)
        )
        if isinstance(function, str):
            check.choice("function", function, tuple(FUNCTIONS))
        elif not callable(function):
            raise TypeError(
                f"Argument `function` must be 'exp' or a function of the loss. Received: {function!r}."
            )
        self.function = function
        self.scale = float(unflushed(check.number, "scale", scale))
        self.min_lr = None if min_lr is None else unflushed(check.rate, "min_lr", min_lr)
        self.max_lr = None if max_lr is None else unflushed(check.rate, "max_lr", max_lr)
        if self.min_lr is not None and self.max_lr is not None and self.min_lr > self.max_lr:
            raise ValueError(
                f"Argument `min_lr` must not exceed `max_lr`. Received: min_lr={min_lr!r}, "
                f"max_lr={max_lr!r}."
            )
        self.non_finite = cast(
            "NonFinite", check.choice("non_finite", non_finite, ("raise", "keep", "initial"))
        )
        self.initial_lrs: list[float] = []

    def start(self, lrs: Sequence[float]) -> Decision:
        """The rates before any loss is known, which also become each rate's ``eta0``.

        Args:
            lrs: the rates that the optimizer was made with.
        """
        self.initial_lrs = rates = self.initial_of(held(lrs))
        return decided(rates, "the initial rate", None)

    def initial_of(self, lrs: Sequence[float]) -> list[float]:
        """What becomes the ``eta0`` of rates that are new: ``initial_learning_rate``, or themselves."""
        if self.initial_learning_rate is None:
            return list(lrs)
        return [self.initial_learning_rate] * len(lrs)

    def update(self, metric: Any, lrs: Sequence[float]) -> Decision:
        """Take in a loss.

        Args:
            metric: the loss.
            lrs: the rates; if there are more than before, the last ones are new, and keep the rates
                that they come with as their ``eta0``.

        Raises:
            FloatingPointError: the loss or the result is not finite, and ``non_finite="raise"``.
            ValueError: a user's function returned something else than a number.
        """
        loss, rates = metric_value(metric), held(lrs)
        known = self.initial_lrs[: len(rates)]
        self.initial_lrs = [*known, *self.initial_of(rates[len(known) :])]
        if not math.isfinite(loss):
            return self._not_finite(f"the loss is {loss}", rates, loss)
        factor = self._factor(loss)
        assigned = [self._bounded(initial * factor) for initial in self.initial_lrs]
        final = tuple(map(float32.single, assigned))
        if not all(map(math.isfinite, final)):
            return self._not_finite(f"the loss {loss:g} makes a rate of {assigned}", rates, loss)
        return decided(assigned, f"the loss is {loss:g}", loss)

    def _factor(self, loss: float) -> float:
        function = FUNCTIONS[self.function] if isinstance(self.function, str) else self.function
        try:
            factor = function(self.scale * loss)
        except OverflowError:
            return math.inf
        try:
            return metric_value(factor)
        except TypeError:
            raise ValueError(
                f"Argument `function` must return a number, the factor. {function!r} returned "
                f"{factor!r:.100} for {self.scale * loss!r}."
            ) from None

    def _bounded(self, rate: float) -> float:
        if math.isnan(rate):
            return rate
        if self.min_lr is not None:
            rate = max(rate, self.min_lr)
        return rate if self.max_lr is None else min(rate, self.max_lr)

    def _not_finite(self, why: str, rates: list[float], loss: float) -> Decision:
        if self.non_finite == "raise":
            raise FloatingPointError(
                f"LossDriven cannot set a learning rate: {why}. Bound it by `max_lr`, turn it around by "
                '`scale`=-1, or say what to do by `non_finite`: "keep" the rates, or go back to the '
                '"initial" ones.'
            )
        if self.non_finite == "keep":
            return unchanged(rates, f"{why}: kept", loss)
        return decided(self.initial_lrs, f"{why}: back to the initial rate", loss)

    def get_config(self) -> dict[str, Any]:
        """The arguments; of a user's function only that it is one."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "function": self.function if isinstance(self.function, str) else None,
            "scale": self.scale,
            "min_lr": self.min_lr,
            "max_lr": self.max_lr,
            "non_finite": self.non_finite,
        }

    def _is_sound(self, state: Mapping[str, Any]) -> bool:
        rates = state["initial_lrs"]
        return isinstance(rates, list) and all(
            type(one) is float and math.isfinite(float32.single(one)) for one in rates
        )
