"""Learning rates out of a live Keras: reported, traced, and applied inside ``model.fit``."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import tensorflow as tf


def schedule_of(name: str, config: dict, module: str = "keras"):
    """The Keras twin of a case, from ``keras`` or ``tf_keras``."""
    return getattr(importlib.import_module(module).optimizers.schedules, name)(**config)


def eager(schedule, steps) -> np.ndarray:
    """What ``float(optimizer.learning_rate)`` reports: one scalar call for each step."""
    iterations = tf.Variable(0, dtype=tf.int64)
    rates = []
    for step in steps:
        iterations.assign(int(step))
        rates.append(float(schedule(iterations)))
    return np.array(rates, np.float32)


def eager_float_steps(schedule, steps) -> np.ndarray:
    """The same for float32 steps, which legacy optimizers count in."""
    return np.array([float(schedule(tf.constant(s, tf.float32))) for s in steps], np.float32)


def traced(schedule, steps) -> np.ndarray:
    """What compiled code computes: one traced function, called for each step."""
    iterations = tf.Variable(0, dtype=tf.int64)
    function = tf.function(lambda: tf.cast(schedule(iterations), tf.float32))
    rates = []
    for step in steps:
        iterations.assign(int(step))
        rates.append(float(function()))
    return np.array(rates, np.float32)


@functools.cache
def _probe_classes(module: str):
    """A one-weight model whose gradient is 1, for ``keras`` or ``tf_keras``."""
    keras = importlib.import_module(module)

    class Probe(keras.Model):
        def __init__(self):
            super().__init__()
            self.weight = self.add_weight(
                name="weight", shape=(), initializer="zeros", trainable=True
            )

        def call(self, x):
            return self.weight + 0.0 * x

    class Watch(keras.callbacks.Callback):
        """Notes the reported rate before each batch and the weight, set to 0 before, after it."""

        def __init__(self, report):
            super().__init__()
            self.report = report
            self.reported, self.applied = [], []

        def on_train_batch_begin(self, batch, logs=None):
            self.reported.append(self.report(self.model.optimizer))
            self.model.weight.assign(0.0)

        def on_train_batch_end(self, batch, logs=None):
            self.applied.append(0.0 - float(np.asarray(self.model.weight)))

    return Probe, Watch


def fit(
    optimizer,
    batches: int,
    *,
    epochs: int = 1,
    callbacks=(),
    module: str = "keras",
    report=lambda optimizer: float(optimizer.learning_rate),
) -> tuple[np.ndarray, np.ndarray]:
    """The rates that a compiled ``model.fit`` reports and applies, one for each update."""
    probe, watch_class = _probe_classes(module)
    model, watch = probe(), watch_class(report)
    model.compile(optimizer=optimizer, loss=lambda y, p: tf.reduce_mean(p))
    x = np.zeros((batches, 1), np.float32)
    model.fit(
        x,
        x,
        batch_size=1,
        epochs=epochs,
        verbose=0,
        shuffle=False,
        callbacks=[*callbacks, watch],
    )
    return np.array(watch.reported, np.float32), np.array(watch.applied, np.float32)
