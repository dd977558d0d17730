"""The optimizers and the loop of the tests of torch schedulers, and how a checkpoint keeps a state."""

from __future__ import annotations

import io

import numpy as np
import torch

STEPS = 50


def make_optimizer(*rates, tensor=False, cls=torch.optim.SGD, **options):
    groups = []
    for rate in rates or (0.1,):
        weight = torch.nn.Parameter(torch.zeros(2))
        weight.grad = torch.ones(2)
        lr = torch.tensor(rate, dtype=torch.float32) if tensor else rate
        groups.append({"params": [weight], "lr": lr} | options)
    return cls(groups, lr=groups[0]["lr"])


def rates_of(optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def drive(optimizer, scheduler, steps=STEPS) -> np.ndarray:
    """The rates of each update in a correct loop."""
    rows = []
    for _ in range(steps):
        rows.append(rates_of(optimizer))
        optimizer.step()
        scheduler.step()
    return np.array(rows)


def add_group(optimizer, lr=None, **entries):
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    optimizer.add_param_group({"params": [weight]} | ({} if lr is None else {"lr": lr}) | entries)


def through_file(state):
    """As a checkpoint keeps it: ``torch.load(weights_only=True)`` must take it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)
