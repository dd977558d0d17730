"""The exact comparison of two trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrparity import _validation as check
from lrparity import float32
from lrparity.trajectory._events import Event
from lrparity.trajectory._trajectory import Series, Trajectory, Unit

_SURROUNDINGS = 3
_LISTED = 5
_FARTHEST = 2**63 - 1  # the distance of a NaN from a number; others saturate


@dataclass(frozen=True)
class Difference:
    """One update (or epoch) of one series, as both sides have it.

    Attributes:
        series: the name of the series.
        at: the update or epoch, counted from 0.
        a, b: the rates as Python floats, which hold float32 and float64 values exactly; None where
            a side has no such update.
        ulp: how far apart they are, in units in the last place of the precision compared in;
            ``2**63 - 1`` for a NaN against a number, None where a side has no such update.
    """

    series: str
    at: int
    a: float | None
    b: float | None
    ulp: int | None


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.  True as a condition if ``identical``; ``str()`` is a report.

    Attributes:
        identical: nothing differs beyond ``ulp``: same names of series, lengths, rates and events,
            same reading, same unit.
        ulp: the tolerance that was asked for.
        unit: what ``at`` counts: the unit of a.
        updates: how many pairs of rates were compared, over all series that both sides have.
        differing: how many of those pairs differ beyond ``ulp``.
        missing: how many rates only one side has: of the longer series, or of a series that the
            other side lacks.
        max_ulp: the largest distance of a pair, those within ``ulp`` included; ``2**63 - 1`` for a
            NaN against a number.  With zeros of different signs it stays 0.
        max_relative: the largest difference of a pair, divided by the larger magnitude of the two;
            ``inf`` where only one is NaN or one is infinite.
        first: the first difference: the smallest ``at``, among equals the first series of a.
        surroundings: the updates around ``first``, three to each side, itself included.
        events_only_in_a, events_only_in_b: events without a counterpart that is the same in every
            field.
        notes: what else is worth knowing, in sentences: names, units or readings that differ,
            rounding before the comparison, metrics that differ (they do not count).
    """

    identical: bool
    ulp: int
    unit: Unit
    updates: int
    differing: int
    missing: int
    max_ulp: int
    max_relative: float
    first: Difference | None
    surroundings: tuple[Difference, ...] = field(repr=False)
    events_only_in_a: tuple[Event, ...]
    events_only_in_b: tuple[Event, ...]
    notes: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.identical

    def __str__(self) -> str:
        return "\n".join(self._report())

    def _report(self) -> Iterator[str]:
        verdict = "identical" if self.identical else "different"
        yield (
            f"{verdict}: {self.differing} of {self.updates} rates differ by more than "
            f"{self.ulp} ULP; largest {self.max_ulp} ULP, {self.max_relative:.3g} relative"
        )
        if self.missing:
            yield f"rates on one side only: {self.missing}"
        if self.first is not None:
            yield f"first at {self.unit} {self.first.at} of {self.first.series!r}:"
            yield from self._table()
        for side, events in (("a", self.events_only_in_a), ("b", self.events_only_in_b)):
            for event in events[:_LISTED]:
                yield f"only in {side}: {event}"
            if len(events) > _LISTED:
                yield f"only in {side}: {len(events) - _LISTED} more events"
        for note in self.notes:
            yield f"note: {note}"

    def _table(self) -> Iterator[str]:
        rows: list[tuple[str, ...]] = [("", self.unit, "a", "b", "ULP")]
        for row in self.surroundings:
            mark = ">" if self.first is not None and row.at == self.first.at else ""
            cells = ("-" if cell is None else repr(cell) for cell in (row.a, row.b, row.ulp))
            rows.append((mark, str(row.at), *cells))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row_cells in rows:
            padded = map(str.rjust, row_cells, widths)
            yield "  " + "  ".join(padded)


def compare(a: Trajectory, b: Trajectory, *, ulp: int = 0) -> Comparison:
    """Compare two trajectories, exactly or within so many units in the last place.

    Args:
        a: one side, by habit the reference.
        b: the other.
        ulp: 0 demands the same bits (any NaN is the same as any other; 0.0 and -0.0 differ).  n > 0
            admits n float32 numbers of distance, in which 0.0 and -0.0 are one; a NaN against a
            number is beyond every distance.  Lengths, names and events are compared exactly.

    Precision: float32 where a side is float32, and the float64 side is rounded to it first, with a
    note; where both sides are float64 the doubles and their ULPs count.

    The readings are expected to be the same: one that is reported and one that is applied are never
    ``identical``, though compared all the same.  Metrics and provenance are no part of the verdict.

    Raises:
        TypeError: ``a`` or ``b`` is no trajectory, or ``ulp`` is not an integer.
        ValueError: ``ulp`` is negative.

    >>> one = np.float32(1)
    >>> reference = Trajectory([one, one, one])
    >>> near = Trajectory([one, np.nextafter(one, np.float32(2)), one])
    >>> result = compare(reference, near)
    >>> result.identical, result.differing, result.max_ulp
    (False, 1, 1)
    >>> result.first
    Difference(series='learning_rate', at=1, a=1.0, b=1.0000001192092896, ulp=1)
    >>> bool(compare(reference, near, ulp=1))
    True
    """
    for name, side in (("a", a), ("b", b)):
        if not isinstance(side, Trajectory):
            raise TypeError(
                f"Argument `{name}` must be a Trajectory. Received one of type "
                f"{type(side).__name__}. Trajectory(rates) makes one from numbers."
            )
    tolerance = _tolerance(ulp)
    shared = [name for name in a.rates if name in b.rates]
    lone = [name for name in (*a.rates, *b.rates) if name not in a.rates or name not in b.rates]
    found = [_compare_series(a.rates[name], b.rates[name], tolerance) for name in shared]
    first = min(
        [(pairs.first, name) for pairs, name in zip(found, shared, strict=True) if pairs.first >= 0]
        + [(0, name) for name in lone if len(_side(a, name)) or len(_side(b, name))],
        key=lambda candidate: candidate[0],
        default=None,
    )
    events_a, events_b = Counter(a.events), Counter(b.events)
    only_a = tuple(sorted((events_a - events_b).elements(), key=Event.order))
    only_b = tuple(sorted((events_b - events_a).elements(), key=Event.order))
    same_kind = not lone and a.reading == b.reading and a.unit == b.unit
    return Comparison(
        identical=first is None and same_kind and not only_a and not only_b,
        ulp=tolerance,
        unit=a.unit,
        updates=sum(pairs.compared for pairs in found),
        differing=sum(pairs.differing for pairs in found),
        missing=sum(pairs.missing for pairs in found)
        + sum(len(_side(side, name)) for side in (a, b) for name in lone),
        max_ulp=max((pairs.max_ulp for pairs in found), default=0),
        max_relative=max((pairs.max_relative for pairs in found), default=0.0),
        first=None if first is None else _row(a, b, first[1], first[0]),
        surroundings=() if first is None else _surroundings(a, b, first[1], first[0]),
        events_only_in_a=only_a,
        events_only_in_b=only_b,
        notes=tuple(_notes(a, b)),
    )


# --- one series ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pairs:
    compared: int
    differing: int
    missing: int
    max_ulp: int
    max_relative: float
    first: int  # -1: none


def _compare_series(a: Series, b: Series, tolerance: int) -> _Pairs:
    compared, longest = min(len(a), len(b)), max(len(a), len(b))
    left, right = _common(a[:compared], b[:compared])
    unsigned = f"u{left.itemsize}"
    unlike = np.flatnonzero(left.view(unsigned) != right.view(unsigned))
    left, right = left[unlike], right[unlike]
    distance = _distance(left, right)
    beyond = (distance > tolerance) | np.isnan(left) | np.isnan(right)
    if tolerance == 0:
        beyond[:] = True
    differing = unlike[beyond]
    first = int(differing[0]) if differing.size else compared if longest > compared else -1
    return _Pairs(
        compared=compared,
        differing=differing.size,
        missing=longest - compared,
        max_ulp=int(distance.max(initial=0)),
        max_relative=_max_relative(left.astype(np.float64), right.astype(np.float64)),
        first=first,
    )


def _common(a: Series, b: Series) -> tuple[Series, Series]:
    """Both in the precision that they are compared in."""
    if a.dtype == b.dtype:
        return a, b
    with np.errstate(all="ignore"):
        return a.astype(np.float32), b.astype(np.float32)


def _distance(a: Series, b: Series) -> NDArray[np.int64]:
    """ULPs between numbers of one dtype; as float32.ulp_distance, for float64 too."""
    if a.dtype == np.float32:
        return float32.ulp_distance(a, b)
    magnitude = np.uint64(2**63 - 1)  # all bits but the sign
    bits_a, bits_b = a.view(np.uint64), b.view(np.uint64)
    height_a, height_b = bits_a & magnitude, bits_b & magnitude
    apart = np.maximum(height_a, height_b) - np.minimum(height_a, height_b)
    distance = np.where((bits_a ^ bits_b) > magnitude, height_a + height_b, apart)
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    distance[nan_a & nan_b] = 0
    distance[nan_a ^ nan_b] = _FARTHEST
    return np.minimum(distance, np.uint64(_FARTHEST)).astype(np.int64)


def _max_relative(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The largest ``|a - b| / max(|a|, |b|)``; zeros of either sign are equal."""
    if not a.size:
        return 0.0
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(a), np.abs(b))
        relative = np.abs(a - b) / scale
        overflown = np.isinf(a - b) & np.isfinite(scale)
        relative[overflown] = np.abs(a / scale - b / scale)[overflown]
    relative[a == b] = 0.0
    relative[~np.isfinite(scale)] = np.inf
    return float(relative.max())


# --- the report's parts -------------------------------------------------------------------------


def _side(trajectory: Trajectory, name: str) -> Series:
    return trajectory.rates.get(name, np.empty(0, np.float32))


def _row(a: Trajectory, b: Trajectory, name: str, at: int) -> Difference:
    left, right = _side(a, name), _side(b, name)
    ulp = None
    if at < min(len(left), len(right)):
        ulp = int(_distance(*_common(left[at : at + 1], right[at : at + 1]))[0])
    return Difference(
        name,
        at,
        float(left[at]) if at < len(left) else None,
        float(right[at]) if at < len(right) else None,
        ulp,
    )


def _surroundings(a: Trajectory, b: Trajectory, name: str, at: int) -> tuple[Difference, ...]:
    longest = max(len(_side(a, name)), len(_side(b, name)))
    span = range(max(0, at - _SURROUNDINGS), min(longest, at + _SURROUNDINGS + 1))
    return tuple(_row(a, b, name, position) for position in span)


def _notes(a: Trajectory, b: Trajectory) -> Iterator[str]:
    if a.reading != b.reading:
        yield f"a holds {a.reading} rates and b {b.reading} ones: never identical."
    if a.unit != b.unit:
        yield f"a counts in {a.unit}s and b in {b.unit}s: the rates do not belong together."
    for one, other, side in ((a, b, "a"), (b, a, "b")):
        lone = [name for name in one.rates if name not in other.rates]
        if lone:
            yield f"only {side} has the series {', '.join(map(repr, lone))}."
    for name, left in a.rates.items():
        right = b.rates.get(name, left)
        if len(left) != len(right):
            yield f"{name!r} has {len(left)} {a.unit}s in a and {len(right)} in b."
        if left.dtype != right.dtype:
            side = "a" if left.dtype == np.float64 else "b"
            yield f"{name!r} is float64 in {side}: compared after rounding to float32."
    if not any(name in b.rates and min(len(a.rates[name]), len(b.rates[name])) for name in a.rates):
        yield "no rates were compared: there is none that both sides have."
    for name, metric in a.metrics.items():
        note = _metric_note(name, metric, b.metrics.get(name, metric))
        if note:
            yield note


def _metric_note(name: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> str:
    compared = min(len(a), len(b))
    unlike = np.flatnonzero(a[:compared].view(np.uint64) != b[:compared].view(np.uint64))
    if not unlike.size and len(a) == len(b):
        return ""
    at = int(unlike[0]) if unlike.size else compared
    left, right = (repr(float(side[at])) if at < len(side) else "-" for side in (a, b))
    return f"the metric {name!r} differs from epoch {at} on: {left} in a, {right} in b."


def _tolerance(ulp: Any) -> int:
    try:
        plain = check.integer(ulp)
    except TypeError:
        raise TypeError(
            f"Argument `ulp` must be an integer >= 0: how many float32 numbers two rates may lie "
            f"apart. Received: ulp={ulp!r} of type {type(ulp).__name__}."
        ) from None
    if plain < 0:
        raise ValueError(f"Argument `ulp` must be >= 0. Received: ulp={ulp!r}.")
    return min(plain, _FARTHEST)
