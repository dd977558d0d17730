"""Where the recorder keeps its rates while a training runs: in memory, or in a file beside the result.

Both keep each rate as a double and know each series by its name.  A series is a plain array that its
owner appends to, because that is the work of every update; :meth:`flush` is called once per block.

**The side file** is for runs that would fill the memory, and for runs that are killed.  It is
append-only and little-endian:

=========  =========================================================================================
16 bytes   ``lrparity.rates.1``
16 bytes   random: who writes the file knows it by them from one that another run has put there
block      any number of them, one after the other:

           - uint32: the CRC-32 of the rest of the block
           - uint32: the number of rates
           - uint32: the number of bytes of the name
           - the series' name in UTF-8
           - the rates as float64; those of a series stand in the order of its updates
=========  =========================================================================================

A block that is cut short, or whose CRC differs, ends the file for its readers.

A checkpoint says how many rates of each series there were, and their CRC-32; also the CRC-32 of some
shorter beginnings.  What a file holds counts only as far as one of these CRCs proves it, whether it
is the side file or the finished trajectory: a resumed run so never goes on from the rates of another
run, or of another branch of the same one.  What no file proves is NaN.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import struct
import warnings
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from lrparity.trajectory import MAXIMUM_VALUES, Trajectory, TrajectoryError

BLOCK = 4096
"""The updates between two flushes."""

KEPT = 1_000_000
"""The most rates of a finished run that stay in memory beside its file."""

MAGIC = b"lrparity.rates.1"
RUN_BYTES = 16

_HEAD = struct.Struct("<III")
_MOST_MARKS = 64
_NAN = float("nan")

Doubles = NDArray[np.float64]
Reader = Callable[[str], Mapping[str, Doubles]]


class RatesInMemory:
    """The rates of a run as arrays of doubles, 8 bytes per rate.

    Args:
        limit: the most rates of all series together; a trajectory file takes no more either.

    Attributes:
        full: whether the next block would exceed the limit.
    """

    def __init__(self, limit: int = MAXIMUM_VALUES) -> None:
        self.limit, self.full = limit, False
        self._series: dict[str, array[float]] = {}

    def length(self, name: str) -> int:
        """The number of rates of a series; 0 if it is unknown."""
        return len(self._series.get(name, ()))

    def open(self, name: str, start: int) -> array[float]:
        """The array that takes the next rates of a series, NaN put in front up to ``start``."""
        values = self._series.setdefault(name, array("d"))
        _pad(values, start - len(values))
        return values

    def flush(self) -> None:
        """See whether there is room for another block."""
        total = sum(map(len, self._series.values()))
        self.full = total + BLOCK * len(self._series) > self.limit

    def values(self) -> dict[str, Doubles]:
        """A copy of every series."""
        return {name: np.array(values, np.float64) for name, values in self._series.items()}

    def state_dict(self) -> dict[str, Any]:
        """Every rate, as float64 tensors."""
        series = {name: torch.from_numpy(values) for name, values in self.values().items()}
        return {"kind": "memory", "series": series}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        series = _checked_kind(state, "memory")
        self._series = {name: _from_tensor(name, values) for name, values in series.items()}


class RatesInFile:
    """The rates of a run in a side file; memory holds one block of each series.

    Args:
        result: the trajectory file that the run will end in; the side file lies next to it.

    Attributes:
        path: the side file.
        full: always False.
    """

    full = False

    def __init__(self, result: str) -> None:
        self.result = result
        self.path = Path(f"{result}.part")
        self._origin = result
        self._series: dict[str, _Buffered] = {}
        self._run = b""  # what the side file that this object has begun starts with
        self._bytes = 0
        self._failed = self._finished = False
        self._final: dict[str, Doubles] | None = None

    def settle_path(self) -> None:
        """Whatever becomes of the working directory: the files are those of the present one."""
        absolute = str(Path(self.result).absolute())
        if self._origin == self.result:
            self._origin = absolute
        self.result, self.path = absolute, Path(f"{absolute}.part")

    def length(self, name: str) -> int:
        """The number of rates of a series; 0 if it is unknown."""
        return self._series[name].length if name in self._series else 0

    def open(self, name: str, start: int) -> array[float]:
        """The array that takes the next rates of a series, NaN put in front up to ``start``."""
        series = self._series.setdefault(name, _Buffered())
        _pad(series.buffer, start - series.length)
        return series.buffer

    def total(self) -> int:
        """The number of rates of all series."""
        return sum(series.length for series in self._series.values())

    def unwritten(self) -> int:
        """The number of rates that are in memory only."""
        return sum(len(series.buffer) for series in self._series.values())

    def begin(self) -> None:
        """Write the side file anew, with all that has been recorded, and go on in it.

        Raises:
            OSError: it cannot be written.
            ValueError: the state that was loaded claims more rates than there can be.
        """
        stored, lost = self._recover()
        temporary = self.path.with_name(f".{self.path.name[:100]}.{secrets.token_hex(8)}.tmp")
        run, written = secrets.token_bytes(RUN_BYTES), {name: _Buffered() for name in stored}
        try:
            with temporary.open("xb") as file:
                file.write(MAGIC + run)
                for name, recorded in stored.items():
                    for start in range(0, len(recorded), BLOCK):
                        payload = _bytes_of(recorded[start : start + BLOCK])
                        file.write(_block(name, payload))
                        written[name].settle(payload)
                end = file.tell()
            temporary.replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        if lost:
            self._warn_lost(lost)
        for name, series in self._series.items():
            series.stored, series.crc = written[name].stored, written[name].crc
            series.marks = written[name].marks
        self._run, self._bytes, self._origin = run, end, self.result
        self._failed = self._finished = False
        self._final = None

    def begin_again(self) -> None:
        """Begin in the middle of a training, which goes on where that fails."""
        try:
            self.begin()
        except OSError as error:
            self._warn_unwritable(error)

    def flush(self) -> None:
        """Append the buffered rates; where that fails, keep them, say so, and try again next time."""
        if not self.unwritten():
            return
        try:
            if not self._bytes:
                self.begin()
            self._append()
        except OSError as error:
            self._warn_unwritable(error)

    def _append(self) -> None:
        payloads = {name: s.payload() for name, s in self._series.items() if s.buffer}
        blocks = b"".join(_block(name, payload) for name, payload in payloads.items())
        with self.path.open("r+b") as file:
            if not self._is_ours(file):
                raise OSError(
                    f"another run has replaced {str(self.path)!r}; each needs its own path"
                )
            file.seek(self._bytes)
            file.write(blocks)
            file.truncate()
        self._bytes += len(blocks)
        for name, payload in payloads.items():
            self._series[name].settle(payload)

    def _is_ours(self, file: BinaryIO) -> bool:
        return file.read(len(MAGIC) + RUN_BYTES) == MAGIC + self._run

    def values(self) -> dict[str, Doubles]:
        """Every series, from the side file or else from the finished trajectory."""
        stored, lost = self._recover()
        if lost:
            self._warn_lost(lost)
        return {
            name: np.concatenate([stored[name], np.array(series.buffer, np.float64)])
            for name, series in self._series.items()
        }

    def finish(self, values: dict[str, Doubles]) -> None:
        """The result is written, with these values: delete the side file, unless it is another run's."""
        for series in self._series.values():
            series.settle(series.payload())
        self._finished = True
        self._final = values if self.total() <= KEPT else None
        with contextlib.suppress(OSError):
            if self._run:
                with self.path.open("rb") as file:
                    if not self._is_ours(file):
                        return
            self.path.unlink()

    def state_dict(self) -> dict[str, Any]:
        """How many rates there are, and what proves them; the rates themselves are in the file."""
        if self._bytes:
            self.flush()
        series = {name: series.state() for name, series in self._series.items()}
        return {"kind": "file", "path": os.path.realpath(self._origin), "series": series}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; :meth:`begin` finds the rates."""
        series = {
            name: _Buffered.from_state(name, one)
            for name, one in _checked_kind(state, "file").items()
        }
        origin = state.get("path")
        if not is_text(origin) or "\0" in origin:
            raise damaged(f"'path' is {shown(origin)}")
        self._series, self._origin, self._bytes, self._run = series, origin, 0, b""
        self._finished, self._final = False, None

    def _recover(self) -> tuple[dict[str, Doubles], int]:
        """What of every series is no more in memory, as far as a file proves it, and how many it does not.

        What no file proves is NaN.
        """
        if self._final is not None:
            return dict(self._final), 0
        proven = {name: np.empty(0) for name in self._series}
        for read, path in self._sources():
            if all(len(proven[name]) == series.stored for name, series in self._series.items()):
                break
            for name, values in _read_quietly(read, path).items():
                if name in proven:
                    longest = self._series[name].proven(values)
                    proven[name] = max(proven[name], longest, key=len)
        missing = {name: s.stored - len(proven[name]) for name, s in self._series.items()}
        lost = sum(missing.values())
        if lost > MAXIMUM_VALUES:  # no memory for what a damaged number claims
            raise damaged(f"no file has {lost} of the rates that it counts")
        return {
            name: np.concatenate([values, np.full(missing[name], np.nan)])
            for name, values in proven.items()
        }, lost

    def _sources(self) -> Iterator[tuple[Reader, str]]:
        """Where the rates may be: here, or where the checkpoint was written if that is elsewhere."""
        for result in dict.fromkeys((self.result, self._origin)):
            yield read_side_file, f"{result}.part"
            yield _read_trajectory, result

    def _warn_lost(self, lost: int) -> None:
        if self._finished:
            _warn(
                f"LearningRateRecorder wrote {self.total()} rates to {self.result} when its training "
                f"ended, and {lost} of them are not there any more: the file has been moved, deleted, "
                "damaged or replaced by another run. They are NaN here. Load the trajectory from "
                "where the file is now."
            )
        elif self._run:
            _warn(
                f"LearningRateRecorder has recorded {self.total()} rates and cannot find {lost} of "
                f"them: its side file {self.path} was deleted, damaged or replaced by another run "
                "while the training ran. They are NaN now. Two trainings at a time need two paths."
            )
        else:
            _warn(
                f"LearningRateRecorder goes on after {self.total()} rates and cannot find {lost} of "
                f"them: {self._origin}.part is missing, too short, or of another run, and so is "
                f"{self._origin}. They are NaN now. To have them, restore the file that lay there "
                "when the checkpoint was written, and resume again."
            )

    def _warn_unwritable(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            _warn(
                f"LearningRateRecorder cannot write its side file: {error}. The training goes on "
                "and the rates from here on stay in memory; mend that, and they will be written."
            )


class _Buffered:
    """A series of which a part is in the file.

    Attributes:
        buffer: the rates that are not.
        stored: the number of those that are.
        crc: the CRC-32 of those that are.
        marks: the lengths and CRC-32s of shorter beginnings, ever sparser towards the beginning.
    """

    def __init__(self, stored: int = 0, crc: int = 0, marks: list[list[int]] | None = None) -> None:
        self.buffer: array[float] = array("d")
        self.stored, self.crc, self.marks = stored, crc, marks or []

    @property
    def length(self) -> int:
        return self.stored + len(self.buffer)

    def payload(self) -> bytes:
        """The buffer as it is written, with the one NaN that trajectories know."""
        return _bytes_of(np.array(self.buffer, np.float64))

    def settle(self, payload: bytes) -> None:
        """The payload has been written: go on behind it.  The array stays, others append to it."""
        self.stored += len(payload) // 8
        self.crc = zlib.crc32(payload, self.crc)
        self.marks.append([self.stored, self.crc])
        if len(self.marks) > _MOST_MARKS:
            del self.marks[: _MOST_MARKS // 2 : 2]
        del self.buffer[: len(payload) // 8]

    def proven(self, values: Doubles) -> Doubles:
        """The longest beginning of the values whose CRC-32 is known."""
        crc = done = best = 0
        for length, expected in sorted([*self.marks, [self.stored, self.crc]]):
            if length > len(values) or length > self.stored:
                break
            crc = zlib.crc32(_bytes_of(values[done:length]), crc)
            done = length
            if crc == expected:
                best = length
        return values[:best]

    def state(self) -> dict[str, Any]:
        return {
            "length": self.length,
            "crc": zlib.crc32(self.payload(), self.crc),
            "marks": [list(mark) for mark in self.marks],
        }

    @classmethod
    def from_state(cls, name: str, state: Any) -> _Buffered:
        fields: dict[str, Any] = dict(state) if isinstance(state, Mapping) else {}
        end, marks = [fields.get("length"), fields.get("crc")], fields.get("marks")
        pairs: list[Any] = [*marks, end] if isinstance(marks, list) else [None]
        for pair in pairs:
            whole = isinstance(pair, list) and len(pair) == 2
            if not whole or not all(type(number) is int and 0 <= number < 2**48 for number in pair):
                raise damaged(f"the counts of {name!r:.200} are {shown(state)}")
        stored, crc = pairs[-1]
        return cls(stored, crc, [list(pair) for pair in pairs[:-1]])


def read_side_file(path: str | os.PathLike[str]) -> dict[str, Doubles]:
    """The rates in a side file, up to its first damage.

    Raises:
        ValueError: it is no side file.
        OSError: it cannot be read.
    """
    pieces: dict[str, list[bytes]] = {}
    with Path(path).open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{os.fspath(path)} is no side file of LearningRateRecorder.")
        file.seek(RUN_BYTES, os.SEEK_CUR)
        left = status.st_size - len(MAGIC) - RUN_BYTES
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            crc, count, name_bytes = _HEAD.unpack(head)
            size = name_bytes + 8 * count
            left -= _HEAD.size
            if size > left:  # no memory for what a damaged number claims
                break
            content = file.read(size)
            left -= size
            if len(content) != size or zlib.crc32(head[4:] + content) != crc:
                break
            pieces.setdefault(content[:name_bytes].decode(), []).append(content[name_bytes:])
    return {
        name: np.frombuffer(b"".join(blocks), "<f8").astype(np.float64, copy=False)
        for name, blocks in pieces.items()
    }


# --- helpers ------------------------------------------------------------------------------------


def _read_trajectory(path: str) -> dict[str, Doubles]:
    rates = Trajectory.load(path).rates
    return {name: values.astype(np.float64, copy=False) for name, values in rates.items()}


def _read_quietly(read: Reader, path: str) -> Mapping[str, Doubles]:
    """What a file holds; nothing where there is none or another one: what is lost is told at once."""
    try:
        if not Path(path).is_file():  # a pipe would wait for its writer
            return {}
        return read(path)
    except (OSError, ValueError, TrajectoryError):
        return {}


def _block(name: str, payload: bytes) -> bytes:
    text = name.encode()
    rest = struct.pack("<II", len(payload) // 8, len(text)) + text + payload
    return struct.pack("<I", zlib.crc32(rest)) + rest


def _bytes_of(values: Doubles) -> bytes:
    nan = np.isnan(values)
    if nan.any():
        values = np.where(nan, np.nan, values)
    return values.astype("<f8", copy=False).tobytes()


def _pad(values: array[float], missing: int) -> None:
    if missing > 0:
        values.extend(array("d", [_NAN]) * missing)


def _checked_kind(state: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The series of a state of the right kind."""
    found = state.get("kind") if isinstance(state, Mapping) else None
    if not isinstance(found, str):
        raise damaged(f"'rates' is {shown(state)}")
    if found in ("memory", "file") and found != kind:
        with_path = {"memory": "without `path`", "file": "with `path`"}
        raise ValueError(
            f"The state of LearningRateRecorder was saved by one {with_path[found]}, and this one was "
            f"made {with_path[kind]}. Make it as it was."
        )
    series = state.get("series") if found == kind else None
    if not isinstance(series, Mapping) or not all(map(is_text, series)):
        raise damaged(f"'rates' is {shown(state)}")
    return dict(series)


def _from_tensor(name: str, values: Any) -> array[float]:
    if isinstance(values, torch.Tensor) and values.dtype == torch.float64 and values.ndim == 1:
        with contextlib.suppress(Exception):  # one without data, as on the device "meta"
            return array("d", values.detach().cpu().numpy().tobytes())
    raise damaged(f"the rates of {name!r:.200} are no flat float64 tensor")


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a string that is not empty and that UTF-8 can write."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def damaged(what: str) -> ValueError:
    """The error for a state that is not whole."""
    return ValueError(
        f"The state of LearningRateRecorder is damaged: {what}. Resume from another checkpoint, or "
        "take the recorder's entry out of checkpoint['callbacks'] to record anew."
    )


def shown(value: Any) -> str:
    """The beginning of a value's ``repr``, whatever it is: an int may have too many digits for one."""
    try:
        return f"{value!r:.200}"
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)
