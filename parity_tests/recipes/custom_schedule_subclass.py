"""Recipes that derive from Keras' ``LearningRateSchedule``, stated in TensorFlow's operations."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from keras.optimizers import schedules as live

from recipes.formulas import (
    before,
    bert,
    from_one,
    keras_io_cosine,
    kerascv_cosine,
    levels,
    noam,
    over,
    powers,
    single,
    triangles,
)
from recipes.row import Recipe
from recipes.statements import Groups, Tensor, WithHyperparameter


def square_root(step):
    """The rise and fall of the old Transformer in TensorFlow Models."""
    s, warm = single(step), single(16000)
    return 2.0 * 512**-0.5 * tf.minimum(1.0, s / warm) / tf.sqrt(tf.maximum(s, warm))


def power_after(step):
    """A fixed rate up to step 10, then 1 over the steps since."""
    if single(step) <= 10:
        return tf.constant(3.0)
    return tf.minimum(tf.pow(tf.maximum(single(step) - 10.0, 1.0), -1.0) * 1.0, 3.0)


def cosines_between(step):
    """Half a cosine from 1e-4 to 5e-5 in 500k steps after the first 10k; from then on NaN."""
    s = single(step) - 10000.0
    if s >= 500000:
        return tf.constant(np.nan)
    cosine = tf.cos(tf.constant(np.float32(np.pi)) * s / 500000.0) + 1.0
    return (tf.constant(1e-4) - 5e-5) * cosine / 2.0 + 5e-5


def one_triangle(step):
    """Up and down once, then a constant."""
    if step > 1000:
        return tf.constant(1e-4)
    x = tf.abs(single(step) / 500.0 - 2.0 + 1.0)
    return 1e-3 + (tf.constant(0.01) - 1e-3) * tf.maximum(0.0, 1.0 - x)


def by_fractional_epoch(step):
    """A line in epochs with a fraction, then 0.2 to the number of the level."""
    epoch, base = single(step) / 100.0, 0.1 * 256 / 128
    lr = base * (epoch / 2.0)
    for index, start in enumerate((2, 60, 120, 160)):
        if epoch >= start:
            lr = tf.constant(base * 0.2**index)
    return lr


def constant_then_line(step):
    return live.PolynomialDecay(2e-4, 5000, 0.0)(step - 5000 if step >= 5000 else 0)


def noisy(step):
    """The noisy cosine of TensorFlow 1 at step - 500, for a noise of given draws."""
    s = tf.minimum(single(step - 500), 4000.0)
    variance = 0.5 / tf.pow(1.0 + s, 0.55)
    draw = tf.constant(NOISE, tf.float32)[int(step) - 500]
    linear = (4000.0 - s) / 4000.0 + draw * tf.sqrt(variance)
    fraction = 2.0 * 0.5 * (s / 4000.0)
    cosine = 0.5 * (1.0 + tf.cos(tf.constant(np.float32(np.pi)) * fraction))
    return 0.1 * ((0.0 + linear) * cosine + 0.001)


NOISE = np.random.default_rng(0).standard_normal(2000).astype(np.float32).tolist()


def to_first_value(step):
    """A line to the first value, then one value after another, all times the batch's scale."""
    s = single(step)
    if s < 500:
        return (1e-5 + s / 500.0 * (0.02 - 1e-5)) * 2.0
    return levels([0.02, 0.002, 0.0002], [9000, 12000])(step) * 2.0


def from_eight_thousandths(step):
    s = single(step)
    if s < 100:
        return 0.008 + s / 100.0 * (0.08 - 0.008)
    return levels([0.08, 0.08 * 0.1, 0.08 * 0.01], [20000, 25000])(step)


def rising_polynomial(step):
    if step <= 500:
        return live.PolynomialDecay(0.0, 500, 0.01)(step)
    values = [0.01, 0.01 * 0.1, 0.01 * 0.1**2, 0.01 * 0.1**3]
    return live.PiecewiseConstantDecay([4000, 6000, 7000], values)(step)


def rising_to_cosine(top, total, warm):
    rise, fall = live.PolynomialDecay(0.0, warm - 1, top), live.CosineDecay(top, total - warm - 1)
    return Tensor(lambda step: rise(step) if step < warm else fall(step - warm))


def cycling_transformer(step):
    """The Transformer times a triangle between a half and one and a half, with a cap."""
    triangle = triangles(0.5, 1.5, 2000, lambda cycle, s: 1.0)(step)
    return tf.minimum(powers(176, 10000, 1.0)(step) * triangle, 8e-4)


def piecewise(bounds, values):
    return live.PiecewiseConstantDecay(bounds, values)


def cosine(initial, steps, alpha=0.0):
    return live.CosineDecay(initial, steps, alpha)


def rising_momentum(start, end, warm):
    """A line of the momentum, in an optimizer whose hyper-parameters are variables."""

    def momentum(step):
        start32, end32 = tf.constant(start), tf.constant(end)
        if step - warm <= 0:
            return start32 + single(step) * (end32 - start32) / single(warm)
        return end32

    return Tensor(momentum)


def polynomial(initial, steps, end=0.0, power=1.0):
    return live.PolynomialDecay(initial, steps, end, power)


def stairs(initial, steps, rate):
    return live.ExponentialDecay(initial, steps, rate, True)


MODELS = "tensorflow/models"
NVIDIA = "NVIDIA/DeepLearningExamples"

RECIPES = (
    Recipe(
        "KLR022",
        "keras-team/keras-io",
        "warm-up from 1e-5, cosine",
        "WarmUpCosineDecay(0.001, total, warmup_learning_rate=1e-5, warmup_steps=150)",
        keras_io_cosine(0.001, 1000, 150, 1e-5),
        names={"total": 1000},
    ),
    Recipe(
        "KLR023",
        "keras-team/keras-io",
        "warm-up of 1500 steps, cosine",
        "WarmUpCosineDecay(0.003, total, warmup_steps=1500)",
        keras_io_cosine(0.003, 8000, 1500),
        names={"total": 8000},
    ),
    Recipe(
        "KLR027",
        "keras-team/keras-io",
        "transformers' warm-up and line",
        "TransformersWarmUp(1e-4, PolynomialDecay(1e-4, total - warm, 0.0), warm)",
        before(1e-4, polynomial(1e-4, 950), 50),
        names={"total": 1000, "warm": 50},
    ),
    Recipe(
        "KLR053",
        "tensorflow/text",
        "the Transformer's rate",
        "Noam(128, 4000)",
        Tensor(noam(128, 4000)),
    ),
    Recipe(
        "KLR054",
        "tensorflow/text",
        "BERT's warm-up and line",
        "BertWarmUp(3e-5, PolynomialDecay(3e-5, total, 0.0), warm)",
        bert(3e-5, polynomial(3e-5, 1000), 100),
        names={"total": 1000, "warm": 100},
    ),
    Recipe(
        "KLR055",
        "tensorflow/text",
        "BERT's warm-up for GLUE",
        "BertWarmUp(2e-5, PolynomialDecay(2e-5, total, 0.0), warm)",
        bert(2e-5, polynomial(2e-5, 1500), 150),
        names={"total": 1500, "warm": 150},
    ),
    Recipe(
        "KLR062",
        "keras-team/keras-cv",
        "warm-up, hold, cosine",
        "WarmUpCosineDecay(0.1, total, warmup_steps=100, hold_base_rate_steps=450, line='fraction')",
        kerascv_cosine(0.1, 1000, 100, 450),
        names={"total": 1000},
    ),
    Recipe(
        "KLR079",
        "tensorflow/addons",
        "cycles of half the height each",
        "Triangular2CyclicalLearningRate(1e-4, 1e-2, 2 * spe)",
        Tensor(triangles(1e-4, 1e-2, 200, lambda cycle, s: 1.0 / (2.0 ** (cycle - 1.0)))),
    ),
    Recipe(
        "KLR081",
        "tensorflow/addons",
        "cycles that a gamma lowers",
        "ExponentialCyclicalLearningRate(1e-4, 1e-2, 2 * spe, gamma=0.999)",
        Tensor(triangles(1e-4, 1e-2, 200, lambda cycle, s: 0.999**s)),
        remark="for a counter in floats, which the origin needs; gamma of our choice, as 1 does nothing",
    ),
    Recipe(
        "KLR093",
        "calico/basenji",
        "one triangle, then a constant",
        "Join([TriangularCyclicalLearningRate(1e-3, 0.01, 5 * spe), 1e-4], [10 * spe], inclusive=True)",
        Tensor(one_triangle),
    ),
    Recipe(
        "KLR094",
        "calico/basenji",
        "warm-up to any base",
        "TransformersWarmUp(0.01, ExponentialDecay(0.01, 1000, 0.9), 500)",
        before(0.01, live.ExponentialDecay(0.01, 1000, 0.9), 500),
        remark="a number as the base does as well",
    ),
    Recipe(
        "KLR098",
        "amaiya/ktrain",
        "warm-up and line to a part",
        "TransformersWarmUp(5e-5, PolynomialDecay(5e-5, total - warm, 5e-5 * 0.1), warm)",
        before(5e-5, polynomial(5e-5, 900, 5e-5 * 0.1), 100),
        names={"total": 1000, "warm": 100},
    ),
    Recipe(
        "KLR111",
        MODELS,
        "steps at 30, 60, 80 epochs after a warm-up",
        "LinearWarmup(PiecewiseConstantDecay([30 * spe, 60 * spe, 80 * spe],"
        " [base, base * 0.1, base * 0.01, base * 0.001]), 5 * spe, 0.0)",
        over(piecewise([3000, 6000, 8000], [0.2 * f for f in (1, 0.1, 0.01, 0.001)]), 500),
        names={"base": 0.1 * 512 / 256},
    ),
    Recipe(
        "KLR112",
        MODELS,
        "the same from 0.8",
        "LinearWarmup(PiecewiseConstantDecay([30 * spe, 60 * spe, 80 * spe],"
        " [0.8, 0.08, 0.008, 0.0008]), 5 * spe, 0.0)",
        over(piecewise([3000, 6000, 8000], [0.8, 0.08, 0.008, 0.0008]), 500),
    ),
    Recipe(
        "KLR114",
        MODELS,
        "stairs of 2.5 epochs after a warm-up",
        "LinearWarmup(ExponentialDecay(0.008 * (batch // 128), 2.5 * spe, 0.98, staircase=True),"
        " 5 * spe, 0.0)",
        over(stairs(0.032, 250.0, 0.98), 500),
        names={"batch": 512},
    ),
    Recipe(
        "KLR115",
        MODELS,
        "cosine of 300 epochs after a warm-up",
        "LinearWarmup(CosineDecay(5e-4 * batch / 512, 300 * spe), 5 * spe, 0.0)",
        over(cosine(0.001, 30000), 500),
        names={"batch": 1024},
    ),
    Recipe(
        "KLR118",
        MODELS,
        "steps after a warm-up from 0.0067",
        "LinearWarmup(PiecewiseConstantDecay([15_000, 20_000], [0.12, 0.012, 0.0012]), 500, 0.0067)",
        over(piecewise([15000, 20000], [0.12, 0.012, 0.0012]), 500, 0.0067),
    ),
    Recipe(
        "KLR120",
        MODELS,
        "steps at 475 and 490 epochs",
        "LinearWarmup(PiecewiseConstantDecay([475 * spe, 490 * spe], [0.32, 0.032, 0.0032]), 2000, 0.0067)",
        over(piecewise([47500, 49000], [0.32, 0.032, 0.0032]), 2000, 0.0067),
    ),
    Recipe(
        "KLR122",
        MODELS,
        "steps at 575 and 590 epochs, scaled by the batch",
        "LinearWarmup(PiecewiseConstantDecay([575 * spe, 590 * spe],"
        " [base, base * 0.1, base * 0.01]), 2000, 0.0067)",
        over(piecewise([57500, 59000], [0.64, 0.64 * 0.1, 0.64 * 0.01]), 2000, 0.0067),
        names={"base": 0.32 * 512 / 256},
    ),
    Recipe(
        "KLR124",
        MODELS,
        "polynomial of 0.9 after a warm-up",
        "LinearWarmup(PolynomialDecay(0.01, 100_000, 0.0, power=0.9), 5 * spe, 0.0)",
        over(polynomial(0.01, 100000, 0.0, 0.9), 500),
    ),
    Recipe(
        "KLR125",
        MODELS,
        "cosine over all steps after a warm-up",
        "LinearWarmup(CosineDecay(0.8, total), 10 * spe, 0.0)",
        over(cosine(0.8, 20000), 1000),
        names={"total": 20000},
    ),
    Recipe(
        "KLR126",
        MODELS,
        "stairs of 2.4 epochs after a warm-up",
        "LinearWarmup(ExponentialDecay(0.008 * (batch // 128), 2.4 * spe, 0.97, staircase=True),"
        " 5 * spe, 0.0)",
        over(stairs(0.256, 240.0, 0.97), 500),
        names={"batch": 4096},
    ),
    Recipe(
        "KLR128",
        MODELS,
        "cosine of 0.12 after a warm-up",
        "LinearWarmup(CosineDecay(0.12, epochs * spe), 5 * spe, 0.0)",
        over(cosine(0.12, 50000), 500),
        names={"epochs": 500},
    ),
    Recipe(
        "KLR129",
        MODELS,
        "BERT, never 0",
        "PolynomialWarmUp(PolynomialDecay(3e-5, total, 0.0), warm, power=1)",
        from_one(polynomial(3e-5, 10000), 1000),
        names={"total": 10_000, "warm": 1000},
    ),
    Recipe(
        "KLR131",
        MODELS,
        "BERT's pre-training",
        "PolynomialWarmUp(PolynomialDecay(1e-4, 1_000_000, 0.0), 10_000)",
        from_one(polynomial(1e-4, 1000000), 10000),
        remark="the project's BERT warm-up, which begins at step 1",
    ),
    Recipe(
        "KLR133",
        MODELS,
        "cosine of 150 epochs after 2000 steps",
        "LinearWarmup(CosineDecay(0.001, 150 * spe), 2000, 0.0)",
        over(cosine(0.001, 15000), 2000),
    ),
    Recipe(
        "KLR135",
        MODELS,
        "cosine of 800 epochs",
        "LinearWarmup(CosineDecay(1.5e-4 * batch / 256, 800 * spe), 40 * spe, 0.0)",
        over(cosine(1.5e-4 * 4096 / 256, 80000), 4000),
        names={"batch": 4096},
    ),
    Recipe(
        "KLR137",
        MODELS,
        "cosine with less for lower layers",
        "ScheduleLR(LinearWarmup(CosineDecay(1e-3 * batch / 256, 50 * spe), 5 * spe, 0.0),"
        " lr_scales=[0.75 ** 3, 0.75 ** 2, 0.75, 1.0])",
        Groups([over(cosine(0.004, 5000), 500)] * 4, [0.75**3, 0.75**2, 0.75, 1.0]),
        names={"batch": 1024},
        remark="one param group per depth; four of them here",
    ),
    Recipe(
        "KLR138",
        MODELS,
        "cosine to 0.03 over 90k",
        "LinearWarmup(CosineDecay(1e-4, 90_000, alpha=0.03), 6000, 0.0)",
        over(cosine(1e-4, 90000, 0.03), 6000),
    ),
    Recipe(
        "KLR139",
        MODELS,
        "cosine to 0.03 over 20k",
        "LinearWarmup(CosineDecay(5e-4, 20_000, alpha=0.03), 500, 0.0)",
        over(cosine(5e-4, 20000, 0.03), 500),
    ),
    Recipe(
        "KLR140",
        MODELS,
        "polynomial of 0.9 from 0.1",
        "LinearWarmup(PolynomialDecay(0.1, 100_000, 0.0, power=0.9), 5 * spe, 0.0)",
        over(polynomial(0.1, 100000, 0.0, 0.9), 500),
    ),
    Recipe(
        "KLR141",
        MODELS,
        "polynomial of 0.9 for Adam",
        "LinearWarmup(PolynomialDecay(5e-4, total, 0.0, power=0.9), 2000, 0.0)",
        over(polynomial(5e-4, 200000, 0.0, 0.9), 2000),
        names={"total": 200_000},
    ),
    Recipe(
        "KLR142",
        MODELS,
        "cosine for LAMB",
        "LinearWarmup(CosineDecay(1.25e-3, 500_000), 1000, 0.0)",
        over(cosine(1.25e-3, 500000), 1000),
    ),
    Recipe(
        "KLR143",
        MODELS,
        "line for LAMB",
        "LinearWarmup(PolynomialDecay(3e-5, 32_730, 0.0), 200, 0.0)",
        over(polynomial(3e-5, 32730), 200),
    ),
    Recipe(
        "KLR148",
        MODELS,
        "cosine that begins after the warm-up",
        "LinearWarmup(Offset(CosineDecay(0.001, total, alpha=0.01), warm, cast=True), warm, 1e-5)",
        over(lambda step: cosine(0.001, 10000, 0.01)(single(step) - 500.0), 500, 1e-5),
        names={"total": 10_000, "warm": 500},
    ),
    Recipe(
        "KLR151",
        MODELS,
        "cosine to 0.2, and a momentum that warms up",
        "[ScheduleLR(LinearWarmup(CosineDecay(0.01, total, alpha=0.2), warm, 0.0)),"
        " ScheduleHyperparameter('momentum', WarmUp(Constant(0.937), warm, initial_learning_rate=0.8,"
        " inclusive=True, line='product'))]",
        WithHyperparameter(
            over(cosine(0.01, 30000, 0.2), 300), "momentum", rising_momentum(0.8, 0.937, 300)
        ),
        names={"total": 30_000, "warm": 300},
        remark="one group; its rule is that of torch.optim.SGD",
    ),
    Recipe(
        "KLR152",
        MODELS,
        "cosine to 0.1, and a momentum that warms up",
        "[ScheduleLR(LinearWarmup(CosineDecay(0.01, total, alpha=0.1), warm, 0.0)),"
        " ScheduleHyperparameter('momentum', WarmUp(Constant(0.937), warm, initial_learning_rate=0.8,"
        " inclusive=True, line='product'))]",
        WithHyperparameter(
            over(cosine(0.01, 30000, 0.1), 300), "momentum", rising_momentum(0.8, 0.937, 300)
        ),
        names={"total": 30_000, "warm": 300},
        remark="one group; the weight decay that the batch scales is a constant",
    ),
    Recipe(
        "KLR153",
        MODELS,
        "a power of the step",
        "DirectPowerDecay(0.1, power=-0.5)",
        Tensor(lambda step: 0.1 * tf.pow(tf.maximum(single(step), 1.0), -0.5)),
        remark="the power -1 is read in the same way",
    ),
    Recipe(
        "KLR155",
        MODELS,
        "a power after an offset",
        "PowerDecayWithOffset(1.0, power=-1.0, offset=10, pre_offset_learning_rate=3.0)",
        Tensor(power_after),
    ),
    Recipe(
        "KLR156",
        MODELS,
        "cosines from value to value",
        "LinearWarmup(StepCosineDecayWithOffset([0, 500_000], [1e-4, 5e-5], offset=10_000), 10_000, 0.0)",
        over(cosines_between, 10000),
        remark="NaN after the last boundary, as in the project; the catalogue has it go on",
    ),
    Recipe(
        "KLR157",
        MODELS,
        "a quadratic warm-up to steps",
        "PolynomialWarmUp(PiecewiseConstantDecay([1000, 2000], [0.1, 0.01, 0.001]), 500, power=2.0)",
        from_one(piecewise([1000, 2000], [0.1, 0.01, 0.001]), 500, 2.0),
    ),
    Recipe(
        "KLR160",
        MODELS,
        "the old Transformer",
        "InverseSquareRoot(2.0, 16_000, hidden_size=512)",
        Tensor(square_root),
    ),
    Recipe(
        "KLR161",
        MODELS,
        "warm-up, then polynomial to a part",
        "TransformersWarmUp(5e-5, PolynomialDecay(5e-5, total - warm, 5e-5 * 0.1), warm)",
        before(5e-5, polynomial(5e-5, 2700, 5e-5 * 0.1), 300),
        names={"total": 3000, "warm": 300},
    ),
    Recipe(
        "KLR167",
        NVIDIA,
        "stairs that begin after the warm-up",
        "TransformersWarmUp(0.1, ExponentialDecay(0.1, 2.4 * spe, 0.97, staircase=True), 5 * spe)",
        before(0.1, stairs(0.1, 240.0, 0.97), 500),
        remark="rates of our choice",
    ),
    Recipe(
        "KLR169",
        NVIDIA,
        "a noisy cosine after a warm-up",
        "TransformersWarmUp(0.1, NoisyLinearCosineDecay(0.1, 4000, initial_variance=0.5,"
        " variance_decay=0.55, num_periods=0.5, alpha=0.0, beta=0.001, noise=draws), 500)",
        Tensor(before(0.1, lambda step: noisy(step + 500), 500).rate, last=2499),
        names={"draws": NOISE},
        remark="for given draws of the noise; the origin draws anew at each call, from any seed",
    ),
    Recipe(
        "KLR172",
        NVIDIA,
        "a line with less for lower layers",
        "ScheduleLR(TransformersWarmUp(1e-4, PolynomialDecay(1e-4, total - warm, 0.0), warm),"
        " lr_scales=[0.8 ** 2, 0.8, 1.0])",
        Groups([before(1e-4, polynomial(1e-4, 900), 100)] * 3, [0.8**2, 0.8, 1.0]),
        names={"total": 1000, "warm": 100},
        remark="a decay of our choice, for three depths",
    ),
    Recipe(
        "KLR175",
        NVIDIA,
        "a line to the first value, then values",
        "Scale(WarmUp(Join([0.02, 0.002, 0.0002], [9000, 12_000], restart=False), 500,"
        " warmup_target=0.02, initial_learning_rate=1e-5, shift=False), 2.0)",
        Tensor(to_first_value),
    ),
    Recipe(
        "KLR178",
        "mlcommons/training",
        "LARS: warm-up, then quadratic to 1e-4",
        "WarmUp(PolynomialDecay(10.0, total - warm + 1, 1e-4, power=2.0), warm, inclusive=True)",
        before(10.0, polynomial(10.0, 2301, 1e-4, 2.0), 200, last_warm=200),
        names={"total": 2500, "warm": 200},
    ),
    Recipe(
        "KLR184",
        "google/automl",
        "tenths at 200 and 250 epochs",
        "WarmUp(Join([base, base * 0.1, base * 0.01], [200 * spe, 250 * spe], restart=False), spe,"
        " warmup_target=base, initial_learning_rate=0.008, shift=False)",
        Tensor(from_eight_thousandths),
        names={"base": 0.08},
    ),
    Recipe(
        "KLR185",
        "google/automl",
        "polynomial of the whole training",
        "WarmUp(PolynomialDecay(0.08, total, 0.0, power=0.9), warm, warmup_target=0.08, shift=False)",
        bert(0.08, lambda step: 0.08 * tf.pow(1.0 - tf.minimum(single(step), 3e4) / 3e4, 0.9), 100),
        names={"total": 30_000, "warm": 100},
        remark="held after the end, where the origin takes a power of a negative number",
    ),
    Recipe(
        "KLR186",
        "google/uncertainty-baselines",
        "warm-up and steps in fractional epochs",
        "PerUpdate(PerEpoch(WarmUp(Join([base, base * 0.2, base * 0.2 ** 2, base * 0.2 ** 3],"
        " [60, 120, 160], restart=False), 2, shift=False), arithmetic='float32'), spe, staircase=False)",
        Tensor(by_fractional_epoch),
        names={"base": 0.1 * 256 / 128},
        remark="two epochs of warm-up, where one would hide the order of the divisions",
    ),
    Recipe(
        "KLR187",
        "google/uncertainty-baselines",
        "warm-up over a polynomial",
        "BertWarmUp(0.1, PolynomialDecay(0.1, total, 1e-4, power=1.0), warm)",
        bert(0.1, polynomial(0.1, 5000, 1e-4), 500),
        names={"total": 5000, "warm": 500},
    ),
    Recipe(
        "KLR190",
        "google/uncertainty-baselines",
        "warm-up over stairs",
        "BertWarmUp(0.016, ExponentialDecay(0.016, 2.4 * spe, 0.97, staircase=True), 5 * spe)",
        bert(0.016, stairs(0.016, 240.0, 0.97), 500),
    ),
    Recipe(
        "KLR192",
        "google-research/simclr",
        "warm-up, then cosine",
        "WarmUp(CosineDecay(0.3 * batch / 256, total - warm), warm)",
        before(0.6, cosine(0.6, 9000), 1000),
        names={"batch": 512, "total": 10_000, "warm": 1000},
        remark="0.075 * sqrt(batch) in place of 0.3 * batch / 256 for the other scaling",
    ),
    Recipe(
        "KLR201",
        "tensorflow/similarity",
        "warm-up, then cosine to a least rate",
        "WarmUp(CosineDecay(0.01, total - warm, alpha=1e-4 / 0.01), warm)",
        before(0.01, cosine(0.01, 900, 1e-4 / 0.01), 100),
        names={"total": 1000, "warm": 100},
    ),
    Recipe(
        "KLR208",
        "LynnHo/CycleGAN-Tensorflow-2",
        "constant, then a line to 0",
        "Join([2e-4, PolynomialDecay(2e-4, 50 * spe, 0.0)], [50 * spe])",
        Tensor(constant_then_line),
    ),
    Recipe(
        "KLR298",
        "larq/zoo",
        "a polynomial that rises, then steps",
        "Join([PolynomialDecay(0.0, 5 * spe, 0.01), PiecewiseConstantDecay([40 * spe, 60 * spe, 70 * spe],"
        " [0.01, 0.01 * 0.1, 0.01 * 0.1 ** 2, 0.01 * 0.1 ** 3])], [5 * spe], restart=False, inclusive=True)",
        Tensor(rising_polynomial),
        remark="a fraction of a tenth",
    ),
    Recipe(
        "KLR299",
        "larq/zoo",
        "a polynomial that rises, then cosine",
        "Join([PolynomialDecay(0.0, warm - 1, 0.01), CosineDecay(0.01, total - warm - 1)], [warm])",
        rising_to_cosine(0.01, 5000, 500),
        names={"total": 5000, "warm": 500},
    ),
    Recipe(
        "KLR300",
        "larq/zoo",
        "two optimizers, two cosines",
        "ScheduleLR([Join([PolynomialDecay(0.0, warm - 1, 0.01), CosineDecay(0.01, total - warm - 1)],"
        " [warm]), Join([PolynomialDecay(0.0, warm - 1, 0.1), CosineDecay(0.1, total - warm - 1)], [warm])])",
        Groups([rising_to_cosine(0.01, 5000, 500), rising_to_cosine(0.1, 5000, 500)]),
        names={"total": 5000, "warm": 500},
    ),
    Recipe(
        "KLR301",
        "TensorSpeech/TensorFlowTTS",
        "warm-up of 2 percent over a line",
        "BertWarmUp(0.001, PolynomialDecay(0.001, 150_000, 5e-5), 3000)",
        bert(0.001, polynomial(0.001, 150000, 5e-5), 3000),
    ),
    Recipe(
        "KLR305",
        "TensorSpeech/TensorFlowASR",
        "the Transformer with a cap",
        "Noam(176, 10_000, scale=1.0, maximum=0.05 / sqrt(176), roots='pow')",
        Tensor(lambda step: tf.minimum(powers(176, 10000, 1.0)(step), 0.05 / math.sqrt(176))),
        remark="with these numbers the rate stays below its cap",
    ),
    Recipe(
        "KLR306",
        "TensorSpeech/TensorFlowASR",
        "the Transformer times a triangle",
        "Clip(Product([Noam(176, 10_000, roots='pow'), TriangularCyclicalLearningRate(0.5, 1.5, 2000)]),"
        " maximum=8e-4)",
        Tensor(cycling_transformer),
        remark="the factor goes from a half to one and a half; a cap of our choice",
    ),
)
