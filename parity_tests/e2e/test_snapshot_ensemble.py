"""``SnapshotEnsemble``: from every checkpoint that there can be, the same snapshots, none lost or doubled."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from bits import assert_same_bits
from lightning_side import TinyTraining, make_trainer
from lrparity.callbacks import ReduceLROnPlateau, SnapshotEnsemble
from lrparity.callbacks._snapshots import Snapshot
from lrparity.schedules import CosineDecayRestarts, SnapshotCosine
from resume_side import (
    BETWEEN_OPTIMIZERS,
    CAUSES,
    HOOKS,
    IGNORED,
    TRIGGERS,
    Interrupter,
    Saver,
)

pytestmark = [*IGNORED, pytest.mark.usefixtures("one_thread_and_own_signals")]

COSINE = SnapshotCosine(6, 3, 0.1)
BATCHES = 5
PER_UPDATE = CosineDecayRestarts(0.1, 2 * BATCHES, t_mul=2.0)


class Trained(TinyTraining, pl.LightningModule):
    """Its weights tell which updates they have had: ``trained`` is a hash of their rates."""

    def __init__(self, batches: int = BATCHES, **arguments: Any) -> None:
        super().__init__(batches, **arguments)
        self.register_buffer("trained", torch.zeros((), dtype=torch.float64))

    def note_if_moved(self, i: int, optimizer: torch.optim.Optimizer) -> None:
        before = len(self.updates)
        super().note_if_moved(i, optimizer)
        for update in self.updates[before:]:
            self.trained.copy_((self.trained * 31 + update.rates[0]) % 1.0)

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.log("seen", self.trained)


@dataclass(frozen=True)
class Case:
    """A training that takes snapshots; ``rate`` is what the schedule says for an update."""

    rate: Callable[[Any], float] = lambda update: COSINE(update.epoch)
    ensemble: Callable[..., SnapshotEnsemble] = lambda **options: SnapshotEnsemble(
        6, 3, 0.1, **options
    )
    module: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    more: Callable[[], list[Any]] = list
    validates: bool = True  # after the last batch of each cycle
    other_after: tuple[str, ...] = ()

    def fit(
        self,
        folder: Path,
        ckpt_path: Path | None = None,
        *,
        before: Any = (),
        after: Any = (),
        **trainer: Any,
    ) -> Run:
        """Train, from a checkpoint if one is given, with everything fresh."""
        module, ensemble = Trained(**self.module), self.ensemble(dirpath=folder / "snapshots")
        callbacks = [*before, ensemble, *self.more(), *after]
        made = make_trainer(callbacks, **{"max_epochs": 6} | self.trainer | trainer)
        saved, save = [], made.save_checkpoint

        def saving(path: Any, weights_only: bool = False) -> None:
            if Path(path).parent.name == "snapshots":
                saved.append(Path(path).name)
            save(path, weights_only)

        made.save_checkpoint = saving
        run = Run(module, ensemble, saved, ckpt_path)
        try:
            made.fit(module, ckpt_path=ckpt_path)
        except (ZeroDivisionError, SystemExit, pl.utilities.exceptions.SIGTERMException):
            made.save_checkpoint(folder / "by hand after it.ckpt")
            raise
        run.trainer = made
        return run


@dataclass
class Run:
    module: Trained
    ensemble: SnapshotEnsemble
    saved: list[str]
    start: Path | None  # the checkpoint that it went on from
    trainer: Any = None


def grown(**options: Any) -> SnapshotEnsemble:
    return SnapshotEnsemble(schedule=PER_UPDATE, cycle_ends=[2, 6], **options)


TWICE = {"accumulate_grad_batches": 2}
CASES = {
    "plain": Case(),
    "accumulated": Case(trainer=TWICE),
    "validation every 2 batches": Case(trainer={"val_check_interval": 2}, validates=False),
    "validation every 3 epochs": Case(trainer={"check_val_every_n_epoch": 3}, validates=False),
    "no validation": Case(trainer={"limit_val_batches": 0}, validates=False),
    "per update, growing": Case(lambda update: PER_UPDATE(update.number), grown),
    "manual, two optimizers": Case(
        module={"optimizers": 2, "manual": True}, other_after=(BETWEEN_OPTIMIZERS,)
    ),
    "last_k": Case(ensemble=lambda **options: SnapshotEnsemble(6, 3, 0.1, last_k=2, **options)),
    "weights only": Case(
        ensemble=lambda **options: SnapshotEnsemble(6, 3, 0.1, weights_only=True, **options)
    ),
    "with a plateau": Case(
        rate=lambda update: float("nan"),
        more=lambda: [ReduceLROnPlateau("seen", mode="max", patience=1)],
    ),
}


def check_run(case: Case, run: Run, *, cut: bool = False) -> None:
    """The rates are the schedule's; the files are there, and hold what the records say."""
    __tracebackhide__ = True
    if case.rate(run.module.updates[0]) > 0 if run.module.updates else False:
        assert_same_bits(
            [update.rates[0] for update in run.module.updates],
            [case.rate(update) for update in run.module.updates],
        )
    for snapshot in run.ensemble.snapshots:
        content = torch.load(snapshot.path, weights_only=True)
        assert content["epoch"] in (snapshot.epoch, snapshot.epoch + 1)  # or it was taken late
        if case.validates and not cut:
            assert content["state_dict"]["trained"].float() == snapshot.metrics["seen"], run.start
        if not case.ensemble().weights_only:
            assert content["account"] == list(snapshot.updates.values())
    kept = {Path(path).name for path in run.ensemble.paths}
    folder = Path(run.ensemble.paths[0]).parent if kept else None
    assert folder is None or {path.name for path in folder.iterdir()} == kept


def contents(snapshots: list[Snapshot]) -> list[Any]:
    return [torch.load(one.path, weights_only=True)["state_dict"]["trained"] for one in snapshots]


def check_resumed(case: Case, whole: Run, path: Path, folder: Path, *, exact: bool = True) -> Run:
    """Go on from a checkpoint: the snapshots are those of the whole training, each taken once."""
    __tracebackhide__ = True
    snapshots, as_taken = folder / "snapshots", folder / "as taken"
    if as_taken.exists():
        shutil.rmtree(snapshots)
        shutil.copytree(as_taken, snapshots)
    else:
        shutil.copytree(snapshots, as_taken)
    expected, content = whole.ensemble.snapshots, contents(whole.ensemble.snapshots)
    (state,) = [
        state
        for key, state in torch.load(path, weights_only=True)["callbacks"].items()
        if key.startswith("SnapshotEnsemble")
    ]
    taken = [Path(one["path"]).name for one in state["taken"]]
    for snapshot in expected:  # what is not in the checkpoint may not have been written
        if Path(snapshot.path).name not in taken:
            Path(snapshot.path).unlink()
    resumed = case.fit(folder, path)
    check_run(case, resumed)
    if exact:
        assert resumed.ensemble.snapshots == expected, path.name
        assert contents(resumed.ensemble.snapshots) == content, path.name
        rest = [
            u for u in whole.module.updates if u.number >= resumed.module.done_before[u.optimizer]
        ]
        assert resumed.module.updates == rest, path.name
    else:
        assert [one.epoch for one in resumed.ensemble.snapshots] == [e.epoch for e in expected]
    every = [name for name in case.ensemble()._names if name not in taken]
    assert resumed.saved == every, path.name
    return resumed


def without_last_k(case: Case) -> bool:
    return case.ensemble().last_k is None


@pytest.mark.parametrize("name", CASES)
def test_a_save_in_any_hook(name, chosen, tmp_path):
    case = CASES[name]
    first, last = Saver(tmp_path, "first"), Saver(tmp_path, "last")
    whole = case.fit(tmp_path, before=[first], after=[last], num_sanity_val_steps=1)
    check_run(case, whole)
    assert [one.cycle for one in whole.ensemble._taken] == list(
        range(1, len(whole.ensemble.cycle_ends) + 1)
    )
    whole.trainer.save_checkpoint(tmp_path / "after fit 0 nowhere.ckpt")
    hooks = {path.name.split()[0] for path in tmp_path.glob("*.ckpt")}
    assert hooks >= set(HOOKS) - {"on_before_zero_grad"} - {
        hook for hook in HOOKS if "validation" in hook or "sanity" in hook
    }
    for hook in sorted(hooks):
        for path in chosen(tmp_path.glob(f"{hook} *.ckpt"), 2):
            check_resumed(case, whole, path, tmp_path, exact=hook not in case.other_after)


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("name", ["plain", "accumulated", "manual, two optimizers", "last_k"])
def test_every_trigger_of_model_checkpoint(name, trigger, chosen, tmp_path):
    case = CASES[name]
    checkpoint = ModelCheckpoint(tmp_path / "written", save_top_k=-1, **TRIGGERS[trigger])
    whole = case.fit(tmp_path, after=[checkpoint])
    written = sorted((tmp_path / "written").glob("*.ckpt"))
    if not written:
        assert name == "manual, two optimizers"
        assert trigger == "by the clock"
        return
    for path in chosen(written, 2):
        check_resumed(case, whole, path, tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_from_each_snapshot(name, tmp_path):
    case = CASES[name]
    whole = case.fit(tmp_path)
    if case.ensemble().weights_only:
        with pytest.raises(FileExistsError, match="which this training did not write"):
            case.fit(tmp_path, whole.ensemble.paths[0])
        with pytest.raises(KeyError, match="only the model"):
            case.fit(tmp_path / "elsewhere", whole.ensemble.paths[0])
        return
    for path in whole.ensemble.paths:
        resumed = check_resumed(case, whole, Path(path), tmp_path)
        assert (
            len(resumed.saved)
            == len(whole.ensemble.cycle_ends) - [*whole.ensemble._names].index(Path(path).name) - 1
        )


@pytest.mark.parametrize("cause", CAUSES)
def test_an_interrupt_in_any_hook(cause, chosen, tmp_path):
    case = CASES["plain"]
    count = Interrupter()
    whole = case.fit(tmp_path / "whole", after=[count])
    late = {"on_train_epoch_end"} if cause == "SIGTERM" else set()  # it is looked for after a batch
    hooks = set(count.calls) - {"on_train_end"} - late
    for hook in chosen(hooks, 6):
        for n in chosen(range(count.calls[hook]), 1, 4):
            folder = tmp_path / f"{hook} {n}"
            on_exception = OnExceptionCheckpoint(folder, "on exception")
            with pytest.raises(CAUSES[cause]):
                case.fit(
                    folder,
                    after=[Interrupter(cause, hook, n), on_exception],
                    enable_checkpointing=True,
                )
            for path in sorted(folder.glob("*.ckpt")):
                resumed = case.fit(folder, path)
                check_run(case, resumed)
                got = [(s.cycle, s.epoch, s.updates) for s in resumed.ensemble.snapshots]
                assert got == [(s.cycle, s.epoch, s.updates) for s in whole.ensemble.snapshots]
                assert contents(resumed.ensemble.snapshots) == contents(whole.ensemble.snapshots)


@pytest.mark.parametrize("name", ["plain", "manual, two optimizers"])
def test_a_checkpoint_of_a_resumed_run(name, chosen, tmp_path):
    case = CASES[name]
    whole = case.fit(tmp_path, after=[Saver(tmp_path / "1", "last")])
    expected = contents(whole.ensemble.snapshots)

    def exact(folder: Path) -> list[Path]:
        return [path for path in folder.glob("*.ckpt") if BETWEEN_OPTIMIZERS not in path.name]

    for path in chosen(exact(tmp_path / "1"), 3, 20):
        folder = tmp_path / path.stem
        resumed = case.fit(tmp_path, path, after=[Saver(folder, "last")])
        written = exact(folder)
        for again in chosen(written, 3, 20) if written else []:
            twice = case.fit(tmp_path, again)
            check_run(case, twice)
            assert (
                twice.ensemble.snapshots == resumed.ensemble.snapshots == whole.ensemble.snapshots
            )
            assert contents(twice.ensemble.snapshots) == expected


def test_a_validation_that_lightning_leaves_out_is_done(tmp_path):
    """Saved as the last batch of a cycle ended: without a mend there would be no metrics."""
    case = CASES["plain"]
    whole = case.fit(tmp_path, after=[Saver(tmp_path, "last")])
    path = tmp_path / f"on_train_batch_end {2 * BATCHES - 1} last.ckpt"
    resumed = check_resumed(case, whole, path, tmp_path)
    assert resumed.ensemble.snapshots[0].metrics == {
        "seen": contents(resumed.ensemble.snapshots)[0]
    }


@pytest.mark.parametrize("steps", range(1, 6 * BATCHES, 4))
@pytest.mark.filterwarnings("ignore:The training ended after")
def test_max_steps(steps, tmp_path):
    case = CASES["plain"]
    whole = case.fit(tmp_path / "whole")
    short = case.fit(tmp_path, after=[Saver(tmp_path, "last")], max_steps=steps)
    epochs = -(-steps // BATCHES)  # the last may be cut short, and ends nevertheless
    assert [one.epoch for one in short.ensemble.snapshots] == [1, 3, 5][: epochs // 2]
    for hook in ("on_train_end", "on_train_epoch_end"):
        n = 0 if hook == "on_train_end" else epochs - 1
        longer = case.fit(tmp_path, tmp_path / f"{hook} {n} last.ckpt", max_steps=-1)
        check_run(case, longer, cut=steps % BATCHES != 0)
        assert [one.epoch for one in longer.ensemble.snapshots] == [1, 3, 5]
        if steps % BATCHES == 0:
            assert contents(longer.ensemble.snapshots) == contents(whole.ensemble.snapshots)


def test_the_last_snapshot_is_taken_although_nothing_is_left_to_train(tmp_path):
    """Killed between ModelCheckpoint's last checkpoint and the snapshot."""
    case = CASES["plain"]
    checkpoint = ModelCheckpoint(tmp_path / "written", "{epoch}", save_top_k=-1, every_n_epochs=1)
    whole = case.fit(tmp_path, after=[checkpoint])
    last = tmp_path / "written" / "epoch=5.ckpt"
    resumed = check_resumed(case, whole, last, tmp_path)
    assert not resumed.module.updates
    assert resumed.saved == ["snapshot_3.ckpt"]


def test_more_cycles(tmp_path):
    case = CASES["plain"]
    case.fit(tmp_path, after=[Saver(tmp_path, "last")])

    def longer(**options: Any) -> SnapshotEnsemble:
        return SnapshotEnsemble(8, 4, 0.1, **options)

    path = tmp_path / "on_train_end 0 last.ckpt"
    with pytest.raises(
        ValueError, match=r"end after \[2, 4, 6\] epochs; they now end after \[2, 4, 6, 8"
    ):
        Case(ensemble=longer).fit(tmp_path, path, max_epochs=8)
    going_on = Case(ensemble=lambda **options: longer(on_config_change="use_new", **options))
    resumed = going_on.fit(tmp_path, path, max_epochs=8)
    check_run(going_on, resumed)
    assert [one.epoch for one in resumed.ensemble.snapshots] == [1, 3, 5, 7]
    assert resumed.saved == ["snapshot_4.ckpt"]

    def clashing(**options: Any) -> SnapshotEnsemble:
        return SnapshotEnsemble(
            schedule=COSINE, cycle_ends=[6, 8], on_config_change="use_new", **options
        )

    with pytest.raises(ValueError, match=r"would replace .'snapshot_2.ckpt'"):
        Case(ensemble=clashing).fit(tmp_path, path, max_epochs=8)


class TakesNone(SnapshotEnsemble):
    """Does not look back when it goes on."""

    def _settle(self, trainer: Any) -> None:
        pass


class Forgets(SnapshotEnsemble):
    """Saves nothing of what it has taken."""

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"taken": [], "kept": []}


@pytest.mark.parametrize("mutant", [TakesNone, Forgets])
@pytest.mark.filterwarnings("ignore:The training goes on after")
def test_a_mutant_is_noticed(mutant, tmp_path):
    case = Case(ensemble=lambda **options: mutant(6, 3, 0.1, **options))
    checkpoint = ModelCheckpoint(tmp_path / "written", "{epoch}", save_top_k=-1, every_n_epochs=1)
    whole = case.fit(tmp_path, after=[checkpoint])
    noticed = 0
    for path in sorted((tmp_path / "written").glob("*.ckpt")):
        try:
            check_resumed(case, whole, path, tmp_path)
        except (AssertionError, FileExistsError):
            noticed += 1
    assert noticed
