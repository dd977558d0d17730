"""The controllers by themselves: versions, arguments, state, and what a decision tells."""

from __future__ import annotations

import copy
import decimal
import functools
import io
import itertools
import json
import math
import operator
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch

from lrparity.controllers import (
    Controller,
    Decision,
    EpochFunction,
    LossDriven,
    ReduceLROnPlateau,
    resolve_mode,
)
from lrparity.controllers._epoch_function import takes_two
from lrparity.controllers._keras_versions import NEWEST, RULES, rule_of
from plateau_goldens import simulate
from plateau_traces import generate


def single(value):
    return float(np.float32(value))


TENTH = single(0.1)

# --- versions ------------------------------------------------------------------------------------

FIRST_AND_LAST = [
    ("1.1.1", "2.1.2"),
    ("2.1.3", "2.1.5"),
    ("2.1.6", "2.3.1"),
    ("2.6.0", "2.21.0"),
    ("3.0.0", "3.10.0"),
    ("3.11.0", "3.14.1"),
    ("3.15.0", "3.15.1"),
]


@pytest.mark.parametrize(("index", "bounds"), list(enumerate(FIRST_AND_LAST)))
def test_the_bounds_of_each_rule(index, bounds):
    for bound in bounds:
        assert rule_of(bound) is RULES[index]


def test_the_table_is_in_order_and_does_not_overlap():
    assert len(RULES) == len(FIRST_AND_LAST)
    for earlier, later in itertools.pairwise(RULES):
        assert earlier.first <= earlier.last < later.first <= later.last


@pytest.mark.parametrize(
    ("version", "index"),
    [
        ("1.2", 0), ("2.0", 0), ("2.0.9", 0), ("2.2", 2), ("2.3", 2), ("2.6", 3), ("2.15", 3),
        ("2.16", 3), ("2.21", 3), ("3.0", 4), ("3.9", 4), ("3.10", 4), ("3.11", 5), ("3.12.0", 5),
        ("3.14", 5), ("3.15", 6),
    ],
)  # fmt: skip
def test_two_numbers_are_enough_mostly(version, index):
    assert rule_of(version) is RULES[index]


def test_the_newest_is_the_default():
    assert ReduceLROnPlateau().keras_version == NEWEST == "3.15"
    assert rule_of(NEWEST) is RULES[-1]


@pytest.mark.parametrize("version", ["2.1", "1.1"])
def test_a_version_that_is_not_enough(version):
    with pytest.raises(ValueError, match=rf"`keras_version`='{version}'.*three numbers"):
        ReduceLROnPlateau(keras_version=version)


@pytest.mark.parametrize(
    "version",
    [
        "0.3.3",
        "1.0",
        "1.1.0",
        "2.3.2",
        "2.4",
        "2.4.3",
        "2.5",
        "2.5.9",
        "2.21.1",
        "2.22",
        "3.10.1",
        "3.14.2",
        "3.15.2",
        "3.16",
        "4.0",
        "9999.0",
    ],
)
def test_a_version_that_was_not_checked(version):
    with pytest.raises(ValueError, match=r"was not checked\. Checked are 1\.1\.1 to 2\.1\.2, "):
        ReduceLROnPlateau(keras_version=version)


@pytest.mark.parametrize(
    "version",
    [
        "",
        "3",
        "3.15.1.0",
        "3.15 ",
        "3.15\n",
        "v3.15",
        "latest",
        "3.x",
        "-3.15",
        "3.99999",
        None,
        3.15,
        3,
        (3, 15),
        ["3.15"],
        b"3.15",
    ],
)
def test_what_is_no_version(version):
    with pytest.raises(ValueError, match=r"`keras_version` must be a version as a string"):
        ReduceLROnPlateau(keras_version=version)
    with pytest.raises(ValueError, match=r"`keras_version`"):
        resolve_mode("auto", "loss", version)


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["factor", "patience", "min_delta", "cooldown", "min_lr"])
@pytest.mark.parametrize("value", ["0.1", None, True, 0.1j, [0.1], object(), np.array([0.1])])
def test_an_argument_of_another_type(name, value):
    with pytest.raises(TypeError, match=rf"`{name}` must be a real number\. Received: {name}="):
        ReduceLROnPlateau(**{name: value})


@pytest.mark.parametrize("name", ["factor", "patience", "min_delta", "cooldown", "min_lr"])
def test_an_argument_that_is_nan(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be a number\. Received: {name}=nan"):
        ReduceLROnPlateau(**{name: math.nan})


@pytest.mark.parametrize("factor", [1, 1.0, 7.5, math.inf, np.float32(1)])
def test_a_factor_of_1_or_more(factor):
    with pytest.raises(ValueError, match=r"`factor`.*must be < 1\.0.*Received: factor="):
        ReduceLROnPlateau(factor=factor)


@pytest.mark.parametrize("factor", [0, 0.0, -0.5, -math.inf])
def test_a_factor_that_is_not_positive_goes_to_min_lr(factor):
    with pytest.warns(UserWarning, match=r"`factor`=.* is not positive") as caught:
        plateau = ReduceLROnPlateau(factor=factor, patience=1, min_lr=1e-3)
    assert caught[0].filename == __file__
    plateau.update(1.0, [0.1])
    assert plateau.update(1.0, [0.1]).lrs == (single(1e-3),)


@pytest.mark.parametrize("min_lr", [math.inf, 1e39, -1e39])
def test_a_min_lr_beyond_float32(min_lr):
    with pytest.raises(ValueError, match=r"`min_lr` must be finite in float32"):
        ReduceLROnPlateau(min_lr=min_lr)


@pytest.mark.parametrize("mode", ["auto", "MIN", "", None, 1, ["min"]])
def test_another_mode(mode):
    with pytest.raises(ValueError, match=r"`mode` must be one of 'min', 'max'\. Received: mode="):
        ReduceLROnPlateau(mode=mode)


@pytest.mark.parametrize("numpy_major", [0, 3, True, "2", 1.26])
def test_another_numpy_major(numpy_major):
    with pytest.raises(ValueError, match=r"`numpy_major` must be 1, 2, or None.*: numpy_major="):
        ReduceLROnPlateau(numpy_major=numpy_major)


@pytest.mark.parametrize("value", [1e-40, 1e-45, 1e-300, np.float32(1e-40), np.float64(1e-40)])
def test_subnormal_numbers_are_kept_without_a_word(value):
    """Schedules flush them, as TensorFlow's kernels do; a callback's arithmetic is Python's."""
    plateau = ReduceLROnPlateau(factor=value, min_delta=value, min_lr=value, patience=1)
    assert plateau.min_delta == plateau.factor == plateau.min_lr == float(value)
    assert plateau.update(1.0, [value]).lrs == (single(value),)
    LossDriven(value, scale=value, min_lr=value, max_lr=value)


def test_numbers_of_other_types_are_plain_afterwards():
    plateau = ReduceLROnPlateau(
        factor=np.float32(0.5),
        patience=np.int64(2),
        min_delta=torch.tensor(0.25),
        cooldown=np.uint8(1),
        min_lr=0,
    )
    assert plateau.get_config() == ReduceLROnPlateau(0.5, 2, "min", 0.25, 1, 0.0).get_config()
    assert {type(v) for v in plateau.get_config().values()} == {int, float, str}
    assert ReduceLROnPlateau(**plateau.get_config()).get_config() == plateau.get_config()


def test_a_float64_factor_multiplies_in_float64():
    """np.float32 * np.float64 is float64 under either NumPy; ``np.sqrt(0.1)`` is what people pass."""
    root = np.sqrt(0.1)
    for version, numpy_major in (("2.21", 1), ("2.15", 1), ("3.10", 2), ("3.15", 2)):
        plateau = ReduceLROnPlateau(root, keras_version=version)
        assert (type(plateau.factor), plateau.numpy_major) == (float, numpy_major)
        plain = ReduceLROnPlateau(float(root), keras_version=version, numpy_major=2)
        assert plain.numpy_major == 2
    rates = np.float32(10.0 ** np.linspace(-5, 0, 200)).astype(float)
    python, numpy = (ReduceLROnPlateau(f, keras_version="2.21") for f in (float(root), root))
    differing = sum(single(python.reduced(rate)) != single(numpy.reduced(rate)) for rate in rates)
    assert differing > 10
    assert all(single(numpy.reduced(rate)) == np.float32(np.float32(rate) * root) for rate in rates)


@pytest.mark.parametrize(
    ("version", "numpy_major", "assigned"),
    [
        ("3.15", 2, TENTH * 0.1),
        ("2.21", 1, TENTH * 0.1),
        ("2.21", 2, float(np.float32(TENTH) * np.float32(0.1))),
        ("2.3.1", 2, TENTH * 0.1),
    ],
)
def test_the_product(version, numpy_major, assigned):
    plateau = ReduceLROnPlateau(keras_version=version, numpy_major=numpy_major)
    assert plateau.reduced(TENTH) == assigned


@pytest.mark.parametrize("version", ["2.21", "3.15"])
@pytest.mark.parametrize("min_lr", [0.01, single(0.01), math.nextafter(single(0.01), 1), 0.02])
def test_min_lr_is_assigned_as_it_was_given(version, min_lr):
    """Python's max takes the first of equals, and NumPy 2 compares in float32."""
    plateau = ReduceLROnPlateau(factor=0.1, min_lr=min_lr, keras_version=version)
    if version == "2.21":
        with np.errstate(all="ignore"):
            expected = max(np.float32(0.1) * 0.1, min_lr)
    else:
        expected = max(TENTH * 0.1, min_lr)
    assert plateau.reduced(TENTH) == float(expected)


def test_extreme_products_warn_of_nothing():
    with pytest.warns(UserWarning, match="not positive"):
        plateaus = [
            ReduceLROnPlateau(-1e300, 1, min_lr=-1.0, keras_version=version)
            for version in ("2.21", "3.15")
        ]
    for plateau in plateaus:
        plateau.update(1.0, [3e38])
        assert plateau.update(1.0, [3e38, 1e-3]).lrs == (-1.0, -1.0)


# --- metrics and rates ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric",
    [
        0.5,
        np.float64(0.5),
        np.float32(0.5),
        np.float16(0.5),
        np.array(0.5),
        np.array([0.5]),
        np.array([[0.5]]),
        torch.tensor(0.5),
        torch.tensor([0.5]),
        torch.tensor(0.5).bfloat16(),
        torch.tensor(0.5, requires_grad=True),
    ],
    ids=repr,
)
def test_metrics_of_any_kind(metric):
    plateau, rule = ReduceLROnPlateau(), LossDriven(0.1)
    plateau.update(metric, [0.1])
    assert (type(plateau.best), plateau.best) == (float, 0.5)
    assert rule.update(metric, [0.1]).lrs == (single(0.1 * math.exp(0.5)),)


@pytest.mark.parametrize("metric", [3, np.int64(3), torch.tensor(3), np.uint8(3)], ids=repr)
def test_whole_metrics(metric):
    plateau = ReduceLROnPlateau()
    plateau.update(metric, [0.1])
    assert (type(plateau.best), plateau.best) == (float, 3.0)


class EagerTensor:
    """TensorFlow's has no ``item``."""

    ndim, shape = 0, ()

    def __init__(self, value):
        self.value = value

    def numpy(self):
        return np.float32(self.value)


def test_tensors_of_tensorflow():
    plateau = ReduceLROnPlateau()
    plateau.update(EagerTensor(0.1), [0.1])
    assert plateau.best == TENTH
    assert EpochFunction(lambda epoch: EagerTensor(0.2)).update(0, [0.1]).lrs == (single(0.2),)


@pytest.mark.parametrize(
    "metric",
    [
        None,
        "0.5",
        True,
        np.bool_(1),
        0.5j,
        [0.5],
        decimal.Decimal("0.5"),
        torch.tensor(True),
        np.array([0.5, 0.6]),
        torch.zeros(2),
        np.array([]),
        torch.tensor(0.5j),
        {},
    ],
    ids=repr,
)
@pytest.mark.parametrize("controller", [ReduceLROnPlateau(), LossDriven(0.1)], ids=repr)
def test_what_is_no_metric(controller, metric):
    before = controller.state_dict()
    with pytest.raises(TypeError, match=r"`metric` must be a real number\. Received: metric="):
        controller.update(metric, [0.1])
    assert controller.state_dict() == before


CONTROLLERS = {
    "plateau": lambda: ReduceLROnPlateau(patience=1),
    "epoch": lambda: EpochFunction(lambda epoch, lr: lr * 0.5),
    "loss": LossDriven,
}


@pytest.mark.parametrize("make", CONTROLLERS.values(), ids=CONTROLLERS)
@pytest.mark.parametrize(
    ("lrs", "error", "words"),
    [
        ([], ValueError, "`lrs` is empty"),
        (0.1, TypeError, r"`lrs` must be a sequence.*Pass \[lr\]"),
        (None, TypeError, "`lrs` must be a sequence"),
        ([0.1, math.nan], ValueError, r"`lrs\[1\]` must be a number"),
        ([math.inf], ValueError, r"`lrs\[0\]` must be finite"),
        ([0.1, 1e39], ValueError, r"`lrs\[1\]` must be finite"),
        (["0.1"], TypeError, r"`lrs\[0\]` must be a real number"),
        ([0.1, None], TypeError, r"`lrs\[1\]` must be a real number"),
        ("0.1", TypeError, r"`lrs\[0\]` must be a real number"),
    ],
)
def test_rates_that_are_none(make, lrs, error, words):
    controller = make()
    before = controller.state_dict()
    with pytest.raises(error, match=words):
        controller.update(1, lrs)
    assert controller.state_dict() == before


@pytest.mark.parametrize("make", CONTROLLERS.values(), ids=CONTROLLERS)
@pytest.mark.parametrize(
    "lrs",
    [
        [0.1, 0.2],
        (0.1, 0.2),
        np.array([0.1, 0.2]),
        torch.tensor([0.1, 0.2]),
        [torch.tensor(0.1), np.float64(0.2)],
        [np.float32(0.1), 0.2],
    ],
    ids=repr,
)
def test_rates_of_any_kind(make, lrs):
    decision = make().update(1, lrs)
    assert len(decision.lrs) == len(decision.assigned) == 2
    assert all(type(lr) is float and lr == single(lr) for lr in decision.lrs)


# --- decisions -----------------------------------------------------------------------------------


def test_what_a_plateau_says():
    plateau = ReduceLROnPlateau(factor=0.1, patience=2, cooldown=2, min_lr=0.005)
    lrs, said = [0.1], []
    for metric in (1.0, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6):
        decision = plateau.update(metric, lrs)
        said.append((decision.changed, decision.reason))
        assert isinstance(decision, Decision)
        assert decision.lrs == tuple(map(single, decision.assigned))
        if not decision.changed:
            assert decision.lrs == decision.assigned == tuple(map(single, lrs))
        lrs = decision.lrs
    assert said == [
        (False, "1 is the best so far"),
        (False, "0.5 is the best so far"),
        (False, "no improvement on 0.5 for 1 metrics, of 2"),
        (True, "no improvement on 0.5 for 2 metrics"),
        (False, "cooling down, 1 metrics more"),
        (False, "no improvement on 0.5 for 1 metrics, of 2"),
        (True, "no improvement on 0.5 for 2 metrics"),
        (False, "cooling down, 1 metrics more"),
        (False, "no improvement on 0.5 for 1 metrics, of 2"),
        (False, "no improvement on 0.5 for 2 metrics, but no rate is above min_lr=0.005"),
    ]
    assert lrs == (single(0.005),)


def test_rates_at_the_bound_stay_as_they_are_among_others():
    plateau = ReduceLROnPlateau(factor=0.5, patience=1, min_lr=0.05)
    plateau.update(1.0, [0.1])
    decision = plateau.update(1.0, [0.01, 0.05, 0.08, 0.4])
    assert decision.changed
    assert decision.assigned == (single(0.01), single(0.05), 0.05, single(0.4) * 0.5)


def test_a_reduction_may_leave_the_bits_as_they_are():
    """Up to 2.3.1 a rate at float32(min_lr) > min_lr falls to itself, and cools down again."""
    assert TENTH > 0.1
    for version, changed in (("2.3.1", True), ("2.1.5", True), ("3.15", False), ("2.0.9", False)):
        plateau = ReduceLROnPlateau(patience=0, min_lr=0.1, keras_version=version)
        decisions = [plateau.update(1.0, [0.1]) for _ in range(4)]
        assert decisions[-1].changed == changed
        assert {decision.lrs for decision in decisions} == {(TENTH,)}


def test_a_decision_is_frozen():
    decision = ReduceLROnPlateau().update(1.0, [0.1])
    with pytest.raises(AttributeError):
        decision.changed = True


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        ("2.0.9", False),
        ("2.3.1", False),
        ("2.21", False),
        ("3.10", False),
        ("3.11", True),
        ("3.14", True),
        ("3.15", False),
    ],
)
def test_a_new_fit(version, kept):
    plateau = ReduceLROnPlateau(patience=3, cooldown=2, keras_version=version)
    for _ in range(6):
        plateau.update(1.0, [0.1])
    assert (plateau.wait, plateau.cooldown_counter) != (0, 0)
    plateau.reset()
    fresh = ReduceLROnPlateau(keras_version=version).best
    assert (plateau.wait, plateau.cooldown_counter) == (0, 0)
    assert plateau.best == (1.0 if kept else fresh)
    assert fresh == (math.inf if version < "3.11" else None)


def test_metrics_beyond_float32_are_infinite_from_3_11_on():
    plateau = ReduceLROnPlateau(patience=1)
    assert not plateau.update(1e300, [0.1]).changed  # the first is the best
    assert plateau.update(1e299, [0.1]).changed  # no better: infinity both
    assert not plateau.update(1.0, [0.1]).changed
    older = ReduceLROnPlateau(patience=1, keras_version="3.10")
    assert not any(older.update(metric, [0.1]).changed for metric in (1e300, 1e299))


# --- state ---------------------------------------------------------------------------------------


def through_torch(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def through_json(state):
    return json.loads(json.dumps(state))


THROUGH = {
    "torch": through_torch,
    "json": through_json,
    "pickle": lambda s: pickle.loads(pickle.dumps(s)),
}


@pytest.mark.parametrize("through", THROUGH.values(), ids=THROUGH)
@pytest.mark.parametrize("version", ["2.0.9", "2.21", "3.10", "3.14", "3.15"])
def test_a_plateau_goes_on_at_every_step(through, version):
    """A new controller at each step, from the last one's state, does what one does throughout."""

    def make_resumed(**arguments):
        class Resumed(ReduceLROnPlateau):
            def update(self, metric, lrs):
                fresh = ReduceLROnPlateau(**self.get_config())
                fresh.load_state_dict(through(self.inner.state_dict()))
                self.inner = fresh
                return fresh.update(metric, lrs)

            def reset(self):
                self.inner.reset()

        outer = Resumed(**arguments)
        outer.inner = ReduceLROnPlateau(**arguments)
        return outer

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`factor`")
        for trace in generate(17, 12):
            uninterrupted, assigned = simulate(trace, version)
            resumed, also_assigned = simulate(trace, version, make=make_resumed)
            assert resumed.reductions == uninterrupted.reductions
            assert repr(also_assigned) == repr(assigned)


@pytest.mark.parametrize("through", THROUGH.values(), ids=THROUGH)
@pytest.mark.parametrize("initial", [None, 0.1])
def test_a_loss_driven_rate_goes_on_at_every_step(through, initial):
    whole, lrs, resumed_lrs = LossDriven(initial), [0.1, 0.03], [0.1, 0.03]
    state = through(whole.state_dict())
    for step in range(8):
        loss = math.sin(step)
        resumed = LossDriven(initial)
        resumed.load_state_dict(state)
        resumed_lrs = resumed.update(loss, resumed_lrs).lrs
        lrs = whole.update(loss, lrs).lrs
        state = through(resumed.state_dict())
        assert resumed_lrs == lrs


def test_an_epoch_function_has_nothing_to_remember():
    controller = EpochFunction(lambda epoch, lr: lr * 0.5)
    state = controller.state_dict()
    assert (state["config"], state["state"]) == ({}, {})
    controller.load_state_dict(through_torch(state))


def test_the_state_is_a_copy():
    controller = LossDriven()
    controller.start([0.1])
    state = controller.state_dict()
    state["state"]["initial_lrs"].append(1.0)
    assert controller.initial_lrs == [TENTH]
    controller.load_state_dict(state)
    state["state"]["initial_lrs"].append(2.0)
    assert controller.initial_lrs == [TENTH, 1.0]


def test_controllers_can_be_copied_and_pickled():
    plateau = ReduceLROnPlateau(patience=1)
    plateau.update(1.0, [0.1])
    for twin in (copy.deepcopy(plateau), pickle.loads(pickle.dumps(plateau))):
        assert twin.state_dict() == plateau.state_dict()
        assert twin.update(1.0, [0.1]).changed


class Loud:
    """An object that must not be asked anything."""

    def __eq__(self, other):
        raise AssertionError("compared")

    __hash__ = None


def damaged_plateaus():
    state = ReduceLROnPlateau().state_dict()
    nothing = object()

    def changed(**changes):
        new = {**state, **changes}
        return {name: value for name, value in new.items() if value is not nothing}

    def inner(**changes):
        return changed(state={**state["state"], **changes})

    yield from (None, 1, "state", [], {}, [state], [("format", state["format"])])
    for value in (nothing, None, "lrparity.controllers.LossDriven", "x", 1, Loud(), np.zeros(2)):
        yield changed(format=value)
    for value in (nothing, None, 0, 2, "1", 1.0, True, Loud(), torch.zeros(2), np.ones(2)):
        yield changed(version=value)
    for name in ("config", "state"):
        for value in (nothing, None, 1, "x", [], [("wait", 0)], Loud()):
            yield changed(**{name: value})
    yield changed(state={"wait": 0})
    yield changed(state={})
    yield inner(more=1)
    for value in (None, 1.5, -1, True, "0", math.nan, math.inf, [0], torch.tensor(0), Loud()):
        yield inner(wait=value)
    for value in (None, True, "0", math.nan, [0], np.int64(0), 1j, Loud()):
        yield inner(cooldown_counter=value)
    for value in (1, True, "0", [0.0], np.float32(0), torch.tensor(0.0), 1j, Loud()):
        yield inner(best=value)


@pytest.mark.parametrize("state", list(damaged_plateaus()), ids=lambda state: "state")
@pytest.mark.parametrize("on_config_change", ["raise", "use_new"])
def test_damaged_and_foreign_states(state, on_config_change):
    plateau = ReduceLROnPlateau(patience=4)
    plateau.update(1.0, [0.1])
    before = plateau.state_dict()
    with pytest.raises(ValueError, match=r"not the state of|has version|is damaged"):
        plateau.load_state_dict(state, on_config_change=on_config_change)
    assert plateau.state_dict() == before


@pytest.mark.parametrize(
    "rates", [None, (0.1,), [1], ["0.1"], [math.nan], [math.inf], [1e39], [True], 0.1, {0: 0.1}]
)
def test_damaged_states_of_a_loss_driven_rate(rates):
    rule = LossDriven()
    state = rule.state_dict()
    state["state"]["initial_lrs"] = rates
    with pytest.raises(ValueError, match="LossDriven is damaged"):
        rule.load_state_dict(state)
    assert rule.initial_lrs == []


def test_states_of_another_kind():
    makers = [ReduceLROnPlateau, LossDriven, lambda: EpochFunction(float)]
    for one in makers:
        for other in makers:
            if one is not other:
                with pytest.raises(ValueError, match="This is not the state of lrparity's"):
                    one().load_state_dict(other().state_dict())


def test_a_huge_state_makes_a_short_message():
    state = ReduceLROnPlateau().state_dict() | {"state": {"wait": "x" * 10**6}}
    with pytest.raises(ValueError, match="damaged") as caught:
        ReduceLROnPlateau().load_state_dict(state)
    assert len(str(caught.value)) < 1000


def test_another_mapping_will_do():
    plateau = ReduceLROnPlateau()
    plateau.load_state_dict(OrderedDict(plateau.state_dict()))


CHANGES = {
    "factor": 0.5,
    "patience": 3,
    "mode": "max",
    "min_delta": math.nextafter(1e-4, 1),
    "cooldown": 1,
    "min_lr": 1e-9,
    "keras_version": "3.14",
    "numpy_major": 1,
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_arguments(name):
    plateau = ReduceLROnPlateau()
    assert CHANGES.keys() == plateau.get_config().keys()
    plateau.update(1.0, [0.1])
    plateau.update(1.0, [0.1])
    changed = ReduceLROnPlateau(**{name: CHANGES[name]})
    before = changed.state_dict()
    words = rf"{name}: saved .*, now {CHANGES[name]!r}.*on_config_change=\"use_new\""
    with pytest.raises(ValueError, match=words):
        changed.load_state_dict(plateau.state_dict())
    assert changed.state_dict() == before
    changed.load_state_dict(plateau.state_dict(), on_config_change="use_new")
    assert changed.state_dict()["state"] == plateau.state_dict()["state"]
    assert changed.get_config() == before["config"]


def test_a_state_with_other_names_in_its_configuration():
    plateau = ReduceLROnPlateau()
    for config in ({}, plateau.get_config() | {"new": 1}, {1: 2}):
        state = plateau.state_dict() | {"config": config}
        with pytest.raises(ValueError, match="saved under other arguments"):
            plateau.load_state_dict(state)


@pytest.mark.parametrize("value", ["ignore", None, True, "", ["raise"]])
def test_another_word_for_on_config_change(value):
    plateau = ReduceLROnPlateau()
    with pytest.raises(ValueError, match="`on_config_change` must be one of 'raise', 'use_new'"):
        plateau.load_state_dict(plateau.state_dict(), on_config_change=value)


@pytest.mark.parametrize(("mode", "first"), [("min", math.inf), ("max", -math.inf)])
def test_a_state_without_a_best_metric_under_an_older_rule(mode, first):
    older = ReduceLROnPlateau(mode=mode, keras_version="3.10")
    older.load_state_dict(ReduceLROnPlateau(mode=mode).state_dict(), on_config_change="use_new")
    assert older.best == first
    assert older.update(1.0, [0.1]).reason == "1 is the best so far"


def test_fractions_and_negative_numbers_of_epochs_count_as_in_keras():
    plateau = ReduceLROnPlateau(patience=1.5, cooldown=0.5)
    changes = [plateau.update(1.0, [0.1]).changed for _ in range(6)]
    assert changes == [False, False, True, False, True, False]
    assert plateau.cooldown_counter == -0.5
    twin = ReduceLROnPlateau(patience=1.5, cooldown=0.5)
    twin.load_state_dict(through_torch(plateau.state_dict()))
    plateau = ReduceLROnPlateau(patience=-2, cooldown=-3)
    assert [plateau.update(1.0, [0.1]).changed for _ in range(3)] == [False, True, True]
    ReduceLROnPlateau(patience=-2, cooldown=-3).load_state_dict(plateau.state_dict())


def test_a_user_can_write_a_controller():
    class Alternating(Controller):
        """Two rates in turn."""

        _REMEMBERED = ("odd",)
        odd = False

        def update(self, metric, lrs):
            self.odd = not self.odd
            lr = 0.5 if self.odd else 0.25
            return Decision((lr,) * len(lrs), True, "in turn", (lr,) * len(lrs))

        def get_config(self):
            return {}

    one, other = Alternating(), Alternating()
    one.update(0, [0.1])
    other.load_state_dict(through_torch(one.state_dict()))
    one.reset()
    assert other.update(0, [0.1]).lrs == (0.25,)
    assert repr(one) == "Alternating()"
    with pytest.raises(TypeError, match="abstract"):
        Controller()


def test_repr_tells_the_arguments():
    assert eval(repr(ReduceLROnPlateau(0.5, mode="max"))).get_config()["mode"] == "max"
    assert repr(LossDriven(0.1)).startswith("LossDriven(initial_learning_rate=0.1, function='exp'")
    assert repr(EpochFunction(float)) == "EpochFunction(<class 'float'>)"


# --- resolve_mode --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2.2", "2.15", "3.10"])
@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_loss", "min"),
        ("acc", "max"),
        ("val_accuracy", "max"),
        ("val_auc", "min"),
        ("vaccine", "max"),
        ("ACC", "min"),
        ("f1", "min"),
    ],
)
def test_auto_by_the_name(version, monitor, mode):
    assert resolve_mode("auto", monitor, version) == mode
    assert resolve_mode("auto", monitor, version, higher_is_better=mode == "min") == mode


@pytest.mark.parametrize("version", ["3.11", "3.14", "3.15"])
def test_auto_by_the_metric(version):
    for monitor in ("loss", "val_loss"):
        assert resolve_mode("auto", monitor, version) == "min"
        assert resolve_mode("auto", monitor, version, higher_is_better=True) == "max"
    for monitor in ("val_acc", "train_loss", "loss_val", "val_val_loss", "Loss", ""):
        with pytest.raises(ValueError, match=rf"'{monitor}' is better.*{version}.*mode='max'"):
            resolve_mode("auto", monitor, version)
        assert resolve_mode("auto", monitor, version, higher_is_better=True) == "max"
        assert resolve_mode("auto", monitor, version, higher_is_better=False) == "min"


def test_a_told_mode_is_not_asked_about():
    for mode in ("min", "max"):
        assert resolve_mode(mode, "whatever", higher_is_better=mode == "min") == mode


@pytest.mark.parametrize("mode", ["MIN", "lower", "", None, 3])
def test_an_unknown_mode_is_auto(mode):
    with pytest.warns(UserWarning, match=r"`mode`=.* is none of 'auto', 'min', 'max'"):
        assert resolve_mode(mode, "val_acc", "2.15") == "max"


# --- EpochFunction -------------------------------------------------------------------------------


class Both:
    def __call__(self, epoch, lr):
        return lr

    def one(self, epoch):
        return 0.1

    def two(self, epoch, lr):
        return lr


class One:
    def __call__(self, epoch):
        return 0.1


def keyword_only(epoch, *, scale=1.0):
    return scale


def positional_only(epoch, lr, /):
    return lr


@pytest.mark.parametrize(
    ("fn", "two"),
    [
        (lambda epoch: 0.1, False),
        (lambda epoch, lr: lr, True),
        (lambda epoch, lr=0.5: lr, True),
        (lambda epoch, lr, more=1, other=2: lr, True),
        (lambda *arguments: 0.1, True),
        (lambda epoch, *rest: 0.1, True),
        (lambda epoch, **rest: 0.1, False),
        (lambda *arguments, **rest: 0.1, True),
        (keyword_only, False),
        (positional_only, True),
        (functools.partial(positional_only, 3), False),
        (functools.partial(lambda epoch, lr, drop: lr, drop=0.5), True),
        (functools.partial(lambda epoch, lr: lr, lr=0.5), False),
        (functools.lru_cache(lambda epoch: 0.1), False),
        (Both(), True),
        (Both().one, False),
        (Both().two, True),
        (One(), False),
        ({}.get, True),
        (math.exp, False),
        (operator.mul, True),
        (float, False),
    ],
)
def test_how_many_arguments(fn, two):
    assert takes_two(fn, "fn") is two
    assert EpochFunction(fn).takes_lr is two


def test_a_callable_without_a_signature_gets_the_epoch_alone():
    class Builtin:
        """As some C functions: it has no signature."""

        __signature__ = "none"

        def __call__(self, *arguments):
            self.arguments = arguments
            return 0.1

    fn = Builtin()
    EpochFunction(fn).update(3, [0.5])
    assert fn.arguments == (3,)


@pytest.mark.parametrize(
    "fn", [lambda: 0.1, lambda a, b, c: 0.1, lambda *, epoch: 0.1, lambda epoch, lr, *, more: lr]
)
def test_functions_of_something_else(fn):
    with pytest.raises(TypeError, match=r"`fn` must be a function of an index.*which takes \("):
        EpochFunction(fn)


@pytest.mark.parametrize("fn", [None, 0.1, "fn", [lambda epoch: 0.1]])
def test_what_is_no_function(fn):
    with pytest.raises(TypeError, match=r"`fn` must be a function of an index.*Received: fn="):
        EpochFunction(fn)


@pytest.mark.parametrize("error", [TypeError("mine"), ValueError("mine"), KeyError("mine")])
@pytest.mark.parametrize("two", [False, True])
def test_an_error_in_the_function_is_shown_and_nothing_tried_again(error, two):
    calls = []

    def one_argument(epoch):
        calls.append((epoch,))
        raise error

    def two_arguments(epoch, lr=None):
        calls.append((epoch, lr))
        raise error

    controller = EpochFunction(two_arguments if two else one_argument)
    with pytest.raises(type(error)) as caught:
        controller.update(4, [0.5])
    assert caught.value is error
    assert calls == ([(4, 0.5)] if two else [(4,)])


def test_what_the_function_is_asked():
    asked = []

    def fn(epoch, lr):
        asked.append((epoch, lr))
        return lr * 0.3

    decision = EpochFunction(fn).update(7, [0.1, 0.2, 0.1])
    assert asked == [(7, TENTH), (7, single(0.2))]
    assert {type(value) for call in asked for value in call} == {int, float}
    assert decision.assigned == (TENTH * 0.3, single(0.2) * 0.3, TENTH * 0.3)
    assert decision.lrs == tuple(map(single, decision.assigned))
    assert (decision.changed, decision.reason) == (True, "fn at 7")
    assert EpochFunction(Both()).update(0, [0.1]).reason == "Both at 0"


def test_one_answer_for_all_rates():
    calls = []
    decision = EpochFunction(lambda epoch: calls.append(epoch) or 0.3).update(2, [0.1, 0.2])
    assert (calls, decision.assigned) == ([2], (0.3, 0.3))


@pytest.mark.parametrize("value", [1, True, None, "0.1", [0.1], np.int32(1), torch.tensor(1), 1j])
def test_answers_that_are_no_floats(value):
    words = r"must return a float.*was asked with 3, 0\.5 and returned .*Return float\("
    with pytest.raises(ValueError, match=words):
        EpochFunction(lambda epoch, lr: value).update(3, [0.5])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3.5e38, np.float64(1e300)])
def test_answers_that_are_not_finite(value):
    with pytest.raises(ValueError, match="must return a learning rate that is finite in float32"):
        EpochFunction(lambda epoch: value).update(3, [0.5])


# --- LossDriven ----------------------------------------------------------------------------------


def run(rule, losses, lrs=(0.1,)):
    lrs, rates = list(lrs), []
    for loss in losses:
        lrs = list(rule.update(loss, lrs).lrs)
        rates.append(lrs)
    return rates


@pytest.mark.parametrize("scale", [1.0, -1.0, 0.5, 2, 0.0])
def test_the_exponential_of_the_loss(scale):
    losses = [0.0, -0.7, 2.302585092994046, 0.1, 1e-9, 5.0]
    rates = run(LossDriven(0.1, scale=scale), losses, [0.7])
    assert rates == [[single(0.1 * math.exp(scale * loss))] for loss in losses]


def test_each_rates_own_start():
    rates = run(LossDriven(), [0.5, 1.0], [0.1, 0.02])
    first = [single(single(lr) * math.exp(0.5)) for lr in (0.1, 0.02)]
    assert rates == [first, [single(single(lr) * math.exp(1.0)) for lr in (0.1, 0.02)]]


def test_start_tells_the_rates_before_any_loss():
    for initial, expected in ((None, (TENTH, single(0.2))), (0.3, (single(0.3),) * 2)):
        rule = LossDriven(initial)
        decision = rule.start([0.1, 0.2])
        assert (decision.lrs, decision.changed) == (expected, True)
        later = rule.update(0.0, [0.7, 0.7])
        assert later.lrs == expected
        assert later.reason == "the loss is 0"


def test_the_initial_rate_is_not_rounded_before_the_product():
    assert LossDriven(0.1).start([0.5]).assigned == (0.1,)
    assert LossDriven(0.1).update(1.0, [0.5]).assigned == (0.1 * math.exp(1.0),)


@pytest.mark.parametrize("initial", [None, 0.3])
def test_rates_that_join_and_leave(initial):
    rule = LossDriven(initial)
    rule.update(1.0, [0.1])
    lrs = rule.update(1.0, [0.9, 0.02]).lrs
    base = (TENTH, single(0.02)) if initial is None else (0.3, 0.3)
    assert lrs == tuple(single(lr * math.exp(1.0)) for lr in base)
    assert rule.update(1.0, [0.5]).lrs == lrs[:1]


def square(scaled):
    return scaled * scaled


@pytest.mark.parametrize(
    ("function", "factor"),
    [
        (square, 4.0),
        (math.sqrt, math.sqrt(2.0)),
        (lambda loss: 3, 3.0),
        (lambda loss: np.float32(0.1), TENTH),
        (lambda loss: torch.tensor(0.5), 0.5),
        (np.log, float(np.log(2.0))),
    ],
)
def test_functions_of_users(function, factor):
    assert LossDriven(0.25, function).update(2.0, [0.1]).lrs == (single(0.25 * factor),)


@pytest.mark.parametrize("answer", ["1", None, [1.0], True, 1j])
def test_functions_that_return_no_number(answer):
    rule = LossDriven(0.1, lambda loss: answer)
    with pytest.raises(ValueError, match=r"`function` must return a number.*returned .* for 2\.0"):
        rule.update(2.0, [0.1])


def test_an_error_in_a_users_function_is_shown():
    with pytest.raises(ZeroDivisionError):
        LossDriven(0.1, lambda loss: 1 / loss).update(0.0, [0.1])


def test_bounds():
    rule = LossDriven(0.1, min_lr=0.05, max_lr=0.2)
    assert run(rule, [0.0, 5.0, -5.0, 1e3, -1e3]) == [
        [single(lr)] for lr in (0.1, 0.2, 0.05, 0.2, 0.05)
    ]
    assert LossDriven(0.1, min_lr=0.05).update(-9.0, [0.1]).assigned == (0.05,)
    assert LossDriven(0.1, max_lr=0.2).update(9.0, [0.1]).assigned == (0.2,)
    assert LossDriven(0.1, max_lr=0.2, scale=1e200).update(1e200, [0.1]).assigned == (0.2,)


NOT_FINITE = [
    (math.nan, {}),
    (math.inf, {"max_lr": 1.0}),
    (-math.inf, {}),
    (100.0, {}),
    (1e6, {}),
    (2.0, {"function": lambda loss: math.nan}),
    (2.0, {"function": lambda loss: math.nan, "min_lr": 0.1, "max_lr": 0.2}),
    (2.0, {"function": lambda loss: -math.inf}),
    (2.0, {"function": lambda loss: 1e300}),
]


@pytest.mark.parametrize(("loss", "arguments"), NOT_FINITE)
def test_what_is_not_finite(loss, arguments):
    lrs = [0.2, 0.3]
    with pytest.raises(FloatingPointError, match=r"cannot set a learning rate.*`non_finite`"):
        LossDriven(0.1, **arguments).update(loss, lrs)
    kept = LossDriven(0.1, non_finite="keep", **arguments).update(loss, lrs)
    assert (kept.lrs, kept.changed) == (tuple(map(single, lrs)), False)
    assert kept.assigned == kept.lrs
    assert kept.reason.endswith(": kept")
    back = LossDriven(0.1, non_finite="initial", **arguments).update(loss, lrs)
    assert (back.lrs, back.changed, back.assigned) == ((TENTH, TENTH), True, (0.1, 0.1))
    assert back.reason.endswith(": back to the initial rate")
    own = LossDriven(non_finite="initial", **arguments)
    own.start([0.4, 0.5])
    assert own.update(loss, lrs).lrs == (single(0.4), single(0.5))


def test_it_goes_on_after_a_loss_that_is_not_finite():
    for policy in ("keep", "initial"):
        rule = LossDriven(0.1, non_finite=policy)
        rates = run(rule, [1.0, math.nan, 1.0])
        assert rates[0] == rates[2]
        assert rates[1] == (rates[0] if policy == "keep" else [TENTH])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"initial_learning_rate": math.inf}, ValueError, "`initial_learning_rate` must be finite"),
        ({"initial_learning_rate": math.nan}, ValueError, "`initial_learning_rate` must be a num"),
        ({"initial_learning_rate": "0.1"}, TypeError, "`initial_learning_rate` must be a real"),
        ({"function": "log"}, ValueError, "`function` must be one of 'exp'. Received: function="),
        ({"function": 2.0}, TypeError, "`function` must be 'exp' or a function"),
        ({"scale": "2"}, TypeError, "`scale` must be a real number"),
        ({"scale": math.nan}, ValueError, "`scale` must be a number"),
        ({"min_lr": 0.2, "max_lr": 0.1}, ValueError, "`min_lr` must not exceed `max_lr`"),
        ({"min_lr": 1e39}, ValueError, "`min_lr` must be finite"),
        ({"max_lr": math.inf}, ValueError, "`max_lr` must be finite"),
        ({"non_finite": "ignore"}, ValueError, "`non_finite` must be one of 'raise', 'keep', 'ini"),
    ],
)
def test_arguments_of_a_loss_driven_rate(arguments, error, words):
    with pytest.raises(error, match=words):
        LossDriven(**arguments)


def test_a_negative_initial_rate_is_warned_of():
    with pytest.warns(UserWarning, match="`initial_learning_rate`=-0.1 is negative") as caught:
        LossDriven(-0.1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "changes",
    [
        {"initial_learning_rate": 0.2},
        {"scale": 2.0},
        {"min_lr": 0.0},
        {"max_lr": 1.0},
        {"non_finite": "keep"},
        {"function": square},
    ],
)
def test_other_arguments_of_a_loss_driven_rate(changes):
    saved = LossDriven(0.1)
    saved.start([0.1])
    changed = LossDriven(**{"initial_learning_rate": 0.1} | changes)
    (name,) = changes
    with pytest.raises(ValueError, match=f"saved under other arguments: {name}: saved"):
        changed.load_state_dict(saved.state_dict())
    changed.load_state_dict(saved.state_dict(), on_config_change="use_new")
    assert changed.initial_lrs == [0.1]
