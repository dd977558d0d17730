"""The param groups of an optimizer: what they must hold, and the one writer of their learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MethodType
from typing import Any

import numpy as np
from torch import Tensor
from torch import float32 as float32_dtype
from torch import float64 as float64_dtype
from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity import float32


def write_rates(groups: Sequence[dict[str, Any]], rates: Sequence[float]) -> None:
    """The one writer of the learning rate: a tensor is filled, never replaced.

    Args:
        groups: the param groups.
        rates: what each of them is to hold, ``lr_scale`` included: Python floats.

    Raises:
        ValueError: a tensor cannot hold its rate.  Nothing is changed then.
    """
    tensors: dict[int, float] = {}
    for i, (group, rate) in enumerate(zip(groups, rates, strict=True)):
        if isinstance(group["lr"], Tensor):
            _check_tensor(group["lr"], rate, tensors, i)
    for group, rate in zip(groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def held_rates(groups: Iterable[dict[str, Any]]) -> list[float]:
    """What the groups hold, ``lr_scale`` included, as Python floats."""
    return [float(group["lr"]) for group in groups]


def scaled(rate: float, scale: float) -> float:
    """``float32(rate) * float32(scale)``."""
    if scale == 1.0:
        return float32.single(rate)
    with np.errstate(all="ignore"):
        return float(float32.multiply(np.float32(rate), np.float32(scale)))


def lr_scales(groups: Iterable[dict[str, Any]]) -> list[float]:
    """The ``lr_scale`` of each group."""
    return [lr_scale(group.get("lr_scale"), i) for i, group in enumerate(groups)]


def lr_scale(entry: Any, i: int) -> float:
    """What a group's ``lr_scale`` entry means; None stands for no entry."""
    try:
        return 1.0 if entry is None else check.rate("lr_scale", entry)
    except (TypeError, ValueError) as error:
        raise type(error)(f"In param group {i}: {error}") from None


def edited_in_place(scales: Iterable[Any]) -> bool:
    """Whether a scale may change without its entry becoming another object."""
    return any(isinstance(scale, Tensor | np.ndarray) for scale in scales)


def check_optimizer(optimizer: Any) -> None:
    """Refuse what is no torch optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "Argument `optimizer` must be a torch.optim.Optimizer. "
            f"Received: {optimizer!r} of type {type(optimizer).__name__}."
        )
    for i, group in enumerate(optimizer.param_groups):
        if "lr" not in group:
            raise ValueError(
                f"Argument `optimizer` has no 'lr' in param group {i}, which holds {sorted(group)}. "
                "A schedule drives optimizers that have a learning rate."
            )


def unwrapped(optimizer: Optimizer) -> Optimizer:
    """The optimizer whose param groups others only pass on: Fabric's and Accelerate's wrappers, SAM."""
    for name in ("optimizer", "base_optimizer"):
        inner = getattr(optimizer, name, None)
        if isinstance(inner, Optimizer) and _share_groups(optimizer, inner):
            return unwrapped(inner)
    return optimizer


def _share_groups(one: Optimizer, other: Optimizer) -> bool:
    groups, others = one.param_groups, other.param_groups
    return len(groups) == len(others) and all(a is b for a, b in zip(groups, others, strict=True))


def make_patchable(optimizer: Optimizer) -> None:
    """Make a method of a ``step`` that is none: torch's base class wraps methods only.

    ``optimizer.step = torch.compile(optimizer.step)`` leaves such a one.
    """
    step = optimizer.step
    if not hasattr(step, "__func__") and not hasattr(step, "_wrapped_by_lr_sched"):

        def method(_: Optimizer, *args: Any, **kwargs: Any) -> Any:
            return step(*args, **kwargs)

        optimizer.step = MethodType(method, optimizer)  # type: ignore[method-assign]


def _check_tensor(tensor: Tensor, rate: float, seen: dict[int, float], i: int) -> None:
    """Refuse a tensor ``lr`` that cannot hold the group's rate."""
    if tensor.dtype not in (float32_dtype, float64_dtype):
        raise ValueError(
            f"The lr of param group {i} is a tensor of dtype {tensor.dtype}, which cannot hold every "
            "float32 learning rate. Make it torch.float32."
        )
    if repr(seen.setdefault(id(tensor), rate)) != repr(rate):
        raise ValueError(
            f"Param group {i} shares its tensor lr with a group of another rate, and one tensor "
            "cannot hold both. Give each group its own: group['lr'] = group['lr'].clone()."
        )
