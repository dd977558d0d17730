"""Count the real updates of an optimizer."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any, cast

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle


class UpdateCounter:
    """How often an optimizer has changed the weights since the last :meth:`take`.

    ``Optimizer`` step hooks alone miscount: a subclass whose ``step`` calls ``super().step()`` fires
    them twice, a fused optimizer fires them for a step that AMP skipped, and a step without any
    gradient fires them too.  Here each outermost ``step`` counts once, and only if

    - no gradient scaler found an infinity in it (``optimizer.found_inf``), and
    - at least one parameter had a gradient: after the closure if ``step`` was given one, else before.

    A wrapper that is an optimizer of its own and keeps another one as ``optimizer`` or
    ``base_optimizer`` (Lookahead, SAM) may step either: both are watched, as one.

    The hooks hold the counter weakly, so that optimizer and scheduler form no cycle through them,
    and leave the optimizer with it, or on :meth:`remove`.

    Args:
        optimizer: whose updates count.
        pending: what :attr:`pending` starts at.
        before_step: called before each outermost ``step``, which may turn out to be no update.
        after_update: called after each update, when it has been counted.

    Attributes:
        pending: the updates that have been counted and not been taken yet.
        watched: the optimizers whose steps are seen: the one given, and what it holds.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        pending: int = 0,
        *,
        before_step: Callable[[], None] | None = None,
        after_update: Callable[[], None] | None = None,
    ) -> None:
        self.pending = pending
        self._depth = 0
        self._had_gradient: bool | None = None
        self._before_step, self._after_update = before_step, after_update
        counter = weakref.ref(self)

        def opened(stepped: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if (alive := counter()) is not None:
                alive._open(stepped, args, kwargs)

        def closed(stepped: Optimizer, *_: Any) -> None:
            if (alive := counter()) is not None:
                alive._close(stepped)

        self.watched = _steppers(optimizer)
        hooks = [one.register_step_pre_hook(opened) for one in self.watched]
        hooks += [one.register_step_post_hook(closed) for one in self.watched]
        self._removal = weakref.finalize(self, _remove, hooks)
        self._removal.atexit = False

    def take(self) -> int:
        """The updates since the last call; the count starts again."""
        updates, self.pending = self.pending, 0
        return updates

    def remove(self) -> None:
        """Take the hooks off the optimizer; a second call does nothing."""
        self._removal()
        self._before_step = self._after_update = None  # methods of who holds this counter: a cycle

    def _open(self, stepped: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._depth and not self._is_nested():
            self._depth = 0  # an exception left the step before
        self._depth += 1
        if self._depth > 1:
            return
        if self._before_step is not None:
            try:
                self._before_step()
            except BaseException:
                self._depth = 0
                raise
        has_closure = (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
        # A closure may drop the gradients that are there now and compute none.
        self._had_gradient = None if has_closure else _has_gradient(stepped)

    def _is_nested(self) -> bool:
        """Whether the ``step`` that runs these hooks was called from within another of the optimizer."""
        running = sys._getframe(3)  # over this function, its caller and the hook
        frame = running.f_back
        while frame is not None:
            if frame.f_code is running.f_code:
                stepping = frame.f_locals.get("self")
                if any(stepping is one for one in self.watched):
                    return True
            frame = frame.f_back
        return False

    def _close(self, stepped: Optimizer) -> None:
        if self._depth > 1 and not self._is_nested():
            self._depth = 1
        self._depth = max(self._depth - 1, 0)
        if self._depth or _was_skipped(stepped):
            return
        if self._had_gradient or (self._had_gradient is None and _has_gradient(stepped)):
            self.pending += 1
            if self._after_update is not None:
                self._after_update()


def _steppers(optimizer: Optimizer) -> list[Optimizer]:
    """The optimizers that may take the steps: those with hooks of their own.

    The wrappers of Fabric and Accelerate have none; they pass ``step`` on to what they hold.
    """
    held = (getattr(optimizer, name, None) for name in ("optimizer", "base_optimizer"))
    found: list[Optimizer] = []
    for one in (optimizer, *held):
        if "_optimizer_step_pre_hooks" in getattr(one, "__dict__", ()) and one not in found:
            found.append(cast("Optimizer", one))
    if not found:
        raise TypeError(
            f"{type(optimizer).__name__} has no step hooks, by which updates are counted. Pass the "
            "torch.optim.Optimizer that takes the steps."
        )
    return found


def _remove(hooks: Iterable[RemovableHandle]) -> None:
    for hook in hooks:
        hook.remove()


def _was_skipped(optimizer: Optimizer) -> bool:
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and bool(found_inf > 0)


def _has_gradient(optimizer: Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])
