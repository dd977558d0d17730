"""Keras' stochastic gradient descent on torch parameters."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from lrparity import _validation as check
from lrparity.schedules import LearningRateSchedule
from lrparity.schedules._arithmetic import constant32
from lrparity.schedules._classic import check_decay, decay_rule, time_based_decay

_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


class SGD(Optimizer):
    """Gradient descent with momentum, as ``keras.optimizers.SGD`` does it.

    ::

        rate = lr / (1 + decay * iterations)          in float32; see `decay` and `keras_version`
        g = clip(g)
        w = w - w * weight_decay * rate               if weight_decay
        w = w - g * rate                              if momentum is 0, else
        v = v * momentum - g * rate
        w = w + v                                     or, with nesterov,
        w = w + (v * momentum - g * rate)

    in the dtype of the parameter, in this order, each operation rounded: on a CPU the weights have
    the bits that Keras gives them.  Not so with ``clipnorm`` and ``global_clipnorm``, where the last
    bit of a sum of squares depends on its order, nor with ``weight_decay`` in a compiled ``fit``,
    which does ``w * (weight_decay * rate)``.  Parameters without a gradient are left alone.

    **The velocity holds the learning rate**, and that is the difference from ``torch.optim.SGD``,
    whose buffer sums bare gradients and is multiplied by the rate of the day.  At a constant rate
    the two agree; when the rate drops, Keras goes on at the old speed and torch brakes at once:

    >>> def step_after_a_tenfold_drop(optimizer_class):
    ...     weight = torch.nn.Parameter(torch.zeros(()))
    ...     optimizer = optimizer_class([weight], lr=1.0, momentum=0.9)
    ...     weight.grad = torch.ones(())
    ...     for _ in range(15):
    ...         optimizer.step()
    ...     before = weight.item()
    ...     optimizer.param_groups[0]["lr"] = 0.1
    ...     optimizer.step()
    ...     return round(before - weight.item(), 3)
    >>> step_after_a_tenfold_drop(SGD), step_after_a_tenfold_drop(torch.optim.SGD)
    (7.247, 0.815)

    Args:
        params: parameters, named parameters or parameter groups, as for any torch optimizer.
        lr: the learning rate per update; >= 0.  A 0-d float tensor is read anew at each update.
        momentum: how much of the velocity an update keeps, 0 to 1.  At 0 no velocity is stored.
        nesterov: look one momentum step ahead.  Without momentum it has no effect, as in Keras.
        decay: how fast the rate falls per *update*, not per epoch; >= 0.  It acts on top of
            ``group["lr"]``, which stays the base rate that schedulers and callbacks see.
        weight_decay: the share of each weight that an update removes, times the rate: decoupled,
            where torch's adds ``weight_decay * w`` to the gradient and hence to the momentum.
        clipnorm: the largest norm that the gradient of one parameter keeps; > 0.
        clipvalue: the largest magnitude that one element of a gradient keeps; > 0.
        global_clipnorm: the largest norm of all gradients of all groups together; > 0.
        keras_version: whose formula ``decay`` follows, as in
            :class:`~lrparity.schedules.TimeBasedDecay`: from '2.4' on the one above, up to '2.3.1'
            ``lr * (1 / (1 + decay * iterations))``.
        foreach: update many tensors per call (True, or None where all are plain tensors), or one
            by one (False).  The bits are the same.

    Each group may have its own options, but for ``global_clipnorm``; a group that changes the kind
    of clipping sets the other kind to None.  Options are rounded to float32, then to the dtype of
    the parameter, as in Keras; norms of half-precision gradients are taken in float32, where Keras
    overflows.  A momentum that ``ScheduleHyperparameter`` drives keeps the velocity at 0, too, as the
    legacy optimizer of tf_keras does.  :attr:`iterations` counts the updates from 0; a :meth:`step`
    that meets no gradient is none.  :attr:`learning_rates_used`, ``group["learning_rate_used"]``,
    tells the rates of the last one.  Both are kept in the parameter groups, and so in the state dict.

    Raises:
        ValueError: an option is outside its range, two kinds of clipping are set, a group has its
            own ``global_clipnorm``, the Keras version has no ``decay=``, or a state dict of
            ``torch.optim.SGD`` is loaded, whose momentum means something else.
        TypeError: an option is of the wrong type, a parameter is complex, or a gradient is sparse.

    Source: keras/src/optimizers/sgd.py and base_optimizer.py, 3.15.1; for ``decay``,
    tf_keras/src/optimizers/legacy/optimizer_v2.py, 2.21.

    >>> weight = torch.nn.Parameter(torch.zeros(()))
    >>> optimizer = SGD([weight], lr=0.5, decay=1.0)
    >>> weight.grad = torch.ones(())
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     print(optimizer.learning_rates_used, weight.item())
    [0.5] -0.5
    [0.25] -0.75
    >>> optimizer.iterations, optimizer.param_groups[0]["lr"]
    (2, 0.5)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        decay: float = 0.0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        keras_version: str = "2.15",
        foreach: bool | None = None,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "decay": decay,
            "weight_decay": weight_decay,
            "clipnorm": clipnorm,
            "clipvalue": clipvalue,
            "global_clipnorm": global_clipnorm,
            "keras_version": keras_version,
            "foreach": foreach,
        }
        super().__init__(params, _checked(options))

    @property
    def iterations(self) -> int:
        """Updates done; one count for all groups."""
        return int(self.param_groups[0]["iterations"]) if self.param_groups else 0

    @property
    def learning_rates_used(self) -> list[float]:
        """The rate of the last update, one per group; NaN for a group that has seen none."""
        return [float(group["learning_rate_used"]) for group in self.param_groups]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; it shares the count of updates and ``global_clipnorm``."""
        first = self.param_groups[0] if self.param_groups else self.defaults
        if isinstance(param_group, dict):  # else the base class says what is wrong
            param_group = {"global_clipnorm": first["global_clipnorm"], **param_group}
            param_group.update(iterations=self.iterations, learning_rate_used=math.nan)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            group.update(_checked(group))
            if group["global_clipnorm"] != first["global_clipnorm"]:
                raise ValueError(
                    "Argument `global_clipnorm` is one for all groups; pass it to SGD(...). Received: "
                    f"{group['global_clipnorm']!r} in a group, {first['global_clipnorm']!r} before."
                )
            if any(parameter.is_complex() for parameter in group["params"]):
                raise TypeError(
                    "SGD takes real parameters, as Keras does. Received a complex one. Keep "
                    "torch.view_as_real(z), and use torch.view_as_complex on it in forward()."
                )
        except BaseException:
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` returned; the options of the groups are loaded with it."""
        groups, states = state_dict["param_groups"], state_dict["state"].values()
        if any("dampening" in group for group in groups) or any(
            "momentum_buffer" in state for state in states
        ):
            raise ValueError(
                "Argument `state_dict` is of torch.optim.SGD, whose options mean other things and "
                "whose `momentum_buffer` lacks the learning rate. Start anew; or, if the rate was "
                "constant, set state[p]['velocity'] = -lr * momentum_buffer for each parameter p."
            )
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        iterations = max((group.get("iterations", 0) for group in self.param_groups), default=0)
        for group in self.param_groups:
            for name, argument in inspect.signature(SGD).parameters.items():
                group.setdefault(name, self.defaults.get(name, argument.default))
            group.setdefault("learning_rate_used", math.nan)
            group["iterations"] = iterations

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one update; ``closure`` evaluates the model anew and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        batches = [batch for group in self.param_groups for batch in _batches(group)]
        if not batches:  # as in Keras, no gradients are no update
            return loss
        iterations = self.iterations
        global_clipnorm = self.param_groups[0]["global_clipnorm"]
        if global_clipnorm is not None:
            _clip_by_global_norm(batches, global_clipnorm)
        for group in self.param_groups:
            group["learning_rate_used"] = _rate(group, iterations)
        for batch in batches:
            self._update(batch)
        for group in self.param_groups:
            group["iterations"] = iterations + 1
        return loss

    def _update(self, batch: _Batch) -> None:
        group, do, params = batch.group, batch.operations, batch.params
        if group["clipnorm"] is not None:
            _clip_by_norm(batch, group["clipnorm"])
        elif (limit := group["clipvalue"]) is not None:
            batch.grads = [grad.clamp(-limit, limit) for grad in batch.grads]
        dtype = params[0].dtype
        grads = [grad if grad.dtype is dtype else grad.to(dtype) for grad in batch.grads]
        # Keras casts hyper-parameters by way of float32, whatever the dtype of the parameter.
        rate = _scalar(group["learning_rate_used"], params[0])
        if group["weight_decay"]:
            removed = do.mul(params, _scalar(_float32(group["weight_decay"]), params[0]))
            do.mul_(removed, rate)
            do.sub_(params, removed)
        # No `alpha=` anywhere below: it fuses two roundings into one on some devices, and then the
        # bits are neither Keras' nor the same for both kinds of operations.
        scaled = do.mul(grads, rate)
        # Keras 3 asks for the momentum as it traces, or in each eager step; the legacy optimizer, whose
        # momentum can be scheduled, keeps its velocity at 0, too (tf_keras gradient_descent.py, 2.21).
        if not group["momentum"] and "initial_momentum" not in group:
            do.sub_(params, scaled)
            return
        momentum = _scalar(_float32(group["momentum"]), params[0])
        velocities = [self._velocity(parameter) for parameter in params]
        do.mul_(velocities, momentum)
        do.sub_(velocities, scaled)
        change = velocities
        if group["nesterov"]:
            change = do.mul(velocities, momentum)
            do.sub_(change, scaled)
        do.add_(params, change)

    def _velocity(self, parameter: Tensor) -> Tensor:
        state: dict[str, Tensor] = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state["velocity"]


# --- tensors, many per call or one by one -------------------------------------------------------


def _one_by_one(operation: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """Give a tensor method the calling convention of ``torch._foreach_*``."""

    def apply(tensors: list[Tensor], other: list[Tensor] | Tensor | float) -> list[Tensor]:
        others: Iterable[Any] = other if isinstance(other, list) else itertools.repeat(other)
        return [operation(tensor, x) for tensor, x in zip(tensors, others, strict=False)]

    return apply


_NAMES = ("mul", "mul_", "add_", "sub_", "div_")
_TOGETHER = SimpleNamespace(**{name: getattr(torch, f"_foreach_{name}") for name in _NAMES})
_SINGLY = SimpleNamespace(**{name: _one_by_one(getattr(Tensor, name)) for name in _NAMES})
_PLAIN = (Tensor, torch.nn.Parameter)


@dataclass(slots=True)
class _Batch:
    """The parameters of a group that have a gradient, one device and dtype at a time."""

    group: dict[str, Any]
    operations: SimpleNamespace
    params: list[Tensor]
    grads: list[Tensor]


def _batches(group: dict[str, Any]) -> Iterable[_Batch]:
    batches: dict[tuple[torch.device, torch.dtype], _Batch] = {}
    foreach = group["foreach"]
    for parameter in group["params"]:
        grad = parameter.grad
        if grad is None:
            continue
        if grad.layout is not torch.strided:
            raise TypeError(
                f"SGD takes dense gradients. Received one of layout {grad.layout} for a parameter "
                f"of shape {tuple(parameter.shape)}. Make its layer with sparse=False, or set "
                "parameter.grad = parameter.grad.to_dense() before the step."
            )
        key = parameter.device, parameter.dtype
        batch = batches.get(key)
        if batch is None:
            operations = _SINGLY if foreach is False else _TOGETHER
            batch = batches[key] = _Batch(group, operations, [], [])
        if foreach is None and type(parameter) not in _PLAIN:
            batch.operations = _SINGLY
        batch.params.append(parameter)
        batch.grads.append(grad)
    return batches.values()


def _scalar(value: float, like: Tensor) -> Tensor | float:
    """``value`` in the dtype of ``like``, in the form that multiplies fastest there."""
    # On a CPU torch turns a Python number into a tensor once per tensor that it multiplies, which
    # takes longer than the multiplication of a thousand elements.
    scalar = torch.tensor(value, dtype=like.dtype, device="cpu")
    return scalar if like.device.type == "cpu" and type(like) in _PLAIN else scalar.item()


# --- rates and clipping -------------------------------------------------------------------------


def _rate(group: dict[str, Any], iterations: int) -> float:
    """The rate of this update: float32, as a Python float."""
    base = float(group["lr"])
    if group["decay"] > 0:
        rule = decay_rule(group["keras_version"])
        return float(time_based_decay(base, group["decay"], np.int64(iterations), rule))
    return _float32(base)


@functools.lru_cache(maxsize=256)
def _float32(value: float) -> float:
    return float(constant32(value))


def _wide(grads: list[Tensor]) -> list[Tensor]:
    return [g.float() if g.dtype in (torch.float16, torch.bfloat16) else g for g in grads]


def _clip_by_norm(batch: _Batch, limit: float) -> None:
    """Scale by limit / max(norm, limit), multiplying first; a short gradient is touched too."""
    grads = _wide(batch.grads)
    norms = torch.stack([grad.square().sum() for grad in grads]).sqrt()
    batch.grads = batch.operations.mul(grads, _scalar(limit, grads[0]))
    batch.operations.div_(batch.grads, list(norms.clamp(min=limit).unbind()))


def _clip_by_global_norm(batches: list[_Batch], limit: float) -> None:
    for batch in batches:
        batch.grads = _wide(batch.grads)
    squares = [grad.square().sum() for batch in batches for grad in batch.grads]
    dtype = functools.reduce(torch.promote_types, (square.dtype for square in squares))
    norm = torch.stack([square.to(squares[0].device, dtype) for square in squares]).sum().sqrt()
    # The difference is 0, or NaN where the norm is not finite: Keras then makes all gradients NaN.
    scale = norm.reciprocal().clamp(max=1.0 / limit) * limit + (norm - norm)
    for batch in batches:
        like = batch.grads[0]
        batch.grads = batch.operations.mul(batch.grads, scale.to(like.device, like.dtype))


# --- validation ---------------------------------------------------------------------------------


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The options as a group stores them, or an error."""
    lr, momentum, foreach = options["lr"], options["momentum"], options["foreach"]
    if isinstance(lr, LearningRateSchedule):
        raise TypeError(
            f"Argument `lr` must be a number. Received: lr={lr!r}. Attach a schedule with "
            "lrparity.lr_scheduler.ScheduleLR(optimizer, schedule)."
        )
    fits = not isinstance(lr, Tensor) or (lr.ndim == 0 and lr.is_floating_point())
    _require(fits, "lr", lr, "a number or a 0-d float tensor", "Pass torch.tensor(0.01).")
    rate = check.rate("lr", lr)
    _require(rate >= 0, "lr", lr, ">= 0", "To climb the gradient, negate the loss.")
    keeps = float(check.number("momentum", momentum))
    _require(0 <= keeps <= 1, "momentum", momentum, "from 0 to 1", "0 turns it off; 0.9 is usual.")
    decay = float(check.number("decay", options["decay"]))
    check_decay(decay, decay_rule(options["keras_version"]))
    weight_decay = _amount("weight_decay", options["weight_decay"], zero=True)
    clips = {name: _amount(name, options[name]) for name in _CLIPS}
    if sum(limit is not None for limit in clips.values()) > 1:
        raise ValueError(
            "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set, as in Keras. "
            f"Received: {clips}. Set the others to None."
        )
    return {
        "lr": lr if isinstance(lr, Tensor) else rate,
        "momentum": keeps,
        "nesterov": check.flag("nesterov", options["nesterov"]),
        "decay": decay,
        "weight_decay": weight_decay,
        **clips,
        "keras_version": str(options["keras_version"]),
        "foreach": None if foreach is None else check.flag("foreach", foreach),
    }


def _amount(name: str, value: Any, *, zero: bool = False) -> float | None:
    if value is None:
        return None
    amount = check.rate(name, value)
    allowed = amount >= 0 if zero else amount > 0
    _require(allowed, name, value, ">= 0" if zero else "> 0", "None turns it off.")
    return amount


def _require(holds: bool, name: str, value: Any, allowed: str, mend: str) -> None:
    if not holds:
        raise ValueError(f"Argument `{name}` must be {allowed}. Received: {name}={value!r}. {mend}")
