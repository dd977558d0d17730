"""``LossDrivenLR``: a learning rate that follows the loss.  No Lightning is imported here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

from torch.utils.data import DataLoader, Dataset

from lrparity import _validation as check
from lrparity.callbacks._closed_loop import OnChange, settle
from lrparity.callbacks._loops import batches_begun, ended_batch, epochs_done, warn_lost
from lrparity.callbacks._loss import loader_of, loss_of, loss_over, size_of
from lrparity.callbacks._monitored import Monitored
from lrparity.callbacks._optimizers import raw_optimizers
from lrparity.callbacks._ranks import agree, agree_on_mean, everyone
from lrparity.controllers import Decision, LossDriven, NonFinite, OnConfigChange, RunningMean
from lrparity.lr_scheduler._updates import UpdateCounter

Source = Literal["batch", "running", "epoch", "metric", "dataset"]
SOURCES = ("batch", "running", "epoch", "metric", "dataset")


class LossDrivenLR(Monitored):
    """Let the learning rate follow the loss: ``eta = eta0 * exp(loss)``, or any function of it.

    The rule is that of :class:`lrparity.controllers.LossDriven`.  Update 0 uses
    ``initial_learning_rate``; then each loss sets the rate of what follows.

    Args:
        initial_learning_rate: ``eta0``; None: the optimizer's own rate.
        function: ``"exp"``, or a function of the scaled loss that returns a factor.
        source: which loss.

            - ``"batch"``: of the batch just seen, after each batch.
            - ``"running"``: the mean over the epoch so far, weighted by batch size, after each batch:
              what Keras hands a callback as ``logs["loss"]`` in ``on_batch_end``.
            - ``"epoch"``: that mean at the epoch's end.
            - ``"metric"``: the metric ``monitor``, once for each fresh value; see
              ``ReduceLROnPlateau``.
            - ``"dataset"``: over ``dataset``, by ``loss_fn``, after each epoch or each ``every_n_updates``.

        monitor: the metric, as it is logged; sets ``source="metric"``.
        dataset: a ``DataLoader``, used as it is, or a ``Dataset``, in batches of ``dataset_batch_size``;
            sets ``source="dataset"``.
        loss_fn: ``loss_fn(module, batch)`` returns the mean loss of a batch.  It runs in eval mode,
            without gradients; modes and random numbers of the training are left as they were.
        every_n_updates: evaluate ``dataset`` after so many updates of the (first) optimizer, at the end
            of their batch; None: after each epoch.
        dataset_batch_size: for a ``Dataset``.
        scale: multiplies the loss before the function: -1 makes ``exp(-loss)``.
        min_lr, max_lr: bounds of a rate that follows a loss, not of the initial one; None: none.
        non_finite: what to do with a loss or a rate that is not finite: ``"raise"``, ``"keep"`` the
            rate, or go back to the ``"initial"`` one.
        batch_size: a function of a batch that returns its number of samples; None: the length of its
            first tensor.
        when, strict: for ``source="metric"``; see ``ReduceLROnPlateau``.
        optimizer: act on this one only, by its place or its class; None: on all.
        verbose: 1 prints a line for each rate.
        on_change: a function that is called as ``on_change(trainer, pl_module, decision)`` each time, for
            the initial rate too, as training starts.
        on_config_change: what a resume under other arguments does: ``"raise"``, or ``"use_new"``.
        name: tells two of these apart in a checkpoint that are alike otherwise.

    **Loss of a batch.**  What ``training_step`` returns, or its ``"loss"``.  Lightning hands callbacks
    the loss divided by ``accumulate_grad_batches``; it is multiplied again, in the loss's own
    precision, which gives back its bits for 2, 4, 8, ..., and may be one unit in the last place off
    otherwise.  A batch without a loss changes nothing.  Under manual optimisation ``training_step`` has
    to return the loss.

    **Several processes** use the mean of their losses, weighted by size; equal losses as they are.
    ``dataset`` is evaluated by each of them, whole.

    **Resume** is exact given equal losses: running means are part of the state, those of all processes.
    For ``source="metric"`` see ``ReduceLROnPlateau``.

    Attributes:
        controller: the rule; ``controller.initial_lrs`` are the ``eta0``.
        last_decision: the latest :class:`lrparity.controllers.Decision`; None before.

    Raises:
        TypeError: an argument of another type; when training starts, an optimizer that a schedule drives.
        ValueError: arguments that do not go together; no loss to follow; on resume, a state that is
            damaged or was saved under other arguments.
        FloatingPointError: with ``non_finite="raise"``.
        RanksDifferError: the ranks hold different rates.

    Source: Keras ships no such callback.  The twin is one that assigns
    ``optimizer.learning_rate = eta0 * math.exp(logs["loss"])`` in ``on_train_batch_end``
    (``source="running"``) or ``on_epoch_end`` (``source="epoch"``); from Keras 2.2 on, and in Keras 3,
    ``logs["loss"]`` is the mean of the epoch so far; up to 2.3.1, standalone, it was the batch's own
    loss (``source="batch"``).

    >>> from lrparity.callbacks import LossDrivenLR
    >>> LossDrivenLR(0.01, scale=-1.0, max_lr=0.1)
    LossDrivenLR(0.01, 'exp', source='running', scale=-1.0)
    """

    CARRIES_ON: ClassVar[bool] = False  # update 0 of each fit uses eta0

    def __init__(
        self,
        initial_learning_rate: float | None = None,
        function: Literal["exp"] | Callable[[float], float] = "exp",
        *,
        source: Source | None = None,
        monitor: str | None = None,
        dataset: DataLoader | Dataset | None = None,  # type: ignore[type-arg] # for jsonargparse
        loss_fn: Callable[[Any, Any], Any] | None = None,
        every_n_updates: int | None = None,
        dataset_batch_size: int = 256,
        scale: float = 1.0,
        min_lr: float | None = None,
        max_lr: float | None = None,
        non_finite: NonFinite = "raise",
        batch_size: Callable[[Any], int] | None = None,
        when: Literal["epoch", "validation"] = "epoch",
        strict: bool = False,
        optimizer: int | str | None = None,
        verbose: int | bool = 0,
        on_change: OnChange | None = None,
        on_config_change: OnConfigChange = "raise",
        name: str | None = None,
    ) -> None:
        self.source = _checked_source(source, monitor, dataset, loss_fn, every_n_updates)
        self._loader = None
        if dataset is not None:
            self._loader = loader_of(dataset, _positive("dataset_batch_size", dataset_batch_size))
        self.loss_fn = loss_fn
        self.every_n_updates = (
            None if every_n_updates is None else _positive("every_n_updates", every_n_updates)
        )
        if batch_size is not None and not callable(batch_size):
            raise TypeError(
                "Argument `batch_size` must be a function of a batch, or None. Received: "
                f"batch_size={batch_size!r}."
            )
        self.batch_size = batch_size
        self.on_config_change = cast(
            "OnConfigChange",
            check.choice("on_config_change", on_config_change, ("raise", "use_new")),
        )
        controller = LossDriven(
            initial_learning_rate,
            function,
            scale=scale,
            min_lr=min_lr,
            max_lr=max_lr,
            non_finite=non_finite,
        )
        super().__init__(
            "LossDrivenLR",
            controller,
            monitor="loss" if monitor is None else monitor,
            strict=strict,
            when=when,
            optimizer=optimizer,
            on_change=on_change,
            verbose=verbose,
            key={"source": self.source, "monitor": monitor, "optimizer": optimizer},
            name=name,
        )
        self.controller: LossDriven

    def _forget(self) -> None:
        super()._forget()
        self._mean = RunningMean()
        self._sizes: list[int] = []  # the param groups of each optimizer that are known
        self._updates = 0  # real ones of the first optimizer that is governed
        self._evaluated = 0  # how many of them the data set was last evaluated after
        self._taken_in = -1  # the batches that had begun when a loss was taken in last
        # Of all ranks, when the state was saved: the means, and losses that were not taken in.
        self._means: list[list[float]] = [self._mean.state()]
        self._coming: list[tuple[float, float] | None] = [None]
        self._counter: UpdateCounter | None = None
        self._counted: Any = None

    # --- hooks -------------------------------------------------------------------------------------

    def _new_run(self) -> None:
        super()._new_run()
        self._mean = RunningMean()

    def _start(self, trainer: Any, pl_module: Any, going_on: bool) -> None:
        super()._start(trainer, pl_module, going_on)
        if not going_on:
            targets = [one for _, one in self._targets(trainer)]
            sizes = [len(one.rates()) for one in targets]
            decision = self.controller.start([rate for one in targets for rate in one.rates()])
            self.last_decision = self._apply(trainer, pl_module, decision, targets, sizes)
            self._coming, self._sizes = [None], sizes
        else:
            self._mean.load(self._own_mean(trainer))
        self._watch(trainer)
        if any(self._coming):  # the checkpoint was written before this one's turn
            mine = trainer.global_rank
            loss, size = (self._coming[mine] if mine < len(self._coming) else None) or (None, 0.0)
            self._take_in(trainer, pl_module, loss, size)
        elif self.source == "dataset":
            self._after_updates(trainer, pl_module)

    def _decide(
        self, trainer: Any, pl_module: Any, metric: Any, *, among: Sequence[int] | None = None
    ) -> Decision:
        self._admit(trainer)
        return super()._decide(trainer, pl_module, metric, among=among)

    def _admit(self, trainer: Any) -> None:
        """Give param groups that have joined their places among the initial rates."""
        governed = [one for _, one in self._targets(trainer)]
        sizes = [len(one.optimizer.param_groups) for one in governed]
        if sizes == self._sizes:
            return
        rule, rates = self.controller, [one.rates() for one in governed]
        initial, begin = [], 0
        for known, held in zip(self._sizes, rates, strict=False):
            initial += rule.initial_lrs[begin : begin + known][: len(held)]
            initial += rule.initial_of(held[known:])
            begin += known
        rule.initial_lrs, self._sizes = initial, sizes

    def _own_mean(self, trainer: Any) -> list[float]:
        """This rank's mean of a state; the first rank has them all where their number has changed."""
        if len(self._means) == trainer.world_size:
            return self._means[trainer.global_rank]
        if self.source != "epoch":
            return self._means[0]  # each has had the mean of all
        totals, counts = zip(*self._means, strict=True)
        return [0.0, 0.0] if trainer.global_rank else [math.fsum(totals), math.fsum(counts)]

    def _watch(self, trainer: Any) -> None:
        """Count the updates that a data set is evaluated by."""
        if self._counter is not None:
            self._counter.remove()
        self._counter, self._counted = None, trainer.optimizers
        if self.every_n_updates is not None:
            first = self._places(trainer)[0]
            self._counter = UpdateCounter(raw_optimizers(trainer)[first])

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """See ``Monitored``; and follow optimizers that were exchanged."""
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if self._running and self._counted is not trainer.optimizers:
            self._watch(trainer)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the batch's loss."""
        if not self._running:
            return
        if self.source == "metric":
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        elif self.source == "dataset":
            self._after_updates(trainer, pl_module)
        else:
            self._take_in(trainer, pl_module, *self._loss_and_size(trainer, outputs, batch))

    def _loss_and_size(self, trainer: Any, outputs: Any, batch: Any) -> tuple[float | None, float]:
        """This rank's loss of a batch, if it has one, and the number of samples."""
        automatic = trainer.lightning_module.automatic_optimization
        loss = loss_of(outputs, trainer.accumulate_grad_batches if automatic else 1, self._kind)
        if loss is None and not automatic:
            raise ValueError(
                f"LossDrivenLR(source={self.source!r}) follows the loss that training_step returns, and "
                "under manual optimization it returned none. Return the loss, or log it and pass "
                "`monitor`."
            )
        return loss, size_of(batch) if self.batch_size is None else self.batch_size(batch)

    def _take_in(self, trainer: Any, pl_module: Any, loss: float | None, size: float) -> None:
        self._taken_in = batches_begun(trainer)
        if self.source == "epoch":  # the ranks come together at the epoch's end
            if loss is not None:
                self._mean.add(loss, size)
            return
        mean = agree_on_mean(trainer, loss, size, self._held(trainer), "the loss of a batch")
        if mean is None:
            return
        self._mean.add(*mean)
        value = mean[0] if self.source == "batch" else self._mean.result()
        if value is not None:
            self.last_decision = self._decide(trainer, pl_module, value)

    def _after_updates(self, trainer: Any, pl_module: Any) -> None:
        if self._counter is None or self.every_n_updates is None:
            return
        self._updates += self._counter.take()
        if self._updates // self.every_n_updates > self._evaluated // self.every_n_updates:
            self._evaluated = self._updates
            self._follow_dataset(trainer, pl_module)

    def _follow_dataset(self, trainer: Any, pl_module: Any) -> None:
        loss = loss_over(
            trainer,
            pl_module,
            self._loader,
            cast("Callable[[Any, Any], Any]", self.loss_fn),
            size_of if self.batch_size is None else self.batch_size,
        )
        value = agree(trainer, loss, self._held(trainer), "the loss over the data set")
        self.last_decision = self._decide(trainer, pl_module, value)

    def _finish_epoch(self, trainer: Any, pl_module: Any, *, final: bool) -> bool:
        if self.source == "metric":
            return super()._finish_epoch(trainer, pl_module, final=final)
        done = epochs_done(trainer) - 1
        if self._decided >= done:
            return True
        self._decided = done
        if self.source == "epoch":
            mean, count = self._mean.result(), float(self._mean.count)
            agreed = agree_on_mean(
                trainer, mean, count, self._held(trainer), "the loss of an epoch"
            )
            if agreed is not None:
                self.last_decision = self._decide(trainer, pl_module, agreed[0])
        elif self.source == "dataset" and self.every_n_updates is None:
            self._follow_dataset(trainer, pl_module)
        return True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Decide by the epoch's loss, if it is this one's turn."""
        if self.source == "metric":
            super().on_train_epoch_end(trainer, pl_module)
        elif self._running:
            settle(trainer, pl_module)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """See ``Monitored``."""
        if self.source == "metric":
            super().on_validation_start(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """See ``Monitored``."""
        if self.source == "metric":
            super().on_validation_end(trainer, pl_module)

    def _needs_validation(self) -> bool:
        return self.source == "metric"

    def _begin_epoch(self, trainer: Any) -> None:
        super()._begin_epoch(trainer)
        self._mean = RunningMean()
        self._means = [self._mean.state()]

    def _look(self, trainer: Any) -> None:
        if self.source == "metric":
            super()._look(trainer)
        if self._counter is not None:
            self._updates += self._counter.take()
        if self.source not in ("batch", "running", "epoch"):
            return
        ended, loss, size = ended_batch(trainer), None, 0.0
        if ended is not None and self._taken_in != batches_begun(trainer):
            if ended.known:
                loss, size = self._loss_and_size(trainer, ended.outputs, ended.batch)
            else:
                warn_lost(trainer, self._kind, "the loss of the batch that has ended")
        mine = [float(loss is not None), 0.0 if loss is None else loss, float(size)]
        rows = everyone(trainer, [*self._mean.state(), *mine])
        self._means = [row[:2] for row in rows]
        self._coming = [(row[3], row[4]) if row[2] else None for row in rows]

    def _stop(self) -> None:
        super()._stop()
        if self._counter is not None:
            self._counter.remove()
        self._counter, self._counted = None, None

    def _tell(self, trainer: Any, decision: Decision) -> None:
        rates = dict.fromkeys(decision.assigned)
        print(
            f"\nEpoch {self._told_epoch(trainer)}: LossDrivenLR setting learning rate to "
            f"{', '.join(map(str, rates))} ({decision.reason})."
        )

    # --- state -------------------------------------------------------------------------------------

    def _load_controller(self, state: Mapping[str, Any]) -> None:
        self.controller.load_state_dict(state, on_config_change=self.on_config_change)

    def _own_state(self) -> dict[str, Any]:
        return super()._own_state() | {
            "means": [list(mean) for mean in self._means],
            "updates": self._updates,
            "evaluated": self._evaluated,
            "sizes": list(self._sizes),
            "coming": [None if one is None else list(one) for one in self._coming],
        }

    def _check_own_state(self, state: Mapping[str, Any]) -> None:
        super()._check_own_state(state)
        for name, may_lack in (("means", False), ("coming", True)):
            rows = state.get(name)
            if not isinstance(rows, list) or not rows:
                raise self._damaged(name, rows)
            for row in rows:
                pair = isinstance(row, list) and [type(one) for one in row] == [float, float]
                if not (pair or (row is None and may_lack)):
                    raise self._damaged(name, rows)
        sizes = state.get("sizes")
        if not isinstance(sizes, list) or not all(type(one) is int and one > 0 for one in sizes):
            raise self._damaged("sizes", sizes)
        for name in ("updates", "evaluated"):
            if type(state.get(name)) is not int or state[name] < 0:
                raise self._damaged(name, state.get(name))

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        super()._load_own_state(state)
        self._means = [list(mean) for mean in state["means"]]
        self._updates, self._evaluated = state["updates"], state["evaluated"]
        self._sizes = list(state["sizes"])
        self._coming = [None if one is None else (one[0], one[1]) for one in state["coming"]]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_counter": None, "_counted": None}

    def __repr__(self) -> str:
        rule = self.controller
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        if self.source == "metric":
            chosen = f", monitor={self.monitor!r}{chosen}"
        function = getattr(rule.function, "__name__", None)
        named = repr(rule.function) if isinstance(rule.function, str) else function or rule.function
        return (
            f"{type(self).__name__}({rule.initial_learning_rate!r}, {named}, source={self.source!r}, "
            f"scale={rule.scale!r}{chosen})"
        )


def _checked_source(
    source: Any, monitor: Any, dataset: Any, loss_fn: Any, every_n_updates: Any
) -> Source:
    """The source, which `monitor` and `dataset` imply."""
    implied = [
        name for name, given in (("metric", monitor), ("dataset", dataset)) if given is not None
    ]
    if len(implied) > 1:
        raise ValueError("Arguments `monitor` and `dataset` are two sources of the loss. Pass one.")
    if source is None:
        source = implied[0] if implied else "running"
    check.choice("source", source, SOURCES)
    if implied and implied != [source]:
        argument = "monitor" if implied == ["metric"] else "dataset"
        raise ValueError(
            f"Argument `source`={source!r} does not use `{argument}`. Leave one of them out."
        )
    if source == "metric" and monitor is None:
        raise ValueError("Argument `source`='metric' needs the name of the metric: pass `monitor`.")
    if source == "dataset" and (dataset is None or not callable(loss_fn)):
        raise ValueError(
            "Argument `source`='dataset' needs `dataset`, and `loss_fn`, a function of the module and a "
            f"batch. Received: dataset={dataset!r:.100}, loss_fn={loss_fn!r}."
        )
    if source != "dataset" and (loss_fn is not None or every_n_updates is not None):
        raise ValueError(
            "Arguments `loss_fn` and `every_n_updates` belong to `dataset`. Received: "
            f"source={source!r}."
        )
    return cast("Source", source)


def _positive(name: str, value: Any) -> int:
    try:
        plain = check.integer(value)
    except TypeError:
        plain = 0
    if plain < 1:
        raise ValueError(f"Argument `{name}` must be an integer >= 1. Received: {name}={value!r}.")
    return plain
