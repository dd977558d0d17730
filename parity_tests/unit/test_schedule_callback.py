"""``callbacks.ScheduleLR``: what it accepts, what it gets along with, and what it refuses."""

from __future__ import annotations

import copy
import functools
import importlib
import pickle
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    Callback,
    LearningRateFinder,
    LearningRateMonitor,
)
from lightning.pytorch.loggers import CSVLogger, Logger

from bits import assert_same_bits
from lightning_side import QUIET, RESUMED_WITHIN_AN_EPOCH
from lrparity import lr_scheduler
from lrparity.callbacks import LearningRateRecorder, ScheduleLR
from lrparity.schedules import (
    CosineDecay,
    ExponentialDecay,
    FunctionSchedule,
    PiecewiseConstantDecay,
    StepDecay,
)
from registry import EXAMPLES, example_id

BATCHES = 4
COSINE = CosineDecay(0.05, 11, alpha=0.1, warmup_target=0.2, warmup_steps=3)
DROPS = PiecewiseConstantDecay([1, 4, 5], [0.5, 0.25, 0.1, 0.3])


class Module(pl.LightningModule):
    """Writes down the rates of each update."""

    def __init__(self, make=lambda p: torch.optim.SGD(p, lr=7.0), automatic=True) -> None:
        super().__init__()
        self.automatic_optimization = automatic
        self.backbone = torch.nn.Linear(3, 3)
        self.head = torch.nn.Linear(3, 1)
        self.make = make
        self.rates: list[list[float]] = []

    def training_step(self, batch, batch_idx):
        loss = self.head(self.backbone(batch)).square().mean()
        self.log("loss", loss)
        if self.automatic_optimization:
            return loss
        made = self.optimizers()
        for optimizer in made if isinstance(made, list) else [made]:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in made if isinstance(made, list) else [made]:
            optimizer.step()
        return None

    def configure_optimizers(self):
        made = self.make(p for p in self.parameters() if p.requires_grad)
        optimizers = (
            made if isinstance(made, list) else made[0] if isinstance(made, tuple) else [made]
        )
        for i, optimizer in enumerate(optimizers):
            optimizer.register_step_pre_hook(lambda o, *_, i=i: self.write_down(i, o))
        return made

    def write_down(self, i, optimizer) -> None:
        while len(self.rates) <= i:
            self.rates.append([])
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.rates[i].append(rates[0] if len(rates) == 1 else rates)


class Validated(Module):
    """Has a validation, too."""

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.head(self.backbone(batch)).square().mean())


def loader():
    return torch.utils.data.DataLoader([torch.ones(2, 3)] * BATCHES, batch_size=None)


def make_trainer(*callbacks, **arguments):
    own = {"max_epochs": 3, "log_every_n_steps": 1}
    return pl.Trainer(callbacks=list(callbacks), **QUIET | own | arguments)


def fit(module, *callbacks, **arguments):
    trainer = make_trainer(*callbacks, **arguments)
    trainer.fit(module, loader(), loader() if isinstance(module, Validated) else None)
    return trainer


def expected(schedule, count, start=0):
    return schedule(np.arange(start, start + count)).tolist()


# --- every schedule ---------------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=example_id)
def test_every_schedule_drives_and_goes_on_from_a_checkpoint(example, tmp_path):
    case, config = example
    schedule, updates = case.build(config), 3 * BATCHES
    whole = expected(schedule, updates)
    if schedule.unit == "epoch":
        whole = np.repeat(expected(schedule, 3), BATCHES).tolist()
    module = Module()
    trainer = fit(module, ScheduleLR(schedule), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    resumed = Module()
    going_on = make_trainer(ScheduleLR(case.build(config)))
    going_on.fit(resumed, loader(), ckpt_path=tmp_path / "first.ckpt")
    assert_same_bits(module.rates[0], whole[:BATCHES])
    assert_same_bits(resumed.rates[0], whole[BATCHES:])


# --- which optimizers ------------------------------------------------------------------------------


def two(parameters):
    shared = list(parameters)
    return [torch.optim.SGD(shared[:2], lr=7.0), torch.optim.SGD(shared[2:], lr=8.0)]


@pytest.mark.parametrize(
    ("callback", "driven"),
    [
        (lambda: ScheduleLR(COSINE), {0: COSINE, 1: COSINE}),
        (lambda: ScheduleLR(COSINE, optimizer=1), {1: COSINE}),
        (lambda: ScheduleLR(COSINE, optimizer="SGD"), {0: COSINE}),
        (lambda: ScheduleLR(COSINE, "SGD-1"), {1: COSINE}),
        (lambda: ScheduleLR({0: COSINE, "SGD-1": DROPS}), {0: COSINE, 1: DROPS}),
        (lambda: ScheduleLR({"1": DROPS}), {1: DROPS}),
    ],
)
def test_all_optimizers_or_one_or_a_mapping(callback, driven):
    module = Module(two, automatic=False)
    fit(module, callback())
    for i, own in enumerate((7.0, 8.0)):
        rates = expected(driven[i], 3 * BATCHES) if i in driven else [own] * (3 * BATCHES)
        assert module.rates[i] == rates


def test_two_callbacks_for_two_optimizers_keep_apart_in_a_checkpoint(tmp_path):
    def callbacks():
        return ScheduleLR(COSINE, optimizer=0), ScheduleLR(DROPS, optimizer=1)

    trainer = fit(Module(two, automatic=False), *callbacks(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    module = Module(two, automatic=False)
    make_trainer(*callbacks()).fit(module, loader(), ckpt_path=tmp_path / "one.ckpt")
    assert module.rates[0] == expected(COSINE, 2 * BATCHES, BATCHES)
    assert module.rates[1] == expected(DROPS, 2 * BATCHES, BATCHES)


def test_one_schedule_for_each_param_group():
    def make(parameters):
        one, *rest = parameters
        return torch.optim.SGD([{"params": [one]}, {"params": rest}], lr=7.0)

    module = Module(make)
    fit(module, ScheduleLR([COSINE, DROPS]))
    both = zip(expected(COSINE, 3 * BATCHES), expected(DROPS, 3 * BATCHES), strict=True)
    assert module.rates[0] == [list(pair) for pair in both]
    with pytest.raises(ValueError, match="3 schedules for 2 param groups"):
        fit(Module(make), ScheduleLR([COSINE, DROPS, COSINE]))


def test_lr_scale_scales_a_group():
    def make(parameters):
        one, *rest = parameters
        return torch.optim.SGD([{"params": [one], "lr_scale": 0.5}, {"params": rest}], lr=7.0)

    module = Module(make)
    fit(module, ScheduleLR(COSINE))
    assert module.rates[0][5] == [COSINE(5) / 2, COSINE(5)]


def test_a_tensor_rate_is_filled_in_place():
    rate = torch.tensor(7.0)
    module = Module(lambda p: torch.optim.SGD(p, lr=rate, foreach=False))
    fit(module, ScheduleLR(COSINE))
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)
    assert module.trainer.optimizers[0].param_groups[0]["lr"] is rate


# --- what it gets along with -----------------------------------------------------------------------


class Log(Logger):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict]] = []

    name, version = "log", 0

    def log_hyperparams(self, *args, **kwargs) -> None:
        pass

    def log_metrics(self, metrics, step=None) -> None:
        self.rows.append((step, dict(metrics)))

    def values(self, name):
        return [row[name] for _, row in self.rows if name in row]


@pytest.mark.parametrize("schedule", [COSINE, StepDecay(0.1, 0.5, 2)], ids=["update", "epoch"])
@pytest.mark.parametrize("interval", [None, "step", "epoch"])
@pytest.mark.parametrize("monitor_first", [True, False])
def test_learning_rate_monitor_is_right_in_either_order(schedule, interval, monitor_first):
    monitor, log = LearningRateMonitor(interval), Log()
    callbacks = (
        [monitor, ScheduleLR(schedule)] if monitor_first else [ScheduleLR(schedule), monitor]
    )
    module = Module()
    fit(module, *callbacks, logger=log)
    used = module.rates[0]
    epochs = [used[i : i + BATCHES] for i in range(0, len(used), BATCHES)]
    logged = {"step": used, "epoch": used[::BATCHES]}
    logged[None] = [rate for epoch in epochs for rate in (epoch[0], *epoch)]
    assert log.values("lr-SGD") == logged[interval]


@pytest.mark.parametrize("position", [0, 1])
def test_logs_by_itself(position, tmp_path):
    shown = []

    class Bar(pl.callbacks.ProgressBar):
        def on_train_batch_end(self, trainer, pl_module, *_) -> None:
            shown.append(self.get_metrics(trainer, pl_module)["eta"])

    log, bar = Log(), Bar()
    callback = ScheduleLR(COSINE, log="eta", prog_bar=True)
    module = Module()
    callbacks = [callback, bar] if position == 0 else [bar, callback]
    trainer = fit(module, *callbacks, logger=log, enable_progress_bar=True)
    used = module.rates[0]
    assert log.values("eta") == used
    assert shown == used
    assert float(trainer.callback_metrics["eta"]) == used[-1]
    fit(Module(), ScheduleLR(COSINE, log=True), logger=CSVLogger(tmp_path))
    rows = next(tmp_path.rglob("metrics.csv")).read_text()
    assert "learning_rate" in rows


def test_logs_each_optimizer_and_group_under_its_name():
    def make(parameters):
        one, second, *rest = parameters
        groups = [{"params": [one]}, {"params": [second]}, {"params": rest[:1], "name": "head"}]
        return [torch.optim.SGD(groups, lr=7.0), torch.optim.Adam(rest[1:], lr=7.0)]

    log = Log()
    fit(Module(make, automatic=False), ScheduleLR({0: DROPS, 1: COSINE}, log=True), logger=log)
    for name in ("", "/pg2", "/head"):
        assert log.values(f"learning_rate/SGD{name}") == expected(DROPS, 3 * BATCHES)
    assert log.values("learning_rate/Adam") == expected(COSINE, 3 * BATCHES)


def test_fast_dev_run_and_sanity_check():
    module = Module()
    fit(module, ScheduleLR(COSINE), fast_dev_run=2)
    assert module.rates[0] == expected(COSINE, 2)
    module = Validated()
    fit(module, ScheduleLR(COSINE), num_sanity_val_steps=2)
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


def test_validating_and_testing_leave_it_alone():
    callback = ScheduleLR(COSINE)
    trainer, module = make_trainer(callback), Validated()
    trainer.validate(module, loader(), verbose=False)
    assert callback.updates == {}


@pytest.mark.parametrize("unit", ["update", "epoch"])
def test_a_second_fit_goes_on(unit):
    callback = ScheduleLR(COSINE if unit == "update" else StepDecay(0.1, 0.5, 2))
    trainer, module = make_trainer(callback, max_epochs=2), Module()
    trainer.fit(module, loader())
    trainer.fit_loop.max_epochs = 5
    trainer.fit(module, loader())
    if unit == "update":
        assert module.rates[0] == expected(COSINE, 5 * BATCHES)
        assert callback.updates == {0: 5 * BATCHES}
    else:
        epochs = np.repeat(np.arange(5), BATCHES)
        assert module.rates[0] == StepDecay(0.1, 0.5, 2)(epochs).tolist()


def test_testing_by_a_checkpoint_between_two_fits_changes_nothing(tmp_path):
    callback = ScheduleLR(COSINE)
    trainer, module = make_trainer(callback, max_epochs=1), Validated()
    trainer.fit(module, loader(), loader())
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, loader(), loader())
    trainer.validate(module, loader(), ckpt_path=tmp_path / "one.ckpt", verbose=False)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module, loader(), loader())
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


def test_a_fit_by_a_foreign_checkpoint_forgets_the_fit_before(tmp_path):
    path = checkpoint(tmp_path)
    trainer, module = make_trainer(ScheduleLR(COSINE), max_epochs=1), Module()
    trainer.fit(module, loader())
    trainer.fit_loop.max_epochs = 3
    module.rates.clear()
    with pytest.warns(UserWarning, match=r"begins at trainer.global_step = 8"):
        trainer.fit(module, loader(), ckpt_path=path)
    assert module.rates[0] == expected(COSINE, BATCHES, 8)


def test_another_trainer_starts_anew():
    callback = ScheduleLR(COSINE)
    for _ in range(2):
        module = Module()
        fit(module, callback)
        assert module.rates[0] == expected(COSINE, 3 * BATCHES)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_a_copy_trains_like_the_original(copied):
    module = Module()
    fit(module, copied(ScheduleLR(COSINE)))
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)
    used = ScheduleLR(COSINE)
    fit(Module(), used)
    assert copied(used).state_dict() == used.state_dict()
    module = Module()
    fit(module, copied(used))
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)
    module, longer = Module(), copied(used)
    longer.load_state_dict(used.state_dict())
    fit(module, longer, max_epochs=1)
    assert module.rates[0] == expected(COSINE, BATCHES, 3 * BATCHES)


def test_no_hook_stays_on_the_optimizer():
    module = Module()
    trainer = fit(module, ScheduleLR(COSINE))
    (optimizer,) = trainer.optimizers
    assert len(optimizer._optimizer_step_pre_hooks) == 1  # the test's own
    assert not optimizer._optimizer_step_post_hooks

    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_) -> None:
            raise KeyError("stop")

    made = []
    module = Module(lambda p: made.append(torch.optim.SGD(p, lr=1.0)) or made[0])
    with pytest.raises(KeyError, match="stop"):
        fit(module, ScheduleLR(COSINE), Stop())
    assert not made[0]._optimizer_step_post_hooks


def test_the_optimizer_may_be_used_on_after_training():
    module = Module()
    trainer = fit(module, ScheduleLR(COSINE))
    (optimizer,) = trainer.optimizers
    left = optimizer.param_groups[0]["lr"]
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == left == COSINE(3 * BATCHES)


# --- groups that join ------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [COSINE, StepDecay(0.1, 0.5, 2)], ids=["update", "epoch"])
@pytest.mark.parametrize("schedule_first", [True, False])
def test_backbone_finetuning_keeps_its_ratio(schedule, schedule_first):
    finetuning = BackboneFinetuning(
        unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 1.5, backbone_initial_ratio_lr=0.25
    )
    callbacks = [ScheduleLR(schedule), finetuning]
    module = Module()
    fit(module, *(callbacks if schedule_first else callbacks[::-1]), max_epochs=5)
    rates = module.rates[0]
    steps = range(5 * BATCHES) if schedule is COSINE else np.repeat(np.arange(5), BATCHES)
    heads = [r[0] if isinstance(r, list) else r for r in rates]
    assert heads == schedule(np.array(steps)).tolist()
    assert not any(isinstance(r, list) for r in rates[:BATCHES])
    assert all(len(r) == 2 for r in rates[BATCHES:])
    ratios = [r[1] / r[0] for r in rates[BATCHES:]]
    for epoch in range(4):  # within an epoch the ratio is the one that the epoch began with
        of_epoch = ratios[epoch * BATCHES : (epoch + 1) * BATCHES]
        np.testing.assert_allclose(of_epoch, of_epoch[0], rtol=3e-7)
    assert ratios[0] == 0.25
    assert ratios[BATCHES] != pytest.approx(0.25)


def test_backbone_finetuning_past_the_end_of_a_schedule_that_ends_at_0():
    finetuning = BackboneFinetuning(1, lambda epoch: 1.5, backbone_initial_ratio_lr=0.25)
    module = Module()
    to_zero = CosineDecay(0.1, 2 * BATCHES)
    fit(module, ScheduleLR(to_zero), finetuning, max_epochs=4)
    assert module.rates[0][-1] == [0.0, 0.0]


def test_several_groups_may_be_steered_at_once():
    class Steering(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            (optimizer,) = trainer.optimizers
            if trainer.current_epoch == 0:
                for lr in (0.1, 0.2):
                    weight = torch.nn.Parameter(torch.zeros(1))
                    optimizer.add_param_group({"params": [weight], "lr": lr})
            if trainer.current_epoch == 1:
                for i, group in enumerate(optimizer.param_groups):
                    group["lr"] = (i + 1) * 0.5

    module = Module()
    with pytest.warns(UserWarning, match=r"param group 0, to 0.5 before update 4"):
        fit(module, ScheduleLR(lambda k: 0.25), Steering(), max_epochs=2)
    steered = [0.25, 0.1, 0.2], [0.5, 1.0, 1.5], [0.25, 1.0, 1.5]
    for k, rates in enumerate(
        (steered[0], steered[0], steered[0], steered[0], steered[1], steered[2])
    ):
        np.testing.assert_array_equal(np.float32(module.rates[0][k]), np.float32(rates))


def test_a_group_is_steered_as_another_joins():
    class Steering(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            (optimizer,) = trainer.optimizers
            if trainer.current_epoch == 2:
                optimizer.param_groups[1]["lr"] = 0.5
            if trainer.current_epoch:
                weight = torch.nn.Parameter(torch.zeros(1))
                optimizer.add_param_group({"params": [weight], "lr": 0.125})

    module = Module()
    fit(module, ScheduleLR(lambda k: 0.25), Steering())
    assert module.rates[0][BATCHES] == [0.25, 0.125]
    assert module.rates[0][2 * BATCHES :] == [[0.25, 0.5, 0.125]] * BATCHES


def test_a_group_joins_a_list_of_schedules():
    class Joining(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            if trainer.current_epoch == 1:
                group = {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5}
                trainer.optimizers[0].add_param_group(group)

    with pytest.raises(ValueError, match="`schedule` is a list of 1"):
        fit(Module(), ScheduleLR([COSINE]), Joining())


def test_a_rate_set_by_hand_lasts_one_update_and_is_remarked_once():
    class Meddler(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if batch_idx in (1, 2):
                trainer.optimizers[0].param_groups[0]["lr"] = 0.625

    module = Module()
    with pytest.warns(UserWarning, match=r"Something else set .*'SGD', param group 0, to 0.625"):
        fit(module, ScheduleLR(COSINE), Meddler(), max_epochs=1)
    assert module.rates[0] == [COSINE(0), 0.625, 0.625, COSINE(3)]


def test_a_rate_set_within_training_step_is_remarked_too():
    class Meddling(Module):
        def training_step(self, batch, batch_idx):
            if batch_idx == 1:
                self.trainer.optimizers[0].param_groups[0]["lr"] = 0.625
            return super().training_step(batch, batch_idx)

    with pytest.warns(UserWarning, match=r"to 0.625 before update 1"):
        fit(Meddling(), ScheduleLR(COSINE), max_epochs=1)


# --- what happens in the middle of a fit ------------------------------------------------------------


class FindsOnTheWay(LearningRateFinder):
    """As in Lightning's documentation: steps of a trial, and then a checkpoint is restored."""

    def on_fit_start(self, *_) -> None:
        pass

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == 1:
            self.lr_find(trainer, pl_module)
            pl_module.rates[0] = pl_module.rates[0][:BATCHES]  # those of the trial


@pytest.mark.parametrize("schedule_first", [True, False])
def test_the_steps_of_a_finder_do_not_count(schedule_first, tmp_path):
    class Found(Module):
        lr = 7.0

    finder = FindsOnTheWay(num_training_steps=10, early_stop_threshold=None, update_attr=False)
    callback, module = ScheduleLR(COSINE), Found()
    both = [callback, finder] if schedule_first else [finder, callback]
    trainer = make_trainer(*both, default_root_dir=tmp_path)
    module.train_dataloader = loader
    trainer.fit(module)
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)
    assert callback.updates == {0: 3 * BATCHES}


@pytest.mark.parametrize("unit", ["update", "epoch"])
def test_optimizers_may_be_exchanged(unit):
    class Exchange(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            trainer.strategy.setup_optimizers(trainer)

    schedule = COSINE if unit == "update" else StepDecay(0.1, 0.5, 2)
    callback, module = ScheduleLR(schedule), Module()
    fit(module, callback, Exchange())
    steps = np.arange(3 * BATCHES) if unit == "update" else np.repeat(np.arange(3), BATCHES)
    assert module.rates[0] == schedule(steps).tolist()
    assert callback.updates == {0: 3 * BATCHES}


def test_lr_scale_may_be_changed_at_any_time(tmp_path):
    class Scale(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if trainer.global_step == 5:
                trainer.optimizers[0].param_groups[0]["lr_scale"] = 0.5
                trainer.save_checkpoint(tmp_path / "five.ckpt")

    module = Module()
    fit(module, ScheduleLR(COSINE), Scale())
    rates = expected(COSINE, 3 * BATCHES)
    rates[5:] = [rate / 2 for rate in rates[5:]]
    assert module.rates[0] == rates
    resumed = Module()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        make_trainer(ScheduleLR(COSINE)).fit(resumed, loader(), ckpt_path=tmp_path / "five.ckpt")
    assert resumed.rates[0] == rates[5 : 5 + len(resumed.rates[0])]


def scaled(scale):
    return lambda p: torch.optim.SGD([{"params": list(p), "lr_scale": scale}], lr=7.0)


def test_lr_scale_changed_before_a_resume(tmp_path):
    path = checkpoint(tmp_path, ScheduleLR(COSINE), module=Module(scaled(0.25)))
    message = "began with lr_scale=0.25 in param group 0 of 'SGD', .* now made with lr_scale=0.5"
    with pytest.raises(ValueError, match=message):
        resume(path, ScheduleLR(COSINE), module=Module(scaled(0.5)))
    new = ScheduleLR(COSINE, on_config_change="use_new")
    rates = resume(path, new, module=Module(scaled(0.5)))
    assert rates == [rate * 0.5 for rate in expected(COSINE, BATCHES, 2 * BATCHES)]
    assert resume(path, ScheduleLR(COSINE), module=Module(scaled(0.25))) == [
        rate * 0.25 for rate in expected(COSINE, BATCHES, 2 * BATCHES)
    ]


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation, as it is passed around: the inner optimizer steps."""

    def __init__(self, parameters, lr) -> None:
        super().__init__(parameters, {"lr": lr})
        self.base_optimizer = torch.optim.SGD(self.param_groups, lr=lr)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            closure()
            loss = closure()
        self.base_optimizer.step()
        return loss


class Own(torch.optim.Optimizer):
    """Steps by itself, and keeps another for something else."""

    def __init__(self, parameters, lr) -> None:
        super().__init__(parameters, {"lr": lr})
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)

    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad)
        return loss


@pytest.mark.parametrize("kind", [SAM, Own])
def test_wrappers_that_are_optimizers(kind):
    module, callback = Module(lambda p: kind(p, lr=7.0)), ScheduleLR(COSINE)
    fit(module, callback)
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)
    assert callback.updates == {0: 3 * BATCHES}


def test_the_inner_optimizer_may_step_alone():
    class ByHand(Module):
        def training_step(self, batch, batch_idx):
            self.manual_backward(self.head(self.backbone(batch)).square().mean())
            (optimizer,) = self.trainer.optimizers
            optimizer.base_optimizer.step()
            optimizer.zero_grad()

    used = []

    def make(parameters):
        optimizer = SAM(parameters, lr=7.0)
        hook = lambda inner, *_: used.append(inner.param_groups[0]["lr"])  # noqa: E731
        optimizer.base_optimizer.register_step_pre_hook(hook)
        return optimizer

    callback = ScheduleLR(COSINE)
    fit(ByHand(make, automatic=False), callback)
    assert used == expected(COSINE, 3 * BATCHES)
    assert callback.updates == {0: 3 * BATCHES}


def test_weights_that_change_without_a_step_are_remarked():
    class Unseen(Module):
        def training_step(self, batch, batch_idx):
            with torch.no_grad():
                self.head.weight += 0.1

    with pytest.warns(
        UserWarning, match=r"'SGD' changed in epoch 0, but no step\(\) of it was seen"
    ):
        fit(Unseen(automatic=False), ScheduleLR(COSINE))


def test_weights_that_another_optimizer_changes_are_not_remarked():
    class Clamped(Module):
        """The second waits, and its weights are clamped all the same, as a critic's are."""

        def training_step(self, batch, batch_idx):
            first, _ = self.optimizers()
            self.manual_backward(self.head(self.backbone(batch)).square().mean())
            first.step()
            with torch.no_grad():
                self.head.weight.clamp_(-0.01, 0.01)

    fit(Clamped(two, automatic=False), ScheduleLR(COSINE))


def test_weights_loaded_as_an_epoch_starts_are_not_remarked():
    class Loading(Module):
        def on_train_epoch_start(self):
            self.load_state_dict(self.state_dict())

        def training_step(self, batch, batch_idx):
            return None

    fit(Loading(automatic=False), ScheduleLR(COSINE))


def test_weights_without_a_version_do_no_harm():
    class Frozen(Module):
        def __init__(self) -> None:
            super().__init__(lambda p: torch.optim.SGD([*p, *self.encoder], lr=7.0))
            with torch.inference_mode():
                self.encoder = [torch.nn.Parameter(torch.zeros(1), requires_grad=False)]
            self.encoder.append(torch.nn.parameter.UninitializedParameter())

    module = Frozen()
    fit(module, ScheduleLR(COSINE), LearningRateRecorder())
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


@pytest.mark.parametrize("in_epoch", [1, 2])
def test_a_finder_and_backbone_finetuning_at_once(in_epoch, tmp_path):
    class Finder(LearningRateFinder):
        def on_fit_start(self, *_) -> None:
            pass

        def on_train_epoch_start(self, trainer, pl_module) -> None:
            if trainer.current_epoch == in_epoch:
                done = list(pl_module.used)
                self.lr_find(trainer, pl_module)
                pl_module.used = done

    class Used(Module):
        """Looks behind the hooks of all callbacks."""

        def on_before_optimizer_step(self, optimizer) -> None:
            self.used.append([group["lr"] for group in optimizer.param_groups])

    def train(*finder):
        module = Used()
        module.used = []
        module.lr, module.train_dataloader = 7.0, loader
        finetuning = BackboneFinetuning(1, lambda epoch: 1.5, backbone_initial_ratio_lr=0.25)
        callbacks = [*finder, ScheduleLR(COSINE), finetuning]
        make_trainer(*callbacks, max_epochs=4, default_root_dir=tmp_path).fit(module)
        return module.used

    finder = Finder(num_training_steps=5, early_stop_threshold=None, update_attr=False)
    assert train(finder) == train()


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_a_restore_as_a_batch_starts(batch, tmp_path):
    class Restore(Callback):
        def on_train_batch_start(self, trainer, pl_module, data, batch_idx) -> None:
            if trainer.current_epoch == 1 and batch_idx == batch and trainer.global_step >= 0:
                path = tmp_path / "now.ckpt"
                trainer.save_checkpoint(path)
                trainer._checkpoint_connector.restore(path)
                trainer.fit_loop.restarting = False

    callback, module = ScheduleLR(COSINE), Module()
    recorder = LearningRateRecorder()
    fit(module, recorder, callback, Restore())
    assert module.rates[0] == expected(COSINE, len(module.rates[0]))
    assert callback.updates == {0: len(module.rates[0])}
    assert recorder.trajectory.learning_rate.tolist() == module.rates[0]


def test_an_optimizer_that_waits_is_not_remarked():
    class Waiting(Module):
        def training_step(self, batch, batch_idx):
            return None

    fit(Waiting(automatic=False), ScheduleLR(COSINE))


def test_a_callback_in_use_is_not_taken_away():
    callback = ScheduleLR(COSINE)

    class Nested(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            if trainer.current_epoch == 1:
                with pytest.raises(RuntimeError, match="still in use by another trainer"):
                    fit(Module(), callback)
                inner = Module()
                fit(inner, copy.deepcopy(callback))
                assert inner.rates[0] == expected(COSINE, 3 * BATCHES)

    module = Module()
    fit(module, callback, Nested())
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


def test_a_training_that_failed_leaves_a_callback_that_works():
    class Joining(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            group = {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5}
            trainer.optimizers[0].add_param_group(group)

    callback, module = ScheduleLR([COSINE]), Module()
    with pytest.raises(ValueError, match="`schedule` is a list of 1"):
        fit(Module(), callback, Joining())
    fit(module, callback)
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


def test_no_hook_stays_when_a_second_optimizer_is_refused():
    made = []

    def make(parameters):
        made.extend(two(parameters))
        return made

    with pytest.raises(ValueError, match="2 schedules for 1 param groups"):
        fit(Module(make, automatic=False), ScheduleLR({0: COSINE, 1: [COSINE, DROPS]}))
    assert not any(optimizer._optimizer_step_post_hooks for optimizer in made)


def test_a_step_that_is_no_method():
    def make(parameters):
        optimizer = torch.optim.SGD(parameters, lr=7.0)
        optimizer.step = functools.partial(optimizer.step)  # as torch.compile(optimizer.step) is
        return optimizer

    module = Module(make)
    fit(module, ScheduleLR(COSINE))
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


def test_both_counts_go_on_in_a_second_fit():
    callback = ScheduleLR(COSINE, count="micro_batch")
    trainer, module = make_trainer(callback, max_epochs=1, accumulate_grad_batches=2), Module()
    trainer.fit(module, loader())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, loader())
    assert callback.updates == {0: BATCHES}
    assert module.rates[0] == COSINE(np.arange(1, 2 * BATCHES, 2)).tolist()


# --- functions -------------------------------------------------------------------------------------


def test_a_function_is_asked_once_per_update_and_not_needed_past_the_end():
    asked = []

    def rate(step):
        asked.append(step)
        return [0.5, 0.25, 0.125][step]

    class Look(Callback):
        def on_train_batch_start(self, trainer, *_) -> None:
            trainer._checkpoint_connector.dump_checkpoint()

    module = Module()
    fit(module, ScheduleLR(rate), Look(), max_steps=3, max_epochs=-1)
    assert module.rates[0] == [0.5, 0.25, 0.125]
    assert asked == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        fit(Module(), ScheduleLR(rate), max_steps=4, max_epochs=-1)


def test_a_function_is_asked_once_whatever_happens(tmp_path):
    asked = []

    def rate(step):
        asked.append(step)
        return 0.5 / (step + 1)

    class Busy(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            callback.set_multiplier(1.0 + batch_idx)
            if trainer.global_step == 2:
                group = {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5}
                trainer.optimizers[0].add_param_group(group)
            trainer._checkpoint_connector.dump_checkpoint()

    callback = ScheduleLR(rate)
    fit(Module(), callback, Busy(), max_epochs=1)
    assert asked == [0, 1, 2, 3, 4]


def test_an_error_of_a_function_says_at_which_update():
    def rate(step):
        return [0.5, 0.25][step]

    with pytest.raises(IndexError) as caught:
        fit(Module(), ScheduleLR(rate))
    assert caught.value.__notes__ == [
        "ScheduleLR asked the schedule of the optimizer 'SGD' for update 2."
    ]


@RESUMED_WITHIN_AN_EPOCH
def test_a_checkpoint_after_the_last_rate_of_a_function(tmp_path):
    rates = [0.5, 0.25, 0.125]
    trainer = fit(Module(), ScheduleLR(lambda k: rates[k]), max_steps=3, max_epochs=-1)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    module, longer = Module(), [*rates, 1.0, 2.0]
    resumed = make_trainer(ScheduleLR(lambda k: longer[k]), max_steps=5, max_epochs=-1)
    resumed.fit(module, loader(), ckpt_path=tmp_path / "end.ckpt")
    assert module.rates[0] == [1.0, 2.0]


def test_a_function_of_the_epoch():
    module = Module()
    fit(module, ScheduleLR(FunctionSchedule(lambda epoch: 0.5**epoch, unit="epoch")))
    assert module.rates[0] == np.repeat([1.0, 0.5, 0.25], BATCHES).tolist()


# --- multiplier ------------------------------------------------------------------------------------


def test_the_multiplier_acts_and_is_saved(tmp_path):
    class Halve(Callback):
        def on_train_epoch_start(self, trainer, pl_module) -> None:
            if trainer.current_epoch == 1:
                callback.set_multiplier(0.5)

    callback = ScheduleLR(COSINE)
    module = Module()
    trainer = fit(module, callback, Halve())
    rates = expected(COSINE, 3 * BATCHES)
    assert module.rates[0] == rates[:BATCHES] + [r / 2 for r in rates[BATCHES:]]
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    module, callback = Module(), ScheduleLR(COSINE)
    make_trainer(callback, max_epochs=4).fit(module, loader(), ckpt_path=tmp_path / "end.ckpt")
    assert module.rates[0] == [r / 2 for r in expected(COSINE, BATCHES, 3 * BATCHES)]
    with pytest.raises(RuntimeError, match="while training"):
        callback.set_multiplier(0.5)


# --- resume ----------------------------------------------------------------------------------------


def checkpoint(tmp_path, *callbacks, **arguments):
    trainer = fit(arguments.pop("module", None) or Module(), *callbacks, max_epochs=2, **arguments)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    return tmp_path / "two.ckpt"


def resume(path, *callbacks, module=None):
    module = module or Module()
    make_trainer(*callbacks).fit(module, loader(), ckpt_path=path)
    return module.rates[0]


def test_a_changed_schedule_is_refused_or_asked_for(tmp_path):
    path = checkpoint(tmp_path, ScheduleLR(ExponentialDecay(0.1, 10, 0.5)))
    longer = ExponentialDecay(0.1, 20, 0.5)
    with pytest.raises(ValueError, match="decay_steps of ExponentialDecay: saved 10, now 20"):
        resume(path, ScheduleLR(longer))
    rates = resume(path, ScheduleLR(longer, on_config_change="use_new"))
    assert rates == expected(longer, BATCHES, 2 * BATCHES)


def test_a_changed_count_is_refused_or_asked_for(tmp_path):
    path = checkpoint(tmp_path, ScheduleLR(COSINE), accumulate_grad_batches=2)
    with pytest.raises(ValueError, match="count='update', now count='micro_batch'"):
        resume(path, ScheduleLR(COSINE, count="micro_batch"))
    new = ScheduleLR(COSINE, count="micro_batch", on_config_change="use_new")
    assert resume(path, new) == expected(COSINE, BATCHES, 2 * BATCHES)


def test_the_checkpoint_is_plain(tmp_path):
    path = checkpoint(tmp_path, ScheduleLR(COSINE))
    state = torch.load(path, weights_only=True)["callbacks"]["ScheduleLR{'optimizer': None}"]
    assert state["optimizers"]["0"]["updates"] == 2 * BATCHES


def test_a_checkpoint_without_the_callback(tmp_path):
    path = checkpoint(tmp_path)
    with pytest.warns(UserWarning, match=r"begins at trainer.global_step = 8"):
        rates = resume(path, ScheduleLR(COSINE))
    assert rates == expected(COSINE, BATCHES, 8)
    assert resume(path, ScheduleLR(COSINE, initial_update=5)) == expected(COSINE, BATCHES, 5)
    epochs = StepDecay(0.1, 0.5, 2)
    assert resume(path, ScheduleLR(epochs)) == [epochs(2)] * BATCHES


def test_a_checkpoint_without_the_callback_by_hand(tmp_path):
    path = checkpoint(tmp_path, module=Module(two, automatic=False))
    with pytest.raises(ValueError, match="Pass initial_update=<updates so far>"):
        resume(path, ScheduleLR(COSINE), module=Module(two, automatic=False))
    rates = resume(path, ScheduleLR(COSINE, initial_update=8), module=Module(two, automatic=False))
    assert rates == expected(COSINE, BATCHES, 8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.update(format="other"), "not the state of lrparity"),
        (lambda s: s.update(version=99), "version 99"),
        (lambda s: s.update(optimizers=[1]), "'optimizers' is"),
        (lambda s: s["optimizers"]["0"].update(updates=-1), "'updates' is -1"),
        (lambda s: s["optimizers"]["0"].update(updates=True), "'updates' is True"),
        (lambda s: s["optimizers"]["0"].update(updates=10**30), "'updates' is 1000"),
        (lambda s: s["optimizers"]["0"].update(scales=[1]), "'scales' is"),
        (lambda s: s.update(version=True), "version True"),
        (lambda s: s["optimizers"].update({"1" * 5000: {}}), "'optimizers' is"),
        (lambda s: s["optimizers"]["0"].update(count="days"), "'count' is 'days'"),
        (lambda s: s["optimizers"]["0"].pop("scheduler"), "state of an lrparity scheduler"),
        (lambda s: s["optimizers"].update({"0": 3}), "'updates' is None"),
    ],
)
def test_a_damaged_state_is_refused(damage, message):
    callback = ScheduleLR(COSINE)
    fit(Module(), callback)
    state = copy.deepcopy(callback.state_dict())
    damage(state)
    with pytest.raises(ValueError, match=message):
        ScheduleLR(COSINE).load_state_dict(state)


# --- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"schedule": 0.1}, TypeError, "`schedule` must be a LearningRateSchedule or a function"),
        ({"schedule": CosineDecay}, TypeError, "Instantiate it"),
        ({"schedule": {}}, ValueError, "empty mapping"),
        ({"schedule": []}, ValueError, "empty list"),
        ({"schedule": {1.5: COSINE}}, TypeError, "the key 1.5"),
        ({"schedule": {0: [COSINE, 1]}}, TypeError, r"schedule\[0\]\[1\]"),
        ({"schedule": {0: COSINE}, "optimizer": 0}, ValueError, "both name optimizers"),
        ({"optimizer": 1.5}, TypeError, "must be an integer, a string or None"),
        ({"optimizer": True}, TypeError, "must be an integer, a string or None"),
        ({"numerics": "fast"}, ValueError, "`numerics` must be one of 'eager', 'graph'"),
        ({"count": "batches"}, ValueError, "`count` must be one of 'update', 'micro_batch'"),
        ({"initial_update": -1}, ValueError, "`initial_update` must be an integer >= 0"),
        ({"initial_update": 1.0}, ValueError, "`initial_update` must be an integer >= 0"),
        ({"on_config_change": "no"}, ValueError, "`on_config_change` must be one of"),
        ({"log": ""}, ValueError, "`log` is an empty name"),
        ({"log": 2}, TypeError, "`log` must be True or False"),
        ({"prog_bar": True}, ValueError, "pass log=True too"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        ScheduleLR(**{"schedule": COSINE} | arguments)


def test_an_optimizer_instead_of_its_place():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(TypeError, match="pass the place, such as 0"):
        ScheduleLR(COSINE, optimizer=optimizer)


def test_an_optimizer_that_is_not_there():
    for selector in (1, -1, "Adam", "1"):
        with pytest.raises(ValueError, match=r"There are: 0 \('SGD'\)"):
            fit(Module(), ScheduleLR(COSINE, optimizer=selector))
    with pytest.raises(ValueError, match="'SGD' twice"):
        fit(Module(), ScheduleLR({0: COSINE, "SGD": DROPS}))


@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
def test_no_optimizer_at_all():
    module = Module(automatic=False)
    module.configure_optimizers = lambda: None
    with pytest.raises(ValueError, match="configure_optimizers returns no optimizer"):
        fit(module, ScheduleLR(COSINE))


@pytest.mark.parametrize("kind", ["torch", "lrparity", "plateau"])
def test_a_scheduler_of_the_same_optimizer_is_refused(kind):
    def make(parameters):
        optimizer = torch.optim.SGD(parameters, lr=7.0)
        scheduler = {
            "torch": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 1),
            "lrparity": lambda: lr_scheduler.ScheduleLR(optimizer, COSINE).lightning_config(),
            "plateau": lambda: {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer),
                "monitor": "loss",
            },
        }[kind]()
        return [optimizer], [scheduler]

    with pytest.raises(ValueError, match=r"To keep the callback, return the optimizer alone"):
        fit(Module(make), ScheduleLR(COSINE))


def test_a_scheduler_of_a_wrapper_is_refused():
    def make(parameters):
        optimizer = Own(parameters, lr=7.0)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    with pytest.raises(ValueError, match=r"To keep the callback, return the optimizer alone"):
        fit(Module(make), ScheduleLR(COSINE))


def test_a_scheduler_of_another_optimizer_is_fine():
    def make(parameters):
        optimizers = two(parameters)
        return optimizers, [torch.optim.lr_scheduler.StepLR(optimizers[1], 1)]

    module = Module(make, automatic=False)
    fit(module, ScheduleLR(COSINE, optimizer=0))
    assert module.rates[0] == expected(COSINE, 3 * BATCHES)


def test_two_callbacks_for_one_optimizer_are_refused():
    with pytest.raises(ValueError, match="Two ScheduleLR callbacks drive the optimizer 'SGD'"):
        fit(Module(), ScheduleLR(COSINE, optimizer=0), ScheduleLR(DROPS, optimizer="SGD"))


# --- the two import names --------------------------------------------------------------------------


@pytest.mark.parametrize("trainer_of", ["lightning.pytorch", "pytorch_lightning"])
@pytest.mark.parametrize("callback_of", ["lightning_pytorch", "pytorch_lightning"])
def test_either_callback_runs_in_either_trainer(trainer_of, callback_of, tmp_path):
    house = importlib.import_module(trainer_of)
    callbacks = importlib.import_module(f"lrparity.callbacks.{callback_of}")
    own = importlib.import_module(callback_of.replace("lightning_pytorch", "lightning.pytorch"))
    assert issubclass(callbacks.ScheduleLR, own.Callback)
    assert callbacks.ScheduleLR.__doc__.startswith("Drive the optimizers")

    class Own(house.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.rates = torch.nn.Linear(3, 1), []

        def training_step(self, batch, batch_idx):
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=7.0)
            hook = lambda o, *_: self.rates.append(o.param_groups[0]["lr"])  # noqa: E731
            optimizer.register_step_pre_hook(hook)
            return optimizer

    rates = []
    for epochs in (1, 3):
        module = Own()
        trainer = house.Trainer(
            max_epochs=epochs, callbacks=[callbacks.ScheduleLR(COSINE, log=True)], **QUIET
        )
        path = tmp_path / "one.ckpt"
        trainer.fit(module, loader(), ckpt_path=path if epochs > 1 else None)
        trainer.save_checkpoint(path)
        rates += module.rates
    assert_same_bits(np.float32(rates), COSINE(np.arange(3 * BATCHES)))
