"""Param groups by names: who is in which, and what drives their rates."""

from __future__ import annotations

import io

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from bits import assert_same_bits
from lightning_side import make_trainer
from lrparity import callbacks
from lrparity.lr_scheduler import (
    CosineDecayLR,
    EpochFunctionLR,
    LossDrivenLR,
    ReduceLROnPlateau,
    ScheduleHyperparameter,
    ScheduleLR,
)
from lrparity.optim import SGD, layer_decay, param_groups
from lrparity.schedules import CosineDecay, FunctionSchedule, PolynomialDecay, Product

SCHEDULE = CosineDecay(0.1, 30)


class Transformer(torch.nn.Module):
    """As far as names go."""

    def __init__(self, blocks=12, tied=False) -> None:
        super().__init__()
        self.position = torch.nn.Parameter(torch.zeros(1))
        self.embed = torch.nn.Embedding(5, 4)
        self.blocks = torch.nn.ModuleList()
        for _ in range(blocks):
            block = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
            block.norm = torch.nn.LayerNorm(4)
            self.blocks.append(block)
        self.norm = torch.nn.LayerNorm(4)
        self.head = torch.nn.Linear(4, 5, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x):
        x = self.embed(x) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def by_name(module, groups):
    """Which group each parameter is in."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {names[id(one)]: group for group in groups for one in group["params"]}


def scales(module, *arguments, **options):
    groups = param_groups(module, *arguments, **options)
    return {name: group["lr_scale"] for name, group in by_name(module, groups).items()}


# --- who is in which ---------------------------------------------------------------------------------


def test_the_first_that_fits_wins_and_each_is_in_one():
    module = Transformer(3)
    groups = param_groups(
        module,
        {"blocks.1": 0.5, "*.bias": 2.0, "blocks": 0.25, "e?bed": 0.1, "head.weight": 10},
        default=0.75,
    )
    assert [group["name"] for group in groups] == [
        "blocks.1", "*.bias", "blocks", "e?bed", "head.weight", "default",
    ]  # fmt: skip
    found = by_name(module, groups)
    assert sorted(found) == sorted(name for name, _ in module.named_parameters())
    assert sum(len(group["params"]) for group in groups) == len(found)
    expected = {
        "blocks.1.0.weight": 0.5,
        "blocks.1.norm.bias": 0.5,
        "blocks.0.norm.bias": 2.0,
        "blocks.2.0.weight": 0.25,
        "norm.bias": 2.0,
        "norm.weight": 0.75,
        "position": 0.75,
        "embed.weight": 0.1,
        "head.weight": 10.0,
    }
    assert {name: found[name]["lr_scale"] for name in expected} == expected
    assert all(type(group["lr_scale"]) is float for group in groups)
    assert not any("weight_decay" in group or "lr" in group for group in groups)


def test_a_pattern_is_whole_parts_of_a_name():
    module = torch.nn.Module()
    module.encoder, module.encoder2 = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert scales(module, {"encoder": 0.5})["encoder2.weight"] == 1.0
    assert scales(module, {"encoder*": 0.5})["encoder2.weight"] == 0.5


def test_without_patterns_there_is_one_group():
    (group,) = param_groups(Transformer(2))
    assert (group["name"], group["lr_scale"]) == ("default", 1.0)


def test_a_module_called_default():
    module = torch.nn.Module()
    module.default, module.other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert [g["name"] for g in param_groups(module, {"default": 0.5})] == ["default", "all others"]


def test_shared_parameters_are_in_one_group_by_any_of_their_names():
    module = Transformer(1, tied=True)
    assert scales(module, {"embed": 0.1})["embed.weight"] == 0.1
    assert scales(module, {"head": 0.2})["embed.weight"] == 0.2
    with pytest.raises(
        ValueError, match=r"taken by \['embed'\], which come before.*Write 'head' f"
    ):
        param_groups(module, {"embed": 0.1, "head": 0.2})


def test_weight_decay_spares_some():
    module = Transformer(2)
    groups = param_groups(
        module, {"blocks": 0.5}, exclude_from_weight_decay=["*.bias", "*norm*", "position"]
    )
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.05)
    assert [(g["name"], g["lr_scale"], g["weight_decay"]) for g in optimizer.param_groups] == [
        ("blocks", 0.5, 0.05),
        ("blocks/no_weight_decay", 0.5, 0.0),
        ("default", 1.0, 0.05),
        ("default/no_weight_decay", 1.0, 0.0),
    ]
    found = by_name(module, optimizer.param_groups)
    for name, group in found.items():
        spared = name.endswith("bias") or "norm" in name or name == "position"
        assert (group["weight_decay"] == 0.0) is spared, name
    decay = ScheduleHyperparameter(
        optimizer, "weight_decay", PolynomialDecay(0.05, 10), groups=["blocks", "default"]
    )
    decay.step()
    value = PolynomialDecay(0.05, 10)(1)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [value, 0.0, value, 0.0]


REFUSED = [
    ({"lr_scales": {"block": 0.5}}, ValueError, r"no parameter is called 'block'.*'blocks'"),
    ({"lr_scales": {"qqq": 0.5}}, ValueError, r"There are \['position', 'embed.weight'.*more"),
    ({"lr_scales": {"blocks": 0.5, "blocks.0": 1}}, ValueError, r"taken by \['blocks'\]"),
    ({"lr_scales": {"blocks": -0.5}}, ValueError, "must be >= 0"),
    ({"lr_scales": {"blocks": float("nan")}}, ValueError, "blocks"),
    ({"lr_scales": {"blocks": "0.5"}}, TypeError, "real number"),
    ({"lr_scales": {"": 0.5}}, TypeError, "lr_scales"),
    ({"lr_scales": {3: 0.5}}, TypeError, "lr_scales"),
    ({"lr_scales": ["blocks"]}, TypeError, "a mapping from patterns"),
    ({"default": -1}, ValueError, "default"),
    ({"exclude_from_weight_decay": "*.bia"}, ValueError, r"no parameter is called '\*.bia'"),
    ({"exclude_from_weight_decay": [3]}, TypeError, "exclude_from_weight_decay"),
    ({"lr": "fast"}, TypeError, "lr"),
    ({"module": [1]}, TypeError, "torch.nn.Module"),
    ({"module": torch.nn.ReLU()}, ValueError, "has no parameters"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), REFUSED)
def test_what_is_refused_and_why(arguments, error, words):
    with pytest.raises(error, match=words):
        param_groups(**{"module": Transformer(2)} | arguments)


# --- layer-wise decay --------------------------------------------------------------------------------


def test_layer_decay_counts_from_the_head():
    module = Transformer(12)
    made = layer_decay(module, 0.75, [["embed", "position"], "blocks.*"])
    assert made == {"embed": 0.75**13, "position": 0.75**13} | {
        f"blocks.{i}": 0.75 ** (12 - i) for i in range(12)
    }
    assert list(made)[2:4] == ["blocks.0", "blocks.1"]  # and not 0, 1, 10, 11, 2
    found = scales(module, made)
    assert found["blocks.11.0.weight"] == 0.75
    assert found["norm.weight"] == found["head.weight"] == 1.0
    mixed = scales(module, {"blocks.3.norm": 5.0} | made)
    assert (mixed["blocks.3.norm.bias"], mixed["blocks.3.0.bias"]) == (5.0, 0.75**9)


def test_a_layer_without_parameters_is_none():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2))
    assert layer_decay(module, 0.5, ["*"]) == {"0": 0.25, "2": 0.5}


@pytest.mark.parametrize(
    ("layers", "decay", "error", "words"),
    [
        (["embde"], 0.5, ValueError, r"no parameter is called 'embde'.*'embed'"),
        (["layers.*"], 0.5, ValueError, r"no parameter is called 'layers.\*'"),
        (["embed", "embed"], 0.5, ValueError, "twice"),
        (["blocks.0", "blocks.*"], 0.5, ValueError, "'blocks.0' twice"),
        (["embed"], 0.0, ValueError, "decay"),
        ("embed", 0.5, TypeError, "a list of names"),
        ([], 0.5, TypeError, "a list of names"),
        ([[3]], 0.5, TypeError, r"layers\[0\]"),
    ],
)
def test_what_layer_decay_refuses(layers, decay, error, words):
    with pytest.raises(error, match=words):
        layer_decay(Transformer(2), decay, layers)


# --- what drives them --------------------------------------------------------------------------------


def optimizer_of(module, kind=torch.optim.SGD, **options):
    made = layer_decay(module, 0.75, ["embed", "blocks.*"])
    return kind(param_groups(module, {"position": 0.3} | made, **options), lr=7.0)


def held(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def expected(optimizer, rate):
    return [
        float(np.float32(rate) * np.float32(group["lr_scale"])) for group in optimizer.param_groups
    ]


def test_the_product_is_rounded_once_as_tensorflow_rounds_it():
    """lr * decay_factor of tf-models' ViT optimizer: a float32 tensor times a Python float."""
    optimizer = optimizer_of(Transformer(12))
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    differs = 0
    for k in range(30):
        assert_same_bits(held(optimizer), expected(optimizer, SCHEDULE(k)), context=k)
        beforehand = [CosineDecay(0.1 * g["lr_scale"], 30)(k) for g in optimizer.param_groups]
        differs += sum(a != b for a, b in zip(held(optimizer), beforehand, strict=True))
        optimizer.step()
        scheduler.step()
    assert differs > 50  # an optimizer per layer, whose rate was multiplied beforehand


def test_a_plateau_over_a_schedule():
    optimizer = optimizer_of(Transformer(2))
    schedule = ScheduleLR(optimizer, SCHEDULE)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    for k in range(8):
        rate = np.float32(SCHEDULE(k)) * np.float32(0.5 ** max(k - 1, 0))
        assert_same_bits(held(optimizer), expected(optimizer, rate), context=k)
        optimizer.step()
        schedule.step()
        plateau.step(1.0)


def test_each_groups_own_rate_is_the_one_that_is_scaled():
    optimizer = optimizer_of(Transformer(2))
    CosineDecayLR(optimizer, decay_steps=10)
    assert_same_bits(held(optimizer), expected(optimizer, 7.0))


def test_rates_that_are_there_for_what_has_no_schedule():
    module = Transformer(2)

    def make():
        return optimizer_of(module, lr=0.1)

    optimizer = make()
    assert_same_bits(held(optimizer), expected(optimizer, 0.1))
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    optimizer.step()
    for _ in range(4):
        plateau.step(1.0)
    assert_same_bits(np.float32(held(optimizer)) / np.float32(0.125), expected(make(), 0.1))
    optimizer = make()
    by_epoch = EpochFunctionLR(optimizer, lambda epoch, lr: 0.1 * 0.5**epoch)
    optimizer.step()
    by_epoch.step()
    assert_same_bits(held(optimizer), expected(optimizer, 0.05))
    optimizer = make()
    by_loss = LossDrivenLR(optimizer, 0.01)
    optimizer.step()
    by_loss.step(0.0)
    assert_same_bits(held(optimizer), expected(optimizer, 0.01))


def test_a_multiplier_that_is_a_function_of_the_step():
    """keras-lr-multiplier: {"Dense": lambda t: 2 - min(1.9, t * 1e-4)}, and constants beside it."""
    module = Transformer(1)
    optimizer = torch.optim.SGD(param_groups(module, {"embed": 1.0, "blocks": 0.5}), lr=1.0)

    def thawing(t):
        return 2 - min(1.9, t * 1e-1)

    schedules = [Product([SCHEDULE, FunctionSchedule(thawing)]), SCHEDULE, SCHEDULE]
    scheduler = ScheduleLR(optimizer, schedules)
    for k in range(25):
        first = np.float32(float(np.float32(SCHEDULE(k))) * thawing(k))
        half = np.float32(SCHEDULE(k)) * np.float32(0.5)
        assert_same_bits(held(optimizer), [first, half, SCHEDULE(k)], context=k)
        optimizer.step()
        scheduler.step()


def batch(module):
    return module(torch.arange(5)).square().mean()


def test_frozen_layers_stand_still_and_thaw_with_their_own_rate():
    torch.manual_seed(0)
    module = Transformer(2)
    for parameter in module.embed.parameters():
        parameter.requires_grad_(False)
    optimizer = optimizer_of(module, SGD)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    before = module.embed.weight.detach().clone()
    for k in range(6):
        if k == 3:
            assert torch.equal(module.embed.weight, before)
            module.embed.requires_grad_(True)
        optimizer.zero_grad()
        batch(module).backward()
        optimizer.step()
        if k == 3:
            (group,) = [one for one in optimizer.param_groups if one["name"] == "embed"]
            rate = float(np.float32(SCHEDULE(3)) * np.float32(0.75**3))
            assert group["lr"] == rate
            step = module.embed.weight.grad * torch.tensor(rate)
            assert torch.equal(module.embed.weight, before - step)
        scheduler.step()
    assert not torch.equal(module.embed.weight, before)


def test_resume():
    def make(decay=0.75):
        module = Transformer(2)
        groups = param_groups(module, layer_decay(module, decay, ["embed", "blocks.*"]))
        optimizer = torch.optim.AdamW(groups, lr=1.0)
        return optimizer, ScheduleLR(optimizer, SCHEDULE)

    optimizer, scheduler = make()
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    resumed, other = make()
    resumed.load_state_dict(states[0])
    other.load_state_dict(states[1])
    assert held(resumed) == held(optimizer)
    resumed.step()
    other.step()
    assert_same_bits(held(resumed), expected(resumed, SCHEDULE(6)))
    with pytest.raises(ValueError, match="lr_scale of group 0"):
        make(0.5)[1].load_state_dict(states[1])


class Module(pl.LightningModule):
    def __init__(self, decay=0.75) -> None:
        super().__init__()
        self.network, self.decay, self.rates = Transformer(2), decay, []

    def configure_optimizers(self):
        scales = layer_decay(self.network, self.decay, ["embed", "blocks.*"])
        optimizer = SGD(param_groups(self.network, scales), lr=1.0)
        optimizer.register_step_pre_hook(lambda one, *_: self.rates.append(held(one)))
        return optimizer

    def training_step(self, batch_of, batch_idx):
        return batch(self.network)

    def train_dataloader(self):
        return torch.utils.data.DataLoader([torch.ones(())] * 5, batch_size=None)


def test_in_lightning_with_names_and_resume(tmp_path):
    logger = pl.loggers.CSVLogger(tmp_path, "", "")
    module, monitor = Module(), pl.callbacks.LearningRateMonitor("step")
    trainer = make_trainer(
        [callbacks.ScheduleLR(SCHEDULE), monitor],
        max_epochs=2,
        logger=logger,
        log_every_n_steps=1,
    )
    trainer.fit(module)
    trainer.save_checkpoint(path := tmp_path / "two.ckpt")
    names = {"lr-SGD/embed", "lr-SGD/blocks.0", "lr-SGD/blocks.1", "lr-SGD/default"}
    assert monitor.lrs.keys() == names
    resumed = Module()
    make_trainer([callbacks.ScheduleLR(SCHEDULE)]).fit(resumed, ckpt_path=path)
    factors = np.float32([0.75**3, 0.75**2, 0.75, 1.0])
    rates = SCHEDULE(np.arange(15))[:, None] * factors
    assert_same_bits(np.concatenate([module.rates, resumed.rates]).ravel(), rates.ravel())
    with pytest.raises(ValueError, match=r"lr_scale=0\.421875 in param group 0 of 'SGD'"):
        make_trainer([callbacks.ScheduleLR(SCHEDULE)]).fit(Module(0.5), ckpt_path=path)
