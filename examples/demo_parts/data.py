"""The data sets of the demo, their split into training and validation, and the initial weights."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import threading
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BATCH_SIZE = 28
VALIDATION_SHARE = 0.33

IONOSPHERE_COLUMNS = 34
IONOSPHERE_SHA256 = "fd6dd7864b55d56dac0a1e6e24af9ccc35bf2555ac79af8ab9f3d1daa065ab83"
"""Of the UCI file without the newline at its end, which some copies lack."""

_ARCHIVE = "https://archive.ics.uci.edu"
IONOSPHERE_SOURCES = (
    f"{_ARCHIVE}/ml/machine-learning-databases/ionosphere/ionosphere.data",
    f"{_ARCHIVE}/static/public/52/ionosphere.zip",
)
DOWNLOAD_SECONDS = 30
DOWNLOAD_BYTES = 2**22

FEWEST_ROWS = 30


class DataError(Exception):
    """The data cannot be had or read; the message is one line for the user."""


@dataclass(frozen=True)
class Table:
    """Rows of numbers, a label 0 or 1 for each, and where they came from."""

    name: str
    source: str
    features: NDArray[np.float64]
    labels: NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """A table, shuffled once, cut in two, and standardised on the training part."""

    table: Table
    seed: int
    inputs: Array
    labels: Array
    validation_inputs: Array
    validation_labels: Array

    @property
    def columns(self) -> int:
        """Numbers per row."""
        return int(self.inputs.shape[1])

    @property
    def updates_per_epoch(self) -> int:
        """Batches per epoch, the last and shorter one included."""
        return math.ceil(len(self.inputs) / BATCH_SIZE)


def split(table: Table, seed: int) -> Split:
    """Shuffle and cut a table.  The order of the training rows is final: nobody shuffles again."""
    order = np.random.default_rng(seed).permutation(len(table.labels))
    validation_rows = math.ceil(VALIDATION_SHARE * len(order))
    training, validation = order[validation_rows:], order[:validation_rows]
    mean = table.features[training].mean(axis=0)
    deviation = table.features[training].std(axis=0)
    deviation[deviation == 0] = 1.0  # a constant column, such as ionosphere's second, becomes 0
    features = ((table.features - mean) / deviation).astype(np.float32)
    labels = table.labels.astype(np.float32)[:, None]
    return Split(
        table, seed, features[training], labels[training], features[validation], labels[validation]
    )


def initial_weights(columns: int, seed: int) -> list[Array]:
    """Kernel and bias of the hidden layer, then of the output unit, both frameworks' start.

    Kernels are Glorot-uniform and have Keras' shape, (inputs, units); biases are 0.
    """
    random = np.random.default_rng((seed, 1))
    weights = []
    for units in (columns, 1):
        limit = math.sqrt(6 / (columns + units))
        weights.append(random.uniform(-limit, limit, (columns, units)).astype(np.float32))
        weights.append(np.zeros(units, np.float32))
    return weights


# --- where tables come from -----------------------------------------------------------------------


def breast_cancer() -> Table:
    """Scikit-learn's bundled Wisconsin breast-cancer data: 569 rows of 30 numbers."""
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    return Table("breast cancer", "scikit-learn", features, labels.astype(np.float64))


def ionosphere(path: Path) -> Table:
    """The UCI ionosphere data from a CSV file: 34 numbers and the label g or b in each row.

    The original has no header; a first row without any number is taken for one.

    Raises:
        DataError: there is no such file, or something else is in it.
    """
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    return parse_ionosphere(text, str(path))


def parse_ionosphere(text: str, source: str) -> Table:
    """The table in a CSV text; ``source`` is what error messages call it."""
    rows: list[list[float]] = []
    labels: list[str] = []
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    first = True
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != IONOSPHERE_COLUMNS + 1:
                raise DataError(
                    f"{source}, line {reader.line_num}: expected {IONOSPHERE_COLUMNS} numbers and a "
                    f"label, separated by commas; found {len(cells)} column"
                    + ("" if len(cells) == 1 else "s")
                )
            header = first and not any(_is_number(cell) for cell in cells[:-1])
            first = False
            if header:
                continue
            rows.append([_number(cell, source, reader.line_num) for cell in cells[:-1]])
            labels.append(_label(cells[-1], source, reader.line_num))
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {error}") from None
    if len(rows) < FEWEST_ROWS:
        raise DataError(f"{source}: expected at least {FEWEST_ROWS} rows; found {len(rows)}")
    if len(set(labels)) == 1:
        raise DataError(f"{source}: every row has the label {labels[0]}; there is nothing to learn")
    return Table(
        "ionosphere", source, np.array(rows), np.array([float(one == "g") for one in labels])
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, source: str, line: int) -> float:
    value = float(cell) if _is_number(cell) else math.nan
    if not math.isfinite(value):
        raise DataError(f"{source}, line {line}: {cell.strip()[:30]!r} is not a finite number")
    return value


def _label(cell: str, source: str, line: int) -> str:
    label = cell.strip().lower()
    if label not in ("g", "b"):
        raise DataError(f"{source}, line {line}: the label must be g or b; found {cell[:30]!r}")
    return label


# --- download -------------------------------------------------------------------------------------


def download_ionosphere(path: Path) -> None:
    """Fetch the UCI ionosphere data to ``path``, unless it is there already.

    Raises:
        DataError: it cannot be fetched in time, or is not the file that it was.
    """
    if path.is_file() and _checksum(path.read_bytes()) == IONOSPHERE_SHA256:
        return
    failures = []
    for address in IONOSPHERE_SOURCES:
        try:
            content = _fetch(address)
            if address.endswith(".zip"):
                content = _unpack(content)
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            failures.append(f"{address}: {error}")
            continue
        found = _checksum(content)
        if found == IONOSPHERE_SHA256:
            path.write_bytes(content)
            return
        failures.append(f"{address}: its SHA-256 is {found}, not {IONOSPHERE_SHA256}")
    raise DataError(
        "the ionosphere data could not be downloaded. "
        + "; ".join(failures)
        + ". Fetch ionosphere.data yourself and pass it with --data PATH"
    )


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content.replace(b"\r\n", b"\n").rstrip(b"\n")).hexdigest()


def _fetch(address: str) -> bytes:
    """The content behind an address, within ``DOWNLOAD_SECONDS`` whatever happens.

    A socket's own timeout does not cover the look-up of the name, nor a server that sends a byte now
    and then; a thread that is not waited for does.
    """
    result: list[bytes | Exception] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(address, timeout=DOWNLOAD_SECONDS) as response:
                result.append(response.read(DOWNLOAD_BYTES))
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(DOWNLOAD_SECONDS)
    if not result:
        raise TimeoutError(f"no answer within {DOWNLOAD_SECONDS} s")
    if isinstance(result[0], Exception):
        raise OSError(str(result[0])) from result[0]
    return result[0]


def _unpack(content: bytes) -> bytes:
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        archive.open("ionosphere.data") as member,
    ):
        return member.read(DOWNLOAD_BYTES)
