"""One optimizer under the recorder: which rate each of its updates used."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lrparity.callbacks._optimizers import changes
from lrparity.callbacks._rates import BLOCK, RatesInFile, RatesInMemory
from lrparity.lr_scheduler._updates import UpdateCounter


class Track:
    """The rates of one optimizer: read before each update, kept if it was one.

    Args:
        optimizer: the one that takes the steps.
        rates: where they go.
        names: gives the series' names of its param groups as they are now.
        flush: called once per block of updates.
        applied: whether what the optimizer says that it multiplied by goes before ``lr``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        rates: RatesInMemory | RatesInFile,
        names: Callable[[], list[str]],
        flush: Callable[[], None],
        *,
        applied: bool,
    ) -> None:
        self._optimizer, self._rates, self._names = optimizer, rates, names
        self._flush, self._applied = flush, applied
        self._count = max((rates.length(name) for name in names()), default=0)
        self._next_flush = self._count + BLOCK
        self.stepped = False  # whether a step was ever seen, be it an update or not
        self._read()  # a step may be going on
        self._buffers: list[array[float]] = []
        self._counter = UpdateCounter(optimizer, after_update=self._record)
        self._hooks: list[RemovableHandle] = [
            one.register_step_pre_hook(self._before_step) for one in self._counter.watched
        ]
        self._changes = changes(optimizer)
        self._adopt_groups(len(optimizer.param_groups))

    @property
    def blind(self) -> bool:
        """Whether the weights have changed, and no step was ever seen."""
        return not self.stepped and changes(self._optimizer) != self._changes

    def remove(self) -> None:
        """Take the hooks off the optimizer."""
        self._counter.remove()
        for hook in self._hooks:
            hook.remove()

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Read the rates as late as possible: the next is written as soon as this one is used."""
        self.stepped = True
        self._read()
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            return None

        # Lightning runs training_step and on_before_optimizer_step in the closure.  They may set
        # a rate, which is then that of this very update.
        def watched(*inputs: Any, **options: Any) -> Any:
            result = closure(*inputs, **options)
            self._read()
            return result

        if len(args) > 1:
            return (args[0], watched, *args[2:]), kwargs
        return args, kwargs | {"closure": watched}

    def _read(self) -> None:
        self._current: list[float] = [
            float(group.get("lr", math.nan)) for group in self._optimizer.param_groups
        ]

    def _record(self) -> None:
        self.stepped = True
        current = self._current
        if self._applied:
            groups = self._optimizer.param_groups
            current = [
                float(group.get("learning_rate_used", rate))
                for group, rate in zip(groups, current, strict=False)
            ]
        if len(current) != len(self._buffers):
            self._adopt_groups(len(current))
        for buffer, rate in zip(self._buffers, current, strict=True):
            buffer.append(rate)
        self._count += 1
        if self._count >= self._next_flush:
            self._next_flush = self._count + BLOCK
            self._flush()

    def _adopt_groups(self, number: int) -> None:
        """Param groups have come or gone; one that comes has NaN up to now."""
        names = self._names()[:number]
        self._buffers = [self._rates.open(name, self._count) for name in names]
