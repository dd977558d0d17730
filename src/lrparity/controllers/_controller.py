"""What every controller is: a small state machine from a metric to new learning rates."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from lrparity import _validation as check
from lrparity import float32

OnConfigChange = Literal["raise", "use_new"]
Number = TypeVar("Number", int, float, int | float)
STATE_VERSION = 1


@dataclass(frozen=True)
class Decision:
    """What a controller decided, and why.

    Attributes:
        lrs: the rates from now on, one for each that was given: Python floats with float32 values.
        changed: whether the rule set rates.  They may have the bits that they had before.
        reason: in one sentence, for people.
        assigned: what Keras would assign, for each rate: Python floats before they are rounded, as
            its messages show them; equal to ``lrs`` where nothing was set.
        metric: what it answers: a metric, a loss, or the index that a function was asked with; None
            for the rates at the start.
    """

    lrs: tuple[float, ...]
    changed: bool
    reason: str
    assigned: tuple[float, ...]
    metric: float | None = None


class Controller(ABC):
    """A rule that answers a metric with new learning rates, and what it remembers.

    A controller knows no framework and no optimizer: it is told a metric and the rates that it
    governs, and says what they become.  Its state goes on by one with each call, however many rates
    there are.
    """

    _REMEMBERED: ClassVar[tuple[str, ...]] = ()
    """The attributes that :meth:`update` changes; they make the state."""

    @abstractmethod
    def update(self, metric: Any, lrs: Sequence[float]) -> Decision:
        """Take in one metric and decide.

        Args:
            metric: what the rule looks at, a number.
            lrs: the rates that it governs.  They are rounded to float32 first, as Keras holds them.
        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The arguments that decide what the rule does, plain Python."""

    def reset(self) -> None:  # noqa: B027 (most rules have nothing to forget)
        """Do what Keras does as ``fit`` begins."""

    def state_dict(self) -> dict[str, Any]:
        """Plain, versioned Python; it loads under ``torch.load(weights_only=True)``."""
        return {
            "format": f"lrparity.controllers.{type(self).__name__}",
            "version": STATE_VERSION,
            "config": copy.deepcopy(self.get_config()),
            "state": {name: copy.deepcopy(getattr(self, name)) for name in self._REMEMBERED},
        }

    def load_state_dict(
        self, state_dict: Mapping[str, Any], *, on_config_change: OnConfigChange = "raise"
    ) -> None:
        """Go on from a state that :meth:`state_dict` returned.

        Args:
            state_dict: the state.
            on_config_change: what a state that was saved under other arguments does: ``"raise"``, or
                ``"use_new"`` to go on from it under these.

        Raises:
            ValueError: it is another one's, damaged, of an unknown version, or was saved under other
                arguments.  Nothing is changed then.
        """
        self.check_state(state_dict)
        check.choice("on_config_change", on_config_change, ("raise", "use_new"))
        old, new = state_dict["config"], self.get_config()
        changes = [
            f"{name}: saved {old.get(name)!r}, now {new.get(name)!r}"
            for name in dict.fromkeys([*old, *new])
            if repr(old.get(name)) != repr(new.get(name))  # repr: every bit shows
        ]
        if changes and on_config_change == "raise":
            raise ValueError(
                f"The state of {type(self).__name__} was saved under other arguments: "
                + "; ".join(changes)
                + ". Construct it as it was, or go on under the new ones on purpose, with "
                'on_config_change="use_new".'
            )
        for name in self._REMEMBERED:
            setattr(self, name, copy.deepcopy(state_dict["state"][name]))

    def check_state(self, state_dict: Any) -> None:
        """Refuse what is no state of this kind of controller.

        Raises:
            ValueError: it is another one's, damaged, or of an unknown version.
        """
        kind = type(self).__name__
        made_by = state_dict.get("format") if isinstance(state_dict, Mapping) else None
        if not isinstance(made_by, str) or made_by != f"lrparity.controllers.{kind}":
            raise ValueError(f"This is not the state of lrparity's {kind}: {state_dict!r:.200}.")
        version = state_dict.get("version")
        if type(version) is not int or version != STATE_VERSION:
            raise ValueError(
                f"The state of {kind} has version {version!r:.50}; this lrparity "
                f"reads version {STATE_VERSION}. Load it with the lrparity that saved it, or a newer one."
            )
        config, state = state_dict.get("config"), state_dict.get("state")
        whole = isinstance(config, Mapping) and isinstance(state, Mapping)
        if not whole or set(state) != set(self._REMEMBERED) or not self._is_sound(state):
            raise ValueError(
                f"The state of {kind} is damaged: 'config' is {config!r:.200} and 'state' is "
                f"{state!r:.200}."
            )

    def _is_sound(self, state: Mapping[str, Any]) -> bool:
        """Whether each remembered value is of the type that it has."""
        return True

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def decided(assigned: Sequence[float], reason: str, metric: float | None) -> Decision:
    """A decision that sets rates, to these before they are rounded."""
    return Decision(tuple(map(float32.single, assigned)), True, reason, tuple(assigned), metric)


def unchanged(rates: Sequence[float], reason: str, metric: float | None) -> Decision:
    """A decision that leaves the rates, which float32 holds, as they are."""
    return Decision(tuple(rates), False, reason, tuple(rates), metric)


def held(lrs: Sequence[float]) -> list[float]:
    """The rates as Keras' variable holds them: Python floats with float32 values.

    Keras goes on from a rate of infinity or NaN without a word; nobody means that.

    Raises:
        TypeError: one is no real number, or they are no sequence.
        ValueError: there is none, or one is not finite in float32.
    """
    try:
        rates = list(lrs)
    except TypeError:
        raise TypeError(
            f"Argument `lrs` must be a sequence of rates. Received: lrs={lrs!r:.100}. Pass [lr]."
        ) from None
    if not rates:
        raise ValueError("Argument `lrs` is empty: there is no rate to decide on.")
    return [_held(lr, i) for i, lr in enumerate(rates)]


def _held(lr: Any, i: int) -> float:
    if type(lr) is float and math.isfinite(
        rate := float32.single(lr)
    ):  # a batch's turn comes often
        return rate
    return float32.single(unflushed(check.rate, f"lrs[{i}]", lr))


def unflushed(validate: Callable[[str, Any], Number], name: str, value: Any) -> Number | float:
    """A checked argument; what is subnormal in float32 passes, without the warning of schedules.

    TensorFlow flushes subnormals in its kernels, where schedules are computed.  Keras' callbacks
    compute in Python and NumPy, and a variable keeps a subnormal that it is assigned.
    """
    plain = scalar(value)
    if isinstance(plain, float) and 0.0 < abs(plain) < float(float32.SMALLEST_NORMAL):
        return float(plain)
    return validate(name, value)


def scalar(value: Any) -> Any:
    """The Python or NumPy scalar in a tensor or array without dimensions; all else as it is."""
    if getattr(value, "ndim", None) != 0:
        return value
    if hasattr(value, "item"):
        return value.item()
    return value.numpy().item() if hasattr(value, "numpy") else value  # TensorFlow has no item()


def metric_value(metric: Any) -> float:
    """A metric as a Python float: from a number, or from a tensor with one element.

    Raises:
        TypeError: it is no real number.
    """
    one_element = hasattr(metric, "item") and math.prod(getattr(metric, "shape", ())) == 1
    plain = metric.item() if one_element else scalar(metric)
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise TypeError(
            f"Argument `metric` must be a real number. Received: metric={metric!r:.100} of type "
            f"{type(metric).__name__}. Pass a Python float, or a tensor with one element."
        )
    return float(plain)
