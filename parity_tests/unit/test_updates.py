"""What counts as an update of an optimizer, and when it is heard of."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from lrparity.lr_scheduler._updates import UpdateCounter


def make(kind=torch.optim.SGD, **arguments):
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    return kind([weight], lr=0.1, **arguments), weight


class Outer(torch.optim.SGD):
    """Goes on using the rate after its parent's step, as decoupled weight decay does."""

    def step(self, closure=None):
        result = super().step(closure)
        self.rate_after = self.param_groups[0]["lr"]
        if getattr(self, "fails", False):
            raise KeyError("outer")
        return result


def test_counts_steps_and_is_taken():
    optimizer, _ = make()
    counter = UpdateCounter(optimizer)
    for _ in range(3):
        optimizer.step()
    assert (counter.take(), counter.take()) == (3, 0)
    counter.remove()
    counter.remove()
    optimizer.step()
    assert counter.take() == 0


def test_a_step_within_a_step_counts_once_and_at_its_end():
    torch.optim.SGD(
        [torch.nn.Parameter(torch.zeros(1))]
    ).step()  # now SGD.step has hooks of its own
    optimizer, _ = make(Outer)

    def lower() -> None:
        optimizer.param_groups[0]["lr"] = 0.05

    counter = UpdateCounter(optimizer, after_update=lower)
    optimizer.step()
    assert counter.take() == 1
    assert optimizer.rate_after == 0.1, "the rate was changed while the step still used it"
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_a_step_that_failed_leaves_nothing_behind():
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]).step()
    optimizer, _ = make(Outer)
    begun = []
    counter = UpdateCounter(optimizer, before_step=lambda: begun.append(1))
    for _ in range(2):
        optimizer.fails = True
        with pytest.raises(KeyError):
            optimizer.step()
        optimizer.fails = False
        optimizer.step()
    assert (counter.take(), len(begun)) == (2, 4)

    def fail():
        raise KeyError("closure")

    with pytest.raises(KeyError):
        optimizer.step(fail)
    optimizer.step()
    assert counter.take() == 1


def test_a_refusal_before_the_step():
    optimizer, weight = make()

    def refuse():
        raise ValueError("no rate")

    counter = UpdateCounter(optimizer, before_step=refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match="no rate"):
            optimizer.step()
    assert not weight.any()
    assert counter.take() == 0


@pytest.mark.parametrize(
    ("before", "inside", "counted"), [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1)]
)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_closure_decides_by_the_gradients_that_it_leaves(before, inside, counted, by_name):
    optimizer, weight = make()
    weight.grad = torch.ones(2) if before else None

    def closure():
        weight.grad = torch.ones(2) if inside else None

    counter = UpdateCounter(optimizer)
    optimizer.step(closure=closure) if by_name else optimizer.step(closure)
    assert counter.take() == counted


def test_without_a_closure_the_gradients_before_decide():
    class Clearing(torch.optim.SGD):
        def step(self, closure=None):
            super().step()
            self.zero_grad()

    optimizer, _ = make(Clearing)
    counter = UpdateCounter(optimizer)
    optimizer.step()
    optimizer.step()  # nothing left
    assert counter.take() == 1


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_that_amp_skips(fused):
    optimizer, weight = make(fused=fused)
    scaler = torch.amp.GradScaler("cpu")
    counter = UpdateCounter(optimizer)
    counts = []
    for gradient in (1.0, torch.inf, torch.inf, 2.0):
        scaler.scale(torch.zeros(())).item()  # the scale is made when it is first used
        weight.grad = torch.full((2,), gradient)
        scaler.step(optimizer)
        scaler.update()
        counts.append(counter.take())
    assert counts == [1, 0, 0, 1]


def test_what_cannot_be_watched_is_refused():
    with pytest.raises(TypeError, match="object has no step hooks"):
        UpdateCounter(object())


def test_neither_keeps_the_other_alive():
    optimizer, _ = make()
    counter = UpdateCounter(optimizer, after_update=lambda: None)
    gone = weakref.ref(counter)
    gc.disable()
    try:
        del counter
        assert gone() is None
    finally:
        gc.enable()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
