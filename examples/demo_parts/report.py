"""The table on the screen and the JSON report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lrparity
from demo_parts.comparison import JUDGED, LIMIT, Outcome, RateComparison, closest_call
from demo_parts.data import BATCH_SIZE, Split
from demo_parts.recipes import Plateau
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
        ("", "for a schedule in Lightning: ScheduleLR(..., numerics='eager')"),
        (
            "applied",
            "what Keras' compiled update multiplied by, from a probe weight of gradient 1;",
        ),
        ("", "for a schedule in Lightning: ScheduleLR(..., numerics='graph')"),
        (
            "max|dw|",
            "the largest difference of a final weight from Keras'; max|w| the largest weight;",
        ),
        ("", "torch loop is a plain loop with lrparity's scheduler and SGD,"),
        ("", "torch SGD the same with torch.optim.SGD, under the very same learning rates"),
    ]
    remarks = [f"{one.recipe.title}: {text}" for one in outcomes for text in _remarks(one)]
    notes += [("" if at else "note", remark) for at, remark in enumerate(remarks)]
    return "\n".join(f"{name:<10}{text}" for name, text in notes)


def _remarks(one: Outcome) -> Iterator[str]:
    itself = one.keras_with_itself.comparison
    if itself.differing:
        yield (
            f"at {itself.differing} of {itself.updates} updates Keras applies another rate than it "
            f"reports, off by up to {100 * itself.max_relative:.2g}%"
        )
    keras, lightning = (run.applied.metrics["val_loss"] for run in (one.keras, one.lightning))
    if isinstance(one.recipe, Plateau) and len(keras) > 1:
        yield (
            f"val_loss comes within {closest_call(keras, one.recipe.min_delta):.1e} of the threshold; "
            f"Keras' and Lightning's are {abs(keras - lightning).max():.1e} apart"
        )
    if one.recipe.follows_loss is not None:
        yield (
            f"the losses are up to {one.losses_apart:.1e} apart, and a rate may be as expm1(that) + "
            "2**-23 of it;"
        )
        found = one.applied.comparison
        yield (
            f"{found.differing} of {found.updates} rates are"
            + (f", by up to {found.max_ulp} ULP" if found.differing else "")
            + f"; {_explained([one.applied])}"
        )


def _explained(comparisons: Iterable[RateComparison]) -> str:
    share = max((one.explained or 0.0 for one in comparisons), key=lambda x: (math.isnan(x), x))
    if share == 0:
        return "there is nothing to explain"
    if share <= 1:
        return f"the losses explain that ({100 * share:.0f}% of the bound at most)"
    return f"the losses do not explain that ({share:.3g} times the bound)"


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
    exact = [one for one in outcomes if one.recipe.follows_loss is None]
    followers = [one for one in outcomes if one.recipe.follows_loss is not None]
    farthest, where, who = max(
        (
            (one.distances[name][-1], one, who)
            for one in of_first_seed
            for name, who in JUDGED.items()
        ),
        key=lambda entry: (math.isnan(entry[0]), entry[0]),
    )
    lines = []
    if exact:
        apart = f" ({followers[0].recipe.title} apart)" if followers else ""
        in_lightning = count_bits(rates for one in exact for rates in (one.reported, one.applied))
        in_the_loop = count_bits(one.torch_loop_applied for one in exact)
        lines += [
            f"{in_lightning} between Keras and Lightning, reported and applied{apart}",
            f"{in_the_loop} between Keras and the torch loop, applied{apart}",
        ]
    if followers:
        followed = [
            rates
            for one in followers
            for rates in (one.reported, one.applied, one.torch_loop_applied)
        ]
        title = followers[0].recipe.title
        lines.append(f"{title}: {count_bits(followed)}; {_explained(followed)}")
    lines.append(
        f"weights are at most {farthest:.1e} from Keras' ({where.recipe.title}, seed {where.seed}, "
        f"{who}); "
        + (
            f"the limit is {LIMIT:g}"
            if gate_weights
            else f"not judged: the limit of {LIMIT:g} is for the default data, seed and epochs"
        )
    )
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
        "version": 3,
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
        "share_of_what_the_losses_explain": (
            None if rates.explained is None else _finite(rates.explained)
        ),
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
