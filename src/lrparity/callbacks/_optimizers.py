"""The optimizers of a trainer: their names, and how a user picks them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

BASE = "learning_rate"


def raw_optimizers(trainer: Any) -> list[Optimizer]:
    """The optimizers whose param groups decide, without what merely passes their steps on.

    A wrapper that is an optimizer of its own (Lookahead, SAM) is kept; DeepSpeed's is none.
    """
    return [
        one if isinstance(one, Optimizer) and one.param_groups else getattr(one, "optimizer", one)
        for one in trainer.optimizers
    ]


def optimizer_names(optimizers: Sequence[Optimizer]) -> list[str]:
    """Class names, numbered from the second of a class on, as ``LearningRateMonitor`` has them.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> optimizer_names([torch.optim.SGD([weight]), torch.optim.Adam([weight]), torch.optim.SGD([weight])])
    ['SGD', 'Adam', 'SGD-1']
    """
    seen: Counter[str] = Counter()
    names = []
    for optimizer in optimizers:
        kind = type(getattr(optimizer, "optimizer", optimizer)).__name__
        names.append(f"{kind}-{seen[kind]}" if seen[kind] else kind)
        seen[kind] += 1
    return names


def series_names(optimizers: Sequence[Optimizer], base: str = BASE) -> list[list[str]]:
    """For each optimizer the names of its param groups' rates; one keeps its name as others join.

    >>> import torch
    >>> weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(4)]
    >>> one, two = torch.optim.SGD(weights[:1]), torch.optim.Adam([{"params": weights[1:2]}])
    >>> series_names([one])
    [['learning_rate']]
    >>> two.add_param_group({"params": weights[2:3]})
    >>> two.add_param_group({"params": weights[3:], "name": "head"})
    >>> series_names([one, two])[1]
    ['learning_rate/Adam', 'learning_rate/Adam/pg2', 'learning_rate/Adam/head']
    """
    bases = [base]
    if len(optimizers) > 1:
        bases = [f"{base}/{name}" for name in optimizer_names(optimizers)]
    return [
        _distinct([_group_name(start, i, group) for i, group in enumerate(optimizer.param_groups)])
        for start, optimizer in zip(bases, optimizers, strict=True)
    ]


def changes(optimizer: Optimizer) -> int:
    """How often its weights were changed in place: it differs where they were changed in between."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    # Neither what is yet to be initialized nor what was made in inference mode keeps a count.
    return sum(p._version for p in parameters if not is_lazy(p) and not p.is_inference())


def unseen_steps(names: Sequence[str], epoch: int, consequence: str) -> str:
    """What is said of optimizers whose weights change although no step of theirs is seen."""
    return (
        f"The weights of the optimizer {', '.join(map(repr, names))} changed in epoch {epoch}, but no "
        f"step() of it was seen, so {consequence}. The steps of a torch.optim.Optimizer are seen, and "
        "those of one that it keeps as `optimizer` or `base_optimizer`: return from "
        "configure_optimizers the one whose step() is called."
    )


def updates_before(
    trainer: Any,
    kind: str,
    what: str,
    initial_update: int | None,
    *,
    name: str | None = None,
    batches: bool = False,
) -> int:
    """The number to count updates from where no state tells it.

    Args:
        trainer: which begins to train.
        kind: the callback that asks.
        what: it asks by the number.
        initial_update: the user's answer, if there is one.
        name: of the optimizer; None: of several.
        batches: count batches instead.

    Raises:
        ValueError: the training goes on, and nothing tells it.
    """
    if initial_update is not None:
        return initial_update
    if not (trainer.global_step > 0 or trainer.fit_loop.total_batch_idx >= 0):
        return 0
    whose = "each optimizer" if name is None else f"the optimizer {name!r}"
    if batches or not trainer.lightning_module.automatic_optimization:
        raise ValueError(
            f"The training goes on, and nothing says how many updates {whose} has made, because {kind} "
            "was not part of it until now, or drove other optimizers. Pass "
            "initial_update=<updates so far>" + (", counted in batches." if batches else ".")
        )
    if trainer.is_global_zero:
        warnings.warn(
            f"The training goes on, and was begun without this {kind}: {what} begins at "
            f"trainer.global_step = {trainer.global_step}, which counts steps that AMP skipped, too. "
            "Pass initial_update=<updates so far> to say otherwise.",
            UserWarning,
            stacklevel=3,
        )
    return int(trainer.global_step)


def pick(optimizers: Sequence[Optimizer], selector: int | str, argument: str) -> int:
    """The place of the optimizer that a user names by its place or by its name.

    Raises:
        ValueError: there is none; the message lists those that there are.
    """
    names = optimizer_names(optimizers)
    if isinstance(selector, str) and selector in names:
        return names.index(selector)
    numeric = not isinstance(selector, str) or selector.isdecimal()  # YAML keys may be text
    if numeric and 0 <= int(selector) < len(optimizers):
        return int(selector)
    listed = ", ".join(f"{i} ({name!r})" for i, name in enumerate(names))
    raise ValueError(
        f"Argument `{argument}` names the optimizer {selector!r}, which configure_optimizers does not "
        f"return. There are: {listed or 'none'}."
    )


def _group_name(base: str, i: int, group: dict[str, Any]) -> str:
    name = group.get("name")
    if name is not None:
        return f"{base}/{name}"
    return f"{base}/pg{i + 1}" if i else base


def _distinct(names: list[str]) -> list[str]:
    """Number the repeated ones: two groups may have been given one name."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        distinct.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return distinct
