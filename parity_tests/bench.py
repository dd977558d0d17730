"""``make bench``: how long things take, as ratios within one run.

Each row is the median over interleaved rounds of the ratio to torch's ``ExponentialLR`` (or to what
the section names) measured in the same round, so that a busy machine disturbs both sides alike.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch.optim import lr_scheduler as torch_lr

from bits import differing
from lrparity import float32, optim
from lrparity.lr_scheduler import ScheduleLR
from registry import CASES

STEP_TARGET = 0.25
MILLION_TARGET = 0.05
FURTHER_MILLION_TARGET = 0.5
"""Of the schedules that Keras does not ship: compositions, and what Python's own functions compute."""
KERAS_AND_TUTORIALS = 8
HOOKS_TARGET = 20  # microseconds that the callbacks may add to a batch
DECIDING_TARGET = 80  # and those that ask a controller for each batch
GROUPS = (1, 8)


def make_optimizer(groups: int, cls=torch.optim.SGD, spread: bool = False) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(groups)]
    rates = [0.1 * (1 + i * spread) for i in range(groups)]
    return cls([{"params": [p], "lr": lr} for p, lr in zip(parameters, rates, strict=True)], lr=0.1)


def step_time(make: Callable, groups: int, steps: int, spread: bool = False) -> float:
    """Seconds per ``step()``, the amortised bulk evaluation included."""
    optimizer = make_optimizer(groups, spread=spread)
    scheduler = make(optimizer)
    optimizer.step()
    scheduler.step()
    begin = time.perf_counter()
    for _ in range(steps):
        scheduler.step()
    return (time.perf_counter() - begin) / steps


class BareLoop:
    """The floor: a list of rates and nothing else."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.groups, self.step_count = optimizer.param_groups, 0
        self.rates = [0.1] * 100_000

    def step(self) -> None:
        self.step_count += 1
        rate = self.rates[self.step_count]
        for group in self.groups:
            group["lr"] = rate


def ratios(
    candidates: Mapping[str, Callable[[], float]], base: Callable[[], float], rounds: int
) -> tuple[dict[str, float], float]:
    """Median ratio of each candidate to ``base``, interleaved; and the base's own median."""
    collected: dict[str, list[float]] = {name: [] for name in candidates}
    bases = []
    for _ in range(rounds):
        bases.append(base())
        for name, candidate in candidates.items():
            collected[name].append(candidate() / bases[-1])
    return {n: statistics.median(r) for n, r in collected.items()}, statistics.median(bases)


def exponential(optimizer: torch.optim.Optimizer) -> torch_lr.ExponentialLR:
    return torch_lr.ExponentialLR(optimizer, 0.9999)


def print_steps(rounds: int, steps: int) -> list[str]:
    """``step()`` of every schedule and of its peers."""
    makers: dict[str, Callable] = {}
    for case in CASES:
        config = dict(case.examples[-1] if case.name == "CosineDecay" else case.examples[0])
        if case.per_group:
            config.pop("initial_learning_rate")  # each group's own
        name = case.name if case.scheduler is None else case.scheduler.__name__
        makers[name] = lambda o, c=case, k=config: c.scheduler_on(o, k)
    makers["ScheduleLR(function)"] = lambda o: ScheduleLR(o, lambda k: 0.1 * 0.999**k)
    peers = {
        "torch CosineAnnealingLR": lambda o: torch_lr.CosineAnnealingLR(o, 10_000),
        "torch LambdaLR": lambda o: torch_lr.LambdaLR(o, lambda k: 0.9999**k),
        "hand-written loop": BareLoop,
    }
    columns = {}
    for groups in GROUPS:
        timed = {
            name: (lambda make=make, g=groups: step_time(make, g, steps))
            for name, make in (makers | peers).items()
        }
        columns[groups], base = ratios(
            timed, lambda g=groups: step_time(exponential, g, steps), rounds
        )
        print(f"torch ExponentialLR, {groups} group(s): {base * 1e9:.0f} ns per step()")
    different, _ = ratios(
        {
            name: (lambda make=make: step_time(make, 8, steps, spread=True))
            for name, make in makers.items()
        },
        lambda: step_time(exponential, 8, steps, spread=True),
        max(rounds // 2, 1),
    )
    print(
        f"\nstep(), ratio to ExponentialLR      1 group   8 groups   8 different rates   {'target':>7}"
    )
    failed = []
    for name in [*makers, *peers]:
        one, eight = (columns[groups][name] for groups in GROUPS)
        gated = name in makers and "function" not in name
        far = f"{different[name]:17.2f}" if name in different else " " * 17
        print(f"  {name:32} {one:8.2f}   {eight:8.2f}   {far}   {STEP_TARGET if gated else '':>7}")
        if gated and max(one, eight) > STEP_TARGET:
            failed.append(f"step() of {name}: {max(one, eight):.2f} > {STEP_TARGET}")
    return failed


KERAS_IN_LAMBDA = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
sys.path[:0] = {path!r}
import warnings; warnings.simplefilter("ignore")
import torch
from keras.optimizers import schedules
from bench import exponential, step_time
from torch.optim.lr_scheduler import LambdaLR
warm = schedules.CosineDecay(0.1, 400, warmup_target=1.0, warmup_steps=15)
for name, s in (("ExponentialDecay", schedules.ExponentialDecay(1.0, 30, 0.9)),
                ("CosineDecay, warm-up", warm),
                ("CosineDecayRestarts", schedules.CosineDecayRestarts(1.0, 80))):
    row = []
    for groups in (1, 8):
        base = step_time(exponential, groups, 2000)
        row.append(step_time(lambda o: LambdaLR(o, lambda k: float(s(k))), groups, 100) / base)
    print(f"  {{name:32}} {{row[0]:8.0f}}   {{row[1]:8.0f}}")
"""


def print_keras() -> None:
    """The honest alternative: Keras' own schedule, on its torch backend, inside ``LambdaLR``."""
    print("\nKeras[torch] schedule in LambdaLR    1 group   8 groups", flush=True)
    script = KERAS_IN_LAMBDA.format(path=[str(Path(__file__).resolve().parent)])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False
    )
    print(done.stdout.rstrip() if done.returncode == 0 else f"  not measured: {done.stderr[-300:]}")


def print_million(rounds: int, steps: int) -> list[str]:
    """A million rates in bulk against torch's loop over as many steps."""

    def torch_loop() -> float:
        return step_time(exponential, 1, steps // 4) * steps

    candidates = {}
    for case in CASES:
        for config in case.examples:
            # The longest argument range: nothing repeats, nothing is held at the end.
            stretched = dict(config)
            for name in ("decay_steps", "first_decay_steps"):
                if name in stretched:
                    stretched[name] = steps
            schedule = case.build(stretched)
            candidates[f"{case.name}{case.examples.index(config)}"] = schedule

    def bulk(schedule) -> float:
        begin = time.perf_counter()
        schedule(np.arange(steps))
        return time.perf_counter() - begin

    timed = {name: (lambda s=s: bulk(s)) for name, s in candidates.items()}
    result, base = ratios(timed, torch_loop, rounds)
    print(f"\n{steps:,} rates in bulk, ratio to torch's ExponentialLR loop ({base:.2f} s)")
    failed = []
    rng = np.random.default_rng(0)
    first = {case.name for case in CASES[:KERAS_AND_TUTORIALS]}
    for name, schedule in candidates.items():
        sample = rng.integers(0, steps, 2000)
        singly = np.array([schedule(int(k)) for k in sample], np.float32)
        bits = int(differing(schedule(np.arange(steps))[sample], singly).sum())
        target = MILLION_TARGET if type(schedule).__name__ in first else FURTHER_MILLION_TARGET
        print(f"  {name:32} {result[name]:8.4f}   {bits} differing bits   {target:>7}")
        if result[name] > target or bits:
            failed.append(f"{name}: {result[name]:.3f} of torch's loop, {bits} differing bits")
    return failed


def print_imports(rounds: int) -> None:
    """What an import costs, as a ratio to ``import torch``."""

    def seconds(module: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, timeout=300)
        return time.perf_counter() - begin

    modules = ["numpy", "lrparity.schedules", "lrparity.lr_scheduler", "lrparity.optim"]
    timed = {module: (lambda m=module: seconds(m)) for module in modules}
    result, base = ratios(timed, lambda: seconds("torch"), rounds)
    print(f"\nimports, ratio to `import torch` ({base:.2f} s)")
    for module, ratio in result.items():
        print(f"  {module:32} {ratio:8.2f}")


def print_sgd(rounds: int) -> None:
    """One update of Keras' rule against torch's foreach SGD."""

    def update_time(make: Callable, steps: int = 300) -> float:
        torch.manual_seed(0)
        parameters = [torch.nn.Parameter(torch.randn(1000)) for _ in range(50)]
        for parameter in parameters:
            parameter.grad = torch.randn(1000)
        optimizer = make(parameters)
        optimizer.step()
        begin = time.perf_counter()
        for _ in range(steps):
            optimizer.step()
        return (time.perf_counter() - begin) / steps

    makers = {
        "momentum": lambda p: optim.SGD(p, 1e-3, 0.9),
        "momentum, decay": lambda p: optim.SGD(p, 1e-3, 0.9, decay=1e-3),
        "nesterov": lambda p: optim.SGD(p, 1e-3, 0.9, nesterov=True),
        "momentum, foreach=False": lambda p: optim.SGD(p, 1e-3, 0.9, foreach=False),
    }
    timed = {name: (lambda m=make: update_time(m)) for name, make in makers.items()}
    result, base = ratios(
        timed,
        lambda: update_time(lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9, foreach=True)),
        rounds,
    )
    print(
        "\noptim.SGD, 50 tensors of 1000, ratio to torch.optim.SGD(foreach=True, momentum=0.9) "
        f"({base * 1e6:.0f} us)"
    )
    for name, ratio in result.items():
        print(f"  {name:32} {ratio:8.2f}")


def print_lightning(rounds: int, batches: int = 400) -> list[str]:
    """What the callbacks add to a batch, and an epoch against Lightning's own scheduler config."""
    import logging
    import warnings

    import lightning.pytorch as pl

    from lrparity import lr_scheduler, schedules
    from lrparity.callbacks import (
        BatchLearningRateScheduler,
        LearningRateRecorder,
        LearningRateScheduler,
        LossDrivenLR,
        ReduceLROnPlateau,
    )
    from lrparity.callbacks import ScheduleLR as Callback

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning)
    decay = schedules.ExponentialDecay(0.1, 1000, 0.9)
    loader = torch.utils.data.DataLoader([torch.ones(4, 8)] * batches, batch_size=None)

    class Module(pl.LightningModule):
        def __init__(self, scheduled: Callable) -> None:
            super().__init__()
            self.layer, self.scheduled = torch.nn.Linear(8, 1), scheduled
            self.spent: list[float] = []

        def training_step(self, batch, batch_idx):
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            return self.scheduled(torch.optim.SGD(self.parameters(), lr=0.1))

        def on_train_epoch_start(self) -> None:
            self.begin = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            self.spent.append((time.perf_counter() - self.begin) / batches)

    def batch_time(callbacks: Callable = list, scheduled: Callable = lambda o: o) -> float:
        module = Module(scheduled)
        pl.Trainer(
            max_epochs=5,
            accelerator="cpu",
            devices=1,
            callbacks=callbacks(),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, loader)
        return min(module.spent)  # what is above it is the machine's other work

    def plateau():
        return ReduceLROnPlateau("train_loss", mode="min")

    def with_torch(optimizer):
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": exponential(optimizer), "interval": "step"},
        }

    def with_lrparity(optimizer):
        config = lr_scheduler.ScheduleLR(optimizer, decay).lightning_config()
        return {"optimizer": optimizer, "lr_scheduler": config}

    deciding = ("callbacks.BatchLearningRateScheduler", "callbacks.LossDrivenLR")
    none, empty = "no schedule", "no schedule, a callback without hooks"
    candidates = {
        none: batch_time,
        empty: lambda: batch_time(lambda: [pl.Callback()]),
        "lr_scheduler.ScheduleLR in the config": lambda: batch_time(scheduled=with_lrparity),
        "callbacks.ScheduleLR": lambda: batch_time(lambda: [Callback(decay)]),
        "the same, log=True": lambda: batch_time(lambda: [Callback(decay, log=True)]),
        "the same, a function": lambda: batch_time(lambda: [Callback(lambda k: 0.1 * 0.99**k)]),
        "callbacks.LearningRateRecorder": lambda: batch_time(lambda: [LearningRateRecorder()]),
        "callbacks.ReduceLROnPlateau": lambda: batch_time(lambda: [plateau()]),
        "callbacks.LearningRateScheduler": lambda: batch_time(
            lambda: [LearningRateScheduler(lambda epoch, lr: lr * 0.9)]
        ),
        "callbacks.BatchLearningRateScheduler": lambda: batch_time(
            lambda: [BatchLearningRateScheduler(lambda k: 0.1 * 0.99**k)]
        ),
        "callbacks.LossDrivenLR": lambda: batch_time(lambda: [LossDrivenLR(0.1, scale=-1.0)]),
        "ScheduleLR and LearningRateRecorder": lambda: batch_time(
            lambda: [Callback(decay), LearningRateRecorder()]
        ),
    }
    peer, *rows = ("torch", *candidates)
    candidates[peer] = lambda: batch_time(scheduled=with_torch)
    times = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            times[name].append(candidate())
    base = statistics.median(times[peer])

    def added(name: str, to: str) -> float:
        pairs = zip(times[name], times[to], strict=True)
        return statistics.median(one - other for one, other in pairs) * 1e6

    print(
        "\nan epoch in Lightning's Trainer, ratio to torch's ExponentialLR in Lightning's lr_scheduler "
        f"config ({base * 1e6:.0f} us per batch)\n{'':40}epoch   added per batch   by the hooks alone"
    )
    failed = []
    for name in rows:
        row = f"  {name:38} {statistics.median(times[name]) / base:5.2f}"
        if name != none:
            row += f" {added(name, none):14.1f} us"
        if "allbacks." in name or "same" in name or "and" in name:
            alone = added(name, empty)  # Lightning's own calls of a callback cost, too
            gated = name.startswith("callbacks.")
            target = DECIDING_TARGET if name in deciding else HOOKS_TARGET
            row += f" {alone:17.1f} us   {f'{target} us' if gated else '':>7}"
            if gated and alone > target:
                failed.append(f"{name}: {alone:.1f} us per batch > {target}")
        print(row)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default 9)")
    parser.add_argument("--steps", type=int, default=20_000, help="step() calls per round")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if a ratio is above its target"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, NumPy {np.__version__}, C library {float32.c_library()}\n")
    failed = print_steps(options.rounds, options.steps)
    print_keras()
    failed += print_million(min(options.rounds, 5), 1_000_000)
    print_imports(min(options.rounds, 3))
    print_sgd(options.rounds)
    failed += print_lightning(options.rounds)
    print("\n" + ("\n".join(["above target:", *failed]) if failed else "every target is met"))
    return int(bool(failed) and options.check)


if __name__ == "__main__":
    sys.exit(main())
