"""``callbacks.SnapshotEnsemble`` and ``ensemble.SnapshotAverage``: arguments, files, averages."""

from __future__ import annotations

import copy
import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from bits import assert_same_bits
from lightning_side import QUIET, Tiny, TinyTraining, make_trainer
from lrparity.callbacks import LearningRateRecorder, ReduceLROnPlateau, ScheduleLR, SnapshotEnsemble
from lrparity.callbacks._snapshots import Snapshot
from lrparity.ensemble import SnapshotAverage
from lrparity.schedules import CosineDecayRestarts, SnapshotCosine

HOUSES = {
    "lightning.pytorch": "lrparity.callbacks.lightning_pytorch",
    "pytorch_lightning": "lrparity.callbacks.pytorch_lightning",
}
COSINE = SnapshotCosine(6, 3, 0.1)


def fit(*callbacks: Any, module: Any = None, **trainer: Any) -> Any:
    made = make_trainer(callbacks, **{"max_epochs": 6} | trainer)
    made.fit(module or Tiny())
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- arguments --------------------------------------------------------------------------------------


def test_cycles():
    assert SnapshotEnsemble(60, 3, 0.1).cycle_ends == (20, 40, 60)
    assert SnapshotEnsemble(3, 3, 0.1).cycle_ends == (1, 2, 3)
    assert SnapshotEnsemble(60, n_cycles=3, schedule=COSINE).cycle_ends == (20, 40, 60)
    assert SnapshotEnsemble(schedule=COSINE, cycle_ends=[1, 5]).cycle_ends == (1, 5)
    assert SnapshotEnsemble(6, 3, 0.1).schedule == COSINE
    with pytest.warns(
        UserWarning, match="each cycle has 33 epochs, and the last 1 have no snapshot"
    ):
        assert SnapshotEnsemble(100, 3, 0.1).cycle_ends == (33, 66, 99)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, ValueError, "`n_epochs` is missing"),
        ({"n_epochs": 6, "n_cycles": 3}, ValueError, "`lr_max` is missing"),
        ({"n_epochs": 6, "n_cycles": 7, "lr_max": 0.1}, ValueError, "at most `n_epochs`=6"),
        ({"n_epochs": 6, "n_cycles": 0, "lr_max": 0.1}, ValueError, "whole number of at least 1"),
        ({"n_epochs": 6, "n_cycles": 2.5, "lr_max": 0.1}, ValueError, "whole number"),
        ({"n_epochs": "6", "n_cycles": 2, "lr_max": 0.1}, TypeError, "n_epochs"),
        ({"n_epochs": 6, "n_cycles": 3, "lr_max": "x"}, TypeError, "lr_max"),
        ({"n_epochs": 6, "n_cycles": 3, "lr_max": 0.1, "schedule": COSINE}, ValueError, "how high"),
        ({"schedule": COSINE}, ValueError, "pass `cycle_ends`"),
        ({"schedule": COSINE, "n_epochs": 6}, ValueError, "pass `cycle_ends`"),
        ({"schedule": COSINE, "n_epochs": 6, "cycle_ends": [6]}, ValueError, "where cycles end"),
        ({"n_epochs": 6, "n_cycles": 3, "lr_max": 1, "cycle_ends": [6]}, ValueError, "of yours"),
        ({"schedule": COSINE, "cycle_ends": 6}, TypeError, "a list"),
        ({"schedule": COSINE, "cycle_ends": []}, TypeError, "a list"),
        ({"schedule": COSINE, "cycle_ends": [2, 2]}, ValueError, "must increase"),
        ({"schedule": COSINE, "cycle_ends": [0, 2]}, ValueError, r"cycle_ends\[0\]"),
        ({"schedule": 0.1, "cycle_ends": [2]}, TypeError, "schedule"),
        ({"filename": "snapshot"}, ValueError, "must contain"),
        ({"filename": "{cycle:d"}, ValueError, "cannot be filled in"),
        ({"filename": "{val_loss}"}, ValueError, "cannot be filled in"),
        ({"filename": "{cycle.real.__class__}"}, ValueError, "must contain|own"),
        ({"filename": "a/{cycle}"}, ValueError, "without a folder"),
        ({"filename": 3}, TypeError, "filename"),
        ({"dirpath": 3}, TypeError, "dirpath"),
        ({"dirpath": ""}, ValueError, "dirpath"),
        ({"last_k": 0}, ValueError, "last_k"),
        ({"last_k": 1.5}, ValueError, "last_k"),
        ({"weights_only": None}, TypeError, "weights_only"),
        ({"overwrite": "yes"}, TypeError, "overwrite"),
        ({"prog_bar": True}, ValueError, "log=True"),
        ({"optimizer": 1.5}, TypeError, "optimizer"),
    ],
)
def test_bad_arguments(arguments, error, words):
    if arguments and not arguments.keys() & {"schedule", "n_epochs"}:
        arguments = {"n_epochs": 6, "n_cycles": 3, "lr_max": 0.1} | arguments
    with pytest.raises(error, match=words):
        SnapshotEnsemble(**arguments)


# --- what a training leaves -------------------------------------------------------------------------


class Validated(Tiny):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", torch.tensor(float(self.trainer.current_epoch)))
        self.log("matrix", torch.tensor(1.0), on_epoch=True)

    def on_train_epoch_end(self):
        self.log("at_the_end", 7.0)


def test_a_snapshot_at_the_end_of_each_cycle(tmp_path):
    ensemble, module = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path), Validated()
    trainer = fit(ensemble, module=module)
    assert_same_bits(
        [update.rates[0] for update in module.updates], [COSINE(k // 5) for k in range(30)]
    )
    assert names(tmp_path) == ["snapshot_1.ckpt", "snapshot_2.ckpt", "snapshot_3.ckpt"]
    assert ensemble.paths == [str(tmp_path / name) for name in names(tmp_path)]
    assert ensemble.snapshots[1] == Snapshot(
        2,
        3,
        {0: 20},
        str(tmp_path / "snapshot_2.ckpt"),
        {"val_loss": 3.0, "matrix": 1.0, "at_the_end": 7.0},
    )
    assert trainer.callbacks == [ensemble]
    assert trainer.checkpoint_callback is None
    content = torch.load(ensemble.paths[0], weights_only=True)
    assert content["global_step"] == 10
    assert content["account"] == [10]


def test_last_k_and_file_names(tmp_path):
    ensemble = SnapshotEnsemble(
        6, 6, 0.1, dirpath=tmp_path, filename="c{cycle:02d}-e{epoch}", last_k=2
    )
    fit(ensemble)
    assert names(tmp_path) == ["c05-e4.ckpt", "c06-e5.ckpt"]
    assert [one.cycle for one in ensemble.snapshots] == [5, 6]


def test_weights_only(tmp_path):
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path, weights_only=True)
    fit(ensemble)
    content = torch.load(ensemble.paths[0], weights_only=True)
    assert "state_dict" in content
    assert "optimizer_states" not in content


def test_the_default_folder(tmp_path):
    ensemble = SnapshotEnsemble(6, 3, 0.1)
    fit(ensemble, default_root_dir=tmp_path)
    assert len(names(tmp_path / "snapshots")) == 3
    logger = CSVLogger(tmp_path, "runs")
    logged = SnapshotEnsemble(6, 3, 0.1, log=True)
    fit(logged, logger=logger, log_every_n_steps=1)
    assert len(names(tmp_path / "runs" / "version_0" / "snapshots")) == 3


@pytest.mark.parametrize("limit", [{"limit_val_batches": 0}, {"check_val_every_n_epoch": 4}])
def test_without_a_validation_in_that_epoch(limit, tmp_path):
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path)
    fit(ensemble, module=Validated(), **limit)
    assert [one.epoch for one in ensemble.snapshots] == [1, 3, 5]


def test_fast_dev_run_writes_nothing(tmp_path):
    ensemble, module = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "none"), Tiny()
    fit(ensemble, module=module, fast_dev_run=True)
    assert module.updates[0].rates[0] == COSINE(0)
    assert not (tmp_path / "none").exists()
    assert ensemble.snapshots == []


def test_it_comes_after_all_others_and_each_in_its_place(tmp_path):
    """The snapshot holds what EarlyStopping and ModelCheckpoint have made of the epoch."""
    stopping = EarlyStopping("val_loss", patience=100)
    checkpoint = ModelCheckpoint(tmp_path / "best", monitor="val_loss", save_top_k=-1)
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "snapshots")
    trainer = fit(ensemble, stopping, checkpoint, module=Validated())
    assert trainer.checkpoint_callback is checkpoint
    for path, epochs in zip(ensemble.paths, (2, 4, 6), strict=True):
        states = torch.load(path, weights_only=True)["callbacks"]
        (stopped,) = (s for key, s in states.items() if key.startswith("EarlyStopping"))
        (checkpointed,) = (s for key, s in states.items() if key.startswith("ModelCheckpoint"))
        assert stopped["wait_count"] == epochs - 1
        assert len(checkpointed["best_k_models"]) == epochs


def test_in_company(tmp_path):
    recorder = LearningRateRecorder()
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path)
    fit(
        LearningRateMonitor(),
        recorder,
        ensemble,
        logger=CSVLogger(tmp_path / "log"),
        log_every_n_steps=1,
    )
    assert_same_bits(recorder.trajectory.learning_rate, [COSINE(k // 5) for k in range(30)])
    plateau = ReduceLROnPlateau("val_loss", factor=0.5, patience=1)
    module = Validated()
    again = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "again")
    fit(again, plateau, module=module)
    assert_same_bits(
        [update.rates[0] for update in module.updates],
        [np.float32(COSINE(k // 5)) * np.float32(0.5 ** max(k // 5 - 1, 0)) for k in range(30)],
    )


def test_several_optimizers(tmp_path):
    module = Tiny(optimizers=2, manual=True)
    one = SnapshotEnsemble(6, 3, 0.1, optimizer=0, dirpath=tmp_path)
    other = SnapshotEnsemble(6, 2, 0.2, optimizer=1, dirpath=tmp_path, filename="other_{cycle}")
    fit(one, other, module=module)
    assert names(tmp_path) == [
        *(f"other_{k}.ckpt" for k in (1, 2)),
        *(f"snapshot_{k}.ckpt" for k in (1, 2, 3)),
    ]
    assert one.state_key != other.state_key
    second = SnapshotCosine(6, 2, 0.2)
    for update in module.updates:
        assert update.rates[0] == (second if update.optimizer else COSINE)(update.epoch)
    with pytest.raises(ValueError, match="would write"):
        fit(
            SnapshotEnsemble(6, 3, 0.1, optimizer=0, dirpath=tmp_path / "x"),
            SnapshotEnsemble(6, 2, 0.2, optimizer=1, dirpath=tmp_path / "x"),
            module=Tiny(optimizers=2, manual=True),
        )
    with pytest.raises(ValueError, match="drive the optimizer 'SGD'"):
        fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "x"), ScheduleLR(COSINE))


def test_another_schedule(tmp_path):
    schedule = CosineDecayRestarts(0.1, 10, t_mul=2.0)
    ensemble, module = (
        SnapshotEnsemble(schedule=schedule, cycle_ends=[2, 6], dirpath=tmp_path),
        Tiny(),
    )
    fit(ensemble, module=module)
    assert_same_bits(
        [update.rates[0] for update in module.updates], [schedule(k) for k in range(30)]
    )
    assert [one.epoch for one in ensemble.snapshots] == [1, 5]


# --- longer and shorter -----------------------------------------------------------------------------


def test_a_training_that_is_too_long_or_too_short(tmp_path):
    with pytest.warns(UserWarning, match="the 2 after it have no snapshot"):
        fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "1"), max_epochs=8)
    assert len(names(tmp_path / "1")) == 3
    with pytest.warns(UserWarning, match=r"cycles \[3\] will have no snapshot"):
        fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "2"), max_epochs=5)
    assert len(names(tmp_path / "2")) == 2
    with pytest.warns(UserWarning, match="after 3 epochs, within cycle 2 of 3, which ends after 4"):
        fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "3"), max_steps=13)
    assert len(names(tmp_path / "3")) == 1


def test_a_second_fit_goes_on(tmp_path):
    ensemble, module = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path), Tiny()
    with pytest.warns(UserWarning, match="cycles .2, 3. will have no"):
        trainer = fit(ensemble, module=module, max_epochs=3)
    trainer.fit_loop.max_epochs = 6
    trainer.fit(module)
    assert [one.epoch for one in ensemble.snapshots] == [1, 3, 5]
    before = ensemble.snapshots
    trainer.validate(module, verbose=False)
    assert ensemble.snapshots == before


def test_begun_without_it(tmp_path):
    trainer = fit(max_epochs=3)
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "snapshots")
    made = make_trainer([ensemble], max_epochs=6)
    with pytest.warns(UserWarning, match=r"no snapshots of cycles \[1\]"):
        made.fit(Tiny(), ckpt_path=tmp_path / "three.ckpt")
    assert names(tmp_path / "snapshots") == ["snapshot_2.ckpt", "snapshot_3.ckpt"]


# --- files of others --------------------------------------------------------------------------------


def test_files_of_an_earlier_run(tmp_path):
    fit(SnapshotEnsemble(6, 6, 0.1, dirpath=tmp_path))
    (tmp_path / "snapshot_best.ckpt").write_text("no snapshot's name")
    module = Tiny()
    with pytest.raises(FileExistsError, match=r"snapshot_1.ckpt, .*overwrite=True"):
        fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path), module=module)
    assert not module.updates
    fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path, overwrite=True))
    assert names(tmp_path) == [*(f"snapshot_{k}.ckpt" for k in (1, 2, 3)), "snapshot_best.ckpt"]
    fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path, filename="b_{cycle}"))
    assert len(names(tmp_path)) == 7


def test_going_on_in_another_folder(tmp_path):
    whole = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "1")
    fit(whole)
    moved = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "2")
    make_trainer([moved], max_epochs=6).fit(Tiny(), ckpt_path=whole.paths[0])
    assert moved.paths == [
        whole.paths[0],
        *(str(tmp_path / f"2/snapshot_{k}.ckpt") for k in (2, 3)),
    ]
    other = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "3")
    fit(other)
    mixed = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "3")
    with pytest.raises(FileExistsError, match="did not write"):
        make_trainer([mixed], max_epochs=6).fit(Tiny(), ckpt_path=whole.paths[0])


def test_a_snapshot_that_is_gone(tmp_path):
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path)
    fit(ensemble)
    Path(ensemble.paths[0]).unlink()
    with pytest.warns(UserWarning, match="snapshot_1.ckpt'. are not there any more"):
        make_trainer([SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path)], max_epochs=6).fit(
            Tiny(), ckpt_path=ensemble.paths[1]
        )


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="no file can be written there"):
        fit(SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "file"))


def test_a_save_that_fails_is_not_recorded(tmp_path):
    ensemble, module = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path), Tiny()
    trainer = make_trainer([ensemble], max_epochs=6)
    save, full = trainer.save_checkpoint, [False, True, False]

    def saving(path, weights_only=False):
        if full.pop(0):
            raise OSError("no space left")
        save(path, weights_only)

    trainer.save_checkpoint = saving
    with pytest.raises(OSError, match="no space left"):
        trainer.fit(module)
    assert [one.cycle for one in ensemble.snapshots] == [1]
    trainer.save_checkpoint = save
    trainer.save_checkpoint(tmp_path / "by hand.ckpt")
    going_on = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path)
    make_trainer([going_on], max_epochs=6).fit(Tiny(), ckpt_path=tmp_path / "by hand.ckpt")
    assert [one.epoch for one in going_on.snapshots] == [1, 3, 5]


# --- state, copies, houses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "x"},
        {"version": 99},
        {"taken": None},
        {"taken": [{"cycle": 1}]},
        {"taken": [{"cycle": -1, "epoch": 1, "updates": {}, "path": "a", "metrics": {}}]},
        {"taken": [{"cycle": 1, "epoch": 1, "updates": {"x": 1}, "path": "a", "metrics": {}}]},
        {"kept": [1.5]},
        {"metrics": {"a": "b"}},
        {"dirpath": 3},
        {"validated_at": None},
        {"cycle_ends": "x"},
        {"schedule": None},
    ],
)
def test_a_damaged_state_is_refused(damage):
    ensemble = SnapshotEnsemble(6, 3, 0.1)
    state = ensemble.state_dict()
    ensemble.load_state_dict(state)
    with pytest.raises(ValueError, match=r"damaged|version|not the state"):
        ensemble.load_state_dict(state | damage)


def test_copies(tmp_path):
    ensemble = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path / "1")
    fit(ensemble)
    for twin in (copy.deepcopy(ensemble), pickle.loads(pickle.dumps(ensemble))):
        assert twin.snapshots == ensemble.snapshots
        assert repr(twin) == repr(ensemble)
        twin.dirpath = str(tmp_path / "2")
        twin.overwrite = True
        fit(twin)  # another trainer: anew
        assert [Path(path).parent.name for path in twin.paths] == ["2"] * 3


@pytest.mark.parametrize("house", HOUSES)
def test_both_lightnings(house, tmp_path):
    lightning, ours = importlib.import_module(house), importlib.import_module(HOUSES[house])
    module = type("ThisTiny", (TinyTraining, lightning.LightningModule), {})()
    ensemble = ours.SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path)
    assert isinstance(ensemble, lightning.Callback)
    checkpoint = lightning.callbacks.ModelCheckpoint(tmp_path / "c", save_top_k=-1)
    make_trainer([ensemble, checkpoint], house=lightning, max_epochs=6).fit(module)
    assert len(ensemble.paths) == 3
    assert_same_bits(
        [update.rates[0] for update in module.updates], [COSINE(k // 5) for k in range(30)]
    )


@pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")
def test_lightning_cli(tmp_path, monkeypatch):
    from lightning.pytorch.cli import LightningCLI

    monkeypatch.setattr(sys, "argv", ["train.py"])
    growing = {
        "class_path": "lrparity.schedules.CosineDecayRestarts",
        "init_args": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    }
    for number, arguments in enumerate(
        (
            {"n_epochs": 6, "n_cycles": 3, "lr_max": 0.1},
            {"schedule": growing, "cycle_ends": [2, 6], "last_k": 1},
        )
    ):
        folder = tmp_path / str(number)
        callback = {
            "class_path": "lrparity.callbacks.SnapshotEnsemble",
            "init_args": arguments | {"dirpath": str(folder)},
        }
        config = {"trainer": QUIET | {"max_epochs": 6, "callbacks": [callback]}}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        LightningCLI(
            Tiny,
            args=["fit", "--config", str(path)],
            save_config_callback=None,
            seed_everything_default=1,
            parser_kwargs={"fit": {"parser_mode": "yaml"}},
        )
        assert len(names(folder)) == (1 if number else 3)


# --- the ensemble -----------------------------------------------------------------------------------


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    made = nn.Linear(len(weight[0]), len(bias))
    with torch.no_grad():
        made.weight.copy_(torch.tensor(weight))
        made.bias.copy_(torch.tensor(bias))
    return made


def drawn(n: int, classes: int = 3, seed: int = 0) -> list[nn.Linear]:
    torch.manual_seed(seed)
    return [nn.Linear(4, classes) for _ in range(n)]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None, torch.tanh])
def test_averages(activation):
    members, inputs = drawn(3), torch.randn(5, 4)
    logits = [member(inputs).detach().double() for member in members]
    apply = {"softmax": lambda x: x.softmax(1), "sigmoid": torch.sigmoid, None: lambda x: x}
    rule = apply.get(activation, activation)
    with torch.no_grad():
        probabilities = SnapshotAverage(members, activation=activation)
        assert torch.equal(probabilities(inputs), (sum(map(rule, logits)) / 3).float())
        assert torch.equal(probabilities.probabilities(inputs), probabilities(inputs))
        for told, one in zip(probabilities.member_outputs(inputs), logits, strict=True):
            assert torch.equal(told, rule(one).float())
        averaged = SnapshotAverage(members, "logits", activation)
        assert torch.equal(averaged(inputs), (sum(logits) / 3).float())
        expected = rule(averaged(inputs).double()).float()
        assert torch.equal(averaged.probabilities(inputs), expected)


def test_the_order_of_the_members_makes_no_difference():
    members, inputs = drawn(7), torch.randn(50, 4)
    one, other = SnapshotAverage(members), SnapshotAverage(members[::-1])
    assert torch.equal(one(inputs), other(inputs))


def test_half_precision_and_gradients():
    members = [member.to(torch.bfloat16) for member in drawn(3)]
    ensemble = SnapshotAverage(members)
    output = ensemble(torch.randn(5, 4, dtype=torch.bfloat16))
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert all(p.grad is not None for p in ensemble.parameters())
    assert len(ensemble.state_dict()) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([],), ValueError, "empty"),
        (([1],), TypeError, r"members\[0\]"),
        ((drawn(2), "mean"), ValueError, "average"),
        ((drawn(2), "logits", "relu"), ValueError, "activation"),
    ],
)
def test_bad_ensembles(arguments, error, words):
    with pytest.raises(error, match=words):
        SnapshotAverage(*arguments)


def test_more_bad_ensembles():
    (member,) = drawn(1)
    with pytest.raises(ValueError, match="more than once"):
        SnapshotAverage([member, member])
    with pytest.raises(ValueError, match="2 different names"):
        SnapshotAverage(drawn(2), names=["a", "a"])
    with pytest.raises(ValueError, match="'ensemble'"):
        SnapshotAverage(drawn(1), names=["ensemble"])
    with pytest.raises(ValueError, match='activation="sigmoid"'):
        SnapshotAverage(drawn(2, 1))(torch.randn(5, 4))
    with pytest.raises(ValueError, match="cannot be averaged"):
        SnapshotAverage([*drawn(1, 2), *drawn(1, 3)])(torch.randn(5, 4))
    with pytest.raises(TypeError, match="floating-point tensor"):
        SnapshotAverage([nn.LSTM(4, 3)])(torch.randn(5, 4))


def squared(outputs, targets):
    return (outputs - targets).square().mean()


def test_evaluate():
    import torchmetrics

    inputs, targets = torch.randn(11, 4), torch.randint(3, (11,))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), 4)
    members = [nn.Sequential(nn.Dropout(0.5), member) for member in drawn(2)]
    ensemble = SnapshotAverage(members)
    members[0].eval()
    modes = [module.training for module in ensemble.modules()]
    metrics = {
        "accuracy": lambda outputs, truth: (outputs.argmax(1) == truth).float().mean(),
        "torchmetrics": torchmetrics.classification.MulticlassAccuracy(3, average="micro"),
    }
    found = ensemble.evaluate(loader, metrics)
    assert [module.training for module in ensemble.modules()] == modes
    assert list(found) == ["member_1", "member_2", "ensemble"]
    ensemble.eval()
    expected = [*ensemble.member_outputs(inputs), ensemble(inputs)]
    for one, output in zip(found.values(), expected, strict=True):
        right = (output.argmax(1) == targets).float().mean().item()
        assert one == {"accuracy": right, "torchmetrics": pytest.approx(right)}
    single = SnapshotAverage(drawn(2, 1), activation="sigmoid")
    labels = torch.ones(11, 1)
    told = single.evaluate([(inputs, labels)], squared)
    with torch.no_grad():
        assert told["ensemble"] == {"metric": squared(single(inputs), labels).item()}
    with pytest.raises(ValueError, match="nothing to evaluate"):
        ensemble.evaluate([], metrics)
    with pytest.raises(TypeError, match="pairs"):
        ensemble.evaluate([inputs], metrics)
    with pytest.raises(TypeError, match="'metric' must return a number"):
        ensemble.evaluate(loader, lambda outputs, truth: outputs)


# --- from files -------------------------------------------------------------------------------------


class Wrapped(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.network(inputs)

    def training_step(self, batch, batch_idx):
        return self(batch).square().mean()

    def train_dataloader(self):
        return torch.utils.data.DataLoader([torch.ones(2, 4)] * 3, batch_size=None)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize("weights_only", [False, True])
def test_from_snapshots(weights_only, tmp_path):
    callback = SnapshotEnsemble(6, 3, 0.1, dirpath=tmp_path, weights_only=weights_only)
    module = Wrapped()
    fit(callback, module=module)
    ensemble = SnapshotAverage.from_snapshots(callback.paths, Wrapped)
    assert ensemble.names == ["snapshot_1", "snapshot_2", "snapshot_3"]
    assert not ensemble.training
    bare = SnapshotAverage.from_snapshots(
        callback.paths, lambda: nn.Linear(4, 3), prefix="network."
    )
    inputs = torch.randn(5, 4)
    assert torch.equal(ensemble(inputs), bare(inputs))
    assert torch.equal(ensemble.members[2].network.weight, module.network.weight)
    assert not torch.equal(ensemble.members[1].network.weight, module.network.weight)


def test_bare_state_dicts_and_equal_names(tmp_path):
    paths = []
    for i, member in enumerate(drawn(2)):
        (tmp_path / str(i)).mkdir()
        paths.append(tmp_path / str(i) / "weights.pt")
        torch.save(member.state_dict(), paths[-1])
    ensemble = SnapshotAverage.from_snapshots(paths, lambda: nn.Linear(4, 3))
    assert ensemble.names == [str(path) for path in paths]
    (shared,) = drawn(1)
    with pytest.raises(ValueError, match="more than once"):
        SnapshotAverage.from_snapshots(paths, lambda: shared)
    with pytest.raises(ValueError, match=r"not those of the Linear .*torch says"):
        SnapshotAverage.from_snapshots(paths, lambda: nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"'weight.'.*is one of them the `prefix`"):
        SnapshotAverage.from_snapshots(paths, lambda: nn.Linear(4, 3), prefix="network.")
    with pytest.raises(TypeError, match="`make` must return a torch module"):
        SnapshotAverage.from_snapshots(paths, lambda: None)
    with pytest.raises(ValueError, match="`paths` is empty"):
        SnapshotAverage.from_snapshots([], lambda: nn.Linear(4, 3))


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("was-executed"),)


def test_hostile_and_damaged_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(path: Path) -> None:
        SnapshotAverage.from_snapshots([path], lambda: nn.Linear(4, 3))

    torch.save({"state_dict": drawn(1)[0].state_dict(), "hyper": Hostile()}, "hostile.ckpt")
    with pytest.raises(ValueError, match="damaged, or holds more than tensors"):
        load(Path("hostile.ckpt"))
    assert not Path("was-executed").exists()
    torch.save(drawn(1)[0].state_dict(), "whole.ckpt")
    whole = Path("whole.ckpt").read_bytes()
    for n in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        Path("cut.ckpt").write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"'cut\.ckpt' is damaged"):
            load(Path("cut.ckpt"))
    for content in ([1, 2], {"state_dict": {}}, {}, {"state_dict": 3}):
        torch.save(content, "other.ckpt")
        with pytest.raises(ValueError, match="holds no weights"):
            load(Path("other.ckpt"))
    with pytest.raises(FileNotFoundError, match="`last_k`"):
        load(Path("nowhere.ckpt"))


def test_the_ensemble_needs_no_lightning():
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'lightning', 'pytorch_lightning', 'torchmetrics'):\n"
        "    sys.modules[name] = None\n"
        "import lrparity.ensemble"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)
