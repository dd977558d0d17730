"""Golden rates of schedules that other packages have: TensorFlow Models, Addons, transformers and more.

``golden/origins/`` holds one file for each package, numbers only.  A case is a class, its arguments by
the package's own names, and one text with a word for each step::

    step:reported        both readings agree
    step:reported:applied

The rates are the bits of a float32 in hexadecimal, or ``nan``.  *Reported* is the class called on the
step; *applied* is the same call inside a ``tf.function``, as a compiled ``model.fit`` makes it.
``python parity_tests/record_origins.py`` writes the files.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bits import differing

FOLDER = Path(__file__).parent / "golden" / "origins"
FORMAT = "lrparity origin golden 1"


@dataclass(frozen=True)
class OriginCase:
    """One schedule of a package and its rates.

    Attributes:
        origin: the package, which names the file.
        cls: the class or function in it; ``module.Class`` where two have one name.
        config: its arguments by its own names.  A schedule among them is ``{"class_name": name,
            "config": {...}}``, a function of a number its Python expression in ``x``.
        steps: the steps, int64.
        eager: the reported rates, float32.
        graph: the applied rates, float32.
        float_steps: whether the schedule was called with float32 steps, as legacy optimizers do;
            otherwise with int64 ones.
    """

    origin: str
    cls: str
    config: dict[str, Any]
    steps: np.ndarray = field(repr=False)
    eager: np.ndarray = field(repr=False)
    graph: np.ndarray = field(repr=False)
    float_steps: bool = False

    def to_line(self) -> str:
        """The case as a line of the file."""
        about: dict[str, Any] = {"class": self.cls, "config": self.config}
        if self.float_steps:
            about["float_steps"] = True
        differ = differing(self.eager, self.graph)
        words = [
            f"{step}:{_word(e)}" + (f":{_word(g)}" if d else "")
            for step, e, g, d in zip(self.steps, self.eager, self.graph, differ, strict=True)
        ]
        return json.dumps(about | {"rates": " ".join(words)})

    @classmethod
    def from_line(cls, origin: str, line: dict[str, Any]) -> OriginCase:
        """A case out of a file."""
        words = [word.split(":") for word in line["rates"].split()]
        return cls(
            origin,
            line["class"],
            line["config"],
            np.array([int(word[0]) for word in words], np.int64),
            np.array([_rate(word[1]) for word in words], np.float32),
            np.array([_rate(word[-1]) for word in words], np.float32),
            line.get("float_steps", False),
        )


def _word(rate: np.float32) -> str:
    return "nan" if np.isnan(rate) else struct.pack(">f", rate).hex()


def _rate(word: str) -> float:
    return float("nan") if word == "nan" else struct.unpack(">f", bytes.fromhex(word))[0]


def path(origin: str) -> Path:
    return FOLDER / f"{origin}.json"


def origins() -> list[str]:
    """The packages that were recorded."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def provenance(origin: str) -> dict[str, Any]:
    """What a file says about where its rates come from."""
    about: dict[str, Any] = json.loads(path(origin).read_text("utf-8"))["provenance"]
    return about


def cases(origin: str | None = None, cls: str | None = None) -> Iterator[OriginCase]:
    """The recorded cases, of one package and one class where these are named."""
    for name in origins() if origin is None else [origin]:
        for line in json.loads(path(name).read_text("utf-8"))["cases"]:
            if cls in (None, line["class"]):
                yield OriginCase.from_line(name, line)


def save(origin: str, about: dict[str, Any], recorded: Iterable[OriginCase]) -> bool:
    """Write a package's file, unless its cases are the same already."""
    lines = [case.to_line() for case in recorded]
    head = json.dumps({"format": FORMAT, "provenance": about}, indent=1)
    text = f"{head[:-2]},\n " + '"cases": [\n' + ",\n".join(lines) + "\n]}\n"
    file = path(origin)
    if file.exists() and [case.to_line() for case in cases(origin)] == lines:
        return False
    FOLDER.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return True
