"""Fixtures of the tests of resume."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture(params=["some", pytest.param("all", marks=pytest.mark.long)])
def chosen(request, seed) -> Callable[..., list[Any]]:
    """Some of many, drawn by the seed, or in the long form all of them, or more."""

    def choose(many: Iterable[Any], n: int, more: int | None = None) -> list[Any]:
        many = sorted(many)
        assert many, "there is nothing to choose from"
        if request.param == "all":
            n = len(many) if more is None else more
        if len(many) <= n:
            return many
        rng = np.random.default_rng(seed)
        return [many[i] for i in sorted(rng.choice(len(many), n, replace=False))]

    return choose


@pytest.fixture
def one_thread_and_own_signals():
    """Small tensors want one thread, and Lightning has a way with signals."""
    kept = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for one, handler in kept.items():
        signal.signal(one, handler)
