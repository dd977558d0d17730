"""What differs between Keras' run and the others, and what counts as a failure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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
    """

    updates: int
    bits: int
    comparison: Comparison

    @property
    def identical(self) -> bool:
        """Not one bit differs and none is missing."""
        return self.comparison.identical and self.bits == 0


def compare_rates(reference: Trajectory, other: Trajectory) -> RateComparison:
    """Count the bits by which two runs' learning rates differ."""
    a, b = reference.learning_rate, other.learning_rate
    shared = min(len(a), len(b))
    if a.dtype == np.float32 == b.dtype:
        unlike = a[:shared].view(np.uint32) ^ b[:shared].view(np.uint32)
    else:  # a rate that is no float32 number shows in its double
        wide = [side[:shared].astype(np.float64).view(np.uint64) for side in (a, b)]
        unlike = wide[0] ^ wide[1]
    bits = sum(int(word).bit_count() for word in unlike) + 32 * abs(len(a) - len(b))
    return RateComparison(shared, bits, compare(reference, other))


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
        return compare_rates(self.keras.reported, self.lightning.reported)

    @cached_property
    def applied(self) -> RateComparison:
        """Keras' applied rates against Lightning's."""
        return compare_rates(self.keras.applied, self.lightning.applied)

    @cached_property
    def torch_loop_applied(self) -> RateComparison:
        """Keras' applied rates against the torch loop's."""
        return compare_rates(self.keras.applied, self.torch_loop.applied)

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
            if rates.identical:
                continue
            line = (
                f"{place}: {counted(rates.bits, 'bit')} of the {reading} learning rates differ "
                f"between Keras and {other}"
            )
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
