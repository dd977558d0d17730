"""Reads an expression such as ``WarmUp(CosineDecay(0.001, 8 * spe), spe)``; nothing is evaluated.

An expression is made of shipped parts by name, lists, strings, numbers, ``+ - * / // **`` on numbers,
the three functions below, the names of a row, and ``new_name := part`` for what is needed twice.
Anything else is refused.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lrparity import schedules
from recipes.parts import PARTS

SHIPPED: Mapping[str, Callable[..., Any]] = PARTS | {
    name: getattr(schedules, name)
    for name in schedules.__all__
    if isinstance(getattr(schedules, name), type)
}
FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "float32": lambda x: float(np.float32(x)),
}
OPERATIONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
NAMES: Mapping[str, Any] = {"spe": 100}
"""What a symbol of the catalogue stands for where the row does not say otherwise: steps per epoch."""


class Expression:
    """An expression, what it builds, and the numbers in it.

    Args:
        text: the expression.
        names: what its names stand for, besides the shipped parts.
        mutated: the place of a number to make wrong on purpose, 0 for the first one that is written.
    """

    def __init__(
        self, text: str, names: Mapping[str, Any] | None = None, mutated: int | None = None
    ) -> None:
        self.text = text
        self.names = NAMES | (names or {})
        self.numbers: list[float] = []
        self._mutated = mutated
        self._written = 0
        self.built: Any = self._read(ast.parse(text, mode="eval").body)

    @property
    def written(self) -> int:
        """How many numbers are written in it."""
        return self._written

    def _read(self, node: ast.expr) -> Any:
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                return self._number(FUNCTIONS[name](*map(self._read, node.args)))
            case ast.Call(func=ast.Name(id=name)) if name in SHIPPED or callable(
                self.names.get(name)
            ):
                part = SHIPPED.get(name) or self.names[name]
                values = [self._read(one) for one in node.args]
                return part(
                    *values, **{str(one.arg): self._read(one.value) for one in node.keywords}
                )
            case ast.NamedExpr(target=ast.Name(id=name)) if name not in self.names | SHIPPED:
                self.names = self.names | {name: (value := self._read(node.value))}
                return value
            case ast.List() | ast.Tuple():
                return [self._read(one) for one in node.elts]
            case ast.BinOp() if type(node.op) in OPERATIONS:
                operation = OPERATIONS[type(node.op)]
                return self._number(operation(self._read(node.left), self._read(node.right)))
            case ast.UnaryOp(op=ast.USub()):
                return -self._read(node.operand)
            case ast.Constant(value=bool() | str() | None):
                return node.value
            case ast.Constant(value=int() | float()):
                return self._number(self._perhaps_wrong(node.value))
            case ast.Name(id=name) if name in self.names:
                value = self.names[name]
                if not isinstance(value, int | float):
                    return value
                return self._number(self._perhaps_wrong(value))
        raise ValueError(
            f"{ast.unparse(node)!r} is none of what an expression may hold: {self.text}"
        )

    def _number(self, value: float) -> float:
        self.numbers.append(value)
        return value

    def _perhaps_wrong(self, value: float) -> float:
        place, self._written = self._written, self._written + 1
        if place != self._mutated:
            return value
        if isinstance(value, int):
            return value + max(value // 100, 1)
        return value * 1.01 or 1e-6
