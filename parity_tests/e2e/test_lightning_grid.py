"""Every recorded rate equals schedule(k): accumulation, ragged epochs, AMP, one and two optimizers."""

from __future__ import annotations

import importlib
import math
from types import MethodType

import numpy as np
import pytest
import torch

from bits import assert_same_bits
from lightning_side import QUIET
from lrparity import lr_scheduler
from lrparity.schedules import CosineDecay, PiecewiseConstantDecay, StepDecay
from registry import CASES

HOUSES = ("lightning.pytorch", "pytorch_lightning")
BATCHES = 7  # ragged under 2 and 3
EPOCHS = 3
OVERFLOWS = (0, 1, 6, 9, 10, 16)  # among the batches: at both ends of an epoch, and two in a row

COSINE = CosineDecay(0.05, 11, alpha=0.1, warmup_target=0.2, warmup_steps=3)
DROPS = PiecewiseConstantDecay([1, 4, 5], [0.5, 0.25, 0.1, 0.3])


def make_module(pl, optimizers=1, *, automatic=True, fused=False, accumulate=1, overflow=False):
    """A module that finds out by itself what each optimizer does: by the weights, not by hooks."""

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = automatic
            self.parts = torch.nn.ModuleList(torch.nn.Linear(3, 1) for _ in range(optimizers))
            self.rates: list[list[float]] = [[] for _ in range(optimizers)]
            self.batches_before: list[list[int]] = [[] for _ in range(optimizers)]
            self.epochs: list[int] = []
            self.batches = 0

        def training_step(self, batch, batch_idx):
            if overflow and self.batches in OVERFLOWS:
                batch = batch * torch.inf
            self.batches += 1
            losses = [part(batch).square().mean() for part in self.parts]
            if automatic:
                return losses[0]
            ends = (batch_idx + 1) % accumulate == 0 or batch_idx + 1 == BATCHES
            made = self.optimizers()
            for i, optimizer in enumerate(made if isinstance(made, list) else [made]):
                if i == 1 and self.batches % 3 == 0:  # the second one leaves out some batches
                    continue
                self.manual_backward(losses[i])
                if i == 1 or ends:
                    optimizer.step()
                    optimizer.zero_grad()
            return None

        def configure_optimizers(self):
            kinds = torch.optim.SGD, torch.optim.Adam
            made = [
                kind(part.parameters(), lr=7.0, fused=fused)
                for kind, part in zip(kinds, self.parts, strict=False)
            ]
            for i, optimizer in enumerate(made):
                self.watch(optimizer, i)
            return made

        def watch(self, optimizer, i) -> None:
            step = optimizer.step

            def watched(optimizer, *args, **kwargs):
                before = [p.detach().clone() for p in self.parts[i].parameters()]
                rate = optimizer.param_groups[0]["lr"]
                result = step(*args, **kwargs)
                after = list(self.parts[i].parameters())
                moved = any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
                if moved or rate == 0:  # an update at the rate 0 moves nothing
                    self.rates[i].append(rate)
                    self.batches_before[i].append(self.batches - 1)
                    self.epochs.append(self.trainer.current_epoch)
                return result

            optimizer.step = MethodType(watched, optimizer)

    return Module()


def fit(pl, module, callbacks, *, accumulate=1, amp=False, epochs=EPOCHS):
    plugins = []
    if amp:
        precision = importlib.import_module(f"{pl.__name__}.plugins.precision")
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0)  # nothing else overflows then
        plugins = [precision.MixedPrecision("16-mixed", "cpu", scaler)]
    trainer = pl.Trainer(
        max_epochs=epochs,
        accumulate_grad_batches=accumulate if module.automatic_optimization else 1,
        callbacks=callbacks,
        plugins=plugins,
        **QUIET,
    )
    torch.manual_seed(0)
    data = [torch.randn(4, 3) for _ in range(BATCHES)]
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    return trainer


def callbacks_of(house):
    name = {"lightning.pytorch": "lightning_pytorch", "pytorch_lightning": "pytorch_lightning"}
    return importlib.import_module(f"lrparity.callbacks.{name[house]}")


def assert_rates(rates, schedule, steps=None) -> None:
    steps = range(len(rates)) if steps is None else steps
    assert rates, "nothing was trained"
    assert_same_bits(np.array(rates, np.float32), schedule(np.array(steps)))
    assert [float(np.float32(rate)) for rate in rates] == rates  # float32 numbers, all of them


@pytest.mark.parametrize("house", HOUSES)
@pytest.mark.parametrize("optimizers", ["automatic", "manual, one", "manual, two"])
@pytest.mark.parametrize("precision", ["32", "AMP", "AMP, fused"])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_every_rate_is_the_schedule_at_the_real_update(house, optimizers, precision, accumulate):
    pl, lrparity = importlib.import_module(house), callbacks_of(house)
    amp, count = precision != "32", 2 if optimizers == "manual, two" else 1
    module = make_module(
        pl,
        count,
        automatic=optimizers == "automatic",
        fused="fused" in precision,
        accumulate=accumulate,
        overflow=amp,
    )
    callback = lrparity.ScheduleLR({0: COSINE, "Adam": DROPS} if count == 2 else COSINE)
    recorder = lrparity.LearningRateRecorder()
    trainer = fit(pl, module, [recorder, callback], accumulate=accumulate, amp=amp)

    windows = math.ceil(BATCHES / accumulate)
    skipped = {w for n in OVERFLOWS for w in [n // BATCHES * windows + n % BATCHES // accumulate]}
    expected = EPOCHS * windows - (len(skipped) if amp else 0)
    assert len(module.rates[0]) == expected
    assert_rates(module.rates[0], COSINE)
    if count == 2:
        assert len(module.rates[1]) < EPOCHS * BATCHES
        assert_rates(module.rates[1], DROPS)
    assert callback.updates == {i: len(rates) for i, rates in enumerate(module.rates)}
    series = list(recorder.trajectory.rates.values())
    assert [one.tolist() for one in series] == module.rates
    if amp:
        assert trainer.global_step > len(module.rates[0]), "nothing overflowed"


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("precision", ["AMP", "AMP, fused"])
def test_a_torch_scheduler_that_counts_updates(accumulate, precision):
    """Lightning calls it after a skipped step, too."""
    pl = importlib.import_module(HOUSES[0])
    module = make_module(pl, fused="fused" in precision, overflow=True)
    configure = type(module).configure_optimizers

    def configured(self):
        (optimizer,) = configure(self)
        scheduler = lr_scheduler.ScheduleLR(optimizer, COSINE, count="updates")
        return {"optimizer": optimizer, "lr_scheduler": scheduler.lightning_config()}

    type(module).configure_optimizers = configured
    trainer = fit(pl, module, [], accumulate=accumulate, amp=True)
    assert trainer.global_step > len(module.rates[0]), "nothing overflowed"
    assert_rates(module.rates[0], COSINE)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("amp", [False, True])
def test_micro_batches_count_as_in_keras(accumulate, amp):
    pl, lrparity = importlib.import_module(HOUSES[0]), callbacks_of(HOUSES[0])
    module = make_module(pl, overflow=amp)
    callback = lrparity.ScheduleLR(COSINE, count="micro_batch")
    fit(pl, module, [callback], accumulate=accumulate, amp=amp)
    assert module.batches_before[0][-1] == EPOCHS * BATCHES - 1
    assert_rates(module.rates[0], COSINE, module.batches_before[0])


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("automatic", [True, False])
def test_epoch_schedules_are_asked_for_the_epoch(accumulate, automatic):
    pl, lrparity = importlib.import_module(HOUSES[0]), callbacks_of(HOUSES[0])
    module = make_module(pl, automatic=automatic, accumulate=accumulate)
    schedule = StepDecay(0.1, 0.5, 2)
    fit(pl, module, [lrparity.ScheduleLR(schedule)], accumulate=accumulate, epochs=5)
    assert set(module.epochs) == set(range(5))
    assert_rates(module.rates[0], schedule, module.epochs)


@pytest.mark.parametrize("numerics", ["eager", "graph"])
@pytest.mark.parametrize(
    ("case", "config"),
    [pytest.param(c, e, id=f"{c.name}{i}") for c in CASES for i, e in enumerate(c.examples)],
)
def test_every_schedule(case, config, numerics):
    pl, lrparity = importlib.import_module(HOUSES[0]), callbacks_of(HOUSES[0])
    module, schedule = make_module(pl), case.build(config)
    callback = lrparity.ScheduleLR(schedule, numerics=numerics)
    in_python = getattr(schedule, "arithmetic", "float32") == "float64"
    if numerics == "graph" and not case.graph and not in_python:
        with pytest.raises(ValueError, match="numerics='graph' is not known"):
            fit(pl, module, [callback], epochs=2)
        return
    fit(pl, module, [callback], epochs=2)
    steps = module.epochs if schedule.unit == "epoch" else range(len(module.rates[0]))
    assert len(module.rates[0]) == 2 * BATCHES
    assert_same_bits(
        np.array(module.rates[0], np.float32), schedule(np.array(steps), numerics=numerics)
    )


def test_the_watch_sees_a_callback_that_is_one_update_late():
    pl, lrparity = importlib.import_module(HOUSES[0]), callbacks_of(HOUSES[0])
    module = make_module(pl)
    fit(pl, module, [lrparity.ScheduleLR(COSINE, initial_update=1)])
    with pytest.raises(AssertionError):
        assert_rates(module.rates[0], COSINE)
    assert_rates(module.rates[0], COSINE, range(1, 1 + len(module.rates[0])))
