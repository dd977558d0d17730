"""What differs between Keras' run and the others, and what counts as a failure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo_parts.progress import counted
from demo_parts.recipes import Recipe
from demo_parts.run import Run, distances
from lrparity.trajectory import Comparison, Trajectory, compare

LIMIT = 1e-5
"""How far weights may be apart, for the default data and seed: some networks amplify a last bit."""

JUDGED = {"lightning": "Lightning", "torch_loop": "the torch loop"}
"""Whose weights have to be within the limit; torch's own SGD follows another rule."""


@dataclass(frozen=True)
class RateComparison:
    """The rates of two runs in one reading.

    Attributes:
        updates: how many updates were compared.
        bits: how many bits differ, of 32 per update; a missing update counts as 32.
        comparison: lrparity's own verdict, with the first difference.
        explained: where the rates follow the loss, the largest share of the bound that a rate takes
            up; see `share_of_bound`.  Where they do not, None.
    """

    updates: int
    bits: int
    comparison: Comparison
    explained: float | None = None

    @property
    def sound(self) -> bool:
        """Not one bit differs and none is missing; or the losses explain each that does."""
        if self.explained is None:
            return self.comparison.identical and self.bits == 0
        return self.explained <= 1  # NaN is not


def compare_rates(
    reference: Trajectory, other: Trajectory, explained: float | None = None
) -> RateComparison:
    """Count the bits by which two runs' learning rates differ."""
    a, b = reference.learning_rate, other.learning_rate
    shared = min(len(a), len(b))
    if a.dtype == np.float32 == b.dtype:
        unlike = a[:shared].view(np.uint32) ^ b[:shared].view(np.uint32)
    else:  # a rate that is no float32 number shows in its double
        wide = [side[:shared].astype(np.float64).view(np.uint64) for side in (a, b)]
        unlike = wide[0] ^ wide[1]
    bits = sum(int(word).bit_count() for word in unlike) + 32 * abs(len(a) - len(b))
    return RateComparison(shared, bits, compare(reference, other), explained)


def share_of_bound(
    rates: ArrayLike,
    other_rates: ArrayLike,
    losses: Sequence[float],
    other_losses: Sequence[float],
    scale: float,
    every: int = 1,
) -> float:
    """How much of the difference that two losses explain two rates have, at most: 1 is all of it.

    The losses of two frameworks differ in their last bits, and rates ``eta0 * exp(scale * loss)`` with
    them: if the losses are x / abs(scale) apart, by a factor of up to exp(x).  Besides, each rate is
    rounded to float32, by 2**-24 at most; the last factor below is for what those roundings, and those
    of float64 before them, make of each other.

    Args:
        rates: of each update.
        other_rates: of each update, on the other side.
        losses: after each ``every`` updates, what the rates of the next ones follow.
        other_losses: the same on the other side.
        scale: what the losses are multiplied by.
        every: how many updates there are to a loss.

    Returns:
        Infinity where a rate or a loss is missing, or a rate differs that follows no loss yet.

    >>> share_of_bound([0.1, 0.1], [0.1, 0.1], [0.5, 0.4], [0.5, 0.4], scale=1.0)
    0.0
    >>> share_of_bound([0.1, 0.1], [0.1, 0.100001], [0.5, 0.4], [0.5, 0.4], scale=1.0) > 80
    True
    """
    a, b = (np.asarray(side, np.float64) for side in (rates, other_rates))
    if a.shape != b.shape or len(losses) != len(other_losses) or len(losses) != len(a) // every:
        return math.inf
    x = abs(scale) * np.abs(np.subtract(losses, other_losses))
    bounds = (np.expm1(x) + 2**-23) * (1 + 2**-20)
    allowed = np.concatenate([np.zeros(every), np.repeat(bounds, every)])[: len(a)]
    unlike = a != b
    if not unlike.any():
        return 0.0
    with np.errstate(divide="ignore"):
        apart = np.abs(a - b)[unlike] / np.minimum(a, b)[unlike]
        return float((apart / allowed[unlike]).max())


def closest_call(metrics: Iterable[float], min_delta: float, *, higher: bool = False) -> float:
    """How close a metric comes to what decides whether it is an improvement.

    A plateau decides the same in two frameworks as long as this is more than their metrics differ.

    >>> round(closest_call([1.0, 0.8, 0.71], min_delta=0.1), 6)
    0.01
    """
    values = [-value if higher else value for value in metrics]
    best, closest = values[0], math.inf
    for value in values[1:]:
        beyond = best - min_delta - value
        closest = min(closest, abs(beyond))
        if beyond > 0:
            best = value
    return closest


@dataclass(frozen=True)
class Outcome:
    """One recipe, trained four times from one seed."""

    recipe: Recipe
    seed: int
    keras: Run
    lightning: Run
    torch_loop: Run
    torch_sgd: Run

    @cached_property
    def reported(self) -> RateComparison:
        """Keras' reported rates against Lightning's."""
        explained = self._explained(
            self.keras.reported, self.lightning.reported, self.lightning.losses_reported
        )
        return compare_rates(self.keras.reported, self.lightning.reported, explained)

    @cached_property
    def applied(self) -> RateComparison:
        """Keras' applied rates against Lightning's."""
        return self._applied(self.lightning)

    @cached_property
    def torch_loop_applied(self) -> RateComparison:
        """Keras' applied rates against the torch loop's."""
        return self._applied(self.torch_loop)

    def _applied(self, other: Run) -> RateComparison:
        explained = self._explained(self.keras.applied, other.applied, other.losses)
        return compare_rates(self.keras.applied, other.applied, explained)

    def _explained(
        self, rates: Trajectory, other_rates: Trajectory, other_losses: Sequence[float]
    ) -> float | None:
        scale = self.recipe.follows_loss
        if scale is None:
            return None
        return share_of_bound(
            rates.learning_rate,
            other_rates.learning_rate,
            self.keras.losses,
            other_losses,
            scale,
        )

    @property
    def losses_apart(self) -> float:
        """How far the losses of Lightning's updates are from Keras', at most."""
        return float(np.abs(np.subtract(self.keras.losses, self.lightning.losses)).max())

    @cached_property
    def distances(self) -> dict[str, NDArray[np.float64]]:
        """How far the weights of the others are from Keras', after each epoch."""
        return {
            name: distances(self.keras, getattr(self, name))
            for name in ("lightning", "torch_loop", "torch_sgd")
        }

    @cached_property
    def keras_with_itself(self) -> RateComparison:
        """What Keras reports against what Keras applies."""
        shown = self.keras.reported
        return compare_rates(Trajectory(shown.rates, reading="applied"), self.keras.applied)


def failures(outcomes: Iterable[Outcome], *, gate_weights: bool) -> list[str]:
    """What went wrong, a line each; nothing for a success."""
    found = []
    for outcome in outcomes:
        place = f"{outcome.recipe.title}, seed {outcome.seed}"
        for reading, other, rates in (
            ("reported", "Lightning", outcome.reported),
            ("applied", "Lightning", outcome.applied),
            ("applied", "the torch loop", outcome.torch_loop_applied),
        ):
            if rates.sound:
                continue
            line = (
                f"{place}: {counted(rates.bits, 'bit')} of the {reading} learning rates differ "
                f"between Keras and {other}"
            )
            if rates.explained is not None:
                line += f", {rates.explained:.3g} times what the losses explain"
            first = rates.comparison.first
            if first is not None:
                line += f", first at update {first.at}: {first.a!r} and {first.b!r}"
            found.append(line)
        for name, other in JUDGED.items():
            distance = outcome.distances[name][-1]
            if gate_weights and not distance <= LIMIT:  # NaN fails too
                found.append(
                    f"{place}: the weights of {other} are {distance:.2g} from Keras', more than "
                    f"{LIMIT:g}"
                )
    return found


def exit_status(failed: list[str]) -> int:
    """What the demo exits with: 0 if nothing went wrong, else 1."""
    return 1 if failed else 0
