"""Every recipe that is written in shipped parts, beside what it says without them."""

from __future__ import annotations

import collections

import pytest

from lrparity import callbacks
from recipes import parts
from recipes.expression import Expression
from recipes.statements import MomentumCorrected, Plateau, Recursive, WarmUpAndPlateau
from recipes.tables import RECIPES, TABLES

pytestmark = pytest.mark.keras

CHECKED = [recipe for recipe in RECIPES if recipe.is_checked]
COUNTS = {
    "custom_schedule_subclass": 62,
    "builtin_schedule": 44,
    "lr_scheduler_fn": 39,
    "custom_callback": 26,
    "plateau": 24,
    "other": 11,
    "legacy_decay": 7,
}
"""The catalogue's kinds."""

OVERWRITTEN = "the rate of the optimizer, which the schedule overwrites"
SEVERAL = "how many optimizers follow it"
WHOLE = "a division of whole numbers has the same result"
CONTINUOUS = "both sides of the boundary have this rate"
HIGH = "a cap that is never reached"
COOLDOWN = "a cooldown of 1 is one of 0, because its last epoch counts already"
NO_MATTER = {
    ("KLR013", 3): SEVERAL,
    ("KLR014", 1): WHOLE,
    ("KLR045", 11): COOLDOWN,
    ("KLR088", 0): OVERWRITTEN,
    ("KLR096", 6): "no metric is that close to the best one",
    ("KLR114", 1): WHOLE,
    ("KLR126", 1): WHOLE,
    ("KLR173", 7): SEVERAL,
    ("KLR204", 3): SEVERAL,
    ("KLR205", 16): SEVERAL,
    ("KLR215", 3): COOLDOWN,
    ("KLR234", 0): OVERWRITTEN,
    ("KLR276", 0): OVERWRITTEN,
    ("KLR298", 19): CONTINUOUS,
    ("KLR298", 20): CONTINUOUS,
    ("KLR305", 3): HIGH,
    ("KLR305", 4): HIGH,
    ("KLR311", 10): CONTINUOUS,
    ("KLR311", 11): CONTINUOUS,
    ("KLR346", 4): "epochs 1 and 2 have one rate",
}
"""Numbers that may be wrong without any effect: by recipe, and the place in the expression."""


@pytest.mark.parametrize("recipe", CHECKED, ids=lambda recipe: recipe.id)
def test_recipe(recipe, seed):
    recipe.check(seed)


@pytest.mark.parametrize("recipe", CHECKED, ids=lambda recipe: recipe.id)
def test_a_wrong_number_is_found(recipe, seed):
    """Negative control: the first number that matters, made wrong."""
    for place in range(Expression(recipe.expression, recipe.names).written):
        try:
            recipe.check(seed, mutated=place)
        except AssertionError:
            return
        except (ValueError, UserWarning):  # nothing that could be compared
            continue
    pytest.fail(f"none of the numbers of {recipe.expression} matters")


def is_noticed(recipe, place, seed):
    try:
        recipe.check(seed, mutated=place)
    except (AssertionError, ValueError, UserWarning):
        return True
    return False


@pytest.mark.long
@pytest.mark.parametrize("recipe", CHECKED, ids=lambda recipe: recipe.id)
def test_every_number_matters(recipe, seed):
    for place in range(Expression(recipe.expression, recipe.names).written):
        # One draw of steps may miss where a staircase has moved by one of them.
        noticed = any(is_noticed(recipe, place, seed + i) for i in range(4))
        assert noticed or (recipe.id, place) in NO_MATTER, f"number {place} of {recipe.expression}"


def test_every_recipe_is_there_once_expressed_or_with_a_reason():
    assert {kind: len(table) for kind, table in TABLES.items()} == COUNTS
    numbers = collections.Counter(recipe.id for recipe in RECIPES)
    assert [number for number, count in numbers.items() if count > 1] == []
    for recipe in RECIPES:
        assert recipe.is_expressed != bool(recipe.waits_for), recipe.id
        assert recipe.is_checked == bool(recipe.expression), recipe.id
        assert recipe.title, recipe.id
        assert recipe.source, recipe.id


def test_most_are_expressed():
    assert sum(recipe.is_expressed for recipe in RECIPES) >= 211


def test_functions_only_where_the_recipe_is_one_of_the_current_rate():
    for recipe in RECIPES:
        functions = [name for name, value in recipe.names.items() if callable(value)]
        assert "lambda" not in recipe.expression, recipe.id
        assert bool(functions) == isinstance(recipe.statement, Recursive | WarmUpAndPlateau), (
            recipe.id
        )


@pytest.mark.parametrize(
    "text",
    [
        "lambda step: 0.1",
        "__import__('os')",
        "Constant(0.1).learning_rate",
        "[Constant(x) for x in [0.1]]",
        "Constant(open)",
        "keras.optimizers.schedules.CosineDecay(0.1, 10)",
        "FunctionSchedule(print)",
        "Constant(0.1) if 1 else 0",
        "[spe := 3, spe]",
        "[Constant := CosineDecay(0.1, 10), Constant(0.1)]",
    ],
)
def test_an_expression_holds_nothing_else(text):
    with pytest.raises(ValueError, match="none of what an expression may hold"):
        Expression(text)


def test_a_part_may_be_named_for_a_second_use():
    first, second = Expression("[rate := CosineDecay(0.1, 10), Scale(rate, 0.5)]").built
    assert second.schedule == first


def test_a_momentum_that_is_not_corrected_is_found(seed, monkeypatch):
    """Negative control: Keras' rule with the plain momentum is not what torch's does."""
    (recipe,) = [one for one in RECIPES if isinstance(one.statement, MomentumCorrected)]
    monkeypatch.setattr(MomentumCorrected, "corrected", lambda self, new, old: self.momentum)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        recipe.check(seed)


@pytest.mark.parametrize(
    "recipe", [r for r in CHECKED if isinstance(r.statement, Plateau)], ids=lambda r: r.id
)
def test_the_plateau_callback_takes_the_arguments(recipe):
    plateau = Expression(recipe.expression, recipe.names).built
    assert isinstance(plateau, parts.ReduceLROnPlateau)
    callbacks.ReduceLROnPlateau(**vars(plateau))
