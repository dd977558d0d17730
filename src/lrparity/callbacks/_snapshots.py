"""What the snapshots of a training are: their record in checkpoints, their names, and their folder."""

from __future__ import annotations

import os
import re
import string
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # every Lightning has it
from torch import Tensor

SUFFIX = ".ckpt"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot that was taken.

    Attributes:
        cycle: which, counted from 1.
        epoch: the cycle's last epoch, counted from 0 as ``trainer.current_epoch``.
        updates: the real updates that each driven optimizer had made, by its place.
        path: the file.
        metrics: the numbers in ``trainer.callback_metrics`` at that moment.
    """

    cycle: int
    epoch: int
    updates: dict[int, int]
    path: str
    metrics: dict[str, float]


def checked_taken(state: Mapping[str, Any]) -> list[Snapshot]:
    """What of the state tells of snapshots, if it is whole."""

    def damaged(name: str) -> ValueError:
        return ValueError(
            f"The state of SnapshotEnsemble is damaged: {name!r} is {state.get(name)!r:.200}."
        )

    for name in ("cycle_ends", "kept"):
        many = state.get(name)
        if not isinstance(many, list) or not all(type(one) is int for one in many):
            raise damaged(name)
    if type(state.get("validated_at")) is not int:
        raise damaged("validated_at")
    if not isinstance(state.get("dirpath"), str | None):
        raise damaged("dirpath")
    if not _are_metrics(state.get("metrics")):
        raise damaged("metrics")
    taken = state.get("taken")
    if not isinstance(taken, list):
        raise damaged("taken")
    found = []
    for one in taken:
        if not isinstance(one, Mapping) or one.keys() != Snapshot.__dataclass_fields__.keys():
            raise damaged("taken")
        counts, updates = (one["cycle"], one["epoch"]), one["updates"]
        sound = (
            all(type(number) is int and number >= 0 for number in counts)
            and isinstance(one["path"], str)
            and isinstance(updates, Mapping)
            and all(type(number) is int for pair in updates.items() for number in pair)
            and _are_metrics(one["metrics"])
        )
        if not sound:
            raise damaged("taken")
        found.append(Snapshot(**dict(one)))
    return found


def _are_metrics(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and type(number) is float for name, number in value.items()
    )


def numbers_in(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those of the metrics that are numbers."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, Tensor):
            if value.numel() == 1:
                found[str(name)] = float(value)
        elif isinstance(value, int | float):
            found[str(name)] = float(value)
    return found


# --- names and folders ------------------------------------------------------------------------------


def checked_folder(value: Any) -> str | None:
    """The argument `dirpath`."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(
            f"Argument `dirpath` must be a folder's path or None. Received: dirpath={value!r}."
        )
    if not os.fspath(value):
        raise ValueError("Argument `dirpath` is empty. Pass '.' for the working directory.")
    return os.fspath(value)


def file_names(template: Any, ends: Sequence[int]) -> list[str]:
    """The file name of each cycle, all different."""
    if not isinstance(template, str):
        raise TypeError(f"Argument `filename` must be a string. Received: filename={template!r}.")
    try:
        names = [
            template.format(cycle=cycle, epoch=end - 1) + SUFFIX
            for cycle, end in enumerate(ends, 1)
        ]
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ValueError(
            "Argument `filename` is a template with {cycle} or {epoch}, such as 'snapshot_{cycle:02d}'. "
            f"Received: filename={template!r}, which cannot be filled in: {error!r}."
        ) from error
    if any(Path(name).name != name or "\0" in name for name in names):
        raise ValueError(
            f"Argument `filename` must be a name without a folder. Received: filename={template!r}. Pass "
            "the folder as `dirpath`."
        )
    fields = {field for _, field, _, _ in string.Formatter().parse(template)} - {None}
    if not fields or len(set(names)) < len(names):
        raise ValueError(
            "Argument `filename` must contain {cycle} or {epoch}, so that each snapshot has a name of its "
            f"own. Received: filename={template!r}."
        )
    return names


def is_remote(path: str) -> bool:
    """Whether it is a URL, which fsspec knows how to open."""
    return "://" in path


def inside(folder: str, name: str) -> str:
    """The path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


def parent(path: str) -> str:
    """The folder of a file."""
    return path.rpartition("/")[0] if is_remote(path) else str(Path(path).parent)


def _filesystem(path: str) -> tuple[Any, str]:
    filesystem, inside = fsspec.core.url_to_fs(path)
    return filesystem, inside


def exists(path: str) -> bool:
    """Whether there is such a file, or a folder, as some strategies write."""
    if not is_remote(path):
        return os.path.lexists(path)
    filesystem, inside = _filesystem(path)
    return bool(filesystem.exists(inside))


def fitting(folder: str, template: str) -> list[str]:
    """The files in a folder that have a snapshot's name, of whatever cycle."""
    if is_remote(folder):
        filesystem, inside = _filesystem(folder)
        found = filesystem.ls(inside, detail=False) if filesystem.exists(inside) else []
        names = [path.rstrip("/").rpartition("/")[2] for path in found]
    else:
        here = Path(folder)
        names = [one.name for one in here.iterdir()] if here.is_dir() else []
    parts = list(string.Formatter().parse(template))
    pattern = "".join(
        re.escape(text) + ("" if field is None else r"([^/]*\d[^/]*)")
        for text, field, _, _ in parts
    )
    fields = [
        "{" + field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
        for _, field, spec, conversion in parts
        if field is not None
    ]
    fits = re.compile(pattern + re.escape(SUFFIX))
    numbered = [
        name
        for name in names
        if (found := fits.fullmatch(name)) and all(map(_is_number_by, fields, found.groups()))
    ]
    return sorted(numbered, key=lambda name: (len(name), name))


def _is_number_by(field: str, text: str) -> bool:
    """Whether the template's field writes some number like this: nobody else's file is ours."""
    for number in {int(digits) for digits in (re.sub(r"\D", "", text), *re.findall(r"\d+", text))}:
        if field.format(cycle=number, epoch=number) == text:
            return True
    return False


def try_to_write(folder: str) -> None:
    """Fail before the training and not after a cycle of it."""
    if is_remote(folder):
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(
            f"Argument `dirpath` of SnapshotEnsemble is {folder!r}, and no file can be written there: "
            f"{error}. Pass another folder."
        ) from error
