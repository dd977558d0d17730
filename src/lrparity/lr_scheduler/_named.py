"""One ``LRScheduler`` class for each schedule, with the schedule's arguments.

``initial_learning_rate=None`` takes each param group's own ``lr``, as torch does: its
``initial_lr`` entry if an earlier scheduler left one, else its ``lr``.  Arguments that are
absolute rates (``end_learning_rate``, ``warmup_target``, ``values``) are shared by all groups;
``lr_scale`` scales them with the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch.optim import Optimizer

from lrparity import _validation as check
from lrparity.controllers import OnConfigChange
from lrparity.lr_scheduler._groups import check_optimizer
from lrparity.lr_scheduler._schedule_lr import Count, ScheduleLR, checked_last_epoch
from lrparity.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    Numerics,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
    TimeBasedDecay,
    Unit,
)


class _NamedLR(ScheduleLR):
    """What the classes below share: a schedule for each group's rate, which later groups can join."""

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None,
        make: Callable[[float], LearningRateSchedule],
        last_epoch: int,
        numerics: Numerics,
        count: Count,
        on_config_change: OnConfigChange,
    ) -> None:
        check_optimizer(optimizer)
        last_epoch = checked_last_epoch(last_epoch)
        if initial_learning_rate is None:
            rates = _own_rates(optimizer, last_epoch)
        else:  # one for all; groups of different rates bring their own
            rates = [check.rate("initial_learning_rate", initial_learning_rate)]
            rates *= len(optimizer.param_groups)
        made = {one: make(one) for one in dict.fromkeys(rates)}
        super().__init__(
            optimizer,
            [made[one] for one in rates],
            last_epoch=last_epoch,
            numerics=numerics,
            count=count,
            on_config_change=on_config_change,
        )
        self._one_for_all = True


def _own_rates(optimizer: Optimizer, last_epoch: int) -> list[float]:
    for i, group in enumerate(optimizer.param_groups):
        if last_epoch != -1 and "initial_lr" not in group:
            raise KeyError(
                f"param group {i} has no 'initial_lr', which a scheduler without "
                f"initial_learning_rate needs to go on at last_epoch={last_epoch}. Pass "
                "initial_learning_rate, or load the optimizer's state first."
            )
    return [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]


class ExponentialDecayLR(_NamedLR):
    """:class:`~lrparity.schedules.ExponentialDecay` as a scheduler: call ``step()`` once per update.

    After k calls each group holds ``ExponentialDecay(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        decay_steps, decay_rate, staircase: as in
            :class:`~lrparity.schedules.ExponentialDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    Unlike here, torch's ``ExponentialLR(gamma)`` multiplies ``gamma`` in once per call, in float64.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = ExponentialDecayLR(optimizer, decay_steps=10, decay_rate=0.5)
    >>> for _ in range(10):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05000000074505806]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            ExponentialDecay,
            decay_steps=decay_steps,
            decay_rate=decay_rate,
            staircase=staircase,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )


class InverseTimeDecayLR(_NamedLR):
    """:class:`~lrparity.schedules.InverseTimeDecay` as a scheduler: call ``step()`` once per update.

    After k calls each group holds ``InverseTimeDecay(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        decay_steps, decay_rate, staircase: as in
            :class:`~lrparity.schedules.InverseTimeDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    torch has no such class.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = InverseTimeDecayLR(optimizer, decay_steps=10, decay_rate=0.5)
    >>> for _ in range(10):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.06666667014360428]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            InverseTimeDecay,
            decay_steps=decay_steps,
            decay_rate=decay_rate,
            staircase=staircase,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )


class PolynomialDecayLR(_NamedLR):
    """:class:`~lrparity.schedules.PolynomialDecay` as a scheduler: call ``step()`` once per update.

    After k calls each group holds ``PolynomialDecay(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        decay_steps, end_learning_rate, power, cycle: as in
            :class:`~lrparity.schedules.PolynomialDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    Unlike here, torch's ``PolynomialLR`` ends at 0 and derives each rate from the one before.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = PolynomialDecayLR(optimizer, decay_steps=10, end_learning_rate=0.02)
    >>> for _ in range(5):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05999999865889549]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            PolynomialDecay,
            decay_steps=decay_steps,
            end_learning_rate=end_learning_rate,
            power=power,
            cycle=cycle,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )


class PiecewiseConstantDecayLR(ScheduleLR):
    """:class:`~lrparity.schedules.PiecewiseConstantDecay` as a scheduler: ``step()`` per update.

    After k calls each group holds ``PiecewiseConstantDecay(boundaries, values)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.  ``values`` are absolute: they replace every group's
            ``lr``; scale a group by its ``lr_scale``.
        boundaries, values: as in :class:`~lrparity.schedules.PiecewiseConstantDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Unlike here, torch's ``MultiStepLR`` changes *at* each milestone, one step earlier.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = PiecewiseConstantDecayLR(optimizer, [1], [0.5, 0.25])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        boundaries: Sequence[float],
        values: Sequence[float],
        *,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        super().__init__(
            optimizer,
            PiecewiseConstantDecay(boundaries, values),
            last_epoch=last_epoch,
            numerics=numerics,
            count=count,
            on_config_change=on_config_change,
        )


class CosineDecayLR(_NamedLR):
    """:class:`~lrparity.schedules.CosineDecay` as a scheduler: call ``step()`` once per update.

    After k calls each group holds ``CosineDecay(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        decay_steps, alpha, warmup_target, warmup_steps: as in
            :class:`~lrparity.schedules.CosineDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    Unlike here, torch's ``CosineAnnealingLR`` climbs back after ``T_max`` and has no warm-up.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = CosineDecayLR(optimizer, decay_steps=10, alpha=0.1)
    >>> for _ in range(10):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.010000000707805157]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        decay_steps: float,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            CosineDecay,
            decay_steps=decay_steps,
            alpha=alpha,
            warmup_target=warmup_target,
            warmup_steps=warmup_steps,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )


class CosineDecayRestartsLR(_NamedLR):
    """:class:`~lrparity.schedules.CosineDecayRestarts` as a scheduler: call ``step()`` once per update.

    After k calls each group holds ``CosineDecayRestarts(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        first_decay_steps, t_mul, m_mul, alpha: as in
            :class:`~lrparity.schedules.CosineDecayRestarts`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    Unlike here, torch's ``CosineAnnealingWarmRestarts`` has no ``m_mul`` and restarts where float64 says.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = CosineDecayRestartsLR(optimizer, first_decay_steps=10, m_mul=0.5)
    >>> for _ in range(10):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05000000074505806]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            CosineDecayRestarts,
            first_decay_steps=first_decay_steps,
            t_mul=t_mul,
            m_mul=m_mul,
            alpha=alpha,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )


class TimeBasedDecayLR(_NamedLR):
    """:class:`~lrparity.schedules.TimeBasedDecay` as a scheduler: ``step()`` once per update or epoch.

    After k calls each group holds ``TimeBasedDecay(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        decay, keras_version, unit, compounding: as in
            :class:`~lrparity.schedules.TimeBasedDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    torch has no such class.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = TimeBasedDecayLR(optimizer, decay=0.1)
    >>> for _ in range(10):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05000000074505806]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        decay: float,
        keras_version: str = "2.15",
        unit: Unit = "update",
        compounding: bool = False,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            TimeBasedDecay,
            decay=decay,
            keras_version=keras_version,
            unit=unit,
            compounding=compounding,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )


class StepDecayLR(_NamedLR):
    """:class:`~lrparity.schedules.StepDecay` as a scheduler: call ``step()`` once per epoch.

    After k calls each group holds ``StepDecay(initial_learning_rate, ...)(k)``, times its
    ``lr_scale`` and the multiplier, as a float32 value; see :class:`ScheduleLR`.

    Args:
        optimizer: the optimizer to drive.
        initial_learning_rate: the rate at step 0, for all groups; None takes each group's own
            ``lr`` (its ``initial_lr``, where an earlier scheduler left one).
        drop, epochs_drop, offset: as in
            :class:`~lrparity.schedules.StepDecay`, which also
            gives the formula, the ends, the errors and the Keras source.
        last_epoch: the last step that is done: -1 starts at step 0, k - 1 at step k.
        numerics: ``"eager"`` or ``"graph"``; see :class:`ScheduleLR`, as for the next two.
        count: ``"calls"`` or ``"updates"``.
        on_config_change: ``"raise"`` or ``"use_new"``.

    Raises:
        KeyError: ``last_epoch`` is given, but neither ``initial_learning_rate`` nor the groups'
            ``initial_lr``.

    Unlike here, torch's ``StepLR`` is the form with ``offset=0``, multiplied step by step in float64.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = StepDecayLR(optimizer, drop=0.5, epochs_drop=10)
    >>> for _ in range(9):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05000000074505806]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        initial_learning_rate: float | None = None,
        *,
        drop: float,
        epochs_drop: float,
        offset: float = 1,
        last_epoch: int = -1,
        numerics: Numerics = "eager",
        count: Count = "calls",
        on_config_change: OnConfigChange = "raise",
    ) -> None:
        make = partial(
            StepDecay,
            drop=drop,
            epochs_drop=epochs_drop,
            offset=offset,
        )
        super().__init__(
            optimizer, initial_learning_rate, make, last_epoch, numerics, count, on_config_change
        )
