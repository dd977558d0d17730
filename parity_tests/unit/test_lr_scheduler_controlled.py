"""The torch schedulers over controllers: driven, resumed, on schedules, wrapped and broken."""

from __future__ import annotations

import copy
import gc
import itertools
import math
import pickle
import random
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torch_lr

import lrparity.lr_scheduler as lrs
from bits import assert_same_bits
from lightning_side import QUIET
from lrparity import callbacks, controllers
from lrparity.lr_scheduler import EpochFunctionLR, LossDrivenLR, ReduceLROnPlateau, ScheduleLR
from lrparity.lr_scheduler._governed import governed
from lrparity.schedules import CosineDecay, FunctionSchedule, PiecewiseConstantDecay
from torch_side import add_group, drive, make_optimizer, rates_of, through_file

STEPS = 40
COSINE = CosineDecay(0.1, 40, alpha=0.1, warmup_target=0.4, warmup_steps=8)
DROPS = PiecewiseConstantDecay([10, 20], [0.4, 0.2, 0.1])


def single(value) -> float:
    return float(np.float32(value))


def compounding(epoch, lr):
    return lr * 0.97 if epoch else lr


def falling(epoch):
    return 0.3 * 0.9**epoch


def bent(scaled_loss):
    return 1.0 + scaled_loss / 3


def trace(seed, steps=STEPS) -> list[float]:
    """A metric that falls, stalls and jumps."""
    chance, value, values = random.Random(seed), 1.0, []
    for _ in range(steps):
        value += chance.choice([-0.1, -0.01, -1e-5, 0.0, 0.0, 0.003, 0.2])
        values.append(value)
    return values


def plateau(optimizer, **options):
    return ReduceLROnPlateau(optimizer, **{"factor": 0.3, "patience": 2, "cooldown": 1} | options)


CASES = {
    "plateau": lambda o: plateau(o, min_lr=1e-4),
    "plateau, max": lambda o: plateau(o, mode="max", min_delta=0.05, min_lr=1e-3),
    "plateau, 2.1.2": lambda o: plateau(o, keras_version="2.1.2"),
    "plateau, 2.15 on NumPy 2": lambda o: plateau(o, keras_version="2.15"),
    "plateau, 3.13": lambda o: plateau(o, keras_version="3.13", patience=1),
    "loss": LossDrivenLR,
    "loss, bounded": lambda o: LossDrivenLR(o, 0.2, scale=-2.0, min_lr=0.05, max_lr=0.15),
    "loss, function": lambda o: LossDrivenLR(o, function=bent),
    "function": lambda o: EpochFunctionLR(o, falling),
    "function of the rate": lambda o: EpochFunctionLR(o, compounding),
}
METRIC_DRIVEN = [name for name in CASES if "function" not in name or "loss" in name]
every_case = pytest.mark.parametrize("name", CASES)


def step(scheduler, metric) -> None:
    if isinstance(scheduler, EpochFunctionLR):
        scheduler.step()
    else:
        scheduler.step(metric)


def follow(optimizer, scheduler, metrics) -> list[list[float]]:
    """The rates of each epoch in a correct loop."""
    rows = []
    for metric in metrics:
        rows.append(rates_of(optimizer))
        optimizer.step()
        step(scheduler, metric)
    return rows


def follow_alone(name, metrics):
    optimizer = make_optimizer(0.1)
    return follow(optimizer, CASES[name](optimizer), metrics)


def decided(scheduler, rates, metrics) -> list[list[float]]:
    """The same by the controller alone."""
    controller, rows = copy.deepcopy(scheduler.controller), []
    if isinstance(controller, controllers.LossDriven):
        rates = controller.start(rates).lrs
    elif isinstance(controller, controllers.EpochFunction):
        rates = controller.update(0, rates).lrs
    for epoch, metric in enumerate(metrics):
        rows.append([single(rate) for rate in rates])
        by_epoch = isinstance(controller, controllers.EpochFunction)
        rates = controller.update(epoch + 1 if by_epoch else metric, rates).lrs
    return rows


# --- every case -----------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("lrs", [(0.1,), (0.1, 0.7, 0.003)])
def test_a_loop_does_what_the_controller_decides(name, lrs, seed):
    reduced = 0
    for i in range(20):
        metrics = trace(seed + i)
        optimizer = make_optimizer(*lrs)
        scheduler = CASES[name](optimizer)
        assert isinstance(scheduler, torch_lr.LRScheduler)
        expected = decided(scheduler, lrs, metrics)
        rows = follow(optimizer, scheduler, metrics)
        assert_same_bits(np.ravel(rows), np.ravel(expected), context=f"--seed {seed}, trace {i}")
        assert rows == expected  # and the groups hold plain floats with those values
        reduced += rows[0] != rows[-1]
        assert scheduler.last_epoch == STEPS
        assert scheduler._step_count == STEPS + 1
        assert scheduler.get_last_lr() == rates_of(optimizer) == scheduler.get_lr()
        assert scheduler.base_lrs == list(lrs)
        assert list(scheduler.last_decision.lrs) == rates_of(optimizer)
        assert type(scheduler).__name__ in repr(scheduler)
        assert f"last_epoch={STEPS}" in repr(scheduler)
        assert all(type(group["lr"]) is float for group in optimizer.param_groups)
    assert reduced > 10


@every_case
@pytest.mark.parametrize("lr_scale", [None, 0.3])
def test_resume_at_every_step_into_fresh_objects(name, lr_scale, seed):
    def build():
        scales = {} if lr_scale is None else {"lr_scale": lr_scale}
        optimizer = make_optimizer(0.1, 0.7, **scales)
        return optimizer, CASES[name](optimizer)

    metrics = trace(seed)
    whole = follow(*build(), metrics)
    optimizer, scheduler = build()
    for k, metric in enumerate(metrics):
        states = through_file([optimizer.state_dict(), scheduler.state_dict()])
        for order in ((0, 1), (1, 0), (1,)):
            fresh = build()
            for which in order:
                fresh[which].load_state_dict(states[which])
            assert fresh[1].last_decision is None
            assert fresh[1].get_last_lr() == scheduler.get_last_lr()
            assert follow(*fresh, metrics[k:]) == whole[k:], k
        optimizer.step()
        step(scheduler, metric)


@every_case
def test_a_tensor_rate_is_filled_in_place(name, seed):
    metrics = trace(seed)
    optimizer = make_optimizer(0.1, tensor=True)
    tensor = optimizer.param_groups[0]["lr"]
    scheduler = CASES[name](optimizer)
    assert_same_bits(
        np.ravel(follow(optimizer, scheduler, metrics)),
        np.ravel(follow_alone(name, metrics)),
    )
    assert optimizer.param_groups[0]["lr"] is tensor
    assert all(type(rate) is float for rate in scheduler.get_last_lr())
    through_file(scheduler.state_dict())


@every_case
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_copies_go_on_alike(name, how, seed):
    metrics = trace(seed)
    optimizer = make_optimizer(0.1, 0.7)
    optimizer.param_groups[0]["lr_scale"], optimizer.param_groups[1]["lr_scale"] = 0.3, 0.0
    scheduler = CASES[name](optimizer)
    follow(optimizer, scheduler, metrics[:20])
    copied = (
        copy.deepcopy(scheduler) if how == "deepcopy" else pickle.loads(pickle.dumps(scheduler))
    )
    assert copied.optimizer is not optimizer
    assert copied._governed is governed(copied.optimizer) is not scheduler._governed
    assert governed(copied.optimizer).bases() == governed(optimizer).bases()
    with warnings.catch_warnings():
        # torch's patch of optimizer.step does not survive its own pickling
        warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
        rows = follow(copied.optimizer, copied, metrics[20:])
    assert rows == follow(optimizer, scheduler, metrics[20:])


@every_case
def test_groups_are_scaled_by_lr_scale(name, seed):
    metrics = trace(seed)
    optimizer = make_optimizer(0.1, 0.1, 0.1)
    for group, scale in zip(optimizer.param_groups, (1.0, 0.3, 0.0), strict=True):
        group["lr_scale"] = scale
        group["lr"] *= scale or 1.0
    scheduler = CASES[name](optimizer)
    rows = follow(optimizer, scheduler, metrics)
    plain = np.float32([row[0] for row in rows])
    assert_same_bits(plain, np.ravel(follow_alone(name, metrics)))
    base = single(single(0.1 * 0.3 / 0.3))
    assert base == single(0.1)
    assert_same_bits([row[1] for row in rows], plain * np.float32(0.3))
    assert [row[2] for row in rows] == [0.0] * STEPS


@every_case
def test_a_group_that_joins_is_governed_from_its_own_rate(name, seed):
    metrics = trace(seed)
    optimizer = make_optimizer(0.1)
    scheduler = CASES[name](optimizer)
    follow(optimizer, scheduler, metrics[:7])
    add_group(optimizer, lr=0.7)
    held = [*rates_of(optimizer)[:1], 0.7]
    controller = copy.deepcopy(scheduler.controller)
    follow(optimizer, scheduler, metrics[7:8])
    asked = 8 if isinstance(scheduler, EpochFunctionLR) else metrics[7]
    told = controller.update(asked, held)
    assert scheduler.last_decision.lrs == told.lrs
    assert [single(rate) for rate in rates_of(optimizer)] == list(told.lrs)
    assert len(scheduler.base_lrs) == len(scheduler.get_last_lr()) == 2
    fresh_optimizer = make_optimizer(0.1)
    fresh = CASES[name](fresh_optimizer)
    with pytest.raises(ValueError, match=r"2 param groups; the optimizer has 1"):
        fresh.load_state_dict(scheduler.state_dict())
    add_group(fresh_optimizer)
    fresh.load_state_dict(through_file(scheduler.state_dict()))
    rest = metrics[8:]
    assert follow(fresh_optimizer, fresh, rest) == follow(optimizer, scheduler, rest)


@every_case
def test_an_edit_by_hand_is_where_it_goes_on_from(name):
    optimizer = make_optimizer()
    scheduler = CASES[name](optimizer)
    follow(optimizer, scheduler, [1.0, 0.9])
    optimizer.param_groups[0]["lr"] = 0.5
    assert governed(optimizer).rates() == [0.5]
    assert scheduler.get_lr() == [0.5]
    assert through_file(scheduler.state_dict())["lrs"] == [0.5]


@every_case
def test_the_wrong_order_still_warns_and_a_step_that_fails_is_not_done(name):
    optimizer = make_optimizer()
    scheduler = CASES[name](optimizer)
    before = scheduler.state_dict()
    with pytest.raises(UserWarning, match=r"before `optimizer.step"):
        step(scheduler, 1.0)
    assert scheduler.state_dict() == before
    optimizer.step()
    step(scheduler, 1.0)
    assert scheduler.last_epoch == 1


@pytest.mark.parametrize("name", METRIC_DRIVEN)
@pytest.mark.parametrize(
    "metric",
    [0.5, 1, np.float32(0.5), np.float64(0.5), torch.tensor(0.5), torch.tensor([0.5])],
    ids=repr,
)
def test_a_metric_is_any_real_number(name, metric):
    optimizer = make_optimizer()
    scheduler = CASES[name](optimizer)
    follow(optimizer, scheduler, [2.0, metric])
    twin_optimizer = make_optimizer()
    follow(twin_optimizer, CASES[name](twin_optimizer), [2.0, float(metric)])
    assert rates_of(optimizer) == rates_of(twin_optimizer)


@pytest.mark.parametrize("name", METRIC_DRIVEN)
@pytest.mark.parametrize("metric", ["0.5", True, torch.zeros(2), [0.5], 1j], ids=repr)
def test_what_is_no_metric(name, metric):
    optimizer = make_optimizer()
    scheduler = CASES[name](optimizer)
    follow(optimizer, scheduler, [1.0])
    before = scheduler.state_dict()
    with pytest.raises(TypeError, match="must be a real number"):
        scheduler.step(metric)
    assert scheduler.state_dict() == before


@pytest.mark.parametrize("name", METRIC_DRIVEN)
def test_without_a_metric(name):
    def refuses(optimizer, scheduler, call):
        optimizer.step()
        before = scheduler.state_dict()
        with pytest.raises(TypeError, match=r"step\(\) needs the (metric|loss): call") as error:
            call()
        assert scheduler.state_dict() == before
        return str(error.value)

    optimizer = make_optimizer()
    scheduler = CASES[name](optimizer)
    message = refuses(optimizer, scheduler, scheduler.step)
    if name.startswith("plateau"):
        assert "construct ScheduleLR and ReduceLROnPlateau on the same optimizer" in message
    refuses(optimizer, scheduler, lambda: scheduler.step(None))
    chain = torch_lr.ChainedScheduler([torch_lr.ConstantLR(optimizer, 1.0), scheduler])
    refuses(optimizer, scheduler, chain.step)

    optimizer = make_optimizer()
    members = [torch_lr.ConstantLR(optimizer, 1.0), CASES[name](optimizer)]
    sequence = torch_lr.SequentialLR(optimizer, members, milestones=[1])
    refuses(optimizer, members[1], sequence.step)
    sequence = torch_lr.SequentialLR(optimizer, members[::-1], milestones=[2])
    refuses(optimizer, members[1], sequence.step)


def foreign_states():
    optimizer = make_optimizer()
    good = plateau(optimizer).state_dict()
    short = dict(good)
    del short["lrs"]
    return {
        "torch's": torch_lr.ExponentialLR(optimizer, 0.9).state_dict(),
        "a schedule's": ScheduleLR(make_optimizer(), COSINE).state_dict(),
        "another class's": EpochFunctionLR(make_optimizer(), compounding).state_dict(),
        "the controller's": good["controller"],
        "empty": {},
        "no dict": None,
        "of the future": good | {"version": 2},
        "truncated": short,
        "of wrong types": good | {"last_epoch": "3"},
        "of a bool": good | {"last_epoch": True},
        "of wrong rates": good | {"bases": ["x"]},
        "of a negative count": good | {"_step_count": -2},
        "of a damaged rule": good | {"controller": good["controller"] | {"state": {}}},
        "of no rule": good | {"controller": {}},
        "of other groups": good | {"lrs": [0.1, 0.1], "bases": [0.1, 0.1]},
    }


@pytest.mark.parametrize("name", foreign_states())
def test_foreign_and_damaged_states_are_refused(name):
    optimizer = make_optimizer()
    scheduler = plateau(optimizer, on_config_change="use_new")
    follow(optimizer, scheduler, [1.0, 2.0, 3.0])
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match=r"state"):
        scheduler.load_state_dict(foreign_states()[name])
    assert scheduler.state_dict() == before


def test_other_arguments_are_refused_or_taken_on_purpose():
    optimizer = make_optimizer()
    scheduler = plateau(optimizer)
    follow(optimizer, scheduler, [1.0, 2.0, 3.0])
    state = through_file(scheduler.state_dict())
    fresh_optimizer = make_optimizer(0.5)
    fresh = plateau(fresh_optimizer, patience=5)
    with pytest.raises(ValueError, match=r"patience: saved 2, now 5.*use_new"):
        fresh.load_state_dict(state)
    assert (rates_of(fresh_optimizer), fresh.last_epoch) == ([0.5], 0)
    fresh.on_config_change = "use_new"
    fresh.load_state_dict(state)
    assert (rates_of(fresh_optimizer), fresh.last_epoch) == (rates_of(optimizer), 3)
    assert (fresh.controller.patience, fresh.controller.cooldown_counter) == (5, 1)


def test_a_tensor_that_cannot_hold_a_rate():
    optimizer = make_optimizer()
    scheduler = plateau(optimizer, patience=1)
    follow(optimizer, scheduler, [1.0])
    state = scheduler.state_dict()
    optimizer.param_groups[0]["lr"] = torch.tensor(1)
    with pytest.raises(ValueError, match=r"torch.int64"):
        scheduler.step(2.0)
    with pytest.raises(ValueError, match=r"torch.int64"):
        scheduler.load_state_dict(state | {"last_epoch": 7})
    assert scheduler.last_epoch == 1
    assert scheduler.controller.wait == 0
    optimizer.param_groups[0]["lr"] = torch.tensor(1.0)
    scheduler.step(2.0)
    assert rates_of(optimizer) == [single(0.3)]


# --- each class -----------------------------------------------------------------------------------


def test_construction_writes_what_keras_would_hold():
    optimizer = make_optimizer(0.1, 0.7)
    ReduceLROnPlateau(optimizer)
    assert rates_of(optimizer) == [single(0.1), single(0.7)]
    LossDrivenLR(optimizer, 0.3)
    assert rates_of(optimizer) == [single(0.3)] * 2
    EpochFunctionLR(optimizer, lambda epoch: 0.9)
    assert rates_of(optimizer) == [single(0.9)] * 2
    EpochFunctionLR(optimizer, compounding)
    assert rates_of(optimizer) == [single(0.9)] * 2


def test_a_plateau_is_reset_as_by_a_new_fit():
    optimizer = make_optimizer()
    scheduler = plateau(optimizer, patience=1, cooldown=5)
    follow(optimizer, scheduler, [1.0, 2.0])
    assert scheduler.last_decision.changed
    assert scheduler.last_decision.reason == "no improvement on 1 for 1 metrics"
    scheduler.reset()
    assert (scheduler.controller.best, scheduler.controller.cooldown_counter) == (None, 0)
    follow(optimizer, scheduler, [5.0])
    assert not scheduler.last_decision.changed
    assert scheduler.last_epoch == 3


def test_a_loss_that_is_not_finite():
    for non_finite, rate in (("keep", 0.1 * math.e), ("initial", 0.1)):
        optimizer = make_optimizer()
        scheduler = LossDrivenLR(optimizer, non_finite=non_finite)
        follow(optimizer, scheduler, [1.0, math.nan])
        assert rates_of(optimizer) == [single(single(0.1) * math.e if rate > 0.1 else 0.1)]
        assert scheduler.last_epoch == 2
    optimizer = make_optimizer()
    scheduler = LossDrivenLR(optimizer)
    follow(optimizer, scheduler, [1.0])
    before = scheduler.state_dict()
    with pytest.raises(FloatingPointError, match="max_lr"):
        scheduler.step(math.nan)
    assert scheduler.state_dict() == before


def test_a_function_is_asked_once_for_each_epoch_and_never_ahead():
    asked = []

    def rate(epoch):
        asked.append(epoch)
        return 0.1 / (1 + epoch)

    optimizer = make_optimizer(0.1, 0.2)
    scheduler = EpochFunctionLR(optimizer, rate)
    assert scheduler.last_decision is None
    for _ in range(3):
        scheduler.get_lr()
        scheduler.state_dict()
        optimizer.step()
        scheduler.step()
    assert asked == [0, 1, 2, 3]
    assert scheduler.last_decision.assigned == (0.025, 0.025)


def test_a_function_that_fails_loses_no_step():
    broken = True

    def rate(epoch):
        return 1 if epoch == 2 and broken else 0.1 / (1 + epoch)

    optimizer = make_optimizer()
    scheduler = EpochFunctionLR(optimizer, rate)
    follow(optimizer, scheduler, [None])
    before = scheduler.state_dict()
    optimizer.step()
    with pytest.raises(ValueError, match="must return a float"):
        scheduler.step()
    assert scheduler.state_dict() == before
    broken = False
    scheduler.step()
    assert rates_of(optimizer) == [single(0.1 / 3)]


def test_going_on_from_last_epoch():
    optimizer = make_optimizer()
    scheduler = EpochFunctionLR(optimizer, lambda epoch: 0.5 * 0.9**epoch, last_epoch=6)
    assert scheduler.last_epoch == 7
    assert rates_of(optimizer) == [single(0.5 * 0.9**7)]


def test_step_with_an_epoch_jumps():
    optimizer = make_optimizer()
    scheduler = EpochFunctionLR(optimizer, lambda epoch: 0.5 * 0.9**epoch)
    follow(optimizer, scheduler, [None] * 3)
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(30)
    assert rates_of(optimizer) == [single(0.5 * 0.9**30)]
    scheduler.step()
    assert rates_of(optimizer) == [single(0.5 * 0.9**31)]
    for metric in (0.7, True, torch.tensor(0.5)):
        with pytest.raises(TypeError, match="no metric"):
            scheduler.step(metric)
    assert scheduler.last_epoch == 31


@pytest.mark.parametrize("without_update_lr", [False, True])
def test_functions_in_a_sequence(without_update_lr, monkeypatch):
    """Also as in torch before 2.9, whose ``SequentialLR`` calls ``step(0)``."""
    if without_update_lr:
        as_before_2_9(monkeypatch)

    def build():
        optimizer = make_optimizer(0.5)
        members = [
            EpochFunctionLR(optimizer, lambda epoch: 0.1 + epoch),
            EpochFunctionLR(optimizer, compounding),
            EpochFunctionLR(optimizer, lambda epoch: 0.9 / (1 + epoch)),
        ]
        return optimizer, torch_lr.SequentialLR(optimizer, members, milestones=[3, 7])

    expected = [single(0.1 + epoch) for epoch in range(3)]
    for epoch in range(4):
        expected.append(single(compounding(epoch, expected[-1])))
    expected += [single(0.9 / (1 + epoch)) for epoch in range(3)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The epoch parameter", UserWarning)
        optimizer, sequence = build()
        assert np.ravel(drive(optimizer, sequence, 10)).tolist() == expected
        for stop in range(10):
            optimizer, sequence = build()
            drive(optimizer, sequence, stop)
            states = through_file([optimizer.state_dict(), sequence.state_dict()])
            fresh = build()
            for which in ((0, 1), (1, 0))[stop % 2]:
                fresh[which].load_state_dict(states[which])
            assert np.ravel(drive(*fresh, 10 - stop)).tolist() == expected[stop:]


def as_before_2_9(monkeypatch):
    """torch's ``step`` and ``SequentialLR`` as they were, without ``_update_lr``."""

    def old_step(self, epoch=None):
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", False):
            warnings.warn("Detected call before `optimizer.step()`", stacklevel=2)
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
        else:
            self.last_epoch = epoch
        values = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def old_sequential_step(self):
        self.last_epoch += 1
        i = sum(milestone <= self.last_epoch for milestone in self._milestones)
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            self._schedulers[i].step(0)
        else:
            self._schedulers[i].step()
        self._last_lr = self._schedulers[i].get_last_lr()

    monkeypatch.setattr(torch_lr.LRScheduler, "step", old_step)
    monkeypatch.setattr(torch_lr.SequentialLR, "step", old_sequential_step)
    for module in ("_closed_loop", "_controlled", "_schedule_lr"):
        monkeypatch.setattr(getattr(lrs, module), "TORCH_HAS_UPDATE_LR", False)


@every_case
def test_on_torch_before_2_9(name, seed, monkeypatch):
    metrics = trace(seed)
    whole = follow_alone(name, metrics)
    as_before_2_9(monkeypatch)
    assert follow_alone(name, metrics) == whole


def test_a_function_and_a_schedule_take_turns():
    def build():
        optimizer = make_optimizer(0.5)
        members = [
            EpochFunctionLR(optimizer, lambda epoch: 0.1 + epoch),
            EpochFunctionLR(optimizer, compounding),
        ]
        members.insert(1, ScheduleLR(optimizer, DROPS))
        return optimizer, torch_lr.SequentialLR(optimizer, members, milestones=[3, 15])

    expected = [single(0.1 + epoch) for epoch in range(3)] + DROPS(np.arange(12)).tolist()
    for epoch in range(5):
        expected.append(single(compounding(epoch, expected[-1])))
    optimizer, sequence = build()
    assert np.ravel(drive(optimizer, sequence, 20)).tolist() == expected
    for stop in range(20):
        optimizer, sequence = build()
        drive(optimizer, sequence, stop)
        driving = governed(optimizer).schedule
        assert (driving is sequence._schedulers[1]) is (3 <= stop < 15)
        states = through_file([optimizer.state_dict(), sequence.state_dict()])
        fresh = build()
        for which in ((0, 1), (1, 0))[stop % 2]:
            fresh[which].load_state_dict(states[which])
        copied = copy.deepcopy(sequence)
        assert np.ravel(drive(*fresh, 20 - stop)).tolist() == expected[stop:]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
            rows = drive(copied.optimizer, copied, 20 - stop)
        assert np.ravel(rows).tolist() == expected[stop:]


# --- on a schedule --------------------------------------------------------------------------------


def floored(schedule, multiplier, min_lr):
    """What a multiplied and bounded schedule says, in float32."""
    rates = np.float32(schedule)
    if multiplier == 1.0:
        return rates
    return np.maximum(rates * np.float32(multiplier), np.minimum(rates, np.float32(min_lr)))


@pytest.mark.parametrize("first", ["schedule", "plateau"])
@pytest.mark.parametrize("min_lr", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("factor", [0.3, 0.5, 0.9, 0.0])
@pytest.mark.filterwarnings("ignore:`factor`=0.0 is not positive")
def test_a_plateau_multiplies_a_schedule(first, min_lr, factor, seed):
    """Three updates an epoch; the first group is scaled."""
    optimizer = make_optimizer(0.1, 0.1)
    optimizer.param_groups[0]["lr_scale"] = 0.7
    made = {}
    for name in ("schedule", "plateau") if first == "schedule" else ("plateau", "schedule"):
        if name == "schedule":
            made[name] = ScheduleLR(optimizer, COSINE)
        else:
            made[name] = plateau(optimizer, factor=factor, min_lr=min_lr)
    scheduler, reducer = made["schedule"], made["plateau"]
    rule = controllers.ReduceLROnPlateau(factor=factor, patience=2, cooldown=1, min_lr=min_lr)
    multiplier = 1.0
    for epoch, metric in enumerate(trace(seed, 20)):
        for k in range(3 * epoch, 3 * epoch + 3):
            rate = floored(COSINE(k), multiplier, min_lr)
            assert_same_bits(rates_of(optimizer), [rate * np.float32(0.7), rate])
            optimizer.step()
            scheduler.step()
        rate = floored(COSINE(3 * epoch + 3), multiplier, min_lr)
        assert governed(optimizer).rates() == [rate, rate]
        if rule.update(metric, [float(rate)]).changed:
            multiplier = single(multiplier * factor)
        reducer.step(metric)
        rate = floored(COSINE(3 * epoch + 3), multiplier, min_lr)
        assert scheduler.multiplier == multiplier
        assert_same_bits(rates_of(optimizer), [rate * np.float32(0.7), rate])
        assert reducer.last_decision.lrs == (rate, rate) == reducer.last_decision.assigned
        assert reducer.get_last_lr() == rates_of(optimizer) == scheduler.get_last_lr()
    assert rule.get_config() == reducer.controller.get_config()


@pytest.mark.parametrize("count", ["calls", "updates"])
def test_a_plateau_over_a_schedule_resumes_in_any_order(count, seed):
    metrics = trace(seed, 15)

    def build():
        optimizer = make_optimizer(0.1, 0.2, lr_scale=0.3)
        scheduler = ScheduleLR(optimizer, COSINE, count=count)
        return optimizer, scheduler, plateau(optimizer, patience=1, min_lr=0.02)

    def go_on(objects, epochs):
        optimizer, scheduler, reducer = objects
        rows = []
        for epoch in epochs:
            for _ in range(3):
                rows.append(rates_of(optimizer))
                optimizer.step()
                scheduler.step()
            reducer.step(metrics[epoch])
        return rows

    whole = go_on(build(), range(15))
    objects = build()
    for epoch in range(15):
        states = through_file([one.state_dict() for one in objects])
        for order in itertools.permutations(range(3)):
            fresh = build()
            for which in order:
                fresh[which].load_state_dict(states[which])
            assert governed(fresh[0]).rates() == governed(objects[0]).rates()
            assert go_on(fresh, range(epoch, 15)) == whole[3 * epoch :]
        copied = copy.deepcopy(objects)
        for group in copied[0].param_groups:
            group["params"][0].grad = torch.ones(2)  # which copying drops
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
            assert go_on(copied, range(epoch, 15)) == whole[3 * epoch :]
        go_on(objects, [epoch])


@pytest.mark.parametrize("constructed", [(0, 1, 2), (2, 0, 1)], ids=str)
def test_a_plateau_over_a_sequence_of_schedules(constructed):
    schedules = [lambda k: 0.01 * (k + 1), DROPS, lambda k: 0.05]

    def build():
        optimizer = make_optimizer()
        made = {i: ScheduleLR(optimizer, schedules[i]) for i in constructed}
        members = [made[i] for i in range(3)]
        sequence = torch_lr.SequentialLR(optimizer, members, milestones=[5, 20])
        return optimizer, sequence, plateau(optimizer, patience=1, min_lr=0.004)

    spoken = [*np.float32([0.01 * (k + 1) for k in range(5)]), *DROPS(np.arange(15))]
    spoken += [np.float32(0.05)] * 11

    def go_on(objects, steps, multiplier):
        optimizer, sequence, reducer = objects
        for k in steps:
            driving = governed(optimizer).schedule
            assert driving is sequence._schedulers[(k >= 5) + (k >= 20)]
            assert driving.multiplier == multiplier
            assert_same_bits(rates_of(optimizer), floored(spoken[k], multiplier, 0.004))
            optimizer.step()
            sequence.step()
            if k in {2, 4, 5, 9, 21}:
                reducer.step(1.0)
                if reducer.last_decision.changed:
                    multiplier = single(multiplier * 0.3)
                rate = float(floored(spoken[k + 1], multiplier, 0.004))
                assert reducer.last_decision.lrs == (rate,)
                assert rates_of(optimizer) == [rate]
        return multiplier

    objects, multiplier = build(), 1.0
    for k in range(30):
        states = through_file([one.state_dict() for one in objects])
        for order in itertools.permutations(range(3)):
            fresh = build()
            for which in order:
                fresh[which].load_state_dict(states[which])
            go_on(fresh, range(k, 30), multiplier)
        with warnings.catch_warnings():
            # torch's patch of optimizer.step does not survive copying
            warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
            _, copied = copy.deepcopy((objects[1]._schedulers[::-1], objects))
            go_on(copied, range(k, 30), multiplier)
        multiplier = go_on(objects, [k], multiplier)
    assert multiplier < 0.1


def test_a_schedule_is_left_alone_by_construction_and_loading():
    other = make_optimizer()
    saved = plateau(other)
    follow(other, saved, [1.0, 2.0, 3.0])
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, DROPS)
    optimizer.param_groups[0]["lr"] = 7.0  # by hand, until the next step
    reducer = plateau(optimizer)
    assert rates_of(optimizer) == reducer.get_last_lr() == [7.0]
    reducer.load_state_dict(saved.state_dict())
    assert rates_of(optimizer) == [7.0]
    assert reducer.controller.cooldown_counter == 1
    optimizer.step()
    scheduler.step()
    assert rates_of(optimizer) == [DROPS(1)]


def test_the_plateau_of_keras_3_refuses_a_schedule():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, COSINE)
    reducer = plateau(optimizer, on_schedule="raise", patience=1)
    optimizer.step()
    scheduler.step()
    reducer.step(1.0)
    before = reducer.state_dict()
    with pytest.raises(TypeError, match=r"ScheduleLR\(CosineDecay.*on_schedule=\"multiply\""):
        reducer.step(1.0)
    assert reducer.state_dict() == before
    assert rates_of(optimizer) == [COSINE(1)]


@pytest.mark.parametrize("make", [LossDrivenLR, lambda o: EpochFunctionLR(o, compounding)])
def test_setting_rates_of_a_schedule_is_refused(make):
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, COSINE)
    with pytest.raises(TypeError, match=r"cannot set .*ScheduleLR\(CosineDecay"):
        make(optimizer)
    assert rates_of(optimizer) == [COSINE(0)]
    del scheduler  # nobody drives it any more
    setter = make(optimizer)
    follow(optimizer, setter, [0.5])
    scheduler = ScheduleLR(optimizer, COSINE)
    before = setter.state_dict()
    with pytest.raises(TypeError, match=r"cannot set .*ScheduleLR\(CosineDecay"):
        step(setter, 0.5)
    assert setter.state_dict() == before
    if isinstance(setter, EpochFunctionLR):
        with pytest.raises(TypeError, match="cannot set"):
            setter.step(3)
    assert rates_of(optimizer) == [COSINE(0)]
    assert scheduler.last_epoch == 0


def test_two_closed_loops_load_in_any_order(seed):
    metrics = trace(seed, 20)

    def build():
        optimizer = make_optimizer(0.1, 0.4)
        return optimizer, plateau(optimizer, patience=1), EpochFunctionLR(optimizer, compounding)

    def go_on(objects, epochs):
        rows = []
        for epoch in epochs:
            rows.append(rates_of(objects[0]))
            objects[0].step()
            objects[1].step(metrics[epoch])
            objects[2].step()
        return rows

    whole, objects = go_on(build(), range(20)), build()
    for epoch in range(20):
        states = through_file([one.state_dict() for one in objects])
        for order in itertools.permutations((1, 2)):
            fresh = build()
            for which in order:
                fresh[which].load_state_dict(states[which])
            assert go_on(fresh, range(epoch, 20)) == whole[epoch:]
        go_on(objects, [epoch])


# --- bad input ------------------------------------------------------------------------------------


def test_wrong_arguments():
    model = torch.nn.Linear(1, 1)
    for make in (plateau, LossDrivenLR, lambda o: EpochFunctionLR(o, compounding)):
        for bad in (model, None, [model.weight]):
            with pytest.raises(TypeError, match="optimizer"):
                make(bad)
        with pytest.raises(ValueError, match="'lr' in param group 0"):
            make(torch.optim.Optimizer([torch.nn.Parameter(torch.zeros(1))], {}))
    optimizer = make_optimizer()
    with pytest.raises(TypeError, match="positional"):
        ReduceLROnPlateau(optimizer, "min", 0.1, 10)
    for options in (
        {"mode": "auto"},
        {"factor": 1.0},
        {"on_schedule": "ignore"},
        {"on_config_change": "ignore"},
        {"keras_version": "9.9"},
        {"min_lr": math.inf},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            ReduceLROnPlateau(optimizer, **options)
    for options in ({"patience": "3"}, {"cooldown": None}, {"min_lr": [0.1]}):
        with pytest.raises(TypeError, match=next(iter(options))):
            ReduceLROnPlateau(optimizer, **options)
    with pytest.raises(ValueError, match="min_lr"):
        LossDrivenLR(optimizer, min_lr=1.0, max_lr=0.5)
    with pytest.raises(ValueError, match="on_config_change"):
        LossDrivenLR(optimizer, on_config_change="ignore")
    for last_epoch in (-2, 1.5, True):
        with pytest.raises(ValueError, match="last_epoch"):
            EpochFunctionLR(optimizer, compounding, last_epoch=last_epoch)
    with pytest.raises(TypeError, match="`fn` must be a function"):
        EpochFunctionLR(optimizer, 0.1)
    assert rates_of(optimizer) == [0.1]  # none of them has written


def test_lightning_configs():
    optimizer = make_optimizer()
    reducer = plateau(optimizer)
    assert reducer.lightning_config("val_loss") == {
        "scheduler": reducer,
        "reduce_on_plateau": True,
        "monitor": "val_loss",
        "interval": "epoch",
        "frequency": 1,
        "strict": True,
    }
    driven = LossDrivenLR(optimizer)
    config = driven.lightning_config("loss", interval="step", strict=False, name="eta")
    assert (config["interval"], config["strict"], config["name"]) == ("step", False, "eta")
    function = EpochFunctionLR(optimizer, compounding)
    assert function.lightning_config() == {
        "scheduler": function,
        "interval": "epoch",
        "frequency": 1,
    }


# --- against live Keras ---------------------------------------------------------------------------


@pytest.mark.keras
def test_the_epochs_of_a_live_learning_rate_scheduler():
    import keras

    import keras_side

    for function in (compounding, falling, lambda epoch, lr: 1e-3 + lr / 3):
        callback = keras.callbacks.LearningRateScheduler(function)
        keras_optimizer = keras.optimizers.SGD(0.1)
        reported, _ = keras_side.fit(keras_optimizer, 2, epochs=12, callbacks=[callback])
        optimizer = make_optimizer()
        scheduler = EpochFunctionLR(optimizer, function)
        rows = follow(optimizer, scheduler, [None] * 12)
        assert_same_bits(np.ravel(rows), reported[::2])


@pytest.mark.keras
@pytest.mark.parametrize(
    "options",
    [
        {"factor": 0.3, "patience": 2, "cooldown": 1, "min_lr": 1e-3},
        {"factor": 0.9, "patience": 1, "min_delta": 0.02},
        {"factor": 0.1, "patience": 3, "cooldown": 2, "mode": "max"},
    ],
)
def test_the_epochs_of_a_live_plateau(options, seed):
    import keras

    import keras_side

    metrics = trace(seed, 30)

    class Says(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = metrics[epoch]

    reducer = keras.callbacks.ReduceLROnPlateau("val_loss", **{"mode": "min"} | options)
    keras_optimizer = keras.optimizers.SGD(0.1)
    reported, _ = keras_side.fit(keras_optimizer, 1, epochs=30, callbacks=[Says(), reducer])
    optimizer = make_optimizer()
    rows = follow(optimizer, ReduceLROnPlateau(optimizer, **options), metrics)
    assert_same_bits(np.ravel(rows), reported, context=f"--seed {seed}")


# --- Fabric, Accelerate and Lightning -------------------------------------------------------------


@every_case
def test_in_fabric(name, tmp_path, seed):
    from lightning.fabric import Fabric

    metrics = trace(seed, 20)
    fabric = Fabric(accelerator="cpu", devices=1)
    raw = make_optimizer()
    optimizer = fabric.setup_optimizers(raw)
    scheduler = CASES[name](optimizer)
    rows = follow(optimizer, scheduler, metrics)
    assert rows == follow_alone(name, metrics)
    path = tmp_path / "fabric.ckpt"
    fabric.save(path, {"scheduler": scheduler, "optimizer": optimizer})
    fresh = CASES[name](make_optimizer())
    fabric.load(path, {"scheduler": fresh})
    assert fresh.get_last_lr() == rates_of(raw)


@every_case
@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("split_batches", [False, True])
def test_accelerate_steps_once_for_each_call(name, processes, split_batches, monkeypatch, seed):
    from accelerate import Accelerator, DataLoaderConfiguration
    from accelerate.state import AcceleratorState, PartialState

    metrics = trace(seed, 20)
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=split_batches)
    )
    raw = make_optimizer()
    optimizer, wrapped = accelerator.prepare(raw, CASES[name](raw))
    monkeypatch.setattr(PartialState, "num_processes", processes, raising=False)
    monkeypatch.setattr(
        AcceleratorState, "num_processes", property(lambda self: processes), raising=False
    )
    rows = []
    for i, metric in enumerate(metrics):
        rows.append(rates_of(raw))
        optimizer.step()
        wrapped.step(*([] if isinstance(wrapped.scheduler, EpochFunctionLR) else [metric]))
        if i == 7:  # a checkpoint, in mid-run
            wrapped.load_state_dict(through_file(wrapped.state_dict()))
    assert rows == follow_alone(name, metrics)
    AcceleratorState._reset_state(reset_partial_state=True)


class Module(pl.LightningModule):
    """Writes down the rate of each update."""

    def __init__(self, configure) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.configure, self.rates = configure, []

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        optimizer.register_step_pre_hook(lambda o, *_: self.rates.append(rates_of(o)[0]))
        made = self.configure(optimizer)
        return [optimizer], made if isinstance(made, list) else [made]


class Validated(Module):
    """Logs a given metric after each epoch."""

    def __init__(self, configure, metrics) -> None:
        super().__init__(configure)
        self.metrics = metrics

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", torch.tensor(self.metrics[self.current_epoch], dtype=torch.float64))


def fit(module, epochs, *others, batches=3, ckpt_path=None):
    loader = torch.utils.data.DataLoader([torch.ones(2, 2)] * batches, batch_size=None)
    own = {"num_sanity_val_steps": 0, "max_epochs": epochs, "callbacks": list(others)}
    validated = loader if isinstance(module, Validated) else None
    pl.Trainer(**QUIET | own).fit(module, loader, validated, ckpt_path=ckpt_path)


@pytest.mark.parametrize("name", METRIC_DRIVEN)
def test_lightning_passes_the_metric(name, seed):
    metrics = [single(metric) for metric in trace(seed, 15)]
    module = Validated(lambda o: CASES[name](o).lightning_config("val_loss"), metrics)
    fit(module, 15, batches=1)
    assert_same_bits(module.rates, np.ravel(follow_alone(name, metrics)))


def test_lightning_steps_a_function_once_per_epoch():
    def rate(epoch):
        return 0.5 / (1 + epoch)

    module = Module(lambda o: EpochFunctionLR(o, rate).lightning_config())
    fit(module, 4)
    assert module.rates == [single(rate(epoch)) for epoch in range(4) for _ in range(3)]
    module = Module(lambda o: {"scheduler": EpochFunctionLR(o, rate), "interval": "step"})
    with pytest.raises(RuntimeError, match=r"EpochFunctionLR.* counts epochs"):
        fit(module, 4)


def test_lightning_steps_a_plateau_over_a_schedule(seed):
    metrics = [single(metric) for metric in trace(seed, 12)]

    def configure(optimizer):
        schedule = ScheduleLR(optimizer, COSINE)
        reducer = plateau(optimizer, patience=1, min_lr=0.02)
        return [schedule.lightning_config(), reducer.lightning_config("val_loss")]

    module = Validated(configure, metrics)
    fit(module, 12)
    rule = controllers.ReduceLROnPlateau(factor=0.3, patience=1, cooldown=1, min_lr=0.02)
    expected, multiplier = [], 1.0
    for epoch, metric in enumerate(metrics):
        steps = np.arange(3 * epoch, 3 * epoch + 3)
        expected += floored(COSINE(steps), multiplier, 0.02).tolist()
        rate = floored(COSINE(3 * epoch + 3), multiplier, 0.02)
        if rule.update(metric, [rate]).changed:
            multiplier = single(multiplier * 0.3)
    assert_same_bits(module.rates, expected)


class Halves(pl.Callback):
    """Multiplies the schedule, and knows nothing of the callback that drives by it."""

    def on_train_epoch_end(self, trainer, pl_module):
        governed(trainer.optimizers[0]).multiply(lambda multiplier: multiplier * 0.5, 0.01)


class Saves(pl.Callback):
    """Writes a checkpoint for each epoch."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt")


@pytest.mark.parametrize("halves_first", [False, True])
@pytest.mark.parametrize("per_epoch", [False, True])
def test_a_callback_multiplies_what_another_drives(halves_first, per_epoch, tmp_path):
    schedule = DROPS
    if per_epoch:
        schedule = FunctionSchedule(lambda epoch: 0.4 / (1 + epoch), unit="epoch")

    def run(path=None):
        others = [callbacks.ScheduleLR(schedule), Halves()]
        others = others[::-1] if halves_first else others
        module = Module(lambda optimizer: [])
        fit(module, 6, *others, Saves(tmp_path), ckpt_path=path)
        return module.rates

    expected = []
    for k in range(18):
        spoken = np.float32(0.4 / (1 + k // 3)) if per_epoch else np.float32(DROPS(k))
        expected.append(floored(spoken, 0.5 ** (k // 3), 0.01))
    assert_same_bits(run(), expected)
    for epoch in range(5):
        assert_same_bits(run(tmp_path / f"{epoch}.ckpt"), expected[3 * (epoch + 1) :])


def test_a_callback_leaves_no_schedule_behind():
    module = Module(lambda optimizer: [])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module.configure_optimizers = lambda: optimizer
    gc.disable()
    try:
        fit(module, 1, callbacks.ScheduleLR(DROPS))
        assert governed(optimizer).schedule is None
        EpochFunctionLR(optimizer, compounding)
    finally:
        gc.enable()
