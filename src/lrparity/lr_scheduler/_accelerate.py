"""Accelerate's scheduler wrapper, which calls ``step()`` once per process for one update.

Nothing is imported: where Accelerate is not loaded, nobody calls from it.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

OWN_STEPS = ("step", "_step_slowly", "_step_once")
"""What the frames between the wrapper and the question who calls are named."""


def accelerate_repeats_calls() -> bool:
    """Whether Accelerate runs with several processes, so that callers must be looked at."""
    state = getattr(sys.modules.get("accelerate.state"), "AcceleratorState", None)
    return state is not None and bool(state._shared_state) and int(state().num_processes) > 1


def accelerate_calls_per_update(scheduler: Any) -> int:
    """How often the caller of ``scheduler.step()``, if it is the wrapper, calls for one update.

    Raises:
        RuntimeError: the wrapper holds another scheduler that passes the calls on, such as
            ``SequentialLR``, which would count each of them.
    """
    wrapper = _calling_wrapper(sys._getframe(1))
    if wrapper is None or wrapper.split_batches or not wrapper.step_with_optimizer:
        return 1
    processes = int(sys.modules["accelerate.state"].AcceleratorState().num_processes)
    if processes > 1 and wrapper.scheduler is not scheduler:
        raise RuntimeError(
            f"Accelerate calls step() {processes} times for one update, and "
            f"{type(wrapper.scheduler).__name__} counts each call. Use "
            "Accelerator(step_scheduler_with_optimizer=False) and call step() once per update, or "
            "prepare a single lrparity scheduler."
        )
    return processes


def _calling_wrapper(frame: FrameType | None) -> Any:
    module = sys.modules.get("accelerate.scheduler")
    if module is None:
        return None
    wrapper_step = module.AcceleratedScheduler.step.__code__
    while frame is not None and frame.f_code.co_name in OWN_STEPS:
        if frame.f_code is wrapper_step:
            return frame.f_locals["self"]
        frame = frame.f_back
    return None
