"""``ScheduleHyperparameter``, for torch and as a callback: what it writes, keeps and refuses."""

from __future__ import annotations

import copy
import importlib
import io
import pickle

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from bits import assert_same_bits
from lightning_side import QUIET, TinyTraining, make_trainer
from lrparity import callbacks, optim
from lrparity.lr_scheduler import ReduceLROnPlateau, ScheduleHyperparameter, ScheduleLR
from lrparity.schedules import (
    Clip,
    Constant,
    CosineDecay,
    CyclicLR,
    ExponentialDecay,
    FunctionSchedule,
    OneCycle,
    OneCycleMomentum,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
)

CYCLE = OneCycle((0.01, 0.1), n_iter=20)
MOMENTUM = OneCycleMomentum(CYCLE)
DECAY = CosineDecay(1e-2, 20, alpha=0.1)


def weights(n=1):
    made = [torch.nn.Parameter(torch.zeros(2)) for _ in range(n)]
    for one in made:
        one.grad = torch.ones(2)
    return made


def sgd(n=1, **options):
    return torch.optim.SGD(
        [{"params": [one]} for one in weights(n)], lr=0.1, **{"momentum": 0.9} | options
    )


def drive(optimizer, scheduler, steps, read):
    """What each update uses."""
    seen = []
    for _ in range(steps):
        seen.append(read(optimizer.param_groups[0]))
        optimizer.step()
        scheduler.step()
    return seen


# --- what it writes ----------------------------------------------------------------------------------

ENTRIES = {
    "momentum of torch": (torch.optim.SGD, {"momentum": 0.5}, "momentum", None, "momentum"),
    "momentum of Keras' rule": (optim.SGD, {"momentum": 0.5}, "momentum", None, "momentum"),
    "weight decay": (torch.optim.AdamW, {}, "weight_decay", None, "weight_decay"),
    "no weight decay": (optim.SGD, {}, "weight_decay", None, "weight_decay"),
    "betas": (torch.optim.Adam, {}, "betas", 0, "betas"),
    "the second of betas": (torch.optim.Adam, {}, "betas", 1, "betas"),
    "beta_1": (torch.optim.AdamW, {}, "beta_1", None, "betas"),
    "beta_2": (torch.optim.NAdam, {}, "beta_2", None, "betas"),
    "rho of RMSprop": (torch.optim.RMSprop, {}, "rho", None, "alpha"),
    "rho of Adadelta": (torch.optim.Adadelta, {}, "rho", None, "rho"),
    "epsilon": (torch.optim.Adam, {}, "epsilon", None, "eps"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_update_uses_the_schedules_float32_value(name):
    kind, options, entry, index, key = ENTRIES[name]
    optimizer = kind(weights(), lr=0.1, **options)
    before = copy.deepcopy(optimizer.param_groups[0][key])
    scheduler = ScheduleHyperparameter(optimizer, entry, MOMENTUM, index=index)
    place = index if index is not None else {"beta_1": 0, "beta_2": 1}.get(entry)
    read = (lambda group: group[key]) if place is None else (lambda group: group[key][place])
    seen = drive(optimizer, scheduler, 30, read)
    assert_same_bits(seen, MOMENTUM(np.arange(30)))
    assert scheduler.get_last_value() == [MOMENTUM(30)]
    assert all(type(one) is float for one in seen)
    group = optimizer.param_groups[0]
    assert group["lr"] == 0.1
    label = key if place is None else f"beta_{place + 1}"
    if place is None:
        assert group.get(f"initial_{label}") == before
    else:
        assert isinstance(group[key], tuple)
        assert group[key][1 - place] == before[1 - place]
        assert group[f"initial_{label}"] == before[place]


@pytest.mark.parametrize("numerics", ["eager", "graph"])
def test_numerics_and_far_steps(numerics):
    schedule = ExponentialDecay(0.9, 1000, 0.5)
    optimizer = sgd()
    scheduler = ScheduleHyperparameter(optimizer, "momentum", schedule, numerics=numerics)
    expected = schedule(np.arange(9000), numerics=numerics)
    seen = []
    for _ in range(9000):
        seen.append(optimizer.param_groups[0]["momentum"])
        scheduler.step()
    assert_same_bits(seen, expected)


def test_a_tensor_is_filled_in_place():
    tensor = torch.tensor(0.9)
    optimizer = sgd(2)
    optimizer.param_groups[1]["momentum"] = tensor
    scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    for k in range(5):
        assert optimizer.param_groups[1]["momentum"] is tensor
        assert tensor.item() == optimizer.param_groups[0]["momentum"] == MOMENTUM(k)
        scheduler.step()
    betas = (torch.tensor(0.9), torch.tensor(0.999))
    adam = torch.optim.Adam(weights(), lr=0.1, betas=betas, foreach=False, capturable=True)
    held = adam.param_groups[0]["betas"][0]
    ScheduleHyperparameter(adam, "beta_1", MOMENTUM, last_epoch=6)
    assert adam.param_groups[0]["betas"][0] is held
    assert held.item() == MOMENTUM(7)


def test_a_tensor_that_cannot_hold_the_value():
    optimizer = sgd(2)
    half = torch.tensor(0.9, dtype=torch.float16)
    optimizer.param_groups[1]["momentum"] = half
    with pytest.raises(ValueError, match=r"float16.*Make it torch.float32"):
        ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    assert optimizer.param_groups[0]["momentum"] == 0.9
    shared = torch.tensor(0.9)
    for group in optimizer.param_groups:
        group["momentum"] = shared
    with pytest.raises(ValueError, match="share one tensor"):
        ScheduleHyperparameter(optimizer, "momentum", [lambda k: 0.5, lambda k: 0.25])
    ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    assert shared.item() == MOMENTUM(0)


def test_float64_parameters_get_the_float32_value():
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    ScheduleHyperparameter(optimizer, "momentum", Constant(0.9))
    optimizer.step()
    optimizer.step()
    assert optimizer.param_groups[0]["momentum"] == 0.8999999761581421
    assert weight.item() == -(1 + 1 + 0.8999999761581421)


def test_a_step_per_epoch_and_a_function():
    optimizer, asked = sgd(), []

    def momentum(epoch):
        asked.append(epoch)
        return 0.9 - 0.1 * epoch

    scheduler = ScheduleHyperparameter(
        optimizer, "momentum", FunctionSchedule(momentum, unit="epoch")
    )
    seen = drive(optimizer, scheduler, 4, lambda group: group["momentum"])
    assert_same_bits(seen, np.float32([0.9, 0.8, 0.9 - 0.1 * 2, 0.9 - 0.1 * 3]))
    assert asked == [0, 1, 2, 3, 4]
    scheduler.state_dict()
    assert asked == [0, 1, 2, 3, 4]


def test_beside_a_learning_rate_a_plateau_and_another_entry():
    optimizer = optim.SGD(weights(), lr=7.0, momentum=0.9, weight_decay=1e-3)
    rate = ScheduleLR(optimizer, CYCLE)
    momentum = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    decay = ScheduleHyperparameter(optimizer, "weight_decay", DECAY)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    for k in range(12):
        group = optimizer.param_groups[0]
        assert (group["momentum"], group["weight_decay"]) == (MOMENTUM(k), DECAY(k))
        assert group["lr"] == float(np.float32(CYCLE(k)) * np.float32(plateau_factor(k)))
        optimizer.step()
        for one in (rate, momentum, decay):
            one.step()
        plateau.step(1.0)


def plateau_factor(k):
    return 0.5 ** max(k - 1, 0)


# --- which groups ------------------------------------------------------------------------------------


def momenta(optimizer):
    return [group["momentum"] for group in optimizer.param_groups]


def test_a_schedule_for_each_group():
    optimizer = sgd(3)
    schedules = [MOMENTUM, lambda k: 0.5, CyclicLR(0.95, 0.85, 3)]
    scheduler = ScheduleHyperparameter(optimizer, "momentum", schedules)
    for k in range(8):
        assert_same_bits(momenta(optimizer), [MOMENTUM(k), 0.5, CyclicLR(0.95, 0.85, 3)(k)])
        scheduler.step()


def test_some_groups_by_place_and_by_name():
    for groups, driven in ((1, [1]), ([2, "a"], [2, 0]), ("b", [1]), (["a", "b"], [0, 1])):
        optimizer = sgd(3)
        for group, name in zip(optimizer.param_groups, ("a", "b", None), strict=True):
            if name:
                group["name"] = name
        scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM, groups=groups)
        scheduler.step()
        expected = [MOMENTUM(1) if i in driven else 0.9 for i in range(3)]
        assert momenta(optimizer) == expected
        assert len(scheduler.get_last_value()) == len(driven)
        assert ["initial_momentum" in group for group in optimizer.param_groups] == [
            i in driven for i in range(3)
        ]


def test_a_group_that_joins():
    optimizer = sgd()
    scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    named = ScheduleHyperparameter(optimizer, "weight_decay", DECAY, groups=[0])
    optimizer.add_param_group({"params": weights()})
    scheduler.step()
    named.step()
    assert momenta(optimizer) == [MOMENTUM(1)] * 2
    assert [group["initial_momentum"] for group in optimizer.param_groups] == [0.9, 0.9]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [DECAY(1), 0]
    listed = ScheduleHyperparameter(optimizer, "momentum", [MOMENTUM, MOMENTUM])
    optimizer.add_param_group({"params": weights()})
    with pytest.raises(ValueError, match="a list of 2, one for each"):
        listed.step()
    assert listed.last_epoch == 0


# --- counting ----------------------------------------------------------------------------------------


def test_real_updates():
    optimizer = optim.SGD(weights(), lr=0.1, momentum=0.9)
    scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM, count="updates")
    (weight,) = optimizer.param_groups[0]["params"]
    scheduler.step()
    assert scheduler.last_epoch == 0
    optimizer.step()
    optimizer.step()
    scheduler.step()
    assert scheduler.last_epoch == 2
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    scheduler.step()
    optimizer.found_inf = torch.tensor(0.0)
    weight.grad = None
    optimizer.step()
    scheduler.step()
    assert scheduler.last_epoch == 2
    assert optimizer.param_groups[0]["momentum"] == MOMENTUM(2)


def test_updates_are_kept_when_a_step_fails():
    optimizer = sgd()
    schedule = PiecewiseConstantDecay([1], [0.5, 1.5])
    scheduler = ScheduleHyperparameter(optimizer, "momentum", schedule, count="updates")
    optimizer.step()
    optimizer.step()
    with pytest.raises(ValueError, match=r"must be from 0 to 1.*says 1.5 at step 2.*Clip"):
        scheduler.step()
    assert scheduler.last_epoch == 0
    assert scheduler.state_dict()["pending_updates"] == 2
    assert optimizer.param_groups[0]["momentum"] == 0.5


# --- state -------------------------------------------------------------------------------------------


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


RESUMED = {
    "momentum": ("momentum", MOMENTUM, {}),
    "a list": ("momentum", [MOMENTUM, DECAY], {}),
    "a function": ("momentum", lambda k: 0.9 - 0.01 * k, {}),
    "some groups": ("weight_decay", DECAY, {"groups": [1]}),
    "updates": ("momentum", MOMENTUM, {"count": "updates"}),
    "graph": ("momentum", ExponentialDecay(0.9, 7, 0.5), {"numerics": "graph"}),
}


@pytest.mark.parametrize("name", RESUMED)
def test_resume_at_every_step(name):
    entry, schedule, options = RESUMED[name]

    def make():
        optimizer = optim.SGD(
            [{"params": [one]} for one in weights(2)], lr=0.1, momentum=0.5, weight_decay=0.1
        )
        return optimizer, ScheduleHyperparameter(optimizer, entry, schedule, **options)

    def go(optimizer, scheduler, steps):
        seen = []
        for _ in range(steps):
            seen.append(tuple(group[entry] for group in optimizer.param_groups))
            optimizer.step()
            scheduler.step()
        values = [one.tolist() for group in optimizer.param_groups for one in group["params"]]
        return seen, values

    whole, end = go(*make(), 12)
    for k in range(12):
        optimizer, scheduler = make()
        go(optimizer, scheduler, k)
        state = through_a_file([optimizer.state_dict(), scheduler.state_dict()])
        again, resumed = make()
        for new, old in zip(again.param_groups, optimizer.param_groups, strict=True):
            for to, from_ in zip(new["params"], old["params"], strict=True):
                to.data.copy_(from_.data)
        again.load_state_dict(state[0])
        resumed.load_state_dict(state[1])
        assert go(again, resumed, 12 - k) == (whole[k:], end), k
        later, _ = make()
        begun = ScheduleHyperparameter(later, entry, schedule, **options, last_epoch=k - 1)
        assert begun.get_last_value() == (
            resumed_values(scheduler, k) if k else begun.get_last_value()
        )


def resumed_values(scheduler, k):
    assert scheduler.last_epoch == k
    return scheduler.get_last_value()


def test_loading_restores_the_groups_whichever_is_loaded_first():
    optimizer = sgd()
    scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    for _ in range(5):
        scheduler.step()
    other = sgd(momentum=0.1)
    resumed = ScheduleHyperparameter(other, "momentum", MOMENTUM)
    resumed.load_state_dict(scheduler.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["momentum"] == MOMENTUM(5)
    assert other.param_groups[0]["initial_momentum"] == 0.9
    resumed.step()
    assert other.param_groups[0]["momentum"] == MOMENTUM(6)


def test_an_optimizers_state_from_before_there_was_a_schedule():
    old, optimizer = sgd(), sgd()
    scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)
    state = scheduler.state_dict()
    optimizer.load_state_dict(old.state_dict())
    assert "initial_momentum" not in optimizer.param_groups[0]
    scheduler.load_state_dict(state)
    assert optimizer.param_groups[0]["initial_momentum"] == 0.9
    assert momenta(optimizer) == [MOMENTUM(0)]


CHANGED = [
    (("momentum", OneCycleMomentum(CYCLE, 0.8)), {}, "minimum_momentum of OneCycleMomentum"),
    (("weight_decay", MOMENTUM), {}, "key: saved 'momentum', now 'weight_decay'"),
    (("momentum", MOMENTUM), {"groups": [0]}, "groups: saved None, now"),
    (("momentum", MOMENTUM), {"numerics": "graph"}, "numerics: saved 'eager'"),
    (("momentum", lambda k: 0.5), {}, "schedule: saved"),
]


@pytest.mark.parametrize(("arguments", "options", "words"), CHANGED)
def test_another_configuration_is_refused_or_asked_for(arguments, options, words):
    scheduler = ScheduleHyperparameter(sgd(), "momentum", MOMENTUM)
    for _ in range(3):
        scheduler.step()
    state = scheduler.state_dict()
    other = ScheduleHyperparameter(sgd(), *arguments, **options)
    before = other.state_dict()
    with pytest.raises(ValueError, match=words) as caught:
        other.load_state_dict(state)
    assert "use_new" in str(caught.value)
    assert other.state_dict() == before
    new = ScheduleHyperparameter(sgd(), *arguments, **options, on_config_change="use_new")
    new.load_state_dict(state)
    assert new.last_epoch == 3


def test_another_function_is_told_by_its_value():
    scheduler = ScheduleHyperparameter(sgd(), "momentum", lambda k: 0.5)
    state = scheduler.state_dict()
    with pytest.raises(ValueError, match=r"values at step 0: saved \[0.5\], now \[0.25\]"):
        ScheduleHyperparameter(sgd(), "momentum", lambda k: 0.25).load_state_dict(state)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"format": "lrparity.ScheduleLR"}, "not the state of a ScheduleHyperparameter"),
        ({"version": 2}, "version 2"),
        ({"last_epoch": -1}, "a count is out of range"),
        ({"last_epoch": 1.0}, "'last_epoch' is 1.0"),
        ({"pending_updates": None}, "'pending_updates'"),
        ({"schedule_values": [1]}, "'schedule_values'"),
        ({"schedules": [3]}, "'schedules' is"),
        ({"key": "lr"}, "does not fit its fingerprint"),
        ({"numerics": "graph"}, "does not fit its fingerprint"),
    ],
)
def test_a_damaged_state(edit, words):
    scheduler = ScheduleHyperparameter(sgd(), "momentum", MOMENTUM)
    with pytest.raises(ValueError, match=words):
        scheduler.load_state_dict(scheduler.state_dict() | edit)
    with pytest.raises(ValueError, match="it has list"):
        scheduler.load_state_dict([])


@pytest.mark.parametrize("count", ["calls", "updates"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_go_on_for_themselves(copied, count):
    optimizer = sgd()
    scheduler = ScheduleHyperparameter(optimizer, "momentum", MOMENTUM, count=count)
    optimizer.step()
    other = copied(scheduler)
    assert other.optimizer is not optimizer
    other.step()
    assert momenta(other.optimizer) == [MOMENTUM(1)]
    assert momenta(optimizer) == [MOMENTUM(0)]


# --- what it refuses ---------------------------------------------------------------------------------

REFUSED = [
    (lambda: ScheduleHyperparameter(sgd(), "lr", MOMENTUM), ValueError, "Use ScheduleLR"),
    (lambda: ScheduleHyperparameter(sgd(), "learning_rate", MOMENTUM), ValueError, "ScheduleLR"),
    (
        lambda: ScheduleHyperparameter(sgd(), "moment", MOMENTUM),
        ValueError,
        "which is not there in param group 0. Its hyper-parameters are 'momentum', 'dampening', 'w",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(), "nesterov", MOMENTUM),
        ValueError,
        "is no number in param group 0",
    ),
    (lambda: ScheduleHyperparameter(sgd(), "params", MOMENTUM), ValueError, "is no number"),
    (lambda: ScheduleHyperparameter(sgd(), "lr_scale", MOMENTUM), ValueError, "is not there"),
    (lambda: ScheduleHyperparameter(sgd(), 3, MOMENTUM), TypeError, "must be a string"),
    (
        lambda: ScheduleHyperparameter(torch.optim.Adam(weights()), "momentum", MOMENTUM),
        ValueError,
        "'betas', 'eps', 'weight_decay'",
    ),
    (
        lambda: ScheduleHyperparameter(torch.optim.Adam(weights()), "betas", MOMENTUM),
        ValueError,
        "holds 2 values: say which, index=0 or index=1, or by Keras name",
    ),
    (
        lambda: ScheduleHyperparameter(torch.optim.Adam(weights()), "betas", MOMENTUM, index=2),
        ValueError,
        "no index=2",
    ),
    (
        lambda: ScheduleHyperparameter(torch.optim.Adam(weights()), "beta_1", MOMENTUM, index=1),
        ValueError,
        "Leave it out",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, index=0),
        ValueError,
        "holds one value",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, index=True),
        TypeError,
        "an integer or None",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", CosineDecay(1.5, 10)),
        ValueError,
        "'momentum' must be from 0 to 1. The schedule says 1.5 at step 0",
    ),
    (
        lambda: ScheduleHyperparameter(torch.optim.Adam(weights()), "beta_1", Constant(1.0)),
        ValueError,
        "'beta_1' must be from 0 to below 1",
    ),
    (
        lambda: ScheduleHyperparameter(torch.optim.Adam(weights()), "beta_2", Constant(1 - 1e-9)),
        ValueError,
        "below 1, as float32",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(), "weight_decay", lambda k: -0.1),
        ValueError,
        "must be at least 0",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(), "dampening", lambda k: float("inf")),
        ValueError,
        "from 0 to 1",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(2), "momentum", [MOMENTUM]),
        ValueError,
        "1 schedules for 2",
    ),
    (
        lambda: ScheduleHyperparameter(sgd(2), "momentum", [MOMENTUM, StepDecay(0.9, 0.5, 3)]),
        ValueError,
        "must count the same",
    ),
    (lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, groups=1), ValueError, "are: 0"),
    (lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, groups="a"), ValueError, "'a'"),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, groups=[0, 0]),
        ValueError,
        "twice",
    ),
    (lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, groups=[]), TypeError, "places"),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, groups=[0.5]),
        TypeError,
        "places",
    ),
    (lambda: ScheduleHyperparameter(sgd(), "momentum", "0.9"), TypeError, "schedule"),
    (lambda: ScheduleHyperparameter("SGD", "momentum", MOMENTUM), TypeError, "optimizer"),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, numerics="fast"),
        ValueError,
        "numerics",
    ),
    (lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, count="all"), ValueError, "count"),
    (
        lambda: ScheduleHyperparameter(sgd(), "momentum", MOMENTUM, last_epoch=-2),
        ValueError,
        "last_epoch",
    ),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_what_is_refused_and_why(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_refusal_changes_nothing():
    optimizer = sgd(2)
    before = copy.deepcopy(
        [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    )
    with pytest.raises(ValueError, match="from 0 to 1"):
        ScheduleHyperparameter(optimizer, "momentum", [MOMENTUM, Constant(2.0)])
    assert [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups] == before


def test_a_bound_is_the_mend():
    optimizer = sgd()
    rising = PolynomialDecay(0.5, 10, 2.0)
    scheduler = ScheduleHyperparameter(optimizer, "momentum", Clip(rising, maximum=0.95))
    for _ in range(20):
        scheduler.step()
    assert optimizer.param_groups[0]["momentum"] == np.float32(0.95)


# --- momentum 0 --------------------------------------------------------------------------------------


def test_keras_rule_keeps_its_velocity_at_a_scheduled_momentum_of_0():
    values = [0.0, 0.5, 0.0, 0.75]
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = optim.SGD([weight], lr=1.0, momentum=0.9)
    momentum = ScheduleHyperparameter(optimizer, "momentum", lambda k: values[min(k, 3)])
    velocity = place = 0.0
    for value in values:
        weight.grad = torch.ones(())
        optimizer.step()
        momentum.step()
        velocity = velocity * value - 1.0
        place += velocity
        assert weight.item() == place
    assert place == -5.25
    by_hand = optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0, momentum=0.9)
    (other,) = by_hand.param_groups[0]["params"]
    for value in values:  # as Keras 3 does in eager steps
        by_hand.param_groups[0]["momentum"] = value
        other.grad = torch.ones(())
        by_hand.step()
    assert other.item() == -1.0 - 1.0 - 1.0 - 1.75


# --- the callback ------------------------------------------------------------------------------------

BATCHES = 5


class Noting:
    """Writes down what each real update used."""

    def __init__(self, *arguments, entry="weight_decay", **more) -> None:
        super().__init__(*arguments, **more)
        self.entry = entry
        self.values: list[list[float]] = [[] for _ in self.weights]

    def note_if_moved(self, i, optimizer) -> None:
        held = [group[self.entry] for group in optimizer.param_groups]
        before = len(self.updates)
        super().note_if_moved(i, optimizer)
        if len(self.updates) > before:
            self.values[i].append(held[0] if len(held) == 1 else held)


class Noted(Noting, TinyTraining, pl.LightningModule):
    """The weight decay of a weight that is 0 moves it nowhere."""


class ByAdam(pl.LightningModule):
    def __init__(self, make) -> None:
        super().__init__()
        self.layer, self.head = torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)
        self.make, self.seen = make, []

    def configure_optimizers(self):
        made = self.make(self)
        optimizer = made[0][0] if isinstance(made, tuple) else made
        optimizer.register_step_pre_hook(
            lambda one, *_: self.seen.append(
                [{k: v for k, v in g.items() if k != "params"} for g in one.param_groups]
            )
        )
        return made

    def training_step(self, batch, batch_idx):
        return self.head(self.layer(batch)).square().mean()

    def train_dataloader(self):
        return torch.utils.data.DataLoader([torch.ones(2, 3)] * BATCHES, batch_size=None)


HOUSES = ("lightning.pytorch", "pytorch_lightning")


@pytest.mark.parametrize("house", HOUSES)
def test_in_both_houses(house):
    pl_ = importlib.import_module(house)
    ours = importlib.import_module(
        "lrparity.callbacks." + ("lightning_pytorch" if "." in house else house)
    )
    module = type("Both", (Noting, TinyTraining, pl_.LightningModule), {})(BATCHES)
    callback = ours.ScheduleHyperparameter("weight_decay", DECAY)
    assert isinstance(callback, pl_.Callback)
    make_trainer([callback, ours.ScheduleLR(CYCLE)], house=pl_).fit(module)
    assert_same_bits(module.values[0], DECAY(np.arange(15)))
    assert_same_bits([one.rates[0] for one in module.updates], CYCLE(np.arange(15)))


COUNTED = {
    "plain": ({}, {}, {}, lambda update: update.number),
    "accumulated": ({}, {}, {"accumulate_grad_batches": 2}, lambda update: update.number),
    "micro-batch": (
        {"count": "micro_batch"},
        {},
        {"accumulate_grad_batches": 2},
        lambda update: update.batch,
    ),
    "AMP": ({}, {"overflows": (1, 2)}, {"amp": True}, lambda update: update.number),
    "fused AMP": ({}, {"overflows": (1,), "fused": True}, {"amp": True}, lambda u: u.number),
    "manual": ({}, {"optimizers": 2, "manual": True}, {}, lambda update: update.number),
}


@pytest.mark.parametrize("name", COUNTED)
def test_real_updates_count(name):
    options, arguments, trainer, step = COUNTED[name]
    module = Noted(BATCHES, **arguments)
    make_trainer(
        [callbacks.ScheduleHyperparameter("weight_decay", DECAY, **options)], **trainer
    ).fit(module)
    for i, values in enumerate(module.values):
        updates = [update for update in module.updates if update.optimizer == i]
        assert len(values) == len(updates) > 5
        assert_same_bits(values, [DECAY(step(update)) for update in updates], context=(name, i))


def test_per_epoch():
    module, schedule = Noted(BATCHES), StepDecay(0.5, 0.5, 1)
    make_trainer([callbacks.ScheduleHyperparameter("weight_decay", schedule)]).fit(module)
    assert_same_bits(module.values[0], [schedule(update.epoch) for update in module.updates])


def test_each_optimizer_its_own():
    module = Noted(BATCHES, optimizers=2, manual=True)
    both = callbacks.ScheduleHyperparameter(
        "weight_decay", {0: DECAY, "SGD-1": StepDecay(0.5, 0.5, 1)}
    )
    make_trainer([both]).fit(module)
    assert_same_bits(module.values[0], DECAY(np.arange(15)))
    epochs = [update.epoch for update in module.updates if update.optimizer == 1]
    assert_same_bits(module.values[1], [StepDecay(0.5, 0.5, 1)(epoch) for epoch in epochs])
    module = Noted(BATCHES, optimizers=2, manual=True)
    make_trainer([callbacks.ScheduleHyperparameter("weight_decay", DECAY, optimizer=1)]).fit(module)
    assert set(module.values[0]) == {0}
    assert_same_bits(module.values[1], DECAY(np.arange(9)))


def groups_of(module):
    return torch.optim.AdamW(
        [
            {"params": module.layer.parameters(), "name": "body"},
            {"params": module.head.parameters(), "name": "head", "weight_decay": 0.0},
        ],
        lr=1e-3,
    )


def test_betas_and_weight_decay_of_some_groups_with_log(tmp_path):
    logger = pl.loggers.CSVLogger(tmp_path, "", "")
    module = ByAdam(groups_of)
    trainer = pl.Trainer(
        callbacks=[
            callbacks.ScheduleHyperparameter("beta_1", MOMENTUM, log=True),
            callbacks.ScheduleHyperparameter("weight_decay", DECAY, groups=["body"], log="wd"),
            callbacks.ScheduleLR(CYCLE, log=True),
            pl.callbacks.LearningRateMonitor("step"),
        ],
        max_epochs=2,
        log_every_n_steps=1,
        **QUIET | {"logger": logger},
    )
    trainer.fit(module)
    for k, (body, head) in enumerate(module.seen):
        assert body["betas"] == head["betas"] == (MOMENTUM(k), 0.999)
        assert (body["weight_decay"], head["weight_decay"]) == (DECAY(k), 0.0)
        assert body["lr"] == head["lr"] == CYCLE(k)
    assert len(module.seen) == 2 * BATCHES
    logger.save()
    rows = np.genfromtxt(tmp_path / "metrics.csv", delimiter=",", names=True, dtype=None)
    assert {"beta_1body", "beta_1head", "wdbody", "learning_ratebody"} <= set(rows.dtype.names)
    assert "wdhead" not in rows.dtype.names
    logged = rows["beta_1body"][~np.isnan(rows["beta_1body"])]
    assert_same_bits(np.float32(logged), MOMENTUM(np.arange(2 * BATCHES)))


def test_beside_a_scheduler_of_torch():
    def make(module):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    module = ByAdam(make)
    make_trainer([callbacks.ScheduleHyperparameter("momentum", MOMENTUM)], max_epochs=2).fit(module)
    assert [group["momentum"] for (group,) in module.seen] == MOMENTUM(np.arange(10)).tolist()
    assert [group["lr"] for (group,) in module.seen] == [0.1 * 0.5 ** (k // 3) for k in range(10)]


def test_a_scheduler_that_cycles_the_momentum_itself():
    def make(module, cycle_momentum=True):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.1, total_steps=100, cycle_momentum=cycle_momentum
        )
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    with pytest.raises(ValueError, match="OneCycleLR from configure_optimizers cycles"):
        make_trainer([callbacks.ScheduleHyperparameter("momentum", MOMENTUM)]).fit(ByAdam(make))
    module = ByAdam(lambda one: make(one, False))
    make_trainer([callbacks.ScheduleHyperparameter("momentum", MOMENTUM)]).fit(module)
    assert [group["momentum"] for (group,) in module.seen] == MOMENTUM(np.arange(15)).tolist()


def test_lightning_takes_no_such_scheduler_from_configure_optimizers():
    def make(module):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [ScheduleHyperparameter(optimizer, "momentum", MOMENTUM)]

    with pytest.raises(MisconfigurationException, match="doesn't follow PyTorch's LRScheduler API"):
        make_trainer([]).fit(ByAdam(make))

    class Overrides(ByAdam):
        def lr_scheduler_step(self, scheduler, metric):
            scheduler.step()

    def every_step(module):
        (optimizer,), (scheduler,) = make(module)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    module = Overrides(every_step)
    make_trainer([]).fit(module)
    assert [group["momentum"] for (group,) in module.seen] == MOMENTUM(np.arange(15)).tolist()


def test_a_value_that_somebody_else_sets_is_remarked():
    class Edit(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 3:
                trainer.optimizers[0].param_groups[0]["momentum"] = 0.25

    module = ByAdam(lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9))
    trainer = make_trainer([callbacks.ScheduleHyperparameter("momentum", MOMENTUM), Edit()])
    with pytest.warns(
        UserWarning, match="set 'momentum' of the optimizer 'SGD' to 0.25 before upd"
    ):
        trainer.fit(module)
    expected = MOMENTUM(np.arange(15)).tolist()
    expected[3] = 0.25
    assert [group["momentum"] for (group,) in module.seen] == expected


def test_a_group_that_joins_while_training():
    class Join(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 1:
                trainer.optimizers[0].add_param_group({"params": module.head.parameters()})

    module = ByAdam(lambda one: torch.optim.SGD(one.layer.parameters(), lr=0.1, momentum=0.9))
    make_trainer([callbacks.ScheduleHyperparameter("momentum", MOMENTUM), Join()]).fit(module)
    for k, groups in enumerate(module.seen):
        # Its first update is looked at before the callback, which is hooked to the step, too.
        assert [group["momentum"] for group in groups][:1] == [MOMENTUM(k)]
        assert len(groups) == 1 + (k >= BATCHES)
        if k > BATCHES:
            assert groups[1]["momentum"] == MOMENTUM(k)


def test_state_keys_tell_them_apart():
    made = [
        callbacks.ScheduleHyperparameter("momentum", MOMENTUM),
        callbacks.ScheduleHyperparameter("momentum", MOMENTUM, optimizer=1),
        callbacks.ScheduleHyperparameter("momentum", {0: MOMENTUM, 1: MOMENTUM}),
        callbacks.ScheduleHyperparameter("momentum", MOMENTUM, groups=["a"]),
        callbacks.ScheduleHyperparameter("weight_decay", MOMENTUM),
        callbacks.ScheduleHyperparameter("betas", MOMENTUM, index=0),
        callbacks.ScheduleHyperparameter("betas", MOMENTUM, index=1),
        callbacks.ScheduleLR(CYCLE),
    ]
    assert len({one.state_key for one in made}) == len(made)
    assert callbacks.ScheduleHyperparameter("beta_1", MOMENTUM).state_key == made[5].state_key


REFUSED_CALLBACKS = [
    (lambda c: [c("lr", MOMENTUM)], "Use ScheduleLR"),
    (lambda c: [c("momentum", MOMENTUM, prog_bar=True)], "log=True"),
    (lambda c: [c("momentum", {0: MOMENTUM}, optimizer=0)], "both name optimizers"),
    (lambda c: [c("rho", MOMENTUM)], "cannot drive the optimizer 'SGD'.*'momentum', 'dampening'"),
    (lambda c: [c("momentum", MOMENTUM, "Adam")], "names the optimizer 'Adam'"),
    (lambda c: [c("momentum", MOMENTUM, groups=3)], "cannot drive.*There are: 0"),
    (lambda c: [c("momentum", MOMENTUM), c("momentum", DECAY, 0)], "Two ScheduleHyperparameter"),
    (lambda c: [c("momentum", [MOMENTUM, MOMENTUM])], "2 schedules for 1 param groups"),
    (lambda c: [c("momentum", Constant(1.5))], "from 0 to 1"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED_CALLBACKS)
def test_what_the_callback_refuses(make, words):
    module = ByAdam(lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9))
    with pytest.raises(ValueError, match=words):
        make_trainer(make(callbacks.ScheduleHyperparameter)).fit(module)


def test_a_value_out_of_range_fails_before_the_update_that_would_use_it():
    schedule = PiecewiseConstantDecay([14], [0.5, 1.5])
    module = ByAdam(lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9))
    make_trainer([callbacks.ScheduleHyperparameter("momentum", schedule)]).fit(module)
    assert len(module.seen) == 15  # the value of update 15 is out of range, and there is none
    trainer = make_trainer([callbacks.ScheduleHyperparameter("momentum", schedule)], max_epochs=4)
    module = ByAdam(lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9))
    with pytest.raises(ValueError, match=r"says 1\.5 at step 15"):
        trainer.fit(module)
    assert trainer.global_step == 15


def test_a_resume_under_another_schedule(tmp_path):
    def make():
        return ByAdam(lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9))

    trainer = make_trainer([callbacks.ScheduleHyperparameter("momentum", MOMENTUM)], max_epochs=1)
    trainer.fit(make())
    trainer.save_checkpoint(path := tmp_path / "one.ckpt")
    other = OneCycleMomentum(CYCLE, 0.8)
    with pytest.raises(ValueError, match="minimum_momentum"):
        make_trainer([callbacks.ScheduleHyperparameter("momentum", other)]).fit(
            make(), ckpt_path=path
        )
    new = callbacks.ScheduleHyperparameter("momentum", other, on_config_change="use_new")
    module = make()
    make_trainer([new]).fit(module, ckpt_path=path)
    assert [group["momentum"] for (group,) in module.seen] == other(np.arange(5, 15)).tolist()


def test_a_second_fit_goes_on_and_a_copy_starts_anew():
    module = ByAdam(lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9))
    callback = callbacks.ScheduleHyperparameter("momentum", MOMENTUM)
    trainer = make_trainer([callback], max_epochs=1)
    trainer.fit(module)
    other = pickle.loads(pickle.dumps(callback))
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert [group["momentum"] for (group,) in module.seen] == MOMENTUM(np.arange(10)).tolist()
    assert callback.updates == {0: 10}
    module.seen.clear()
    make_trainer([other], max_epochs=1).fit(module)
    assert [group["momentum"] for (group,) in module.seen] == MOMENTUM(np.arange(5)).tolist()
