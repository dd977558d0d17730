"""``callbacks.LearningRateRecorder``: rates against the weights' own account, metrics, files, resume."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import os
import pickle
import shutil
import struct
import tracemalloc
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lightning_side import QUIET
from lrparity.callbacks import _rates, _recorder, _track
from lrparity.callbacks._rates import RatesInFile, RatesInMemory, read_side_file
from lrparity.optim import SGD
from lrparity.trajectory import Trajectory, _file

pytestmark = [
    # It is what is tested, and the loaders give the same batch throughout.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the"),
    # The callback that wrote the checkpoint is not wanted in the run that goes on.
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used"),
]

HOUSES = ("lightning.pytorch", "pytorch_lightning")
RATES = [float(np.float32(1 / (k + 1))) for k in range(1000)]  # all different
HEADER = _rates.MAGIC + bytes(_rates.RUN_BYTES)


def lightning(house=HOUSES[0]):
    return importlib.import_module(house)


def recorder_class(house=HOUSES[0]):
    return importlib.import_module(
        f"lrparity.callbacks.{house.replace('.', '_')}"
    ).LearningRateRecorder


Recorder = recorder_class()


class Body:
    """One weight per optimizer: it is 0 before each update, its gradient 1, so it tells the rate.

    Attributes:
        rates: what each optimizer's updates used, by the weights alone.
        say: ``say(self, hook, batch_idx)`` logs something in a hook.
    """

    def __init__(
        self,
        *,
        batches=4,
        optimizers=1,
        manual=False,
        overflows=(),
        nothing=(),
        make=lambda parameters, **more: torch.optim.SGD(parameters, lr=RATES[0], **more),
        say=lambda module, hook, batch_idx: None,
        **options,
    ):
        super().__init__()
        self.automatic_optimization = not manual
        self.weights = torch.nn.ParameterList([torch.zeros(1) for _ in range(optimizers)])
        self.backbone = torch.nn.Linear(1, 1, bias=False)
        self.batches, self.overflows, self.nothing = batches, overflows, nothing
        self.make, self.say, self.options = make, say, options
        self.rates = [[] for _ in range(optimizers)]
        self.seen_batches = 0

    def configure_optimizers(self):
        made = [self.make([weight], **self.options) for weight in self.weights]
        for i, optimizer in enumerate(made):
            optimizer.register_step_post_hook(lambda *_, i=i: self.account(i))
        return made

    @torch.no_grad()
    def account(self, i):
        if self.weights[i].item() != 0.0:
            self.rates[i].append(-self.weights[i].item())
            self.weights[i].zero_()

    def training_step(self, batch, batch_idx):
        self.say(self, "training_step", batch_idx)
        n, self.seen_batches = self.seen_batches, self.seen_batches + 1
        loss = sum(weight.sum() for weight in self.weights) + 0 * self.backbone.weight.sum()
        if n in self.overflows:
            loss = loss * torch.inf
        if self.automatic_optimization:
            return None if n in self.nothing else loss
        made = self.optimizers()
        for optimizer in made if isinstance(made, list) else [made]:
            optimizer.zero_grad()
        self.manual_backward(loss)
        for i, optimizer in enumerate(made if isinstance(made, list) else [made]):
            if i == 0 or batch_idx % 2:
                optimizer.step()
        return None

    def validation_step(self, batch, batch_idx):
        self.say(self, "validation_step", batch_idx)

    def on_before_optimizer_step(self, optimizer):
        self.say(self, "on_before_optimizer_step", None)
        if self.trainer.accumulate_grad_batches > 1:
            for weight in self.weights:  # a sum of thirds is not 1
                weight.grad.fill_(1.0)

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.say(self, "on_train_batch_end", batch_idx)

    def on_train_epoch_end(self):
        self.say(self, "on_train_epoch_end", None)

    def train_dataloader(self):
        return torch.utils.data.DataLoader([torch.ones(1)] * self.batches, batch_size=None)

    val_dataloader = test_dataloader = train_dataloader

    def test_step(self, batch, batch_idx):
        pass


class Fatal(Exception):
    """What a test interrupts a training with."""


def module_of(house=HOUSES[0], **arguments):
    return type("Module", (Body, lightning(house).LightningModule), {})(**arguments)


def callback_of(hooks, house=HOUSES[0]):
    """A callback with these hooks."""
    return type("Some", (lightning(house).Callback,), hooks)()


def writer(house=HOUSES[0]):
    """Writes the next rate as soon as a step is done, as ScheduleLR does."""

    def on_train_start(self, trainer, module):
        for optimizer in trainer.optimizers:
            rates = iter(RATES[1:])

            def write(stepped, *_, rates=rates):
                stepped.param_groups[0]["lr"] = next(rates)

            optimizer.register_step_post_hook(write)

    return callback_of({"on_train_start": on_train_start}, house)


def trainer_of(callbacks, house=HOUSES[0], amp=False, **more):
    pl = lightning(house)
    if amp:
        precision = importlib.import_module(f"{house}.plugins.precision")
        more["plugins"] = [precision.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]
    own = {"max_epochs": 3, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    return pl.Trainer(callbacks=callbacks, **QUIET | own | more)


def fit(module, callbacks, house=HOUSES[0], ckpt_path=None, **more):
    trainer = trainer_of(callbacks, house, **more)
    trainer.fit(module, ckpt_path=ckpt_path)
    return trainer


def series(recorder):
    return {name: values.tolist() for name, values in recorder.trajectory.rates.items()}


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def ours(caught):
    """Which warnings are the recorder's."""
    texts = [str(one.message) for one in caught]
    begins = "LearningRateRecorder", "The weights of the optimizer"
    return [text for text in texts if text.startswith(begins)]


def metric(recorder, name):
    return recorder.trajectory.metrics[name].tolist()


def assert_same(a, b):
    """Equal lists of floats, NaN being NaN."""
    np.testing.assert_array_equal(a, b, strict=True)


# --- rates ----------------------------------------------------------------------------------------

WAYS = {
    "plain": ({}, {}, 12),
    "accumulated": ({"batches": 5}, {"accumulate_grad_batches": 2}, 9),
    "accumulated ragged": ({"batches": 7}, {"accumulate_grad_batches": 3}, 9),
    "AMP": ({"overflows": (0, 1, 6, 11)}, {"amp": True}, 8),
    "AMP fused": ({"overflows": (0, 1, 6, 11), "fused": True}, {"amp": True}, 8),
    "AMP accumulated": (
        {"batches": 5, "overflows": (0, 7, 8)},
        {"amp": True, "accumulate_grad_batches": 2},
        7,
    ),
    "manual": ({"manual": True}, {}, 12),
    "manual AMP": ({"manual": True, "overflows": (2, 3)}, {"amp": True}, 10),
    "two": ({"manual": True, "optimizers": 2}, {}, 12),
    "no gradients": ({"nothing": (1, 2, 11)}, {}, 9),
}


@pytest.mark.parametrize("house", HOUSES)
@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("way", WAYS)
# Lightning says so itself where training_step returns None.
@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_each_update_has_the_rate_that_it_used(way, order, house):
    options, trainer, updates = WAYS[way]
    module, recorder = module_of(house, **options), recorder_class(house)()
    callbacks = [recorder, writer(house)] if order == "first" else [writer(house), recorder]
    fit(module, callbacks, house, **trainer)
    assert len(module.rates[0]) == updates
    assert len(set(module.rates[0])) == updates
    assert list(series(recorder).values()) == module.rates
    if way == "two":
        assert list(series(recorder)) == ["learning_rate/SGD", "learning_rate/SGD-1"]
        assert len(module.rates[1]) == 6
    else:
        assert list(series(recorder)) == ["learning_rate"]


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("hook", ["training_step", "on_before_optimizer_step"])
def test_a_rate_that_is_set_within_the_step_is_the_rate_of_that_update(hook, amp):
    rates = iter(RATES[5:])

    def say(module, where, _):
        if where == hook:
            module.trainer.optimizers[0].param_groups[0]["lr"] = next(rates)

    module, recorder = module_of(say=say), Recorder()
    fit(module, [recorder], amp=amp)
    assert series(recorder) == {"learning_rate": module.rates[0]}
    assert module.rates[0] == RATES[5:17]


def test_control_a_rate_read_after_the_step_is_found_out(monkeypatch):
    def late(self):
        self._read()
        record(self)

    record = _track.Track._record
    monkeypatch.setattr(_track.Track, "_record", late)
    module, recorder = module_of(), Recorder()
    fit(module, [writer(), recorder])
    assert series(recorder)["learning_rate"] != module.rates[0]


def test_control_a_rate_read_before_the_closure_is_found_out(monkeypatch):
    def early(self, *_):
        self._read()

    monkeypatch.setattr(_track.Track, "_before_step", early)
    test = test_a_rate_that_is_set_within_the_step_is_the_rate_of_that_update
    with pytest.raises(AssertionError):
        test("on_before_optimizer_step", amp=False)


def test_control_a_skipped_step_that_is_counted_is_found_out(monkeypatch):
    from lrparity.lr_scheduler import _updates

    monkeypatch.setattr(_updates, "_was_skipped", lambda optimizer: False)
    with pytest.raises(AssertionError):
        test_each_update_has_the_rate_that_it_used("AMP fused", "last", HOUSES[0])


def test_doubles_and_tensors():
    recorder = Recorder()
    fit(module_of(make=lambda p: torch.optim.SGD(p, lr=0.1)), [recorder])
    assert series(recorder) == {"learning_rate": [0.1] * 12}

    rate = torch.tensor(0.1)

    def halve(self, trainer, module, *_):
        rate.mul_(0.5)

    recorder = Recorder()
    make = lambda p: torch.optim.SGD(p, lr=rate)  # noqa: E731
    fit(module_of(make=make), [callback_of({"on_train_batch_end": halve}), recorder])
    expected = [float(np.float32(0.1) * np.float32(0.5) ** k) for k in range(12)]
    assert series(recorder) == {"learning_rate": expected}


def test_closures_by_position_and_optimizers_without_a_rate():
    class Bare(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            return closure()

    weight = torch.nn.Parameter(torch.ones(1))
    for optimizer in (Bare([weight]), torch.optim.LBFGS([weight], lr=0.5)):
        rates = RatesInMemory()
        track = _track.Track(optimizer, rates, lambda: ["a"], rates.flush, applied=False)

        def closure(optimizer=optimizer):
            optimizer.zero_grad()
            loss = (weight**2).sum()
            loss.backward()
            return loss

        assert optimizer.step(closure) >= 0
        assert_same(rates.values()["a"].tolist(), [optimizer.param_groups[0].get("lr", math.nan)])
        track.remove()
        optimizer.step(closure)
        assert rates.length("a") == 1


@pytest.mark.parametrize("reading", ["reported", "applied"])
def test_reading_decides_between_lr_and_what_the_optimizer_multiplied_by(reading):
    module = module_of(make=lambda p: SGD(p, lr=0.5, decay=1.0))
    recorder = Recorder(reading=reading)
    fit(module, [recorder])
    assert recorder.trajectory.reading == reading
    expected = module.rates[0] if reading == "applied" else [0.5] * 12
    assert series(recorder) == {"learning_rate": expected}
    assert len(set(module.rates[0])) == 12


@pytest.mark.parametrize("house", HOUSES)
def test_a_group_that_joins_has_nan_up_to_then(house):
    finetuning = importlib.import_module(f"{house}.callbacks").BackboneFinetuning
    callback = finetuning(unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 0.5)
    recorder = recorder_class(house)()
    fit(module_of(house), [recorder, callback], house)
    rates = series(recorder)
    assert list(rates) == ["learning_rate", "learning_rate/pg2"]
    assert [len(values) for values in rates.values()] == [12, 12]
    assert np.isnan(rates["learning_rate/pg2"][:4]).all()
    assert np.isfinite(rates["learning_rate/pg2"][4:]).all()


def test_a_group_that_goes_and_comes_again_keeps_its_place():
    module, recorder = module_of(), Recorder()

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        optimizer, n = trainer.optimizers[0], module.seen_batches
        if n in (2, 9):
            weight = torch.nn.Parameter(torch.zeros(1))
            optimizer.add_param_group({"params": [weight], "lr": 0.25, "name": "head"})
        if n == 5:
            optimizer.param_groups.pop()

    fit(module, [recorder, callback_of({"on_train_batch_start": on_train_batch_start})])
    nan = math.nan
    assert_same(
        series(recorder)["learning_rate/head"], [nan] * 2 + [0.25] * 3 + [nan] * 4 + [0.25] * 3
    )


def test_optimizers_that_are_exchanged_during_training_are_followed():
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            trainer.optimizers = [torch.optim.SGD(list(module.weights), lr=0.25)]

    recorder = Recorder()
    fit(module_of(), [recorder, callback_of({"on_train_epoch_start": on_train_epoch_start})])
    assert series(recorder) == {"learning_rate": [1.0] * 4 + [0.25] * 8}


def test_a_training_without_updates_is_an_empty_trajectory():
    recorder = Recorder()
    assert series(recorder) == {"learning_rate": []}
    module = module_of()
    module.configure_optimizers = lambda: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, that there is no optimizer
        fit(module, [recorder])
    assert series(recorder) == {"learning_rate": []}


class Holding(torch.optim.Optimizer):
    """Holds another optimizer, as SAM and Lookahead do, and steps in one of three ways."""

    def __init__(self, parameters, attribute, steps):
        parameters = list(parameters)
        super().__init__(parameters, {"lr": 0.5})
        self.steps, self.counts = steps, itertools.count()
        inner = torch.optim.SGD(self.param_groups, lr=0.5)
        self.param_groups = inner.param_groups
        setattr(self, attribute, inner)
        self.inner = inner

    def second_step(self):
        self.param_groups[0]["lr"] = RATES[next(self.counts)]
        self.inner.step()

    def step(self, closure=None):
        self.param_groups[0]["lr"] = RATES[next(self.counts)]
        loss = None if closure is None else closure()
        if self.steps == "by itself":
            with torch.no_grad():
                for group in self.param_groups:
                    for weight in group["params"]:
                        weight.sub_(weight.grad, alpha=group["lr"])
        else:
            self.inner.step()
        return loss


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize(
    ("attribute", "steps", "named"),
    [
        ("held", "second_step", "'Holding'"),
        ("base_optimizer", "second_step", None),
        ("optimizer", "second_step", None),
        ("held", "by itself", None),
        ("optimizer", "by itself", None),
        ("held", "inner", None),
        ("base_optimizer", "inner", None),
        ("optimizer", "inner", None),
    ],
)
def test_an_optimizer_whose_steps_are_not_seen_is_a_warning(
    tmp_path, attribute, steps, named, in_file
):
    def make(parameters):
        optimizer = Holding(parameters, attribute, steps)
        optimizer.inner.register_step_post_hook(lambda *_: module.account(0))
        return optimizer

    module = module_of(make=make, manual=steps == "second_step")
    if steps == "second_step":

        def training_step(batch, batch_idx):
            optimizer = module.optimizers()
            optimizer.zero_grad()
            module.manual_backward(module.weights[0].sum())
            optimizer.second_step()

        module.training_step = training_step
    recorder = Recorder(tmp_path / "run.json" if in_file else None)
    if named is None:
        fit(module, [recorder])
        assert (
            series(recorder) == {"learning_rate": module.rates[0]} == {"learning_rate": RATES[:12]}
        )
        return
    with pytest.warns(
        UserWarning, match=f"The weights of the optimizer {named} changed in epoch 0, but no step"
    ) as all_:
        fit(module, [recorder])
    assert len(ours(all_)) == 1
    assert series(recorder) == {"learning_rate": []}
    assert module.rates[0] == RATES[:12]


def test_a_step_that_amp_skips_was_seen():
    fit(module_of(overflows=range(12)), [Recorder()], amp=True)


def test_an_optimizer_that_waits_is_not_remarked():
    fit(module_of(manual=True, optimizers=2, batches=1), [Recorder()])  # the second: at odd batches


def test_the_trajectory_grows_during_the_training_and_says_where_it_comes_from():
    lengths = []

    def on_train_batch_end(self, trainer, module, *_):
        lengths.append(len(recorder.trajectory))

    recorder = Recorder()
    fit(module_of(), [recorder, callback_of({"on_train_batch_end": on_train_batch_end})])
    assert lengths == list(range(1, 13))
    source = recorder.trajectory.provenance
    assert source["framework"] == "lightning"
    assert source["house"] == "lightning.pytorch"
    assert source["optimizers"] == "SGD"
    assert source["precision"] == "32-true"
    assert source["strategy"] == "SingleDeviceStrategy"
    assert recorder.trajectory.unit == "update"


# --- metrics --------------------------------------------------------------------------------------


def said(epoch, batch=0, kind=0):
    """A value that says where it comes from, and no float32: rounding would show."""
    return torch.tensor(1000.0 * kind + 10.0 * epoch + batch + 0.1, dtype=torch.float64)


def say_all(module, hook, batch_idx):
    epoch = module.trainer.current_epoch
    if hook == "training_step":
        value = said(epoch, batch_idx)
        module.log("mean", value, on_step=False, on_epoch=True, batch_size=1)
        module.log("last", value, on_step=True, on_epoch=False)
        module.log("forked", value, on_step=True, on_epoch=True, batch_size=1)
        module.log("single", value.float(), on_step=False, on_epoch=True, batch_size=1)
        if epoch != 1:
            module.log("sometimes", value, on_step=False, on_epoch=True, batch_size=1)
    if hook == "on_train_batch_end":
        module.log("behind", said(epoch, 0, 3), on_step=False, on_epoch=True, batch_size=1)
    if hook == "validation_step":
        sanity = module.trainer.sanity_checking
        value = said(99 if sanity else epoch, module.seen_batches % module.batches, 1)
        module.log("val", value, batch_size=1)
    if hook == "on_train_epoch_end":
        module.log("end", said(epoch, 0, 2))
        if epoch != 1:
            module.log("end sometimes", said(epoch, 0, 2))


def means(epochs=3, batches=4):
    return [float(sum(said(e, b) for b in range(batches)) / batches) for e in range(epochs)]


@pytest.mark.parametrize("house", HOUSES)
@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize("kind", ["none", "every", "second", "half", "across"])
def test_metrics_are_those_of_their_epochs(kind, sanity, order, house):
    nan, recorder = math.nan, recorder_class(house)()
    trainer = {
        "none": {},
        "every": {"limit_val_batches": 1.0},
        "second": {"limit_val_batches": 1.0, "check_val_every_n_epoch": 2},
        "half": {"limit_val_batches": 1.0, "val_check_interval": 0.5},
        "across": {
            "limit_val_batches": 1.0,
            "val_check_interval": 3,
            "check_val_every_n_epoch": None,
        },
    }[kind]
    other = writer(house)
    callbacks = [recorder, other] if order == "first" else [other, recorder]
    fit(module_of(house, say=say_all), callbacks, house, num_sanity_val_steps=sanity, **trainer)

    assert_same(metric(recorder, "mean"), means())
    assert_same(metric(recorder, "last"), [float(said(e, 3)) for e in range(3)])
    assert_same(metric(recorder, "forked"), means())
    assert_same(metric(recorder, "forked_epoch"), means())
    assert_same(metric(recorder, "forked_step"), [float(said(e, 3)) for e in range(3)])
    assert_same(metric(recorder, "sometimes"), [means()[0], nan, means()[2]])
    assert_same(metric(recorder, "behind"), [float(said(e, 0, 3)) for e in range(3)])
    assert_same(metric(recorder, "end"), [float(said(e, 0, 2)) for e in range(3)])
    assert_same(
        metric(recorder, "end sometimes"), [float(said(0, 0, 2)), nan, float(said(2, 0, 2))]
    )
    single = metric(recorder, "single")
    assert all(float(np.float32(value)) == value for value in single)
    assert single == [float(np.float32(value)) for value in single] != means()
    expected = {
        "none": None,
        "every": [said(0, 0, 1), said(1, 0, 1), said(2, 0, 1)],
        "second": [nan, said(1, 0, 1), nan],
        "half": [said(0, 0, 1), said(1, 0, 1), said(2, 0, 1)],
        "across": [said(0, 3, 1), said(1, 2, 1), said(2, 0, 1)],  # after batches 3, 6, 9 and 12
    }[kind]
    if expected is None:
        assert "val" not in recorder.trajectory.metrics
    else:
        assert_same(metric(recorder, "val"), [float(value) for value in expected])


def test_control_a_stale_metric_is_found_out(monkeypatch):
    from lrparity.callbacks import _epoch_metrics

    monkeypatch.setattr(_epoch_metrics, "fresh", lambda current, before: dict(current))
    with pytest.raises(AssertionError):
        test_metrics_are_those_of_their_epochs("second", 0, "first", HOUSES[0])


@pytest.mark.parametrize("order", ["first", "last"])
def test_what_another_callback_writes_as_an_epoch_starts_belongs_to_it(order):
    def on_train_epoch_start(self, trainer, module):
        trainer.callback_metrics["theirs"] = torch.tensor(float(trainer.current_epoch))

    recorder, other = Recorder(), callback_of({"on_train_epoch_start": on_train_epoch_start})
    fit(module_of(), [recorder, other] if order == "first" else [other, recorder])
    assert metric(recorder, "theirs") == [0.0, 1.0, 2.0]


def test_where_lightnings_results_are_unknown_the_objects_decide(monkeypatch):
    from lrparity.callbacks import _epoch_metrics

    monkeypatch.setattr(_epoch_metrics, "_logged_in_training", lambda *_: None)
    monkeypatch.setattr(_epoch_metrics, "_means", lambda *_: {})
    test_metrics_are_those_of_their_epochs("half", 2, "last", HOUSES[0])


def test_the_recorder_changes_no_metric():
    """A torchmetrics object that is updated behind its log is computed as without the recorder."""
    torchmetrics = importlib.import_module("torchmetrics")

    def run(callbacks):
        found = {}

        def say(module, hook, batch_idx):
            if hook == "training_step":
                module.log("sum", module.sum, on_step=False, on_epoch=True)
            if hook == "on_train_batch_end":
                module.sum.update(torch.tensor(1.0))

        def on_train_end(self, trainer, module):
            found.update({n: float(v) for n, v in trainer.callback_metrics.items()})

        module = module_of(say=say)
        module.sum = torchmetrics.SumMetric()
        fit(module, [*callbacks, callback_of({"on_train_end": on_train_end})], max_epochs=2)
        return found

    assert run([]) == run([Recorder()])


def test_some_metrics_or_none():
    recorder = Recorder(metrics=["end", "mean"])
    fit(module_of(say=say_all), [recorder])
    assert list(recorder.trajectory.metrics) == ["end", "mean"]
    recorder = Recorder(metrics=False)
    fit(module_of(say=say_all), [recorder])
    assert not recorder.trajectory.metrics


def test_a_metric_that_never_comes_is_nan_and_a_warning():
    recorder = Recorder(metrics=["mean", "forkd"])
    with pytest.warns(UserWarning, match=r"\['forkd'\], which no epoch had.*mean 'forked'\?"):
        fit(module_of(say=say_all), [recorder])
    assert_same(metric(recorder, "forkd"), [math.nan] * 3)


def test_what_is_no_number_is_left_out_with_one_warning():
    def on_train_epoch_start(self, trainer, module):
        trainer.callback_metrics["pair"] = torch.ones(2)

    other = callback_of({"on_train_epoch_start": on_train_epoch_start})
    recorder = Recorder(metrics=["pair"])
    with pytest.warns(UserWarning, match="asked for the metric 'pair' .* is no number") as caught:
        fit(module_of(), [recorder, other])
    assert len(ours(caught)) == 1
    assert_same(metric(recorder, "pair"), [math.nan] * 3)
    recorder = Recorder()
    fit(module_of(), [recorder, other])  # and without where nobody asked for it
    assert not recorder.trajectory.metrics


def torchmetric(compute, shape=()):
    """A torchmetrics object that counts its updates, and computes this from the count."""
    torchmetrics = importlib.import_module("torchmetrics")

    class Counted(torchmetrics.Metric):
        full_state_update = False

        def __init__(self, **options):
            super().__init__(**options)
            self.add_state("count", torch.zeros(shape), "sum")

        def update(self):
            self.count = self.count + 1

        def compute(self):
            return compute(self.count)

    return Counted


def say_steady_and_count(module, hook, batch_idx):
    say_steady(module, hook, batch_idx)
    if hook == "training_step":
        module.counted.update()
        module.log("counted", module.counted, on_step=False, on_epoch=True, logger=False)


@pytest.mark.parametrize("metrics", [True, ["mean"], ["mean", "counted"]])
def test_a_metric_of_several_numbers_does_not_disturb_the_others(metrics):
    recorder, module = Recorder(metrics=metrics), module_of(say=say_steady_and_count)
    module.counted = torchmetric(lambda count: count, (3,))()
    if "counted" in np.atleast_1d(metrics):
        with pytest.warns(UserWarning, match="asked for the metric 'counted'") as caught:
            fit(module, [recorder])
        assert len(ours(caught)) == 1
    else:
        fit(module, [recorder])
    assert metric(recorder, "mean") == [float(steady(epoch)) for epoch in range(3)]


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("metrics", [True, ["mean", "counted"]])
def test_a_metric_that_is_complete_only_after_the_last_batch_is_taken_then(metrics, synced):
    def compute(count):
        if int(count) % 5:
            raise RuntimeError("not all there")
        return count

    def say(module, hook, batch_idx):
        say_steady_and_count(module, hook, batch_idx)
        if hook == "on_train_batch_end" and batch_idx == 3:
            module.counted.update()

    recorder, module = Recorder(metrics=metrics), module_of(say=say)
    options = {"distributed_available_fn": lambda: True, "dist_sync_fn": lambda one, group: [one]}
    module.counted = torchmetric(compute)(**(options if synced else {}))
    fit(module, [recorder])
    assert metric(recorder, "counted") == [5.0] * 3
    assert metric(recorder, "mean") == [float(steady(epoch)) for epoch in range(3)]


def test_a_metric_that_nobody_asked_for_is_not_computed():
    computed = []

    def compute(count):
        computed.append(float(count))
        return count

    def run(callbacks):
        computed.clear()
        module = module_of(say=say)
        module.counted = torchmetric(compute)()
        fit(module, callbacks)
        return list(computed)

    def say(module, hook, batch_idx):
        say_steady_and_count(module, hook, batch_idx)
        if hook == "on_train_batch_end":
            module.counted.update()

    assert run([Recorder(metrics=["mean"])]) == run([]) != run([Recorder()])


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("house", HOUSES)
def test_the_file_holds_what_memory_holds(tmp_path, house):
    path = tmp_path / "new" / "folder" / "run.json"
    in_file, in_memory = recorder_class(house)(path), recorder_class(house)()
    module = module_of(house, say=say_all, optimizers=2, manual=True)
    fit(module, [in_file, in_memory, writer(house)], house, limit_val_batches=1.0)
    assert Trajectory.load(path) == in_memory.trajectory == in_file.trajectory
    assert list(series(in_memory).values()) == module.rates
    assert files(path.parent) == ["run.json"]


def test_a_file_that_is_there_is_replaced_at_the_end_only(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("old")
    (tmp_path / "run.json.part").write_text("old")
    seen = []

    def on_train_epoch_end(self, trainer, module):
        seen.append(path.read_text())
        part = Recorder.read_part(f"{path}.part")["learning_rate"]
        assert part.tolist() == series(recorder)["learning_rate"] == module.rates[0]

    recorder = Recorder(path)
    other = callback_of({"on_train_epoch_end": on_train_epoch_end})
    fit(module_of(), [recorder, other, writer()])
    assert seen == ["old"] * 3
    assert Trajectory.load(path) == recorder.trajectory


def steps_of(optimizer, number):
    for group in optimizer.param_groups:
        group["params"][0].grad = torch.ones(1)
    for k in range(number):
        optimizer.param_groups[0]["lr"] = 1.0 / (k + 1)
        optimizer.step()


def test_a_long_run_takes_bounded_memory(tmp_path):
    updates = 200_000
    peaks = {}
    for rates in (RatesInMemory(), RatesInFile(str(tmp_path / "run.json"))):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        if isinstance(rates, RatesInFile):
            rates.begin()
        steps_of(optimizer, 10)
        tracemalloc.start()
        track = _track.Track(optimizer, rates, lambda: ["a"], rates.flush, applied=False)
        steps_of(optimizer, updates)
        peaks[type(rates)] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        track.remove()
        assert (rates.values()["a"] == 1.0 / np.arange(1, updates + 1)).all()
        assert len(pickle.dumps(rates.state_dict())) < (3000 if peaks.get(RatesInFile) else 2**21)
    assert peaks[RatesInFile] < 2**18 < 8 * updates < peaks[RatesInMemory]


def test_recording_in_memory_stops_at_the_limit_with_one_warning(monkeypatch):
    monkeypatch.setattr(_track, "BLOCK", 4)
    monkeypatch.setattr(_rates, "BLOCK", 4)
    recorder = Recorder()
    recorder._rates.limit = 9
    with pytest.warns(UserWarning, match="stops recording rates: .* Pass `path`") as caught:
        fit(module_of(say=say_all), [recorder])
    assert len(ours(caught)) == 1
    assert len(recorder.trajectory) == 8
    assert len(metric(recorder, "mean")) == 3


@pytest.mark.parametrize("limit", ["values", "bytes"])
def test_a_run_too_large_for_a_file_keeps_its_rates_in_the_part(tmp_path, monkeypatch, limit):
    if limit == "values":
        monkeypatch.setattr(_recorder, "MAXIMUM_VALUES", 11)
    else:
        monkeypatch.setattr(_file, "MAXIMUM_BYTES", 100)
    module, recorder = module_of(), Recorder(tmp_path / "run.json")
    with pytest.warns(UserWarning, match=r"could not write .*\.part': .*read_part reads"):
        fit(module, [recorder, writer()])
    assert files(tmp_path) == ["run.json.part"]
    part = Recorder.read_part(tmp_path / "run.json.part")
    assert part["learning_rate"].tolist() == module.rates[0]


def test_a_path_that_cannot_be_written_fails_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    module = module_of()
    with pytest.raises(FileExistsError, match=r"`path` of LearningRateRecorder is .*another path"):
        fit(module, [Recorder(tmp_path / "file" / "run.json")])
    with pytest.raises(IsADirectoryError, match=r"is a folder.*name of a file in it"):
        fit(module, [Recorder(tmp_path)])
    assert module.rates == [[]]


@pytest.mark.parametrize("name", ["run.json", "run.json.part"])
def test_what_is_no_regular_file_is_refused_and_left_alone(tmp_path, name):
    os.mkfifo(tmp_path / name)
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "run.json")
    for path in (tmp_path / "run.json", *([link] if name == "run.json" else [])):
        module = module_of()
        with pytest.raises(OSError, match=r"is no regular file\. Pass another path"):
            fit(module, [Recorder(path)])
        assert module.rates == [[]]
    assert (tmp_path / name).is_fifo()


def test_a_file_that_cannot_be_written_at_the_end_is_a_warning(tmp_path):
    path, ended = tmp_path / "run.json", []

    def on_train_epoch_start(self, trainer, module):
        path.mkdir(exist_ok=True)

    def on_train_end(self, trainer, module):
        ended.append(trainer.global_step)

    module, recorder = module_of(), Recorder(path)
    other = callback_of(
        {"on_train_epoch_start": on_train_epoch_start, "on_train_end": on_train_end}
    )
    with pytest.warns(UserWarning, match=r"run\.json': .*directory.* are in '.*\.part': ") as all_:
        trainer = fit(module, [recorder, writer(), other])
    assert len(ours(all_)) == 1
    assert str(path) in ours(all_)[0]
    assert ended == [12]
    assert trainer.state.status == "finished"
    part = Recorder.read_part(f"{path}.part")
    assert {name: list(rates) for name, rates in part.items()} == {"learning_rate": module.rates[0]}
    path.rmdir()
    recorder.trajectory.save(path)  # as the warning advises
    assert Trajectory.load(path).learning_rate.tolist() == module.rates[0]


def test_a_part_that_did_not_take_the_last_rates_is_said_to(tmp_path):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 2:
            (tmp_path / "run.json").mkdir()
            (tmp_path / "run.json.part").unlink()
            (tmp_path / "run.json.part").mkdir()

    other = callback_of({"on_train_epoch_start": on_train_epoch_start})
    with pytest.warns(UserWarning, match="LearningRateRecorder") as caught:
        fit(module_of(), [Recorder(tmp_path / "run.json"), other])
    assert ".part', but for the last 4, which it could not take" in ours(caught)[-1]


def test_a_side_file_that_cannot_be_written_any_more_is_a_warning(tmp_path):
    path = tmp_path / "run.json"

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            Path(f"{path}.part").rename(tmp_path / "away")
        if trainer.current_epoch == 2:
            (tmp_path / "away").rename(f"{path}.part")

    module, recorder = module_of(), Recorder(path)
    other = callback_of({"on_train_epoch_start": on_train_epoch_start})
    with pytest.warns(UserWarning, match="cannot write its side file: .*mend that") as caught:
        fit(module, [recorder, other, writer()])
    assert len(ours(caught)) == 1
    assert Trajectory.load(path).learning_rate.tolist() == module.rates[0]


def test_a_side_file_that_is_deleted_costs_what_was_in_it_and_no_more(tmp_path):
    path = tmp_path / "run.json"

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            Path(f"{path}.part").unlink()

    module, recorder = module_of(), Recorder(path)
    other = callback_of({"on_train_epoch_start": on_train_epoch_start})
    with pytest.warns(UserWarning, match="LearningRateRecorder") as caught:
        fit(module, [recorder, other, writer()])
    assert [text.split(":")[0] for text in ours(caught)] == [
        "LearningRateRecorder cannot write its side file",
        "LearningRateRecorder has recorded 12 rates and cannot find 4 of them",
    ]
    expected = [math.nan] * 4 + module.rates[0][4:]
    assert_same(Trajectory.load(path).learning_rate.tolist(), expected)


def test_a_relative_path_stays_where_the_training_began(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def on_train_epoch_start(self, trainer, module):
        monkeypatch.chdir(tmp_path / "elsewhere")

    module, recorder = module_of(), Recorder("run.json")
    key = recorder.state_key
    monkeypatch.chdir(tmp_path)
    other = callback_of({"on_train_epoch_start": on_train_epoch_start})
    trainer = fit(module, [recorder, other, writer()], max_epochs=1)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module)
    assert files(tmp_path) == ["elsewhere", "run.json"]
    assert files(tmp_path / "elsewhere") == []
    assert Trajectory.load(tmp_path / "run.json").learning_rate.tolist() == module.rates[0]
    assert recorder.state_key == key
    assert recorder.path == "run.json"


@pytest.mark.parametrize("then", ["moved", "another run's"])
@pytest.mark.parametrize("kept", [12, 11])
def test_a_finished_recorder_does_not_depend_on_its_file(tmp_path, monkeypatch, kept, then):
    monkeypatch.setattr(_rates, "KEPT", kept)
    path, module = tmp_path / "run.json", module_of()
    recorder = Recorder(path)
    trainer = fit(module, [recorder, writer()])
    before = recorder.trajectory
    path.rename(tmp_path / "moved.json")
    if then == "another run's":
        fit(module_of(), [Recorder(path)])
    if kept == 12:
        assert recorder.trajectory == copy.deepcopy(recorder).trajectory == before
        trainer.fit_loop.max_epochs = 4
        trainer.fit(module)
        assert series(recorder) == {"learning_rate": module.rates[0]}
        assert len(module.rates[0]) == 16
        return
    with pytest.warns(UserWarning, match=r"wrote 12 rates to .* moved, deleted") as caught:
        assert np.isnan(recorder.trajectory.learning_rate).all()
    assert len(ours(caught)) == 1
    assert "resume" not in ours(caught)[0]


def test_two_recorders_of_a_trainer_need_two_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    one = Recorder("run.json")
    for other in ("run.json", tmp_path / "run.json", "link/run.json", "run.json.part"):
        module = module_of()
        with pytest.raises(
            ValueError, match=r"Two .*write the file .*Give each a `path` of its own"
        ):
            fit(module, [one, Recorder(other, reading="applied")])
        assert module.rates == [[]]
    fit(module_of(), [one, Recorder("applied.json", reading="applied"), Recorder()])
    assert Trajectory.load("run.json").learning_rate.tolist() == [1.0] * 12
    assert Trajectory.load("applied.json").learning_rate.tolist() == [1.0] * 12


def test_a_side_file_that_another_run_has_replaced_is_left_alone(tmp_path):
    path, theirs = tmp_path / "run.json", HEADER + _rates._block("a", struct.pack("<d", 7.0))

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            Path(f"{path}.part").write_bytes(theirs)

    module, recorder = module_of(), Recorder(path)
    other = callback_of({"on_train_epoch_start": on_train_epoch_start})
    with pytest.warns(UserWarning, match="LearningRateRecorder") as caught:
        fit(module, [recorder, other, writer()])
    first, second = ours(caught)
    assert "another run has replaced" in first
    assert "cannot find 4 of them" in second
    assert Path(f"{path}.part").read_bytes() == theirs
    expected = [math.nan] * 4 + module.rates[0][4:]
    assert_same(Trajectory.load(path).learning_rate.tolist(), expected)


def test_an_exception_ends_in_a_file_and_without_hooks(tmp_path):
    path = tmp_path / "run.json"

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 2:
            raise Fatal

    module, recorder, memory = module_of(say=say_all), Recorder(path), Recorder()
    other = callback_of({"on_train_batch_end": on_train_batch_end})
    trainer = trainer_of([recorder, memory, other, writer()])
    with pytest.raises(Fatal):
        trainer.fit(module)
    assert Trajectory.load(path) == memory.trajectory == recorder.trajectory
    assert series(recorder) == {"learning_rate": module.rates[0]}
    assert len(module.rates[0]) == 7
    assert metric(recorder, "mean") == means()[:1]  # a part of an epoch has no mean
    optimizer = trainer.optimizers[0]
    assert not optimizer._optimizer_step_pre_hooks
    assert len(optimizer._optimizer_step_post_hooks) == 2  # the account and the writer


def test_what_goes_wrong_as_an_exception_is_handled_does_not_hide_it(tmp_path):
    folder = tmp_path / "gone"

    def on_train_epoch_end(self, trainer, module):
        shutil.rmtree(folder)
        raise Fatal

    recorder = Recorder(folder / "run.json")
    other = callback_of({"on_train_epoch_end": on_train_epoch_end})
    with pytest.warns(UserWarning, match="could not|cannot") as caught, pytest.raises(Fatal):
        fit(module_of(), [other, recorder])
    assert any("could not write" in text for text in ours(caught))


def test_no_hook_is_left_after_the_training():
    trainer = fit(module_of(), [Recorder(), Recorder(reading="applied")])
    optimizer = trainer.optimizers[0]
    assert not optimizer._optimizer_step_pre_hooks
    assert len(optimizer._optimizer_step_post_hooks) == 1  # the account


def test_a_trial_run_writes_no_file(tmp_path):
    recorder = Recorder(tmp_path / "run.json")
    fit(module_of(), [recorder], fast_dev_run=2)
    assert len(recorder.trajectory) == 2
    assert files(tmp_path) == []
    fit(module_of(), [recorder])
    assert len(Trajectory.load(tmp_path / "run.json")) == 12


# --- one recorder, several trainings --------------------------------------------------------------


@pytest.mark.parametrize("in_file", [False, True])
def test_a_trainer_goes_on_and_another_one_starts_anew(tmp_path, in_file):
    recorder = Recorder(tmp_path / "run.json" if in_file else None)
    module = module_of(say=say_all)
    trainer = fit(module, [recorder, writer()], max_epochs=1)
    first = recorder.trajectory
    trainer.validate(module, verbose=False)
    trainer.test(module, verbose=False)
    assert recorder.trajectory == first
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module)
    assert series(recorder) == {"learning_rate": module.rates[0]}
    assert len(module.rates[0]) == 12
    assert_same(metric(recorder, "mean"), means())
    if in_file:
        assert Trajectory.load(tmp_path / "run.json") == recorder.trajectory
    fit(module_of(say=say_all), [recorder, writer()], max_epochs=1)
    assert recorder.trajectory == first


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_epoch_start"])
@pytest.mark.parametrize("inner", ["fit", "validate"])
def test_a_recorder_belongs_to_one_training_at_a_time(tmp_path, hook, inner, in_file):
    def nested(self, trainer, module):
        if trainer.current_epoch == (hook == "on_train_epoch_start"):
            other = trainer_of([recorder], limit_val_batches=1.0)
            with pytest.raises(RuntimeError, match=r"still in use: .* Pass a copy"):
                getattr(other, inner)(module_of())
            refused.append(other)

    refused = []
    recorder, module = Recorder(tmp_path / "run.json" if in_file else None), module_of()
    trainer = fit(module, [recorder, writer(), callback_of({hook: nested})])
    assert len(refused) == 1
    assert trainer.state.status == "finished"
    assert series(recorder) == {"learning_rate": module.rates[0]}
    assert len(module.rates[0]) == 12
    fit(module_of(), [recorder], max_epochs=1)  # the training is over, though its trainer lives
    assert len(recorder.trajectory) == 4


def test_a_training_that_failed_does_not_keep_the_recorder():
    def on_train_batch_end(self, trainer, *_):
        raise Fatal

    def on_exception(self, trainer, module, exception):
        raise ZeroDivisionError  # the recorder does not hear of the end

    bad = callback_of({"on_train_batch_end": on_train_batch_end, "on_exception": on_exception})
    recorder = Recorder()
    trainer = trainer_of([bad, recorder])
    with pytest.raises(ZeroDivisionError):
        trainer.fit(module_of())
    fit(module_of(), [recorder], max_epochs=1)
    assert len(recorder.trajectory) == 4
    assert trainer.state.status == "interrupted"


def test_a_test_from_a_checkpoint_does_not_forget_the_training(tmp_path):
    recorder, module = Recorder(), module_of()
    trainer = trainer_of([recorder], max_epochs=1)
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    before = recorder.trajectory
    trainer.test(module, ckpt_path=tmp_path / "one.ckpt", verbose=False, weights_only=True)
    assert recorder.trajectory == before
    assert len(before) == 8


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("how", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_before_during_and_after(tmp_path, how, in_file):
    path = tmp_path / "run.json" if in_file else None
    recorder = how(Recorder(path))
    during = []

    def on_train_batch_end(self, trainer, module, *_):
        during.append((how(recorder).trajectory, recorder.trajectory))

    fit(module_of(say=say_all), [recorder, callback_of({"on_train_batch_end": on_train_batch_end})])
    assert len(during) == 12
    assert all(copied == original for copied, original in during)
    after = how(recorder)
    assert after.trajectory == recorder.trajectory
    fit(module_of(), [after], max_epochs=1)
    assert len(after.trajectory) == 4


# --- resume ---------------------------------------------------------------------------------------

SAVED_IN = (
    "on_train_start",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_batch_end",
    "on_validation_end",
    "on_train_epoch_end",
    "on_train_end",
)
LOST = {
    # Lightning skips the validation that was due, or goes on in its midst over what remains, ...
    ("on_validation_start", "val"),
    ("on_validation_batch_end", "val"),
    # ... and here it skips the end of the epoch, too.
    ("on_train_batch_end", "val"),
    ("on_train_batch_end", "end"),
}
LOST_BY_STEPS = {
    # Lightning 2.6 has no step left to do, and so no epoch to end.
    (hook, "end")
    for hook in ("on_validation_start", "on_validation_batch_end", "on_validation_end")
}
WITHIN_A_BATCH = ("on_train_batch_start", "on_before_zero_grad", "on_before_optimizer_step")


def steady(epoch, batch=0, kind=0):
    """A value whose mean over any number of batches is the same to the bit."""
    return torch.tensor(1000.0 * kind + 10.0 * epoch + 0.125, dtype=torch.float64)


def say_steady(module, hook, batch_idx):
    """Values that do not depend on how much of the epoch a resumed run has seen."""
    epoch = module.trainer.current_epoch
    if hook == "training_step":
        module.log("mean", steady(epoch), on_step=False, on_epoch=True, batch_size=1)
    if hook == "on_train_batch_end":
        module.log("behind", steady(epoch, 0, 3), on_step=False, on_epoch=True, batch_size=1)
    if hook == "validation_step":
        module.log("val", steady(epoch, 0, 1), batch_size=1)
    if hook == "on_train_epoch_end":
        module.log("end", steady(epoch, 0, 2))


def rate_by_batch(house=HOUSES[0]):
    """The rate depends on the batches done, which a checkpoint restores."""

    def on_train_batch_start(self, trainer, module, *_):
        total = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        for place, optimizer in enumerate(trainer.optimizers):
            optimizer.param_groups[0]["lr"] = RATES[2 * total + place]

    return callback_of({"on_train_batch_start": on_train_batch_start}, house)


def saver(folder, part=None):
    """Saves in every hook, and with each checkpoint a copy of the side file, as a SIGKILL leaves it."""
    counts = itertools.count()

    def save(hook):
        def do(self, trainer, *_, **__):
            name = f"{next(counts):03} {hook}"
            trainer.save_checkpoint(folder / f"{name}.ckpt")
            for left in () if part is None else (part, part.with_suffix("")):
                if left.exists():
                    shutil.copy(left, folder / f"{name}{left.suffix}")

        return do

    # As ModelCheckpoint: at the end of the list, and behind the module at the end of an epoch.
    base = lightning().callbacks.Checkpoint
    return type("Saver", (base,), {hook: save(hook) for hook in SAVED_IN})()


RESUMED = {
    "plain": ({}, {}),
    "half": ({}, {"val_check_interval": 0.5}),
    "accumulated": ({"batches": 5}, {"accumulate_grad_batches": 2}),
    "by steps": ({}, {"max_steps": 12, "max_epochs": -1}),
    "two": ({"manual": True, "optimizers": 2}, {}),
}


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("way", RESUMED)
def test_a_resumed_run_records_the_whole(tmp_path, way, in_file):
    options, trainer = RESUMED[way]
    trainer = {"limit_val_batches": 1.0} | trainer
    options = {"say": say_steady} | options
    path = tmp_path / "run.json" if in_file else None
    whole = Recorder(path)
    save = saver(tmp_path, tmp_path / "run.json.part" if in_file else None)
    callbacks = [whole, rate_by_batch(), save]
    fit(module_of(**options), callbacks, enable_checkpointing=True, **trainer)
    expected = whole.trajectory
    epochs = len(expected.metrics["mean"])
    assert epochs == 3
    saved = sorted(tmp_path.glob("*.ckpt"))
    assert len(saved) > 60
    lost = LOST | LOST_BY_STEPS if way == "by steps" else LOST
    for number, checkpoint in enumerate(saved):
        hook = checkpoint.stem.split()[1]
        if "manual" in options and hook in WITHIN_A_BATCH:
            continue  # Lightning does the whole batch once more, with the optimizers that had stepped
        folder = tmp_path / f"resumed{number}"
        folder.mkdir()
        path = folder / "run.json" if in_file else None
        if (finished := checkpoint.with_suffix(".json")).exists():
            shutil.copy(finished, folder / "run.json")
        part = checkpoint.with_suffix(".part")
        if part.exists():
            # what was recorded after the checkpoint, up to the kill, must not count
            tail = _rates._block("learning_rate", struct.pack("<3d", 7.0, 8.0, 9.0))
            (folder / "run.json.part").write_bytes(part.read_bytes() + tail)
        (tmp_path / "run.json").unlink(missing_ok=True)
        recorder, module = Recorder(path), module_of(**options)
        fit(module, [recorder, rate_by_batch()], ckpt_path=checkpoint, **trainer)
        found = Trajectory.load(path) if in_file else recorder.trajectory
        assert files(folder) == (["run.json"] if in_file else [])
        assert found.rates.keys() == expected.rates.keys()
        for name, values in expected.rates.items():
            assert_same(found.rates[name], values)
        for name, values in expected.metrics.items():
            got = found.metrics.get(name, np.full(epochs, np.nan))
            absent = np.isnan(got)
            assert absent.sum() <= ((hook, name) in lost), (checkpoint.stem, name, got)
            assert_same(np.where(absent, values, got), values)


def test_control_means_that_are_not_noted_are_found_out(tmp_path, monkeypatch):
    from lrparity.callbacks import _epoch_metrics

    monkeypatch.setattr(_epoch_metrics, "_means", lambda *_: {})
    with pytest.raises(AssertionError, match=r"on_train_batch_end.*(behind|mean)"):
        test_a_resumed_run_records_the_whole(tmp_path, "plain", in_file=False)


def interrupted(tmp_path, name="run.json"):
    """A run of two epochs that was killed in the second: its recorder, checkpoint and side file."""
    path, checkpoint = tmp_path / name, tmp_path / "one.ckpt"

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == 3:
            trainer.save_checkpoint(checkpoint)
            shutil.copy(f"{path}.part", tmp_path / "kept")
        if trainer.global_step == 6:
            raise Fatal

    recorder = Recorder(path)
    other = callback_of({"on_train_batch_end": on_train_batch_end})
    with pytest.raises(Fatal):
        fit(module_of(say=say_steady), [recorder, rate_by_batch(), other])
    assert len(recorder.trajectory) == 6
    return path, checkpoint, recorder.trajectory.learning_rate.tolist()


def resumed(path, checkpoint):
    recorder = Recorder(path)
    fit(module_of(say=say_steady), [recorder, rate_by_batch()], ckpt_path=checkpoint)
    assert Trajectory.load(path) == recorder.trajectory
    return recorder.trajectory.learning_rate.tolist()


WHOLE = [RATES[2 * k] for k in range(12)]


def test_a_resumed_run_finds_its_rates_in_the_finished_file(tmp_path):
    path, checkpoint, _ = interrupted(tmp_path)
    assert not Path(f"{path}.part").exists()
    assert resumed(path, checkpoint) == WHOLE


@pytest.mark.parametrize("kind", ["finished", "side"])
def test_a_resumed_run_finds_its_rates_in_the_old_folder(tmp_path, kind):
    path, checkpoint, _ = interrupted(tmp_path)
    if kind == "side":
        path.unlink()
        shutil.copy(tmp_path / "kept", f"{path}.part")
    assert resumed(tmp_path / "version_1" / "run.json", checkpoint) == WHOLE


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        ("missing", 0),
        ("empty", 0),
        ("short", 0),
        ("another run", 0),
        ("a folder", 0),
        ("a later branch", 0),
        ("the last block torn", 2),
    ],
)
def test_what_no_file_proves_is_nan_and_a_warning(tmp_path, damage, kept, monkeypatch):
    if kept:
        monkeypatch.setattr(_track, "BLOCK", 2)
    path, checkpoint, _ = interrupted(tmp_path)
    path.unlink()
    content = (tmp_path / "kept").read_bytes()
    part = Path(f"{path}.part")
    other = _rates._block("learning_rate", struct.pack("<6d", *[0.5] * 6))
    if damage == "a folder":
        part.mkdir()
    elif damage != "missing":
        part.write_bytes(
            {
                "empty": b"",
                "short": content[:-1],
                "another run": HEADER + other,
                "a later branch": HEADER
                + _rates._block("learning_rate", struct.pack("<2d", 1.0, 0.25))
                + other,
                "the last block torn": content[:-1],
            }[damage]
        )
    lost = 3 - kept
    if damage == "a folder":
        with pytest.raises(IsADirectoryError, match=r"\.part' is a folder"):
            resumed(path, checkpoint)
        assert not path.exists()
        return
    with pytest.warns(
        UserWarning, match=f"goes on after 3 rates and cannot find {lost} of them: .*restore"
    ):
        rates = resumed(path, checkpoint)
    assert_same(rates, WHOLE[:kept] + [math.nan] * lost + WHOLE[3:])


def test_lost_rates_stay_lost_and_the_others_are_found_again(tmp_path):
    path, checkpoint, _ = interrupted(tmp_path)
    path.unlink()
    second = tmp_path / "two.ckpt"

    def on_train_end(self, trainer, module):
        trainer.save_checkpoint(second)

    recorder = Recorder(path)
    other = callback_of({"on_train_end": on_train_end})
    with pytest.warns(UserWarning, match="cannot find 3 of them"):
        fit(module_of(), [other, recorder, rate_by_batch()], ckpt_path=checkpoint, max_epochs=2)
    assert_same(resumed(path, second), [math.nan] * 3 + WHOLE[3:])


def finder_of(kind, epochs, house=HOUSES[0]):
    """Lightning's finders at the start of epochs, as its documentation has them."""
    callbacks = importlib.import_module(f"{house}.callbacks")

    class Rates(callbacks.LearningRateFinder):
        def __init__(self):
            super().__init__(num_training_steps=6, early_stop_threshold=None, update_attr=False)

        def on_fit_start(self, trainer, module):
            pass

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch in epochs:
                self.lr_find(trainer, module)
                self.trials = True

    class Batches(callbacks.BatchSizeFinder):
        def __init__(self):
            super().__init__(steps_per_trial=3, max_trials=2)

        def on_fit_start(self, trainer, module):
            pass

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch in epochs:
                self.scale_batch_size(trainer, module)
                self.trials = True

    return {"rates": Rates, "batches": Batches}[kind]()


@pytest.mark.parametrize("house", HOUSES)
@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize(
    ("kind", "epochs"),
    # Lightning 2.6 ends the training where its batch size finder runs in a later epoch.
    [("rates", (0,)), ("rates", (1,)), ("rates", (0, 1, 2)), ("batches", (0,))],
)
def test_trial_steps_within_a_training_are_not_in_the_recording(
    tmp_path, monkeypatch, kind, epochs, order, in_file, house
):
    monkeypatch.setattr(_track, "BLOCK", 2)  # so that the side file takes trial steps, too
    options = {"default_root_dir": tmp_path / "root"}
    recorder = recorder_class(house)(tmp_path / "run.json" if in_file else None)
    finder, module = finder_of(kind, epochs, house), module_of(house, say=say_steady)
    module.batch_size = 2
    callbacks = [recorder, finder] if order == "first" else [finder, recorder]

    def on_train_batch_start(self, trainer, module, *_):
        if in_file:
            part = recorder.read_part(tmp_path / "run.json.part")
            assert len(part.get("learning_rate", ())) <= trainer.global_step

    other = callback_of({"on_train_batch_start": on_train_batch_start}, house)
    fit(module, [*callbacks, rate_by_batch(house), other], house, **options)
    assert finder.trials
    assert len(module.rates[0]) > 12
    whole = recorder_class(house)()
    fit(module_of(house, say=say_steady), [whole, rate_by_batch(house)], house, **options)
    assert series(whole) == {"learning_rate": WHOLE}
    assert series(recorder) == series(whole)
    assert recorder.trajectory.metrics.keys() >= whole.trajectory.metrics.keys()
    for name in whole.trajectory.metrics:
        assert_same(metric(recorder, name), metric(whole, name))
    if in_file:
        assert Trajectory.load(tmp_path / "run.json") == recorder.trajectory
        assert files(tmp_path) == ["root", "run.json"]


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("end", ["end", "exception"])
def test_a_training_that_ends_as_its_checkpoint_was_restored_is_recorded(tmp_path, end, in_file):
    path = tmp_path / "run.json"

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1:
            trainer.save_checkpoint(tmp_path / "one.ckpt")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 3:
            trainer._checkpoint_connector.restore(tmp_path / "one.ckpt", weights_only=True)
            if in_file:
                assert len(Recorder.read_part(f"{path}.part")["learning_rate"]) >= 4
            assert len(recorder.trajectory) == 4
            if end == "exception":
                raise Fatal
            trainer.should_stop = True

    hooks = {"on_train_epoch_start": on_train_epoch_start, "on_train_batch_end": on_train_batch_end}
    recorder = Recorder(path if in_file else None)
    callbacks = [recorder, rate_by_batch(), callback_of(hooks)]
    if end == "exception":
        with pytest.raises(Fatal):
            fit(module_of(), callbacks)
    else:
        fit(module_of(), callbacks)
    assert series(recorder) == {"learning_rate": WHOLE[:4]}
    if in_file:
        assert Trajectory.load(path) == recorder.trajectory


def test_a_side_file_that_cannot_be_begun_again_within_a_training_is_a_warning(tmp_path):
    folder = tmp_path / "folder"

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 6:
            trainer.save_checkpoint(tmp_path / "one.ckpt")
            folder.rename(tmp_path / "away")
            trainer._checkpoint_connector.restore(tmp_path / "one.ckpt", weights_only=True)
            trainer.fit_loop.restarting = trainer.fit_loop.epoch_loop.restarting = False
        if trainer.global_step == 9:
            (tmp_path / "away").rename(folder)

    def on_train_end(self, trainer, module):
        assert Recorder.read_part(folder / "run.json.part")["learning_rate"].tolist() == WHOLE

    recorder = Recorder(folder / "run.json")
    other = callback_of(
        {"on_train_batch_start": on_train_batch_start, "on_train_end": on_train_end}
    )
    with pytest.warns(UserWarning, match="cannot write its side file") as caught:
        fit(module_of(), [other, recorder, rate_by_batch()])
    assert len(ours(caught)) == 1
    assert Trajectory.load(folder / "run.json").learning_rate.tolist() == WHOLE
    assert files(folder) == ["run.json"]


def test_a_training_that_goes_on_without_a_state_says_so(tmp_path):
    checkpoint = tmp_path / "one.ckpt"
    fit(module_of(), [], max_epochs=1).save_checkpoint(checkpoint)
    recorder = Recorder()
    with pytest.warns(UserWarning, match=r"without the state .* after trainer.global_step = 4"):
        fit(module_of(), [recorder], ckpt_path=checkpoint)
    assert len(recorder.trajectory) == 8


def test_a_recorder_that_joins_a_trainer_later_says_so_and_not_of_a_checkpoint():
    module, recorder = module_of(), Recorder()
    trainer = fit(module, [], max_epochs=1)
    trainer.callbacks.append(recorder)
    trainer.fit_loop.max_epochs = 3
    with pytest.warns(UserWarning, match=r"has trained before.* trainer.global_step = 4") as caught:
        trainer.fit(module)
    assert not any("checkpoint" in str(one.message) for one in caught)
    assert len(recorder.trajectory) == 8


def test_a_checkpoint_loads_with_weights_only_and_stays_small(tmp_path):
    _, checkpoint, _ = interrupted(tmp_path)
    state = torch.load(checkpoint, weights_only=True)["callbacks"]
    (key,) = (key for key in state if key.startswith("LearningRateRecorder"))
    assert key == "LearningRateRecorder{'file': 'run.json', 'reading': 'reported'}"
    assert state[key]["rates"]["series"]["learning_rate"]["length"] == 3
    memory = Recorder()
    trainer = fit(module_of(), [memory])
    trainer.save_checkpoint(checkpoint)
    state = torch.load(checkpoint, weights_only=True)["callbacks"][memory.state_key]
    assert state["rates"]["series"]["learning_rate"].tolist() == [1.0] * 12


def test_state_keys():
    keys = {
        Recorder().state_key,
        Recorder("a.json").state_key,
        Recorder("b.json").state_key,
        Recorder(reading="applied").state_key,
    }
    assert len(keys) == 4
    assert Recorder("x/a.json").state_key == Recorder(Path("y/a.json"), metrics=False).state_key
    assert recorder_class(HOUSES[1])().state_key == Recorder().state_key
    with pytest.raises(RuntimeError, match="state_key"):
        trainer_of([Recorder(), Recorder()])


def state_of(in_file):
    recorder = Recorder("run.json" if in_file else None)
    if in_file:
        recorder._rates._series["learning_rate"] = _rates._Buffered(3, 5, [[2, 4]])
    else:
        recorder._rates.open("learning_rate", 3)
    return recorder.state_dict()


HUGE = 10**5000  # more digits than Python shows
DAMAGES = {
    "None": lambda s: None,
    "foreign": lambda s: {"format": "x"},
    "version": lambda s: s | {"version": 2},
    "version True": lambda s: s | {"version": True},
    "version of many digits": lambda s: s | {"version": "1" * 5000},
    "huge version": lambda s: s | {"version": HUGE},
    "version of several": lambda s: s | {"version": np.ones(2)},
    "format of several": lambda s: s | {"format": np.ones(2)},
    "huge": lambda s: HUGE,
    "huge kind": lambda s: s | {"rates": s["rates"] | {"kind": HUGE}},
    "kind of several": lambda s: s | {"rates": s["rates"] | {"kind": np.ones(2)}},
    "huge series": lambda s: s | {"rates": s["rates"] | {"series": HUGE}},
    "surrogate name": lambda s: s | {"rates": s["rates"] | {"series": {"\ud800": None}}},
    "huge epochs": lambda s: s | {"metrics": {"epochs": HUGE, "values": {}}},
    "many epochs": lambda s: s | {"metrics": {"epochs": 10**12, "values": {}}},
    "epochs True": lambda s: s | {"metrics": {"epochs": True, "values": {}}},
    "huge metric": lambda s: s | {"metrics": {"epochs": 1, "values": {"a": [HUGE]}}},
    "metric's huge name": lambda s: s | {"metrics": {"epochs": 1, "values": {HUGE: [1.0]}}},
    "metric's empty name": lambda s: s | {"metrics": {"epochs": 1, "values": {"": [1.0]}}},
    "metric of many digits": lambda s: (
        s | {"metrics": {"epochs": 1, "values": {"a": ["1" * 5000]}}}
    ),
    "no rates": lambda s: s | {"rates": None},
    "kind": lambda s: s | {"rates": s["rates"] | {"kind": "x"}},
    "no series": lambda s: s | {"rates": s["rates"] | {"series": None}},
    "name": lambda s: s | {"rates": s["rates"] | {"series": {1: None}}},
    "series": lambda s: s | {"rates": s["rates"] | {"series": {"a": None}}},
    "no metrics": lambda s: s | {"metrics": None},
    "epochs": lambda s: s | {"metrics": {"epochs": -1, "values": {}}},
    "metric": lambda s: s | {"metrics": {"epochs": 1, "values": {"a": 1}}},
    "metric's value": lambda s: s | {"metrics": {"epochs": 1, "values": {"a": ["1"]}}},
}
DAMAGES_IN_FILE = {
    "huge path": lambda s: s | {"rates": s["rates"] | {"path": HUGE}},
    "surrogate path": lambda s: s | {"rates": s["rates"] | {"path": "\ud800"}},
    "path": lambda s: s | {"rates": s["rates"] | {"path": 3}},
    **{
        f"counts {n}": lambda s, one=one: s | {"rates": s["rates"] | {"series": {"a": one}}}
        for n, one in enumerate(
            [
                {"length": -1, "crc": 0, "marks": []},
                {"length": 1, "crc": True, "marks": []},
                {"length": HUGE, "crc": 0, "marks": []},
                {"length": 1, "crc": HUGE, "marks": []},
                {"length": 1, "crc": 0, "marks": [[HUGE, 1]]},
                {"length": "1" * 5000, "crc": 0, "marks": []},
                {"length": 1, "crc": 0, "marks": [[1]]},
                {"length": 1, "crc": 0, "marks": [[1, "2"]]},
                {"length": 1, "crc": 0, "marks": None},
            ]
        )
    },
}
DAMAGES_IN_MEMORY = {
    "float32": lambda s: s | {"rates": s["rates"] | {"series": {"a": torch.zeros(3)}}},
    "without data": lambda s: (
        s
        | {
            "rates": s["rates"]
            | {"series": {"a": torch.zeros(3, dtype=torch.float64, device="meta")}}
        }
    ),
    "not flat": lambda s: (
        s | {"rates": s["rates"] | {"series": {"a": torch.zeros(3, 1, dtype=torch.float64)}}}
    ),
}


@pytest.mark.parametrize(
    ("in_file", "damage"),
    [
        pytest.param(in_file, damage, id=f"{name} {'file' if in_file else 'memory'}")
        for in_file in (False, True)
        for name, damage in (DAMAGES | (DAMAGES_IN_FILE if in_file else DAMAGES_IN_MEMORY)).items()
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(in_file, damage):
    state = state_of(in_file)
    recorder = Recorder("run.json" if in_file else None)
    recorder.load_state_dict(copy.deepcopy(state))
    before = recorder.state_dict()
    with pytest.raises(ValueError, match="LearningRateRecorder") as caught:
        recorder.load_state_dict(damage(state))
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) < 700
    assert str(recorder.state_dict()) == str(before)


def test_a_state_that_counts_more_rates_than_there_can_be_is_refused_at_the_start(tmp_path):
    state = state_of(in_file=True)
    state["rates"]["series"]["learning_rate"]["length"] = 10**12  # 8 TB of NaN
    recorder, module = Recorder(tmp_path / "run.json"), module_of()
    recorder.load_state_dict(state)
    with pytest.raises(ValueError, match="is damaged: no file has 1000000000000 of the rates"):
        _ = recorder.trajectory
    trainer = trainer_of([recorder])
    with pytest.raises(ValueError, match="is damaged: no file has 1000000000000 of the rates"):
        trainer.fit(module)
    assert module.rates == [[]]


def test_a_state_of_the_other_kind_is_refused():
    with pytest.raises(ValueError, match=r"saved by one with `path`, and this .* without `path`"):
        Recorder().load_state_dict(state_of(True))
    with pytest.raises(ValueError, match=r"saved by one without `path`, and this .* with `path`"):
        Recorder("run.json").load_state_dict(state_of(False))


# --- the side file by itself ------------------------------------------------------------------------


def test_a_side_file_ends_at_its_first_damage(tmp_path):
    path = tmp_path / "run.json.part"
    blocks = [_rates._block("a", struct.pack("<2d", k, k + 0.5)) for k in range(3)]
    content = HEADER + b"".join(blocks)
    for end in range(len(_rates.MAGIC), len(content) + 1):
        path.write_bytes(content[:end])
        whole = max(end - len(HEADER), 0) // len(blocks[0])
        found = read_side_file(path).get("a", np.empty(0)).tolist()
        assert found == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5][: 2 * whole]
    for position in range(len(HEADER), len(content)):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        whole = (position - len(HEADER)) // len(blocks[0])
        assert len(read_side_file(path).get("a", ())) == 2 * whole
    path.write_bytes(HEADER + struct.pack("<III", 0, 2**32 - 1, 2**32 - 1))  # 32 GiB
    assert read_side_file(path) == {}
    for other in (b"", b"lrparity.rates.2", b"{}"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="no side file"):
            Recorder.read_part(path)


def test_marks_thin_out_and_prove_what_they_mark(tmp_path):
    rates = RatesInFile(str(tmp_path / "run.json"))
    rates.begin()
    buffer = rates.open("a", 0)
    for k in range(1000):
        buffer.append(float(k))
        rates.flush()
    marks = rates.state_dict()["series"]["a"]["marks"]
    assert len(marks) <= 64
    assert marks[-1][0] == 1000
    series = rates._series["a"]
    values = np.arange(1000.0)
    for cut in (0, 1, 500, 940, 999, 1000):
        proven = series.proven(values[:cut])
        assert len(proven) == max((n for n, _ in marks if n <= cut), default=0)
    assert len(series.proven(np.r_[values[:960], -1.0, values[961:]])) <= 960


# --- several processes, the command line, arguments -------------------------------------------------


def test_with_a_path_only_rank_0_records(tmp_path):
    recorder, path = Recorder(tmp_path / "new" / "run.json"), tmp_path / "new"
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    progress = SimpleNamespace(current=SimpleNamespace(processed=0))
    trainer = SimpleNamespace(
        is_global_zero=False,
        fast_dev_run=False,
        callbacks=[recorder],
        optimizers=[optimizer],
        callback_metrics={},
        current_epoch=0,
        global_step=0,
        precision="32",
        accumulate_grad_batches=1,
        strategy=None,
        accelerator=None,
        world_size=2,
        fit_loop=SimpleNamespace(
            total_batch_idx=-1,
            epoch_progress=progress,
            epoch_loop=SimpleNamespace(batch_progress=SimpleNamespace(is_last_batch=True)),
        ),
    )
    trainer_type = type("Trainer", (SimpleNamespace,), {})  # a SimpleNamespace knows no weakref
    trainer = trainer_type(**vars(trainer))
    recorder.setup(trainer, None, "fit")
    recorder.on_train_start(trainer, None)
    recorder.on_train_epoch_start(trainer, None)
    recorder.on_train_batch_start(trainer, None, None, 0)
    steps_of(optimizer, 5000)
    recorder.on_train_batch_end(trainer, None, None, None, 0)
    trainer.callback_metrics["a"] = torch.tensor(1.0)
    recorder.on_train_epoch_end(trainer, None)
    assert recorder.state_dict()["rates"]["series"] == {}
    recorder.on_train_end(trainer, None)
    assert not path.exists()
    with pytest.raises(RuntimeError, match=r"rank 0 only.*is_global_zero"):
        _ = recorder.trajectory


# Lightning 2.6's cli.py calls what jsonargparse 4.53 has renamed.
@pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")
@pytest.mark.parametrize("house", HOUSES)
def test_the_command_line_can_make_one(tmp_path, house, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train.py"])  # Lightning warns of pytest's own arguments
    cli_of = importlib.import_module(f"{house}.cli").LightningCLI
    module_name = recorder_class(house).__module__
    made = cli_of(
        lightning(house).LightningModule,
        run=False,
        seed_everything_default=False,
        save_config_callback=None,
        args={
            "trainer": {
                "logger": False,
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "callbacks": [
                    {
                        "class_path": f"{module_name}.LearningRateRecorder",
                        "init_args": {
                            "path": str(tmp_path / "run.json"),
                            "metrics": ["a", "b"],
                            "reading": "applied",
                        },
                    }
                ],
            }
        },
    )
    (recorder,) = (c for c in made.trainer.callbacks if type(c) is recorder_class(house))
    assert repr(recorder) == (
        f"LearningRateRecorder({str(tmp_path / 'run.json')!r}, metrics=['a', 'b'], "
        "reading='applied')"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": 3}, TypeError, r"`path` must be a path or None. Received: path=3. Pass"),
        ({"path": b"a"}, TypeError, r"`path` must be a path or None. Received: path=b'a'."),
        ({"path": ""}, ValueError, r"`path` must name a file. Received: path=''. Pass"),
        ({"path": "/"}, ValueError, r"`path` must name a file."),
        ({"metrics": "a"}, TypeError, r"`metrics` must be .*metrics='a'. Pass \['a'\]"),
        ({"metrics": None}, TypeError, r"`metrics` must be True, False or a list of names"),
        ({"metrics": [1]}, ValueError, r"`metrics` must hold names"),
        ({"metrics": [""]}, ValueError, r"`metrics` must hold names"),
        ({"reading": "both"}, ValueError, r"`reading` must be one of 'reported', 'applied'"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        Recorder(**arguments)
