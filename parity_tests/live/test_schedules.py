"""Every schedule against live Keras: reported rates, traced rates, edges, and planted errors."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import keras_side
from bits import assert_same_bits, differing
from lrparity import schedules
from registry import EXAMPLES, KERAS_CASES, Case, example_id, has_twin

pytestmark = pytest.mark.keras

EAGER_PAIRS = 20_000
TRACED_STEPS = 100


def draw(case: Case, rng) -> tuple[dict, schedules.LearningRateSchedule]:
    config = case.draw(rng)
    return config, case.build(config)


def eager_sweep(case: Case, seed: int, pairs: int) -> int:
    rng = case.generator(seed)
    done = 0
    while done < pairs:
        config, schedule = draw(case, rng)
        steps = case.steps(config, rng)
        expected = keras_side.eager(keras_side.schedule_of(case.keras, config), steps)
        assert_same_bits(schedule(steps), expected, steps, f"seed {seed}, {schedule!r}, eager")
        done += steps.size
    return done


def graph_sweep(case: Case, seed: int, configurations: int) -> None:
    rng = case.generator(seed)
    for _ in range(configurations):
        config, schedule = draw(case, rng)
        steps = case.steps(config, rng, n=TRACED_STEPS)
        assert steps.size >= TRACED_STEPS
        expected = keras_side.traced(keras_side.schedule_of(case.keras, config), steps)
        actual = schedule(steps, numerics="graph")
        assert_same_bits(actual, expected, steps, f"seed {seed}, {schedule!r}, graph")


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_reported_rates_have_no_differing_bit(case, seed):
    pairs = math.ceil(EAGER_PAIRS / len(KERAS_CASES))
    assert eager_sweep(case, seed, pairs) >= pairs


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_applied_rates_have_no_differing_bit(case, seed):
    graph_sweep(case, seed, configurations=12)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(10))
@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_long_sweep(case, round_, seed):
    eager_sweep(case, seed + 1000 * round_, 20_000)
    graph_sweep(case, seed + 1000 * round_, configurations=60)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if has_twin(*e)], ids=example_id)
def test_every_step_of_the_examples(example):
    case, config = example
    twin, schedule = keras_side.schedule_of(case.keras, config), case.build(config)
    steps = np.arange(200)
    assert_same_bits(schedule(steps), keras_side.eager(twin, steps), steps, repr(schedule))
    graph = schedule(steps, numerics="graph")
    assert_same_bits(graph, keras_side.traced(twin, steps), steps, f"{schedule!r}, graph")


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_float_steps_are_float32_as_in_keras(case, seed):
    rng = case.generator(seed)
    for _ in range(6):
        config, schedule = draw(case, rng)
        steps = np.float32(rng.uniform(0, 3 * case.period(config), 12))
        twin = keras_side.schedule_of(case.keras, config)
        assert_same_bits(
            schedule(steps), keras_side.eager_float_steps(twin, steps), steps, schedule
        )


def test_the_staircase_that_drops_later_than_it_reports():
    config = {
        "initial_learning_rate": 0.1,
        "decay_steps": 41,
        "decay_rate": 0.5,
        "staircase": True,
    }
    twin = keras_side.schedule_of("ExponentialDecay", config)
    schedule = schedules.ExponentialDecay(**config)
    assert keras_side.eager(twin, [40, 41, 42]).tolist() == schedule([40, 41, 42]).tolist()
    assert schedule(41) < schedule(40)
    assert schedule(41, numerics="graph") == schedule(40)
    assert keras_side.traced(twin, [41])[0] == np.float32(schedule(40))
    assert schedule(42, numerics="graph") < schedule(40)


def test_unsorted_boundaries_sum_as_in_keras():
    config = {"boundaries": [20, 10], "values": [0.5, 0.25, 0.125]}
    with pytest.warns(UserWarning, match="do not increase"):
        schedule = schedules.PiecewiseConstantDecay(**config)
    steps = np.arange(30)
    twin = keras_side.schedule_of("PiecewiseConstantDecay", config)
    assert_same_bits(schedule(steps), keras_side.eager(twin, steps), steps)


def test_one_rounding_of_huge_integers_and_subnormal_steps():
    config = {"initial_learning_rate": 0.1, "decay_steps": 2**54 + 2**30 + 1, "decay_rate": 1e3}
    twin = keras_side.schedule_of("InverseTimeDecay", config)
    steps = np.array([10**15, 10**16])
    schedule = schedules.InverseTimeDecay(**config)
    assert_same_bits(schedule(steps), keras_side.eager(twin, steps), steps)
    for name, config in (
        ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "cycle": True}),
        ("PiecewiseConstantDecay", {"boundaries": [0.0, 7.0], "values": [0.1, 0.2, 0.3]}),
    ):
        twin, steps = keras_side.schedule_of(name, config), np.float32([1e-40, -1e-40, 0.0])
        ours = getattr(schedules, name)(**config)
        assert_same_bits(ours(steps), keras_side.eager_float_steps(twin, steps), steps)


def test_a_keras_schedule_in_place_of_ours_is_told_its_name():
    import tf_keras

    twin = keras_side.schedule_of("CosineDecay", COSINE)
    for bad in (twin, tf_keras.optimizers.schedules.CosineDecay(**COSINE)):
        with pytest.raises(TypeError, match=r"lrparity\.schedules\.CosineDecay\.from_config"):
            schedules.as_schedule(bad)
    ours = schedules.CosineDecay.from_config(twin.get_config())
    assert ours == schedules.CosineDecay(**COSINE)


def test_subnormal_results_are_flushed_as_in_tensorflow():
    for rate, decay in ((1e-30, 0.5), (0.1, 0.5), (1e-37, 0.9)):
        config = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        steps = np.arange(0, 200, 3)
        twin = keras_side.schedule_of("ExponentialDecay", config)
        schedule = schedules.ExponentialDecay(**config)
        assert_same_bits(schedule(steps), keras_side.eager(twin, steps), steps, schedule)
        graph = schedule(steps, numerics="graph")
        assert_same_bits(graph, keras_side.traced(twin, steps), steps, schedule)


REJECTED = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 0, "decay_rate": 0.9}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": -1, "decay_rate": 0.9}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 0, "decay_rate": 0.9}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 0}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 0}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 0}),
    ("PiecewiseConstantDecay", {"boundaries": [1, 2], "values": [0.1, 0.2]}),
    ("PiecewiseConstantDecay", {"boundaries": [], "values": []}),
]


@pytest.mark.parametrize(("name", "config"), REJECTED)
def test_what_keras_rejects_is_rejected(name, config):
    with pytest.raises(ValueError):  # noqa: PT011 (Keras' own words)
        keras_side.schedule_of(name, config)
    with pytest.raises(ValueError, match=r"Received|must"):
        getattr(schedules, name)(**config)


@pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)
def test_serialised_forms_are_interchangeable(case, seed):
    import keras

    config, schedule = draw(case, case.generator(seed))
    twin = keras_side.schedule_of(case.keras, config)
    theirs = keras.optimizers.schedules.serialize(twin)
    assert schedules.serialize(schedule) == theirs
    assert schedules.deserialize(theirs) == schedule
    back = keras.optimizers.schedules.deserialize(schedules.serialize(schedule))
    assert back.get_config() == twin.get_config()


# --- negative controls: each comparison must be able to fail ----------------------------------


class Mutant(schedules.LearningRateSchedule):
    """A schedule with a planted error."""

    def __init__(self, function):
        self.function = function

    def __call__(self, step):
        return self.function(step)


COSINE = {"initial_learning_rate": 0.1, "decay_steps": 100}
MUTANTS = {
    "one step late": lambda step: schedules.CosineDecay(**COSINE)(max(step - 1, 0)),
    "one step early": lambda step: schedules.CosineDecay(**COSINE)(step + 1),
    "float64 rounded at the end": lambda step: (
        0.1 * 0.5 * (1 + math.cos(math.pi * min(step, 100) / 100))
    ),
    "NumPy's float32 cosine": lambda step: (
        np.float32(0.1)
        * (
            np.float32(0.5)
            * (
                1
                + np.cos(np.array([np.float32(math.pi) * (np.float32(step) / np.float32(100))]))[0]
            )
        )
    ),
    "another rate by one bit": schedules.CosineDecay(
        float(np.nextafter(np.float32(0.1), np.float32(1))), 100
    ),
    "graph for eager": lambda step: schedules.CosineDecay(**COSINE)(step, numerics="graph"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_error_is_found(name):
    steps = np.arange(100)
    expected = keras_side.eager(keras_side.schedule_of("CosineDecay", COSINE), steps)
    mutant = Mutant(MUTANTS[name])(steps)
    assert differing(mutant, expected).any()
    with pytest.raises(AssertionError, match="differ in bits"):
        assert_same_bits(mutant, expected, steps)


def test_boundaries_are_inclusive_and_the_comparison_sees_it():
    config = {"boundaries": [10], "values": [0.1, 0.05]}
    expected = keras_side.eager(keras_side.schedule_of("PiecewiseConstantDecay", config), range(20))
    exclusive = Mutant(lambda step: 0.1 if step < 10 else 0.05)(np.arange(20))
    assert np.flatnonzero(differing(exclusive, expected)).tolist() == [10]


def test_eager_and_graph_differ_so_each_comparison_can_tell_them_apart(seed):
    for case in KERAS_CASES:
        if case.keras == "PiecewiseConstantDecay":
            continue
        rng = case.generator(7)
        apart = 0
        for _ in range(30):
            config, schedule = draw(case, rng)
            steps = case.steps(config, rng)
            apart += differing(schedule(steps), schedule(steps, numerics="graph")).sum()
        assert apart > 0, case.name


@pytest.fixture(autouse=True)
def _silence_intended_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)
        yield
