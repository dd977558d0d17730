"""The saved state of a scheduler: what it is made of, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, cast

from lrparity.schedules import FunctionSchedule, LearningRateSchedule, serialize
from lrparity.schedules._formula import ConfiguredSchedule
from lrparity.schedules._serialization import record

STATE_FORMAT = "lrparity.ScheduleLR"
STATE_VERSION = 1
STATE_TYPES: dict[str, type] = {
    "last_epoch": int,
    "_step_count": int,
    "_last_lr": list,
    "base_lrs": list,
    "multiplier": float,
    "min_lr": float,
    "lr_scales": list,
    "numerics": str,
    "schedules": list,
    "group_schedules": list,
    "schedule_rates": list,
    "pending_updates": int,
    "fingerprint": str,
}


def checked(state: Any) -> Mapping[str, Any]:
    """The state itself, if it is whole and ours."""
    if not isinstance(state, Mapping) or state.get("format") != STATE_FORMAT:
        keys = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(
            f"This is not the state of an lrparity scheduler (it has {keys}). To go on from "
            "another scheduler's run, construct this one with last_epoch=<steps done> - 1 and, on a "
            "fresh optimizer, with its initial_learning_rate."
        )
    if state.get("version") != STATE_VERSION:
        raise ValueError(
            f"The state has version {state.get('version')!r}; this lrparity reads version "
            f"{STATE_VERSION}. Load it with the lrparity that saved it, or a newer one."
        )
    if missing := STATE_TYPES.keys() - set(state):
        raise ValueError(f"The state is damaged: it lacks {sorted(missing)}.")
    for name, kind in STATE_TYPES.items():
        if not isinstance(state[name], kind) or isinstance(state[name], bool):
            raise ValueError(f"The state is damaged: {name!r} is {state[name]!r}.")
    for name in ("_last_lr", "base_lrs", "lr_scales", "schedule_rates"):
        if not all(type(value) is float for value in state[name]):
            raise ValueError(f"The state is damaged: {name!r} is {state[name]!r}.")
    if not (
        0 <= state["multiplier"] < math.inf
        and 0 <= state["min_lr"] < math.inf
        and state["last_epoch"] >= -1
        and min(state["_step_count"], state["pending_updates"]) >= 0
    ):
        raise ValueError("The state is damaged: a count, the multiplier or min_lr is out of range.")
    for one in state["schedules"]:
        if not isinstance(one, dict) or not isinstance(one.get("config", ""), dict | None):
            raise ValueError(f"The state is damaged: 'schedules' is {state['schedules']!r}.")
    expected = fingerprint(state["schedules"], state["group_schedules"], state["numerics"])
    if state["fingerprint"] != expected:
        raise ValueError("The state is damaged: its schedules do not fit its fingerprint.")
    return state


def distinct(schedules: list[LearningRateSchedule]) -> list[LearningRateSchedule]:
    """The schedules without repetition; equal ones are one."""
    found: list[LearningRateSchedule] = []
    for schedule in schedules:
        if not any(_same(one, schedule) for one in found):
            found.append(schedule)
    return found


def which_distinct(schedules: list[LearningRateSchedule]) -> list[int]:
    """For each schedule its place among the distinct ones."""
    found = distinct(schedules)
    return [next(j for j, one in enumerate(found) if _same(one, s)) for s in schedules]


def _same(one: LearningRateSchedule, other: LearningRateSchedule) -> bool:
    # Equal schedules may still differ in bits: 2**24 + 1 == 2.0**24 + 1, as boundaries.
    return one is other or (type(one) is type(other) and one == other and repr(one) == repr(other))


def differences(saved: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """What differs between two states' configurations, argument by argument where it can be told."""
    found = []
    for name in ("numerics", "group_schedules", "schedules"):
        if saved[name] == own[name]:
            continue
        if name == "schedules" and len(saved[name]) == len(own[name]):
            for old, new in zip(saved[name], own[name], strict=True):
                found += _schedule_differences(old, new)
        else:
            found.append(f"{name}: saved {saved[name]!r}, now {own[name]!r}")
    return found


def _schedule_differences(old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    before, after = old["config"], new["config"]
    if before is None or after is None or old["class_name"] != new["class_name"]:
        return [f"schedule: saved {old!r}, now {new!r}"]
    return [
        f"{name} of {old['class_name']}: saved {before.get(name)!r}, now {after.get(name)!r}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def described(schedule: LearningRateSchedule) -> dict[str, Any]:
    """The schedule's config, or for what has none only its name: its rate is compared then."""
    unknown = {"class_name": type(schedule).__name__, "config": None}
    if isinstance(schedule, FunctionSchedule):  # its name is no part of what it computes
        return unknown
    try:
        return cast("dict[str, Any]", json.loads(json.dumps(_record(schedule))))
    except (
        NotImplementedError,
        TypeError,
        ValueError,
    ):  # no get_config, or one that JSON cannot hold
        return unknown


def _record(schedule: LearningRateSchedule) -> dict[str, Any]:
    if type(schedule).get_config is not ConfiguredSchedule.get_config:
        return serialize(schedule)
    fields = dataclasses.fields(schedule)  # type: ignore[arg-type]
    return record(type(schedule), {f.name: _argument(getattr(schedule, f.name)) for f in fields})


def _argument(value: Any) -> Any:
    if isinstance(value, LearningRateSchedule):
        return described(value)
    return [_argument(one) for one in value] if isinstance(value, tuple) else value


def fingerprint(schedules: Any, group_schedules: Any, numerics: Any) -> str:
    """A digest of what decides the rates."""
    text = json.dumps([schedules, group_schedules, numerics], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()
