"""What the callbacks' arguments may be, and their states."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity.callbacks._optimizers import BASE
from lrparity.callbacks._rates import shown
from lrparity.schedules import as_schedule


def checked_state(state: Any, kind: str, version: int) -> Mapping[str, Any]:
    """A callback's saved state, if it is of that kind and version.

    Raises:
        ValueError: it is not.
    """
    made_by = state.get("format") if isinstance(state, Mapping) else None
    if not isinstance(made_by, str) or made_by != f"lrparity.callbacks.{kind}":
        raise ValueError(f"This is not the state of lrparity's {kind} callback: {shown(state)}.")
    found = state.get("version")
    if type(found) is not int or found != version:
        raise ValueError(
            f"The state of {kind} has version {shown(found)}; this lrparity reads version {version}. "
            "Resume with the lrparity that saved it, or a newer one."
        )
    return state  # type: ignore[no-any-return]


def checked_schedule(value: Any) -> Any:
    """The argument, with every schedule in it checked."""
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("Argument `schedule` is an empty mapping: there is nothing to drive.")
        for key in value:
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise TypeError(
                    "Argument `schedule` must map the places or names of optimizers to schedules. "
                    f"Received the key {key!r}."
                )
        return {key: checked_list(one, f"schedule[{key!r}]") for key, one in value.items()}
    return checked_list(value, "schedule")


def checked_list(value: Any, name: str) -> Any:
    if not isinstance(value, list | tuple):
        return as_schedule(value, name)
    if not value:
        raise ValueError(f"Argument `{name}` is an empty list: give one schedule per param group.")
    return [as_schedule(one, f"{name}[{i}]") for i, one in enumerate(value)]


def checked_selector(value: Any, schedule: Any) -> int | str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        mend = " Pass the place of the optimizer, or its name."
        if isinstance(value, Optimizer):
            mend = " A callback finds the optimizers in the trainer: pass the place, such as 0."
        raise TypeError(
            f"Argument `optimizer` must be an integer, a string or None. Received: {value!r}.{mend}"
        )
    if isinstance(schedule, dict):
        raise ValueError(
            f"Argument `optimizer`={value!r} and a mapping as `schedule` both name optimizers. Pass "
            "one of them."
        )
    return value


def checked_initial_update(value: Any) -> int | None:
    if value is None:
        return None
    try:
        plain = check.integer(value)
    except TypeError:
        plain = -1
    if plain < 0:
        raise ValueError(
            "Argument `initial_update` must be an integer >= 0, the number of updates before, or "
            f"None. Received: initial_update={value!r}."
        )
    return plain


def checked_log(value: Any) -> str | None:
    """The name to log under, or None."""
    if isinstance(value, str):
        if not value:
            raise ValueError("Argument `log` is an empty name. Pass True for 'learning_rate'.")
        return value
    return BASE if check.flag("log", value) else None


def checked_path(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(
            f"Argument `path` must be a path or None. Received: path={value!r}. Pass the name of the "
            "file to write, such as 'run.json'."
        )
    path = os.fspath(value)
    if not Path(path).name:
        raise ValueError(
            f"Argument `path` must name a file. Received: path={value!r}. Pass the name of the file "
            "to write, such as 'run.json'."
        )
    return path


def checked_metrics(value: Any) -> bool | list[str]:
    if isinstance(value, bool):
        return value
    if isinstance(value, list | tuple):
        if not all(isinstance(name, str) and name for name in value):
            raise ValueError(
                "Argument `metrics` must hold names of metrics, which are not empty. Received: "
                f"metrics={value!r}."
            )
        return list(dict.fromkeys(value))
    mend = f" Pass [{value!r}]." if isinstance(value, str) else ""
    raise TypeError(
        "Argument `metrics` must be True, False or a list of names. Received: "
        f"metrics={value!r}.{mend}"
    )


def check_writable(path: str) -> None:
    """Fail before the training and not after it."""
    target = Path(path)
    for one in (target, Path(f"{path}.part")):
        try:
            mode = one.stat().st_mode
        except OSError:
            continue  # it is not there, or what follows tells
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(
                f"Argument `path` of LearningRateRecorder is {path!r}, and {str(one)!r} is a folder. "
                "Pass the name of a file in it."
            )
        if not stat.S_ISREG(mode):  # it would be replaced, and with it a device, or a pipe
            raise OSError(
                f"Argument `path` of LearningRateRecorder is {path!r}, and {str(one)!r} is no regular "
                "file. Pass another path."
            )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise type(error)(
            f"Argument `path` of LearningRateRecorder is {path!r}, and no file can be written in that "
            f"folder: {error}. Pass another path."
        ) from error
