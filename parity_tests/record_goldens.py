"""``make goldens``: record ``parity_tests/golden/`` anew, from Keras itself.

Keras 3 and tf_keras are the installed ones: reported rates are eager calls of the schedule, applied
rates those of a compiled ``model.fit``.  Keras 1.2.2 and 2.3.1 cannot run on this Python; their
source is fetched from the package registry and the optimizer's own ``get_updates`` is run on a
backend of a few TensorFlow operations.  ``plateau_recorder`` records ``ReduceLROnPlateau``.
"""

from __future__ import annotations

import importlib
import sys
import types

import keras
import numpy as np
import tensorflow as tf
import tf_keras

import keras_side
import plateau_recorder
import record_origins
from goldens import DECAY_VERSIONS, FOLDER, UPDATES, Golden, goldens
from lrparity.trajectory import Trajectory, compare, provenance


def record(golden: Golden) -> Trajectory:
    """The trajectory of a recipe, from the Keras that it names."""
    if golden.case is None:
        version = golden.config["keras_version"]
        old = DECAY_VERSIONS[version] == "keras"
        rates = old_decay(version, golden.config) if old else legacy_decay(golden.config)
        framework = f"keras {version}" if old else f"tf_keras {tf_keras.__version__}"
    else:
        framework = f"keras {keras.__version__}"
        twin = keras_side.schedule_of(golden.case.keras, golden.config)
        if golden.reading == "reported":
            rates = keras_side.eager(twin, range(UPDATES))
        else:
            _, rates = keras_side.fit(keras.optimizers.SGD(twin), UPDATES)
    about = provenance(framework, recipe=golden.recipe, recorded_by="make goldens")
    return Trajectory(rates, reading=golden.reading, provenance=about)


def legacy_decay(config: dict) -> np.ndarray:
    """``decay=`` of tf_keras' legacy optimizer, inside a compiled ``model.fit``."""
    optimizer = tf_keras.optimizers.legacy.SGD(
        config["initial_learning_rate"], decay=config["decay"]
    )
    _, applied = keras_side.fit(optimizer, UPDATES, module="tf_keras")
    return applied


class Variable:
    """A variable of the old backend; `x *= y` makes a new value of it, as a graph's tensor does."""

    def __init__(self, value, dtype="float32"):
        self.value = tf.constant(value, dtype)

    dtype = property(lambda self: self.value.dtype)
    shape = property(lambda self: self.value.shape)

    def __mul__(self, other):
        return self.value * other

    def __rmul__(self, other):
        return other * self.value

    def __add__(self, other):
        return self.value + other

    def assign(self, value):
        self.value = tf.cast(value, self.dtype)


def old_decay(version: str, config: dict) -> np.ndarray:
    """``decay=`` of an old Keras: its own ``get_updates`` moves a weight of gradient 1."""
    sgd = old_optimizers(version).SGD(lr=config["initial_learning_rate"], decay=config["decay"])
    sgd.get_gradients = lambda loss, params: [tf.constant(1.0) for _ in params]
    weight = Variable(0.0)
    rates = []
    for _ in range(UPDATES):
        weight.assign(0.0)
        arguments = {"params": [weight], "loss": None}
        if version.startswith("1."):
            arguments["constraints"] = {}
        for assign in sgd.get_updates(**arguments):
            assign()
        rates.append(0.0 - float(weight.value))
    return np.array(rates, np.float32)


def old_optimizers(version: str) -> types.ModuleType:
    """``keras/optimizers.py`` of an old version, over a backend made of TensorFlow operations."""
    name = f"keras_{version.replace('.', '_')}"
    if f"{name}.optimizers" in sys.modules:
        return sys.modules[f"{name}.optimizers"]
    _, source = plateau_recorder.source(version, "keras/optimizers.py")

    def symbolic(function):
        return function

    backend = types.ModuleType(f"{name}.backend")
    vars(backend).update(
        backend=lambda: "tensorflow",
        floatx=lambda: "float32",
        variable=lambda value, dtype="float32", name=None: Variable(value, dtype),
        zeros=lambda shape, dtype="float32", name=None: Variable(tf.zeros(shape or ())),
        name_scope=tf.name_scope,
        symbolic=symbolic,
        cast=lambda x, dtype: tf.cast(x.value, dtype),
        dtype=lambda x: x.dtype.name,
        int_shape=lambda x: tuple(x.shape),
        get_variable_shape=lambda x: tuple(x.shape),
        # Updates are collected first and run together afterwards, as a session does.
        update=lambda x, new: lambda: x.assign(new),
        update_add=lambda x, step: lambda: x.assign(x.value + step),
    )
    generic = types.ModuleType(f"{name}.utils.generic_utils")
    helpers = ("serialize_keras_object", "deserialize_keras_object", "get_from_module")
    vars(generic).update(dict.fromkeys((*helpers, "get_custom_objects")))  # imported, never called
    interfaces = types.ModuleType(f"{name}.legacy.interfaces")
    interfaces.legacy_get_updates_support = symbolic
    package, utils, legacy = (
        types.ModuleType(n) for n in (name, f"{name}.utils", f"{name}.legacy")
    )
    package.__path__ = utils.__path__ = legacy.__path__ = []
    package.backend, legacy.interfaces, utils.generic_utils = backend, interfaces, generic
    sys.modules |= {m.__name__: m for m in (package, backend, utils, generic, legacy, interfaces)}
    module = types.ModuleType(f"{name}.optimizers")
    module.__package__ = name
    exec(compile(source, f"keras {version} optimizers.py", "exec"), vars(module))
    sys.modules[module.__name__] = module
    return module


def main() -> None:
    importlib.invalidate_caches()
    FOLDER.mkdir(exist_ok=True)
    wanted = list(goldens())
    for stale in set(FOLDER.glob("*.json")) - {golden.path for golden in wanted}:
        stale.unlink()
        print(f"removed  {stale.name}")
    for golden in wanted:
        new = record(golden)
        same = golden.path.exists() and compare(Trajectory.load(golden.path), new)
        if not same:
            new.save(golden.path)
        print(f"{'kept' if same else 'recorded':8} {golden.path.name}")
    plateau_recorder.main()
    record_origins.main()


if __name__ == "__main__":
    main()
