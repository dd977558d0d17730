"""Recipes that are the ``decay=`` of Keras' old optimizers, stated in TensorFlow's operations."""

from __future__ import annotations

from recipes.formulas import single
from recipes.row import Recipe
from recipes.statements import Tensor

STANDALONE = (
    "stand-alone Keras: times a reciprocal; keras_version='2.15' is the division of tf.keras"
)


def standalone(lr: float, decay: float) -> Tensor:
    """Stand-alone Keras up to 2.3.1."""
    return Tensor(lambda step: lr * (1.0 / (1.0 + decay * single(step))))


def tf_keras(lr: float, decay: float) -> Tensor:
    """tf.keras, and the legacy optimizers of later ones."""
    return Tensor(lambda step: lr / (1.0 + decay * single(step)))


RECIPES = (
    Recipe(
        "KLR046",
        "keras-team/keras",
        "decay= of 1e-6 in RMSprop",
        "TimeBasedDecay(1e-4, 1e-6, keras_version='2.2.4')",
        standalone(0.0001, 1e-06),
        remark=STANDALONE,
    ),
    Recipe(
        "KLR047",
        "keras-team/keras",
        "decay= of 1e-5 in RMSprop",
        "TimeBasedDecay(2e-3, 1e-5, keras_version='2.2.4')",
        standalone(0.002, 1e-05),
        remark=STANDALONE,
    ),
    Recipe(
        "KLR048",
        "keras-team/keras",
        "decay= with momentum and clipping",
        "TimeBasedDecay(0.02, 1e-6, keras_version='2.2.4')",
        standalone(0.02, 1e-06),
        remark=STANDALONE + "; optim.SGD has the momentum, nesterov and clipnorm too",
    ),
    Recipe(
        "KLR248",
        "ageron/handson-ml2",
        "power scheduling",
        "TimeBasedDecay(0.01, 1e-4)",
        tf_keras(0.01, 0.0001),
    ),
    Recipe(
        "KLR329",
        "wandb/examples",
        "decay= from a configuration",
        "TimeBasedDecay(0.01, 1e-6, keras_version='2.3.1')",
        standalone(0.01, 1e-6),
        remark="numbers of our choice",
    ),
    Recipe(
        "KLR330",
        "IntelLabs/nlp-architect",
        "decay= from a high rate",
        "TimeBasedDecay(0.1, 1e-6)",
        tf_keras(0.1, 1e-06),
    ),
    Recipe(
        "KLR332",
        "google/qkeras",
        "decay= in Adam",
        "TimeBasedDecay(1e-4, 2.5e-5)",
        tf_keras(0.0001, 2.5e-05),
    ),
)
