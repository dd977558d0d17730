"""Which rule of ``ReduceLROnPlateau`` a Keras version has."""

from __future__ import annotations

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """What differs between the generations of Keras' callback.

    Attributes:
        first, last: the versions that have it, both checked.
        counts_first: whether a bad epoch is counted before the patience is asked, or after.
        min_lr_slack: what ``min_lr`` is widened by, as a part of it, before a rate is compared.
        float32_min_lr: whether a rate is compared with ``float32(min_lr)``, or with the float64.
        product_by_numpy: whether the rate is multiplied as a ``np.float32``, which NumPy 1 and 2 do
            in different precision, or as a Python float.
        monitor_callback: whether improvements are judged in float32, from the first metric on, with
            the size of ``min_delta``; and ``mode="auto"`` by the metric's direction.
        forgets_best: whether a new ``fit`` forgets the best metric.
    """

    first: tuple[int, int, int]
    last: tuple[int, int, int]
    counts_first: bool = True
    min_lr_slack: float = 0.0
    float32_min_lr: bool = True
    product_by_numpy: bool = False
    monitor_callback: bool = False
    forgets_best: bool = True


RULES = (
    Rule((1, 1, 1), (2, 1, 2), counts_first=False, min_lr_slack=1e-4, float32_min_lr=False),
    Rule((2, 1, 3), (2, 1, 5), counts_first=False, float32_min_lr=False),
    Rule((2, 1, 6), (2, 3, 1), float32_min_lr=False),
    # Keras 2.16 to 2.21 are the versions of tf_keras.
    Rule((2, 6, 0), (2, 21, 0), product_by_numpy=True),
    Rule((3, 0, 0), (3, 10, 0)),
    Rule((3, 11, 0), (3, 14, 1), monitor_callback=True, forgets_best=False),
    Rule((3, 15, 0), (3, 15, 1), monitor_callback=True),
)
"""keras/callbacks.py up to 2.15 and tf_keras, keras/src/callbacks/reduce_lr_on_plateau.py from 3.0 on."""

NEWEST = "3.15"


def rule_of(keras_version: object) -> Rule:
    """The rule of a version, given as ``"3.15"`` or ``"3.15.1"``.

    Raises:
        ValueError: nobody has checked that version, or two numbers are not enough to tell.
    """
    text = keras_version if isinstance(keras_version, str) else ""
    if not re.fullmatch(r"\d{1,4}\.\d{1,4}(\.\d{1,4})?", text):
        raise ValueError(
            "Argument `keras_version` must be a version as a string, such as '3.15' or '2.1.6'. "
            f"Received: keras_version={keras_version!r}."
        )
    parts = tuple(map(int, text.split(".")))
    found = [rule for rule in RULES if rule.first[: len(parts)] <= parts <= rule.last[: len(parts)]]
    if len(found) == 1 and not (len(parts) == 2 and parts == (1, 1)):  # 1.1.0 has no such callback
        return found[0]
    checked = ", ".join(f"{_text(rule.first)} to {_text(rule.last)}" for rule in RULES)
    if found:
        raise ValueError(
            f"Argument `keras_version`={keras_version!r} does not say which rule: the releases of Keras "
            f"{keras_version} differ. Name one with three numbers. Checked are {checked}."
        )
    raise ValueError(
        f"Argument `keras_version`={keras_version!r} names a Keras whose ReduceLROnPlateau was not "
        f"checked. Checked are {checked}."
    )


def numpy_major_of(keras_version: str) -> int:
    """The NumPy that a version is installed with: up to 2.17 TensorFlow's package asks for NumPy 1."""
    return 1 if tuple(map(int, keras_version.split(".")[:2])) < (2, 18) else 2


def _text(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))
