"""An optimizer's learning rates for those who decide on them in a closed loop, schedule or not."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrparity.lr_scheduler._groups import held_rates, lr_scales, scaled, unwrapped, write_rates

if TYPE_CHECKING:
    from lrparity.lr_scheduler._schedule_lr import ScheduleLR

_GOVERNED: weakref.WeakKeyDictionary[Optimizer, Governed] = weakref.WeakKeyDictionary()


def governed(optimizer: Optimizer) -> Governed:
    """The one for this optimizer, shared by everybody who governs it.

    A wrapper that passes on the param groups of another optimizer stands for that one.
    """
    one = unwrapped(optimizer)
    if one not in _GOVERNED:
        _GOVERNED[one] = Governed(one)
    return _GOVERNED[one]


class Governed:
    """The rates of an optimizer without the groups' ``lr_scale``: what Keras' variable would hold.

    A group holds ``float32(base) * float32(lr_scale)``; the base is remembered for as long as that
    is what it holds, bit for bit, and else is ``float32(lr / lr_scale)``, as for a group that joined
    or that somebody else has written.  Under a ``ScheduleLR`` the bases are the schedule's rates.

    It lives as long as the optimizer, which it does not keep alive, and is no part of its copies.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = weakref.ref(optimizer)
        self._remembered: list[float] = []
        self._schedules: list[weakref.ref[ScheduleLR]] = []
        self._turn: weakref.ref[LRScheduler] | None = None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer itself, without a wrapper.

        Raises:
            ReferenceError: it is gone.
        """
        optimizer = self._optimizer()
        if optimizer is None:
            raise ReferenceError("The optimizer is gone: nobody has kept it.")
        return optimizer

    # --- the rates --------------------------------------------------------------------------------

    def rates(self) -> list[float]:
        """The rate of each param group without its ``lr_scale``: Python floats, float32 values."""
        schedule = self.schedule
        return self.bases() if schedule is None else schedule._unscaled_rates()

    def write(self, lrs: Sequence[float]) -> None:
        """Write ``float32(lr) * float32(lr_scale)`` into each group; a schedule, too, is overwritten.

        Raises:
            ValueError: there are more or fewer rates than groups, or a tensor cannot hold its rate.
                Nothing is changed then.
        """
        groups = self.optimizer.param_groups
        if len(lrs) != len(groups):
            raise ValueError(f"There are {len(lrs)} rates for {len(groups)} param groups.")
        write_rates(groups, [scaled(*pair) for pair in zip(lrs, lr_scales(groups), strict=True)])
        self._remembered = _single(lrs)

    def round(self) -> None:
        """Hold float32 rates from here on, as Keras' variable does."""
        groups = self.optimizer.param_groups
        write_rates(groups, [scaled(lr, 1.0) for lr in held_rates(groups)])

    def bases(self) -> list[float]:
        """The base of each group, whoever has written it: for states."""
        return [
            base if base is not None and scaled(base, scale) == lr else _derived(lr, scale)
            for base, lr, scale in self._known()
        ]

    def restore(self, bases: Sequence[float]) -> None:
        """Remember the bases of a state, where they are, or will be, what the groups hold."""
        known = [
            old if old is not None and scaled(old, scale) == lr != scaled(new, scale) else new
            for (old, lr, scale), new in zip(self._known(), _single(bases), strict=False)
        ]
        self._remembered[: len(known)] = known

    def _known(self) -> list[tuple[float | None, float, float]]:
        """For each group the base that is remembered, the rate that it holds, and its scale."""
        groups = self.optimizer.param_groups
        bases = [*self._remembered, *[None] * len(groups)]
        return list(zip(bases, held_rates(groups), lr_scales(groups), strict=False))

    # --- the schedules ----------------------------------------------------------------------------

    @property
    def schedule(self) -> ScheduleLR | None:
        """The ``ScheduleLR`` that drives the optimizer now: of several, who wrote last."""
        turn = None if self._turn is None else self._turn()
        started = [one for one in self.schedules() if one.last_epoch >= 0]
        for one in started:
            if one is turn:
                return one
        if turn is not None and turn.last_epoch >= 0:  # another scheduler of a SequentialLR
            return None
        return started[-1] if started else None

    def schedules(self) -> list[ScheduleLR]:
        """Every ``ScheduleLR`` of the optimizer, those included that wait or have done their part."""
        alive = [(reference, one) for reference in self._schedules if (one := reference())]
        self._schedules = [reference for reference, _ in alive]
        return [one for _, one in alive]

    def multiply(self, product: Callable[[float], float], min_lr: float) -> None:
        """Multiply what the schedules say from now on.

        Each ``ScheduleLR`` gets ``product(its multiplier)``, or 0 where that is negative, and never
        falls below ``min_lr`` by it.  The one that drives the optimizer writes its new rates, unless
        somebody else has written since: those last until its next ``step()``.  Where it is held by
        another bound now, it is multiplied from there.
        """
        driving, held = self.schedule, held_rates(self.optimizer.param_groups)
        bound = max(min_lr, 0.0)
        for one in self.schedules():
            untouched = one is driving and held == one._last_lr
            other = one is driving and one.min_lr != scaled(bound, 1.0)
            begin = one._effective_multiplier() if other else one.multiplier
            one._multiply(max(product(begin), 0.0), bound, write=untouched)

    def join(self, schedule: ScheduleLR) -> None:
        """A ``ScheduleLR`` has been made for the optimizer."""
        self._schedules.append(weakref.ref(schedule))

    def take_turn(self, scheduler: LRScheduler) -> None:
        """A scheduler of the optimizer has written its rates."""
        self._turn = weakref.ref(scheduler)

    def has_turn(self, scheduler: LRScheduler) -> bool:
        """Whether the scheduler is who wrote last."""
        return self._turn is not None and self._turn() is scheduler


def _single(rates: Sequence[float]) -> list[float]:
    return [scaled(rate, 1.0) for rate in rates]


def _derived(lr: float, scale: float) -> float:
    """The base of a rate that somebody else has written."""
    base = scaled(lr / scale, 1.0) if scale else math.inf
    return base if math.isfinite(base) else scaled(lr, 1.0)
