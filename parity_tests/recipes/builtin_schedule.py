"""Recipes that are one of Keras' own schedules, compared with the class of the Keras at hand.

Their numbers stand here twice, once for each side.
"""

from __future__ import annotations

import math

from recipes.formulas import keras
from recipes.row import Recipe
from recipes.statements import Groups, WithHyperparameter

OTHER_BACKENDS = "TensorFlow's bits; other backends of Keras have other last ones"

RECIPES = (
    Recipe(
        "KLR001",
        "keras-team/keras-io",
        "stairs of 0.96",
        "ExponentialDecay(1e-4, 100_000, 0.96, staircase=True)",
        keras("ExponentialDecay", 0.0001, 100000, 0.96, staircase=True),
    ),
    Recipe(
        "KLR002",
        "keras-team/keras-io",
        "stairs of 0.96 from 0.015",
        "ExponentialDecay(0.015, 100_000, 0.96, staircase=True)",
        keras("ExponentialDecay", 0.015, 100000, 0.96, staircase=True),
    ),
    Recipe(
        "KLR003",
        "keras-team/keras-io",
        "stairs of 0.96 from 0.1",
        "ExponentialDecay(0.1, 100_000, 0.96, staircase=True)",
        keras("ExponentialDecay", 0.1, 100000, 0.96, staircase=True),
    ),
    Recipe(
        "KLR006",
        "keras-team/keras-io",
        "inverse time, every 25 steps",
        "InverseTimeDecay(0.1, 25, 0.1)",
        keras("InverseTimeDecay", 0.1, 25, 0.1),
    ),
    Recipe(
        "KLR010",
        "keras-team/keras-io",
        "half after 5000 steps",
        "PiecewiseConstantDecay([5000], [1e-4, 5e-5])",
        keras("PiecewiseConstantDecay", [5000], [1e-4, 5e-5]),
    ),
    Recipe(
        "KLR012",
        "keras-team/keras-io",
        "a short cosine, then a tenth",
        "CosineDecay(0.001, 500, alpha=0.1)",
        keras("CosineDecay", 0.001, 500, 0.1),
    ),
    Recipe(
        "KLR013",
        "keras-team/keras-io",
        "one cosine for two optimizers",
        "ScheduleLR(CosineDecay(0.03, epochs * spe), optimizers=2)",
        Groups([keras("CosineDecay", 0.03, 500)]),
        names={"epochs": 5},
        remark="each optimizer counts its own updates from 0",
    ),
    Recipe(
        "KLR014",
        "keras-team/keras-io",
        "cosines for rate and weight decay",
        "[ScheduleLR(CosineDecay(0.03 * (batch // 256), epochs * spe)),"
        " ScheduleHyperparameter('weight_decay', CosineDecay(5e-4, epochs * spe))]",
        WithHyperparameter(
            keras("CosineDecay", 0.06, 500), "weight_decay", keras("CosineDecay", 5e-4, 500)
        ),
        names={"epochs": 5, "batch": 512},
        remark="SGDW does not multiply its weight decay by the rate; most others do",
    ),
    Recipe(
        "KLR016",
        "keras-team/keras-io",
        "cosine over the data set",
        "CosineDecay(0.007 * 4 / 16, epochs * 2124)",
        keras("CosineDecay", 0.007 * 4 / 16, 20 * 2124),
        names={"epochs": 20},
    ),
    Recipe(
        "KLR037",
        "keras-team/keras",
        "the documented steps",
        "PiecewiseConstantDecay([100_000, 110_000], [1.0, 0.5, 0.1])",
        keras("PiecewiseConstantDecay", [100000, 110000], [1.0, 0.5, 0.1]),
    ),
    Recipe(
        "KLR038",
        "keras-team/keras",
        "the documented square root",
        "PolynomialDecay(0.1, 10_000, 0.01, power=0.5)",
        keras("PolynomialDecay", 0.1, 10000, 0.01, 0.5),
    ),
    Recipe(
        "KLR039",
        "keras-team/keras",
        "the documented inverse time",
        "InverseTimeDecay(0.1, 1.0, 0.5)",
        keras("InverseTimeDecay", 0.1, 1.0, 0.5),
    ),
    Recipe(
        "KLR041",
        "keras-team/keras",
        "the documented cosine with a warm-up",
        "CosineDecay(0.0, 1000, warmup_target=0.1, warmup_steps=1000)",
        keras("CosineDecay", 0.0, 1000, warmup_target=0.1, warmup_steps=1000),
        remark="an integer 0 as the first rate becomes a float",
    ),
    Recipe(
        "KLR042",
        "keras-team/keras",
        "the documented exponential",
        "ExponentialDecay(0.01, 10_000, 0.9)",
        keras("ExponentialDecay", 0.01, 10000, 0.9),
    ),
    Recipe(
        "KLR051",
        "tensorflow/docs",
        "stairs of an epoch",
        "ExponentialDecay(0.001, spe, 0.9, staircase=True)",
        keras("ExponentialDecay", 0.001, 100, 0.9, True),
        remark="rates of our choice",
    ),
    Recipe(
        "KLR057",
        "fchollet/deep-learning-with-python-notebooks",
        "inverse time in AdamW",
        "InverseTimeDecay(0.001, 1000, 0.1)",
        keras("InverseTimeDecay", 0.001, 1000, 0.1),
    ),
    Recipe(
        "KLR059",
        "keras-team/autokeras",
        "a line to 0",
        "PolynomialDecay(0.001, epochs * spe, 0.0, power=1.0)",
        keras("PolynomialDecay", 0.001, 1000, 0.0, 1.0),
        names={"epochs": 10},
    ),
    Recipe(
        "KLR060",
        "keras-team/keras-hub",
        "a line to 0 for fine-tuning",
        "PolynomialDecay(5e-5, epochs * 3668, 0.0)",
        keras("PolynomialDecay", 5e-5, 3 * 3668, 0.0),
        names={"epochs": 3},
    ),
    Recipe(
        "KLR067",
        "keras-team/keras-cv",
        "a tenth, scaled by the batch",
        "PiecewiseConstantDecay([30000 * 16 / batch], [base, base * 0.1])",
        keras("PiecewiseConstantDecay", [7500.0], [0.007 * 64 / 16, 0.007 * 64 / 16 * 0.1]),
        names={"batch": 64, "base": 0.007 * 64 / 16},
        remark="a boundary that Python divides is a float",
    ),
    Recipe(
        "KLR068",
        "keras-team/keras-cv",
        "a line to the default end",
        "PolynomialDecay(0.005, 120 * spe)",
        keras("PolynomialDecay", 0.005, 12000),
    ),
    Recipe(
        "KLR107",
        "a file index",
        "two optimizers, each with its own exponential",
        "ScheduleLR([ExponentialDecay(1e-5, 1000, 0.9), ExponentialDecay(1e-3, 500, 0.8)])",
        Groups(
            [
                keras("ExponentialDecay", 1e-5, 1000, 0.9),
                keras("ExponentialDecay", 1e-3, 500, 0.8),
            ]
        ),
        remark="rates of our choice; two param groups of one optimizer",
    ),
    Recipe(
        "KLR134",
        "tensorflow/models",
        "a tenth at the end",
        "PiecewiseConstantDecay([200 * spe], [1e-4, 1e-5])",
        keras("PiecewiseConstantDecay", [20000], [1e-4, 1e-5]),
    ),
    Recipe(
        "KLR164",
        "tensorflow/models",
        "a smooth exponential",
        "ExponentialDecay(0.05, 100_000, 0.96)",
        keras("ExponentialDecay", 0.05, 100000, 0.96),
    ),
    Recipe(
        "KLR165",
        "tensorflow/models",
        "exp(-0.01) per pass, of a fractional length",
        "ExponentialDecay(0.01, queries / 48, exp(-0.01))",
        keras("ExponentialDecay", 0.01, 1000 / 48, math.exp(-0.01)),
        names={"queries": 1000},
    ),
    Recipe(
        "KLR177",
        "NVIDIA/DeepLearningExamples",
        "restarts down to a tenth",
        "CosineDecayRestarts(3e-4, 10 * spe, alpha=0.1)",
        keras("CosineDecayRestarts", 3e-4, 1000, t_mul=2.0, alpha=0.1),
    ),
    Recipe(
        "KLR188",
        "google/uncertainty-baselines",
        "steps at 40, 60, 80 and 90 epochs",
        "PiecewiseConstantDecay([40 * spe, 60 * spe, 80 * spe, 90 * spe],"
        " [0.1, 0.1 * 0.1, 0.1 * 0.01, 0.1 * 0.001, 0.1 * 0.0005])",
        keras(
            "PiecewiseConstantDecay",
            [4000, 6000, 8000, 9000],
            [0.1 * f for f in (1, 0.1, 0.01, 0.001, 0.0005)],
        ),
    ),
    Recipe(
        "KLR193",
        "google-research/simclr",
        "a plain cosine",
        "CosineDecay(0.1, epochs * spe)",
        keras("CosineDecay", 0.1, 10000),
        names={"epochs": 100},
    ),
    Recipe(
        "KLR199",
        "ayulockin/SwAV-TF",
        "a square root over 500 steps",
        "PolynomialDecay(0.1, 500, 0.001, power=0.5)",
        keras("PolynomialDecay", 0.1, 500, 0.001, 0.5),
    ),
    Recipe(
        "KLR200",
        "ayulockin/SwAV-TF",
        "a cosine",
        "CosineDecay(0.1, 1000)",
        keras("CosineDecay", 0.1, 1000),
    ),
    Recipe(
        "KLR202",
        "krasserm/super-resolution",
        "half at 200k",
        "PiecewiseConstantDecay([200_000], [1e-4, 5e-5])",
        keras("PiecewiseConstantDecay", [200000], [1e-4, 5e-5]),
    ),
    Recipe(
        "KLR204",
        "krasserm/super-resolution",
        "one object for generator and discriminator",
        "ScheduleLR(PiecewiseConstantDecay([100_000], [1e-4, 1e-5]), optimizers=2)",
        Groups([keras("PiecewiseConstantDecay", [100000], [1e-4, 1e-5])]),
    ),
    Recipe(
        "KLR205",
        "peteryuX/esrgan-tf2",
        "half at four places",
        "ScheduleLR(PiecewiseConstantDecay([50_000, 100_000, 200_000, 300_000],"
        " [1e-4, 1e-4 * 0.5, 1e-4 * 0.5 ** 2, 1e-4 * 0.5 ** 3, 1e-4 * 0.5 ** 4]), optimizers=2)",
        Groups(
            [
                keras(
                    "PiecewiseConstantDecay",
                    [50000, 100000, 200000, 300000],
                    [1e-4 * 0.5**i for i in range(5)],
                )
            ]
        ),
    ),
    Recipe(
        "KLR206",
        "peteryuX/esrgan-tf2",
        "equal restarts down to a least rate",
        "CosineDecayRestarts(2e-4, 1000, t_mul=1.0, m_mul=1.0, alpha=1e-7 / 2e-4)",
        keras("CosineDecayRestarts", 2e-4, 1000, 1.0, 1.0, 1e-7 / 2e-4),
    ),
    Recipe(
        "KLR219",
        "david8862/keras-YOLOv3-model-set",
        "cosine to a fifth",
        "CosineDecay(0.001, epochs * spe, alpha=0.2)",
        keras("CosineDecay", 0.001, 5000, 0.2),
        names={"epochs": 50},
    ),
    Recipe(
        "KLR220",
        "david8862/keras-YOLOv3-model-set",
        "steps that begin with a warm-up",
        "PiecewiseConstantDecay([500, 0.9 * total, total], [0.001, lr, lr / 10.0, lr / 100.0])",
        keras("PiecewiseConstantDecay", [500, 4500, 5000], [0.001, 0.01, 0.001, 0.0001]),
        names={"total": 5000, "lr": 0.01},
    ),
    Recipe(
        "KLR253",
        "ageron/handson-ml3",
        "a tenth per 20k steps",
        "ExponentialDecay(0.01, 20_000, 0.1)",
        keras("ExponentialDecay", 0.01, 20000, 0.1),
    ),
    Recipe(
        "KLR254",
        "ageron/handson-ml2",
        "a tenth per 20 epochs",
        "ExponentialDecay(0.01, 20 * spe, 0.1)",
        keras("ExponentialDecay", 0.01, 2000, 0.1),
    ),
    Recipe(
        "KLR256",
        "ageron/handson-ml2",
        "float boundaries",
        "PiecewiseConstantDecay([5.0 * spe, 15.0 * spe], [0.01, 0.005, 0.001])",
        keras("PiecewiseConstantDecay", [5.0 * 100, 15.0 * 100], [0.01, 0.005, 0.001]),
    ),
    Recipe(
        "KLR273",
        "tensorflow/gnn",
        "cosine over all steps",
        "CosineDecay(0.001, epochs * spe)",
        keras("CosineDecay", 0.001, 1000),
        names={"epochs": 10},
    ),
    Recipe(
        "KLR304",
        "TensorSpeech/TensorFlowTTS",
        "a boundary at 0",
        "PiecewiseConstantDecay([0], [1e-4, 5e-5])",
        keras("PiecewiseConstantDecay", [0], [1e-4, 5e-5]),
        remark="two equal rates in the origin; different ones show the boundary",
    ),
    Recipe(
        "KLR327",
        "wandb/examples",
        "cosine to a tenth",
        "CosineDecay(0.001, 1000, alpha=0.1)",
        keras("CosineDecay", 0.001, 1000, 0.1),
    ),
    Recipe(
        "KLR328",
        "wandb/examples",
        "exponential on Keras' torch backend",
        "ExponentialDecay(0.001, 1000, 0.1)",
        keras("ExponentialDecay", 0.001, 1000, 0.1),
        remark=OTHER_BACKENDS,
    ),
    Recipe(
        "KLR337",
        "a file index",
        "restarts, lower each time",
        "CosineDecayRestarts(0.01, 10 * spe, t_mul=2.0, m_mul=0.9, alpha=0.01)",
        keras("CosineDecayRestarts", 0.01, 1000, 2, 0.9, 0.01),
    ),
    Recipe(
        "KLR338",
        "a file index",
        "restarts after an epoch",
        "CosineDecayRestarts(0.001, spe, t_mul=2.0, m_mul=0.95, alpha=0.3)",
        keras("CosineDecayRestarts", 0.001, 100, 2, 0.95, 0.3),
    ),
)
