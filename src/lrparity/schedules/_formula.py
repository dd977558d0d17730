"""How a shipped schedule is made: a frozen dataclass, one formula, and parts that may be schedules."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from lrparity import _validation as check
from lrparity.schedules._arithmetic import (
    ARITHMETICS,
    Double,
    Eager,
    Graph,
    Moment,
    Number,
    Numerics,
    Step,
)
from lrparity.schedules._schedule import (
    FunctionSchedule,
    LearningRateSchedule,
    Rates,
    Unit,
    as_schedule,
    plain_rate,
)
from lrparity.schedules._serialization import decoded, encoded, register

CHUNK = 2**15
"""Steps evaluated at a time, so that intermediate results stay in the processor's cache."""

Arithmetic = Literal["float32", "float64"]
Part = LearningRateSchedule | float
"""What a part is once it is checked."""
# jsonargparse writes a value as the first of these that takes it; a Callable takes everything.
ScheduleLike = LearningRateSchedule | float | Callable[..., Any]
"""What a schedule can be made of: a schedule, a function of the step, or a constant."""


class ConfiguredSchedule(LearningRateSchedule):
    """What the shipped schedules share: a frozen dataclass whose fields are Keras' arguments.

    ``arithmetic`` says how it computes: ``"float32"`` as TensorFlow does, in both numerics, or
    ``"float64"`` as a Python callback does, rounded when Keras assigns it.  There is no graph to
    rewrite the latter, so both numerics are the same.
    """

    arithmetic: Arithmetic = "float32"
    __annotations__["arithmetic"] = Arithmetic  # as for `unit`

    def __init_subclass__(cls, *, abstract: bool = False, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if not abstract and cls.__module__.partition(".")[0] == "lrparity":
            register(cls)

    def _rates(self, step: Step, numerics: Numerics) -> np.float32 | Rates:
        if isinstance(step, np.ndarray) and step.size > CHUNK:
            flat = step.reshape(-1)
            chunks = [flat[i : i + CHUNK] for i in range(0, flat.size, CHUNK)]
            rates = [cast("Rates", self._rates(chunk, numerics)) for chunk in chunks]
            return np.concatenate(rates).reshape(step.shape)
        number = Double if self.arithmetic == "float64" else ARITHMETICS[numerics]
        value = self._at(number, step).value
        return np.broadcast_to(value, step.shape).astype(np.float32)[()]

    def _at(self, number: type[Number], moment: Moment) -> Number:
        """The rate at a moment, in an arithmetic."""
        return self._formula(number, number.of_moment(moment))

    def _formula(self, number: type[Number], step: Number) -> Number:
        raise NotImplementedError

    def _parts(self) -> tuple[LearningRateSchedule, ...]:
        values = (getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        several = (value if isinstance(value, tuple) else (value,) for value in values)
        return tuple(
            one for some in several for one in some if isinstance(one, LearningRateSchedule)
        )

    def get_config(self) -> dict[str, Any]:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {field.name: encoded(getattr(self, field.name)) for field in fields}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the schedule from what :meth:`get_config` returned."""
        return cls(**decoded(config))

    def _settle(self, **values: Any) -> None:
        """Store checked arguments from ``__post_init__`` of a frozen dataclass."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        shown = []
        for field in fields:
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING or value != field.default:
                shown.append(f"{field.name}={_shown(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: Any) -> str:
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, tuple) else repr(value)


class FormulaSchedule(ConfiguredSchedule, abstract=True):
    """A shipped schedule that TensorFlow computes: float32, in both numerics."""


class PythonSchedule(ConfiguredSchedule, abstract=True):
    """A shipped schedule that a Python callback computes: float64, rounded when it is assigned."""

    arithmetic = "float64"


# --- parts ----------------------------------------------------------------------------------------


def part(name: str, value: Any, *, is_rate: bool = True) -> LearningRateSchedule | float:
    """A schedule that another one is made of; a number is a constant, which counts anything.

    A negative rate is remarked, a negative factor or term is not.
    """
    if isinstance(value, Mapping):
        value = decoded(value)
    if isinstance(value, LearningRateSchedule) or (callable(value) and not hasattr(value, "item")):
        return as_schedule(value, name)
    if hasattr(value, "item") or isinstance(value, numbers.Number):
        return check.schedule_rate(name, value) if is_rate else check.rate(name, value)
    raise TypeError(
        f"Argument `{name}` must be a schedule, a function of the step, or a number for a constant. "
        f"Received: {name}={value!r}."
    )


class ComposedSchedule(ConfiguredSchedule, abstract=True):
    """What compositions share."""

    _made_of_rates = True

    def _settle_parts(self, **parts: Any) -> None:
        """Store the parts, and take over their unit and arithmetic."""
        made = {
            name: _several(name, value, self._made_of_rates)
            if name == "schedules"
            else part(name, value, is_rate=self._made_of_rates)
            for name, value in parts.items()
        }
        several = [one if isinstance(one, tuple) else (one,) for one in made.values()]
        flat = [one for some in several for one in some]
        names = " and ".join(f"`{name}`" for name in made)
        self._settle(unit=joint_unit(names, flat), arithmetic=joint_arithmetic(flat), **made)


def _several(name: str, value: Any, is_rate: bool) -> tuple[Part, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise TypeError(
            f"Argument `{name}` must be a list of schedules, with one at least. "
            f"Received: {name}={value!r}."
        )
    return tuple(part(f"{name}[{i}]", one, is_rate=is_rate) for i, one in enumerate(value))


def joint_unit(names: str, parts: Iterable[LearningRateSchedule | float]) -> Unit:
    """What the parts count in; constants count in anything."""
    units = [one.unit for one in parts if isinstance(one, LearningRateSchedule)]
    if len(set(units)) > 1:
        raise ValueError(
            f"The schedules in {names} must count the same. Received units {units}. Take "
            "PerUpdate(schedule, steps_per_epoch) of those per epoch, or PerEpoch(schedule) of those "
            "per update."
        )
    return units[0] if units else "update"


def joint_arithmetic(parts: Iterable[LearningRateSchedule | float]) -> Arithmetic:
    """Float32 where TensorFlow computes every part; Python's float64 as soon as one is Python's."""
    found = {arithmetic_of(one) for one in parts if isinstance(one, LearningRateSchedule)}
    return "float64" if "float64" in found else "float32"


def arithmetic_of(schedule: LearningRateSchedule) -> Arithmetic:
    if isinstance(schedule, ConfiguredSchedule):
        return schedule.arithmetic
    # A class of the user's is a TensorFlow schedule; a function, what a callback calls.
    return "float64" if isinstance(schedule, FunctionSchedule) else "float32"


def asked(schedule: LearningRateSchedule | float, number: type[Number], moment: Moment) -> Number:
    """The value of a part at a moment, in the arithmetic of the whole."""
    if not isinstance(schedule, LearningRateSchedule):
        return number.constant(schedule)
    is_formula = type(schedule).__call__ is LearningRateSchedule.__call__
    if isinstance(schedule, ConfiguredSchedule) and is_formula:
        if issubclass(number, Double) and number.keeps_parts and schedule.arithmetic == "float32":
            return number.variable(schedule._at(Eager, _as_float32(moment)).value)
        rate = schedule._at(number, moment)
        # What stands in a branch of TensorFlow's is an unknown to the formula around it.
        return rate if isinstance(rate, number) else number.variable(rate.value)
    if number is Graph:
        schedule(0, numerics="graph")  # which says why not
    step = moment.value if isinstance(moment, Number) else moment
    if issubclass(number, Double) and not number.keeps_parts and _has_own_call(schedule):
        own, name = type(schedule).__call__.__wrapped__, type(schedule).__name__  # type: ignore[attr-defined]
        rates = [plain_rate(own(schedule, one), name, one) for one in np.ravel(step).tolist()]
    elif isinstance(schedule, FunctionSchedule):
        rates = [schedule.plain(one) for one in np.asarray(step).ravel().tolist()]
    else:
        rates = [schedule(one) for one in np.asarray(step).ravel().tolist()]
    return number.variable(np.array(rates).reshape(np.shape(step)).astype(_dtype(number))[()])


def _has_own_call(schedule: LearningRateSchedule) -> bool:
    return not isinstance(schedule, FunctionSchedule)


def _as_float32(moment: Moment) -> Moment:
    """A Python float becomes a float32 tensor as it goes into a TensorFlow schedule."""
    return moment.value.astype(np.float32) if isinstance(moment, Number) else moment


def _dtype(number: type[Number]) -> type[np.float32] | type[np.float64]:
    return np.float64 if issubclass(number, Double) else np.float32


def piecewise(
    number: type[Number],
    moment: Moment,
    edges: Sequence[float],
    branches: Sequence[Callable[[Moment], Number]],
    *,
    inclusive: bool = False,
) -> Number:
    """One branch up to each edge (``step < edge``; ``<=`` if inclusive), the next one from it on.

    A branch is asked for its own steps only: a function of the user's is not called elsewhere, and
    what is undefined elsewhere does not fail.  TensorFlow's graph computes all and takes one.
    """
    step = raw(moment)
    which = np.asarray(np.searchsorted(edges, step, side="left" if inclusive else "right"))
    if number is Graph:
        value = branches[0](moment).value
        for i, branch in enumerate(branches[1:], start=1):
            value = np.where(which >= i, branch(moment).value, value)[()]
        return number.variable(value)
    if not isinstance(step, np.ndarray):
        return branches[int(which)](moment)
    rates = np.empty(step.shape, np.float64 if issubclass(number, Double) else np.float32)
    for i in np.unique(which).tolist():
        mask = which == i
        inside = number.variable(step[mask]) if isinstance(moment, Number) else step[mask]
        rates[mask] = branches[i](inside).value
    return number.variable(rates)


# --- moments --------------------------------------------------------------------------------------


def later(moment: Moment, offset: float, number: type[Number]) -> Moment:
    """``step - offset``; whole steps stay whole."""
    if counted_in_whole(moment, offset):
        return cast("Step", raw(moment) - np.int64(offset))
    return number.of_moment(moment) - offset


def counted_in_whole(moment: Moment, *amounts: float) -> bool:
    """Whether an integer step meets whole numbers only, so that it may stay an integer."""
    whole = all(is_int64(amount) for amount in amounts)
    return whole and not isinstance(moment, Number) and moment.dtype.kind == "i"


def is_int64(amount: float) -> bool:
    return float(amount).is_integer() and -(2**63) <= amount < 2**63


def raw(moment: Moment) -> NDArray[Any] | np.number[Any]:
    """The step itself, to compare with boundaries."""
    return moment.value if isinstance(moment, Number) else moment
