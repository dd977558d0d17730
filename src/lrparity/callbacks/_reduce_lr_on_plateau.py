"""``ReduceLROnPlateau``: Keras' plateau rules as a Lightning callback.  No Lightning is imported here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

from lrparity import _validation as check
from lrparity.callbacks._closed_loop import OnChange
from lrparity.callbacks._monitor import higher_is_better
from lrparity.callbacks._monitored import Monitored
from lrparity.controllers import Decision, OnConfigChange, resolve_mode
from lrparity.controllers import ReduceLROnPlateau as Controller
from lrparity.controllers._keras_versions import Rule, rule_of
from lrparity.lr_scheduler._governed import Governed

AutoMode = Literal["auto", "min", "max"]
OnSchedule = Literal["multiply", "raise"]
When = Literal["epoch", "validation"]


class ReduceLROnPlateau(Monitored):
    """Reduce the learning rate when a metric has stopped improving, by the rule of any Keras version.

    The rule, version by version, is that of :class:`lrparity.controllers.ReduceLROnPlateau`.  It decides
    after an epoch and its validation, and what it decides takes effect with the first update of the
    next epoch.

    Args:
        monitor: the metric, as it is logged by ``self.log``.
        factor, patience, min_delta, cooldown, min_lr: as in Keras.
        verbose: 1 prints a line for each reduction, as Keras does.
        mode: ``"min"``, ``"max"``, or ``"auto"``.  Up to 3.10 ``"auto"`` looks for ``"acc"`` in the name.
            From 3.11 on a metric named ``loss`` or ``val_loss`` is better when lower, and any other one
            has to be logged as a torchmetrics object, whose ``higher_is_better`` tells.
        epsilon: what ``min_delta`` was called up to 2.1.5, and could be called up to 2.15.
        keras_version: whose rule, such as ``"3.15"`` or ``"2.1.6"``.
        numpy_major: 1 or 2: under which NumPy Keras 2.6 to 2.15, and tf_keras, ran.  None: 1 up to 2.17, as
            TensorFlow's package asked for, else 2.
        optimizer: act on this one only, by its place in what ``configure_optimizers`` returns or by its
            class as ``LearningRateMonitor`` names it.  None: on all, under one counter.
        strict: raise where a metric is missing, instead of one warning.
        when: ``"epoch"``: decide once an epoch, by its last validation, or by what training logged at
            the epoch's end.  ``"validation"``: decide after each validation, at once.
        on_schedule: what to do where a schedule of lrparity drives the optimizer: ``"multiply"`` it from
            then on (``min_lr`` bounds the product, not the schedule); or ``"raise"`` the TypeError that
            Keras raises, at the first reduction.
        on_change: a function that is called as ``on_change(trainer, pl_module, decision)`` after each
            reduction, on every rank; people restore the best weights there.  ``trainer.current_epoch`` is
            the next epoch already, where the metric was logged in ``on_train_epoch_end``.
        on_config_change: what a resume under other arguments does: ``"raise"``, or ``"use_new"``.
        name: tells two of these apart in a checkpoint that are alike otherwise.

    **Which values.**  Each counts once, when it is fresh: a value that stands in
    ``trainer.callback_metrics`` from an earlier epoch (``check_val_every_n_epoch=2``) does not, nor
    does that of the sanity check.  What the module logs in its own ``on_train_epoch_end`` counts for
    that epoch.  A metric that a validation has is the validation's, even if training logs one of the
    same name.  An epoch without the metric changes nothing, as in Keras, and the patience goes by
    epochs that have it.

    **Resume** is exact: a value that came before a checkpoint was written and was not decided on is
    part of it, and decided on once.  Where Lightning would leave out a validation when it resumes, the
    checkpoint makes it do the validation again.  Not exact, because Lightning forgets them, are the mean
    over an epoch of a metric of training, from a checkpoint within that epoch, and a metric that the
    module logs in its own ``on_train_epoch_end``, from a checkpoint that was written when the epoch was
    over and the metric had not come (one of ``ModelCheckpoint`` at the end of an epoch has it): a warning
    says so, an error with ``strict``.  Lightning 2.5 and 2.6 are known; under another version a resume
    warns.  A second ``fit`` of one trainer starts the counters as
    the Keras version does and goes on at the rates of the first, as Keras' optimizer does (Lightning makes
    a torch scheduler of ``configure_optimizers`` anew, and its multiplier with it); another trainer, and a
    copy, starts anew.

    **Several processes** decide together: each has to call the same hooks; equal values are used as
    they are, the value of one that alone has it is everybody's, else the mean counts.  Rates that differ
    between the ranks are a :class:`RanksDifferError`.

    **Order.**  Several callbacks act in the order of the list, as in Keras: a ``LearningRateScheduler``
    whose function gives absolute rates overwrites a reduction.

    Attributes:
        controller: the rule and its state: ``controller.best``, ``controller.wait``, ...
        last_decision: the latest :class:`lrparity.controllers.Decision`; None before.

    Raises:
        TypeError: an argument of another type; when training starts, an optimizer with a scheduler that
            is not lrparity's.
        ValueError: ``factor`` >= 1, an unknown option or version; when training starts, an optimizer
            that is not there; at an epoch's end, a direction that ``"auto"`` cannot tell; on resume, a
            state that is damaged or was saved under other arguments.
        RuntimeError: with ``strict``, a missing metric.
        RanksDifferError: see above.

    Source: keras/src/callbacks/reduce_lr_on_plateau.py, 3.15.1, and its forerunners.  Lightning's
    ``{"reduce_on_plateau": True}`` runs torch's rule, which differs, counts stale values, decides on each
    rank by itself and loses its last decision on resume.

    >>> from lrparity.callbacks import ReduceLROnPlateau
    >>> ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=5, min_lr=0.001)
    ReduceLROnPlateau('val_loss', factor=0.2, patience=5, mode='auto', keras_version='3.15')
    """

    MULTIPLIES: ClassVar[bool] = True
    _resolved: bool

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int | bool = 0,
        mode: AutoMode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        *,
        epsilon: float | None = None,
        keras_version: str = "3.15",
        numpy_major: int | None = None,
        optimizer: int | str | None = None,
        strict: bool = False,
        when: When = "epoch",
        on_schedule: OnSchedule = "multiply",
        on_change: OnChange | None = None,
        on_config_change: OnConfigChange = "raise",
        name: str | None = None,
    ) -> None:
        rule = rule_of(keras_version)
        if epsilon is not None:
            min_delta = _min_delta(epsilon, min_delta, keras_version, rule)
        if mode not in ("auto", "min", "max"):
            resolve_mode(mode, "loss", keras_version)  # warns
            mode = "auto"
        if mode == "auto" and not rule.monitor_callback:
            mode = resolve_mode("auto", monitor, keras_version)  # by its name
        controller = Controller(
            factor=factor,
            patience=patience,
            # What "auto" means may have to wait for the metric.
            mode="min" if mode == "auto" else mode,
            min_delta=min_delta,
            cooldown=cooldown,
            min_lr=min_lr,
            keras_version=keras_version,
            numpy_major=numpy_major,
        )
        self.mode = mode
        self.on_schedule = cast(
            "OnSchedule", check.choice("on_schedule", on_schedule, ("multiply", "raise"))
        )
        self.on_config_change = cast(
            "OnConfigChange",
            check.choice("on_config_change", on_config_change, ("raise", "use_new")),
        )
        super().__init__(
            "ReduceLROnPlateau",
            controller,
            monitor=monitor,
            strict=strict,
            when=when,
            optimizer=optimizer,
            on_change=on_change,
            verbose=verbose,
            key={"monitor": monitor, "mode": mode, "optimizer": optimizer},
            name=name,
        )
        self.controller: Controller

    def _prepare(self, trainer: Any, pl_module: Any) -> None:
        """Find out what "auto" means, by the metric that has come."""
        if self.mode != "auto" or self._resolved:
            return
        mode = resolve_mode(
            "auto",
            self.monitor,
            self.controller.keras_version,
            higher_is_better=higher_is_better(trainer, pl_module, self.monitor),
        )
        self._resolved = True
        self.controller.mode = mode

    def _forget(self) -> None:
        super()._forget()
        self._resolved = False  # whether it is known what "auto" means

    def _multiply(self, one: Governed) -> None:
        if self.on_schedule == "raise":
            raise TypeError(
                "ReduceLROnPlateau cannot reduce the learning rate of an optimizer that a schedule drives "
                f"({one.schedule!r}), as Keras cannot. Drop one of them, or multiply the schedule: "
                'on_schedule="multiply".'
            )
        one.multiply(self.controller.product, self.controller.min_lr)

    def _tell(self, trainer: Any, decision: Decision) -> None:
        rates = dict.fromkeys(decision.assigned)  # each once
        print(
            f"\nEpoch {self._told_epoch(trainer)}: ReduceLROnPlateau reducing learning rate to "
            f"{', '.join(map(str, rates))}."
        )

    def _load_controller(self, state: Mapping[str, Any]) -> None:
        config = state["config"]
        if self.mode == "auto" and config.get("mode") in ("min", "max"):
            self.controller.mode = config["mode"]
        self.controller.load_state_dict(state, on_config_change=self.on_config_change)

    def __repr__(self) -> str:
        rule = self.controller
        chosen = "" if self.optimizer is None else f", optimizer={self.optimizer!r}"
        return (
            f"{type(self).__name__}({self.monitor!r}, factor={rule.factor!r}, "
            f"patience={rule.patience!r}, mode={self.mode!r}, "
            f"keras_version={rule.keras_version!r}{chosen})"
        )


def _min_delta(epsilon: Any, min_delta: Any, keras_version: str, rule: Rule) -> Any:
    if rule.first >= (3, 0, 0):
        raise ValueError(
            f"Argument `epsilon`={epsilon!r} is what `min_delta` was called in Keras 1 and 2; Keras "
            f"{keras_version} ignores it. Pass min_delta={epsilon!r}, or keras_version='2.15' or older."
        )
    if min_delta != 1e-4:
        raise ValueError(
            f"Arguments `epsilon`={epsilon!r} and `min_delta`={min_delta!r} are two names of one thing. "
            "Pass one of them."
        )
    if rule.counts_first:  # it came with the renaming
        warnings.warn(
            "Argument `epsilon` is called `min_delta` from Keras 2.1.6 on.",
            UserWarning,
            stacklevel=3,
        )
    return epsilon
