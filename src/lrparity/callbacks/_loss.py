"""Losses of a training as Keras reports them, and the loss over a data set."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
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
    """How many samples a batch has: the length of the first tensor or array with dimensions in it.

    It is looked for in mappings, sequences and dataclasses.  A batch of graphs says it by itself, a
    packed sequence by its first step, and a tensor without dimensions is one sample.

    Raises:
        ValueError: it cannot be told.

    >>> size_of({"x": torch.zeros(7, 2), "y": torch.zeros(7)})
    7
    """
    size = _size_of(batch, texts=False)
    if size in (None, SCALAR) and (texts := _size_of(batch, texts=True)) is not None:
        size = texts
    if size is None:
        raise ValueError(
            f"The number of samples in a batch of type {type(batch).__name__} cannot be told, and the mean "
            "of losses goes by it. Pass `batch_size`, a function of the batch, such as len."
        )
    return 1 if size == SCALAR else size


SCALAR = -1
"""In place of a size: there is a tensor, but it has no dimensions."""


def _size_of(batch: Any, *, texts: bool) -> int | None:
    if isinstance(batch, Tensor | np.ndarray):
        return len(batch) if batch.ndim else SCALAR
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    graphs = getattr(batch, "num_graphs", None)
    if isinstance(graphs, int):
        return graphs
    parts: Any = ()
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, list | tuple):
        if texts and batch and all(isinstance(one, str) for one in batch):
            return len(batch)
        parts = batch
    elif dataclasses.is_dataclass(batch):
        parts = (getattr(batch, field.name) for field in dataclasses.fields(batch))
    sizes = [size for part in parts if (size := _size_of(part, texts=texts)) is not None]
    if sizes:
        return next((size for size in sizes if size != SCALAR), SCALAR)
    return None


def loader_of(data: Any, batch_size: int) -> Any:
    """Batches of a data set, by a loader whose iterator nobody else uses.

    Raises:
        TypeError: it is neither a ``DataLoader`` nor a ``Dataset``.
    """
    if isinstance(data, DataLoader):
        return _without_persistent_workers(data) if data.persistent_workers else data
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        return DataLoader(data, batch_size=batch_size, shuffle=False)
    raise TypeError(
        "Argument `dataset` must be a torch DataLoader, which is used as it is, or a Dataset with a "
        f"length. Received: {data!r:.200} of type {type(data).__name__}. Wrap tensors in a "
        "torch.utils.data.TensorDataset."
    )


def _without_persistent_workers(loader: DataLoader[Any]) -> DataLoader[Any]:
    # Such a loader has one iterator: if training is at it, a second pass would begin it anew.
    if loader.batch_sampler is not None:
        batches: dict[str, Any] = {"batch_sampler": loader.batch_sampler}
    elif isinstance(loader.dataset, IterableDataset):
        batches = {"batch_size": loader.batch_size, "drop_last": loader.drop_last}
    else:
        batches = {"batch_size": None, "sampler": loader.sampler}
    return DataLoader(
        loader.dataset,
        **batches,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
    )


def loss_over(
    trainer: Any,
    pl_module: Any,
    loader: Any,
    loss_fn: Callable[[Any, Any], Any],
    batch_size_of: Callable[[Any], int],
) -> float:
    """The mean loss over a data set, weighted by size, which leaves the training as it was.

    The module is in eval mode, without gradients, in the trainer's precision and on its device, and the
    trainer is ``validating``, as hooks that transfer batches want to know.  Modes and the state of the
    random number generators of torch, NumPy, Python and the loader are put back.

    Raises:
        ValueError: the data set is empty, or ``loss_fn`` returns no scalar.
    """
    mean = RunningMean()
    with _evaluating(trainer, pl_module), _random_state_kept(trainer, loader), torch.no_grad():
        for batch in loader:
            moved = trainer.precision_plugin.convert_input(batch)
            moved = trainer.strategy.batch_to_device(moved)
            with trainer.precision_plugin.val_step_context():
                loss = loss_fn(pl_module, moved)
            mean.add(_mean_loss(loss), batch_size_of(batch))
    result = mean.result()
    if result is None:
        raise ValueError("Argument `dataset` has no samples: there is no loss to follow.")
    return result


def _mean_loss(loss: Any) -> float:
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.item()
    if isinstance(loss, bool) or not isinstance(loss, int | float | np.number):
        raise ValueError(
            "Argument `loss_fn` must return the mean loss of a batch, one number. It returned "
            f"{loss!r:.200} of type {type(loss).__name__}."
        )
    return float(loss)


@contextlib.contextmanager
def _evaluating(trainer: Any, module: torch.nn.Module) -> Iterator[None]:
    modes = [(one, one.training) for one in module.modules()]
    stage = trainer.state.stage
    trainer.validating = True
    module.eval()
    try:
        yield
    finally:
        trainer.state.stage = stage
        for one, training in modes:
            one.training = training


@contextlib.contextmanager
def _random_state_kept(trainer: Any, loader: Any) -> Iterator[None]:
    device = trainer.strategy.root_device
    devices = [device.index or 0] if device.type == "cuda" else []
    samplers = (loader, loader.sampler, loader.batch_sampler)
    generators = {
        id(g): g for one in samplers if (g := getattr(one, "generator", None)) is not None
    }
    states = [(generator, generator.get_state()) for generator in generators.values()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (which others draw from)
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for generator, state in states:
            generator.set_state(state)
