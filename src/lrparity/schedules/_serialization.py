"""Schedules as dictionaries, in the form that Keras itself writes and reads."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from lrparity.schedules._schedule import FunctionSchedule, LearningRateSchedule, as_schedule

KERAS_MODULE = "keras.optimizers.schedules"
OWN_MODULE = "lrparity.schedules"

KERAS_CLASSES = (
    "ExponentialDecay",
    "InverseTimeDecay",
    "PolynomialDecay",
    "PiecewiseConstantDecay",
    "CosineDecay",
    "CosineDecayRestarts",
)
SHIPPED: dict[str, type[LearningRateSchedule]] = {}

shortly = reprlib.Repr().repr
"""What a message shows of a config, however deep or long it is."""

DEEPEST = 100
"""How deep a config may nest."""


def register(cls: type[LearningRateSchedule]) -> None:
    """Every shipped class is known by its name."""
    SHIPPED[cls.__name__] = cls


register(FunctionSchedule)


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """A schedule as a plain dictionary.

    Keras' six classes are written as Keras writes them, so that
    ``keras.optimizers.schedules.deserialize`` reads the result, and so are functions and classes
    of yours.

    Raises:
        TypeError: not a schedule, or one without a config.

    Source: keras/src/saving/serialization_lib.py, 3.15.1.

    >>> from lrparity.schedules import ExponentialDecay
    >>> serialize(ExponentialDecay(0.1, 1000, 0.96))["class_name"]
    'ExponentialDecay'
    """
    schedule = as_schedule(schedule, "schedule")
    if isinstance(schedule, FunctionSchedule):
        function = _serialized_function(schedule.function)
        if schedule.unit == "update":
            return function
        return {
            "module": OWN_MODULE,
            "class_name": "FunctionSchedule",
            "config": {"function": function, "unit": schedule.unit},
            "registered_name": None,
        }
    return record(type(schedule), schedule.get_config())


def record(cls: type[LearningRateSchedule], config: dict[str, Any]) -> dict[str, Any]:
    """A class and its arguments as Keras writes them."""
    if SHIPPED.get(cls.__name__) is cls:
        module = KERAS_MODULE if cls.__name__ in KERAS_CLASSES else OWN_MODULE
        registered_name = None
    else:
        module, registered_name = cls.__module__, cls.__name__
    return {
        "module": module,
        "class_name": cls.__name__,
        "config": config,
        "registered_name": registered_name,
    }


def deserialize(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> LearningRateSchedule:
    """Build the schedule that :func:`serialize`, Keras 3, tf_keras or Keras 2 wrote.

    Args:
        config: ``{"class_name": ..., "config": {...}}``, with or without Keras 3's ``"module"`` and
            ``"registered_name"``.
        custom_objects: your own classes and functions by name; they win over shipped ones.

    Nothing is ever imported by the name that a config gives.

    Raises:
        ValueError: an unknown class; the message names the shipped ones.
        TypeError: not such a dictionary, or arguments that the class does not have.

    Source: keras/src/saving/serialization_lib.py, 3.15.1.

    >>> deserialize({"class_name": "ExponentialDecay", "config": {
    ...     "initial_learning_rate": 0.1, "decay_steps": 1000, "decay_rate": 0.96}})
    ExponentialDecay(initial_learning_rate=0.1, decay_steps=1000, decay_rate=0.96)
    """
    if isinstance(config, LearningRateSchedule):  # what a from_config of yours deserializes again
        return config
    if not isinstance(config, Mapping) or "class_name" not in config or "config" not in config:
        raise TypeError(
            "Argument `config` must be a dictionary with 'class_name' and 'config', as "
            f"serialize() returns it. Received: config={shortly(config)}. A bare config goes to "
            "TheClass.from_config(config), an object to serialize() first."
        )
    built = _built(config, dict(custom_objects or {}), 0)
    return as_schedule(built, "config")


def encoded(value: Any) -> Any:
    """An argument as it stands in a config: schedules and functions as dictionaries."""
    if isinstance(value, LearningRateSchedule):
        return serialize(value)
    if isinstance(value, tuple):
        return [encoded(one) for one in value]
    return _serialized_function(value) if callable(value) else value


def decoded(value: Any, custom: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """The arguments of a config, with the schedules that stand in it built."""
    if depth > DEEPEST:
        raise ValueError(f"A config may nest {DEEPEST} deep. This one goes deeper.")
    if isinstance(value, Mapping):
        if "class_name" in value and "config" in value:
            return _built(value, custom or {}, depth + 1)
        return {name: decoded(one, custom, depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [decoded(one, custom, depth + 1) for one in value]
    return value


def _serialized_function(function: Any) -> dict[str, Any]:
    name = getattr(function, "__name__", type(function).__name__)
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def _built(config: Mapping[str, Any], custom: Mapping[str, Any], depth: int) -> Any:
    """The schedule, or the function, that a dictionary with a class_name stands for."""
    class_name, arguments = config["class_name"], config["config"]
    if not isinstance(class_name, str):
        raise TypeError(
            f"'class_name' of a config must be a string. Received: {shortly(class_name)}."
        )
    if class_name == "function":
        if not isinstance(arguments, str) or arguments not in custom:
            raise ValueError(
                f"The function {shortly(arguments)} is not stored in a config. "
                f"Pass custom_objects={{{shortly(arguments)}: the_function}}."
            )
        return custom[arguments]
    for name in (config.get("registered_name"), class_name):
        if isinstance(name, str) and name in custom:
            return _called(custom[name], arguments, custom, depth)
    if class_name not in SHIPPED:
        raise ValueError(
            f"Unknown schedule class {shortly(class_name)}. Shipped are {', '.join(sorted(SHIPPED))}. "
            f"Pass your own as custom_objects={{{shortly(class_name)}: TheClass}}."
        )
    return _called(SHIPPED[class_name], arguments, custom, depth)


def _called(
    cls: type[LearningRateSchedule], arguments: Any, custom: Mapping[str, Any], depth: int
) -> LearningRateSchedule:
    if not isinstance(cls, type):
        raise TypeError(f"A custom object must be a class here. Received: {shortly(cls)}.")
    if not isinstance(arguments, Mapping):
        raise TypeError(
            f"The config of {cls.__name__} must be a dictionary of arguments. Received: {shortly(arguments)}."
        )
    inner = {name: decoded(one, custom, depth) for name, one in arguments.items()}
    try:
        return cls.from_config(inner)
    except TypeError as error:
        raise TypeError(
            f"{cls.__name__} cannot be built from {shortly(arguments)}: {error!s:.1000}"
        ) from error
