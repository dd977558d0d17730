r"""The file format of a trajectory.

**The file.**  A trajectory file MUST be one JSON document (RFC 8259) in UTF-8 without a byte order
mark, at most ``MAXIMUM_BYTES`` long: one object with exactly the keys below, in any order.  An
object MUST NOT have the same key twice.  ``NaN`` and ``Infinity`` outside of strings are not JSON
and MUST NOT occur.  White space is free; lrparity writes eight values to a line and ends in a
newline.

==============  ====================================================================================
``format``      MUST be ``"lrparity.trajectory"``.
``version``     MUST be ``1``.  Readers MUST refuse a version that they do not know.
``reading``     MUST be ``"reported"`` or ``"applied"``.
``unit``        MUST be ``"update"`` or ``"epoch"``.
``rates``       object with at least one series: its name, not empty, to an object with exactly
                ``dtype`` and ``values``.  ``dtype`` MUST be ``"float32"`` if every value of the
                series is a float32 number or NaN (an empty series too), else ``"float64"``.
``metrics``     object: a metric's name, not empty, to its values, one per epoch, as float64.
``events``      array of objects with exactly ``kind`` (text, not empty), ``at`` (integer from 0 to
                2**63 - 1), ``series`` (a name in ``rates``, or null for all) and ``detail`` (text).
``provenance``  object: a name, not empty, to text, a finite number, a boolean or null.  An integer
                (1) is not the float of the same value (1.0) and MUST fit into 64 bits, signed.
``checksum``    64 hexadecimal digits in lower case; see below.
==============  ====================================================================================

**Values** are an array whose items are numbers or runs.  A finite number MUST be a JSON number from
which correctly rounded reading as a double gives the value itself: 17 significant digits always do,
and the shortest text that does is best.  In particular a float32 value is written as the double
that it equals, 0.10000000149011612 and not 0.1.  Minus zero MUST be ``-0.0``.  An integer up to
2**53 in magnitude MAY lack its fraction.  The values that JSON has no number for MUST be the
strings ``"nan"``, ``"inf"`` and ``"-inf"``; all NaN are one.  A run ``[number, count]``, with an
integer count of at least 1, stands for that many equal values; writers MAY use runs, and lrparity
does from four equal values on.  All series and metrics together MUST NOT exceed ``MAXIMUM_VALUES``
values, runs counted in full.

**The checksum** is the SHA-256 of the content, not of the text: white space, order of keys and runs
are free.  It is taken over these bytes:

1. the JSON text, in ASCII with ``\uXXXX`` escapes, without white space, keys sorted by code point
   at every level, of the document without ``checksum``, in which each series is replaced by
   ``[dtype, number of values]``, each metric by its number of values, and ``events`` is sorted by
   ``at``, ``series`` (null as ``""``), ``kind``, ``detail``; floats of ``provenance`` in their
   shortest form as Python writes it;
2. one newline;
3. the values of each series, little-endian IEEE 754 of its dtype, then those of each metric as
   float64, names sorted by code point; NaN as 7FC00000 and 7FF8000000000000.

Readers MUST refuse a file whose checksum differs.  It detects damage and edits by hand; it is no
signature.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import reprlib
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from lrparity.trajectory._events import Event

if TYPE_CHECKING:
    from lrparity.trajectory._trajectory import Trajectory

FORMAT = "lrparity.trajectory"
VERSION = 1

MAXIMUM_BYTES = 2**28
"""The longest file, in bytes: about 12 million different rates."""

MAXIMUM_VALUES = 10**8
"""The most rates and metrics of one file, repetitions counted."""

_SHORTEST_RUN = 4
_ITEMS_PER_LINE = 8
_ITEMS_PER_PIECE = 2**16  # the text of a long series is made in pieces, to hold one in memory
_EXACT_INTEGER = 2**53
_SPECIAL = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}
_QUOTED = {text: f'"{text}"' for text in _SPECIAL}
_KEYS = (
    "format",
    "version",
    "reading",
    "unit",
    "rates",
    "metrics",
    "events",
    "provenance",
    "checksum",
)

T = TypeVar("T", bound="Trajectory")
Doubles = NDArray[np.float64]


class TrajectoryError(ValueError):
    """A trajectory file cannot be used; the message names it, what is wrong and the mend."""


# --- writing ------------------------------------------------------------------------------------


def encode(trajectory: Trajectory, target: str) -> Iterator[str]:
    """The text of the file form in pieces; ``target`` names it in errors."""
    arrays = [*trajectory.rates.values(), *trajectory.metrics.values()]
    try:
        _check_total(sum(map(len, arrays)))
        length = 0
        for piece in _pieces(trajectory):
            length += len(piece)
            _check_length(length)
            yield piece
    except ValueError as error:
        raise TrajectoryError(f"{target} cannot be saved: {error}") from None


def _pieces(trajectory: Trajectory) -> Iterator[str]:
    yield f'{{\n"format": "{FORMAT}",\n"version": {VERSION},\n'
    yield f'"reading": "{trajectory.reading}",\n"unit": "{trajectory.unit}",\n"rates": {{'
    for position, (name, values) in enumerate(trajectory.rates.items()):
        yield f"{',' if position else ''}\n{json.dumps(name)}: "
        yield f'{{"dtype": "{values.dtype.name}", "values": '
        yield from _items(values)
        yield "}"
    yield '\n},\n"metrics": {'
    for position, (name, metric) in enumerate(trajectory.metrics.items()):
        yield f"{',' if position else ''}\n{json.dumps(name)}: "
        yield from _items(metric)
    yield '\n},\n"events": ['
    for position, event in enumerate(trajectory.events):
        yield f"{',' if position else ''}\n{json.dumps(_event_object(event))}"
    provenance = json.dumps(dict(trajectory.provenance), indent=0, allow_nan=False)
    yield f'\n],\n"provenance": {provenance},\n"checksum": "{trajectory.checksum}"\n}}\n'


def _items(values: NDArray[Any]) -> Iterator[str]:
    """The array of values, runs shortened."""
    if not values.size:
        yield "[]"
        return
    bits = values.view(f"u{values.itemsize}")
    starts = np.flatnonzero(np.concatenate(([True], bits[1:] != bits[:-1])))
    lengths = np.diff(starts, append=values.size)
    shortened = lengths >= _SHORTEST_RUN
    repeats = np.where(shortened, 1, lengths)
    counts = np.repeat(np.where(shortened, lengths, 1), repeats)
    items = np.repeat(values[starts], repeats)
    for start in range(0, items.size, _ITEMS_PER_PIECE):
        end = start + _ITEMS_PER_PIECE
        texts = list(map(repr, items[start:end].tolist()))
        for position in np.flatnonzero(~np.isfinite(items[start:end])).tolist():
            texts[position] = _QUOTED[texts[position]]
        for position in np.flatnonzero(counts[start:end] > 1).tolist():
            texts[position] = f"[{texts[position]}, {counts[start + position]}]"
        lines = (
            ", ".join(texts[first : first + _ITEMS_PER_LINE])
            for first in range(0, len(texts), _ITEMS_PER_LINE)
        )
        yield ("," if start else "[") + "\n" + ",\n".join(lines)
    yield "\n]"


def write(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """Write text to a file so that the path holds the old content or the new, never a part.

    The temporary file lies beside the target (a rename across file systems is not atomic) and is
    opened plainly, so that the result has the permissions of any other new file.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="ascii", newline="\n") as file:
            file.writelines(pieces)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def checksum(trajectory: Trajectory) -> str:
    """SHA-256 over the canonical form that the module's documentation defines."""
    rates, metrics = sorted(trajectory.rates.items()), sorted(trajectory.metrics.items())
    head = {
        "format": FORMAT,
        "version": VERSION,
        "reading": trajectory.reading,
        "unit": trajectory.unit,
        "rates": {name: [values.dtype.name, len(values)] for name, values in rates},
        "metrics": {name: len(metric) for name, metric in metrics},
        "events": [_event_object(event) for event in trajectory.events],
        "provenance": dict(trajectory.provenance),
    }
    text = json.dumps(head, sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode("ascii") + b"\n")
    for _, values in rates:
        digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).data)
    for _, metric in metrics:
        digest.update(metric.astype("<f8", copy=False).data)
    return digest.hexdigest()


def _event_object(event: Event) -> dict[str, str | int | None]:
    return {
        "kind": event.kind,
        "at": event.at,
        "series": event.series,
        "detail": event.detail,
    }


# --- reading ------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> str:
    """The text of a file, once it is known to be a file of bearable size."""
    source = Path(path)
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        _check_length(status.st_size)
        with source.open("rb") as file:
            content = file.read(status.st_size + 1)
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unusable(str(source), f"it is not UTF-8 text at byte {error.start}") from None
    except ValueError as error:
        raise _unusable(str(source), str(error)) from None
    except MemoryError:
        raise _unusable(str(source), "it does not fit into memory") from None


def decode(text: str, source: str, build: Callable[..., T]) -> T:
    """The trajectory in a text, made by ``build``; ``source`` names it in errors."""
    try:
        return _decode(text, build)
    except RecursionError:
        fault = "it is nested too deeply"
    except MemoryError:
        fault = "it does not fit into memory"
    except json.JSONDecodeError as error:
        fault = f"it is no complete JSON document: {error}"
    except (ValueError, TypeError) as error:
        fault = str(error)
    raise _unusable(source, fault)


def _unusable(source: str, fault: str) -> TrajectoryError:
    shown = fault if len(fault) <= 600 else fault[:600] + "..."
    return TrajectoryError(f"{source} is no usable trajectory file: {shown}")


def _decode(text: str, build: Callable[..., T]) -> T:
    _check_length(len(text))
    document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'it lacks "format": "{FORMAT}" and so is something else')
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(
            f"its version is {_shown(version)} and this lrparity reads version {VERSION}: "
            "update lrparity, or record the file anew"
        )
    _check_keys("the document", document, _KEYS)
    declared, runs = {}, {}
    for name, series in _mapping("rates", document["rates"]).items():
        _check_keys(f"rates[{_shown(name)}]", series, ("dtype", "values"))
        if series["dtype"] not in ("float32", "float64"):
            raise ValueError(f"rates[{_shown(name)}] has the dtype {_shown(series['dtype'])}")
        declared[name] = series["dtype"]
        runs[name] = _runs(f"rates[{_shown(name)}]", series["values"])
    metrics = {
        name: _runs(f"metrics[{_shown(name)}]", items)
        for name, items in _mapping("metrics", document["metrics"]).items()
    }
    _check_total(sum(series.total for series in (*runs.values(), *metrics.values())))
    trajectory = build(
        {name: _expand(name, series, declared[name]) for name, series in runs.items()},
        reading=document["reading"],
        unit=document["unit"],
        metrics={name: _expand(name, series, "float64") for name, series in metrics.items()},
        events=_events(document["events"]),
        provenance=_mapping("provenance", document["provenance"]),
    )
    for name, values in trajectory.rates.items():
        if values.dtype.name != declared[name]:
            raise ValueError(f"rates[{_shown(name)}] says float64, its values are all float32")
    if document["checksum"] != trajectory.checksum:
        raise ValueError(
            f"its checksum is {_shown(document['checksum'])} and its content has "
            f"{trajectory.checksum}: it was damaged or edited; record or restore it"
        )
    return trajectory


class _Runs(NamedTuple):
    """Values and how often each occurs; no counts if each occurs once."""

    values: Doubles
    counts: list[int] | None
    total: int


def _runs(name: str, items: Any) -> _Runs:
    """Check the items of one series, without taking up room for what they stand for."""
    if not isinstance(items, list):
        raise TypeError(f"{name} must be an array of values. Received: {_shown(items)}")
    numbers: list[float] = items
    counts: list[int] | None = None
    special = 0
    for position in [i for i, item in enumerate(items) if type(item) is not float]:
        item = items[position]
        if type(item) is list:
            if len(item) != 2 or type(item[1]) is not int or item[1] < 1:
                raise ValueError(
                    f"{name} must hold runs [number, count], count >= 1. Received: {_shown(item)}"
                )
            counts = counts or [1] * len(items)
            item, counts[position] = item
        if type(item) is str and item in _SPECIAL:
            special += 1
            item = _SPECIAL[item]
        elif type(item) is int and abs(item) <= _EXACT_INTEGER:
            item = float(item)
        elif type(item) is not float:
            raise ValueError(
                f'{name} must hold doubles, "nan", "inf" and "-inf". Received: {_shown(item)}'
            )
        numbers[position] = item
    values = np.array(numbers, np.float64)
    if np.count_nonzero(~np.isfinite(values)) != special:
        raise ValueError(f"{name} holds a number that no double can hold")
    return _Runs(values, counts, sum(counts) if counts else len(numbers))


def _expand(name: str, runs: _Runs, dtype: str) -> NDArray[Any]:
    """The values themselves, narrowed before they are repeated."""
    with np.errstate(all="ignore"):
        values = runs.values.astype(dtype, copy=False)
    if np.any((values != runs.values) & ~np.isnan(runs.values)):
        raise ValueError(f"rates[{_shown(name)}] says float32, its values are not")
    return values if runs.counts is None else np.repeat(values, runs.counts)


def _events(items: Any) -> list[Event]:
    if not isinstance(items, list):
        raise TypeError(f"events must be an array. Received: {_shown(items)}")
    for item in items:
        _check_keys("an event", item, ("kind", "at", "series", "detail"))
    return [Event(item["kind"], item["at"], item["series"], item["detail"]) for item in items]


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object. Received: {_shown(value)}")
    return value


def _check_keys(name: str, value: Any, expected: tuple[str, ...]) -> None:
    given: Mapping[str, Any] = _mapping(name, value)
    for key in expected:
        if key not in given:
            raise ValueError(f"{name} lacks {key!r}")
    for key in given:
        if key not in expected:
            raise ValueError(f"{name} has {_shown(key)}, which version {VERSION} does not know")


def _check_length(length: int) -> None:
    if length > MAXIMUM_BYTES:
        raise ValueError(
            f"it is longer than {MAXIMUM_BYTES} bytes, the most that is read back. Record fewer "
            "series in one file"
        )


def _check_total(total: int) -> None:
    if total > MAXIMUM_VALUES:
        raise ValueError(
            f"it holds more than {MAXIMUM_VALUES} values, the most that is read back. Record fewer "
            "series in one file"
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object that has each key once: readers disagree about which of two counts."""
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"it has the key {_shown(key)} twice in one object")
            seen.add(key)
    return result


def _constant(text: str) -> NoReturn:
    raise ValueError(f'{text} is not JSON: write "nan", "inf" or "-inf", as a string')


def _shown(value: Any) -> str:
    """A repr that stays short whatever a file holds."""
    return reprlib.repr(value)
