"""``ScheduleLR`` under real Lightning trainers: exact where it is right, refused where it is not."""

from __future__ import annotations

import copy
import gc
import importlib
import itertools
import math
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torch_lr

from bits import assert_same_bits
from lightning_side import QUIET
from lrparity.lr_scheduler import CosineDecayLR, ScheduleLR, _schedule_lr
from lrparity.schedules import CosineDecay, ExponentialDecay, FunctionSchedule, StepDecay
from registry import EXAMPLES, example_id

COSINE = CosineDecay(0.1, 17, alpha=0.01, warmup_target=0.4, warmup_steps=5)
PER_EPOCH = StepDecay(0.5, 0.25, 2)
MEND = r'lightning_config\(\).*"interval": "step"'


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request):
    return importlib.import_module(request.param)


class Unsized:
    """A loader whose end nobody knows; a list would be as many loaders."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter([torch.ones(2, 2)] * self.batches)


class Sized(Unsized):
    def __len__(self):
        return self.batches


def make_module(pl, configure, *, hooks=None, batches=5, manual=False):
    """A module that writes down the rate of each ``optimizer.step()``.

    Args:
        configure: from the optimizer to what ``configure_optimizers`` returns.
        hooks: methods that the module has besides.
        batches: of each epoch, or a function of the epoch, or a loader.
        manual: optimize by hand, without stepping any scheduler.
    """

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = not manual
            self.layer = torch.nn.Linear(2, 1)
            self.rates = []

        def training_step(self, batch, batch_idx):
            loss = self.layer(batch).square().mean()
            if manual:
                self.optimizers().zero_grad()
                self.manual_backward(loss)
                self.optimizers().step()
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            self.optimizer = optimizer
            optimizer.register_step_pre_hook(
                lambda stepped, *_: self.rates.append(stepped.param_groups[0]["lr"])
            )
            return configure(optimizer)

        def train_dataloader(self):
            many = batches(self.current_epoch) if callable(batches) else batches
            return Sized(many) if isinstance(many, int) else many

    for name, hook in (hooks or {}).items():
        setattr(Module, name, hook)
    return Module()


def make_trainer(pl, epochs=3, **options):
    return pl.Trainer(max_epochs=epochs, **QUIET | options)


def by_config(schedule=COSINE, **options):
    """The right thing."""

    def configure(optimizer):
        config = ScheduleLR(optimizer, schedule).lightning_config()
        return {"optimizer": optimizer, "lr_scheduler": config | options}

    return configure


def by_default(schedule=COSINE):
    """What everybody writes, and what LightningCLI does."""
    return lambda optimizer: ([optimizer], [ScheduleLR(optimizer, schedule)])


def scheduler_of(trainer):
    return trainer.lr_scheduler_configs[0].scheduler


def watching(scheduler) -> bool:
    return scheduler._watch is not None


# --- right ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batches", [1, 6, 7])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_every_update_has_its_rate(pl, accumulate, batches):
    module = make_module(pl, by_config(), batches=batches)
    trainer = make_trainer(pl, accumulate_grad_batches=accumulate)
    trainer.fit(module)
    updates = 3 * math.ceil(batches / accumulate)
    assert_same_bits(module.rates, COSINE(np.arange(updates)))
    assert scheduler_of(trainer).last_epoch == updates
    assert not watching(scheduler_of(trainer))
    assert scheduler_of(trainer)._fast_size > 0
    assert len(module.optimizer._optimizer_step_pre_hooks) == 1  # the test's own


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_every_named_class(pl, example):
    case, config = example
    units = []

    def configure(optimizer):
        scheduler = case.scheduler_on(optimizer, config)
        units.append(scheduler.lightning_config()["interval"])
        return {"optimizer": optimizer, "lr_scheduler": scheduler.lightning_config()}

    module = make_module(pl, configure, batches=4)
    make_trainer(pl).fit(module)
    per_update = units == ["step"]
    steps = np.arange(12) if per_update else np.repeat(np.arange(3), 4)
    assert_same_bits(module.rates, case.build(config)(steps))
    if not per_update:
        return
    wrong = make_module(pl, lambda o: ([o], [case.scheduler_on(o, config)]), batches=4)
    with pytest.raises(RuntimeError, match=f"4 updates.*{case.name}.*{MEND}"):
        make_trainer(pl).fit(wrong)


def test_the_first_steps_go_slowly_and_then_none(pl, monkeypatch):
    slow = []
    original = ScheduleLR._step_slowly
    monkeypatch.setattr(
        ScheduleLR, "_step_slowly", lambda self, epoch: slow.append(1) or original(self, epoch)
    )
    make_trainer(pl).fit(make_module(pl, by_config(), batches=20))
    assert len(slow) == 2  # the constructor's and the first


def test_a_sequence_of_schedulers(pl):
    def configure(optimizer):
        parts = [CosineDecayLR(optimizer, decay_steps=9), ScheduleLR(optimizer, COSINE)]
        sequence = torch_lr.SequentialLR(optimizer, parts, milestones=[8])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": sequence, "interval": "step"}}

    module = make_module(pl, configure)
    trainer = make_trainer(pl)
    trainer.fit(module)
    expected = [*CosineDecay(0.1, 9)(np.arange(8)), *COSINE(np.arange(7))]
    assert_same_bits(module.rates, expected)
    assert not any(map(watching, scheduler_of(trainer)._schedulers))


def test_a_frequency_written_by_hand_is_meant(pl):
    module = make_module(pl, by_config(frequency=2), batches=4)
    make_trainer(pl).fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(12) // 2))


def test_manual_optimization_steps_by_hand(pl):
    def training_step(self, batch, batch_idx):
        self.optimizers().zero_grad()
        self.manual_backward(self.layer(batch).square().mean())
        self.optimizers().step()
        self.lr_schedulers().step()

    module = make_module(pl, by_default(), manual=True, hooks={"training_step": training_step})
    trainer = make_trainer(pl)
    trainer.fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(15)))
    assert not watching(scheduler_of(trainer))


def test_a_loop_within_a_hook_is_no_epoch(pl):
    inner = []

    def on_train_epoch_end(self):
        weight = torch.nn.Parameter(torch.zeros(1))
        weight.grad = torch.ones(1)
        optimizer = torch.optim.SGD([weight], lr=0.1)
        scheduler = ScheduleLR(optimizer, COSINE)
        for _ in range(5):
            inner.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()

    hooks = {"on_train_epoch_end": on_train_epoch_end}
    make_trainer(pl, epochs=1).fit(make_module(pl, by_config(), hooks=hooks))
    assert_same_bits(inner, COSINE(np.arange(5)))


@pytest.mark.parametrize(("batches", "accumulate"), [(1, 1), (3, 3), (2, 5)])
def test_an_epoch_of_one_update_is_no_mistake(pl, batches, accumulate):
    module = make_module(pl, by_default(), batches=batches)
    trainer = make_trainer(pl, epochs=4, accumulate_grad_batches=accumulate)
    trainer.fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(4)))
    assert watching(scheduler_of(trainer))


# --- a schedule of the update, stepped per epoch ---------------------------------------------------


@pytest.mark.parametrize(("accumulate", "updates"), [(1, 5), (2, 3), (3, 2)])
def test_the_default_interval_is_refused_after_one_epoch(pl, accumulate, updates):
    module = make_module(pl, by_default())
    trainer = make_trainer(pl, accumulate_grad_batches=accumulate)
    with pytest.raises(RuntimeError, match=rf"{updates} updates.*CosineDecay\(.*{MEND}") as caught:
        trainer.fit(module)
    for mend in ("callbacks.ScheduleLR(schedule)", "LightningCLI", 'unit="epoch"', "of an epoch"):
        assert mend in str(caught.value)
    assert len(module.rates) == updates
    scheduler = scheduler_of(trainer)
    assert scheduler.last_epoch == 0
    assert scheduler._step_count == 1
    assert scheduler.get_last_lr() == [module.optimizer.param_groups[0]["lr"]] == [COSINE(0)]
    scheduler.step()  # by hand, which is right, and settles it
    assert scheduler.get_last_lr() == [COSINE(1)]
    assert not watching(scheduler)


def test_without_the_watch_the_mistake_is_silent(pl, monkeypatch):
    """The control of the test above: it is the watch that raises, and there is what to raise for."""
    monkeypatch.setattr(_schedule_lr, "watch_lightning", lambda *_: None)
    module = make_module(pl, by_default())
    make_trainer(pl).fit(module)
    assert_same_bits(module.rates, COSINE(np.repeat(np.arange(3), 5)))


def test_the_schedule_can_be_said_to_count_epochs(pl):
    module = make_module(pl, by_default(FunctionSchedule(COSINE, unit="epoch")))
    make_trainer(pl).fit(module)
    assert_same_bits(module.rates, COSINE(np.repeat(np.arange(3), 5)))


def test_a_frequency_of_epochs_counts_all_their_updates(pl):
    module = make_module(pl, by_config(interval="epoch", frequency=2))
    with pytest.raises(RuntimeError, match=f"10 updates.*{MEND}"):
        make_trainer(pl).fit(module)


def test_the_first_longer_epoch_is_seen(pl):
    module = make_module(pl, by_default(), batches=lambda epoch: 1 if epoch < 2 else 4)
    trainer = make_trainer(pl, reload_dataloaders_every_n_epochs=1)
    with pytest.raises(RuntimeError, match=f"4 updates.*{MEND}"):
        trainer.fit(module)
    assert_same_bits(module.rates, COSINE(np.array([0, 1, 2, 2, 2, 2])))


def test_lightning_loaded_late_is_seen_an_epoch_later(pl, monkeypatch):
    def configure(optimizer):
        with monkeypatch.context() as unloaded:
            unloaded.setattr(_schedule_lr, "watch_lightning", lambda *_: None)
            return by_default()(optimizer)

    module = make_module(pl, configure)
    with pytest.raises(RuntimeError, match=f"5 updates.*{MEND}"):
        make_trainer(pl).fit(module)
    assert len(module.rates) == 10


def three_steps_on(schedule, interval):
    def configure(optimizer):
        scheduler = ScheduleLR(optimizer, schedule)
        optimizer._opt_called = True  # torch warns of this order, and is right
        for _ in range(3):
            scheduler.step()
        config = {"scheduler": scheduler, "interval": interval}
        return {"optimizer": optimizer, "lr_scheduler": config}

    return configure


def test_steps_before_the_training_settle_nothing(pl):
    with pytest.raises(RuntimeError, match=f"5 updates.*{MEND}"):
        make_trainer(pl).fit(make_module(pl, three_steps_on(COSINE, "epoch")))
    with pytest.raises(RuntimeError, match=r"counts epochs.*lightning_config"):
        make_trainer(pl).fit(make_module(pl, three_steps_on(PER_EPOCH, "step")))
    module = make_module(pl, three_steps_on(COSINE, "step"))
    trainer = make_trainer(pl)
    trainer.fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(3, 18)))
    assert scheduler_of(trainer)._fast_size > 0


# torch/optim/lr_scheduler.py: step(epoch) is deprecated
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
def test_a_jump_is_in_no_unit(pl):
    def lr_scheduler_step(self, scheduler, metric):
        scheduler.step(self.global_step)

    module = make_module(pl, by_default(), hooks={"lr_scheduler_step": lr_scheduler_step})
    trainer = make_trainer(pl)
    trainer.fit(module)
    assert_same_bits(module.rates, COSINE(np.repeat([0, 5, 10], 5)))
    assert scheduler_of(trainer)._watch.pending == 0


@pytest.mark.parametrize("milestone", [1, 2, 7])
def test_a_sequence_at_the_default_interval(pl, milestone):
    def configure(optimizer):
        parts = [CosineDecayLR(optimizer, decay_steps=9), ScheduleLR(optimizer, COSINE)]
        return [optimizer], [torch_lr.SequentialLR(optimizer, parts, milestones=[milestone])]

    with pytest.raises(RuntimeError, match=f"5 updates.*{MEND}"):
        make_trainer(pl).fit(make_module(pl, configure))
    module = make_module(pl, configure, batches=1)  # what waited for its turn is no mistake
    make_trainer(pl, epochs=10).fit(module)
    first, second = np.arange(milestone), np.arange(10 - milestone)
    assert_same_bits(module.rates, [*CosineDecay(0.1, 9)(first), *COSINE(second)])


def test_a_chain_at_the_default_interval(pl):
    def configure(optimizer):
        return [optimizer], [torch_lr.ChainedScheduler([ScheduleLR(optimizer, COSINE)])]

    with pytest.raises(RuntimeError, match=f"5 updates.*{MEND}"):
        make_trainer(pl).fit(make_module(pl, configure))


def test_several_schedulers_on_one_optimizer(pl):
    def configure(optimizer):
        right = ScheduleLR(optimizer, ExponentialDecay(0.2, 7, 0.5)).lightning_config()
        return [optimizer], [right, ScheduleLR(optimizer, COSINE)]

    module = make_module(pl, configure)
    trainer = make_trainer(pl)
    with pytest.raises(RuntimeError, match=rf"5 updates.*CosineDecay\(.*{MEND}"):
        trainer.fit(module)
    assert [watching(config.scheduler) for config in trainer.lr_scheduler_configs] == [False, True]


def test_a_module_that_steps_the_scheduler_itself(pl):
    def lr_scheduler_step(self, scheduler, metric):
        def indirectly():
            scheduler.step()

        indirectly()

    hooks = {"lr_scheduler_step": lr_scheduler_step}
    with pytest.raises(RuntimeError, match=f"5 updates.*{MEND}"):
        make_trainer(pl).fit(make_module(pl, by_default(), hooks=hooks))
    module = make_module(pl, by_config(), hooks=hooks)
    make_trainer(pl).fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(15)))


@pytest.mark.parametrize("place", ["module", "callback"])
@pytest.mark.parametrize(
    ("hook", "done"),
    [
        ("on_train_epoch_start", 5),
        ("on_train_epoch_end", 5),
        ("on_validation_epoch_end", 5),
        ("on_validation_end", 5),
    ],
)
def test_a_step_by_hand_in_a_hook_of_the_epoch(pl, place, hook, done):
    def step(module):
        if module.rates:  # neither on the sanity check nor before the first epoch
            module.lr_schedulers().step()

    hooks, callbacks = {"validation_step": lambda module, batch, batch_idx: None}, []
    if place == "module":
        hooks[hook] = step
    else:
        callbacks.append(pl.Callback())
        setattr(callbacks[0], hook, lambda trainer, module: step(module))
    module = make_module(pl, by_default(), manual=True, hooks=hooks)
    trainer = make_trainer(pl, callbacks=callbacks)
    with pytest.raises(RuntimeError, match=rf"{hook}, with {done} updates.*training_step.*{MEND}"):
        trainer.fit(module, val_dataloaders=Sized(1))
    assert len(module.rates) == done


def test_a_hook_of_an_epoch_of_one_update(pl):
    hooks = {"on_train_epoch_end": lambda module: module.lr_schedulers().step()}
    module = make_module(pl, by_default(), manual=True, hooks=hooks, batches=1)
    make_trainer(pl, epochs=5).fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(5)))


# --- a schedule of the epoch, stepped per update ---------------------------------------------------


@pytest.mark.parametrize("configure", [by_config(PER_EPOCH), by_default(PER_EPOCH)])
def test_a_schedule_of_the_epoch_is_right_by_default(pl, configure):
    module = make_module(pl, configure)
    trainer = make_trainer(pl, epochs=5)
    trainer.fit(module)
    assert_same_bits(module.rates, PER_EPOCH(np.repeat(np.arange(5), 5)))
    assert not watching(scheduler_of(trainer))


@pytest.mark.parametrize(
    ("batches", "many"),
    [(5, "5"), (Unsized(5), "an unknown number of")],
    ids=["sized", "unsized"],
)
def test_a_schedule_of_the_epoch_at_each_update_is_refused(pl, batches, many):
    module = make_module(pl, by_config(PER_EPOCH, interval="step"), batches=batches)
    trainer = make_trainer(pl)
    mend = rf'{many} batches.*StepDecay.*lightning_config\(\).*"interval": "epoch".*frequency'
    with pytest.raises(RuntimeError, match=mend):
        trainer.fit(module)
    assert len(module.rates) == 1
    assert scheduler_of(trainer).last_epoch == 0


@pytest.mark.parametrize(
    ("batches", "options"), [(1, {}), (4, {"frequency": 4}), (Unsized(4), {"frequency": 4})]
)
def test_one_step_in_an_epoch_is_right_however_it_is_said(pl, batches, options):
    config = by_config(PER_EPOCH, interval="step", **options)
    module = make_module(pl, config, batches=batches)
    make_trainer(pl, epochs=5).fit(module)
    each = len(module.rates) // 5
    assert_same_bits(module.rates, PER_EPOCH(np.repeat(np.arange(5), each)))


def test_one_accumulated_update_in_an_epoch(pl):
    module = make_module(pl, by_config(PER_EPOCH, interval="step"), batches=3)
    make_trainer(pl, epochs=5, accumulate_grad_batches=3).fit(module)
    assert_same_bits(module.rates, PER_EPOCH(np.arange(5)))


def test_hooks_of_the_epoch_suit_a_schedule_of_the_epoch(pl):
    hooks = {"on_train_epoch_end": lambda module: module.lr_schedulers().step()}
    module = make_module(pl, by_default(PER_EPOCH), manual=True, hooks=hooks)
    make_trainer(pl, epochs=5).fit(module)
    assert_same_bits(module.rates, PER_EPOCH(np.repeat(np.arange(5), 5)))


# --- resume ---------------------------------------------------------------------------------------


def saving(path, at):
    """A hook that saves after so many batches in all."""

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if self.current_epoch * 5 + batch_idx + 1 == at:
            self.trainer.save_checkpoint(path)

    return {"on_train_batch_end": on_train_batch_end}


# lightning/pytorch/loops/training_epoch_loop.py: a list does not say where it was left
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 6, 8, 9, 12, 14])
def test_resume_in_the_middle_of_an_epoch(pl, tmp_path, at, accumulate):
    path = tmp_path / "last.ckpt"
    whole = make_module(pl, by_config(), hooks=saving(path, at))
    make_trainer(pl, accumulate_grad_batches=accumulate).fit(whole)
    assert_same_bits(whole.rates, COSINE(np.arange(len(whole.rates))))
    done = torch.load(path, weights_only=True)["global_step"]
    rest = make_module(pl, by_config())
    trainer = make_trainer(pl, accumulate_grad_batches=accumulate)
    trainer.fit(rest, ckpt_path=path)
    assert_same_bits(rest.rates, COSINE(np.arange(done, done + len(rest.rates))))
    assert scheduler_of(trainer).last_epoch == done + len(rest.rates) == len(whole.rates)
    assert not watching(scheduler_of(trainer))


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.parametrize(("at", "seen"), [(1, 4), (3, 2), (4, 5)])
def test_a_mistake_is_seen_after_a_resume_too(pl, tmp_path, at, seen):
    """The last: one update is left of the epoch, which may be a whole one; the next is not."""
    path = tmp_path / "last.ckpt"
    wrong = make_module(pl, by_default(), hooks=saving(path, at))
    with pytest.raises(RuntimeError, match="5 updates"):
        make_trainer(pl).fit(wrong)
    with pytest.raises(RuntimeError, match=f"{seen} updates.*{MEND}"):
        make_trainer(pl).fit(make_module(pl, by_default()), ckpt_path=path)


def test_a_second_fit_of_the_same_scheduler(pl):
    kept = []

    def configure(optimizer):
        kept.append(kept[0] if kept else ScheduleLR(optimizer, COSINE))
        return {"optimizer": kept[0].optimizer, "lr_scheduler": kept[0].lightning_config()}

    module = make_module(pl, configure)
    make_trainer(pl, epochs=1).fit(module)
    make_trainer(pl, epochs=1).fit(module)
    assert kept[0].last_epoch == 10


# --- what watching costs, and what is left of it ---------------------------------------------------


def make_watched(schedule=COSINE):
    importlib.import_module("lightning.pytorch")
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    return optimizer, ScheduleLR(optimizer, schedule)


def hooks_on(optimizer) -> int:
    return len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)


@pytest.mark.parametrize("schedule", [COSINE, PER_EPOCH])
def test_a_plain_loop_is_watched_until_its_first_step(schedule):
    optimizer, scheduler = make_watched(schedule)
    assert watching(scheduler)
    assert hooks_on(optimizer) == (2 if schedule is COSINE else 0)
    for k in range(1, 5):
        optimizer.step()
        scheduler.step()
        assert not watching(scheduler)
        assert scheduler._fast_size > 0
        assert hooks_on(optimizer) == 0
        assert scheduler.get_last_lr() == [schedule(k)]


@pytest.mark.parametrize("unit", ["update", "epoch"])
def test_counting_updates_at_the_default_interval(pl, unit):
    """The count would be right; the rates of the epoch would not."""

    def configure(optimizer):
        schedule = COSINE if unit == "update" else PER_EPOCH
        return [optimizer], [ScheduleLR(optimizer, schedule, count="updates")]

    module = make_module(pl, configure)
    if unit == "epoch":
        make_trainer(pl).fit(module)
        assert_same_bits(module.rates, PER_EPOCH(np.repeat(np.arange(3), 5)))
        return
    with pytest.raises(RuntimeError, match=MEND):
        make_trainer(pl).fit(module)
    assert len(module.rates) == 5


def test_counting_updates_at_each_step(pl):
    def configure(optimizer):
        config = ScheduleLR(optimizer, COSINE, count="updates").lightning_config()
        return {"optimizer": optimizer, "lr_scheduler": config}

    module = make_module(pl, configure)
    make_trainer(pl, accumulate_grad_batches=2).fit(module)
    assert_same_bits(module.rates, COSINE(np.arange(9)))


def test_several_updates_before_the_first_step_of_a_plain_loop():
    optimizer, scheduler = make_watched()
    for _ in range(7):
        optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == [COSINE(1)]


def test_counting_updates_needs_no_watch():
    optimizer, _ = make_watched()
    assert not watching(ScheduleLR(optimizer, COSINE, count="updates"))


# torch/optim/lr_scheduler.py, 2.13: a copied optimizer has lost the mark that a scheduler put on it
@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step.*has been overridden")
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("schedule", [COSINE, PER_EPOCH])
def test_a_copy_goes_on_watching(copied, schedule):
    optimizer, scheduler = make_watched(schedule)
    for _ in range(3):
        optimizer.step()
    twin = copied(scheduler)
    assert twin._watch.pending == scheduler._watch.pending == (3 if schedule is COSINE else 0)
    assert hooks_on(twin.optimizer) == hooks_on(optimizer)
    twin.optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    for k in range(1, 4):
        twin.optimizer.step()
        twin.step()
        assert not watching(twin)
        assert twin.get_last_lr() == [schedule(k)]
    assert watching(scheduler)
    settled = copied(twin)
    assert not watching(settled)
    assert hooks_on(settled.optimizer) == 0


def test_a_copy_may_be_loaded_where_lightning_is_not(monkeypatch):
    trainer = make_trainer(importlib.import_module("lightning.pytorch"))
    trainer.fit(make_module(importlib.import_module("lightning.pytorch"), by_default(), batches=1))
    assert watching(scheduler_of(trainer))
    pickled = pickle.dumps(scheduler_of(trainer))
    monkeypatch.setattr(_schedule_lr, "watch_lightning", lambda *_: None)
    alone = pickle.loads(pickled)
    assert not watching(alone)
    assert hooks_on(alone.optimizer) == 0
    for k in range(4, 7):
        alone.optimizer.step()
        alone.step()
        assert alone.get_last_lr() == [COSINE(k)]
        assert alone._fast_size > 0


def test_the_state_knows_nothing_of_the_watch():
    optimizer, scheduler = make_watched()
    before = scheduler.state_dict()
    optimizer.step()
    assert scheduler.state_dict() == before
    scheduler.load_state_dict(before)
    assert scheduler._watch.pending == 0
    assert hooks_on(optimizer) == 2  # those of before are gone


def test_the_watch_keeps_nothing_alive():
    gc.collect()
    gc.disable()
    try:
        optimizer, scheduler = make_watched()
        optimizer.step()
        alive = weakref.ref(optimizer), weakref.ref(scheduler), weakref.ref(scheduler._watch)
        del scheduler
        assert alive[1]() is alive[2]() is None
        assert hooks_on(optimizer) == 0
        del optimizer
        assert alive[0]() is None
    finally:
        gc.enable()


def test_a_step_that_fails_is_still_to_be_watched(pl):
    failures = itertools.chain([True], itertools.repeat(False))

    def function(step):
        if step == 1 and next(failures):
            raise OSError("not now")
        return 0.1

    kept = []

    def lr_scheduler_step(self, scheduler, metric):
        try:
            scheduler.step()
        except OSError:
            kept.append(scheduler._watch.pending)

    hooks = {"lr_scheduler_step": lr_scheduler_step}
    module = make_module(pl, by_default(function), hooks=hooks, batches=1)
    with pytest.raises(RuntimeError, match="2 updates"):  # that of the failed step is still open
        make_trainer(pl).fit(module)
    assert kept == [1]


def test_nothing_is_watched_where_lightning_is_not_loaded():
    script = """
import copy, sys, torch
from lrparity.lr_scheduler import CosineDecayLR
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
scheduler = CosineDecayLR(optimizer, decay_steps=5)
for one in (scheduler, copy.deepcopy(scheduler)):
    assert one._watch is None
    assert not one.optimizer._optimizer_step_pre_hooks
scheduler.load_state_dict(scheduler.state_dict())
assert scheduler._watch is None
assert not {"lightning", "pytorch_lightning"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)
