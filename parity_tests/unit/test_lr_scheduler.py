"""The torch schedulers: every case driven, resumed, grouped, scaled, wrapped and broken."""

from __future__ import annotations

import copy
import functools
import gc
import math
import pickle
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torch_lr

from bits import assert_same_bits
from lrparity import lr_scheduler, schedules
from lrparity.lr_scheduler import ScheduleLR
from registry import EXAMPLES, example_id
from torch_side import STEPS, add_group, drive, make_optimizer, rates_of, through_file

PER_GROUP = [e for e in EXAMPLES if e[0].per_group]


def expected(case, config, steps=STEPS, **call) -> np.ndarray:
    return case.build(config)(np.arange(steps), **call)


# --- every case ---------------------------------------------------------------------------------


@pytest.mark.parametrize("numerics", ["eager", "graph"])
@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_a_loop_follows_the_schedule(example, numerics):
    case, config = example
    in_python = getattr(case.build(config), "arithmetic", "float32") == "float64"
    if numerics == "graph" and not case.graph and not in_python:
        with pytest.raises(ValueError, match="numerics='graph' is not known"):
            case.scheduler_on(make_optimizer(), config, numerics=numerics)
        return
    optimizer = make_optimizer()
    scheduler = case.scheduler_on(optimizer, config, numerics=numerics)
    assert isinstance(scheduler, torch_lr.LRScheduler)
    assert_same_bits(drive(optimizer, scheduler)[:, 0], expected(case, config, numerics=numerics))
    assert scheduler.last_epoch == STEPS
    assert scheduler._step_count == STEPS + 1
    assert scheduler.get_last_lr() == rates_of(optimizer) == scheduler.get_lr()
    assert all(type(group["lr"]) is float for group in optimizer.param_groups)
    assert case.name in repr(scheduler)


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_a_long_run_crosses_blocks(example):
    case, config = example
    schedule = case.build(config)
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, schedule)
    assert_same_bits(drive(optimizer, scheduler, 9000)[:, 0], schedule(np.arange(9000)))


@pytest.mark.parametrize("example", PER_GROUP, ids=example_id)
def test_each_group_keeps_its_own_rate(example):
    case, config = example
    rest = {name: value for name, value in config.items() if name != "initial_learning_rate"}
    optimizer = make_optimizer(0.5, 0.25, 0.5)
    scheduler = case.scheduler(optimizer, **rest)
    rows = drive(optimizer, scheduler)
    for column, rate in enumerate((0.5, 0.25, 0.5)):
        schedule = case.build(rest | {"initial_learning_rate": rate})
        assert_same_bits(rows[:, column], schedule(np.arange(STEPS)))
    assert scheduler.base_lrs == [0.5, 0.25, 0.5]


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_resume_at_every_step_into_fresh_objects(example):
    case, config = example
    optimizer = make_optimizer()
    scheduler = case.scheduler_on(optimizer, config)
    whole = expected(case, config)
    for step in range(STEPS):
        fresh_optimizer = make_optimizer()
        fresh = case.scheduler_on(fresh_optimizer, config)
        states = through_file([optimizer.state_dict(), scheduler.state_dict()])
        for load in ((0, 1), (1, 0))[step % 2]:  # either order
            (fresh_optimizer, fresh)[load].load_state_dict(states[load])
        assert rates_of(fresh_optimizer) == rates_of(optimizer)
        rest = drive(fresh_optimizer, fresh, STEPS - step)[:, 0]
        assert_same_bits(rest, whole[step:])
        assert fresh.last_epoch == STEPS
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_going_on_from_last_epoch(example):
    case, config = example
    optimizer = make_optimizer()
    scheduler = case.scheduler_on(optimizer, config, last_epoch=16)
    assert scheduler.last_epoch == 17
    rows = drive(optimizer, scheduler, 30)[:, 0]
    assert_same_bits(rows, expected(case, config)[17:47])


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_a_tensor_rate_is_filled_in_place(example):
    case, config = example
    optimizer = make_optimizer(0.1, tensor=True)
    tensor = optimizer.param_groups[0]["lr"]
    scheduler = case.scheduler_on(optimizer, config)
    assert_same_bits(drive(optimizer, scheduler)[:, 0], expected(case, config))
    assert optimizer.param_groups[0]["lr"] is tensor
    assert all(type(rate) is float for rate in scheduler.get_last_lr())
    through_file(scheduler.state_dict())


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_pickle_and_deepcopy_go_on_alike(example):
    case, config = example
    optimizer = make_optimizer()
    scheduler = case.scheduler_on(optimizer, config)
    drive(optimizer, scheduler, 20)
    for copied in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        assert copied.optimizer is not optimizer
        with warnings.catch_warnings():
            # torch's patch of optimizer.step does not survive its own pickling
            warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
            rows = drive(copied.optimizer, copied, 30)[:, 0]
        assert_same_bits(rows, expected(case, config)[20:50])


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_in_a_sequential_lr(example):
    case, config = example
    optimizer = make_optimizer()
    first = ScheduleLR(optimizer, lambda k: 0.5 / (1 + k))
    second = case.scheduler_on(optimizer, config)
    third = lr_scheduler.PiecewiseConstantDecayLR(optimizer, [3], [0.75, 0.25])
    sequence = torch_lr.SequentialLR(optimizer, [first, second, third], milestones=[7, 40])
    whole = np.concatenate(
        [
            np.float32([0.5 / (1 + k) for k in range(7)]),
            expected(case, config)[:33],
            np.float32([0.75] * 4 + [0.25] * 6),
        ]
    )
    assert_same_bits(drive(optimizer, sequence)[:, 0], whole)
    for stop in (0, 3, 7, 8, 39, 40, 45):
        assert_same_bits(resumed_sequence(case, config, stop), whole[stop:])


def resumed_sequence(case, config, stop):
    def build():
        optimizer = make_optimizer()
        members = [
            ScheduleLR(optimizer, lambda k: 0.5 / (1 + k)),
            case.scheduler_on(optimizer, config),
            lr_scheduler.PiecewiseConstantDecayLR(optimizer, [3], [0.75, 0.25]),
        ]
        return optimizer, torch_lr.SequentialLR(optimizer, members, milestones=[7, 40])

    optimizer, sequence = build()
    drive(optimizer, sequence, stop)
    states = through_file([optimizer.state_dict(), sequence.state_dict()])
    fresh_optimizer, fresh = build()
    fresh_optimizer.load_state_dict(states[0])
    fresh.load_state_dict(states[1])
    assert rates_of(fresh_optimizer) == rates_of(optimizer)
    return drive(fresh_optimizer, fresh, STEPS - stop)[:, 0]


# --- schedules, functions and lists -------------------------------------------------------------

COSINE = schedules.CosineDecay(0.1, 40, alpha=0.1)
STEPPED = schedules.PiecewiseConstantDecay([10, 20], [0.4, 0.2, 0.1])


def test_a_function_is_asked_once_for_each_step_and_never_ahead():
    asked = []

    def rate(step):
        asked.append(step)
        return [0.3, 0.2, 0.1][step]

    optimizer = make_optimizer(0.1, 0.1)
    scheduler = ScheduleLR(optimizer, rate)
    for _ in range(2):
        scheduler.get_lr()
        scheduler.state_dict()
        optimizer.step()
        scheduler.step()
    assert asked == [0, 1, 2]
    assert rates_of(optimizer) == [float(np.float32(0.1))] * 2


@pytest.mark.parametrize("count", ["calls", "updates"])
def test_a_function_that_fails_loses_no_step(count):
    broken = True

    def rate(step):
        if step == 3 and broken:
            raise OSError("no such file")
        return 0.1 / (1 + step)

    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, rate, count=count)
    drive(optimizer, scheduler, 2)
    optimizer.step()
    with pytest.raises(OSError, match="no such file"):
        scheduler.step()
    assert scheduler.last_epoch == 2
    assert scheduler.get_last_lr() == rates_of(optimizer) == [float(np.float32(0.1 / 3))]
    broken = False
    scheduler.step()
    assert rates_of(optimizer) == [float(np.float32(0.1 / 4))]


def test_a_list_of_schedules():
    optimizer = make_optimizer(0.1, 0.1, 0.1)
    scheduler = ScheduleLR(optimizer, [COSINE, STEPPED, lambda k: 0.5])
    rows = drive(optimizer, scheduler)
    for column, schedule in enumerate((COSINE, STEPPED, lambda k: 0.5 + 0 * k)):
        assert_same_bits(rows[:, column], schedule(np.arange(STEPS)))
    for wrong in ([COSINE], [COSINE] * 4, []):
        with pytest.raises(ValueError, match=rf"{len(wrong)} schedules for 3"):
            ScheduleLR(optimizer, wrong)
    with pytest.raises(TypeError, match=r"schedule\[1\]"):
        ScheduleLR(optimizer, [COSINE, 0.1, COSINE])


def test_lr_scale_and_multiplier_multiply_in_float32():
    optimizer = make_optimizer(0.1, 0.1, 0.1)
    optimizer.param_groups[1]["lr_scale"] = 0.3
    optimizer.param_groups[2]["lr_scale"] = 1e-3
    scheduler = ScheduleLR(optimizer, COSINE)
    scheduler.set_multiplier(0.7)
    rows = drive(optimizer, scheduler)
    base = COSINE(np.arange(STEPS)) * np.float32(0.7)
    for column, scale in enumerate((1.0, 0.3, 1e-3)):
        assert_same_bits(rows[:, column], base * np.float32(scale))
    scheduler.set_multiplier(0.5)  # replaces, never compounds
    assert rates_of(optimizer)[0] == COSINE(STEPS) * 0.5
    scheduler.set_multiplier(1)
    assert rates_of(optimizer)[0] == COSINE(STEPS)


def test_lr_scale_may_change_at_any_time():
    optimizer = make_optimizer(0.1, 0.1)
    scheduler = ScheduleLR(optimizer, STEPPED)
    drive(optimizer, scheduler, 5)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    scheduler.step()
    assert rates_of(optimizer) == [STEPPED(6), STEPPED(6) / 2]
    optimizer.param_groups[1]["lr_scale"] = 0.25
    scheduler.step()
    assert rates_of(optimizer) == [STEPPED(7), STEPPED(7) / 4]
    del optimizer.param_groups[1]["lr_scale"]
    scheduler.step()
    assert rates_of(optimizer) == [STEPPED(8)] * 2
    tensor = torch.tensor(0.5)
    optimizer.param_groups[0]["lr_scale"] = tensor
    scheduler.step()
    tensor.fill_(0.25)
    scheduler.step()
    assert rates_of(optimizer) == [STEPPED(10) / 4, STEPPED(10)]
    through_file(scheduler.state_dict())


def test_edits_by_hand_last_until_the_next_step():
    for lrs in ((0.1,), (0.1, 0.2)):
        optimizer = make_optimizer(*lrs)
        scheduler = lr_scheduler.CosineDecayLR(optimizer, decay_steps=40)
        drive(optimizer, scheduler, 5)
        optimizer.param_groups[0]["lr"] = 7.0
        scheduler.step()
        assert rates_of(optimizer)[0] == schedules.CosineDecay(lrs[0], 40)(6)
        optimizer.param_groups[0]["lr"] = torch.tensor(7.0)
        scheduler.step()
        assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor)
        assert rates_of(optimizer)[0] == schedules.CosineDecay(lrs[0], 40)(7)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e39, -1.0, "1", None, True], ids=repr)
def test_bad_multipliers(bad):
    scheduler = ScheduleLR(make_optimizer(), COSINE)
    with pytest.raises((TypeError, ValueError), match="multiplier"):
        scheduler.set_multiplier(bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e39, "1", True], ids=repr)
def test_bad_scales(bad):
    optimizer = make_optimizer(0.1, 0.1)
    optimizer.param_groups[1]["lr_scale"] = bad
    with pytest.raises((TypeError, ValueError), match="param group 1"):
        ScheduleLR(optimizer, COSINE)


# --- groups added later -------------------------------------------------------------------------


@pytest.mark.parametrize("multiplier", [1.0, 0.5])
def test_a_group_added_later_adopts_its_ratio(multiplier):
    optimizer = make_optimizer()
    scheduler = lr_scheduler.PiecewiseConstantDecayLR(optimizer, [10, 20], [0.5, 0.25, 0.125])
    scheduler.set_multiplier(multiplier)
    drive(optimizer, scheduler, 5)
    add_group(optimizer, lr=0.0625)
    rows = drive(optimizer, scheduler, 20)
    assert rows[:, 1].tolist() == (rows[:, 0] * (0.125 / multiplier)).tolist()
    assert rows[0, 1] == rows[1, 1] == 0.0625
    assert optimizer.param_groups[1]["lr_scale"] == 0.125 / multiplier
    assert len(scheduler.get_last_lr()) == len(scheduler.base_lrs) == 2
    add_group(optimizer, lr=9.0, lr_scale=2.0)
    scheduler.step()
    assert rates_of(optimizer)[2] == 2 * rates_of(optimizer)[0]


def test_an_added_group_survives_resume():
    def build():
        optimizer = make_optimizer(0.5)
        return optimizer, lr_scheduler.ExponentialDecayLR(optimizer, decay_steps=10, decay_rate=0.5)

    optimizer, scheduler = build()
    drive(optimizer, scheduler, 10)
    add_group(optimizer, lr=0.1)
    drive(optimizer, scheduler, 5)
    states = through_file([optimizer.state_dict(), scheduler.state_dict()])
    whole = drive(optimizer, scheduler, 20)
    for load in ((0, 1), (1, 0)):
        fresh_optimizer, fresh = build()
        add_group(fresh_optimizer)
        for which in load:
            (fresh_optimizer, fresh)[which].load_state_dict(states[which])
        assert_same_bits(drive(fresh_optimizer, fresh, 20).ravel(), whole.ravel())
    _, alone = build()
    with pytest.raises(ValueError, match="2 param groups"):
        alone.load_state_dict(states[1])


def test_a_group_that_cannot_be_adopted():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, schedules.PolynomialDecay(0.1, 3, 0.0))
    drive(optimizer, scheduler, 4)
    add_group(optimizer, lr=0.1)
    optimizer.step()
    with pytest.raises(ValueError, match=r"group 1 .*lr_scale"):
        scheduler.step()
    optimizer.param_groups[1]["lr_scale"] = 1.0
    scheduler.step()


@pytest.mark.parametrize("call", ["set_multiplier", "get_lr", "state_dict"])
def test_an_added_group_is_adopted_whatever_is_called_first(call):
    optimizer = make_optimizer(0.5)
    scheduler = lr_scheduler.PiecewiseConstantDecayLR(optimizer, [10], [0.5, 0.25])
    drive(optimizer, scheduler, 3)
    add_group(optimizer, lr=0.125)
    if call == "set_multiplier":
        scheduler.set_multiplier(0.5)
        assert rates_of(optimizer) == [0.25, 0.0625]
    else:
        getattr(scheduler, call)()
    assert optimizer.param_groups[1]["lr_scale"] == 0.25


def test_groups_that_are_removed():
    optimizer = make_optimizer(0.1, 0.1)
    scheduler = ScheduleLR(optimizer, COSINE)
    drive(optimizer, scheduler, 3)
    del optimizer.param_groups[1]
    assert_same_bits(drive(optimizer, scheduler, 5000)[:, 0], COSINE(np.arange(3, 5003)))
    assert len(scheduler.get_last_lr()) == 1
    through_file(scheduler.state_dict())
    optimizer = make_optimizer(0.1, 0.2)
    scheduler = lr_scheduler.CosineDecayLR(optimizer, decay_steps=40)
    drive(optimizer, scheduler, 3)
    del optimizer.param_groups[0]
    with pytest.raises(ValueError, match=r"1 param groups.*last_epoch=2"):
        scheduler.step()


def test_a_refused_state_leaves_an_added_group_alone():
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 3)
    add_group(optimizer, lr=0.05)
    drive(optimizer, scheduler, 3)
    fresh_optimizer, fresh = cosine_scheduler(decay_steps=50)
    add_group(fresh_optimizer, lr=0.07)
    with pytest.raises(ValueError, match="decay_steps"):
        fresh.load_state_dict(scheduler.state_dict())
    assert "lr_scale" not in fresh_optimizer.param_groups[1]
    fresh.get_lr()
    assert fresh_optimizer.param_groups[1]["lr_scale"] == 0.07 / float(np.float32(0.1))


def test_a_tensor_that_groups_share():
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    shared = torch.tensor(0.1)
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=shared)
    assert optimizer.param_groups[0]["lr"] is optimizer.param_groups[1]["lr"]
    scheduler = ScheduleLR(optimizer, COSINE)
    assert scheduler.get_last_lr() == rates_of(optimizer)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    with pytest.raises(ValueError, match="shares its tensor lr"):
        scheduler.set_multiplier(1.0)


def test_a_tensor_that_cannot_hold_a_rate():
    optimizer = make_optimizer()
    optimizer.param_groups[0]["lr"] = torch.tensor(1)
    with pytest.raises(ValueError, match=r"torch.int64"):
        ScheduleLR(optimizer, COSINE)


def test_units_do_not_mix():
    with pytest.raises(ValueError, match="'epoch', 'update'"):
        ScheduleLR(make_optimizer(0.1, 0.1), [schedules.StepDecay(0.1, 0.5, 10), COSINE])


def test_equal_schedules_of_other_bits_stay_apart():
    pieces = [
        schedules.PiecewiseConstantDecay([edge], [0.1, 0.2]) for edge in (2**24 + 1, 2.0**24 + 1)
    ]
    assert pieces[0] == pieces[1]
    optimizer = make_optimizer(0.1, 0.1)
    ScheduleLR(optimizer, pieces, last_epoch=2**24)
    assert rates_of(optimizer) == [float(np.float32(0.1)), float(np.float32(0.2))]


def test_get_last_lr_tells_what_was_written():
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 3)
    written = rates_of(optimizer)
    optimizer.param_groups[0]["lr_scale"] = 0.5
    assert scheduler.get_lr() == [written[0] / 2]
    assert scheduler.get_last_lr() == written
    scheduler.step()
    assert scheduler.get_last_lr() == rates_of(optimizer)


def test_a_list_wants_a_schedule_for_an_added_group():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, [COSINE])
    drive(optimizer, scheduler, 3)
    add_group(optimizer)
    with pytest.raises(ValueError, match="add_schedule"):
        scheduler.step()
    scheduler.add_schedule(STEPPED)
    scheduler.step()
    assert rates_of(optimizer) == [COSINE(4), STEPPED(4)]


# --- state --------------------------------------------------------------------------------------


def cosine_scheduler(**options):
    optimizer = make_optimizer()
    return optimizer, lr_scheduler.CosineDecayLR(optimizer, **{"decay_steps": 40} | options)


@pytest.mark.parametrize(
    "other",
    [
        lambda: cosine_scheduler(decay_steps=41),
        lambda: cosine_scheduler(numerics="graph"),
        lambda: cosine_scheduler(initial_learning_rate=0.2),
        lambda: (o := make_optimizer(), ScheduleLR(o, STEPPED)),
        lambda: (o := make_optimizer(0.2), lr_scheduler.CosineDecayLR(o, decay_steps=40)),
    ],
)
def test_another_configuration_is_refused_or_taken_on_purpose(other):
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 12)
    scheduler.set_multiplier(0.5)
    state = through_file(scheduler.state_dict())
    fresh_optimizer, fresh = other()
    before = rates_of(fresh_optimizer), fresh.last_epoch, fresh.multiplier
    with pytest.raises(ValueError, match=r"saved .*, now .*use_new"):
        fresh.load_state_dict(state)
    assert (rates_of(fresh_optimizer), fresh.last_epoch, fresh.multiplier) == before
    fresh.on_config_change = "use_new"
    fresh.load_state_dict(state)
    assert (fresh.last_epoch, fresh.multiplier) == (12, 0.5)


def test_the_error_names_the_argument_that_changed():
    _, scheduler = cosine_scheduler()
    with pytest.raises(ValueError, match="decay_steps of CosineDecay: saved 40, now 41") as error:
        cosine_scheduler(decay_steps=41)[1].load_state_dict(scheduler.state_dict())
    assert "alpha" not in str(error.value)


def test_a_tensor_scale_is_compared_by_its_value():
    optimizer, scheduler = cosine_scheduler()
    optimizer.param_groups[0]["lr_scale"] = torch.tensor(0.3)
    drive(optimizer, scheduler, 3)
    scheduler.load_state_dict(through_file(scheduler.state_dict()))
    optimizer.param_groups[0]["lr_scale"] = torch.tensor(0.4)
    with pytest.raises(ValueError, match="lr_scale of group 0"):
        scheduler.load_state_dict(scheduler.state_dict() | {"lr_scales": [float(np.float32(0.3))]})


def test_extending_a_run():
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 20)
    longer_optimizer, longer = cosine_scheduler(decay_steps=80, on_config_change="use_new")
    longer.load_state_dict(scheduler.state_dict())
    rows = drive(longer_optimizer, longer, 60)[:, 0]
    assert_same_bits(rows, schedules.CosineDecay(0.1, 80)(np.arange(20, 80)))


def test_a_function_is_compared_by_its_rate():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, lambda k: 0.1 * 0.9**k)
    drive(optimizer, scheduler, 9)
    state = through_file(scheduler.state_dict())
    ScheduleLR(make_optimizer(), lambda k: 0.9**k * 0.1 if k == 9 else 0.0).load_state_dict(state)

    def renamed(k):
        return 0.1 * 0.9**k

    ScheduleLR(make_optimizer(), renamed).load_state_dict(state)
    with pytest.raises(ValueError, match=r"schedule: saved .*FunctionSchedule"):
        ScheduleLR(make_optimizer(), COSINE).load_state_dict(state)
    with pytest.raises(ValueError, match="rates at step 9"):
        ScheduleLR(make_optimizer(), lambda k: 0.1 * 0.8**k).load_state_dict(state)


def foreign_states():
    optimizer, scheduler = cosine_scheduler()
    good = scheduler.state_dict()
    return {
        "torch's": torch_lr.ExponentialLR(optimizer, 0.9).state_dict(),
        "empty": {},
        "no dict": None,
        "of the future": good | {"version": 2},
        "truncated": {key: value for key, value in good.items() if key != "last_epoch"},
        "edited": good | {"numerics": "graph"},
        "of wrong types": good | {"last_epoch": "3"},
        "of wrong rates": good | {"_last_lr": ["x"]},
        "of a NaN multiplier": good | {"multiplier": math.nan},
        "of odd schedules": good | {"schedules": ["CosineDecay"]},
        "of a negative count": good | {"_step_count": -1},
    }


@pytest.mark.parametrize("name", foreign_states())
def test_foreign_and_damaged_states_are_refused(name):
    optimizer, scheduler = cosine_scheduler(on_config_change="use_new")
    drive(optimizer, scheduler, 3)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=r"state"):
        scheduler.load_state_dict(foreign_states()[name])
    assert scheduler.state_dict() == before


def test_state_is_plain_and_unshared():
    _, scheduler = cosine_scheduler()
    state = scheduler.state_dict()
    assert (state["format"], state["version"]) == ("lrparity.ScheduleLR", 1)
    state["_last_lr"][0] = state["schedules"][0]["config"]["alpha"] = 99.0
    assert scheduler.get_last_lr() == [0.10000000149011612]
    assert scheduler.state_dict()["schedules"][0]["config"]["alpha"] == 0.0
    scheduler.get_last_lr()[0] = 5.0
    assert scheduler.get_last_lr() == [0.10000000149011612]


def test_an_optimizer_that_is_reloaded_in_mid_run():
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 5)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert_same_bits(
        drive(optimizer, scheduler, 5)[:, 0], schedules.CosineDecay(0.1, 40)(np.arange(5, 10))
    )


# --- bad input ----------------------------------------------------------------------------------


def test_wrong_optimizers_schedules_and_options():
    model = torch.nn.Linear(1, 1)
    for build in (
        lambda bad: ScheduleLR(bad, COSINE),
        lambda bad: lr_scheduler.CosineDecayLR(bad, decay_steps=3),
    ):
        for bad in (model, None, [model.weight]):
            with pytest.raises(TypeError, match="optimizer"):
                build(bad)
    optimizer = make_optimizer()
    for bad in (0.1, "cosine", None, schedules.CosineDecay):
        with pytest.raises(TypeError, match="schedule"):
            ScheduleLR(optimizer, bad)
    for options in (
        {"numerics": "xla"},
        {"count": "steps"},
        {"on_config_change": "ignore"},
        {"last_epoch": -2},
        {"last_epoch": 1.5},
        {"last_epoch": True},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            ScheduleLR(optimizer, COSINE, **options)
        with pytest.raises(ValueError, match=next(iter(options))):
            lr_scheduler.CosineDecayLR(make_optimizer(), decay_steps=3, **options)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.CosineDecayLR(make_optimizer(), decay_steps=3, last_epoch=5)
    with pytest.raises(ValueError, match="decay_steps"):
        lr_scheduler.CosineDecayLR(optimizer, decay_steps=0)
    with pytest.raises(TypeError, match="initial_learning_rate"):
        lr_scheduler.CosineDecayLR(optimizer, [0.1, 0.2], decay_steps=3)
    with pytest.raises(ValueError, match="'lr' in param group 0"):
        ScheduleLR(torch.optim.Optimizer([torch.nn.Parameter(torch.zeros(1))], {}), COSINE)
    assert ScheduleLR(make_optimizer(), COSINE, last_epoch=np.int64(3)).last_epoch == 4
    with pytest.raises(ValueError, match="graph"):
        ScheduleLR(make_optimizer(), lambda k: 0.1, numerics="graph")


# --- torch's own contracts ----------------------------------------------------------------------


def test_the_wrong_order_still_warns():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, COSINE)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()


def test_step_with_an_epoch_jumps():
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 3)
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(30)
    assert rates_of(optimizer) == [schedules.CosineDecay(0.1, 40)(30)]
    scheduler.step()
    assert rates_of(optimizer) == [schedules.CosineDecay(0.1, 40)(31)]


@pytest.mark.parametrize("metric", [0.734, "loss", True, torch.tensor(0.5)], ids=repr)
def test_step_takes_no_metric(metric):
    optimizer, scheduler = cosine_scheduler()
    drive(optimizer, scheduler, 3)
    with pytest.raises(TypeError, match="no metric"):
        scheduler.step(metric)
    assert scheduler.last_epoch == 3


def test_nothing_is_kept_alive():
    optimizer, scheduler = cosine_scheduler(count="updates")
    drive(optimizer, scheduler, 3)
    gone = weakref.ref(scheduler)
    assert len(optimizer._optimizer_step_post_hooks) == 1
    gc.disable()
    try:
        del scheduler
        assert gone() is None
        assert len(optimizer._optimizer_step_post_hooks) == 0
        assert len(optimizer._optimizer_step_pre_hooks) == 0
    finally:
        gc.enable()


def test_lightning_config():
    optimizer, scheduler = cosine_scheduler()
    assert scheduler.lightning_config() == {
        "scheduler": scheduler,
        "interval": "step",
        "frequency": 1,
    }
    per_epoch = lr_scheduler.StepDecayLR(optimizer, drop=0.5, epochs_drop=2)
    assert per_epoch.lightning_config()["interval"] == "epoch"


# --- counting updates ---------------------------------------------------------------------------


def test_counting_calls_is_the_default():
    optimizer, scheduler = cosine_scheduler()
    optimizer.step()
    for _ in range(3):
        scheduler.step()
    assert scheduler.last_epoch == 3


def test_counting_updates_ignores_calls_without_one():
    optimizer, scheduler = cosine_scheduler(count="updates")
    cosine = schedules.CosineDecay(0.1, 40)
    scheduler.step()
    assert scheduler.last_epoch == 0
    for k in range(20):
        assert rates_of(optimizer) == [cosine(k)]
        optimizer.step()
        for _ in range(4):  # a wrapper that calls once per process
            scheduler.step()
    optimizer.step()
    optimizer.step()
    scheduler.step()
    assert scheduler.last_epoch == 22
    for group in optimizer.param_groups:
        group["params"][0].grad = None
    optimizer.step()
    scheduler.step()
    assert scheduler.last_epoch == 22


def test_counting_epochs_with_updates():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.StepDecayLR(optimizer, drop=0.5, epochs_drop=3, count="updates")
    for epoch in range(6):
        assert rates_of(optimizer) == [schedules.StepDecay(0.1, 0.5, 3)(epoch)]
        for _ in range(5):
            optimizer.step()
        scheduler.step()
        scheduler.step()


def test_counting_updates_in_a_sequence():
    optimizer = make_optimizer()
    members = [ScheduleLR(optimizer, schedule, count="updates") for schedule in (STEPPED, COSINE)]
    sequence = torch_lr.SequentialLR(optimizer, members, milestones=[15])
    whole = np.concatenate([STEPPED(np.arange(15)), COSINE(np.arange(35))])
    assert_same_bits(drive(optimizer, sequence)[:, 0], whole)


def test_a_subclass_of_a_shipped_schedule_is_not_evaluated_ahead():
    asked = []

    class Watched(schedules.CosineDecay):
        def __call__(self, step):
            asked.append(step)
            return super().__call__(step)

    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, Watched(0.1, 40))
    assert_same_bits(drive(optimizer, scheduler, 6)[:, 0], schedules.CosineDecay(0.1, 40)(range(6)))
    assert asked == list(range(7))


@pytest.mark.parametrize("how", ["state", "deepcopy", "pickle"])
def test_updates_that_were_not_taken_yet_survive(how):
    optimizer, scheduler = cosine_scheduler(count="updates")
    drive(optimizer, scheduler, 3)
    for _ in range(5):  # in mid-epoch, say
        optimizer.step()
    if how == "state":
        other_optimizer, other = cosine_scheduler(count="updates")
        other.load_state_dict(through_file(scheduler.state_dict()))
    else:
        copied = copy.deepcopy if how == "deepcopy" else lambda x: pickle.loads(pickle.dumps(x))
        other = copied(scheduler)
        other_optimizer = other.optimizer
        other_optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    other_optimizer.step()
    other.step()
    assert other.last_epoch == 9


@pytest.mark.parametrize("cleared", ["by a hook", "by the optimizer"])
def test_updates_count_though_gradients_are_cleared_at_once(cleared):
    class Clearing(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            self.zero_grad()

    optimizer = make_optimizer(cls=Clearing if cleared == "by the optimizer" else torch.optim.SGD)
    if cleared == "by a hook":
        optimizer.register_step_post_hook(lambda stepped, *_: stepped.zero_grad())
    scheduler = ScheduleLR(optimizer, STEPPED, count="updates")
    for _ in range(3):
        optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
        optimizer.step()
        scheduler.step()
    assert scheduler.last_epoch == 3


def test_a_closure_counts_its_update():
    optimizer = make_optimizer(cls=torch.optim.LBFGS)
    weight = optimizer.param_groups[0]["params"][0]
    weight.grad = None
    scheduler = ScheduleLR(optimizer, STEPPED, count="updates")

    def closure():
        optimizer.zero_grad()
        loss = (weight - 1).square().sum()
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
        scheduler.step()
    assert scheduler.last_epoch == 4


class Twice(torch.optim.SGD):
    def step(self, closure=None):
        return super().step(closure)


class Failing(torch.optim.SGD):
    fail = False

    def step(self, closure=None):
        if self.fail:
            raise RuntimeError("out of memory")
        return super().step(closure)


def test_a_subclass_that_calls_super_counts_once():
    optimizer = make_optimizer(cls=Twice)
    scheduler = ScheduleLR(optimizer, STEPPED, count="updates")
    drive(optimizer, scheduler, 10)
    assert scheduler.last_epoch == 10


def test_an_exception_in_step_is_no_update_and_breaks_nothing():
    optimizer = make_optimizer(cls=Failing)
    scheduler = ScheduleLR(optimizer, STEPPED, count="updates")
    drive(optimizer, scheduler, 3)
    optimizer.fail = True
    with pytest.raises(RuntimeError):
        optimizer.step()
    scheduler.step()
    assert scheduler.last_epoch == 3
    optimizer.fail = False
    drive(optimizer, scheduler, 3)
    assert scheduler.last_epoch == 6


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_amp_skips_do_not_count(fused):
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1, fused=fused)
    scheduler = lr_scheduler.ExponentialDecayLR(
        optimizer, decay_steps=1, decay_rate=0.5, count="updates"
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    used = []
    for batch in range(9):
        optimizer.zero_grad()
        factor = math.inf if batch in {0, 1, 5} else 1.0
        scaler.scale((weight * factor).sum()).backward()
        before = weight.detach().clone()
        rate = optimizer.param_groups[0]["lr"]
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        if not torch.equal(before, weight):
            used.append(rate)
    assert_same_bits(used, schedules.ExponentialDecay(0.1, 1, 0.5)(np.arange(6)))


def test_a_copy_counts_its_own_optimizer():
    optimizer, scheduler = cosine_scheduler(count="updates")
    drive(optimizer, scheduler, 3)
    for copied in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        optimizer.step()
        copied.step()
        assert copied.last_epoch == 3
        for group in copied.optimizer.param_groups:
            group["params"][0].grad = torch.ones(2)  # which copying drops
        drive(copied.optimizer, copied, 2)
        assert copied.last_epoch == 5


# --- Fabric and Accelerate ----------------------------------------------------------------------


@pytest.mark.parametrize("count", ["calls", "updates"])
@pytest.mark.parametrize("built", ["before setup", "after setup"])
def test_in_fabric(count, built, tmp_path):
    from lightning.fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    model = torch.nn.Linear(2, 1)
    raw = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"decay_steps": 40, "count": count}
    if built == "before setup":
        scheduler = lr_scheduler.CosineDecayLR(raw, **options)
    model, optimizer = fabric.setup(model, raw)
    if built == "after setup":
        scheduler = lr_scheduler.CosineDecayLR(optimizer, **options)
    rows = []
    for _ in range(10):
        rows.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        fabric.backward(model(torch.ones(1, 2)).sum())
        optimizer.step()
        scheduler.step()
    assert_same_bits(rows, schedules.CosineDecay(0.1, 40)(np.arange(10)))
    path = tmp_path / "fabric.ckpt"
    fabric.save(path, {"scheduler": scheduler, "optimizer": optimizer})
    _, fresh = cosine_scheduler()
    fabric.load(path, {"scheduler": fresh})
    assert fresh.last_epoch == 10
    assert fresh.get_last_lr() == [schedules.CosineDecay(0.1, 40)(10)]


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("count", ["calls", "updates"])
@pytest.mark.parametrize("split_batches", [False, True])
def test_accelerate_steps_once_for_each_update(processes, count, split_batches, monkeypatch):
    from accelerate import Accelerator, DataLoaderConfiguration
    from accelerate.state import AcceleratorState, PartialState

    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=split_batches)
    )
    model = torch.nn.Linear(2, 1)
    raw = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = lr_scheduler.CosineDecayLR(raw, decay_steps=40, count=count)
    model, optimizer, wrapped = accelerator.prepare(model, raw, scheduler)
    monkeypatch.setattr(PartialState, "num_processes", processes, raising=False)
    monkeypatch.setattr(
        AcceleratorState, "num_processes", property(lambda self: processes), raising=False
    )
    rows = []
    for step in range(12):
        rows.append(optimizer.param_groups[0]["lr"])
        accelerator.backward(model(torch.ones(1, 2)).sum())
        optimizer.step()
        wrapped.step()
        optimizer.zero_grad()
        if step == 5:  # a checkpoint, in mid-run
            wrapped.load_state_dict(through_file(wrapped.state_dict()))
    assert_same_bits(rows, schedules.CosineDecay(0.1, 40)(np.arange(12)))
    AcceleratorState._reset_state(reset_partial_state=True)


def test_accelerate_is_looked_for_at_every_step(monkeypatch):
    """Plain calls before and after those of the wrapper count one by one."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(AcceleratorState, "num_processes", property(lambda self: 2), raising=False)
    raw, scheduler = cosine_scheduler()
    optimizer, wrapped = accelerator.prepare(raw, scheduler)
    for _ in range(2):
        raw.step()
        scheduler.step()
    for _ in range(3):
        optimizer.step()
        wrapped.step()
    for _ in range(4):
        raw.step()
        scheduler.step()
    assert scheduler.last_epoch == 9
    AcceleratorState._reset_state(reset_partial_state=True)


def test_a_sequence_under_accelerate_is_refused(monkeypatch):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(AcceleratorState, "num_processes", property(lambda self: 2), raising=False)
    raw = make_optimizer()
    members = [ScheduleLR(raw, STEPPED), ScheduleLR(raw, COSINE)]
    sequence = torch_lr.SequentialLR(raw, members, milestones=[6])
    optimizer, wrapped = accelerator.prepare(raw, sequence)
    optimizer.step()
    with pytest.raises(RuntimeError, match="step_scheduler_with_optimizer=False"):
        wrapped.step()
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_a_tensor_that_cannot_hold_every_rate_is_refused(dtype):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=torch.ones((), dtype=dtype), foreach=False)
    with pytest.raises(ValueError, match="cannot hold every float32 learning rate"):
        ScheduleLR(optimizer, lambda k: 0.999)


def test_a_step_that_is_no_method_can_be_scheduled():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.step = functools.partial(optimizer.step)  # as torch.compile(optimizer.step) is
    scheduler = ScheduleLR(optimizer, lambda k: 0.5 / (k + 1))
    rates = []
    for _ in range(3):
        weight.grad = torch.ones(1)
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == [0.5, 0.25, float(np.float32(0.5 / 3))]
    moved = np.float32(0)
    for rate in rates:
        moved -= np.float32(rate)
    assert weight.item() == moved


@pytest.mark.parametrize("draws", [2, 5, 5000])
def test_numbers_that_end_within_a_block(draws):
    """What can be told is told; the step past the end raises, and changes nothing."""
    noise = np.linspace(-1.0, 1.0, draws).tolist()
    schedule = schedules.NoisyLinearCosineDecay(0.1, 6000, noise=noise)
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, schedule)
    rows = drive(optimizer, scheduler, draws - 1)[:, 0]
    rates = [*rows, rates_of(optimizer)[0]]
    assert_same_bits(rates, schedule(np.arange(draws)))
    optimizer.step()
    with pytest.raises(ValueError, match=f"has {draws} draws"):
        scheduler.step()
    assert scheduler.last_epoch == draws - 1
    assert rates_of(optimizer)[0] == rates[-1]
