"""Events: the moments of a run at which something decided about the learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lrparity import _validation as check

EventKind = Literal["restart", "boundary", "reduction", "stage"]
"""The kinds that lrparity writes; a recorder may use words of its own."""

_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Event:
    """Something that happened at one update or epoch.

    Attributes:
        kind: ``"restart"`` (a schedule starts over), ``"boundary"`` (a piecewise value changes),
            ``"reduction"`` (a metric made a controller lower the rate), ``"stage"`` (a part of a
            composed recipe begins), or another word.  Comparisons take it literally.
        at: the first update or epoch, counted from 0 in the trajectory's ``unit``, that uses what
            changed.  It may lie behind the last recorded one.
        series: the series that it concerns, or None for all.
        detail: free text, compared like the rest; write numbers into it so that they round-trip.

    Raises:
        TypeError: a field has another type.
        ValueError: ``kind`` or ``series`` is empty, or ``at`` is negative or above ``2**63 - 1``.

    >>> Event("reduction", 12, detail="val_loss did not improve for 3 epochs")
    Event(kind='reduction', at=12, series=None, detail='val_loss did not improve for 3 epochs')
    """

    kind: EventKind | str
    at: int
    series: str | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _text("kind", self.kind, empty=False))
        object.__setattr__(self, "at", _count("at", self.at))
        if self.series is not None:
            object.__setattr__(self, "series", _text("series", self.series, empty=False))
        object.__setattr__(self, "detail", _text("detail", self.detail))

    def order(self) -> tuple[int, str, str, str]:
        """The key by which a trajectory sorts its events: ``at`` first."""
        return self.at, self.series or "", self.kind, self.detail


def _text(name: str, value: Any, *, empty: bool = True) -> str:
    if not isinstance(value, str):
        raise TypeError(f"An event's `{name}` must be a string. Received: {name}={value!r}.")
    if not (value or empty):
        raise ValueError(f"An event's `{name}` must not be empty. Received: {name}={value!r}.")
    return str(value)


def _count(name: str, value: Any) -> int:
    """A plain int from any integer; booleans and floats are refused."""
    try:
        plain = check.integer(value)
    except TypeError:
        raise TypeError(
            f"An event's `{name}` must be an integer, counted from 0. Received: {name}={value!r} "
            f"of type {type(value).__name__}."
        ) from None
    if not 0 <= plain <= _LARGEST:
        raise ValueError(
            f"An event's `{name}` must be an integer from 0 to 2**63 - 1. "
            f"Received: {name}={value!r}."
        )
    return plain
