"""Count the real updates of an optimizer."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


class UpdateCounter:
    """How often an optimizer has changed the weights since the last :meth:`take`.

    ``Optimizer`` step hooks alone miscount: a subclass whose ``step`` calls ``super().step()`` fires
    them twice, a fused optimizer fires them for a step that AMP skipped, and a step without any
    gradient fires them too.  Here each ``step`` counts once, and only if

    - no gradient scaler found an infinity in it (``optimizer.found_inf``), and
    - at least one parameter had a gradient, before it or (from a closure) after it.

    The hooks hold the counter weakly, so that optimizer and scheduler form no cycle through them,
    and leave the optimizer with it.

    Attributes:
        pending: the updates that have been counted and not been taken yet.
    """

    def __init__(self, optimizer: Optimizer, pending: int = 0) -> None:
        # Fabric's and Accelerate's wrappers pass `step` on to the optimizer that they hold.
        inner = getattr(optimizer, "optimizer", optimizer)
        self.pending = pending
        self._open = self._had_gradient = False
        counter = weakref.ref(self)

        def opened(stepped: Optimizer, *_: Any) -> None:
            if (alive := counter()) is not None:
                alive._open, alive._had_gradient = True, _has_gradient(stepped)

        def closed(stepped: Optimizer, *_: Any) -> None:
            # The first close after an open counts: super().step() closes before its caller does,
            # and an exception in between leaves nothing behind.
            alive = counter()
            if alive is None or not alive._open:
                return
            alive._open = False
            if not _was_skipped(stepped):
                alive.pending += alive._had_gradient or _has_gradient(stepped)

        hooks = inner.register_step_pre_hook(opened), inner.register_step_post_hook(closed)
        weakref.finalize(self, _remove, hooks).atexit = False

    def take(self) -> int:
        """The updates since the last call; the count starts again."""
        updates, self.pending = self.pending, 0
        return updates


def _remove(hooks: Iterable[RemovableHandle]) -> None:
    for hook in hooks:
        hook.remove()


def _was_skipped(optimizer: Optimizer) -> bool:
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf > 0)


def _has_gradient(optimizer: Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
