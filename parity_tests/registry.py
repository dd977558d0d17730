"""The case registry: one row for each schedule, over which every generic test runs."""

from __future__ import annotations

from registry_rows import of_callbacks, of_compositions, of_keras, of_tensorflow
from registry_rows.case import Case, Config

CASES = (
    *of_keras.ROWS,
    *of_compositions.ROWS,
    *of_tensorflow.ROWS,
    *of_callbacks.ROWS,
)


def has_twin(case: Case, config: Config) -> bool:
    """Whether Keras can evaluate it; without boundaries it fails with an IndexError."""
    return case.keras is not None and config.get("boundaries") != []


KERAS_CASES = tuple(case for case in CASES if case.keras)
GRAPH_CASES = tuple(case for case in CASES if case.graph)
EXAMPLES = tuple((case, config) for case in CASES for config in case.examples)


def example_id(example: tuple[Case, Config]) -> str:
    case, config = example
    return f"{case.name}{case.examples.index(config)}"
