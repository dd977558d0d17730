"""Compositions and warm-ups: what no row of the registry says about them."""

from __future__ import annotations

import io
import json
import math
import re
import warnings

import numpy as np
import pytest
import torch

from bits import assert_same_bits
from lrparity import schedules
from lrparity.lr_scheduler import ScheduleLR
from lrparity.schedules import (
    BertWarmUp,
    Clip,
    Constant,
    CosineDecay,
    ExponentialDecay,
    FunctionSchedule,
    Hold,
    InPython,
    Join,
    LearningRateSchedule,
    LinearWarmup,
    Offset,
    PerEpoch,
    PerUpdate,
    PolynomialWarmUp,
    Product,
    Repeat,
    Scale,
    StepDecay,
    Sum,
    TransformersWarmUp,
    WarmUp,
    WarmUpCosineDecay,
)
from registry import EXAMPLES, example_id

COSINE = CosineDecay(0.1, 60)
EXPONENTIAL = ExponentialDecay(0.1, 20, 0.5)
HALVED = StepDecay(0.1, 0.5, 7)


class Calls:
    """A function of the step that writes down what it is asked for."""

    def __init__(self):
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)
        return 0.1 / (step + 2)


class Falling(LearningRateSchedule):
    """A user's schedule, with a config."""

    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start * 0.97**step

    def get_config(self):
        return {"start": self.start}


class Bare(LearningRateSchedule):
    """A user's schedule, without a config."""

    def __call__(self, step):
        return 0.1


def falling(step):
    return 0.1 * 0.9**step


def scheduler_of(schedule, **options):
    groups = len(schedule) if isinstance(schedule, list) else 1
    weights = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    return ScheduleLR(torch.optim.SGD(weights, lr=1.0), schedule, **options)


def advance(scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr())
        scheduler.optimizer.step()
        scheduler.step()
    return rates


# --- bad input ----------------------------------------------------------------------------------

BAD_PARTS = [
    lambda bad: Join([bad, 0.1], [3]),
    lambda bad: Product([bad]),
    lambda bad: Sum([bad]),
    lambda bad: Scale(bad, 2.0),
    lambda bad: Offset(bad, 3),
    lambda bad: Clip(bad, minimum=0.1),
    lambda bad: Hold(bad, stop=3),
    lambda bad: Repeat(bad, 3),
    PerEpoch,
    lambda bad: PerUpdate(bad, 3),
    InPython,
    lambda bad: WarmUp(bad, 3),
    lambda bad: LinearWarmup(bad, 3, 0.0),
    lambda bad: PolynomialWarmUp(bad, 3),
    lambda bad: BertWarmUp(0.1, bad, 3),
    lambda bad: TransformersWarmUp(0.1, bad, 3),
]


@pytest.mark.parametrize("build", BAD_PARTS)
@pytest.mark.parametrize("bad", ["cosine", None, {"rate": 0.1}, [0.1]], ids=repr)
def test_what_is_no_schedule_is_told_what_is(build, bad):
    with pytest.raises(TypeError, match=r"sched.*must be [^:]*[sS]chedule[^:]*Received:") as error:
        build(bad)
    assert repr(bad) in str(error.value)


@pytest.mark.parametrize("build", BAD_PARTS)
def test_classes_and_functions_of_more_than_the_step_are_no_parts(build):
    with pytest.raises(TypeError, match="Instantiate it"):
        build(CosineDecay)
    with pytest.raises(TypeError, match="function of the step alone"):
        build(lambda step, rate: rate)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Constant(math.inf), "learning_rate.*finite"),
        (lambda: Constant(0.1, unit="batch"), "'update', 'epoch'"),
        (lambda: Join([0.1, 0.2], []), "1 less than"),
        (lambda: Join([0.1, 0.2, 0.3], [5, 5.0]), r"increase from one.*\[5, 5\.0\]"),
        (lambda: Join([0.1, 0.2], [math.inf]), "boundaries.*finite"),
        (lambda: Clip(COSINE), "neither"),
        (lambda: Clip(COSINE, 0.2, 0.1), r"minimum=0\.2, maximum=0\.1"),
        (lambda: Clip(COSINE, maximum=math.inf), "maximum.*finite"),
        (lambda: Hold(COSINE), "neither"),
        (lambda: Hold(COSINE, 5, 4), "start=5, stop=4"),
        (lambda: Repeat(COSINE, 0), "period.*> 0"),
        (lambda: PerUpdate(HALVED, 0), "steps_per_epoch.*> 0"),
        (lambda: PerUpdate(COSINE, 3), "counts updates already.*Leave out"),
        (lambda: PerUpdate(falling, 3), "unit='epoch'"),
        (lambda: PerEpoch(HALVED), "counts epochs already.*Leave out"),
        (lambda: PerEpoch(COSINE, arithmetic="double"), "'float64', 'float32'"),
        (lambda: WarmUp(COSINE, -1), "warmup_steps.*>= 0"),
        (lambda: WarmUp(COSINE, 0, inclusive=True), "warmup_steps.*> 0 if `inclusive`"),
        (lambda: WarmUp(COSINE, 3, power=2, line="slope"), "power.*1.*straight"),
        (lambda: WarmUp(COSINE, 3, counter="steps"), r"'max\(step, 1\)'"),
        (lambda: WarmUp(COSINE, 3, line="curve"), "'slope'"),
        (lambda: WarmUp(COSINE, 3, math.inf), "warmup_target.*finite"),
        (lambda: LinearWarmup(COSINE, -1, 0.0), "warmup_steps"),
        (lambda: PolynomialWarmUp(COSINE, -1), "warmup_steps"),
        (lambda: BertWarmUp(0.1, COSINE, -1), "warmup_steps"),
        (lambda: TransformersWarmUp(math.inf, COSINE, 1), "initial_learning_rate"),
        (lambda: WarmUpCosineDecay(0.1, 9, 0.0, 5, 4), "total_steps=9.*5.*4"),
        (lambda: WarmUpCosineDecay(0.1, 9, hold_base_rate_steps=-1), "hold_base_rate_steps"),
    ],
)
def test_bad_values(build, words):
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Join([], []), "`schedules`.*list of schedules"),
        (lambda: Product([]), "`schedules`.*list of schedules"),
        (lambda: Sum(COSINE), "`schedules`.*list of schedules"),
        (lambda: Join([0.1, 0.2], 3), "`boundaries`.*list of numbers"),
        (lambda: Join([0.1, 0.2], [3], inclusive="yes"), "`inclusive`.*True or False"),
        (lambda: Scale(COSINE, True), "`factor`.*real number"),
        (lambda: PerEpoch(0.1), r"Constant\(0\.1"),
        (lambda: WarmUp(10, COSINE), "`warmup_steps`.*real number"),
        (lambda: Constant(0.1, name=3), "`name`.*string"),
    ],
)
def test_bad_types(build, words):
    with pytest.raises(TypeError, match=words):
        build()


STEP_ARGUMENTS = {
    "offset": lambda steps: Offset(COSINE, steps),
    "minimum": lambda steps: Offset(COSINE, 3, minimum=steps),
    "start": lambda steps: Hold(COSINE, start=steps),
    "stop": lambda steps: Hold(COSINE, stop=steps),
    "period": lambda steps: Repeat(COSINE, steps),
    "steps_per_epoch": lambda steps: PerUpdate(HALVED, steps),
    "warmup_steps": lambda steps: WarmUp(COSINE, steps, shift=False),
    "total_steps": lambda steps: WarmUpCosineDecay(0.1, steps),
}


@pytest.mark.parametrize("name", STEP_ARGUMENTS)
def test_steps_are_finite_however_many(name):
    """Refused when it is built, not when it is called; beyond int64 they are floats."""
    with pytest.raises(ValueError, match=f"`{name}`.*finite"):
        STEP_ARGUMENTS[name](math.inf)
    schedule = STEP_ARGUMENTS[name](1e30)
    assert_same_bits(schedule(np.arange(3)), [schedule(k) for k in range(3)])


@pytest.mark.parametrize(
    "build",
    [
        lambda: Constant(-0.1),
        lambda: Scale(-0.1, 2.0),
        lambda: Join([-0.1, COSINE], [3]),
        lambda: WarmUp(-0.1, 3),
        lambda: WarmUp(COSINE, 3, -0.1),
        lambda: Constant(1e-40),
        lambda: Join([1e-40, COSINE], [3]),
        lambda: Repeat(COSINE, 1e-40),
    ],
)
def test_warnings_point_at_the_users_line(build):
    with pytest.warns(UserWarning, match="negative|smallest normal") as caught:
        build()
    assert {one.filename for one in caught} == {__file__}


def test_a_term_that_is_subtracted_is_no_negative_rate():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Sum([0.1, -0.025])(0) == pytest.approx(0.075)


# --- units --------------------------------------------------------------------------------------


def test_parts_count_the_same():
    for build in (
        lambda: Join([COSINE, HALVED], [3]),
        lambda: Product([COSINE, HALVED]),
        lambda: Sum([COSINE, FunctionSchedule(falling, unit="epoch")]),
        lambda: Clip(COSINE, minimum=HALVED),
        lambda: Join([COSINE, Constant(0.1, unit="epoch")], [3]),
    ):
        with pytest.raises(ValueError, match=r"count the same.*PerUpdate.*PerEpoch"):
            build()
    assert Join([COSINE, PerUpdate(HALVED, 3)], [3]).unit == "update"
    assert Join([PerEpoch(COSINE), HALVED, 0.1], [3, 6]).unit == "epoch"
    assert WarmUp(HALVED, 3).unit == InPython(HALVED).unit == "epoch"
    assert Sum([0.1, 0.2]).unit == "update"
    with pytest.raises(ValueError, match="count the same"):
        scheduler_of([Scale(COSINE, 2), Scale(HALVED, 2)])


# --- meanings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Constant(0.25), {-5: 0.25, 2**62: 0.25}),
        (Join([0.5], []), {-1: 0.5, 9: 0.5}),
        (Join([0.5, 0.25], [0]), {-1: 0.5, 0: 0.25}),
        (Join([0.5, 0.25], [10]), {9: 0.5, 10: 0.25, 9.5: 0.5, 10.5: 0.25}),
        (Join([0.5, 0.25], [10.0], inclusive=True), {10: 0.5, 11: 0.25, 10.5: 0.25}),
        (Join([0.5, 0.25], [10.5], inclusive=True), {10: 0.5, 11: 0.25}),
        (Join([0.5, 0.25], [2**53 + 1]), {2**53: 0.5, 2**53 + 1: 0.25}),
        (Join([0.5, 0.25], [10**9]), {10**6: 0.5}),
        (Offset(EXPONENTIAL, 20), {0: 0.2, 20: 0.1, 40: 0.05}),
        (Offset(EXPONENTIAL, -20), {0: 0.05}),
        (Offset(EXPONENTIAL, 20, minimum=0), {0: 0.1, 20: 0.1, 40: 0.05}),
        (Clip(EXPONENTIAL, 0.05, 0.08), {0: 0.08, 20: 0.05, 99: 0.05}),
        (Clip(EXPONENTIAL, Constant(0.2), Constant(0.15)), {0: 0.15}),  # the maximum wins
        (Hold(EXPONENTIAL, 20, 40), {-5: 0.05, 20: 0.05, 40: 0.025, 2**62: 0.025}),
        (Repeat(EXPONENTIAL, 40), {0: 0.1, 20: 0.05, 40: 0.1, -20: 0.05, 40 * 2**55 + 20: 0.05}),
        (PerUpdate(PerEpoch(EXPONENTIAL), 3), {2: 0.1, 59: 0.1 * 0.5 ** (19 / 20), 60: 0.05}),
        (PerUpdate(PerEpoch(EXPONENTIAL), 0.5), {10: 0.05}),
        (PerUpdate(PerEpoch(EXPONENTIAL), 4, staircase=False), {40: 0.1 * 0.5**0.5}),
        (WarmUp(EXPONENTIAL, 1), {0: 0.0, 1: 0.1, 21: 0.05}),
        (WarmUp(EXPONENTIAL, 2.5), {2: 0.08, 3: 0.1 * 0.5 ** (0.5 / 20)}),
        (WarmUp(0.1, 10), {-10: -0.1, 0: 0.0, 5: 0.05, 10: 0.1}),
        (WarmUp(0.1, 10, counter="step + 1"), {0: 0.01, 9: 0.1}),
        (WarmUp(0.1, 10, counter="max(step, 1)"), {0: 0.01, 1: 0.01}),
        (WarmUp(EXPONENTIAL, 20, shift=False), {10: 0.025, 20: 0.05}),
        (WarmUp(EXPONENTIAL, 20, 0.4, inclusive=True), {20: 0.4, 21: 0.1 * 0.5**0.05}),
        (BertWarmUp(0.4, EXPONENTIAL, 20), {0: 0.0, 10: 0.2, 20: 0.05}),
        (TransformersWarmUp(0.4, EXPONENTIAL, 20), {10: 0.2, 20: 0.1}),
        (LinearWarmup(EXPONENTIAL, 20, 0.01), {0: 0.01, 10: 0.03, 20: 0.05}),
        (PolynomialWarmUp(0.1, 10, 2.0), {0: 0.001, 1: 0.001, 5: 0.025, 10: 0.1}),
        (WarmUpCosineDecay(0.1, 50, 0.0, 10, 20), {5: 0.05, 10: 0.1, 30: 0.1, 40: 0.05, 51: 0.0}),
    ],
    ids=lambda x: repr(x)[:60],
)
def test_meanings_at_the_ends(schedule, expected):
    for step, rate in expected.items():
        assert schedule(step) == pytest.approx(rate, rel=1e-5, abs=1e-8), step


@pytest.mark.parametrize(
    "schedule",
    [
        *(WarmUp(EXPONENTIAL, 0, line=line) for line in ("fraction", "slope", "product")),
        LinearWarmup(EXPONENTIAL, 0, 0.0),
        PolynomialWarmUp(EXPONENTIAL, 0),
        BertWarmUp(0.1, EXPONENTIAL, 0),
        TransformersWarmUp(0.1, EXPONENTIAL, 0),
    ],
    ids=repr,
)
def test_a_warm_up_of_no_steps_is_the_base(schedule):
    steps = np.arange(-3, 40)
    assert_same_bits(schedule(steps), EXPONENTIAL(steps), steps)


def test_rates_without_a_number():
    infinite = schedules.PolynomialDecay(0.1, 10, 0.0, power=-1.0)
    assert infinite(10) == math.inf
    assert Clip(infinite, maximum=0.5)(10) == 0.5
    assert math.isnan(Sum([infinite, Scale(infinite, -1)])(10))


# --- schedules of one's own -----------------------------------------------------------------------


def test_a_function_is_asked_in_its_piece_in_order_and_never_ahead():
    first, second = Calls(), Calls()
    advance(scheduler_of(Join([first, 0.1, second], [3, 5])), 8)
    assert (first.steps, second.steps) == ([0, 1, 2], [0, 1, 2, 3])
    for build, expected in (
        (lambda f: Scale(f, 2), [0, 1, 2, 3, 4]),
        (lambda f: Clip(f, minimum=0.01, maximum=1.0), [0, 1, 2, 3, 4]),
        (lambda f: Offset(f, 2, minimum=0), [0, 0, 0, 1, 2]),
        (lambda f: Hold(f, stop=2), [0, 1, 2, 2, 2]),
        (lambda f: Repeat(f, 2), [0, 1, 0, 1, 0]),
        (lambda f: WarmUp(f, 2, warmup_target=0.1), [0, 1, 2]),
        (lambda f: BertWarmUp(0.1, f, 2), [2, 3, 4]),
        (lambda f: Join([0.1, Scale(Offset(f, 1), 2)], [2]), [-1, 0, 1]),
        (lambda f: PerUpdate(FunctionSchedule(f, unit="epoch"), 2), [0, 0, 1, 1, 2]),
    ):
        calls = Calls()
        schedule = build(calls)
        advance(scheduler_of(schedule), 4)
        assert calls.steps == expected, schedule
        assert {type(step) for step in calls.steps} == {int}


@pytest.mark.parametrize("shift", [True, False])
def test_a_warm_up_asks_for_the_hand_over_once(shift):
    calls = Calls()
    advance(scheduler_of(WarmUp(calls, 3, shift=shift)), 5)
    begin = 0 if shift else 3
    assert calls.steps == [begin, begin, begin + 1, begin + 2]


def test_a_function_that_fails_leaves_the_step_undone():
    table = [0.3, 0.2, 0.1]
    scheduler = scheduler_of(Join([Scale(lambda step: table[step], 2.0), 0.1], [5]))
    advance(scheduler, 2)
    with pytest.raises(IndexError):
        advance(scheduler, 1)
    assert scheduler.last_epoch == 2
    table.append(0.05)
    advance(scheduler, 1)
    assert scheduler.get_last_lr() == pytest.approx([0.1])


class Doubled(CosineDecay):
    """A shipped schedule with a formula of the user's."""

    def __call__(self, step):
        return 2 * super().__call__(step)


@pytest.mark.parametrize(
    "build",
    [
        lambda part: Scale(part, 1.0),
        lambda part: Join([part], []),
        lambda part: Product([part, 1.0]),
        lambda part: Clip(part, minimum=0.0),
        lambda part: Scale(Join([Hold(part, stop=100)], []), 1.0),
        lambda part: WarmUp(part, 0),
        lambda part: BertWarmUp(0.1, part, 0),
        lambda part: PerUpdate(PerEpoch(part, arithmetic="float32"), 1),
    ],
)
def test_an_overridden_call_is_what_a_part_answers(build):
    for part in (Doubled(0.1, 60), Falling(0.1)):
        whole, steps = build(part), np.arange(5)
        assert_same_bits(whole(steps), part(steps))
        assert_same_bits([whole(k) for k in range(5)], part(steps))


def test_a_users_class_is_written_out_in_python_as_well():
    expected = [np.float32(0.1 * 0.97**k * 0.3) for k in range(100)]
    assert_same_bits(Scale(InPython(Falling(0.1)), 0.3)(np.arange(100)), expected)
    assert_same_bits(Scale(PerEpoch(Falling(0.1)), 0.3)(np.arange(100)), expected)


# --- numerics="graph" -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schedule",
    [
        Scale(Join([Scale(EXPONENTIAL, 0.3), Scale(COSINE, 0.77)], [20]), 0.7),
        Scale(WarmUp(EXPONENTIAL, 10), 0.7),
        Scale(PolynomialWarmUp(COSINE, 7), 0.7),
        Scale(BertWarmUp(0.1, COSINE, 7), 0.7),
        Scale(Offset(Join([Scale(EXPONENTIAL, 0.3), COSINE], [20]), 3), 0.7),
        Scale(Join([Product([EXPONENTIAL, COSINE]), COSINE], [20]), 0.7),
        Product([0.3, Clip(COSINE, maximum=EXPONENTIAL), WarmUp(EXPONENTIAL, 10)]),
    ],
    ids=lambda schedule: repr(schedule)[:60],
)
def test_graph_rates_of_nests_are_the_same_one_by_one(schedule):
    steps = np.arange(60)
    bulk = schedule(steps, numerics="graph")
    assert_same_bits([schedule(k, numerics="graph") for k in range(60)], bulk, steps)
    scheduler = scheduler_of(schedule, numerics="graph")
    assert_same_bits([rate for (rate,) in advance(scheduler, 60)], bulk, steps)


@pytest.mark.parametrize(
    "schedule",
    [
        Sum([EXPONENTIAL, COSINE]),
        Join([EXPONENTIAL, Sum([EXPONENTIAL, 0.1])], [20]),
        Join([EXPONENTIAL, Falling(0.1)], [20]),
        WarmUp(Falling(0.1), 10),
        Product([COSINE, EXPONENTIAL, 0.3]),  # 26 of 60 rates would differ
        Product([COSINE, EXPONENTIAL, Constant(0.3)]),
        Scale(Product([EXPONENTIAL, COSINE]), 0.3),
        Scale(Doubled(0.1, 60), 1.0),
    ],
    ids=lambda schedule: repr(schedule)[:60],
)
def test_what_the_graph_does_is_refused_before_the_first_step(schedule):
    for steps in (0, np.array([0]), 50):
        with pytest.raises(ValueError, match="numerics='graph' is not known"):
            schedule(steps, numerics="graph")
    with pytest.raises(ValueError, match="numerics='graph' is not known"):
        scheduler_of(schedule, numerics="graph")


# --- configs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_configs_are_json(example):
    case, config = example
    schedule = case.build(config)
    stored = json.loads(json.dumps(schedules.serialize(schedule), allow_nan=False))
    assert schedules.deserialize(stored) == schedule


def test_configs_with_functions_and_classes_of_ones_own():
    schedule = Clip(
        Join([Scale(falling, 2.0), WarmUp(Falling(0.1), 3), Product([falling, 0.5])], [4, 9]),
        minimum=0.01,
    )
    stored = json.loads(json.dumps(schedules.serialize(schedule)))
    with pytest.raises(ValueError, match=r"falling.*custom_objects"):
        schedules.deserialize(stored)
    with pytest.raises(ValueError, match=r"Falling.*custom_objects"):
        schedules.deserialize(stored, {"falling": falling})
    back = schedules.deserialize(stored, {"falling": falling, "Falling": Falling})
    assert_same_bits(back(np.arange(20)), schedule(np.arange(20)))


@pytest.mark.parametrize(
    "schedule",
    [
        FunctionSchedule(falling, unit="epoch"),
        Scale(FunctionSchedule(falling, unit="epoch"), 2.0),
        PerUpdate(FunctionSchedule(falling, unit="epoch"), 10),
        Join([HALVED, FunctionSchedule(falling, unit="epoch")], [3]),
    ],
    ids=repr,
)
def test_a_function_keeps_its_unit(schedule):
    stored = json.loads(json.dumps(schedules.serialize(schedule)))
    assert schedules.deserialize(stored, {"falling": falling}) == schedule


class Holding(LearningRateSchedule):
    """A schedule around another one, with a config as Keras' documentation writes it."""

    def __init__(self, inner):
        self.inner = inner

    def __call__(self, step):
        return self.inner(step)

    def get_config(self):
        return {"inner": schedules.serialize(self.inner)}

    @classmethod
    def from_config(cls, config):
        return cls(schedules.deserialize(config["inner"]))


def test_a_from_config_that_deserializes_by_itself():
    stored = schedules.serialize(Scale(Holding(COSINE), 2.0))
    back = schedules.deserialize(stored, {"Holding": Holding})
    assert back(7) == Scale(COSINE, 2.0)(7)


def test_a_class_of_ones_own_takes_no_shipped_name():
    stored = schedules.serialize(COSINE)
    own = type("CosineDecay", (CosineDecay,), {"__call__": lambda self, step: 42.0})
    assert type(schedules.deserialize(stored)) is CosineDecay
    assert type(schedules.deserialize(stored, {"CosineDecay": own})) is own
    doubled = schedules.serialize(Doubled(0.1, 60))
    assert doubled["registered_name"] == "Doubled"
    with pytest.raises(ValueError, match="custom_objects"):
        schedules.deserialize(doubled)


def within(value, times, wrap):
    for _ in range(times):
        value = wrap(value)
    return value


def config_of(class_name, **arguments):
    return {"class_name": class_name, "config": arguments}


LISTS = within([], 100_000, lambda inner: [inner])
CYCLE = config_of("Scale", factor=1.0)
CYCLE["config"]["schedule"] = CYCLE
HOSTILE = {
    "schedules in schedules": within(
        0.1, 10_000, lambda inner: config_of("Scale", schedule=inner, factor=1.0)
    ),
    "a cycle": CYCLE,
    "lists in lists": LISTS,
    "lists for arguments": {"class_name": "Scale", "config": LISTS},
    "lists for a class": {"class_name": LISTS, "config": {}},
    "lists for a function": {"class_name": "function", "config": LISTS},
    "lists for a schedule": config_of("Scale", schedule=LISTS, factor=1.0),
    "lists for a number": config_of("Scale", schedule=0.1, factor=LISTS),
    "a mapping for a schedule": config_of("Scale", schedule={"a": 1}, factor=1.0),
    "self": {"class_name": "Scale", "config": {"schedule": 0.1, "factor": 1.0, "self": 1}},
    "a number for a name": {"class_name": "Scale", "config": {1: 2}},
    "a long list": config_of("Join", schedules=[0.1] * 10**5, boundaries="x"),
    "text for a number": config_of("Clip", schedule=0.1, minimum="0.1"),
    "_Several": config_of("_Several", schedules=[0.1]),
    "_WarmedUp": config_of("_WarmedUp"),
    "ConfiguredSchedule": config_of("ConfiguredSchedule"),
    "FormulaSchedule": config_of("FormulaSchedule"),
    "FunctionSchedule": config_of("FunctionSchedule", function="os.system"),
    "__class__": config_of("__class__"),
    "a function for a class": config_of("falling"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_configs_end_in_a_documented_error(name):
    with pytest.raises((TypeError, ValueError)) as error:
        schedules.deserialize(HOSTILE[name], {"falling": falling})
    assert len(str(error.value)) < 3000


def test_a_config_may_be_long():
    join = Join([0.1] * 5000, list(range(4999)))
    assert schedules.deserialize(schedules.serialize(join)) == join


def test_equality():
    joined = Join([0.1, COSINE], [10])
    assert joined == Join((0.1, COSINE), np.array([10])) == Join([0.1, COSINE], (10.0,))
    assert hash(joined) == hash(Join([0.1, COSINE], [10.0]))
    assert joined != Join([0.1, COSINE], [10], restart=False)
    assert Scale(falling, 1) == Scale(falling, 1.0) != Scale(lambda step: 0.1, 1.0)
    assert Scale(np.float64(0.1), np.int32(2)) == Scale(0.1, 2)
    assert Product([COSINE]) != Sum([COSINE])
    assert re.search(r"FunctionSchedule\(falling", repr(Scale(falling, 2)))


# --- states ---------------------------------------------------------------------------------------


def resumed(before, after, steps=3, **options):
    saved = scheduler_of(before)
    advance(saved, steps)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    scheduler = scheduler_of(after, **options)
    scheduler.load_state_dict(torch.load(file, weights_only=True))
    assert scheduler.get_last_lr() == scheduler_of(after, last_epoch=steps - 1).get_last_lr()
    return [advance(saved, 5), advance(scheduler, 5)]


@pytest.mark.parametrize("steps", [0, 3, 6])
def test_a_resume_goes_on_with_functions_inside(steps):
    def renamed(step):
        return falling(step)

    for build in (
        lambda f: Scale(f, 2.0),
        lambda f: Join([0.1, f], [5]),
        lambda f: Clip(Join([COSINE, WarmUp(Scale(f, 0.5), 2)], [2]), minimum=1e-3),
        lambda f: PerUpdate(FunctionSchedule(f, unit="epoch"), 2),
        lambda f: [Scale(f, 2.0), Join([COSINE, f], [4])],
    ):
        for other in (falling, renamed, lambda step: 0.1 * 0.9**step):
            before, after = resumed(build(falling), build(other), steps)
            assert before == after


@pytest.mark.parametrize(
    "part", [falling, Bare(), Falling(0.1), COSINE], ids=["function", "bare", "own", "shipped"]
)
def test_a_resume_refuses_a_changed_argument(part):
    """At step 0, where both rates are 0, too."""
    for steps in (0, 3):
        with pytest.raises(ValueError, match=r"warmup_steps.*10.*20"):
            resumed(WarmUp(part, 10), WarmUp(part, 20), steps)
    with pytest.raises(ValueError, match="another configuration"):
        resumed(Scale(WarmUp(part, 10), 2.0), Scale(WarmUp(part, 10), 3.0), 0)
    resumed(WarmUp(part, 10), WarmUp(part, 20), on_config_change="use_new")


def test_a_resume_refuses_another_function():
    with pytest.raises(ValueError, match="rates at step 3"):
        resumed(Scale(falling, 2.0), Scale(lambda step: 0.3, 2.0))


def test_a_resume_with_two_groups_refuses_an_exchange():
    one, two = Scale(COSINE, 2.0), Join([0.1, COSINE], [2])
    before, after = resumed([one, two], [one, two])
    assert before == after
    with pytest.raises(ValueError, match="another configuration"):
        resumed([one, two], [two, one])


# --- LightningCLI ---------------------------------------------------------------------------------

CLI_PARTS = {
    "0.5": 0.5,
    "1": 1,
    "math.exp": FunctionSchedule(math.exp),
    "{class_path: lrparity.schedules.CosineDecay, init_args: "
    "{initial_learning_rate: 0.1, decay_steps: 60}}": COSINE,
}


@pytest.mark.filterwarnings("ignore")  # what jsonargparse cannot write it remarks, and goes on
@pytest.mark.parametrize("text", CLI_PARTS)
@pytest.mark.parametrize(
    ("name", "arguments", "build"),
    [
        ("Scale", "schedule: {}, factor: 2", lambda x: Scale(x, 2)),
        ("Clip", "schedule: {0}, minimum: {0}", lambda x: Clip(x, minimum=x)),
        ("Join", "schedules: [0.1, {}], boundaries: [3]", lambda x: Join([0.1, x], [3])),
        ("WarmUp", "schedule: {}, warmup_steps: 5", lambda x: WarmUp(x, 5)),
        (
            "PolynomialWarmUp",
            "after_warmup_lr_sched: {}, warmup_steps: 5",
            lambda x: PolynomialWarmUp(x, 5),
        ),
    ],
)
def test_yaml_of_a_command_line(name, arguments, build, text):
    """As ``LightningCLI`` reads it, writes it into the run's config.yaml, and reads it again."""
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--schedule", type=LearningRateSchedule)
    arguments = arguments.format(text, text)
    yaml = f"schedule: {{class_path: lrparity.schedules.{name}, init_args: {{{arguments}}}}}"
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes
    expected = build(CLI_PARTS[text])
    config = parser.parse_string(yaml)
    assert instantiate(config).schedule == expected
    assert instantiate(parser.parse_string(parser.dump(config))).schedule == expected
