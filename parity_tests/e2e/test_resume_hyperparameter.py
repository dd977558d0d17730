"""Resume under ``ScheduleHyperparameter`` from any save: each value is that of the whole training.

What each real update used is written down by the module, which asks nothing of lrparity's.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from bits import assert_same_bits
from lightning_side import TinyTraining, make_trainer
from lrparity.schedules import CosineDecay, CyclicLR, StepDecay
from resume_side import (
    BETWEEN_OPTIMIZERS,
    DROPS_AN_EPOCH,
    HOOKS,
    IGNORED,
    TRIGGERS,
    Saver,
)

pytestmark = [*IGNORED, pytest.mark.usefixtures("one_thread_and_own_signals")]

RATE = CosineDecay(0.1, 40)
DECAY = CosineDecay(1e-2, 25, alpha=0.1)
DAMPING = CyclicLR(0.95, 0.85, 4)
PER_EPOCH = StepDecay(0.5, 0.5, 1)

HOUSES = {
    "lightning.pytorch": "lrparity.callbacks.lightning_pytorch",
    "pytorch_lightning": "lrparity.callbacks.pytorch_lightning",
}


class NotedTraining(TinyTraining):
    """Tiny, with what two more entries held at each update; at weights of 0 neither changes a rate."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.held: list[tuple[float, float]] = []

    def note_if_moved(self, i: int, optimizer: Any) -> None:
        (group,) = optimizer.param_groups
        held, before = (group["weight_decay"], group["dampening"]), len(self.updates)
        super().note_if_moved(i, optimizer)
        if len(self.updates) > before:
            self.held.append(held)


MODULES = {
    house: type("Noted", (NotedTraining, importlib.import_module(house).LightningModule), {})
    for house in HOUSES
}


def by_number(update: Any) -> tuple[float, float]:
    return DECAY(update.number), DAMPING(update.number)


def by_epoch(update: Any) -> tuple[float, float]:
    return PER_EPOCH(update.epoch), DAMPING(update.number)


def by_batch(update: Any) -> tuple[float, float]:
    return DECAY(update.batch), DAMPING(update.number)


@dataclass(frozen=True)
class Case:
    """A way to train, and what its updates use."""

    value: Any = by_number
    schedule: Any = DECAY
    options: dict[str, Any] = field(default_factory=dict)
    module: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    other_after: tuple[str, ...] = (DROPS_AN_EPOCH,)
    house: str = "lightning.pytorch"

    def fit(self, ckpt_path: Path | None = None, more: Any = (), **trainer: Any) -> Any:
        ours = importlib.import_module(HOUSES[self.house])
        callbacks = [
            ours.ScheduleHyperparameter("weight_decay", self.schedule, **self.options),
            ours.ScheduleLR(RATE),
            ours.ScheduleHyperparameter("dampening", DAMPING),
        ]
        module = MODULES[self.house](**self.module)
        house = importlib.import_module(self.house)
        made = make_trainer([*callbacks, *more], house=house, **self.trainer | trainer)
        made.fit(module, ckpt_path=ckpt_path)
        return module


TWICE = {"accumulate_grad_batches": 2}
CASES = {
    "update": Case(),
    "update, accumulated": Case(trainer=TWICE),
    "epoch": Case(by_epoch, PER_EPOCH),
    "micro-batch": Case(by_batch, options={"count": "micro_batch"}, trainer=TWICE),
    "manual, two optimizers": Case(
        module={"optimizers": 2, "manual": True},
        other_after=(DROPS_AN_EPOCH, BETWEEN_OPTIMIZERS),
    ),
    "AMP": Case(module={"overflows": (1, 2, 4)}, trainer={"amp": True}),
    "the other Lightning": Case(house="pytorch_lightning"),
}


def check(case: Case, module: Any, context: object) -> None:
    """Every value, and every rate beside it, is what the schedules say for its update."""
    for one in range(len(module.done)):
        numbers = [update.number for update in module.updates if update.optimizer == one]
        assert numbers == list(range(module.done_before[one], module.done[one])), context
    expected = [case.value(update) for update in module.updates]
    for i in range(2):
        assert_same_bits(
            [held[i] for held in module.held], [pair[i] for pair in expected], context=context
        )
    rates = [RATE(update.number) for update in module.updates]
    assert_same_bits([update.rates[0] for update in module.updates], rates, context=context)


@pytest.mark.parametrize("name", CASES)
def test_a_save_in_any_hook(name, chosen, tmp_path):
    case = CASES[name]
    house = importlib.import_module(case.house)
    saver = type("HouseSaver", (Saver, house.Callback), {})(tmp_path, "last")
    whole = case.fit(more=[saver], num_sanity_val_steps=1)
    check(case, whole, "uninterrupted")
    assert whole.updates
    hooks = {path.name.split()[0] for path in tmp_path.glob("*.ckpt")}
    assert hooks >= set(HOOKS) - {"on_before_zero_grad"}
    for hook in sorted(hooks):
        for path in chosen(tmp_path.glob(f"{hook} *.ckpt"), 1):
            resumed = case.fit(path)
            check(case, resumed, path.name)
            if hook not in case.other_after:
                before = resumed.done_before
                rest = [one for one in whole.updates if one.number >= before[one.optimizer]]
                assert resumed.updates == rest, path.name


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("name", ["update", "epoch", "AMP"])
def test_model_checkpoint(name, trigger, chosen, tmp_path):
    case = CASES[name]
    saver = ModelCheckpoint(tmp_path, "{epoch}-{step}", save_top_k=-1, **TRIGGERS[trigger])
    whole = case.fit(more=[saver])
    check(case, whole, "uninterrupted")
    for path in chosen(tmp_path.glob("*.ckpt"), 2):
        resumed = case.fit(path)
        check(case, resumed, path.name)
        assert resumed.updates == whole.updates[resumed.done_before[0] :], path.name


def test_one_update_too_few_is_noticed(tmp_path):
    """Negative control: the checks above can fail."""
    ours = importlib.import_module(HOUSES["lightning.pytorch"])

    class ForgetsOne(ours.ScheduleHyperparameter):
        def state_dict(self) -> dict[str, Any]:
            state = super().state_dict()
            for one in state["optimizers"].values():
                one["updates"] = max(one["updates"] - 1, 0)
            return state

    saver = ModelCheckpoint(tmp_path, every_n_train_steps=7)
    module = MODULES["lightning.pytorch"]()
    make_trainer([ForgetsOne("weight_decay", DECAY), saver], max_epochs=2).fit(module)
    (path,) = tmp_path.glob("*.ckpt")
    resumed = MODULES["lightning.pytorch"]()
    trainer = make_trainer([ForgetsOne("weight_decay", DECAY)])
    trainer.fit(resumed, ckpt_path=path)
    first = resumed.updates[0].number
    assert isinstance(trainer, pl.Trainer)
    assert resumed.held[0][0] == DECAY(first - 1) != DECAY(first)
