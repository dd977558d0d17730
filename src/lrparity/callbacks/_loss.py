"""Losses of a training as Keras reports them, and the loss over a data set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lrparity.controllers import RunningMean


def loss_of(outputs: Any, divided_by: int, kind: str) -> float | None:
    """The loss that ``training_step`` has returned; None if it returned none.

    Args:
        outputs: what Lightning hands ``on_train_batch_end``.
        divided_by: what Lightning has divided the loss by, under automatic optimization.
        kind: the callback that wants it.

    Raises:
        ValueError: it is no scalar.
    """
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    if loss is None:
        return None
    if isinstance(loss, Tensor):
        if loss.numel() != 1:
            raise ValueError(
                f"{kind} needs a loss with one element. training_step returned one of shape "
                f"{tuple(loss.shape)}. Return its mean."
            )
        # In the precision that Lightning has divided in.
        return float((loss.detach() * divided_by if divided_by > 1 else loss.detach()).item())
    return float(loss) * divided_by


def size_of(batch: Any) -> int:
    """How many samples a batch has: the length of its first tensor with dimensions, else 1.

    >>> size_of({"x": torch.zeros(7, 2), "y": torch.zeros(7)})
    7
    """
    for leaf in tree_leaves(batch):
        if isinstance(leaf, Tensor | np.ndarray) and leaf.ndim:
            return len(leaf)
    for leaf in tree_leaves(batch):
        if isinstance(leaf, str):
            return len(batch) if isinstance(batch, list | tuple) else 1
    return 1


def loader_of(data: Any, batch_size: int) -> Any:
    """Batches of a data set, the same ones in the same order each time.

    Raises:
        TypeError: it is neither a ``DataLoader`` nor a ``Dataset``.
    """
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        return DataLoader(data, batch_size=batch_size, shuffle=False)
    raise TypeError(
        "Argument `dataset` must be a torch DataLoader, which is used as it is, or a Dataset with a "
        f"length. Received: {data!r:.200} of type {type(data).__name__}. Wrap tensors in a "
        "torch.utils.data.TensorDataset."
    )


def loss_over(
    trainer: Any,
    pl_module: Any,
    loader: Any,
    loss_fn: Callable[[Any, Any], Any],
    batch_size_of: Callable[[Any], int],
) -> float:
    """The mean loss over a data set, weighted by size, which leaves the training as it was.

    The module is in eval mode, without gradients, in the trainer's precision and on its device; modes
    and the state of the random number generators are put back.

    Raises:
        ValueError: the data set is empty, or ``loss_fn`` returns no scalar.
    """
    mean = RunningMean()
    device = trainer.strategy.root_device
    devices = [device.index or 0] if device.type == "cuda" else []
    with _evaluating(pl_module), torch.random.fork_rng(devices), torch.no_grad():
        for batch in loader:
            moved = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.val_step_context():
                loss = loss_fn(pl_module, moved)
            if (isinstance(loss, Tensor) and loss.numel() != 1) or loss is None:
                raise ValueError(
                    "Argument `loss_fn` must return the mean loss of a batch, one number. It returned "
                    f"{loss!r:.200}."
                )
            mean.add(float(loss), batch_size_of(batch))
    result = mean.result()
    if result is None:
        raise ValueError("Argument `dataset` has no samples: there is no loss to follow.")
    return result


@contextlib.contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for one, training in modes:
            one.training = training
