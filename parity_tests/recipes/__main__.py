"""The report of ``make recipes``: how many recipes shipped parts express, and which they do not."""

from __future__ import annotations

import argparse
import secrets
import sys

from recipes.row import Recipe
from recipes.tables import RECIPES, TABLES


def failures(recipes: tuple[Recipe, ...], seed: int) -> dict[str, str]:
    """What is wrong, by recipe."""
    found = {}
    for recipe in recipes:
        if recipe.statement is None:
            continue
        try:
            recipe.check(seed)
        except Exception as error:  # all of them are told, whatever they are
            found[recipe.id] = f"{type(error).__name__}: {error}"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="make recipes", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of the random steps and metrics")
    parser.add_argument("--all", action="store_true", help="print every expression")
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed

    failed = failures(RECIPES, seed)
    for kind, table in TABLES.items():
        count = sum(recipe.is_expressed and recipe.id not in failed for recipe in table)
        print(f"{kind:26}{count:4} of {len(table)}")
        if arguments.all:
            for recipe in table:
                text = recipe.expression or "-"
                print(f"  {recipe.id}  {recipe.source}: {recipe.title}\n    {text}")
                if recipe.remark:
                    print(f"    ({recipe.remark})")
    total = sum(recipe.is_expressed and recipe.id not in failed for recipe in RECIPES)
    print(f"{'all':26}{total:4} of {len(RECIPES)}, equal to the last bit (seed {seed})")

    print("\nNot expressed yet:")
    for recipe in RECIPES:
        if not recipe.is_expressed:
            rate = " (its learning rate is)" if recipe.expression else ""
            print(f"  {recipe.id}  {recipe.title}{rate}\n          {recipe.waits_for}")
    for number, why in failed.items():
        print(f"\nFAILED {number}: {why}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
