"""Rates out of a real ``model.fit`` against rates out of a real torch loop."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import keras_side
from bits import assert_same_bits, differing
from lrparity import lr_scheduler, schedules
from registry import EXAMPLES, KERAS_CASES, example_id, has_twin

pytestmark = pytest.mark.keras

UPDATES = 90


def torch_loop(make_scheduler, updates: int, lr: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """The rates that the group shows, and those that move a weight of gradient 1."""
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=lr)
    scheduler = make_scheduler(optimizer)
    shown, applied = [], []
    for _ in range(updates):
        shown.append(optimizer.param_groups[0]["lr"])
        with torch.no_grad():
            weight.zero_()
        optimizer.zero_grad()
        weight.sum().backward()
        optimizer.step()
        applied.append(0.0 - weight.item())
        scheduler.step()
    return np.array(shown), np.array(applied)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if has_twin(*e)], ids=example_id)
def test_fit_and_torch_loop_follow_the_same_rates(example):
    case, config = example
    twin = keras_side.schedule_of(case.keras, config)
    reported, applied = keras_side.fit(keras.optimizers.SGD(twin), UPDATES)
    for numerics, expected in (("eager", reported), ("graph", applied)):
        shown, moved = torch_loop(
            lambda optimizer, n=numerics: case.scheduler(optimizer, **config, numerics=n), UPDATES
        )
        assert_same_bits(shown, expected, context=f"{case.name} {config} {numerics}")
        assert shown.tolist() == np.float32(shown).astype(float).tolist()
        assert_same_bits(moved, expected, context="the update itself")


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_random_configurations_in_fit(case, seed):
    rng = case.generator(seed)
    for _ in range(3):
        config = case.draw(rng)
        start = int(max(case.period(config) - 5, 0))
        optimizer = keras.optimizers.SGD(keras_side.schedule_of(case.keras, config))
        optimizer.iterations.assign(start)
        reported, applied = keras_side.fit(optimizer, 12)
        schedule, steps = case.build(config), np.arange(start, start + 12)
        assert_same_bits(schedule(steps), reported, steps, f"seed {seed}, {schedule!r}")
        graph = schedule(steps, numerics="graph")
        assert_same_bits(graph, applied, steps, f"seed {seed}, {schedule!r}, applied")


def test_reported_and_applied_part_by_a_whole_drop_in_fit():
    config = {"decay_steps": 41, "decay_rate": 0.5, "staircase": True}
    twin = keras.optimizers.schedules.ExponentialDecay(0.1, **config)
    reported, applied = keras_side.fit(keras.optimizers.SGD(twin), 44)
    assert np.flatnonzero(differing(reported, applied)).tolist() == [41]


@pytest.mark.parametrize("offset", [1, 0])
def test_drop_based_decay_per_epoch(offset):
    """The tutorials' callback, in ``LearningRateScheduler``, against ``StepDecayLR``."""
    epochs, batches = 25, 3

    def step_decay(epoch):
        return 0.1 * 0.5 ** np.floor((offset + epoch) / 10.0)

    callback = keras.callbacks.LearningRateScheduler(lambda epoch: float(step_decay(epoch)))
    reported, applied = keras_side.fit(
        keras.optimizers.SGD(0.1), batches, epochs=epochs, callbacks=[callback]
    )
    expected = schedules.StepDecay(0.1, 0.5, 10.0, offset)(np.arange(epochs)).repeat(batches)
    assert_same_bits(expected, reported)
    assert_same_bits(expected, applied)
    shown, _ = torch_loop(
        lambda optimizer: lr_scheduler.StepDecayLR(
            optimizer, drop=0.5, epochs_drop=10.0, offset=offset
        ),
        epochs,
    )
    assert_same_bits(shown.repeat(batches), applied)


@pytest.mark.parametrize("compounding", [False, True])
def test_time_based_decay_per_epoch(compounding):
    """The two per-epoch readings, as people write them in ``LearningRateScheduler``."""
    epochs, decay = 30, 0.1 / 30
    rate = 0.1

    def per_epoch(epoch):
        nonlocal rate
        if compounding:
            rate = rate * 1 / (1 + decay * epoch)
            return rate
        return 0.1 * 1 / (1 + decay * epoch)

    callback = keras.callbacks.LearningRateScheduler(per_epoch)
    _, applied = keras_side.fit(keras.optimizers.SGD(0.1), 1, epochs=epochs, callbacks=[callback])
    schedule = schedules.TimeBasedDecay(0.1, decay, unit="epoch", compounding=compounding)
    assert_same_bits(schedule(np.arange(epochs)), applied)


def test_the_probe_itself_would_notice():
    """Negative control: a loop that is one step late is not the one that Keras ran."""
    twin = keras.optimizers.schedules.CosineDecay(0.1, 60)
    reported, applied = keras_side.fit(keras.optimizers.SGD(twin), UPDATES)
    late, _ = torch_loop(
        lambda optimizer: lr_scheduler.ScheduleLR(
            optimizer, lambda k: schedules.CosineDecay(0.1, 60)(max(k - 1, 0))
        ),
        UPDATES,
    )
    assert differing(late, reported).sum() > 50
    assert differing(late, applied).sum() > 50
