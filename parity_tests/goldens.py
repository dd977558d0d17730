"""Which golden trajectories there are, and what lrparity says about each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrparity import schedules
from lrparity.trajectory import Reading, Trajectory
from registry import EXAMPLES, Case, example_id, has_twin

FOLDER = Path(__file__).parent / "golden"
UPDATES = 300

# What is recorded besides the registry's examples: `decay=` by the optimizers that have it.
DECAYS = (
    {"initial_learning_rate": 0.1, "decay": 0.1 / 60},
    {"initial_learning_rate": 0.01, "decay": 1e-6},
    {"initial_learning_rate": 0.3, "decay": 0.7},
)
DECAY_VERSIONS = {"1.2.2": "keras", "2.3.1": "keras", "2.21": "tf_keras"}


@dataclass(frozen=True)
class Golden:
    """One file: a schedule's class and arguments, and which reading of it is kept."""

    name: str
    cls: str
    config: dict[str, Any]
    reading: Reading
    case: Case | None = None

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}-{self.reading}.json"

    @property
    def recipe(self) -> str:
        """The recipe as the file's provenance keeps it."""
        return json.dumps({"class_name": self.cls, "config": self.config}, sort_keys=True)

    def simulated(self) -> Trajectory:
        """lrparity's own trajectory of the same recipe."""
        schedule = schedules.deserialize({"class_name": self.cls, "config": self.config})
        numerics = "graph" if self.reading == "applied" else "eager"
        return Trajectory(schedule(np.arange(UPDATES), numerics=numerics), reading=self.reading)


def goldens() -> Iterator[Golden]:
    """All files that must be there, and no others."""
    for example in EXAMPLES:
        case, config = example
        if has_twin(case, config):
            for reading in ("reported", "applied"):
                yield Golden(example_id(example), case.name, config, reading, case)
    for version in DECAY_VERSIONS:
        for i, config in enumerate(DECAYS):
            full = config | {"keras_version": version}
            yield Golden(f"decay-{version}-{i}", "TimeBasedDecay", full, "applied")
