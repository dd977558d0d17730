"""Recipes that change the rate in some other way: multipliers, assignments, optimizers of their own."""

from __future__ import annotations

import tensorflow as tf
from keras.optimizers import schedules as live

from recipes.formulas import before, single
from recipes.row import Recipe
from recipes.statements import Groups, PlateauInLoop, Python, Tensor

ASSIGNED = "a rate of our choice; it is an argument of the optimizer as well"


def constant(lr: float) -> Tensor:
    return Tensor(lambda step: tf.constant(lr, tf.float32))


def warm_hold_quadratic(step):
    s = single(step)
    if s < 1000:
        return 24.0 * (s / 1000)
    if s < 1000 + 4000:
        return tf.constant(24.0)
    return live.PolynomialDecay(24.0, 2000, 0.0, 2.0)(step - 5000)


def through_points(step):
    t = single(step)
    if t < 1000:
        return 1e-6 * t
    if t < 2000:
        return (0.0001 - 0.001) / 1000 * (t - 1000.0) + 0.001
    return tf.constant(0.0001)


def from_first_update(line):
    """A line over 400 updates that are counted from 1, its last one included, then what follows it."""

    def rate(step):
        t = single(step + 1)
        return 1e-3 * (t / 400.0) if t <= 400 else line(step + 1)

    return Tensor(rate)


def assigned_before_each(k):
    """The variable is left at 0 for the first update."""
    return 0.0 if k == 0 else 5e-4 * min(1.0, (k + 1) / 5000)


RECIPES = (
    Recipe(
        "KLR061",
        "keras-team/keras-tuner",
        "a constant that a search picks",
        "Constant(0.01)",
        constant(0.01),
        remark=ASSIGNED,
    ),
    Recipe(
        "KLR105",
        "CyberZHG/keras-lr-multiplier",
        "multipliers of layers, one of which moves",
        "ScheduleLR([Constant(0.001), Scale(0.001, 0.5), Scale(0.001, 1.5), Product([0.001,"
        " LinearDecay(2.0, 19_000, float32(2.0 - float32(1.9)), line='slope')])])",
        Groups(
            [
                constant(0.001),
                Tensor(lambda step: tf.constant(0.001) * 0.5),
                Tensor(lambda step: tf.constant(0.001) * 1.5),
                Tensor(lambda step: 0.001 * (2.0 - tf.minimum(1.9, single(step) * 1e-4))),
            ]
        ),
        remark="one param group for each multiplier; the last one falls from 2 to 0.1",
    ),
    Recipe(
        "KLR108",
        "a file index",
        "two constants for two parts",
        "ScheduleLR([Constant(1e-5), Constant(1e-3)])",
        Groups([constant(1e-5), constant(1e-3)]),
        remark="two param groups of one optimizer",
    ),
    Recipe(
        "KLR110",
        "deepfakes/faceswap",
        "line from 0, then constant",
        "WarmUp(5e-5, 1000)",
        before(5e-5, 5e-5, 1000),
    ),
    Recipe(
        "KLR173",
        "NVIDIA/DeepLearningExamples",
        "warm-up, constant, quadratic, for two optimizers",
        "ScheduleLR(WarmUp(Join([24.0, PolynomialDecay(24.0, 2000, 0.0, power=2.0)], [4000]), 1000),"
        " optimizers=2)",
        Groups([Tensor(warm_hold_quadratic)]),
    ),
    Recipe(
        "KLR278",
        "kundajelab/bpnet",
        "a plateau by hand, in a loop of fits",
        "ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.0, min_lr=1e-5)",
        PlateauInLoop(0.5, 2, 1e-5),
        remark="the controller in a loop of the user's, with reset() after each change",
    ),
    Recipe(
        "KLR321",
        "bojone/bert4keras",
        "lines through points, from 0",
        "PiecewiseLinear([0, 1000, 2000], [0.0, 0.001, 0.001 * 0.1], arithmetic='float32')",
        Tensor(through_points),
    ),
    Recipe(
        "KLR323",
        "CyberZHG/keras-bert",
        "warm-up, then a line to a least rate",
        "Offset(WarmUp(PolynomialDecay(1e-3, total, 1e-5), 400, warmup_target=1e-3, shift=False,"
        " inclusive=True), -1)",
        from_first_update(live.PolynomialDecay(1e-3, 4000, 1e-5)),
        names={"total": 4000},
        remark="the optimizer counts its updates from 1",
    ),
    Recipe(
        "KLR324",
        "CyberZHG/keras-radam",
        "warm-up of a tenth, then a line to a least rate",
        "Offset(WarmUp(PolynomialDecay(1e-3, total - 400, 1e-5), 400, warmup_target=1e-3,"
        " inclusive=True), -1)",
        from_first_update(lambda t: live.PolynomialDecay(1e-3, 3600, 1e-5)(t - 400)),
        names={"total": 4000},
        remark="the optimizer counts its updates from 1",
    ),
    Recipe(
        "KLR335",
        "deepmind/deepmind-research",
        "assigned before each update but the first",
        "InPython(Join([0.0, WarmUp(5e-4, 5000, counter='step + 1')], [1], restart=False))",
        Python(assigned_before_each),
    ),
    Recipe(
        "KLR336",
        "cerlymarco/MEDIUM_NoteBook",
        "a constant after a search",
        "Constant(0.003)",
        constant(0.003),
        remark=ASSIGNED,
    ),
)
