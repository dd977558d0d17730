"""The value: what one run did."""

from __future__ import annotations

import functools
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

import lrparity
from lrparity import _validation as check
from lrparity import float32
from lrparity.trajectory import _file
from lrparity.trajectory._events import Event

Reading = Literal["reported", "applied"]
Unit = Literal["update", "epoch"]
Series = NDArray[np.float32] | NDArray[np.float64]
Plain = str | int | float | None

DEFAULT_SERIES = "learning_rate"
"""The name of the series where a run has one."""

_Float = TypeVar("_Float", np.float32, np.float64)

_FRAMEWORKS = ("torch", "lightning", "pytorch_lightning", "keras", "tensorflow", "tf_keras")


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Trajectory:
    """The learning rates that one run used, and what belongs to them.

    Args:
        rates: the learning rate of each update (or epoch, see ``unit``), as a sequence of real
            numbers where there is one series, else as a mapping from the series' names to such
            sequences.  Several param groups or optimizers are several series; their lengths may
            differ.  A bare sequence gets the name ``"learning_rate"``.
        reading: ``"reported"``: what ``optimizer.learning_rate`` shows, aligned to the update that
            uses it.  ``"applied"``: what the update multiplied by.
        unit: what the rates are counted in, ``"update"`` or ``"epoch"``.
        metrics: per epoch one number per metric; NaN where the epoch has none.
        events: the run's :class:`Event` objects, in any order.
        provenance: where the run came from; see :func:`provenance`.  Plain text, finite numbers of
            at most 64 bits, or None.

    Attributes:
        rates: read-only mapping of read-only arrays: float32 where every value of the series is a
            float32 number or NaN, else float64.  So a Keras run is float32 however it was recorded,
            and what torch's own schedulers compute keeps its doubles.
        reading, unit: as given.
        metrics: read-only mapping of read-only float64 arrays.
        events: a tuple, sorted by ``at``.
        provenance: read-only mapping.

    Two trajectories are equal if all of this is: the bits of the arrays, the events, the
    provenance, types included; the order of names is not.  Every NaN is kept as the same NaN, -0.0
    differs from 0.0.  The hash follows, so trajectories can be keys of a dict.

    Raises:
        TypeError: an argument has another type, such as text among the rates.
        ValueError: there is no series; a sequence is not flat; a name is empty; ``reading`` or
            ``unit`` is another word; an event names a series that is not there; a number of
            ``provenance`` is not finite.

    >>> run = Trajectory([0.1, 0.05], events=[Event("reduction", 1)])
    >>> run
    <Trajectory of 2 updates, reported: learning_rate 0.1 -> 0.05 (float64); 1 event>
    >>> len(run), run.learning_rate.tolist()
    (2, [0.1, 0.05])
    >>> Trajectory(np.float32([0.1, 0.05])).learning_rate.dtype
    dtype('float32')
    >>> Trajectory({"backbone": [0.5, 0.5, 0.25], "head": [1.0, 0.5]}, reading="applied")
    <Trajectory of 3 updates, applied: backbone 0.5 -> 0.25, head 1.0 -> 0.5 (2 updates)>
    """

    rates: Mapping[str, Series]
    reading: Reading
    unit: Unit
    metrics: Mapping[str, NDArray[np.float64]]
    events: tuple[Event, ...]
    provenance: Mapping[str, Plain]

    def __init__(
        self,
        rates: Mapping[str, ArrayLike] | ArrayLike,
        *,
        reading: Reading = "reported",
        unit: Unit = "update",
        metrics: Mapping[str, ArrayLike] | None = None,
        events: Iterable[Event] = (),
        provenance: Mapping[str, Plain] | None = None,
    ) -> None:
        named = rates if isinstance(rates, Mapping) else {DEFAULT_SERIES: rates}
        if not named:
            raise ValueError(
                "Argument `rates` must hold at least one series. Received an empty mapping. "
                "A run without an update is an empty list."
            )
        settled: dict[str, dict[str, Any]] = {
            "rates": {_name("rates", k): _narrow(_flat("rates", k, v)) for k, v in named.items()},
            "metrics": {
                _name("metrics", k): _settle(_flat("metrics", k, v).astype(np.float64, copy=False))
                for k, v in _mapping("metrics", metrics).items()
            },
            "provenance": {
                _name("provenance", k): _plain(k, v)
                for k, v in _mapping("provenance", provenance).items()
            },
        }
        for field, mapping in settled.items():
            object.__setattr__(self, field, MappingProxyType(mapping))
        object.__setattr__(self, "reading", check.choice("reading", reading, get_args(Reading)))
        object.__setattr__(self, "unit", check.choice("unit", unit, get_args(Unit)))
        object.__setattr__(self, "events", _sorted(events, self.rates))

    @property
    def learning_rate(self) -> Series:
        """The rates of the only series, whatever its name.

        Raises:
            ValueError: there are several.
        """
        if len(self.rates) > 1:
            names = ", ".join(map(repr, self.rates))
            raise ValueError(f"This trajectory has several series: pick one of `rates`: {names}.")
        return next(iter(self.rates.values()))

    @functools.cached_property
    def checksum(self) -> str:
        """The SHA-256 of everything in here, in hexadecimal; the one that stands in the file."""
        return _file.checksum(self)

    def to_json(self) -> str:
        """The text of the file form; the same for equal trajectories with the same order of names.

        Raises:
            TrajectoryError: more than ``MAXIMUM_VALUES`` values or ``MAXIMUM_BYTES`` of text, which
                could not be read back.
        """
        return "".join(_file.encode(self, "this trajectory"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The trajectory that a text of the file form holds.

        Raises:
            TrajectoryError: anything is wrong with the text.
            TypeError: ``text`` is not a string.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"Argument `text` must be a string. Received one of type {type(text).__name__}. "
                "Trajectory.load reads files."
            )
        return _file.decode(text, "this text", cls)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file form; a file that is there is replaced whole or, on failure, kept.

        Raises:
            TrajectoryError: it is too large to be read back; see :meth:`to_json`.
            OSError: the file cannot be written.
        """
        _file.write(path, _file.encode(self, str(os.fspath(path))))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that :meth:`save` wrote.

        Raises:
            TrajectoryError: the file is damaged, truncated, too large, of another format or of
                another version.
            OSError: there is no such file, or it cannot be read.

        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "run.json")
        ...     Trajectory([0.5, 0.25]).save(path)
        ...     Trajectory.load(path)
        <Trajectory of 2 updates, reported: learning_rate 0.5 -> 0.25>
        """
        return _file.decode(_file.read(path), str(os.fspath(path)), cls)

    def __len__(self) -> int:
        return max(map(len, self.rates.values()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trajectory):
            return NotImplemented
        return self is other or self.checksum == other.checksum

    def __hash__(self) -> int:
        return hash(self.checksum)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = {
            "rates": dict(self.rates),
            "reading": self.reading,
            "unit": self.unit,
            "metrics": dict(self.metrics),
            "events": self.events,
            "provenance": dict(self.provenance),
        }
        return _rebuild, (type(self), arguments)

    def __repr__(self) -> str:
        shown = [self._outline(name) for name in list(self.rates)[:4]]
        if len(self.rates) > len(shown):
            shown.append(f"{len(self.rates) - len(shown)} more series")
        parts = [", ".join(shown)]
        if self.metrics:
            names = ", ".join(list(self.metrics)[:4]) + (", ..." if len(self.metrics) > 4 else "")
            parts.append(f"{names} of {_counted(max(map(len, self.metrics.values())), 'epoch')}")
        if self.events:
            parts.append(_counted(len(self.events), "event"))
        length = _counted(len(self), self.unit)
        return f"<Trajectory of {length}, {self.reading}: {'; '.join(parts)}>"

    def _outline(self, name: str) -> str:
        """One series in a few words: its first and last rate, and what is unusual about it."""
        values = self.rates[name]
        asides = ["float64"] if values.dtype == np.float64 else []
        if len(values) != len(self):
            asides.append(_counted(len(values), self.unit))
        span = f" {values[0]!s} -> {values[-1]!s}" if values.size else " empty"
        return name + span + (f" ({', '.join(asides)})" if asides else "")


def provenance(framework: str | None = None, **more: Plain) -> dict[str, Plain]:
    """What a trajectory should say about where it came from.

    Args:
        framework: what computed the rates, such as ``"keras"`` or ``"lightning"``.
        more: further entries, such as ``backend="tensorflow"`` or ``seed=0``; they win over the
            collected ones.

    Returns:
        ``framework``, ``platform``, ``python``, ``numpy``, ``lrparity``, ``c_library`` and the
        version of each of torch, lightning, keras, tensorflow and tf_keras that this process has
        imported already; nothing is imported for it.

    >>> here = provenance("keras", backend="tensorflow")
    >>> here["framework"], here["backend"], here["numpy"] == np.__version__
    ('keras', 'tensorflow', True)
    """
    library = float32.c_library()
    collected: dict[str, Plain] = {
        "framework": framework,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "lrparity": lrparity.__version__,
        "c_library": f"{library.name} {library.version}".strip()
        + ("" if library.bound else " (not bound)"),
    }
    for name in _FRAMEWORKS:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            collected[name] = str(version)
    return collected | more


# --- what the constructor accepts ---------------------------------------------------------------


def _rebuild(kind: type[Trajectory], arguments: dict[str, Any]) -> Trajectory:
    """Unpickle through the constructor, which makes the arrays read-only again."""
    return kind(**arguments)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _mapping(argument: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"Argument `{argument}` must map names to values. Received one of type "
            f"{type(value).__name__}."
        )
    return value


def _name(argument: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"The names in `{argument}` must be strings. Received: {value!r}.")
    if not value:
        raise ValueError(f"The names in `{argument}` must not be empty.")
    return str(value)


def _flat(argument: str, name: str, values: Any) -> NDArray[Any]:
    """A one-dimensional array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{argument}[{name!r}]` is not a sequence of numbers: {error}.") from None
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise TypeError(
            f"`{argument}[{name!r}]` must hold real numbers of at most 64 bits. Received "
            f"{type(values).__name__} of {array.dtype}."
        )
    if array.ndim != 1:
        raise ValueError(
            f"`{argument}[{name!r}]` must be flat, one number after the other. Received shape "
            f"{array.shape}. Give several series as a mapping from names to sequences."
        )
    return array


def _narrow(array: NDArray[Any]) -> Series:
    """Float32 if that loses nothing, else float64."""
    # A signalling NaN or a number beyond float32 may set a floating-point flag: neither matters.
    with np.errstate(all="ignore"):
        if array.dtype.kind == "f" and array.itemsize <= 4:
            return _settle(array.astype(np.float32, copy=False))
        wide = array.astype(np.float64, copy=False)
        narrow = wide.astype(np.float32)
        exact = bool(((narrow == wide) | np.isnan(wide)).all())
    return _settle(narrow) if exact else _settle(wide)


def _settle(array: NDArray[_Float]) -> NDArray[_Float]:
    """A copy in memory that cannot be made writeable again, with one kind of NaN."""
    nan = np.isnan(array)
    if nan.any():
        array = np.where(nan, array.dtype.type(np.nan), array)
    return np.frombuffer(array.tobytes(), array.dtype)


def _plain(name: str, value: Any) -> Plain:
    """Text, a number or None, as the built-in types; a bool is kept as a bool."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, int | float):
        raise ValueError(
            f"`provenance[{name!r}]` must be a finite number of at most 64 bits. Received: a "
            f"{type(value).__name__}. Pass it as text."
        )
    raise TypeError(
        f"`provenance[{name!r}]` must be text, a number or None. Received one of type "
        f"{type(value).__name__}. Pass str(...) of it."
    )


def _sorted(events: Any, rates: Mapping[str, Series]) -> tuple[Event, ...]:
    if isinstance(events, str) or not isinstance(events, Iterable):
        raise TypeError(f"Argument `events` must be a sequence of Event. Received: {events!r}.")
    listed = list(events)
    for event in listed:
        if not isinstance(event, Event):
            raise TypeError(f"Argument `events` must hold Event objects. Received: {event!r}.")
        if event.series is not None and event.series not in rates:
            names = ", ".join(map(repr, rates))
            raise ValueError(
                f"{event} names a series that is not there. The series are {names}; "
                "series=None means all."
            )
    return tuple(sorted(listed, key=Event.order))
