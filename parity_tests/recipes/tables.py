"""All rows, by the catalogue's kinds."""

from __future__ import annotations

from recipes import (
    builtin_schedule,
    custom_callback,
    custom_schedule_subclass,
    legacy_decay,
    lr_scheduler_fn,
    other,
    plateau,
)
from recipes.row import Recipe

TABLES: dict[str, tuple[Recipe, ...]] = {
    "custom_schedule_subclass": custom_schedule_subclass.RECIPES,
    "builtin_schedule": builtin_schedule.RECIPES,
    "lr_scheduler_fn": lr_scheduler_fn.RECIPES,
    "custom_callback": custom_callback.RECIPES,
    "plateau": plateau.RECIPES,
    "other": other.RECIPES,
    "legacy_decay": legacy_decay.RECIPES,
}
RECIPES = tuple(recipe for table in TABLES.values() for recipe in table)
