"""The table on the screen and the JSON report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lrparity
from demo_parts.comparison import JUDGED, LIMIT, Outcome, RateComparison
from demo_parts.data import BATCH_SIZE, Split
from lrparity.trajectory import provenance

_COLUMNS = (
    # heading over several columns, heading, width
    ("", "recipe", -20),
    ("", "updates", 8),
    ("rate bits that differ", "reported", 11),
    ("rate bits that differ", "applied", 10),
    ("max|dw| / max|w| from Keras'", "Lightning", 13),
    ("max|dw| / max|w| from Keras'", "torch loop", 12),
    ("max|dw| / max|w| from Keras'", "torch SGD", 11),
    ("validation accuracy", "Keras", 12),
    ("validation accuracy", "Lightning", 11),
)


def table(outcomes: Sequence[Outcome]) -> str:
    """One line per recipe, Keras against Lightning."""
    return "\n".join(_table(outcomes))


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    over: dict[str, int] = {}
    for group, _, width in _COLUMNS:
        over[group] = over.get(group, 0) + abs(width)
    yield "".join(f"{group:>{width}}" for group, width in over.items())
    yield _row([heading for _, heading, _ in _COLUMNS])
    yield "-" * sum(over.values())
    for one in outcomes:
        yield _row(
            [
                one.recipe.title,
                str(one.applied.updates),
                str(one.reported.bits),
                str(one.applied.bits),
                *(f"{distances[-1]:.1e}" for distances in one.distances.values()),
                f"{one.keras.validation_accuracy:.4f}",
                f"{one.lightning.validation_accuracy:.4f}",
            ]
        )


def _row(cells: Sequence[str]) -> str:
    return "".join(
        f"{cell:<{-width}}" if width < 0 else f"{cell:>{width}}"
        for cell, (_, _, width) in zip(cells, _COLUMNS, strict=True)
    )


def footnotes(outcomes: Sequence[Outcome]) -> str:
    """What the columns of the table mean."""
    notes = [
        ("reported", "what Keras' `optimizer.learning_rate` shows before an update;"),
        ("", "in Lightning: ScheduleLR(..., numerics='eager')"),
        (
            "applied",
            "what Keras' compiled update multiplied by, from a probe weight of gradient 1;",
        ),
        ("", "in Lightning: ScheduleLR(..., numerics='graph')"),
        (
            "max|dw|",
            "the largest difference of a final weight from Keras'; max|w| the largest weight;",
        ),
        ("", "torch loop is a plain loop with lrparity's scheduler and SGD,"),
        ("", "torch SGD the same with torch.optim.SGD, under the very same learning rates"),
    ]
    unlike = [one for one in outcomes if one.keras_with_itself.comparison.differing]
    for one in unlike:
        itself = one.keras_with_itself.comparison
        text = (
            f"{one.recipe.title}: at {itself.differing} of {itself.updates} updates Keras applies "
        )
        text += f"another rate than it reports, off by up to {100 * itself.max_relative:.2g}%"
        notes.append(("note" if one is unlike[0] else "", text))
    return "\n".join(f"{name:<10}{text}" for name, text in notes)


def seeds_table(outcomes: Sequence[Outcome]) -> str:
    """The weight distances of several seeds: a line per seed, a column per recipe."""
    titles = list(dict.fromkeys(one.recipe.title for one in outcomes))
    lines = [
        "max|dw| / max|w| of Lightning (torch SGD) for each seed",
        f"{'seed':<8}" + "".join(f"{title:>21}" for title in titles),
    ]
    for seed in dict.fromkeys(one.seed for one in outcomes):
        cells = {
            one.recipe.title: f"{one.distances['lightning'][-1]:.1e} "
            f"({one.distances['torch_sgd'][-1]:.0e})"
            for one in outcomes
            if one.seed == seed
        }
        lines.append(f"{seed:<8}" + "".join(f"{cells[title]:>21}" for title in titles))
    return "\n".join(lines)


def count_bits(comparisons: Iterable[RateComparison]) -> str:
    """How many bits of learning rates differ, of how many that were compared."""
    found = list(comparisons)
    differing, compared = sum(one.bits for one in found), 32 * sum(one.updates for one in found)
    return f"{differing:,} of {compared:,} learning-rate bits differ"


def verdict(
    outcomes: Sequence[Outcome],
    of_first_seed: Sequence[Outcome],
    failed: Sequence[str],
    *,
    gate_weights: bool,
) -> str:
    """What it all comes to, and what the weights were judged by."""
    in_lightning = count_bits(rates for one in outcomes for rates in (one.reported, one.applied))
    in_the_loop = count_bits(one.torch_loop_applied for one in outcomes)
    farthest, where, who = max(
        (
            (one.distances[name][-1], one, who)
            for one in of_first_seed
            for name, who in JUDGED.items()
        ),
        key=lambda entry: (math.isnan(entry[0]), entry[0]),
    )
    lines = [
        f"{in_lightning} between Keras and Lightning, reported and applied",
        f"{in_the_loop} between Keras and the torch loop, applied",
        f"weights are at most {farthest:.1e} from Keras' ({where.recipe.title}, seed {where.seed}, "
        f"{who}); "
        + (
            f"the limit is {LIMIT:g}"
            if gate_weights
            else f"not judged: the limit of {LIMIT:g} is for the default data, seed and epochs"
        ),
    ]
    if failed:
        lines += ["FAILED", *(f"  {line}" for line in failed)]
    else:
        lines += ["PASSED"]
    return "\n".join(lines)


# --- files ----------------------------------------------------------------------------------------


def save(
    folder: Path,
    outcomes: Sequence[Outcome],
    data: Split,
    failed: Sequence[str],
    *,
    gate_weights: bool,
) -> None:
    """Write ``report.json``, and the trajectories of the first seed beside it."""
    main_seed = outcomes[0].seed
    document = {
        "format": "lrparity.demo",
        "version": 2,
        "passed": not failed,
        "failures": list(failed),
        "weights_gated_at": LIMIT if gate_weights else None,
        "configuration": {
            "data": data.table.name,
            "source": data.table.source,
            "training_rows": len(data.inputs),
            "validation_rows": len(data.validation_inputs),
            "columns": data.columns,
            "batch_size": BATCH_SIZE,
            "epochs": outcomes[0].recipe.epochs,
            "seeds": list(dict.fromkeys(one.seed for one in outcomes)),
        },
        "versions": provenance(),
        "recipes": [_recipe(one, folder if one.seed == main_seed else None) for one in outcomes],
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")


def _recipe(one: Outcome, folder: Path | None) -> dict[str, Any]:
    return {
        "name": one.recipe.name,
        "title": one.recipe.title,
        "seed": one.seed,
        "updates": one.applied.updates,
        "reported": _rates(one.reported),
        "applied": _rates(one.applied),
        "torch_loop_applied": _rates(one.torch_loop_applied),
        "keras_reported_against_applied": _rates(one.keras_with_itself),
        "weight_distance": {
            name: [_finite(x) for x in distances.tolist()]
            for name, distances in one.distances.items()
        },
        "validation_accuracy": {
            name: getattr(one, name).validation_accuracy
            for name in ("keras", "lightning", "torch_loop", "torch_sgd")
        },
        "trajectories": {} if folder is None else _trajectories(one, folder),
    }


def _rates(rates: RateComparison) -> dict[str, Any]:
    return {
        "updates": rates.updates,
        "bits_differing": rates.bits,
        "updates_differing": rates.comparison.differing,
        "largest_ulp": rates.comparison.max_ulp,
        "largest_relative": _finite(rates.comparison.max_relative),
    }


def _trajectories(one: Outcome, folder: Path) -> dict[str, dict[str, str]]:
    """Save the trajectories that were compared; file and checksum of each."""
    (folder / "trajectories").mkdir(exist_ok=True)
    saved = {}
    for trainer in ("keras", "lightning", "torch_loop"):
        run = getattr(one, trainer)
        for trajectory in (run.reported, run.applied):
            if trajectory is None:
                continue
            name = f"{trainer}_{trajectory.reading}"
            path = Path("trajectories") / f"{one.recipe.name}.{name}.json"
            trajectory.save(folder / path)
            saved[name] = {"file": path.as_posix(), "checksum": trajectory.checksum}
    return saved


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def versions() -> str:
    """The frameworks at work, for the first line on the screen."""
    found = provenance()
    names = ("keras", "tf_keras", "tensorflow", "torch", "lightning")
    return ", ".join([f"lrparity {lrparity.__version__}", *(f"{n} {found[n]}" for n in names)])
