"""``LightningCLI``: schedules nested in YAML, under both import names."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
import yaml

from examples_side import EXAMPLES, run_python
from lightning_side import QUIET
from lrparity.schedules import (
    CosineDecay,
    ExponentialDecay,
    OneCycle,
    OneCycleMomentum,
    PiecewiseConstantDecay,
    StepDecay,
)

HOUSES = {
    "lightning.pytorch": "lrparity.callbacks.ScheduleLR",  # where `lightning` is installed
    "pytorch_lightning": "lrparity.callbacks.pytorch_lightning.ScheduleLR",
}
BATCHES, EPOCHS = 3, 4

# Lightning 2.6's cli.py calls what jsonargparse 4.53 has renamed
pytestmark = pytest.mark.filterwarnings(
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"
)


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])  # pytest's own would be remarked


def written(schedule) -> object:
    """A schedule as it stands in YAML."""
    config = schedule.get_config()
    config.pop("name", None)
    return {"class_path": f"lrparity.schedules.{type(schedule).__name__}", "init_args": config}


def make_module(house):
    class Module(house.LightningModule):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.layer, self.rates, self.epochs = torch.nn.Linear(width, 1), [], []

        def training_step(self, batch, batch_idx):
            self.log("train_loss", 1.0, on_step=False, on_epoch=True)
            return self.layer(batch).square().mean()

        def train_dataloader(self):
            return torch.utils.data.DataLoader([torch.ones(2, 3)] * BATCHES, batch_size=None)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=7.0)
            optimizer.register_step_pre_hook(self.write_down)
            return optimizer

        def write_down(self, optimizer, *_) -> None:
            self.rates.append(optimizer.param_groups[0]["lr"])
            self.epochs.append(self.trainer.current_epoch)

    return Module


def run(house, path, schedule, *arguments, **more):
    """Train by the CLI, and return it."""
    config = {
        "seed_everything": 0,
        "trainer": {
            **QUIET,
            "max_epochs": EPOCHS,
            "callbacks": [
                {"class_path": HOUSES[house], "init_args": {"schedule": schedule, **more}}
            ],
        },
    }
    path.write_text(yaml.safe_dump(config))
    cli = importlib.import_module(f"{house}.cli")
    return cli.LightningCLI(
        make_module(importlib.import_module(house)),
        args=["fit", "--config", str(path), *arguments],
        save_config_callback=None,
    )


@pytest.mark.parametrize("house", HOUSES)
@pytest.mark.parametrize(
    "schedule",
    [
        CosineDecay(0.05, 7, warmup_target=0.2, warmup_steps=3),
        PiecewiseConstantDecay([1, 4], [0.5, 0.25, 0.1]),
        StepDecay(0.1, 0.5, 2),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_nested_schedule(house, schedule, tmp_path):
    module = run(house, tmp_path / "config.yaml", written(schedule)).model
    steps = module.epochs if schedule.unit == "epoch" else range(BATCHES * EPOCHS)
    assert module.rates == schedule(np.array(steps)).tolist()


@pytest.mark.parametrize("house", HOUSES)
def test_a_function_by_its_import_path(house, tmp_path):
    module = run(house, tmp_path / "config.yaml", "lightning_cli.inverse_square_root").model
    expected = [float(np.float32(0.1 / (k + 1) ** 0.5)) for k in range(BATCHES * EPOCHS)]
    assert module.rates == expected


def test_a_mapping_a_list_and_a_short_name(tmp_path):
    schedule = ExponentialDecay(0.1, 5, 0.5)
    short = {"class_path": "ExponentialDecay", "init_args": written(schedule)["init_args"]}
    for value in ({0: written(schedule)}, {"SGD": short}, [written(schedule)]):
        module = run("lightning.pytorch", tmp_path / "config.yaml", value).model
        assert module.rates == schedule(np.arange(BATCHES * EPOCHS)).tolist()


def test_options_and_the_command_line(tmp_path):
    schedule = ExponentialDecay(0.1, 5, 0.5)
    cli = run(
        "lightning.pytorch",
        tmp_path / "config.yaml",
        written(schedule),
        "--trainer.callbacks.init_args.schedule.init_args.decay_steps=9",
        "--trainer.callbacks.init_args.count=micro_batch",
        "--trainer.accumulate_grad_batches=2",
    )
    steps = [n for n in range(BATCHES * EPOCHS) if n % BATCHES in (1, BATCHES - 1)]
    assert cli.model.rates == ExponentialDecay(0.1, 9, 0.5)(np.array(steps)).tolist()


@pytest.mark.parametrize("house", HOUSES)
def test_a_printed_config_trains_alike(house, tmp_path, capsys):
    schedule = CosineDecay(0.05, 7, warmup_target=0.2, warmup_steps=3)
    with pytest.raises(SystemExit, match="0"):
        run(house, tmp_path / "config.yaml", written(schedule), "--print_config")
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    cli = importlib.import_module(f"{house}.cli")
    module = cli.LightningCLI(
        make_module(importlib.import_module(house)),
        args=["fit", "--config", str(tmp_path / "printed.yaml")],
        save_config_callback=None,
    ).model
    assert module.rates == schedule(np.arange(BATCHES * EPOCHS)).tolist()


@pytest.mark.parametrize(
    ("schedule", "more", "message"),
    [
        ({"class_path": "lrparity.schedules.NoDecay"}, {}, "NoDecay"),
        ({"class_path": "lrparity.schedules.CosineDecay", "init_args": {"step": 3}}, {}, "step"),
        ("0.1", {}, "schedule"),
        (written(ExponentialDecay(0.1, 5, 0.5)), {"count": "batch"}, "count"),
        (written(ExponentialDecay(0.1, 5, 0.5)), {"warmup": 5}, "warmup"),
    ],
)
def test_mistakes_are_named(schedule, more, message, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("lightning.pytorch", tmp_path / "config.yaml", schedule, **more)
    assert message in capsys.readouterr().err


def run_callbacks(house, path, callbacks, *arguments):
    """Train by the CLI under callbacks that are written as (name, arguments)."""
    prefix = HOUSES[house].rpartition(".")[0]
    written_down = [
        {"class_path": f"{prefix}.{name}", "init_args": init_args} for name, init_args in callbacks
    ]
    config = {"trainer": {**QUIET, "max_epochs": EPOCHS, "callbacks": written_down}}
    path.write_text(yaml.safe_dump(config))
    cli = importlib.import_module(f"{house}.cli")
    return cli.LightningCLI(
        make_module(importlib.import_module(house)),
        args=["fit", "--config", str(path), *arguments],
        save_config_callback=None,
    )


def count_changes(trainer, module, decision) -> None:
    """For ``on_change``, by its import path."""
    module.changes = getattr(module, "changes", 0) + 1


def halved_each_epoch(epoch: int, lr: float) -> float:
    return lr * 0.5


@pytest.mark.parametrize("house", HOUSES)
def test_closed_loops(house, tmp_path):
    here = f"{__name__}"
    plateau = {
        "monitor": "train_loss",
        "mode": "min",
        "factor": 0.5,
        "patience": 1,
        "min_delta": 1e9,
        "keras_version": "2.15",
        "numpy_major": 1,
        "on_change": f"{here}.count_changes",
    }
    module = run_callbacks(house, tmp_path / "1.yaml", [("ReduceLROnPlateau", plateau)]).model
    assert [module.rates[k] for k in range(0, 12, BATCHES)] == [7.0, 7.0, 3.5, 1.75]
    assert module.changes == 3
    function = {"schedule": f"{here}.halved_each_epoch", "verbose": 0}
    module = run_callbacks(house, tmp_path / "2.yaml", [("LearningRateScheduler", function)]).model
    assert [module.rates[k] for k in range(0, 12, BATCHES)] == [3.5, 1.75, 0.875, 0.4375]
    module = run_callbacks(
        house,
        tmp_path / "3.yaml",
        [("BatchLearningRateScheduler", {"fn": "lightning_cli.inverse_square_root", "at": "end"})],
    ).model
    expected = [7.0, *(float(np.float32(0.1 / (k + 1) ** 0.5)) for k in range(11))]
    assert module.rates == expected
    driven = {"initial_learning_rate": 0.1, "function": "math.cos", "scale": 0.0, "source": "epoch"}
    module = run_callbacks(house, tmp_path / "4.yaml", [("LossDrivenLR", driven)]).model
    assert set(module.rates) == {float(np.float32(0.1))}
    with pytest.raises(SystemExit, match="2"):
        run_callbacks(house, tmp_path / "5.yaml", [("ReduceLROnPlateau", {"patiance": 3})])


@pytest.mark.parametrize("house", HOUSES)
def test_a_hyperparameter(house, tmp_path):
    cycle = OneCycleMomentum(OneCycle((0.01, 0.1), 12))
    arguments = {"lr_range": [0.01, 0.1], "n_iter": 12}
    rate = {"class_path": "lrparity.schedules.OneCycle", "init_args": arguments}
    nested = {"class_path": "lrparity.schedules.OneCycleMomentum", "init_args": {"schedule": rate}}
    driven = {"name": "momentum", "schedule": nested, "groups": [0]}
    callbacks = [("ScheduleHyperparameter", driven), ("ScheduleLR", {"schedule": nested})]
    cli = run_callbacks(house, tmp_path / "1.yaml", callbacks, "--seed_everything=0")
    group = cli.trainer.optimizers[0].param_groups[0]
    assert group["momentum"] == group["lr"] == cycle(BATCHES * EPOCHS)
    assert cli.model.rates == cycle(np.arange(BATCHES * EPOCHS)).tolist()


def test_the_example():
    script, config = EXAMPLES / "lightning_cli.py", EXAMPLES / "lightning_cli.yaml"
    done = run_python(str(script), "fit", "--config", str(config), "--trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert "learning_rate" in done.stdout
