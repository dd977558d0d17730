"""A controller as a torch ``LRScheduler``: stepping, state and copies, written once for all of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, cast

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrparity import _validation as check
from lrparity.controllers import Controller, Decision, OnConfigChange
from lrparity.lr_scheduler._accelerate import accelerate_calls_per_update
from lrparity.lr_scheduler._governed import governed
from lrparity.lr_scheduler._groups import held_rates, make_patchable, write_rates
from lrparity.lr_scheduler._schedule_lr import TORCH_HAS_UPDATE_LR

STATE_VERSION = 1
STATE_TYPES: dict[str, type] = {
    "last_epoch": int,
    "_step_count": int,
    "_last_lr": list,
    "base_lrs": list,
    "lrs": list,
    "bases": list,
    "turn": bool,
    "controller": dict,
}


class ControlledLR(LRScheduler):
    """What the classes below share: one controller, driven step by step.

    Attributes:
        controller: the rule, with what it remembers.
        last_epoch: how many steps are done.
        last_decision: what the last ``step()`` decided and why; None before the first, and after
            loading a state.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        controller: Controller,
        on_config_change: OnConfigChange,
        last_epoch: int = -1,
    ) -> None:
        self.controller = controller
        self.on_config_change = cast(
            "OnConfigChange",
            check.choice("on_config_change", on_config_change, ("raise", "use_new")),
        )
        self.last_decision: Decision | None = None
        self._metric: Any = None  # what step() was given, while it runs
        self._repeated_calls = 0  # of Accelerate's wrapper for one update
        self._governed = governed(optimizer)
        if last_epoch >= 0:
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", float(group["lr"]))
        make_patchable(optimizer)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = [float(lr) for lr in self.base_lrs]

    # --- stepping ---------------------------------------------------------------------------------

    def _start(self) -> None:
        """Write what holds before the first step."""
        raise NotImplementedError

    def _act(self, *, takes_over: bool) -> None:
        """Decide, and write: the step has been counted.

        Args:
            takes_over: whether a ``SequentialLR`` gives it the turn.
        """
        raise NotImplementedError

    def _step_once(self, metric: Any = None, epoch: int | None = None) -> None:
        if self._step_count == 0:  # torch's constructor, or SequentialLR's
            self.last_epoch += 1
            self._step_count = 1
            self._start()
            self._note()
            return
        calls = accelerate_calls_per_update(self)
        self._repeated_calls = (self._repeated_calls + 1) % calls
        if calls > 1 and self._repeated_calls != 1:
            return
        before = self.last_epoch, self._step_count, copy.copy(self.controller.__dict__)
        self._metric = metric
        try:
            super().step(epoch)  # its warnings about the order of calls, then _update_lr()
            if not TORCH_HAS_UPDATE_LR:
                self._act(takes_over=epoch is not None)
                self._note()
        except BaseException:  # the step is not done
            self.last_epoch, self._step_count, remembered = before
            self.controller.__dict__.update(remembered)
            raise
        finally:
            self._metric = None

    def _update_lr(self, epoch: int | None = None) -> None:
        """Go on by a step, or to step ``epoch``; ``SequentialLR`` calls this too."""
        before = self.last_epoch
        self.last_epoch = self.last_epoch + 1 if epoch is None else int(epoch)
        try:
            self._act(takes_over=epoch is not None)
        except BaseException:
            self.last_epoch = before
            raise
        self._note()

    def _note(self) -> None:
        groups = self.optimizer.param_groups
        for group in groups[len(self.base_lrs) :]:
            self.base_lrs.append(float(group.setdefault("initial_lr", float(group["lr"]))))
        self._last_lr = cast("list[float | Tensor]", held_rates(groups))

    def get_lr(self) -> list[float | Tensor]:
        """The rates that the groups hold, whoever has written them: Python floats."""
        return [
            float(lr) if isinstance(lr, Tensor) else lr
            for lr in (group["lr"] for group in self.optimizer.param_groups)
        ]

    def get_last_lr(self) -> list[float | Tensor]:
        """The rates that the groups held after the last ``step()``, one float for each."""
        return list(self._last_lr)

    def _check_unscheduled(self) -> None:
        schedule = self._governed.schedule
        if schedule is None:
            return
        kind = type(self).__name__
        raise TypeError(
            f"{kind} cannot set the learning rate of an optimizer that {schedule!r} drives: each "
            "would overwrite the other's, and Keras refuses it, too. Drive the optimizer by one of "
            "them; only ReduceLROnPlateau acts on a schedule, by multiplying it. In a SequentialLR "
            f"of both, construct {kind} before the {type(schedule).__name__}."
        )

    # --- state ------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state as plain, versioned Python: the rule's, the count, and the rates of the groups.

        It loads under ``torch.load(weights_only=True)``.
        """
        return {
            "format": self._format,
            "version": STATE_VERSION,
            "last_epoch": self.last_epoch,
            "_step_count": self._step_count,
            "_last_lr": self.get_last_lr(),
            "base_lrs": [float(rate) for rate in self.base_lrs],
            "lrs": held_rates(self.optimizer.param_groups),
            "bases": self._governed.bases(),
            "turn": self._governed.has_turn(self),
            "controller": self.controller.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned, and write the rates of then.

        Those are the rates that the groups held when it was saved, whoever had written them: several
        schedulers of one optimizer load in any order.  Where a ``ScheduleLR`` drives the optimizer,
        its own state writes them.

        Raises:
            ValueError: the state is another class's, damaged, of an unknown version, of another
                number of groups, or (unless ``on_config_change="use_new"``) was saved under other
                arguments.  Nothing is changed then.
        """
        state = self._checked(state_dict)
        loaded = copy.copy(self.controller)
        loaded.load_state_dict(state["controller"], on_config_change=self.on_config_change)
        if state["turn"] or self._governed.schedule is None:
            write_rates(self.optimizer.param_groups, state["lrs"])
            self._governed.restore(state["bases"])
        if state["turn"]:
            self._governed.take_turn(self)
        self.controller, self.last_decision, self._repeated_calls = loaded, None, 0
        self.last_epoch, self._step_count = state["last_epoch"], state["_step_count"]
        self.base_lrs = list(state["base_lrs"])
        self._last_lr = list(state["_last_lr"])

    @property
    def _format(self) -> str:
        return f"lrparity.lr_scheduler.{type(self).__name__}"

    def _checked(self, state: Any) -> Mapping[str, Any]:
        """The state itself, if it is whole and ours."""
        kind = type(self).__name__
        made_by = state.get("format") if isinstance(state, Mapping) else None
        if not isinstance(made_by, str) or made_by != self._format:
            keys = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise ValueError(f"This is not the state of lrparity's {kind} (it has {keys!s:.200}).")
        version = state.get("version")
        if type(version) is not int or version != STATE_VERSION:
            raise ValueError(
                f"The state of {kind} has version {version!r:.50}; this lrparity reads version "
                f"{STATE_VERSION}. Load it with the lrparity that saved it, or a newer one."
            )
        for name, expected in STATE_TYPES.items():
            value = state.get(name)
            plain = type(value) is expected
            if plain and expected is list:
                plain = all(type(rate) is float for rate in cast("list[Any]", value))
            if not plain or (expected is int and cast("int", value) < -1):
                raise ValueError(f"The state of {kind} is damaged: {name!r} is {value!r:.200}.")
        groups = len(self.optimizer.param_groups)
        if not len(state["lrs"]) == len(state["bases"]) == groups:
            raise ValueError(
                f"The state was saved for {len(state['lrs'])} param groups; the optimizer has "
                f"{groups}. Add the missing groups before loading."
            )
        return cast("Mapping[str, Any]", state)

    def __getstate__(self) -> dict[str, Any]:
        copied = {"bases": self._governed.bases(), "turn": self._governed.has_turn(self)}
        return self.__dict__ | {"_governed": copied}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        copied = state["_governed"]
        self._governed = governed(self.optimizer)
        self._governed.restore(copied["bases"])
        if copied["turn"]:
            self._governed.take_turn(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.controller!r}, last_epoch={self.last_epoch})"


class MetricDrivenLR(ControlledLR):
    """What the two have in common that are told a metric."""

    def _act(self, *, takes_over: bool) -> None:
        if self._metric is None or takes_over:
            raise TypeError(self._without_metric())
        self._decide(self._metric)

    def _decide(self, metric: Any) -> None:
        raise NotImplementedError

    def _without_metric(self) -> str:
        raise NotImplementedError

    def lightning_config(
        self,
        monitor: str,
        *,
        interval: Literal["epoch", "step"] = "epoch",
        frequency: int = 1,
        strict: bool = True,
        name: str | None = None,
    ) -> dict[str, Any]:
        """What ``configure_optimizers`` returns as ``"lr_scheduler"``; Lightning passes the metric.

        A run that Lightning resumes from a checkpoint of a validation loses the decision of that
        epoch, because Lightning itself skips it.  The callbacks of the same name in
        ``lrparity.callbacks`` do not lose it.

        Args:
            monitor: the metric's name, as it is logged.
            interval: ``"epoch"``, or ``"step"`` to take in a metric after each update.
            frequency: after how many of these.
            strict: whether a missing metric is an error.
            name: what ``LearningRateMonitor`` calls it.

        >>> import torch
        >>> from lrparity.lr_scheduler import ReduceLROnPlateau
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> config = ReduceLROnPlateau(optimizer).lightning_config("val_loss")
        >>> config["monitor"], config["reduce_on_plateau"]
        ('val_loss', True)
        """
        config = {
            "scheduler": self,
            "reduce_on_plateau": True,
            "monitor": monitor,
            "interval": interval,
            "frequency": frequency,
            "strict": strict,
        }
        return config if name is None else config | {"name": name}
