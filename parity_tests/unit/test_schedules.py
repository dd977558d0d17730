"""Every schedule without Keras: bulk, configs, validation, and what the tutorials print."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bits import assert_same_bits
from lrparity import schedules
from registry import CASES, EXAMPLES, example_id


def refuses(schedule, steps, numerics) -> bool:
    """Whether a composition says that its applied rates are not known."""
    try:
        schedule(steps, numerics=numerics)
    except ValueError as error:
        if numerics == "graph" and "numerics='graph' is not known" in str(error):
            return True
        raise
    return False


@pytest.mark.parametrize("numerics", ["eager", "graph"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bulk_has_the_bits_of_one_by_one(case, numerics, seed):
    if numerics == "graph" and not case.graph:
        with pytest.raises(ValueError, match="numerics='graph' is not known"):
            case.build(case.examples[0])(1, numerics="graph")
        return
    rng = case.generator(seed)
    for _ in range(12):
        config = case.draw(rng)
        schedule, steps = case.build(config), case.steps(config, rng)
        if refuses(schedule, steps, numerics):
            for step in steps[:5]:
                assert refuses(schedule, int(step), numerics)
            continue
        singly = [schedule(int(step), numerics=numerics) for step in steps]
        bulk = schedule(steps, numerics=numerics)
        assert_same_bits(bulk, singly, steps, f"seed {seed}, {schedule!r}")
        shuffled = rng.permutation(steps)
        order = np.argsort(shuffled)
        assert_same_bits(schedule(shuffled, numerics=numerics)[order], bulk, steps)


@given(st.data())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bulk_equals_scalar_at_any_step(case, data):
    schedule = case.build(data.draw(st.sampled_from(case.examples)))
    low = 0 if getattr(schedule, "compounding", False) else -(2**40)
    high = 10**4 if getattr(schedule, "compounding", False) else 2**62
    steps = data.draw(st.lists(st.integers(low, high), min_size=1, max_size=8))
    bulk = schedule(np.array(steps))
    assert_same_bits(bulk, [schedule(step) for step in steps], steps)


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_shapes_and_types(example):
    case, config = example
    schedule = case.build(config)
    value = schedule(3)
    assert type(value) is float
    assert value == float(np.float32(value))
    for scalar in (np.int64(3), np.int32(3), np.uint8(3), np.array(3)):
        assert schedule(scalar) == value
        assert type(schedule(scalar)) is float
    grid = schedule(np.arange(6).reshape(2, 3))
    assert (grid.shape, grid.dtype) == ((2, 3), np.float32)
    assert schedule([3]).tolist() == [value]
    assert schedule(np.array([], np.int64)).shape == (0,)
    assert schedule(np.zeros((2, 0), np.int64)).shape == (2, 0)
    assert schedule(range(4)).shape == (4,)


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_config_round_trip_equality_and_immutability(example):
    case, config = example
    schedule = case.build(config)
    steps = np.arange(50)
    expected = schedule(steps)
    serialised = schedules.serialize(schedule)
    for twin in (
        case.cls.from_config(schedule.get_config()),
        schedules.deserialize(serialised),
        schedules.deserialize(
            {"class_name": serialised["class_name"], "config": serialised["config"]}
        ),
        pickle.loads(pickle.dumps(schedule)),
        copy.deepcopy(schedule),
        eval(repr(schedule), vars(schedules)),  # the repr is the expression
    ):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert_same_bits(twin(steps), expected)
    names = list(inspect.signature(case.cls).parameters)
    assert list(schedule.get_config()) == names
    with pytest.raises(AttributeError):
        setattr(schedule, names[0], 1.0)
    assert schedule != case.cls(**config | {"name": "other"})
    schedule.get_config()[names[0]] = "mutated"
    assert_same_bits(schedule(steps), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_documentation_says_what_it_must(case):
    text = " ".join((inspect.getdoc(case.cls) or "").split())
    for word in ("Args:", "Raises:", ">>>", "torch", "lr"):
        assert word in text, word
    if case.scheduler is not None:
        scheduler = inspect.getdoc(case.scheduler) or ""
        for word in ("Args:", case.name, ">>>", "torch"):
            assert word in scheduler, word


def test_every_shipped_schedule_has_a_row():
    shipped = {
        name
        for name in schedules.__all__
        if isinstance(getattr(schedules, name), type)
        and issubclass(getattr(schedules, name), schedules.LearningRateSchedule)
    }
    assert shipped - {"LearningRateSchedule", "FunctionSchedule"} == {c.name for c in CASES}


@pytest.mark.parametrize("case", [c for c in CASES if c.scheduler], ids=lambda case: case.name)
def test_torch_class_takes_the_arguments_of_the_schedule(case):
    own = inspect.signature(case.cls).parameters
    torch_class = inspect.signature(case.scheduler).parameters
    for name, parameter in own.items():
        if name == "name":
            continue
        assert name in torch_class
        if name != "initial_learning_rate":
            assert torch_class[name].default == parameter.default, name


# --- bad input ----------------------------------------------------------------------------------

NUMBERS = [
    (case, name)
    for case in CASES
    for name in case.examples[0]
    if isinstance(case.examples[0][name], int | float)
    and not isinstance(case.examples[0][name], bool)
]


@pytest.mark.parametrize(("case", "name"), NUMBERS, ids=lambda x: getattr(x, "name", x))
@pytest.mark.parametrize("bad", [math.nan, "0.1", None, True, 1j, [0.1]], ids=repr)
def test_bad_numbers_name_the_argument_and_the_value(case, name, bad):
    if bad is None and inspect.signature(case.cls).parameters[name].default is None:
        return
    with pytest.raises((TypeError, ValueError), match=name) as error:
        case.build(case.examples[0] | {name: bad})
    assert repr(bad) in str(error.value)


@pytest.mark.parametrize("case", [c for c in CASES if c.per_group], ids=lambda case: case.name)
@pytest.mark.parametrize("bad", [math.inf, -math.inf, 1e39])
def test_an_infinite_rate_is_refused(case, bad):
    with pytest.raises(ValueError, match="initial_learning_rate"):
        case.build(case.examples[0] | {"initial_learning_rate": bad})


@pytest.mark.parametrize("case", [c for c in CASES if c.per_group], ids=lambda case: case.name)
def test_an_integer_rate_becomes_a_float(case):
    config = case.examples[0]
    whole = case.build(config | {"initial_learning_rate": 1})
    assert whole == case.build(config | {"initial_learning_rate": 1.0})
    assert type(whole.get_config()["initial_learning_rate"]) is float
    assert 0 < whole(5) <= 1


def test_numpy_scalars_are_taken_as_python_numbers():
    plain = schedules.ExponentialDecay(0.25, 10, 0.5)
    assert plain == schedules.ExponentialDecay(np.float32(0.25), np.int64(10), np.float64(0.5))
    config = schedules.ExponentialDecay(np.float64(0.1), 10, 0.5).get_config()
    assert type(config["initial_learning_rate"]) is float
    assert schedules.ExponentialDecay(np.float64(0.1), 10, 0.5)(3) == (
        schedules.ExponentialDecay(0.1, 10, 0.5)(3)
    )


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (math.nan, ValueError),
        ("3", TypeError),
        (None, TypeError),
        (True, TypeError),
        (1j, TypeError),
        ([1, math.nan], ValueError),
        (2**63, ValueError),
        (np.array([2**63], np.uint64), ValueError),
        (np.array([True]), TypeError),
    ],
    ids=repr,
)
def test_bad_steps(bad, error):
    with pytest.raises(error, match="step"):
        schedules.ExponentialDecay(0.1, 10, 0.5)(bad)


def test_negative_and_float_steps_have_a_meaning():
    schedule = schedules.ExponentialDecay(0.1, 10, 0.5)
    assert schedule(-10) == float(np.float32(0.1) * np.float32(2))
    assert schedule(10.0) == schedule(10)
    assert schedule(5) < schedule(4.5) < schedule(4)
    piecewise = schedules.PiecewiseConstantDecay([10.7], [0.1, 0.3])
    assert piecewise(11) == piecewise(10.8) == schedules.PiecewiseConstantDecay([], [0.3])(0)
    assert piecewise(10.5) == piecewise(10)


def test_numbers_that_no_tensor_holds():
    for name, value in (("decay_steps", 10**400), ("initial_learning_rate", 10**400)):
        with pytest.raises(ValueError, match=name):
            schedules.ExponentialDecay(
                **{"initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 1} | {name: value}
            )
    with pytest.raises(ValueError, match="epoch by epoch"):
        schedules.TimeBasedDecay(0.1, 0.1, unit="epoch", compounding=True)(10**10)


def test_unknown_numerics():
    with pytest.raises(ValueError, match="'eager', 'graph'"):
        schedules.ExponentialDecay(0.1, 10, 0.5)(1, numerics="xla")


@pytest.mark.parametrize(
    ("boundaries", "values", "error", "words"),
    [
        ([1, 2], [0.1, 0.2], ValueError, "1 less than"),
        ([math.inf], [0.1, 0.2], ValueError, "finite"),
        ([math.nan], [0.1, 0.2], ValueError, "boundaries"),
        ([1], [0.1, math.inf], ValueError, "values"),
        (3, [0.1, 0.2], TypeError, "boundaries"),
        ("12", [0.1, 0.2], TypeError, "boundaries"),
        ({1}, [0.1, 0.2], TypeError, "boundaries"),
        ([2**63], [0.1, 0.2], ValueError, "int64"),
        ([1], ["a", 0.2], TypeError, "values"),
    ],
)
def test_bad_pieces(boundaries, values, error, words):
    with pytest.raises(error, match=words):
        schedules.PiecewiseConstantDecay(boundaries, values)


def test_what_is_surely_unintended_warns():
    for build, words in (
        (lambda: schedules.ExponentialDecay(-0.1, 10, 0.5), "negative"),
        (lambda: schedules.PiecewiseConstantDecay([5, 5], [1.0, 2.0, 3.0]), "do not increase"),
        (lambda: schedules.PiecewiseConstantDecay([5], [0.1, -0.1]), "negative"),
        (lambda: schedules.PolynomialDecay(0.1, 10, -0.1), "negative"),
        (lambda: schedules.CosineDecay(0.1, 10, warmup_steps=5), "no warm-up"),
        (lambda: schedules.PolynomialDecay(0.1, 10, 1e-40), "smallest normal"),
        (lambda: schedules.TimeBasedDecay(0.1, -1.0, keras_version="2.3.1"), "ignores"),
    ):
        with pytest.warns(UserWarning, match=words):
            build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert schedules.PolynomialDecay(0.0, 10, 1e-40)(100) == 0.0
        ignored = schedules.TimeBasedDecay(0.1, -1.0, keras_version="2.3.1")
    assert ignored(100) == float(np.float32(0.1))


def test_time_based_decay_versions_and_units():
    for version in ("3.15", "3.0", "4.0", "0.1.2", "tf", ""):
        with pytest.raises(ValueError, match="keras_version"):
            schedules.TimeBasedDecay(0.1, 0.1, keras_version=version)
    with pytest.raises(TypeError, match=r"2\.10 is not 2\.1"):
        schedules.TimeBasedDecay(0.1, 0.1, keras_version=2.10)
    with pytest.raises(ValueError, match="InverseTimeDecay"):
        schedules.TimeBasedDecay(0.1, 0.1, keras_version="3.15")
    with pytest.raises(ValueError, match="unit='epoch'"):
        schedules.TimeBasedDecay(0.1, 0.1, compounding=True)
    with pytest.raises(ValueError, match="'update', 'epoch'"):
        schedules.TimeBasedDecay(0.1, 0.1, unit="batch")
    compounding = schedules.TimeBasedDecay(0.1, 0.1, unit="epoch", compounding=True)
    for bad in (-1, 1.5, [0, -1]):
        with pytest.raises(ValueError, match="0, 1, 2"):
            compounding(bad)
    assert (schedules.TimeBasedDecay(0.1, 0.1).unit, compounding.unit) == ("update", "epoch")


def test_time_based_decay_of_the_tutorials_table():
    """Rate 0.1, decay 0.001: the first five epochs that the tutorials print."""
    schedule = schedules.TimeBasedDecay(0.1, 0.001, unit="epoch", compounding=True)
    table = [0.1, 0.0999000999, 0.0997006985, 0.09940249103, 0.09900646517]
    for epoch, printed in enumerate(table):
        rate = 0.1
        for e in range(epoch + 1):
            rate = rate * 1 / (1 + 0.001 * e)
        assert schedule(epoch) == float(np.float32(rate))
        assert f"{rate:.10g}" == f"{printed:.10g}"
    per_epoch = schedules.TimeBasedDecay(0.1, 0.001, unit="epoch")
    assert per_epoch(2) == float(np.float32(0.1 * 1 / (1 + 0.001 * 2)))
    assert per_epoch(2) != schedule(2)


def test_step_decay_is_the_tutorials_function():
    def step_decay(epoch, offset):
        return 0.1 * math.pow(0.5, math.floor((offset + epoch) / 10.0))

    for offset in (1, 0):
        schedule = schedules.StepDecay(0.1, 0.5, 10.0, offset)
        expected = [step_decay(epoch, offset) for epoch in range(100)]
        assert_same_bits(schedule(np.arange(100)), expected)
    with pytest.raises(ValueError, match="epochs_drop"):
        schedules.StepDecay(0.1, 0.5, 0)
    assert schedules.StepDecay(0.1, 0.5, 10).unit == "epoch"


# --- schedules of one's own ---------------------------------------------------------------------


class Halving(schedules.LearningRateSchedule):
    """A schedule as a user writes it."""

    def __init__(self, start, every=10):
        self.start, self.every = start, every

    def __call__(self, step):
        assert type(step) in {int, float}
        return self.start / 2 ** (step // self.every)

    def get_config(self):
        return {"start": self.start, "every": self.every}


def test_a_class_of_ones_own():
    schedule = Halving(0.1)
    assert schedule(25) == float(np.float32(0.025))
    assert_same_bits(schedule(np.arange(30)), [schedule(k) for k in range(30)])
    assert schedule(np.zeros((2, 2), int)).shape == (2, 2)
    with pytest.raises(ValueError, match="Halving"):
        schedule(3, numerics="graph")
    stored = schedules.serialize(schedule)
    assert (stored["class_name"], stored["config"]) == ("Halving", {"start": 0.1, "every": 10})
    with pytest.raises(ValueError, match="custom_objects"):
        schedules.deserialize(stored)
    back = schedules.deserialize(stored, custom_objects={"Halving": Halving})
    assert back(25) == schedule(25)


def test_a_subclass_of_a_shipped_schedule():
    class Doubled(schedules.CosineDecay):
        def __call__(self, step):
            return 2 * super().__call__(step)

    doubled, plain = Doubled(0.1, 10), schedules.CosineDecay(0.1, 10)
    assert_same_bits(doubled(np.arange(12)), 2 * plain(np.arange(12)))


def test_a_schedule_without_call_or_config_says_so():
    class Empty(schedules.LearningRateSchedule):
        pass

    with pytest.raises(NotImplementedError, match="__call__"):
        Empty()(3)
    with pytest.raises(NotImplementedError, match="get_config"):
        schedules.serialize(Empty())


@pytest.mark.parametrize(
    "bad", ["fast", None, [0.1], True, math.nan, np.array([0.3, 0.2])], ids=repr
)
def test_a_function_that_returns_no_rate(bad):
    with pytest.raises((TypeError, ValueError), match="must return a learning rate"):
        schedules.as_schedule(lambda step: bad)(3)


def test_functions_are_schedules():
    schedule = schedules.as_schedule(lambda step: 0.1 * 0.9**step)
    assert schedule(2) == float(np.float32(0.1 * 0.9**2))
    assert schedules.as_schedule(schedule) is schedule
    assert schedules.FunctionSchedule(math.exp, unit="epoch").unit == "epoch"
    with pytest.raises(TypeError, match="no config"):
        schedule.get_config()
    for bad in (0.1, None, "cosine", lambda: 0.1, lambda a, b: 0.1):
        with pytest.raises(TypeError, match="schedule"):
            schedules.as_schedule(bad)
    with pytest.raises(TypeError, match="function of the step alone"):
        schedules.as_schedule(lambda epoch, lr: lr)
    with pytest.raises(TypeError, match="Instantiate"):
        schedules.as_schedule(schedules.CosineDecay)

    def warm(step):
        return 0.1

    stored = schedules.serialize(schedules.as_schedule(warm))
    assert stored["config"] == "warm"
    assert schedules.deserialize(stored, {"warm": warm}) == schedules.FunctionSchedule(warm)
    with pytest.raises(ValueError, match="warm"):
        schedules.deserialize(stored)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({}, TypeError),
        ({"class_name": ["x"], "config": {}}, TypeError),
        ({"class_name": "function", "config": ["x"]}, ValueError),
        ("ExponentialDecay", TypeError),
        ({"class_name": "Unknown", "config": {}}, ValueError),
        ({"class_name": "ExponentialDecay", "config": []}, TypeError),
        ({"class_name": "ExponentialDecay", "config": {"decay_stepz": 3}}, TypeError),
        ({"class_name": "os.system", "config": {"command": "true"}, "module": "os"}, ValueError),
    ],
    ids=repr,
)
def test_deserialize_refuses(config, error):
    with pytest.raises(error):
        schedules.deserialize(config)
