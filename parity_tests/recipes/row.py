"""What the tables are made of: one row for each recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from recipes.expression import Expression


class Statement(Protocol):
    """What a recipe does, said without lrparity."""

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        """Fail with an ``AssertionError`` if what the expression builds does anything else."""


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes:
        id: its number in the catalogue.
        source: the repository that it comes from.
        title: what it is, in a few words.
        expression: the same in shipped parts; empty if there are none for it.
        statement: the same without lrparity, with its own numbers.
        names: what the names in the expression stand for.
        remark: how it was read where the catalogue leaves it open.
        waits_for: the part that is still missing.  An expression then is for the learning rate alone.
    """

    id: str
    source: str
    title: str
    expression: str = ""
    statement: Statement | None = None
    names: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""
    waits_for: str = ""

    @property
    def is_expressed(self) -> bool:
        return bool(self.expression) and not self.waits_for

    @property
    def is_checked(self) -> bool:
        return self.statement is not None

    def check(self, seed: int, mutated: int | None = None) -> None:
        """Compare the two; with ``mutated`` one number of the expression is made wrong before."""
        __tracebackhide__ = True
        expression = Expression(self.expression, self.names, mutated)
        assert self.statement is not None
        self.statement.check(expression, np.random.default_rng([seed, int(self.id[3:])]))
