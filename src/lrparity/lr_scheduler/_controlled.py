"""The controllers as torch ``LRScheduler`` classes: rates that follow a metric, or a function.

The rules are those of :mod:`lrparity.controllers`; here is only how they act on an optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity import controllers
from lrparity.controllers import Mode, NonFinite, OnConfigChange
from lrparity.controllers._epoch_function import check_unit
from lrparity.controllers._keras_versions import NEWEST
from lrparity.lr_scheduler._closed_loop import ControlledLR, MetricDrivenLR
from lrparity.lr_scheduler._groups import check_optimizer
from lrparity.lr_scheduler._lightning import watch_lightning
from lrparity.lr_scheduler._schedule_lr import (
    TORCH_HAS_UPDATE_LR,
    check_epoch,
    checked_last_epoch,
)

OnSchedule = Literal["multiply", "raise"]
UPDATES = (
    "ScheduleLR asks it for the update; if its steps are meant as epochs, pass "
    'FunctionSchedule(schedule, unit="epoch").'
)


class ReduceLROnPlateau(MetricDrivenLR):
    """Multiply the rates by ``factor`` once a metric has stopped improving, as Keras' callback does.

    Call ``step(metric)`` once for each value of the metric, which is once per epoch as a rule::

        if cooldown_counter > 0:       cooldown_counter -= 1; wait = 0
        if metric is an improvement:   best = metric; wait = 0
        elif cooldown_counter == 0:    wait += 1
            if wait >= patience:       reduce each lr > float32(min_lr) to max(lr * factor, min_lr)
                if there was any:      cooldown_counter = cooldown; wait = 0

    so that the reduction comes with the ``patience``-th bad metric, and ``patience=0`` is
    ``patience=1``.  :class:`lrparity.controllers.ReduceLROnPlateau` is the rule, with all that
    ``keras_version`` changes in it.  All groups share one counter.  Each is reduced from its own rate;
    construction rounds that to float32, as Keras' variable holds it, and bounds are compared without
    the group's ``lr_scale``.

    **On a schedule.**  Where a :class:`ScheduleLR` drives the optimizer, constructed before or after
    this, a reduction multiplies the schedule from then on, and ``min_lr`` bounds the product; see
    :meth:`ScheduleLR.set_multiplier`.  The rates that are compared with ``min_lr`` are those of the
    schedule.  Step the schedule per update and this per epoch; ``SequentialLR`` and
    ``ChainedScheduler`` cannot hold it, for they pass no metric.  Torch's own schedulers are not seen:
    they overwrite a reduction, or go on from it, as they do under torch's plateau.

    In several processes give each the same metric: each decides by itself.

    Args:
        optimizer: the optimizer to govern.
        mode: ``"min"``: lower is better; ``"max"``: higher is.
        factor: what a rate is multiplied by; less than 1.
        patience: how many metrics without improvement it takes.
        min_delta: what an improvement must exceed, an absolute number.
        cooldown: how many metrics to wait after a reduction.
        min_lr: the bound that a rate is not reduced below.
        keras_version: whose rule, such as ``"3.15"`` or ``"2.1.6"``.
        numpy_major: 1 or 2; plays a part in Keras 2.6 to 2.21 only.  None: 1 up to 2.17, else 2.
        on_schedule: what a reduction does on a scheduled optimizer: ``"multiply"``, or ``"raise"`` a
            ``TypeError``, as Keras 3 does.
        on_config_change: what ``load_state_dict`` does with a state that was saved under other
            arguments: ``"raise"``, or ``"use_new"``.

    Attributes:
        controller: the rule, with ``best``, ``wait`` and ``cooldown_counter``.
        last_epoch: how many metrics were counted.
        last_decision: the :class:`~lrparity.controllers.Decision` of the last ``step()``, with the
            rates that hold from then on; None before the first, and after loading a state.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer; an argument of another type.
        ValueError: ``factor`` >= 1, an unknown option or version.

    Source: keras/src/callbacks/reduce_lr_on_plateau.py and monitor_callback.py, 3.15.1.
    ``torch.optim.lr_scheduler.ReduceLROnPlateau`` waits one metric longer and cools down one longer,
    compares relatively by default, leaves rates below 1e-8, computes in float64, and is overwritten by
    any schedule.  The arguments have other places there and in Keras, so all are keywords here.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    >>> rates = []
    >>> for val_loss in (1.0, 0.9, 0.9, 0.9):
    ...     optimizer.step()
    ...     scheduler.step(val_loss)
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.10000000149011612, 0.10000000149011612, 0.10000000149011612, 0.05000000074505806]
    >>> scheduler.last_decision.reason
    'no improvement on 0.9 for 2 metrics'
    """

    controller: controllers.ReduceLROnPlateau

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        mode: Mode = "min",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        keras_version: str = NEWEST,
        numpy_major: int | None = None,
        on_schedule: OnSchedule = "multiply",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        check_optimizer(optimizer)
        self.on_schedule = check.choice("on_schedule", on_schedule, ("multiply", "raise"))
        rule = controllers.ReduceLROnPlateau(
            factor=factor,
            patience=patience,
            mode=mode,
            min_delta=min_delta,
            cooldown=cooldown,
            min_lr=min_lr,
            keras_version=keras_version,
            numpy_major=numpy_major,
        )
        super().__init__(optimizer, rule, on_config_change)

    def step(self, metric: Any = None) -> None:
        """Take in one metric, and reduce the rates if it is time.

        Args:
            metric: a number, or a tensor with one element.  NaN and infinities do what they do in
                the chosen Keras version.

        Raises:
            TypeError: there is no metric, or it is no real number; a schedule drives the optimizer,
                and ``on_schedule="raise"``.  The metric is not counted then.
        """
        self._step_once(metric)

    def reset(self) -> None:
        """Do what Keras does as a new ``fit`` begins: forget the counters, and mostly the best."""
        self.controller.reset()

    def _start(self) -> None:
        if self._governed.schedule is None:
            self._governed.write(self._governed.rates())

    def _decide(self, metric: Any) -> None:
        decision = self.controller.update(metric, self._governed.rates())
        if decision.changed and self._governed.schedule is not None:
            self._check_on_schedule()
            self._governed.multiply(self.controller.product, self.controller.min_lr)
            rates = tuple(self._governed.rates())
            decision = replace(decision, lrs=rates, assigned=rates)
        elif decision.changed:
            self._governed.write(decision.lrs)
        self.last_decision = decision

    def _check_on_schedule(self) -> None:
        if self.on_schedule == "raise":
            raise TypeError(
                "ReduceLROnPlateau would reduce the learning rate now, and it is not settable, because "
                f"{self._governed.schedule!r} drives the optimizer: Keras 3 raises a TypeError, too. To "
                'multiply the schedule instead, construct it with on_schedule="multiply"; or keep only '
                "one of them."
            )

    def _without_metric(self) -> str:
        return (
            "ReduceLROnPlateau.step() needs the metric: call scheduler.step(val_loss), by yourself or, "
            'in Lightning, through scheduler.lightning_config("val_loss"), or use the callback '
            "lrparity.callbacks.ReduceLROnPlateau. SequentialLR and ChainedScheduler pass none: for a "
            "plateau on top of a schedule construct ScheduleLR and ReduceLROnPlateau on the same "
            "optimizer, and step each; the plateau multiplies the schedule."
        )


class LossDrivenLR(MetricDrivenLR):
    """Let the rate follow the loss: ``initial_learning_rate * function(scale * loss)``.

    After construction each group holds ``initial_learning_rate`` (``eta0``), and after
    ``step(loss)``, once for each loss that counts::

        lr = float32(min(max(eta0 * function(scale * loss), min_lr), max_lr)) * lr_scale

    With the default function that is ``eta = eta0 * exp(loss)``.  Nothing depends on the steps
    before.  :class:`lrparity.controllers.LossDriven` is the rule.  In several processes give each the
    same loss.

    Args:
        optimizer: the optimizer to govern.
        initial_learning_rate: ``eta0`` for all groups; None takes each group's own ``lr``.  A group
            that is added later gets the same, or keeps its own.
        function: ``"exp"``, or a function of the scaled loss that returns a factor.
        scale: multiplies the loss; -1 turns the default function around.
        min_lr, max_lr: bounds of the rate without ``lr_scale``; None: none.
        non_finite: what to do with a loss that is NaN or infinite, or a rate that is not finite:
            ``"raise"``; ``"keep"`` the rates; or go back to the ``"initial"`` ones.
        on_config_change: as in :class:`ReduceLROnPlateau`.

    Attributes:
        controller: the rule.
        last_epoch: how many losses were counted.
        last_decision: the :class:`~lrparity.controllers.Decision` of the last ``step()``; None before
            the first, and after loading a state.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer, or a :class:`ScheduleLR` drives it, on which
            Keras' setter raises as well; an argument of another type.
        ValueError: ``min_lr > max_lr``, an unknown option.

    Source: none in Keras; the twin is a callback that says ``optimizer.learning_rate =
    initial_learning_rate * math.exp(logs["loss"])``.  torch has no such class.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = LossDrivenLR(optimizer, scale=-1.0)
    >>> for loss in (2.0, 0.5):
    ...     optimizer.step()
    ...     scheduler.step(loss)
    ...     print(scheduler.get_last_lr())
    [0.01353352889418602]
    [0.060653068125247955]
    """

    controller: controllers.LossDriven

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        function: Literal["exp"] | Callable[[float], float] = "exp",
        *,
        scale: float = 1.0,
        min_lr: float | None = None,
        max_lr: float | None = None,
        non_finite: NonFinite = "raise",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        check_optimizer(optimizer)
        rule = controllers.LossDriven(
            initial_learning_rate,
            function,
            scale=scale,
            min_lr=min_lr,
            max_lr=max_lr,
            non_finite=non_finite,
        )
        super().__init__(optimizer, rule, on_config_change)

    def step(self, loss: Any = None) -> None:
        """Take in a loss, and set the rates.

        Args:
            loss: a number, or a tensor with one element.

        Raises:
            TypeError: there is no loss, or it is no real number; a schedule drives the optimizer.
            FloatingPointError: the loss or the rate is not finite, and ``non_finite="raise"``.
                The loss is not counted then.
        """
        self._step_once(loss)

    def _start(self) -> None:
        self._check_unscheduled()
        self._governed.write(self.controller.start(self._governed.rates()).lrs)

    def _decide(self, metric: Any) -> None:
        self._check_unscheduled()
        decision = self.controller.update(metric, self._governed.rates())
        if decision.changed:
            self._governed.write(decision.lrs)
        self.last_decision = decision

    def _without_metric(self) -> str:
        return (
            "LossDrivenLR.step() needs the loss: call scheduler.step(loss), by yourself or, in "
            'Lightning, through scheduler.lightning_config("loss"), or use the callback '
            "lrparity.callbacks.LossDrivenLR. SequentialLR and ChainedScheduler pass none."
        )


class EpochFunctionLR(ControlledLR):
    """Set the rate to ``fn(epoch)`` or ``fn(epoch, lr)``, as Keras' ``LearningRateScheduler`` does.

    Call ``step()`` once per epoch.  After construction ``fn(0)`` holds, and after k steps ``fn(k)``::

        lr = float32(fn(k)) * lr_scale             or  float32(fn(k, lr)) * lr_scale

    where the ``lr`` that the function gets is the rate before, without ``lr_scale``, as a Python float
    with a float32 value: ``lr * 0.99`` compounds the rounding of Keras.  The function gets two
    arguments whenever it accepts two.  It is asked once for each step (and group), never ahead, and
    returns the *rate*, not a factor.  :class:`lrparity.controllers.EpochFunction` is the rule.  It works
    in a ``SequentialLR``; in one together with a :class:`ScheduleLR` construct it before that.

    Args:
        optimizer: the optimizer to govern.
        fn: returns the rate, a float.
        last_epoch: the last epoch that is done: -1 starts at epoch 0, k - 1 at epoch k.
        on_config_change: as in :class:`ReduceLROnPlateau`; what a function computes is not compared.

    Attributes:
        controller: the rule.
        last_epoch: the epoch that the current rates belong to.
        last_decision: the :class:`~lrparity.controllers.Decision` of the last ``step()``; None before
            the first, and after loading a state.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer, or a :class:`ScheduleLR` drives it, on which
            Keras' setter raises as well; ``fn`` takes neither one argument nor two.
        ValueError: ``last_epoch`` < -1; ``fn`` is a schedule of updates; the function returned something
            else than a finite float.

    Source: keras/src/callbacks/learning_rate_scheduler.py, 3.15.1.  torch's ``LambdaLR`` multiplies a
    factor into the initial rate, and ``MultiplicativeLR`` into the rate, both in float64.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = EpochFunctionLR(optimizer, lambda epoch, lr: lr if epoch < 2 else lr * 0.1)
    >>> for epoch in range(3):
    ...     print(epoch, optimizer.param_groups[0]["lr"])
    ...     optimizer.step()                 # and all the other updates of the epoch
    ...     scheduler.step()
    0 0.10000000149011612
    1 0.10000000149011612
    2 0.009999999776482582
    """

    controller: controllers.EpochFunction

    def __init__(
        self,
        optimizer: Optimizer,
        fn: Callable[..., float],
        *,
        last_epoch: int = -1,
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        check_optimizer(optimizer)
        last_epoch = checked_last_epoch(last_epoch)
        check_unit(fn, "epoch", "fn", UPDATES)
        super().__init__(optimizer, controllers.EpochFunction(fn), on_config_change, last_epoch)

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch and write its rate into the param groups.

        Args:
            epoch: the epoch to jump to instead; deprecated in torch, with its warning.

        Raises:
            TypeError: ``epoch`` is no integer; a schedule drives the optimizer.
            ValueError: the function returned something else than a finite float.
            RuntimeError: Lightning calls it several times in an epoch.  No step is done then.
        """
        check_epoch(self, epoch)
        if epoch is None and self._step_count:
            if (watch := watch_lightning(self.optimizer, "epoch")) is not None:
                watch.settled(self)
        elif epoch is not None and TORCH_HAS_UPDATE_LR:  # before, SequentialLR called this
            self._check_unscheduled()
        self._step_once(epoch=epoch)

    def lightning_config(self) -> dict[str, Any]:
        """What ``configure_optimizers`` returns as ``"lr_scheduler"``: a step per epoch.

        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> EpochFunctionLR(optimizer, lambda epoch: 0.1).lightning_config()["interval"]
        'epoch'
        """
        return {"scheduler": self, "interval": "epoch", "frequency": 1}

    def _start(self) -> None:
        self._act(takes_over=False)
        self.last_decision = None

    def _act(self, *, takes_over: bool) -> None:
        if not takes_over:
            self._check_unscheduled()
        decision = self.controller.update(self.last_epoch, self._governed.bases())
        self._governed.write(decision.lrs)
        self.last_decision = decision
        if takes_over:
            self._governed.take_turn(self)
