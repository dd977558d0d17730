"""``ReduceLROnPlateau``: lower the rate when a metric has stopped improving, by every Keras rule."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np

from lrparity import _validation as check
from lrparity import float32
from lrparity.controllers._controller import (
    Controller,
    Decision,
    OnConfigChange,
    decided,
    held,
    metric_value,
    unchanged,
    unflushed,
)
from lrparity.controllers._keras_versions import NEWEST, numpy_major_of, rule_of

Mode = Literal["min", "max"]
AutoMode = Literal["auto", "min", "max"]


class ReduceLROnPlateau(Controller):
    """Multiply the rates by ``factor`` once a metric has not improved for ``patience`` metrics.

    For each metric, in this order::

        if cooldown_counter > 0:       cooldown_counter -= 1; wait = 0
        if metric is an improvement:   best = metric; wait = 0
        elif cooldown_counter == 0:    wait += 1
            if wait >= patience:       reduce each lr > float32(min_lr) to max(lr * factor, min_lr)
                if there was any:      cooldown_counter = cooldown; wait = 0

    so that the last metric of the cooldown counts already, ``patience=0`` is ``patience=1``, and
    rates at ``min_lr`` stay there while ``wait`` goes up.  A metric improves on the best one if
    ``metric < best - min_delta`` (mode ``"min"``) or ``metric > best + min_delta`` (``"max"``).

    What ``keras_version`` changes:

    =================== ===============================================================================
    1.1.1 to 2.1.2      ``wait`` goes up after it is compared, so the first reduction comes one metric
                        later; a rate must exceed ``min_lr * (1 + 1e-4)``
    2.1.3 to 2.1.5      the same, but a rate must exceed ``min_lr`` (in float64: a rate at
                        ``float32(min_lr) > min_lr`` is "reduced" to itself, and cools down again)
    2.1.6 to 2.3.1      as above, ``min_lr`` in float64
    2.6 to 2.21         (tf_keras from 2.16 on) the product is float64 under NumPy 1, float32 under
                        NumPy 2: say which by ``numpy_major``
    3.0 to 3.10         as above, product in float64
    3.11 to 3.14        the first metric is the best, be it NaN; then float32 values of
                        ``metric + abs(min_delta)`` and of the best are compared; a second ``fit``
                        keeps the best
    3.15                the same, and a second ``fit`` forgets the best
    =================== ===============================================================================

    Up to 3.10 the first best is infinite: a first NaN, or infinity, is no improvement, and the
    comparison is float64.  From 3.11 on a first NaN stays the best for good, values that are subnormal
    in float32 are compared as 0, and finite ones beyond float32, on which Keras fails, as infinite.

    Args:
        factor: what a rate is multiplied by; less than 1.
        patience: how many metrics without improvement it takes.
        mode: ``"min"``: lower is better; ``"max"``: higher is.  :func:`resolve_mode` is Keras'
            ``"auto"``.
        min_delta: what an improvement must exceed.
        cooldown: how many metrics to wait after a reduction.
        min_lr: the bound that a rate is not reduced below.
        keras_version: whose rule, such as ``"3.15"`` or ``"2.1.6"``.
        numpy_major: 1 or 2; plays a part in 2.6 to 2.21 only.  None: 1 up to 2.17, whose TensorFlow asks
            for NumPy 1, and 2 from 2.18 on, whose TensorFlow takes either.  NumPy 2 multiplies in float64
            as well if ``factor`` is a ``np.float64``, such as ``np.sqrt(0.1)``: that becomes
            ``numpy_major=1``.

    Attributes:
        best: the best metric so far; None before the first, from 3.11 on.
        wait, cooldown_counter: Keras' counters.

    Several rates share one counter, as under Keras 3.15's ``MultiOptimizer``.

    Raises:
        ValueError: ``factor`` >= 1, another ``mode`` or ``numpy_major``, a version that was not
            checked, a ``min_lr`` that is not finite in float32.
        TypeError: an argument of another type.

    Source: keras/src/callbacks/reduce_lr_on_plateau.py and monitor_callback.py, 3.15.1, and
    keras/callbacks.py of the versions named.  ``torch.optim.lr_scheduler.ReduceLROnPlateau`` waits one
    metric longer, cools down one longer, compares relatively, leaves rates below 1e-8, and computes in
    float64.

    >>> plateau = ReduceLROnPlateau(factor=0.5, patience=2)
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     decision = plateau.update(loss, [0.1])
    ...     print(decision.changed, decision.lrs)
    False (0.10000000149011612,)
    False (0.10000000149011612,)
    False (0.10000000149011612,)
    True (0.05000000074505806,)
    >>> decision.reason
    'no improvement on 0.9 for 2 metrics'
    """

    _REMEMBERED: ClassVar[tuple[str, ...]] = ("best", "wait", "cooldown_counter")

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        mode: Mode = "min",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        keras_version: str = NEWEST,
        numpy_major: int | None = None,
    ) -> None:
        self.factor = float(unflushed(check.number, "factor", factor))
        if self.factor >= 1.0:
            raise ValueError(
                "Argument `factor` of ReduceLROnPlateau must be < 1.0, as in Keras: a rate is multiplied "
                f"by it. Received: factor={factor!r}."
            )
        if self.factor <= 0.0:
            warnings.warn(
                f"`factor`={factor!r} is not positive: the first reduction goes to `min_lr` at once. "
                "Keras accepts it and so does lrparity.",
                UserWarning,
                stacklevel=2,
            )
        self.patience = check.number("patience", patience)
        self.mode = cast("Mode", check.choice("mode", mode, ("min", "max")))
        self.min_delta = float(unflushed(check.number, "min_delta", min_delta))
        self.cooldown = check.number("cooldown", cooldown)
        self.min_lr = unflushed(check.rate, "min_lr", min_lr)
        self._rule = rule_of(keras_version)
        self.keras_version = keras_version
        if isinstance(numpy_major, bool) or numpy_major not in (None, 1, 2):
            raise ValueError(
                "Argument `numpy_major` must be 1, 2, or None for the one that the version came with. "
                f"Received: numpy_major={numpy_major!r}."
            )
        if numpy_major is None:
            numpy_major = numpy_major_of(keras_version)
        float64_factor = self._rule.product_by_numpy and isinstance(factor, np.float64)
        self.numpy_major = 1 if float64_factor else int(numpy_major)
        self.best = self._first_best()
        self.wait = 0
        self.cooldown_counter = 0

    def _first_best(self) -> float | None:
        if self._rule.monitor_callback:
            return None
        return math.inf if self.mode == "min" else -math.inf

    def reset(self) -> None:
        """Do what Keras does as ``fit`` begins: forget the counters, and mostly the best metric."""
        if self._rule.forgets_best:
            self.best = self._first_best()
        self.wait = 0
        self.cooldown_counter = 0

    def update(self, metric: Any, lrs: Sequence[float]) -> Decision:
        """Take in one metric; see the class.

        Args:
            metric: a number, or a scalar of any framework; NaN and infinities as the version has them.
                It counts as a Python float, which is what Keras' ``fit`` hands to its callbacks.
            lrs: the rates.
        """
        value, rates = metric_value(metric), held(lrs)
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(value):
            self.best = value
            self.wait = 0
            return unchanged(rates, f"{value:g} is the best so far", value)
        if self.cooldown_counter > 0:
            return unchanged(rates, f"cooling down, {self.cooldown_counter} metrics more", value)
        waited = self.wait
        self.wait += 1
        since = f"no improvement on {self.best:g} for {self.wait} metrics"
        if (self.wait if self._rule.counts_first else waited) < self.patience:
            return unchanged(rates, f"{since}, of {self.patience}", value)
        assigned = [self.reduced(rate) if self._may_fall(rate) else None for rate in rates]
        if all(one is None for one in assigned):
            return unchanged(rates, f"{since}, but no rate is above min_lr={self.min_lr:g}", value)
        self.cooldown_counter = cast("int", self.cooldown)
        # Old versions count the metric that the reduction answers.
        self.wait = 0 if self._rule.counts_first else 1
        final = [old if new is None else new for old, new in zip(rates, assigned, strict=True)]
        return decided(final, since, value)

    def _is_improvement(self, value: float) -> bool:
        if self._rule.monitor_callback:
            if self.best is None:
                return True
            delta = abs(self.min_delta)
            # MonitorCallback._is_improvement: the shift in float64, the comparison in float32, by a
            # kernel of TensorFlow, which takes subnormals as 0
            shifted = _flushed(value + delta if self.mode == "min" else value - delta)
            best = _flushed(self.best)
            return shifted < best if self.mode == "min" else shifted > best
        best = cast("float", self.best)
        if self.mode == "min":
            return value < best - self.min_delta
        return value > best + self.min_delta

    def _may_fall(self, rate: float) -> bool:
        if self._rule.float32_min_lr:
            return rate > float32.single(self.min_lr)
        return rate > self.min_lr + self.min_lr * self._rule.min_lr_slack

    def reduced(self, rate: float) -> float:
        """What one rate is reduced to, before it is rounded to float32."""
        product = self.product(rate)
        if self._by_numpy:
            return self.min_lr if float32.single(self.min_lr) > product else product
        return max(product, self.min_lr)

    def product(self, rate: float) -> float:
        """The rate times ``factor``, without regard to ``min_lr``, before it is rounded."""
        if not self._by_numpy:
            return rate * self.factor
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.float32(rate) * np.float32(self.factor))

    @property
    def _by_numpy(self) -> bool:
        return self._rule.product_by_numpy and self.numpy_major == 2

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "factor": self.factor,
            "patience": self.patience,
            "mode": self.mode,
            "min_delta": self.min_delta,
            "cooldown": self.cooldown,
            "min_lr": self.min_lr,
            "keras_version": self.keras_version,
            "numpy_major": self.numpy_major,
        }

    def _is_sound(self, state: Mapping[str, Any]) -> bool:
        best, wait, counter = (state[name] for name in self._REMEMBERED)
        # A cooldown that is negative, or no whole number, counts down to less than 0.
        counted = type(counter) is int or (type(counter) is float and not math.isnan(counter))
        waited = type(wait) is int and wait >= 0
        return waited and counted and (best is None or type(best) is float)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], *, on_config_change: OnConfigChange = "raise"
    ) -> None:
        super().load_state_dict(state_dict, on_config_change=on_config_change)
        if self.best is None:  # saved under a rule that begins without a best metric
            self.best = self._first_best()

    load_state_dict.__doc__ = Controller.load_state_dict.__doc__


def _flushed(value: float) -> float:
    single = float32.single(value)
    return 0.0 if abs(single) < float(float32.SMALLEST_NORMAL) else single


def resolve_mode(
    mode: str, monitor: str, keras_version: str = NEWEST, *, higher_is_better: bool | None = None
) -> Mode:
    """``"min"`` or ``"max"``, as the version resolves ``"auto"``.

    Up to 3.10 a metric with ``"acc"`` in its name is better when higher, every other one when lower.
    From 3.11 on ``"loss"`` and ``"val_loss"`` are better when lower, and any other metric has to say
    it by itself.

    Args:
        mode: ``"auto"``, ``"min"`` or ``"max"``; anything else is ``"auto"`` with a warning, as in
            Keras.
        monitor: the metric's name.
        keras_version: whose rule.
        higher_is_better: what the metric says of itself, as torchmetrics' do; None if nothing.

    Raises:
        ValueError: from 3.11 on, if the metric does not say it.

    >>> resolve_mode("auto", "val_acc", "3.10"), resolve_mode("auto", "val_auc", "3.10")
    ('max', 'min')
    >>> resolve_mode("auto", "val_auc", higher_is_better=True)
    'max'
    """
    if mode in ("min", "max"):
        return cast("Mode", mode)
    if mode != "auto":
        warnings.warn(
            f"`mode`={mode!r} is none of 'auto', 'min', 'max'; 'auto' is taken for it, as in Keras.",
            UserWarning,
            stacklevel=3,
        )
    if not rule_of(keras_version).monitor_callback:
        return "max" if "acc" in monitor else "min"
    # MonitorCallback._set_monitor_op: what the metric says goes before the name
    if higher_is_better is not None:
        return "max" if higher_is_better else "min"
    if monitor.removeprefix("val_") == "loss":
        return "min"
    raise ValueError(
        f"ReduceLROnPlateau cannot tell whether the metric {monitor!r} is better when higher or when "
        f"lower, and Keras {keras_version} does not guess it from the name. Pass mode='max' or "
        "mode='min', or log a torchmetrics object, whose `higher_is_better` says it."
    )
