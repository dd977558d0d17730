"""What ``lrparity.optim.SGD`` promises, shown without Keras."""

import copy
import io
import math
import pickle
import warnings

import numpy as np
import pytest
import torch

from lrparity.optim import SGD
from lrparity.schedules import CosineDecay, TimeBasedDecay

SHAPES = ((3, 4), (17,), (), (2, 3, 5))
RULES = (
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"nesterov": True},
    {"momentum": 1.0},
    {"weight_decay": 0.01},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01, "decay": 0.1},
    {"momentum": 0.9, "clipnorm": 1.0},
    {"momentum": 0.9, "clipvalue": 0.5},
    {"momentum": 0.9, "global_clipnorm": 2.0, "weight_decay": 0.01},
    {"decay": 0.01, "keras_version": "2.3.1"},
)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def parameters(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES
    ]


def rate(update):
    return 0.1 / (1 + update % 7)


def set_gradients(optimizer, update):
    generator = torch.Generator().manual_seed(1000 + update)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad = gradient.to(parameter.dtype)


def drive(optimizer, updates):
    """Apply the updates of a range, each with its own gradients and learning rate."""
    for update in updates:
        for group in optimizer.param_groups:
            group["lr"] = rate(update)
        set_gradients(optimizer, update)
        optimizer.step()


def weights(optimizer):
    return [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]


def assert_same_bits(ours, others):
    assert all(torch.equal(a, b) for a, b in zip(ours, others, strict=True))


def one_weight(**options):
    weight = torch.nn.Parameter(torch.zeros(()))
    weight.grad = torch.ones(())
    return weight, SGD([weight], **options)


# --- the rule -----------------------------------------------------------------------------------


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [None, 0.02])
def test_bits_of_the_formula(momentum, nesterov, weight_decay):
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
    optimizer = SGD(parameters(), **options)
    expected = [w.numpy() for w in weights(optimizer)]
    velocities = [np.zeros_like(w) for w in expected]
    keep = np.float32(momentum)
    for update in range(60):
        drive(optimizer, [update])
        lr = np.float32(rate(update))
        gradients = [p.grad.numpy() for p in optimizer.param_groups[0]["params"]]
        for i, g in enumerate(gradients):
            w = expected[i]
            if weight_decay is not None:
                w = w - w * np.float32(weight_decay) * lr
            if momentum:
                v = velocities[i] = velocities[i] * keep - g * lr
                expected[i] = w + (v * keep - g * lr if nesterov else v)
            else:
                expected[i] = w - g * lr
    assert_same_bits(weights(optimizer), [torch.as_tensor(w) for w in expected])


def relative_difference(ours, others):
    difference = max(float((a - b).abs().max()) for a, b in zip(ours, others, strict=True))
    return difference / max(float(b.abs().max()) for b in others)


@pytest.mark.parametrize("nesterov", [False, True])
def test_torch_agrees_at_a_constant_rate_only(nesterov):
    pair = [
        cls(parameters(), lr=0.05, momentum=0.9, nesterov=nesterov)
        for cls in (SGD, torch.optim.SGD)
    ]
    for update in range(50):
        for optimizer in pair:
            set_gradients(optimizer, update)
            optimizer.step()
    assert relative_difference(*map(weights, pair)) <= 2e-6
    for optimizer in pair:
        drive(optimizer, range(50, 100))
    assert relative_difference(*map(weights, pair)) > 1e-2


def test_a_tenfold_drop_is_felt_later_than_in_torch():
    steps = []
    for cls in (SGD, torch.optim.SGD):
        weight = torch.nn.Parameter(torch.zeros(()))
        weight.grad = torch.ones(())
        optimizer = cls([weight], lr=1.0, momentum=0.9)
        for _ in range(200):
            optimizer.step()
        before = weight.item()
        optimizer.param_groups[0]["lr"] = 0.1
        optimizer.step()
        steps.append(before - weight.item())
    # Speed 10 * lr: Keras does 0.9 * 10 + 0.1 = 9.1, torch 0.1 * 10 = 1.
    assert steps == pytest.approx([9.1, 1.0], rel=1e-4)


def test_momentum_0_keeps_no_state():
    optimizer = SGD(parameters())
    drive(optimizer, range(3))
    assert optimizer.state_dict()["state"] == {}


def test_a_parameter_without_gradient_is_left_alone():
    first, second = parameters()[:2]
    optimizer = SGD([first, second], lr=0.1, momentum=0.9, weight_decay=0.5)
    before = second.detach().clone()
    first.grad = torch.ones_like(first)
    optimizer.step()
    assert torch.equal(second, before)
    assert second not in optimizer.state


def test_groups_have_their_own_options():
    first, second = parameters()[:2]
    optimizer = SGD(
        [
            {"params": [first], "lr": 0.5, "momentum": 0, "clipvalue": 0.1, "clipnorm": None},
            {"params": [second], "nesterov": True, "weight_decay": 0.1, "decay": 1.0},
        ],
        lr=0.25,
        momentum=0.9,
        clipnorm=3.0,
    )
    alone = [
        SGD([copy.deepcopy(first)], lr=0.5, clipvalue=0.1),
        SGD(
            [copy.deepcopy(second)],
            lr=0.25,
            momentum=0.9,
            nesterov=True,
            weight_decay=0.1,
            decay=1.0,
            clipnorm=3.0,
        ),
    ]
    for update in range(5):
        set_gradients(optimizer, update)
        for group, other in zip(optimizer.param_groups, alone, strict=True):
            other.param_groups[0]["params"][0].grad = group["params"][0].grad.clone()
            other.step()
        optimizer.step()
    assert_same_bits(weights(optimizer), weights(alone[0]) + weights(alone[1]))
    assert optimizer.learning_rates_used == [0.5, float(np.float32(0.25) / np.float32(5))]


def test_a_scheduler_may_cycle_the_momentum():
    optimizer = SGD(parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    seen = set()
    for update in range(9):
        set_gradients(optimizer, update)
        optimizer.step()
        scheduler.step()
        seen.add(optimizer.param_groups[0]["momentum"])
    assert len(seen) == 9


# --- clipping -----------------------------------------------------------------------------------


def applied_gradients(optimizer):
    """What the update multiplied by the rate, from weights set to 0 and a rate of 1."""
    with torch.no_grad():
        for group in optimizer.param_groups:
            group["lr"] = 1.0
            for parameter in group["params"]:
                parameter.zero_()
    optimizer.step()
    return [-w for w in weights(optimizer)]


def test_clipnorm_is_per_parameter():
    optimizer = SGD(parameters(), clipnorm=2.0)
    set_gradients(optimizer, 0)
    gradients = [p.grad.clone() for p in optimizer.param_groups[0]["params"]]
    for applied, gradient in zip(applied_gradients(optimizer), gradients, strict=True):
        scale = min(1.0, 2.0 / float(gradient.norm()))
        torch.testing.assert_close(applied, gradient * scale, rtol=1e-6, atol=0)


def test_global_clipnorm_is_over_all_groups_and_dtypes():
    single, double = parameters(torch.float32, 1), parameters(torch.float64, 2)
    optimizer = SGD([{"params": single}, {"params": double}], global_clipnorm=0.5)
    set_gradients(optimizer, 0)
    gradients = [p.grad.clone() for p in single + double]
    norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
    for applied, gradient in zip(applied_gradients(optimizer), gradients, strict=True):
        torch.testing.assert_close(applied, gradient * (0.5 / norm), rtol=1e-6, atol=0)


def test_clipvalue_clips_each_element():
    optimizer = SGD(parameters(), clipvalue=0.3)
    set_gradients(optimizer, 0)
    gradients = [p.grad.clone() for p in optimizer.param_groups[0]["params"]]
    assert_same_bits(applied_gradients(optimizer), [g.clamp(-0.3, 0.3) for g in gradients])


@pytest.mark.parametrize("clip", [{"clipnorm": 1.0}, {"clipvalue": 1.0}, {"global_clipnorm": 1.0}])
def test_clipping_leaves_the_gradients_as_they_were_and_zeros_zero(clip):
    optimizer = SGD(parameters(), **clip)
    set_gradients(optimizer, 0)
    optimizer.param_groups[0]["params"][0].grad.zero_()
    gradients = [p.grad.clone() for p in optimizer.param_groups[0]["params"]]
    applied = applied_gradients(optimizer)
    assert_same_bits([p.grad for p in optimizer.param_groups[0]["params"]], gradients)
    assert not applied[0].any()
    assert all(bool(torch.isfinite(a).all()) for a in applied)


def test_all_gradients_zero():
    for clip in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}):
        weight, optimizer = one_weight(lr=1.0, **clip)
        weight.grad.zero_()
        optimizer.step()
        assert weight.item() == 0.0


def test_an_infinite_global_norm_makes_all_weights_nan_as_in_keras():
    optimizer = SGD(parameters(), global_clipnorm=1.0)
    set_gradients(optimizer, 0)
    optimizer.param_groups[0]["params"][1].grad[3] = math.inf
    optimizer.step()
    assert all(bool(torch.isnan(w).all()) for w in weights(optimizer))


@pytest.mark.parametrize("clip", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}])
def test_half_precision_norms_do_not_overflow(clip):
    weight = torch.nn.Parameter(torch.zeros(9, dtype=torch.float16))
    weight.grad = torch.full((9,), 200.0, dtype=torch.float16)
    SGD([weight], lr=1.0, **clip).step()
    assert weight.tolist() == [float(np.float16(-1 / 3))] * 9


# --- decay and the rate -------------------------------------------------------------------------


@pytest.mark.parametrize("keras_version", ["2.3.1", "2.4", "2.15"])
@pytest.mark.parametrize(("lr", "decay"), [(0.1, 0.001), (0.01, 1e-6), (0.5, 0.3), (3e-4, 7.0)])
def test_decay_is_time_based_decay(lr, decay, keras_version):
    weight, optimizer = one_weight(lr=lr, decay=decay, keras_version=keras_version)
    expected = TimeBasedDecay(lr, decay, keras_version=keras_version)
    for update in range(300):
        with torch.no_grad():
            weight.zero_()
        optimizer.step()
        assert optimizer.learning_rates_used == [-weight.item()] == [expected(update)]
        assert optimizer.param_groups[0]["lr"] == lr


def test_decay_acts_on_top_of_a_scheduler():
    _, optimizer = one_weight(lr=0.5, decay=0.25)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    used = []
    for _ in range(5):
        optimizer.step()
        scheduler.step()
        used += optimizer.learning_rates_used
    base = [0.5, 0.5, 0.25, 0.25, 0.125]
    divided = [np.float32(lr) / np.float32(1 + 0.25 * k) for k, lr in enumerate(base)]
    assert used == [float(x) for x in divided]
    assert scheduler.get_last_lr() == [0.125]


def test_a_negative_decay_of_an_old_keras_is_ignored_with_a_warning():
    with pytest.warns(UserWarning, match="is negative"):
        _, optimizer = one_weight(lr=0.5, decay=-0.5, keras_version="2.3.1")
    optimizer.step()
    optimizer.step()
    assert optimizer.learning_rates_used == [0.5]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rate_is_rounded_to_float32_then_to_the_dtype(dtype):
    weight = torch.nn.Parameter(torch.zeros((), dtype=dtype))
    weight.grad = torch.ones((), dtype=dtype)
    optimizer = SGD([weight], lr=0.1)
    optimizer.step()
    single = float(np.float32(0.1))
    assert optimizer.learning_rates_used == [single]
    assert -weight.item() == torch.tensor(single, dtype=torch.float64).to(dtype).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tensor_rate_is_read_live_and_never_replaced(dtype):
    lr = torch.tensor(0.5, dtype=dtype)
    weight, optimizer = one_weight(lr=lr)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    for expected in (0.5, 0.25, 0.125):
        optimizer.step()
        scheduler.step()
        assert optimizer.learning_rates_used == [expected]
    assert optimizer.param_groups[0]["lr"] is lr
    lr.fill_(2.0)
    with torch.no_grad():
        weight.zero_()
    optimizer.step()
    assert weight.item() == -2.0


def test_integers_become_floats():
    _, optimizer = one_weight(lr=1, momentum=1, decay=0, weight_decay=0, clipvalue=2)
    group = optimizer.param_groups[0]
    assert all(type(group[name]) is float for name in ("lr", "momentum", "decay", "clipvalue"))


# --- the count of updates -----------------------------------------------------------------------


def test_a_step_without_gradients_is_no_update():
    weight, optimizer = one_weight(lr=0.5, decay=1.0)
    weight.grad = None
    optimizer.step()
    assert optimizer.iterations == 0
    assert math.isnan(optimizer.learning_rates_used[0])
    weight.grad = torch.ones(())
    optimizer.step()
    assert (optimizer.iterations, optimizer.learning_rates_used) == (1, [0.5])


def test_groups_added_later_share_the_count():
    _, optimizer = one_weight(lr=0.5, decay=1.0, global_clipnorm=9.0)
    optimizer.step()
    late = torch.nn.Parameter(torch.zeros(()))
    optimizer.add_param_group({"params": [late], "iterations": 77})
    assert [group["iterations"] for group in optimizer.param_groups] == [1, 1]
    assert optimizer.param_groups[1]["global_clipnorm"] == 9.0
    late.grad = torch.ones(())
    optimizer.step()
    assert optimizer.learning_rates_used == [0.25, 0.25]
    assert [group["iterations"] for group in optimizer.param_groups] == [2, 2]
    assert all(type(group["iterations"]) is int for group in optimizer.param_groups)


def reloaded(state_dict):
    buffer = io.BytesIO()
    torch.save(state_dict, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("options", RULES, ids=str)
def test_resume_at_every_step(options):
    uninterrupted = SGD(parameters(), **options)
    drive(uninterrupted, range(12))
    for stop in range(12):
        first = SGD(parameters(), **options)
        drive(first, range(stop))
        second = SGD(parameters(seed=9), **options)
        with torch.no_grad():
            for parameter, value in zip(
                second.param_groups[0]["params"], weights(first), strict=True
            ):
                parameter.copy_(value)
        second.load_state_dict(reloaded(first.state_dict()))
        assert second.iterations == stop
        drive(second, range(stop, 12))
        assert_same_bits(weights(second), weights(uninterrupted))
        assert second.learning_rates_used == uninterrupted.learning_rates_used


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.deepcopy,
        lambda optimizer: pickle.loads(pickle.dumps(optimizer)),
    ],
    ids=["deepcopy", "pickle"],
)
def test_copies_continue(duplicate):
    optimizer = SGD(parameters(), momentum=0.9, decay=0.1, clipnorm=1.0)
    drive(optimizer, range(3))
    twin = duplicate(optimizer)
    assert twin.iterations == 3
    for each in (optimizer, twin):
        drive(each, range(3, 6))
    assert_same_bits(weights(twin), weights(optimizer))
    assert repr(twin) == repr(optimizer)


def test_a_state_with_missing_entries_takes_the_constructors():
    optimizer = SGD(parameters(), momentum=0.9, decay=0.1)
    drive(optimizer, range(3))
    state = optimizer.state_dict()
    for name in list(state["param_groups"][0]):
        if name not in ("params", "lr", "iterations"):
            del state["param_groups"][0][name]
    other = SGD(parameters(), momentum=0.9, decay=0.1)
    other.load_state_dict(state)
    assert other.param_groups[0]["decay"] == 0.1
    drive(other, range(3, 5))
    assert other.iterations == 5


def test_the_state_of_torchs_sgd_is_refused_before_it_overwrites_an_option():
    optimizer = SGD(parameters(), momentum=0.5, nesterov=True)
    with pytest.raises(ValueError, match=r"torch\.optim\.SGD"):
        optimizer.load_state_dict(torch.optim.SGD(parameters()).state_dict())
    assert optimizer.param_groups[0]["momentum"] == 0.5
    assert "dampening" not in optimizer.param_groups[0]


def test_a_schedule_is_no_learning_rate():
    with pytest.raises(TypeError, match="ScheduleLR"):
        SGD(parameters(), lr=CosineDecay(0.1, 10))


def test_the_momentum_of_torch_is_refused():
    other = torch.optim.SGD(parameters(), lr=0.1, momentum=0.9)
    set_gradients(other, 0)
    other.step()
    with pytest.raises(ValueError, match=r"momentum_buffer.*velocity"):
        SGD(parameters(), momentum=0.9).load_state_dict(other.state_dict())


# --- one by one or many per call ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", RULES, ids=str)
def test_foreach_has_the_same_bits(options, dtype):
    results = []
    for foreach in (None, True, False):
        optimizer = SGD(parameters(dtype), foreach=foreach, **options)
        drive(optimizer, range(20))
        results.append(weights(optimizer))
    assert all(bool(torch.isfinite(w).all()) for w in results[0])
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


@pytest.mark.parametrize("options", RULES, ids=str)
def test_one_group_may_mix_dtypes_and_layouts(options):
    def mixed():
        strided = torch.nn.Parameter(torch.randn(6, 4, generator=torch.Generator()).t())
        return [*parameters(torch.float64), *parameters(), *parameters(torch.bfloat16), strided]

    results = []
    for foreach in (None, False):
        optimizer = SGD(mixed(), foreach=foreach, **options)
        drive(optimizer, range(5))
        results.append(weights(optimizer))
    assert_same_bits(*results)


class Tagged(torch.Tensor):
    """A tensor subclass, which the many-per-call functions need not know."""


def test_a_tensor_subclass_goes_one_by_one():
    plain = parameters()[0]
    tagged = torch.nn.Parameter(plain.detach().clone().as_subclass(Tagged))
    optimizers = [SGD([p], momentum=0.9, clipnorm=1.0) for p in (plain, tagged)]
    for optimizer in optimizers:
        drive(optimizer, range(5))
    assert torch.equal(plain, tagged.as_subclass(torch.Tensor))


# --- how torch's parts use it -------------------------------------------------------------------


def test_closure():
    weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = SGD([weight], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert weight.item() == 0.0
    assert optimizer.step() is None


def test_grad_scaler_skips_what_is_not_finite():
    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = SGD([weight], lr=0.5, decay=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for factor in (1.0, math.inf, 1.0):
        optimizer.zero_grad()
        scaler.scale(weight * factor).backward()
        scaler.step(optimizer)
        scaler.update()
    assert (optimizer.iterations, weight.item()) == (2, -0.75)


def test_schedulers_work_without_warnings():
    _, optimizer = one_weight(lr=1.0)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=9),
            torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5),
        ],
        milestones=[2],
    )
    used = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            optimizer.step()
            scheduler.step()
            used += optimizer.learning_rates_used
    assert used == [0.5, 0.5, 1.0, 0.5]


def test_hooks_and_named_parameters():
    layer = torch.nn.Linear(2, 1)
    optimizer = SGD(layer.named_parameters(), lr=0.1, momentum=0.9)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(optimizer.iterations))
    set_gradients(optimizer, 0)
    optimizer.step()
    assert calls == [1]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": -0.1}, ValueError, r"`lr` must be >= 0.*lr=-0.1.*negate the loss"),
        ({"lr": math.nan}, ValueError, r"`lr` must be a number"),
        ({"lr": math.inf}, ValueError, r"`lr` must be finite"),
        ({"lr": 1e39}, ValueError, r"`lr` must be finite"),
        ({"lr": True}, TypeError, r"`lr` must be a real number.*lr=True.*Python float"),
        ({"lr": "0.1"}, TypeError, r"`lr` must be a real number.*lr='0.1'"),
        ({"lr": None}, TypeError, r"`lr` must be a real number"),
        ({"lr": torch.tensor([0.1])}, ValueError, r"`lr` must be .*0-d float.*torch.tensor"),
        ({"lr": torch.tensor(1)}, ValueError, r"`lr` must be .*0-d float.*torch.tensor"),
        ({"lr": torch.tensor(-1.0)}, ValueError, r"`lr` must be >= 0"),
        ({"lr": torch.tensor(math.nan)}, ValueError, r"`lr` must be a number"),
        ({"momentum": -0.1}, ValueError, r"`momentum` must be from 0 to 1.*momentum=-0.1"),
        ({"momentum": 1.1}, ValueError, r"`momentum` must be from 0 to 1.*momentum=1.1"),
        ({"momentum": math.nan}, ValueError, r"`momentum` must be a number"),
        ({"momentum": True}, TypeError, r"`momentum` must be a real number"),
        ({"nesterov": "yes"}, TypeError, r"`nesterov` must be True or False"),
        ({"decay": -0.1}, ValueError, r"`decay` must not be negative.*InverseTimeDecay"),
        ({"decay": math.nan}, ValueError, r"`decay` must be a number"),
        ({"decay": "fast"}, TypeError, r"`decay` must be a real number"),
        ({"weight_decay": -1.0}, ValueError, r"`weight_decay` must be >= 0.*-1.0.*None"),
        ({"clipnorm": 0}, ValueError, r"`clipnorm` must be > 0.*clipnorm=0.*None"),
        ({"clipvalue": -1}, ValueError, r"`clipvalue` must be > 0.*None"),
        ({"clipvalue": math.nan}, ValueError, r"`clipvalue` must be a number"),
        ({"global_clipnorm": math.inf}, ValueError, r"`global_clipnorm` must be finite"),
        ({"global_clipnorm": False}, TypeError, r"`global_clipnorm` must be a real number"),
        ({"clipnorm": 1, "clipvalue": 2}, ValueError, r"Only one of .*'clipnorm': 1.0.*None"),
        ({"keras_version": "3.15"}, ValueError, r"`keras_version`.*InverseTimeDecay"),
        ({"foreach": "fast"}, TypeError, r"`foreach` must be True or False"),
    ],
    ids=str,
)
def test_bad_options(options, error, message):
    for build in (
        lambda: SGD(parameters(), **options),
        lambda: SGD([{"params": parameters(), **options}]),
    ):
        with pytest.raises(error, match=message):
            build()


def test_a_bad_group_is_not_added():
    optimizer = SGD(parameters(), clipnorm=1.0)
    for group, error in (
        ({"momentum": 2}, ValueError),
        ({"clipvalue": 1.0}, ValueError),
        ({"clipnorm": None, "global_clipnorm": 1.0}, ValueError),
    ):
        with pytest.raises(error):
            optimizer.add_param_group({"params": parameters(seed=1), **group})
    with pytest.raises(TypeError, match=r"complex.*view_as_real"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2) + 1j)]})
    assert len(optimizer.param_groups) == 1
    drive(optimizer, range(2))


def test_global_clipnorm_is_one_for_all_groups():
    first, second = parameters()[:2]
    with pytest.raises(ValueError, match=r"one for all groups.*1.0 in a group, None before"):
        SGD([{"params": [first], "global_clipnorm": 1.0}, {"params": [second]}])
    with pytest.raises(ValueError, match=r"one for all groups.*2.0 in a group, 1.0 before"):
        SGD([{"params": [first]}, {"params": [second], "global_clipnorm": 2}], global_clipnorm=1)


def test_sparse_gradients_are_refused_before_anything_changes():
    table = torch.nn.Embedding(4, 2, sparse=True)
    dense = torch.nn.Parameter(torch.zeros(()))
    optimizer = SGD([dense, table.weight], lr=0.5)
    (table(torch.tensor([1])).sum() + dense).backward()
    with pytest.raises(TypeError, match=r"dense gradients.*\(4, 2\).*sparse=False"):
        optimizer.step()
    assert (dense.item(), optimizer.iterations) == (0.0, 0)
    table.weight.grad = table.weight.grad.to_dense()
    optimizer.step()
    assert dense.item() == -0.5


def test_a_mistake_in_params_is_torchs_own_error():
    with pytest.raises(ValueError, match="empty parameter list"):
        SGD([])
    with pytest.raises(TypeError, match="must be a dict"):
        SGD(parameters()).add_param_group(parameters(seed=1))
