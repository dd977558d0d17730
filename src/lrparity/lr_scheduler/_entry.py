"""An entry of the param groups other than ``lr``: which there are, what they may hold, the one writer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrparity import _validation as check

Group = dict[str, Any]
Groups = int | str | Sequence[int | str]

KERAS_NAMES: dict[str, tuple[str, int | None]] = {
    "beta_1": ("betas", 0),
    "beta_2": ("betas", 1),
    "rho": ("alpha", None),  # of RMSprop; Adadelta has a `rho` in torch, too
    "epsilon": ("eps", None),
}
"""What torch calls otherwise."""

RATES = ("lr", "learning_rate")
BOOKKEEPING = frozenset(
    {"params", "param_names", "name", "lr_scale", "iterations", "learning_rate_used"}
)
SWITCHES = frozenset(
    {
        "amsgrad",
        "capturable",
        "decoupled_weight_decay",
        "differentiable",
        "foreach",
        "fused",
        "maximize",
        "nesterov",
    }
)

BELOW_ONE = math.nextafter(1.0, 0.0)
RANGES: dict[str, tuple[float, float, str]] = {
    "momentum": (0.0, 1.0, "from 0 to 1"),
    "dampening": (0.0, 1.0, "from 0 to 1"),
    "alpha": (0.0, 1.0, "from 0 to 1"),
    "rho": (0.0, 1.0, "from 0 to 1"),
    "betas": (0.0, BELOW_ONE, "from 0 to below 1, as float32"),
    "weight_decay": (0.0, math.inf, "at least 0"),
    "eps": (0.0, math.inf, "at least 0"),
}
"""What an entry may hold; of others only that it is finite is asked."""


@dataclass(frozen=True)
class Entry:
    """A number in a param group, or one of several under one key, such as ``betas``."""

    key: str
    index: int | None

    @property
    def label(self) -> str:
        """What it is called where a name is needed: ``"momentum"``, ``"beta_1"``."""
        if self.index is None:
            return self.key
        return f"beta_{self.index + 1}" if self.key == "betas" else f"{self.key}_{self.index}"

    def held(self, group: Group) -> Any:
        """The object that the group holds: who writes puts another one there."""
        return group[self.key] if self.index is None else group[self.key][self.index]

    def refuse(self, value: float, where: str) -> None:
        """Raise if no optimizer takes the value.

        Raises:
            ValueError: it is not finite, or out of the entry's range.
        """
        low, high, words = RANGES.get(self.key, (-math.inf, math.inf, "finite"))
        if not (low <= value <= high and math.isfinite(value)):
            raise ValueError(
                f"{self.label!r} must be {words}. The schedule says {value!r} {where}. Bound it: "
                "lrparity.schedules.Clip(schedule, minimum=..., maximum=...), or Hold(schedule, "
                "stop=...) for its end."
            )

    def write(self, groups: Sequence[Group], values: Sequence[float]) -> None:
        """The one writer: a tensor is filled, never replaced, and a tuple is another one then.

        Raises:
            ValueError: a tensor cannot hold its value.  Nothing is changed then.
        """
        seen: dict[int, float] = {}
        for group, value in zip(groups, values, strict=True):
            if isinstance(held := self.held(group), Tensor):
                self._check_tensor(held, value, seen)
        for group, value in zip(groups, values, strict=True):
            if isinstance(held := self.held(group), Tensor):
                held.fill_(value)
            elif self.index is None:
                group[self.key] = value
            else:
                several = list(group[self.key])
                several[self.index] = value
                group[self.key] = type(group[self.key])(several)

    def _check_tensor(self, tensor: Tensor, value: float, seen: dict[int, float]) -> None:
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{self.label!r} is a tensor of dtype {tensor.dtype}, which cannot hold every float32 "
                "value. Make it torch.float32."
            )
        if seen.setdefault(id(tensor), value) != value:
            raise ValueError(
                f"Two param groups of other values share one tensor as {self.label!r}. Give each its "
                "own: .clone()."
            )


def check_name(name: Any, index: Any) -> None:
    """Refuse what can be no entry, whatever the optimizer.

    Raises:
        ValueError: it is the learning rate.
        TypeError: the name is no string, or the index no integer.
    """
    if not isinstance(name, str):
        raise TypeError(
            "Argument `name` must be a string, such as 'momentum' or 'weight_decay'. "
            f"Received: name={name!r}."
        )
    if index is not None and (isinstance(index, bool) or not isinstance(index, int)):
        raise TypeError(f"Argument `index` must be an integer or None. Received: index={index!r}.")
    if name in RATES:
        raise ValueError(
            f"Argument `name` is {name!r}, the learning rate. Use ScheduleLR for it, which knows of "
            "lr_scale, plateaus and SequentialLR."
        )


def named_entry(name: str, index: int | None) -> Entry:
    """The entry by its name alone, before there is an optimizer."""
    return Entry(*KERAS_NAMES[name]) if name in ("beta_1", "beta_2") else Entry(name, index)


def find_entry(name: Any, index: Any, groups: Sequence[Group]) -> Entry:
    """The entry that a user names, in torch's words or in Keras'.

    Raises:
        ValueError: it is not in all of the groups, or is not a number.
        TypeError: the name is no string, or the index no integer.
    """
    check_name(name, index)
    key, given = name, index
    if name in KERAS_NAMES and not all(name in group for group in groups):
        key, part = KERAS_NAMES[name]
        if part is not None and given not in (None, part):
            raise ValueError(
                f"Argument `name`={name!r} is {key!r}[{part}]. Received: index={index}. Leave it out."
            )
        given = part if part is not None else given
    for i, group in enumerate(groups):
        _check_entry(name, key, given, group, i)
    return Entry(key, given)


def _check_entry(name: str, key: str, index: int | None, group: Group, i: int) -> None:
    value = group.get(key)
    if key not in group or not _is_numeric(key, value):
        why = "is no number" if key in group else "is not there"
        raise ValueError(
            f"Argument `name` is {name!r}, which {why} in param group {i}. Its hyper-parameters are "
            f"{', '.join(map(repr, numeric_entries(group)))}."
        )
    if isinstance(value, tuple | list):
        if index is None:
            raise ValueError(
                f"{key!r} holds {len(value)} values: say which, index=0 or index={len(value) - 1}"
                f"{', or by Keras name, beta_1 or beta_2' if key == 'betas' else ''}."
            )
        if not 0 <= index < len(value):
            raise ValueError(
                f"{key!r} holds {len(value)} values, and there is no index={index}: 0 is the first."
            )
    elif index is not None:
        raise ValueError(f"{key!r} holds one value. Received: index={index}. Leave it out.")


def numeric_entries(group: Mapping[str, Any]) -> list[str]:
    """The names that a schedule can drive, without the learning rate."""
    return [k for k, v in group.items() if k not in RATES and _is_numeric(k, v)]


def _is_numeric(key: str, value: Any) -> bool:
    if key in BOOKKEEPING or key in SWITCHES or key in RATES or key.startswith("initial_"):
        return False
    several = value if isinstance(value, tuple | list) else [value]
    return bool(several) and all(
        one is None  # turned off, as Keras' weight_decay
        or (isinstance(one, int | float) and not isinstance(one, bool))
        or (isinstance(one, Tensor) and one.ndim == 0 and one.is_floating_point())
        for one in several
    )


def find_places(groups: Groups | None, optimizer: Optimizer) -> list[int] | None:
    """The places of the param groups that are driven; None: all, those included that join later.

    Raises:
        ValueError: there is no such group, or one is named twice.
        TypeError: neither places nor names.
    """
    if groups is None:
        return None
    listed = [groups] if isinstance(groups, int | str) else groups
    if not isinstance(listed, list | tuple) or not listed:
        raise TypeError(
            "Argument `groups` must be places or names of param groups, or None for all. "
            f"Received: groups={groups!r}."
        )
    names = [group.get("name") for group in optimizer.param_groups]
    places = [_place(one, names, groups) for one in listed]
    if len(set(places)) < len(places):
        raise ValueError(f"Argument `groups` names a param group twice: {list(listed)}.")
    return places


def _place(one: Any, names: list[Any], groups: Any) -> int:
    if isinstance(one, str) and names.count(one) == 1:
        return names.index(one)
    try:
        place = -1 if isinstance(one, str) else check.integer(one)
    except TypeError:
        raise TypeError(
            "Argument `groups` must be places or names of param groups, or None for all. "
            f"Received: groups={groups!r}."
        ) from None
    if not 0 <= place < len(names):
        listed = ", ".join(f"{i} ({name!r})" if name else str(i) for i, name in enumerate(names))
        raise ValueError(
            f"Argument `groups` names the param group {one!r}. There are: {listed}, each name once."
        )
    return place
