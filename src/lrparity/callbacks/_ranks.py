"""What the processes of a distributed training decide on together."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import torch


class RanksDifferError(RuntimeError):
    """The processes of one training hold different learning rates."""


def together(trainer: Any) -> bool:
    """Whether all ranks are at the same point, as they are unless one of them has failed."""
    return bool(trainer.world_size == 1 or trainer.state.status == "running")


def everyone(trainer: Any, row: Sequence[float]) -> list[list[float]]:
    """The numbers of every rank, in their order; of this one alone if they are not together."""
    if trainer.world_size == 1 or not together(trainer):
        return [list(row)]
    tensor = torch.tensor(row, dtype=torch.float64, device=trainer.strategy.root_device)
    rows: list[list[float]] = trainer.strategy.all_gather(tensor).reshape(-1, len(row)).tolist()
    return rows


def agree(trainer: Any, value: float | None, rates: Sequence[float], what: str) -> float | None:
    """One value for all ranks; each has to call this at the same points, with a value or without.

    Args:
        trainer: whose ranks.
        value: this rank's, or None if it has none.
        rates: the learning rates that it holds, which must be those of the others.
        what: names the value in messages.

    Returns:
        The value itself where all that have one have the same (a mean of equal values may differ from
        them in its last bit), else the mean; None if no rank has one.

    Raises:
        RanksDifferError: the ranks hold different rates.
    """
    values, _ = _gathered(trainer, value, 1.0, rates, what)
    return _mean(values, [1.0] * len(values))


def agree_on_mean(
    trainer: Any, value: float | None, size: float, rates: Sequence[float], what: str
) -> tuple[float, float] | None:
    """The mean of all ranks' values, weighted by size, and the sum of the sizes; see :func:`agree`."""
    values, sizes = _gathered(trainer, value, size, rates, what)
    mean = _mean(values, sizes)
    return None if mean is None else (mean, math.fsum(sizes))


def _gathered(
    trainer: Any, value: float | None, size: float, rates: Sequence[float], what: str
) -> tuple[list[float], list[float]]:
    """The values that there are, with their sizes, in the order of the ranks."""
    if trainer.world_size == 1:
        return ([], []) if value is None else ([value], [size])
    mine = [float(value is not None), 0.0 if value is None else value, size, _digest(rates)]
    rows = everyone(trainer, mine)
    if len({row[3] for row in rows}) > 1:
        different = [rank for rank, row in enumerate(rows) if row[3] != rows[0][3]]
        raise RanksDifferError(
            f"The learning rates of rank {different[0]} are not those of rank 0, when the ranks were to "
            f"decide by {what}; those of rank {trainer.global_rank} are {list(rates)}. Something else "
            "sets them on one rank only: let it do so on every rank, or drop it."
        )
    present = [row for row in rows if row[0]]
    return [row[1] for row in present], [row[2] for row in present]


def _mean(values: list[float], sizes: list[float]) -> float | None:
    if not values:
        return None
    if len({struct.pack("<d", value) for value in values}) == 1:
        return values[0]
    if not all(map(math.isfinite, values)):  # fsum refuses infinities of both signs
        return sum(v * s for v, s in zip(values, sizes, strict=True)) / sum(sizes)
    weighted = (value * size for value, size in zip(values, sizes, strict=True))
    return math.fsum(weighted) / math.fsum(sizes)


def _digest(rates: Sequence[float]) -> float:
    """A number that float64 holds exactly, and that differs where a bit differs."""
    return float(zlib.crc32(struct.pack(f"<{len(rates)}d", *rates)))
