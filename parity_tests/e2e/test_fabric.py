"""``ScheduleLR`` in Fabric's loops: raw and wrapped optimizers, accumulation, AMP, resume, two ranks."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from bits import assert_same_bits
from lrparity.lr_scheduler import CosineDecayLR, ScheduleLR
from lrparity.schedules import CosineDecay

COSINE = CosineDecay(0.1, 17, alpha=0.01, warmup_target=0.4, warmup_steps=5)
HOUSES = ("lightning.fabric", "lightning_fabric")


@pytest.fixture(params=HOUSES)
def house(request):
    return importlib.import_module(request.param)


class Loop:
    """A training under Fabric that writes down the rate of every update that was made."""

    def __init__(self, house, count="calls", where="raw", fused=False, amp=False, **options):
        plugins = []
        if amp:
            precision = importlib.import_module(f"{house.__name__}.plugins").MixedPrecision
            scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
            plugins = [precision("16-mixed", "cpu", scaler)]
        self.fabric = house.Fabric(accelerator="cpu", devices=1, plugins=plugins)
        model = torch.nn.Linear(2, 1)
        raw = torch.optim.SGD(model.parameters(), lr=0.1, fused=fused)
        self.raw, self.rates, self.calls = raw, [], 0
        if where == "raw":
            self.scheduler = ScheduleLR(raw, COSINE, count=count, **options)
        if where == "setup_optimizers":
            self.model = self.fabric.setup_module(model)
            self.optimizer = self.fabric.setup_optimizers(raw)
        else:
            self.model, self.optimizer = self.fabric.setup(model, raw)
        assert self.optimizer is not raw
        if where != "raw":
            self.scheduler = ScheduleLR(self.optimizer, COSINE, count=count, **options)

    def weights(self):
        return [weight.detach().clone() for weight in self.model.parameters()]

    def train(self, micro_batches, accumulate=1, overflows=(), step_always=False):
        """``step_always``: the scheduler after each micro-batch, and not after each update."""
        for number in range(micro_batches):
            last = (number + 1) % accumulate == 0
            batch = torch.full((3, 2), torch.inf if number in overflows else 1.0)
            with self.fabric.no_backward_sync(self.model, enabled=not last):
                self.fabric.backward(self.model(batch).sum())
            if last:
                before, rate = self.weights(), self.optimizer.param_groups[0]["lr"]
                self.optimizer.step()
                self.optimizer.zero_grad()
                if not all(map(torch.equal, before, self.weights())):
                    self.rates.append(rate)
            if last or step_always:
                self.scheduler.step()
                self.calls += 1
        return self

    def state(self):
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}


PLACES = pytest.mark.parametrize("where", ["raw", "setup", "setup_optimizers"])
COUNTS = pytest.mark.parametrize("count", ["calls", "updates"])


@PLACES
@COUNTS
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_every_update_has_its_rate(house, where, count, accumulate):
    loop = Loop(house, count, where).train(20, accumulate)
    updates = 20 // accumulate
    assert_same_bits(loop.rates, COSINE(np.arange(updates)))
    assert loop.scheduler.last_epoch == updates
    assert loop.raw.param_groups[0]["lr"] == loop.scheduler.get_last_lr()[0] == COSINE(updates)


# torch/optim/lr_scheduler.py: the scheduler is called before the first update
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@PLACES
def test_calls_for_each_micro_batch(house, where):
    """Counting updates takes no notice of calls without one; counting calls does."""
    loop = Loop(house, "updates", where).train(20, 4, step_always=True)
    assert_same_bits(loop.rates, COSINE(np.arange(5)))
    loop = Loop(house, "calls", where).train(20, 4, step_always=True)
    assert_same_bits(loop.rates, COSINE(np.arange(3, 20, 4)))


@PLACES
def test_a_loop_is_watched_for_lightning_only_until_its_first_step(house, where):
    importlib.import_module("lightning.pytorch")
    loop = Loop(house, "calls", where)
    assert loop.scheduler._watch is not None
    assert len(loop.raw._optimizer_step_post_hooks) == 1
    loop.train(1)
    assert loop.scheduler._watch is None
    assert loop.scheduler._fast_size > 0
    assert not loop.raw._optimizer_step_pre_hooks
    assert not loop.raw._optimizer_step_post_hooks


@PLACES
@COUNTS
@pytest.mark.parametrize("at", [0, 1, 7, 12])
def test_a_saved_state_goes_on_exactly(house, where, count, at, tmp_path):
    path = tmp_path / "state.ckpt"
    before = Loop(house, count, where).train(at)
    before.fabric.save(path, before.state())
    after = Loop(house, count, where)
    assert after.fabric.load(path, after.state()) == {}
    after.train(20 - at)
    assert_same_bits(before.rates + after.rates, COSINE(np.arange(20)))
    assert after.scheduler.last_epoch == 20
    before.train(20 - at)
    assert all(map(torch.equal, before.weights(), after.weights()))


@PLACES
@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_state_saved_between_update_and_step(house, where, at, tmp_path):
    """What was counted and not stepped yet is in the state."""
    path = tmp_path / "state.ckpt"
    before = Loop(house, "updates", where).train(at)
    before.fabric.backward(before.model(torch.ones(3, 2)).sum())
    before.optimizer.step()
    before.fabric.save(path, before.state())
    after = Loop(house, "updates", where)
    after.fabric.load(path, after.state())
    after.scheduler.step()
    after.train(5)
    assert_same_bits(after.rates, COSINE(np.arange(at + 1, at + 6)))


@PLACES
@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_that_amp_skips_is_none(house, where, fused, accumulate):
    overflows = (0, 1, 5, 10, 11, 19)
    loop = Loop(house, "updates", where, fused, amp=True).train(20, accumulate, overflows)
    skipped = len({number // accumulate for number in overflows})
    updates = 20 // accumulate - skipped
    assert len(loop.rates) == updates  # the weights were left alone otherwise
    assert_same_bits(loop.rates, COSINE(np.arange(updates)))
    assert loop.scheduler.last_epoch == updates < loop.calls


@PLACES
@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
# torch/optim/lr_scheduler.py: a skipped first step looks like a wrong order
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_counting_calls_counts_skipped_steps(house, where, fused):
    """The control of the test above: there is something not to count."""
    loop = Loop(house, "calls", where, fused, amp=True).train(20, 1, (0, 5))
    assert_same_bits(loop.rates, COSINE(np.delete(np.arange(20), [0, 5])))
    assert loop.scheduler.last_epoch == 20


@pytest.mark.parametrize("fused", [False, True], ids=["unfused", "fused"])
def test_resume_with_overflows(house, fused, tmp_path):
    path = tmp_path / "state.ckpt"
    before = Loop(house, "updates", "setup", fused, amp=True).train(9, 1, (2, 8))
    before.fabric.save(path, before.state())
    after = Loop(house, "updates", "setup", fused, amp=True)
    after.fabric.load(path, after.state())
    after.train(9, 1, (0, 4))
    assert_same_bits(before.rates + after.rates, COSINE(np.arange(14)))


def test_a_named_class(house):
    loop = Loop(house)
    scheduler = CosineDecayLR(loop.optimizer, 0.2, decay_steps=9)
    loop.scheduler = scheduler
    loop.train(8)
    assert_same_bits(loop.rates, CosineDecay(0.2, 9)(np.arange(8)))


WORKER = """
import importlib, json, os, sys
import torch
from lrparity.lr_scheduler import CosineDecayLR

house, count, folder = sys.argv[1:]
fabric = importlib.import_module(house).Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
assert fabric.world_size == 2
model = torch.nn.Linear(2, 1)
model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
scheduler = CosineDecayLR(optimizer, decay_steps=40, count=count)
rates = []
for number in range(24):
    last = number % 2 == 1
    with fabric.no_backward_sync(model, enabled=not last):
        fabric.backward(model(torch.ones(1, 2)).sum())
    if last:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
with open(f"{folder}/{fabric.global_rank}.json", "w") as file:
    json.dump(rates, file)
fabric.barrier()
sys.stdout.flush()
os._exit(0)  # gloo's threads abort now and then as the interpreter ends
"""


@COUNTS
@pytest.mark.parametrize("name", HOUSES)
def test_two_processes(name, count, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    done = subprocess.run(
        [sys.executable, str(script), name, count, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        rates = json.loads((tmp_path / f"{rank}.json").read_text())
        assert_same_bits(rates, CosineDecay(0.1, 40)(np.arange(12)))
