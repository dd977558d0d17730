"""Resume from every checkpoint that Lightning can write: each rate is that of the whole training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    ModelCheckpoint,
    OnExceptionCheckpoint,
)

from bits import assert_same_bits
from lightning_side import ForgetsOne, Tiny, Update, make_trainer
from lrparity import lr_scheduler
from lrparity.callbacks import ScheduleLR
from lrparity.schedules import CosineDecay, StepDecay
from resume_side import (
    BETWEEN_OPTIMIZERS,
    CAUSES,
    DROPS_AN_EPOCH,
    HOOKS,
    IGNORED,
    TRIGGERS,
    Interrupter,
    Saver,
)

pytestmark = [*IGNORED, pytest.mark.usefixtures("one_thread_and_own_signals")]

PER_UPDATE = CosineDecay(0.1, 40)
PER_EPOCH = StepDecay(0.5, 0.5, 1)

OVERFLOWS = (1, 2, 4)


def by_number(update: Update) -> float:
    return PER_UPDATE(update.number)


def by_epoch(update: Update) -> float:
    return PER_EPOCH(update.epoch)


def by_batch(update: Update) -> float:
    return PER_UPDATE(update.batch)


def by_number_and_epoch(update: Update) -> float:
    return by_epoch(update) if update.optimizer else by_number(update)


@dataclass(frozen=True)
class Case:
    """A way to train.

    Attributes:
        rate: what the schedule says for an update.
        module: arguments of ``Tiny``.
        callbacks: makes the callbacks.
        trainer: arguments of the trainer.
        other_after: the hooks after a save in which Lightning does not go on as it would have.
    """

    rate: Callable[[Update], float]
    module: dict[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[Any]] = list
    trainer: dict[str, Any] = field(default_factory=dict)
    other_after: tuple[str, ...] = (DROPS_AN_EPOCH,)

    def fit(
        self, ckpt_path: Path | None = None, *, more: Iterable[Any] = (), **trainer: Any
    ) -> Tiny:
        """Train, from a checkpoint if one is given, with everything fresh."""
        module = Tiny(**self.module)
        made = make_trainer(self.callbacks() + list(more), **self.trainer | trainer)
        made.fit(module, ckpt_path=ckpt_path)
        return module


def callback(schedule: Any, **arguments: Any) -> Callable[[], list[Any]]:
    return lambda: [ScheduleLR(schedule, **arguments)]


def scheduler(schedule: Any, **arguments: Any) -> Callable[[Any], Any]:
    return lambda optimizer: lr_scheduler.ScheduleLR(optimizer, schedule, **arguments)


TWICE = {"accumulate_grad_batches": 2}  # ragged, for an epoch has 5 batches
CASES = {
    "update": Case(by_number, callbacks=callback(PER_UPDATE)),
    "update, accumulated": Case(by_number, callbacks=callback(PER_UPDATE), trainer=TWICE),
    "update, validation twice an epoch": Case(
        by_number, {"batches": 6}, callback(PER_UPDATE), {"val_check_interval": 0.5}
    ),
    "update, validation every 2 batches": Case(
        by_number, callbacks=callback(PER_UPDATE), trainer={"val_check_interval": 2}
    ),
    "update, validation across epochs": Case(
        by_number,
        callbacks=callback(PER_UPDATE),
        trainer={"val_check_interval": 3, "check_val_every_n_epoch": None},
    ),
    "epoch": Case(by_epoch, callbacks=callback(PER_EPOCH)),
    "epoch, accumulated": Case(
        by_epoch, callbacks=callback(PER_EPOCH), trainer=TWICE | {"val_check_interval": 2}
    ),
    "manual, two optimizers": Case(
        by_number_and_epoch,
        {"optimizers": 2, "manual": True},
        callback({0: PER_UPDATE, "SGD-1": PER_EPOCH}),
        other_after=(DROPS_AN_EPOCH, BETWEEN_OPTIMIZERS),
    ),
    "manual, one for both": Case(
        by_number,
        {"optimizers": 2, "manual": True},
        callback(PER_UPDATE),
        other_after=(DROPS_AN_EPOCH, BETWEEN_OPTIMIZERS),
    ),
    "micro-batch": Case(
        by_batch, callbacks=callback(PER_UPDATE, count="micro_batch"), trainer=TWICE
    ),
    "AMP": Case(by_number, {"overflows": OVERFLOWS}, callback(PER_UPDATE), {"amp": True}),
    "AMP, fused, accumulated": Case(
        by_number,
        {"overflows": (3,), "fused": True},
        callback(PER_UPDATE),
        TWICE | {"amp": True},
        other_after=HOOKS,  # the gradient that a checkpoint does not hold may be the infinite one
    ),
    "scheduler": Case(by_number, {"scheduler": scheduler(PER_UPDATE)}),
    "scheduler, accumulated": Case(by_number, {"scheduler": scheduler(PER_UPDATE)}, trainer=TWICE),
    "scheduler per epoch": Case(by_epoch, {"scheduler": scheduler(PER_EPOCH)}),
    "scheduler, manual": Case(
        by_number,
        {"optimizers": 2, "manual": True, "scheduler": scheduler(PER_UPDATE)},
        other_after=(DROPS_AN_EPOCH, BETWEEN_OPTIMIZERS),
    ),
    "scheduler, AMP": Case(
        by_number,
        {"overflows": OVERFLOWS, "scheduler": scheduler(PER_UPDATE, count="updates")},
        trainer={"amp": True},
    ),
}


def check(case: Case, module: Tiny, context: object) -> None:
    """Every rate is what the schedule says for its update."""
    __tracebackhide__ = True
    for i, before in enumerate(module.done_before):
        updates = [update for update in module.updates if update.optimizer == i]
        numbers = [update.number for update in updates]
        assert numbers == list(range(before, module.done[i])), context
        assert_same_bits(
            [update.rates[0] for update in updates],
            [case.rate(update) for update in updates],
            numbers,
            context,
        )


def check_resumed(case: Case, whole: Tiny, path: Path, hook: str = "") -> Tiny:
    """Go on from a checkpoint; where Lightning goes on as it would have, so do the rates."""
    __tracebackhide__ = True
    resumed = case.fit(path)
    check(case, resumed, path.name)
    if hook not in case.other_after:
        rest = [u for u in whole.updates if u.number >= resumed.done_before[u.optimizer]]
        assert resumed.updates == rest, path.name
    return resumed


@pytest.mark.parametrize("name", CASES)
def test_a_save_in_any_hook(name, chosen, tmp_path):
    case = CASES[name]
    first, last = Saver(tmp_path, "first"), Saver(tmp_path, "last")
    module = Tiny(**case.module)
    trainer = make_trainer(
        [first, *case.callbacks(), last], **case.trainer | {"num_sanity_val_steps": 1}
    )
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "after fit 0 nowhere.ckpt")
    check(case, module, "uninterrupted")
    assert module.updates
    assert first.calls.keys() >= set(HOOKS) - {"on_before_zero_grad"}  # manual has none
    hooks = {path.name.split()[0] for path in tmp_path.glob("*.ckpt")}
    for hook in sorted(hooks):
        if hook == DROPS_AN_EPOCH and name == "scheduler per epoch":
            continue  # see test_a_dropped_epoch_is_no_step_of_any_scheduler
        for path in chosen(tmp_path.glob(f"{hook} *.ckpt"), 2):
            check_resumed(case, module, path, hook)


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("name", CASES)
def test_model_checkpoint(name, trigger, chosen, tmp_path):
    case = CASES[name]
    saver = ModelCheckpoint(tmp_path, "{epoch}-{step}", save_top_k=-1, **TRIGGERS[trigger])
    whole = case.fit(more=[saver])
    check(case, whole, "uninterrupted")
    if trigger == "by the clock" and case.module.get("manual"):
        assert not list(tmp_path.glob("*.ckpt"))  # Lightning 2.6.6 does not look at the clock then
        return
    for path in chosen(tmp_path.glob("*.ckpt"), 2):
        check_resumed(case, whole, path, "on_train_batch_end")


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", CASES)
def test_interrupted(name, cause, chosen, tmp_path):
    case, counter = CASES[name], Interrupter()
    whole = case.fit(more=[counter])
    hooks = set(counter.calls) - {"on_train_end"}
    if cause == "SIGTERM":  # Lightning looks for it after each batch
        hooks -= {"on_train_epoch_end"}
    elif name == "scheduler per epoch":  # see test_a_dropped_epoch_is_no_step_of_any_scheduler
        hooks -= {DROPS_AN_EPOCH}
    moments = [(hook, n) for hook in hooks for n in (0, 1, 4, 8) if n < counter.calls[hook]]
    for hook, n in chosen(moments, 4):
        folder = tmp_path / f"{hook}-{n}"
        savers = [
            OnExceptionCheckpoint(folder, "at once"),
            ModelCheckpoint(folder, every_n_epochs=1000, save_on_exception=True),
        ]
        with pytest.raises(CAUSES[cause]):
            case.fit(more=[*savers, Interrupter(cause, hook, n)])
        assert (folder / "at once.ckpt").exists()
        for path in folder.glob("*.ckpt"):
            check_resumed(case, whole, path, "on_train_batch_end" if cause == "SIGTERM" else hook)


class TorchsOwn(torch.optim.lr_scheduler.LambdaLR):
    """``PER_EPOCH`` without lrparity."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer, lambda epoch: 0.5 ** (epoch + 2))

    def lightning_config(self) -> dict[str, Any]:
        return {"scheduler": self, "interval": "epoch", "frequency": 1}


def test_a_dropped_epoch_is_no_step_of_any_scheduler(tmp_path):
    rates = []
    for i, make in enumerate((scheduler(PER_EPOCH), TorchsOwn)):
        case, folder = Case(by_epoch, {"scheduler": make}), tmp_path / str(i)
        case.fit(more=[Saver(folder, "last")])
        resumed = case.fit(folder / f"{DROPS_AN_EPOCH} 1 last.ckpt")
        assert {update.epoch for update in resumed.updates} == {2}
        rates.append([update.rates for update in resumed.updates])
    assert rates[0] == rates[1]


# --- groups that join -------------------------------------------------------------------------------


class Thawed(Tiny):
    """Lightning 2.6.6 leaves the backbone frozen on resume, though it is in the optimizer again."""

    def on_train_start(self) -> None:
        for group in self.optimizers().param_groups:
            for weight in group["params"]:
                weight.requires_grad_(True)


def fit_with_backbone(ckpt_path: Path | None = None, more: Iterable[Any] = ()) -> Tiny:
    thaw = BackboneFinetuning(
        1, lambda epoch: 1.5, backbone_initial_ratio_lr=0.25, should_align=False
    )
    module = Thawed()
    trainer = make_trainer([thaw, ScheduleLR(PER_UPDATE), *more], max_epochs=4)
    trainer.fit(module, ckpt_path=ckpt_path)
    return module


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != DROPS_AN_EPOCH])
def test_backbone_finetuning(hook, tmp_path):
    saver = Saver(tmp_path, "last")
    whole = fit_with_backbone(more=[saver])
    ratios = [set(), set(), set(), set()]  # BackboneFinetuning sets another at each epoch
    for update in whole.updates:
        assert_same_bits(update.rates[0], PER_UPDATE(update.number))
        ratios[update.epoch] |= {round(rate / update.rates[0], 6) for rate in update.rates[1:]}
    assert [len(one) for one in ratios] == [0, 1, 1, 1]
    assert ratios[1] == {0.25}
    assert ratios[1] != ratios[2] != ratios[3]
    for n in range(saver.calls[hook]):
        if hook == "on_train_batch_end" and n % 5 == 4:
            continue  # Lightning forgets to call on_train_epoch_start, and BackboneFinetuning fails
        resumed = fit_with_backbone(tmp_path / f"{hook} {n} last.ckpt")
        assert resumed.updates == whole.updates[resumed.done_before[0] :], (hook, n)


# --- longer, shorter, again -------------------------------------------------------------------------


# Not per epoch and by a torch scheduler: Lightning may repeat the last batch of an epoch for which
# it has stepped the scheduler.
@pytest.mark.parametrize("name", [name for name in CASES if name != "scheduler per epoch"])
def test_a_checkpoint_of_a_resumed_run(name, chosen, tmp_path):
    case = CASES[name]
    case.fit(more=[Saver(tmp_path / "1", "last")])
    for path in chosen((tmp_path / "1").glob("*.ckpt"), 2, 20):
        folder = tmp_path / path.stem
        check(case, case.fit(path, more=[Saver(folder, "last")]), path.name)
        written = list(folder.glob("*.ckpt"))  # a training that was finished writes none
        for again in chosen(written, 3, 20) if written else []:
            # Lightning 2.6.6 may repeat batches: its counts drift when a batch was resumed.
            check(case, case.fit(again), (path.name, again.name))


# Not per epoch and by a torch scheduler: Lightning does not step it for the epoch that was cut.
@pytest.mark.parametrize("name", ["update", "epoch", "manual, two optimizers", "AMP", "scheduler"])
@pytest.mark.parametrize("steps", range(1, 15, 3))
def test_max_steps(name, steps, tmp_path):
    case = CASES[name]
    whole = case.fit()
    short = case.fit(more=[Saver(tmp_path, "last")], max_steps=steps)
    assert short.updates == whole.updates[: len(short.updates)]
    for hook in ("on_train_end", "on_train_epoch_end"):  # Lightning goes on with the next epoch
        path = tmp_path / f"{hook} 0 last.ckpt"
        for bound in (-1, steps + 3):
            longer = case.fit(path, max_epochs=5, max_steps=bound)
            check(case, longer, (hook, bound))
            assert longer.updates


@pytest.mark.parametrize("name", CASES)
def test_more_epochs_and_no_more(name, tmp_path):
    case = CASES[name]
    case.fit(more=[Saver(tmp_path, "last")])
    whole = case.fit(max_epochs=5)
    for path in ("on_train_epoch_end 2 last.ckpt", "on_train_end 0 last.ckpt"):
        assert not case.fit(tmp_path / path).updates
        longer = case.fit(tmp_path / path, max_epochs=5)
        check(case, longer, path)
        assert longer.updates == whole.updates[sum(longer.done_before) :], path
        assert longer.updates, path


def test_the_same_objects_go_back_to_an_earlier_checkpoint(tmp_path):
    case = CASES["update"]
    schedule_lr = ScheduleLR(PER_UPDATE)
    module, saver = Tiny(), Saver(tmp_path, "last")
    trainer = make_trainer([schedule_lr, saver])
    trainer.fit(module)
    whole, module.updates = module.updates, []
    saver.folder = tmp_path / "again"
    trainer.fit(module, ckpt_path=tmp_path / "on_train_batch_end 6 last.ckpt")
    check(case, module, "the same trainer")
    assert module.updates == whole[7:]
    assert schedule_lr.updates == {0: 15}


# --- what a checkpoint may lack ---------------------------------------------------------------------


@pytest.fixture
def path(tmp_path) -> Path:
    """A checkpoint after 7 updates of 15."""
    CASES["update"].fit(more=[Saver(tmp_path, "last")])
    return tmp_path / "on_train_batch_end 6 last.ckpt"


def test_another_schedule(path):
    other = CosineDecay(0.2, 40)
    with pytest.raises(ValueError, match=r"initial_learning_rate of CosineDecay: saved 0\.1, now"):
        Case(by_number, callbacks=callback(other)).fit(path)
    case = Case(
        lambda update: other(update.number), callbacks=callback(other, on_config_change="use_new")
    )
    resumed = case.fit(path)
    check(case, resumed, "use_new")
    assert resumed.updates[0].number == 7


def test_a_checkpoint_without_the_callback(tmp_path):
    Case(by_number).fit(more=[Saver(tmp_path, "last")])
    path, case = tmp_path / "on_train_batch_end 6 last.ckpt", CASES["update"]
    with pytest.warns(UserWarning, match="begun without this ScheduleLR: .*global_step = 7"):
        resumed = case.fit(path)
    check(case, resumed, "global_step")
    told = Case(
        lambda update: PER_UPDATE(update.number + 13),
        callbacks=callback(PER_UPDATE, initial_update=20),
    )
    check(told, told.fit(path), "initial_update")
    per_epoch = CASES["epoch"]
    check(per_epoch, per_epoch.fit(path), "an epoch needs no count")


def test_a_manual_checkpoint_without_the_callback(tmp_path):
    manual = {"optimizers": 2, "manual": True}
    Case(by_number, manual).fit(more=[Saver(tmp_path, "last")])
    path = tmp_path / "on_train_batch_end 6 last.ckpt"
    with pytest.raises(ValueError, match="initial_update"):
        Case(by_number, manual, callback(PER_UPDATE)).fit(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.update(version=99),
        lambda state: state.update(format="x"),
        lambda state: state.update(optimizers=None),
        lambda state: state["optimizers"]["0"].update(updates=-1),
        lambda state: state["optimizers"]["0"].update(updates="7"),
        lambda state: state["optimizers"]["0"].update(micro_batches=None),
        lambda state: state["optimizers"]["0"].pop("first_groups"),
        lambda state: state["optimizers"]["0"].pop("scheduler"),
        lambda state: state["optimizers"]["0"]["scheduler"].pop("last_epoch"),
        lambda state: state["optimizers"]["0"]["scheduler"].update(fingerprint="x"),
    ],
)
def test_a_damaged_state_is_refused(damage, path):
    checkpoint = torch.load(path, weights_only=True)
    (state,) = (s for key, s in checkpoint["callbacks"].items() if key.startswith("ScheduleLR"))
    damage(state)
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"damaged|version|not the state"):
        CASES["update"].fit(path)


@pytest.mark.parametrize("name", CASES)
def test_every_checkpoint_loads_as_weights_only(name, tmp_path):
    CASES[name].fit(more=[Saver(tmp_path, "last")])
    for path in tmp_path.glob("*.ckpt"):
        torch.load(path, weights_only=True)


# --- does the check see anything? -------------------------------------------------------------------


class IgnoresLoad(ScheduleLR):
    """Does not resume."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


@pytest.mark.parametrize("mutant", [ForgetsOne, IgnoresLoad])
@pytest.mark.filterwarnings("ignore:The training goes on, and was begun without this ScheduleLR")
def test_a_mutant_is_noticed(mutant, tmp_path):
    case = Case(by_number, {"overflows": OVERFLOWS}, lambda: [mutant(PER_UPDATE)], {"amp": True})
    whole = case.fit(more=[Saver(tmp_path, "last")])
    check(case, whole, "uninterrupted")
    noticed = 0
    for path in tmp_path.glob("*.ckpt"):
        done = torch.load(path, weights_only=True)["account"][0]
        if 2 <= done < 6 and "epoch_start" not in path.name:
            with pytest.raises(AssertionError, match="rates differ in bits"):
                check_resumed(case, whole, path)
            noticed += 1
    assert noticed > 20
