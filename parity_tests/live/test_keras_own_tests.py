"""Keras' own tests of its schedules, with lrparity answering for them."""

from __future__ import annotations

import importlib
import unittest

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from keras.src.optimizers.schedules import learning_rate_schedule as keras_module

from lrparity import schedules
from lrparity.schedules._serialization import KERAS_CLASSES

pytestmark = pytest.mark.keras

TESTS = "keras.src.optimizers.schedules.learning_rate_schedule_test"


def run_keras_tests(monkeypatch, rate_of) -> tuple[unittest.TestResult, int]:
    """Run Keras' file with every schedule's value replaced by ``rate_of(schedule, step)``."""
    asked = 0

    def answer(self, step):
        ours = getattr(schedules, type(self).__name__).from_config(self.get_config())

        def rate(moment):
            nonlocal asked
            asked += 1
            return np.float32(rate_of(ours, moment))

        step = ops.convert_to_tensor(step)
        if tf.executing_eagerly():
            return ops.convert_to_tensor(rate(step.numpy()))
        answered = tf.numpy_function(rate, [step], tf.float32)  # inside a compiled fit
        answered.set_shape(())
        return answered

    for name in KERAS_CLASSES:
        monkeypatch.setattr(getattr(keras_module, name), "__call__", answer)
    suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(TESTS))
    result = unittest.TestResult()
    suite.run(result)
    return result, asked


def test_keras_own_tests_pass_when_lrparity_answers(monkeypatch):
    result, asked = run_keras_tests(monkeypatch, lambda schedule, step: schedule(step))
    assert (result.errors, result.failures, result.skipped) == ([], [], [])
    assert result.testsRun >= 30
    assert asked >= 50


def test_they_fail_when_lrparity_is_one_step_late(monkeypatch):
    result, _ = run_keras_tests(monkeypatch, lambda schedule, step: schedule(step - 1))
    assert len(result.failures) >= 10
