"""Resume the closed loops from every checkpoint: each rate is that of a training that went through.

Every resume goes on for an epoch more than the training that wrote the checkpoint, so that what was
decided at its end counts, too.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from bits import assert_same_bits
from closed_loop_side import (
    RESUMES,
    Case,
    Run,
    by_batch,
    by_epoch,
    by_number,
    check_resumed,
    noise,
    within_an_epoch,
)
from lrparity import lr_scheduler
from lrparity.callbacks import (
    BatchLearningRateScheduler,
    LearningRateScheduler,
    LossDrivenLR,
    ReduceLROnPlateau,
    ScheduleLR,
    _closed_loop,
    _epoch_metrics,
    _loops,
    _monitor,
    _monitored,
)
from lrparity.schedules import CosineDecay
from resume_side import BETWEEN_OPTIMIZERS, CAUSES, HOOKS, IGNORED, TRIGGERS, Interrupter, Saver

pytestmark = [
    *IGNORED,
    pytest.mark.usefixtures("one_thread_and_own_signals"),
    # Some metrics are left out in some epochs on purpose.
    pytest.mark.filterwarnings("ignore:.* goes by the metric"),
]

EPOCHS = 5


@pytest.fixture(scope="module", autouse=True)
def _count():
    """Say how many resumes there were (``pytest -s`` shows it)."""
    yield
    print(f"\nresumes of the closed loops: {dict(RESUMES)}")


def halving(epoch: int) -> float:
    return 0.1 * 0.9**epoch


def by_the_epoch(epoch: int, lr: float) -> float:
    return lr * (0.9 + 0.01 * epoch)


def hyperbola(k: int) -> float:
    return 0.1 / (k + 1)


def by_the_count(k: int, lr: float) -> float:
    return lr * (0.95 + 0.001 * (k % 7))


def loss_by_updates(module: Any, batch: Any) -> torch.Tensor:
    return batch[0].mean() * (0.1 + 0.01 * module.done[0])


DATA = torch.utils.data.TensorDataset(torch.ones(3))


def plateau(monitor: str = "val_loss", patience: int = 0, **arguments: Any) -> ReduceLROnPlateau:
    return ReduceLROnPlateau(monitor, 0.7, patience, mode="min", min_delta=0.0, **arguments)


def closed(
    *make: Callable[[], Any],
    key: Callable[..., Any] | None = by_epoch,
    logged: Iterable[str] = (),
    scheduler: Callable[[Any], Any] | None = None,
    **case: Any,
) -> dict[str, Any]:
    """Arguments of a ``Case``."""
    module = {"logged": tuple(logged) or ("val_loss",), "scheduler": scheduler}
    return case | {"callbacks": lambda: [one() for one in make], "key": key, "module": module}


LOOPS: dict[str, dict[str, Any]] = {
    "plateau": closed(plateau),
    "plateau, patience": closed(lambda: plateau(patience=1)),
    "plateau, cooldown": closed(lambda: plateau(cooldown=1)),
    "plateau, each validation": closed(lambda: plateau(when="validation"), key=by_batch),
    "plateau, on_validation_epoch_end": closed(lambda: plateau("val_end"), logged=["val_end"]),
    "plateau, on_train_epoch_end": closed(
        lambda: plateau("train_end"), logged=["train_end"], late=True
    ),
    "plateau, training": closed(
        lambda: plateau("train_loss"), logged=["train_loss"], inexact=within_an_epoch
    ),
    "plateau, both": closed(lambda: plateau("both"), logged=["both"]),
    "plateau, some epochs": closed(lambda: plateau("odd"), logged=["odd"]),
    "epoch": closed(lambda: LearningRateScheduler(halving)),
    "epoch, compounding": closed(lambda: LearningRateScheduler(by_the_epoch)),
    **{
        f"{at} of {index}, {fn.__name__}": closed(
            lambda at=at, index=index, fn=fn: BatchLearningRateScheduler(fn, at, index),
            key=by_number if index == "update" else by_batch,
        )
        for at in ("begin", "end")
        for index in ("update", "batch")
        for fn in (hyperbola, by_the_count)
    },
    **{
        f"loss, {source}": closed(
            lambda source=source: LossDrivenLR(0.1, source=source, scale=0.3),
            key=by_epoch if source == "epoch" else by_batch,
        )
        for source in ("batch", "running", "epoch")
    },
    "loss, metric": closed(lambda: LossDrivenLR(0.1, monitor="val_loss", scale=0.1)),
    "loss, metric, each validation": closed(
        lambda: LossDrivenLR(0.1, monitor="val_loss", scale=0.1, when="validation"), key=by_batch
    ),
    "loss, on_train_epoch_end": closed(
        lambda: LossDrivenLR(0.1, monitor="train_end", scale=0.1), logged=["train_end"], late=True
    ),
    "loss, training": closed(
        lambda: LossDrivenLR(0.1, monitor="train_loss", scale=0.1),
        logged=["train_loss"],
        inexact=within_an_epoch,
    ),
    "loss, data set": closed(
        lambda: LossDrivenLR(0.1, dataset=DATA, loss_fn=loss_by_updates), key=None
    ),
    "loss, data set, updates": closed(
        lambda: LossDrivenLR(0.1, dataset=DATA, loss_fn=loss_by_updates, every_n_updates=2),
        key=None,
    ),
    "schedule, plateau": closed(lambda: ScheduleLR(CosineDecay(0.1, 60)), plateau, key=None),
    "scheduler, plateau": closed(
        plateau,
        key=None,
        scheduler=lambda optimizer: lr_scheduler.ScheduleLR(optimizer, CosineDecay(0.1, 60)),
    ),
    "plateau, epoch": closed(plateau, lambda: LearningRateScheduler(by_the_epoch)),
    "epoch, plateau": closed(lambda: LearningRateScheduler(by_the_epoch), plateau),
    "late, plateau, epoch": closed(
        lambda: plateau("train_end"),
        lambda: plateau(patience=1),
        lambda: LearningRateScheduler(by_the_epoch),
        logged=["val_loss", "train_end"],
        late=True,
    ),
    "each validation, batch": closed(
        lambda: plateau(when="validation"),
        lambda: BatchLearningRateScheduler(by_the_count, "end"),
        key=None,
    ),
    "two validations": closed(  # the one has what it wants, the other has it repeated
        lambda: plateau(when="validation"),
        lambda: plateau("odd", when="validation"),
        key=by_batch,
        logged=["val_loss", "odd"],
    ),
}
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "accumulated": ({}, {"accumulate_grad_batches": 2}),
    "every 2 epochs": ({}, {"check_val_every_n_epoch": 2}),
    "every 3 epochs": ({}, {"check_val_every_n_epoch": 3, "max_epochs": 7}),
    "twice an epoch": ({"batches": 4}, {"val_check_interval": 0.5, "max_epochs": 4}),
    "not at the end": ({}, {"val_check_interval": 2}),
    "across epochs": ({}, {"val_check_interval": 2, "check_val_every_n_epoch": None}),
    "manual": ({"manual": True}, {}),
    "manual, two": ({"manual": True, "optimizers": 2}, {}),
    "AMP": ({"batches": 4, "overflows": (1, 3)}, {"amp": True}),
    "AMP, accumulated": (
        {"batches": 5, "overflows": (3,)},
        {"amp": True, "accumulate_grad_batches": 2},
    ),
}
SPARSE = ("every 2 epochs", "every 3 epochs", "across epochs")
"""Some epochs have no validation."""


def make_case(loop: str, way: str) -> Case:
    case = dict(LOOPS[loop])
    module, trainer = WAYS[way]
    if loop == "plateau, both" and way in SPARSE:
        case["inexact"] = within_an_epoch
    return Case(
        **case
        | {
            "module": case["module"] | {"batches": 3} | module,
            "trainer": {"max_epochs": EPOCHS} | trainer,
            "other_after": (BETWEEN_OPTIMIZERS,) if way == "manual, two" else (),
        }
    )


def one_more(case: Case) -> dict[str, int]:
    return {"max_epochs": case.trainer["max_epochs"] + 1}


def wholes(case: Case, *more: Any) -> Run:
    """The training that goes through, for an epoch more."""
    whole = case.fit(more=more, **one_more(case))
    rates = {update.rates for update in whole.updates}
    assert len(rates) > 1 or "odd" in case.module["logged"], "nothing is decided"
    return whole


# --- what goes through is right ---------------------------------------------------------------------


def f32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def metric(name: str, epoch: int) -> float:
    """What ``closed_loop_side`` logs in a training of 3 batches, as Lightning has it."""
    value = lambda *key: f32(epoch + 0.05 * 3 + 0.04 * noise(name, epoch, 3, *key))  # noqa: E731
    if name != "val_loss":
        return value()
    return (torch.tensor(value(0)) + torch.tensor(value(1))).div(2).item()


def loss(epoch: int, batch: int) -> float:
    return f32(0.5 + 0.5 * noise(epoch, batch))


def reduced(epoch: int) -> float:
    """The metric grows, so that all but the first make it worse."""
    lr = 1.0
    for _ in range(epoch - 1):
        lr = f32(lr * 0.7)
    return lr


def compounded(fn: Callable[[int, float], float], indices: Iterable[int], lr: float = 1.0) -> float:
    for i in indices:
        lr = f32(fn(i, lr))
    return lr


def running_mean(epoch: int, batches: int) -> float:
    total = np.float32(0)
    for batch in range(batches):
        total = np.float32(total + np.float32(loss(epoch, batch)))
    return float(total / np.float32(batches))


def both(epoch: int) -> float:
    """A reduction at the end of an epoch, and then the function at the start of the next."""
    lr = 1.0
    for e in range(epoch + 1):
        lr = f32(by_the_epoch(e, f32(lr * 0.7) if e > 1 else lr))
    return lr


def exponential(value: float, scale: float) -> float:
    return f32(0.1 * math.exp(scale * value))


EXPECTED: dict[str, Callable[[int, int], float]] = {
    "plateau": lambda epoch, _: reduced(epoch),
    "plateau, on_train_epoch_end": lambda epoch, _: reduced(epoch),
    "plateau, training": lambda epoch, _: reduced(epoch),
    "epoch": lambda epoch, _: f32(halving(epoch)),
    "epoch, compounding": lambda epoch, _: compounded(by_the_epoch, range(epoch + 1)),
    "begin of update, hyperbola": lambda epoch, batch: f32(hyperbola(3 * epoch + batch)),
    "begin of update, by_the_count": lambda epoch, batch: compounded(
        by_the_count, range(3 * epoch + batch + 1)
    ),
    "end of update, by_the_count": lambda epoch, batch: compounded(
        by_the_count, range(3 * epoch + batch)
    ),
    "end of batch, by_the_count": lambda epoch, batch: compounded(
        by_the_count, [k % 3 for k in range(3 * epoch + batch)]
    ),
    "loss, batch": lambda epoch, batch: (
        exponential(loss(*divmod(3 * epoch + batch - 1, 3)), 0.3) if epoch or batch else f32(0.1)
    ),
    "loss, running": lambda epoch, batch: (
        exponential(
            running_mean(*((epoch, batch) if batch else (epoch - 1, 3))),
            0.3,
        )
        if epoch or batch
        else f32(0.1)
    ),
    "loss, epoch": lambda epoch, _: (
        exponential(running_mean(epoch - 1, 3), 0.3) if epoch else f32(0.1)
    ),
    "loss, metric": lambda epoch, _: (
        exponential(metric("val_loss", epoch - 1), 0.1) if epoch else f32(0.1)
    ),
    "plateau, epoch": lambda epoch, _: both(epoch),
    "epoch, plateau": lambda epoch, _: both(epoch),
}


@pytest.mark.parametrize("loop", EXPECTED)
def test_a_training_that_goes_through(loop):
    updates = make_case(loop, "plain").fit().updates
    assert len(updates) == 3 * EPOCHS
    for update in updates:
        expected = EXPECTED[loop](update.epoch, update.batch_idx)
        assert_same_bits(update.rates, [expected], context=update)


def test_a_stale_value_counts_once():
    updates = make_case("plateau", "every 2 epochs").fit(max_epochs=9).updates
    by_epochs = {update.epoch: update.rates[0] for update in updates}
    # Validated after epochs 1, 3, 5 and 7; the first of them is the best.
    assert [by_epochs[epoch] for epoch in range(9)] == [1.0] * 4 + [f32(0.7)] * 2 + [
        f32(f32(0.7) * 0.7)
    ] * 2 + [reduced(4)]


# --- resumes ----------------------------------------------------------------------------------------


def check_saves(case: Case, folder: Path, chosen: Callable[..., list[Any]]) -> None:
    """Save in every hook, first and last in the list and in the module, and go on from there."""
    __tracebackhide__ = True
    places = "first", "last", "module"
    counters = [Saver(folder, place, wanted=()) for place in places]
    case.fit(before=counters[:1], more=counters[1:2], saver=counters[2], num_sanity_val_steps=1)
    moments = [
        (hook, n, counter.place)
        for counter in counters
        for hook, calls in counter.calls.items()
        for n in range(calls)
    ]
    drawn = [
        one
        for hook in HOOKS
        if (of_hook := [one for one in moments if one[0] == hook])
        for one in chosen(of_hook, 1, 4)
    ]
    savers = [
        Saver(folder, place, {(hook, n) for hook, n, at in drawn if at == place})
        for place in places
    ]
    whole = wholes(case)
    saved = case.fit(before=savers[:1], more=savers[1:2], saver=savers[2], num_sanity_val_steps=1)
    assert saved.updates == whole.updates[: len(saved.updates)], "saving changes the training"
    for i, (hook, n, place) in enumerate(drawn):
        path = folder / f"{hook} {n} {place}.ckpt"
        # Bounded by steps, Lightning resumes in another way.
        bound = one_more(case) | ({"max_steps": 1000} if i % 3 == 2 else {})
        check_resumed(case, whole, path, hook, place=place, **bound)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_save_in_any_hook(loop, chosen, tmp_path):
    for way in chosen(WAYS, 1):
        check_saves(make_case(loop, way), tmp_path / way, chosen)


@pytest.mark.parametrize(
    "loop",
    [
        "plateau, training",
        "plateau, on_train_epoch_end",
        "epoch, compounding",
        "end of batch, by_the_count",
        "loss, running",
        "loss, epoch",
        "loss, data set",
    ],
)
def test_without_a_validation(loop, chosen, tmp_path):
    """Lightning leaves out the end of an epoch where the checkpoint was written as its last batch ended."""
    for accumulate in chosen([1, 2], 1):
        more = {"limit_val_batches": 0, "accumulate_grad_batches": accumulate}
        case = make_case(loop, "plain")
        case = dataclasses.replace(case, trainer=case.trainer | more)
        check_saves(case, tmp_path / str(accumulate), chosen)


@pytest.mark.parametrize("loop", LOOPS)
def test_model_checkpoint(loop, chosen, tmp_path):
    for way in chosen(WAYS, 1):
        case = make_case(loop, way)
        whole = wholes(case)
        for trigger in chosen(TRIGGERS, 3):
            folder = tmp_path / way / trigger
            saver = ModelCheckpoint(folder, "{epoch}-{step}", save_top_k=-1, **TRIGGERS[trigger])
            case.fit(more=[saver])
            paths = list(folder.glob("*.ckpt"))
            if trigger == "by the clock" and case.module.get("manual"):
                assert not paths  # Lightning 2.6.6 does not look at the clock then
                continue
            hook = "" if "end" in trigger else "on_train_batch_end"
            for path in chosen(paths, 1, 5) if paths else []:
                check_resumed(case, whole, path, hook, place="module", **one_more(case))


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("loop", LOOPS)
def test_interrupted(loop, cause, chosen, tmp_path):
    for way in chosen(WAYS, 1):
        case, counter = make_case(loop, way), Interrupter()
        whole = wholes(case, counter)
        hooks = set(counter.calls) - {"on_train_end"}
        if cause == "SIGTERM":  # Lightning looks for it after each batch
            hooks -= {"on_train_epoch_end"}
        moments = [(hook, n) for hook in hooks for n in (0, 1, 4, 8) if n < counter.calls[hook]]
        for hook, n in chosen(moments, 2, 4):
            for place in ("first", "last"):
                folder = tmp_path / way / f"{hook}-{n}-{place}"
                savers = [
                    OnExceptionCheckpoint(folder, "at once"),
                    ModelCheckpoint(folder, every_n_epochs=1000, save_on_exception=True),
                ]
                stop = {
                    "before" if place == "first" else "more": [*savers, Interrupter(cause, hook, n)]
                }
                with pytest.raises(CAUSES[cause]):
                    case.fit(**stop, **one_more(case))
                assert (folder / "at once.ckpt").exists()
                after = "on_train_batch_end" if cause == "SIGTERM" else hook
                for path in folder.glob("*.ckpt"):
                    check_resumed(case, whole, path, after, place=place, **one_more(case))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_checkpoint_of_a_resumed_run(loop, chosen, tmp_path):
    for way in chosen(WAYS, 1):
        case = make_case(loop, way)
        whole = wholes(case)
        counter = Saver(tmp_path, "last", wanted=())
        case.fit(more=[counter])
        moments = [(hook, n) for hook, calls in counter.calls.items() for n in range(calls)]
        for hook, n in chosen(moments, 2, 4):
            case.fit(more=[Saver(tmp_path, "last", {(hook, n)})])
            path = tmp_path / f"{hook} {n} last.ckpt"
            told = check_resumed(case, whole, path, hook, place="last", **one_more(case))
            if told != "exact":
                continue  # what goes on from there is no better
            counter = Saver(tmp_path, "again", wanted=())
            case.fit(path, more=[counter])
            moments = [(h, m) for h, calls in counter.calls.items() for m in range(calls)]
            for h, m in chosen(moments, 2, 4) if moments else []:
                folder = tmp_path / f"{hook}-{n}-{h}-{m}"
                case.fit(path, more=[Saver(folder, "last", {(h, m)})])
                again = folder / f"{h} {m} last.ckpt"
                check_resumed(case, whole, again, h, place="last", **one_more(case))


@pytest.mark.parametrize("bound", [-1, 1000])
@pytest.mark.parametrize("loop", LOOPS)
def test_max_steps(loop, bound, chosen, tmp_path):
    """A training that ends with an epoch by its steps, and goes on; bounded by steps again, or not."""
    for way in chosen(["plain", "accumulated", "every 2 epochs", "twice an epoch"], 1):
        case = make_case(loop, way)
        whole = wholes(case)
        steps = sum(update.epoch < 2 for update in whole.updates)
        folder = tmp_path / way
        short = case.fit(more=[Saver(folder, "last")], max_steps=steps)
        assert short.updates == whole.updates[:steps]
        for hook, n in (
            ("on_train_end", 0),
            ("on_train_epoch_end", 1),
            ("on_train_batch_end", 2),
            ("on_validation_end", 0),
        ):
            path = folder / f"{hook} {n} last.ckpt"
            check_resumed(case, whole, path, hook, place="last", max_steps=bound, **one_more(case))


# --- a Lightning that is not known ------------------------------------------------------------------


def test_an_unknown_lightning_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_loops, "KNOWN", ((9, 9), (9, 10)))
    case = make_case("plateau", "plain")
    for moment, loses in (("on_train_batch_end", 2), True), (("on_train_batch_end", 3), False):
        folder = tmp_path / str(moment[1])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            case.fit(more=[Saver(folder, "last", {moment})])
        told = [str(one.message) for one in caught if "cannot make this" in str(one.message)]
        assert [text.split()[0] for text in told] == ["ReduceLROnPlateau"] * loses, told
        with pytest.warns(
            UserWarning, match=r"under Lightning \d.*knows only how 2.5 and 2.6 resume"
        ):
            case.fit(folder / f"{moment[0]} {moment[1]} last.ckpt")


def test_a_lost_value_is_an_error_if_strict(tmp_path):
    case = Case(
        lambda: [plateau("train_end", strict=True)],
        by_epoch,
        {"logged": ["train_end"], "batches": 3},
        late=True,
    )
    case.fit(more=[Saver(tmp_path, "last", {("on_train_epoch_end", 0), ("on_train_epoch_end", 1)})])
    for n in range(2):  # after the first epoch it is not known that the metric comes late
        with pytest.raises(RuntimeError, match=f"could not decide after epoch {n}: the checkpoint"):
            case.fit(tmp_path / f"on_train_epoch_end {n} last.ckpt", max_epochs=4)


# --- does the check see anything? -------------------------------------------------------------------


def forgetting(make: Callable[[], Any], **entries: Any) -> Callable[[], Any]:
    """Another class of the same name, which writes these into its state."""

    def made() -> Any:
        one = make()
        kind = type(one)

        def state_dict(self: Any) -> dict[str, Any]:
            return kind.state_dict(self) | entries

        one.__class__ = type(kind.__name__, (kind,), {"state_dict": state_dict})
        return one

    return made


NOWHERE = [-1, -1]
FORGETFUL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pending": ("plateau", "plain", {"pending": None}),
    "validated_at": ("two validations", "plain", {"validated_at": -1}),
    "is_validations": ("plateau, both", "not at the end", {"is_validations": False}),
    "entered": ("loss, running", "plain", {"entered": -1}),
    "means": ("loss, epoch", "plain", {"means": [[0.0, 0.0]]}),
    "coming": ("loss, running", "plain", {"coming": [None]}),
    "evaluated": ("loss, data set, updates", "plain", {"updates": 0, "evaluated": 0}),
    "served": ("epoch, compounding", "plain", {"served": -1}),
    "updates": ("begin of update, hyperbola", "plain", {"updates": {"0": 0}, "served": {"0": 0}}),
    "served updates": ("begin of update, by_the_count", "plain", {"served": {"0": 0}}),
    "served batch": ("begin of batch, by_the_count", "plain", {"served_batch": NOWHERE}),
    "ended batch": ("end of batch, by_the_count", "plain", {"ended_batch": NOWHERE}),
}


def is_noticed(case: Case, whole: Run, tmp_path: Path) -> bool:
    """Whether a resume goes wrong."""
    savers = [Saver(tmp_path, "first"), Saver(tmp_path, "last")]
    case.fit(before=savers[:1], more=savers[1:])
    for path in tmp_path.glob("*.ckpt"):
        hook, _, place = path.stem.split()
        try:
            check_resumed(case, whole, path, hook, place=place, **one_more(case))
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("entry", FORGETFUL)
def test_each_entry_of_the_state_counts(entry, tmp_path):
    loop, way, entries = FORGETFUL[entry]
    case = make_case(loop, way)
    whole = wholes(case)
    makes = [lambda i=i: case.callbacks()[i] for i in range(len(case.callbacks()))]
    forgetful = dataclasses.replace(
        case, callbacks=lambda: [forgetting(make, **entries)() for make in makes]
    )
    assert is_noticed(forgetful, whole, tmp_path)


@pytest.mark.filterwarnings("ignore:LossDrivenLR cannot make this checkpoint whole")
@pytest.mark.parametrize(
    ("loop", "way", "name", "mutant"),
    [
        ("plateau", "plain", (_monitored, "mend"), lambda *_, **__: True),
        ("plateau", "across epochs", (_closed_loop, "recount"), lambda _: None),
        ("epoch, compounding", "plain", (_closed_loop, "recount"), lambda _: None),
        ("loss, running", "plain", (_loops, "_frames"), lambda: ()),
        ("loss, running", "plain", (LossDrivenLR, "_look"), lambda *_: None),
        ("plateau", "plain", (_monitored.Monitored, "_look"), lambda *_: None),
    ],
)
def test_without_a_repair_it_goes_wrong(loop, way, name, mutant, tmp_path, monkeypatch):
    case = make_case(loop, way)
    whole = wholes(case)
    monkeypatch.setattr(*name, mutant)
    assert is_noticed(case, whole, tmp_path)


def test_stale_values_are_noticed(monkeypatch):
    monkeypatch.setattr(_monitor, "fresh", lambda current, _: dict(current))
    monkeypatch.setattr(_epoch_metrics, "fresh", lambda current, _: dict(current))
    with pytest.raises(AssertionError):
        test_a_stale_value_counts_once()


def test_a_second_decision_is_noticed(monkeypatch):
    decide = _monitored.Monitored._decide_pending

    def twice(self: Any, trainer: Any, pl_module: Any) -> None:
        pending = self._pending
        decide(self, trainer, pl_module)
        self._pending = pending
        decide(self, trainer, pl_module)

    monkeypatch.setattr(_monitored.Monitored, "_decide_pending", twice)
    with pytest.raises(AssertionError, match="rates differ in bits"):
        test_a_training_that_goes_through("plateau")
