"""Who governs an optimizer's rates: the bases, the schedule that drives it, and its multiplier."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torch_lr

from bits import assert_same_bits
from lrparity.lr_scheduler import ReduceLROnPlateau, ScheduleLR
from lrparity.lr_scheduler._governed import governed
from lrparity.schedules import CosineDecay, PiecewiseConstantDecay
from torch_side import add_group, drive, make_optimizer, rates_of, through_file

COSINE = CosineDecay(0.1, 40, alpha=0.1, warmup_target=0.4, warmup_steps=8)
DROPS = PiecewiseConstantDecay([10, 20], [0.4, 0.2, 0.1])


def single(value) -> float:
    return float(np.float32(value))


# --- the schedule's multiplier and its bound --------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("multiplier", [0.0, 0.07, 1.0, 3.0])
@pytest.mark.parametrize("min_lr", [0.0, 1e-3, 0.05, 0.3])
@pytest.mark.parametrize("schedule", [COSINE, COSINE.__call__])
def test_the_bound_of_the_multiplier(multiplier, min_lr, scale, schedule):
    optimizer = make_optimizer(0.1, 0.1)
    optimizer.param_groups[1]["lr_scale"] = scale
    scheduler = ScheduleLR(optimizer, schedule)
    scheduler.set_multiplier(multiplier, min_lr=min_lr)
    spoken = COSINE(np.arange(50))
    bounded = np.maximum(spoken * np.float32(multiplier), np.minimum(spoken, np.float32(min_lr)))
    rows = drive(optimizer, scheduler, 50)
    assert_same_bits(rows[:, 0], bounded)
    assert_same_bits(rows[:, 1], bounded * np.float32(scale))
    state = through_file(scheduler.state_dict())
    fresh = ScheduleLR(make_optimizer(0.1, 0.1), schedule)
    if schedule is COSINE:
        fresh.load_state_dict(state)
        assert (fresh.multiplier, fresh.min_lr) == (single(multiplier), single(min_lr))
        assert rates_of(fresh.optimizer) == rates_of(optimizer)
    scheduler.set_multiplier(multiplier)
    assert scheduler.min_lr == 0.0
    assert_same_bits(rates_of(optimizer)[0], COSINE(50) * np.float32(multiplier))


def test_without_a_bound_nothing_is_bounded():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, lambda k: -0.1)  # Keras accepts it
    scheduler.set_multiplier(3.0)
    assert_same_bits(rates_of(optimizer), [np.float32(-0.1) * np.float32(3)])


def test_a_product_below_zero_is_zero():
    scheduler = ScheduleLR(make_optimizer(), COSINE)
    governed(scheduler.optimizer).multiply(lambda multiplier: multiplier * -0.5, -1.0)
    assert (scheduler.multiplier, scheduler.min_lr) == (0.0, 0.0)


def test_bad_bounds():
    scheduler = ScheduleLR(make_optimizer(), COSINE)
    for bad in (math.nan, math.inf, -1.0, "1", None):
        with pytest.raises((TypeError, ValueError), match="min_lr"):
            scheduler.set_multiplier(0.5, min_lr=bad)
    assert repr(scheduler).endswith("last_epoch=0)")
    scheduler.set_multiplier(0.5)
    assert repr(scheduler).endswith("last_epoch=0, multiplier=0.5)")
    scheduler.set_multiplier(0.5, min_lr=0.25)
    assert repr(scheduler).endswith("last_epoch=0, multiplier=0.5, min_lr=0.25)")
    with pytest.raises(ValueError, match="min_lr"):
        scheduler.load_state_dict(scheduler.state_dict() | {"min_lr": -1.0})


def test_the_multiplier_of_one_that_waits_or_is_done_writes_nothing():
    optimizer = make_optimizer()
    members = [ScheduleLR(optimizer, lambda k, r=r: r) for r in (0.5, 0.25, 0.125)]
    sequence = torch_lr.SequentialLR(optimizer, members, milestones=[2, 4])
    drive(optimizer, sequence, 3)
    for i, rate in enumerate((0.25, 0.125, 0.125)):
        members[i].set_multiplier(0.5)
        assert rates_of(optimizer) == [rate]
    drive(optimizer, sequence, 2)
    assert rates_of(optimizer) == [0.0625]


def test_equal_rates_do_not_give_the_turn():
    optimizer = make_optimizer()
    members = [ScheduleLR(optimizer, lambda k: 0.25 if k >= 0 else 9.0) for _ in range(3)]
    sequence = torch_lr.SequentialLR(optimizer, members, milestones=[2, 4])
    drive(optimizer, sequence, 3)
    governed(optimizer).multiply(lambda multiplier: multiplier / 2, 0.0)
    assert rates_of(optimizer) == [0.125]
    assert [one.multiplier for one in members] == [0.5] * 3


# --- who governs ----------------------------------------------------------------------------------


def test_one_for_each_optimizer_that_keeps_nothing_alive():
    optimizer, other = make_optimizer(), make_optimizer()
    assert governed(optimizer) is governed(optimizer) is not governed(other)
    assert governed(optimizer).optimizer is optimizer
    scheduler = ScheduleLR(optimizer, COSINE)
    reducer = ReduceLROnPlateau(optimizer)
    assert governed(optimizer).schedule is scheduler
    one, gone = governed(optimizer), [weakref.ref(x) for x in (optimizer, scheduler, reducer)]
    gc.disable()
    try:
        del scheduler
        assert one.schedule is None
        assert one.schedules() == []
        del reducer, optimizer
        assert [reference() for reference in gone] == [None] * 3
    finally:
        gc.enable()
    with pytest.raises(ReferenceError, match="gone"):
        _ = one.optimizer


@pytest.mark.parametrize("wrapper", ["fabric", "accelerate", "lookahead", "two"])
def test_a_wrapper_stands_for_what_it_holds(wrapper):
    raw = make_optimizer()
    if wrapper == "fabric":
        from lightning.fabric import Fabric

        wrapped = Fabric(accelerator="cpu", devices=1).setup_optimizers(raw)
    elif wrapper == "accelerate":
        from accelerate import Accelerator

        wrapped = Accelerator(cpu=True).prepare(raw)
    else:

        class Lookahead(torch.optim.Optimizer):
            def __init__(self, optimizer) -> None:
                self.optimizer = optimizer
                super().__init__(optimizer.param_groups, {})
                self.param_groups = optimizer.param_groups

            def step(self, closure=None):
                self.optimizer.step(closure)

        wrapped = Lookahead(raw) if wrapper == "lookahead" else Lookahead(Lookahead(raw))
    assert governed(wrapped) is governed(raw)
    scheduler = ScheduleLR(wrapped, COSINE)
    reducer = ReduceLROnPlateau(raw, patience=1, factor=0.5)
    wrapped.step()
    scheduler.step()
    reducer.step(1.0)
    reducer.step(1.0)
    assert rates_of(raw) == rates_of(wrapped) == [COSINE(1) / 2]


def test_bases_are_remembered_until_somebody_edits():
    optimizer = make_optimizer(0.1, 0.1, 0.1, 0.0)
    for group, scale in zip(optimizer.param_groups[1:], (0.3, 0.0, 0.0), strict=True):
        group["lr_scale"] = scale
    one = governed(optimizer)
    assert one.rates() == [single(0.1), single(0.1 / 0.3), single(0.1), 0.0]
    one.write([0.1, 0.7, 0.9, 0.8])
    base = [single(0.1), single(0.7), single(0.9), single(0.8)]
    assert one.rates() == one.bases() == base
    assert rates_of(optimizer)[2:] == [0.0, 0.0]
    assert_same_bits(rates_of(optimizer)[1], np.float32(0.7) * np.float32(0.3))
    optimizer.param_groups[1]["lr"] = 0.3
    assert one.rates() == [base[0], 1.0, *base[2:]]
    add_group(optimizer, lr=0.25, lr_scale=0.5)
    assert one.rates() == [base[0], 1.0, *base[2:], 0.5]
    one.restore([9.0, 0.7, 0.95, 0.85])
    assert one.rates() == [base[0], 1.0, single(0.95), single(0.85), 0.5]
    with pytest.raises(ValueError, match="2 rates for 5 param groups"):
        one.write([0.1, 0.2])
    optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["lr_scale"] = 1e30, 1e-30
    assert one.rates()[0] == single(1e30)
    optimizer.param_groups[0]["lr_scale"] = "x"
    with pytest.raises(TypeError, match="param group 0"):
        one.rates()


def test_an_edit_by_hand_outlasts_a_multiplication_until_the_next_step():
    optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, DROPS)
    drive(optimizer, scheduler, 3)
    optimizer.param_groups[0]["lr"] = 7.0
    governed(optimizer).multiply(lambda multiplier: multiplier / 2, 0.0)
    assert rates_of(optimizer) == [7.0]
    assert governed(optimizer).rates() == [DROPS(3) / 2]
    scheduler.step()
    assert rates_of(optimizer) == [DROPS(4) / 2]
